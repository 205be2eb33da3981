//! What an attacker who writes the files can try, and a database that shows two logs.

use crate::naive_tree::{self, NaiveTree};
use crate::proofs::{Bundle, refused};
use crate::{LOG, RECORDS};
use modferry_format::H1;
use modferry_format::database::Tile;
use modferry_format::sumdb::hash::TreeHash;
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::prove::{Prover, consistent};
use modferry_format::sumdb::refused::Refused;
use std::collections::BTreeSet;
use std::convert::Infallible;

const ID: u64 = 700;
const SIZE: u64 = 150_000;

fn bundle() -> Bundle {
    Bundle::of(&LOG, SIZE, &[ID].into(), &BTreeSet::new())
}

fn tile(name: &str) -> Tile {
    name.parse().unwrap()
}

#[test]
fn record_that_is_not_in_the_log_is_refused() {
    let mut forged = bundle();
    forged.records[0].go_mod = H1::of_go_mod(b"module evil");
    let module = forged.records[0].module.clone();
    assert_eq!(forged.prove(), Err(Refused::ForgedRecord { module: module.clone(), id: ID }));
    // Genuine, under another number.
    for id in [ID - 1, ID + 1, ID + 256, 0] {
        let mut moved = bundle();
        moved.records[0].id = id;
        let mirror = Bundle::of(&LOG, SIZE, &[id].into(), &BTreeSet::new()).files;
        assert_eq!(moved.prove_in(&mirror), Err(Refused::ForgedRecord { module: module.clone(), id }));
    }
}

/// CVE-2026-56865: a forged record with a forged leaf in the tile of its level, and no more.
#[test]
fn forged_record_with_a_forged_leaf_is_refused() {
    let mut forged = bundle();
    forged.records[0].go_mod = H1::of_go_mod(b"module evil");
    let (leaves, parent) = (tile("tile/8/0/002"), tile("tile/8/1/000"));
    let start = (ID % 256) as usize * 32;
    let leaf = *forged.records[0].leaf().as_bytes();
    forged.files.get_mut(&leaves).unwrap()[start..start + 32].copy_from_slice(&leaf);
    assert_eq!(forged.prove(), Err(Refused::ForgedTile { tile: leaves, parent }));
    // And so on, up to the frontier.
    let open = tile("tile/8/2/000.p/2");
    for (child, above, found) in [
        (leaves, parent, Refused::ForgedTile { tile: parent, parent: open }),
        (
            parent,
            open,
            Refused::Frontier { size: SIZE, tiles: vec![open, tile("tile/8/1/002.p/73"), tile("tile/8/0/585.p/240")] },
        ),
    ] {
        let hash = TreeHash::fold(forged.files[&child].as_chunks().0).unwrap();
        let start = (child.index() % 256) as usize * 32;
        forged.files.get_mut(&above).unwrap()[start..start + 32].copy_from_slice(hash.as_bytes());
        assert_eq!(forged.prove(), Err(found));
    }
}

#[test]
fn tiles_of_another_place_are_refused() {
    let other = Bundle::of(&LOG, SIZE, &[ID + 256].into(), &BTreeSet::new()).files;
    let mut swapped = bundle();
    swapped.files.insert(tile("tile/8/0/002"), other[&tile("tile/8/0/003")].clone());
    assert!(matches!(swapped.prove(), Err(Refused::ForgedTile { tile, .. }) if tile.to_string() == "tile/8/0/002"));
}

#[test]
fn records_beyond_the_head_are_refused() {
    let record = LOG.record(SIZE);
    let head = LOG.head(SIZE);
    let refused = Refused::BeyondHead { module: record.module.clone(), id: SIZE, size: SIZE };
    assert_eq!(Prover::new(&head).record(&record), Err(refused));
    assert_eq!(Prover::new(&head).record(&LOG.record(SIZE - 1)), Ok(()));
}

