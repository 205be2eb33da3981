//! `import` beside `cp -r` with `sync`, and beside `go mod verify`: a bundle of prometheus, into an empty mirror and into
//! one with 100,000 versions.

use crate::measure::{Contender, command, compare, ratio, say, say_machine};
use crate::project;
use modferry::durable::Durable;
use modferry::jobs;
use modferry_harness::module::Module;
use modferry_harness::{Outcome, at, built, synthetic_bundle};
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Wall time of copying, hashing and syncing, as a share of `cp -r` with `sync`.
const COPY_BAR: f64 = 1.25;
/// Wall time of a whole import, as a share of `go mod verify`.
const IMPORT_BAR: f64 = 0.25;
/// Wall time of an import into the large mirror, as a share of one into an empty mirror.
const LARGE_BAR: f64 = 1.2;
/// CPU time of the proof by the checksum database, as a share of the import of the same bundle.
const PROOF_BAR: f64 = 0.1;
/// Largest memory of an import, in MiB.
const MEMORY_BAR: f64 = 64.0;
/// Modules of the large mirror, each with this many versions.
const LARGE: (usize, usize) = (20_000, 5);

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
    let large = place("large");
    // A new place each time, and nothing removed in between: ext4 looks past every inode that was freed in the last minutes
    // (one, or six where it is not written yet), which tripled the CPU time of `cp -r` and added half of that of an import.
    let count = Cell::new(0);
    let fresh = |name: &str| {
        count.set(count.get() + 1);
        place(&format!("{name}-{}", count.get()))
    };
    say(&format!("making a mirror of {} versions ...", LARGE.0 * LARGE.1));
    let plain = place("plain");
    let more = [plain.as_os_str(), project.as_os_str(), OsStr::new("--without-checksum-database")];
    let arguments = [&words[..], &more].concat();
    project::once(command(modferry, &arguments, &variables))?;
    let import_of = |bundle: &Path, mirror: &Path| {
        let arguments = [bundle.as_os_str(), mirror.as_os_str()];
        let flags = ["import", "--quiet", "--unsigned", "--no-record", "*"].map(OsStr::new);
        command(modferry, &[&flags[..], &arguments[..]].concat(), &[])
    };
    let import = |mirror: &Path| import_of(&bundle, mirror);
    make_large(&large, modferry, directory.path())?;
    let before = Traces::of(&large)?;
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    say_machine();
    let contenders = [
        Contender {
            name: "`cp -r` and `sync -f`",
            prepare: Box::new(|| Ok(())),
            command: Box::new(|| {
                let script = OsStr::new(r#"cp -r "$1" "$2" && sync -f "$2""#);
                let copy = fresh("copy");
                command("sh", &[OsStr::new("-c"), script, OsStr::new("sh"), bundle.as_os_str(), copy.as_os_str()], &[])
            }),
        },
        Contender {
            name: "copy, sha256 and durability of `modferry import`",
            prepare: Box::new(|| Ok(())),
            command: Box::new(|| {
                command(&this, &[OsStr::new("copy"), bundle.as_os_str(), fresh("staged").as_os_str()], &[])
            }),
        },
        Contender {
            name: "`go mod verify`",
            prepare: Box::new(|| Ok(())),
            command: Box::new(|| go(&["mod", "verify"].map(OsStr::new))),
        },
        Contender {
            name: "`modferry import` into an empty mirror",
            prepare: Box::new(|| Ok(())),
            command: Box::new(|| import(&fresh("empty"))),
        },
        Contender {
            name: "`modferry import` into a mirror of 100,000 versions",
            prepare: Box::new(|| before.restore(&large, &fresh("aside"))),
            command: Box::new(|| import(&large)),
        },
        Contender {
            name: "the proof by the checksum database alone",
            prepare: Box::new(|| Ok(())),
            command: Box::new(|| command(&this, &[OsStr::new("prove-log"), bundle.as_os_str()], &[])),
        },
        Contender {
            name: "`modferry import` of the same modules without the checksum database",
            prepare: Box::new(|| Ok(())),
            command: Box::new(|| import_of(&plain, &fresh("without"))),
        },
    ];
    let runs = compare(&contenders, rounds)?;
    ratio("copy, sha256 and durability / cp -r and sync, wall", &runs[1], &runs[0], |run| run.wall, COPY_BAR);
    ratio("import / go mod verify, wall", &runs[3], &runs[2], |run| run.wall, IMPORT_BAR);
    ratio("into the large mirror / into an empty one, wall", &runs[4], &runs[3], |run| run.wall, LARGE_BAR);
    ratio("proof / import into an empty mirror, CPU", &runs[5], &runs[3], |run| run.cpu, PROOF_BAR);
    let memory = runs[3].iter().chain(&runs[4]).map(|run| run.rss_mib).fold(0.0, f64::max);
    let verdict = if memory <= MEMORY_BAR { "met" } else { "NOT MET" };
    say(&format!("memory of import: at most {memory:.1} MiB, bar {MEMORY_BAR}: {verdict}"));
    Ok(())
}

