//! An import that stops anywhere: killed, refused by the system, or cut off by a loss of power.
//!
//! One import is recorded step by step. Then every prefix of its steps is played into a fresh tree under three models:
//! everything of the prefix is there (a kill), nothing after the last sync is there, or after the last sync all names
//! are there but no bytes. In each of them the mirror must not lie, and the same import must finish the work and give
//! the tree that an undisturbed one gives.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

mod crash;
mod taking;

use crash::{Model, Recorder, Stopper, Tree, check, temporary};
use modferry::durable::Step;
use modferry::error::{Error, ErrorKind};
use modferry_harness::database::Log;
use modferry_harness::module::Module;
use modferry_harness::synthetic_bundle;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use taking::take;

/// Two bundles: the second brings a new version of a module of the first, and a module of its own.
struct Bundles {
    directory: tempfile::TempDir,
}

impl Bundles {
    fn make() -> Self {
        let directory = temporary();
        let module = |text: &str| {
            let go_mod = format!("module {}\n\ngo 1.21\n", text.split('@').next().unwrap());
            Module::new(text).unwrap().file("go.mod", go_mod).file("p.go", "package p\n")
        };
        let modules =
            ["example.com/Common@v1.0.0", "example.com/a@v1.0.0", "example.com/Common@v1.1.0", "example.com/b@v0.1.0"];
        let mut log = Log::default();
        // Far apart, so that the second bundle brings tiles in every state: new, known, wider.
        for (number, text) in modules.into_iter().enumerate() {
            log.grow(number as u64 * 200 + 150, "");
            log.add(&module(text)).unwrap();
        }
        log.grow(900, "");
        let (old, new) = (module("example.com/Common@v1.0.0"), module("example.com/Common@v1.1.0"));
        let (first, second) = ([old.clone(), module(modules[1])], [old, new, module(modules[3])]);
        synthetic_bundle::write_with_log(&directory.path().join("first"), &first, &log, 400, &[]).unwrap();
        synthetic_bundle::write_with_log(&directory.path().join("second"), &second, &log, 900, &[400]).unwrap();
        Self { directory }
    }

    fn first(&self) -> PathBuf {
        self.directory.path().join("first")
    }

    fn second(&self) -> PathBuf {
        self.directory.path().join("second")
    }
}

/// The tree before the recorded import, its steps, and the tree after it.
struct Recording {
    before: Tree,
    steps: Vec<modferry::durable::Step>,
    after: Tree,
}

fn record(bundles: &Bundles, is_first: bool) -> Recording {
    let directory = temporary();
    let mirror = directory.path().join("mirror");
    if !is_first {
        take(&bundles.first(), &mirror, None).unwrap();
    }
    let before = if mirror.exists() { Tree::read(&mirror) } else { Tree::default() };
    let recorder = Recorder::default();
    let bundle = if is_first { bundles.first() } else { bundles.second() };
    take(&bundle, &mirror, Some(&recorder)).unwrap();
    Recording { before, steps: recorder.steps(), after: Tree::read(&mirror) }
}

fn every_prefix(is_first: bool, model: Model) {
    let bundles = Bundles::make();
    let recording = record(&bundles, is_first);
    let bundle = if is_first { bundles.first() } else { bundles.second() };
    assert!(recording.steps.len() > 40, "only {} steps were seen", recording.steps.len());
    // Who was told that it is done can pull the plug. Journal and state are made again from the `done` files.
    let mut lost = recording.before.after(&recording.steps, model).differences(&recording.after);
    lost.retain(|lost| {
        !["lock: ", "journal.jsonl: ", "ledger/@state.json: "].iter().any(|name| lost.starts_with(name))
    });
    assert_eq!(lost, Vec::<String>::new(), "{model:?} after the import has ended");
    for len in 0..=recording.steps.len() {
        let directory = temporary();
        let mirror = directory.path().join("mirror");
        let cut = recording.before.after(&recording.steps[..len], model);
        cut.write(&mirror);
        let place = || format!("{model:?} after {len} steps, the last {:?}", recording.steps[..len].last());
        check(&mirror, &recording.after).unwrap_or_else(|lie| panic!("{}: {lie}", place()));
        take(&bundle, &mirror, None).unwrap_or_else(|error| panic!("{}: the second try fails: {error:?}", place()));
        let finished = Tree::read(&mirror);
        assert_eq!(finished.differences(&recording.after), Vec::<String>::new(), "{}", place());
    }
}

#[test]
fn a_first_import_killed_after_any_step_is_finished_by_the_next() {
    every_prefix(true, Model::Killed);
}

#[test]
fn a_first_import_without_power_after_any_step_is_finished_by_the_next() {
    every_prefix(true, Model::NothingUnsynced);
    every_prefix(true, Model::NamesWithoutBytes);
}

#[test]
fn an_import_into_a_mirror_killed_after_any_step_is_finished_by_the_next() {
    every_prefix(false, Model::Killed);
}

