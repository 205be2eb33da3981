//! A slice is what clients read: nothing less, and for one export nothing more.

use crate::{SIZES, cases};
use modferry_format::database::Tile;
use modferry_format::sumdb::client::{BeyondHead, Client, Reads, reads};
use modferry_format::sumdb::tree;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Sizes of trees: the ones at which tiles begin and end, and any.
pub(crate) fn size(most: u64) -> impl Strategy<Value = u64> {
    let sizes: Vec<u64> = SIZES.into_iter().filter(|&size| size <= most).collect();
    prop_oneof![
        1 => proptest::sample::select(sizes),
        3 => (1..=most, 0..40_u32).prop_map(|(size, shift)| (size >> shift).max(1)),
        3 => 1..=most,
    ]
}

/// A size, records and earlier heads within it.
pub(crate) fn export(
    most: u64,
    records: usize,
    heads: usize,
) -> impl Strategy<Value = (u64, BTreeSet<u64>, BTreeSet<u64>)> {
    use proptest::collection::vec;
    (size(most), vec(any::<u64>(), 1..=records), vec(any::<u64>(), 0..=heads)).prop_map(|(n, ids, heads)| {
        let heads = heads.iter().map(|head| match head % 8 {
            0 => n & !255,
            1 => 255.min(n),
            2 => 256.min(n),
            3 => n,
            4 => n & !65535,
            _ => head / 8 % (n + 1),
        });
        (n, ids.iter().map(|id| id % n).collect(), heads.collect())
    })
}

fn all_reads(n: u64, ids: &BTreeSet<u64>, heads: &BTreeSet<u64>, tiles: &BTreeSet<Tile>) -> Reads {
    let lookups: Vec<(u64, u64)> = ids.iter().map(|&id| (id, n)).collect();
    reads(heads, &lookups, |tile| tiles.contains(&tile)).unwrap()
}

fn assert_exact(n: u64, ids: &BTreeSet<u64>, heads: &BTreeSet<u64>) {
    let slice = tree::slice(n, ids.iter().copied(), heads.iter().copied());
    assert_eq!(all_reads(n, ids, heads, &slice), Reads { used: slice, missing: BTreeSet::new() });
}

#[test]
fn slices_at_the_sizes_where_tiles_begin_are_what_clients_read() {
    for n in SIZES {
        for ids in [&[0, n - 1][..], &[n / 2]] {
            for heads in [&[][..], &[n & !255], &[255], &[256], &[n], &[0], &[n & !255, 255, 256, n / 3, n - 1]] {
                let heads = heads.iter().copied().filter(|&head| head <= n).collect();
                assert_exact(n, &ids.iter().copied().collect(), &heads);
            }
        }
    }
}

#[test]
fn real_slice_is_what_clients_read() {
    let (ids, heads) = ([48_288_060].into(), [66_398_721].into());
    assert_exact(71_999_284, &ids, &heads);
    let slice = tree::slice(71_999_284, ids.iter().copied(), heads.iter().copied());
    for tile in &slice {
        let mut less = slice.clone();
        less.remove(tile);
        // At another width, if it is the tile that was open at the earlier head.
        let missing = all_reads(71_999_284, &ids, &heads, &less).missing;
        let place = |tile: &Tile| (tile.level(), tile.index());
        assert!(!missing.is_empty() && missing.iter().all(|found| place(found) == place(tile)), "{tile}: {missing:?}");
    }
}

/// A lookup with another genuine head than those that the slice was made for.
#[test]
fn lookup_with_an_older_head_lacks_tiles() {
    let slice = tree::slice(71_999_284, [48_288_060], []);
    let reads = reads(&BTreeSet::new(), &[(48_288_060, 66_398_721)], |tile| slice.contains(&tile)).unwrap();
    assert!(reads.missing.contains(&"tile/8/3/000.p/3".parse().unwrap()));
}

