//! What a mirror has of a database (SPEC M98 to M101): files that never change, and the heads that bundles have brought, all of
//! one log.
//!
//! - [`is_same`]: whether what a bundle brings under a name is what is published there
//! - [`in_order`] and [`join`]: whether the mirror's newest head and a bundle's are of one log
//! - [`HeadLine`] and [`parse`]: `ledger/sumdb/NAME/@heads`, one JSON object a line
//!
//! What it takes for a mirror that is closed at one head to be closed at the next is for [`super::tree::slice`] to say.

use crate::bundle_path::BundlePath;
use crate::database::Tile;
use crate::hash::BundleId;
use crate::invalid::Invalid;
use crate::sumdb::head::Head;
use crate::sumdb::key::VerifierKey;
use crate::sumdb::note::NotOpened;
use crate::sumdb::prove::{Proven, Prover};
use crate::sumdb::record::Lookup;
use crate::sumdb::refused::Unproven;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Whether a file of a database is the one that a mirror has under this path. Of a lookup number and text count, and any head
/// will do (SPEC M98); that `supported` is there is all that it says.
pub fn is_same(path: &BundlePath, published: &[u8], brought: &[u8]) -> Result<bool, Invalid> {
    Ok(match path {
        BundlePath::Lookup(_, version) => {
            Lookup::parse(published, version)?.record == Lookup::parse(brought, version)?.record
        }
        BundlePath::Supported(_) => true,
        _ => published == brought,
    })
}

/// Two heads, that of the smaller tree first. Of two trees of one size the first stays so.
pub fn in_order<'h>(one: &'h Head, other: &'h Head) -> (&'h Head, &'h Head) {
    if one.size() <= other.size() { (one, other) } else { (other, one) }
}

/// Proves that the tree of `older` is the beginning of that of `newer`, and that a client which holds `older` finds its way
/// (SPEC M99). A tile that is missing is no fault of either; what is wrong with the roots is a fork.
pub fn join<B: AsRef<[u8]>, E>(
    older: &Head,
    newer: &Head,
    get: impl FnMut(Tile) -> Result<Option<B>, E>,
) -> Result<Proven, Unproven<E>> {
    let mut prover = Prover::new(newer);
    prover.served(older)?;
    prover.prove(get)
}

/// A head of a mirror, and the first bundle that brought it (SPEC M101). Its text is a line without its LF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadLine {
    /// The head.
    pub head: Head,
    /// The bundle.
    pub bundle: BundleId,
}

#[derive(Serialize, Deserialize)]
struct Line {
    size: u64,
    root: String,
    bundle: String,
    note: String,
}

impl HeadLine {
    /// The note that a line has, whoever signed it.
    pub fn note_in(line: &str) -> Option<String> {
        serde_json::from_str(line).ok().map(|line: Line| line.note)
    }

    fn parse(text: &str, open: impl FnOnce(&str) -> Result<Head, NotOpened>) -> Result<Self, Invalid> {
        let invalid = |reason: String| Invalid::new("line of tree heads", text, reason);
        let line: Line = serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
        let head = open(&line.note).map_err(|error| invalid(error.to_string()))?;
        if head.size() != line.size || head.root().to_string() != line.root {
            return Err(invalid(format!("a line says {} {}, its note is {head}", line.size, line.root)));
        }
        let line = Self { head, bundle: BundleId::from_hex(&line.bundle)? };
        if line.to_string() == text { Ok(line) } else { Err(invalid("not the canonical spelling".into())) }
    }
}

impl fmt::Display for HeadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = Line {
            size: self.head.size(),
            root: self.head.root().to_string(),
            bundle: self.bundle.hex(),
            note: self.head.note().into(),
        };
        f.write_str(&serde_json::to_string(&line).expect("texts and a number always become JSON"))
    }
}

/// Whose signatures to verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signatures {
    /// Those of all lines.
    All,
    /// That of the last line: every head was opened before it came there, and all of them again cost what the history is long.
    Newest,
}

/// Reads the heads of a mirror, signed with this key; an empty text has none.
pub fn parse(text: &[u8], key: &VerifierKey, signatures: Signatures) -> Result<Vec<HeadLine>, Invalid> {
    let shown = String::from_utf8_lossy(&text[..text.len().min(Invalid::MAX_SHOWN_BYTES)]);
    let text = core::str::from_utf8(text).map_err(|_| Invalid::new("tree heads", &shown, "not UTF-8"))?;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(Invalid::new("tree heads", &shown, "the last line has no end"));
    }
    let mut lines: Vec<HeadLine> = Vec::new();
    let mut left = text.split_terminator('\n').peekable();
    while let Some(line) = left.next() {
        let next = match signatures {
            Signatures::Newest if left.peek().is_some() => HeadLine::parse(line, Head::stored)?,
            _ => HeadLine::parse(line, |note| Head::open(note.as_bytes(), key))?,
        };
        // Of two heads of one size at most one is of the log.
        if lines.last().is_some_and(|last| last.head.size() >= next.head.size()) {
            return Err(Invalid::new("line of tree heads", line, format!("{} is out of order", next.head)));
        }
        lines.push(next);
    }
    Ok(lines)
}

/// The text of such lines.
pub fn text<'l>(lines: impl IntoIterator<Item = &'l HeadLine>) -> String {
    lines.into_iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const NOTE: &str = "go.sum database tree\n63096908\n8lHrQPRYe4KT4WQ9/Qk8/taKnD6IRHbFgfN7vQE2Y54=\n\n— sum.golang.org Az3gri/oVBN1jAhNZ/iS+W31psFAWRT20/GyrhpU6taFwulQGetBkH5S7wpGXdS935jiIGiUUAXBVHzT/P6fYhqAmAk=\n";

    /// One line for a tree of this size; only that of 63096908 is signed.
    fn line(size: u64) -> String {
        let note = NOTE.replace("63096908", &size.to_string());
        text(&[HeadLine { head: Head::stored(&note).unwrap(), bundle: BundleId::of(b"bundle") }])
    }

    #[test]
    fn signatures_are_verified_of_the_newest_or_of_all() {
        let key = VerifierKey::sum_golang_org();
        let sizes = |text: &str, signatures| -> Option<Vec<u64>> {
            parse(text.as_bytes(), &key, signatures)
                .ok()
                .map(|lines| lines.iter().map(|line| line.head.size()).collect())
        };
        let file = line(5) + &line(63_096_908);
        assert_eq!(sizes(&file, Signatures::Newest), Some(vec![5, 63_096_908]));
        assert_eq!(sizes(&file, Signatures::All), None);
        assert_eq!(sizes(&(line(5) + &line(6)), Signatures::Newest), None, "nobody signed the newest");
        assert_eq!(sizes(&(line(63_096_908) + &line(5)), Signatures::All), None, "out of order");
        let other = line(5).replacen("\"size\":5", "\"size\":4", 1) + &line(63_096_908);
        assert_eq!(sizes(&other, Signatures::Newest), None, "line and note differ");
        assert!(Head::stored("go.sum database tree\n5\n").is_err(), "no note");
    }
}
