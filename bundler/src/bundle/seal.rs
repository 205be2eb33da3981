//! Proves what go fetched and makes a bundle of it, as a directory or as a tar; its appearance is the last step.

use crate::bundle::output::{Output, PartialDirectory, PartialTar, parent, set_mode};
use crate::bundle::pack::{Packed, pack};
use crate::context::{Context, Event};
use crate::error::{Error, ErrorKind, Result};
use crate::jobs;
use crate::module_cache::{Files, Versions};
use crate::source::Source;
use modferry_format::carried::{self, Carried};
use modferry_format::check::{self, Checker};
use modferry_format::go_sum::{GoSum, Subject};
use modferry_format::header::{Counts, Header, Observation};
use modferry_format::info::Info;
use modferry_format::manifest::Entry;
use modferry_format::requires::Requires;
use modferry_format::root::{BUNDLE, HeadFile, Root};
use modferry_format::sumdb::record;
use modferry_format::{BundleId, BundlePath, FileSha256, H1, ModuleVersion, Version, go_mod, readme, versions};
use modferry_prove::{Proof, Prover};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::iter;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use walkdir::WalkDir;

/// Statements about hashes that every file must agree with, each with the name of who states it.
pub(crate) type Statements = Vec<(String, GoSum)>;

/// A bundle under way; removed when dropped.
pub(crate) struct Staging<'a> {
    form: Form<'a>,
    /// The output, as messages name it.
    name: PathBuf,
    /// Whether zips stay in the work space until the end; else they are copied into the directory.
    moves: bool,
    /// The id that it must have, for a bundle that is made again.
    expected: Option<BundleId>,
}

/// What the files become. A tar is made of those in a directory of the work space, and of the zips where they lie: no
/// second copy of anything large.
enum Form<'a> {
    Directory(PartialDirectory),
    Tar(TempDir, PartialTar),
    Stream(TempDir, &'a mut (dyn Write + Send + Sync)),
}

impl<'a> Staging<'a> {
    /// Makes the place for the bundle; refuses an output that exists. Zips will come from `cache`, in which `work` is
    /// a directory of this run.
    pub(crate) fn open(out: Output<'a>, cache: &Path, work: &Path) -> Result<Self> {
        let name = out.name();
        let staging =
            || TempDir::new_in(work).map_err(|error| Error::io(work, "no directory could be made in it", &error));
        let form = match out {
            Output::Directory(out) => Form::Directory(PartialDirectory::open(&out)?),
            Output::Tar(out) => Form::Tar(staging()?, PartialTar::open(&out)?),
            Output::Stream(stream) => Form::Stream(staging()?, stream),
        };
        let moves = match &form {
            Form::Directory(partial) => partial.takes_from(cache)?,
            Form::Tar(..) | Form::Stream(..) => true,
        };
        Ok(Self { form, name, moves, expected: None })
    }

    /// The same, which must come to this id.
    pub(crate) fn expecting(self, expected: Option<BundleId>) -> Self {
        Self { expected, ..self }
    }

    /// Whether nobody reads a zip again on its way into the bundle: it only gets another name.
    pub(crate) fn only_moves(&self) -> bool {
        self.moves && matches!(self.form, Form::Directory(_))
    }

    /// Where the files are gathered.
    fn dir(&self) -> &Path {
        match &self.form {
            Form::Directory(partial) => partial.path(),
            Form::Tar(dir, _) | Form::Stream(dir, _) => dir.path(),
        }
    }

    /// Where the parts of checksum databases are laid out.
    pub(crate) fn databases_dir(&self) -> Result<PathBuf> {
        let dir = self.dir().join("download/sumdb");
        fs::create_dir_all(&dir).map_err(|error| Error::io(&dir, "could not be made", &error))?;
        Ok(dir)
    }

    /// What was laid out there.
    pub(crate) fn databases(&self, context: &Context<'_>) -> Result<Vec<Content>> {
        let dir = self.databases_dir()?;
        let mut contents = Vec::new();
        for found in WalkDir::new(&dir).min_depth(1) {
            context.interrupt.check()?;
            let found = found.map_err(|error| Error::io(&dir, "could not be read", &error.into()))?;
            if found.file_type().is_dir() {
                continue;
            }
            let name = found.path().strip_prefix(self.dir()).ok().and_then(Path::to_str);
            let name = name.map(|name| name.replace(std::path::MAIN_SEPARATOR, "/"));
            let path: BundlePath = name.and_then(|name| name.parse().ok()).ok_or_else(|| {
                let message = format!("{}: is no file of a checksum database", found.path().display());
                Error::new(ErrorKind::BundleInvalid, message).hint("this is a mistake of modferry")
            })?;
            let bytes = read(found.path(), record::MAX_BYTES as u64)?;
            set_mode(found.path(), 0o444)
                .map_err(|error| Error::io(found.path(), "its mode could not be set", &error))?;
            contents.push(content(path, bytes));
        }
        if contents.is_empty() {
            // An empty directory is no part of a bundle.
            fs::remove_dir(&dir).map_err(|error| Error::io(&dir, "could not be removed", &error))?;
        }
        Ok(contents)
    }

