//! The modules of a mirror, one at a time: names, ledger, files, and what derives from both.
//!
//! An import gives names to the files of a module first, then writes its ledger, then `list` and `@latest`. Here they
//! are read the other way round, so each of them may only know less than the next, and what it does not know is of a
//! bundle under way.

use super::Check;
use super::databases::Databases;
use super::evidence::Evidence;
use super::finding::{Kind as FindingOf, MirrorFinding};
use super::listed::Listing;
use super::published::Job;
use crate::beneath::Kind;
use crate::error::{ErrorKind, Result};
use crate::jobs;
use crate::listing;
use crate::mirror::read_ledger;
use crate::work_queue::WorkQueue;
use modferry_format::check::MAX_LIST_BYTES;
use modferry_format::finding::FindingKind;
use modferry_format::info::Info;
use modferry_format::ledger::{Ledger, Line};
use modferry_format::{BundleId, BundlePath, ModulePath, ModuleVersion};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the ledgers name.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) versions: AtomicU64,
    pub(super) files: AtomicU64,
    pub(super) bytes: AtomicU64,
}

/// The check of all modules.
pub(super) struct Modules<'a> {
    pub(super) check: &'a Check<'a>,
    pub(super) evidence: &'a Evidence,
    pub(super) databases: &'a Databases,
    pub(super) counts: Counts,
    /// Files to read, where that is wanted.
    pub(super) queue: Option<&'a WorkQueue<Job>>,
}

/// The names in the `@v` of a module, with what they lead to.
pub(super) type Names = BTreeMap<String, Kind>;

