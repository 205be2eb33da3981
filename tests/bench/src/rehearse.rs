//! `rehearse` beside the same commands by hand, and `record` beside the command that it records: what watching costs.

use crate::measure::{Contender, command, compare, ratio, remove, say, say_machine};
use crate::project;
use crate::server::contender;
use modferry_harness::{Outcome, at, built};
use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

/// Wall time of a rehearsal, as a share of the same commands by hand.
const REHEARSE_BAR: f64 = 1.05;
/// Wall time of a recorded command, as a share of the same command alone.
const RECORD_BAR: f64 = 1.10;
/// One project that takes seconds, and one that takes minutes.
const PROJECTS: [&str; 2] = ["github.com/spf13/cobra@v1.10.2", project::PROMETHEUS];

/// Rehearses bundles of the projects.
pub(crate) fn run(rounds: usize, only: Option<&str>) -> Outcome<()> {
    each(only, |bench, sources, upstream| rehearse(bench, sources, upstream, rounds))
}

/// Records `go mod download` of them; upstream is what serves the bundle, or, if `real`, what `go env GOPROXY` names.
pub(crate) fn record(rounds: usize, only: Option<&str>, real: bool) -> Outcome<()> {
    let output = Command::new("go").args(["env", "GOPROXY"]).output().map_err(|error| format!("go env: {error}"))?;
    let named = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    each(only, |bench, sources, served| recorded(bench, sources, if real { &named } else { served }, rounds))
}

/// Does it with a bundle of each project, served on loopback, so that no network is measured; over HTTP on both sides, for go's own part
/// of that is more than what it does with files.
fn each(only: Option<&str>, act: impl Fn(&Bench<'_>, &Path, &str) -> Outcome<()>) -> Outcome<()> {
    say_machine();
    for project in PROJECTS.iter().filter(|project| only.is_none_or(|only| project.contains(only))) {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let bench = Bench { place: directory.path(), modferry: built::modferry_release()?, runs: Cell::new(0) };
        say(&format!("\n{project}"));
        let sources = project::fetch_sources(project, bench.place)?;
        bench.make_bundle(&sources)?;
        let server = contender::Contender::modferry(built::server_release()?, &bench.at("bundle"), &[]).start()?;
        act(&bench, &sources, &format!("http://127.0.0.1:{}", server.port))?;
    }
    Ok(())
}

fn rehearse(bench: &Bench<'_>, sources: &Path, upstream: &str, rounds: usize) -> Outcome<()> {
    let script = bench.by_hand(sources)?;
    let (bundle, settings) = (bench.at("bundle"), bench.settings()?);
    let words = ["rehearse", "--quiet"].map(OsStr::new);
    let rehearsal = [&words[..], &[bundle.as_os_str(), sources.as_os_str()]].concat();
    let contenders = [
        Contender {
            name: "the commands by hand",
            prepare: Box::new(|| bench.prepare(sources)),
            command: Box::new(|| {
                let mut command = command("bash", &[script.as_os_str()], &[]);
                command.envs(settings.iter().map(|(name, value)| (name, value))).current_dir(bench.at("copy"));
                bench.variables(&mut command);
                command.env("GOPROXY", upstream);
                command
            }),
        },
        Contender {
            name: "`modferry rehearse`",
            prepare: Box::new(|| bench.prepare(sources)),
            command: Box::new(|| {
                let mut command = command(bench.modferry, &rehearsal, &[]);
                bench.variables(&mut command);
                command
            }),
        },
    ];
    let runs = compare(&contenders, rounds)?;
    ratio("rehearse / the commands by hand, wall", &runs[1], &runs[0], |run| run.wall, REHEARSE_BAR);
    ratio("rehearse / the commands by hand, CPU", &runs[1], &runs[0], |run| run.cpu, REHEARSE_BAR);
    bench.prepare(sources)
}

fn recorded(bench: &Bench<'_>, sources: &Path, upstream: &str, rounds: usize) -> Outcome<()> {
    let settings = bench.settings()?;
    let list = bench.at("roots.sum");
    let go = ["go", "mod", "download"].map(OsStr::new);
    let record = ["record", "--quiet", "-o"].map(OsStr::new);
    let recorded = [&record[..], &[list.as_os_str(), OsStr::new("--")], &go[..]].concat();
    let in_copy = |mut command: Command| {
        command.envs(settings.iter().map(|(name, value)| (name, value))).current_dir(bench.at("copy"));
        bench.variables(&mut command);
        command.env("GOPROXY", upstream);
        command
    };
    let contenders = [
        Contender {
            name: "`go mod download`, empty module cache",
            prepare: Box::new(|| bench.prepare(sources)),
            command: Box::new(|| in_copy(command("go", &go[1..], &[]))),
        },
        Contender {
            name: "`modferry record -- go mod download`",
            prepare: Box::new(|| bench.prepare(sources)),
            command: Box::new(|| in_copy(command(bench.modferry, &recorded, &[]))),
        },
    ];
    let runs = compare(&contenders, rounds)?;
    ratio("record / the command alone, wall", &runs[1], &runs[0], |run| run.wall, RECORD_BAR);
    ratio("record / the command alone, CPU", &runs[1], &runs[0], |run| run.cpu, RECORD_BAR);
    bench.prepare(sources)
}

struct Bench<'a> {
    place: &'a Path,
    modferry: &'a Path,
    /// Runs so far: each has a module cache of its own.
    runs: Cell<usize>,
}

