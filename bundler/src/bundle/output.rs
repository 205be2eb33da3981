//! Where a bundle appears: whole under its final name, or not at all.
//!
//! Until it is whole it lies beside that name as `.NAME.partial-XXXXXX`, locked by the run that makes it. What a crash
//! leaves there the next bundle of the same name removes. A stream has no name, and nothing to hold back: who reads it
//! knows by the end of the tar that it is whole.

use crate::beneath::Beneath;
use crate::error::{Error, ErrorKind, Result};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempDir};

/// Where a bundle goes, and in which form.
pub enum Output<'a> {
    /// A directory to make.
    Directory(PathBuf),
    /// One tar to make.
    Tar(PathBuf),
    /// A tar for whoever reads on the other side.
    Stream(&'a mut (dyn Write + Send + Sync)),
}

impl Output<'_> {
    /// The same output, for one try of several.
    pub(crate) fn again(&mut self) -> Output<'_> {
        match self {
            Self::Directory(out) => Output::Directory(out.clone()),
            Self::Tar(out) => Output::Tar(out.clone()),
            Self::Stream(stream) => Output::Stream(&mut **stream),
        }
    }

    /// How messages name it.
    pub fn name(&self) -> PathBuf {
        match self {
            Self::Directory(out) | Self::Tar(out) => out.clone(),
            Self::Stream(_) => PathBuf::from("standard output"),
        }
    }
}

/// A directory under its temporary name; removed when dropped.
pub(crate) struct PartialDirectory {
    dir: TempDir,
    out: PathBuf,
    lock: File,
}

impl PartialDirectory {
    /// Makes it; refuses an `out` that exists.
    pub(crate) fn open(out: &Path) -> Result<Self> {
        let prefix = prepare(out)?;
        let dir = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(parent(out))
            .map_err(|error| Error::io(parent(out), "a directory for the bundle could not be made", &error))?;
        // The bundle takes the mode of this directory; a temporary one is for its owner alone.
        set_mode(dir.path(), 0o755).map_err(|error| Error::io(dir.path(), "its mode could not be set", &error))?;
        // A directory opens as a file for locking; where it does not, nobody removes abandoned ones either.
        let lock = File::open(dir.path()).map_err(|error| Error::io(dir.path(), "could not be opened", &error))?;
        lock.try_lock().map_err(|error| Error::io(dir.path(), "could not be locked", &error.into()))?;
        Ok(Self { dir, out: out.to_owned(), lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Whether files can be renamed from `work` into it.
    pub(crate) fn takes_from(&self, work: &Path) -> Result<bool> {
        let probe = self.path().join("probe");
        let moves = NamedTempFile::new_in(work).is_ok_and(|file| file.persist(&probe).is_ok());
        if moves {
            fs::remove_file(&probe).map_err(|error| Error::io(&probe, "could not be removed", &error))?;
        }
        Ok(moves)
    }

    /// Brings it to the disk and gives it its name.
    pub(crate) fn publish(self) -> Result<()> {
        Beneath::new(self.path())
            .and_then(|bundle| bundle.sync())
            .map_err(|error| Error::io(self.path(), "could not be written to the disk", &error))?;
        // At this point the whole bundle is on the disk under its temporary name.
        give_name(self.path(), &self.out)?;
        drop(self.lock);
        // Nothing is left under the temporary name.
        let _ = self.dir.keep();
        sync_parent(&self.out)
    }
}

/// A tar under its temporary name; removed when dropped.
pub(crate) struct PartialTar {
    file: NamedTempFile,
    out: PathBuf,
}

impl PartialTar {
    /// Makes it; refuses an `out` that exists.
    pub(crate) fn open(out: &Path) -> Result<Self> {
        let prefix = prepare(out)?;
        let failed = |error: &io::Error| Error::io(parent(out), "a file for the bundle could not be made", error);
        let file = tempfile::Builder::new().prefix(&prefix).tempfile_in(parent(out)).map_err(|error| failed(&error))?;
        // Unlike the files of a directory, which are served, this one is carried and then thrown away.
        set_mode(file.path(), 0o644).map_err(|error| failed(&error))?;
        file.as_file().try_lock().map_err(|error| failed(&error.into()))?;
        Ok(Self { file, out: out.to_owned() })
    }

    /// Where to write it, and how messages name it.
    pub(crate) fn writer(&mut self) -> (&mut File, &Path) {
        (self.file.as_file_mut(), &self.out)
    }

    /// Brings it to the disk and gives it its name.
    pub(crate) fn publish(self) -> Result<()> {
        let file = self.file.as_file();
        file.sync_all().map_err(|error| Error::io(&self.out, "could not be written to the disk", &error))?;
        // At this point the whole bundle is on the disk under its temporary name.
        give_name(self.file.path(), &self.out)?;
        // Nothing is left under the temporary name.
        let _ = self.file.keep();
        sync_parent(&self.out)
    }
}

/// Refuses what cannot become a bundle, clears away what killed runs have left, and gives the start of temporary names.
fn prepare(out: &Path) -> Result<String> {
    refuse_existing(out)?;
    let Some(name) = out.file_name() else {
        return Err(Error::new(ErrorKind::Usage, format!("{}: is no name for a bundle", out.display())));
    };
    let parent = parent(out);
    if !parent.is_dir() {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("{}: is no directory, so no bundle can be made in it", parent.display()),
        )
        .hint(format!("mkdir -p {}", parent.display())));
    }
    let prefix = format!(".{}.partial-", name.to_string_lossy());
    remove_abandoned(parent, &prefix);
    Ok(prefix)
}

fn refuse_existing(out: &Path) -> Result<()> {
    match fs::symlink_metadata(out) {
        Ok(_) => Err(exists(out)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io(out, "could not be looked at", &error)),
    }
}

/// The error for an output that is there already.
fn exists(out: &Path) -> Error {
    Error::new(ErrorKind::OutputExists, format!("{}: exists already, and nothing is ever written over", out.display()))
        .hint("name another output, or remove this one first")
}

/// Removes what killed runs have left for the same output; a living one holds its lock.
fn remove_abandoned(parent: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        if File::open(entry.path()).is_ok_and(|left| left.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
        }
    }
}

fn give_name(from: &Path, out: &Path) -> Result<()> {
    // Both lie in the same directory.
    let name = |path: &Path| path.file_name().map(PathBuf::from).unwrap_or_default();
    let renamed = Beneath::new(parent(out)).and_then(|parent| parent.rename_new(&name(from), &name(out)));
    renamed.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => exists(out),
        _ => Error::io(out, "the finished bundle could not be moved there", &error),
    })
}

fn sync_parent(out: &Path) -> Result<()> {
    let parent = parent(out);
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(|error| Error::io(parent, "could not be synced", &error))
}

/// The directory that a file lies in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(unix)]
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    let mut permissions = fs::metadata(path)?.permissions();
    permissions.set_readonly(mode & 0o200 == 0);
    fs::set_permissions(path, permissions)
}
