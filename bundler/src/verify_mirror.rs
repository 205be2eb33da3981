//! `modferry verify` of a mirror: everything that is wrong with it, in one run; nothing is changed.
//!
//! 1. evidence: which bundles were taken, before anything else is looked at, and whether their head files are theirs
//! 2. heads of the checksum databases
//! 3. modules, one at a time: names, ledger, files, records, `list` and `@latest`. The bytes of files are read only
//!    where that is asked for, for there may be terabytes of them
//! 4. the proof of all records, tiles and heads of the databases by their newest head
//! 5. the journal against the evidence
//!
//! An import may be under way all the time, and its lock is not taken. What it has published and not yet recorded is in
//! the manifest of its evidence, and no finding.
//!
//! Memory does not grow with the files of the mirror: one module and some thousand files of a database are at hand at a
//! time, the names in one directory, and an id and a hash of each bundle.
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod databases;
mod evidence;
mod finding;
mod journal;
mod listed;
mod manifest_search;
mod modules;
mod proof;
mod published;
mod walk;

use crate::beneath::Beneath;
use crate::context::{Context, Event};
use crate::error::{Error, Result};
use crate::findings::Findings;
use crate::work_queue::WorkQueue;
use databases::Databases;
use evidence::{Evidence, State};
pub use finding::{Kind, MirrorFinding};
use modferry_format::sumdb::key::VerifierKey;
use modules::{Counts, Modules};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

/// What to check, and by what.
#[derive(Debug, Clone)]
pub struct Options {
    /// The mirror.
    pub mirror: PathBuf,
    /// How much of it is read.
    pub depth: Depth,
    /// Keys of databases to trust beside that of sum.golang.org.
    pub database_keys: Vec<VerifierKey>,
}

/// How much of the published files is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Their names and sizes, and all bytes of what is small: ledgers, evidence, checksum databases.
    Names,
    /// All bytes.
    Data,
}

/// What a check of a mirror found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// Bundles that were committed.
    pub bundles: u64,
    /// Bundles whose import is under way, or was killed.
    pub under_way: u64,
    /// Versions whose zip is in a ledger.
    pub versions: u64,
    /// Files in the ledgers.
    pub files: u64,
    /// Sum of their sizes, in bytes.
    pub bytes: u64,
    /// Bytes that were read of them.
    pub read_bytes: u64,
    /// Records of checksum databases that were proven.
    pub records: u64,
    /// Wall time, in seconds.
    pub seconds: f64,
    /// What is wrong, sorted.
    pub findings: Vec<MirrorFinding>,
}

/// Checks a mirror. An error means that it could not be checked; what is wrong with it is in the report.
pub fn verify_mirror(options: &Options, context: &Context<'_>) -> Result<Report> {
    let started = Instant::now();
    let path = &options.mirror;
    let files = Beneath::new(path).map_err(|error| Error::io(path, "the mirror could not be opened", &error))?;
    let check = Check { files, findings: Findings::default(), options, context, read: AtomicU64::default() };
    check.tell_of_lock();
    let evidence = Evidence::take(&check)?;
    check.tell_of_rest(&evidence);
    context.progress.event(Event::Step("checking the evidence"));
    evidence.check(&check)?;
    let databases = Databases::open(&check, &evidence)?;
    context.progress.event(Event::Step("checking the modules"));
    let counts = check.modules(&evidence, &databases)?;
    context.progress.event(Event::Step("proving the records"));
    let records = databases.prove(&check, &evidence)?;
    journal::check(&check, &evidence)?;
    context.interrupt.check()?;
    let done = evidence.bundles().filter(|(_, state)| matches!(state, State::Done(_))).count() as u64;
    let read_bytes = check.read.load(Ordering::Relaxed);
    let findings = check.findings.finish();
    Ok(Report {
        ok: findings.is_empty(),
        bundles: done,
        under_way: evidence.bundles().count() as u64 - done,
        versions: counts.versions.into_inner(),
        files: counts.files.into_inner(),
        bytes: counts.bytes.into_inner(),
        read_bytes,
        records,
        seconds: started.elapsed().as_secs_f64(),
        findings,
    })
}

/// A check under way.
struct Check<'a> {
    files: Beneath,
    findings: Findings<MirrorFinding>,
    options: &'a Options,
    context: &'a Context<'a>,
    /// Bytes of published files that were read.
    read: AtomicU64,
}

impl Check<'_> {
    fn reads_data(&self) -> bool {
        self.options.depth == Depth::Data
    }

    fn read_bytes(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Step 3.
    fn modules(&self, evidence: &Evidence, databases: &Databases) -> Result<Counts> {
        let queue = self.reads_data().then(WorkQueue::default);
        let queue = queue.as_ref();
        let modules = Modules { check: self, evidence, databases, counts: Counts::default(), queue };
        thread::scope(|scope| {
            if let Some(queue) = queue {
                for _ in 0..self.context.jobs.max(1) {
                    scope.spawn(|| self.read_published(queue));
                }
            }
            let checked = modules.check();
            if let Some(queue) = queue {
                queue.close();
            }
            checked
        })?;
        Ok(modules.counts)
    }

    /// Whether an import is under way; whoever may not read the lock does not learn it.
    fn is_locked(&self) -> bool {
        self.files.is_locked(Path::new("lock")).unwrap_or(false)
    }

    fn tell_of_lock(&self) {
        if self.is_locked() {
            self.note("an import is under way; what it has not recorded yet is left to it");
        }
    }

    fn tell_of_rest(&self, evidence: &Evidence) {
        let rest = evidence.bundles().filter(|(_, state)| *state == State::UnderWay);
        for (id, _) in rest {
            self.note(&format!("bundle {id} is not done: its import is under way, or was killed and can be run again"));
        }
    }

    fn note(&self, text: &str) {
        self.context.progress.event(Event::Note(&format!("{}: {text}", self.options.mirror.display())));
    }
}
