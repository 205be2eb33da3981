//! Brings a bundle into staging and proves it there; nothing of the mirror changes yet.

use super::{medium, refuse, staged_file, staged_head};
use crate::carrier::{Carrier, Delivered, Opener, What, fault_of_carrier};
use crate::context::{Context, Event};
use crate::error::{Error, ErrorKind, Result};
use crate::head::header_error;
use crate::manifest_reader::{ManifestReader, Next};
use crate::mirror::Mirror;
use crate::module_zip::Prover;
use crate::source::Source;
use crate::tape;
use crate::work_queue::WorkQueue;
use modferry_format::check::{self, Checker};
use modferry_format::finding::{Finding, FindingKind};
use modferry_format::header::Header;
use modferry_format::ledger::{Ledger, Line};
use modferry_format::manifest::Entry;
use modferry_format::requires::Requires;
use modferry_format::root::{BUNDLE, HeadFile, Root};
use modferry_format::{BundleId, BundlePath, FileSha256, H1, ModulePath};
use sha2::{Digest, Sha256};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Findings that an error repeats; verify names all.
const MAX_CAUSES: usize = 10;

/// The head files of a bundle, copied into staging and as `BUNDLE` states them.
pub(crate) struct Head {
    pub(crate) id: BundleId,
    pub(crate) header: Header,
    pub(crate) requires: Requires,
    sums: Source,
    sizes: Source,
}

impl Head {
    /// Copies the head files; one that is not as `BUNDLE` states ends the import.
    pub(crate) fn stage(
        carrier: &dyn Carrier,
        mirror: &Mirror<'_>,
        id: &BundleId,
        root: &Root,
        bundle: &[u8],
    ) -> Result<Self> {
        let mut writer = mirror.durable().create(&staged_head(id, BUNDLE))?;
        writer.write_all(bundle)?;
        writer.finish()?;
        let mut staged = BTreeMap::new();
        for file in HeadFile::ALL {
            let source = match carrier.head(file.name()) {
                Ok(Some(source)) if source.size() <= file.max_bytes() => source,
                Ok(Some(_)) => return Err(refuse(carrier, file.name(), "larger than the format allows")),
                Ok(None) => return Err(refuse(carrier, file.name(), "missing")),
                Err(error) => return Err(medium(carrier, file.name(), &error)),
            };
            let path = staged_head(id, file.name());
            let hash = copy(carrier, file.name(), Box::new(move || Ok(source)), mirror, &path)?;
            if hash != root.sum(file) {
                return Err(refuse(
                    carrier,
                    file.name(),
                    &format!("has sha256 {hash}, BUNDLE states {}", root.sum(file)),
                ));
            }
            staged.insert(file, open(mirror, &path)?);
        }
        let read = |file: HeadFile| {
            let full = mirror.durable().full(&staged_head(id, file.name()));
            staged[&file].read_all(file.max_bytes()).map_err(|error| Error::io(&full, "could not be read", &error))
        };
        let header = Header::parse(&read(HeadFile::BundleJson)?).map_err(|error| header_error(carrier, &error))?;
        let requires = String::from_utf8_lossy(&read(HeadFile::Requires)?).parse().map_err(
            |invalid: modferry_format::Invalid| refuse(carrier, HeadFile::Requires.name(), &invalid.to_string()),
        )?;
        Ok(Self {
            id: *id,
            header,
            requires,
            sums: staged[&HeadFile::Sha256Sums].clone(),
            sizes: staged[&HeadFile::Sizes].clone(),
        })
    }

    /// The manifest, from its start.
    fn manifest(&self) -> ManifestReader {
        ManifestReader::new(self.sums.clone(), self.sizes.clone())
    }

    /// All entries; a line that breaks the grammar ends the import.
    fn entries(&self, mut each: impl FnMut(Entry) -> Result<()>) -> Result<()> {
        let mut manifest = self.manifest();
        loop {
            match manifest.advance() {
                Ok(Next::Entry(entry)) => each(entry)?,
                Ok(Next::End) => return Ok(()),
                Ok(Next::Bad(file, reason)) => {
                    return Err(Error::new(ErrorKind::BundleInvalid, format!("bundle: {file}: {reason}")));
                }
                Err(error) => {
                    return Err(
                        Error::new(ErrorKind::Io, "staging: the manifest could not be read").because(error.to_string())
                    );
                }
            }
        }
    }
}

