//! Bundles of one log in any order: whatever a mirror has taken, no client misses a tile.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

mod taking;

use modferry::error::ErrorKind;
use modferry_format::BundlePath;
use modferry_format::database::Tile;
use modferry_format::sumdb::client;
use modferry_format::sumdb::record::Lookup;
use modferry_harness::database::{self, Log};
use modferry_harness::module::Module;
use modferry_harness::synthetic_bundle;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use taking::take;
use walkdir::WalkDir;

/// Histories that are played.
const HISTORIES: u64 = 40;
/// Records of the log at its end: three levels of hashes, and widths that are no multiple of anything.
const SIZE: u64 = 66_000;

/// Numbers that look random, the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// The log with its modules, spread over it.
fn log() -> (Log, Vec<(u64, Module)>) {
    let (mut log, mut modules) = (Log::default(), Vec::new());
    for number in 0..30_u64 {
        log.grow(number * number * 70 + number * 40 + 1, "");
        let text = format!("example.com/m{number}@v1.0.0");
        let go_mod = format!("module example.com/m{number}\n");
        let module = Module::new(&text).unwrap().file("go.mod", go_mod).file("p.go", "package p\n");
        modules.push((log.add(&module).unwrap(), module));
    }
    log.grow(SIZE, "");
    (log, modules)
}

/// What clients read of a mirror: nothing may be missing, whichever head they have stored.
fn every_client_is_served(mirror: &Path, place: &str) {
    let database = mirror.join("download/sumdb").join(database::NAME);
    let mut lookups = Vec::new();
    for entry in WalkDir::new(database.join("lookup")).into_iter().flatten().filter(|entry| entry.file_type().is_file())
    {
        let path = entry.path().strip_prefix(mirror).unwrap().to_str().unwrap();
        let Ok(BundlePath::Lookup(_, version)) = path.parse() else { panic!("{path}") };
        let lookup = Lookup::parse(&fs::read(entry.path()).unwrap(), &version).unwrap();
        let head = lookup.head(&Log::default().verifier().unwrap()).unwrap();
        lookups.push((lookup.record.id, head.size()));
    }
    let ledger = fs::read_to_string(mirror.join("ledger/sumdb").join(database::NAME).join("@heads")).unwrap();
    let size = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["size"].as_u64().unwrap();
    let heads: BTreeSet<u64> = ledger.lines().map(size).collect();
    let newest = fs::read_to_string(database.join("latest")).unwrap();
    assert_eq!(newest.lines().nth(1), Some(heads.last().unwrap().to_string().as_str()), "{place}");
    assert!(lookups.iter().all(|(_, head)| heads.contains(head)), "{place}");
    let has = |tile: Tile| database.join(tile.to_string()).is_file();
    // In the order of the files, and the other way round: which head a client meets first is chance.
    for _ in 0..2 {
        let reads = client::reads(&heads, &lookups, has).unwrap();
        assert!(reads.missing.is_empty(), "{place}: {:?}", reads.missing);
        lookups.reverse();
    }
}

#[test]
fn bundles_join_in_any_order_and_every_client_is_served() {
    let (log, modules) = log();
    let (mut bridges, mut plain) = (0, 0);
    for seed in 0..HISTORIES {
        let mut numbers = Numbers(seed);
        let directory = tempfile::tempdir().unwrap();
        let mut sizes: BTreeSet<u64> = BTreeSet::new();
        let mut bundles: Vec<(u64, PathBuf)> = Vec::new();
        for number in 0..2 + numbers.below(4) {
            // Now and then at an edge, now and then at a head that is there already.
            let size = match numbers.below(6) {
                0 => 256 * (1 + numbers.below(SIZE / 256)),
                1 => 65_536,
                2 => sizes.first().copied().unwrap_or(SIZE),
                _ => 2_000 + numbers.below(SIZE - 2_000),
            };
            let is_knowing = numbers.below(2) == 0;
            let served: Vec<u64> = sizes.iter().copied().filter(|&known| is_knowing && known < size).collect();
            let picked: Vec<Module> = modules
                .iter()
                .filter(|(id, _)| *id < size && numbers.below(5) == 0)
                .map(|(_, module)| module.clone())
                .collect();
            let path = directory.path().join(number.to_string());
            synthetic_bundle::write_with_log(&path, &picked, &log, size, &served).unwrap();
            sizes.insert(size);
            bundles.push((size, path));
        }
        let mirror = directory.path().join("mirror");
        while !bundles.is_empty() {
            let (size, bundle) = bundles.remove(numbers.below(bundles.len() as u64) as usize);
            let place = format!("history {seed}, bundle {} at {size}", bundle.display());
            match take(&bundle, &mirror, None) {
                Ok(_) => plain += 1,
                Err(error) if error.kind == ErrorKind::NeedsBridge => {
                    let ends: Vec<u64> =
                        error.message.split(' ').rev().take(2).map(|text| text.parse().unwrap()).collect();
                    assert!(ends.contains(&size), "{place}: {}", error.message);
                    let ends: Vec<u64> = ends.into_iter().rev().filter(|&end| end < SIZE).collect();
                    every_client_is_served(&mirror, &place);
                    let bridge = directory.path().join(format!("bridge-{bridges}"));
                    // Outside, the log has grown since.
                    synthetic_bundle::write_with_log(&bridge, &[], &log, SIZE, &ends).unwrap();
                    take(&bridge, &mirror, None).unwrap_or_else(|error| panic!("{place}: the bridge: {error:?}"));
                    every_client_is_served(&mirror, &place);
                    take(&bundle, &mirror, None).unwrap_or_else(|error| panic!("{place}: after the bridge: {error:?}"));
                    bridges += 1;
                }
                Err(error) => panic!("{place}: {error:?}"),
            }
            every_client_is_served(&mirror, &place);
        }
    }
    assert!(bridges > 20 && plain > 20, "{bridges} bridges, {plain} without");
}
