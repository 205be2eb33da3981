//! `verify` beside `sha256sum -c` and `go mod verify`: a bundle of prometheus.

use crate::measure::{Contender, command, compare, ratio, say, say_machine};
use crate::project;
use modferry::jobs;
use modferry::module_cache;
use modferry::source::Source;
use modferry_format::BundlePath;
use modferry_harness::{Outcome, at, built};
use modferry_prove::Prover;
use modferry_prove::tape;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// CPU time of the sha256 part, as a share of `sha256sum -c`.
const SHA256_BAR: f64 = 0.5;
/// Wall time of everything, as a share of `go mod verify`.
const VERIFY_BAR: f64 = 0.2;
/// Largest memory of verify, in MiB.
const MEMORY_BAR: f64 = 64.0;

pub(crate) fn run(rounds: usize) -> Outcome<()> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let place = |name: &str| directory.path().join(name);
    let project = project::fetch(directory.path())?;
    let modferry = built::modferry_release()?;
    let (bundle, modules, gopath, cache) = (place("bundle"), place("modules"), place("gopath"), place("cache"));
    let go_variables = [
        ("GOMODCACHE", modules.as_os_str()),
        ("GOPATH", gopath.as_os_str()),
        ("GOFLAGS", OsStr::new("-modcacherw")),
        ("GOWORK", OsStr::new("off")),
    ];
    let go = |arguments: &[&OsStr]| {
        let mut go = command("go", arguments, &go_variables);
        go.current_dir(&project);
        go
    };
    project::once(go(&["mod", "download", "all"].map(OsStr::new)))?;
    let words = ["bundle", "--level", "all", "-o"].map(OsStr::new);
    let arguments = [&words[..], &[bundle.as_os_str(), project.as_os_str()]].concat();
    let variables = [("GOMODCACHE", modules.as_os_str()), ("XDG_CACHE_HOME", cache.as_os_str())];
    project::once(command(modferry, &arguments, &variables))?;
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let nothing = || Ok(());
    say_machine();
    let contenders = [
        Contender {
            name: "`sha256sum -c SHA256SUMS`",
            prepare: Box::new(nothing),
            command: Box::new(|| {
                let mut sums = command("sha256sum", &["--strict", "--quiet", "-c", "SHA256SUMS"].map(OsStr::new), &[]);
                sums.current_dir(&bundle);
                sums
            }),
        },
        Contender {
            name: "the sha256 part of `modferry verify`, one thread",
            prepare: Box::new(nothing),
            command: Box::new(|| command(&this, &[OsStr::new("hash"), bundle.as_os_str()], &[])),
        },
        Contender {
            name: "`go mod verify`",
            prepare: Box::new(nothing),
            command: Box::new(|| go(&["mod", "verify"].map(OsStr::new))),
        },
        Contender {
            name: "`modferry verify`",
            prepare: Box::new(nothing),
            command: Box::new(|| command(modferry, &[OsStr::new("verify"), bundle.as_os_str()], &[])),
        },
        Contender {
            name: "sha256 and h1 of every zip, as `modferry bundle` proves them",
            prepare: Box::new(nothing),
            command: Box::new(|| command(&this, &[OsStr::new("prove"), bundle.as_os_str()], &[])),
        },
    ];
    let runs = compare(&contenders, rounds)?;
    ratio("sha256 part / sha256sum -c, CPU", &runs[1], &runs[0], |run| run.cpu, SHA256_BAR);
    ratio("verify / go mod verify, wall", &runs[3], &runs[2], |run| run.wall, VERIFY_BAR);
    ratio("h1 of every zip / go mod verify, wall", &runs[4], &runs[2], |run| run.wall, VERIFY_BAR);
    let memory = runs[3].iter().map(|run| run.rss_mib).fold(0.0, f64::max);
    let verdict = if memory <= MEMORY_BAR { "met" } else { "NOT MET" };
    say(&format!("memory of verify: at most {memory:.1} MiB, bar {MEMORY_BAR}: {verdict}"));
    Ok(())
}

/// `hash DIRECTORY`: the hashing of verify alone, on one thread.
pub(crate) fn hash(directory: &Path) -> Outcome<()> {
    for (path, hashed) in jobs::map(1, files(directory), |(): &mut (), path| {
        let source = open(path)?;
        tape::hash(&source, source.size())
    }) {
        hashed.map_err(at(&path))?;
    }
    Ok(())
}

/// `prove DIRECTORY`: every zip walked, inflated and hashed, its h1 made.
pub(crate) fn prove(directory: &Path) -> Outcome<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut zips = files(directory);
    zips.retain(|path| path.extension().is_some_and(|extension| extension == "zip"));
    // The largest first, as bundle takes them.
    zips.sort_by_key(|path| std::cmp::Reverse(path.metadata().map_or(0, |meta| meta.len())));
    let download = directory.join("download");
    for (path, proved) in jobs::map(threads, zips, |prover: &mut Prover, path| {
        let Some(BundlePath::Zip(version)) = module_cache::bundle_path(&download, path) else {
            return Err("no name of a zip".to_owned());
        };
        let source = open(path).map_err(|error| error.to_string())?;
        prover.prove(&version, &source, source.size(), None).map_err(|error| error.to_string())?.h1
    }) {
        proved.map_err(at(&path))?;
    }
    Ok(())
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(directory.join("download")).into_iter().flatten();
    entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

fn open(path: &Path) -> io::Result<Source> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    Ok(Source::whole(file, size))
}
