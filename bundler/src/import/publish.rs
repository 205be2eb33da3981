//! Makes what is staged part of the mirror, in an order that leaves nothing half visible at any instant.
//!
//! 1. everything staged is on the disk
//! 2. the evidence gets its name in `bundles/`, without `done`: under way
//! 3. go.mod files, zips, infos get their names in `download/`, none ever replaced
//! 4. all of that is on the disk
//! 5. ledgers, then `list` and `@latest` of every module of the bundle
//! 6. all of that is on the disk
//! 7. `done` commits the bundle, and the journal gets its line
//!
//! Killed after any step, the same command finishes: what has its name already is known by its bytes, and what is derived
//! is derived again from what is there.

use super::stage::{Head, Proved, Staged};
use super::{Options, Summary, head_names, staged_change, staged_file, staged_head};
use crate::context::{Context, Event};
use crate::durable::Published;
use crate::error::{Error, ErrorKind, Result};
use crate::mirror::{DONE, JournalLine, Mirror, evidence, staging};
use crate::module_zip::Prover;
use crate::source::Source;
use crate::tape;
use modferry_format::ledger::{Ledger, Line};
use modferry_format::{BundleId, BundlePath, FileSha256, H1, ModulePath, ModuleVersion, Version, versions};
use serde_json::json;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Does all of it.
pub(crate) fn publish(
    mirror: &Mirror<'_>,
    head: &Head,
    staged: Staged,
    options: &Options<'_>,
    context: &Context<'_>,
    summary: &mut Summary,
) -> Result<()> {
    let durable = mirror.durable();
    durable.sync()?;
    // At this point a crash leaves staging, and the mirror as it was.
    publish_evidence(mirror, &head.id, &staged)?;
    durable.sync()?;
    // At this point a crash leaves evidence without `done`.
    let total = staged.files.values().map(|files| files.len() as u64).sum();
    let mut done = 0;
    for phase in [is_mod as fn(&BundlePath) -> bool, is_zip, is_info] {
        for file in staged.files.values().flatten().filter(|file| phase(&file.entry.path)) {
            publish_file(mirror, &head.id, file)?;
            done += 1;
            context.progress.event(Event::Progress {
                done,
                total,
                bytes: file.entry.size,
                current: &file.entry.path.to_string(),
            });
        }
    }
    // At this point a crash leaves whole files that no ledger and no list names.
    let mut changes = Changes::new(mirror, head.id);
    for module in &staged.modules {
        changes.derive(module, staged.files.get(module).map_or(&[], Vec::as_slice))?;
    }
    durable.sync()?;
    changes.apply()?;
    durable.sync()?;
    let known = staged.published - changes.new_files;
    commit(mirror, head, &changes, known, options, context)?;
    durable.remove_staging(&staging(&head.id))?;
    summary.new_files = changes.new_files;
    summary.new_bytes = changes.new_bytes;
    summary.new_versions = changes.new_versions.len() as u64;
    summary.known_files = known;
    Ok(())
}

fn is_mod(path: &BundlePath) -> bool {
    matches!(path, BundlePath::Mod(_))
}

fn is_zip(path: &BundlePath) -> bool {
    matches!(path, BundlePath::Zip(_))
}

fn is_info(path: &BundlePath) -> bool {
    matches!(path, BundlePath::Info(_))
}

/// Gives the head files and extras their place in `bundles/`; an import that was killed may have done so.
fn publish_evidence(mirror: &Mirror<'_>, id: &BundleId, staged: &Staged) -> Result<()> {
    let durable = mirror.durable();
    for name in head_names() {
        durable.publish(&staged_head(id, name), &evidence(id).join(name))?;
    }
    for extra in &staged.extras {
        let path = extra.to_string();
        durable.publish(&staged_file(id, &path), &evidence(id).join(&path))?;
    }
    Ok(())
}

