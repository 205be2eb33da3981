//! `bundle` beside `go mod download all`: prometheus, everything from the public Go mirror.

use crate::measure::{Contender, command, compare, ratio, remove, say, say_machine};
use crate::project;
use modferry_harness::{Outcome, built};
use std::ffi::OsStr;
use std::fs;

/// The workers that modferry gives to its own go; so the other go gets as many.
const WORKERS: &str = "16";
/// Wall time of a cold bundle, as a share of `go mod download all`.
const BAR: f64 = 1.10;

pub(crate) fn run(rounds: usize) -> Outcome<()> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let place = |name: &str| directory.path().join(name);
    let project = project::fetch(directory.path())?;
    let modferry = built::modferry_release()?;
    let go_mod = fs::read(project.join("go.mod")).map_err(|error| error.to_string())?;
    let (empty, full, out, cache, gopath) =
        (place("empty"), place("full"), place("out"), place("cache"), place("gopath"));
    fs::create_dir(&empty).map_err(|error| error.to_string())?;
    let bundle = |user_cache: &std::path::Path| {
        let arguments =
            [OsStr::new("bundle"), project.as_os_str(), OsStr::new("-o"), out.as_os_str(), OsStr::new("--quiet")];
        let variables = [("GOMODCACHE", user_cache.as_os_str()), ("XDG_CACHE_HOME", cache.as_os_str())];
        command(modferry, &arguments, &variables)
    };
    let clean = || remove(&out).and_then(|()| remove(&cache));
    say_machine();
    let contenders = [
        Contender {
            name: "`go mod download all`, empty module cache",
            prepare: Box::new(|| {
                // go writes into both; what it left would make the next run another one.
                let _ = fs::remove_file(project.join("go.sum"));
                fs::write(project.join("go.mod"), &go_mod).map_err(|error| error.to_string())?;
                remove(&full).and_then(|()| remove(&gopath))
            }),
            command: Box::new(|| {
                let arguments = ["mod", "download", "all"].map(OsStr::new);
                let variables = [
                    ("GOMODCACHE", full.as_os_str()),
                    ("GOPATH", gopath.as_os_str()),
                    ("GOFLAGS", OsStr::new("-modcacherw")),
                    ("GOMAXPROCS", OsStr::new(WORKERS)),
                    ("GOWORK", OsStr::new("off")),
                ];
                let mut go = command("go", &arguments, &variables);
                go.current_dir(&project);
                go
            }),
        },
        Contender {
            name: "`modferry bundle`, empty module cache",
            prepare: Box::new(|| {
                let _ = fs::remove_file(project.join("go.sum"));
                clean()
            }),
            command: Box::new(|| bundle(&empty)),
        },
        Contender {
            name: "`modferry bundle`, zips in the user's module cache",
            prepare: Box::new(clean),
            command: Box::new(|| bundle(&full)),
        },
    ];
    let runs = compare(&contenders, rounds)?;
    ratio("cold bundle / go mod download all, wall", &runs[1], &runs[0], |run| run.wall, BAR);
    say("(a warm bundle has no bar)");
    Ok(())
}
