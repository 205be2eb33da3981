//! The journal against the `done` files: each stands in it, in the order that their chain of hashes tells.
//!
//! What a crash leaves is no finding: a line that was cut off, before the same line whole; an older line of a bundle
//! whose `done` file was lost and that was imported again.

use super::Check;
use super::evidence::{Evidence, State};
use super::finding::{Kind, MirrorFinding};
use crate::error::Result;
use crate::mirror::{DONE, JOURNAL, JournalLine, MAX_LINE_BYTES, hash_of};
use modferry_format::finding::FindingKind;
use modferry_format::{BundleId, FileSha256};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Checks the journal. It is read last: whatever was done when the check began has its line by now.
pub(super) fn check(check: &Check<'_>, evidence: &Evidence) -> Result<()> {
    let source = match check.files.open(Path::new(JOURNAL)) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let is_wanted = evidence.bundles().any(|(_, state)| matches!(state, State::Done(_)));
            if is_wanted && !check.is_locked() {
                check.findings.find(JOURNAL, FindingKind::Missing, "missing; the next import makes it again");
            }
            return Ok(());
        }
        Err(error) => {
            check.findings.find(JOURNAL, FindingKind::Unreadable, error.to_string());
            return Ok(());
        }
    };
    let mut journal = Journal { check, number: 0, last: String::new(), cut: None, lines: BTreeMap::new() };
    let mut reader = BufReader::new(source.reader());
    loop {
        check.context.interrupt.check()?;
        let mut line = Vec::new();
        match (&mut reader).take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => journal.line(line),
            Err(error) => {
                check.findings.find(JOURNAL, FindingKind::Unreadable, error.to_string());
                return Ok(());
            }
        }
    }
    journal.finish(evidence);
    Ok(())
}

/// The journal as far as it was read.
struct Journal<'a> {
    check: &'a Check<'a>,
    number: u64,
    /// Hash of the last whole line.
    last: String,
    /// A line that is none, and its number.
    cut: Option<(u64, Vec<u8>)>,
    /// The last line of each bundle.
    lines: BTreeMap<BundleId, FileSha256>,
}

impl Journal<'_> {
    fn line(&mut self, mut line: Vec<u8>) {
        self.number += 1;
        if line.ends_with(b"\n") {
            line.pop();
        }
        let text = String::from_utf8(line.clone()).unwrap_or_default();
        let read = serde_json::from_str::<JournalLine>(&text).ok();
        let Some((read, id)) = read.and_then(|read| BundleId::from_hex(&read.bundle).ok().map(|id| (read, id))) else {
            if let Some((number, _)) = self.cut.replace((self.number, line)) {
                self.not_a_line(number);
            }
            return;
        };
        if let Some((number, cut)) = self.cut.take()
            && !line.starts_with(&cut)
        {
            self.not_a_line(number);
        }
        if read.previous != self.last {
            self.find(format!("line {}: does not name the line before it by its hash", self.number));
        }
        self.last = hash_of(&text);
        self.lines.insert(id, FileSha256::of(text.as_bytes()));
    }

    fn finish(self, evidence_of: &Evidence) {
        // An import that has just written a `done` file adds its line.
        let (is_under_way, mut missing) = (self.check.is_locked(), 0);
        for (id, state) in evidence_of.bundles() {
            match (state, self.lines.get(id)) {
                (State::Done(hash), Some(line)) if hash != *line => {
                    self.find(format!("the line of bundle {} is not that of its {DONE} file", id.hex()));
                }
                (State::Done(_), None) => {
                    missing += 1;
                    if !is_under_way {
                        self.find(format!(
                            "has no line of bundle {}, which is done; the next import adds it",
                            id.hex()
                        ));
                    }
                }
                _ => {}
            }
        }
        for id in self.lines.keys().filter(|id| !evidence_of.is_done(id)) {
            let done = format!("bundles/{}/{DONE}", id.hex());
            // A damaged one has been told.
            if self.check.files.kind(Path::new(&done)).is_ok_and(|kind| kind.is_none()) {
                self.check.evidence(&done, "missing, though the journal has the line of the bundle");
            }
        }
        // At the end it is the line that is missing.
        if let Some((number, _)) = self.cut
            && missing == 0
        {
            self.not_a_line(number);
        }
    }

    fn not_a_line(&self, number: u64) {
        self.find(format!("line {number}: is no line of a journal"));
    }

    fn find(&self, detail: String) {
        self.check.findings.add(MirrorFinding::new(JOURNAL, Kind::Journal, detail));
    }
}