fn open(mirror: &Mirror<'_>, path: &Path) -> Result<Source> {
    let full = mirror.durable().full(path);
    let open = || {
        let file = File::open(&full)?;
        let size = file.metadata()?.len();
        Ok(Source::whole(file, size))
    };
    open().map_err(|error: std::io::Error| Error::io(&full, "could not be opened", &error))
}

/// Copies bytes into staging and gives their hash.
fn copy(carrier: &dyn Carrier, name: &str, bytes: Opener, mirror: &Mirror<'_>, to: &Path) -> Result<FileSha256> {
    let mut writer = mirror.durable().create(to)?;
    let mut sha256 = Sha256::new();
    // A failure of the mirror's own disk is another thing than one of the medium.
    let mut own = None;
    let passed = bytes.pass(&mut |part| {
        sha256.update(part);
        writer.write_all(part).map_err(|error| {
            own = Some(error);
            io::Error::other("the copy failed")
        })
    });
    match (own, passed) {
        (Some(own), _) => return Err(own),
        (None, Err(error)) => return Err(medium(carrier, name, &fault_of_carrier(error)?)),
        (None, Ok(())) => {}
    }
    writer.finish()?;
    Ok(FileSha256::from_digest(sha256.finalize().into()))
}

/// What an import would bring, from manifest and ledger alone.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) new_files: u64,
    pub(crate) new_bytes: u64,
    /// Directories and derived files, an upper bound.
    pub(crate) new_dirs: u64,
    pub(crate) known_files: u64,
}

impl Plan {
    pub(crate) fn make(head: &Head, mirror: &Mirror<'_>) -> Result<Self> {
        let mut plan = Self::default();
        let mut ledgers = Ledgers::new(mirror);
        let mut last_module: Option<ModulePath> = None;
        head.entries(|entry| {
            if !is_published(&entry.path) {
                return Ok(());
            }
            if ledgers.knows(&entry)? {
                plan.known_files += 1;
                return Ok(());
            }
            plan.new_files += 1;
            plan.new_bytes += entry.size;
            if entry.path.module() != last_module.as_ref() {
                last_module = entry.path.module().cloned();
                // At most: its path elements in download/ and ledger/, both also in staging, and three derived files.
                plan.new_dirs += 4 * (entry.path.to_string().matches('/').count() as u64) + 3;
            }
            Ok(())
        })?;
        Ok(plan)
    }
}

/// Whether a file is published as it is; lists and the like are derived, extras stay with the evidence.
pub(crate) fn is_published(path: &BundlePath) -> bool {
    path.is_immutable() && path.module().is_some()
}

/// The ledger of the module at hand; files of one module stand together in a manifest.
struct Ledgers<'a> {
    mirror: &'a Mirror<'a>,
    current: Option<(ModulePath, Ledger)>,
}

impl<'a> Ledgers<'a> {
    fn new(mirror: &'a Mirror<'a>) -> Self {
        Self { mirror, current: None }
    }

    fn line(&mut self, path: &BundlePath) -> Result<Option<Line>> {
        let (Some(module), Some(name)) = (path.module(), Ledger::name_of(path)) else { return Ok(None) };
        if self.current.as_ref().is_none_or(|(current, _)| current != module) {
            self.current = Some((module.clone(), self.mirror.ledger(module)?));
        }
        Ok(self.current.as_ref().and_then(|(_, ledger)| ledger.get(&name)).cloned())
    }

    /// Whether the very same bytes are published, and there.
    fn knows(&mut self, entry: &Entry) -> Result<bool> {
        let same = self.line(&entry.path)?.is_some_and(|line| line.sha256 == entry.sha256);
        Ok(same && self.mirror.path().join(entry.path.to_string()).is_file())
    }
}

/// A file that is staged, and what was proved of it.
#[derive(Debug, Clone)]
pub(crate) struct Proved {
    pub(crate) entry: Entry,
    pub(crate) h1: Option<H1>,
}

