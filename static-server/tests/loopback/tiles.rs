//! Files of a checksum database: tiles of every width that was carried or is part of one that was, and what is said of
//! the others.

use crate::support::{Client, mirror, noise, start, until_it_is_looked_at_again, write};
use modferry_format::FileSha256;
use modferry_harness::synthetic_bundle;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const DATABASE: &str = "sumdb/sum.golang.org";

/// A server's answer to a client whose head is from elsewhere.
const RESET: &str = "if sum.golang.org was used elsewhere before, delete both $(go env GOPATH)/pkg/sumdb and \
                     $(go env GOMODCACHE)/cache/download/sumdb\n";

/// As many hashes, each as in all wider tiles.
fn hashes(width: usize) -> Vec<u8> {
    noise(width * 32)
}

/// What an import leaves of a database: nothing of it is in any ledger.
fn put_database(root: &Path) {
    for (name, bytes) in [
        ("supported", b"ok\n".to_vec()),
        ("latest", b"go.sum database tree\n5\n".to_vec()),
        ("lookup/ex.org/a@v1.0.0", b"1\nrecord\n".to_vec()),
        // A full one beside partial ones.
        ("tile/8/0/000", hashes(256)),
        ("tile/8/0/000.p/9", hashes(9)),
        // Partial ones only.
        ("tile/8/0/x001/002.p/7", hashes(7)),
        ("tile/8/0/x001/002.p/40", hashes(40)),
        ("tile/8/0/x001/002.p/200", hashes(200)),
        // Damaged ones, and one that is not.
        ("tile/8/1/000", hashes(256)[1..].to_vec()),
        ("tile/8/1/000.p/30", hashes(30)[1..].to_vec()),
        ("tile/8/1/000.p/40", hashes(40)),
        ("tile/8/2/000.p/40", hashes(20)),
    ] {
        write(root, &format!("download/{DATABASE}/{name}"), &bytes);
    }
}

fn tree() -> TempDir {
    let temp = tempfile::tempdir().unwrap();
    mirror(temp.path(), &[]);
    put_database(temp.path());
    temp
}

/// The same in a bundle.
fn bundle() -> TempDir {
    let temp = tempfile::tempdir().unwrap();
    put_database(temp.path());
    synthetic_bundle::write(temp.path(), &[]).unwrap();
    temp
}

fn target(tile: &str) -> String {
    format!("/{DATABASE}/tile/8/{tile}")
}

