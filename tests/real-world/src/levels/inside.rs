//! The isolated side: a network namespace of its own with nothing but loopback, where a logging server has the bundle.
//!
//! The program starts itself again in the namespace with [`Plan`] in a file, and reads [`Answered`] from another one.

use super::projects::Caches;
use super::script::{Place, Ran, Script, environment};
use super::sources::remove;
use crate::run;
use modferry_harness::logging_server::LoggingServer;
use modferry_harness::{Outcome, at, no_network};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The hidden command with which the program starts itself.
pub const INSIDE: &str = "inside";

/// What is to be done inside.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// The `download` directory of a bundle.
    pub(super) download: PathBuf,
    /// The sources of the project.
    pub(super) sources: PathBuf,
    /// Where to work; made and removed.
    pub(super) work: PathBuf,
    pub(super) caches: Caches,
    /// The value of PATH.
    pub(super) path: String,
    pub(super) scripts: Vec<Script>,
}

/// How a command went, and what it asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answered {
    pub(super) ran: Ran,
    /// Paths that were answered.
    pub(super) read: Vec<String>,
    /// Paths that were not there.
    pub(super) missed: Vec<String>,
}

/// Runs a plan in a namespace of its own. `program` is the one that calls [`execute`].
pub(super) fn enter(program: &Path, plan: &Plan) -> Outcome<Vec<Answered>> {
    let directory = tempfile::tempdir().map_err(|error| format!("temporary directory: {error}"))?;
    let (from, to) = (directory.path().join("plan"), directory.path().join("answers"));
    let text = serde_json::to_vec(plan).map_err(|error| format!("the plan: {error}"))?;
    fs::write(&from, text).map_err(at(&from))?;
    let mut command = no_network::command(program)?;
    command.arg(INSIDE).arg(&from).arg(&to);
    // It says what it does while it does it; what it cannot do is on standard error too.
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if !status.success() {
        return Err(format!("{command:?}: {status}, see above"));
    }
    let text = fs::read(&to).map_err(at(&to))?;
    serde_json::from_slice(&text).map_err(|error| format!("the answers: {error}"))
}

/// In the namespace: runs the plan in a file and writes the answers to another one.
pub fn execute(from: &Path, to: &Path) -> Outcome<()> {
    let text = fs::read(from).map_err(at(from))?;
    let plan: Plan = serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", from.display()))?;
    let mut command = Command::new("ip");
    run(command.args(["link", "set", "lo", "up"])).map_err(|error| format!("{error}; apt-get install iproute2"))?;
    let server = LoggingServer::start(&plan.download)?;
    let (modcache, gopath) = (plan.work.join("modcache"), plan.work.join("gopath"));
    let mut environment = environment(&modcache, &gopath);
    environment.insert("GOPROXY".to_owned(), server.url().into());
    environment.insert("PATH".to_owned(), plan.path.into());
    let place = Place { sources: plan.sources, copy: plan.work.join("project"), environment };
    let mut answers = Vec::new();
    for script in &plan.scripts {
        if plan.caches == Caches::Fresh {
            remove(&modcache)?;
            remove(&gopath)?;
        }
        let ran = place.run(script)?;
        let (read, missed): (Vec<_>, Vec<_>) = server.take_log().into_iter().partition(|logged| logged.status == 200);
        let paths =
            |logged: Vec<modferry_harness::logging_server::Logged>| logged.into_iter().map(|it| it.path).collect();
        // Nobody is left to tell where this fails.
        let verdict = if ran.is_good { "ok" } else { "FAILS" };
        let _ = writeln!(
            std::io::stderr(),
            "    {:7.1} s  {verdict:5}  {}  ({} read, {} missed)",
            ran.seconds,
            script.name,
            read.len(),
            missed.len()
        );
        answers.push(Answered { ran, read: paths(read), missed: paths(missed) });
    }
    remove(&plan.work)?;
    let text = serde_json::to_vec(&answers).map_err(|error| format!("the answers: {error}"))?;
    fs::write(to, text).map_err(at(to))
}
