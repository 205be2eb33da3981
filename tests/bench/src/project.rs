//! The projects that are measured: their go.mod files or all of their sources, from the public Go mirror.

use crate::measure::remove;
use modferry_harness::Outcome;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The project of most benchmarks.
pub(crate) const PROMETHEUS: &str = "github.com/prometheus/prometheus@v0.316.0";

/// The largest program that most know; the modules of its repository are taken as published.
pub(crate) const KUBERNETES: &str = "k8s.io/kubernetes@v1.36.3";
/// Their version.
const STAGING: &str = "v0.36.3";

/// Puts a copy of the go.mod of prometheus into `directory`; everything measured resolves it there.
pub(crate) fn fetch(directory: &Path) -> Outcome<PathBuf> {
    fetch_of(PROMETHEUS, directory)
}

/// The same of another project.
pub(crate) fn fetch_of(project: &str, directory: &Path) -> Outcome<PathBuf> {
    let go_mod = downloaded(project, "GoMod")?;
    let copy = directory.join("project");
    fs::create_dir(&copy).map_err(|error| error.to_string())?;
    writable(Path::new(&go_mod), &copy.join("go.mod"))?;
    Ok(copy)
}

/// Puts a copy of all sources of a project into `directory`, as a checkout has them: without what its zip has of a go.work
/// whose members are not there, or of a vendor directory.
pub(crate) fn fetch_sources(project: &str, directory: &Path) -> Outcome<PathBuf> {
    let from = downloaded(project, "Dir")?;
    let copy = directory.join("project");
    for entry in walkdir::WalkDir::new(&from) {
        let entry = entry.map_err(|error| error.to_string())?;
        let target = copy.join(entry.path().strip_prefix(&from).map_err(|error| error.to_string())?);
        match entry.file_type().is_dir() {
            true => fs::create_dir_all(&target).map_err(|error| error.to_string())?,
            false => writable(entry.path(), &target)?,
        }
    }
    for stray in ["go.work", "go.work.sum"].map(|name| copy.join(name)) {
        if stray.exists() {
            fs::remove_file(&stray).map_err(|error| error.to_string())?;
        }
    }
    remove(&copy.join("vendor"))?;
    Ok(copy)
}

/// What `go mod download` says of a version.
fn downloaded(project: &str, what: &str) -> Outcome<String> {
    let output = Command::new("go")
        .args(["mod", "download", "-json", project])
        .current_dir(std::env::temp_dir())
        .env("GOWORK", "off")
        .output()
        .map_err(|error| format!("go: {error}"))?;
    let downloaded: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{project}: {error}"))?;
    downloaded[what].as_str().map(str::to_owned).ok_or_else(|| format!("{project}: {downloaded}"))
}

/// A copy that can be written to. Not fs::copy, which would take the read-only mode along.
fn writable(from: &Path, to: &Path) -> Outcome<()> {
    let bytes = fs::read(from).map_err(|error| format!("{}: {error}", from.display()))?;
    fs::write(to, bytes).map_err(|error| error.to_string())
}

/// Puts a copy of the go.mod of kubernetes into `directory`, with published versions in the place of the directories that
/// its zip does not have.
pub(crate) fn fetch_kubernetes(directory: &Path) -> Outcome<PathBuf> {
    let project = fetch_of(KUBERNETES, directory)?;
    let go_mod = project.join("go.mod");
    let text = fs::read_to_string(&go_mod).map_err(|error| error.to_string())?;
    let published = |line: &str| match line.split_once(" => ./staging/src/") {
        Some((old, new)) => format!("{old} => {new} {STAGING}\n"),
        None => format!("{line}\n"),
    };
    fs::write(&go_mod, text.lines().map(published).collect::<String>()).map_err(|error| error.to_string())?;
    Ok(project)
}

/// Runs a command that must succeed.
pub(crate) fn once(mut command: Command) -> Outcome<()> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
