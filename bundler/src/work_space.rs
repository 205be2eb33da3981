//! The place where a bundle is made: one directory per run below the user's cache directory, locked while it is used.
//!
//! ```text
//! CACHE/lock                   held for a moment when a run begins
//! CACHE/run-XXXXXX/lock        held while the run lives; the system lets go of it however the run ends
//! CACHE/run-XXXXXX/modules     GOMODCACHE of the child go
//! CACHE/run-XXXXXX/path        its GOPATH
//! CACHE/run-XXXXXX/build       its GOCACHE
//! CACHE/run-XXXXXX/scratch     copies of go.mod files
//! ```
//!
//! A run that ends well leaves nothing. One that does not leaves its zips; the next run hashes them again and takes
//! the good ones as a source, so nothing has to be fetched twice.

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::go_command::{Caches, Sources};
use crate::jobs;
use crate::module_cache;
use crate::source::Source;
use modferry_format::{BundlePath, H1};
use modferry_prove::Prover;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

const RUN_PREFIX: &str = "run-";
const LOCK: &str = "lock";

/// A directory of one run, ours until dropped.
pub struct WorkSpace {
    dir: PathBuf,
    leftovers: Vec<Leftover>,
    _lock: File,
}

/// What an earlier run that did not end well has left, ours as well until dropped.
struct Leftover {
    dir: PathBuf,
    zips: u64,
    bytes: u64,
    _lock: File,
}

impl WorkSpace {
    /// Where runs are kept: the directory of the user's choice, else `modferry` in the user's cache directory.
    pub fn cache_dir(chosen: Option<&Path>, context: &Context<'_>) -> Result<PathBuf> {
        match chosen {
            Some(dir) => std::path::absolute(dir).map_err(|error| Error::io(dir, "could not be made absolute", &error)),
            None => context.environment.user_cache_dir().map(|dir| dir.join("modferry")).ok_or_else(|| {
                Error::new(ErrorKind::Usage, "cache directory: neither XDG_CACHE_HOME nor HOME is set")
                    .hint("name a directory for the work: --cache-dir DIR")
            }),
        }
    }

    /// Makes a directory for this run, and takes over what earlier ones have left.
    pub fn open(cache: &Path, context: &Context<'_>) -> Result<Self> {
        let elsewhere = |error: Error| error.hint("name another directory for the work: --cache-dir DIR");
        fs::create_dir_all(cache)
            .map_err(|error| elsewhere(Error::io(cache, "the cache directory could not be made", &error)))?;
        // Held for a moment, so that nobody takes a run that has no lock yet for a dead one.
        let gate = File::create(cache.join(LOCK))
            .map_err(|error| elsewhere(Error::io(cache, "the cache directory could not be locked", &error)))?;
        gate.lock().map_err(|error| Error::io(cache, "the cache directory could not be locked", &error))?;
        let dir = tempfile::Builder::new()
            .prefix(RUN_PREFIX)
            .tempdir_in(cache)
            .map_err(|error| elsewhere(Error::io(cache, "a directory for this run could not be made", &error)))?
            .keep();
        let lock = lock(&dir)?;
        let claimed = claim_dead_runs(cache, &dir);
        // From here on others may look: every run that lives has its lock.
        drop(gate);
        let mut space = Self { dir, leftovers: Vec::new(), _lock: lock };
        for name in ["modules", "path", "build", "scratch"] {
            let path = space.dir.join(name);
            fs::create_dir(&path).map_err(|error| Error::io(&path, "could not be made", &error))?;
        }
        space.leftovers = claimed.into_iter().filter_map(|(dir, lock)| take_over(dir, lock, context)).collect();
        Ok(space)
    }

    /// The caches of the child go.
    pub fn caches(&self) -> Caches {
        Caches { modules: self.dir.join("modules"), path: self.dir.join("path"), build: self.dir.join("build") }
    }

    /// A new directory for a copy of a go.mod.
    pub fn scratch(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join("scratch").join(name);
        fs::create_dir(&dir).map_err(|error| Error::io(&dir, "could not be made", &error))?;
        Ok(dir)
    }

    /// Zips of earlier runs, in the layout of the download API.
    pub fn sources(&self) -> Sources {
        self.leftovers.iter().map(|leftover| leftover.dir.join("modules/cache/download")).collect()
    }

    /// Zips and bytes that earlier runs have left.
    pub fn left(&self) -> (u64, u64) {
        self.leftovers.iter().fold((0, 0), |(zips, bytes), left| (zips + left.zips, bytes + left.bytes))
    }

    /// Bytes that the files of this run take.
    pub fn bytes(&self) -> u64 {
        let sizes = WalkDir::new(&self.dir).into_iter().flatten().filter_map(|entry| entry.metadata().ok());
        sizes.filter(fs::Metadata::is_file).map(|meta| meta.len()).sum()
    }

    /// Ends a run that did its work: removes it and what was left of others, on so many threads.
    pub fn remove(self, jobs: usize) -> Result<()> {
        for dir in self.leftovers.iter().map(|leftover| &leftover.dir).chain([&self.dir]) {
            // Most of it lies in the directories of modules; what is not gone after this is removed, or told, below.
            let parts = WalkDir::new(dir).min_depth(PART_DEPTH).max_depth(PART_DEPTH).into_iter().flatten();
            let parts: Vec<PathBuf> =
                parts.filter(|entry| entry.file_type().is_dir()).map(walkdir::DirEntry::into_path).collect();
            jobs::map(jobs, parts, |(): &mut (), part: &PathBuf| remove_tree(part));
            remove_tree(dir).map_err(|error| Error::io(dir, "the work directory could not be removed", &error))?;
        }
        Ok(())
    }

