//! `modferry-server` beside nginx: small files, zips, a mirror of a million versions, small files beside large ones, idle
//! connections, and the real `go mod download`.
//!
//! The load comes from wrk over loopback, in turn (A B A B ...). CPU time is that of the server's own processes, from their
//! accounting in `/proc`; the load generator's is not in it.

mod asked;
mod beside;
mod client;
pub(crate) mod contender;
mod idle;
mod load;
mod many;

use crate::measure::{median, say, say_machine, spread_of};
use crate::project;
use clap::ValueEnum;
use contender::{Contender, NGINX_SMALL, NGINX_USUAL, NGINX_ZIPS};
use load::Load;
use modferry_harness::{Outcome, at, built};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Small files of a bundle, with and without an access log
    Small,
    /// Its zips of 1 MiB and more
    Zips,
    /// A mirror of a million versions: start, memory, small files
    Many,
    /// Small files beside two large ones, one worker
    Beside,
    /// Idle connections
    Idle,
    /// `go mod download` with an empty cache
    Client,
}

/// Measures the parts, all where none is named, on a bundle of prometheus, made first where none is given.
pub(crate) fn run(rounds: usize, only: &[Part], bundle: Option<PathBuf>) -> Outcome<()> {
    install(&["nginx", "wrk"], &["nginx-light", "wrk"])?;
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    // nginx gives up root and must still get at the files.
    set_mode(directory.path(), 0o755)?;
    let server = built::server_release()?;
    let wanted = |part| only.is_empty() || only.contains(&part);
    say_machine();
    if wanted(Part::Many) {
        many::run(server, directory.path(), rounds)?;
    }
    if wanted(Part::Beside) {
        beside::run(server, directory.path(), rounds)?;
    }
    if wanted(Part::Idle) {
        idle::run(server, directory.path())?;
    }
    if !(wanted(Part::Small) || wanted(Part::Zips) || wanted(Part::Client)) {
        return Ok(());
    }
    let bundle = match bundle {
        Some(bundle) => bundle,
        None => made(directory.path())?,
    };
    if wanted(Part::Small) {
        small(server, directory.path(), &bundle, rounds)?;
    }
    if wanted(Part::Zips) {
        zips(server, directory.path(), &bundle, rounds)?;
    }
    if wanted(Part::Client) {
        client::run(server, directory.path(), &bundle, rounds)?;
    }
    Ok(())
}

fn small(server: &Path, directory: &Path, bundle: &Path, rounds: usize) -> Outcome<()> {
    let urls = urls(bundle, |name, _| name.ends_with(".info") || name.ends_with(".mod"))?;
    say(&format!("\n{} small files, 64 connections; wrk -t2, {} s", urls.len(), load::SECONDS));
    let script = load::script(directory, &urls)?;
    let logged = directory.join("access.log");
    let logged = logged.display().to_string();
    let contenders = [
        Contender::modferry(server, bundle, &[]),
        Contender::modferry(server, bundle, &["--access-log", &logged]).named("modferry-server, access log"),
        Contender::nginx(directory, bundle, &NGINX_USUAL),
        Contender::nginx(directory, bundle, &NGINX_SMALL),
        Contender::nginx(directory, bundle, &NGINX_ZIPS),
    ];
    let runs = compare(&contenders, &script, 64, rounds)?;
    let cpu = |load: &Load| load.cpu * 1e6 / load.requests;
    ratio("CPU per request / nginx, usual (writes a log, ours does not)", &runs[0], &runs[2], cpu, Bar::AtMost(0.55));
    ratio("CPU per request, both with a log / nginx, usual", &runs[1], &runs[2], cpu, Bar::AtMost(0.55));
    ratio("CPU per request / nginx, best for small files", &runs[0], &runs[3], cpu, Bar::AtMost(0.90));
    ratio("CPU per request with an access log / without", &runs[1], &runs[0], cpu, Bar::None);
    Ok(())
}

