//! Reads published files, and holds their bytes to what is stated of them.

use super::Check;
use super::finding::{Kind, MirrorFinding};
use crate::work_queue::WorkQueue;
use modferry_format::finding::FindingKind;
use modferry_format::{BundlePath, FileSha256, H1, go_mod};
use modferry_prove::Prover;
use modferry_prove::tape;
use std::io;
use std::path::Path;

/// A file to read.
pub(super) struct Job {
    pub(super) path: BundlePath,
    /// The hashes of which it must have one.
    pub(super) wanted: Vec<FileSha256>,
    /// The h1 that is stated of a zip or go.mod.
    pub(super) h1: Option<H1>,
    /// Who states them.
    pub(super) by: &'static str,
}

impl Check<'_> {
    /// Reads files until no more come.
    pub(super) fn read_published(&self, queue: &WorkQueue<Job>) {
        let mut prover = Prover::among(self.context.jobs);
        while let Some(job) = queue.take() {
            // Whoever adds files must not wait for room that never comes.
            if self.context.interrupt.is_set() {
                continue;
            }
            let subject = job.path.to_string();
            if let Err(error) = self.read(&job, &subject, &mut prover) {
                self.findings.find(&subject, FindingKind::Unreadable, error.to_string());
            }
        }
    }

    fn read(&self, job: &Job, subject: &str, prover: &mut Prover) -> io::Result<()> {
        let source = self.files.open(Path::new(subject))?;
        let size = source.size();
        let (sha256, h1) = match &job.path {
            BundlePath::Zip(version) if job.h1.is_some() => {
                let proof = prover.prove(version, &source, size, None)?;
                (proof.sha256, proof.h1.map(Some))
            }
            BundlePath::Zip(version) => {
                let (sha256, good) = prover.check(version, &source, size)?;
                (sha256, good.map(|()| None))
            }
            BundlePath::Mod(_) => {
                let bytes = source.read_all(go_mod::MAX_BYTES)?;
                (FileSha256::of(&bytes), Ok(Some(H1::of_go_mod(&bytes))))
            }
            _ => (tape::hash(&source, size)?, Ok(None)),
        };
        self.read_bytes(size);
        let Some(wanted) = job.wanted.first().filter(|_| !job.wanted.contains(&sha256)) else {
            self.judge(job, subject, h1);
            return Ok(());
        };
        // A zip that has changed is reported as such, not by what the change did to it.
        let detail = format!("has sha256 {sha256}, {} states {wanted}", job.by);
        self.findings.find(subject, FindingKind::Hash, detail);
        Ok(())
    }

    fn judge(&self, job: &Job, subject: &str, h1: Result<Option<H1>, String>) {
        match (h1, job.h1) {
            (Err(reason), _) => self.findings.find(subject, FindingKind::Zip, reason),
            (Ok(Some(h1)), Some(stated)) if h1 != stated => {
                let detail = format!("has {h1}, {} states {stated}", job.by);
                self.findings.add(MirrorFinding::new(subject, Kind::Ledger, detail));
            }
            (Ok(_), _) => {}
        }
    }
}