#[test]
fn an_import_into_a_mirror_without_power_after_any_step_is_finished_by_the_next() {
    every_prefix(false, Model::NothingUnsynced);
    every_prefix(false, Model::NamesWithoutBytes);
}

/// As if the system call itself had failed: no rights, a broken disk.
#[test]
fn an_import_that_the_system_refuses_at_any_step_leaves_no_lie_and_can_be_tried_again() {
    refused_at_every_step(io::ErrorKind::Other, |_, _| {});
}

#[test]
fn an_import_that_fills_the_disk_leaves_nothing_of_itself_in_staging() {
    refused_at_every_step(io::ErrorKind::StorageFull, |error, mirror| {
        assert_eq!(error.kind, ErrorKind::NoSpace, "{error:?}");
        assert!(error.hint.is_some(), "{error:?}");
        // What was staged would keep the disk full.
        let left: Vec<_> = fs::read_dir(mirror.join("staging")).unwrap().flatten().map(|it| it.path()).collect();
        assert!(!left.iter().any(|path| path.is_dir()), "{left:?} after {error:?}");
    });
}

fn refused_at_every_step(with: io::ErrorKind, judge: fn(&Error, &Path)) {
    let bundles = Bundles::make();
    let recording = record(&bundles, false);
    let is_full = with == io::ErrorKind::StorageFull;
    for step in (0..recording.steps.len()).filter(|&at| !is_full || !matches!(recording.steps[at], Step::Remove(_))) {
        let directory = temporary();
        let mirror = directory.path().join("mirror");
        recording.before.write(&mirror);
        let stopper = Stopper::at(step).with(with);
        let Err(error) = take(&bundles.second(), &mirror, Some(&stopper)) else {
            panic!("step {step} was refused and nobody noticed");
        };
        judge(&error, &mirror);
        check(&mirror, &recording.after).unwrap_or_else(|lie| panic!("refused at {:?}: {lie}", recording.steps[step]));
        take(&bundles.second(), &mirror, None)
            .unwrap_or_else(|error| panic!("after {:?}: {error:?}", recording.steps[step]));
        assert_eq!(
            Tree::read(&mirror).differences(&recording.after),
            Vec::<String>::new(),
            "after {:?}",
            recording.steps[step]
        );
    }
}

/// Whoever asks during an import must find what he is led to: by `list` to all of a version, by an info to its zip, by a
/// lookup to its tiles.
#[test]
fn names_are_given_in_the_order_in_which_they_lead_to_one_another() {
    let bundles = Bundles::make();
    for is_first in [true, false] {
        let steps = record(&bundles, is_first).steps;
        let directories: BTreeSet<&str> = steps
            .iter()
            .filter_map(|step| match step {
                Step::MakeDir(path) => path.to_str()?.split_once("/tree/").map(|(_, path)| path),
                _ => None,
            })
            .collect();
        let rank = |path: &Path| match path.to_str().unwrap() {
            path if path.starts_with("bundles/") && !path.ends_with("/done") => 0,
            path if path.contains("/tile/") || path.ends_with("/tile") || path.ends_with("/supported") => 1,
            path if path.ends_with("/@heads") => 2,
            path if path.contains("/lookup/") || path.ends_with("/lookup") => 3,
            // A directory of a module that was not there comes with all that is in it, at one instant.
            path if path.starts_with("download/") && (path.ends_with(".mod") || directories.contains(path)) => 4,
            path if path.starts_with("download/") && path.ends_with(".zip") => 5,
            path if path.starts_with("download/") && path.ends_with(".info") => 6,
            path if path.ends_with("/@sums") => 7,
            path if path.ends_with("/list") || path.ends_with("/@latest") || path.ends_with("/latest") => 8,
            path if path.ends_with("/done") => 9,
            "ledger/@state.json" => 10,
            path => panic!("{path} has no place in the order"),
        };
        let ranks: Vec<_> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Publish(_, to) | Step::Replace(_, to) => Some((rank(to), to)),
                _ => None,
            })
            .collect();
        let wrong = ranks.windows(2).find(|pair| pair[0].0 > pair[1].0);
        assert_eq!(wrong, None);
        let seen: BTreeSet<_> = ranks.iter().map(|(rank, _)| *rank).collect();
        // The second bundle has new versions of modules that are there, so single files too.
        let files = if is_first { BTreeSet::new() } else { BTreeSet::from([5, 6]) };
        let wanted = BTreeSet::from([0, 1, 2, 3, 4, 7, 8, 9]);
        assert!(seen.is_superset(&wanted) && seen.is_superset(&files), "{seen:?}");
    }
}

/// The check above must be able to fail.
#[test]
fn a_mirror_that_lists_what_it_does_not_have_is_found_out() {
    let bundles = Bundles::make();
    let recording = record(&bundles, true);
    for lost in ["download/example.com/!common/@v/v1.0.0.zip", "download/example.com/a/@v/v1.0.0.mod", "bundles/"] {
        let directory = temporary();
        let mirror = directory.path().join("mirror");
        recording.after.without(lost).write(&mirror);
        assert!(check(&mirror, &recording.after).is_err(), "{lost}");
    }
}
