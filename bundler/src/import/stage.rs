//! Brings a bundle into staging and proves it there; nothing of the mirror changes yet.

use super::head::{Head, LineNumber};
use super::plan::{Ledgers, Place, is_published};
use super::{medium, refuse, staged_file};
use crate::carrier::{Carrier, Delivered, Opener, What, fault_of_carrier};
use crate::context::{Context, Event};
use crate::durable::FILE_MODE;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Findings;
use crate::mirror::Mirror;
use crate::work_queue::WorkQueue;
use modferry_format::check::{self, Checker};
use modferry_format::finding::{Finding, FindingKind};
use modferry_format::ledger::Ledger;
use modferry_format::manifest::Entry;
use modferry_format::{BundlePath, FileSha256, H1};
use modferry_prove::Prover;
use modferry_prove::tape;
use std::cmp::Ordering;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering as Memory};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// After so many bytes more in staging the disk is given them, while the next ones are proved: the sync before publishing then
/// waits for the last of them only.
const SYNC_AHEAD_BYTES: u64 = 128 * 1024 * 1024;

/// What is known of one line of the manifest. A bundle has one of these per line in memory, and of each new version its name;
/// nothing grows with the mirror.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fact {
    pub(crate) state: State,
    /// Of a zip or go.mod that is not in the ledger yet.
    pub(crate) h1: Option<H1>,
}

/// What is to be done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum State {
    /// Nothing: it is derived, or the ledger knows it.
    #[default]
    Settled,
    /// It is staged and proved, to be published.
    Staged,
    /// It is published by an import that was killed, with these very bytes, and proved there; the ledger lacks it.
    Published,
    /// The mirror has the same in other bytes, and keeps them.
    Kept,
    /// It is staged, to be kept with the evidence.
    Extra,
}

/// The facts, by line number.
#[derive(Debug, Default)]
pub(crate) struct Facts(Vec<Fact>);

impl Facts {
    /// What is known of a line.
    pub(crate) fn of(&self, number: LineNumber) -> Fact {
        self.0.get(number as usize).copied().unwrap_or_default()
    }

    pub(crate) fn set(&mut self, number: LineNumber, fact: Fact) {
        let index = number as usize;
        if self.0.len() <= index {
            self.0.resize(index + 1, Fact::default());
        }
        self.0[index] = fact;
    }

    pub(crate) fn count(&self, state: State) -> u64 {
        self.0.iter().filter(|fact| fact.state == state).count() as u64
    }
}

/// A bundle on its way into staging.
pub(crate) struct Stage<'a> {
    pub(crate) carrier: &'a dyn Carrier,
    pub(crate) mirror: &'a Mirror<'a>,
    pub(crate) head: &'a Head,
    /// Stage also what is not published, for the bundle may have to wait without its medium.
    pub(crate) keeps_texts: bool,
    pub(crate) context: &'a Context<'a>,
}

/// A line of the manifest, and the h1 that a record of the bundle states for its file.
struct Line<'e> {
    number: LineNumber,
    entry: &'e Entry,
    stated: Option<H1>,
}

/// A file for a worker.
struct Job {
    number: LineNumber,
    entry: Entry,
    from: From,
    /// The h1 that its record states.
    stated: Option<H1>,
}

/// Where a worker finds the bytes.
enum From {
    /// With the carrier; to be copied.
    Carrier(Opener),
    /// In staging: a carrier that passes once has brought them already.
    Staging,
    /// In `download/`, where a killed import has left them; or with the carrier, if those are others.
    Published(Option<Opener>),
}

/// What was judged, or what is wrong with it; an error is one of reading or writing.
pub(super) type Judged<T> = Result<std::result::Result<T, (FindingKind, String)>>;

/// What the threads have found.
#[derive(Default)]
struct Shared {
    facts: Mutex<Facts>,
    findings: Findings,
    failed: Mutex<Option<Error>>,
    /// Bytes that are staged and proved.
    staged: AtomicU64,
}

impl Shared {
    /// Counts the bytes of a file; wakes who syncs, who may be at it already.
    fn add_staged(&self, bytes: u64, syncer: &SyncSender<()>) {
        let before = self.staged.fetch_add(bytes, Memory::Relaxed);
        if before / SYNC_AHEAD_BYTES != (before + bytes) / SYNC_AHEAD_BYTES {
            let _ = syncer.try_send(());
        }
    }

