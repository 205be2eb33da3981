//! Copies what lies in the user's directories, so that nothing that is done in the copy reaches them.
//!
//! - A link that leads to something of the copied directories leads to its copy. One that leads elsewhere is replaced by what is
//!   there: a link out of the copy would let go, or a command of the user, write into the user's files.
//! - What cannot be read is left out, as go passes it over or says itself that it cannot read it; so are links that lead nowhere,
//!   directories of version control, and all that is neither file, directory nor link.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Most entries that are copied of all directories that links lead to: more is no source code, but a system's or somebody's data,
/// and left out.
const MAX_LINKED_ENTRIES: u64 = 20_000;
/// Most bytes that are, likewise.
const MAX_LINKED_BYTES: u64 = 1 << 30;

/// A copy under way, or one that is only measured.
pub(super) struct Copying {
    /// Directories that are copied, without links in their paths, and where to.
    roots: Vec<(PathBuf, PathBuf)>,
    /// Directories that links lead to and that are being copied.
    within: Vec<PathBuf>,
    /// Where copies are made, which may be a place in what is copied.
    apart: Option<PathBuf>,
    is_measured_only: bool,
    /// What was copied so far.
    bytes: u64,
    /// Entries and bytes of directories that links lead to.
    linked: (u64, u64),
}

impl Copying {
    /// Copies these directories, each to a place, all of them in the directory `apart`; gives the bytes.
    pub(super) fn all(directories: &[(PathBuf, PathBuf)], apart: &Path, is_measured_only: bool) -> io::Result<u64> {
        let real = |(from, to): &(PathBuf, PathBuf)| Ok((fs::canonicalize(from)?, to.clone()));
        let roots = directories.iter().map(real).collect::<io::Result<Vec<_>>>()?;
        let apart = fs::canonicalize(apart).ok();
        let mut copying =
            Self { roots: roots.clone(), within: Vec::new(), apart, is_measured_only, bytes: 0, linked: (0, 0) };
        roots.iter().try_for_each(|(from, to)| copying.directory(from, to))?;
        Ok(copying.bytes)
    }

    /// Copies a directory, whose path has no links.
    fn directory(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if self.apart.as_deref() == Some(from) {
            return Ok(());
        }
        if !self.is_measured_only {
            fs::create_dir_all(to)?;
        }
        let Some(entries) = unless_closed(fs::read_dir(from))? else { return Ok(()) };
        for entry in entries {
            let entry = entry?;
            let (from, to, kind) = (entry.path(), to.join(entry.file_name()), entry.file_type()?);
            if kind.is_dir() {
                if ![".git", ".hg", ".svn"].iter().any(|name| entry.file_name() == *name) {
                    self.directory(&from, &to)?;
                }
            } else if kind.is_file() {
                self.file(&from, &to)?;
            } else if kind.is_symlink() {
                self.link(&from, &to)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", from.display()));
        let Some(meta) = unless_closed(fs::metadata(from)).map_err(named)? else { return Ok(()) };
        self.bytes += meta.len();
        if self.is_measured_only {
            return Ok(());
        }
        // What says that it is empty may be a file of the system, which need not end when it is read.
        if meta.len() == 0 {
            return File::create(to).map(drop).map_err(named);
        }
        if unless_closed(File::open(from)).map_err(named)?.is_some() {
            fs::copy(from, to).map_err(named)?;
            writable(to).map_err(named)?;
        }
        Ok(())
    }

    fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let Ok(target) = fs::canonicalize(from) else { return Ok(()) };
        let inside = self.roots.iter().find_map(|(root, copy)| Some(copy.join(target.strip_prefix(root).ok()?)));
        if let Some(place) = inside {
            return if self.is_measured_only { Ok(()) } else { link(&place, to) };
        }
        let Some(meta) = unless_closed(fs::metadata(&target))? else { return Ok(()) };
        if meta.is_file() {
            return self.file(&target, to);
        }
        // What is around it, or around what is copied, would never end.
        let roots = self.roots.iter().map(|(root, _)| root);
        let is_endless = self.within.iter().chain(roots).any(|directory| directory.starts_with(&target));
        if !meta.is_dir() || is_endless || !self.may_copy(&target) {
            return Ok(());
        }
        self.within.push(target.clone());
        let copied = self.directory(&target, to);
        self.within.pop();
        copied
    }

    /// Whether a directory that a link leads to is one to copy; then it counts.
    fn may_copy(&mut self, directory: &Path) -> bool {
        let (mut entries, mut bytes) = self.linked;
        for entry in walkdir::WalkDir::new(directory).into_iter().flatten() {
            entries += 1;
            if entry.file_type().is_file() {
                bytes += entry.metadata().map_or(0, |meta| meta.len());
            }
            if entries > MAX_LINKED_ENTRIES || bytes > MAX_LINKED_BYTES {
                return false;
            }
        }
        self.linked = (entries, bytes);
        true
    }
}

/// What cannot be read for want of rights, or is gone, is none.
fn unless_closed<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound) => Ok(None),
        read => read.map(Some),
    }
}

