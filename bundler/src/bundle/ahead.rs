//! Fetches the zips of a build list before go asks for them: go has few workers, and what it does beside is most of its
//! time (closure.md 6: the same files come 4 to 9 times faster with 16 plain requests).
//!
//! A zip is put into the child's module cache as go itself would have put it there, with its h1 beside it; who verifies that
//! h1 against the checksum database says [`Verify`](crate::bundle::Verify). What cannot be had in this
//! way is left to go: modules of GONOPROXY, `direct`, whatever a proxy refuses, zips that are not good. So nothing here is
//! an error but a full disk and an interruption.
//!
//! 1. directories with exact versions (the user's module cache, what an earlier run has left), if their own `.ziphash` and
//!    whatever is stated about the version agree
//! 2. the proxies of GOPROXY, in order, as go falls from one to the next

use crate::bundle::small_file::{self, Text};
use crate::context::{Context, Event};
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::proxy_list::{Entry, ProxyList};
use crate::fetch::remote::{Base, Passed, Reader};
use crate::go_command::Settings;
use crate::jobs;
use crate::large_file::{self, Buffers, LargeFile};
use crate::module_cache;
use crate::skeleton::Unpacker;
use crate::source::Source;
use modferry_format::go_sum::{GoSum, Subject};
use modferry_format::info::Info;
use modferry_format::sumdb::record::{self, Lookup};
use modferry_format::zip_names::MAX_ZIP_BYTES;
use modferry_format::{H1, ModuleVersion, patterns};
use modferry_prove::{Proof, Prover};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Zips fetched at a time, unless the user says another number; more brings nothing (measured).
const REQUESTS: usize = 16;
/// Times that a proxy is asked for a zip before it is left to go.
pub(super) const ATTEMPTS: u32 = 4;

/// How many zips are fetched at a time.
pub(crate) fn requests(context: &Context<'_>) -> usize {
    context.requests.unwrap_or(REQUESTS)
}

/// What is made of a zip where go would unpack it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trees {
    /// Nothing: no command will load its packages.
    None,
    /// The heads of its Go files, for loading packages.
    Heads,
}

/// The buffers of one thread.
#[derive(Default)]
struct Worker {
    prover: Prover,
    unpacker: Unpacker,
}

/// What it takes to fetch ahead.
pub(crate) struct Ahead<'a> {
    pub(super) proxies: ProxyList,
    /// GONOPROXY: modules that go gets from their origin.
    pub(super) not_by_proxy: String,
    /// GOSUMDB's name, for the lookups in the child's cache.
    pub(super) database: Option<String>,
    module_cache: &'a Path,
    pub(super) reader: Reader<'a>,
    context: &'a Context<'a>,
    done: Mutex<BTreeMap<ModuleVersion, Done>>,
    /// Zips that ended in an outage while none came: so many, and go is left to it.
    outages: AtomicU64,
    buffers: Buffers,
    /// Whether zips that are copied are read again before the bundle is whole.
    reads_again: bool,
}

/// A zip that was put into the child's cache.
struct Done {
    proof: Proof,
    is_local: bool,
}

impl<'a> Ahead<'a> {
    pub(crate) fn new(settings: &Settings, module_cache: &'a Path, context: &'a Context<'a>) -> Self {
        let patience = crate::fetch::Patience::default();
        let requests = requests(context);
        let reader = Reader::new(&context.environment, settings.get("GOAUTH"), patience, requests, &context.interrupt);
        let database = settings.database_key().ok().flatten().map(|key| key.name().to_string());
        Self {
            proxies: ProxyList::parse(settings.get("GOPROXY")),
            not_by_proxy: settings.get("GONOPROXY").to_owned(),
            database,
            module_cache,
            reader,
            context,
            done: Mutex::default(),
            outages: AtomicU64::new(0),
            buffers: Buffers::default(),
            reads_again: true,
        }
    }

