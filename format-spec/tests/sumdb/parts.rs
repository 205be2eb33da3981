//! The part of a database that a bundle carries: what a check keeps of it, what it can prove without the far side, and
//! how a refusal becomes a finding. Whole bundles are judged in `vectors/check/database-*.txt`.

use crate::client::export;
use crate::naive_tree::{self, NAME};
use crate::proofs::{Bundle, Files};
use crate::{LOG, RECORDS, cases};
use modferry_format::check::{self, Checker};
use modferry_format::database::Tile;
use modferry_format::header::{Counts, DRAFT, Database, FORMAT, Header};
use modferry_format::sumdb::hash::TreeHash;
use modferry_format::sumdb::refused::{Refused, Unproven};
use modferry_format::sumdb::tree;
use modferry_format::{BundlePath, Finding, FindingKind, H1};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::convert::Infallible;

fn header(bundle: &Bundle) -> Header {
    let served = bundle.heads.iter().map(|head| head.note().to_owned()).collect();
    let key = naive_tree::key().to_string();
    Header {
        format: FORMAT,
        requires_features: Vec::new(),
        draft: DRAFT,
        channel: String::new(),
        created: String::new(),
        tool: String::new(),
        go: String::new(),
        roots: Vec::new(),
        base: vec![String::new()],
        without_record: Vec::new(),
        databases: vec![Database { key, head: bundle.head.note().to_owned(), served }],
        observations: Vec::new(),
        not_carried: Vec::new(),
        counts: Counts::default(),
        bytes: 0,
        levels: Vec::new(),
        closure: Vec::new(),
    }
}

/// Shows a check the lookups and the tiles with these names.
fn checker<'h>(bundle: &Bundle, header: &'h Header, tiles: &BTreeSet<Tile>) -> Checker<'h> {
    let name = naive_tree::key().name().clone();
    let mut checker = Checker::new(header);
    for record in &bundle.records {
        let lookup = format!("{}\n{}\n{}", record.id, record.text(), bundle.head.note());
        let path = BundlePath::Lookup(name.clone(), record.module.clone());
        checker.file(&path, lookup.len() as u64, Some(lookup.as_bytes()));
    }
    for tile in tiles {
        checker.file(&BundlePath::Tile(name.clone(), *tile), u64::from(tile.width()) * 32, None);
    }
    checker
}

fn prove_alone(bundle: &Bundle, files: &Files) -> Result<u64, Unproven<Infallible>> {
    let header = header(bundle);
    let checker = checker(bundle, &header, &files.keys().copied().collect());
    let part = checker.databases().parts().next().unwrap();
    part.prove_alone(|tile| Ok(files.get(&tile)))
}

proptest! {
    #![proptest_config(cases(60))]

    /// Whatever the far side has, genuine tiles are not refused; and with all of them nothing is left.
    #[test]
    fn genuine_tiles_prove_without_the_far_side(
        (n, ids, heads) in export(RECORDS, 6, 3),
        kept in proptest::collection::vec(proptest::bool::weighted(0.8), 16),
    ) {
        // The sizes that a bundle may serve, and one record a module.
        let heads = heads.into_iter().filter(|&head| head > 0 && head < n).collect();
        let bundle = Bundle::of(&LOG, n, &ids, &heads);
        prop_assert_eq!(prove_alone(&bundle, &bundle.files), Ok(0));
        let mut files = bundle.files.clone();
        let mut kept = kept.iter().cycle();
        files.retain(|_, _| *kept.next().unwrap());
        let left = prove_alone(&bundle, &files).unwrap();
        let all = bundle.records.len() + bundle.heads.len() + files.len();
        prop_assert!(left <= all as u64);
        prop_assert_eq!(left == 0, files.len() == bundle.files.len() || misses_nothing(&bundle, &files));
    }

    /// A tile whose chain is in the bundle is proven, with or without a base.
    #[test]
    fn forged_tiles_are_found_without_the_far_side((n, ids, heads) in export(RECORDS, 3, 1), at in any::<usize>()) {
        let heads = heads.into_iter().filter(|&head| head > 0 && head < n).collect();
        let bundle = Bundle::of(&LOG, n, &ids, &heads);
        let mut files = bundle.files.clone();
        let tile = *files.keys().nth(at % files.len()).unwrap();
        files.get_mut(&tile).unwrap()[at % 32] ^= 1;
        prop_assert!(prove_alone(&bundle, &files).is_err(), "{}", tile);
    }
}

/// Whether what is in the files is a slice for all that is claimed: the rest was for nothing that is claimed.
fn misses_nothing(bundle: &Bundle, files: &Files) -> bool {
    let n = bundle.head.size();
    let needed =
        tree::slice(n, bundle.records.iter().map(|record| record.id), bundle.heads.iter().map(|head| head.size()));
    needed.iter().all(|tile| files.contains_key(tile))
}

