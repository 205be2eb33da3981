//! What an import would bring, from manifest and ledger alone, and whether there is room for it.

use super::databases::Databases;
use super::derive::DIRECTORIES;
use super::head::Head;
use super::{head_names, staged_file, staged_files, staged_tree};
use crate::beneath::Kind;
use crate::byte_size;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::mirror::{Mirror, evidence};
use modferry_format::go_sum::Subject;
use modferry_format::ledger::{Ledger, Line};
use modferry_format::manifest::Entry;
use modferry_format::requires::Required;
use modferry_format::sumdb::head;
use modferry_format::sumdb::record::Lookup;
use modferry_format::{BundlePath, FileSha256, ModulePath, ModuleVersion};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Whether a file is published as it is; lists and the like are derived, extras stay with the evidence.
pub(crate) fn is_published(path: &BundlePath) -> bool {
    path.is_immutable() && !matches!(path, BundlePath::Extra(_))
}

/// Where a file of a bundle is already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The ledger names these very bytes, and the file has their size.
    Known,
    /// A file of this size is published and no ledger names it: left by an import that was killed.
    Unrecorded,
    /// Nowhere, or with other bytes: that is for the judge to say.
    Nowhere,
}

/// The ledger of the module at hand; files of one module stand together in a manifest.
pub(crate) struct Ledgers<'a> {
    mirror: &'a Mirror<'a>,
    current: Option<(ModulePath, Ledger)>,
    /// The bundle is committed, so a lookup that is there has its record, under whatever head.
    is_done: bool,
}

impl<'a> Ledgers<'a> {
    pub(crate) fn new(mirror: &'a Mirror<'a>, is_done: bool) -> Self {
        Self { mirror, current: None, is_done }
    }

    pub(crate) fn of(&mut self, module: &ModulePath) -> Result<&Ledger> {
        let ledger = match self.current.take() {
            Some((current, ledger)) if current == *module => ledger,
            _ => self.mirror.ledger(module)?,
        };
        Ok(&self.current.insert((module.clone(), ledger)).1)
    }

    /// Where a file is that would be published.
    pub(crate) fn place(&mut self, entry: &Entry) -> Result<Place> {
        let mirror = self.mirror;
        if entry.path.module().is_none() {
            return self.database_file(entry);
        }
        let (Some(module), Some(name)) = (entry.path.module(), Ledger::name_of(&entry.path)) else {
            return Ok(Place::Nowhere);
        };
        let known = self.of(module)?.get(&name);
        let path = entry.path.to_string();
        let there =
            mirror.durable().files().kind(Path::new(&path)).map_err(|error| {
                Error::io(&mirror.durable().full(Path::new(&path)), "could not be looked at", &error)
            })?;
        match (known, there) {
            (_, Some(Kind::Directory | Kind::Other)) => Err(mirror.durable().stranger(Path::new(&path), "is no file")),
            (Some(line), Some(Kind::File(size))) if size != line.size => Err(damaged(mirror, &path, line, Some(size))),
            (Some(line), Some(_)) if line.sha256 == entry.sha256 => Ok(Place::Known),
            // Lost from the mirror; these are its bytes again.
            (Some(line), None) if line.sha256 == entry.sha256 => Ok(Place::Nowhere),
            (Some(line), None) => Err(damaged(mirror, &path, line, None)),
            (None, Some(Kind::File(size))) if size == entry.size => Ok(Place::Unrecorded),
            _ => Ok(Place::Nowhere),
        }
    }
}

impl Ledgers<'_> {
    /// Files of checksum databases are small and in no ledger: their bytes tell what they are.
    fn database_file(&self, entry: &Entry) -> Result<Place> {
        let (durable, path) = (self.mirror.durable(), entry.path.to_string());
        let path = Path::new(&path);
        let failed = |error: std::io::Error| Error::io(&durable.full(path), "could not be looked at", &error);
        Ok(match durable.files().kind(path).map_err(failed)? {
            None => Place::Nowhere,
            Some(Kind::File(size)) if self.is_done && is_lookup(&entry.path, || durable.files().read(path, size)) => {
                Place::Known
            }
            Some(Kind::File(size)) if size == entry.size => {
                let bytes = durable.files().read(path, size).map_err(failed)?;
                if FileSha256::of(&bytes) == entry.sha256 { Place::Known } else { Place::Nowhere }
            }
            Some(Kind::File(_)) => Place::Nowhere,
            Some(_) => return Err(durable.stranger(path, "is no file")),
        })
    }
}