fn zips(server: &Path, directory: &Path, bundle: &Path, rounds: usize) -> Outcome<()> {
    let urls = urls(bundle, |name, bytes| name.ends_with(".zip") && (1 << 20..=100 << 20).contains(&bytes))?;
    say(&format!("\n{} zips of 1 MiB to 100 MiB, 8 connections; wrk -t2, {} s", urls.len(), load::SECONDS));
    let script = load::script(directory, &urls)?;
    let contenders = [
        Contender::modferry(server, bundle, &[]),
        Contender::nginx(directory, bundle, &NGINX_USUAL),
        Contender::nginx(directory, bundle, &NGINX_SMALL),
        Contender::nginx(directory, bundle, &NGINX_ZIPS),
    ];
    let runs = compare(&contenders, &script, 8, rounds)?;
    let cpu = |load: &Load| load.cpu * 1e9 / load.bytes;
    ratio("CPU per GB / nginx, usual", &runs[0], &runs[1], cpu, Bar::AtMost(0.35));
    ratio("CPU per GB / nginx, best for zips", &runs[0], &runs[3], cpu, Bar::AtMost(1.0));
    ratio("MB/s / nginx, best for zips", &runs[0], &runs[3], |load| load.bytes / load.seconds, Bar::AtLeast(1.1));
    // Both are on the same processors: MB/s cannot grow by more than what the server takes of their time.
    for contender in [0, 3] {
        let client = spread_of(runs[contender].iter().map(|load| load.client_cpu * 1e9 / load.bytes).collect());
        say(&format!("- CPU s/GB of wrk, served by {}: {client}", contenders[contender].name));
    }
    Ok(())
}

/// The order of a round, by which nobody comes after the same one more often than after another (a Latin square as Williams
/// drew it): what one leaves behind, in caches and in what the machine may still take, shall not always meet the same one. It
/// is whole after as many rounds as there are contenders, or twice as many where their number is odd.
fn turns(round: usize, contenders: usize) -> Vec<usize> {
    let first = |turn: usize| if turn.is_multiple_of(2) { contenders - turn / 2 } else { turn.div_ceil(2) };
    let mut turns: Vec<usize> = (0..contenders).map(|turn| (first(turn) + round) % contenders).collect();
    if !contenders.is_multiple_of(2) && !(round / contenders).is_multiple_of(2) {
        turns.reverse();
    }
    turns
}

/// Loads every contender once to warm up, then `rounds` times in turn, and prints the table.
fn compare(contenders: &[Contender], script: &Path, connections: u32, rounds: usize) -> Outcome<Vec<Vec<Load>>> {
    compare_after(0, contenders, script, connections, rounds)
}

/// The same of servers that have had such a load for so many seconds before.
fn compare_after(
    seconds: u32,
    contenders: &[Contender],
    script: &Path,
    connections: u32,
    rounds: usize,
) -> Outcome<Vec<Vec<Load>>> {
    let mut runs: Vec<Vec<Load>> = vec![Vec::new(); contenders.len()];
    for round in 0..=rounds {
        for turn in turns(round, contenders.len()) {
            let running = contenders[turn].start()?;
            if seconds > 0 {
                running.load_by(2, script, connections, seconds)?;
            }
            let load = running.load(script, connections)?;
            if round > 0 {
                runs[turn].push(load);
            }
        }
    }
    say(
        "| | CPU us/request | CPU s/GB | requests/s | MB/s | p50 ms | p99 ms | memory MiB |\n|---|---|---|---|---|---|---|---|",
    );
    for (contender, runs) in contenders.iter().zip(&runs) {
        let figures: [fn(&Load) -> f64; 7] = [
            |load| load.cpu * 1e6 / load.requests,
            |load| load.cpu * 1e9 / load.bytes,
            |load| load.requests / load.seconds,
            |load| load.bytes / load.seconds / 1e6,
            |load| load.p50_ms,
            |load| load.p99_ms,
            |load| load.rss_mib,
        ];
        let cells: Vec<String> = figures.iter().map(|figure| spread_of(runs.iter().map(figure).collect())).collect();
        say(&format!("| {} | {} |", contender.name, cells.join(" | ")));
    }
    Ok(runs)
}

