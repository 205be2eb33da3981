//! What wrk does to a server, and what it came to.

use super::contender::Running;
use crate::measure::of_children;
use modferry_harness::{Outcome, at};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How long one run of wrk takes.
pub(super) const SECONDS: u32 = 3;

/// What one run of wrk came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) requests: f64,
    pub(super) bytes: f64,
    pub(super) seconds: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// Seconds of CPU of the server meanwhile.
    pub(super) cpu: f64,
    /// The same of wrk, and of whatever else of this program has ended meanwhile.
    pub(super) client_cpu: f64,
    pub(super) rss_mib: f64,
}

impl Running {
    /// Asks for random files of the script, with two threads.
    pub(super) fn load(&self, script: &Path, connections: u32) -> Outcome<Load> {
        self.load_by(2, script, connections, SECONDS)
    }

    pub(super) fn load_by(&self, threads: u32, script: &Path, connections: u32, seconds: u32) -> Outcome<Load> {
        let (before, client_before) = (self.cpu()?, of_children()?);
        let mut wrk = Command::new("wrk");
        wrk.args([&format!("-t{threads}"), "--latency", &format!("-c{connections}"), &format!("-d{seconds}s"), "-s"]);
        let output = wrk
            .arg(script)
            .arg(format!("http://127.0.0.1:{}", self.port))
            .output()
            .map_err(|error| format!("wrk: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("FIGURES ")).ok_or_else(|| format!("wrk: {text}"))?;
        let figures: Vec<f64> = line.split(' ').filter_map(|field| field.parse().ok()).collect();
        let [requests, bytes, micros, p50, p99, errors] = figures[..] else { return Err(format!("wrk: {line}")) };
        if errors > 0.0 {
            return Err(format!("{errors} answers were errors: {text}"));
        }
        let (p50_ms, p99_ms) = (p50 / 1e3, p99 / 1e3);
        let (cpu, rss_mib) = (self.cpu()? - before, self.rss_mib()?);
        let client_cpu = of_children()? - client_before;
        Ok(Load { requests, bytes, seconds: micros / 1e6, p50_ms, p99_ms, cpu, client_cpu, rss_mib })
    }
}

/// A script of wrk that asks for these files at random, the same ones in each run, and prints the figures in one line.
pub(super) fn script(directory: &Path, urls: &[String]) -> Outcome<PathBuf> {
    let list: String = urls.iter().map(|url| format!("  {url:?},\n")).collect();
    let text = format!(
        "local urls = {{\n{list}}}\nmath.randomseed(1)\n\
         request = function() return wrk.format(\"GET\", urls[math.random(#urls)]) end\n\
         done = function(summary, latency, requests)\n\
         local e = summary.errors\n\
         io.write(string.format(\"FIGURES %d %d %d %d %d %d\\n\", summary.requests, summary.bytes, summary.duration,\n\
         latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status))\nend\n"
    );
    let path = directory.join(format!("urls-{}-{}.lua", urls.len(), urls.first().map_or(0, String::len)));
    fs::write(&path, text).map_err(at(&path))?;
    Ok(path)
}
