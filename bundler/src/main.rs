//! The modferry program: a shell around the library. It alone prints, exits and looks at the process.

mod cli;
mod commands;
mod console;
mod from_recipe;

use clap::Parser;
use clap::error::ErrorKind;
use cli::{Cli, Color};
use console::Console;
use modferry::context::{Context, Environment, Interrupt, Silent};
use std::io::Write;
use std::process::ExitCode;
use std::thread;

fn main() -> ExitCode {
    let environment = Environment::new(std::env::vars_os());
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(asked) if asked.kind() == ErrorKind::DisplayVersion && std::env::args_os().any(|it| it == "--json") => {
            return json_version(environment);
        }
        Err(error) => error.exit(),
    };
    let color = match cli.common.color {
        Color::Auto => None,
        Color::Always => Some(true),
        Color::Never => Some(false),
    };
    let console =
        Console::new(cli.common.json, cli.common.quiet, color, environment.get("NO_COLOR").is_some(), cli.results());
    let interrupt = Interrupt::default();
    let flag = interrupt.clone();
    // Without the handler a signal ends us at once; the next run cleans up then.
    let _ = ctrlc::set_handler(move || flag.set());
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let context = Context {
        environment,
        now: jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap_or_default(),
        jobs: cli.common.jobs.map_or(processors, usize::from),
        requests: cli.common.jobs.map(usize::from),
        progress: &console,
        interrupt,
    };
    match commands::run(&cli, &context, &console) {
        Ok(code) => code,
        Err(error) => {
            console.error(&error);
            ExitCode::from(error.kind.exit_code())
        }
    }
}

/// clap knows `--version` as text alone.
fn json_version(environment: Environment) -> ExitCode {
    let (now, interrupt) = (jiff::Timestamp::default(), Interrupt::default());
    let context = Context { environment, now, jobs: 1, requests: None, progress: &Silent, interrupt };
    let go = chosen_go(std::env::args_os().map(|word| word.to_string_lossy().into_owned()));
    let written = writeln!(std::io::stdout().lock(), "{}", commands::version(go.as_deref(), &context));
    ExitCode::from(if written.is_ok() { 0 } else { 2 })
}

/// What `--go` says; clap reads no further than `--version`.
fn chosen_go(arguments: impl Iterator<Item = String>) -> Option<String> {
    let mut arguments = arguments.skip_while(|word| word != "--go" && !word.starts_with("--go="));
    let flag = arguments.next()?;
    flag.strip_prefix("--go=").map(str::to_owned).or_else(|| arguments.next())
}
