//! What is closed at one head, joined with a slice that knows this head alone, is closed at the next: an export need not
//! know the records of earlier ones.

use crate::cases;
use crate::client::size;
use modferry_format::database::Tile;
use modferry_format::sumdb::client::reads;
use modferry_format::sumdb::tree;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;

/// One export after the other: the size of the tree, and the records that are new.
type History = Vec<(u64, Vec<u64>)>;

fn history(most: u64) -> impl Strategy<Value = History> {
    let export = (size(most), proptest::collection::vec(any::<u64>(), 0..6), 0..4_u8);
    proptest::collection::vec(export, 2..=6).prop_map(|exports| {
        let mut sizes: Vec<u64> = exports
            .iter()
            .map(|(size, _, aligned)| match aligned {
                0 => *size,
                1 => (size & !255).max(1),
                2 => (size & !65535).max(1),
                _ => size | 255,
            })
            .collect();
        sizes.sort_unstable();
        sizes.iter().zip(exports).map(|(&size, (_, ids, _))| (size, ids.iter().map(|id| id % size).collect())).collect()
    })
}

/// The tiles of a mirror that takes all exports; each knows the head before it, or none.
fn joined(history: &History, with_heads: bool) -> BTreeSet<Tile> {
    let mut mirror = BTreeSet::new();
    let mut before = None;
    for (size, ids) in history {
        mirror.extend(tree::slice(*size, ids.iter().copied(), before));
        before = with_heads.then_some(*size);
    }
    mirror
}

/// The tiles that somebody needs and the mirror has not, for all records and heads ever carried, at the newest head.
fn missing(history: &History, mirror: &BTreeSet<Tile>) -> BTreeSet<Tile> {
    let newest = history.last().unwrap().0;
    let ids = history.iter().flat_map(|(_, ids)| ids.iter().copied());
    let heads = history.iter().map(|(size, _)| *size);
    let has =
        |tile: &Tile| mirror.contains(tile) || mirror.contains(&Tile::new(tile.level(), tile.index(), 256).unwrap());
    tree::slice(newest, ids, heads).into_iter().filter(|tile| !has(tile)).collect()
}

/// The same as clients see it: in every state, each lookup with the head of its own export, and the lookups by exports as
/// they came, the other way round, and mixed, where a client meets the heads up and down.
fn missed(history: &History, mirror: &BTreeSet<Tile>) -> BTreeSet<Tile> {
    let heads = history.iter().map(|(size, _)| *size).collect();
    let ascending: Vec<(u64, u64)> = history.iter().flat_map(|(size, ids)| ids.iter().map(|&id| (id, *size))).collect();
    let descending = ascending.iter().rev().copied().collect();
    let mut mixed = ascending.clone();
    mixed.sort_by_key(|(id, size)| (id ^ size).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let missing = |lookups: Vec<_>| reads(&heads, &lookups, |tile| mirror.contains(&tile)).unwrap().missing;
    [ascending, descending, mixed].into_iter().flat_map(missing).collect()
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn a_mirror_stays_closed(history in prop_oneof![history(72_000_000), history(300_000), history(2_000)]) {
        let mirror = joined(&history, true);
        prop_assert_eq!(missing(&history, &mirror), BTreeSet::new());
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn clients_find_everything_in_a_mirror(history in prop_oneof![history(72_000_000), history(300_000)]) {
        let mirror = joined(&history, true);
        prop_assert_eq!(missed(&history, &mirror), BTreeSet::new());
    }

    /// Bundles of one bundler, each with all earlier heads, join in any order: what came is closed at its newest head.
    #[test]
    fn bundles_that_know_all_earlier_heads_join_in_any_order(history in history(72_000_000), left_out in 0..6_usize) {
        let mut arrived = history.clone();
        let mut mirror = BTreeSet::new();
        for (at, (size, ids)) in history.iter().enumerate() {
            if at != left_out {
                let before = history[..at].iter().map(|(size, _)| *size);
                mirror.extend(tree::slice(*size, ids.iter().copied(), before));
            }
        }
        if left_out < arrived.len() {
            arrived.remove(left_out);
        }
        prop_assert_eq!(missing(&arrived, &mirror), BTreeSet::new());
    }
}

#[test]
fn without_the_head_some_mirrors_are_not_closed() {
    let mut runner = TestRunner::deterministic();
    let failed = (0..1_000).filter(|_| {
        let history = history(72_000_000).new_tree(&mut runner).unwrap().current();
        !missing(&history, &joined(&history, false)).is_empty()
    });
    assert!(failed.count() > 100);
}

/// Two slices made without knowledge of each other need one tile a level at most to join: the one that was open at the
/// older head. A bridge has them.
#[test]
fn a_bridge_joins_two_slices_made_apart() {
    let mut runner = TestRunner::deterministic();
    let mut bridged = 0;
    for _ in 0..500 {
        let history = history(72_000_000).new_tree(&mut runner).unwrap().current()[..2].to_vec();
        let mut mirror = joined(&history, false);
        let lacking = missing(&history, &mirror);
        let levels: BTreeSet<u8> = lacking.iter().map(|tile| tile.level()).collect();
        assert!(lacking.len() == levels.len() && lacking.len() <= 3, "{history:?}: {lacking:?}");
        bridged += usize::from(!lacking.is_empty());
        let bridge = tree::slice(history[1].0, [], [history[0].0]);
        assert!(lacking.is_subset(&bridge), "{history:?}: {lacking:?}");
        mirror.extend(bridge);
        assert_eq!(missing(&history, &mirror), BTreeSet::new());
    }
    assert!(bridged > 50);
}
