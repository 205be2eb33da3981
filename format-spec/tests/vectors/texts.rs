//! Texts of Go's grammars, and JSON.

use crate::vector_file::VectorFile;
use modferry_format::go_mod::GoMod;
use modferry_format::go_sum::{GoSum, Line, Subject};
use modferry_format::hash::H1Builder;
use modferry_format::info::Info;
use modferry_format::{H1, Version, json, versions};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;

fn utf8(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

pub(crate) fn info(file: &VectorFile) {
    for row in file.rows() {
        if file.name.ends_with("upstream.txt") {
            if let Some(info) = row.judge(Info::from_upstream(row.bytes("input"))) {
                assert_eq!(info.to_canonical(), row.text("canonical"), "{}", row.place);
                assert_eq!(Info::from_canonical(row.bytes("canonical")), Ok(info), "{}", row.place);
            }
        } else if let Some(info) = row.judge(Info::from_canonical(row.bytes("bytes"))) {
            assert_eq!(info.to_canonical().as_bytes(), row.bytes("bytes"), "{}", row.place);
        }
    }
}

pub(crate) fn list(file: &VectorFile) {
    for row in file.rows() {
        let whole: Vec<Version> = row.text("versions").split_whitespace().map(|text| text.parse().unwrap()).collect();
        assert_eq!(versions::list(&whole), row.text("list"), "{}", row.place);
        assert_eq!(versions::list(whole.iter().rev()), row.text("list"), "{}", row.place);
        for latest in [versions::latest(&whole), versions::latest(whole.iter().rev())] {
            assert_eq!(latest.map(Version::as_str).unwrap_or_default(), row.text("latest"), "{}", row.place);
        }
    }
}

pub(crate) fn go_sum(file: &VectorFile) {
    if file.name.ends_with("lines.txt") {
        for row in file.rows() {
            if let Some(line) = row.judge(row.text("line").parse::<Line>()) {
                assert_eq!(line.to_string(), row.text("line"), "{}", row.place);
            }
        }
        return;
    }
    if file.expect() != "valid" {
        let [text] = file.exactly(["go.sum"]);
        file.judge(GoSum::parse(utf8(text)));
        return;
    }
    let [text, says] = file.exactly(["go.sum", "says"]);
    let Some(sums) = file.judge(GoSum::parse(utf8(text))) else { return };
    let mut expected: BTreeMap<Subject, Vec<H1>> = BTreeMap::new();
    for line in utf8(says).lines() {
        let line: Line = line.parse().unwrap();
        expected.entry(line.subject).or_default().push(line.h1);
    }
    for (subject, hashes) in &expected {
        assert_eq!(sums.expected(subject), hashes, "{}: {subject}", file.name);
    }
    // Built anew from what it says, it is the same: it says nothing else.
    assert_eq!(GoSum::parse(utf8(says)), Ok(sums), "{}", file.name);
}

pub(crate) fn go_mod(file: &VectorFile) {
    let [text, reads] = file.exactly(["go.mod", "reads"]);
    assert_eq!(file.expect(), "valid", "{}: reading a go.mod has no error", file.name);
    let go_mod = GoMod::parse(utf8(text));
    let mut read = String::new();
    if !go_mod.module.is_empty() {
        writeln!(read, "module {}", go_mod.module).unwrap();
    }
    if let Some(go) = &go_mod.go {
        writeln!(read, "go {go}").unwrap();
    }
    for version in &go_mod.requires {
        writeln!(read, "require {version}").unwrap();
    }
    for (path, version) in &go_mod.unservable {
        writeln!(read, "unservable {path}@{version}").unwrap();
    }
    writeln!(read, "pruned {}", if go_mod.is_pruned() { "yes" } else { "no" }).unwrap();
    assert_eq!(read, utf8(reads), "{}", file.name);
}

pub(crate) fn h1(file: &VectorFile) {
    if file.name.ends_with("go-mod.txt") {
        for row in file.rows() {
            let h1 = H1::of_go_mod(row.bytes("go.mod"));
            assert_eq!(h1.to_string(), row.text("h1"), "{}", row.place);
            assert_eq!(row.text("h1").parse(), Ok(h1), "{}", row.place);
        }
        return;
    }
    file.exactly(["files"]);
    let files = file.cells();
    for order in [files.clone(), files.into_iter().rev().collect()] {
        let mut builder = H1Builder::default();
        for cells in &order {
            let [name, content] = &cells[..] else { panic!("{}: not a name and a content", file.name) };
            builder.add(utf8(name), Sha256::digest(content).into());
        }
        assert_eq!(Some(builder.finish().to_string().as_str()), file.key("h1"), "{}", file.name);
    }
}

pub(crate) fn json(file: &VectorFile) {
    for row in file.rows() {
        row.judge(json::parse(row.bytes("text")));
    }
}
