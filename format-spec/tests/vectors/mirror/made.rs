//! Makes the vectors `one-log/*.txt` and `mirror-heads/*.txt`, for which somebody has to sign. To write them again:
//!
//! ```text
//! cargo test -p modferry-format --test vectors -- --ignored mirror_vectors_are_written
//! ```

use crate::naive_tree::{self, NAME, NaiveTree, SEED};
use crate::vector_file;
use data_encoding::BASE64;
use modferry_format::database::Tile;
use modferry_format::sumdb::tree;
use std::fs;

const ONE_LOG: &str = "one-log";
const HEADS: &str = "mirror-heads";
/// Columns of base64.
const WIDTH: usize = 116;

/// One vector: head lines without `must`, and sections.
struct Case {
    folder: &'static str,
    name: &'static str,
    must: &'static str,
    expect: &'static str,
    keys: Vec<(&'static str, &'static str)>,
    about: &'static str,
    sections: Vec<(String, String)>,
}

impl Case {
    fn text(&self) -> String {
        let mut text = format!("must: {}\nexpect: {}\n", self.must, self.expect);
        text.extend(self.keys.iter().map(|(key, value)| format!("{key}: {value}\n")));
        text += &format!("about: {}\n\n", self.about);
        text.extend(self.sections.iter().map(|(name, content)| format!("-- {name} --\n{content}")));
        text
    }
}

fn key_section() -> (String, String) {
    ("key".to_owned(), format!("{}\n", naive_tree::key_of(NAME, SEED)))
}

fn tile_section(tile: Tile, bytes: &[u8]) -> (String, String) {
    let base64 = BASE64.encode(bytes).into_bytes();
    let lines = base64.chunks(WIDTH).map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect();
    (format!("{tile} (base64)"), lines)
}

fn tile(name: &str) -> Tile {
    format!("tile/8/{name}").parse().unwrap()
}

