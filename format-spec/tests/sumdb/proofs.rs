//! A slice of a genuine log proves what it carries, and each tile that is not as it should be is refused.

use crate::client::export;
use crate::naive_tree::NaiveTree;
use crate::{LOG, RECORDS, SIZES, cases};
use modferry_format::database::Tile;
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::prove::{Proven, Prover, consistent};
use modferry_format::sumdb::record::Record;
use modferry_format::sumdb::refused::{Refused, Unproven};
use modferry_format::sumdb::tree;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

pub(crate) type Files = BTreeMap<Tile, Vec<u8>>;

/// What a bundle carries of the checksum database.
#[derive(Clone)]
pub(crate) struct Bundle {
    pub(crate) head: Head,
    pub(crate) heads: Vec<Head>,
    pub(crate) records: Vec<Record>,
    pub(crate) files: Files,
}

impl Bundle {
    pub(crate) fn of(log: &NaiveTree, n: u64, ids: &BTreeSet<u64>, heads: &BTreeSet<u64>) -> Self {
        let tiles = tree::slice(n, ids.iter().copied(), heads.iter().copied());
        Self {
            head: log.head(n),
            heads: heads.iter().map(|&size| log.head(size)).collect(),
            records: ids.iter().map(|&id| log.record(id)).collect(),
            files: tiles.into_iter().map(|tile| (tile, log.tile(tile))).collect(),
        }
    }

    /// Proves it, with the tiles of a mirror behind its own.
    pub(crate) fn prove_in(&self, mirror: &Files) -> Result<Proven, Refused> {
        let mut prover = Prover::new(&self.head);
        for record in &self.records {
            prover.record(record)?;
        }
        for head in &self.heads {
            prover.served(head)?;
        }
        for &file in self.files.keys() {
            prover.file(file)?;
        }
        let mut asked = BTreeSet::new();
        let proven = prover.prove(|tile| {
            assert!(asked.insert(tile), "{tile} is asked for twice");
            Ok::<_, Infallible>(self.files.get(&tile).or_else(|| mirror.get(&tile)))
        });
        proven.map_err(refused)
    }

    pub(crate) fn prove(&self) -> Result<Proven, Refused> {
        self.prove_in(&Files::new())
    }
}

pub(crate) fn refused(unproven: Unproven<Infallible>) -> Refused {
    match unproven {
        Unproven::Refused(refused) => refused,
        Unproven::Unread { .. } => unreachable!("reading a map cannot fail"),
    }
}

/// Heads of the sizes in A10 and records at the ends.
fn at_the_edges() -> Vec<(u64, BTreeSet<u64>, BTreeSet<u64>)> {
    let export = |n: u64| {
        let heads = [n & !255, 255, 256, n - 1].into_iter().filter(|&head| head <= n);
        (n, [0, n / 2, n - 1].into(), heads.collect())
    };
    SIZES.into_iter().map(export).collect()
}

/// Breaks one file at a time, in every way, and says what was found; `None` where the break is proven all the same.
fn assert_every_break_is_refused(bundle: &Bundle, at: usize) {
    for (&tile, bytes) in &bundle.files {
        let found = |broken: Option<Vec<u8>>| {
            let mut files = bundle.files.clone();
            match broken {
                Some(broken) => _ = files.insert(tile, broken),
                None => _ = files.remove(&tile),
            }
            // The names are those of the whole bundle: a file that is gone is missed.
            let broken = Bundle { files, ..bundle.clone() };
            let mut prover = Prover::new(&broken.head);
            broken.records.iter().for_each(|record| prover.record(record).unwrap());
            broken.heads.iter().for_each(|head| prover.served(head).unwrap());
            bundle.files.keys().for_each(|&file| prover.file(file).unwrap());
            refused(prover.prove(|tile| Ok(broken.files.get(&tile))).unwrap_err())
        };
        let mut flipped = bytes.clone();
        let byte = at % bytes.len();
        flipped[byte] ^= 1;
        match found(Some(flipped)) {
            Refused::Frontier { tiles, .. } => assert!(tiles.contains(&tile)),
            Refused::ForgedTile { tile: at_fault, .. } | Refused::ForgedPrefix { tile: at_fault, .. } => {
                assert_eq!(at_fault, tile);
            }
            other => panic!("{tile}: {other}"),
        }
        assert_eq!(found(None), Refused::Missing { tile });
        for length in [0, 1, bytes.len() - 32, bytes.len() - 1] {
            let expected = Refused::Length { tile, bytes: length };
            assert_eq!(found(Some(bytes[..length].to_vec())), expected);
        }
        let longer = [&bytes[..], &[0; 32]].concat();
        assert_eq!(found(Some(longer)), Refused::Length { tile, bytes: bytes.len() + 32 });
    }
}

