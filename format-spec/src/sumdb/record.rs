//! Lookups: what a database answers for a module version (SPEC M93).
//!
//! ```text
//! 48288060                                                          id, the record's number in the log
//! github.com/BurntSushi/toml v1.6.0 h1:dRaEfpa2VI55EwlIW72hMRHdWouJeRF7TPYhI+AUQjk=      record text
//! github.com/BurntSushi/toml v1.6.0/go.mod h1:ukJfTF/6rtPPRCnwkur4qwRxa8vTRFBF0uk2lLoLwho=
//!                                                                   blank line
//! go.sum database tree                                              signed note of a head beyond the id
//! ...
//! ```
//!
//! The hash of the text is leaf `id` of the tree. The note's signature is over the head alone, and any head beyond the id
//! will do: a lookup may be written again with another one.

use crate::go_sum::{Line, Subject};
use crate::hash::H1;
use crate::invalid::Invalid;
use crate::module_version::ModuleVersion;
use crate::sumdb::hash::TreeHash;
use crate::sumdb::head::{Head, MAX_SIZE};
use crate::sumdb::key::VerifierKey;
use crate::sumdb::note::{self, NotOpened};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

/// Largest lookup that is read, in bytes: room for the largest note and for any record text that has two lines.
pub const MAX_BYTES: usize = note::MAX_BYTES + 16 * 1024;

/// The record of one module version. Whether it is in the log, and under this id, is for [`crate::sumdb::prove`] to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Number of the record in the log, less than [`MAX_SIZE`].
    pub id: u64,
    /// The module version it speaks of.
    pub module: ModuleVersion,
    /// The h1 of its zip.
    pub zip: H1,
    /// The h1 of its go.mod.
    pub go_mod: H1,
}

impl Record {
    /// The record's text, exactly as it stands in the log: two lines of go.sum.
    pub fn text(&self) -> String {
        let zip = Line { subject: Subject::Zip(self.module.clone()), h1: self.zip };
        let go_mod = Line { subject: Subject::GoMod(self.module.clone()), h1: self.go_mod };
        format!("{zip}\n{go_mod}\n")
    }

    /// The leaf of the tree that it claims to be.
    pub fn leaf(&self) -> TreeHash {
        TreeHash::leaf(self.text().as_bytes())
    }
}

/// A lookup file; text form as above. Its note has not been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The record.
    pub record: Record,
    /// The signed note of a head, as the file has it. [`Lookup::head`] opens it.
    pub note: Box<str>,
}

impl Lookup {
    /// Reads the lookup that lies under the name of this module version.
    ///
    /// Its text must be the two lines of that version and no other: old `go` clients accept the genuine lookup of another
    /// module in its place (CVE-2026-56864). Everything up to the note has one spelling, so writing the lookup again
    /// gives the same bytes.
    pub fn parse(bytes: &[u8], module: &ModuleVersion) -> Result<Self, Invalid> {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(Invalid::MAX_SHOWN_BYTES)]);
        let invalid = |reason: &'static str| Invalid::new("lookup", &shown, reason);
        if bytes.len() > MAX_BYTES {
            return Err(invalid("larger than 1,016,384 bytes"));
        }
        let text = core::str::from_utf8(bytes).map_err(|_| invalid("not UTF-8"))?;
        let (record, note) = text.split_once("\n\n").ok_or_else(|| invalid("no blank line after the record"))?;
        let mut lines = record.split('\n');
        let (Some(id), Some(zip), Some(go_mod), None) = (lines.next(), lines.next(), lines.next(), lines.next()) else {
            return Err(invalid("not a record number and the two lines of the module version"));
        };
        let number = id.parse().ok().filter(|number: &u64| *number < MAX_SIZE && number.to_string() == id);
        let id = number.ok_or_else(|| invalid("the record number is no decimal number of 63 bits"))?;
        let hash = |line: &str, subject: Subject| {
            // Compared as text, for go.sum lines have more than one spelling.
            let hash = line.strip_prefix(&format!("{subject} "))?.parse::<H1>().ok()?;
            (format!("{subject} {hash}") == line).then_some(hash)
        };
        let other =
            || invalid("the record is not `M V h1:...` and `M V/go.mod h1:...` of the version that it lies under");
        let zip = hash(zip, Subject::Zip(module.clone())).ok_or_else(other)?;
        let go_mod = hash(go_mod, Subject::GoMod(module.clone())).ok_or_else(other)?;
        Ok(Self { record: Record { id, module: module.clone(), zip, go_mod }, note: note.into() })
    }

    /// The head that the lookup carries. A head that has been opened before, and is a [`Head::note`] equal to this note,
    /// need not be opened again.
    pub fn head(&self, key: &VerifierKey) -> Result<Head, NotOpened> {
        Head::open(self.note.as_bytes(), key)
    }
}

impl fmt::Display for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}", self.record.id, self.record.text(), self.note)
    }
}
