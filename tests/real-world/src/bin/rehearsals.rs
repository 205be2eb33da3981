//! `cargo run --release -p modferry-real-world --bin rehearsals -- [PROJECT...]`: bundles projects at each level, lets `modferry
//! rehearse` judge each bundle, and writes the table of `tests/real/README.md`.

use clap::Parser;
use modferry_harness::Outcome;
use modferry_real_world::levels::projects::{SUBJECTS, Subject, named};
use modferry_real_world::levels::{Level, rehearse, update_rehearsals};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Rehearses bundles of real projects at each level and writes tests/real/README.md")]
struct Cli {
    /// Projects by name [default: all]
    #[arg(value_parser = named)]
    projects: Vec<Subject>,
    /// Levels, such as build,work
    #[arg(long, value_delimiter = ',', default_value = "build,work,all,upgrade")]
    level: Vec<Level>,
    /// The page
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../real/README.md"), hide_default_value = true)]
    page: PathBuf,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    rehearse_all(&cli).unwrap_or_else(|error| {
        // Nobody is left to tell where this fails.
        let _ = writeln!(std::io::stderr(), "error: {error}");
        ExitCode::FAILURE
    })
}

/// Rehearses, writes the page after each project, and fails where a command does.
fn rehearse_all(cli: &Cli) -> Outcome<ExitCode> {
    let projects = if cli.projects.is_empty() { SUBJECTS.to_vec() } else { cli.projects.clone() };
    let mut code = ExitCode::SUCCESS;
    for project in projects {
        let rehearsed = rehearse(&project, &cli.level).map_err(|error| format!("{}: {error}", project.name))?;
        let is_good = |verdict: &Outcome<_>| matches!(verdict, Ok(verdict) if is_whole(verdict));
        if !rehearsed.iter().all(|rehearsed| is_good(&rehearsed.verdict)) {
            code = ExitCode::FAILURE;
        }
        update_rehearsals(&cli.page, &project, &rehearsed)?;
    }
    Ok(code)
}

fn is_whole(verdict: &modferry_real_world::levels::Rehearsal) -> bool {
    verdict.failed.is_empty()
}
