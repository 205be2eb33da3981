//! The part of a checksum database: fetched from a server that takes its time, proven, and how large it is.
//!
//! 1. 1,000 records from a database on the loopback interface that answers after 40 ms, by a process of its own.
//! 2. The proof of 2,000 records, each under a tile of its own, read from files.
//! 3. Bytes of slices: of the closures of cobra and prometheus from the database that `go env` names (with `--real`), and
//!    of 10,000 records of a log of 72 million, by arithmetic.

use crate::measure::{Contender, command, compare, say, say_machine, spread_of, verdict};
use modferry::context::{Context, Environment, Interrupt, Silent};
use modferry::database::{self, Patience, REQUESTS, Request, Settings, Slice};
use modferry::{go_command, module_cache};
use modferry_format::check::{self, Checker};
use modferry_format::database::Tile;
use modferry_format::header::Header;
use modferry_format::root::HeadFile;
use modferry_format::sumdb::prove::Prover;
use modferry_format::sumdb::tree;
use modferry_format::{BundlePath, ModuleVersion};
use modferry_harness::database::server::{Misbehaviour, Server};
use modferry_harness::database::{Log, filler};
use modferry_harness::{Outcome, at};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What the server takes for each answer.
const DELAY: Duration = Duration::from_millis(40);
/// Wall time of the fetch, in seconds.
const WALL_BAR: f64 = 5.0;
/// CPU time of the client, in seconds.
const CPU_BAR: f64 = 1.0;
/// Time of the proof, in seconds.
const PROOF_BAR: f64 = 0.15;
/// A log of which 1,000 records take as many tiles as 1,000 of a real closure: 644 there.
const LOG: u64 = 300_000;
/// A log with more than 2,000 tiles of records.
const LARGE_LOG: u64 = 520_000;

pub(crate) fn run(rounds: usize, is_real: bool) -> Outcome<()> {
    say_machine();
    let mut log = Log::default();
    log.grow(LOG, "");
    fetched(log.clone(), rounds)?;
    log.grow(LARGE_LOG, "");
    proven(log, rounds)?;
    sizes_by_arithmetic();
    if is_real { real() } else { Ok(()) }
}

/// Fetches from a slow server.
fn fetched(log: Log, rounds: usize) -> Outcome<()> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let server = Server::start(log, Misbehaviour { delay: DELAY, ..Misbehaviour::default() })?;
    let (gosumdb, out) = (server.gosumdb(), directory.path().join("out"));
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let contenders = [Contender {
        name: "the slice of 1,000 records, 40 ms a request",
        prepare: Box::new(|| crate::measure::remove(&out)),
        command: Box::new(|| command(&this, &["fetch-slice".as_ref(), gosumdb.as_ref(), out.as_os_str()], &[])),
    }];
    let runs = compare(&contenders, rounds)?;
    let requests = server.log_of_requests().len() / (rounds + 1);
    say(&format!("{requests} requests a run, {REQUESTS} at a time"));
    let worst = |figure: fn(&crate::measure::Run) -> f64| runs[0].iter().map(figure).fold(0.0, f64::max);
    verdict("wall, slowest run", worst(|run| run.wall), WALL_BAR);
    verdict("CPU, slowest run", worst(|run| run.cpu), CPU_BAR);
    Ok(())
}

/// `fetch-slice GOSUMDB OUT`: the client of the above.
pub(crate) fn fetch(gosumdb: &str, out: &Path) -> Outcome<()> {
    let versions: BTreeSet<ModuleVersion> = (0..1000).map(|n| filler(scattered(n, LOG))).collect();
    slice(&versions, "off", gosumdb, out).map(drop)
}

fn slice(versions: &BTreeSet<ModuleVersion>, goproxy: &str, gosumdb: &str, out: &Path) -> Outcome<Slice> {
    let request = Request {
        versions,
        since: None,
        at: None,
        known: &BTreeSet::new(),
        held: &BTreeSet::new(),
        heads: &[],
        caches: &[],
        out,
        jobs: REQUESTS,
    };
    let settings = Settings {
        goproxy: goproxy.to_owned(),
        gosumdb: gosumdb.to_owned(),
        goauth: String::new(),
        patience: Patience::default(),
    };
    let context = Context {
        environment: Environment::new(std::env::vars_os()),
        now: "1970-01-01T00:00:00Z".parse().map_err(|error| format!("{error}"))?,
        jobs: 2,
        requests: None,
        progress: &Silent,
        interrupt: Interrupt::default(),
    };
    database::fetch(&request, &settings, &context).map_err(|error| format!("{error}: {:?}", error.causes))
}

