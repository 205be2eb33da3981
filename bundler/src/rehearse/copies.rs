//! Copies of the user's directories in which commands run, put back between them.

use crate::leftovers::remove;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// What go commands write, in the directory of a module or workspace.
const CHANGED: [&str; 4] = ["go.mod", "go.sum", "go.work", "go.work.sum"];

/// Puts back what go commands of a rehearsal change in a copy: go.mod and go.sum files, go.work, and a `vendor` that was made.
pub(super) fn put_back(from: &Path, copy: &Path, with_sums: bool) -> io::Result<()> {
    let members = crate::bundle::members(&from.join("go.work"));
    for module in members.iter().map(String::as_str).chain([""]) {
        let (from, copy) = (from.join(module), copy.join(module));
        for name in CHANGED {
            let (original, changed) = (from.join(name), copy.join(name));
            if original.is_file() && (with_sums || !name.ends_with(".sum")) {
                fs::copy(&original, &changed)?;
                writable(&changed)?;
            } else if changed.exists() {
                fs::remove_file(&changed)?;
            }
        }
        if !from.join("vendor").exists() {
            remove(&copy.join("vendor"))?;
        }
    }
    Ok(())
}

/// Copies a tree, links as links, without the directories of version control.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let entries = WalkDir::new(from).min_depth(1).into_iter().filter_entry(|entry| {
        let name = entry.file_name();
        !(entry.file_type().is_dir() && (name == ".git" || name == ".hg" || name == ".svn"))
    });
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.path().strip_prefix(from).unwrap_or(entry.path()));
        let kind = entry.file_type();
        if kind.is_dir() {
            fs::create_dir_all(&target)?;
        } else if kind.is_symlink() {
            link(&leads_to(entry.path(), from)?, &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)?;
            writable(&target)?;
        }
    }
    Ok(())
}

/// Where a link of a copied tree leads: as it says within the tree, else to the place itself.
fn leads_to(link: &Path, tree: &Path) -> io::Result<PathBuf> {
    let said = fs::read_link(link)?;
    match fs::canonicalize(link) {
        Ok(place) if !place.starts_with(fs::canonicalize(tree)?) => Ok(place),
        // One that leads nowhere stays what it is.
        _ => Ok(said),
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
fn writable(file: &Path) -> io::Result<()> {
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
