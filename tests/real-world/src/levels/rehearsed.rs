//! `modferry rehearse` of the bundle of a project at a level: whether what we promise of it is what go says of it.

use super::bundled::bundle;
use super::projects::{Kind, Subject};
use super::sources::{self, remove};
use super::{Level, path_at, say};
use crate::text;
use modferry_harness::{Outcome, built};
use std::process::Command;
use std::time::Instant;

/// What came of a rehearsal.
#[derive(Debug)]
pub struct Rehearsed {
    /// The level of the bundle.
    pub level: Level,
    /// The verdict, or why there is no bundle.
    pub verdict: Outcome<Verdict>,
}

/// How the commands of a rehearsal ended.
#[derive(Debug)]
pub struct Verdict {
    /// How many were run.
    pub commands: usize,
    /// The failed ones, each with what was missing or said.
    pub failed: Vec<String>,
    /// Wall time.
    pub seconds: f64,
}

/// Bundles a project at each level, and rehearses each bundle.
pub fn rehearse(subject: &Subject, levels: &[Level]) -> Outcome<Vec<Rehearsed>> {
    let directory = tempfile::tempdir().map_err(|error| format!("temporary directory: {error}"))?;
    let (project, to) = (directory.path().join("project"), directory.path().join("bundle"));
    say(&format!("{}@{}: fetching its sources", subject.project.module, subject.project.version));
    sources::lay_out(subject, &project)?;
    let mut all = Vec::new();
    for &level in levels {
        let path = path_at(level)?;
        let verdict = match bundle(subject, &project, level, &path, &to) {
            Err(why) => Err(why),
            Ok(_) => {
                let mut command = Command::new(built::modferry()?);
                command.args(["rehearse", "--json", "--quiet"]).arg(&to);
                if !matches!(subject.kind, Kind::Tool { .. }) {
                    command.arg(&project);
                }
                command.env("PATH", &path).env("GOTOOLCHAIN", "local").current_dir(directory.path());
                let started = Instant::now();
                let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
                let seconds = started.elapsed().as_secs_f64();
                let report: serde_json::Value = serde_json::from_slice(&output.stdout)
                    .map_err(|error| format!("rehearse --json: {error}: {}", text(&output.stderr)))?;
                let results = report["results"].as_array().ok_or_else(|| format!("rehearse --json: {report}"))?;
                let failed: Vec<String> = results.iter().filter(|done| done["ok"] != true).map(failure).collect();
                let is_good = results.iter().all(|done| done["ok"] == true || done["as_stated"] == true);
                if is_good != output.status.success() || report["denied"] != "by-system" {
                    return Err(format!("rehearse ended with {} and {report}", output.status));
                }
                Ok(Verdict { commands: results.len(), failed, seconds })
            }
        };
        match &verdict {
            Err(why) => say(&format!("  {level}: no bundle: {why}")),
            Ok(verdict) => {
                say(&format!(
                    "  {level}: {} of {} commands passed, {:.1} s",
                    verdict.commands - verdict.failed.len(),
                    verdict.commands,
                    verdict.seconds
                ));
                verdict.failed.iter().for_each(|failed| say(&format!("    {failed}")));
            }
        }
        all.push(Rehearsed { level, verdict });
        remove(&to)?;
    }
    Ok(all)
}

/// A failed command in one line.
fn failure(done: &serde_json::Value) -> String {
    let command = done["command"].as_str().unwrap_or_default();
    let words =
        done["words"].as_array().and_then(|words| words.first()?.as_str()).unwrap_or_default().trim().to_owned();
    match done["missing"][0]["path"].as_str() {
        Some(path) if done["as_stated"] == true => {
            format!("`{command}`: as the bundle says: upstream does not give `{path}`")
        }
        Some(path) => format!("`{command}`: missing `{path}`"),
        None => format!("`{command}`: {words}"),
    }
}
