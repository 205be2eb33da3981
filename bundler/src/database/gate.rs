//! The last gate: what was laid out is proven as its reader will prove it, and no client can miss a tile.
//!
//! The proof reads the files, every one of them. The model of the client knows names alone and was written from Go's
//! source, apart from the arithmetic that chose the tiles:
//!
//! - a client without a stored head, and one for each head of the request and a few of those met, make all lookups
//! - a client for every other head makes one: what it reads for its own head and on the way to the newest one. What it
//!   reads after that is what the first client reads. All lookups for each of 500 heads would take seconds.

use crate::database::lookups::Found;
use crate::database::tiles::Tiles;
use crate::database::{Work, fork};
use crate::error::{Error, ErrorKind, Result};
use modferry_format::database::Tile;
use modferry_format::sumdb::client::{self, BeyondHead};
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::prove::Prover;
use modferry_format::sumdb::refused::{Refused, Unproven};
use std::collections::BTreeSet;
use std::fs;
use std::io;

/// Most heads for which a client makes all lookups; one costs 6 ms with 2,000 records (measured).
const FULL_CLIENTS: usize = 32;

/// Clients for a range of heads.
const RANGE_CLIENTS: u64 = 16;

pub(super) fn prove(work: &Work<'_>, head: &Head, found: &Found, served: &[Head], tiles: &Tiles) -> Result<()> {
    by_hash(work, head, found, served, tiles)?;
    by_name(work, head, found, served, tiles)
}

/// Everything laid out belongs to the tree of the head.
fn by_hash(work: &Work<'_>, head: &Head, found: &Found, served: &[Head], tiles: &Tiles) -> Result<()> {
    let refuse = |refused: &Refused| refused_by(work, found, refused);
    let mut prover = Prover::new(head);
    work.carried(found).try_for_each(|record| prover.record(record)).map_err(|refused| refuse(&refused))?;
    served.iter().try_for_each(|head| prover.served(head)).map_err(|refused| refuse(&refused))?;
    tiles.all.iter().try_for_each(|&tile| prover.file(tile)).map_err(|refused| refuse(&refused))?;
    let read = |tile: Tile| match fs::read(work.directory.join(tile.to_string())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => bytes.map(Some).map_err(|error| error.to_string()),
    };
    match prover.prove(read) {
        Ok(_) => Ok(()),
        Err(Unproven::Refused(refused)) => Err(refuse(&refused)),
        Err(Unproven::Unread { tile, error }) => {
            let path = work.directory.join(tile.to_string());
            Err(Error::new(ErrorKind::Io, format!("{}: could not be read", path.display())).because(error))
        }
    }
}

/// The file at fault, as somebody who asks the database again would name it.
fn refused_by(work: &Work<'_>, found: &Found, refused: &Refused) -> Error {
    let name = work.place.key.name();
    match refused {
        Refused::Fork { older, newer, .. } => fork(older, newer, work),
        Refused::ForgedRecord { module, .. } => {
            let error = Error::new(ErrorKind::HashConflict, format!("{name}: {refused}"));
            match found.cached.get(module) {
                Some(file) => error
                    .because(format!("the lookup was taken from {}", file.display()))
                    .hint("remove that file and find out who wrote it: go would have refused the module as well"),
                None => error.hint("find out who answers in the name of the database before you go on"),
            }
        }
        _ => Error::new(ErrorKind::HashConflict, format!("{name}: {refused}"))
            .because(format!("it came from {}", work.place.base.shown("")))
            .hint("find out who answers in the name of the database before you go on"),
    }
}

/// No client misses a tile. If one does, it is a mistake of ours that must not leave this machine.
fn by_name(work: &Work<'_>, head: &Head, found: &Found, served: &[Head], tiles: &Tiles) -> Result<()> {
    let broken = |what: String| Error::new(ErrorKind::BundleInvalid, format!("{}: {what}", work.place.key.name()));
    let sizes = |heads: &[Head]| heads.iter().map(Head::size).collect::<Vec<_>>();
    let clients = Clients {
        head: head.size(),
        records: work.carried(found).map(|record| record.id).collect(),
        asked: sizes(work.request.heads),
        served: sizes(served),
        since: work.request.since,
    };
    let missing = clients.missing(&tiles.all, || work.interrupt().check())?;
    let missing = missing.map_err(|error| broken(error.to_string()))?;
    match missing.first() {
        None => Ok(()),
        Some(first) => {
            let error = broken(format!("{first} and {} tiles in all would be missed by a client", missing.len()));
            Err(error.hint("this is a mistake of modferry; please report it"))
        }
    }
}

