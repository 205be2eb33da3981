//! The proof: that records, tile files and earlier heads all belong to the tree of one signed head (SPEC M95).
//!
//! 1. Claims are collected by name alone: which records, which heads, which files. Each marks the tiles of its chain, so
//!    the set of tiles is known before the first is read.
//! 2. The frontier is read; it must make the root of the head.
//! 3. From the highest level down, each marked tile is read once. A full one must have the hash that its parent states; a
//!    partial one is of the frontier. Only then its entries are used: as what its children must be, as leaves, which the
//!    records must be, and for the subtrees of earlier heads. Other widths of the same tile must be its prefixes.
//! 4. Each earlier head must be the root of its subtrees.
//!
//! So no tile counts before it is tied to the root: x/mod before v0.40.0 skipped that step for some tiles
//! (CVE-2026-56865), and old `go` commands still do. For them this proof is the only one.
//!
//! Tiles are not kept: beyond the frontier, at most 8 tiles of 8 KiB, a marked tile costs some hundred bytes until its
//! level is done. 2,000 records of a log of 72 million, 2,930 tiles, take 0.08 s.

use crate::database::Tile;
use crate::module_version::ModuleVersion;
use crate::sumdb::hash::TreeHash;
use crate::sumdb::head::Head;
use crate::sumdb::record::Record;
use crate::sumdb::refused::{Refused, Unproven};
use crate::sumdb::tree::{self, Subtree};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::collections::btree_map::{BTreeMap, Entry};
use alloc::vec::Vec;
use core::mem;

/// Collects what is to be proven by one head.
///
/// ```
/// # use modferry_format::sumdb::{head::Head, prove::Prover, record::Record};
/// # use modferry_format::database::Tile;
/// # fn example(
/// #     head: &Head, earlier: &Head, record: &Record, file: Tile, read: impl Fn(Tile) -> Result<Option<Vec<u8>>, String>,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// let mut prover = Prover::new(head);
/// prover.record(record)?;
/// prover.served(earlier)?;
/// prover.file(file)?;
/// prover.prove(|tile| read(tile))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Prover<'h> {
    head: &'h Head,
    heads: Vec<&'h Head>,
    /// What is wanted of each marked tile, by its index, level by level.
    levels: [BTreeMap<u64, Want>; LEVELS],
}

const LEVELS: usize = Tile::MAX_LEVEL as usize + 1;

/// What a tile is marked for.
#[derive(Debug, Default)]
struct Want {
    /// The hash of the full tile, as its parent states it; known when the level above is done.
    stated: Option<TreeHash>,
    /// At level 0: where the records are, and what they hash to.
    leaves: Vec<(usize, TreeHash, ModuleVersion)>,
    /// Complete subtrees of earlier heads.
    subtrees: Vec<Subtree>,
    /// Widths of the files that were claimed.
    files: BTreeSet<u16>,
}

/// That a proof succeeded, and what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proven {
    /// Tile files that were read.
    pub files: u64,
}

impl<'h> Prover<'h> {
    /// Everything is to be proven by this head.
    pub fn new(head: &'h Head) -> Self {
        let mut prover = Self { head, heads: Vec::new(), levels: [const { BTreeMap::new() }; LEVELS] };
        for subtree in tree::decompose(head.size()) {
            prover.mark(subtree.place());
        }
        prover
    }

    /// Claims that the record is in the log.
    pub fn record(&mut self, record: &Record) -> Result<(), Refused> {
        let (id, size) = (record.id, self.head.size());
        if id >= size {
            return Err(Refused::BeyondHead { module: record.module.clone(), id, size });
        }
        let leaf = Subtree::record(id);
        let want = self.mark(leaf.place());
        want.leaves.push((leaf.run().0, record.leaf(), record.module.clone()));
        Ok(())
    }

    /// Claims that the tree of the earlier head is the beginning of this tree.
    pub fn contains(&mut self, earlier: &'h Head) -> Result<(), Refused> {
        if earlier.size() > self.head.size() {
            return Err(Refused::NewerHead { size: earlier.size(), of: self.head.size() });
        }
        for subtree in tree::decompose(earlier.size()) {
            self.mark(subtree.place()).subtrees.push(subtree);
        }
        self.heads.push(earlier);
        Ok(())
    }

    /// Claims what [`contains`](Self::contains) does, and that a client that has stored the earlier head finds the tiles
    /// by which it checks its own.
    pub fn served(&mut self, earlier: &'h Head) -> Result<(), Refused> {
        self.contains(earlier)?;
        tree::own(earlier.size(), self.head.size()).try_for_each(|tile| self.file(tile))
    }

