//! Touches files the way a story asks: copies, moves, breaks.

use modferry_harness::{Outcome, at};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use walkdir::WalkDir;

/// Copies a file or a whole directory to `to`, or into it where it is a directory.
pub(crate) fn copy(from: &Path, to: &Path) -> Outcome<()> {
    let to = if to.is_dir() { to.join(from.file_name().unwrap_or_default()) } else { to.to_owned() };
    for entry in WalkDir::new(from) {
        let entry = entry.map_err(|error| error.to_string())?;
        let below = entry.path().strip_prefix(from).map_err(at(from))?;
        let target = if below.as_os_str().is_empty() { to.clone() } else { to.join(below) };
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target).map_err(at(&target))?;
        } else if entry.file_type().is_symlink() {
            let link = fs::read_link(entry.path()).map_err(at(entry.path()))?;
            symlink(link, &target).map_err(at(&target))?;
        } else {
            fs::copy(entry.path(), &target).map_err(at(entry.path()))?;
        }
    }
    Ok(())
}

/// Renames a file or directory, into `to` where that is a directory.
pub(crate) fn rename(from: &Path, to: &Path) -> Outcome<()> {
    let to = if to.is_dir() { to.join(from.file_name().unwrap_or_default()) } else { to.to_owned() };
    fs::rename(from, &to).map_err(at(from))
}

/// Removes a file, or a directory with all that is in it; it must be there.
pub(crate) fn remove(path: &Path) -> Outcome<()> {
    let metadata = path.symlink_metadata().map_err(at(path))?;
    if !metadata.is_dir() {
        return fs::remove_file(path).map_err(at(path));
    }
    make_removable(path);
    fs::remove_dir_all(path).map_err(at(path))
}

/// Gives all directories below `path` back to their owner: a module cache is read-only.
pub(crate) fn make_removable(path: &Path) {
    let directories = WalkDir::new(path).into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_dir());
    for directory in directories {
        // Where this fails the removal will say why.
        _ = fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755));
    }
}

/// Sets the permissions, given in octal, of a file or of all that is in a directory; folders stay passable.
pub(crate) fn change_mode(mode: &str, path: &Path) -> Outcome<()> {
    let mode = u32::from_str_radix(mode, 8).map_err(|_| format!("{mode:?} is no octal mode"))?;
    for entry in WalkDir::new(path).contents_first(true) {
        let entry = entry.map_err(|error| error.to_string())?;
        // Who may read a folder may pass it.
        let mode = if entry.file_type().is_dir() { mode | ((mode & 0o444) >> 2) } else { mode };
        if !entry.file_type().is_symlink() {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode)).map_err(at(entry.path()))?;
        }
    }
    Ok(())
}

/// Adds a line at the end of a file, which is made if it is not there.
pub(crate) fn append(path: &Path, line: &str) -> Outcome<()> {
    let line = format!("{line}\n");
    match fs::read(path) {
        Ok(bytes) => overwrite(path, &[&bytes, line.as_bytes()].concat()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::write(path, line).map_err(at(path)),
        Err(error) => Err(at(path)(error)),
    }
}

/// Replaces the one place where `old` stands.
pub(crate) fn replace(path: &Path, old: &str, new: &str) -> Outcome<()> {
    let text = fs::read_to_string(path).map_err(at(path))?;
    match text.matches(old).count() {
        1 => overwrite(path, text.replacen(old, new, 1).as_bytes()),
        count => Err(format!("{}: {old:?} stands in it {count} times, not once", path.display())),
    }
}

/// Flips the lowest bit of one byte; a negative offset counts from the end.
pub(crate) fn flip(path: &Path, offset: &str) -> Outcome<()> {
    let mut bytes = fs::read(path).map_err(at(path))?;
    let number: isize = offset.parse().map_err(|_| format!("{offset:?} is no offset"))?;
    let index = if number < 0 { bytes.len().checked_add_signed(number) } else { usize::try_from(number).ok() };
    let byte = index.and_then(|index| bytes.get_mut(index));
    *byte.ok_or_else(|| format!("{}: no byte at {offset}", path.display()))? ^= 1;
    overwrite(path, &bytes)
}

/// Cuts a file off; it must have been longer.
pub(crate) fn truncate(path: &Path, size: &str) -> Outcome<()> {
    let size: usize = size.parse().map_err(|_| format!("{size:?} is no size"))?;
    let mut bytes = fs::read(path).map_err(at(path))?;
    if bytes.len() <= size {
        return Err(format!("{}: has {} bytes already", path.display(), bytes.len()));
    }
    bytes.truncate(size);
    overwrite(path, &bytes)
}

/// Writes new content, also over a read-only file.
fn overwrite(path: &Path, bytes: &[u8]) -> Outcome<()> {
    let permissions = fs::metadata(path).map_err(at(path))?.permissions();
    fs::remove_file(path).map_err(at(path))?;
    fs::write(path, bytes).map_err(at(path))?;
    fs::set_permissions(path, permissions).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaking_a_file_changes_what_was_asked_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("f");
        append(&file, "abc").unwrap();
        append(&file, "def").unwrap();
        flip(&file, "0").unwrap();
        flip(&file, "-2").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "`bc\ndeg\n");
        replace(&file, "bc\n", "BC\n").unwrap();
        truncate(&file, "4").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "`BC\n");
        assert!(truncate(&file, "4").is_err());
        assert!(flip(&file, "4").is_err());
        assert!(flip(&file, "-5").is_err());
        assert!(replace(&file, "x", "y").is_err());
    }

    #[test]
    fn a_read_only_tree_can_be_copied_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let (a, b) = (root.path().join("a"), root.path().join("b"));
        fs::create_dir_all(a.join("d")).unwrap();
        append(&a.join("d/f"), "x").unwrap();
        change_mode("444", &a.join("d/f")).unwrap();
        append(&a.join("d/f"), "y").unwrap();
        change_mode("444", &a).unwrap();
        assert_eq!(fs::metadata(a.join("d")).unwrap().permissions().mode() & 0o777, 0o555);
        copy(&a, &b).unwrap();
        remove(&a).unwrap();
        assert!(!a.exists() && b.join("d/f").exists());
        assert!(remove(&a).is_err());
    }
}
