//! The head files of a bundle, and its content as a whole.

use crate::vector_file::VectorFile;
use modferry_format::check::{self, Checker};
use modferry_format::database::{DatabaseName, Tile};
use modferry_format::header::{Header, HeaderError};
use modferry_format::ledger::Ledger;
use modferry_format::manifest::{Entry, Reader};
use modferry_format::requires::Requires;
use modferry_format::root::Root;
use modferry_format::sumdb::refused::Unproven;
use modferry_format::{BundlePath, FileSha256, Finding, H1, Invalid};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write;

/// Reads UTF-8 as readers of head files do: what is none can never be valid.
fn utf8(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

pub(crate) fn manifest(file: &VectorFile) {
    let [sums, sizes] = file.exactly(["SHA256SUMS", "SIZES"]);
    let (sums, sizes) = (utf8(sums), utf8(sizes));
    let (lines, size_lines) = (sums.split_inclusive('\n'), sizes.split_inclusive('\n'));
    let mut reader = Reader::default();
    let entries: Result<Vec<Entry>, Invalid> = lines
        .zip(size_lines)
        .map(|(line, size)| reader.entry(line.strip_suffix('\n').unwrap(), size.strip_suffix('\n').unwrap()))
        .collect();
    let Some(entries) = file.judge(entries) else { return };
    assert_eq!(entries.iter().map(Entry::sums_line).collect::<String>(), sums, "{}", file.name);
    assert_eq!(entries.iter().map(Entry::sizes_line).collect::<String>(), sizes, "{}", file.name);
    assert_eq!(reader.entries(), entries.len() as u64);
}

pub(crate) fn root(file: &VectorFile) {
    let [text] = file.exactly(["BUNDLE"]);
    let text = utf8(text);
    if let Some(root) = file.judge(text.parse::<Root>()) {
        assert_eq!(root.to_string(), text, "{}", file.name);
    }
}

pub(crate) fn ledger(file: &VectorFile) {
    let [text] = file.exactly(["ledger"]);
    let text = utf8(text);
    if let Some(ledger) = file.judge(text.parse::<Ledger>()) {
        assert_eq!(ledger.to_string(), text, "{}", file.name);
    }
}

pub(crate) fn requires(file: &VectorFile) {
    let [text] = file.exactly(["REQUIRES"]);
    let text = utf8(text);
    if let Some(requires) = file.judge(text.parse::<Requires>()) {
        assert_eq!(requires.to_string(), text, "{}", file.name);
    }
}

pub(crate) fn header(file: &VectorFile) {
    let (_, json) = &file.sections()[0];
    let parsed = Header::parse(json);
    match &parsed {
        Err(HeaderError::Unsupported(_)) => assert_eq!(file.expect(), "unsupported", "{}", file.name),
        Err(_) => assert_eq!(file.expect(), "invalid", "{}: {parsed:?}", file.name),
        Ok(_) => {}
    }
    let Some(header) = file.judge(parsed) else { return };
    assert_eq!(Header::parse(header.to_json().as_bytes()), Ok(header.clone()), "{}", file.name);
    match file.sections() {
        [_] => {}
        [_, (name, bytes)] if name == "bytes" => assert_eq!(header.to_json(), utf8(bytes), "{}", file.name),
        _ => panic!("{}: unknown sections", file.name),
    }
}

pub(crate) fn check(file: &VectorFile) {
    let [(first, json), contents @ .., (last, expected)] = file.sections() else {
        panic!("{}: sections are missing", file.name)
    };
    assert_eq!((first.as_str(), last.as_str()), ("bundle.json", "findings"), "{}", file.name);
    let header = Header::parse(json).unwrap();
    let entry = |path: &str, bytes: &[u8]| Entry {
        path: path.parse().unwrap(),
        sha256: FileSha256::of(bytes),
        size: bytes.len() as u64,
    };
    let entries: Vec<Entry> = contents.iter().map(|(path, bytes)| entry(path, bytes)).collect();
    assert!(entries.is_sorted_by(|a, b| a.path < b.path), "{}: files out of order", file.name);
    let mut checker = Checker::new(&header);
    let mut tiles = BTreeMap::new();
    for (entry, (_, bytes)) in entries.iter().zip(contents) {
        checker.file(&entry.path, entry.size, check::wants_bytes(&entry.path).map(|_| bytes.as_slice()));
        // What a reader does beside: it hashes, and keeps the tiles for the proof. The zips of vectors are none.
        match &entry.path {
            BundlePath::Mod(_) => {
                let (h1, stated) = (H1::of_go_mod(bytes), checker.databases().h1(&entry.path));
                if let Some(stated) = stated.filter(|stated| *stated != h1) {
                    checker.add(check::contradiction(&entry.path, h1, stated));
                }
            }
            BundlePath::Tile(name, tile) => _ = tiles.insert((name, *tile), bytes.as_slice()),
            _ => {}
        }
    }
    let left = prove(&mut checker, &tiles);
    assert_eq!(left.to_string(), file.key("left").unwrap_or("0"), "{}", file.name);
    let findings = checker.finish();
    let mut found = String::new();
    for Finding { subject, kind, .. } in &findings {
        writeln!(found, "{kind}\t{subject}").unwrap();
    }
    assert_eq!(found, utf8(expected), "{}: {findings:#?}", file.name);
    assert_eq!(file.expect() == "valid", findings.is_empty(), "{}", file.name);
}

/// Proves what is carried of checksum databases; gives how much of it is left to an import.
fn prove(checker: &mut Checker<'_>, tiles: &BTreeMap<(&DatabaseName, Tile), &[u8]>) -> u64 {
    let (mut left, mut findings) = (0, Vec::new());
    for part in checker.databases().parts() {
        let name = part.key().name();
        let get = |tile| Ok::<_, Infallible>(tiles.get(&(name, tile)));
        let proven = if checker.has_base() { part.prove_alone(get) } else { part.prove(get).map(|_| 0) };
        match proven {
            Ok(more) => left += more,
            Err(Unproven::Refused(refused)) => findings.push(check::finding(name, &refused)),
            Err(Unproven::Unread { error, .. }) => match error {},
        }
    }
    findings.into_iter().for_each(|finding| checker.add(finding));
    left
}