/// Whether it is a lookup, under whatever head.
fn is_lookup(path: &BundlePath, read: impl FnOnce() -> std::io::Result<Vec<u8>>) -> bool {
    let BundlePath::Lookup(_, version) = path else { return false };
    let lookup = read().ok().and_then(|bytes| Lookup::parse(&bytes, version).ok());
    lookup.is_some_and(|lookup| head::Head::stored(&lookup.note).is_ok())
}

/// The error for a published file that is not as its ledger says.
fn damaged(mirror: &Mirror<'_>, path: &str, line: &Line, size: Option<u64>) -> Error {
    let is = size.map_or_else(|| "is gone".to_owned(), |size| format!("has {size} bytes"));
    let message =
        format!("{}: {is}; the ledger says {} bytes", mirror.durable().full(Path::new(path)).display(), line.size);
    Error::new(ErrorKind::MirrorDamaged, message).hint(format!(
        "put the file back from a copy of the mirror; or move it away and import bundle {} again, which brought it",
        line.bundle
    ))
}

/// What the bundle counts on must be in the mirror.
pub(crate) fn base(head: &Head, mirror: &Mirror<'_>, databases: &Databases, context: &Context<'_>) -> Result<()> {
    /// How many of them an error names.
    const NAMED: usize = 10;
    let (mut missing, mut count) = (Vec::new(), 0_usize);
    let mut ledgers = Ledgers::new(mirror, false);
    head.requires(|required| {
        context.interrupt.check()?;
        let (is_there, text) = match required {
            Required::Module(line) => {
                let version = line.subject.version();
                let name = match &line.subject {
                    Subject::Zip(_) => format!("@v/{}.zip", version.version().escaped()),
                    Subject::GoMod(_) => format!("@v/{}.mod", version.version().escaped()),
                };
                let known = ledgers.of(version.path())?.get(&name).and_then(|known| known.h1);
                (known == Some(line.h1), line.to_string())
            }
            Required::Head(head) => (databases.has_head(&head), format!("the tree head {head}")),
        };
        if !is_there {
            count += 1;
            if missing.len() < NAMED {
                missing.push(text);
            }
        }
        Ok(())
    })?;
    if count == 0 {
        return Ok(());
    }
    let message =
        format!("{}: needs {} that this mirror does not have", head.name(), byte_size::count(count as u64, "thing"));
    let error = missing.into_iter().fold(Error::new(ErrorKind::BundleInvalid, message), Error::because);
    let left = count.saturating_sub(NAMED);
    let error = if left > 0 { error.because(format!("and {left} more")) } else { error };
    let base = head.header.base.join(" ");
    Err(error.hint(format!("import the bundle that it was made after first ({base}), or make a full one")))
}

/// What is still to be written.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    files: u64,
    bytes: u64,
    /// Directories and derived files, an upper bound.
    dirs: u64,
    /// Files of modules that are published and need nothing.
    pub(crate) known_files: u64,
    /// Files of modules that get published, there or not.
    pub(crate) published: u64,
    /// Files of checksum databases that are not published yet.
    new_of_databases: u64,
    /// Whether an earlier import of this bundle has left something of its content in staging.
    pub(crate) is_resumed: bool,
    /// Files of the evidence that are gone, of a bundle that is committed.
    lost_evidence: u64,
    /// Versions of which the bundle brings no record.
    pub(crate) without: BTreeSet<ModuleVersion>,
}

