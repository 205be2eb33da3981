//! What the sources may not name: the crate knows no file, clock, socket or environment.

use crate::{read, sources};
use modferry_format::BundlePath;

#[test]
fn crate_is_no_std() {
    let sources = sources();
    let (_, lib) = sources.iter().find(|(name, _)| name == "lib.rs").unwrap();
    assert!(lib.lines().any(|line| line == "#![no_std]"));
    for (name, source) in &sources {
        let mut before = "";
        for line in source.lines() {
            let for_tests = before.trim() == "#[cfg(test)]";
            assert!(!line.contains("extern crate std") || for_tests, "{name}: {line}");
            before = line;
        }
    }
}

#[test]
fn no_source_names_the_outside() {
    for (name, source) in sources() {
        // Tests come last in a file, behind their attribute; lib.rs has it before `extern crate std`.
        let code = source.split("#[cfg(test)]\nmod ").next().unwrap();
        for outside in
            ["std::fs", "std::net", "std::env", "std::time", "std::io", "std::process", "env!", "Timestamp::now"]
        {
            assert!(!code.contains(outside), "{name} names {outside}");
        }
    }
}

#[test]
fn drawing_of_the_layout_is_true() {
    let source = read("src/bundle_path.rs");
    let (_, drawing) = source.split_once("//! ```text\n").unwrap();
    let (drawing, _) = drawing.split_once("//! ```\n").unwrap();
    let paths: Vec<BundlePath> = drawing
        .lines()
        .map(|line| {
            let text = line.strip_prefix("//! ").unwrap();
            let path: BundlePath = text.parse().unwrap_or_else(|invalid| panic!("{invalid}"));
            assert_eq!(path.to_string(), text);
            path
        })
        .collect();
    // Each kind of file is drawn.
    let kinds: std::collections::BTreeSet<String> =
        paths.iter().map(|path| format!("{path:?}").split('(').next().unwrap().to_owned()).collect();
    assert_eq!(kinds.len(), 11, "{kinds:?}");
}
