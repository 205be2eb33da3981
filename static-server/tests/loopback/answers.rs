//! What a client gets, over a real connection.

use crate::support::{Answer, FRONTS, mirror, noise, start_both, start_with, until_it_is_looked_at_again, write};
use modferry_format::FileSha256;
use modferry_server::Settings;
use std::fs;
use tempfile::TempDir;

/// A mirror with a small zip, a large one, and what belongs to them.
fn tree() -> (TempDir, Vec<u8>) {
    let temp = tempfile::tempdir().unwrap();
    let large = noise(700_001);
    mirror(
        temp.path(),
        &[
            ("ex.org/a/@v/list", b"v1.0.0\nv1.1.0\n"),
            ("ex.org/a/@latest", b"{}"),
            ("ex.org/a/@v/v1.0.0.info", b"{\"Version\":\"v1.0.0\"}"),
            ("ex.org/a/@v/v1.0.0.mod", b"module ex.org/a\n"),
            ("ex.org/a/@v/v1.0.0.zip", &noise(30_000)),
            ("ex.org/a/@v/v1.1.0.zip", &large),
            ("ex.org/!upper/@v/v1.0.0-!r!c1.mod", b"module ex.org/Upper\n"),
            ("ex.org/b/@v/list", b"\n"),
            ("ex.org/c/@v/v1.0.0.mod", b"module ex.org/c\n"),
            ("sumdb/sum.golang.org/supported", b"ok\n"),
            ("sumdb/sum.golang.org/lookup/ex.org/!upper@v1.0.0-!r!c1", b"1\nrecord\n"),
            ("sumdb/sum.golang.org/tile/8/0/000.p/1", &noise(32)),
        ],
    );
    for (name, bytes) in [
        ("bundles/00/BUNDLE", "evidence"),
        ("staging/00/file", "staging"),
        ("trust/policy.toml", "trust"),
        ("journal.jsonl", "{}"),
        ("download/.hidden", "dot"),
        ("download/ex.org/a/@v/v1.0.0.ziphash", "h1:"),
        ("download/ex.org/a/@v/.new.zip", "temporary"),
    ] {
        write(temp.path(), name, bytes.as_bytes());
    }
    (temp, large)
}

#[test]
fn every_file_is_served_with_the_hash_of_its_bytes_as_tag() {
    let (temp, large) = tree();
    for server in start_both(temp.path()) {
        let mut client = server.connect();
        for (target, bytes) in [
            ("/ex.org/a/@v/list", b"v1.0.0\nv1.1.0\n".to_vec()),
            ("/ex.org/a/@v/v1.0.0.mod", b"module ex.org/a\n".to_vec()),
            ("/ex.org/a/@v/v1.0.0.zip", noise(30_000)),
            ("/ex.org/a/@v/v1.1.0.zip", large.clone()),
            ("/ex.org/%21upper/@v/v1.0.0-%21r%21c1.mod", b"module ex.org/Upper\n".to_vec()),
            ("/ex.org/!upper/@v/v1.0.0-!r!c1.mod", b"module ex.org/Upper\n".to_vec()),
            ("/sumdb/sum.golang.org/supported", b"ok\n".to_vec()),
            ("/sumdb/sum.golang.org/lookup/ex.org/!upper@v1.0.0-!r!c1", b"1\nrecord\n".to_vec()),
            ("/sumdb/sum.golang.org/tile/8/0/000.p/1", noise(32)),
        ] {
            let got = client.ask("GET", target, "");
            assert_eq!((got.status, got.whole), (200, true), "{target}");
            assert_eq!(got.body, bytes, "{target}");
            assert_eq!(got.field("etag"), format!("\"{}\"", FileSha256::of(&bytes)), "{target}");
            assert!(!got.field("date").is_empty(), "{target}");
            // The same head without a body, and the connection goes on.
            let head = client.ask("HEAD", target, "");
            let without_date = |answer: &Answer| {
                let mut fields = answer.fields.clone();
                fields.remove("date");
                (answer.status, fields)
            };
            assert_eq!(without_date(&head), without_date(&got), "{target}");
            let again = client.ask("GET", target, &format!("If-None-Match: {}\r\n", got.field("etag")));
            assert_eq!((again.status, again.body.len()), (304, 0), "{target}");
            // What can change has no date, which could be that of two states.
            let date = got.field("last-modified");
            assert_eq!(date.is_empty(), target.ends_with("/list"), "{target}");
            if !date.is_empty() {
                for (date, status) in [(date, 304), ("Wed, 21 Oct 2015 07:28:00 GMT", 200)] {
                    let again = client.ask("GET", target, &format!("If-Modified-Since: {date}\r\n"));
                    assert_eq!((again.status, again.body.is_empty()), (status, status == 304), "{target}");
                }
            }
        }
    }
}