/// The notes of mirror and bundle, and tiles with their bytes.
fn log_case(
    (name, about): (&'static str, &'static str),
    (expect, keys): (&'static str, &[(&'static str, &'static str)]),
    (mirror, bundle): (String, String),
    tiles: &[(Tile, Vec<u8>)],
) -> Case {
    let mut sections = vec![key_section(), ("mirror".to_owned(), mirror), ("bundle".to_owned(), bundle)];
    sections.extend(tiles.iter().map(|(tile, bytes)| tile_section(*tile, bytes)));
    Case { folder: ONE_LOG, name, must: "M99", expect, keys: keys.into(), about, sections }
}

fn one_log() -> Vec<Case> {
    let (log, other) = (NaiveTree::new(600), NaiveTree::forked(600, 1, 1));
    let of = |log: &NaiveTree, names: &[&str]| names.iter().map(|name| (tile(name), log.tile(tile(name)))).collect();
    let genuine = |names: &[&str]| -> Vec<(Tile, Vec<u8>)> { of(&log, names) };
    // The frontier of 258 records, and what 5 records are a part of; in 5 records all are in one open tile.
    let join = ["0/000", "0/001.p/2", "1/000.p/1"];
    let valid = ("valid", &[][..]);
    let (missing, fork) = ([("verdict", "needs-bridge")], [("verdict", "fork")]);
    let (missing, fork) = (("invalid", &missing[..]), ("invalid", &fork[..]));
    let bridge = |n, m| {
        let tiles = tree::slice(n, [], [m]);
        ("bridge".to_owned(), tiles.iter().map(|tile| format!("{tile}\n")).collect::<String>())
    };
    let with_bridge = |mut case: Case, n, m| {
        case.sections.push(bridge(n, m));
        case
    };
    let mut flipped = genuine(&join);
    flipped[0].1[0] ^= 1;
    vec![
        log_case(
            ("bundle-newer", "the mirror's head is the beginning of the bundle's"),
            valid,
            (log.note(5), log.note(258)),
            &genuine(&join),
        ),
        log_case(
            ("bundle-older", "a bundle with an older head is welcome, and proven by the same tiles"),
            valid,
            (log.note(258), log.note(5)),
            &genuine(&join),
        ),
        log_case(
            ("same-head", "both have the same head"),
            valid,
            (log.note(258), log.note(258)),
            &genuine(&["0/001.p/2", "1/000.p/1"]),
        ),
        log_case(
            ("full-tile", "the tile that was open at the newer head is there as the full one, of a still newer tree"),
            valid,
            (log.note(5), log.note(258)),
            &genuine(&["0/000", "0/001", "1/000.p/1"]),
        ),
        log_case(
            (
                "own-tile",
                "a client that holds the older head looks for its open tile; that is still open in the newer tree",
            ),
            valid,
            (log.note(3), log.note(5)),
            &genuine(&["0/000.p/3", "0/000.p/5"]),
        ),
        with_bridge(
            log_case(
                ("no-own-tile", "without that tile it is no fault of either"),
                missing,
                (log.note(3), log.note(5)),
                &genuine(&["0/000.p/5"]),
            ),
            5,
            3,
        ),
        with_bridge(
            log_case(
                (
                    "no-tile",
                    "neither has the tile that the older tree is in: no fault of the bundle, and nothing is proven",
                ),
                missing,
                (log.note(5), log.note(258)),
                &genuine(&["0/001.p/2", "1/000.p/1"]),
            ),
            258,
            5,
        ),
        with_bridge(
            log_case(
                ("no-tile-bundle-older", "the same where the bundle is the older one"),
                missing,
                (log.note(258), log.note(5)),
                &genuine(&["0/001.p/2", "1/000.p/1"]),
            ),
            258,
            5,
        ),
        log_case(
            ("fork", "the tree of the mirror is not the beginning of the bundle's, which its own tiles prove"),
            fork,
            (other.note(5), log.note(258)),
            &genuine(&join),
        ),
        log_case(
            ("fork-bundle-older", "nor the tree of the bundle that of the mirror's"),
            fork,
            (log.note(258), other.note(5)),
            &genuine(&join),
        ),
        log_case(
            ("fork-of-one-size", "two trees of one size: the tiles are of the bundle's"),
            fork,
            (other.note(258), log.note(258)),
            &genuine(&["0/000", "0/001.p/2", "1/000.p/1"]),
        ),
        log_case(
            ("fork-in-the-last-record", "two trees that differ in their last record alone"),
            fork,
            (NaiveTree::forked(258, 1, 257).note(258), log.note(259)),
            &genuine(&["0/001.p/2", "0/001.p/3", "1/000.p/1"]),
        ),
        log_case(
            ("forged-tile", "a full tile that has not the hash that its parent states proves nothing of any head"),
            ("invalid", &[("reason", "has not the hash that tile/8/1/000.p/1 states")]),
            (log.note(5), log.note(258)),
            &flipped,
        ),
        log_case(
            ("other-frontier", "tiles that do not make the root of the newer head"),
            ("invalid", &[("reason", "does not make the root")]),
            (log.note(5), log.note(258)),
            &of(&other, &join),
        ),
    ]
}

/// A line as it is written.
fn line(log: &NaiveTree, size: u64, bundle: char) -> String {
    let text = log.head_text(size);
    let root = text.lines().nth(2).unwrap();
    let note = log.note(size).replace('\n', "\\n");
    let bundle = bundle.to_string().repeat(64);
    format!("{{\"size\":{size},\"root\":\"{root}\",\"bundle\":\"{bundle}\",\"note\":\"{note}\"}}\n")
}

/// In a section a backslash begins an escape.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
}

