//! Whether a module's own source imports what none of its modules provides: then `go mod tidy` has not been run, and
//! what it would add is not in the closure of the go.mod as it is.
//!
//! Asking go would mean to load all packages, which needs every zip unpacked. The import declarations of the files are
//! enough: for each import path some module path must be a prefix. It is a warning only; go stays the judge.

use crate::error::Warning;
use crate::go_source;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use walkdir::{DirEntry, WalkDir};

/// How much of a file is read, in bytes: imports stand at its start.
const MAX_READ_BYTES: u64 = 256 * 1024;
/// How many missing imports are named.
const MAX_NAMED: usize = 3;

/// Warns of imports below `sources` that are below none of the module paths; `ignored` are the go.mod's ignore lines.
pub(crate) fn warnings(name: &str, sources: &Path, ignored: &[String], modules: &[String]) -> Vec<Warning> {
    let mut missing: BTreeMap<String, String> = BTreeMap::new();
    let walk = WalkDir::new(sources).sort_by_file_name().into_iter();
    for entry in walk.filter_entry(|entry| belongs(entry, sources, ignored)).flatten() {
        let file = entry.file_name().to_string_lossy();
        if !entry.file_type().is_file() || !file.ends_with(".go") || file.starts_with(['_', '.']) {
            continue;
        }
        let mut bytes = Vec::new();
        if File::open(entry.path()).and_then(|file| file.take(MAX_READ_BYTES).read_to_end(&mut bytes)).is_err() {
            continue;
        }
        let relative = entry.path().strip_prefix(sources).unwrap_or(entry.path()).display().to_string();
        for import in go_source::imports(&bytes) {
            if is_from_a_module(&import) && !modules.iter().any(|module| provides(module, &import)) {
                missing.entry(import).or_insert_with(|| relative.clone());
            }
        }
    }
    let more = missing.len().saturating_sub(MAX_NAMED);
    let named: Vec<String> =
        missing.iter().take(MAX_NAMED).map(|(import, file)| format!("{import} ({file})")).collect();
    if named.is_empty() {
        return Vec::new();
    }
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message = format!("{name}: go.mod is not tidy: no module that it leads to provides {}{more}", named.join(", "));
    vec![Warning::new(message, Some("go mod tidy adds what is missing; run it and bundle again"))]
}

/// Whether go looks into a directory when it loads the module's packages.
pub(crate) fn belongs(entry: &DirEntry, sources: &Path, ignored: &[String]) -> bool {
    if !entry.file_type().is_dir() || entry.depth() == 0 {
        return true;
    }
    let name = entry.file_name().to_string_lossy();
    if name.starts_with(['.', '_']) || name == "testdata" || name == "vendor" || entry.path().join("go.mod").is_file() {
        return false;
    }
    let relative = entry.path().strip_prefix(sources).unwrap_or(entry.path()).to_string_lossy().replace('\\', "/");
    // `./a` is that directory alone, `a` is every directory of this name.
    !ignored.iter().any(|line| match line.strip_prefix("./") {
        Some(path) => relative == path.trim_end_matches('/'),
        None => relative == line.as_str() || relative.ends_with(&format!("/{line}")),
    })
}

/// The standard library has no dot in the first element; `C` and relative paths are no packages of modules.
fn is_from_a_module(import: &str) -> bool {
    !import.starts_with('.') && import.split('/').next().is_some_and(|first| first.contains('.'))
}

fn provides(module: &str, import: &str) -> bool {
    import.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_provides_what_is_below_it() {
        assert!(provides("a.b/c", "a.b/c/d") && provides("a.b/c", "a.b/c"));
        assert!(!provides("a.b/c", "a.b/cd"));
        assert!(is_from_a_module("a.b/c") && !is_from_a_module("net/http") && !is_from_a_module("./x"));
    }
}
