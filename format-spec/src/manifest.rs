//! `SHA256SUMS` and `SIZES`: every file of the content, by path, hash and size (SPEC M10 to M14).
//!
//! Both have the same paths in the same order, so a reader goes through them side by side with flat memory and
//! knows each file's size and hash before its first byte.

use crate::bundle_path::BundlePath;
use crate::hash::FileSha256;
use crate::invalid::Invalid;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Ordering;

/// Most files that a bundle of format 1 may carry (SPEC M14).
pub const MAX_ENTRIES: u64 = 1_500_000;
/// Longest line that is read, in bytes: a hash, two spaces, the longest path and some room for bad ones.
pub const MAX_LINE_BYTES: usize = 2048;

/// One file of the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub path: BundlePath,
    /// Hash of its bytes.
    pub sha256: FileSha256,
    /// Its size in bytes.
    pub size: u64,
}

impl Entry {
    /// Its line in `SHA256SUMS`, with the final newline (SPEC M10).
    pub fn sums_line(&self) -> String {
        format!("{}  {}\n", self.sha256, self.path)
    }

    /// Its line in `SIZES`, with the final newline (SPEC M11).
    pub fn sizes_line(&self) -> String {
        format!("{}  {}\n", self.size, self.path)
    }
}

/// Reads the two files line by line and holds them to the rules.
#[derive(Default)]
pub struct Reader {
    previous: Option<String>,
    /// The extra files whose paths the last extra path begins with, itself included; the shortest first.
    extra_stems: Vec<String>,
    entries: u64,
    bytes: u64,
}

impl Reader {
    /// Takes the next line of both files, without the newlines.
    ///
    /// After an error the reader can go on with the next lines, so that a check can name every bad one.
    pub fn entry(&mut self, sums_line: &str, sizes_line: &str) -> Result<Entry, Invalid> {
        self.entries += 1;
        let invalid = |kind, line, reason: &'static str| Err(Invalid::new(kind, line, reason));
        if self.entries > MAX_ENTRIES {
            return invalid("SHA256SUMS line", sums_line, "a bundle of format 1 has at most 1,500,000 files");
        }
        let Some((sha256, path)) = split(sums_line, 64) else {
            return invalid("SHA256SUMS line", sums_line, "not 64 hex digits, two spaces and a path");
        };
        let sha256 = sha256.parse()?;
        let sizes_kind = "SIZES line";
        let Some((size, sizes_path)) = sizes_line.split_once("  ") else {
            return invalid(sizes_kind, sizes_line, "not a size, two spaces and a path");
        };
        let Some(size) = size.parse().ok().filter(|number: &u64| number.to_string() == size) else {
            return invalid(sizes_kind, sizes_line, "the size is not a decimal number without leading zeros");
        };
        if sizes_path != path {
            return invalid(sizes_kind, sizes_line, "SHA256SUMS has another path in this place");
        }
        if let Some(previous) = &self.previous
            && BundlePath::order(previous, path) != Ordering::Less
        {
            return invalid("SHA256SUMS line", sums_line, "not after the path of the line before");
        }
        self.previous = Some(String::from(path));
        let path: BundlePath = path.parse()?;
        if matches!(path, BundlePath::Extra(_)) && self.is_below_a_file(sizes_path) {
            return invalid("SHA256SUMS line", sums_line, "below another file of the list");
        }
        self.bytes = self.bytes.saturating_add(size);
        Ok(Entry { path, sha256, size })
    }

    /// Whether an extra file stands where this path needs a folder (SPEC M13). No other kind of path can be below
    /// another file: their last elements, or parts of them, may stand in no folder's name.
    fn is_below_a_file(&mut self, path: &str) -> bool {
        // Paths that begin alike stand together in byte order, so what this one does not begin with is done with.
        while self.extra_stems.pop_if(|stem| !path.starts_with(stem.as_str())).is_some() {}
        let below = self.extra_stems.iter().any(|stem| path.as_bytes().get(stem.len()) == Some(&b'/'));
        self.extra_stems.push(String::from(path));
        below
    }

    /// Entries taken so far, bad ones included.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Sum of the sizes of all good entries so far, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn split(line: &str, digits: usize) -> Option<(&str, &str)> {
    let (hash, path) = line.split_once("  ")?;
    (hash.len() == digits).then_some((hash, path))
}