/// Asks for a tile in every way; `from` is the width of the file that it must come from.
fn comes_from(client: &mut Client, tile: &str, width: usize, from: usize) {
    let target = target(tile);
    let tag = match FileSha256::of(&hashes(from)) {
        sha256 if from == width => format!("\"{sha256}\""),
        sha256 => format!("\"{sha256}-{width}\""),
    };
    let got = client.ask("GET", &target, "");
    assert_eq!((got.status, got.whole), (200, true), "{target}");
    assert!(got.body == hashes(width), "{target}");
    for (name, value) in [
        ("content-length", (width * 32).to_string().as_str()),
        ("etag", &tag),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("content-type", "application/octet-stream"),
        ("accept-ranges", "bytes"),
    ] {
        assert_eq!(got.field(name), value, "{target}: {name}");
    }
    let mut head = client.ask("HEAD", &target, "");
    head.fields.remove("date");
    let fields = got.fields.into_iter().filter(|(name, _)| name != "date").collect();
    assert_eq!((head.status, head.fields), (200, fields), "{target}");
    let again = client.ask("GET", &target, &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((again.status, again.body.len(), again.field("etag")), (304, 0, tag.as_str()), "{target}");
    // Bytes of the tile, whatever more the file behind it has.
    let size = width * 32;
    for (range, part) in [("0-31", 0..32), ("16-", 16..size), ("-32", size - 32..size), ("1-99999", 1..size)] {
        let got = client.ask("GET", &target, &format!("Range: bytes={range}\r\nIf-Range: {tag}\r\n"));
        assert_eq!(got.status, 206, "{target}: {range}");
        assert!(got.body == hashes(width)[part.clone()], "{target}: {range}");
        assert_eq!(got.field("content-range"), format!("bytes {}-{}/{size}", part.start, part.end - 1));
    }
    let beyond = client.ask("GET", &target, &format!("Range: bytes={size}-\r\n"));
    assert_eq!((beyond.status, beyond.field("content-range")), (416, format!("bytes */{size}").as_str()));
}

#[test]
fn a_narrow_tile_is_its_own_file_or_the_beginning_of_a_wider_one() {
    for temp in [tree(), bundle()] {
        let server = start(temp.path());
        let mut client = server.connect();
        for (tile, width, from) in [
            ("0/000", 256, 256),
            ("0/000.p/9", 9, 9),
            // The full one first, though a partial one would do.
            ("0/000.p/8", 8, 256),
            ("0/000.p/1", 1, 256),
            ("0/000.p/255", 255, 256),
            // Else the narrowest that is wider.
            ("0/x001/002.p/7", 7, 7),
            ("0/x001/002.p/6", 6, 7),
            ("0/x001/002.p/8", 8, 40),
            ("0/x001/002.p/40", 40, 40),
            ("0/x001/002.p/41", 41, 200),
            // What is too short is not used.
            ("1/000.p/29", 29, 40),
            ("1/000.p/39", 39, 40),
        ] {
            comes_from(&mut client, tile, width, from);
        }
        assert!(server.events.lines().is_empty());
    }
}

#[test]
fn a_tile_that_no_wider_one_has_is_missing_and_nothing_is_made_up() {
    let temp = tree();
    let server = start(temp.path());
    let mut client = server.connect();
    for tile in ["0/x001/002.p/201", "0/x001/002", "0/001.p/1", "0/001", "1/000.p/41", "1/001.p/1", "2/000.p/30"] {
        let got = client.ask("GET", &target(tile), "");
        let text = format!("not in this mirror: tile/8/{tile} of sum.golang.org\n{RESET}");
        assert_eq!((got.status, got.text()), (404, text.as_str()));
        assert_eq!(got.field("content-type"), "text/plain; charset=utf-8");
        assert_eq!((got.field("cache-control"), got.field("etag")), ("no-cache", ""));
        let head = client.ask("HEAD", &target(tile), "");
        assert_eq!((head.status, head.field("content-length")), (404, text.len().to_string().as_str()));
    }
    // A width that is none, data tiles, and directories are no files.
    for tile in ["0/000.p/0", "0/000.p/256", "0/000.p/08", "0/000.p/", "0/000.p", "data/000.p/5", "8/000.p/5"] {
        assert_eq!(client.ask("GET", &target(tile), "").status, 404, "{tile}");
    }
    // The next import brings it.
    write(temp.path(), &format!("download/{DATABASE}/tile/8/0/x001/002.p/201"), &hashes(201));
    comes_from(&mut client, "0/x001/002.p/201", 201, 201);
}

#[test]
fn a_database_needs_no_ledger() {
    for (temp, kind) in [(tree(), "mirror"), (bundle(), "bundle")] {
        let ledger = temp.path().join("ledger");
        assert!(!ledger.exists() || fs::read_dir(ledger).unwrap().count() == 0);
        let server = start(temp.path());
        let mut client = server.connect();
        for (name, text, cache_control) in [
            ("supported", "ok\n", "public, max-age=86400, immutable"),
            ("latest", "go.sum database tree\n5\n", "no-cache"),
            ("lookup/ex.org/a@v1.0.0", "1\nrecord\n", "public, max-age=86400, immutable"),
        ] {
            let got = client.ask("GET", &format!("/{DATABASE}/{name}"), "");
            assert_eq!((got.status, got.text()), (200, text), "{name}");
            assert_eq!(got.field("cache-control"), cache_control, "{name}");
            assert_eq!(got.field("etag"), format!("\"{}\"", FileSha256::of(text.as_bytes())), "{name}");
        }
        let got = client.ask("GET", &format!("/{DATABASE}/lookup/ex.org/!a@v1.0.1"), "");
        let text = format!("the record of ex.org/A@v1.0.1 in sum.golang.org is not in this {kind}\n");
        assert_eq!((got.status, got.text()), (404, text.as_str()));
        // A client that kept the head asks whether it is still that.
        let latest = format!("/{DATABASE}/latest");
        let old = client.ask("GET", &latest, "").field("etag").to_owned();
        write(temp.path(), &format!("download{latest}"), b"go.sum database tree\n6\n");
        until_it_is_looked_at_again();
        let new = client.ask("GET", &latest, &format!("If-None-Match: {old}\r\n"));
        assert_eq!((new.status, new.text()), (200, "go.sum database tree\n6\n"));
    }
}

#[test]
fn a_large_file_of_a_database_is_served_without_a_tag() {
    // A record may have up to a megabyte; none of this size is known.
    let temp = tree();
    write(temp.path(), &format!("download/{DATABASE}/lookup/ex.org/large@v1.0.0"), &noise(100_000));
    let server = start(temp.path());
    let got = server.get(&format!("/{DATABASE}/lookup/ex.org/large@v1.0.0"));
    assert_eq!((got.status, got.whole, got.field("etag")), (200, true, ""));
    assert!(got.body == noise(100_000));
}

#[cfg(unix)]
#[test]
fn no_tile_is_cut_from_what_a_link_leads_to() {
    use std::os::unix::fs::symlink;
    let temp = tree();
    let outside = temp.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("40"), hashes(40)).unwrap();
    fs::write(outside.join("full"), hashes(256)).unwrap();
    let level = temp.path().join(format!("download/{DATABASE}/tile/8/3"));
    fs::create_dir_all(level.join("002.p")).unwrap();
    // The full tile, the directory of the partial ones, one of them, and the level.
    symlink(outside.join("full"), level.join("000")).unwrap();
    symlink(&outside, level.join("001.p")).unwrap();
    symlink(outside.join("40"), level.join("002.p/40")).unwrap();
    symlink("../0/x001", level.join("x001")).unwrap();
    symlink("0", level.with_file_name("4")).unwrap();
    let server = start(temp.path());
    let mut client = server.connect();
    for tile in ["3/000.p/5", "3/001.p/5", "3/001.p/40", "3/002.p/5", "3/002.p/40", "3/x001/002.p/5", "4/000.p/5"] {
        assert_eq!(client.ask("GET", &target(tile), "").status, 404, "{tile}");
    }
    // A link among the wider ones does not hide a file.
    fs::write(level.join("002.p/41"), hashes(41)).unwrap();
    comes_from(&mut client, "3/002.p/5", 5, 41);
    // Nor does a directory, or a name that is no width.
    fs::create_dir(level.join("002.p/6")).unwrap();
    fs::write(level.join("002.p/.40.new"), hashes(40)).unwrap();
    comes_from(&mut client, "3/002.p/5", 5, 41);
}
