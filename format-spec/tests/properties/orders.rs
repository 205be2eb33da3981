//! Orders are total orders, and what is derived from several versions does not depend on the order they come in.

use crate::strategies::*;
use modferry_format::manifest::Reader;
use modferry_format::{BundlePath, Version, versions};
use proptest::collection::vec;
use proptest::prelude::*;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt::Debug;

/// Reflexive, antisymmetric, transitive, and equal to none but itself.
fn assert_total_order<T: Ord + Debug>(values: &[T]) {
    for a in values {
        assert_eq!(a.cmp(a), Ordering::Equal, "{a:?}");
        for b in values {
            assert_eq!(a.cmp(b), b.cmp(a).reverse(), "{a:?} and {b:?}");
            assert_eq!(a.cmp(b) == Ordering::Equal, a == b, "{a:?} and {b:?}");
            for c in values {
                assert!(!(a <= b && b <= c) || a <= c, "{a:?}, {b:?} and {c:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn versions_are_ordered(versions in vec(version(), 3)) {
        assert_total_order(&versions);
    }

    #[test]
    fn near_versions_are_ordered(texts in vec("v1\\.0\\.0-[01aA-]{1,2}(\\.[01aA-]{1,2}){0,2}(\\+incompatible)?", 3)) {
        let versions: Vec<Version> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        assert_total_order(&versions);
    }

    #[test]
    fn paths_are_ordered(paths in vec(bundle_path(), 3)) {
        assert_total_order(&paths);
    }

    #[test]
    fn lines_and_heads_are_ordered(lines in vec(line(), 3), heads in vec(head(), 3)) {
        assert_total_order(&lines);
        assert_total_order(&heads);
    }

    /// The order of a manifest: the checksum database, then the rest, each by bytes.
    #[test]
    fn manifest_order_puts_the_database_first(paths in vec(bundle_path(), 0..12)) {
        let mut sorted = paths.clone();
        sorted.sort();
        let texts = |paths: &[BundlePath]| paths.iter().map(ToString::to_string).collect::<Vec<String>>();
        let (mut database, mut rest): (Vec<String>, Vec<String>) =
            texts(&paths).into_iter().partition(|path| path.starts_with(BundlePath::SUMDB_PREFIX));
        database.sort();
        rest.sort();
        database.append(&mut rest);
        prop_assert_eq!(texts(&sorted), database);
    }

    /// A reader takes entries in the order of their paths and in no other.
    #[test]
    fn reader_takes_ascending_entries_only(entries in vec(entry(), 2)) {
        let mut reader = Reader::default();
        let mut read = |index: usize| {
            let (sums, sizes) = (entries[index].sums_line(), entries[index].sizes_line());
            reader.entry(sums.trim_end(), sizes.trim_end())
        };
        prop_assert!(read(0).is_ok());
        let second = read(1);
        let below = entries[1].path.to_string().starts_with(&format!("{}/", entries[0].path));
        prop_assert_eq!(second.is_ok(), entries[0].path < entries[1].path && !below);
    }

    #[test]
    fn list_and_latest_do_not_depend_on_the_order(
        shuffled in vec(version(), 0..8).prop_flat_map(|versions| {
            let set: BTreeSet<Version> = versions.into_iter().collect();
            Just(set.into_iter().collect::<Vec<_>>()).prop_shuffle()
        }),
    ) {
        let sorted: BTreeSet<&Version> = shuffled.iter().collect();
        prop_assert_eq!(versions::list(&shuffled), versions::list(sorted.iter().copied()));
        prop_assert_eq!(versions::latest(&shuffled), versions::latest(sorted.iter().copied()));
        prop_assert_eq!(versions::latest(&shuffled).is_none(), shuffled.is_empty());
        // What list names is what was given, but for pseudo-versions, and ascends.
        let listed = versions::list(&shuffled);
        let listed: Vec<Version> = listed.split_whitespace().map(|text| text.parse().unwrap()).collect();
        let tagged: Vec<Version> = sorted.into_iter().filter(|version| !version.is_pseudo()).cloned().collect();
        prop_assert_eq!(listed, tagged);
    }
}
