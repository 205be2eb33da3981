//! One command of a level: a line for a shell in a fresh copy of the project, and how it went.

use super::Level;
use super::sources::link;
use modferry_harness::{Outcome, at};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

/// Minutes after which a command is ended; the longest take a tenth of it.
const LIMIT_MINUTES: u32 = 40;
/// Bytes of output that are kept; `go build -n` of a large project prints hundreds of megabytes.
const KEPT: u64 = 1 << 20;

/// A command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Script {
    /// What the tables say.
    pub name: String,
    /// What bash runs.
    pub text: String,
    /// The least level that promises it.
    pub level: Level,
    /// The last one, for what a higher level does not load packages for; none for all above the least.
    pub last: Option<Level>,
    /// When it has passed.
    pub judged: Judged,
}

/// When a command has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Judged {
    /// When it exits with 0.
    ByExit,
    /// When it exits with 0 or prints a difference: not every project is tidy.
    OrDifference,
    /// When it exits with 0 and go.mod is byte for byte the one that it writes with a network.
    ByGoMod,
}

/// How a command went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ran {
    /// Whether it exited as it should.
    pub is_good: bool,
    /// What it said on standard error, cut where it is long.
    pub said: String,
    /// The go.mod afterwards, where there is one.
    pub go_mod: Option<String>,
    /// Seconds.
    pub seconds: f64,
}

/// Where commands run.
pub(super) struct Place {
    /// The sources, which are never written to.
    pub(super) sources: PathBuf,
    /// Where the copy goes; removed and made again for every command.
    pub(super) copy: PathBuf,
    /// The whole environment.
    pub(super) environment: BTreeMap<String, OsString>,
}

impl Place {
    /// Runs a command in a fresh copy of the sources.
    pub(super) fn run(&self, script: &Script) -> Outcome<Ran> {
        link(&self.sources, &self.copy)?;
        let started = Instant::now();
        let mut command = Command::new("timeout");
        command.args(["--kill-after=10", &format!("{LIMIT_MINUTES}m"), "bash", "-c", &script.text]);
        command.current_dir(&self.copy).env_clear().envs(&self.environment);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("timeout: {error}; apt-get install coreutils"))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let printed = thread::spawn(move || kept(stdout));
        let said = kept(stderr);
        let printed = printed.join().map_err(|_| format!("{}: its output could not be read", script.name))?;
        let status = child.wait().map_err(|error| format!("{}: {error}", script.name))?;
        let is_difference = script.judged == Judged::OrDifference && printed.starts_with("diff ");
        let go_mod = self.copy.join("go.mod");
        let go_mod = match go_mod.exists() {
            true => Some(fs::read_to_string(&go_mod).map_err(at(&go_mod))?),
            false => None,
        };
        let said = match status.code() {
            Some(124 | 137) => format!("{said}\nended after {LIMIT_MINUTES} minutes"),
            _ => said,
        };
        Ok(Ran { is_good: status.success() || is_difference, said, go_mod, seconds: started.elapsed().as_secs_f64() })
    }
}

/// The variables that every go of this program has; the rest is of the side that it runs on.
pub(super) fn environment(modcache: &Path, gopath: &Path) -> BTreeMap<String, OsString> {
    // Compiled packages, and what go remembers of sources by their place; no module is ever taken from it.
    let go_cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/go-build");
    let mut environment = BTreeMap::new();
    for name in ["PATH", "HOME", "TMPDIR"] {
        environment.extend(std::env::var_os(name).map(|value| (name.to_owned(), value)));
    }
    for (name, value) in [
        ("GOMODCACHE", modcache.as_os_str()),
        ("GOPATH", gopath.as_os_str()),
        ("GOCACHE", go_cache.as_os_str()),
        ("GOFLAGS", "-modcacherw".as_ref()),
        ("GOENV", "off".as_ref()),
        ("GOTOOLCHAIN", "local".as_ref()),
    ] {
        environment.insert(name.to_owned(), value.to_owned());
    }
    environment
}

/// Reads to the end and keeps the beginning.
fn kept(from: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        // What cannot be read any more is not missed: the exit code judges.
        let _ = from.by_ref().take(KEPT).read_to_end(&mut bytes);
        let _ = std::io::copy(&mut from, &mut std::io::sink());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
