//! Files beneath one directory, reached without following a link: what somebody plants there is refused, not followed.
//!
//! On Linux the kernel itself refuses (openat2). Where it cannot, the last name of a path is no link; those before it
//! are checked by whoever made them.

use crate::source::Source;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A directory and the way to what is in it.
#[derive(Debug)]
pub struct Beneath {
    path: PathBuf,
    #[cfg(unix)]
    dir: File,
}

/// What a name leads to; a link is something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file of this many bytes.
    File(u64),
    /// A directory.
    Directory,
    /// A link, a pipe, a socket, a device.
    Other,
}

impl Beneath {
    /// For what is beneath `path`, a directory that is there.
    pub fn new(path: &Path) -> io::Result<Self> {
        #[cfg(unix)]
        let dir = {
            use rustix::fs::{Mode, OFlags, open};
            File::from(open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
        };
        Ok(Self {
            path: path.to_owned(),
            #[cfg(unix)]
            dir,
        })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a path beneath it lies, for messages.
    pub fn full(&self, below: &Path) -> PathBuf {
        self.path.join(below)
    }

    /// Opens a regular file for reading. A pipe that took its place does not hang us.
    pub fn open(&self, below: &Path) -> io::Result<Source> {
        let (file, size) = regular(self.open_with(below, How::Read)?)?;
        Ok(Source::whole(file, size))
    }

    /// Makes a file that was not there, for writing and reading back. The process's umask counts.
    pub fn create_new(&self, below: &Path, mode: u32) -> io::Result<File> {
        self.open_with(below, How::CreateNew(mode))
    }

    /// Opens a regular file for reading and for adding at its end; makes it where there is none.
    pub fn append(&self, below: &Path, mode: u32) -> io::Result<File> {
        Ok(regular(self.open_with(below, How::Append(mode))?)?.0)
    }

    /// All bytes of a regular file; an error if there are more than `limit`.
    pub fn read(&self, below: &Path, limit: u64) -> io::Result<Vec<u8>> {
        self.open(below)?.read_all(limit)
    }

    /// What a name leads to; `None` if there is nothing.
    pub fn kind(&self, below: &Path) -> io::Result<Option<Kind>> {
        match self.stat(below) {
            Ok(kind) => Ok(Some(kind)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is in a directory, in the order of the system, and what each name leads to. What goes away meanwhile is left out.
    pub fn entries(&self, below: &Path) -> io::Result<Vec<(OsString, Kind)>> {
        #[cfg(unix)]
        {
            use rustix::fs::{AtFlags, Dir, statat};
            use std::os::unix::ffi::OsStringExt;
            let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
            let dir = self.open_with(below, How::List)?;
            let mut entries = Vec::new();
            for entry in Dir::read_from(&dir)? {
                let entry = entry?;
                let name = entry.file_name();
                if matches!(name.to_bytes(), b"." | b"..") {
                    continue;
                }
                match statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(rustix::io::Errno::NOENT) => {}
                    stat => entries.push((OsString::from_vec(name.to_bytes().to_vec()), kind_of(&stat?))),
                }
            }
            Ok(entries)
        }
        #[cfg(not(unix))]
        {
            if self.kind(below)? != Some(Kind::Directory) {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            let mut entries = Vec::new();
            for entry in fs::read_dir(self.full(below))? {
                let name = entry?.file_name();
                if let Some(kind) = self.kind(&below.join(&name))? {
                    entries.push((name, kind));
                }
            }
            Ok(entries)
        }
    }

    /// Whether somebody holds the lock on a file; one that is not there is not locked.
    pub fn is_locked(&self, below: &Path) -> io::Result<bool> {
        let file = match self.open_with(below, How::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => regular(file?)?.0,
        };
        // Ours for an instant, and gone with the descriptor.
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether a file has this mode, and no other name anywhere, through which somebody could write into it.
    pub fn is_ours_alone(&self, below: &Path, mode: u32) -> io::Result<bool> {
        #[cfg(unix)]
        {
            let stat = rustix::fs::statat(&self.dir, below, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
            Ok(stat.st_nlink == 1 && stat.st_mode & 0o7777 == mode)
        }
        #[cfg(not(unix))]
        {
            let _ = mode;
            self.kind(below).map(|kind| kind.is_some())
        }
    }

    /// Makes one directory. The process's umask counts.
    pub fn make_dir(&self, below: &Path, mode: u32) -> io::Result<()> {
        #[cfg(unix)]
        return Ok(rustix::fs::mkdirat(&self.dir, below, rustix::fs::Mode::from_raw_mode(mode))?);
        #[cfg(not(unix))]
        {
            let _ = mode;
            fs::create_dir(self.full(below))
        }
    }

    /// Gives a file or directory another name; what had that name is gone.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(unix)]
        return Ok(rustix::fs::renameat(&self.dir, from, &self.dir, to)?);
        #[cfg(not(unix))]
        fs::rename(self.full(from), self.full(to))
    }

    /// Gives a file or directory a name that is free.
    pub fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{RenameFlags, renameat_with};
            match renameat_with(&self.dir, from, &self.dir, to, RenameFlags::NOREPLACE) {
                // Some file systems (NFS, FUSE) do not know the flag.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
                other => return Ok(other?),
            }
        }
        // The weaker form: between the look and the rename somebody else could put something there.
        if self.kind(to)?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.rename(from, to)
    }

    /// Removes a file, a link, or a directory with all that is in it; links in it are not followed.
    pub fn remove(&self, below: &Path) -> io::Result<()> {
        let full = self.full(below);
        if fs::symlink_metadata(&full)?.is_dir() { fs::remove_dir_all(full) } else { fs::remove_file(full) }
    }

    /// Brings everything on this file system to the disk. One syncfs instead of a sync per file: 2,000 small files cost
    /// as much as one. It is asked of the descriptor that is open since the beginning, for the kernel reports a failed
    /// write to those alone who had the file system open when it happened.
    #[cfg(target_os = "linux")]
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.dir)?)
    }

    /// Begins to, and waits for it, but reports nothing: of another descriptor, so that a failed write is left to be told by
    /// [`Beneath::sync`]. Elsewhere than on Linux it does nothing.
    pub fn sync_ahead(&self) {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{Mode, OFlags, openat, syncfs};
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let _ = openat(&self.dir, ".", flags, Mode::empty()).and_then(syncfs);
        }
    }

