//! Another program, run to its end or to that of the user's patience.

use crate::context::Interrupt;
use crate::error::{Error, Result};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longest text kept of what a child says on standard error, in bytes.
const MAX_STDERR_BYTES: usize = 1 << 20;
/// How often a running child is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How often one that has closed its standard output is: it is about to end.
const POLL_AT_END: Duration = Duration::from_micros(500);

/// What a child printed and how it ended.
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error, cut at 1 MiB.
    pub stderr: String,
}

/// Runs it with nothing on its standard input; `watch` is called now and then.
pub(crate) fn run_to_end(command: Command, interrupt: &Interrupt, watch: &mut dyn FnMut()) -> Result<Output> {
    run(command, Vec::new(), usize::MAX, interrupt, watch)
}

/// Runs it with this on its standard input; of its standard output at most so many bytes are kept.
pub(crate) fn run_with_input(
    command: Command,
    input: Vec<u8>,
    max_stdout_bytes: usize,
    interrupt: &Interrupt,
) -> Result<Output> {
    run(command, input, max_stdout_bytes, interrupt, &mut || {})
}

fn run(
    mut command: Command,
    input: Vec<u8>,
    max_stdout_bytes: usize,
    interrupt: &Interrupt,
    watch: &mut dyn FnMut(),
) -> Result<Output> {
    let program = PathBuf::from(command.get_program());
    let failed = |error: &io::Error| Error::io(&program, "could not be run", error);
    let mut child = command
        .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error))?;
    if let Some(mut pipe) = child.stdin.take() {
        // In a thread: a child that reads nothing must not hold us up, nor is it wrong to.
        thread::spawn(move || {
            let _ = pipe.write_all(&input);
        });
    }
    let (closed, at_end) = mpsc::channel();
    let stdout = reader(child.stdout.take(), max_stdout_bytes, Some(closed));
    let stderr = reader(child.stderr.take(), MAX_STDERR_BYTES, None);
    let status = wait(&mut child, interrupt, &at_end, watch).map_err(|error| failed(&error))?;
    // Before the pipes end: a child of the child may hold them open, and nobody waits for that one.
    interrupt.check()?;
    // The pipes end with the child; both threads only read.
    let stdout = stdout.join().unwrap_or_default();
    let stderr = String::from_utf8_lossy(&stderr.join().unwrap_or_default()).into_owned();
    interrupt.check()?;
    Ok(Output { status, stdout, stderr })
}

fn wait(
    child: &mut Child,
    interrupt: &Interrupt,
    at_end: &mpsc::Receiver<()>,
    watch: &mut dyn FnMut(),
) -> io::Result<ExitStatus> {
    // Looks that are close together, so that who closes its output and lives on is not looked at all the time.
    let mut close_looks = POLL.as_micros() / POLL_AT_END.as_micros();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if interrupt.is_set() {
            // A terminal has told the child too, but a signal to us alone has not.
            child.kill()?;
            return child.wait();
        }
        watch();
        match at_end.recv_timeout(POLL) {
            // Nothing is ever sent.
            Ok(()) | Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) if close_looks > 0 => {
                close_looks -= 1;
                thread::sleep(POLL_AT_END);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => thread::sleep(POLL),
        }
    }
}

/// Reads to the end; `closed` goes away then.
fn reader<R: Read + Send + 'static>(
    pipe: Option<R>,
    limit: usize,
    closed: Option<mpsc::Sender<()>>,
) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let _closed = closed;
        let mut kept = Vec::new();
        let mut buffer = [0; 16 * 1024];
        if let Some(mut pipe) = pipe {
            while let Ok(len @ 1..) = pipe.read(&mut buffer) {
                kept.extend_from_slice(&buffer[..len.min(limit.saturating_sub(kept.len()))]);
            }
        }
        kept
    })
}