/// The number of a tile's first hash need not be one of 64 bits.
#[test]
fn tiles_beyond_the_tree_are_found_by_name() {
    let bundle = Bundle::of(&LOG, 300, &[3].into(), &BTreeSet::new());
    let header = header(&bundle);
    for (level, index, width) in [(0, i64::MAX as u64, 256), (7, i64::MAX as u64, 1), (0, 2, 1), (0, 1, 45), (1, 0, 2)]
    {
        let tile = Tile::new(level, index, width).unwrap();
        let tiles = bundle.files.keys().copied().chain([tile]).collect();
        let checker = checker(&bundle, &header, &tiles);
        let part = checker.databases().parts().next().unwrap();
        assert!(!part.tiles().contains(&tile), "{tile}");
        assert_eq!(part.prove_alone(|tile| Ok::<_, Infallible>(bundle.files.get(&tile))), Ok(0));
        let subject = format!("download/sumdb/{NAME}/{tile}");
        let found = |finding: &Finding| finding.subject == subject && finding.kind == FindingKind::Tile;
        assert_eq!(checker.finish().iter().filter(|finding| found(finding)).count(), 1, "{tile}");
    }
}

#[test]
fn zip_and_go_mod_are_compared_with_their_record() {
    let bundle = Bundle::of(&LOG, 300, &[3].into(), &BTreeSet::new());
    let header = header(&bundle);
    let checker = checker(&bundle, &header, &BTreeSet::new());
    let (record, other) = (&bundle.records[0], LOG.record(4).module);
    let (zip, go_mod) = (BundlePath::Zip(record.module.clone()), BundlePath::Mod(record.module.clone()));
    assert_eq!(checker.databases().h1(&zip), Some(record.zip));
    assert_eq!(checker.databases().h1(&go_mod), Some(record.go_mod));
    assert_eq!(checker.databases().h1(&BundlePath::Info(record.module.clone())), None);
    assert_eq!(checker.databases().h1(&BundlePath::Zip(other)), None);
    let found = H1::of_go_mod(b"module evil");
    for (path, stated, name) in
        [(zip, record.zip, "example.com/m3 v1.0.0"), (go_mod, record.go_mod, "example.com/m3 v1.0.0/go.mod")]
    {
        let finding = check::contradiction(&path, found, stated);
        assert_eq!((finding.kind, finding.subject), (FindingKind::RecordMismatch, path.to_string()));
        let detail = format!("has {found}, the checksum database says {stated} of {name}");
        assert_eq!(finding.detail, detail);
    }
}

#[test]
fn a_refusal_is_a_finding_about_the_file_at_fault() {
    let tile: Tile = "tile/8/0/002".parse().unwrap();
    let open: Tile = "tile/8/1/000.p/3".parse().unwrap();
    let module = LOG.record(7).module;
    let (older, newer) = (Box::new(LOG.head(3)), Box::new(LOG.head(9)));
    let (tile_file, lookup) = (tile.to_string(), "lookup/example.com/m7@v1.0.0".to_owned());
    let head = || "latest".to_owned();
    for (refused, kind, file) in [
        (Refused::BeyondHead { module: module.clone(), id: 7, size: 5 }, FindingKind::Lookup, lookup.clone()),
        (Refused::ForgedRecord { module, id: 7 }, FindingKind::Lookup, lookup),
        (Refused::NewerHead { size: 9, of: 3 }, FindingKind::TreeHead, head()),
        (Refused::Fork { older, newer, root: TreeHash::empty() }, FindingKind::Fork, head()),
        (Refused::Frontier { size: 0, tiles: vec![] }, FindingKind::Tile, head()),
        (Refused::Frontier { size: 768, tiles: vec![open] }, FindingKind::Tile, open.to_string()),
        (Refused::Frontier { size: 770, tiles: vec![open, tile] }, FindingKind::Tile, head()),
        (Refused::Missing { tile }, FindingKind::Tile, tile_file.clone()),
        (Refused::Length { tile, bytes: 1 }, FindingKind::Tile, tile_file.clone()),
        (Refused::ForgedTile { tile, parent: open }, FindingKind::Tile, tile_file.clone()),
        (Refused::ForgedPrefix { tile, of: open }, FindingKind::Tile, tile_file.clone()),
        (Refused::NotInTree { tile, size: 5 }, FindingKind::Tile, tile_file),
    ] {
        let finding = check::finding(naive_tree::key().name(), &refused);
        assert_eq!((finding.kind, finding.subject), (kind, format!("download/sumdb/{NAME}/{file}")));
        assert_eq!(finding.detail, refused.to_string());
    }
}
