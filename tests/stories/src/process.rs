//! Starts programs, waits for them within a limit, and interrupts them where a story wants that.

use crate::glob;
use modferry_harness::{Outcome, at};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Nothing in a story takes longer, unless it hangs.
const LIMIT: Duration = Duration::from_secs(120);
/// How often a running program is looked at.
const PAUSE: Duration = Duration::from_millis(2);

/// What became of a program.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Where and with what programs run.
pub(crate) struct Surroundings<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) variables: &'a BTreeMap<String, String>,
    /// A directory for what programs print. Files, not pipes: a grandchild that outlives its parent keeps a pipe
    /// open, and a story that kills a program on purpose would wait for it.
    pub(crate) output: &'a Path,
}

/// Sent to a program once a file appears.
pub(crate) struct Interruption<'a> {
    pub(crate) file: &'a Path,
    pub(crate) signal: Signal,
}

/// Runs a program to its end, in a process group of its own.
pub(crate) fn run(
    words: &[String],
    surroundings: &Surroundings<'_>,
    interrupt: Option<Interruption<'_>>,
) -> Outcome<Ran> {
    let [program, arguments @ ..] = words else { return Err("no program to run".to_owned()) };
    let (stdout, stderr) = (surroundings.output.join("stdout"), surroundings.output.join("stderr"));
    let create = |path: &Path| File::create(path).map_err(at(path));
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(surroundings.directory)
        .env_clear()
        .envs(surroundings.variables)
        .stdin(Stdio::null())
        .stdout(create(&stdout)?)
        .stderr(create(&stderr)?)
        .process_group(0)
        .spawn()
        .map_err(|error| format!("{program}: cannot start it: {error}"))?;
    let id = Pid::from_child(&child);
    let waited = match interrupt {
        Some(interruption) => wait_and_interrupt(&mut child, id, &interruption),
        None => wait(&mut child),
    };
    // What the program left running, or the program itself after the limit. An empty group is an error, and fine.
    _ = kill_process_group(id, Signal::KILL);
    _ = child.wait();
    let read = |path: &Path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(at(path));
    let (stdout, stderr) = (read(&stdout)?, read(&stderr)?);
    let status = waited.map_err(|reason| format!("{program}: {reason}\nstdout:\n{stdout}\nstderr:\n{stderr}"))?;
    Ok(Ran { status, stdout, stderr })
}

fn wait(child: &mut Child) -> Outcome<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(status);
        }
        sleep(PAUSE);
    }
    Err(format!("not done after {} seconds", LIMIT.as_secs()))
}

fn wait_and_interrupt(child: &mut Child, id: Pid, interruption: &Interruption<'_>) -> Outcome<ExitStatus> {
    let start = Instant::now();
    while glob::find(interruption.file)?.is_empty() {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Err(format!("ended ({status}) before {} appeared", interruption.file.display()));
        }
        if start.elapsed() > LIMIT {
            return Err(format!("{} did not appear", interruption.file.display()));
        }
        sleep(PAUSE);
    }
    // A terminal sends its interrupt to the whole group; what a supervisor sends meets one process.
    let sent = match interruption.signal {
        Signal::INT => kill_process_group(id, Signal::INT),
        signal => kill_process(id, signal),
    };
    sent.map_err(|error| format!("cannot be interrupted: {error}"))?;
    wait(child)
}

impl Ran {
    /// The exit code, or the signal that ended it.
    pub(crate) fn ending(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => self.status.to_string(),
        }
    }
}
