//! The files that change with an import: ledger, `list` and `@latest` of every module of the bundle. They are written
//! to staging first and put in place together.

use super::databases::{Databases, Derived};
use super::head::{Group, Head, LineNumber};
use super::judge::{Judgement, ledger_line};
use super::plan::is_published;
use super::stage::{Facts, State};
use super::staged_change;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::jobs;
use crate::listing;
use crate::mirror::Mirror;
use modferry_format::header::Observation;
use modferry_format::info::Info;
use modferry_format::ledger::{Ledger, Line};
use modferry_format::manifest::Entry;
use modferry_format::{BundleId, BundlePath, ModulePath, ModuleVersion, Version, check, versions};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Directories of staged changes.
pub(crate) const DIRECTORIES: u64 = 16;

/// A module with its lines of the manifest.
type Lines = (ModulePath, Vec<(LineNumber, Entry)>);

/// A file of staging and the name it gets.
type Change = (PathBuf, PathBuf);

/// What changes, staged, and what the import has brought.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Files of this bundle in the ledgers, and their bytes.
    pub(crate) new_files: u64,
    pub(crate) new_bytes: u64,
    /// Versions whose zip came with it.
    pub(crate) new_versions: BTreeSet<ModuleVersion>,
    /// Files of checksum databases that came with it: tiles, and records.
    pub(crate) new_tiles: u64,
    pub(crate) new_records: u64,
    /// What is not as imports leave it; nothing was done about it.
    pub(crate) damaged: Vec<String>,
    /// How many files were staged.
    number: u64,
    ledgers: Vec<Change>,
    lists: Vec<Change>,
}

/// What is at hand while the changes of one module are worked out.
struct Derive<'a> {
    mirror: &'a Mirror<'a>,
    id: BundleId,
    facts: &'a Facts,
    judgement: &'a Judgement,
    observations: &'a [Observation],
    changes: Mutex<Changes>,
}

impl Changes {
    /// Works out the changes of every module, and stages those files that differ from what is there.
    pub(crate) fn derive(
        mirror: &Mirror<'_>,
        head: &Head,
        facts: &Facts,
        judgement: &Judgement,
        databases: &Databases<'_>,
        context: &Context<'_>,
    ) -> Result<Self> {
        let observations = &head.header.observations;
        let derive = Derive { mirror, id: head.id, facts, judgement, observations, changes: Mutex::default() };
        let produce = |hand: &mut dyn FnMut(Lines) -> Result<()>| {
            head.groups(|group| match group {
                Group::Module(module, lines) => hand((module.clone(), lines.to_vec())),
                Group::Other(number, entry) => {
                    derive.count(number, entry);
                    Ok(())
                }
            })
        };
        jobs::feed(context.jobs, produce, |(module, lines)| derive.module(&module, &lines))?;
        databases.derived(&head.id).iter().try_for_each(|derived| derive.database(derived))?;
        Ok(derive.changes.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts the files in place, all ledgers before all lists; they are on the disk already.
    pub(crate) fn apply(&self, mirror: &Mirror<'_>, context: &Context<'_>) -> Result<()> {
        for changes in [&self.ledgers, &self.lists] {
            let produce = |hand: &mut dyn FnMut(usize) -> Result<()>| (0..changes.len()).try_for_each(hand);
            jobs::feed(context.jobs, produce, |index| mirror.durable().put(&changes[index].0, &changes[index].1))?;
        }
        Ok(())
    }

    /// Whether nothing differs from what is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.ledgers.is_empty() && self.lists.is_empty()
    }

    /// The lines of `ledger/@index.jsonl` for the versions that are new.
    pub(crate) fn index(&self, imported: &str, id: &BundleId) -> String {
        let line = |version: &ModuleVersion| json!({ "module": version.path().as_str(), "version": version.version().as_str(), "time": imported, "bundle": id.hex() });
        let mut text = String::new();
        for version in &self.new_versions {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&line(version).to_string());
        }
        text
    }
}

