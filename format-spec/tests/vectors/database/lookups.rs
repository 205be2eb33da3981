//! Records: versions without one, lookups that are none, and hashes that differ.

use super::Case;
use super::bundle::{Bundle, go_mod, lookup};
use super::sound::OTHER;
use crate::naive_tree::{NAME, NaiveTree, SEED, sign_as};

/// The two findings of a lookup that does not count: it, and the version that is now without record.
fn no_lookup() -> [(&'static str, String); 2] {
    [("record", go_mod(3)), ("lookup", lookup(3))]
}

pub(super) fn cases() -> Vec<Case> {
    let log = NaiveTree::new(9);
    let one = || Bundle::of(&log, 5, &[3], &[]);
    let (head, text) = (log.note(5), log.text(3));
    let lines: Vec<&str> = text.lines().collect();
    let bad = |name, about, from: &str, to: &str| {
        Case::bad(name, "M93", about, one().edit(&lookup(3), from, to), no_lookup())
    };
    vec![
        Case::bad(
            "no-lookup",
            "M56",
            "a version without lookup and without pattern",
            one().without(&lookup(3)),
            [("record", go_mod(3))],
        ),
        Case::bad(
            "no-lookup-go-mod-only",
            "M56",
            "a version without zip needs a record as well",
            one()
                .without(&lookup(3))
                .without("download/example.com/m3/@latest")
                .without("download/example.com/m3/@v/list")
                .without("download/example.com/m3/@v/v1.0.0.zip"),
            [("record", go_mod(3))],
        ),
        Case::bad(
            "no-lookup-other-pattern",
            "M56",
            "a pattern that matches another module",
            one().without(&lookup(3)).without_record(&["example.com/m", "example.com/m3/x", "example.com/m[4-9]"]),
            [("record", go_mod(3))],
        ),
        Case::bad(
            "lookup-other-module",
            "M93",
            "the genuine answer about another module; Go before 1.25.13 and 1.26.6 takes it (CVE-2026-56864)",
            one().with(&lookup(3), log.lookup(2, 5).to_string().as_bytes()),
            no_lookup(),
        ),
        bad("lookup-other-head", "a genuine head that is not the one of bundle.json", &head, &log.note(4)),
        bad("lookup-newer-head", "and no newer one either", &head, &log.note(6)),
        bad(
            "lookup-other-signer",
            "the same tree, signed by somebody else",
            &head,
            &sign_as(&log.head_text(5), OTHER.0, OTHER.1),
        ),
        bad("lookup-no-note", "a lookup without a note", &head, ""),
        bad("lookup-note-cut", "a note that ends within its signature", &head, &head[..head.len() - 9]),
        bad("lookup-signature", "a note with another signature", &head[head.len() - 12..], "AAAAAAAAAA==\n"),
        bad("lookup-beyond", "a number that the tree does not reach", "3\nexample.com", "5\nexample.com"),
        bad("lookup-number-zero", "a number with a leading zero", "3\nexample.com", "03\nexample.com").stricter(),
        bad(
            "lookup-number-huge",
            "a number of more than 63 bits",
            "3\nexample.com",
            "9223372036854775808\nexample.com",
        ),
        bad("lookup-one-line", "a record without the line of the go.mod", &format!("{}\n", lines[1]), ""),
        bad("lookup-swapped", "the lines in another order", &text, &format!("{}\n{}\n", lines[1], lines[0])),
        bad("lookup-third-line", "a line more than the two", &text, &format!("{text}example.com/m3 v1.0.0 h2:x\n")),
        bad("lookup-two-spaces", "two spaces, where a record has one", "m3 v1.0.0 h1:", "m3 v1.0.0  h1:"),
        bad("lookup-no-blank-line", "a record that runs into the note", "\n\ngo.sum database", "\ngo.sum database"),
        Case::bad(
            "lookup-crlf",
            "M93",
            "lines that end in CR LF",
            one().with(&lookup(3), log.lookup(3, 5).to_string().replace('\n', "\r\n").as_bytes()),
            no_lookup(),
        ),
        Case::bad(
            "two-differ",
            "M93",
            "two databases that state different hashes of a zip: the second one in the order of the manifest is named",
            Bundle::default()
                .database(&NaiveTree::forked(1, 1, 0), OTHER, 1, &[0], &[])
                .database(&log, (NAME, SEED), 5, &[0], &[])
                .module(0),
            [("lookup", lookup(0))],
        ),
        Case::bad(
            "go-mod-differs",
            "M96",
            "a go.mod that is not the one of its record",
            one().with(&go_mod(3), b"module example.com/evil\n"),
            [("record-mismatch", go_mod(3))],
        ),
    ]
}
