//! A model of a file system that loses what was not synced, and what must hold of a mirror at any instant.

use modferry::durable::{Step, Witness};
use modferry_format::sumdb::prove::Prover;
use modferry_format::sumdb::record::Lookup;
use modferry_format::{BundlePath, FileSha256};
use modferry_harness::database::Log;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tempfile::TempDir;
use walkdir::WalkDir;

/// In memory where there is such a place: these tests write thousands of small trees.
pub(crate) fn temporary() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// Notes every step.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<Step>>);

impl Recorder {
    pub(crate) fn steps(self) -> Vec<Step> {
        self.0.into_inner().unwrap()
    }
}

impl Witness for Recorder {
    fn before(&self, step: &Step) -> io::Result<()> {
        self.0.lock().unwrap().push(step.clone());
        Ok(())
    }
}

/// Refuses one step and every later one; a full disk lets things be removed.
pub(crate) struct Stopper {
    at: usize,
    with: io::ErrorKind,
    seen: Mutex<usize>,
}

impl Stopper {
    pub(crate) fn at(at: usize) -> Self {
        Self { at, with: io::ErrorKind::Other, seen: Mutex::new(0) }
    }

    /// Refuses with this error.
    pub(crate) fn with(self, with: io::ErrorKind) -> Self {
        Self { with, ..self }
    }
}

impl Witness for Stopper {
    fn before(&self, step: &Step) -> io::Result<()> {
        let mut seen = self.seen.lock().unwrap();
        *seen += 1;
        if self.with == io::ErrorKind::StorageFull && matches!(step, Step::Remove(_)) {
            return Ok(());
        }
        if *seen > self.at { Err(io::Error::new(self.with, "stopped by the test")) } else { Ok(()) }
    }
}

/// What a crash leaves of the steps before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Model {
    /// All of them: the system goes on without us.
    Killed,
    /// Those before the last sync.
    NothingUnsynced,
    /// Those before the last sync, and after it the names but not the bytes.
    NamesWithoutBytes,
}

