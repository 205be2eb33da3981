//! A mirror of a million versions: how long it takes to the first answer, what memory that takes, and small files.

use super::contender::{Contender, NGINX_SMALL, Nginx};
use super::load::{self, Load};
use super::{Bar, compare, compare_after, figure, ratio};
use crate::measure::{remove, say};
use modferry_harness::{Outcome, at};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

const MODULES: usize = 1000;
const VERSIONS: usize = 1000;
/// As many files are asked for, each at random.
const ASKED: usize = 200_000;
/// Starts that are timed.
const STARTS: usize = 5;
/// A server runs for longer than the first seconds, in which nearly every file is asked for for the first time.
const AFTER: u32 = 9;
/// nginx that keeps nothing open: with this many files what it keeps open is never the one that is asked for.
const NGINX_PLAIN: Nginx =
    Nginx { name: "nginx, nothing kept open", http: "sendfile off; access_log off;", workers: 2 };

pub(super) fn run(server: &Path, directory: &Path, rounds: usize) -> Outcome<()> {
    let mirror = directory.join("many");
    write(&mirror)?;
    say(&format!("\na mirror of {} versions, a .info and a .mod each", MODULES * VERSIONS));
    let modferry = Contender::modferry(server, &mirror, &[]);
    let (mut starts, mut idle) = (Vec::new(), Vec::new());
    for number in 0..STARTS {
        let begun = Instant::now();
        let running = modferry.start()?;
        get(running.port, &url(number, number))?;
        starts.push(begun.elapsed().as_secs_f64() * 1e3);
        idle.push(running.rss_mib()?);
    }
    starts.sort_by(f64::total_cmp);
    idle.sort_by(f64::total_cmp);
    figure("start to the first answer", starts[STARTS / 2], "ms", Bar::AtMost(10.0));
    figure("memory after the first answer", idle[STARTS / 2], "MiB", Bar::AtMost(6.0));
    // Spread over all of them.
    let urls: Vec<String> =
        (0..ASKED).map(|n| n * 2_654_435_761 % (MODULES * VERSIONS)).map(|n| url(n / VERSIONS, n % VERSIONS)).collect();
    let script = load::script(directory, &urls)?;
    let contenders = [
        modferry,
        Contender::nginx(directory, &mirror, &NGINX_SMALL),
        Contender::nginx(directory, &mirror, &NGINX_PLAIN),
    ];
    say(&format!("{ASKED} of its files, 64 connections; wrk -t2, {} s", load::SECONDS));
    let first = compare(&contenders, &script, 64, rounds)?;
    say(&format!("the same after {AFTER} s of it"));
    let later = compare_after(AFTER, &contenders, &script, 64, rounds)?;
    let cpu = |load: &Load| load.cpu * 1e6 / load.requests;
    for (when, runs) in [("the first", &first), ("later", &later)] {
        for (nginx, name) in [(1, NGINX_SMALL.name), (2, NGINX_PLAIN.name)] {
            let what = format!("CPU per request, {when} {} s / {name}", load::SECONDS);
            ratio(&what, &runs[0], &runs[nginx], cpu, Bar::AtMost(0.75));
        }
    }
    let most = later[0].iter().map(|load| load.rss_mib).fold(0.0, f64::max);
    figure("memory after the load, with a cache of 64 MiB", most, "MiB", Bar::AtMost(9.0 + 64.0));
    remove(&mirror)
}

fn module(number: usize) -> String {
    format!("example.com/team{}/module{number}", number % 50)
}

fn url(module_number: usize, version: usize) -> String {
    let suffix = if (module_number + version).is_multiple_of(2) { "mod" } else { "info" };
    format!("/{}/@v/v1.{version}.0.{suffix}", module(module_number))
}

fn write(mirror: &Path) -> Outcome<()> {
    fs::create_dir_all(mirror.join("ledger")).map_err(at(mirror))?;
    let halves: Vec<Vec<usize>> =
        (0..2).map(|half| (0..MODULES).filter(|number| number % 2 == half).collect()).collect();
    thread::scope(|scope| {
        let writers: Vec<_> = halves
            .iter()
            .map(|half| scope.spawn(|| half.iter().try_for_each(|number| write_module(mirror, *number))))
            .collect();
        writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| "a writer stopped".to_owned())?)
    })
}

fn write_module(mirror: &Path, number: usize) -> Outcome<()> {
    let name = module(number);
    let directory: PathBuf = mirror.join("download").join(&name).join("@v");
    fs::create_dir_all(&directory).map_err(at(&directory))?;
    let go_mod = format!("module {name}\n\ngo 1.21\n\nrequire example.com/team1/module1 v1.1.0\n");
    for version in 0..VERSIONS {
        let path = directory.join(format!("v1.{version}.0.mod"));
        fs::write(&path, &go_mod).map_err(at(&path))?;
        let path = directory.join(format!("v1.{version}.0.info"));
        let info = format!("{{\"Version\":\"v1.{version}.0\",\"Time\":\"2026-01-01T00:00:00Z\"}}");
        fs::write(&path, info).map_err(at(&path))?;
    }
    Ok(())
}

/// Asks once, on a connection of its own.
fn get(port: u16, url: &str) -> Outcome<()> {
    let failed = |error: std::io::Error| format!("{url}: {error}");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(failed)?;
    write!(stream, "GET {url} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    if answer.starts_with("HTTP/1.1 200 ") { Ok(()) } else { Err(format!("{url}: {answer}")) }
}
