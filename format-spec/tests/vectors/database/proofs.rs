//! What only the proof by hashes finds.

use super::Case;
use super::bundle::{Bundle, log_file, lookup, tile};
use crate::naive_tree::NaiveTree;
use data_encoding::BASE64;
use sha2::{Digest, Sha256};

/// Bytes of a hash in a tile.
const HASH: usize = 32;

/// Puts another hash of the zip into the lookup of record 3, and says what that record would hash to.
fn forge(bundle: Bundle, log: &NaiveTree) -> (Bundle, Vec<u8>) {
    let text = log.text(3);
    let (start, hash) = text.lines().next().unwrap().rsplit_once(' ').unwrap();
    let forged = format!("h1:{}", BASE64.encode(&Sha256::digest("evil")));
    let leaf = Sha256::digest(["\0", &text.replacen(hash, &forged, 1)].concat()).to_vec();
    (bundle.edit(&lookup(3), &format!("{start} {hash}"), &format!("{start} {forged}")), leaf)
}

pub(super) fn cases() -> Vec<Case> {
    [tiles(), records(), heads(), with_a_base()].into_iter().flatten().collect()
}

fn tiles() -> Vec<Case> {
    let log = NaiveTree::new(260);
    let one = || Bundle::of(&log, 5, &[3], &[]);
    let tall = || Bundle::of(&log, 258, &[3], &[]);
    let bad = |name, must, about, bundle, name_of| Case::bad(name, must, about, bundle, [("tile", tile(name_of))]);
    vec![
        bad(
            "tile-length",
            "M94",
            "a tile with a byte too little",
            one().tile(&log, "0/000.p/2").change(&tile("0/000.p/2"), |bytes| _ = bytes.pop()),
            "0/000.p/2",
        ),
        bad(
            "tile-too-wide",
            "M94",
            "genuine, but of a newer tree: wider than this one has it",
            one().tile(&log, "0/000.p/6"),
            "0/000.p/6",
        ),
        bad(
            "tile-full",
            "M94",
            "the tile of a newer tree, in which it is full",
            Bundle::of(&log, 255, &[3], &[]).tile(&log, "0/000"),
            "0/000",
        ),
        bad("tile-beyond", "M94", "a tile that begins beyond the tree", one().tile(&log, "0/001.p/1"), "0/001.p/1"),
        bad(
            "tile-far",
            "M94",
            "so far beyond that the number of its first hash is none of 64 bits",
            one().with(&tile(FAR), &[0; HASH]),
            FAR,
        ),
        bad(
            "tile-level",
            "M94",
            "a level that the tree does not reach",
            one().with(&tile("1/000.p/1"), &[0; HASH]),
            "1/000.p/1",
        ),
        bad(
            "proof-no-frontier",
            "M95",
            "a: without its frontier a tree has no root",
            one().without(&tile("0/000.p/5")),
            "0/000.p/5",
        ),
        bad(
            "proof-frontier",
            "M95",
            "a: one tile is the frontier, and does not make the root",
            one().flip(&tile("0/000.p/5")),
            "0/000.p/5",
        ),
        Case::bad(
            "proof-frontier-of-two",
            "M95",
            "a: of two tiles nobody can say which one is wrong; the finding is of the head",
            tall().flip(&tile("1/000.p/1")),
            [("tile", log_file("latest"))],
        ),
        bad(
            "proof-no-tile",
            "M95",
            "b: a tile that the proof of a record needs",
            tall().without(&tile("0/000")),
            "0/000",
        ),
        bad(
            "proof-tile",
            "M95",
            "b: a full tile that has not the hash that its parent states",
            tall().flip(&tile("0/000")),
            "0/000",
        ),
        bad(
            "proof-unneeded-tile",
            "M95",
            "g: a tile that no proof needs, and that a client may read all the same",
            one().tile(&log, "0/000.p/2").flip(&tile("0/000.p/2")),
            "0/000.p/2",
        ),
        bad(
            "proof-unneeded-full-tile",
            "M95",
            "g: the same of a full tile, whose parent is there",
            Bundle::of(&log, 258, &[257], &[]).tile(&log, "0/000").flip(&tile("0/000")),
            "0/000",
        ),
    ]
}

/// The last tile that has a name.
const FAR: &str = "0/x009/x223/x372/x036/x854/x775/807.p/1";