/// Everything that is staged.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    /// Files to publish, by module.
    pub(crate) files: BTreeMap<ModulePath, Vec<Proved>>,
    /// All modules of the bundle.
    pub(crate) modules: BTreeSet<ModulePath>,
    /// Files to keep with the evidence.
    pub(crate) extras: Vec<BundlePath>,
    /// Files of the bundle that are published, new or not.
    pub(crate) published: u64,
}

/// A bundle on its way into staging.
pub(crate) struct Stage<'a> {
    pub(crate) carrier: &'a dyn Carrier,
    pub(crate) mirror: &'a Mirror<'a>,
    pub(crate) head: &'a Head,
    pub(crate) context: &'a Context<'a>,
}

/// A file for a worker: to copy and prove, or to prove where it is staged already.
struct Job {
    entry: Entry,
    bytes: Option<Opener>,
}

/// Where what is met on the way through a bundle goes.
struct Sinks<'a> {
    staged: &'a mut Staged,
    shared: &'a Mutex<Shared>,
    queue: &'a WorkQueue<Job>,
}

/// What was judged, or what is wrong with it; an error is one of reading or writing.
type Judged<T> = Result<std::result::Result<T, (FindingKind, String)>>;

/// What the threads have found.
#[derive(Default)]
struct Shared {
    files: Vec<Proved>,
    findings: Vec<Finding>,
    failed: Option<Error>,
    bytes: u64,
}

