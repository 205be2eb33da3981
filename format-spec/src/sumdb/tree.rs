//! Which tiles prove what: the arithmetic of the tree, without any hash (SPEC M95).
//!
//! A tree of `n` records is cut into complete subtrees, one per set bit of `n` ([`decompose`]). The hash of one lies in,
//! or is folded from a run of, one tile; [`chain`] goes from there up to the first partial tile. Partial tiles are the
//! frontier: together they make the root, and there is at most one per level.
//!
//! - A reader of record `id` in the tree `n` reads the frontier and `chain(0, id, n)`.
//! - A reader that knows the tree `m` and moves to `n` reads [`own`]`(m, n)`, the frontier of `m` itself, and the chains of
//!   all of `decompose(m)`.
//! - [`since`] is that for all `m` of a range.
//! - [`slice()`] is the union of all of that, and exactly what Go's client reads.
//!
//! Every function takes any `u64` and none overflows; Go's own limit for the size of a tree is `i64::MAX`.

use crate::database::Tile;
use alloc::collections::BTreeSet;

/// Records under one entry of a tile at this level, as a power of two: 8 a level.
fn shift(level: u8) -> u32 {
    u32::from(level) * u32::from(Tile::HEIGHT)
}

/// Whole subtrees of this level in a tree of `n` records, which is the number of entries in all tiles of the level.
fn entries(level: u8, n: u64) -> u64 {
    n.checked_shr(shift(level)).unwrap_or(0)
}

/// A complete subtree: `2^height` records, the first of them `index << height`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subtree {
    /// 0 for a single record, at most 63.
    pub height: u8,
    /// Number among the subtrees of this height.
    pub index: u64,
}

impl Subtree {
    /// The subtree that is the record itself.
    pub fn record(id: u64) -> Self {
        Self { height: 0, index: id }
    }

    /// The first entry of a tile that is in some tree; its chain is that of the tile.
    pub(crate) fn first_of(tile: Tile) -> Self {
        // Entries of a tree are less than 2^63, so this cannot overflow.
        Self { height: tile.level() * Tile::HEIGHT, index: tile.index() * u64::from(Tile::FULL_WIDTH) }
    }

    /// Level and index of the tile that holds its hash, or the hashes that it is folded from.
    pub fn place(self) -> (u8, u64) {
        // (index << rest) >> 8, and nothing can be shifted out.
        let rest = self.height % Tile::HEIGHT;
        (self.height / Tile::HEIGHT, self.index >> (Tile::HEIGHT - rest))
    }

    /// Where in that tile its hashes begin, and how many they are: a power of two up to 128.
    pub fn run(self) -> (usize, usize) {
        let rest = self.height % Tile::HEIGHT;
        let within = self.index & ((1 << (Tile::HEIGHT - rest)) - 1);
        ((within as usize) << rest, 1 << rest)
    }
}

/// The tile at a place as wide as a tree of `n` records fills it; none if nothing of it is there.
pub fn tile_of(level: u8, index: u64, n: u64) -> Option<Tile> {
    let before = index.checked_mul(u64::from(Tile::FULL_WIDTH))?;
    let width = entries(level, n).checked_sub(before)?.min(u64::from(Tile::FULL_WIDTH));
    Tile::new(level, index, width as u16)
}

/// The complete subtrees that a tree of `n` records is made of, from left to right, the largest first.
pub fn decompose(n: u64) -> impl DoubleEndedIterator<Item = Subtree> {
    (0..u64::BITS as u8).rev().filter(move |height| n >> height & 1 == 1).map(move |height| {
        // All bits above this one are the records to its left.
        let index = (n >> height) - 1;
        Subtree { height, index }
    })
}

/// The tiles that prove a subtree in the tree of `n` records: the one it lies in, its parent, and so on, up to the first
/// partial one. Nothing for a subtree that begins beyond the tree.
pub fn chain(subtree: Subtree, n: u64) -> impl Iterator<Item = Tile> {
    let (level, index) = subtree.place();
    core::iter::successors(tile_of(level, index, n), move |tile| {
        // Only a full tile is an entry of a parent; that of a partial one is not there yet.
        (tile.width() == Tile::FULL_WIDTH).then(|| tile_of(tile.level() + 1, tile.index() / 256, n))?
    })
}

/// The frontier of the tree of `m` records in the files of the tree of `n`: what a client that holds the head `m` reads
/// to check its own head. A tile that has been completed by `n` is meant as the full one.
pub fn own(m: u64, n: u64) -> impl Iterator<Item = Tile> {
    (0..=Tile::MAX_LEVEL).filter_map(move |level| {
        let entries_then = entries(level, m);
        let (index, width) = (entries_then / 256, (entries_then % 256) as u16);
        if width == 0 {
            return None;
        }
        let complete = n.checked_shr(shift(level + 1)).unwrap_or(0) > index;
        Tile::new(level, index, if complete { Tile::FULL_WIDTH } else { width })
    })
}

/// The tiles by which every client with a head of `s` to `n` records finds its way to the head of `n`: all tiles of each
/// level from the one on that was open at `s`, and the open ones in every width since. 8.3 KiB for 256 records in between.
pub fn since(s: u64, n: u64) -> impl Iterator<Item = Tile> {
    (0..=Tile::MAX_LEVEL).flat_map(move |level| {
        let (first, end) = (entries(level + 1, s), entries(level, n).div_ceil(u64::from(Tile::FULL_WIDTH)));
        let whole = (first..end).filter_map(move |index| tile_of(level, index, n));
        let open = end.checked_sub(1).filter(|&index| index >= first).and_then(|index| tile_of(level, index, n));
        let open = open.filter(|open| open.width() < Tile::FULL_WIDTH);
        let narrower = open.into_iter().flat_map(move |open| {
            let least = if open.index() == first { entries(level, s) % u64::from(Tile::FULL_WIDTH) } else { 1 };
            (least.max(1) as u16..open.width()).filter_map(move |width| Tile::new(level, open.index(), width))
        });
        whole.chain(narrower)
    })
}

/// The tiles to carry for a tree of `n` records: its frontier, the chains of these records, and for each head (the size
/// of an earlier tree) its own frontier and the chains that show it to be a part of `n`.
///
/// Records and heads beyond `n` add nothing; whether there are any is for the caller to know. Joined with the tiles of an
/// earlier slice for `m`, and with `m` among the heads, the result proves everything at `n` that was proven at `m`
/// (SPEC M100).
pub fn slice(n: u64, ids: impl IntoIterator<Item = u64>, heads: impl IntoIterator<Item = u64>) -> BTreeSet<Tile> {
    let mut tiles = BTreeSet::new();
    // Chains meet, and go on together from there.
    let mut add = |subtree| {
        for tile in chain(subtree, n) {
            if !tiles.insert(tile) {
                break;
            }
        }
    };
    decompose(n).for_each(&mut add);
    ids.into_iter().map(Subtree::record).for_each(&mut add);
    let heads: BTreeSet<u64> = heads.into_iter().filter(|&m| m <= n).collect();
    heads.iter().flat_map(|&m| decompose(m)).for_each(&mut add);
    // After the chains: these tiles stand alone, and must not end one.
    tiles.extend(heads.iter().flat_map(|&m| own(m, n)));
    tiles
}
