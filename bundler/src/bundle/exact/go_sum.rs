//! A go.sum file as a root: each line for a zip asks for the whole version, each line for a go.mod for that and the info.
//!
//! It has what go needs to build the module that it belongs to, and often more: old lines that nobody has tidied away.

use crate::bundle::exact::{self, List};
use crate::error::{Error, ErrorKind, Result, Warning};
use modferry_format::carried::Files;
use modferry_format::go_mod::{self, GoMod};
use modferry_format::go_sum::{GoSum, Line, MAX_BYTES, Subject};
use modferry_format::header::RootKind;
use std::path::Path;

pub(super) fn read(file: &Path, name: &str) -> Result<List> {
    let text = exact::text(file, MAX_BYTES)?;
    let mut list = parse(&text, name)?;
    // The module that it belongs to, where its go.mod lies beside it; only a name.
    let go_mod = exact::text(&file.with_extension("mod"), go_mod::MAX_BYTES).unwrap_or_default();
    let module = GoMod::parse(&go_mod).module;
    list.root.module = if module.is_empty() { exact::file_name(file) } else { module };
    Ok(list)
}

fn parse(text: &str, name: &str) -> Result<List> {
    let mut list = List::new(RootKind::GoSum, String::new());
    list.sums = GoSum::parse(text).map_err(|invalid| {
        Error::new(ErrorKind::Root, format!("{name}: could not be understood"))
            .because(invalid.to_string())
            .hint("go mod tidy writes it anew")
    })?;
    let mut passed_over = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.join(" ").parse::<Line>() {
            Ok(Line { subject: Subject::Zip(version), .. }) => list.add(version, Files::Whole),
            Ok(Line { subject: Subject::GoMod(version), .. }) => list.add(version, Files::Graph),
            Err(_) if fields.is_empty() => {}
            Err(invalid) => passed_over.push(format!("{} ({invalid})", fields[..2].join(" "))),
        }
    }
    if let Some(first) = passed_over.first() {
        let message = match passed_over.len() {
            1 => format!("{name}: a line names what no bundle can carry: {first}"),
            more => format!("{name}: {more} lines name what no bundle can carry, the first: {first}"),
        };
        list.warnings.push(Warning::new(message, None));
    }
    let zips = list.versions.values().filter(|files| **files == Files::Whole).count();
    list.notes.push(format!(
        "exactly what it names: {zips} whole versions, {} more go.mod files",
        list.versions.len() - zips
    ));
    list.root.requires = list.versions.keys().map(ToString::to_string).collect();
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    const H1: &str = "h1:8niJSrMCucZPwiVC6/xVzybD9e3BXZnSfvU3A8DQICU=";

    #[test]
    fn a_zip_line_asks_for_more_than_a_go_mod_line() {
        let text = format!(
            "a.test/b v1.0.0/go.mod {H1}\n\na.test/b v1.0.0 {H1}\r\na.test/c\tv1.0.0/go.mod {H1}\na.test/d main {H1}\n"
        );
        let list = parse(&text, "go.sum").unwrap();
        let named: Vec<_> = list.versions.iter().map(|(version, files)| format!("{version} {files:?}")).collect();
        assert_eq!(named, ["a.test/b@v1.0.0 Whole", "a.test/c@v1.0.0 Graph"]);
        assert_eq!(list.root.requires, ["a.test/b@v1.0.0", "a.test/c@v1.0.0"]);
        assert!(list.warnings[0].message.contains("a.test/d"), "{:?}", list.warnings);
        assert!(!list.sums.expected(&Subject::GoMod("a.test/c@v1.0.0".parse().unwrap())).is_empty());
        assert_eq!(parse("a b\n", "go.sum").unwrap_err().kind, ErrorKind::Root);
    }
}
