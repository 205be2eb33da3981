//! The real client: `go mod download` of the closure of prometheus with an empty cache. Its time is go's own; what counts
//! is the CPU of the server.

use super::contender::{Contender, NGINX_SMALL, NGINX_USUAL, NGINX_ZIPS};
use super::{Bar, ratio, turns};
use crate::measure::{remove, say, spread_of};
use crate::project;
use modferry_harness::Outcome;
use std::path::Path;
use std::process::Command;

pub(super) fn run(server: &Path, directory: &Path, bundle: &Path, rounds: usize) -> Outcome<()> {
    let project = match directory.join("project") {
        made if made.exists() => made,
        _ => project::fetch(directory)?,
    };
    let contenders = [
        Contender::modferry(server, bundle, &[]),
        Contender::nginx(directory, bundle, &NGINX_USUAL),
        Contender::nginx(directory, bundle, &NGINX_SMALL),
        Contender::nginx(directory, bundle, &NGINX_ZIPS),
    ];
    let cache = directory.join("client-cache");
    let mut runs: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for round in 0..rounds {
        for turn in turns(round, contenders.len()) {
            let running = contenders[turn].start()?;
            let mut go = Command::new("go");
            go.args(["mod", "download"]).current_dir(&project).env("GOMODCACHE", &cache);
            go.env("GOPROXY", format!("http://127.0.0.1:{}", running.port)).env("GOFLAGS", "-mod=mod -modcacherw");
            go.envs([("GOSUMDB", "off"), ("GOWORK", "off"), ("GOTOOLCHAIN", "local")]);
            project::once(go)?;
            runs[turn].push(running.cpu()?);
            remove(&cache)?;
        }
    }
    say("\n`go mod download` of prometheus, empty cache\n| | CPU ms of the server |\n|---|---|");
    for (contender, runs) in contenders.iter().zip(&runs) {
        say(&format!("| {} | {} |", contender.name, spread_of(runs.iter().map(|cpu| cpu * 1e3).collect())));
    }
    for nginx in 1..contenders.len() {
        let what = format!("CPU / {}", contenders[nginx].name);
        ratio(&what, &runs[0], &runs[nginx], |cpu| *cpu, Bar::AtMost(1.0));
    }
    Ok(())
}