impl Bench<'_> {
    fn at(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    fn make_bundle(&self, sources: &Path) -> Outcome<()> {
        let (out, cache, state) = (self.at("bundle"), self.at("cache"), self.at("state"));
        let words = ["bundle", "--quiet", "-o"].map(OsStr::new);
        let arguments = [&words[..], &[out.as_os_str(), sources.as_os_str()]].concat();
        let variables = [("XDG_CACHE_HOME", cache.as_os_str()), ("XDG_STATE_HOME", state.as_os_str())];
        project::once(command(self.modferry, &arguments, &variables))
    }

    /// What `modferry env` prints for the bundle, as whoever runs go by hand would set it.
    fn settings(&self) -> Outcome<Vec<(String, String)>> {
        let output = Command::new(self.modferry).args(["env", "--for", "ci"]).arg(self.at("bundle")).output();
        let output = output.map_err(at(self.modferry))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let settings = text.lines().filter_map(|line| line.split_once('='));
        Ok(settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// What both have in common: caches of modules that are empty, one of compiled packages that is not, and a place for
    /// temporary files.
    fn variables(&self, command: &mut Command) {
        for (name, place) in [("GOPATH", "path"), ("GOCACHE", "build"), ("TMPDIR", "tmp")] {
            command.env(name, self.at(place));
        }
        command.env("GOMODCACHE", self.modules());
        command.env("GOFLAGS", "-modcacherw").env("GOENV", "off").env_remove("GOWORK");
    }

    /// go keeps an index of each unpacked module with the compiled packages, by the path of the module: a module cache that is new, as
    /// one of a rehearsal is, has a new path.
    fn modules(&self) -> PathBuf {
        self.at(&format!("modules-{}", self.runs.get()))
    }

    /// Everything as it is before the first command: what a run leaves is gone, and none of it waits for the disk.
    fn prepare(&self, sources: &Path) -> Outcome<()> {
        fs::create_dir_all(self.at("tmp")).map_err(at(self.place))?;
        // A rehearsal ends before its directory is gone.
        while fs::read_dir(self.at("tmp")).map_err(at(self.place))?.flatten().any(|entry| is_work(&entry.file_name())) {
            sleep(Duration::from_millis(100));
        }
        [self.modules(), self.at("path"), self.at("copy")].iter().try_for_each(|place| remove(place))?;
        self.runs.set(self.runs.get() + 1);
        let (from, to) = (sources.join("."), self.at("copy"));
        project::once(command("cp", &[OsStr::new("-r"), from.as_os_str(), to.as_os_str()], &[]))?;
        project::once(command("sync", &[], &[]))
    }

    /// A script with the commands that a rehearsal runs, each in the project as it was, caches shared from the first to the last.
    fn by_hand(&self, sources: &Path) -> Outcome<PathBuf> {
        self.prepare(sources)?;
        let words = ["rehearse", "--quiet", "--json"].map(OsStr::new);
        let bundle = self.at("bundle");
        let mut rehearsal =
            command(self.modferry, &[&words[..], &[bundle.as_os_str(), sources.as_os_str()]].concat(), &[]);
        self.variables(&mut rehearsal);
        let output = rehearsal.output().map_err(at(self.modferry))?;
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        if report["ok"] != true {
            return Err(format!("the rehearsal failed: {report}"));
        }
        let results = report["results"].as_array().ok_or("no results")?;
        let seconds: f64 = results.iter().filter_map(|done| done["seconds"].as_f64()).sum();
        say(&format!("{} commands, {seconds:.1} s of them in the rehearsal that tells which", results.len()));
        let restore = format!(
            "set -e\nback() {{ cp {0}/go.mod {0}/go.sum . && rm -rf vendor go.work go.work.sum; }}\n",
            sources.display()
        );
        let mut script = restore;
        for named in results.iter().filter_map(|done| done["command"].as_str()) {
            let line = match named.split_once(", ") {
                None => named.to_owned(),
                Some((command, "without go.sum")) => format!("rm go.sum\n{command}"),
                Some((command, after)) => {
                    let before = after.strip_prefix("after ").ok_or_else(|| format!("{named}: not known"))?;
                    format!("{before}\n{command}")
                }
            };
            script.push_str(&format!("back\n{line}\n"));
        }
        let file = self.at("by-hand.sh");
        fs::write(&file, script).map_err(at(&file))?;
        Ok(file)
    }
}

/// Whether a name is that of a directory that a rehearsal or a recording works in.
fn is_work(name: &OsString) -> bool {
    name.to_string_lossy().starts_with("modferry-work-")
}
