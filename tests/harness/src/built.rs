//! Finds the program under test by asking cargo to build it, so that no test ever runs a stale one.

use crate::Outcome;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `modferry` program, built once per process with the profile of the tests: a run of `cargo test` builds one profile only.
pub fn modferry() -> Outcome<&'static Path> {
    static BUILT: OnceLock<Outcome<PathBuf>> = OnceLock::new();
    let profile: &[&str] = if cfg!(debug_assertions) { &[] } else { &["--release"] };
    BUILT.get_or_init(|| build(profile)).as_deref().map_err(Clone::clone)
}

/// The `modferry` program as users get it, for what measures time.
pub fn modferry_release() -> Outcome<&'static Path> {
    static BUILT: OnceLock<Outcome<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(|| build(&["--release"])).as_deref().map_err(Clone::clone)
}

/// The `modferry-server` program as users get it.
pub fn server_release() -> Outcome<&'static Path> {
    static BUILT: OnceLock<Outcome<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(|| build_program("modferry-server", &["--release"])).as_deref().map_err(Clone::clone)
}

fn build(profile: &[&str]) -> Outcome<PathBuf> {
    build_program("modferry", profile)
}

fn build_program(name: &str, profile: &[&str]) -> Outcome<PathBuf> {
    // Cargo names itself to the tests it runs; a test program started by hand takes the one on PATH.
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    // What cargo tells a test of its own package makes build scripts of others stale, ring's among them: 30 s each time.
    let told = env::vars_os().map(|(name, _)| name);
    for name in
        told.filter(|name| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|it| name.to_string_lossy().starts_with(it)))
    {
        command.env_remove(name);
    }
    let output = command
        // The whole workspace, so that dependencies have the features that `cargo test` has built them with.
        .args(["build", "-q", "--workspace", "--bin", name, "--message-format=json"])
        .args(profile)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .map_err(|error| format!("{}: cannot run it to build {name}: {error}", cargo.display()))?;
    let messages = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let rendered: String = messages.lines().filter_map(rendered_error).collect();
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cargo build --bin {name}: {}\n{rendered}{stderr}", output.status));
    }
    messages
        .lines()
        .find_map(|line| executable(line, name))
        .ok_or_else(|| format!("cargo build --bin {name}: no line of its output names an executable"))
}

/// The path in a line of cargo's output, where the line speaks of the program.
fn executable(line: &str, name: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let is_program = message["reason"] == "compiler-artifact" && message["target"]["name"] == name;
    message["executable"].as_str().filter(|_| is_program).map(PathBuf::from)
}

/// With JSON messages the compiler's errors are on standard output too.
fn rendered_error(line: &str) -> Option<String> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let message = &message["message"];
    message["rendered"].as_str().filter(|_| message["level"] == "error").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_executable_of_the_program_and_of_nothing_else() {
        let line = |reason: &str, name: &str| {
            format!(r#"{{"reason":"{reason}","target":{{"name":"{name}"}},"executable":"/t/{name}"}}"#)
        };
        assert_eq!(executable(&line("compiler-artifact", "modferry"), "modferry"), Some("/t/modferry".into()));
        assert_eq!(executable(&line("compiler-artifact", "build-script-build"), "modferry"), None);
        assert_eq!(executable(&line("build-finished", "modferry"), "modferry"), None);
        let library = r#"{"reason":"compiler-artifact","target":{"name":"modferry"},"executable":null}"#;
        assert_eq!(executable(library, "modferry"), None);
        assert_eq!(executable("warning: not JSON", "modferry"), None);
    }
}
