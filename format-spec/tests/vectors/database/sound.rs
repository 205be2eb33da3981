//! Bundles that keep all rules.

use super::Case;
use super::bundle::{Bundle, log_file, tile};
use crate::naive_tree::{NAME, NaiveTree, SEED, signature};

/// Another database, that somebody else runs.
pub(super) const OTHER: (&str, [u8; 32]) = ("sum.corp.example", [8; 32]);

pub(super) fn cases() -> Vec<Case> {
    let log = NaiveTree::new(260);
    vec![
        Case::good(
            "one",
            "M56 M90 M91 M92 M93 M94 M95 M96",
            "one module and its record; the database has a path in its name",
            Bundle::of(&log, 5, &[3], &[]),
        ),
        Case::good("several", "M56 M93 M95", "three records under one head", Bundle::of(&log, 5, &[0, 2, 4], &[])),
        Case::good(
            "served",
            "M92 M95",
            "two served heads, and their own tiles, which are the beginnings of the one that has grown since",
            Bundle::of(&log, 5, &[3], &[2, 4]),
        ),
        Case::good(
            "full-tile",
            "M95",
            "a record in a full tile, whose hash is in the tile above; the frontier is of two tiles",
            Bundle::of(&log, 258, &[3, 257], &[257]),
        ),
        Case::good(
            "pattern",
            "M56",
            "one module with a record, and one that a pattern lets be without",
            Bundle::of(&log, 5, &[3], &[]).module(4).without_record(&["example.com/m[4-9]"]),
        ),
        Case::good(
            "go-mod-only",
            "M56 M96",
            "a version of which the graph needs the go.mod alone has a record too",
            Bundle::of(&log, 5, &[3], &[])
                .without("download/example.com/m3/@latest")
                .without("download/example.com/m3/@v/list")
                .without("download/example.com/m3/@v/v1.0.0.zip"),
        ),
        Case::good(
            "record-alone",
            "M56",
            "a record of a version that is not carried harms nobody",
            Bundle::default().database(&log, (NAME, SEED), 5, &[2, 3], &[]).module(3),
        ),
        Case::good(
            "empty-log",
            "M92 M95",
            "a database without records, whose tree has no tiles",
            Bundle::private().database(&log, (NAME, SEED), 0, &[], &[]),
        ),
        Case::good("witness", "M92 M93", "a head that somebody else has signed as well, before the database", {
            let text = log.head_text(5);
            let witness = signature(&text, "witness.example", [9; 32]);
            let (head, both) = (log.note(5), format!("{text}\n{witness}{}", signature(&text, NAME, SEED)));
            Bundle::of(&log, 5, &[3], &[])
                .edit(&log_file("latest"), &head, &both)
                .edit(&super::bundle::lookup(3), &head, &both)
                .stated(|databases| databases[0].head = both)
        }),
        Case::good(
            "two",
            "M90 M93",
            "two databases that say the same of a version",
            Bundle::default().database(&log, OTHER, 1, &[0], &[]).database(&log, (NAME, SEED), 5, &[0], &[]).module(0),
        ),
        Case::good(
            "unneeded-tile",
            "M95",
            "a tile that no proof needs, and that is as the tree has it",
            Bundle::of(&log, 5, &[3], &[]).tile(&log, "0/000.p/2"),
        ),
        Case::good(
            "base-lookup",
            "M56 M97",
            "with a base the lookup may be on the far side",
            Bundle::of(&log, 5, &[3], &[]).module(2).on_a_base(),
        ),
        Case::good(
            "base-frontier",
            "M97",
            "without its whole frontier nothing is proven by the bundle alone: a record and two tile files are left",
            Bundle::of(&log, 258, &[3], &[]).without(&tile("0/001.p/2")).on_a_base(),
        )
        .left(3),
        Case::good(
            "base-chain",
            "M97",
            "the record in the full tile is left, since that tile is not in the bundle; the other one is proven",
            Bundle::of(&log, 258, &[3, 257], &[]).without(&tile("0/000")).on_a_base(),
        )
        .left(1),
        Case::good(
            "base-served",
            "M97",
            "a served head whose own tile is not in the bundle is left",
            Bundle::of(&log, 258, &[257], &[257]).without(&tile("0/001.p/1")).on_a_base(),
        )
        .left(1),
    ]
}
