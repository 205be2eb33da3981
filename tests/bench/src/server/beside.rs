//! Small files beside two large ones on one worker: whether who asks for little waits for who asks for much.

use super::asked::{Asked, ask};
use super::contender::{Contender, Nginx};
use super::load::{self, Load, SECONDS};
use super::{Bar, ratio, turns};
use crate::measure::{say, spread_of};
use modferry_harness::{Outcome, at};
use std::fs;
use std::path::Path;
use std::thread;

/// What is read off the loads of small and of large files.
type Figure = fn(&Beside) -> f64;

/// A run of each client for small files, beside one for large ones.
struct Beside {
    small: Load,
    large: Load,
    asked: Asked,
}

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
    let small_urls: Vec<String> = (0..1000).map(|n| url(format!("v1.{n}.0.mod"))).collect();
    let small = load::script(directory, &small_urls)?;
    let large = load::script(directory, &(0..2).map(|n| url(format!("v1.{n}.0.zip"))).collect::<Vec<_>>())?;
    let contenders = [
        Contender::modferry(server, &mirror, &["--threads", "1"]),
        Contender::nginx(directory, &mirror, &NGINX[0]),
        Contender::nginx(directory, &mirror, &NGINX[1]),
    ];
    let mut runs: Vec<Vec<Beside>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for turn in turns(round, contenders.len()) {
            let running = contenders[turn].start()?;
            let run = thread::scope(|scope| {
                let beside = scope.spawn(|| running.load_by(1, &large, 2, 2 * SECONDS + 1));
                let small = running.load_by(1, &small, 16, SECONDS);
                let asked = ask(running.port, &small_urls, 16, SECONDS);
                let large = beside.join().map_err(|_| "a load stopped".to_owned())?;
                Ok::<_, String>(Beside { small: small?, large: large?, asked: asked? })
            })?;
            if round > 0 {
                runs[turn].push(run);
            }
        }
    }
    say(&format!(
        "\nsmall files, 16 connections, beside 2 downloads of {} MiB; one worker, wrk -t1 each, {SECONDS} s",
        LARGE >> 20
    ));
    say("| | small requests/s | p50 ms | p99 ms | the same by a client of our own | p50 ms | p99 ms | large MB/s |");
    say("|---|---|---|---|---|---|---|---|");
    for (contender, runs) in contenders.iter().zip(&runs) {
        let figures: [Figure; 7] = [
            |run| run.small.requests / run.small.seconds,
            |run| run.small.p50_ms,
            |run| run.small.p99_ms,
            |run| run.asked.requests_per_s,
            |run| run.asked.p50_ms,
            |run| run.asked.p99_ms,
            |run| run.large.bytes / run.large.seconds / 1e6,
        ];
        let cells: Vec<String> = figures.iter().map(|figure| spread_of(runs.iter().map(figure).collect())).collect();
        say(&format!("| {} | {} |", contender.name, cells.join(" | ")));
    }
    let compared: [(&str, Figure); 4] = [
        ("p50", |run| run.small.p50_ms),
        ("p99", |run| run.small.p99_ms),
        ("p50 by a client of our own", |run| run.asked.p50_ms),
        ("p99 by a client of our own", |run| run.asked.p99_ms),
    ];
    for nginx in 0..NGINX.len() {
        for (what, figure) in compared {
            let what = format!("{what} / {}", NGINX[nginx].name);
            ratio(&what, &runs[0], &runs[nginx + 1], figure, Bar::AtMost(1.0));
        }
    }
    Ok(())
}