    /// Brings everything beneath the directory to the disk.
    #[cfg(not(target_os = "linux"))]
    pub fn sync(&self) -> io::Result<()> {
        for entry in walkdir::WalkDir::new(&self.path) {
            let entry = entry?;
            if entry.file_type().is_file() || (cfg!(unix) && entry.file_type().is_dir()) {
                File::open(entry.path())?.sync_all()?;
            }
        }
        Ok(())
    }

    #[cfg(unix)]
    fn stat(&self, below: &Path) -> io::Result<Kind> {
        use rustix::fs::{AtFlags, statat};
        Ok(kind_of(&statat(&self.dir, below, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    #[cfg(not(unix))]
    fn stat(&self, below: &Path) -> io::Result<Kind> {
        let meta = fs::symlink_metadata(self.full(below))?;
        Ok(if meta.is_file() {
            Kind::File(meta.len())
        } else if meta.is_dir() {
            Kind::Directory
        } else {
            Kind::Other
        })
    }

    #[cfg(unix)]
    fn open_with(&self, below: &Path, how: How) -> io::Result<File> {
        use rustix::fs::{Mode, OFlags, openat};
        let (flags, mode) = match how {
            How::Read => (OFlags::RDONLY | OFlags::NONBLOCK, 0),
            How::List => (OFlags::RDONLY | OFlags::DIRECTORY, 0),
            How::CreateNew(mode) => (OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode),
            How::Append(mode) => (OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NONBLOCK, mode),
        };
        let (flags, mode) = (flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::from_raw_mode(mode));
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{ResolveFlags, openat2};
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match openat2(&self.dir, below, flags, mode, resolve) {
                // Kernels before 5.6, and some sandboxes, do not have the call.
                Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {}
                other => return Ok(other?.into()),
            }
        }
        Ok(openat(&self.dir, below, flags, mode)?.into())
    }

    #[cfg(not(unix))]
    fn open_with(&self, below: &Path, how: How) -> io::Result<File> {
        let full = self.full(below);
        if self.kind(below)?.is_some_and(|kind| !matches!(kind, Kind::File(_))) {
            return Err(io::Error::other("is no regular file"));
        }
        let mut options = fs::OpenOptions::new();
        match how {
            How::Read => options.read(true),
            How::CreateNew(_) => options.read(true).write(true).create_new(true),
            How::Append(_) => options.read(true).append(true).create(true),
        };
        options.open(full)
    }
}

enum How {
    Read,
    #[cfg(unix)]
    List,
    CreateNew(u32),
    Append(u32),
}

#[cfg(unix)]
fn kind_of(stat: &rustix::fs::Stat) -> Kind {
    use rustix::fs::FileType;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File(u64::try_from(stat.st_size).unwrap_or(0)),
        FileType::Directory => Kind::Directory,
        _ => Kind::Other,
    }
}

fn regular(file: File) -> io::Result<(File, u64)> {
    let meta = file.metadata()?;
    if meta.is_file() { Ok((file, meta.len())) } else { Err(io::Error::other("is no regular file")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn follows_no_link_and_waits_for_no_pipe() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        let inside = tempfile::tempdir().unwrap();
        let beneath = Beneath::new(inside.path()).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), inside.path().join("link")).unwrap();
        std::os::unix::fs::symlink(outside.path(), inside.path().join("dir")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            inside.path().join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        for name in ["link", "dir/secret", "pipe", "../x"] {
            assert!(beneath.open(Path::new(name)).is_err(), "{name} was opened");
            assert!(beneath.append(Path::new(name), 0o600).is_err(), "{name} was opened for writing");
            assert!(beneath.create_new(Path::new(name), 0o600).is_err(), "{name} was made");
        }
        assert_eq!(beneath.kind(Path::new("link")).unwrap(), Some(Kind::Other));
        assert_eq!(beneath.kind(Path::new("none")).unwrap(), None);
        assert!(beneath.entries(Path::new("dir")).is_err());
        let mut entries = beneath.entries(Path::new("")).unwrap();
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(entries, ["dir", "link", "pipe"].map(|name| (name.into(), Kind::Other)));
        assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"s");
    }

    #[test]
    fn a_name_that_is_taken_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let beneath = Beneath::new(directory.path()).unwrap();
        for name in ["a", "b"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        let error = beneath.rename_new(Path::new("a"), Path::new("b")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(beneath.read(Path::new("b"), 10).unwrap(), b"b");
        beneath.rename_new(Path::new("a"), Path::new("c")).unwrap();
        assert_eq!(beneath.read(Path::new("c"), 10).unwrap(), b"a");
        assert!(beneath.read(Path::new("c"), 0).is_err());
    }
}
