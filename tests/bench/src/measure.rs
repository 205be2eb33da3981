//! Measures whole processes: wall time, CPU time of the process and its children, largest resident memory.

use modferry_harness::Outcome;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// What one run took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Seconds on the clock.
    pub(crate) wall: f64,
    /// Seconds of CPU in user mode and in the kernel, the process and all children that it waited for.
    pub(crate) cpu: f64,
    /// Resident memory of the largest of them, in MiB.
    pub(crate) rss_mib: f64,
}

/// One of the commands that are compared.
pub(crate) struct Contender<'a> {
    /// How the table names it.
    pub(crate) name: &'a str,
    /// What must be as it was before every run; not measured.
    pub(crate) prepare: Box<dyn Fn() -> Outcome<()> + 'a>,
    /// The command.
    pub(crate) command: Box<dyn Fn() -> Command + 'a>,
}

/// Runs every contender once to warm up, then `rounds` times in turn, and prints the table.
pub(crate) fn compare(contenders: &[Contender<'_>], rounds: usize) -> Outcome<Vec<Vec<Run>>> {
    let mut runs: Vec<Vec<Run>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for (contender, runs) in contenders.iter().zip(&mut runs) {
            (contender.prepare)()?;
            let run = measured(&(contender.command)()).map_err(|error| format!("{}: {error}", contender.name))?;
            if round > 0 {
                runs.push(run);
            }
        }
    }
    say("| command | wall s | CPU s | memory MiB |\n|---|---|---|---|");
    for (contender, runs) in contenders.iter().zip(&runs) {
        say(&format!(
            "| {} | {} | {} | {} |",
            contender.name,
            spread(runs, |run| run.wall),
            spread(runs, |run| run.cpu),
            spread(runs, |run| run.rss_mib)
        ));
    }
    Ok(runs)
}

/// Median, least and greatest.
fn spread(runs: &[Run], figure: impl Fn(&Run) -> f64) -> String {
    spread_of(runs.iter().map(figure).collect())
}

/// The same of bare figures.
pub(crate) fn spread_of(mut figures: Vec<f64>) -> String {
    figures.sort_by(f64::total_cmp);
    let (least, median, greatest) = (figures[0], median(&figures), figures[figures.len() - 1]);
    let digits = if median >= 100.0 { 0 } else { 2 };
    format!("**{median:.digits$}** ({least:.digits$}-{greatest:.digits$})")
}

/// The figure in the middle of sorted ones; of an even number, the mean of the two there.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let (below, above) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    f64::midpoint(below, above)
}

/// Prints the ratio of two contenders, round by round, with its bar.
pub(crate) fn ratio(what: &str, a: &[Run], b: &[Run], figure: impl Fn(&Run) -> f64, bar: f64) {
    let mut ratios: Vec<f64> = a.iter().zip(b).map(|(a, b)| figure(a) / figure(b)).collect();
    ratios.sort_by(f64::total_cmp);
    let median = median(&ratios);
    let verdict = if median <= bar { "met" } else { "NOT MET" };
    say(&format!("{what}: {median:.2} ({:.2}-{:.2}), bar {bar}: {verdict}", ratios[0], ratios[ratios.len() - 1]));
}

/// Prints a figure in seconds with its bar.
pub(crate) fn verdict(what: &str, figure: f64, bar: f64) {
    say(&format!("{what}: {figure:.2} s, bar {bar}: {}", if figure <= bar { "met" } else { "NOT MET" }));
}

/// Runs the command in a process of its own that does nothing else, so that the system's sums are of this run alone.
fn measured(command: &Command) -> Outcome<Run> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut wrapper = Command::new(this);
    wrapper.args(["measure", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapper.env(name, value),
            None => wrapper.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        wrapper.current_dir(directory);
    }
    let output = wrapper.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        // A signal leaves no words.
        return Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// `measure -- COMMAND...`: prints the figures of one run as JSON.
pub(crate) fn print(command: &[OsString]) -> Outcome<()> {
    let (program, arguments) = command.split_first().ok_or("no command")?;
    let started = Instant::now();
    let mut run = Command::new(program);
    let output = run
        .args(arguments)
        .stdout(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let wall = started.elapsed().as_secs_f64();
    if !output.status.success() {
        return Err(format!("{}: {}\n{}", program.display(), output.status, String::from_utf8_lossy(&output.stderr)));
    }
    let cpu = of_children()?;
    // The system counts in KiB here.
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| error.to_string())?;
    let run = Run { wall, cpu, rss_mib: usage.max_rss() as f64 / 1024.0 };
    say(&serde_json::to_string(&run).map_err(|error| error.to_string())?);
    Ok(())
}

/// Seconds of CPU of all children that this process has waited for.
pub(crate) fn of_children() -> Outcome<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| error.to_string())?;
    Ok((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
}

/// A line on standard output.
pub(crate) fn say(line: &str) {
    // A benchmark whose reader is gone has nothing left to do.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Says what the machine is and how busy it is, so that figures can be read later.
pub(crate) fn say_machine() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let threads = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    say(&format!("{threads} processors{model}, load {load}"));
}

/// Removes a directory that may not be there.
pub(crate) fn remove(directory: &Path) -> Outcome<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(format!("{}: {error}", directory.display())),
        _ => Ok(()),
    }
}

/// A command with variables.
pub(crate) fn command(program: impl AsRef<OsStr>, arguments: &[&OsStr], variables: &[(&str, &OsStr)]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).envs(variables.iter().copied());
    command
}
