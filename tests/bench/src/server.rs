//! `modferry-server` beside nginx, on the files of a bundle of prometheus: small files, and zips of 1 MiB and more.
//!
//! The load comes from wrk over loopback. CPU time is that of the server's own processes, from their accounting in
//! `/proc`; the load generator's is not in it.

use crate::measure::{say, say_machine, spread_of};
use crate::project;
use modferry_harness::{Outcome, at, built};
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long one run of wrk takes.
const SECONDS: u32 = 3;
/// nginx as people run it, and with the settings that were found best for each kind of file (no single one wins both).
const NGINX: [(&str, &str); 3] = [
    ("nginx, usual", "sendfile on; access_log access.log;"),
    (
        "nginx, best for small files",
        "sendfile off; access_log off; open_file_cache max=15000; open_file_cache_valid 60s;",
    ),
    ("nginx, best for zips", "sendfile on; tcp_nopush off; access_log off; open_file_cache max=15000;"),
];

pub(crate) fn run(rounds: usize) -> Outcome<()> {
    install(&["nginx", "wrk"], &["nginx-light", "wrk"])?;
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    // nginx gives up root and must still get at the files.
    set_mode(directory.path(), 0o755)?;
    let project = project::fetch(directory.path())?;
    let bundle = directory.path().join("bundle");
    let cache = directory.path().join("cache");
    let mut command = Command::new(built::modferry_release()?);
    command.args(["bundle", "--level", "all"]).arg(&project).arg("-o").arg(&bundle);
    project::once({
        command.env("XDG_CACHE_HOME", &cache);
        command
    })?;
    let server = built::server_release()?;
    let small = urls(&bundle, |name, _| name.ends_with(".info") || name.ends_with(".mod"))?;
    let zips = urls(&bundle, |name, bytes| name.ends_with(".zip") && bytes >= 1 << 20)?;
    say_machine();
    say(&format!("{} small files with 64 connections, {} zips with 8; wrk -t2, {SECONDS} s", small.len(), zips.len()));
    for (kind, urls, connections) in [("small files", &small, 64), ("zips", &zips, 8)] {
        let script = directory.path().join("urls.lua");
        fs::write(&script, lua(urls)).map_err(at(&script))?;
        let mut runs: Vec<Vec<Load>> = vec![Vec::new(); NGINX.len() + 1];
        for round in 0..=rounds {
            for (contender, runs) in runs.iter_mut().enumerate() {
                let port = 18_100 + u16::try_from(contender).unwrap_or(0);
                let running = match contender.checked_sub(1) {
                    None => Running::modferry(server, &bundle, port)?,
                    Some(nginx) => Running::nginx(directory.path(), &bundle, NGINX[nginx].1, port)?,
                };
                let load = running.load(&script, connections)?;
                if round > 0 {
                    runs.push(load);
                }
            }
        }
        say(&format!(
            "| {kind} | CPU us/request | CPU s/GB | requests/s | MB/s | p50 | p99 | memory MiB |\n|---|---|---|---|---|---|---|---|"
        ));
        let names = std::iter::once("modferry-server").chain(NGINX.iter().map(|(name, _)| *name));
        for (name, runs) in names.zip(&runs) {
            let figures: [fn(&Load) -> f64; 7] = [
                |load| load.cpu * 1e6 / load.requests,
                |load| load.cpu * 1e9 / load.bytes,
                |load| load.requests / load.seconds,
                |load| load.bytes / load.seconds / 1e6,
                |load| load.p50_ms,
                |load| load.p99_ms,
                |load| load.rss_mib,
            ];
            let cells: Vec<String> =
                figures.iter().map(|figure| spread_of(runs.iter().map(figure).collect())).collect();
            say(&format!("| {name} | {} |", cells.join(" | ")));
        }
    }
    Ok(())
}

/// What one run of wrk came to.
#[derive(Debug, Clone, Copy)]
struct Load {
    requests: f64,
    bytes: f64,
    seconds: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Seconds of CPU of the server meanwhile.
    cpu: f64,
    rss_mib: f64,
}