#[test]
fn parts_of_a_large_file_are_its_parts() {
    let (temp, large) = tree();
    for server in start_both(temp.path()) {
        let mut client = server.connect();
        let size = large.len();
        for (range, part) in [
            ("0-0", 0..1),
            ("131071-131072", 131_071..131_073),
            ("131072-262143", 131_072..262_144),
            ("100000-", 100_000..size),
            ("-1", size - 1..size),
            ("-400000", size - 400_000..size),
            ("0-", 0..size),
        ] {
            let got = client.ask("GET", "/ex.org/a/@v/v1.1.0.zip", &format!("Range: bytes={range}\r\n"));
            assert_eq!(got.status, 206, "{range}");
            assert!(got.body == large[part.clone()], "{range}");
            assert_eq!(got.field("content-range"), format!("bytes {}-{}/{size}", part.start, part.end - 1));
        }
        let got = client.ask("GET", "/ex.org/a/@v/v1.1.0.zip", &format!("Range: bytes={size}-\r\n"));
        assert_eq!((got.status, got.field("content-range")), (416, format!("bytes */{size}").as_str()));
        // Two lines of the header are two ranges: the whole file.
        let got = client.ask("GET", "/ex.org/a/@v/v1.0.0.mod", "Range: bytes=0-1\r\nRange: bytes=2-3\r\n");
        assert_eq!((got.status, got.text()), (200, "module ex.org/a\n"));
        let got = client.ask("GET", "/ex.org/a/@v/v1.0.0.mod", "If-Range: \"other\"\r\nRange: bytes=0-1\r\n");
        assert_eq!((got.status, got.text()), (200, "module ex.org/a\n"));
        let got = client.ask("GET", "/ex.org/a/@v/v1.0.0.mod", "Range: bytes=0-5\r\n");
        assert_eq!((got.status, got.text()), (206, "module"));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_must_be_waited_for_is_the_same_file() {
    let (temp, large) = tree();
    let file = fs::File::open(temp.path().join("download/ex.org/a/@v/v1.1.0.zip")).unwrap();
    // Out of memory, where the file system can do that; the next read has to wait for the disk.
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    for server in start_both(temp.path()) {
        let got = server.get("/ex.org/a/@v/v1.1.0.zip");
        assert!(got.whole && got.body == large);
    }
}

#[test]
fn what_is_missing_is_said_and_the_connection_goes_on() {
    let (temp, _) = tree();
    for server in start_both(temp.path()) {
        let mut client = server.connect();
        for (target, text) in [
            ("/ex.org/a/@v/v1.9.0.zip", "not in this mirror: ex.org/a@v1.9.0 (.zip)\nhere: newest is v1.1.0\n"),
            ("/ex.org/a/@v/main.info", "not in this mirror: ex.org/a@main\nhere: newest is v1.1.0\n"),
            ("/ex.org/b/@latest", "not in this mirror: ex.org/b@latest\nhere: only untagged versions of ex.org/b\n"),
            ("/ex.org/none/@v/list", "not in this mirror: ex.org/none\nhere: no complete version of ex.org/none\n"),
            (
                "/ex.org/c/@v/v1.0.0.zip",
                "not in this mirror: ex.org/c@v1.0.0 (.zip)\nleft out: only its go.mod came, by the level of the bundle; \
                 --level all brings the zip, and so does a root of its own\nhere: no complete version of ex.org/c\n",
            ),
            ("/sumdb/sum.golang.org/latest", "not in this mirror: the head of sum.golang.org\n"),
            ("/sumdb/other.example/supported", "not in this mirror: the checksum database other.example\n"),
            (
                "/sumdb/other.example/lookup/ex.org/c@v1.0.0",
                "not in this mirror: the checksum database other.example\n",
            ),
            ("/sumdb/other.example/tile/8/0/000.p/1", "not in this mirror: the checksum database other.example\n"),
            (
                "/sumdb/sum.golang.org/lookup/ex.org/a@v1.9.0",
                "the record of ex.org/a@v1.9.0 in sum.golang.org is not in this mirror\nhere: newest is v1.1.0\n",
            ),
            ("/", "Go modules are served here: set GOPROXY to this address\n"),
        ] {
            let got = client.ask("GET", target, "");
            assert_eq!((got.status, got.text()), (404, text));
            assert_eq!(got.field("content-type"), "text/plain; charset=utf-8");
        }
    }
}

#[test]
fn nothing_beside_the_api_is_ever_served() {
    let (temp, _) = tree();
    for server in start_both(temp.path()) {
        let mut client = server.connect();
        for target in [
            "/.hidden",
            "/ex.org/a/@v/v1.0.0.ziphash",
            "/ex.org/a/@v/.new.zip",
            "/bundles/00/BUNDLE",
            "/staging/00/file",
            "/trust/policy.toml",
            "/journal.jsonl",
            "/ledger/ex.org/a/@sums",
            "/../journal.jsonl",
            "/%2e%2e/journal.jsonl",
            "/ex.org/../../journal.jsonl",
            "/..%2fjournal.jsonl",
            "//journal.jsonl",
            "/ex.org/a",
            "/ex.org/a/",
            "/ex.org/a/@v",
            "/ex.org/a/@v/",
            "/ex.org/A/@v/list",
            "/ex.org/a/@v/list?x",
            "/ex.org/a/@v/list/",
            "/ex.org/a/@v/list%00",
            "/ex.org\\a/@v/list",
            "/ex.org/a/@v/LIST",
        ] {
            assert_eq!(client.ask("GET", target, "").status, 404, "{target}");
        }
        let absolute = format!("http://{}/ex.org/a/@v/list", server.address);
        assert_eq!(client.ask("GET", &absolute, "").status, 404);
        assert_eq!(client.ask("GET", "/ex.org/%zz", "").status, 400);
        assert_eq!(client.ask("GET", &format!("/{}", "a".repeat(3000)), "").status, 414);
    }
}

#[cfg(unix)]
#[test]
fn no_link_is_followed_and_nothing_but_files_is_opened() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let (temp, _) = tree();
    let versions = temp.path().join("download/ex.org/a/@v");
    fs::write(temp.path().join("secret"), "secret").unwrap();
    symlink(temp.path().join("secret"), versions.join("v2.0.0.zip")).unwrap();
    symlink("v1.0.0.zip", versions.join("v1.2.0.zip")).unwrap();
    symlink("a", temp.path().join("download/ex.org/linked")).unwrap();
    fs::create_dir(versions.join("v1.3.0.zip")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(versions.join("v1.4.0.zip")).status().unwrap();
    assert!(pipe.success());
    for server in start_both(temp.path()) {
        let mut client = server.connect();
        for target in [
            "/ex.org/a/@v/v1.2.0.zip",
            "/ex.org/a/@v/v1.3.0.zip",
            "/ex.org/a/@v/v1.4.0.zip",
            "/ex.org/linked/@v/list",
            "/ex.org/linked/@v/v1.0.0.mod",
        ] {
            assert_eq!(client.ask("GET", target, "").status, 404, "{target}");
        }
        // A file that is there and cannot be read is no 404: `go` would go on as if it did not exist.
        let unreadable = versions.join("v1.0.0.mod");
        fs::set_permissions(&unreadable, fs::Permissions::from_mode(0o000)).unwrap();
        if fs::File::open(&unreadable).is_err() {
            assert_eq!(client.ask("GET", "/ex.org/a/@v/v1.0.0.mod", "").status, 500);
        }
    }
}

#[test]
fn what_is_published_while_it_runs_is_there_within_a_second() {
    for front in FRONTS {
        let (temp, _) = tree();
        let server = start_with(temp.path(), Settings { front, ..Settings::default() });
        let mut client = server.connect();
        // What was missing is there with the next request: what is listed must never be missing.
        assert_eq!(client.ask("GET", "/ex.org/new/@v/v1.0.0.mod", "").status, 404);
        write(temp.path(), "download/ex.org/new/@v/v1.0.0.mod", b"module ex.org/new\n");
        assert_eq!(client.ask("GET", "/ex.org/new/@v/v1.0.0.mod", "").text(), "module ex.org/new\n");
        let old = client.ask("GET", "/ex.org/a/@v/list", "");
        write(temp.path(), "download/ex.org/a/@v/list", b"v1.0.0\nv1.1.0\nv1.2.0\n");
        assert_eq!(client.ask("GET", "/ex.org/a/@v/v1.0.0.zip", "").status, 200);
        assert_eq!(client.ask("GET", "/ex.org/a/@v/v1.1.0.zip", "").status, 200);
        for zip in ["v1.0.0.zip", "v1.1.0.zip"] {
            fs::remove_file(temp.path().join("download/ex.org/a/@v").join(zip)).unwrap();
        }
        until_it_is_looked_at_again();
        let new = client.ask("GET", "/ex.org/a/@v/list", &format!("If-None-Match: {}\r\n", old.field("etag")));
        assert_eq!((new.status, new.text()), (200, "v1.0.0\nv1.1.0\nv1.2.0\n"));
        assert_ne!(new.field("etag"), old.field("etag"));
        assert_eq!(client.ask("GET", "/ex.org/a/@v/list", "").text(), new.text());
        // A zip that was taken out is gone, small or large.
        assert_eq!(client.ask("GET", "/ex.org/a/@v/v1.0.0.zip", "").status, 404);
        assert_eq!(client.ask("GET", "/ex.org/a/@v/v1.1.0.zip", "").status, 404);
    }
}

#[test]
fn a_zip_without_a_line_in_the_ledger_is_served_without_a_tag() {
    let (temp, _) = tree();
    write(temp.path(), "download/ex.org/a/@v/v1.2.0.zip", &noise(100_000));
    for server in start_both(temp.path()) {
        let got = server.get("/ex.org/a/@v/v1.2.0.zip");
        assert_eq!((got.status, got.body.len(), got.field("etag")), (200, 100_000, ""));
        // Nor is one whose size the ledger states otherwise.
        write(temp.path(), "download/ex.org/a/@v/v1.1.0.zip", &noise(100_000));
        assert_eq!(server.get("/ex.org/a/@v/v1.1.0.zip").field("etag"), "");
    }
}

#[test]
fn below_a_prefix_everything_is_the_same_and_beside_it_there_is_nothing() {
    let (temp, _) = tree();
    for front in FRONTS {
        let settings = Settings { prefix: "/go/proxy/".parse().unwrap(), front, ..Settings::default() };
        let server = start_with(temp.path(), settings);
        // Also of what is kept by then.
        for _ in 0..2 {
            assert_eq!(server.get("/go/proxy/ex.org/a/@v/list").status, 200);
            assert_eq!(server.get("/go/proxy/sumdb/sum.golang.org/supported").text(), "ok\n");
            for target in ["/ex.org/a/@v/list", "/go/proxyex.org/a/@v/list", "/go/proxy//ex.org/a/@v/list"] {
                assert_eq!(server.get(target).status, 404, "{target}");
            }
        }
    }
}