impl Plan {
    pub(crate) fn make(head: &Head, mirror: &Mirror<'_>, is_done: bool, context: &Context<'_>) -> Result<Self> {
        let files = mirror.durable().files();
        let is_left = |place: PathBuf| files.kind(&place).is_ok_and(|kind| kind.is_some());
        let is_resumed = is_left(staged_tree(&head.id)) || is_left(staged_files(&head.id));
        let mut plan = Self { is_resumed, ..Self::default() };
        let mut ledgers = Ledgers::new(mirror, is_done);
        let mut records = BTreeSet::new();
        let mut last_module: Option<ModulePath> = None;
        let is_staged = |number, entry: &Entry| {
            let kind = || files.kind(&staged_file(&head.id, number, &entry.path));
            is_resumed && kind().is_ok_and(|kind| kind == Some(Kind::File(entry.size)))
        };
        let is_lost =
            |name: &str| is_done && files.kind(&evidence(&head.id).join(name)).is_ok_and(|kind| kind.is_none());
        plan.lost_evidence = head_names().filter(|name| is_lost(name)).count() as u64;
        head.entries(|number, entry| {
            context.interrupt.check()?;
            match &entry.path {
                BundlePath::Extra(_) => plan.lost_evidence += u64::from(is_lost(&entry.path.to_string())),
                BundlePath::Lookup(_, version) => drop(records.insert(version.clone())),
                BundlePath::Mod(version) | BundlePath::Zip(version) if !records.contains(version) => {
                    plan.without.insert(version.clone());
                }
                _ => {}
            }
            let published = is_published(&entry.path);
            let of_module = entry.path.module().is_some();
            plan.published += u64::from(published && of_module);
            if published {
                match ledgers.place(&entry)? {
                    Place::Nowhere => plan.new_of_databases += u64::from(!of_module),
                    Place::Unrecorded => return Ok(()),
                    Place::Known => {
                        plan.known_files += u64::from(of_module);
                        return Ok(());
                    }
                }
            }
            if !published && !matches!(entry.path, BundlePath::Extra(_)) {
                return Ok(());
            }
            if !is_staged(number, &entry) {
                plan.files += 1;
                plan.bytes = plan.bytes.saturating_add(entry.size);
            }
            if entry.path.module().is_none() && published {
                // Its directory, at most; those above are shared.
                plan.dirs += 1;
            } else if entry.path.module().is_none() || entry.path.module() != last_module.as_ref() {
                last_module = entry.path.module().cloned();
                // At most: its path elements in download/ and ledger/, and three derived files.
                plan.dirs += 2 * (entry.path.to_string().matches('/').count() as u64) + 3;
            }
            Ok(())
        })?;
        Ok(plan)
    }

    /// Whether everything is in the mirror and needs nothing.
    pub(crate) fn is_there(&self) -> bool {
        self.known_files == self.published && self.new_of_databases == 0 && self.lost_evidence == 0
    }
}

/// Share of the file system that an import leaves free, in percent: what a database or a log beside it needs to live.
const RESERVE_PERCENT: u64 = 3;

/// Files and directories that every import makes beside those of its content: head files and their directories, and those of
/// staged changes.
#[cfg(unix)]
const HEAD_INODES: u64 = 32 + DIRECTORIES;

/// An error with numbers if the mirror's file system has no room for what is to be written.
#[cfg(unix)]
pub(crate) fn room(mirror: &Mirror<'_>, plan: &Plan) -> Result<()> {
    let stat = rustix::fs::statvfs(mirror.path())
        .map_err(|error| Error::io(mirror.path(), "its free space could not be found", &error.into()))?;
    let block = stat.f_frsize.max(1);
    // Each file takes whole blocks; its directory entries come on top.
    let needed = plan.bytes.saturating_add((plan.files + plan.dirs) * block);
    let free = (stat.f_bavail * block).saturating_sub(stat.f_blocks * block / 100 * RESERVE_PERCENT);
    let error = |what: String| {
        Error::new(ErrorKind::NoSpace, format!("{}: not enough room: {what}", mirror.path().display()))
            .hint("free some, or put the mirror on a larger file system; the mirror is as it was")
    };
    if needed > free {
        return Err(error(format!(
            "{needed} bytes are needed, {free} are free after a reserve of {RESERVE_PERCENT} %"
        )));
    }
    let inodes = plan.files + plan.dirs + HEAD_INODES;
    // A file system without a count of its own says 0 of 0.
    if stat.f_files > 0 && inodes > stat.f_favail {
        return Err(error(format!("{inodes} inodes are needed, {} are free", stat.f_favail)));
    }
    Ok(())
}

/// Without the call nothing is known beforehand; a full disk is noticed when it is.
#[cfg(not(unix))]
pub(crate) fn room(_: &Mirror<'_>, _: &Plan) -> Result<()> {
    let _ = RESERVE_PERCENT;
    Ok(())
}