    /// The same where each zip just gets another name in the end, if `reads_again` is false.
    pub(crate) fn reading_again(self, reads_again: bool) -> Self {
        Self { reads_again, ..self }
    }

    /// Fetches what is not there yet of these versions.
    pub(crate) fn fetch(
        &self,
        versions: &[ModuleVersion],
        sources: &[PathBuf],
        go_sum: &GoSum,
        trees: Trees,
    ) -> Result<()> {
        let is_wanted = |version: &&ModuleVersion| {
            let has_tree = || trees == Trees::None || module_cache::extracted_dir(self.module_cache, version).exists();
            !module_cache::zip_file(self.module_cache, version).exists() || !has_tree()
        };
        let wanted: Vec<ModuleVersion> = versions.iter().filter(is_wanted).cloned().collect();
        let (done, bytes, total) = (AtomicU64::new(0), AtomicU64::new(0), wanted.len() as u64);
        let work = |worker: &mut Worker, version: &ModuleVersion| {
            self.context.interrupt.check()?;
            let fetched = self.one(&mut worker.prover, version, sources, go_sum, trees);
            if trees == Trees::Heads && matches!(fetched, Ok(Some(_))) {
                let dir = module_cache::extracted_dir(self.module_cache, version);
                worker.unpacker.unpack(&module_cache::zip_file(self.module_cache, version), version, &dir)?;
            }
            let fetched = match fetched {
                Err(error) if matches!(error.kind, ErrorKind::NoSpace | ErrorKind::Interrupted) => return Err(error),
                fetched => fetched.ok().flatten().unwrap_or_default(),
            };
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            let bytes = bytes.fetch_add(fetched, Ordering::Relaxed) + fetched;
            let current = version.to_string();
            self.context.progress.event(Event::Progress { done, total, bytes, current: &current });
            Ok(())
        };
        let results = self.reader.stoppable(|| jobs::map(requests(self.context), wanted, work));
        results.into_iter().try_for_each(|(_, result)| result)
    }

    /// Sizes of zips that are not fetched, as upstream tells them; fewer than were asked for where it does not.
    pub(crate) fn sizes(&self, versions: &[ModuleVersion]) -> Result<Vec<u64>> {
        let size = |(): &mut (), version: &ModuleVersion| {
            self.context.interrupt.check()?;
            if patterns::matches(&self.not_by_proxy, version.path().as_str()) {
                return Ok(None);
            }
            for Entry { url, .. } in &self.proxies.entries {
                let base = Base::parse(url)?;
                if let Some(size) =
                    self.reader.size(&base, &small_file::on_the_wire(&base, &small_file::path(version, "zip")))
                {
                    return Ok(Some(size));
                }
            }
            Ok(None)
        };
        let sizes = self.reader.stoppable(|| jobs::map(requests(self.context), versions.to_vec(), size));
        sizes.into_iter().filter_map(|(_, size)| size.transpose()).collect()
    }

    /// Takes back what came from directories of this machine: something of it was not good.
    pub(crate) fn forget_local(&self) {
        self.lock().retain(|version, done| {
            if done.is_local {
                let zip = module_cache::zip_file(self.module_cache, version);
                // What stays is refused by go once more.
                let _ = fs::remove_file(zip.with_extension("ziphash"));
                let _ = fs::remove_file(zip);
                let _ = fs::remove_dir_all(module_cache::extracted_dir(self.module_cache, version));
            }
            !done.is_local
        });
    }