/// The clients that may come to a bundle, in numbers alone.
struct Clients {
    /// Size of the head of all lookups.
    head: u64,
    /// Numbers of the records that are carried.
    records: Vec<u64>,
    /// Sizes of the heads that the request names.
    asked: Vec<u64>,
    /// Sizes of all heads that are served beside `head`.
    served: Vec<u64>,
    /// Where a range of heads begins.
    since: Option<u64>,
}

impl Clients {
    /// What they miss of these tiles.
    fn missing(
        &self,
        tiles: &BTreeSet<Tile>,
        check: impl Fn() -> Result<()>,
    ) -> Result<std::result::Result<BTreeSet<Tile>, BeyondHead>> {
        let lookups: Vec<(u64, u64)> = self.records.iter().map(|&id| (id, self.head)).collect();
        let step = self.served.len().div_ceil(FULL_CLIENTS).max(1);
        let mut full: BTreeSet<u64> = self.asked.iter().copied().take(FULL_CLIENTS).collect();
        full.extend(self.served.iter().rev().step_by(step).take(FULL_CLIENTS - full.len()));
        // Of a range some, spread over it: that it is whole is for the properties of `tree::since` to show.
        if let Some(since) = self.since.filter(|&since| since < self.head) {
            let step = ((self.head - since) / RANGE_CLIENTS).max(1);
            full.extend((since.max(1)..self.head).step_by(usize::try_from(step).unwrap_or(usize::MAX)));
        }
        let rest = self.served.iter().copied().filter(|size| !full.contains(size)).collect();
        let mut missing = BTreeSet::new();
        for (heads, lookups) in [(&full, &lookups[..]), (&rest, &lookups[..lookups.len().min(1)])] {
            check()?;
            match client::reads(heads, lookups, |tile| tiles.contains(&tile)) {
                Ok(reads) => missing.extend(reads.missing),
                Err(beyond) => return Ok(Err(beyond)),
            }
        }
        Ok(Ok(missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use modferry_format::sumdb::tree;

    fn missing(clients: &Clients, tiles: &BTreeSet<Tile>) -> BTreeSet<Tile> {
        clients.missing(tiles, || Ok(())).unwrap().unwrap()
    }

    /// Whatever the slice lacks, some client of the gate asks for: more heads than have a client that makes all lookups.
    #[test]
    fn each_tile_of_a_slice_is_missed_by_some_client() {
        for count in [0, 1, FULL_CLIENTS + 8] {
            let served: Vec<u64> = (0..count as u64).map(|number| 1 + number * number * 7 + number * 301).collect();
            let records = (0..20).map(|number: u64| number * number * 600 + 3).collect();
            let (head, asked) = (250_000, served.iter().copied().take(2).collect());
            let clients = Clients { head, records, asked, served, since: None };
            let slice = tree::slice(head, clients.records.iter().copied(), clients.served.iter().copied());
            assert_eq!(missing(&clients, &slice), BTreeSet::new());
            for tile in &slice {
                let mut less = slice.clone();
                less.remove(tile);
                // A tile that is open at an earlier head may be full here; whoever misses it names it as it was then.
                let is_it = |lacking: &Tile| (lacking.level(), lacking.index()) == (tile.level(), tile.index());
                assert!(missing(&clients, &less).iter().any(is_it), "{count} heads: {tile}");
            }
        }
    }

    #[test]
    fn a_range_that_lacks_its_level_is_missed() {
        let clients =
            Clients { head: 9_000, records: vec![3], asked: Vec::new(), served: Vec::new(), since: Some(4_000) };
        let mut tiles = tree::slice(9_000, [3], []);
        assert!(!missing(&clients, &tiles).is_empty());
        tiles.extend(tree::since(4_000, 9_000));
        assert_eq!(missing(&clients, &tiles), BTreeSet::new());
    }

    #[test]
    fn a_record_beyond_the_head_is_named() {
        let clients = Clients { head: 10, records: vec![3, 10], asked: Vec::new(), served: Vec::new(), since: None };
        let refused = clients.missing(&tree::slice(10, [3], []), || Ok(())).unwrap();
        assert_eq!(refused, Err(BeyondHead { id: 10, size: 10 }));
    }
}
