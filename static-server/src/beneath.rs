//! Opens files beneath a directory: no link is followed on the way, and nothing but a regular file is opened. Where the
//! names in a directory are asked for, that directory is opened in the same way.
//!
//! On Linux the kernel holds to it (`openat2`). Where that call is missing or forbidden, and on other Unix systems, the
//! path is walked one directory at a time, each opened without following a link; as strict, and slower. On other
//! systems each name on the way is looked at before the file is opened, so who may write to the directory while it is
//! served could still swap one for a link.

use crate::file_bytes::Patience;
#[cfg(unix)]
use rustix::fs::OFlags;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

/// A directory that stays the same one when its name is given to another.
#[derive(Debug)]
pub(crate) struct Directory {
    #[cfg(unix)]
    handle: File,
    #[cfg(not(unix))]
    path: std::path::PathBuf,
}

impl Directory {
    /// Opens the directory; links that lead to it are followed, since the user named it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if !fs::metadata(path)?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        #[cfg(unix)]
        return Ok(Self { handle: File::open(path)? });
        #[cfg(not(unix))]
        return Ok(Self { path: path.canonicalize()? });
    }

    /// Opens the regular file at this path, elements separated by `/`, with its size in bytes. `None` where there is
    /// none: no such name, a link, a directory, a pipe. `WouldBlock` where a disk must be waited for, and may not.
    pub(crate) fn file(&self, below: &str, patience: Patience) -> io::Result<Option<(File, u64)>> {
        let opened = self.open_file(below, patience)?;
        Ok(opened.map(|(file, meta)| (file, meta.len())))
    }

    /// The same with all that the system knows of the file.
    pub(crate) fn open_file(&self, below: &str, patience: Patience) -> io::Result<Option<(File, Metadata)>> {
        let file = match self.open_named(below, patience) {
            Ok(file) => file,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let meta = file.metadata()?;
        Ok(meta.is_file().then_some((file, meta)))
    }

    /// The names in the directory at this path, in no order; those that are no text are left out. No more than `most`
    /// are looked at, whatever was put there. None where there is no directory: no such name, a link, a file. The system
    /// cannot be asked whether a disk must be waited for.
    pub(crate) fn names(&self, below: &str, most: usize, patience: Patience) -> io::Result<Vec<String>> {
        if patience == Patience::Now {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match self.read_names(below, most) {
            Err(error) if is_absence(&error) => Ok(Vec::new()),
            names => names,
        }
    }

    #[cfg(unix)]
    fn read_names(&self, below: &str, most: usize) -> io::Result<Vec<String>> {
        use rustix::fs::{Dir, DirEntry};
        let directory = Dir::new(self.open_below(below, directory_flags(), Patience::Wait)?)?;
        // The system counts the directory itself and the one above it as names.
        let is_dots = |entry: &DirEntry| matches!(entry.file_name().to_bytes(), b"." | b"..");
        let mut names = Vec::new();
        for entry in directory.filter(|entry| !entry.as_ref().is_ok_and(is_dots)).take(most) {
            names.extend(entry?.file_name().to_str().map(str::to_owned));
        }
        Ok(names)
    }

    #[cfg(unix)]
    fn open_named(&self, below: &str, patience: Patience) -> io::Result<File> {
        self.open_below(below, file_flags(), patience)
    }

    #[cfg(target_os = "linux")]
    fn open_below(&self, below: &str, flags: OFlags, patience: Patience) -> io::Result<File> {
        use rustix::fs::{Mode, ResolveFlags, openat2};
        use rustix::io::Errno;
        let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        if patience == Patience::Now {
            resolve |= ResolveFlags::CACHED;
        }
        match openat2(&self.handle, below, flags, Mode::empty(), resolve) {
            Ok(file) => Ok(file.into()),
            // A name on the way is not in memory; kernels before 5.12 cannot tell.
            Err(Errno::AGAIN | Errno::INVAL) if patience == Patience::Now => Err(io::ErrorKind::WouldBlock.into()),
            // Kernels before 5.6, and some sandboxes, do not have the call.
            Err(Errno::NOSYS | Errno::PERM) => self.walk(below, flags),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(all(unix, not(target_os = "linux")))]
    fn open_below(&self, below: &str, flags: OFlags, _: Patience) -> io::Result<File> {
        self.walk(below, flags)
    }

    #[cfg(unix)]
    fn walk(&self, below: &str, flags: OFlags) -> io::Result<File> {
        use rustix::fs::{Mode, openat};
        let mut directory: Option<File> = None;
        let (directories, name) = below.rsplit_once('/').unwrap_or(("", below));
        for element in directories.split('/').filter(|element| !element.is_empty()) {
            let parent = directory.as_ref().unwrap_or(&self.handle);
            directory = Some(openat(parent, element, directory_flags(), Mode::empty())?.into());
        }
        Ok(openat(directory.as_ref().unwrap_or(&self.handle), name, flags, Mode::empty())?.into())
    }

    #[cfg(not(unix))]
    fn open_named(&self, below: &str, _: Patience) -> io::Result<File> {
        let path = self.without_links(below)?;
        if fs::symlink_metadata(&path)?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        File::open(&path)
    }

    #[cfg(not(unix))]
    fn read_names(&self, below: &str, most: usize) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.without_links(below)?)?.take(most) {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    #[cfg(not(unix))]
    fn without_links(&self, below: &str) -> io::Result<std::path::PathBuf> {
        let mut path = self.path.clone();
        for element in below.split('/') {
            path.push(element);
            if fs::symlink_metadata(&path)?.file_type().is_symlink() {
                return Err(io::Error::from(io::ErrorKind::NotFound));
            }
        }
        Ok(path)
    }
}

/// A pipe that took the place of a file does not hang us, and a terminal does not become ours.
#[cfg(unix)]
fn file_flags() -> OFlags {
    OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY
}

#[cfg(unix)]
fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::DIRECTORY
}

/// Whether an error of `open` means that no regular file stands there, rather than that it cannot be read.
#[cfg(unix)]
fn is_absence(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        // LOOP and XDEV are links that were not followed; NXIO is a socket.
        Some(
            Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG | Errno::NXIO
        )
    )
}