/// Gives one file its name. Where the name is taken, what is there must have the same identity: a killed import has
/// published it before its ledger was written.
fn publish_file(mirror: &Mirror<'_>, id: &BundleId, file: &Proved) -> Result<()> {
    let path = file.entry.path.to_string();
    if mirror.durable().publish(&staged_file(id, &path), Path::new(&path))? == Published::New {
        return Ok(());
    }
    let there = identity(mirror, &file.entry.path)?;
    let same = match &file.entry.path {
        BundlePath::Zip(_) => there.h1 == file.h1,
        BundlePath::Info(_) => true,
        _ => there.sha256 == file.entry.sha256,
    };
    if same {
        return Ok(());
    }
    let message = format!("{path}: is there with another content, and no ledger says who brought it");
    Err(Error::new(ErrorKind::Incident, message)
        .because(format!("in the mirror: sha256 {}", there.sha256))
        .because(format!("in bundle {id}: sha256 {}", file.entry.sha256)))
}

struct Identity {
    sha256: FileSha256,
    size: u64,
    h1: Option<H1>,
}

/// What a published file is, by its own bytes.
fn identity(mirror: &Mirror<'_>, path: &BundlePath) -> Result<Identity> {
    let full = mirror.path().join(path.to_string());
    let read = || {
        let file = File::open(&full)?;
        let size = file.metadata()?.len();
        let source = Source::whole(file, size);
        let (sha256, h1) = match path {
            BundlePath::Zip(version) => {
                let proof = Prover::default().prove(version, &source, size, None)?;
                (proof.sha256, proof.h1.ok())
            }
            BundlePath::Mod(_) => {
                let bytes = source.read_all(modferry_format::go_mod::MAX_BYTES)?;
                (FileSha256::of(&bytes), Some(H1::of_go_mod(&bytes)))
            }
            _ => (tape::hash(&source, size)?, None),
        };
        Ok(Identity { sha256, size, h1 })
    };
    read().map_err(|error: std::io::Error| Error::io(&full, "could not be read", &error))
}

/// The files that change: written to staging first, put in place together.
struct Changes<'a> {
    mirror: &'a Mirror<'a>,
    id: BundleId,
    /// In the order in which they are put in place: all ledgers before all lists.
    ledgers: Vec<PathBuf>,
    lists: Vec<PathBuf>,
    new_files: u64,
    new_bytes: u64,
    new_versions: Vec<ModuleVersion>,
}

impl<'a> Changes<'a> {
    fn new(mirror: &'a Mirror<'a>, id: BundleId) -> Self {
        Self {
            mirror,
            id,
            ledgers: Vec::new(),
            lists: Vec::new(),
            new_files: 0,
            new_bytes: 0,
            new_versions: Vec::new(),
        }
    }

    /// Works out ledger, list and latest of one module, and stages those that differ from what is there.
    fn derive(&mut self, module: &ModulePath, files: &[Proved]) -> Result<()> {
        let mut ledger = self.mirror.ledger(module)?;
        let before = ledger.to_string();
        for file in files {
            let Some(name) = Ledger::name_of(&file.entry.path) else { continue };
            if ledger.get(&name).is_some() {
                continue;
            }
            // The line speaks of the bytes that are there: those of this bundle, or of the same identity from before.
            let staged_is_gone =
                !self.mirror.durable().full(&staged_file(&self.id, &file.entry.path.to_string())).exists();
            let (sha256, size, h1) = if staged_is_gone {
                (file.entry.sha256, file.entry.size, file.h1)
            } else {
                let there = identity(self.mirror, &file.entry.path)?;
                (there.sha256, there.size, there.h1)
            };
            ledger.add(Line { sha256, size, h1, bundle: self.id, name });
        }
        for line in ledger.lines().filter(|line| line.bundle == self.id) {
            self.new_files += 1;
            self.new_bytes += line.size;
            if let Some(version) = version_of(module, &line.name, ".zip") {
                self.new_versions.push(version);
            }
        }
        let after = ledger.to_string();
        if after != before {
            let path = PathBuf::from(Ledger::path(module));
            self.stage(&path, after.as_bytes())?;
            self.ledgers.push(path);
        }
        self.derive_lists(module, &ledger)
    }