    /// Claims that the file is there and holds what this tree has at its place: no hash more, none other.
    ///
    /// Whoever claims a file must read the same one: [`prove`](Self::prove) may take the full tile in place of a partial
    /// one that is missing, but never of a file that was claimed.
    pub fn file(&mut self, file: Tile) -> Result<(), Refused> {
        let refused = Refused::NotInTree { tile: file, size: self.head.size() };
        let Some(tile) = tree::tile_of(file.level(), file.index(), self.head.size()) else { return Err(refused) };
        if file.width() > tile.width() {
            return Err(refused);
        }
        self.mark((file.level(), file.index())).files.insert(file.width());
        Ok(())
    }

    /// Marks a tile of this tree and all that it takes to prove it.
    fn mark(&mut self, place: (u8, u64)) -> &mut Want {
        let mut above = place;
        // Where a mark is, all above it are.
        while let Entry::Vacant(vacant) = self.levels[usize::from(above.0)].entry(above.1) {
            vacant.insert(Want::default());
            match parent(self.tile(above), self.head.size()) {
                Some(parent) => above = (parent.level(), parent.index()),
                None => break,
            }
        }
        self.levels[usize::from(place.0)].get_mut(&place.1).expect("marked above")
    }

    /// The tile at a place in this tree.
    fn tile(&self, (level, index): (u8, u64)) -> Tile {
        tree::tile_of(level, index, self.head.size()).expect("marks are set on tiles of the tree")
    }

    /// Reads the tiles and proves all claims by them, or stops at the first that is wrong.
    ///
    /// `get` gives the bytes of a tile file, and none if there is no such file. It is asked for no name twice.
    pub fn prove<B: AsRef<[u8]>, E>(
        mut self,
        get: impl FnMut(Tile) -> Result<Option<B>, E>,
    ) -> Result<Proven, Unproven<E>> {
        let mut files = Files { get, read: 0 };
        let frontier = self.frontier(&mut files)?;
        let mut roots = BTreeMap::new();
        for level in (0..=Tile::MAX_LEVEL).rev() {
            for (index, want) in mem::take(&mut self.levels[usize::from(level)]) {
                let tile = self.tile((level, index));
                let read;
                let hashes = match frontier.get(&tile) {
                    Some(hashes) => hashes,
                    None => {
                        read = self.full(tile, &want, &mut files)?;
                        &read
                    }
                };
                self.use_proven(tile, hashes, &want, &mut roots)?;
                for width in want.files.into_iter().filter(|&width| width != tile.width()) {
                    files.prefix(tile, width, hashes)?;
                }
            }
        }
        for earlier in self.heads {
            let root = TreeHash::join(tree::decompose(earlier.size()).map(|subtree| roots[&subtree]));
            if root != earlier.root() {
                let (older, newer) = (Box::new(earlier.clone()), Box::new(self.head.clone()));
                return Err(Refused::Fork { older, newer, root }.into());
            }
        }
        Ok(Proven { files: files.read })
    }

    /// The partial tiles of the tree, which make its root.
    fn frontier<B: AsRef<[u8]>, E, G: FnMut(Tile) -> Result<Option<B>, E>>(
        &self,
        files: &mut Files<G>,
    ) -> Result<BTreeMap<Tile, Hashes>, Unproven<E>> {
        let size = self.head.size();
        let mut frontier = BTreeMap::new();
        let mut subtrees = Vec::new();
        for subtree in tree::decompose(size) {
            let (level, index) = subtree.place();
            let tile = self.tile((level, index));
            let hashes = match frontier.entry(tile) {
                Entry::Occupied(read) => read.into_mut(),
                Entry::Vacant(unread) => unread.insert(files.hashes(tile, &self.levels[usize::from(level)][&index])?),
            };
            subtrees.push(fold(subtree, hashes));
        }
        if TreeHash::join(subtrees.into_iter()) != self.head.root() {
            return Err(Refused::Frontier { size, tiles: frontier.into_keys().rev().collect() }.into());
        }
        Ok(frontier)
    }

    /// A full tile, which must have the hash that its parent states.
    fn full<B: AsRef<[u8]>, E, G: FnMut(Tile) -> Result<Option<B>, E>>(
        &self,
        tile: Tile,
        want: &Want,
        files: &mut Files<G>,
    ) -> Result<Hashes, Unproven<E>> {
        let hashes = files.hashes(tile, want)?;
        let parent = parent(tile, self.head.size()).expect("partial tiles are the frontier");
        // Never none: the level above is done. If it were, the tile would be refused.
        if want.stated.is_some() && TreeHash::fold(&hashes) == want.stated {
            Ok(hashes)
        } else {
            Err(Refused::ForgedTile { tile, parent }.into())
        }
    }

