//! The modferry program: a shell around the library. It alone prints, exits and looks at the process.

mod cli;
mod commands;
mod console;

use clap::Parser;
use cli::{Cli, Color};
use console::Console;
use modferry::context::{Context, Environment, Interrupt};
use std::process::ExitCode;
use std::thread;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let environment = Environment::new(std::env::vars_os());
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
