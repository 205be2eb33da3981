//! Bundles of one log in any order: whatever a mirror has taken, no client misses a tile.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

// Of the model of crashes, only what stops an import is used here.
#[allow(dead_code)]
mod crash;
mod taking;

use crash::{Recorder, Stopper};
use modferry::carrier::{Carrier, Delivered, Directory, What};
use modferry::error::{ErrorKind, Result};
use modferry::import::waiting;
use modferry::source::Source;
use modferry_format::BundlePath;
use modferry_format::database::Tile;
use modferry_format::sumdb::client;
use modferry_format::sumdb::record::Lookup;
use modferry_harness::database::{self, Log};
use modferry_harness::module::Module;
use modferry_harness::synthetic_bundle;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io, thread};
use taking::{take, take_from};
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
    // Which head a client meets first is chance: the oldest, the newest, now this now that.
    lookups.sort_by_key(|(id, head)| (*head, *id));
    let mut orders = vec![lookups.clone(), lookups.iter().rev().copied().collect()];
    lookups.sort_by_key(|(id, head)| (id ^ head).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    orders.push(lookups);
    // By turns: each takes seconds over all histories.
    let lookups = &orders[(heads.len() + orders[0].len()) % orders.len()];
    let reads = client::reads(&heads, lookups, has).unwrap();
    assert!(reads.missing.is_empty(), "{place}: {:?}", reads.missing);
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

/// A small log with a module at each of a few places, and the module with this number.
fn small() -> (Log, impl Fn(u64) -> Module) {
    let module = |number: u64| {
        let go_mod = format!("module example.com/s{number}\n");
        let text = format!("example.com/s{number}@v1.0.0");
        Module::new(&text).unwrap().file("go.mod", go_mod).file("p.go", "package p\n")
    };
    let mut log = Log::default();
    for number in 0..6 {
        log.grow(number * 200 + 7, "");
        log.add(&module(number)).unwrap();
    }
    log.grow(1_300, "");
    (log, module)
}

#[test]
fn a_record_and_what_came_without_one_are_held_to_each_other() {
    let (log, module) = small();
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    let forged = Module::new("example.com/s0@v1.0.0").unwrap();
    let forged = forged.file("go.mod", "module example.com/s0\n").file("p.go", "package p // forged\n");
    synthetic_bundle::write(&place("forged"), &[forged]).unwrap();
    synthetic_bundle::write_with_log(&place("genuine"), &[module(0)], &log, 400, &[]).unwrap();
    // The record alone, as a version that is only in a graph has it.
    synthetic_bundle::write_with_log(&place("record"), &[module(0)], &log, 400, &[]).unwrap();
    let zip = place("record").join("download/example.com/s0/@v/v1.0.0.zip");
    fs::remove_file(&zip).unwrap();
    fs::remove_file(zip.with_file_name("list")).unwrap();
    fs::remove_file(place("record").join("download/example.com/s0/@latest")).unwrap();
    modferry_harness::reseal::reseal(&place("record"), modferry_harness::reseal::Reseal::Everything).unwrap();

    take(&place("forged"), &place("m1"), None).unwrap();
    for later in ["record", "genuine"] {
        let error = take(&place(later), &place("m1"), None).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Incident, "{later}: {error:?}");
        assert!(!place("m1").join("download/sumdb").join(database::NAME).join("lookup").exists(), "{later}");
    }
    for first in ["record", "genuine"] {
        let mirror = place(&format!("m-{first}"));
        take(&place(first), &mirror, None).unwrap();
        let error = take(&place("forged"), &mirror, None).unwrap_err();
        assert_eq!(error.kind.exit_code(), 1, "{first}: {error:?}");
    }
    take(&place("record"), &place("m2"), None).unwrap();
    take(&place("genuine"), &place("m2"), None).unwrap();
    every_client_is_served(&place("m2"), "the zip after its record");
}

/// Its record alone does not make a lookup: a client wants a head that the database has signed.
#[test]
fn a_published_lookup_without_a_head_is_damage() {
    let (log, module) = small();
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    synthetic_bundle::write_with_log(&place("first"), &[module(0)], &log, 600, &[]).unwrap();
    synthetic_bundle::write_with_log(&place("second"), &[module(1)], &log, 600, &[]).unwrap();
    let lookup = format!("download/sumdb/{}/lookup/example.com/s1@v1.0.0", database::NAME);
    let genuine = std::fs::read_to_string(place("second").join(&lookup)).unwrap();
    let (record, note) = genuine.split_once("\n\n").unwrap();
    for (number, other) in
        [format!("{record}\n\njunk\n"), format!("{record}\n\n{}", note.replace('A', "B"))].iter().enumerate()
    {
        assert_ne!(*other, genuine);
        // There before its bundle, and damaged after it.
        let mirror = place(&format!("mirror-{number}"));
        take(&place("first"), &mirror, None).unwrap();
        std::fs::create_dir_all(mirror.join(&lookup).parent().unwrap()).unwrap();
        std::fs::write(mirror.join(&lookup), other).unwrap();
        let error = take(&place("second"), &mirror, None).unwrap_err();
        assert_eq!(error.kind, ErrorKind::MirrorDamaged, "{other:?}: {error:?}");
        std::fs::remove_file(mirror.join(&lookup)).unwrap();
        take(&place("second"), &mirror, None).unwrap();
    }
    let mirror = place("mirror-0");
    std::fs::remove_file(mirror.join(&lookup)).unwrap();
    std::fs::write(mirror.join(&lookup), format!("{record}\n\njunk\n")).unwrap();
    let error = take(&place("second"), &mirror, None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::MirrorDamaged, "{error:?}");
}