#[cfg(unix)]
fn link(to: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(to, at)
}

#[cfg(not(unix))]
fn link(to: &Path, at: &Path) -> io::Result<()> {
    fs::copy(to, at).map(drop)
}

/// A tree of the module cache is read-only; commands write into go.mod and go.sum.
pub(super) fn writable(file: &Path) -> io::Result<()> {
    let mut permissions = fs::metadata(file)?.permissions();
    if permissions.readonly() {
        #[cfg(unix)]
        std::os::unix::fs::PermissionsExt::set_mode(
            &mut permissions,
            0o600 | std::os::unix::fs::PermissionsExt::mode(&fs::metadata(file)?.permissions()),
        );
        #[cfg(not(unix))]
        permissions.set_readonly(false);
        fs::set_permissions(file, permissions)?;
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_link_of_a_copy_leads_out_of_it() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        for (file, text) in [
            ("far/go.mod", "module far"),
            ("far/lib/l.go", "package l"),
            ("app/real/n.go", "package n"),
            ("app/a.go", "a"),
        ] {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let app = root.join("app");
        for (target, name) in [
            ("../far/go.mod", "go.mod"),
            ("../far/lib", "lib"),
            ("../app/real/n.go", "own.go"),
            ("real", "realer"),
            ("..", "up"),
            ("nowhere", "dangling"),
            ("loop", "loop"),
            ("/proc", "proc"),
            ("/dev/zero", "zero"),
        ] {
            symlink(target, app.join(name)).unwrap();
        }
        symlink("../../far", root.join("far/lib/back")).unwrap();
        // A place for copies in the very directory is not copied itself.
        let to = app.join("tmp/copy/app");
        fs::create_dir_all(app.join("tmp/copy")).unwrap();
        let copying = |is_measured_only| {
            Copying::all(&[(app.clone(), to.clone())], &app.join("tmp/copy"), is_measured_only).unwrap()
        };
        let measured = copying(true);
        assert!(!to.exists());
        assert_eq!(copying(false), measured);
        let (to, copy) = (fs::canonicalize(&to).unwrap(), fs::canonicalize(app.join("tmp/copy")).unwrap());
        for entry in walkdir::WalkDir::new(&to).into_iter().map(Result::unwrap).filter(|entry| entry.path_is_symlink())
        {
            let place = fs::canonicalize(entry.path()).unwrap();
            assert!(place.starts_with(&copy), "{} leads to {}", entry.path().display(), place.display());
        }
        for name in ["go.mod", "lib/l.go", "own.go", "realer/n.go"] {
            fs::write(to.join(name), "written").unwrap();
        }
        assert_eq!(fs::read_to_string(root.join("far/go.mod")).unwrap(), "module far");
        assert_eq!(fs::read_to_string(root.join("far/lib/l.go")).unwrap(), "package l");
        assert_eq!(fs::read_to_string(app.join("real/n.go")).unwrap(), "package n");
        assert_eq!(fs::read_to_string(to.join("real/n.go")).unwrap(), "written");
        for name in ["dangling", "loop", "proc", "zero", "up", "tmp/copy"] {
            assert!(to.join(name).symlink_metadata().is_err(), "{name}");
        }
    }
}
