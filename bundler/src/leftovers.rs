//! Directories of one run whose removal nobody waits for.
//!
//! The module cache that a rehearsal fills has some hundred unpacked modules in it. To remove them takes a disk as long as
//! to write them, which is half of what the commands themselves take. So:
//!
//! - [`Leftovers`] is a directory, locked while it is used
//! - at its end as much of it is removed as goes in a moment; for the rest this program starts itself once more, and that
//!   process ends when the directory is gone
//! - one that was killed with its machine or container leaves its directory; the next run finds it unlocked, and has it removed

use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What the names of such directories begin with; nothing else is ever removed.
const PREFIX: &str = "modferry-work-";
/// Held while the directory is used.
const LOCK: &str = "lock";
/// How long the end of a run may take for it.
const MOMENT: Duration = Duration::from_millis(30);

/// A directory in the system's temporary one, gone at the end or soon after.
#[derive(Debug)]
pub(crate) struct Leftovers {
    dir: PathBuf,
    lock: Option<File>,
    program: PathBuf,
}

impl Leftovers {
    /// Makes one, and has those removed that were left by others; `program` is this program.
    pub(crate) fn create(program: &Path) -> Result<Self> {
        Self::create_in(&std::env::temp_dir(), program)
    }

    fn create_in(parent: &Path, program: &Path) -> Result<Self> {
        let failed = |error: &io::Error| Error::io(parent, "no directory could be made in it", error);
        for (dir, _lock) in abandoned(parent) {
            remove_elsewhere(&dir, program);
        }
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent).map_err(|error| failed(&error))?.keep();
        // Locked before it has the name that others look for.
        let lock = File::create(dir.join("lock-new")).and_then(|file| {
            file.try_lock()?;
            fs::rename(dir.join("lock-new"), dir.join(LOCK))?;
            Ok(file)
        });
        let lock = lock.map_err(|error| failed(&error))?;
        Ok(Self { dir, lock: Some(lock), program: program.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        let in_time = remove_within(&self.dir, Some(Instant::now() + MOMENT));
        self.lock = None;
        if !matches!(in_time, Ok(true)) {
            remove_elsewhere(&self.dir, &self.program);
        }
    }
}

/// Directories of runs that have ended and did not remove them, locked.
fn abandoned(parent: &Path) -> Vec<(PathBuf, File)> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let dirs = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX) && is_own(entry));
    let locked = |dir: PathBuf| {
        let lock = File::open(dir.join(LOCK)).ok()?;
        lock.try_lock().ok()?;
        Some((dir, lock))
    };
    dirs.filter_map(|entry| locked(entry.path())).collect()
}

/// Whether a directory is one of this user: others can write to a temporary directory, too.
fn is_own(entry: &fs::DirEntry) -> bool {
    let Ok(meta) = entry.metadata() else { return false };
    #[cfg(unix)]
    let is_ours = std::os::unix::fs::MetadataExt::uid(&meta) == rustix::process::geteuid().as_raw();
    #[cfg(not(unix))]
    let is_ours = true;
    meta.is_dir() && is_ours
}

/// Starts a process that removes a directory, and does not wait for it. Where none can be started it is removed here.
fn remove_elsewhere(dir: &Path, program: &Path) {
    let mut command = Command::new(program);
    command.arg("remove-leftovers").arg(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // What a terminal sends to us is not for it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    if command.spawn().is_err() {
        // What stays is in a directory for what need not stay.
        let _ = remove(dir);
    }
}

/// The work of the process that [`Leftovers`] starts: removes a directory of that kind, and nothing else.
pub fn remove_leftovers(dir: &Path) -> io::Result<()> {
    let is_ours = dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
    if !is_ours {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no directory of a run"));
    }
    // Whoever still uses it holds this, and two that remove it take turns.
    let lock = match File::open(dir.join(LOCK)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    lock.lock()?;
    remove(dir)
}

/// Removes a directory with everything in it; it may be gone already.
pub(crate) fn remove(dir: &Path) -> io::Result<()> {
    remove_within(dir, None).map(drop)
}

/// The same until a time is over; whether it is all gone then. The lock of a run goes last.
fn remove_within(dir: &Path, until: Option<Instant>) -> io::Result<bool> {
    let entries = match listed(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        entries => entries?,
    };
    let (last, first): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.file_name() == LOCK);
    for entry in first.into_iter().chain(last) {
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(false);
        }
        if !entry.file_type()?.is_dir() {
            gone(fs::remove_file(entry.path()))?;
        } else if !remove_within(&entry.path(), until)? {
            return Ok(false);
        }
    }
    gone(fs::remove_dir(dir)).map(|()| true)
}

/// What is in a directory, which can be written to from here on: go makes its own read-only unless it is told not to.
fn listed(dir: &Path) -> io::Result<Vec<fs::DirEntry>> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mut permissions = fs::metadata(dir)?.permissions();
        if permissions.mode() & 0o700 != 0o700 {
            permissions.set_mode(permissions.mode() | 0o700);
            fs::set_permissions(dir, permissions)?;
        }
    }
    fs::read_dir(dir)?.collect()
}

/// What is not there needs no removal.
fn gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_small_is_gone_at_once() {
        let parent = tempfile::tempdir().unwrap();
        let work = Leftovers::create_in(parent.path(), Path::new("/nonexistent")).unwrap();
        fs::create_dir_all(work.path().join("a/b")).unwrap();
        fs::write(work.path().join("a/b/c"), "").unwrap();
        assert_eq!(abandoned(parent.path()).len(), 0, "it is in use");
        drop(work);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_was_abandoned_is_removed_by_the_next_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let (dead, other) = (parent.path().join("modferry-work-dead"), parent.path().join("modferry-other"));
        for dir in [&dead, &other] {
            fs::create_dir_all(dir.join("sub")).unwrap();
            fs::write(dir.join(LOCK), "").unwrap();
        }
        // There is no such program, so it is removed here.
        drop(Leftovers::create_in(parent.path(), Path::new("/nonexistent")).unwrap());
        assert!(!dead.exists() && other.exists());
        assert!(remove_leftovers(&other).is_err() && other.exists());
        remove_leftovers(&dead).unwrap();
    }

    #[test]
    #[cfg(unix)]
    fn read_only_directories_go_and_what_links_lead_to_stays() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let parent = tempfile::tempdir().unwrap();
        let (dir, kept) = (parent.path().join("d"), parent.path().join("kept"));
        fs::create_dir_all(dir.join("ro")).unwrap();
        fs::write(dir.join("ro/file"), "").unwrap();
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "").unwrap();
        symlink(&kept, dir.join("link")).unwrap();
        fs::set_permissions(dir.join("ro"), fs::Permissions::from_mode(0o500)).unwrap();
        remove(&dir).unwrap();
        assert!(!dir.exists() && kept.join("file").exists());
    }

    #[test]
    fn a_moment_that_is_over_leaves_the_rest() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("file"), "").unwrap();
        assert!(!remove_within(parent.path(), Some(Instant::now())).unwrap());
        assert!(parent.path().join("file").exists());
    }
}