/// Proves from files.
fn proven(log: Log, rounds: usize) -> Outcome<()> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let versions: BTreeSet<ModuleVersion> = (0..2000).map(|n| filler(n * 256 + n % 256)).collect();
    let name = log.name().to_owned();
    let server = Server::start(log, Misbehaviour::default())?;
    let slice = slice(&versions, "off", &server.gosumdb(), directory.path())?;
    let files = directory.path().join(name);
    let mut figures = Vec::new();
    for _ in 0..=rounds {
        let began = Instant::now();
        let mut prover = Prover::new(&slice.head);
        slice.records.values().try_for_each(|record| prover.record(record)).map_err(|error| error.to_string())?;
        let read = |tile: Tile| fs::read(files.join(tile.to_string())).map(Some);
        prover.prove(read).map_err(|error| error.to_string())?;
        figures.push(began.elapsed().as_secs_f64());
    }
    figures.remove(0);
    let slowest = figures.iter().copied().fold(0.0, f64::max);
    say(&format!("proof of 2,000 records by {} tiles, one thread: {} s", slice.tiles, spread_of(figures)));
    verdict("proof, slowest run", slowest, PROOF_BAR);
    Ok(())
}

/// What 10,000 records come to, if they are anywhere in the log.
fn sizes_by_arithmetic() {
    const SIZE: u64 = 71_999_284;
    let tiles = tree::slice(SIZE, (0..10_000).map(|n| scattered(n, SIZE)), []);
    let bytes: usize = tiles.iter().map(|tile| usize::from(tile.width()) * 32).sum();
    say(&format!("10,000 records scattered over {SIZE}: {} tiles, {} MB of them", tiles.len(), bytes / 1_000_000));
}

/// Closures of real projects, from the real database.
fn real() -> Outcome<()> {
    let environment = Environment::new(std::env::vars_os());
    let go = go_command::find(&environment).map_err(|error| error.to_string())?;
    for root in ["github.com/spf13/cobra v1.9.1", "github.com/prometheus/prometheus v0.316.0"] {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let place = |name: &str| directory.path().join(name);
        let go_mod = format!("module bench.test/closure\n\ngo 1.26\n\nrequire {root}\n");
        fs::create_dir(place("project")).map_err(|error| error.to_string())?;
        fs::write(place("project").join("go.mod"), go_mod).map_err(|error| error.to_string())?;
        let (modules, gopath) = (place("modules"), place("gopath"));
        let variables: [(&str, &OsStr); 4] = [
            ("GOMODCACHE", modules.as_os_str()),
            ("GOPATH", gopath.as_os_str()),
            ("GOFLAGS", "-modcacherw -mod=mod".as_ref()),
            ("GOWORK", "off".as_ref()),
        ];
        let mut download: Command = command(&go, &["mod", "download", "all"].map(OsStr::new), &variables);
        download.current_dir(place("project"));
        crate::project::once(download)?;
        let versions: BTreeSet<ModuleVersion> =
            module_cache::versions(&modules).map_err(|error| error.to_string())?.into_keys().collect();
        let settings = go_command::settings(&go, &place("project"), &environment, &Interrupt::default())
            .map_err(|error| error.to_string())?;
        let began = Instant::now();
        let slice = slice(&versions, settings.get("GOPROXY"), settings.get("GOSUMDB"), &place("out"))?;
        say(&format!(
            "{root}: {} records, {} absent, {} tiles, {} earlier heads, {} bytes, {} requests, {:.2} s",
            slice.records.len(),
            slice.absent.len(),
            slice.tiles,
            slice.served.len(),
            slice.bytes,
            slice.requests,
            began.elapsed().as_secs_f64()
        ));
        let bare = tree::slice(slice.head.size(), slice.records.values().map(|record| record.id), []);
        say(&format!("  without earlier heads: {} tiles", bare.len()));
    }
    Ok(())
}

/// Numbers all over a log, the same on each run: multiples of the golden ratio.
fn scattered(n: u64, size: u64) -> u64 {
    let spread = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    // A hash of it, or they would be as even as can be.
    let mixed = (spread ^ (spread >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((u128::from(mixed) * u128::from(size)) >> 64) as u64
}

/// `prove-log BUNDLE`: what an import does for the checksum database of a bundle besides bringing its files to the disk.
pub(crate) fn prove_log(bundle: &Path) -> Outcome<()> {
    let path = bundle.join(HeadFile::BundleJson.name());
    let header = Header::parse(&fs::read(&path).map_err(at(&path))?).map_err(|error| error.to_string())?;
    let mut checker = Checker::new(&header);
    for entry in walkdir::WalkDir::new(bundle.join("download/sumdb")).sort_by_file_name().into_iter().flatten() {
        let name = entry.path().strip_prefix(bundle).ok().and_then(Path::to_str).unwrap_or_default();
        let Ok(file) = name.parse::<BundlePath>() else { continue };
        let size = entry.metadata().map_err(at(entry.path()))?.len();
        let wanted = check::wants_bytes(&file).is_some();
        let bytes = wanted.then(|| fs::read(entry.path())).transpose().map_err(at(entry.path()))?;
        checker.file(&file, size, bytes.as_deref());
    }
    for part in checker.databases().parts() {
        let name = part.key().name().clone();
        let get = |tile: Tile| fs::read(bundle.join(BundlePath::Tile(name.clone(), tile).to_string())).map(Some);
        let proven = part.prove(get).map_err(|error| error.to_string())?;
        say(&format!("{name}: {} records, {} tiles read", part.records().len(), proven.files));
    }
    Ok(())
}
