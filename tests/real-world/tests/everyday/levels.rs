//! What each level promises, on a library, a server and a tool: every command works inside, and at `work` nothing is carried for none.

use modferry_real_world::levels::projects::{Caches, subject};
use modferry_real_world::levels::{Level, Options, Verdict, measure};
use std::path::Path;

/// Measures a project and fails with all that is wrong.
fn holds(name: &str) {
    let subject = subject(name).expect("the project is in the list");
    // Shared caches change no verdict, and save most of the time.
    let options =
        Options { levels: vec![Level::Build, Level::Work, Level::All], caches: Some(Caches::Shared), beyond: false };
    let program = Path::new(env!("CARGO_BIN_EXE_levels"));
    let measured = measure(program, subject, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut wrong = Vec::new();
    for at_level in &measured.levels {
        let level = at_level.level;
        if let Err(error) = &at_level.bundled {
            wrong.push(format!("{level}: no bundle: {error}"));
        }
        for cell in at_level.cells.iter().filter(|cell| cell.verdict != Verdict::Passes) {
            let missing = cell.missing.as_deref().unwrap_or("nothing that it names");
            wrong.push(format!("{level}: {}: {:?}; missing {missing}\n{}", cell.script.name, cell.verdict, cell.said));
        }
        if level == Level::Work && !at_level.unread.is_empty() {
            wrong.push(format!("{level}: carried and not read: {:?}", at_level.unread));
        }
    }
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
}

#[test]
fn cobra() {
    holds("cobra");
}

#[test]
fn nats_server() {
    holds("nats-server");
}

#[test]
fn staticcheck() {
    holds("staticcheck");
}

#[test]
#[ignore = "tests/full runs it: .ci/run has 20 minutes"]
fn controller_runtime() {
    holds("controller-runtime");
}