#[test]
fn slices_at_the_edges_prove_and_every_break_is_refused() {
    for (n, ids, heads) in at_the_edges() {
        let bundle = Bundle::of(&LOG, n, &ids, &heads);
        assert_eq!(bundle.prove().unwrap().files, bundle.files.len() as u64);
        for at in [0, 31, 32, 8191] {
            if n < 70_000 || at == 31 {
                assert_every_break_is_refused(&bundle, at);
            }
        }
    }
}

#[test]
fn every_byte_of_a_small_slice_counts() {
    let bundle = Bundle::of(&LOG, 259, &[1, 258].into(), &[3, 257].into());
    for tile in bundle.files.keys() {
        for byte in 0..bundle.files[tile].len() {
            let mut broken = bundle.clone();
            broken.files.get_mut(tile).unwrap()[byte] ^= 0x80;
            assert!(broken.prove().is_err(), "{tile}, byte {byte}");
        }
    }
}

#[test]
fn superseded_partial_tiles_are_compared() {
    let mut bundle = Bundle::of(&LOG, 65_793, &[0].into(), &BTreeSet::new());
    for name in ["tile/8/0/000.p/7", "tile/8/1/000.p/255", "tile/8/0/005.p/1", "tile/8/0/257.p/1"] {
        let tile: Tile = name.parse().unwrap();
        bundle.files.insert(tile, LOG.tile(tile));
    }
    let full = "tile/8/0/005".parse().unwrap();
    assert_eq!(bundle.prove(), Err(Refused::Missing { tile: full }));
    bundle.files.insert(full, LOG.tile(full));
    bundle.prove().unwrap();
    assert_every_break_is_refused(&bundle, 5);
}

#[test]
fn partial_tile_may_come_from_the_full_one_unless_it_is_claimed() {
    let bundle = Bundle::of(&LOG, 300, &[299].into(), &BTreeSet::new());
    let (open, full): (Tile, Tile) = ("tile/8/0/001.p/44".parse().unwrap(), "tile/8/0/001".parse().unwrap());
    let mut files = bundle.files.clone();
    files.remove(&open);
    files.insert(full, LOG.tile(full));
    let prove = |prover: Prover<'_>| prover.prove(|tile| Ok(files.get(&tile))).map_err(refused);
    let mut prover = Prover::new(&bundle.head);
    prover.record(&bundle.records[0]).unwrap();
    prove(prover).unwrap();
    let mut prover = Prover::new(&bundle.head);
    prover.file(open).unwrap();
    assert_eq!(prove(prover), Err(Refused::Missing { tile: open }));
    // The rest of the full tile is not of this tree.
    assert_eq!(Prover::new(&bundle.head).file(full), Err(Refused::NotInTree { tile: full, size: 300 }));
}

