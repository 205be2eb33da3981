//! What a check found wrong.

use alloc::string::String;
use core::fmt;
use serde::Serialize;

/// One thing that is wrong. Findings sort by subject, then kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The file it is about: a path of the content or the name of a head file.
    pub subject: String,
    /// Which rule is broken.
    pub kind: FindingKind,
    /// What was expected and what is there.
    pub detail: String,
}

impl Finding {
    /// A finding about one file.
    pub fn new(subject: impl Into<String>, kind: FindingKind, detail: impl Into<String>) -> Self {
        Self { subject: subject.into(), kind, detail: detail.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Subjects may come from a hostile disk; control characters must not reach a terminal.
        write!(f, "{}: {}", self.subject.escape_debug(), self.detail)
    }
}

/// The stable names of all findings, as they stand in `--json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FindingKind {
    /// A head file is missing.
    HeadMissing,
    /// A head file breaks its grammar.
    HeadInvalid,
    /// A head file has not the hash that `BUNDLE` states.
    HeadHash,
    /// A line of `SHA256SUMS` or `SIZES` breaks the grammar or the order.
    ManifestLine,
    /// A file of the manifest is not there; where the closure is checked, a file of it.
    Missing,
    /// A file is there that the manifest does not list.
    Extra,
    /// Something that is no regular file: a link, a device, a folder in a file's place.
    NotAFile,
    /// A file could not be read.
    Unreadable,
    /// A file has another size than stated.
    Size,
    /// A file has another hash than stated.
    Hash,
    /// A zip that Go would refuse, or that readers of zips would understand differently.
    Zip,
    /// An `.info` that is not canonical or speaks of another version.
    Info,
    /// A `list` that does not name exactly what is carried whole.
    List,
    /// An `@latest` that is not the info of the right version.
    Latest,
    /// A version of which a file is missing that the others need.
    IncompleteVersion,
    /// A module without record and without a claim for that.
    Record,
    /// A zip or go.mod with another h1 than the record of its version states.
    RecordMismatch,
    /// The key of a checksum database is malformed, or not the one that it is known to have.
    DatabaseKey,
    /// A head of a checksum database that is missing, not signed by it, or not the one that is stated.
    TreeHead,
    /// A lookup that is malformed, of another module, under another head, or not in the log.
    Lookup,
    /// A tile that is missing, or not a part of the log's tree.
    Tile,
    /// Two signed heads of a database that contradict each other.
    Fork,
    /// The counts of `bundle.json` are not those of the content.
    Counts,
    /// The closure of a root cannot be told from the bundle alone.
    NotJudged,
    /// A tar is broken, or holds something that stands out of order.
    Carrier,
    /// A tar says the same as it should, in headers of another form.
    CarrierForm,
    /// More findings than are kept.
    TooMany,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
