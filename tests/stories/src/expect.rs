//! Judges what a program printed and what lies on the disk.

use crate::process::Ran;
use modferry_harness::{Outcome, at};
use regex::RegexBuilder;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use walkdir::WalkDir;

/// Longest part of a content that a report repeats, in bytes.
const SHOWN_BYTES: usize = 2000;

/// Whether the text matches the pattern somewhere, or nowhere where `negated`; `^` and `$` are ends of lines.
pub(crate) fn matches(what: &str, text: &str, pattern: &str, negated: bool) -> Outcome<()> {
    let regex = RegexBuilder::new(pattern).multi_line(true).build().map_err(|error| error.to_string())?;
    match (regex.is_match(text), negated) {
        (true, false) | (false, true) => Ok(()),
        (false, false) => Err(format!("{what} has no match for {pattern:?}")),
        (true, true) => Err(format!("{what} has a match for {pattern:?}")),
    }
}

/// Whether the program ended with this code.
pub(crate) fn exit_code(ran: &Ran, code: &str) -> Outcome<()> {
    let expected: i32 = code.parse().map_err(|_| format!("{code:?} is no exit code"))?;
    if ran.status.code() == Some(expected) { Ok(()) } else { Err(format!("{}, not {expected}", ran.ending())) }
}

/// Whether two contents are the same; the report shows the first line that differs.
pub(crate) fn same_content(a: (&str, &[u8]), b: (&str, &[u8])) -> Outcome<()> {
    if a.1 == b.1 {
        return Ok(());
    }
    let (a_text, b_text) = (String::from_utf8_lossy(a.1), String::from_utf8_lossy(b.1));
    let line = a_text.lines().zip(b_text.lines()).take_while(|(a, b)| a == b).count();
    let show = |name: &str, text: &str| {
        let shown: String = text.chars().take(SHOWN_BYTES).collect();
        format!("--- {name}\n{shown}")
    };
    Err(format!("differ at line {}\n{}\n{}", line + 1, show(a.0, &a_text), show(b.0, &b_text)))
}

/// Whether two directories hold the same names with the same content.
pub(crate) fn same_trees(a: &Path, b: &Path) -> Outcome<()> {
    let (a_tree, b_tree) = (tree(a)?, tree(b)?);
    let mut differences: Vec<String> = Vec::new();
    for name in a_tree.keys().chain(b_tree.keys().filter(|name| !a_tree.contains_key(*name))) {
        let difference = match (a_tree.get(name), b_tree.get(name)) {
            (Some(a), Some(b)) if a == b => continue,
            (Some(_), Some(_)) => "differs",
            (Some(_), None) => "only in the first",
            _ => "only in the second",
        };
        differences.push(format!("{name}: {difference}"));
    }
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

/// What lies below a directory, one line each, sorted: folders end in `/`, links in ` -> TARGET`.
pub(crate) fn listing(directory: &Path) -> Outcome<String> {
    Ok(tree(directory)?
        .into_iter()
        .map(|(name, thing)| match thing {
            Thing::Folder => format!("{name}/\n"),
            Thing::Link(target) => format!("{name} -> {target}\n"),
            Thing::File(_) | Thing::Other => format!("{name}\n"),
        })
        .collect())
}

/// What stands at a path.
#[derive(PartialEq, Eq)]
enum Thing {
    Folder,
    File(Vec<u8>),
    Link(String),
    Other,
}

fn tree(directory: &Path) -> Outcome<BTreeMap<String, Thing>> {
    if !directory.is_dir() {
        return Err(format!("{}: not a directory", directory.display()));
    }
    let mut tree = BTreeMap::new();
    for entry in WalkDir::new(directory).min_depth(1) {
        let entry = entry.map_err(|error| error.to_string())?;
        let path = entry.path();
        let kind = entry.file_type();
        let thing = if kind.is_dir() {
            Thing::Folder
        } else if kind.is_file() {
            Thing::File(fs::read(path).map_err(at(path))?)
        } else if kind.is_symlink() {
            Thing::Link(fs::read_link(path).map_err(at(path))?.display().to_string())
        } else {
            Thing::Other
        };
        let name = path.strip_prefix(directory).map_err(at(path))?;
        tree.insert(name.display().to_string(), thing);
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_within_lines() {
        assert!(matches("stdout", "a\nbc\n", "^b", false).is_ok());
        assert!(matches("stdout", "a\nbc\n", "^c", false).is_err());
        assert!(matches("stdout", "a\nbc\n", "^c", true).is_ok());
        assert!(matches("stdout", "a\nbc\n", "c$", true).is_err());
        assert!(matches("stdout", "", "(", false).is_err());
    }

    #[test]
    fn trees_differ_by_name_content_and_kind() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(a.path().join("d")).unwrap();
        fs::write(a.path().join("d/f"), "x").unwrap();
        fs::create_dir(b.path().join("d")).unwrap();
        assert_eq!(same_trees(a.path(), b.path()).unwrap_err(), "d/f: only in the first");
        fs::write(b.path().join("d/f"), "y").unwrap();
        assert_eq!(same_trees(a.path(), b.path()).unwrap_err(), "d/f: differs");
        fs::write(b.path().join("d/f"), "x").unwrap();
        assert_eq!(same_trees(a.path(), b.path()), Ok(()));
        assert_eq!(listing(a.path()).unwrap(), "d/\nd/f\n");
    }

    #[test]
    fn a_difference_shows_its_line() {
        let report = same_content(("a", b"1\n2\n"), ("b", b"1\n3\n")).unwrap_err();
        assert!(report.starts_with("differ at line 2"), "{report}");
    }
}
