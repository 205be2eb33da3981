//! The projects that are measured: their go.mod files, from the public Go mirror.

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
    let output = Command::new("go")
        .args(["mod", "download", "-json", project])
        .current_dir(std::env::temp_dir())
        .env("GOWORK", "off")
        .output()
        .map_err(|error| format!("go: {error}"))?;
    let downloaded: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{project}: {error}"))?;
    let go_mod = downloaded["GoMod"].as_str().ok_or_else(|| format!("{project}: {downloaded}"))?;
    let copy = directory.join("project");
    fs::create_dir(&copy).map_err(|error| error.to_string())?;
    // Not fs::copy, which would take the read-only mode along.
    let bytes = fs::read(go_mod).map_err(|error| format!("{go_mod}: {error}"))?;
    fs::write(copy.join("go.mod"), bytes).map_err(|error| error.to_string())?;
    Ok(copy)
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
