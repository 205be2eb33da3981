//! Which tiles the `go` command reads: a model of its client, to judge by whether a bundle has all of them.
//!
//! Follows golang.org/x/mod v0.43.0 line by line, `sumdb/client.go` and `TileHashReader` in `sumdb/tlog/tile.go`, names
//! included, and shares nothing with [`super::tree`]: what a slice should have and what a client reads are found on two
//! ways. It knows sizes, numbers and names, never a hash. Clients before x/mod v0.40.0 read the same tiles and check
//! fewer of them.
//!
//! A read that finds nothing is noted, and the model goes on as if it had found it, so one run names everything that is
//! missing.

use crate::database::Tile;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

const HEIGHT: u32 = Tile::HEIGHT as u32;
const FULL: u64 = Tile::FULL_WIDTH as u64;

/// A client, from the start of a `go` command to its end.
#[derive(Debug, Clone)]
pub struct Client<F> {
    /// Whether the server has a tile under this name.
    has: F,
    /// `c.latest.N`.
    latest: u64,
    /// Size of the head that is stored in `GOPATH/pkg/sumdb/NAME/latest`; 0 if there is none.
    config: u64,
    /// `GOMODCACHE/cache/download/sumdb/NAME`.
    cache: BTreeSet<Tile>,
    /// `c.tileCache`: what this process has read, from wherever.
    read: BTreeSet<Tile>,
    used: BTreeSet<Tile>,
    missing: BTreeSet<Tile>,
}

/// A lookup's record is not in any tree that the client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeyondHead {
    /// Number of the record.
    pub id: u64,
    /// Records in the client's newest tree.
    pub size: u64,
}

impl core::fmt::Display for BeyondHead {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "record {}: cannot be validated in a tree of size {}", self.id, self.size)
    }
}

impl core::error::Error for BeyondHead {}

impl<F: Fn(Tile) -> bool> Client<F> {
    /// A client that has stored the head of a tree of `stored` records (0 for none) and these tiles, and looks around
    /// before its first lookup: `initWork`.
    pub fn start(stored: u64, cache: BTreeSet<Tile>, has: F) -> Self {
        let mut client = Self {
            has,
            latest: 0,
            config: stored,
            cache,
            read: BTreeSet::new(),
            used: BTreeSet::new(),
            missing: BTreeSet::new(),
        };
        client.merge_latest(stored);
        client
    }

    /// Looks a version up whose record has this number, in a lookup that carries the head of a tree of `head` records:
    /// `Lookup`, from `ParseRecord` on.
    pub fn lookup(&mut self, id: u64, head: u64) -> Result<(), BeyondHead> {
        self.merge_latest(head);
        self.check_record(id)
    }

    /// The tile files that were read from the server.
    pub fn used(&self) -> &BTreeSet<Tile> {
        &self.used
    }

    /// The tiles that were needed and are neither on the server nor in the cache, full ones neither.
    pub fn missing(&self) -> &BTreeSet<Tile> {
        &self.missing
    }

    /// The tiles that are in the cache now.
    pub fn cache(&self) -> &BTreeSet<Tile> {
        &self.cache
    }

    fn merge_latest(&mut self, head: u64) {
        if self.merge_latest_mem(head) != When::Future {
            return;
        }
        // Nobody else writes the file, so no conflict makes this a loop.
        if self.merge_latest_mem(self.config) == When::Past {
            self.config = self.latest;
        }
    }

    fn merge_latest_mem(&mut self, head: u64) -> When {
        // An empty file is the empty tree, and nothing is checked.
        if head == 0 {
            return if self.latest == 0 { When::Now } else { When::Past };
        }
        if head <= self.latest {
            self.check_trees(head, self.latest);
            return if head < self.latest { When::Past } else { When::Now };
        }
        self.check_trees(self.latest, head);
        self.latest = head;
        When::Future
    }

    fn check_trees(&mut self, older: u64, newer: u64) {
        // tlog.TreeHash knows the hash of the empty tree.
        if older > 0 {
            self.read_hashes(newer, &sub_tree_index(older));
        }
    }

    fn check_record(&mut self, id: u64) -> Result<(), BeyondHead> {
        if id >= self.latest {
            return Err(BeyondHead { id, size: self.latest });
        }
        self.read_hashes(self.latest, &[Stored { level: 0, n: id }]);
        Ok(())
    }

