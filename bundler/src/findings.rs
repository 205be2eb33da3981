//! What several threads find wrong, together and bounded.

use modferry_format::check::MAX_FINDINGS;
use modferry_format::finding::{Finding, FindingKind};
use std::cmp::Ordering;
use std::sync::{Mutex, PoisonError};

/// Findings of all threads.
#[derive(Default)]
pub(crate) struct Findings(Mutex<Vec<Finding>>);

impl Findings {
    /// Adds one, told in parts.
    pub(crate) fn find(&self, subject: &str, kind: FindingKind, detail: impl Into<String>) {
        self.add(Finding::new(subject, kind, detail));
    }

    /// Adds one, unless there are too many already.
    pub(crate) fn add(&self, finding: Finding) {
        let mut findings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match findings.len().cmp(&MAX_FINDINGS) {
            Ordering::Less => findings.push(finding),
            Ordering::Equal => {
                findings.push(Finding::new(
                    "",
                    FindingKind::TooMany,
                    format!("more than {MAX_FINDINGS} findings, the rest is left out"),
                ));
            }
            Ordering::Greater => {}
        }
    }

    /// All of them, sorted, each once.
    pub(crate) fn finish(self) -> Vec<Finding> {
        let mut findings = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        findings.sort();
        findings.dedup();
        findings
    }
}
