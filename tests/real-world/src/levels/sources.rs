//! The sources of a project as a checkout would have them, and fresh copies of them.

use super::projects::{Kind, Subject};
use crate::{fetch, fetch_version, run};
use modferry_harness::{Outcome, at};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Files that go commands write to where they stand; a copy needs its own.
const WRITTEN: [&str; 4] = ["go.mod", "go.sum", "go.work", "go.work.sum"];

/// Fetches the sources of a project through `go env GOPROXY`.
pub(super) fn lay_out(subject: &Subject, to: &Path) -> Outcome<()> {
    match subject.kind {
        Kind::Tool { .. } => return fs::create_dir_all(to).map_err(at(to)),
        Kind::Module => {
            fetch(subject.project, to)?;
            // What the zip has of its repository's workspace names modules that are not in it.
            for stray in ["go.work", "go.work.sum"] {
                remove(&to.join(stray))?;
            }
        }
        Kind::Workspace { members, .. } => {
            fetch(subject.project, to)?;
            let staged: Vec<String> = self::members(to)?.iter().filter_map(|member| staged(member)).collect();
            for module in &staged {
                let place = to.join(STAGING).join(module);
                fetch_version(&format!("{module}@{members}"), &place)?;
                unpublish(&place, &staged)?;
            }
        }
    }
    // A stub of a vendor directory would switch go to what is not there.
    remove(&to.join("vendor"))
}

/// Where the members of a workspace are that are published apart.
pub(super) const STAGING: &str = "staging/src";

/// The module path of such a member.
fn staged(member: &str) -> Option<String> {
    member.trim_start_matches("./").strip_prefix(STAGING)?.strip_prefix('/').map(str::to_owned)
}

/// Gives a published module the go.mod that it has in its repository, where its siblings are no versions but directories.
fn unpublish(place: &Path, siblings: &[String]) -> Outcome<()> {
    let required = requirements(place)?;
    let edits: Vec<String> = siblings
        .iter()
        .filter(|sibling| required.contains(sibling))
        .flat_map(|sibling| [format!("-require={sibling}@v0.0.0"), format!("-replace={sibling}=../../{sibling}")])
        .collect();
    if edits.is_empty() {
        return Ok(());
    }
    let mut command = Command::new("go");
    run(command.args(["mod", "edit"]).args(edits).current_dir(place)).map(drop)
}

/// The module paths that a go.mod requires.
fn requirements(place: &Path) -> Outcome<Vec<String>> {
    let mut command = Command::new("go");
    let output = run(command.args(["mod", "edit", "-json"]).current_dir(place))?;
    let go_mod: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{}: {error}", place.display()))?;
    let required = go_mod["Require"].as_array().into_iter().flatten();
    Ok(required.filter_map(|it| it["Path"].as_str()).map(str::to_owned).collect())
}

/// The directories of a workspace, as go.work has them.
pub(super) fn members(workspace: &Path) -> Outcome<Vec<String>> {
    let mut command = Command::new("go");
    let output = run(command.args(["work", "edit", "-json"]).current_dir(workspace))?;
    let work: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("go work edit -json: {error}"))?;
    let uses = work["Use"].as_array().ok_or_else(|| format!("{}: a workspace without members", workspace.display()))?;
    Ok(uses.iter().filter_map(|member| member["DiskPath"].as_str()).map(str::to_owned).collect())
}

/// A copy of sources that go may work in: links to all files but those that it writes to.
pub(super) fn link(from: &Path, to: &Path) -> Outcome<()> {
    remove(to)?;
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.map_err(at(from))?;
        let target = to.join(entry.path().strip_prefix(from).map_err(at(from))?);
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target).map_err(at(&target))?;
        } else if WRITTEN.iter().any(|name| entry.file_name() == *name) {
            fs::copy(entry.path(), &target).map_err(at(&target))?;
        } else {
            fs::hard_link(entry.path(), &target).map_err(at(&target))?;
        }
    }
    Ok(())
}

/// Removes a file or a directory that may not be there.
pub(super) fn remove(path: &Path) -> Outcome<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}
