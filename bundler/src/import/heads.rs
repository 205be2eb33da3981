//! The tree heads of a mirror, `ledger/sumdb/NAME/@heads`: one JSON object a line, ascending by size (SPEC M101).
//!
//! All of them are proven to be one log, and a client that has stored one finds its way to the newest.

use crate::error::{Error, ErrorKind, Result};
use crate::mirror::Mirror;
use modferry_format::database::DatabaseName;
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::sumdb::note::NotOpened;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// Largest file of heads that is read or written, in bytes: room for some 100,000 heads, of which a bundle brings up to 500.
pub(crate) const MAX_BYTES: u64 = 64 << 20;

/// A head, and the bundle that brought it.
#[derive(Debug, Clone)]
pub(crate) struct HeadLine {
    pub(crate) head: Head,
    pub(crate) bundle: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    size: u64,
    root: String,
    bundle: String,
    note: String,
}

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
    parse(&text, key, Signatures::Newest).map_err(|reason| {
        if let Some(other) = signer_of(&text, key) {
            let message = format!("{}: the mirror's heads of {} are signed by another key", full.display(), key.name());
            return Error::new(ErrorKind::Untrusted, message)
                .because(format!("this import trusts {key}"))
                .because(format!("the mirror has {other}"))
                .hint("a database with another key is another database: find out which key is the right one");
        }
        Error::new(ErrorKind::MirrorDamaged, format!("{}: is damaged", full.display()))
            .because(reason)
            .hint("put the file back from a copy of the mirror: it is what tells one log from another")
    })
}

/// An error for a file that would be larger than anybody reads.
pub(crate) fn hold_to_limit(file: &Path, size: u64) -> Result<()> {
    if size <= MAX_BYTES {
        return Ok(());
    }
    let message = format!("{}: would have {size} bytes, at most {MAX_BYTES} are allowed", file.display());
    Err(Error::new(ErrorKind::Unsupported, message)
        .hint("a mirror holds some 100,000 tree heads of one database: begin a new mirror for what comes next"))
}

/// What the first note says of its signer, if it is whole and not signed by this key.
fn signer_of(text: &[u8], key: &VerifierKey) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let line: Line = serde_json::from_str(text.lines().next()?).ok()?;
    match Head::open(line.note.as_bytes(), key) {
        Err(NotOpened::NotSigned(_)) => line.note.lines().last().map(str::to_owned),
        _ => None,
    }
}

/// Whose signatures to verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signatures {
    All,
    /// That of the last line.
    Newest,
}

/// The heads in the bytes of the file, or what is wrong with the first line that is.
pub(crate) fn parse(
    text: &[u8],
    key: &VerifierKey,
    signatures: Signatures,
) -> std::result::Result<Vec<HeadLine>, String> {
    let mut lines: Vec<HeadLine> = Vec::new();
    let text = String::from_utf8_lossy(text);
    let mut left = text.lines().peekable();
    while let Some(text) = left.next() {
        let line: Line = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let head = match signatures {
            Signatures::Newest if left.peek().is_some() => Head::stored(&line.note),
            _ => Head::open(line.note.as_bytes(), key),
        };
        let head = head.map_err(|error| error.to_string())?;
        if head.size() != line.size || head.root().to_string() != line.root {
            return Err(format!("a line says {} {}, its note is {head}", line.size, line.root));
        }
        if lines.last().is_some_and(|last| last.head.size() >= head.size()) {
            return Err(format!("{head} is out of order"));
        }
        lines.push(HeadLine { head, bundle: line.bundle });
    }
    Ok(lines)
}

/// The text of the file.
pub(crate) fn text(lines: &[HeadLine]) -> String {
    let line = |line: &HeadLine| Line {
        size: line.head.size(),
        root: line.head.root().to_string(),
        bundle: line.bundle.clone(),
        note: line.head.note().to_owned(),
    };
    // Plain strings and numbers cannot fail to become JSON.
    lines.iter().map(|it| serde_json::to_string(&line(it)).unwrap_or_default() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &str = "go.sum database tree\n63096908\n8lHrQPRYe4KT4WQ9/Qk8/taKnD6IRHbFgfN7vQE2Y54=\n\n— sum.golang.org Az3gri/oVBN1jAhNZ/iS+W31psFAWRT20/GyrhpU6taFwulQGetBkH5S7wpGXdS935jiIGiUUAXBVHzT/P6fYhqAmAk=\n";

    /// One line for a tree of this size; only that of 63096908 is signed.
    fn line(size: u64) -> String {
        let note = NOTE.replace("63096908", &size.to_string());
        text(&[HeadLine { head: Head::stored(&note).unwrap(), bundle: "b".to_owned() }])
    }

    #[test]
    fn signatures_are_verified_of_the_newest_or_of_all() {
        let key = VerifierKey::sum_golang_org();
        let sizes = |text: &str, signatures| {
            parse(text.as_bytes(), &key, signatures).map(|lines| lines.iter().map(|line| line.head.size()).collect())
        };
        let file = line(5) + &line(63_096_908);
        assert_eq!(sizes(&file, Signatures::Newest), Ok(vec![5, 63_096_908]));
        assert!(sizes(&file, Signatures::All).is_err());
        assert!(sizes(&(line(5) + &line(6)), Signatures::Newest).is_err(), "nobody signed the newest");
        assert!(sizes(&(line(63_096_908) + &line(5)), Signatures::All).is_err(), "out of order");
        let other = line(5).replacen("\"size\":5", "\"size\":4", 1) + &line(63_096_908);
        assert!(sizes(&other, Signatures::Newest).is_err(), "line and note differ");
        assert!(Head::stored("go.sum database tree\n5\n").is_err(), "no note");
    }

    #[test]
    fn a_file_that_nobody_would_read_is_not_written() {
        let file = Path::new("@heads");
        assert!(hold_to_limit(file, MAX_BYTES).is_ok());
        assert_eq!(hold_to_limit(file, MAX_BYTES + 1).unwrap_err().kind, ErrorKind::Unsupported);
    }
}
