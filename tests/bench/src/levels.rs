//! `bundle` at its usual level `work` beside `go mod download all` with go's own defaults, both with empty caches: `work` lets go
//! load all packages of a project and of their tests, and still has to take less than go takes to download.

use crate::measure::{Contender, command, compare, ratio, remove, say, say_machine};
use crate::project;
use modferry_harness::{Outcome, built};
use std::ffi::OsStr;
use std::fs;

/// The projects, with their sources.
const PROJECTS: [&str; 3] = ["sigs.k8s.io/controller-runtime@v0.25.2", "helm.sh/helm/v4@v4.3.1", project::PROMETHEUS];
/// Wall and CPU time, as a share of `go mod download all`.
const BAR: f64 = 1.0;

pub(crate) fn run(rounds: usize) -> Outcome<()> {
    say_machine();
    PROJECTS.iter().try_for_each(|name| one(name, rounds))
}

fn one(name: &str, rounds: usize) -> Outcome<()> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let place = |name: &str| directory.path().join(name);
    let project = project::fetch_sources(name, directory.path())?;
    let modferry = built::modferry_release()?;
    let written = ["go.mod", "go.sum"].map(|name| project.join(name));
    let before = written.each_ref().map(fs::read);
    let (modules, gopath, empty, out, cache, state) =
        (place("modules"), place("gopath"), place("empty"), place("out"), place("cache"), place("state"));
    fs::create_dir(&empty).map_err(|error| error.to_string())?;
    let clean = || {
        // go adds to both; what it left would make the next run another one.
        for (path, bytes) in written.iter().zip(&before) {
            let bytes = bytes.as_ref().map_err(|error| format!("{}: {error}", path.display()))?;
            fs::write(path, bytes).map_err(|error| error.to_string())?;
        }
        [&modules, &gopath, &out, &cache, &state].into_iter().try_for_each(|path| remove(path))
    };
    let bundle = |level: &str| {
        let words = ["bundle", "--quiet", "--level", level, "-o"].map(OsStr::new);
        let arguments = [&words[..], &[out.as_os_str(), project.as_os_str()]].concat();
        let variables = [
            ("GOMODCACHE", empty.as_os_str()),
            ("XDG_CACHE_HOME", cache.as_os_str()),
            ("XDG_STATE_HOME", state.as_os_str()),
        ];
        command(modferry, &arguments, &variables)
    };
    say(&format!("\n{name}\n"));
    let contenders = [
        Contender {
            name: "`go mod download all`, empty module cache",
            prepare: Box::new(clean),
            command: Box::new(|| {
                let variables = [
                    ("GOMODCACHE", modules.as_os_str()),
                    ("GOPATH", gopath.as_os_str()),
                    ("GOFLAGS", OsStr::new("-modcacherw")),
                    ("GOWORK", OsStr::new("off")),
                ];
                let mut go = command("go", &["mod", "download", "all"].map(OsStr::new), &variables);
                go.current_dir(&project);
                go
            }),
        },
        Contender {
            name: "`modferry bundle --level work`, empty module cache",
            prepare: Box::new(clean),
            command: Box::new(|| bundle("work")),
        },
        Contender {
            name: "`modferry bundle --level all`, empty module cache",
            prepare: Box::new(clean),
            command: Box::new(|| bundle("all")),
        },
    ];
    let runs = compare(&contenders, rounds)?;
    ratio("bundle --level work / go mod download all, wall", &runs[1], &runs[0], |run| run.wall, BAR);
    ratio("bundle --level work / go mod download all, CPU", &runs[1], &runs[0], |run| run.cpu, BAR);
    Ok(())
}
