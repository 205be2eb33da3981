//! What several threads find wrong, together and bounded.

use modferry_format::check::MAX_FINDINGS;
use modferry_format::finding::{Finding, FindingKind};
use std::cmp::Ordering;
use std::sync::{Mutex, PoisonError};

/// Findings of all threads; of a bundle, or of what has more kinds of them.
pub(crate) struct Findings<F = Finding>(Mutex<Vec<F>>);

impl<F> Default for Findings<F> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<F: From<Finding> + Ord> Findings<F> {
    /// Adds one, told in parts.
    pub(crate) fn find(&self, subject: &str, kind: FindingKind, detail: impl Into<String>) {
        self.add(Finding::new(subject, kind, detail).into());
    }

    /// Adds one, unless there are too many already.
    pub(crate) fn add(&self, finding: F) {
        let mut findings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match findings.len().cmp(&MAX_FINDINGS) {
            Ordering::Less => findings.push(finding),
            Ordering::Equal => {
                let detail = format!("more than {MAX_FINDINGS} findings, the rest is left out");
                findings.push(Finding::new("", FindingKind::TooMany, detail).into());
            }
            Ordering::Greater => {}
        }
    }

    /// Whether there is none so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Whether no more are taken.
    pub(crate) fn are_full(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len() > MAX_FINDINGS
    }

    /// All of them, sorted, each once.
    pub(crate) fn finish(self) -> Vec<F> {
        let mut findings = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        findings.sort();
        findings.dedup();
        findings
    }
}
