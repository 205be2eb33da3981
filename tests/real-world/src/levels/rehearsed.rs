//! `modferry rehearse` of the bundle of a project at a level: whether what we promise of it is what go says of it.

use super::bundled::bundle;
use super::projects::{Kind, Subject};
use super::sources::{self, remove};
use super::{Level, path_at, say};
use crate::text;
use modferry_harness::{Outcome, built};
use std::collections::BTreeMap;
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
    /// Why others fail as the bundle says, and how many.
    pub stated: BTreeMap<String, usize>,
    /// Wall time.
    pub seconds: f64,
}

impl Verdict {
    /// How many ended well.
    pub fn passed(&self) -> usize {
        self.commands - self.failed.len() - self.stated.values().sum::<usize>()
    }

    /// A line for each failure, and one for each reason of those that were stated.
    pub fn remarks(&self) -> impl Iterator<Item = String> {
        let stated = self.stated.iter().map(|(note, count)| format!("{count} fail, and {note}"));
        self.failed.iter().cloned().chain(stated)
    }
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
                let not_ok = results.iter().filter(|done| done["ok"] != true);
                let (as_stated, others): (Vec<_>, Vec<_>) = not_ok.partition(|done| done["as_stated"] == true);
                let failed: Vec<String> = others.into_iter().map(failure).collect();
                let mut stated = BTreeMap::new();
                for done in as_stated {
                    let note = done["missing"][0]["note"].as_str().unwrap_or("the bundle says so");
                    *stated.entry(note.to_owned()).or_default() += 1;
                }
                if failed.is_empty() != output.status.success() || report["denied"] != "by-system" {
                    return Err(format!("rehearse ended with {} and {report}", output.status));
                }
                Ok(Verdict { commands: results.len(), failed, stated, seconds })
            }
        };
        match &verdict {
            Err(why) => say(&format!("  {level}: no bundle: {why}")),
            Ok(verdict) => {
                say(&format!(
                    "  {level}: {} of {} commands passed, {:.1} s",
                    verdict.passed(),
                    verdict.commands,
                    verdict.seconds
                ));
                verdict.remarks().for_each(|remark| say(&format!("    {remark}")));
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
        Some(path) => format!("`{command}`: missing `{path}`"),
        None => format!("`{command}`: {words}"),
    }
}
