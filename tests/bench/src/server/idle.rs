//! What a connection costs that has been served and waits.

use super::contender::{Contender, NGINX_SMALL, Running};
use super::{Bar, figure};
use crate::measure::say;
use modferry_harness::{Outcome, at};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

const CONNECTIONS: usize = 5000;

pub(super) fn run(server: &Path, directory: &Path) -> Outcome<()> {
    let mirror = directory.join("idle");
    let versions = mirror.join("download/example.com/a/@v");
    for directory in [&versions, &mirror.join("ledger")] {
        fs::create_dir_all(directory).map_err(at(directory))?;
    }
    let path = versions.join("v1.0.0.mod");
    fs::write(&path, "module example.com/a\n").map_err(at(&path))?;
    say(&format!("\n{CONNECTIONS} connections that were served once and wait"));
    let most = (CONNECTIONS + 100).to_string();
    let ours = Contender::modferry(server, &mirror, &["--connections", &most, "--connections-per-address", &most]);
    figure("modferry-server, memory of each", each(&ours.start()?)?, "KiB", Bar::AtMost(2.0));
    let nginx = Contender::nginx(directory, &mirror, &NGINX_SMALL);
    figure("nginx, memory of each", each(&nginx.start()?)?, "KiB", Bar::None);
    Ok(())
}

fn each(running: &Running) -> Outcome<f64> {
    let _warm = served(running.port)?;
    let before = running.rss_mib()?;
    let held = (0..CONNECTIONS).map(|_| served(running.port)).collect::<Outcome<Vec<_>>>()?;
    let grown = running.rss_mib()? - before;
    drop(held);
    Ok(grown * 1024.0 / CONNECTIONS as f64)
}

/// A connection that has had one answer.
fn served(port: u16) -> Outcome<TcpStream> {
    let failed = |error: std::io::Error| format!("a connection failed: {error}");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(failed)?;
    stream.write_all(b"GET /example.com/a/@v/v1.0.0.mod HTTP/1.1\r\nHost: here\r\n\r\n").map_err(failed)?;
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).map_err(failed)?;
    if answer[..read].starts_with(b"HTTP/1.1 200 ") { Ok(stream) } else { Err("not served".to_owned()) }
}
