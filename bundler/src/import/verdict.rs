//! How an import of a checksum database ends that cannot be: the errors, and what is kept for somebody to see.

use super::staged_change;
use super::waiting::WAITS;
use crate::carrier::Carrier;
use crate::error::{Error, ErrorKind};
use crate::mirror::{Mirror, staging};
use modferry_format::database::Tile;
use modferry_format::header::Header;
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::sumdb::refused::Refused;
use modferry_format::{BundleId, BundlePath, FileSha256};
use std::path::Path;

/// Says what ends an import, and keeps what somebody must see.
pub(crate) struct Verdict<'a> {
    pub(crate) mirror: &'a Mirror<'a>,
    pub(crate) id: BundleId,
    pub(crate) carrier: &'a dyn Carrier,
    pub(crate) keeps: Keeps,
}

/// What is written of a bundle that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// Nothing: it is only tried, or not all of the bundle is in staging yet.
    Nothing,
    /// The two notes of a fork; that the bundle waits in staging for a bridge.
    Evidence,
}

impl Verdict<'_> {
    /// Two logs under one key. Both notes are kept in the mirror: they are evidence against whoever has the key.
    pub(crate) fn fork(&self, key: &VerifierKey, older: &Head, newer: &Head, reason: &Refused) -> Error {
        let message = format!(
            "{}: its head of {} contradicts the other one: two logs were signed",
            self.carrier.name(),
            key.name()
        );
        let error = Error::new(ErrorKind::Fork, message).because(reason.to_string());
        let error = error.because(older.note()).because(newer.note());
        let hint = "nothing was imported; show both notes to the owner of the database: one of them, or the key, is not \
                    genuine";
        if self.keeps == Keeps::Nothing {
            return error.hint(hint);
        }
        let text = format!("{}\n{}", older.note(), newer.note());
        // Two forks may be of the same sizes.
        let hash = FileSha256::of(text.as_bytes()).to_string();
        let name = key.name().as_str().replace('/', "_");
        let file = format!("fork-{name}-{}-{}-{}.txt", older.size(), newer.size(), &hash[..16]);
        let (durable, path) = (self.mirror.durable(), Path::new("quarantine").join(file));
        match durable.replace(&path, text.as_bytes(), &staged_change(&self.id, "fork")) {
            Ok(()) => error.because(format!("both are kept in {}", durable.full(&path).display())),
            Err(failed) => error.because(failed.to_string()),
        }
        .hint(hint)
    }

    /// The bundle waits in staging.
    pub(crate) fn needs_bridge(&self, key: &VerifierKey, older: &Head, newer: &Head, tile: Tile) -> Error {
        let (durable, path) = (self.mirror.durable(), staging(&self.id).join(WAITS));
        let text = format!("{}\n{}", older.note(), newer.note());
        let is_there = durable.files().read(&path, text.len() as u64).is_ok_and(|there| there == text.as_bytes());
        let write = || durable.create(&path)?.write_all(text.as_bytes());
        if !is_there
            && self.keeps == Keeps::Evidence
            && let Err(error) = write()
        {
            return error;
        }
        let name = self.carrier.name();
        let message = format!("{name}: needs-bridge {} {} {}", key.name(), older.size(), newer.size());
        Error::new(ErrorKind::NeedsBridge, message)
            .because(format!("{tile} is neither in the bundle nor in the mirror, and joins the two tree heads"))
            .because(older.note())
            .because(newer.note())
            .hint(format!(
                "carry the two notes out ({} has them), make the bridge there: modferry bundle --bridge FILE -o BRIDGE, \
                 then here, with the flags of this import: modferry import BRIDGE MIRROR; this bundle waits in staging",
                durable.full(&path).display()
            ))
    }
}

/// The bundle counts on another one.
pub(crate) fn without_base(name: &str, header: &Header, what: &str) -> Error {
    Error::new(ErrorKind::BundleInvalid, format!("{name}: needs {what}, which this mirror does not have"))
        .because(format!("it was made after bundle {}", header.base.join(" ")))
        .hint("import that bundle first, or make a full one; the mirror is as it was")
}

/// A file of the mirror that the proven one of a bundle contradicts.
pub(crate) fn damaged(mirror: &Mirror<'_>, path: &BundlePath, reason: &str) -> Error {
    let full = mirror.durable().full(Path::new(&path.to_string()));
    Error::new(ErrorKind::MirrorDamaged, format!("{}: is damaged", full.display()))
        .because(reason)
        .hint("move the file away and import again: the bundle has it, proven")
}
