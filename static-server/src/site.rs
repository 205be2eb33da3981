//! What is served: a bundle or a mirror, and what there is in it at a path.
//!
//! Nothing is read in advance and nothing is kept here but the header of a bundle: each look is at the files as they are,
//! so what an import has published is there. What a look has found, [`cache`](crate::cache) keeps. A path of the module download API is the only
//! name that is ever opened for a client, and all of those lie in `download/`.

use crate::absence::{Absence, Database, Kind, LEFT_BY_LEVEL, Newest};
use crate::beneath::Directory;
use crate::cut_tile::cut;
use crate::entity_tag::EntityTag;
use crate::error::{Error, ErrorKind, Result};
use crate::file_bytes::{Patience, read_whole};
use crate::limits::{MAX_CHANGING_BYTES, MAX_LIST_BYTES_FOR_HINT, MAX_SMALL_BYTES};
use crate::modified::Modified;
use crate::plan::Resource;
use crate::sorted_lines;
use bytes::Bytes;
use modferry_format::header::{Header, HeaderError};
use modferry_format::ledger::{self, Ledger};
use modferry_format::root::{BUNDLE, HeadFile, MAX_BUNDLE_BYTES};
use modferry_format::{BundleId, BundlePath, FileSha256, ModulePath, versions};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// A bundle or a mirror, open for serving.
#[derive(Debug)]
pub struct Site {
    path: PathBuf,
    root: Directory,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Bundle {
        id: BundleId,
        /// `SHA256SUMS` and its size in bytes.
        sums: (File, u64),
        /// For searches in it.
        first_steps: sorted_lines::FirstSteps,
        /// Why files of the closure were left out, by path.
        not_carried: BTreeMap<String, String>,
        /// The bundle that it counts on, if it does.
        base: Option<String>,
    },
    Mirror,
}

/// What was found at a path.
#[derive(Debug)]
pub struct Found {
    /// What the planner needs to know of it.
    pub resource: Resource,
    /// Where its bytes are.
    pub bytes: FileBytes,
    /// Which state of the file this is; none where there is no file, or it was cut from another.
    pub(crate) stamp: Option<Stamp>,
}

/// Tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
    /// Which file of its file system, and when anything about it changed, its name included.
    #[cfg(unix)]
    inode: (u64, u64, i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            size: meta.len(),
            modified: meta.modified().ok(),
            #[cfg(unix)]
            inode: (meta.dev(), meta.ino(), meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// The bytes of a file that was found.
#[derive(Debug)]
pub enum FileBytes {
    /// There is no file.
    None,
    /// All of them, read from one descriptor.
    Read(Bytes),
    /// In this file.
    File(Arc<File>),
}

impl Site {
    /// Opens the bundle or mirror in this directory.
    pub fn open(path: &Path) -> Result<Self> {
        let root = Directory::open(path).map_err(|error| {
            let opened = Error::io(path, "cannot be served", &error);
            match error.kind() {
                io::ErrorKind::NotFound => {
                    opened.hint("name the directory of a bundle, or of a mirror that modferry import fills")
                }
                io::ErrorKind::NotADirectory => opened.hint("unpack a tar first: mkdir DIR && tar -xf FILE -C DIR"),
                _ => opened,
            }
        })?;
        let content = match read_head(&root, path, BUNDLE, MAX_BUNDLE_BYTES)? {
            Some(bundle) => Content::bundle(&root, path, &bundle)?,
            None if ["ledger", "bundles"].iter().any(|name| path.join(name).is_dir()) => Content::Mirror,
            None => return Err(neither(path)),
        };
        // A mirror into which nothing was imported has none yet.
        let download = path.join("download");
        if download.symlink_metadata().is_ok_and(|meta| !meta.is_dir()) {
            let message = format!("{}: is no directory, and no link is followed", download.display());
            return Err(
                Error::new(ErrorKind::Usage, message).hint("serve the place that it leads to, or mount it here")
            );
        }
        Ok(Self { path: path.to_owned(), root, content })
    }

    /// Which of the two it is.
    pub fn kind(&self) -> Kind {
        match self.content {
            Content::Bundle { .. } => Kind::Bundle,
            Content::Mirror => Kind::Mirror,
        }
    }

    /// The bundle that this one counts on: what that has is not here.
    pub fn base(&self) -> Option<&str> {
        match &self.content {
            Content::Bundle { base, .. } => base.as_deref(),
            Content::Mirror => None,
        }
    }

    /// Looks for a file, by its path and the text of that. An error is one of the system: the file may be there and cannot be
    /// read; `WouldBlock` where a disk must be waited for, and may not.
    pub(crate) fn look(&self, path: &BundlePath, text: &str, patience: Patience) -> io::Result<Found> {
        // The router lets nothing else through; this is the door itself.
        if !path.is_served() {
            return self.nothing(path, text, patience);
        }
        let Some((file, meta)) = self.root.open_file(text, patience)? else {
            return match self.part_of_a_wider(path, patience)? {
                Some(found) => Ok(found),
                None => self.nothing(path, text, patience),
            };
        };
        let (size, stamp) = (meta.len(), Some(Stamp::of(&meta)));
        // Two states of a list within one second would have one date: only what never changes has one.
        let changed = meta.modified().ok().filter(|_| path.is_immutable());
        let modified = changed.and_then(|time| Modified::of(time, SystemTime::now()));
        let whole = if path.is_immutable() { MAX_SMALL_BYTES } else { MAX_CHANGING_BYTES };
        if size > whole {
            let tag = self.recorded(path, text, size, patience)?;
            return Ok(Found {
                resource: Resource::Here { size, tag, modified },
                bytes: FileBytes::File(Arc::new(file)),
                stamp,
            });
        }
        let bytes = read_whole(&file, size, patience)?;
        let size = bytes.len() as u64;
        let tag = EntityTag::File(FileSha256::of(&bytes));
        Ok(Found {
            resource: Resource::Here { size, tag: Some(tag), modified },
            bytes: FileBytes::Read(bytes.into()),
            stamp,
        })
    }

    /// The state of a file; none where it is not there any more.
    pub(crate) fn stamp(&self, path: &BundlePath, patience: Patience) -> io::Result<Option<Stamp>> {
        Ok(self.root.open_file(&path.to_string(), patience)?.map(|(_, meta)| Stamp::of(&meta)))
    }

    /// What can be answered for a file that is not there: a tile as the beginning of a wider one.
    fn part_of_a_wider(&self, path: &BundlePath, patience: Patience) -> io::Result<Option<Found>> {
        let BundlePath::Tile(database, tile) = path else { return Ok(None) };
        Ok(cut(&self.root, database, *tile, patience)?.map(|(bytes, tag)| Found {
            resource: Resource::Here { size: bytes.len() as u64, tag: Some(tag), modified: None },
            bytes: FileBytes::Read(bytes),
            stamp: None,
        }))
    }

    /// The tag of a file from the list that vouches for it; none where that list does not have it (yet). The ledger of
    /// a mirror has the files of modules only; those of a checksum database are small and hashed as they are read.
    fn recorded(&self, path: &BundlePath, text: &str, size: u64, patience: Patience) -> io::Result<Option<EntityTag>> {
        if !path.is_immutable() {
            return Ok(None);
        }
        let sha256 = match &self.content {
            Content::Bundle { sums: (file, sums_size), first_steps, .. } => {
                let line = sorted_lines::find(file, *sums_size, patience, Some(first_steps), |line| {
                    Some(BundlePath::order(line.split_once("  ")?.1, text))
                })?;
                line.and_then(|line| line.split_once("  ")?.0.parse().ok())
            }
            Content::Mirror => self.in_ledger(path, patience)?.filter(|line| line.size == size).map(|line| line.sha256),
        };
        Ok(sha256.map(EntityTag::File))
    }

    fn in_ledger(&self, path: &BundlePath, patience: Patience) -> io::Result<Option<ledger::Line>> {
        let (Some(module), Some(name)) = (path.module(), Ledger::name_of(path)) else { return Ok(None) };
        let Some((file, size)) = self.root.file(&Ledger::path(module), patience)? else { return Ok(None) };
        let line = sorted_lines::find(&file, size, patience, None, |line| Some(line.rsplit_once(' ')?.1.cmp(&name)))?;
        Ok(line.and_then(|line| line.parse().ok()))
    }

    fn nothing(&self, path: &BundlePath, text: &str, patience: Patience) -> io::Result<Found> {
        let newest = match path.module().or(lookup_module(path)) {
            // What is asked for is the list: that it is missing is known.
            Some(_) if matches!(path, BundlePath::List(_)) => Newest::None,
            Some(module) => helpful(self.newest(module, patience))?.unwrap_or(Newest::Unknown),
            None => Newest::Unknown,
        };
        let not_carried = match &self.content {
            Content::Bundle { not_carried, .. } => not_carried.get(text).cloned(),
            Content::Mirror => None,
        };
        let not_carried = match not_carried {
            Some(reason) => Some(reason),
            None => helpful(self.left_by_level(path, patience))?.flatten(),
        };
        let database = helpful(self.database(path, patience))?.unwrap_or(Database::Unknown);
        let absence = Absence { kind: self.kind(), newest, database, not_carried };
        Ok(Found { resource: Resource::Absent(absence), bytes: FileBytes::None, stamp: None })
    }

    /// Of a version whose go.mod is here and whose zip is not, that is what the level of its bundle came to.
    fn left_by_level(&self, path: &BundlePath, patience: Patience) -> io::Result<Option<String>> {
        let BundlePath::Zip(version) = path else { return Ok(None) };
        let go_mod = self.root.file(&BundlePath::Mod(version.clone()).to_string(), patience)?;
        Ok(go_mod.map(|_| LEFT_BY_LEVEL.to_owned()))
    }

    /// Whether the checksum database that a file belongs to is here; `supported` says so to `go`, too.
    fn database(&self, path: &BundlePath, patience: Patience) -> io::Result<Database> {
        let name = match path {
            BundlePath::Head(name) | BundlePath::Lookup(name, _) | BundlePath::Tile(name, _) => name,
            // What is asked for is that very file: that it is missing is known.
            BundlePath::Supported(_) => return Ok(Database::None),
            _ => return Ok(Database::Unknown),
        };
        let supported = self.root.file(&BundlePath::Supported(name.clone()).to_string(), patience)?;
        Ok(supported.map_or(Database::None, |_| Database::Here))
    }

    /// The newest version in the module's `list`.
    fn newest(&self, module: &ModulePath, patience: Patience) -> io::Result<Newest> {
        let list = BundlePath::List(module.clone()).to_string();
        let (file, size) = match self.root.file(&list, patience)? {
            Some((file, size)) if size <= MAX_LIST_BYTES_FOR_HINT => (file, size),
            None => return Ok(Newest::None),
            Some(_) => return Ok(Newest::Unknown),
        };
        let Ok(text) = String::from_utf8(read_whole(&file, size, patience)?) else { return Ok(Newest::Unknown) };
        let listed: Vec<_> = text.lines().filter_map(|line| line.parse().ok()).collect();
        Ok(versions::latest(&listed).map_or(Newest::Untagged, |version| Newest::Version(version.clone())))
    }
}

/// What only makes an answer more helpful may fail, but not because nobody waited for it.
fn helpful<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
        found => Ok(found.ok()),
    }
}

