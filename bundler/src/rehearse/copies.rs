//! Copies of the user's directories in which commands run, put back between them.

use super::copying::{Copying, writable};
use crate::leftovers::remove;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// What go commands write, in the directory of a module or workspace.
const CHANGED: [&str; 4] = ["go.mod", "go.sum", "go.work", "go.work.sum"];

/// A directory of the user, with those beside it that it names by a way that leads out of it: all are copied, and lie as
/// they do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tree {
    /// Where commands run.
    pub(super) directory: PathBuf,
    /// Directories of other modules.
    pub(super) beside: Vec<PathBuf>,
}

impl Tree {
    /// What is around all of it.
    fn around(&self) -> PathBuf {
        let mut around = self.directory.clone();
        while !self.beside.iter().all(|other| other.starts_with(&around)) && around.pop() {}
        around
    }

    /// The directory in a copy of the tree.
    pub(super) fn directory_in(&self, copy: &Path) -> PathBuf {
        copy.join(self.directory.strip_prefix(self.around()).unwrap_or(Path::new("")))
    }

    /// The outermost of the directories.
    fn outermost(&self) -> impl Iterator<Item = &PathBuf> {
        let all: Vec<&PathBuf> = self.beside.iter().chain([&self.directory]).collect();
        all.clone().into_iter().filter(move |directory| {
            !all.iter().any(|other| other != directory && directory.starts_with(other.as_path()))
        })
    }

    /// The outermost directories, with their copies.
    fn places(&self, to: &Path) -> Vec<(PathBuf, PathBuf)> {
        let around = self.around();
        let place = |from: &PathBuf| to.join(from.strip_prefix(&around).unwrap_or(Path::new("")));
        self.outermost().map(|from| (from.clone(), place(from))).collect()
    }

    /// What a copy takes, in bytes: what is sparse in a file is not in its copy. `apart` is the directory for copies.
    pub(super) fn bytes(&self, apart: &Path) -> io::Result<u64> {
        Copying::all(&self.places(apart), apart, true)
    }

    /// Copies all of it, into a directory that `apart` is around.
    pub(super) fn copy(&self, to: &Path, apart: &Path) -> io::Result<()> {
        Copying::all(&self.places(to), apart, false).map(drop)
    }
}

/// A path without `.` and `..`, as go reads those of a go.mod: whatever links there are.
pub(super) fn cleaned(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                cleaned.pop();
            }
            other => cleaned.push(other),
        }
    }
    cleaned
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use walkdir::WalkDir;

    #[test]
    fn what_lies_beside_is_copied_beside() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        for file in ["a/b/app/go.mod", "a/b/app/in/go.mod", "a/lib/go.mod", "other/x/go.mod", "other/y/go.mod"] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "module x").unwrap();
        }
        let app = root.join("a/b/app");
        let at = |way: &str| cleaned(&app.join(way));
        for (beside, directory, copied) in [
            (vec![], "", vec!["go.mod", "in/go.mod"]),
            (vec![at("../../lib")], "b/app", vec!["b/app/go.mod", "b/app/in/go.mod", "lib/go.mod"]),
            (vec![at("../../../other/./x/")], "a/b/app", vec!["a/b/app/go.mod", "a/b/app/in/go.mod", "other/x/go.mod"]),
            // One around the directory has it already.
            (vec![at("..")], "app", vec!["app/go.mod", "app/in/go.mod"]),
        ] {
            let tree = Tree { directory: app.clone(), beside };
            let to = tempfile::tempdir().unwrap();
            tree.copy(to.path(), to.path()).unwrap();
            assert_eq!(tree.directory_in(to.path()), to.path().join(directory));
            let files = WalkDir::new(to.path()).sort_by_file_name().into_iter().flatten();
            let files = files.filter(|entry| entry.file_type().is_file());
            let files: Vec<_> = files.map(|file| file.path().strip_prefix(to.path()).unwrap().to_owned()).collect();
            assert_eq!(files, copied.into_iter().map(PathBuf::from).collect::<Vec<_>>());
        }
    }
}