impl Stage<'_> {
    /// Stages everything; anything that is wrong with the bundle is an error that names the first of it.
    pub(crate) fn run(&self) -> Result<Staged> {
        let mut staged = Staged::default();
        let shared = Mutex::new(Shared::default());
        let jobs = self.context.jobs.max(1);
        let queue = if self.carrier.passes_once() { WorkQueue::with_room(jobs) } else { WorkQueue::default() };
        let mut checker = Checker::new(&self.head.header);
        thread::scope(|scope| {
            let work = || {
                let mut prover = Prover::default();
                while let Some(job) = queue.take() {
                    self.job(job, &mut prover, &shared);
                }
            };
            let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            let walked = self.walk(&mut staged, &mut checker, &shared, &queue);
            queue.close();
            for worker in workers {
                // A mistake of ours must not end in an import without what that worker had in hand.
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
            walked
        })?;
        self.context.interrupt.check()?;
        let mut shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = shared.failed {
            return Err(error);
        }
        shared.findings.extend(checker.finish());
        // Owner, mode and time in a tar change nothing: they are for verify to name.
        let carrier = self.carrier.findings().into_iter().filter(|finding| finding.kind != FindingKind::CarrierForm);
        shared.findings.extend(carrier);
        shared.findings.sort();
        if let Some((first, more)) = shared.findings.split_first() {
            let error = refuse(self.carrier, &first.subject.escape_debug().to_string(), &first.detail);
            let left = more.len().saturating_sub(MAX_CAUSES);
            let error =
                more.iter().take(MAX_CAUSES).fold(error, |error, finding| error.because(format!("also {finding}")));
            return Err(if left > 0 { error.because(format!("and {left} more")) } else { error });
        }
        for file in shared.files {
            // Only files of modules are published in this draft.
            if let Some(module) = file.entry.path.module() {
                staged.files.entry(module.clone()).or_default().push(file);
            }
        }
        staged.files.values_mut().for_each(|files| files.sort_by(|a, b| a.entry.path.cmp(&b.entry.path)));
        Ok(staged)
    }

    fn walk(
        &self,
        staged: &mut Staged,
        checker: &mut Checker<'_>,
        shared: &Mutex<Shared>,
        queue: &WorkQueue<Job>,
    ) -> Result<()> {
        let mut ledgers = Ledgers::new(self.mirror);
        let mut to = Sinks { staged, shared, queue };
        let find = |path: &str, kind, detail: String| lock(shared).findings.push(Finding::new(path, kind, detail));
        let stray = |delivered: &Delivered| match &delivered.what {
            What::Unreadable(error) => find(&delivered.path, FindingKind::Unreadable, error.to_string()),
            What::Other(kind) => {
                find(&delivered.path, FindingKind::NotAFile, format!("is {kind}; a bundle has only files"))
            }
            What::File(..) => find(&delivered.path, FindingKind::Extra, "is not in SHA256SUMS".to_owned()),
        };
        let mut content = self
            .carrier
            .content()?
            .filter(|delivered| {
                let good = delivered.path.parse::<BundlePath>().is_ok();
                // The end of a broken carrier is among the findings of the carrier.
                let is_end = delivered.path == self.carrier.name() && self.carrier.is_broken();
                if !good && !is_end {
                    stray(delivered);
                }
                good
            })
            .peekable();
        let (mut done, mut bytes) = (0, 0);
        self.head.entries(|entry| {
            self.context.interrupt.check()?;
            if let Some(error) = lock(shared).failed.take() {
                return Err(error);
            }
            let path = entry.path.to_string();
            while let Some(extra) =
                content.next_if(|delivered| BundlePath::order(&delivered.path, &path) == Ordering::Less)
            {
                stray(&extra);
            }
            let delivered = content.next_if(|delivered| delivered.path == path);
            let seen = match delivered.map(|delivered| delivered.what) {
                Some(What::File(size, open)) if size == entry.size => {
                    self.file(&entry, &path, open, &mut ledgers, &mut to)?
                }
                Some(What::File(size, _)) => {
                    find(&path, FindingKind::Size, format!("has {size} bytes, SIZES states {}", entry.size));
                    None
                }
                Some(What::Other(kind)) => {
                    find(&path, FindingKind::NotAFile, format!("is {kind}; a bundle has only files"));
                    None
                }
                Some(What::Unreadable(error)) => {
                    find(&path, FindingKind::Unreadable, error.to_string());
                    None
                }
                // Of what a broken carrier does not bring nobody can say that it is missing.
                None if self.carrier.is_broken() => None,
                None => {
                    find(&path, FindingKind::Missing, "missing".to_owned());
                    None
                }
            };
            if let Some(seen) = &seen
                && FileSha256::of(seen) != entry.sha256
            {
                find(
                    &path,
                    FindingKind::Hash,
                    format!("has sha256 {}, SHA256SUMS states {}", FileSha256::of(seen), entry.sha256),
                );
            }
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
        content.for_each(|delivered| stray(&delivered));
        Ok(())
    }

    /// Reads a small text at once, hands a new file to a worker; gives the bytes that the rules look at.
    fn file(
        &self,
        entry: &Entry,
        path: &str,
        open: Opener,
        ledgers: &mut Ledgers<'_>,
        to: &mut Sinks<'_>,
    ) -> Result<Option<Vec<u8>>> {
        to.staged.modules.extend(entry.path.module().cloned());
        let published = is_published(&entry.path);
        let known = published && ledgers.knows(entry)?;
        to.staged.published += u64::from(published);
        if let BundlePath::Extra(_) = &entry.path {
            to.staged.extras.push(entry.path.clone());
        }
        let wanted = check::wants_bytes(&entry.path);
        if known && wanted.is_none() {
            return Ok(None);
        }
        let Some(limit) = wanted else {
            let job = if self.carrier.passes_once() {
                // Copied now: it will have passed by later.
                if let Err((kind, detail)) = self.bring(entry, path, open)? {
                    lock(to.shared).findings.push(Finding::new(path, kind, detail));
                    return Ok(None);
                }
                Job { entry: entry.clone(), bytes: None }
            } else {
                Job { entry: entry.clone(), bytes: Some(open) }
            };
            to.queue.add(entry.size, job);
            return Ok(None);
        };
        let bytes = open.open().and_then(|source| source.read_all(limit));
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => return Err(medium(self.carrier, path, &fault_of_carrier(error)?)),
        };
        if published && !known {
            let bytes = bytes.clone();
            let mut writer = self.mirror.durable().create(&staged_file(&self.head.id, path))?;
            writer.write_all(&bytes)?;
            writer.finish()?;
            let file = Proved { entry: entry.clone(), h1: None };
            to.staged.files.entry(module_of(&file)).or_default().push(file);
        }
        Ok(Some(bytes))
    }

    /// What a worker does with one file.
    fn job(&self, job: Job, prover: &mut Prover, shared: &Mutex<Shared>) {
        if self.context.interrupt.is_set() || lock(shared).failed.is_some() {
            return;
        }
        let path = job.entry.path.to_string();
        let brought = job.bytes.map_or(Ok(Ok(())), |bytes| self.bring(&job.entry, &path, bytes));
        let proved = brought.and_then(|brought| match brought {
            Ok(()) => self.prove(&job.entry, &path, prover),
            Err(wrong) => Ok(Err(wrong)),
        });
        match proved {
            Ok(Ok(h1)) => {
                let mut shared = lock(shared);
                shared.bytes += job.entry.size;
                shared.files.push(Proved { entry: job.entry, h1 });
            }
            Ok(Err((kind, detail))) => lock(shared).findings.push(Finding::new(path, kind, detail)),
            Err(error) => lock(shared).failed = Some(error),
        }
    }

    /// Copies and hashes one file; or takes the copy that an earlier import has left, if it is the same.
    fn bring(&self, entry: &Entry, path: &str, bytes: Opener) -> Judged<()> {
        let to = staged_file(&self.head.id, path);
        let left = open(self.mirror, &to).ok().filter(|left| left.size() == entry.size);
        if left.is_some_and(|left| tape::hash(&left, left.size()).is_ok_and(|hash| hash == entry.sha256)) {
            return Ok(Ok(()));
        }
        let hash = copy(self.carrier, path, bytes, self.mirror, &to)?;
        if hash != entry.sha256 {
            return Ok(Err((FindingKind::Hash, format!("has sha256 {hash}, SHA256SUMS states {}", entry.sha256))));
        }
        Ok(Ok(()))
    }

    /// Makes the h1 of what is staged, from the staged bytes.
    fn prove(&self, entry: &Entry, path: &str, prover: &mut Prover) -> Judged<Option<H1>> {
        let to = staged_file(&self.head.id, path);
        let staged = open(self.mirror, &to)?;
        let failed = |error: std::io::Error| Error::io(&self.mirror.durable().full(&to), "could not be read", &error);
        match &entry.path {
            BundlePath::Zip(version) => {
                let h1 = prover.h1(version, &staged, staged.size()).map_err(failed)?;
                Ok(h1.map(Some).map_err(|reason| (FindingKind::Zip, reason)))
            }
            BundlePath::Mod(_) => {
                let bytes = staged.read_all(modferry_format::go_mod::MAX_BYTES).map_err(failed)?;
                Ok(Ok(Some(H1::of_go_mod(&bytes))))
            }
            _ => Ok(Ok(None)),
        }
    }
}

fn module_of(file: &Proved) -> ModulePath {
    file.entry.path.module().cloned().expect("only files of modules are published")
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Staged {
    /// Compares identities with what is published. The same in other bytes is kept and named; another one is an
    /// incident that ends the import. What stays is what is to be published.
    pub(crate) fn judge(&self, carrier: &dyn Carrier, mirror: &Mirror<'_>) -> Result<Vec<String>> {
        let (mut kept, mut incidents) = (Vec::new(), Vec::new());
        for (module, files) in &self.files {
            let ledger = mirror.ledger(module)?;
            for file in files {
                let Some(known) = Ledger::name_of(&file.entry.path).and_then(|name| ledger.get(&name).cloned()) else {
                    continue;
                };
                if known.sha256 == file.entry.sha256 {
                    continue;
                }
                let path = file.entry.path.to_string();
                let same = match &file.entry.path {
                    BundlePath::Zip(_) => known.h1.is_some() && known.h1 == file.h1,
                    // The version is in the name, and the rules have held the text to it.
                    BundlePath::Info(_) => true,
                    _ => false,
                };
                if same {
                    kept.push(path);
                    continue;
                }
                let hash = |sha256: &FileSha256, h1: &Option<H1>| {
                    h1.map_or_else(|| format!("sha256 {sha256}"), |h1| h1.to_string())
                };
                incidents.push(format!(
                    "{path}: the mirror has {} from bundle {}, this bundle has {}",
                    hash(&known.sha256, &known.h1),
                    known.bundle,
                    hash(&file.entry.sha256, &file.h1)
                ));
            }
        }
        let Some(first) = incidents.first() else { return Ok(kept) };
        let message = format!("{}: {}", carrier.name(), first);
        let error =
            incidents.iter().skip(1).take(MAX_CAUSES).fold(Error::new(ErrorKind::Incident, message), Error::because);
        Err(error.hint(
            "the same version with another content: one of the two was changed after it was published; nothing was imported, \
             find out which bundle is right",
        ))
    }
}