/// Whoever meets the newer head first never sees the older tree from inside; only who meets it last does.
#[test]
fn the_order_of_lookups_decides_what_is_read() {
    let (older, newer) = ((3, 70_000), (69_999, 71_000));
    let used = |lookups: &[(u64, u64)]| reads(&BTreeSet::new(), lookups, |_| true).unwrap().used;
    let (ascending, descending) = (used(&[older, newer]), used(&[newer, older]));
    let open_at_the_older: Tile = "tile/8/0/273.p/112".parse().unwrap();
    assert!(ascending.contains(&open_at_the_older) && !descending.contains(&open_at_the_older));
}

#[test]
fn records_beyond_the_head_are_named() {
    let mut client = Client::start(0, BTreeSet::new(), |_| true);
    assert_eq!(client.lookup(300, 300), Err(BeyondHead { id: 300, size: 300 }));
    assert_eq!(client.lookup(299, 300), Ok(()));
    // A newer head that the client has stored will do, whatever the lookup carries.
    assert_eq!(Client::start(301, BTreeSet::new(), |_| true).lookup(300, 299), Ok(()));
    assert_eq!(reads(&BTreeSet::new(), &[(5, 5)], |_| true), Err(BeyondHead { id: 5, size: 5 }));
    assert_eq!(reads(&BTreeSet::new(), &[(11, 10), (5, 10)], |_| true), Err(BeyondHead { id: 11, size: 10 }));
    assert_eq!(reads(&BTreeSet::new(), &[(5, 10), (11, 10)], |_| true), Err(BeyondHead { id: 11, size: 10 }));
    assert_eq!(Client::start(0, BTreeSet::new(), |_| true).lookup(0, 0), Err(BeyondHead { id: 0, size: 0 }));
}

#[test]
fn no_size_makes_the_model_fall_over() {
    for size in [0, 1, 1 << 56, 1 << 63, u64::MAX] {
        for id in [0, 1 << 56, u64::MAX] {
            let mut client = Client::start(size, BTreeSet::new(), |_| true);
            let _ = client.lookup(id, u64::MAX);
            let _ = client.lookup(id, 1);
        }
    }
}

#[test]
fn a_cached_tile_is_not_read_again() {
    let mut first = Client::start(0, BTreeSet::new(), |_| true);
    first.lookup(70_000, 71_999_284).unwrap();
    let mut second = Client::start(71_999_284, first.cache().clone(), |_| false);
    second.lookup(70_001, 71_999_284).unwrap();
    assert_eq!((second.used().len(), second.missing().len()), (0, 0));
    // A full tile in the cache serves for its beginning.
    let mut third = Client::start(0, [Tile::new(0, 0, 256).unwrap()].into(), |_| false);
    third.lookup(3, 10).unwrap();
    assert!(third.missing().is_empty());
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn slices_are_what_clients_read((n, ids, heads) in export(300_000, 12, 4)) {
        assert_exact(n, &ids, &heads);
    }

    #[test]
    fn slices_of_large_trees_are_what_clients_read((n, ids, heads) in export(i64::MAX as u64, 12, 4)) {
        assert_exact(n, &ids, &heads);
    }

    /// Whatever the cache has lost, in whatever order the lookups come.
    #[test]
    fn states_between_need_nothing_else(
        (n, ids, heads) in export(80_000_000, 8, 3),
        order in any::<u64>(),
        kept in proptest::collection::vec(any::<bool>(), 8),
    ) {
        let slice = tree::slice(n, ids.iter().copied(), heads.iter().copied());
        let has = |tile: Tile| slice.contains(&tile);
        for &head in heads.iter().chain([&0]) {
            let cached = Client::start(head, BTreeSet::new(), has).cache().clone();
            let cache = cached.into_iter().zip(kept.iter().cycle()).filter_map(|(tile, kept)| kept.then_some(tile));
            let mut client = Client::start(head, cache.collect(), has);
            let mut lookups: Vec<u64> = ids.iter().copied().collect();
            lookups.sort_by_key(|id| id.wrapping_mul(order | 1));
            for id in lookups {
                client.lookup(id, n).unwrap();
            }
            prop_assert_eq!(client.missing(), &BTreeSet::new());
        }
    }
}
