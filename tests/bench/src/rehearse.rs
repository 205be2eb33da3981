//! `rehearse` beside the commands that it runs, and `record` beside the command that it records: what watching costs.

use crate::measure::{Contender, command, compare, ratio, remove, say, say_machine, spread_of};
use crate::project;
use modferry_harness::{Outcome, at, built};
use std::ffi::OsStr;
use std::path::Path;
use std::time::Instant;

/// What a rehearsal may take beside its commands, as a share of them.
const REHEARSE_BAR: f64 = 0.05;
/// Wall time of a recorded command, as a share of the same command alone.
const RECORD_BAR: f64 = 1.1;

pub(crate) fn run(rounds: usize) -> Outcome<()> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let place = |name: &str| directory.path().join(name);
    let project = project::fetch_sources(project::PROMETHEUS, directory.path())?;
    let modferry = built::modferry_release()?;
    let (bundle, cache) = (place("bundle"), place("cache"));
    let words = ["bundle", "--quiet", "-o"].map(OsStr::new);
    let arguments = [&words[..], &[bundle.as_os_str(), project.as_os_str()]].concat();
    let state = place("state");
    let variables = [("XDG_CACHE_HOME", cache.as_os_str()), ("XDG_STATE_HOME", state.as_os_str())];
    project::once(command(modferry, &arguments, &variables))?;
    say_machine();

    let mut shares = Vec::new();
    for round in 0..=rounds {
        let share = rehearsed(modferry, &bundle, &project)?;
        if round > 0 {
            shares.push(share);
        }
    }
    let median = {
        let mut sorted = shares.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let verdict = if median <= REHEARSE_BAR { "met" } else { "NOT MET" };
    say(&format!("rehearse beside its commands: {} of their time, bar {REHEARSE_BAR}: {verdict}", spread_of(shares)));

    // Upstream is the files of the bundle, so that no network is measured.
    let upstream = format!("file://{}/download", bundle.display());
    let (modules, gopath, list) = (place("modules"), place("gopath"), place("roots.sum"));
    let go_variables = [
        ("GOPROXY", OsStr::new(&upstream)),
        ("GOMODCACHE", modules.as_os_str()),
        ("GOPATH", gopath.as_os_str()),
        ("GOFLAGS", OsStr::new("-modcacherw")),
        ("GOWORK", OsStr::new("off")),
    ];
    let nothing = || remove(&modules).and_then(|()| remove(&gopath));
    let go = ["go", "mod", "download"].map(OsStr::new);
    let record = ["record", "--quiet", "-o"].map(OsStr::new);
    let recorded = [&record[..], &[list.as_os_str(), OsStr::new("--")], &go[..]].concat();
    let contenders = [
        Contender {
            name: "`go mod download`, empty module cache",
            prepare: Box::new(nothing),
            command: Box::new(|| {
                let mut command = command("go", &go[1..], &go_variables);
                command.current_dir(&project);
                command
            }),
        },
        Contender {
            name: "`modferry record -- go mod download`",
            prepare: Box::new(nothing),
            command: Box::new(|| {
                let mut command = command(modferry, &recorded, &go_variables);
                command.current_dir(&project);
                command
            }),
        },
    ];
    let runs = compare(&contenders, rounds)?;
    ratio("record / the command alone, wall", &runs[1], &runs[0], |run| run.wall, RECORD_BAR);
    Ok(())
}

/// The time of a rehearsal beside that of its commands, as a share of the latter.
fn rehearsed(modferry: &Path, bundle: &Path, project: &Path) -> Outcome<f64> {
    let started = Instant::now();
    let arguments = ["rehearse", "--quiet", "--json"].map(OsStr::new);
    let arguments = [&arguments[..], &[bundle.as_os_str(), project.as_os_str()]].concat();
    let output = command(modferry, &arguments, &[]).output().map_err(at(modferry))?;
    let wall = started.elapsed().as_secs_f64();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    if report["ok"] != true {
        return Err(format!("the rehearsal failed: {report}"));
    }
    let results = report["results"].as_array().ok_or("no results")?;
    let seconds: f64 = results.iter().filter_map(|done| done["seconds"].as_f64()).sum();
    Ok((wall - seconds) / seconds)
}
