//! Tree heads: the size of the log and the root hash of its tree, signed by the database (SPEC M92).
//!
//! ```text
//! go.sum database tree
//! 63096908
//! 8lHrQPRYe4KT4WQ9/Qk8/taKnD6IRHbFgfN7vQE2Y54=
//!
//! — sum.golang.org Az3gri/oVBN1jAhNZ/iS+W31psFAWRT20/GyrhpU6taFwulQGetBkH5S7wpGXdS935jiIGiUUAXBVHzT/P6fYhqAmAk=
//! ```

use crate::sumdb::hash::TreeHash;
use crate::sumdb::key::VerifierKey;
use crate::sumdb::note::{self, NotOpened};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

/// First line of a head, `treePrefix` of golang.org/x/mod/sumdb/tlog.
const FIRST_LINE: &str = "go.sum database tree\n";
/// Largest size of a tree: Go has it in an int64.
pub const MAX_SIZE: u64 = i64::MAX as u64;

/// A tree head whose signature has been verified, with the note that says so: now, or before it was stored where only such
/// ones are.
///
/// Two heads are the same if size and root are: one tree can be signed more than once.
#[derive(Debug, Clone)]
pub struct Head {
    size: u64,
    root: TreeHash,
    note: Box<str>,
}

impl Head {
    /// Opens a signed note, and reads its text as `tlog.ParseTree` does; lines after the root are for later versions
    /// and passed over. Stricter than Go, the base64 of the root is canonical.
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<Self, NotOpened> {
        let text = note::open(note, key)?;
        let (size, root) = parse(text).map_err(NotOpened::NoTree)?;
        let note = core::str::from_utf8(note).expect("a note that opens is UTF-8");
        Ok(Self { size, root, note: note.into() })
    }

    /// Reads a note that was opened before and kept since; its signature, the costly part, is not looked at again. For a
    /// store that its owner guards, never for what came from elsewhere.
    pub fn stored(note: &str) -> Result<Self, NotOpened> {
        let text = note::text(note)?;
        let (size, root) = parse(text).map_err(NotOpened::NoTree)?;
        Ok(Self { size, root, note: note.into() })
    }

    /// The text that a database signs for this tree.
    pub fn text(size: u64, root: TreeHash) -> String {
        format!("{FIRST_LINE}{size}\n{root}\n")
    }

    /// Records in the tree, at most [`MAX_SIZE`].
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Hash of the tree's root.
    pub fn root(&self) -> TreeHash {
        self.root
    }

    /// The signed note, as it was opened.
    pub fn note(&self) -> &str {
        &self.note
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        (self.size, self.root) == (other.size, other.root)
    }
}

impl Eq for Head {}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tree head {} {}", self.size, self.root)
    }
}

fn parse(text: &str) -> Result<(u64, TreeHash), &'static str> {
    let rest = text.strip_prefix(FIRST_LINE).ok_or("its first line is not `go.sum database tree`")?;
    let (number, rest) = rest.split_once('\n').ok_or("no line with the size")?;
    let (root, _) = rest.split_once('\n').ok_or("no line with the root hash")?;
    let size = number.parse().ok().filter(|size: &u64| *size <= MAX_SIZE && size.to_string() == number);
    let size = size.ok_or("the size is no decimal number of 63 bits")?;
    let root = root.parse().map_err(|_| "the root hash is not the base64 of 32 bytes")?;
    Ok((size, root))
}
