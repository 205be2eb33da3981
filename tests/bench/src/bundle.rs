//! `bundle` beside `go mod download all` with go's own defaults, and beside copying and hashing the same files: three
//! projects, everything from the public Go mirror, the checksum database included.

use crate::measure::{Contender, command, compare, ratio, say, say_machine};
use crate::project;
use modferry_harness::{Outcome, at, built};
use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// The projects.
const PROJECTS: [&str; 3] = ["sigs.k8s.io/controller-runtime@v0.25.2", "helm.sh/helm/v4@v4.3.1", project::PROMETHEUS];
/// Wall time of a cold bundle, as a share of `go mod download all`.
const COLD_BAR: f64 = 0.5;
/// Wall time of a warm bundle, as a share of `cp -r` and `sha256sum -c` of what it made.
const WARM_BAR: f64 = 2.0;
/// Temporary disk, as a share of the zips.
const DISK_BAR: f64 = 1.2;

pub(crate) fn run(rounds: usize) -> Outcome<()> {
    say_machine();
    PROJECTS.iter().try_for_each(|name| one(name, rounds))
}

fn one(name: &str, rounds: usize) -> Outcome<()> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let place = |name: &str| directory.path().join(name);
    let project = project::fetch_of(name, directory.path())?;
    let modferry = built::modferry_release()?;
    let go_mod = fs::read(project.join("go.mod")).map_err(|error| error.to_string())?;
    let empty = place("empty");
    fs::create_dir(&empty).map_err(|error| error.to_string())?;
    // A new place each time, and nothing removed in between: ext4 looks past every inode that was freed in the last minutes.
    let count = Cell::new(0);
    let fresh = |name: &str| {
        count.set(count.get() + 1);
        place(&format!("{name}-{}", count.get()))
    };
    // The module cache that go filled last, and the bundle that was made last.
    let (full, out) = (RefCell::new(place("full")), RefCell::new(place("out")));
    let bundle = |user_cache: &Path, way: &str| {
        *out.borrow_mut() = fresh("out");
        let (out, cache, state) = (out.borrow(), fresh("cache"), fresh("state"));
        // The level of the command beside it; there are no sources to load packages from.
        let words = ["bundle", "--json", "--quiet", "--level", "all", "--fetch", way, "-o"].map(OsStr::new);
        let arguments = [&words[..], &[out.as_os_str(), project.as_os_str()]].concat();
        let variables = [
            ("GOMODCACHE", user_cache.as_os_str()),
            ("XDG_CACHE_HOME", cache.as_os_str()),
            ("XDG_STATE_HOME", state.as_os_str()),
        ];
        command(modferry, &arguments, &variables)
    };
    let clean = || {
        // go writes into both; what it left would make the next run another one.
        let _ = fs::remove_file(project.join("go.sum"));
        fs::write(project.join("go.mod"), &go_mod).map_err(|error| error.to_string())
    };
    say(&format!("\n{name}\n"));
    let contenders = [
        Contender {
            name: "`go mod download all`, empty module cache",
            prepare: Box::new(clean),
            command: Box::new(|| {
                *full.borrow_mut() = fresh("full");
                let (full, gopath) = (full.borrow(), fresh("gopath"));
                let arguments = ["mod", "download", "all"].map(OsStr::new);
                let variables = [
                    ("GOMODCACHE", full.as_os_str()),
                    ("GOPATH", gopath.as_os_str()),
                    ("GOFLAGS", OsStr::new("-modcacherw")),
                    ("GOWORK", OsStr::new("off")),
                ];
                let mut go = command("go", &arguments, &variables);
                go.current_dir(&project);
                go
            }),
        },
        Contender {
            name: "`modferry bundle`, empty module cache",
            prepare: Box::new(clean),
            command: Box::new(|| bundle(&empty, "ahead")),
        },
        Contender {
            name: "`modferry bundle --fetch go`, empty module cache",
            prepare: Box::new(clean),
            command: Box::new(|| bundle(&empty, "go")),
        },
        Contender {
            name: "`modferry bundle`, everything in the user's module cache",
            prepare: Box::new(clean),
            command: Box::new(|| bundle(&full.borrow(), "ahead")),
        },
        Contender {
            name: "`cp -r` and `sha256sum -c` of that bundle",
            prepare: Box::new(|| Ok(())),
            command: Box::new(|| {
                let script = r#"cp -r "$1" "$2" && cd "$2" && sha256sum --quiet -c SHA256SUMS"#;
                let words = ["-c", script, "sh"].map(OsStr::new);
                command("sh", &[&words[..], &[out.borrow().as_os_str(), fresh("copy").as_os_str()]].concat(), &[])
            }),
        },
    ];
    let runs = compare(&contenders, rounds)?;
    ratio("cold bundle / go mod download all, wall", &runs[1], &runs[0], |run| run.wall, COLD_BAR);
    ratio("cold bundle / go mod download all, CPU", &runs[1], &runs[0], |run| run.cpu, 1.0);
    ratio("warm bundle / cp -r and sha256sum -c, wall", &runs[3], &runs[4], |run| run.wall, WARM_BAR);
    clean()?;
    disk(bundle(&empty, "ahead"), &out.borrow())
}

/// What a bundle takes of temporary disk: the zips lie in the work space until they are moved, and it says what else did.
fn disk(mut bundle: std::process::Command, out: &Path) -> Outcome<()> {
    let output = bundle.output().map_err(|error| error.to_string())?;
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let rest = summary["work_bytes"].as_u64().ok_or("no work_bytes")?;
    let mut zips = 0;
    for entry in walkdir::WalkDir::new(out).into_iter().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "zip") {
            zips += entry.metadata().map_err(at(entry.path()))?.len();
        }
    }
    let share = (zips + rest) as f64 / zips.max(1) as f64;
    let verdict = if share <= DISK_BAR { "met" } else { "NOT MET" };
    say(&format!(
        "temporary disk: {:.1} MB for {:.1} MB of zips, {share:.2}, bar {DISK_BAR}: {verdict}",
        (zips + rest) as f64 / 1e6,
        zips as f64 / 1e6
    ));
    Ok(())
}