    fn derive_lists(&mut self, module: &ModulePath, ledger: &Ledger) -> Result<()> {
        let has = |version: &Version, suffix: &str| ledger.get(&format!("@v/{}{suffix}", version.escaped())).is_some();
        let whole: Vec<Version> = ledger
            .lines()
            .filter_map(|line| version_of(module, &line.name, ".zip"))
            .map(|version| version.version().clone())
            .filter(|version| has(version, ".info") && has(version, ".mod"))
            .collect();
        if whole.is_empty() {
            return Ok(());
        }
        self.change(&BundlePath::List(module.clone()), versions::list(&whole).as_bytes())?;
        if let Some(latest) = versions::latest(&whole) {
            let version = ModuleVersion::new(module.clone(), latest.clone());
            let info = version.map(BundlePath::Info).map_err(|invalid| {
                Error::new(ErrorKind::MirrorDamaged, format!("{module}: its ledger names {latest}"))
                    .because(invalid.to_string())
            })?;
            let full = self.mirror.path().join(info.to_string());
            let bytes = fs::read(&full).map_err(|error| Error::io(&full, "could not be read", &error))?;
            self.change(&BundlePath::Latest(module.clone()), &bytes)?;
        }
        Ok(())
    }

    /// Stages a derived file unless it is there as it should be.
    fn change(&mut self, path: &BundlePath, bytes: &[u8]) -> Result<()> {
        let path = PathBuf::from(path.to_string());
        if fs::read(self.mirror.path().join(&path)).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        self.stage(&path, bytes)?;
        self.lists.push(path);
        Ok(())
    }

    fn stage(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let mut writer = self.mirror.durable().create(&staged_change(&self.id, path))?;
        writer.write_all(bytes)?;
        writer.finish().map(|_| ())
    }

    /// Puts them in place; they are on the disk already.
    fn apply(&self) -> Result<()> {
        for path in self.ledgers.iter().chain(&self.lists) {
            self.mirror.durable().put(&staged_change(&self.id, path), path)?;
        }
        Ok(())
    }
}

/// The version in a ledger name such as `@v/v1.0.0.zip`.
fn version_of(module: &ModulePath, name: &str, suffix: &str) -> Option<ModuleVersion> {
    let escaped = name.strip_prefix("@v/")?.strip_suffix(suffix)?;
    ModuleVersion::new(module.clone(), Version::from_escaped(escaped).ok()?).ok()
}

/// The commit: index and `done`, then journal and state, which can be made again from the `done` files.
fn commit(
    mirror: &Mirror<'_>,
    head: &Head,
    changes: &Changes<'_>,
    known: u64,
    options: &Options<'_>,
    context: &Context<'_>,
) -> Result<()> {
    let durable = mirror.durable();
    let id = &head.id;
    let imported = context.now.to_string();
    let lines: Vec<String> = changes
        .new_versions
        .iter()
        .map(|version| {
            json!({ "module": version.path().as_str(), "version": version.version().as_str(), "time": imported, "bundle": id.hex() }).to_string()
        })
        .collect();
    if !lines.is_empty() {
        // An import that was killed here writes them twice; whoever reads the index takes each version once.
        durable.append(Path::new("ledger/@index.jsonl"), &lines.join("\n"))?;
    }
    let previous =
        mirror.last_journal_line()?.map_or_else(String::new, |line| FileSha256::of(line.as_bytes()).to_string());
    let line = JournalLine {
        bundle: id.hex(),
        imported,
        by: options.by.clone(),
        tool: concat!("modferry ", env!("CARGO_PKG_VERSION")).to_owned(),
        unsigned: options.unsigned,
        no_record: head.header.without_record.clone(),
        new_files: changes.new_files,
        known_files: known,
        new_bytes: changes.new_bytes,
        previous,
    };
    let text = serde_json::to_string(&line).map_err(|error| {
        Error::new(ErrorKind::Io, "journal: the line could not be written").because(error.to_string())
    })?;
    durable.replace(&evidence(id).join(DONE), format!("{text}\n").as_bytes(), &staged_change(id, Path::new(DONE)))?;
    durable.sync()?;
    // At this point the bundle is committed, whatever happens next.
    mirror.settle()
}