/// A server that is ended when dropped.
struct Running {
    child: Child,
    port: u16,
}

impl Running {
    fn modferry(server: &Path, bundle: &Path, port: u16) -> Outcome<Self> {
        let mut command = Command::new(server);
        command.arg(bundle).args(["--listen", &format!("127.0.0.1:{port}")]);
        Self::start(command, port)
    }

    fn nginx(directory: &Path, bundle: &Path, settings: &str, port: u16) -> Outcome<Self> {
        let prefix = directory.join(format!("nginx-{port}"));
        fs::create_dir_all(&prefix).map_err(at(&prefix))?;
        let conf = prefix.join("nginx.conf");
        let text = format!(
            "daemon off; worker_processes 2; pid nginx.pid; error_log error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ default_type application/octet-stream; keepalive_requests 100000000; {settings}\n\
             server {{ listen 127.0.0.1:{port} backlog=1024; root {}/download; }} }}\n",
            bundle.display()
        );
        fs::write(&conf, text).map_err(at(&conf))?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&prefix).args(["-e", "error.log", "-c"]).arg(&conf);
        Self::start(command, port)
    }

    fn start(mut command: Command, port: u16) -> Outcome<Self> {
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{command:?}: {error}"))?;
        let mut running = Self { child, port };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = running.child.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || Instant::now() > deadline {
                return Err(format!("{command:?}: does not listen ({ended:?})"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(running)
    }

    fn load(&self, script: &Path, connections: u32) -> Outcome<Load> {
        let before = self.cpu()?;
        let mut wrk = Command::new("wrk");
        wrk.args(["-t2", "--latency", &format!("-c{connections}"), &format!("-d{SECONDS}s"), "-s"]).arg(script);
        let output =
            wrk.arg(format!("http://127.0.0.1:{}", self.port)).output().map_err(|error| format!("wrk: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("FIGURES ")).ok_or_else(|| format!("wrk: {text}"))?;
        let figures: Vec<f64> = line.split(' ').filter_map(|field| field.parse().ok()).collect();
        let [requests, bytes, micros, p50, p99, errors] = figures[..] else { return Err(format!("wrk: {line}")) };
        if errors > 0.0 {
            return Err(format!("{errors} answers were errors: {text}"));
        }
        let rss_mib = self.sum(rss_mib)?;
        let (p50_ms, p99_ms) = (p50 / 1e3, p99 / 1e3);
        Ok(Load { requests, bytes, seconds: micros / 1e6, p50_ms, p99_ms, cpu: self.cpu()? - before, rss_mib })
    }

    fn cpu(&self) -> Outcome<f64> {
        self.sum(cpu_seconds)
    }

    /// Adds a figure up over the process and its children.
    fn sum(&self, figure: fn(u32) -> Option<f64>) -> Outcome<f64> {
        let parent = self.child.id();
        let path = format!("/proc/{parent}/task/{parent}/children");
        let children = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let pids = children.split_whitespace().filter_map(|pid| pid.parse().ok()).chain([parent]);
        pids.map(|pid| figure(pid).ok_or_else(|| format!("/proc/{pid}: no accounting"))).sum()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGTERM, so that nginx ends its workers.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// User and system time; the kernel counts it in hundredths of a second.
fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

fn rss_mib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
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

/// Asks for the files at random, the same ones in each run, and prints the figures in one line.
fn lua(urls: &[String]) -> String {
    let list: String = urls.iter().map(|url| format!("  {url:?},\n")).collect();
    format!(
        "local urls = {{\n{list}}}\nmath.randomseed(1)\n\
         request = function() return wrk.format(\"GET\", urls[math.random(#urls)]) end\n\
         done = function(summary, latency, requests)\n\
         local e = summary.errors\n\
         io.write(string.format(\"FIGURES %d %d %d %d %d %d\\n\", summary.requests, summary.bytes, summary.duration,\n\
         latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status))\nend\n"
    )
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
