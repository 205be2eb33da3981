//! `cargo run --release -p modferry-real-world --bin levels -- [PROJECT...]`: measures projects at each level and writes
//! `tests/real/README.md`.

use clap::Parser;
use modferry_harness::Outcome;
use modferry_real_world::levels::projects::{Caches, SUBJECTS, Subject, named};
use modferry_real_world::levels::{self, AtLevel, INSIDE, Level, Options, Verdict};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Measures real projects at each level and writes tests/real/README.md")]
struct Cli {
    /// Projects by name [default: all]
    #[arg(value_parser = named)]
    projects: Vec<Subject>,
    /// Levels, such as build,work
    #[arg(long, value_delimiter = ',', default_value = "build,work,all,upgrade")]
    level: Vec<Level>,
    /// Let all commands of a level share the caches, as the largest projects do anyway
    #[arg(long)]
    share_caches: bool,
    /// Run the commands of all levels up to `all` at each level, also those that it does not promise
    #[arg(long)]
    beyond: bool,
    /// The page
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../real/README.md"), hide_default_value = true)]
    page: PathBuf,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let done = match &arguments[..] {
        // The program again, in a namespace of its own.
        [_, inside, from, to] if inside == INSIDE => {
            levels::execute(Path::new(from), Path::new(to)).map(|()| ExitCode::SUCCESS)
        }
        _ => measure(&Cli::parse()),
    };
    done.unwrap_or_else(|error| {
        say(&format!("error: {error}"));
        ExitCode::FAILURE
    })
}

/// Measures, writes the page after each project, and fails where a promise is not held.
fn measure(cli: &Cli) -> Outcome<ExitCode> {
    let program = std::env::current_exe().map_err(|error| format!("levels: {error}"))?;
    let options =
        Options { levels: cli.level.clone(), caches: cli.share_caches.then_some(Caches::Shared), beyond: cli.beyond };
    let projects = if cli.projects.is_empty() { SUBJECTS.to_vec() } else { cli.projects.clone() };
    let mut code = ExitCode::SUCCESS;
    for project in projects {
        let measured = levels::measure(&program, project, &options);
        let measured = measured.map_err(|error| format!("{}: {error}", project.name))?;
        for at_level in &measured.levels {
            if !tell(project.name, at_level) {
                code = ExitCode::FAILURE;
            }
        }
        levels::update(&cli.page, &[measured])?;
    }
    Ok(code)
}

/// Says what there is to say of a level; whether it holds what it promises.
fn tell(project: &str, at_level: &AtLevel) -> bool {
    let level = at_level.level;
    if let Err(error) = &at_level.bundled {
        say(&format!("{project} {level}: no bundle: {error}"));
        return false;
    }
    let promised = || at_level.cells.iter().filter(|cell| cell.script.level <= level);
    let bytes: u64 = at_level.unread.values().sum();
    say(&format!(
        "{project} {level}: {} of {} commands pass; {} zips of {:.1} MB unread",
        promised().filter(|cell| cell.verdict == Verdict::Passes).count(),
        promised().count(),
        at_level.unread.len(),
        bytes as f64 / 1e6
    ));
    if !at_level.lacking.is_empty() {
        say(&format!(
            "  without {} files that the level before has, such as {}",
            at_level.lacking.len(),
            at_level.lacking[0]
        ));
    }
    for cell in promised().filter(|cell| cell.verdict != Verdict::Passes) {
        let missing = cell.missing.as_deref().unwrap_or("nothing that it names");
        say(&format!("  {:?}: {}\n    missing: {missing}\n    {}", cell.verdict, cell.script.name, tail(&cell.said)));
    }
    promised().all(|cell| matches!(cell.verdict, Verdict::Passes | Verdict::FailsEverywhere))
}

/// The last lines of what was said.
fn tail(said: &str) -> String {
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("go: downloading")).collect();
    lines[lines.len().saturating_sub(8)..].join("\n    ")
}

fn say(line: &str) {
    // Nobody is left to tell where this fails.
    let _ = writeln!(std::io::stderr(), "{line}");
}