    /// `tileHashReader.ReadHashes` in a tree of `tree` records.
    fn read_hashes(&mut self, tree: u64, indexes: &[Stored]) {
        let mut tiles = Vec::new();
        let mut planned = BTreeSet::new();
        // The tiles necessary to recompute the tree hash.
        for x in sub_tree_index(tree) {
            tiles.extend(tile_parent(tile_for_index(x), 0, tree).filter(|&tile| planned.insert(tile)));
        }
        for &x in indexes {
            let tile = tile_for_index(x);
            // Walk up parent tiles until one that is planned; no parent ends the walk too, as Go's zero tile would not.
            let parents = (0..).map_while(|k| tile_parent(tile, k, tree));
            tiles.extend(parents.take_while(|&parent| planned.insert(parent)));
        }
        for &tile in &tiles {
            self.read_tile(tile);
        }
        // SaveTiles.
        self.cache.extend(tiles);
    }

    fn read_tile(&mut self, tile: Tile) {
        let full = Tile::new(tile.level(), tile.index(), Tile::FULL_WIDTH).expect("wider than a tile that exists");
        if !self.read.insert(tile) || self.cache.contains(&tile) || self.cache.contains(&full) {
            return;
        }
        if (self.has)(tile) {
            self.used.insert(tile);
        } else if (self.has)(full) {
            self.used.insert(full);
        } else {
            self.missing.insert(tile);
        }
    }
}

/// What clients in all states read of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// The files that some client reads.
    pub used: BTreeSet<Tile>,
    /// What some client needs and the server has not, nor the full tile in its place.
    pub missing: BTreeSet<Tile>,
}

/// Runs clients in every state against a server that has these tiles: without a stored head; and for each of `heads`,
/// having stored it, without tiles in the cache and with those that it read when it got there. Each makes all lookups in
/// the order given, as record number and size of the head that the lookup carries: which head is met first decides what is
/// read.
pub fn reads(
    heads: &BTreeSet<u64>,
    lookups: &[(u64, u64)],
    has: impl Fn(Tile) -> bool + Copy,
) -> Result<Reads, BeyondHead> {
    let run = |stored, cache, newest: u64| {
        let mut client = Client::start(stored, cache, has);
        let mut done = BTreeSet::new();
        for &(id, head) in lookups.iter().filter(|(_, head)| *head <= newest) {
            // Records in one tile, under one head, are the same reads while the client knows no newer tree.
            if id >= client.latest || done.insert((client.latest, head, id / FULL)) {
                client.lookup(id, head)?;
            }
        }
        Ok(client)
    };
    let mut reads = Reads::default();
    let mut add = |client: Client<_>| {
        reads.used.extend(&client.used);
        reads.missing.extend(&client.missing);
    };
    add(run(0, BTreeSet::new(), u64::MAX)?);
    for &head in heads {
        add(run(head, BTreeSet::new(), u64::MAX)?);
        let before = run(head, BTreeSet::new(), head)?.cache;
        add(run(head, before, u64::MAX)?);
    }
    Ok(reads)
}

/// When a head is, as seen from the newest one: `msgPast`, `msgNow`, `msgFuture`.
#[derive(PartialEq, Eq)]
enum When {
    Past,
    Now,
    Future,
}

/// The coordinates of a stored hash: the `n`th of a level of the binary tree.
#[derive(Clone, Copy)]
struct Stored {
    level: u32,
    n: u64,
}

/// `subTreeIndex(0, hi, nil)`: the hashes that make the hash of a tree.
fn sub_tree_index(hi: u64) -> Vec<Stored> {
    let mut need = Vec::new();
    let mut lo = 0;
    while lo < hi {
        // maxpow2(hi-lo+1): the largest power of two that fits.
        let level = (hi - lo).ilog2();
        need.push(Stored { level, n: lo >> level });
        lo += 1 << level;
    }
    need
}

/// A tile before anyone knows how wide it is.
#[derive(Clone, Copy)]
struct Place {
    level: u32,
    n: u64,
}

/// `tileForIndex`: where a stored hash, or the hashes under it, are.
fn tile_for_index(x: Stored) -> Place {
    let level = x.level / HEIGHT;
    // How high above the tile's bottom.
    let above = x.level - level * HEIGHT;
    Place { level, n: x.n << above >> HEIGHT }
}

/// `tileParent`: the `k`th parent of a tile in a tree of `size` records.
fn tile_parent(tile: Place, k: u32, size: u64) -> Option<Tile> {
    let level = tile.level + k;
    let n = tile.n.checked_shr(k * HEIGHT).unwrap_or(0);
    let max = size.checked_shr(level * HEIGHT).unwrap_or(0);
    let first = n << HEIGHT;
    if first >= max {
        return None;
    }
    Tile::new(level as u8, n, (max - first).min(FULL) as u16)
}
