//! An import as tests make it: no console, a fixed clock, everything allowed.

use modferry::carrier::{Carrier, Directory};
use modferry::context::{Context, Environment, Interrupt, Silent};
use modferry::durable::Witness;
use modferry::error::Result;
use modferry::import::{Options, Summary, import};
use modferry::mirror::WhenLocked;
use modferry_harness::database::Log;
use std::path::Path;

pub(crate) fn take(bundle: &Path, mirror: &Path, witness: Option<&dyn Witness>) -> Result<Summary> {
    take_from(&Directory::open(bundle).unwrap(), mirror, witness)
}

pub(crate) fn take_from(carrier: &dyn Carrier, mirror: &Path, witness: Option<&dyn Witness>) -> Result<Summary> {
    let context = Context {
        environment: Environment::default(),
        now: "2024-01-02T03:04:05Z".parse().unwrap(),
        // One thread: the steps come in the same order each time.
        jobs: 1,
        requests: None,
        progress: &Silent,
        interrupt: Interrupt::default(),
    };
    let options = Options {
        mirror: mirror.to_owned(),
        unsigned: true,
        no_record: vec!["*".to_owned()],
        database_keys: vec![Log::default().verifier().unwrap()],
        dry_run: false,
        when_locked: WhenLocked::Fail,
        by: "test".to_owned(),
        witness,
    };
    import(carrier, &options, &context)
}