/// A mirror of many small modules, made by importing one large bundle of them.
fn make_large(mirror: &Path, modferry: &Path, directory: &Path) -> Outcome<()> {
    let bundle = directory.join("many");
    let mut modules = Vec::new();
    for module in 0..LARGE.0 {
        for version in 0..LARGE.1 {
            let path = format!("example.com/g{}/m{module}", module % 100);
            let made = Module::new(&format!("{path}@v1.{version}.0"))?;
            modules.push(made.file("go.mod", format!("module {path}\n\ngo 1.21\n")).file("p.go", "package p\n"));
        }
    }
    synthetic_bundle::write(&bundle, &modules)?;
    let arguments = ["import", "--quiet", "--unsigned", "--no-record", "*"].map(OsStr::new);
    let mut import = Command::new(modferry);
    import.args(arguments).arg(&bundle).arg(mirror);
    // The bundle stays until the end: removing it would free inodes, see above.
    project::once(import)
}

/// What a mirror had before an import, so that the import can be undone between rounds.
struct Traces {
    entries: Vec<(PathBuf, Vec<PathBuf>)>,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Traces {
    fn of(mirror: &Path) -> Outcome<Self> {
        let list = |directory: &Path| -> Outcome<Vec<PathBuf>> {
            fs::read_dir(directory)
                .map_err(at(directory))?
                .map(|entry| entry.map(|entry| entry.path()).map_err(at(directory)))
                .collect()
        };
        let directories = ["download", "ledger", "bundles"].map(|name| mirror.join(name));
        let entries =
            directories.iter().map(|directory| Ok((directory.clone(), list(directory)?))).collect::<Outcome<_>>()?;
        let names = ["journal.jsonl", "ledger/@index.jsonl", "ledger/@state.json"].map(|name| mirror.join(name));
        let files =
            names.iter().map(|name| Ok((name.clone(), fs::read(name).map_err(at(name))?))).collect::<Outcome<_>>()?;
        Ok(Self { entries, files })
    }

    /// Moves what is new to `aside`: removing it would free inodes, see above.
    fn restore(&self, mirror: &Path, aside: &Path) -> Outcome<()> {
        fs::create_dir_all(aside).map_err(at(aside))?;
        let mut moved = 0;
        let mut away = |path: &Path| {
            moved += 1;
            fs::rename(path, aside.join(moved.to_string())).map_err(at(path))
        };
        for (directory, known) in &self.entries {
            for entry in fs::read_dir(directory).map_err(at(directory))? {
                let path = entry.map_err(at(directory))?.path();
                if !known.contains(&path) && path.is_dir() {
                    away(&path)?;
                }
            }
        }
        for (path, bytes) in &self.files {
            away(path)?;
            fs::write(path, bytes).map_err(at(path))?;
        }
        let synced = Command::new("sync").arg("-f").arg(mirror).status();
        synced.map(|_| ()).map_err(|error| error.to_string())
    }
}

/// `copy BUNDLE DIRECTORY`: what an import does to bring bytes to the disk, on as many threads, and nothing else.
pub(crate) fn copy(bundle: &Path, directory: &Path) -> Outcome<()> {
    fs::create_dir_all(directory).map_err(at(directory))?;
    let durable = Durable::new(directory, None).map_err(|error| error.to_string())?;
    let entries = walkdir::WalkDir::new(bundle.join("download")).into_iter().flatten();
    let files = entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
    let files: Vec<(usize, PathBuf)> = files.enumerate().collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut staged = Vec::new();
    let copy = |(): &mut (), (number, path): &(usize, PathBuf)| copy_file(&durable, bundle, *number, path);
    for ((_, path), copied) in jobs::map(threads, files, copy) {
        staged.push(copied.map_err(at(&path))?);
    }
    durable.sync().map_err(|error| error.to_string())?;
    let produce = |hand: &mut dyn FnMut((PathBuf, PathBuf)) -> Outcome<()>| staged.into_iter().try_for_each(hand);
    let publish =
        |(from, to): (PathBuf, PathBuf)| durable.publish(&from, &to).map(|_| ()).map_err(|error| error.to_string());
    jobs::feed(threads, produce, publish)?;
    durable.sync().map_err(|error| error.to_string())
}

fn copy_file(durable: &Durable<'_>, bundle: &Path, number: usize, file: &Path) -> Outcome<(PathBuf, PathBuf)> {
    let path = file.strip_prefix(bundle).map_err(at(bundle))?.to_owned();
    let staged = Path::new("staging").join(number.to_string());
    let mut from = File::open(file).map_err(at(file))?;
    // As an import does with a zip.
    let size = from.metadata().map_err(at(file))?.len();
    let mut writer = durable.create_sized(&staged, size).map_err(|error| error.to_string())?;
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let len = from.read(&mut buffer).map_err(at(file))?;
        if len == 0 {
            break;
        }
        sha256.update(&buffer[..len]);
        writer.write_all(&buffer[..len]).map_err(|error| error.to_string())?;
    }
    std::hint::black_box(sha256.finalize());
    writer.finish().map_err(|error| error.to_string())?;
    Ok((staged, path))
}
