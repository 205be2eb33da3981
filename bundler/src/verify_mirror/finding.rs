//! What can be wrong with a mirror: what can be with a bundle's content, and with what a mirror says of it.

use modferry_format::finding::{Finding, FindingKind};
use serde::Serialize;
use std::fmt;

/// One thing that is wrong. They sort by subject, then kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct MirrorFinding {
    /// The file it is about, relative to the mirror.
    pub subject: String,
    /// Which rule is broken.
    pub kind: Kind,
    /// What was expected and what is there.
    pub detail: String,
}

/// The stable names of all findings, as they stand in `--json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// A ledger that cannot be read, or a line of one that says what cannot be.
    Ledger,
    /// The evidence of a bundle that is damaged, or missing though something counts on it.
    Evidence,
    /// A journal that is not the `done` files in their order.
    Journal,
    /// What a bundle can have too.
    #[serde(untagged)]
    Content(FindingKind),
}

impl MirrorFinding {
    /// A finding about one file.
    pub(crate) fn new(subject: impl Into<String>, kind: Kind, detail: impl Into<String>) -> Self {
        Self { subject: subject.into(), kind, detail: detail.into() }
    }
}

impl From<Finding> for MirrorFinding {
    fn from(finding: Finding) -> Self {
        Self { subject: finding.subject, kind: Kind::Content(finding.kind), detail: finding.detail }
    }
}

impl fmt::Display for MirrorFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever planted a name chose it; control characters must not reach a terminal.
        write!(f, "{}: {}", self.subject.escape_debug(), self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_are_plain_names() {
        let names = [Kind::Ledger, Kind::Journal, Kind::Content(FindingKind::NotAFile)];
        assert_eq!(serde_json::to_string(&names).unwrap(), r#"["ledger","journal","not-a-file"]"#);
    }
}