/// The tiles of a served head are needed, claimed as files or not.
#[test]
fn served_head_needs_its_own_frontier() {
    let bundle = Bundle::of(&LOG, 65_793, &BTreeSet::new(), &[65_540].into());
    let earlier = LOG.head(65_540);
    // The one was open at both, and the other has been completed.
    for name in ["tile/8/1/001.p/1", "tile/8/0/256"] {
        let own: Tile = name.parse().unwrap();
        let mut files = bundle.files.clone();
        let prove = |files: &Files, served: bool| {
            let mut prover = Prover::new(&bundle.head);
            if served { prover.served(&earlier) } else { prover.contains(&earlier) }.unwrap();
            prover.prove(|tile| Ok(files.get(&tile))).map_err(refused)
        };
        prove(&files, true).unwrap();
        files.get_mut(&own).unwrap()[0] ^= 1;
        assert!(prove(&files, true).is_err());
        files.remove(&own);
        assert_eq!(prove(&files, true), Err(Refused::Missing { tile: own }));
    }
    // Open at both and wider now: the narrow file is for the client alone.
    let (bundle, earlier) = (Bundle::of(&LOG, 290, &BTreeSet::new(), &[270].into()), LOG.head(270));
    let own: Tile = "tile/8/0/001.p/14".parse().unwrap();
    let mut files = bundle.files.clone();
    let mut prove = |change: fn(&mut Vec<u8>), gone: bool, served: bool| {
        files.insert(own, LOG.tile(own));
        files.entry(own).and_modify(change);
        if gone {
            files.remove(&own);
        }
        let mut prover = Prover::new(&bundle.head);
        if served { prover.served(&earlier) } else { prover.contains(&earlier) }.unwrap();
        prover.prove(|tile| Ok(files.get(&tile))).map_err(refused)
    };
    let of = "tile/8/0/001.p/34".parse().unwrap();
    prove(|_| (), false, true).unwrap();
    prove(|_| (), true, false).unwrap();
    assert_eq!(prove(|_| (), true, true), Err(Refused::Missing { tile: own }));
    assert_eq!(prove(|bytes| bytes[0] ^= 1, false, true), Err(Refused::ForgedPrefix { tile: own, of }));
}

#[test]
fn heads_are_consistent_in_any_order() {
    for (one, other) in [(0, 0), (0, 5), (5, 5), (255, 256), (300, 65_793), (65_536, 131_073), (131_072, 131_073)] {
        let files = Bundle::of(&LOG, other, &BTreeSet::new(), &[one].into()).files;
        let (one, other) = (LOG.head(one), LOG.head(other));
        consistent(&one, &other, |tile| Ok::<_, Infallible>(files.get(&tile))).unwrap();
        consistent(&other, &one, |tile| Ok::<_, Infallible>(files.get(&tile))).unwrap();
    }
}

/// A mirror closed at one head takes the next bundle, and an older bundle that comes late.
#[test]
fn bundles_are_proven_against_a_mirror() {
    let older = Bundle::of(&LOG, 65_700, &[5, 65_699].into(), &BTreeSet::new());
    let newer = Bundle::of(&LOG, 150_000, &[70_000, 149_999].into(), &[65_700].into());
    for (first, second) in [(&older, &newer), (&newer, &older)] {
        let mirror = &first.files;
        second.prove_in(mirror).unwrap();
        consistent(&first.head, &second.head, |tile| {
            Ok::<_, Infallible>(second.files.get(&tile).or_else(|| mirror.get(&tile)))
        })
        .unwrap();
    }
    let mut both = newer.clone();
    both.files.extend(older.files.clone());
    both.records.extend(older.records);
    both.prove().unwrap();
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn slices_prove((n, ids, heads) in export(RECORDS, 8, 4)) {
        let bundle = Bundle::of(&LOG, n, &ids, &heads);
        prop_assert_eq!(bundle.prove().unwrap().files, bundle.files.len() as u64);
    }
}

proptest! {
    #![proptest_config(cases(6))]

    #[test]
    fn every_break_is_refused((n, ids, heads) in export(RECORDS, 2, 2), at in 0..8192_usize) {
        assert_every_break_is_refused(&Bundle::of(&LOG, n, &ids, &heads), at);
    }
}
