//! `verify --closure` beside what shows the same with go: `go list -m all` on the bundle alone, with an empty module cache.

use crate::measure::{Contender, command, compare, remove, say, say_machine, verdict};
use crate::project;
use modferry_harness::{Outcome, built};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Wall time of the slowest run, in seconds.
const WALL_BAR: f64 = 0.5;
/// A project with more versions in its graph.
const HUGO: &str = "github.com/gohugoio/hugo@v0.160.0";

pub(crate) fn run(rounds: usize) -> Outcome<()> {
    say_machine();
    one(project::KUBERNETES, &project::fetch_kubernetes, rounds)?;
    one(project::PROMETHEUS, &project::fetch, rounds)?;
    one(HUGO, &|directory| project::fetch_of(HUGO, directory), rounds)
}

fn one(name: &str, fetch: &dyn Fn(&Path) -> Outcome<PathBuf>, rounds: usize) -> Outcome<()> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let place = |name: &str| directory.path().join(name);
    let project = fetch(directory.path())?;
    let modferry = built::modferry_release()?;
    let (bundle, cache, state, modules, gopath) =
        (place("bundle"), place("cache"), place("state"), place("modules"), place("gopath"));
    let words = ["bundle", "--level", "all", "-o"].map(OsStr::new);
    let arguments = [&words[..], &[bundle.as_os_str(), project.as_os_str()]].concat();
    let variables = [("XDG_CACHE_HOME", cache.as_os_str()), ("XDG_STATE_HOME", state.as_os_str())];
    project::once(command(modferry, &arguments, &variables))?;
    let proxy = format!("file://{}", bundle.join("download").display());
    say(&format!("\n{name}\n"));
    let contenders = [
        Contender {
            name: "`go list -m all` on the bundle, empty module cache",
            prepare: Box::new(|| remove(&modules)),
            command: Box::new(|| {
                let variables = [
                    ("GOPROXY", OsStr::new(&proxy)),
                    ("GOMODCACHE", modules.as_os_str()),
                    ("GOPATH", gopath.as_os_str()),
                    ("GOFLAGS", OsStr::new("-modcacherw -mod=mod")),
                    ("GONOSUMDB", OsStr::new("*")),
                    ("GOWORK", OsStr::new("off")),
                ];
                let mut go = command("go", &["list", "-m", "all"].map(OsStr::new), &variables);
                go.current_dir(&project);
                go
            }),
        },
        Contender {
            name: "`modferry verify --closure`",
            prepare: Box::new(|| Ok(())),
            command: Box::new(|| {
                command(modferry, &[OsStr::new("verify"), bundle.as_os_str(), OsStr::new("--closure")], &[])
            }),
        },
        Contender {
            name: "`modferry verify`",
            prepare: Box::new(|| Ok(())),
            command: Box::new(|| command(modferry, &[OsStr::new("verify"), bundle.as_os_str()], &[])),
        },
    ];
    let runs = compare(&contenders, rounds)?;
    verdict("verify --closure, slowest run", runs[1].iter().map(|run| run.wall).fold(0.0, f64::max), WALL_BAR);
    let found = command(modferry, &[OsStr::new("verify"), bundle.as_os_str(), OsStr::new("--closure")], &[]).output();
    let found = found.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    say(text.trim_end().split_once(": ").map_or("", |(_, told)| told));
    Ok(())
}