impl Derive<'_> {
    fn count(&self, number: LineNumber, entry: &Entry) {
        let is_new = u64::from(self.facts.of(number).state == State::Staged);
        self.changes(|changes| match entry.path {
            BundlePath::Tile(..) | BundlePath::Supported(_) => changes.new_tiles += is_new,
            BundlePath::Lookup(..) => changes.new_records += is_new,
            _ => {}
        });
    }

    fn module(&self, module: &ModulePath, lines: &[(LineNumber, Entry)]) -> Result<()> {
        let mut ledger = self.mirror.ledger(module)?;
        let mut is_changed = false;
        for (number, entry) in lines {
            let Some(name) = Ledger::name_of(&entry.path).filter(|_| is_published(&entry.path)) else { continue };
            let fact = self.facts.of(*number);
            let is_new = matches!(fact.state, State::Staged | State::Published | State::Kept);
            if !is_new || ledger.get(&name).is_some() {
                continue;
            }
            // The line speaks of the bytes that are there: those of this bundle, or of the same identity from before.
            let line = ledger_line(entry, fact, self.id, name);
            let line = match self.judgement.unrecorded.get(number) {
                Some(there) => Line { sha256: there.sha256, size: there.size, h1: there.h1, ..line },
                None => line,
            };
            ledger.add(line);
            is_changed = true;
        }
        let mut aliases =
            lines.iter().map(|(_, entry)| &entry.path).filter(|path| matches!(path, BundlePath::Alias(..)));
        if is_changed {
            let path = PathBuf::from(Ledger::path(module));
            let staged = self.stage(ledger.to_string().as_bytes())?;
            self.changes(|changes| changes.ledgers.push((staged, path)));
        }
        self.changes(|changes| {
            for line in ledger.lines().filter(|line| line.bundle == self.id) {
                changes.new_files += 1;
                changes.new_bytes += line.size;
                changes.new_versions.extend(listing::version_of(module, &line.name, ".zip"));
            }
        });
        self.lists(module, &ledger)?;
        aliases.try_for_each(|alias| self.alias(alias))
    }

    /// What a branch or hash means, by the observation of this bundle; the newest that any bundle brought stays, so that the
    /// order of imports does not count.
    fn alias(&self, alias: &BundlePath) -> Result<()> {
        let observed = self.observations.iter().flat_map(Observation::aliases).find(|(path, _)| path == alias);
        let Some((_, version)) = observed else { return Ok(()) };
        let files = self.mirror.durable().files();
        let read = |path: &BundlePath| files.read(Path::new(&path.to_string()), Info::MAX_BYTES);
        // A version whose info did not come is no answer.
        let Ok(bytes) = read(&BundlePath::Info(version)) else { return Ok(()) };
        // Ties by bytes, for the same reason.
        let age = |bytes: &[u8]| Info::from_canonical(bytes).ok().map(|info| (info.time(), bytes.to_vec()));
        match read(alias) {
            Ok(there) if age(&there) >= age(&bytes) => Ok(()),
            _ => self.change(alias, &bytes),
        }
    }

    fn lists(&self, module: &ModulePath, ledger: &Ledger) -> Result<()> {
        let there = self.names(module)?;
        let is_whole = |version: &Version| listing::is_whole(version, |name| there.contains(name));
        let in_ledger = listing::recorded(module, ledger);
        let mut whole = Vec::new();
        for version in &in_ledger {
            if is_whole(version) {
                whole.push(version.clone());
            } else {
                self.damaged(format!("{module}@{version}: a file that its ledger names is gone, so it is not listed"));
            }
        }
        let list = BundlePath::List(module.clone());
        let path = PathBuf::from(list.to_string());
        let listed = match self.mirror.durable().files().read(&path, check::MAX_LIST_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            listed => {
                listed.map_err(|error| Error::io(&self.mirror.durable().full(&path), "could not be read", &error))?
            }
        };
        for text in String::from_utf8_lossy(&listed).lines() {
            let Ok(version) = text.parse::<Version>() else { continue };
            if is_whole(&version) && !in_ledger.contains(&version) {
                // Never taken from the list in silence: what was published stays.
                self.damaged(format!("{module}@{version}: is published and listed, and its ledger does not name it"));
                whole.push(version);
            }
        }
        whole.sort();
        if whole.is_empty() {
            return Ok(());
        }
        self.change(&list, versions::list(&whole).as_bytes())?;
        let Some(latest) = versions::latest(&whole) else { return Ok(()) };
        let info = ModuleVersion::new(module.clone(), latest.clone()).map(BundlePath::Info).map_err(|invalid| {
            Error::new(ErrorKind::MirrorDamaged, format!("{module}: its ledger names {latest}"))
                .because(invalid.to_string())
        })?;
        let path = PathBuf::from(info.to_string());
        let durable = self.mirror.durable();
        let bytes = durable
            .files()
            .read(&path, Info::MAX_BYTES)
            .map_err(|error| Error::io(&durable.full(&path), "could not be read", &error))?;
        self.change(&BundlePath::Latest(module.clone()), &bytes)
    }

    /// Stages a derived file of a checksum database unless it is there as it should be.
    fn database(&self, derived: &Derived) -> Result<()> {
        let size = derived.bytes.len() as u64;
        if self.mirror.durable().files().read(&derived.path, size).is_ok_and(|there| there == derived.bytes) {
            return Ok(());
        }
        let staged = self.stage(&derived.bytes)?;
        self.changes(|changes| {
            let list = if derived.is_ledger { &mut changes.ledgers } else { &mut changes.lists };
            list.push((staged, derived.path.clone()));
        });
        Ok(())
    }

    /// Names of the files in the module's `@v`.
    fn names(&self, module: &ModulePath) -> Result<BTreeSet<String>> {
        let path =
            self.mirror.durable().full(&Path::new("download").join(module.escaped().as_ref() as &str).join("@v"));
        let failed = |error: &io::Error| Error::io(&path, "could not be read", error);
        match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            entries => entries
                .map_err(|error| failed(&error))?
                .map(|entry| Ok(entry.map_err(|error| failed(&error))?.file_name().to_string_lossy().into_owned()))
                .collect(),
        }
    }

    /// Stages a derived file unless it is there as it should be.
    fn change(&self, path: &BundlePath, bytes: &[u8]) -> Result<()> {
        let path = PathBuf::from(path.to_string());
        if self.mirror.durable().files().read(&path, bytes.len() as u64).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        let staged = self.stage(bytes)?;
        self.changes(|changes| changes.lists.push((staged, path)));
        Ok(())
    }

    fn stage(&self, bytes: &[u8]) -> Result<PathBuf> {
        let number = self.changes(|changes| {
            changes.number += 1;
            changes.number
        });
        // Several directories, for one takes one new name at a time.
        let path = staged_change(&self.id, &(number % DIRECTORIES).to_string()).join(number.to_string());
        self.mirror.durable().create(&path)?.write_all(bytes)?;
        Ok(path)
    }

    fn damaged(&self, what: String) {
        self.changes(|changes| changes.damaged.push(what));
    }

    fn changes<T>(&self, with: impl FnOnce(&mut Changes) -> T) -> T {
        with(&mut self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
