//! Hashes of the tree, as RFC 6962 section 2.1 has them and golang.org/x/mod/sumdb/tlog uses them.

use crate::invalid::Invalid;
use core::fmt;
use core::str::FromStr;
use data_encoding::BASE64;
use sha2::{Digest, Sha256};

/// What a leaf's hash begins with, so that no leaf is a node.
const LEAF: u8 = 0x00;
/// What a node's hash begins with.
const NODE: u8 = 0x01;

/// The hash of a record, of a subtree or of a whole tree; text form: base64, as in a tree head.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeHash([u8; 32]);

impl TreeHash {
    /// Length in bytes, in tiles too.
    pub const BYTES: usize = 32;

    /// Wraps the 32 bytes that a tile or a list of heads states.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The hash of the tree without records.
    pub fn empty() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// The hash of a record's text.
    pub fn leaf(text: &[u8]) -> Self {
        Self(Sha256::new().chain_update([LEAF]).chain_update(text).finalize().into())
    }

    /// The hash of a node over its two children.
    pub fn node(left: Self, right: Self) -> Self {
        let mut input = [NODE; 1 + 2 * Self::BYTES];
        input[1..=Self::BYTES].copy_from_slice(&left.0);
        input[1 + Self::BYTES..].copy_from_slice(&right.0);
        Self(Sha256::digest(input).into())
    }

    /// The hash of the complete subtree over a run of 1, 2, 4, ... 256 hashes; none for any other number.
    pub fn fold(run: &[[u8; Self::BYTES]]) -> Option<Self> {
        const MOST: usize = 1 << crate::database::Tile::HEIGHT;
        if !run.len().is_power_of_two() || run.len() > MOST {
            return None;
        }
        let mut level = [[0; Self::BYTES]; MOST];
        level[..run.len()].copy_from_slice(run);
        let mut width = run.len();
        while width > 1 {
            for i in 0..width / 2 {
                level[i] = Self::node(Self(level[2 * i]), Self(level[2 * i + 1])).0;
            }
            width /= 2;
        }
        Some(Self(level[0]))
    }

    /// The hash of the tree that these complete subtrees make, from left to right, the largest first.
    pub fn join(subtrees: impl DoubleEndedIterator<Item = Self>) -> Self {
        subtrees.rev().reduce(|right, left| Self::node(left, right)).unwrap_or_else(Self::empty)
    }
}

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        BASE64.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TreeHash {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // The length as well: data-encoding takes padded pieces one after another.
        let bytes =
            if text.len() == BASE64.encode_len(Self::BYTES) { BASE64.decode(text.as_bytes()).ok() } else { None };
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| Invalid::new("tree hash", text, "not the base64 of 32 bytes"))
    }
}
