//! What a proof finds wrong: one value per way to be wrong, each with the file at fault.

use crate::database::Tile;
use crate::module_version::ModuleVersion;
use crate::sumdb::hash::TreeHash;
use crate::sumdb::head::Head;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

/// Why files are not proven to be a part of the database's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// A lookup has a record number that the tree of the head does not reach.
    BeyondHead {
        /// The lookup's module version.
        module: ModuleVersion,
        /// Its record number.
        id: u64,
        /// Records in the tree.
        size: u64,
    },
    /// A lookup has another text than the record of its number in the log: it is forged, or the number is.
    ForgedRecord {
        /// The lookup's module version.
        module: ModuleVersion,
        /// Its record number.
        id: u64,
    },
    /// A head to prove is of a larger tree than the head to prove it by.
    NewerHead {
        /// Its size.
        size: u64,
        /// Records in the tree.
        of: u64,
    },
    /// Two signed heads contradict each other: the database, or whoever has its key, has shown two different logs.
    ///
    /// Both notes are evidence that a person should see and keep.
    Fork {
        /// The head of the smaller tree, or of two trees of one size the one that was to be proven.
        older: Box<Head>,
        /// The head that it was to be proven by.
        newer: Box<Head>,
        /// The root of the first `older.size()` records of the newer tree.
        root: TreeHash,
    },
    /// A tile is needed that is not there, neither as wide as this nor full.
    Missing {
        /// The tile.
        tile: Tile,
    },
    /// A tile file has not the length that its name says.
    Length {
        /// The file.
        tile: Tile,
        /// Bytes that it has; 32 times the tile's width would be right.
        bytes: usize,
    },
    /// Tiles of the frontier do not make the root of the head. At least one of them is wrong, or a head that was not
    /// signed by the database was trusted.
    Frontier {
        /// Records in the tree.
        size: u64,
        /// The tiles, highest level first.
        tiles: Vec<Tile>,
    },
    /// A full tile has not the hash that its parent, which is proven, states for it.
    ///
    /// If this tile was proven before by another head, and the parent is new, the two heads are a fork of which nobody
    /// holds all tiles: keep both notes as for [`Refused::Fork`].
    ForgedTile {
        /// The tile at fault.
        tile: Tile,
        /// Its parent.
        parent: Tile,
    },
    /// A partial tile does not begin as the tile of the tree, which is proven, begins.
    ForgedPrefix {
        /// The file at fault.
        tile: Tile,
        /// The tile that is proven.
        of: Tile,
    },
    /// A tile file is not in the tree: it begins beyond its end, or is wider than the tree fills it.
    NotInTree {
        /// The file.
        tile: Tile,
        /// Records in the tree.
        size: u64,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeyondHead { module, id, size } => {
                write!(f, "lookup of {module}: record {id} is not in the tree of {size} records")
            }
            Self::ForgedRecord { module, id } => {
                write!(f, "lookup of {module}: the log has another text as record {id}")
            }
            Self::NewerHead { size, of } => {
                write!(f, "tree head of {size} records: cannot be proven by one of {of} records")
            }
            Self::Fork { older, newer, root } => {
                write!(f, "{older}: contradicts {newer}, whose first {} records have the root {root}", older.size())
            }
            Self::Missing { tile } => write!(f, "{tile}: not there, and needed for the proof"),
            Self::Length { tile, bytes } => {
                write!(f, "{tile}: has {bytes} bytes instead of {}", usize::from(tile.width()) * TreeHash::BYTES)
            }
            Self::Frontier { size, tiles } => {
                write!(f, "frontier of the tree of {size} records: does not make the root of its head")?;
                for (i, tile) in tiles.iter().enumerate() {
                    write!(f, "{}{tile}", if i > 0 { ", " } else { "; it is " })?;
                }
                Ok(())
            }
            Self::ForgedTile { tile, parent } => write!(f, "{tile}: has not the hash that {parent} states"),
            Self::ForgedPrefix { tile, of } => write!(f, "{tile}: does not begin as {of}"),
            Self::NotInTree { tile, size } => write!(f, "{tile}: not a part of the tree of {size} records"),
        }
    }
}

impl core::error::Error for Refused {}

/// Why a proof did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unproven<E> {
    /// Something is wrong.
    Refused(Refused),
    /// A tile could not be read, so nothing is known.
    Unread {
        /// The tile.
        tile: Tile,
        /// What the reader said.
        error: E,
    },
}

impl<E> From<Refused> for Unproven<E> {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl<E: fmt::Display> fmt::Display for Unproven<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::Unread { tile, error } => write!(f, "{tile}: {error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Unproven<E> {}
