//! Proves what go fetched and writes it as a bundle beside its final name; the rename is the last step.
//!
//! Before the rename there is nothing at the final name. What a crash leaves is a directory `.NAME.partial-XXXXXX`,
//! which the next bundle of the same name removes.

use crate::context::{Context, Event};
use crate::error::{Error, ErrorKind, Result};
use crate::jobs;
use crate::module_cache::{Files, Versions};
use crate::module_zip::Prover;
use crate::source::Source;
use modferry_format::check::{self, Checker};
use modferry_format::go_sum::{GoSum, Subject};
use modferry_format::header::{Counts, Header};
use modferry_format::info::Info;
use modferry_format::manifest::Entry;
use modferry_format::requires::Requires;
use modferry_format::root::{BUNDLE, HeadFile, Root};
use modferry_format::{BundleId, BundlePath, FileSha256, H1, ModuleVersion, Version, go_mod, readme, versions};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Statements about hashes that every file must agree with, each with the name of who states it.
pub(crate) type Statements = Vec<(String, GoSum)>;

/// A bundle under way; removed when dropped.
pub(crate) struct Staging {
    dir: TempDir,
    out: PathBuf,
    lock: File,
    /// Whether files can be renamed from the work space into it; else they are copied.
    moves: bool,
}

impl Staging {
    /// Makes the directory beside `out`; refuses an `out` that exists. Zips will come from `work`.
    pub(crate) fn open(out: &Path, work: &Path) -> Result<Self> {
        refuse_existing(out)?;
        let parent = parent(out);
        let Some(name) = out.file_name() else {
            return Err(Error::new(ErrorKind::Usage, format!("{}: is no name for a bundle", out.display())));
        };
        if !parent.is_dir() {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("{}: is no directory, so no bundle can be made in it", parent.display()),
            )
            .hint(format!("mkdir -p {}", parent.display())));
        }
        let prefix = format!(".{}.partial-", name.to_string_lossy());
        remove_abandoned(parent, &prefix);
        let dir = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(parent)
            .map_err(|error| Error::io(parent, "a directory for the bundle could not be made", &error))?;
        // The bundle takes the mode of this directory; a temporary one is for its owner alone.
        set_mode(dir.path(), 0o755).map_err(|error| Error::io(dir.path(), "its mode could not be set", &error))?;
        // A directory opens as a file for locking; where it does not, nobody removes abandoned ones either.
        let lock = File::open(dir.path()).map_err(|error| Error::io(dir.path(), "could not be opened", &error))?;
        lock.try_lock().map_err(|error| Error::io(dir.path(), "could not be locked", &error.into()))?;
        let moves =
            tempfile::NamedTempFile::new_in(work).is_ok_and(|probe| probe.persist(dir.path().join("probe")).is_ok());
        if moves {
            let probe = dir.path().join("probe");
            fs::remove_file(&probe).map_err(|error| Error::io(&probe, "could not be removed", &error))?;
        }
        Ok(Self { dir, out: out.to_owned(), lock, moves })
    }

    /// Writes, syncs and renames; gives the id.
    pub(crate) fn seal(self, contents: Vec<Content>, header: &mut Header, context: &Context<'_>) -> Result<BundleId> {
        let mut entries: Vec<&Content> = contents.iter().collect();
        entries.sort_by_cached_key(|content| {
            let path = content.entry.path.to_string();
            (!path.starts_with(BundlePath::SUMDB_PREFIX), path)
        });
        header.bytes = entries.iter().map(|content| content.entry.size).sum();
        header.counts = count(&entries);
        let findings = judge(header, &entries);
        if let Some(first) = findings.first() {
            let message = format!("{}: the bundle would break its own rules", self.out.display());
            return Err(Error::new(ErrorKind::BundleInvalid, message)
                .because(first.clone())
                .hint("this is a mistake of modferry"));
        }
        let id = self.write_head(&entries, header)?;
        context.interrupt.check()?;
        // Last of all: until here a failure has left every zip where the next run finds it.
        for content in &entries {
            if let Some(zip) = &content.move_from {
                let place = self.place(&content.entry.path.to_string())?;
                fs::rename(zip, &place)
                    .map_err(|error| Error::io(&place, "the zip could not be moved there", &error))?;
                set_mode(&place, 0o444).map_err(|error| Error::io(&place, "its mode could not be set", &error))?;
            }
        }
        sync(self.dir.path())
            .map_err(|error| Error::io(self.dir.path(), "could not be written to the disk", &error))?;
        // At this point the whole bundle is on the disk under its temporary name.
        rename_new(self.dir.path(), &self.out).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => exists(&self.out),
            _ => Error::io(&self.out, "the finished bundle could not be moved there", &error),
        })?;
        drop(self.lock);
        // Nothing is left under the temporary name.
        let _ = self.dir.keep();
        let parent = parent(&self.out);
        File::open(parent)
            .and_then(|dir| dir.sync_all())
            .map_err(|error| Error::io(parent, "could not be synced", &error))?;
        Ok(id)
    }

    fn write_head(&self, entries: &[&Content], header: &Header) -> Result<BundleId> {
        let sums: String = entries.iter().map(|content| content.entry.sums_line()).collect();
        let sizes: String = entries.iter().map(|content| content.entry.sizes_line()).collect();
        let texts = [header.to_json(), sums, sizes, Requires::default().to_string(), readme::TEXT.to_owned()];
        for (file, text) in HeadFile::ALL.iter().zip(&texts) {
            if text.len() as u64 > file.max_bytes() {
                return Err(Error::new(
                    ErrorKind::BundleInvalid,
                    format!("{file}: larger than {} bytes", file.max_bytes()),
                )
                .hint("make several bundles, each with a part of the roots"));
            }
            self.write(file.name(), text.as_bytes())?;
        }
        let root = Root::new(texts.each_ref().map(|text| FileSha256::of(text.as_bytes()))).to_string();
        self.write(BUNDLE, root.as_bytes())?;
        Ok(BundleId::of(root.as_bytes()))
    }

    /// Writes one file of the content.
    fn add(&self, path: BundlePath, bytes: Vec<u8>) -> Result<Content> {
        self.write(&path.to_string(), &bytes)?;
        let entry = Entry { sha256: FileSha256::of(&bytes), size: bytes.len() as u64, path };
        let bytes = check::wants_bytes(&entry.path).map(|_| bytes);
        Ok(Content { entry, bytes, move_from: None })
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let file = self.place(path)?;
        let write = || {
            fs::write(&file, bytes)?;
            set_mode(&file, 0o444)
        };
        write().map_err(|error| Error::io(&file, "could not be written", &error))
    }

    /// Where a file goes, its directory made.
    fn place(&self, path: &str) -> Result<PathBuf> {
        let file = self.dir.path().join(path);
        let parent = parent(&file);
        fs::create_dir_all(parent).map_err(|error| Error::io(parent, "could not be made", &error))?;
        Ok(file)
    }

    /// Proves every version, brings its files into the bundle, and adds `list` and `@latest` of every module.
    pub(crate) fn fill(
        &self,
        cached: &Versions,
        statements: &Statements,
        context: &Context<'_>,
    ) -> Result<Vec<Content>> {
        let mut contents = Vec::new();
        let mut modules: BTreeMap<String, Vec<(&ModuleVersion, Vec<u8>)>> = BTreeMap::new();
        for (version, files) in cached {
            context.interrupt.check()?;
            let Some(go_mod) = &files.go_mod else { continue };
            let bytes = read(go_mod, go_mod::MAX_BYTES)?;
            agree(&Subject::GoMod(version.clone()), H1::of_go_mod(&bytes), statements)?;
            contents.push(self.add(BundlePath::Mod(version.clone()), bytes)?);
            let Some(info) = &files.info else { continue };
            let canonical = canonical_info(version, &read(info, Info::MAX_BYTES)?)?;
            if files.zip.is_some() {
                modules.entry(version.path().to_string()).or_default().push((version, canonical.clone()));
            }
            contents.push(self.add(BundlePath::Info(version.clone()), canonical)?);
        }
        for whole in modules.values() {
            let path = whole[0].0.path().clone();
            let names: Vec<&Version> = whole.iter().map(|(version, _)| version.version()).collect();
            contents
                .push(self.add(BundlePath::List(path.clone()), versions::list(names.iter().copied()).into_bytes())?);
            let latest = versions::latest(names.iter().copied());
            let info =
                whole.iter().find(|(version, _)| Some(version.version()) == latest).map(|(_, info)| info.clone());
            contents.push(self.add(BundlePath::Latest(path), info.unwrap_or_default())?);
        }
        contents.extend(self.zips(cached, statements, context)?);
        Ok(contents)
    }

    fn zips(&self, cached: &Versions, statements: &Statements, context: &Context<'_>) -> Result<Vec<Content>> {
        let mut zips: Vec<(&ModuleVersion, &PathBuf, u64)> = Vec::new();
        for (version, Files { zip, .. }) in cached {
            let Some(zip) = zip else { continue };
            let size = fs::metadata(zip).map_err(|error| Error::io(zip, "could not be read", &error))?.len();
            zips.push((version, zip, size));
        }
        // The largest first, so that no thread is left alone with a large one at the end.
        zips.sort_by_key(|(version, _, size)| (std::cmp::Reverse(*size), *version));
        let total = zips.len() as u64;
        let done = std::sync::Mutex::new((0_u64, 0_u64));
        let proved = jobs::map(context.jobs, zips, |prover: &mut Prover, (version, zip, size)| {
            context.interrupt.check()?;
            let content = self.zip(prover, version, zip, *size, statements)?;
            let mut done = done.lock().expect("no thread panics while it holds this lock");
            *done = (done.0 + 1, done.1 + size);
            context.progress.event(Event::Progress {
                done: done.0,
                total,
                bytes: done.1,
                current: &version.to_string(),
            });
            Ok(content)
        });
        proved.into_iter().map(|(_, content)| content).collect()
    }

    /// Proves one zip where it lies; where it cannot be moved from there later, it is copied on the way.
    fn zip(
        &self,
        prover: &mut Prover,
        version: &ModuleVersion,
        zip: &Path,
        size: u64,
        statements: &Statements,
    ) -> Result<Content> {
        let failed = |error: &io::Error| Error::io(zip, "could not be read", error);
        let path = BundlePath::Zip(version.clone());
        let source = Source::whole(File::open(zip).map_err(|error| failed(&error))?, size);
        let proof = if self.moves {
            prover.prove(version, &source, size, None).map_err(|error| failed(&error))?
        } else {
            let place = self.place(&path.to_string())?;
            let mut copy = || {
                let mut copy = File::create_new(&place)?;
                let proof = prover.prove(version, &source, size, Some(&mut copy as &mut dyn Write))?;
                set_mode(&place, 0o444)?;
                Ok(proof)
            };
            copy().map_err(|error: io::Error| Error::io(&place, "the zip could not be copied there", &error))?
        };
        let h1 = proof.h1.map_err(|reason| {
            Error::new(ErrorKind::ZipRefused, format!("{version}: its zip is refused: {reason}"))
                .hint("such a zip reads differently in different tools; ask its author or your proxy for a clean one")
        })?;
        let stated = fs::read_to_string(zip.with_extension("ziphash"))
            .map_err(|error| Error::io(zip, "go left no hash of it", &error))?;
        if stated.trim() != h1.to_string() {
            return Err(conflict(&Subject::Zip(version.clone()), h1, "go (.ziphash)", stated.trim()));
        }
        agree(&Subject::Zip(version.clone()), h1, statements)?;
        let entry = Entry { path, sha256: proof.sha256, size: proof.size };
        Ok(Content { entry, bytes: None, move_from: self.moves.then(|| zip.to_owned()) })
    }
}

