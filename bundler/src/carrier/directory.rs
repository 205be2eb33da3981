//! A bundle that is a directory.
//!
//! Nothing is opened through a link: a name below the root leads to a regular file below the root or it is refused.

use super::{Carrier, Delivered, What};
use crate::beneath::Beneath;
use crate::error::{Error, ErrorKind, Result};
use crate::source::Source;
use modferry_format::BundlePath;
use modferry_format::root::{BUNDLE, HeadFile, is_signature_name};
use std::cmp::Ordering;
use std::fs::FileType;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walkdir::{DirEntry, WalkDir};

/// A directory with the files of a bundle.
pub struct Directory {
    name: String,
    path: PathBuf,
    root: Arc<Beneath>,
}

impl Directory {
    /// Opens the directory; whether it holds a bundle is for the reader to find out.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |error: &io::Error| Error::io(path, "the bundle could not be opened", error);
        let meta = std::fs::metadata(path).map_err(|error| failed(&error))?;
        if !meta.is_dir() {
            return Err(Error::new(ErrorKind::Usage, format!("{}: is no directory", path.display())));
        }
        let root = Arc::new(Beneath::new(path).map_err(|error| failed(&error))?);
        Ok(Self { name: path.display().to_string(), path: path.to_owned(), root })
    }

    fn walk(&self, below: &str) -> WalkDir {
        WalkDir::new(self.path.join(below))
            .follow_links(false)
            .follow_root_links(below.is_empty())
            .sort_by(in_path_order)
    }

    fn deliver(&self, entry: walkdir::Result<DirEntry>) -> Option<Delivered> {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().map_or_else(String::new, |path| relative(&self.path, path));
                return Some(Delivered { path, what: What::Unreadable(error.into()) });
            }
        };
        if entry.file_type().is_dir() {
            return None;
        }
        let path = relative(&self.path, entry.path());
        let what = if entry.file_type().is_file() {
            match entry.metadata() {
                Ok(meta) => {
                    let (root, below) = (
                        Arc::clone(&self.root),
                        entry.path().strip_prefix(&self.path).unwrap_or(entry.path()).to_owned(),
                    );
                    What::File(meta.len(), Box::new(move || root.open(&below)))
                }
                Err(error) => What::Unreadable(error.into()),
            }
        } else {
            What::Other(kind_of(entry.file_type()))
        };
        Some(Delivered { path, what })
    }
}

impl Carrier for Directory {
    fn name(&self) -> &str {
        &self.name
    }

    fn head(&self, name: &str) -> io::Result<Option<Source>> {
        match self.root.open(Path::new(name)) {
            Ok(source) => Ok(Some(source)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn content(&self) -> Result<Box<dyn Iterator<Item = Delivered> + '_>> {
        // The order of the manifest: the checksum database first.
        let sumdb = BundlePath::SUMDB_PREFIX.trim_end_matches('/');
        let first = self.path.join(sumdb);
        let database = first.symlink_metadata().is_ok().then(|| self.walk(sumdb)).into_iter().flatten();
        let is_head = |entry: &DirEntry| {
            let name = entry.file_name().to_string_lossy();
            entry.depth() == 1
                && (name == BUNDLE || is_signature_name(&name) || HeadFile::ALL.iter().any(|file| file.name() == name))
        };
        let rest = self.walk("").into_iter().filter_entry(move |entry| entry.path() != first && !is_head(entry));
        Ok(Box::new(database.chain(rest).filter_map(|entry| self.deliver(entry))))
    }
}

/// Orders the entries of a directory so that the walk gives whole paths in byte order: a directory counts with the
/// slash that its paths go on with (`a.b` comes before what is in `a`).
fn in_path_order(a: &DirEntry, b: &DirEntry) -> Ordering {
    let key = |entry: &DirEntry| {
        let mut name = entry.file_name().as_encoded_bytes().to_vec();
        if entry.file_type().is_dir() {
            name.push(b'/');
        }
        name
    };
    key(a).cmp(&key(b))
}

fn relative(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    match below.to_str() {
        Some(text) => text.replace(std::path::MAIN_SEPARATOR, "/"),
        None => below.as_os_str().as_encoded_bytes().escape_ascii().to_string(),
    }
}

#[cfg(unix)]
fn kind_of(file_type: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if file_type.is_symlink() {
        "a symbolic link"
    } else if file_type.is_fifo() {
        "a pipe"
    } else if file_type.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn kind_of(file_type: FileType) -> &'static str {
    if file_type.is_symlink() { "a symbolic link" } else { "no regular file" }
}
