//! One bundle of a project at a level, and what is in it.

use super::Level;
use super::projects::{Kind, Subject};
use crate::text;
use modferry_harness::{Outcome, at, built};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// What a bundle carries and took to make.
#[derive(Debug, Clone)]
pub struct Bundled {
    /// Different module paths.
    pub modules: u64,
    /// Versions, with zip or without.
    pub versions: u64,
    /// Bytes of everything.
    pub bytes: u64,
    /// The files of its versions, below `download`, with their sizes.
    pub files: BTreeMap<String, u64>,
    /// Wall time with empty caches.
    pub seconds: f64,
    /// What upstream refused.
    pub not_carried: Vec<String>,
    /// What was warned of.
    pub warnings: Vec<String>,
}

impl Bundled {
    /// Its zips, with their sizes.
    pub fn zips(&self) -> BTreeMap<String, u64> {
        let zips = self.files.iter().filter(|(path, _)| path.ends_with(".zip"));
        zips.map(|(path, size)| (path.clone(), *size)).collect()
    }

    /// What another bundle has of versions and this one has not.
    pub fn lacks(&self, of: &Self) -> Vec<String> {
        of.files.keys().filter(|path| !self.files.contains_key(*path)).cloned().collect()
    }
}

/// Bundles a project at a level, with empty caches and the go on this PATH.
pub(super) fn bundle(subject: &Subject, sources: &Path, level: Level, path: &str, to: &Path) -> Outcome<Bundled> {
    let caches = tempfile::tempdir().map_err(|error| format!("temporary directory: {error}"))?;
    let mut command = Command::new(built::modferry()?);
    command.args(["bundle", "--json", "--quiet", "--level", &level.to_string(), "-o"]).arg(to);
    match subject.kind {
        Kind::Tool { package, .. } => command.args(["--tool", &format!("{package}@{}", subject.project.version)]),
        Kind::Module | Kind::Workspace { .. } => command.arg(sources),
    };
    for (name, place) in [("XDG_CACHE_HOME", "cache"), ("XDG_STATE_HOME", "state"), ("GOMODCACHE", "modcache")] {
        command.env(name, caches.path().join(place));
    }
    // Not where go.mod is: it would be a root beside a tool.
    command.env("GOTOOLCHAIN", "local").env("GOFLAGS", "").env("PATH", path).current_dir(caches.path());
    let started = Instant::now();
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let seconds = started.elapsed().as_secs_f64();
    if !output.status.success() {
        return Err(why(&[&output.stdout[..], &output.stderr].concat()));
    }
    let result: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("modferry bundle --json: {error}: {}", text(&output.stdout)))?;
    // The same judged by us alone: no file of any root's graph is missing.
    let mut closure = Command::new(built::modferry()?);
    let judged = closure.arg("verify").arg(to).arg("--closure").output().map_err(|error| format!("verify: {error}"))?;
    if !judged.status.success() {
        return Err(format!("verify --closure: {}{}", text(&judged.stdout), text(&judged.stderr)));
    }
    let count = |name: &str| result["counts"][name].as_u64().ok_or_else(|| format!("modferry bundle --json: {result}"));
    let texts = |name: &str| -> Vec<String> {
        let list = result[name].as_array().into_iter().flatten();
        list.map(|it| match (it.as_str(), it["path"].as_str(), it["reason"].as_str()) {
            (Some(text), ..) => text.to_owned(),
            (_, Some(path), Some(reason)) => format!("{path}: {reason}"),
            _ => it.to_string(),
        })
        .collect()
    };
    Ok(Bundled {
        modules: count("modules")?,
        versions: count("versions")?,
        bytes: result["bytes"].as_u64().unwrap_or_default(),
        files: files(&to.join("download"))?,
        seconds,
        not_carried: texts("not_carried"),
        warnings: texts("warnings"),
    })
}

/// What an error of `modferry bundle --json` says, in two lines; all of it where it is no such error.
fn why(printed: &[u8]) -> String {
    let printed = text(printed);
    let errors = printed.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let error = errors.map(|mut line| line["error"].take()).find(|error| error.is_object());
    error.map_or(printed.clone(), |error| {
        let [message, cause] = [&error["message"], &error["caused_by"][0]].map(|it| it.as_str().unwrap_or_default());
        format!("{message}: {cause}")
    })
}

/// Every mod, info and zip, and nothing of the checksum database.
fn files(download: &Path) -> Outcome<BTreeMap<String, u64>> {
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(download) {
        let entry = entry.map_err(at(download))?;
        let path = entry.path().strip_prefix(download).map_err(at(download))?.display().to_string();
        let is_of_version = [".mod", ".info", ".zip"].iter().any(|end| path.ends_with(end));
        if entry.file_type().is_file() && is_of_version && !path.starts_with("sumdb/") {
            files.insert(path, entry.metadata().map_err(at(entry.path()))?.len());
        }
    }
    Ok(files)
}
