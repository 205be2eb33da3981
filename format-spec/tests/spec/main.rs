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
    let mut sources = Vec::new();
    let mut folders = vec!["src".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                sources.push((path.strip_prefix("src/").unwrap().to_owned(), read(&path)));
            }
        }
    }
    sources
}