/// Every file of a checksum database in a mirror is damaged once; whatever comes then, nobody is accused of a fork.
#[test]
fn a_damaged_mirror_is_not_taken_for_a_fork() {
    let (log, module) = small();
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    synthetic_bundle::write_with_log(&place("older"), &[module(0), module(1)], &log, 600, &[]).unwrap();
    synthetic_bundle::write_with_log(&place("newer"), &[module(0), module(4)], &log, 1_100, &[600]).unwrap();
    let (mut blamed, mut contradicted) = (0, 0);
    for (first, then) in [("older", "newer"), ("newer", "older")] {
        let mirror = place(&format!("{first}-first"));
        take(&place(first), &mirror, None).unwrap();
        let files: Vec<PathBuf> = WalkDir::new(mirror.join("download/sumdb"))
            .into_iter()
            .flatten()
            .filter(|entry| {
                entry.file_type().is_file() && !["latest", "supported"].iter().any(|name| entry.path().ends_with(name))
            })
            .map(walkdir::DirEntry::into_path)
            .collect();
        for (number, file) in files.iter().enumerate() {
            let damaged = place(&format!("{first}-{number}"));
            // The same import each time, as nothing of it may stay.
            take(&place(first), &damaged, None).unwrap();
            let file = damaged.join(file.strip_prefix(&mirror).unwrap());
            let genuine = fs::read(&file).unwrap();
            let mut bytes = genuine.clone();
            bytes[0] ^= 1;
            fs::remove_file(&file).unwrap();
            fs::write(&file, &bytes).unwrap();
            match take(&place(then), &damaged, None) {
                // Not needed for what comes; `verify` finds it.
                Ok(_) => continue,
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::MirrorDamaged, "{}: {error:?}", file.display());
                    blamed += usize::from(error.message.contains("a file of the checksum database"));
                    contradicted += usize::from(error.message.contains(&file.display().to_string()));
                }
            }
            assert!(!damaged.join("quarantine").read_dir().is_ok_and(|mut entries| entries.next().is_some()));
            fs::write(&file, &genuine).unwrap();
            take(&place(then), &damaged, None).unwrap_or_else(|error| panic!("{}: {error:?}", file.display()));
            every_client_is_served(&damaged, &file.display().to_string());
        }
    }
    assert!(blamed > 0 && contradicted > 0, "{blamed} by their own head, {contradicted} by the other's");
}

/// Another log with the key of the small one, and its first modules.
fn forked(module: &impl Fn(u64) -> Module) -> Log {
    let mut other = Log::default();
    for number in 0..3 {
        other.grow(number * 200 + 7, "");
        other.add(&module(number)).unwrap();
    }
    other.grow(2_000, "fork");
    other
}

/// A bundle of another log under the same key, larger and smaller than what the mirror has, is a fork with its evidence.
#[test]
fn a_fork_of_any_size_is_found_and_kept() {
    let (log, module) = small();
    let other = forked(&module);
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    synthetic_bundle::write_with_log(&place("mirror's"), &[module(0), module(4)], &log, 1_100, &[]).unwrap();
    for (number, (size, served)) in
        [(1_100, vec![]), (1_300, vec![1_100]), (1_999, vec![900, 1_100])].into_iter().enumerate()
    {
        let bundle = place(&format!("fork-{number}"));
        synthetic_bundle::write_with_log(&bundle, &[module(1)], &other, size, &served).unwrap();
        let mirror = place(&format!("mirror-{number}"));
        take(&place("mirror's"), &mirror, None).unwrap();
        let error = take(&bundle, &mirror, None).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Fork, "{size}: {error:?}");
        let kept: Vec<_> = mirror.join("quarantine").read_dir().unwrap().flatten().collect();
        let [kept] = &kept[..] else { panic!("{size}: {kept:?}") };
        let text = fs::read_to_string(kept.path()).unwrap();
        assert!(text.contains(&log.note(1_100)) && text.contains(&other.note(size)), "{size}: {text}");
        assert!(!mirror.join("download/example.com/s1").exists(), "{size}");
    }
}