impl Modules<'_> {
    /// Checks the modules that have files, and those that have nothing but a ledger.
    pub(super) fn check(&self) -> Result<()> {
        let jobs = self.check.context.jobs;
        let work = |module: String| {
            self.check.context.interrupt.check()?;
            self.directory(&module);
            Ok(())
        };
        jobs::feed(jobs, |hand| self.published(hand), work)?;
        jobs::feed(jobs, |hand| self.lost(hand), work)
    }

    /// Every directory of `download/` that is one of a module, by its escaped path.
    fn published(&self, hand: &mut dyn FnMut(String) -> Result<()>) -> Result<()> {
        self.check.walk("download", |directory, entries| {
            let module = directory.strip_prefix("download/");
            if module.is_none() {
                // The checksum databases are another check's.
                entries.retain(|(name, kind)| name != "sumdb" || *kind != Kind::Directory);
            }
            let is_module = |name: &str, kind: Kind| {
                module.is_some() && ((name == "@v" && kind == Kind::Directory) || name == "@latest")
            };
            for (name, kind) in &*entries {
                if *kind != Kind::Directory && !is_module(name, *kind) {
                    self.check.stranger(&format!("{directory}/{name}"), *kind);
                }
            }
            let before = entries.len();
            entries.retain(|(name, kind)| !is_module(name, *kind));
            match module {
                Some(module) if entries.len() < before => hand(module.to_owned()),
                _ => Ok(()),
            }
        })
    }

    /// Every module with a ledger and without a directory; the names in `ledger/` on the way.
    fn lost(&self, hand: &mut dyn FnMut(String) -> Result<()>) -> Result<()> {
        self.check.walk("ledger", |directory, entries| {
            let module = directory.strip_prefix("ledger/");
            if module.is_none() {
                entries.retain(|(name, kind)| name != "sumdb" || *kind != Kind::Directory);
            }
            for (name, kind) in entries.iter().filter(|(_, kind)| *kind != Kind::Directory) {
                let subject = format!("{directory}/{name}");
                let (is_known, module) = match module {
                    None => (matches!(name.as_str(), "@index.jsonl" | "@state.json"), None),
                    Some(module) => (name == "@sums" && ModulePath::from_escaped(module).is_ok(), Some(module)),
                };
                match (is_known, kind) {
                    (false, kind) => self.check.stranger(&subject, *kind),
                    (true, Kind::File(_)) => {
                        let is_there = |name: &str| {
                            let path = format!("download/{}/{name}", module.unwrap_or_default());
                            self.check.files.kind(Path::new(&path)).is_ok_and(|kind| kind.is_some())
                        };
                        if let Some(module) = module.filter(|_| !is_there("@v") && !is_there("@latest")) {
                            hand(module.to_owned())?;
                        }
                    }
                    (true, kind) => self.check.not_a_file(&subject, *kind),
                }
            }
            Ok(())
        })
    }

    /// Checks one module, of which the escaped path is known.
    fn directory(&self, escaped: &str) {
        let directory = format!("download/{escaped}/@v");
        let module = match ModulePath::from_escaped(escaped) {
            Ok(module) => module,
            Err(invalid) => {
                self.check.findings.find(&directory, FindingKind::Extra, format!("is of no module: {invalid}"));
                return;
            }
        };
        let list = self.read(&BundlePath::List(module.clone()), MAX_LIST_BYTES);
        let latest = self.read(&BundlePath::Latest(module.clone()), Info::MAX_BYTES);
        let ledger = self.ledger(&module);
        let names: Names = self.check.entries(&directory).into_iter().collect();
        let Some(ledger) = ledger else {
            // Nothing is known of its files but what their names say.
            self.names(&module, &names, |_| true);
            return;
        };
        self.names(&module, &names, |name| ledger.get(&format!("@v/{name}")).is_some());
        self.lines(&module, &ledger, &names);
        self.records(&module, &ledger);
        let listing = Listing::new(&module, &ledger, &names, self.evidence);
        self.list(&module, &listing, list);
        self.latest(&module, &listing, latest);
    }

    /// The bytes of a derived file; nothing if it is not there or cannot be read, which is a finding then.
    fn read(&self, path: &BundlePath, limit: u64) -> Derived {
        let subject = path.to_string();
        match self.check.files.kind(Path::new(&subject)) {
            Ok(None) => return Derived::None,
            Ok(Some(Kind::File(_))) => {}
            Ok(Some(kind)) => {
                self.check.not_a_file(&subject, kind);
                return Derived::Unread;
            }
            Err(error) => {
                self.check.findings.find(&subject, FindingKind::Unreadable, error.to_string());
                return Derived::Unread;
            }
        }
        match self.check.files.read(Path::new(&subject), limit) {
            Ok(bytes) => Derived::Bytes(bytes),
            Err(error) => {
                self.check.findings.find(&subject, FindingKind::Unreadable, error.to_string());
                Derived::Unread
            }
        }
    }

    fn ledger(&self, module: &ModulePath) -> Option<Ledger> {
        let error = match read_ledger(&self.check.files, module) {
            Ok(ledger) => return Some(ledger),
            Err(error) => error,
        };
        let subject = Ledger::path(module);
        let detail = error.causes.join(": ");
        match error.kind {
            ErrorKind::MirrorDamaged => self.find(&subject, FindingOf::Ledger, detail),
            _ => self.check.findings.find(&subject, FindingKind::Unreadable, detail),
        }
        None
    }

    /// What is in `@v`: files of a module version that the ledger names or a bundle under way brings, and `list`.
    fn names(&self, module: &ModulePath, names: &Names, is_recorded: impl Fn(&str) -> bool) {
        for (name, kind) in names {
            let subject = format!("download/{}/@v/{name}", module.escaped());
            let size = match kind {
                Kind::File(size) => *size,
                // What is in the ledger is told with its line.
                _ if is_recorded(name) => continue,
                kind => {
                    self.check.not_a_file(&subject, *kind);
                    continue;
                }
            };
            match subject.parse() {
                Ok(BundlePath::List(_)) => {}
                Ok(path @ BundlePath::Alias(..)) => self.alias(module, path),
                Ok(path @ (BundlePath::Info(_) | BundlePath::Mod(_) | BundlePath::Zip(_))) => {
                    if !is_recorded(name) {
                        self.unrecorded(path, &subject, size);
                    }
                }
                _ => self.check.stranger(&subject, *kind),
            }
        }
    }

    /// An alias has the bytes of the info of a version that is here.
    fn alias(&self, module: &ModulePath, path: BundlePath) {
        let Derived::Bytes(bytes) = self.read(&path, Info::MAX_BYTES) else { return };
        let version = Info::from_canonical(&bytes).ok().map(|info| info.version().clone());
        let version = version.and_then(|version| ModuleVersion::new(module.clone(), version).ok());
        let same = version
            .map(|version| self.check.files.read(Path::new(&BundlePath::Info(version).to_string()), Info::MAX_BYTES));
        if !matches!(same, Some(Ok(same)) if same == bytes) {
            self.derived(path, FindingKind::Info, "is not the info of a version that is here");
        }
    }

    /// A file that no ledger names must be of a bundle under way.
    fn unrecorded(&self, path: BundlePath, subject: &str, size: u64) {
        if self.check.findings.are_full() {
            return;
        }
        let stated = self.evidence.under_way(subject, &self.check.files);
        let Some(first) = stated.first() else {
            let detail = "is in no ledger, and no import under way brings it";
            self.check.findings.find(subject, FindingKind::Extra, detail);
            return;
        };
        if stated.iter().all(|stated| stated.size != size) {
            let detail = format!("has {size} bytes, the bundle under way that brings it states {}", first.size);
            self.check.findings.find(subject, FindingKind::Size, detail);
        } else if let Some(queue) = self.queue {
            let wanted = stated.iter().map(|stated| stated.sha256).collect();
            queue.add(size, Job { path, wanted, h1: None, by: "the bundle under way that brings it" });
        }
    }

    /// Every line of the ledger.
    fn lines(&self, module: &ModulePath, ledger: &Ledger, names: &Names) {
        let mut unknown = BTreeSet::<BundleId>::new();
        for line in ledger.lines() {
            self.counts.files.fetch_add(1, Ordering::Relaxed);
            self.counts.bytes.fetch_add(line.size, Ordering::Relaxed);
            let subject = format!("download/{}/{}", module.escaped(), line.name);
            let path = match subject.parse() {
                Ok(path @ (BundlePath::Info(_) | BundlePath::Mod(_) | BundlePath::Zip(_))) => path,
                _ => {
                    let detail = format!("names {:?}, which is no file of a module version", line.name);
                    self.find(&Ledger::path(module), FindingOf::Ledger, detail);
                    continue;
                }
            };
            self.counts.versions.fetch_add(u64::from(matches!(path, BundlePath::Zip(_))), Ordering::Relaxed);
            if line.h1.is_none() != matches!(path, BundlePath::Info(_)) {
                let what = if line.h1.is_none() { "no h1" } else { "an h1, which an info has not" };
                self.find(&Ledger::path(module), FindingOf::Ledger, format!("the line of {} has {what}", line.name));
            }
            if unknown.contains(&line.bundle) || !self.evidence.has(&line.bundle, &self.check.files) {
                unknown.insert(line.bundle);
            }
            self.file(path, &subject, line, names.get(line.name.strip_prefix("@v/").unwrap_or_default()).copied());
        }
        for id in unknown {
            let detail = format!("names bundle {}, of which bundles/ has no evidence", id.hex());
            self.find(&Ledger::path(module), FindingOf::Evidence, detail);
        }
    }

    fn file(&self, path: BundlePath, subject: &str, line: &Line, there: Option<Kind>) {
        match there {
            None => {
                let detail = format!("missing; bundle {} brought it", line.bundle.hex());
                self.check.findings.find(subject, FindingKind::Missing, detail);
            }
            Some(Kind::File(size)) if size == line.size => {
                if let Some(queue) = self.queue {
                    let wanted = vec![line.sha256];
                    queue.add(size, Job { path, wanted, h1: line.h1, by: "its ledger" });
                }
            }
            Some(Kind::File(size)) => {
                let detail = format!("has {size} bytes, its ledger states {}", line.size);
                self.check.findings.find(subject, FindingKind::Size, detail);
            }
            Some(kind) => self.check.not_a_file(subject, kind),
        }
    }

    /// Every version of which there is a go.mod or zip has a record that says the same of it, or needs none.
    fn records(&self, module: &ModulePath, ledger: &Ledger) {
        let mut versions = BTreeMap::<ModuleVersion, Vec<&Line>>::new();
        for line in ledger.lines() {
            let version = [".mod", ".zip"].iter().find_map(|end| listing::version_of(module, &line.name, end));
            if let Some(version) = version {
                versions.entry(version).or_default().push(line);
            }
        }
        for (version, lines) in versions {
            let paths = || {
                lines.iter().map(|line| {
                    let is_zip = line.name.ends_with(".zip");
                    let path = if is_zip { BundlePath::Zip(version.clone()) } else { BundlePath::Mod(version.clone()) };
                    (path, line.h1)
                })
            };
            let has_record = self.databases.compare(self.check, &version, paths());
            // What a bundle under way is allowed is known when it is done.
            let may_lack = || lines.iter().any(|line| !self.evidence.is_done(&line.bundle));
            if !has_record && !self.evidence.allows(module.as_str()) && !may_lack() {
                let subject = paths().next().map(|(path, _)| path.to_string()).unwrap_or_default();
                let detail = "has no record of a checksum database, and no import was allowed that";
                self.check.findings.find(&subject, FindingKind::Record, detail);
            }
        }
    }

    fn list(&self, module: &ModulePath, listing: &Listing, list: Derived) {
        let bytes = match list {
            Derived::Unread => return,
            Derived::None if listing.least.is_empty() => return,
            Derived::None => {
                return self.derived(
                    BundlePath::List(module.clone()),
                    FindingKind::List,
                    "missing, though a version is whole",
                );
            }
            Derived::Bytes(bytes) => bytes,
        };
        if let Some(wrong) = listing.wrong_list(&bytes) {
            self.derived(BundlePath::List(module.clone()), FindingKind::List, wrong);
        }
    }

    fn latest(&self, module: &ModulePath, listing: &Listing, latest: Derived) {
        let bytes = match latest {
            Derived::Unread => return,
            Derived::None if listing.least.is_empty() => return,
            Derived::None => {
                let wrong = "missing, though a version is whole";
                return self.derived(BundlePath::Latest(module.clone()), FindingKind::Latest, wrong);
            }
            Derived::Bytes(bytes) => bytes,
        };
        if let Some(wrong) = listing.wrong_latest(module, &self.check.files, &bytes) {
            self.derived(BundlePath::Latest(module.clone()), FindingKind::Latest, wrong);
        }
    }

    fn derived(&self, path: BundlePath, kind: FindingKind, wrong: impl Into<String>) {
        self.check.findings.find(&path.to_string(), kind, wrong);
    }

    fn find(&self, subject: &str, kind: FindingOf, detail: String) {
        self.check.findings.add(MirrorFinding::new(subject, kind, detail));
    }
}

/// What was read of a derived file.
enum Derived {
    None,
    Unread,
    Bytes(Vec<u8>),
}
