//! Hashes: of file bytes, of module content, of a whole bundle; each kind is a type of its own.

use crate::invalid::Invalid;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};

/// SHA-256 of the bytes of one file; text form: 64 lower-case hex digits, as `sha256sum` prints it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileSha256([u8; 32]);

impl FileSha256 {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Wraps a digest that a streaming hasher gave.
    pub fn from_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The text form, where no memory is to be taken for it.
    pub fn hex(&self) -> [u8; 64] {
        let mut hex = [0; 64];
        HEXLOWER.encode_mut(&self.0, &mut hex);
        hex
    }
}

impl fmt::Display for FileSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for FileSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for FileSha256 {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        decode_hex(text).map(Self).ok_or_else(|| Invalid::new("sha256", text, "not 64 lower-case hex digits"))
    }
}

/// Go's hash of module content, the `h1:` of go.sum: of a zip its names and contents, of a go.mod its text
/// (SPEC M17).
///
/// It does not depend on how a zip is packed. [`H1Builder`] makes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct H1([u8; 32]);

/// What every h1 begins with; other algorithms have other letters.
const H1_PREFIX: &str = "h1:";

impl H1 {
    /// The hash of a go.mod file (`goModSum` of the go command): a list of the one name `go.mod`.
    pub fn of_go_mod(bytes: &[u8]) -> Self {
        let mut builder = H1Builder::default();
        builder.add("go.mod", Sha256::digest(bytes).into());
        builder.finish()
    }
}

impl fmt::Display for H1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(H1_PREFIX)?;
        BASE64.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for H1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for H1 {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.strip_prefix(H1_PREFIX)
            .and_then(|base64| BASE64.decode(base64.as_bytes()).ok().filter(|bytes| BASE64.encode(bytes) == base64))
            .and_then(|bytes| bytes.try_into().ok())
            // One spelling: the decoder also takes shorter texts one after the other, each with its padding.
            .map(Self)
            .ok_or_else(|| Invalid::new("h1", text, "not h1: and the base64 of 32 bytes"))
    }
}

/// Collects file names with the SHA-256 of their contents and makes the [`H1`] of them: `Hash1` of
/// golang.org/x/mod/sumdb/dirhash. Names may come in any order.
#[derive(Default)]
pub struct H1Builder {
    files: Vec<(String, [u8; 32])>,
}

impl H1Builder {
    /// Adds one file by its full name (in a zip with the `MODULE@VERSION/` prefix) and its content's digest.
    pub fn add(&mut self, name: impl Into<String>, content_sha256: [u8; 32]) {
        self.files.push((name.into(), content_sha256));
    }

    /// The hash over all files in byte order of their names.
    pub fn finish(mut self) -> H1 {
        self.files.sort_unstable();
        let mut all = Sha256::new();
        for (name, digest) in &self.files {
            let mut hex = [0; 64];
            HEXLOWER.encode_mut(digest, &mut hex);
            all.update(hex);
            all.update(b"  ");
            all.update(name);
            all.update(b"\n");
        }
        H1(all.finalize().into())
    }
}

/// The name of a bundle: SHA-256 of its `BUNDLE` file (SPEC M22).
///
/// Text form: 32 hex digits in groups of four, `3f2a-...`; [`BundleId::hex`] gives all 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId([u8; 32]);

impl BundleId {
    /// The id of the bundle whose `BUNDLE` file has these bytes.
    pub fn of(bundle_file: &[u8]) -> Self {
        Self(Sha256::digest(bundle_file).into())
    }

    /// Reads all 64 hex digits; the short form is a label and never read.
    pub fn from_hex(text: &str) -> Result<Self, Invalid> {
        decode_hex(text).map(Self).ok_or_else(|| Invalid::new("bundle id", text, "not 64 lower-case hex digits"))
    }

    /// All 64 hex digits.
    pub fn hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, pair) in self.0[..16].chunks(2).enumerate() {
            if i > 0 {
                f.write_str("-")?;
            }
            HEXLOWER.encode_display(pair).fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn decode_hex(text: &str) -> Option<[u8; 32]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_h1_has_one_spelling() {
        assert!("h1:eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=".parse::<H1>().is_ok());
        // Two texts of base64, 17 and 15 bytes, one after the other.
        assert!("h1:eHh4eHh4eHh4eHh4eHh4eHg=eHh4eHh4eHh4eHh4eHh4".parse::<H1>().is_err());
    }
}
