//! Names of checksum databases and of the tiles of their trees.

use crate::invalid::Invalid;
use crate::names::{self, ElementOf};
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

const KIND: &str = "checksum database name";

/// The name of a checksum database, such as `sum.golang.org`; it may have a path after the host (SPEC M15).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseName(Box<str>);

impl DatabaseName {
    /// Longest name, in bytes.
    pub const MAX_BYTES: usize = 100;
    /// Path elements that end the name in the path of one of its files, so no part of a name may be one.
    const RESERVED: [&str; 4] = ["supported", "latest", "lookup", "tile"];

    /// The name as it stands in GOSUMDB.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DatabaseName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |reason: &'static str| Err(Invalid::new(KIND, text, reason));
        if text.len() > Self::MAX_BYTES {
            return invalid("longer than 100 bytes");
        }
        for element in text.split('/') {
            if Self::RESERVED.contains(&element) {
                return invalid("supported, latest, lookup and tile cannot be part of a name");
            }
            // The names are folders on file systems of all kinds.
            if let Err(reason) = names::check_element(element, ElementOf::ModulePath) {
                return Err(Invalid::new(KIND, text, reason));
            }
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_' | b'~');
            if !element.bytes().all(plain) {
                return invalid("only lower-case letters, digits and -._~ may stand in a name");
            }
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One hash tile of height 8 of a database's tree; text form as in its URLs: `tile/8/0/x001/234.p/56`
/// (SPEC M16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

impl Tile {
    /// The tile height of Go's database; no other is in use.
    pub const HEIGHT: u8 = 8;
    /// Hashes in a full tile.
    pub const FULL_WIDTH: u16 = 1 << Self::HEIGHT;
    /// Highest level: 8 levels of height 8 cover any 64-bit tree.
    pub const MAX_LEVEL: u8 = 7;

    /// A tile at `level` (0 to 7), number `index`, holding its first `width` (1 to 256) hashes.
    pub fn new(level: u8, index: u64, width: u16) -> Option<Self> {
        let fits = level <= Self::MAX_LEVEL && (1..=Self::FULL_WIDTH).contains(&width) && index <= i64::MAX as u64;
        fits.then_some(Self { level, index, width })
    }

    /// Level in the tree, 0 for the leaves.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Number of the tile within its level.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Hashes it holds, 1 to 256.
    pub fn width(&self) -> u16 {
        self.width
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/{}/", Self::HEIGHT, self.level)?;
        let mut groups: Vec<u64> = Vec::new();
        let mut rest = self.index;
        loop {
            groups.push(rest % 1000);
            rest /= 1000;
            if rest == 0 {
                break;
            }
        }
        for (position, group) in groups.iter().enumerate().rev() {
            let (mark, end) = if position > 0 { ("x", "/") } else { ("", "") };
            write!(f, "{mark}{group:03}{end}")?;
        }
        if self.width < Self::FULL_WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

impl FromStr for Tile {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        parse_tile(text)
            // Printing again refuses every other spelling of the same numbers.
            .filter(|tile| tile.to_string() == text)
            .ok_or_else(|| Invalid::new("tile path", text, "not tile/8/LEVEL/INDEX[.p/WIDTH] as Go writes it"))
    }
}

fn parse_tile(text: &str) -> Option<Tile> {
    let (level, rest) = text.strip_prefix("tile/8/")?.split_once('/')?;
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => (index, width.parse().ok()?),
        None => (rest, Tile::FULL_WIDTH),
    };
    let index = index.split('/').try_fold(0_u64, |sum, group| {
        let digits = group.strip_prefix('x').unwrap_or(group);
        sum.checked_mul(1000)?.checked_add(digits.parse().ok()?)
    })?;
    Tile::new(level.parse().ok()?, index, width)
}