#[test]
fn after_a_killed_import_the_next_bundle_is_joined_to_what_it_left() {
    let (log, module) = small();
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    synthetic_bundle::write_with_log(&place("base"), &[module(0)], &log, 300, &[]).unwrap();
    synthetic_bundle::write_with_log(&place("killed"), &[module(1), module(2)], &log, 600, &[300]).unwrap();
    synthetic_bundle::write_with_log(&place("next"), &[module(1), module(4)], &log, 1_100, &[300]).unwrap();
    let recorder = Recorder::default();
    take(&place("base"), &place("whole"), None).unwrap();
    take(&place("killed"), &place("whole"), Some(&recorder)).unwrap();
    let steps = recorder.steps().len();
    let mut taken = 0;
    for step in 0..steps {
        let mirror = place(&format!("mirror-{step}"));
        take(&place("base"), &mirror, None).unwrap();
        take(&place("killed"), &mirror, Some(&Stopper::at(step))).unwrap_err();
        match take(&place("next"), &mirror, None) {
            Ok(_) => {
                taken += 1;
                every_client_is_served(&mirror, &format!("killed at step {step}"));
            }
            Err(error) => assert_eq!(error.kind, ErrorKind::NeedsBridge, "step {step}: {error:?}"),
        }
    }
    assert!(taken > 0 && taken < steps, "{taken} of {steps}");
}

#[test]
fn a_bundle_that_waits_survives_whatever_stops_it() {
    let (log, module) = small();
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    synthetic_bundle::write_with_log(&place("base"), &[module(0)], &log, 300, &[]).unwrap();
    synthetic_bundle::write_with_log(&place("waits"), &[module(1), module(3)], &log, 800, &[]).unwrap();
    synthetic_bundle::write_with_log(&place("bridge"), &[], &log, 1_000, &[300, 800]).unwrap();
    let prepare = |mirror: &Path| {
        take(&place("base"), mirror, None).unwrap();
        assert_eq!(take(&place("waits"), mirror, None).unwrap_err().kind, ErrorKind::NeedsBridge);
        take(&place("bridge"), mirror, None).unwrap();
    };
    let first = |mirror: &Path| waiting(mirror).unwrap().into_iter().next();
    let recorder = Recorder::default();
    prepare(&place("whole"));
    take_from(&first(&place("whole")).unwrap(), &place("whole"), Some(&recorder)).unwrap();
    assert!(first(&place("whole")).is_none());
    let steps = recorder.steps().len();
    for step in 0..steps {
        let mirror = place(&format!("mirror-{step}"));
        prepare(&mirror);
        let staged = first(&mirror).unwrap();
        let _ = take_from(&staged, &mirror, Some(&Stopper::at(step)));
        // Either it is done, or it still waits and all of it is there.
        let list = mirror.join("download/example.com/s3/@v/list");
        if let Some(staged) = first(&mirror) {
            take_from(&staged, &mirror, None)
                .unwrap_or_else(|error| panic!("step {step}, {}: {error:?}", staged.name()));
        } else {
            take(&place("waits"), &mirror, None).unwrap();
        }
        assert!(list.is_file(), "step {step}");
        every_client_is_served(&mirror, &format!("stopped at step {step}"));
    }
}

/// A medium that breaks in its zips, after a while.
struct Broken(Directory);

impl Carrier for Broken {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn head(&self, name: &str) -> io::Result<Option<Source>> {
        self.0.head(name)
    }

    fn content(&self) -> Result<Box<dyn Iterator<Item = Delivered> + '_>> {
        let break_zip = |delivered: Delivered| match delivered.what {
            What::File(size, _) if delivered.path.ends_with(".zip") => {
                // The tiles are staged meanwhile.
                thread::sleep(Duration::from_millis(100));
                let open = || {
                    // Whatever is done beside the zips has its result long before.
                    thread::sleep(Duration::from_millis(300));
                    Err(io::Error::other("unrecovered read error"))
                };
                Delivered { what: What::File(size, Box::new(open)), ..delivered }
            }
            _ => delivered,
        };
        Ok(Box::new(self.0.content()?.map(break_zip)))
    }
}

#[test]
fn what_is_not_whole_in_staging_neither_waits_nor_is_evidence_of_a_fork() {
    let (log, module) = small();
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    synthetic_bundle::write_with_log(&place("short"), &[module(0)], &log, 300, &[]).unwrap();
    synthetic_bundle::write_with_log(&place("long"), &[module(0), module(4)], &log, 1_100, &[]).unwrap();
    synthetic_bundle::write_with_log(&place("waits"), &[module(1), module(3)], &log, 800, &[]).unwrap();
    synthetic_bundle::write_with_log(&place("forks"), &[module(1)], &forked(&module), 1_300, &[1_100]).unwrap();
    for (base, name, kind) in [("short", "waits", ErrorKind::NeedsBridge), ("long", "forks", ErrorKind::Fork)] {
        let mirror = place(&format!("mirror-{name}"));
        take(&place(base), &mirror, None).unwrap();
        let broken = Broken(Directory::open(&place(name)).unwrap());
        assert_eq!(take_from(&broken, &mirror, None).unwrap_err().kind, ErrorKind::Io, "{name}");
        assert!(waiting(&mirror).unwrap().is_empty(), "{name}");
        assert!(!mirror.join("quarantine").exists(), "{name}");
        assert_eq!(take(&place(name), &mirror, None).unwrap_err().kind, kind, "{name}");
    }
}