impl Content {
    fn bundle(root: &Directory, path: &Path, bundle: &[u8]) -> Result<Self> {
        let broken = |what: String| {
            Error::new(ErrorKind::BundleInvalid, format!("{}: {what}", path.display()))
                .hint(format!("modferry verify {} names everything that is wrong with it", path.display()))
        };
        let name = HeadFile::BundleJson.name();
        let json = read_head(root, path, name, HeadFile::BundleJson.max_bytes())?
            .ok_or_else(|| broken(format!("has no {name}")))?;
        let header = Header::parse(&json).map_err(|error| match error {
            HeaderError::Unsupported(what) => {
                Error::new(ErrorKind::Unsupported, format!("{}: {name}: {what}", path.display()))
            }
            other => broken(other.to_string()),
        })?;
        let name = HeadFile::Sha256Sums.name();
        let sums = root
            .file(name, Patience::Wait)
            .map_err(|error| Error::io(&path.join(name), "cannot be read", &error))?
            .ok_or_else(|| broken(format!("has no {name}")))?;
        if !path.join("download").exists() {
            return Err(broken("has no download/".to_owned()));
        }
        let not_carried = header.not_carried.into_iter().map(|left| (left.path, left.reason)).collect();
        let base = header.base.into_iter().next();
        let first_steps = sorted_lines::FirstSteps::default();
        Ok(Self::Bundle { id: BundleId::of(bundle), sums, first_steps, not_carried, base })
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.content {
            Content::Bundle { id, .. } => write!(f, "bundle {id} in {path}"),
            Content::Mirror => write!(f, "mirror in {path}"),
        }
    }
}

/// The module of a record; for the file itself it counts to the database.
fn lookup_module(path: &BundlePath) -> Option<&ModulePath> {
    match path {
        BundlePath::Lookup(_, version) => Some(version.path()),
        _ => None,
    }
}

fn read_head(root: &Directory, path: &Path, name: &str, max_bytes: u64) -> Result<Option<Vec<u8>>> {
    let failed = |error: io::Error| Error::io(&path.join(name), "cannot be read", &error);
    let Some((file, size)) = root.file(name, Patience::Wait).map_err(failed)? else { return Ok(None) };
    if size > max_bytes {
        let message = format!("{}: larger than {max_bytes} bytes", path.join(name).display());
        return Err(Error::new(ErrorKind::BundleInvalid, message));
    }
    read_whole(&file, size, Patience::Wait).map(Some).map_err(failed)
}

/// What is said of a directory that cannot be served.
fn neither(path: &Path) -> Error {
    let message = format!(
        "{}: is neither a bundle nor a mirror; there is no file BUNDLE and no directory ledger or bundles in it",
        path.display()
    );
    let hint = if path.join("../BUNDLE").is_file() {
        "name the bundle itself; its download directory is found from there"
    } else {
        "modferry bundle makes a bundle, modferry import a mirror"
    };
    Error::new(ErrorKind::Usage, message).hint(hint)
}