    /// Ends a run that failed: keeps the zips that have arrived, and says how many and how large they are.
    pub fn keep_zips(self) -> (u64, u64) {
        for name in ["path", "build", "scratch"] {
            // What cannot be removed now is removed by the next run.
            let _ = remove_tree(&self.dir.join(name));
        }
        remove_extracted(&self.caches().modules);
        let own = zips(&self.dir);
        // A zip that an earlier run has left lies in this one as well once go has taken it over.
        let mut kept = BTreeMap::new();
        for dir in self.leftovers.iter().map(|leftover| &leftover.dir).chain([&self.dir]) {
            for zip in zips(dir) {
                let bytes = fs::metadata(&zip).map_or(0, |meta| meta.len());
                kept.insert(zip.strip_prefix(dir).unwrap_or(&zip).to_owned(), bytes);
            }
        }
        if own.is_empty() {
            let _ = remove_tree(&self.dir);
        }
        (kept.len() as u64, kept.values().sum())
    }
}

/// Removes what go has extracted; only the zips are worth keeping.
pub fn remove_extracted(modules: &Path) {
    let Ok(entries) = fs::read_dir(modules) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name() != "cache") {
        let _ = remove_tree(&entry.path());
    }
}

/// How deep below a run its directories are removed side by side: `modules/cache/download/HOST/OWNER`.
const PART_DEPTH: usize = 5;

/// Removes a directory with everything in it; it may be gone already.
fn remove_tree(dir: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Locks a run's directory; held until the file is dropped or the process ends.
fn lock(dir: &Path) -> Result<File> {
    let file = File::create(dir.join(LOCK)).map_err(|error| Error::io(dir, "could not be locked", &error))?;
    file.try_lock().map_err(|error| Error::io(dir, "could not be locked", &error.into()))?;
    Ok(file)
}

/// Finds the runs that nobody holds any more and holds them, also those that were killed before they had a lock.
fn claim_dead_runs(cache: &Path, own: &Path) -> Vec<(PathBuf, File)> {
    let Ok(entries) = fs::read_dir(cache) else { return Vec::new() };
    let runs = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(RUN_PREFIX));
    let dirs = runs.map(|entry| entry.path()).filter(|dir| dir != own);
    dirs.filter_map(|dir| lock(&dir).ok().map(|lock| (dir, lock))).collect()
}

/// Makes a source of what a dead run has left, or removes it where there is no good zip.
fn take_over(dir: PathBuf, lock: File, context: &Context<'_>) -> Option<Leftover> {
    let (zips, bytes) = keep_good_zips(&dir, context);
    if zips == 0 {
        let _ = remove_tree(&dir);
        return None;
    }
    Some(Leftover { dir, zips, bytes, _lock: lock })
}

/// Removes everything but the zips whose h1 is the one that go wrote beside them. After a power loss the end of a
/// file can be missing though its name is there, so what lies there counts only after it is hashed.
fn keep_good_zips(dir: &Path, context: &Context<'_>) -> (u64, u64) {
    for name in ["path", "build", "scratch"] {
        let _ = remove_tree(&dir.join(name));
    }
    remove_extracted(&dir.join("modules"));
    let download = dir.join("modules/cache/download");
    let good = jobs::map(context.jobs, zips(dir), |prover: &mut Prover, zip: &PathBuf| is_good(prover, &download, zip));
    let mut kept = (0, 0);
    for (zip, size) in good {
        match size {
            Some(size) => kept = (kept.0 + 1, kept.1 + size),
            None => {
                let _ = fs::remove_file(zip.with_extension("ziphash"));
                let _ = fs::remove_file(&zip);
            }
        }
    }
    // A go.mod or info cut short would stop go for good; they are small and fetched again.
    for entry in WalkDir::new(&download).into_iter().flatten().filter(|entry| entry.file_type().is_file()) {
        if entry.path().extension().is_none_or(|extension| extension != "zip" && extension != "ziphash") {
            let _ = fs::remove_file(entry.path());
        }
    }
    kept
}

fn zips(dir: &Path) -> Vec<PathBuf> {
    let entries = WalkDir::new(dir.join("modules/cache/download")).sort_by_file_name().into_iter().flatten();
    entries
        .filter(|entry| {
            entry.file_type().is_file() && entry.path().extension().is_some_and(|extension| extension == "zip")
        })
        .map(walkdir::DirEntry::into_path)
        .collect()
}

/// The size of a zip that is what go once found it to be.
fn is_good(prover: &mut Prover, download: &Path, zip: &Path) -> Option<u64> {
    let stated: H1 = fs::read_to_string(zip.with_extension("ziphash")).ok()?.trim().parse().ok()?;
    let BundlePath::Zip(version) = module_cache::bundle_path(download, zip)? else { return None };
    let file = File::open(zip).ok()?;
    let size = file.metadata().ok()?.len();
    let proof = prover.prove(&version, &Source::whole(file, size), size, None).ok()?;
    (proof.h1.ok()? == stated).then_some(size)
}