    /// Lays the content out below `dir` as it will be served: by links where the file system is the same, else by copies.
    pub(crate) fn lay_out(&self, contents: &[Content], dir: &Path, context: &Context<'_>) -> Result<()> {
        for content in contents {
            context.interrupt.check()?;
            let path = content.entry.path.to_string();
            let from = content.move_from.clone().unwrap_or_else(|| self.dir().join(&path));
            let to = place(dir, &path)?;
            if fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to).map_err(|error| Error::io(&to, "could not be laid out", &error))?;
            }
        }
        Ok(())
    }

    /// Adds a file that is not served.
    pub(crate) fn extra(&self, path: &str, text: &str) -> Result<Content> {
        let path = path.parse().map_err(|invalid| {
            Error::new(ErrorKind::BundleInvalid, format!("{path}: no bundle can carry it"))
                .because(format!("{invalid}"))
        })?;
        self.add(path, text.as_bytes().to_vec())
    }

    /// Writes the head files and makes the bundle of all of them; gives the id.
    pub(crate) fn seal(
        self,
        contents: Vec<Content>,
        header: &mut Header,
        requires: Requires,
        context: &Context<'_>,
    ) -> Result<BundleId> {
        let mut entries: Vec<&Content> = contents.iter().collect();
        entries.sort_by_cached_key(|content| {
            let path = content.entry.path.to_string();
            (!path.starts_with(BundlePath::SUMDB_PREFIX), path)
        });
        (header.counts, header.bytes, header.closure) = measure(&entries);
        let findings = judge(header, &entries);
        if let Some(first) = findings.first() {
            let message = format!("{}: the bundle would break its own rules", self.name.display());
            return Err(Error::new(ErrorKind::BundleInvalid, message)
                .because(first.clone())
                .hint("this is a mistake of modferry"));
        }
        let (id, head) = self.write_head(&entries, header, &requires)?;
        if let Some(expected) = self.expected.as_ref().filter(|expected| **expected != id) {
            let message = format!("{}: would be bundle {id}, not {expected}", self.name.display());
            return Err(Error::new(ErrorKind::Differs, message)
                .because("its content is the same, its head files are not")
                .hint("take the modferry that made the first one"));
        }
        context.interrupt.check()?;
        let packed = |path: String, size: u64, place: PathBuf| Packed { path, size, place };
        let mut files: Vec<Packed> =
            head.into_iter().map(|(name, size)| packed(name.to_owned(), size, self.dir().join(name))).collect();
        files.extend(entries.iter().map(|content| {
            let path = content.entry.path.to_string();
            let place = content.move_from.clone().unwrap_or_else(|| self.dir().join(&path));
            packed(path, content.entry.size, place)
        }));
        match self.form {
            Form::Directory(partial) => {
                // Last of all: until here a failure has left every zip where the next run finds it.
                for content in &entries {
                    if let Some(zip) = &content.move_from {
                        let place = place(partial.path(), &content.entry.path.to_string())?;
                        fs::rename(zip, &place)
                            .map_err(|error| Error::io(&place, "the zip could not be moved there", &error))?;
                        set_mode(&place, 0o444)
                            .map_err(|error| Error::io(&place, "its mode could not be set", &error))?;
                    }
                }
                partial.publish()?;
            }
            Form::Tar(_dir, mut partial) => {
                let (file, name) = partial.writer();
                pack(&files, file, name, context)?;
                partial.publish()?;
            }
            Form::Stream(_dir, stream) => pack(&files, stream, &self.name, context)?,
        }
        Ok(id)
    }

    /// Writes `BUNDLE` and the head files; gives the id, and their names and sizes in the order of a carrier.
    fn write_head(
        &self,
        entries: &[&Content],
        header: &Header,
        requires: &Requires,
    ) -> Result<(BundleId, Vec<(&'static str, u64)>)> {
        let sums: String = entries.iter().map(|content| content.entry.sums_line()).collect();
        let sizes: String = entries.iter().map(|content| content.entry.sizes_line()).collect();
        let texts = [header.to_json(), sums, sizes, requires.to_string(), readme::TEXT.to_owned()];
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
        let head = HeadFile::ALL.iter().zip(&texts).map(|(file, text)| (file.name(), text.len() as u64));
        Ok((BundleId::of(root.as_bytes()), iter::once((BUNDLE, root.len() as u64)).chain(head).collect()))
    }

    /// Writes one file of the content.
    fn add(&self, path: BundlePath, bytes: Vec<u8>) -> Result<Content> {
        self.write(&path.to_string(), &bytes)?;
        Ok(content(path, bytes))
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let file = place(self.dir(), path)?;
        let write = || {
            fs::write(&file, bytes)?;
            set_mode(&file, 0o444)
        };
        write().map_err(|error| Error::io(&file, "could not be written", &error))
    }

    /// Proves every version, brings its files into the bundle, and adds `list` and `@latest` of every module.
    pub(crate) fn fill(
        &self,
        cached: &Versions,
        statements: &Statements,
        base: &BTreeMap<ModuleVersion, Vec<u8>>,
        proofs: &BTreeMap<ModuleVersion, Proof>,
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
        // Lists read as they should on the far side.
        for (version, info) in base.iter().filter(|(version, _)| !cached.contains_key(version)) {
            if let Some(whole) = modules.get_mut(version.path().as_str()) {
                whole.push((version, info.clone()));
            }
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
        contents.extend(self.zips(cached, statements, proofs, context)?);
        Ok(contents)
    }

    /// Brings the aliases of what was asked upstream.
    pub(crate) fn aliases(&self, cached: &Versions, observations: &BTreeSet<Observation>) -> Result<Vec<Content>> {
        let mut contents = Vec::new();
        for (alias, version) in observations.iter().flat_map(Observation::aliases) {
            let info = cached.get(&version).and_then(|files| files.info.as_ref());
            // What was asked and not chosen is not carried.
            let Some(info) = info else { continue };
            contents.push(self.add(alias, canonical_info(&version, &read(info, Info::MAX_BYTES)?)?)?);
        }
        Ok(contents)
    }

    fn zips(
        &self,
        cached: &Versions,
        statements: &Statements,
        proofs: &BTreeMap<ModuleVersion, Proof>,
        context: &Context<'_>,
    ) -> Result<Vec<Content>> {
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
            let known = proofs.get(*version).filter(|proof| self.moves && proof.size == *size);
            let content = self.zip(prover, version, (zip, *size), known, statements)?;
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
        (zip, size): (&Path, u64),
        known: Option<&Proof>,
        statements: &Statements,
    ) -> Result<Content> {
        let failed = |error: &io::Error| Error::io(zip, "could not be read", error);
        let path = BundlePath::Zip(version.clone());
        let source = Source::whole(File::open(zip).map_err(|error| failed(&error))?, size);
        // What was proven when it came lies in a directory of this run since.
        let proof = if let Some(known) = known {
            known.clone()
        } else if self.moves {
            prover.prove(version, &source, size, None).map_err(|error| failed(&error))?
        } else {
            let place = place(self.dir(), &path.to_string())?;
            let mut copy = || {
                let mut copy = File::create_new(&place)?;
                let proof = prover.prove(version, &source, size, Some(&mut copy as &mut dyn Write))?;
                set_mode(&place, 0o444)?;
                Ok(proof)
            };
            copy().map_err(|error: io::Error| Error::io(&place, "the zip could not be copied there", &error))?
        };
        let h1 = accept(version, proof.h1)?;
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
    pub(crate) entry: Entry,
    /// Where the rules look at it.
    bytes: Option<Vec<u8>>,
    move_from: Option<PathBuf>,
}

/// A file that is in its place.
fn content(path: BundlePath, bytes: Vec<u8>) -> Content {
    let entry = Entry { sha256: FileSha256::of(&bytes), size: bytes.len() as u64, path };
    let bytes = check::wants_bytes(&entry.path).map(|_| bytes);
    Content { entry, bytes, move_from: None }
}

/// Where a file of the bundle goes, its directory made.
fn place(dir: &Path, path: &str) -> Result<PathBuf> {
    let file = dir.join(path);
    let parent = parent(&file);
    fs::create_dir_all(parent).map_err(|error| Error::io(parent, "could not be made", &error))?;
    Ok(file)
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

/// The h1 of a zip that reads the same in all tools.
pub(crate) fn accept(version: &ModuleVersion, h1: std::result::Result<H1, String>) -> Result<H1> {
    h1.map_err(|reason| {
        Error::new(ErrorKind::ZipRefused, format!("{version}: its zip is refused: {reason}"))
            .hint("such a zip reads differently in different tools; ask its author or your proxy for a clean one")
    })
}

/// Whether all who state a hash for the subject state this one.
pub(crate) fn agree(subject: &Subject, h1: H1, statements: &Statements) -> Result<()> {
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

/// What bundle.json says of these files as a whole.
pub(crate) fn measure(entries: &[&Content]) -> (Counts, u64, Vec<Carried>) {
    (count(entries), entries.iter().map(|content| content.entry.size).sum(), carried(entries))
}

/// The versions of these files, for the lock (SPEC M46).
fn carried(entries: &[&Content]) -> Vec<Carried> {
    let mut versions: BTreeMap<&ModuleVersion, carried::Files> = BTreeMap::new();
    for content in entries {
        match &content.entry.path {
            BundlePath::Zip(version) => drop(versions.insert(version, carried::Files::Whole)),
            BundlePath::Info(version) | BundlePath::Mod(version) => {
                versions.entry(version).or_insert(carried::Files::Graph);
            }
            _ => {}
        }
    }
    Carried::lines(versions.into_iter().map(|(version, files)| (version.clone(), files)))
}

fn judge(header: &Header, entries: &[&Content]) -> Vec<String> {
    let mut checker = Checker::new(header);
    for content in entries {
        checker.file(&content.entry.path, content.entry.size, content.bytes.as_deref());
    }
    checker.finish().iter().map(ToString::to_string).collect()
}
