//! Copies single files of a bundle into staging, and proves the zips among them.

use super::head::LineNumber;
use super::stage::{Judged, Stage};
use super::{copy, copy_hashed, medium, staged_file};
use crate::carrier::{Opener, fault_of_carrier};
use crate::durable::{FILE_MODE, Writer};
use crate::error::{Error, Result};
use crate::source::Source;
use modferry_format::finding::FindingKind;
use modferry_format::manifest::Entry;
use modferry_format::{BundlePath, FileSha256, H1, ModuleVersion};
use modferry_prove::{Proof, Prover, tape};
use std::io::{self, Write};
use std::path::Path;

impl Stage<'_> {
    /// Proves a zip while it is copied: each byte is read once, so what is published is what was proved.
    pub(super) fn bring_zip(
        &self,
        number: LineNumber,
        entry: &Entry,
        version: &ModuleVersion,
        bytes: Opener,
        prover: &mut Prover,
    ) -> Judged<H1> {
        let to = staged_file(&self.head.id, number, &entry.path);
        let mut copy = Copy { to: self.mirror.durable().create_sized(&to, entry.size)?, failed: None };
        let proof = bytes.open().and_then(|source| prover.prove(version, &source, entry.size, Some(&mut copy)));
        // A failure of the mirror's own disk is another thing than one of the medium.
        if let Some(own) = copy.failed {
            return Err(own);
        }
        let proof = match proof {
            Ok(proof) => proof,
            Err(error) => return Err(medium(self.carrier, &entry.path.to_string(), &fault_of_carrier(error)?)),
        };
        let staged = Source::whole(copy.to.finish()?, entry.size);
        if !proof.is_of_one_reading {
            return self.prove_staged(number, entry, version, &staged, prover);
        }
        Ok(judge(entry, proof))
    }

    /// Proves a zip where it lies in the mirror.
    pub(super) fn prove_staged(
        &self,
        number: LineNumber,
        entry: &Entry,
        version: &ModuleVersion,
        staged: &Source,
        prover: &mut Prover,
    ) -> Judged<H1> {
        let proof = prover.prove(version, staged, staged.size(), None);
        Ok(judge(entry, proof.map_err(|error| self.unreadable(number, entry, &error))?))
    }

    /// Copies one file. A zip is hashed when it is proved, beside its contents, which is faster; everything else while it is
    /// copied.
    pub(super) fn bring(&self, number: LineNumber, entry: &Entry, bytes: Opener) -> Judged<Source> {
        let (to, path) = (staged_file(&self.head.id, number, &entry.path), entry.path.to_string());
        if matches!(entry.path, BundlePath::Zip(_)) {
            return copy(self.carrier, &path, entry.size, bytes, self.mirror, &to, |_| {}).map(Ok);
        }
        let (sha256, source) = copy_hashed(self.carrier, &path, entry.size, bytes, self.mirror, &to)?;
        Ok(if sha256 == entry.sha256 { Ok(source) } else { Err(other_hash(sha256, entry)) })
    }

    /// What an earlier import has left of a file in staging, if it is the same.
    pub(super) fn left(&self, number: LineNumber, entry: &Entry) -> Option<Source> {
        let path = staged_file(&self.head.id, number, &entry.path);
        let left = self.open(&path).ok().filter(|left| left.size() == entry.size)?;
        let is_alone = self.mirror.durable().files().is_ours_alone(&path, FILE_MODE).is_ok_and(|alone| alone);
        let is_same = || tape::hash(&left, left.size()).is_ok_and(|hash| hash == entry.sha256);
        (is_alone && is_same()).then_some(left)
    }

    /// Opens a file of the mirror.
    pub(super) fn open(&self, path: &Path) -> Result<Source> {
        let durable = self.mirror.durable();
        durable.files().open(path).map_err(|error| Error::io(&durable.full(path), "could not be opened", &error))
    }

    /// The error for a file of staging that cannot be read.
    pub(super) fn unreadable(&self, number: LineNumber, entry: &Entry, error: &io::Error) -> Error {
        Error::io(
            &self.mirror.durable().full(&staged_file(&self.head.id, number, &entry.path)),
            "could not be read",
            error,
        )
    }
}

/// What a proof says about a line of the manifest.
fn judge(entry: &Entry, proof: Proof) -> std::result::Result<H1, (FindingKind, String)> {
    if proof.sha256 != entry.sha256 {
        return Err(other_hash(proof.sha256, entry));
    }
    proof.h1.map_err(|reason| (FindingKind::Zip, reason))
}

fn other_hash(sha256: FileSha256, entry: &Entry) -> (FindingKind, String) {
    (FindingKind::Hash, format!("has sha256 {sha256}, SHA256SUMS states {}", entry.sha256))
}

/// A file of staging that gets what is read, and why it could not be written.
struct Copy<'a> {
    to: Writer<'a>,
    failed: Option<Error>,
}

impl Write for Copy<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.to.write_all(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                self.failed = Some(error);
                Err(io::Error::other("the copy failed"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