    /// The proofs of the zips, so that none is made twice.
    pub(crate) fn into_proofs(self) -> BTreeMap<ModuleVersion, Proof> {
        let done = self.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.into_iter().map(|(version, done)| (version, done.proof)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ModuleVersion, Done>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches one zip that is not there yet; gives its size, or none if it is left to go.
    fn one(
        &self,
        prover: &mut Prover,
        version: &ModuleVersion,
        sources: &[PathBuf],
        go_sum: &GoSum,
        trees: Trees,
    ) -> Result<Option<u64>> {
        let place = module_cache::zip_file(self.module_cache, version);
        if place.exists() {
            return Ok(Some(0));
        }
        let folder = place.parent().unwrap_or(self.module_cache);
        fs::create_dir_all(folder).map_err(|error| Error::io(folder, "could not be made", &error))?;
        let partial = place.with_extension("zip-ahead");
        let expected = self.expected(version, sources, go_sum);
        let mut found = None;
        for source in sources {
            found = self.local(prover, version, source, &partial, &expected, trees)?;
            if found.is_some() {
                break;
            }
        }
        let is_local = found.is_some();
        if found.is_none() && !patterns::matches(&self.not_by_proxy, version.path().as_str()) {
            found = self.remote(prover, version, &partial, &expected)?;
        }
        let Some((proof, h1)) = found else {
            let _ = fs::remove_file(&partial);
            return Ok(None);
        };
        let size = proof.size;
        let finish = || {
            fs::write(place.with_extension("ziphash"), h1.to_string())?;
            // Last, as go does it: a zip without its hash is fetched anew.
            fs::rename(&partial, &place)
        };
        finish().map_err(|error| Error::io(&place, "could not be written", &error))?;
        self.lock().insert(version.clone(), Done { proof, is_local });
        Ok(Some(size))
    }

    /// Copies a zip of a directory, if it is what its hash beside it says.
    fn local(
        &self,
        prover: &mut Prover,
        version: &ModuleVersion,
        source: &Path,
        partial: &Path,
        expected: &[H1],
        trees: Trees,
    ) -> Result<Option<(Proof, H1)>> {
        let name = format!("{}.zip", version.version().escaped());
        let zip = source.join(version.path().escaped()).join("@v").join(name);
        let stated: Option<H1> =
            fs::read_to_string(zip.with_extension("ziphash")).ok().and_then(|text| text.trim().parse().ok());
        let (Some(stated), Ok(zip)) = (stated, File::open(&zip)) else { return Ok(None) };
        let Ok(size) = zip.metadata().map(|meta| meta.len()) else { return Ok(None) };
        if !expected.is_empty() && !expected.contains(&stated) {
            return Ok(None);
        }
        let failed = |error: &io::Error| Error::io(partial, "could not be written", error);
        // What is read again soon is best in the page cache.
        let large = if self.reads_again || trees != Trees::None { 0 } else { size };
        let file = File::create(partial).map_err(|error| failed(&error))?;
        let mut copy = Copy { file: LargeFile::new(file, large, &self.buffers), failed: None };
        let proof = prover.prove(version, &Source::whole(zip, size), size, Some(&mut copy as &mut dyn Write));
        if let Some(error) = copy.failed {
            return Err(failed(&error));
        }
        // A file that cannot be read is no reason to stop: others have it too.
        let Ok(proof) = proof else { return Ok(None) };
        copy.file.finish().map_err(|error| failed(&error))?;
        Ok(proof.h1.as_ref().ok().copied().filter(|h1| *h1 == stated).map(|h1| (proof, h1)))
    }

    /// From the first proxy that has it.
    fn remote(
        &self,
        prover: &mut Prover,
        version: &ModuleVersion,
        partial: &Path,
        expected: &[H1],
    ) -> Result<Option<(Proof, H1)>> {
        let failed = |error: &io::Error| Error::io(partial, "could not be written", error);
        if self.outages.load(Ordering::Relaxed) >= requests(self.context) as u64 {
            return Ok(None);
        }
        for Entry { url, may_fail } in &self.proxies.entries {
            let base = Base::parse(url)?;
            let path = small_file::on_the_wire(&base, &small_file::path(version, "zip"));
            let mut file = File::create(partial).map_err(|error| failed(&error))?;
            // Where the next proxy is asked after any failure, that takes less time than this one's recovery.
            let attempts = if *may_fail { 1 } else { ATTEMPTS };
            match self.reader.pass(&base, &path, MAX_ZIP_BYTES, &mut file, attempts) {
                Ok(Passed::All(_)) => self.outages.store(0, Ordering::Relaxed),
                Ok(Passed::Absent(_)) => continue,
                Err(error) if matches!(error.kind, ErrorKind::NoSpace | ErrorKind::Interrupted) => return Err(error),
                Err(_) if *may_fail => continue,
                Err(_) => {
                    self.outages.fetch_add(1, Ordering::Relaxed);
                    return Ok(None);
                }
            }
            drop(file);
            return prove(prover, version, partial, expected);
        }
        Ok(None)
    }

    /// What is stated about the zip: by a go.sum, and by the lookups that go has made, for the graph or on this machine before.
    fn expected(&self, version: &ModuleVersion, sources: &[PathBuf], go_sum: &GoSum) -> Vec<H1> {
        let mut expected = go_sum.expected(&Subject::Zip(version.clone())).to_vec();
        if let Some(name) = &self.database {
            let lookup = format!("sumdb/{name}/lookup/{}@{}", version.path().escaped(), version.version().escaped());
            let own = module_cache::download_dir(self.module_cache);
            let found = [&own].into_iter().chain(sources).find_map(|download| {
                let bytes = small_file::read(&download.join(&lookup), record::MAX_BYTES as u64)?;
                Lookup::parse(&bytes, version).ok()
            });
            expected.extend(found.map(|lookup| lookup.record.zip));
        }
        expected
    }

    /// Fetches the infos of versions of which only the go.mod is there; what does not come is left to go.
    pub(crate) fn fetch_infos(&self, sources: &[PathBuf]) -> Result<()> {
        let versions = module_cache::versions(self.module_cache)?;
        let lacking = versions.into_iter().filter(|(_, files)| files.info.is_none() && files.go_mod.is_some());
        let lacking: Vec<_> = lacking.filter_map(|(version, files)| Some((version, files.go_mod?))).collect();
        let one = |(): &mut (), (version, go_mod): &(ModuleVersion, PathBuf)| {
            self.context.interrupt.check()?;
            let is_good = |bytes: &[u8]| small_file::is_info_of(version, bytes);
            match small_file::fetch(self, sources, version, "info", Info::MAX_BYTES, &is_good) {
                Ok(Text::Found(bytes)) if is_good(&bytes) => {
                    let place = go_mod.with_extension("info");
                    fs::write(&place, bytes).map_err(|error| Error::io(&place, "could not be written", &error))
                }
                Err(error) if error.kind == ErrorKind::Interrupted => Err(error),
                _ => Ok(()),
            }
        };
        let results = self.reader.stoppable(|| jobs::map(requests(self.context), lacking, one));
        results.into_iter().try_for_each(|(_, result)| result)
    }
}

/// Tells a failure to write from one to read.
struct Copy<'b> {
    file: LargeFile<'b>,
    failed: Option<io::Error>,
}

impl Write for Copy<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write_all(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                self.failed = Some(error);
                Err(io::Error::other("the copy failed"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Proves a zip that has come; none if it is not good, or not what is stated.
fn prove(prover: &mut Prover, version: &ModuleVersion, partial: &Path, expected: &[H1]) -> Result<Option<(Proof, H1)>> {
    let mut read = || {
        let file = File::open(partial)?;
        let size = file.metadata()?.len();
        large_file::send(&file, size);
        prover.prove(version, &Source::whole(file, size), size, None)
    };
    let proof = read().map_err(|error| Error::io(partial, "could not be read", &error))?;
    let h1 = proof.h1.as_ref().ok().copied().filter(|h1| expected.is_empty() || expected.contains(h1));
    Ok(h1.map(|h1| (proof, h1)))
}