/// One file of the content: in its place, or proved and waiting to be moved there.
pub(crate) struct Content {
    entry: Entry,
    /// Where the rules look at it.
    bytes: Option<Vec<u8>>,
    move_from: Option<PathBuf>,
}

/// The error for an output that is there already.
fn exists(out: &Path) -> Error {
    Error::new(ErrorKind::OutputExists, format!("{}: exists already, and nothing is ever written over", out.display()))
        .hint("name another output, or remove this one first")
}

fn refuse_existing(out: &Path) -> Result<()> {
    match fs::symlink_metadata(out) {
        Ok(_) => Err(exists(out)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io(out, "could not be looked at", &error)),
    }
}

/// Removes what killed runs have left for the same output; a living one holds its lock.
fn remove_abandoned(parent: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        if File::open(entry.path()).is_ok_and(|dir| dir.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn read(file: &Path, limit: u64) -> Result<Vec<u8>> {
    let read = || {
        let open = File::open(file)?;
        let size = open.metadata()?.len();
        Source::whole(open, size).read_all(limit)
    };
    read().map_err(|error| Error::io(file, "could not be read", &error))
}

fn canonical_info(version: &ModuleVersion, bytes: &[u8]) -> Result<Vec<u8>> {
    let refused = |reason: String| {
        Error::new(ErrorKind::BundleInvalid, format!("{version}: its info from upstream is refused")).because(reason)
    };
    let info = Info::from_upstream(bytes).map_err(|invalid| refused(invalid.to_string()))?;
    if info.version() != version.version() {
        return Err(refused(format!("it speaks of {}", info.version())));
    }
    Ok(info.to_canonical().into_bytes())
}

/// Whether all who state a hash for the subject state this one.
fn agree(subject: &Subject, h1: H1, statements: &Statements) -> Result<()> {
    for (who, sums) in statements {
        let expected = sums.expected(subject);
        if let Some(other) = expected.first().filter(|_| !expected.contains(&h1)) {
            return Err(conflict(subject, h1, who, &other.to_string()));
        }
    }
    Ok(())
}

fn conflict(subject: &Subject, ours: H1, who: &str, theirs: &str) -> Error {
    let (version, part) = match subject {
        Subject::Zip(version) => (version, "zip"),
        Subject::GoMod(version) => (version, "go.mod"),
    };
    Error::new(
        ErrorKind::HashConflict,
        format!("{version}: the {part} that upstream serves is not the one that {who} names"),
    )
    .because(format!("from upstream: {ours}"))
    .because(format!("{who}: {theirs}"))
    .hint("somebody changed this version after it was published, or on the way; find out who before you go on")
}

fn count(entries: &[&Content]) -> Counts {
    let version = |content: &&Content| match &content.entry.path {
        BundlePath::Info(version) | BundlePath::Mod(version) | BundlePath::Zip(version) => Some(version.clone()),
        _ => None,
    };
    let versions = entries.iter().filter_map(version).collect::<BTreeSet<_>>();
    let modules = versions.iter().map(ModuleVersion::path).collect::<BTreeSet<_>>();
    let zips = entries.iter().filter(|content| matches!(content.entry.path, BundlePath::Zip(_))).count();
    Counts {
        modules: modules.len() as u64,
        versions: versions.len() as u64,
        zips: zips as u64,
        files: entries.len() as u64,
    }
}

fn judge(header: &Header, entries: &[&Content]) -> Vec<String> {
    let mut checker = Checker::new(header);
    for content in entries {
        checker.file(&content.entry.path, content.entry.size, content.bytes.as_deref());
    }
    checker.finish().iter().map(ToString::to_string).collect()
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    let mut permissions = fs::metadata(path)?.permissions();
    permissions.set_readonly(mode & 0o200 == 0);
    fs::set_permissions(path, permissions)
}

/// Brings everything below `dir` to the disk. One syncfs instead of a sync per file: 2,000 small files cost as much
/// as one.
#[cfg(target_os = "linux")]
fn sync(dir: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(dir)?)?)
}

#[cfg(not(target_os = "linux"))]
fn sync(dir: &Path) -> io::Result<()> {
    for entry in walkdir::WalkDir::new(dir) {
        let entry = entry?;
        if entry.file_type().is_file() || cfg!(unix) {
            File::open(entry.path())?.sync_all()?;
        }
    }
    Ok(())
}

/// Renames, but never over something.
#[cfg(target_os = "linux")]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems (NFS, FUSE) do not know the flag.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => rename_checked(from, to),
        other => Ok(other?),
    }
}

#[cfg(not(target_os = "linux"))]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    rename_checked(from, to)
}

/// The weaker form: between the look and the rename somebody else could put an empty directory there.
fn rename_checked(from: &Path, to: &Path) -> io::Result<()> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}
