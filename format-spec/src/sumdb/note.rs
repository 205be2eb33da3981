//! Signed notes: a text, a blank line, and lines that sign the text; opened as `note.Open` of
//! golang.org/x/mod/sumdb/note opens them with the one key of a database.
//!
//! ```text
//! TEXT, which ends in a newline
//!
//! — NAME BASE64(4 bytes of key hash, signature)
//! ```
//!
//! Several signatures are legal, and those of unknown keys are passed over: databases may have witnesses.

use crate::sumdb::key::{KeyId, VerifierKey};
use alloc::boxed::Box;
use alloc::string::ToString;
use core::fmt;
use data_encoding::BASE64_MIME_PERMISSIVE;

/// Most signatures of a note, as in `note.Open`.
pub const MAX_SIGNATURES: usize = 100;
/// Largest note, in bytes. `tlog.ParseTree` refuses a text of more; Go has no limit for the signatures after it.
pub const MAX_BYTES: usize = 1_000_000;

/// What signature lines begin with: an em dash and a space.
const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// Why a note was not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotOpened {
    /// The bytes are not a signed note.
    Malformed(&'static str),
    /// It is signed in the name of the key, but not by it, or not this text.
    WrongSignature(Box<str>),
    /// None of its signatures is by the key.
    NotSigned(Box<str>),
    /// It is signed by the key, and its text is not a tree head.
    NoTree(&'static str),
}

impl fmt::Display for NotOpened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(reason) => write!(f, "malformed note: {reason}"),
            Self::WrongSignature(key) => write!(f, "the signature in the name of {key} is wrong"),
            Self::NotSigned(key) => write!(f, "the note has no signature of {key}"),
            Self::NoTree(reason) => write!(f, "the signed text is no tree head: {reason}"),
        }
    }
}

impl core::error::Error for NotOpened {}

/// The text of a note, without a look at its signatures.
pub(crate) fn text(note: &str) -> Result<&str, NotOpened> {
    split(note).map(|(text, _)| text)
}

/// Text and signatures. The text may have blank lines, the signatures have none.
fn split(note: &str) -> Result<(&str, &str), NotOpened> {
    let at = note.rfind("\n\n").ok_or(NotOpened::Malformed("no blank line before the signatures"))?;
    Ok((&note[..=at], &note[at + 2..]))
}

/// The text of a note that the key has signed.
pub fn open<'a>(note: &'a [u8], key: &VerifierKey) -> Result<&'a str, NotOpened> {
    use NotOpened::Malformed;
    if note.len() > MAX_BYTES {
        return Err(Malformed("larger than 1,000,000 bytes"));
    }
    let note = core::str::from_utf8(note).map_err(|_| Malformed("not UTF-8"))?;
    if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(Malformed("a control character"));
    }
    let (text, signatures) = split(note)?;
    let signatures = signatures.strip_suffix('\n').ok_or(Malformed("no newline after the last signature"))?;
    let mut is_signed = false;
    for (number, line) in signatures.split('\n').enumerate() {
        let line = SignatureLine::parse(line).ok_or(Malformed("a line that is no signature"))?;
        if number >= MAX_SIGNATURES {
            return Err(Malformed("more than 100 signatures"));
        }
        // Of several signatures by one key, the first counts.
        if is_signed || line.name != key.name().as_str() || line.key_id != key.id() {
            continue;
        }
        if !key.verifies(text, &line.signature) {
            return Err(NotOpened::WrongSignature(key.to_string().into()));
        }
        is_signed = true;
    }
    if is_signed { Ok(text) } else { Err(NotOpened::NotSigned(key.to_string().into())) }
}

/// One signature of a note.
struct SignatureLine<'a> {
    name: &'a str,
    key_id: KeyId,
    /// At least one byte: of other algorithms any number.
    signature: Box<[u8]>,
}

impl<'a> SignatureLine<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (name, base64) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '+') {
            return None;
        }
        // Go's decoder does not look at the bits that are left over, nor does this one; Go's stops at padding, and this
        // one takes several padded pieces.
        if base64.trim_end_matches('=').contains('=') {
            return None;
        }
        let bytes = BASE64_MIME_PERMISSIVE.decode(base64.as_bytes()).ok()?;
        let (key_id, signature) = bytes.split_first_chunk()?;
        (!signature.is_empty()).then(|| Self { name, key_id: *key_id, signature: signature.into() })
    }
}
