//! Holds SPEC.md, the sources and the tests to each other, so that none of them goes stale.
// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

mod clauses;
mod example;
mod source;
mod stored_zip;
mod worked;

use std::fs;
use std::path::Path;

/// A file of this crate, by its path from Cargo.toml.
fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// All sources of the crate, with their names.
fn sources() -> Vec<(String, String)> {
    let names = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.map(|name| (name.clone(), read(&format!("src/{name}")))).collect()
}