#[cfg(not(unix))]
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory | InvalidFilename)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn opens_regular_files_and_nothing_else_both_ways() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "text").unwrap();
        fs::write(temp.path().join("outside"), "secret").unwrap();
        symlink("file", root.join("a/b/link")).unwrap();
        symlink("b", root.join("a/linked")).unwrap();
        symlink(temp.path().join("outside"), root.join("a/out")).unwrap();
        symlink("../..", root.join("a/up")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(root.join("a/pipe")).status().unwrap();
        assert!(made.success());
        let _socket = std::os::unix::net::UnixListener::bind(root.join("a/socket")).unwrap();

        let directory = Directory::open(&root).unwrap();
        let (_, size) = directory.file("a/b/file", Patience::Wait).unwrap().unwrap();
        assert_eq!(size, 4);
        assert_eq!(directory.walk("a/b/file", file_flags()).unwrap().metadata().unwrap().len(), 4);
        let long = "x".repeat(300);
        for path in [
            "a",
            "a/b",
            "a/none",
            "none/file",
            "a/b/file/x",
            "a/b/link",
            "a/linked/file",
            "a/out",
            "a/up/outside",
            "a/socket",
            "../outside",
            &long,
        ] {
            assert!(directory.file(path, Patience::Wait).unwrap().is_none(), "{path}");
            // Whoever may not wait is told the same, or that somebody has to: of a link or a way up the system does not tell.
            match directory.file(path, Patience::Now) {
                Ok(found) => assert!(found.is_none(), "{path}"),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{path}"),
            }
        }
        assert!(directory.file("a", Patience::Now).unwrap().is_none());
        for path in ["a/none", "none/file"] {
            match directory.file(path, Patience::Now) {
                Ok(found) => assert!(found.is_none(), "{path}"),
                // Some file systems, such as those in memory, do not remember that a name is not there.
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{path}"),
            }
        }
        assert!(directory.file("a/b/file", Patience::Now).unwrap().is_some());
        assert!(directory.file("a/pipe", Patience::Wait).unwrap().is_none());
        for path in ["a/none", "a/b/link", "a/linked/file", "a/out", "a/up/outside", "a/socket", &long] {
            assert!(is_absence(&directory.walk(path, file_flags()).unwrap_err()), "{path}");
        }
        assert!(Directory::open(&root.join("a/b/file")).is_err());
    }

    #[test]
    fn the_names_in_a_directory_are_found_through_no_link_and_are_not_too_many() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        for name in 0..20 {
            fs::write(root.join(format!("a/b/{name}")), "").unwrap();
        }
        symlink("b", root.join("a/linked")).unwrap();
        symlink("a", root.join("up")).unwrap();
        let directory = Directory::open(&root).unwrap();
        let mut numbers: Vec<u8> =
            directory.names("a/b", 20, Patience::Wait).unwrap().iter().map(|name| name.parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, Vec::from_iter(0..20));
        assert_eq!(directory.names("a/b", 10, Patience::Wait).unwrap().len(), 10);
        for path in ["a/none", "none/b", "a/b/1", "a/linked", "up/b", "..", "../root/a/b"] {
            assert_eq!(directory.names(path, 20, Patience::Wait).unwrap(), [""; 0], "{path}");
            if !path.starts_with("..") {
                assert!(is_absence(&directory.walk(path, directory_flags()).unwrap_err()), "{path}");
            }
        }
        assert!(directory.walk("a/b", directory_flags()).unwrap().metadata().unwrap().is_dir());
    }

    #[test]
    fn stays_with_the_directory_that_was_opened() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("file"), "old").unwrap();
        let directory = Directory::open(&root).unwrap();
        fs::rename(&root, temp.path().join("moved")).unwrap();
        fs::create_dir(&root).unwrap();
        assert!(directory.file("file", Patience::Wait).unwrap().is_some());
    }
}
