//! Small files beside two large ones on one worker: whether who asks for little waits for who asks for much.

use super::contender::{Contender, Nginx};
use super::load::{self, Load, SECONDS};
use super::{Bar, ratio};
use crate::measure::{say, spread_of};
use modferry_harness::{Outcome, at};
use std::fs;
use std::path::Path;
use std::thread;

/// What is read off the loads of small and of large files.
type Figure = fn(&(Load, Load)) -> f64;

const LARGE: usize = 100 << 20;
const NGINX: [Nginx; 2] = [
    Nginx {
        name: "nginx, best for zips",
        http: "sendfile on; tcp_nopush off; access_log off; open_file_cache max=15000;",
        workers: 1,
    },
    Nginx {
        name: "nginx, short windows",
        http: "sendfile on; sendfile_max_chunk 512k; access_log off; open_file_cache max=15000;",
        workers: 1,
    },
];

pub(super) fn run(server: &Path, directory: &Path, rounds: usize) -> Outcome<()> {
    let mirror = directory.join("beside");
    let versions = mirror.join("download/example.com/a/@v");
    for directory in [&versions, &mirror.join("ledger")] {
        fs::create_dir_all(directory).map_err(at(directory))?;
    }
    let write = |name: &str, bytes: &[u8]| {
        let path = versions.join(name);
        fs::write(&path, bytes).map_err(at(&path))
    };
    for large in 0..2 {
        write(&format!("v1.{large}.0.zip"), &vec![b'x'; LARGE])?;
    }
    for small in 0..1000 {
        write(&format!("v1.{small}.0.mod"), b"module example.com/a\n\ngo 1.21\n")?;
    }
    let url = |name: String| format!("/example.com/a/@v/{name}");
    let small = load::script(directory, &(0..1000).map(|n| url(format!("v1.{n}.0.mod"))).collect::<Vec<_>>())?;
    let large = load::script(directory, &(0..2).map(|n| url(format!("v1.{n}.0.zip"))).collect::<Vec<_>>())?;
    let contenders = [
        Contender::modferry(server, &mirror, &["--threads", "1"]),
        Contender::nginx(directory, &mirror, &NGINX[0]),
        Contender::nginx(directory, &mirror, &NGINX[1]),
    ];
    let mut runs: Vec<Vec<(Load, Load)>> = vec![Vec::new(); contenders.len()];
    for round in 0..=rounds {
        for (contender, runs) in contenders.iter().zip(&mut runs) {
            let running = contender.start()?;
            let loads = thread::scope(|scope| {
                let beside = scope.spawn(|| running.load_by(1, &large, 2, SECONDS + 1));
                let asked = running.load_by(1, &small, 16, SECONDS);
                let beside = beside.join().map_err(|_| "a load stopped".to_owned())?;
                Ok::<_, String>((asked?, beside?))
            })?;
            if round > 0 {
                runs.push(loads);
            }
        }
    }
    say(&format!(
        "\nsmall files, 16 connections, beside 2 downloads of {} MiB; one worker, wrk -t1 each, {SECONDS} s",
        LARGE >> 20
    ));
    say("| | small requests/s | p50 ms | p99 ms | large MB/s |\n|---|---|---|---|---|");
    for (contender, runs) in contenders.iter().zip(&runs) {
        let figures: [Figure; 4] = [
            |(small, _)| small.requests / small.seconds,
            |(small, _)| small.p50_ms,
            |(small, _)| small.p99_ms,
            |(_, large)| large.bytes / large.seconds / 1e6,
        ];
        let cells: Vec<String> = figures.iter().map(|figure| spread_of(runs.iter().map(figure).collect())).collect();
        say(&format!("| {} | {} |", contender.name, cells.join(" | ")));
    }
    let small: Vec<Vec<Load>> = runs.iter().map(|runs| runs.iter().map(|(small, _)| *small).collect()).collect();
    for nginx in 0..NGINX.len() {
        let name = NGINX[nginx].name;
        ratio(&format!("p50 / {name}"), &small[0], &small[nginx + 1], |load| load.p50_ms, Bar::AtMost(1.0));
        ratio(&format!("p99 / {name}"), &small[0], &small[nginx + 1], |load| load.p99_ms, Bar::AtMost(1.0));
    }
    Ok(())
}
