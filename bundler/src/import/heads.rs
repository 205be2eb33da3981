//! The tree heads of a mirror, read from `ledger/sumdb/NAME/@heads` (SPEC M101).
//!
//! All of them are proven to be one log, and a client that has stored one finds its way to the newest.

use crate::error::{Error, ErrorKind, Result};
use crate::mirror::Mirror;
use modferry_format::database::DatabaseName;
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::sumdb::mirror::{self, HeadLine, Signatures};
use modferry_format::sumdb::note::NotOpened;
use std::io;
use std::path::{Path, PathBuf};

/// Largest file of heads that is read or written, in bytes: room for some 100,000 heads, of which a bundle brings up to 500.
pub(crate) const MAX_BYTES: u64 = 64 << 20;

/// Where the heads of a database lie.
pub(crate) fn path(name: &DatabaseName) -> PathBuf {
    // Below a directory of its own: one name may begin as another.
    Path::new(DIRECTORY).join(name.as_str()).join(FILE)
}

/// Where all of them are.
pub(crate) const DIRECTORY: &str = "ledger/sumdb";

/// The name of the file; no element of a database's name has an `@`.
pub(crate) const FILE: &str = "@heads";

/// The heads of a database, ascending by size; none for one that is not here.
pub(crate) fn read(mirror: &Mirror<'_>, key: &VerifierKey) -> Result<Vec<HeadLine>> {
    let path = path(key.name());
    let full = mirror.durable().full(&path);
    let text = match mirror.durable().files().read(&path, MAX_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|error| Error::io(&full, "the tree heads could not be read", &error))?,
    };
    // Every head was opened before it came here. The newest is what a bundle's log is held to; all of them again would cost
    // what the history of the mirror is long, and is for `modferry verify MIRROR`.
    mirror::parse(&text, key, Signatures::Newest).map_err(|invalid| {
        if let Some(other) = signer_of(&text, key) {
            let message = format!("{}: the mirror's heads of {} are signed by another key", full.display(), key.name());
            return Error::new(ErrorKind::Untrusted, message)
                .because(format!("this import trusts {key}"))
                .because(format!("the mirror has {other}"))
                .hint("a database with another key is another database: find out which key is the right one");
        }
        Error::new(ErrorKind::MirrorDamaged, format!("{}: is damaged", full.display()))
            .because(invalid.reason())
            .hint("put the file back from a copy of the mirror: it is what tells one log from another")
    })
}

/// What the first note says of its signer, if it is whole and not signed by this key.
fn signer_of(text: &[u8], key: &VerifierKey) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let note = HeadLine::note_in(text.lines().next()?)?;
    match Head::open(note.as_bytes(), key) {
        Err(NotOpened::NotSigned(_)) => note.lines().last().map(str::to_owned),
        _ => None,
    }
}