fn records() -> Vec<Case> {
    let log = NaiveTree::new(260);
    let bad = |name, about, bundle, finding| Case::bad(name, "M95", about, bundle, [finding]);
    let place = |leaf: Vec<u8>| move |bytes: &mut Vec<u8>| bytes[3 * HASH..4 * HASH].copy_from_slice(&leaf);
    let forged = |size| forge(Bundle::of(&log, size, &[3], &[]), &log);
    vec![
        bad("proof-record", "c: a record that is not the one of the log", forged(5).0, ("lookup", lookup(3))),
        bad(
            "proof-record-moved",
            "c: a genuine record under the number of another one",
            Bundle::of(&log, 5, &[3], &[]).edit(&lookup(3), "3\nexample.com", "4\nexample.com"),
            ("lookup", lookup(3)),
        ),
        bad(
            "proof-leaf",
            "a: a forged record whose leaf is forged as well, in the frontier",
            {
                let (bundle, leaf) = forged(5);
                bundle.change(&tile("0/000.p/5"), place(leaf))
            },
            ("tile", tile("0/000.p/5")),
        ),
        bad(
            "proof-leaf-of-full-tile",
            "b: a forged record with its leaf in a full tile; Go before 1.25.13 and 1.26.6 takes it (CVE-2026-56865)",
            {
                let (bundle, leaf) = forged(258);
                bundle.change(&tile("0/000"), place(leaf))
            },
            ("tile", tile("0/000")),
        ),
    ]
}

fn heads() -> Vec<Case> {
    let log = NaiveTree::new(260);
    let other = NaiveTree::forked(260, 1, 1);
    let served = || Bundle::of(&log, 5, &[3], &[2]);
    let fork = |bundle: Bundle, size| bundle.stated(|databases| databases[0].served = vec![other.note(size)]);
    vec![
        Case::bad(
            "proof-fork",
            "M95",
            "d: the database has signed another tree of two records, so it has shown two logs",
            fork(served(), 2),
            [("fork", log_file("latest"))],
        ),
        Case::bad(
            "proof-fork-of-full-tile",
            "M95",
            "d: the root of the served head is folded from a full tile",
            fork(Bundle::of(&log, 258, &[3], &[255]), 255),
            [("fork", log_file("latest"))],
        ),
        Case::bad(
            "proof-no-own-tile",
            "M95",
            "e: a client that holds the served head looks for this tile",
            served().without(&tile("0/000.p/2")),
            [("tile", tile("0/000.p/2"))],
        ),
        Case::bad(
            "proof-own-tile",
            "M95",
            "g: the own tile of a served head, not as the tree has it",
            served().flip(&tile("0/000.p/2")),
            [("tile", tile("0/000.p/2"))],
        ),
    ]
}

fn with_a_base() -> Vec<Case> {
    let log = NaiveTree::new(260);
    // Its frontier is whole, and the tile of record 3 is on the far side.
    let base = || Bundle::of(&log, 258, &[3, 257], &[]).without(&tile("0/000")).on_a_base();
    vec![
        Case::bad(
            "base-record",
            "M97",
            "what the bundle can prove by itself must hold: a record under another number",
            base().edit(&lookup(257), "257\nexample.com", "256\nexample.com"),
            [("lookup", lookup(257))],
        ),
        Case::bad(
            "base-frontier-forged",
            "M97",
            "a frontier that is whole must make the root",
            base().flip(&tile("0/001.p/2")),
            [("tile", log_file("latest"))],
        ),
        Case::bad(
            "base-tile-far",
            "M94 M97",
            "a tile that is not in the tree is not left to anybody; a record and the frontier's other tile are",
            base().without(&lookup(257)).without(&tile("0/001.p/2")).with(&tile(FAR), &[0; HASH]),
            [("tile", tile(FAR))],
        )
        .left(2),
        Case::bad(
            "base-tile-length",
            "M94 M97",
            "nor is a tile with a byte too little: the two records and the frontier's other tile are left",
            base()
                .without(&tile("0/001.p/2"))
                .tile(&log, "0/001.p/1")
                .change(&tile("0/001.p/1"), |bytes| _ = bytes.pop()),
            [("tile", tile("0/001.p/1"))],
        )
        .left(3),
        Case::bad(
            "base-tile-too-wide",
            "M94 M97",
            "nor is a tile that is wider than this tree has it",
            base().without(&tile("0/001.p/2")).tile(&log, "0/001.p/3"),
            [("tile", tile("0/001.p/3"))],
        )
        .left(3),
        Case::bad(
            "base-lookup-forged",
            "M93 M97",
            "nor is a lookup that is none",
            base().edit(&lookup(257), "257\nexample.com", "258\nexample.com"),
            [("lookup", lookup(257))],
        )
        .left(1),
    ]
}
