//! The arithmetic of the tree: what is planned is what is needed.

use crate::{SIZES, cases};
use modferry_format::database::Tile;
use modferry_format::sumdb::tree::{self, Subtree};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn tiles(names: &str) -> BTreeSet<Tile> {
    names.split_whitespace().map(|name| format!("tile/8/{name}").parse().unwrap()).collect()
}

#[test]
fn slices_measured_on_the_real_log() {
    assert_eq!(
        tree::slice(71_999_284, [48_288_060], [66_398_721]),
        tiles(
            "3/000.p/4 3/000.p/3 2/002 2/003 2/004.p/74 1/736 1/x001/013 1/x001/098.p/159 0/x188/625 0/x259/370
             0/x281/247.p/52"
        )
    );
    assert_eq!(tree::slice(65793, [0, 65792], [65536, 300]), tiles("2/000.p/1 1/000 1/001.p/1 0/000 0/001 0/257.p/1"));
}

/// For a tree of this size, from the definition: how wide each tile is.
fn width(level: u8, index: u64, n: u64) -> u64 {
    (n >> (8 * level)).saturating_sub(index * 256).min(256)
}

#[test]
fn tiles_of_a_tree_are_as_wide_as_it_fills_them() {
    for n in SIZES.into_iter().chain([0, 71_999_284, i64::MAX as u64]) {
        for level in 0..=Tile::MAX_LEVEL {
            let last = (n >> (8 * level)) / 256;
            for index in [0, 1, last.saturating_sub(1), last, last + 1, u64::MAX] {
                let wide = if index > last { 0 } else { width(level, index, n) };
                let tile = tree::tile_of(level, index, n);
                assert_eq!(tile.map_or(0, |tile| u64::from(tile.width())), wide, "{level} {index} {n}");
                assert!(tile.is_none_or(|tile| (tile.level(), tile.index()) == (level, index)));
            }
        }
        assert_eq!(tree::tile_of(8, 0, n), None);
    }
}

#[test]
fn no_number_is_too_large() {
    for n in [0, 1, 1 << 56, 1 << 63, u64::MAX - 1, u64::MAX] {
        for index in [0, 1, 1 << 55, 1 << 56, 1 << 62, u64::MAX] {
            for height in [0, 7, 8, 55, 56, 63, 64, 255] {
                let subtree = Subtree { height, index };
                assert!(tree::chain(subtree, n).count() <= 8);
                assert!(subtree.run().0 + subtree.run().1 <= 256);
            }
            assert!(tree::own(index, n).count() <= 8);
            assert!(tree::decompose(index).count() <= 64);
            tree::slice(n, [index], [index, n]);
        }
    }
}

#[test]
fn nothing_is_carried_for_an_empty_tree_or_what_is_beyond_it() {
    assert!(tree::slice(0, [0, 1], [0, 1]).is_empty());
    assert_eq!(tree::slice(300, [300, u64::MAX], [301, u64::MAX]), tree::slice(300, [], []));
    assert_eq!(tree::slice(300, [], [0]), tree::slice(300, [], []));
}

proptest! {
    #![proptest_config(cases(400))]

    /// The subtrees lie side by side, each in the tile and the run that it says.
    #[test]
    fn subtrees_make_the_tree(n in any::<u64>().prop_flat_map(|n| (0..64_u32).prop_map(move |shift| n >> shift))) {
        let mut end = 0;
        for subtree in tree::decompose(n) {
            prop_assert_eq!(subtree.index << subtree.height, end);
            end += 1 << subtree.height;
            let ((level, index), (start, length)) = (subtree.place(), subtree.run());
            let first = (u128::from(index) * 256 + start as u128) << (8 * level);
            prop_assert_eq!(first, u128::from(subtree.index) << subtree.height);
            prop_assert_eq!((length as u128) << (8 * level), 1 << subtree.height);
            prop_assert!(tree::tile_of(level, index, n).is_some_and(|tile| usize::from(tile.width()) >= start + length));
        }
        prop_assert_eq!(end, n);
    }

    /// A chain goes up by one level, and ends at the first partial tile, which is of the frontier.
    #[test]
    fn chains_end_in_the_frontier(n in 1..i64::MAX as u64, id in any::<u64>()) {
        let id = id % n;
        let frontier: BTreeSet<Tile> = tree::own(n, n).collect();
        let chain: Vec<Tile> = tree::chain(Subtree::record(id), n).collect();
        for (level, tile) in chain.iter().enumerate() {
            prop_assert_eq!(usize::from(tile.level()), level);
            prop_assert_eq!(tile.index(), id.checked_shr(8 * (level as u32 + 1)).unwrap_or(0));
            prop_assert_eq!(tile.width() < 256, level + 1 == chain.len());
        }
        prop_assert!(frontier.contains(chain.last().unwrap()));
        prop_assert!(tree::decompose(n).all(|subtree| frontier.contains(&tree::chain(subtree, n).next().unwrap())));
    }
}

#[test]
fn a_range_of_heads_on_the_real_log_has_the_size_that_was_measured() {
    let tiles: BTreeSet<Tile> = tree::since(71_000_000, 71_999_284).collect();
    let level = |level| tiles.iter().filter(|tile| tile.level() == level && tile.width() == Tile::FULL_WIDTH).count();
    assert_eq!((level(0), level(1)), (3_904, 15));
    assert!(tree::since(300, 299).all(|tile| tile.index() <= 1));
    assert_eq!(tree::since(u64::MAX, u64::MAX).count(), 8);
}

proptest! {
    #![proptest_config(cases(300))]

    /// Whatever head of the range a client has: the slice for that head is in it.
    #[test]
    fn every_head_of_a_range_is_served(n in 1_u64..300_000, a in any::<u64>(), b in any::<u64>()) {
        let (s, m) = (a % (n + 1), b % (n + 1));
        let (s, m) = (s.min(m), s.max(m));
        let tiles: BTreeSet<Tile> = tree::since(s, n).collect();
        let wanted: BTreeSet<Tile> = tree::slice(n, [], [m]);
        prop_assert!(wanted.is_subset(&tiles), "{s} {m} {n}: {:?}", wanted.difference(&tiles).collect::<Vec<_>>());
        let in_tree = |tile: &Tile| tree::tile_of(tile.level(), tile.index(), n).is_some_and(|whole| tile.width() <= whole.width());
        prop_assert!(tiles.iter().all(in_tree));
    }
}