fn heads() -> Vec<Case> {
    let log = NaiveTree::new(20);
    let (five, nine) = (line(&log, 5, 'a'), line(&log, 9, 'b'));
    let case = |name, about, must, expect, keys: &[(&'static str, &'static str)], text: &str, latest: Option<u64>| {
        let mut sections = vec![key_section(), ("@heads".to_owned(), escaped(text))];
        sections.extend(latest.map(|size| ("latest".to_owned(), log.note(size))));
        Case { folder: HEADS, name, must, expect, keys: keys.into(), about, sections }
    };
    let good = |name, about, text: &str, latest| case(name, about, "M98 M101", "valid", &[], text, latest);
    let bad = |name, about, reason, text: &str| case(name, about, "M101", "invalid", &[("reason", reason)], text, None);
    let swapped = five.replacen("\"size\":5,", "", 1).replacen("\"note\"", "\"size\":5,\"note\"", 1);
    let by_other = naive_tree::sign_as(&log.head_text(5), NAME, [8; 32]).replace('\n', "\\n");
    vec![
        good("none", "a database of which no bundle has brought a head", "", None),
        good("one", "a head; `latest` of the mirror is its note", &five, Some(5)),
        good("two", "two, and `latest` is the newest", &format!("{five}{nine}"), Some(9)),
        bad("descending", "the larger tree first", "out of order", &format!("{nine}{five}")),
        bad("twice", "a head twice", "out of order", &format!("{five}{five}")),
        bad(
            "one-size",
            "two heads of one size, of which one can be of the log",
            "out of order",
            &format!("{five}{}", line(&NaiveTree::forked(20, 1, 1), 5, 'b')),
        ),
        bad("size", "another size than that of the note", "a line says 6", &five.replace("\"size\":5", "\"size\":6")),
        bad(
            "root",
            "another root than that of the note",
            "a line says 5",
            &five.replacen(log.head_text(5).lines().nth(2).unwrap(), log.head_text(9).lines().nth(2).unwrap(), 1),
        ),
        bad(
            "other-signer",
            "a note that another key of the same name has signed",
            "has no signature of",
            &five.replace(&log.note(5).replace('\n', "\\n"), &by_other),
        ),
        bad("short-id", "a bundle id in its short form", "not 64", &five.replace(&"a".repeat(64), &"a".repeat(32))),
        bad("member-order", "the members in another order", "canonical", &swapped),
        bad("more", "a member more", "canonical", &five.replacen("{\"size\"", "{\"x\":1,\"size\"", 1)),
        bad(
            "less",
            "no bundle",
            "missing field",
            &five.replacen(&format!(",\"bundle\":\"{}\"", "a".repeat(64)), "", 1),
        ),
        bad("space", "white space", "canonical", &five.replacen("\"size\":5", "\"size\": 5", 1)),
        bad("escape", "an escape that JSON does not need", "canonical", &five.replacen("tree", "tre\\u0065", 1)),
        bad("empty-line", "an empty line", "EOF", &format!("{five}\n{nine}")),
        case(
            "no-end",
            "no newline at the end",
            "M101",
            "invalid",
            &[("reason", "no end")],
            // The backslash ends the section without one.
            five.trim_end(),
            None,
        ),
    ]
    .into_iter()
    .map(|mut case| {
        let (_, text) = &mut case.sections[1];
        if !text.is_empty() && !text.ends_with('\n') {
            text.push_str("\\\n");
        }
        case
    })
    .collect()
}

/// All vectors of a folder by the names of their files, sorted.
fn vectors(folder: &str) -> Vec<(String, String)> {
    let cases = [one_log(), heads()].into_iter().flatten().filter(|case| case.folder == folder);
    let mut vectors: Vec<(String, String)> = cases.map(|case| (format!("{}.txt", case.name), case.text())).collect();
    vectors.sort();
    assert!(vectors.windows(2).all(|two| two[0].0 < two[1].0), "two cases of one name");
    vectors
}

#[test]
fn mirror_vectors_are_what_is_made_here() {
    for folder in [ONE_LOG, HEADS] {
        let (vectors, there) = (vectors(folder), vector_file::names_in(&vector_file::root().join(folder)));
        assert_eq!(there, vectors.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
        for (name, text) in vectors {
            let read = fs::read_to_string(vector_file::root().join(folder).join(&name)).unwrap();
            assert!(read == text, "{folder}/{name} is stale");
        }
    }
}

#[test]
#[ignore = "writes the vectors"]
fn mirror_vectors_are_written() {
    for folder in [ONE_LOG, HEADS] {
        let place = vector_file::root().join(folder);
        vector_file::names_in(&place).iter().for_each(|name| fs::remove_file(place.join(name)).unwrap());
        vectors(folder).iter().for_each(|(name, text)| fs::write(place.join(name), text).unwrap());
    }
}