    /// Uses the hashes of a tile that is tied to the root.
    fn use_proven(
        &mut self,
        tile: Tile,
        hashes: &[[u8; TreeHash::BYTES]],
        want: &Want,
        roots: &mut BTreeMap<Subtree, TreeHash>,
    ) -> Result<(), Refused> {
        for (at, leaf, module) in &want.leaves {
            if hashes[*at] != *leaf.as_bytes() {
                let id = tile.index() * u64::from(Tile::FULL_WIDTH) + *at as u64;
                return Err(Refused::ForgedRecord { module: module.clone(), id });
            }
        }
        for &subtree in &want.subtrees {
            roots.entry(subtree).or_insert_with(|| fold(subtree, hashes));
        }
        if tile.level() > 0 {
            let first = tile.index() * u64::from(Tile::FULL_WIDTH);
            let children = self.levels[usize::from(tile.level()) - 1].range_mut(first..first + hashes.len() as u64);
            for (&index, child) in children {
                child.stated = Some(TreeHash::from_bytes(hashes[(index - first) as usize]));
            }
        }
        Ok(())
    }
}

/// Proves of two heads, in any order, that the smaller tree is the beginning of the larger one.
pub fn consistent<B: AsRef<[u8]>, E>(
    one: &Head,
    other: &Head,
    get: impl FnMut(Tile) -> Result<Option<B>, E>,
) -> Result<Proven, Unproven<E>> {
    let (older, newer) = if one.size() <= other.size() { (one, other) } else { (other, one) };
    let mut prover = Prover::new(newer);
    prover.contains(older)?;
    prover.prove(get)
}

/// The hashes of a tile.
type Hashes = Vec<[u8; TreeHash::BYTES]>;

/// Reads tiles and counts them.
struct Files<G> {
    get: G,
    read: u64,
}

impl<B: AsRef<[u8]>, E, G: FnMut(Tile) -> Result<Option<B>, E>> Files<G> {
    /// The hashes of a file; none if it is not there.
    fn file(&mut self, tile: Tile) -> Result<Option<Hashes>, Unproven<E>> {
        let Some(bytes) = (self.get)(tile).map_err(|error| Unproven::Unread { tile, error })? else { return Ok(None) };
        self.read += 1;
        match bytes.as_ref().as_chunks() {
            (hashes, []) if hashes.len() == usize::from(tile.width()) => Ok(Some(hashes.to_vec())),
            _ => Err(Refused::Length { tile, bytes: bytes.as_ref().len() }.into()),
        }
    }

    /// The hashes of a tile, from the file of its name or, unless that is claimed, from that of the full tile, as
    /// `readTile` of Go's client does.
    fn hashes(&mut self, tile: Tile, want: &Want) -> Result<Hashes, Unproven<E>> {
        if let Some(hashes) = self.file(tile)? {
            return Ok(hashes);
        }
        let missing = Refused::Missing { tile };
        if tile.width() == Tile::FULL_WIDTH || want.files.contains(&tile.width()) {
            return Err(missing.into());
        }
        let full = Tile::new(tile.level(), tile.index(), Tile::FULL_WIDTH).expect("wider than a tile that exists");
        let mut hashes = self.file(full)?.ok_or(missing)?;
        hashes.truncate(usize::from(tile.width()));
        Ok(hashes)
    }

    /// A file that must hold the first hashes of a proven tile.
    fn prefix(&mut self, tile: Tile, width: u16, hashes: &[[u8; TreeHash::BYTES]]) -> Result<(), Unproven<E>> {
        let file = Tile::new(tile.level(), tile.index(), width).expect("claimed as a tile");
        let found = self.file(file)?.ok_or(Refused::Missing { tile: file })?;
        if hashes.starts_with(&found) { Ok(()) } else { Err(Refused::ForgedPrefix { tile: file, of: tile }.into()) }
    }
}

/// The tile that has this one as an entry; none for a partial tile.
fn parent(tile: Tile, size: u64) -> Option<Tile> {
    tree::chain(Subtree::first_of(tile), size).nth(1)
}

fn fold(subtree: Subtree, tile: &[[u8; TreeHash::BYTES]]) -> TreeHash {
    let (start, length) = subtree.run();
    TreeHash::fold(&tile[start..start + length]).expect("runs are powers of two up to 128")
}