/// Directories (no bytes) and files of a mirror, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Tree {
    pub(crate) fn read(root: &Path) -> Self {
        let mut tree = BTreeMap::new();
        for entry in WalkDir::new(root).min_depth(1) {
            let entry = entry.unwrap();
            let path = entry.path().strip_prefix(root).unwrap().to_owned();
            let bytes = entry.file_type().is_file().then(|| fs::read(entry.path()).unwrap());
            tree.insert(path, bytes);
        }
        Self(tree)
    }

    pub(crate) fn write(&self, root: &Path) {
        fs::create_dir_all(root).unwrap();
        for (path, bytes) in &self.0 {
            let full = root.join(path);
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            match bytes {
                Some(bytes) => fs::write(&full, bytes).unwrap(),
                None => fs::create_dir_all(&full).unwrap(),
            }
        }
    }

    /// Without everything whose path begins so.
    pub(crate) fn without(&self, prefix: &str) -> Self {
        let keep = |path: &Path| !path.to_string_lossy().starts_with(prefix);
        Self(self.0.iter().filter(|(path, _)| keep(path)).map(|(path, bytes)| (path.clone(), bytes.clone())).collect())
    }

    /// The files that an import is for. The index may name a version twice after a crash, the journal's time and
    /// staging's empty directories do not matter.
    fn lasting(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = self.0.iter().filter_map(|(path, bytes)| Some((path.clone(), bytes.clone()?)));
        let index = Path::new("ledger/@index.jsonl");
        let mut files: BTreeMap<PathBuf, Vec<u8>> = files.filter(|(path, _)| !path.starts_with("staging")).collect();
        if let Some(text) = files.get_mut(index) {
            let lines: BTreeSet<&[u8]> =
                text.split(|&byte| byte == b'\n').filter(|line| line.ends_with(b"}")).collect();
            *text = lines.into_iter().collect::<Vec<_>>().join(&b'\n');
        }
        files
    }

    /// The lasting files in which two trees differ, with what both have.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let (ours, theirs) = (self.lasting(), other.lasting());
        let paths: BTreeSet<&PathBuf> = ours.keys().chain(theirs.keys()).collect();
        let text = |bytes: Option<&Vec<u8>>| {
            bytes.map_or("nothing".into(), |bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        let differing = paths.into_iter().filter(|path| ours.get(*path) != theirs.get(*path));
        differing
            .map(|path| format!("{}: {} instead of {}", path.display(), text(ours.get(path)), text(theirs.get(path))))
            .collect()
    }

    /// The tree after these steps and a crash.
    pub(crate) fn after(&self, steps: &[Step], model: Model) -> Self {
        let synced = steps.iter().rposition(|step| *step == Step::SyncAll).map_or(0, |at| at + 1);
        let synced = if model == Model::Killed { steps.len() } else { synced };
        let mut tree = self.clone();
        steps[..synced].iter().for_each(|step| tree.apply(step, true));
        if model == Model::NamesWithoutBytes {
            for (at, step) in steps.iter().enumerate().skip(synced) {
                // A file that was synced by itself later has its bytes.
                let on_disk =
                    |path: &Path| steps[at..].iter().any(|later| matches!(later, Step::SyncFile(file) if file == path));
                let bytes = if let Step::Write(path, _) = step { on_disk(path) } else { true };
                tree.apply(step, bytes);
            }
        }
        tree
    }

    fn apply(&mut self, step: &Step, bytes_too: bool) {
        match step {
            Step::MakeDir(path) => _ = self.0.insert(path.clone(), None),
            Step::Create(path) => _ = self.0.insert(path.clone(), Some(Vec::new())),
            Step::Write(path, bytes) => {
                let file = self.0.entry(path.clone()).or_insert_with(|| Some(Vec::new()));
                if bytes_too && let Some(file) = file {
                    file.extend_from_slice(bytes);
                }
            }
            Step::Publish(from, to) => {
                if !self.0.contains_key(to) {
                    self.rename(from, to);
                }
            }
            Step::Replace(from, to) => self.rename(from, to),
            Step::Remove(path) => self.0.retain(|other, _| !other.starts_with(path)),
            Step::SyncFile(_) | Step::SyncAll => {}
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        let (moved, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.0).into_iter().partition(|(path, _)| path.starts_with(from));
        assert!(!moved.is_empty(), "{} is renamed and not there", from.display());
        self.0 = others;
        for (path, node) in moved {
            let place = match path.strip_prefix(from) {
                Ok(below) if below.as_os_str().is_empty() => to.to_owned(),
                Ok(below) => to.join(below),
                Err(_) => unreachable!(),
            };
            self.0.insert(place, node);
        }
    }
}

/// What must hold at any instant; `whole` is the tree of an import that ended, and knows every file's bytes.
pub(crate) fn check(mirror: &Path, whole: &Tree) -> Result<(), String> {
    let download = mirror.join("download");
    let stated = stated(mirror);
    for entry in WalkDir::new(&download).into_iter().flatten().filter(|entry| entry.file_type().is_file()) {
        let relative = entry.path().strip_prefix(mirror).unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        let path: BundlePath = relative.to_str().unwrap().parse().map_err(|invalid| format!("{invalid}"))?;
        if path.is_immutable() {
            if whole.0.get(relative) != Some(&Some(bytes.clone())) {
                return Err(format!("{path} is visible with {} bytes that no bundle has", bytes.len()));
            }
            if !stated.contains(&(path.to_string(), FileSha256::of(&bytes))) {
                return Err(format!("{path} is visible and no evidence covers it"));
            }
        }
        if let BundlePath::List(module) = &path {
            let text = String::from_utf8(bytes).map_err(|error| format!("{path}: {error}"))?;
            if text.is_empty() {
                return Err(format!("{path} is empty"));
            }
            for version in text.lines().filter(|line| !line.is_empty()) {
                for suffix in ["info", "mod", "zip"] {
                    let file = download.join(module.escaped()).join(format!("@v/{version}.{suffix}"));
                    if !file.is_file() {
                        return Err(format!("{path} names {version}, and its {suffix} is not there"));
                    }
                }
            }
        } else if let BundlePath::Lookup(name, version) = &path {
            // Whoever can look a version up can prove its record.
            let lookup = Lookup::parse(&bytes, version).map_err(|invalid| format!("{path}: {invalid}"))?;
            let head = lookup.head(&Log::default().verifier()?).map_err(|error| format!("{path}: {error}"))?;
            let mut prover = Prover::new(&head);
            prover.record(&lookup.record).map_err(|refused| format!("{path}: {refused}"))?;
            let read =
                |tile| Ok::<_, String>(fs::read(mirror.join(BundlePath::Tile(name.clone(), tile).to_string())).ok());
            prover.prove(read).map_err(|unproven| format!("{path}: {unproven}"))?;
            if !download.join(format!("sumdb/{name}/supported")).is_file() {
                return Err(format!("{path} is there, and go cannot know it"));
            }
        } else if let BundlePath::Latest(_) = &path {
            modferry_format::info::Info::from_canonical(&bytes).map_err(|invalid| format!("{path}: {invalid}"))?;
        }
    }
    Ok(())
}

/// Paths with hashes in all evidence.
fn stated(mirror: &Path) -> BTreeSet<(String, FileSha256)> {
    let mut stated = BTreeSet::new();
    for entry in fs::read_dir(mirror.join("bundles")).into_iter().flatten().flatten() {
        let sums = fs::read_to_string(entry.path().join("SHA256SUMS")).unwrap_or_default();
        for line in sums.lines() {
            if let Some((hash, path)) = line.split_once("  ") {
                stated.extend(hash.parse().ok().map(|hash| (path.to_owned(), hash)));
            }
        }
    }
    stated
}