    fn set(&self, number: LineNumber, state: State, h1: Option<H1>) {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).set(number, Fact { state, h1 });
    }

    fn fact(&self, number: LineNumber) -> Fact {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).of(number)
    }

    fn fail(&self, error: Error) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn failed(&self) -> Option<Error> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Stage<'_> {
    /// Stages everything; anything that is wrong with the bundle is an error that names the first of it. `meanwhile` gets, while
    /// zips are on their way, whether the file of a line is staged, as small texts are then and most likely all tiles, and what
    /// the bundle has of checksum databases; of a bundle that is known to be bad it is not asked.
    pub(crate) fn run<T>(
        &self,
        meanwhile: impl FnOnce(&dyn Fn(LineNumber) -> bool, &check::Databases) -> Option<T>,
    ) -> Result<(Facts, check::Databases, Option<T>)> {
        let shared = Shared::default();
        let jobs = self.context.jobs.max(1);
        let queue: WorkQueue<Job> =
            if self.carrier.passes_once() { WorkQueue::with_room(jobs) } else { WorkQueue::default() };
        // One more than processors, for each waits for the disk now and then (prometheus on two: 2.36 s, and 2.57 s without).
        let workers = jobs + 1;
        let mut checker = Checker::new(&self.head.header);
        let (judged, databases, known) = thread::scope(|scope| {
            let (syncer, woken) = sync_channel(1);
            let sync = move || woken.iter().for_each(|()| self.mirror.durable().sync_ahead());
            // Without it the sync before publishing takes longer.
            let _ = thread::Builder::new().spawn_scoped(scope, sync);
            let work = |syncer: SyncSender<()>| {
                let mut prover = Prover::among(workers);
                while let Some(job) = queue.take() {
                    let size = job.entry.size;
                    self.job(job, &mut prover, &shared);
                    shared.add_staged(size, &syncer);
                }
            };
            // Where the system gives fewer threads, those do it; without any it cannot be done.
            let spawned = |_| {
                let syncer = syncer.clone();
                thread::Builder::new().spawn_scoped(scope, move || work(syncer))
            };
            let (started, mut refused): (Vec<_>, Vec<_>) = (0..workers).map(spawned).partition(|worker| worker.is_ok());
            let started: Vec<_> = started.into_iter().flatten().collect();
            // It ends with the last worker.
            drop(syncer);
            if let (true, Some(Err(error))) = (started.is_empty(), refused.pop()) {
                let message = "this machine: starts no thread to work on the bundle";
                return Err(Error::new(ErrorKind::Io, message).because(error.to_string()));
            }
            let walked = self.walk(&mut checker, &shared, &queue);
            queue.close();
            let (judged, databases) = checker.end();
            let is_staged = |number| shared.fact(number).state == State::Staged;
            let is_good =
                walked.is_ok() && judged.is_empty() && shared.findings.is_empty() && shared.failed().is_none();
            let known = if is_good { meanwhile(&is_staged, &databases) } else { None };
            for worker in started {
                // A mistake of ours must not end in an import without what that worker had in hand.
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
            walked.map(|()| (judged, databases, known))
        })?;
        self.context.interrupt.check()?;
        if let Some(error) = shared.failed() {
            return Err(error);
        }
        // Owner, mode and time in a tar change nothing: they are for verify to name.
        let named = self.carrier.findings().into_iter().filter(|finding| finding.kind != FindingKind::CarrierForm);
        let (mut named, findings): (Vec<Finding>, _) = (named.collect(), shared.findings);
        if self.carrier.is_broken() && !named.is_empty() {
            // Where it is broken first, which it names last; what it did not bring lacks nothing that anybody knows of.
            named.reverse();
            self.refuse_findings(named.into_iter().chain(findings.finish()).collect())?;
        } else {
            judged.into_iter().chain(named).for_each(|finding| findings.add(finding));
            self.refuse_findings(findings.finish())?;
        }
        Ok((shared.facts.into_inner().unwrap_or_else(PoisonError::into_inner), databases, known))
    }

    fn refuse_findings(&self, findings: Vec<Finding>) -> Result<()> {
        let Some((first, more)) = findings.split_first() else { return Ok(()) };
        let error = refuse(self.carrier, &first.subject.escape_debug().to_string(), &first.detail);
        Err(error.because_each(more.iter().map(|finding| format!("also {finding}"))))
    }

    /// Manifest and content side by side.
    fn walk(&self, checker: &mut Checker<'_>, shared: &Shared, queue: &WorkQueue<Job>) -> Result<()> {
        let mut ledgers = Ledgers::new(self.mirror, false);
        let find = |path: &str, kind, detail: String| shared.findings.find(path, kind, detail);
        let mut content = self.carrier.content()?.peekable();
        // Things that stand in no line. What cannot be read ends the import: it may be good.
        let stray = |delivered: Delivered| -> Result<()> {
            match delivered.what {
                // The end of a broken carrier is among its findings.
                What::Unreadable(_) if self.carrier.is_broken() && delivered.path == self.carrier.name() => {}
                What::Unreadable(error) => return Err(medium(self.carrier, &delivered.path, &error)),
                What::Other(kind) => {
                    find(&delivered.path, FindingKind::NotAFile, format!("is {kind}; a bundle has only files"));
                }
                What::File(..) => find(&delivered.path, FindingKind::Extra, "is not in SHA256SUMS".to_owned()),
            }
            Ok(())
        };
        let (mut done, mut bytes) = (0, 0);
        self.head.entries(|number, entry| {
            self.context.interrupt.check()?;
            if let Some(error) = shared.failed() {
                return Err(error);
            }
            let path = entry.path.to_string();
            let delivered = loop {
                // What is no path of a bundle has no place in the order either.
                let is_stray = |delivered: &Delivered| {
                    delivered.path.parse::<BundlePath>().is_err()
                        || BundlePath::order(&delivered.path, &path) == Ordering::Less
                };
                let Some(delivered) = content.next_if(|delivered| delivered.path == path || is_stray(delivered)) else {
                    break None;
                };
                if delivered.path == path {
                    break Some(delivered);
                }
                stray(delivered)?;
            };
            let stated = checker.databases().h1(&entry.path);
            let seen = match delivered.map(|delivered| delivered.what) {
                Some(What::File(size, open)) if size == entry.size => {
                    self.file(Line { number, entry: &entry, stated }, open, &mut ledgers, shared, queue)?
                }
                Some(What::File(size, _)) => {
                    find(&path, FindingKind::Size, format!("has {size} bytes, SIZES states {}", entry.size));
                    None
                }
                Some(What::Other(kind)) => {
                    find(&path, FindingKind::NotAFile, format!("is {kind}; a bundle has only files"));
                    None
                }
                Some(What::Unreadable(error)) => return Err(medium(self.carrier, &path, &error)),
                // Of what a broken carrier does not bring nobody can say that it is missing.
                None if self.carrier.is_broken() => None,
                None => {
                    find(&path, FindingKind::Missing, "missing".to_owned());
                    None
                }
            };
            checker.file(&entry.path, entry.size, seen.as_deref());
            (done, bytes) = (done + 1, bytes + entry.size);
            self.context.progress.event(Event::Progress {
                done,
                total: self.head.header.counts.files,
                bytes,
                current: &path,
            });
            Ok(())
        })?;
        content.try_for_each(stray)
    }

    /// Reads a small text at once, hands another new file to a worker; gives the bytes that the rules look at.
    fn file(
        &self,
        line: Line<'_>,
        open: Opener,
        ledgers: &mut Ledgers<'_>,
        shared: &Shared,
        queue: &WorkQueue<Job>,
    ) -> Result<Option<Vec<u8>>> {
        let Line { number, entry, stated } = line;
        if let Some(limit) = check::wants_bytes(&entry.path) {
            return self.text(number, entry, open, limit, ledgers, shared);
        }
        let place = if is_published(&entry.path) { ledgers.place(entry)? } else { Place::Nowhere };
        let mut from = match place {
            Place::Known => {
                // It may have come without a record, and the bundle has one.
                let known = entry.path.module().map(|module| ledgers.of(module)).transpose()?;
                let known = known.zip(Ledger::name_of(&entry.path)).and_then(|(ledger, name)| ledger.get(&name)?.h1);
                if let (Some(h1), Some(stated)) = (known, stated)
                    && h1 != stated
                {
                    shared.findings.add(check::contradiction(&entry.path, h1, stated));
                }
                return Ok(None);
            }
            Place::Unrecorded => From::Published(Some(open)),
            Place::Nowhere => From::Carrier(open),
        };
        if self.carrier.passes_once() {
            // Copied now: it will have passed by later.
            from = match from {
                From::Published(_) if self.is_published_as(entry)? => From::Published(None),
                From::Published(Some(_)) | From::Carrier(_) if self.left(number, entry).is_some() => From::Staging,
                From::Published(Some(open)) | From::Carrier(open) => match self.bring(number, entry, open)? {
                    Ok(_) => From::Staging,
                    Err((kind, detail)) => {
                        shared.findings.find(&entry.path.to_string(), kind, detail);
                        return Ok(None);
                    }
                },
                other => other,
            };
        }
        // Tiles first: they come first, so the workers have nothing else yet, and all of them are needed soon.
        let weight = if matches!(entry.path, BundlePath::Tile(..)) { u64::MAX } else { entry.size };
        queue.add(weight, Job { number, entry: entry.clone(), from, stated });
        Ok(None)
    }

    /// Infos, lists and the like.
    fn text(
        &self,
        number: LineNumber,
        entry: &Entry,
        open: Opener,
        limit: u64,
        ledgers: &mut Ledgers<'_>,
        shared: &Shared,
    ) -> Result<Option<Vec<u8>>> {
        let path = entry.path.to_string();
        if entry.size > limit {
            let detail = format!("has {} bytes, at most {limit} are allowed", entry.size);
            shared.findings.find(&path, FindingKind::Size, detail);
            return Ok(None);
        }
        let bytes = match open.open().and_then(|source| source.read_all(limit)) {
            Ok(bytes) => bytes,
            Err(error) => return Err(medium(self.carrier, &path, &fault_of_carrier(error)?)),
        };
        let hash = FileSha256::of(&bytes);
        if hash != entry.sha256 {
            let detail = format!("has sha256 {hash}, SHA256SUMS states {}", entry.sha256);
            shared.findings.find(&path, FindingKind::Hash, detail);
        } else if !is_published(&entry.path) {
            if self.keeps_texts {
                self.write_text(number, entry, &bytes)?;
            }
        } else {
            match ledgers.place(entry)? {
                Place::Known => {}
                Place::Unrecorded if self.is_published_as(entry)? => shared.set(number, State::Published, None),
                Place::Unrecorded | Place::Nowhere => {
                    self.write_text(number, entry, &bytes)?;
                    shared.set(number, State::Staged, None);
                }
            }
        }
        Ok(Some(bytes))
    }

    /// Stages a text, unless it lies there already.
    fn write_text(&self, number: LineNumber, entry: &Entry, bytes: &[u8]) -> Result<()> {
        let (durable, path) = (self.mirror.durable(), staged_file(&self.head.id, number, &entry.path));
        let is_there = durable.files().is_ours_alone(&path, FILE_MODE).is_ok_and(|alone| alone)
            && durable.files().read(&path, bytes.len() as u64).is_ok_and(|there| there == bytes);
        if is_there { Ok(()) } else { durable.create(&path)?.write_all(bytes) }
    }

    /// What a worker does with one file.
    fn job(&self, job: Job, prover: &mut Prover, shared: &Shared) {
        if self.context.interrupt.is_set() || shared.failed().is_some() {
            return;
        }
        let Job { number, entry, from, stated } = job;
        match self.prove(number, &entry, from, prover) {
            Ok(Ok((_, Some(h1)))) if stated.is_some_and(|stated| stated != h1) => {
                shared.findings.add(check::contradiction(&entry.path, h1, stated.unwrap_or(h1)));
            }
            Ok(Ok((state, h1))) => shared.set(number, state, h1),
            Ok(Err((kind, detail))) => shared.findings.find(&entry.path.to_string(), kind, detail),
            Err(error) => shared.fail(error),
        }
    }

    /// Copies a file where it is not copied yet, and makes the h1 of what lies in the mirror then, from those bytes: what
    /// is published is what was proved, whatever the medium says next.
    fn prove(&self, number: LineNumber, entry: &Entry, from: From, prover: &mut Prover) -> Judged<(State, Option<H1>)> {
        let (state, source) = match from {
            From::Published(open) => match (self.is_published_as(entry)?, open) {
                (false, Some(open)) => return self.prove(number, entry, From::Carrier(open), prover),
                _ => (State::Published, self.open(Path::new(&entry.path.to_string()))?),
            },
            From::Carrier(open) => match (self.left(number, entry), &entry.path) {
                (Some(left), _) => (State::Staged, left),
                (None, BundlePath::Zip(version)) => {
                    let brought = self.bring_zip(number, entry, version, open, prover)?;
                    return Ok(brought.map(|h1| (State::Staged, Some(h1))));
                }
                (None, _) => match self.bring(number, entry, open)? {
                    Ok(source) => (State::Staged, source),
                    Err(wrong) => return Ok(Err(wrong)),
                },
            },
            From::Staging => (State::Staged, self.open(&staged_file(&self.head.id, number, &entry.path))?),
        };
        match &entry.path {
            BundlePath::Zip(version) => {
                let proven = self.prove_staged(number, entry, version, &source, prover)?;
                Ok(proven.map(|h1| (state, Some(h1))))
            }
            BundlePath::Mod(_) => match source.read_all(modferry_format::go_mod::MAX_BYTES) {
                Ok(bytes) => Ok(Ok((state, Some(H1::of_go_mod(&bytes))))),
                Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
                    Ok(Err((FindingKind::Size, error.to_string())))
                }
                Err(error) => Err(self.unreadable(number, entry, &error)),
            },
            BundlePath::Extra(_) => Ok(Ok((State::Extra, None))),
            _ => Ok(Ok((state, None))),
        }
    }

    /// Whether the very same bytes lie under the name already.
    fn is_published_as(&self, entry: &Entry) -> Result<bool> {
        let path = entry.path.to_string();
        let there = self.open(Path::new(&path))?;
        let hash = tape::hash(&there, there.size())
            .map_err(|error| Error::io(&self.mirror.durable().full(Path::new(&path)), "could not be read", &error))?;
        Ok(hash == entry.sha256)
    }
}