#[test]
fn files_that_are_not_in_the_tree_are_refused() {
    let head = LOG.head(300);
    for name in [
        "tile/8/0/002.p/1",
        "tile/8/0/001",
        "tile/8/0/001.p/45",
        "tile/8/1/000.p/2",
        "tile/8/2/000.p/1",
        "tile/8/7/000",
    ] {
        let tile = tile(name);
        assert_eq!(Prover::new(&head).file(tile), Err(Refused::NotInTree { tile, size: 300 }));
    }
    for name in ["tile/8/0/000", "tile/8/0/000.p/1", "tile/8/0/001.p/44", "tile/8/1/000.p/1"] {
        assert_eq!(Prover::new(&head).file(tile(name)), Ok(()));
    }
}

/// A head of the same key that is of another log from record `fork` on.
fn fork(fork: u64) -> NaiveTree {
    NaiveTree::forked(2_000, 1, fork)
}

#[test]
fn fork_is_an_error_of_its_own_with_both_notes() {
    let other = fork(900);
    for (older, newer) in [(1_000, 1_500), (901, 902), (1_500, 1_500)] {
        let bundle = Bundle::of(&LOG, newer, &[3].into(), &[older].into());
        let (ours, theirs) = (LOG.head(newer), other.head(older));
        let forked = Bundle { heads: vec![theirs.clone()], ..bundle.clone() };
        let root = TreeHash::from_bytes(LOG.root(older));
        let expected = Refused::Fork { older: Box::new(theirs.clone()), newer: Box::new(ours.clone()), root };
        assert_eq!(forked.prove(), Err(expected.clone()));
        let both = [&theirs, &ours];
        for (one, two) in [(0, 1), (1, 0)].map(|(one, two)| (both[one], both[two])) {
            // Of two trees of one size it is for the caller to say which was there first.
            if older < newer {
                let found = consistent(one, two, |tile| Ok::<_, Infallible>(bundle.files.get(&tile)));
                assert_eq!(refused(found.unwrap_err()), expected);
            }
        }
        let Refused::Fork { older, newer, .. } = expected else { unreachable!() };
        assert_eq!((older.note(), newer.note()), (other.note(older.size()).as_str(), ours.note()));
    }
    // Up to the record where they part they are one.
    let before = Bundle { heads: vec![other.head(900)], ..Bundle::of(&LOG, 1_500, &[3].into(), &[900].into()) };
    before.prove().unwrap();
}

#[test]
fn a_forked_bundle_is_not_joined_to_a_mirror() {
    let mirror = Bundle::of(&LOG, 1_000, &[5, 950].into(), &BTreeSet::new());
    let bundle = Bundle::of(&fork(600), 1_500, &[950].into(), &[1_000].into());
    // In itself it is proven: the key has signed it.
    bundle.prove().unwrap();
    let get = |tile: Tile| Ok::<_, Infallible>(bundle.files.get(&tile).or_else(|| mirror.files.get(&tile)));
    let found = refused(consistent(&mirror.head, &bundle.head, get).unwrap_err());
    assert!(matches!(found, Refused::Fork { .. }), "{found}");
}

/// A database that signs nonsense contradicts itself or its tiles; nothing falls over.
#[test]
fn signed_nonsense_is_refused() {
    let nonsense = |size: u64| {
        let note = naive_tree::sign(&Head::text(size, TreeHash::leaf(b"nonsense")));
        Head::open(note.as_bytes(), &naive_tree::key()).unwrap()
    };
    for size in [0, 1, 300, RECORDS, i64::MAX as u64] {
        let head = nonsense(size);
        let found = Prover::new(&head).prove(|tile| Ok::<_, Infallible>(Some(vec![0; usize::from(tile.width()) * 32])));
        assert!(matches!(refused(found.unwrap_err()), Refused::Frontier { .. }));
    }
    let head = LOG.head(300);
    let bundle = Bundle { heads: vec![nonsense(0)], ..Bundle::of(&LOG, 300, &[3].into(), &BTreeSet::new()) };
    assert!(matches!(bundle.prove(), Err(Refused::Fork { .. })));
    let newer = nonsense(301);
    assert_eq!(Prover::new(&head).contains(&newer), Err(Refused::NewerHead { size: 301, of: 300 }));
    assert_eq!(Prover::new(&head).served(&newer), Err(Refused::NewerHead { size: 301, of: 300 }));
}
