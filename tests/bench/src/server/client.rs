//! The real client: `go mod download` of the closure of prometheus with an empty cache. Its time is go's own; what counts
//! is the CPU of the server.

use super::Bar;
use super::contender::{Contender, NGINX_SMALL, NGINX_USUAL, NGINX_ZIPS};
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
    for _ in 0..rounds {
        for (contender, runs) in contenders.iter().zip(&mut runs) {
            let running = contender.start()?;
            let mut go = Command::new("go");
            go.args(["mod", "download"]).current_dir(&project).env("GOMODCACHE", &cache);
            go.env("GOPROXY", format!("http://127.0.0.1:{}", running.port)).env("GOFLAGS", "-mod=mod -modcacherw");
            go.envs([("GOSUMDB", "off"), ("GOWORK", "off"), ("GOTOOLCHAIN", "local")]);
            project::once(go)?;
            runs.push(running.cpu()?);
            remove(&cache)?;
        }
    }
    say("\n`go mod download` of prometheus, empty cache\n| | CPU s of the server |\n|---|---|");
    for (contender, runs) in contenders.iter().zip(&runs) {
        say(&format!("| {} | {} |", contender.name, spread_of(runs.clone())));
    }
    let median = |runs: &[f64]| {
        let mut runs = runs.to_vec();
        runs.sort_by(f64::total_cmp);
        runs[runs.len() / 2]
    };
    for nginx in 1..contenders.len() {
        let ratio = median(&runs[0]) / median(&runs[nginx]);
        say(&format!("- CPU / {}: {ratio:.2}{}", contenders[nginx].name, Bar::AtMost(1.0).verdict(ratio)));
    }
    Ok(())
}