/// What a ratio has to reach.
#[derive(Debug, Clone, Copy)]
enum Bar {
    AtMost(f64),
    AtLeast(f64),
    None,
}

impl Bar {
    fn verdict(self, figure: f64) -> String {
        let (word, bar, met) = match self {
            Self::AtMost(bar) => ("at most", bar, figure <= bar),
            Self::AtLeast(bar) => ("at least", bar, figure >= bar),
            Self::None => return String::new(),
        };
        format!("; bar {word} {bar}: {}", if met { "met" } else { "NOT MET" })
    }
}

/// Prints the ratio of two contenders, round by round.
fn ratio<T>(what: &str, a: &[T], b: &[T], figure: impl Fn(&T) -> f64, bar: Bar) {
    let mut ratios: Vec<f64> = a.iter().zip(b).map(|(a, b)| figure(a) / figure(b)).collect();
    ratios.sort_by(f64::total_cmp);
    let median = median(&ratios);
    let (least, greatest) = (ratios[0], ratios[ratios.len() - 1]);
    say(&format!("- {what}: {median:.2} ({least:.2}-{greatest:.2}){}", bar.verdict(median)));
}

/// Prints a figure with what it has to reach.
fn figure(what: &str, figure: f64, unit: &str, bar: Bar) {
    say(&format!("- {what}: {figure:.2} {unit}{}", bar.verdict(figure)));
}

/// A bundle of prometheus.
fn made(directory: &Path) -> Outcome<PathBuf> {
    let project = project::fetch(directory)?;
    let (bundle, cache) = (directory.join("bundle"), directory.join("cache"));
    let mut command = Command::new(built::modferry_release()?);
    command.args(["bundle", "--level", "all"]).arg(&project).arg("-o").arg(&bundle);
    command.env("XDG_CACHE_HOME", &cache);
    project::once(command)?;
    Ok(bundle)
}

/// Files of the bundle as URL paths, in the order of the walk.
fn urls(bundle: &Path, wanted: impl Fn(&str, u64) -> bool) -> Outcome<Vec<String>> {
    let download = bundle.join("download");
    let mut urls = Vec::new();
    for entry in walkdir::WalkDir::new(&download).sort_by_file_name() {
        let entry = entry.map_err(at(&download))?;
        let bytes = entry.metadata().map_err(at(&download))?.len();
        let name: PathBuf = entry.path().strip_prefix(&download).map_err(at(&download))?.to_owned();
        let name = name.display().to_string();
        if entry.file_type().is_file() && wanted(&name, bytes) {
            urls.push(format!("/{name}"));
        }
    }
    Ok(urls)
}

/// Installs Debian packages where programs are missing.
fn install(programs: &[&str], packages: &[&str]) -> Outcome<()> {
    let is_there = |program: &&str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
    };
    if programs.iter().all(is_there) {
        return Ok(());
    }
    let command = format!("apt-get update -qq && apt-get install -y -qq {}", packages.join(" "));
    let done = Command::new("sh").args(["-c", &command]).output().is_ok_and(|output| output.status.success());
    if done && programs.iter().all(is_there) {
        return Ok(());
    }
    Err(format!("{}: not all there; as root: {command}", programs.join(" and ")))
}

fn set_mode(path: &Path, mode: u32) -> Outcome<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use super::turns;
    use std::collections::BTreeMap;

    #[test]
    fn everybody_comes_after_everybody_else_equally_often() {
        for contenders in 2..8 {
            let rounds = if contenders % 2 == 0 { contenders } else { 2 * contenders };
            let mut after: BTreeMap<(usize, usize), usize> = BTreeMap::new();
            for round in 0..rounds {
                let turns = turns(round, contenders);
                let mut sorted = turns.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, Vec::from_iter(0..contenders));
                for pair in turns.windows(2) {
                    *after.entry((pair[0], pair[1])).or_default() += 1;
                }
            }
            assert_eq!(after.len(), contenders * (contenders - 1));
            let counts: Vec<usize> = after.into_values().collect();
            assert!(counts.iter().all(|count| *count == counts[0]), "{contenders}: {counts:?}");
        }
    }
}
