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
use modferry_format::sumdb::client;
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
    let has = |tile: Tile| tiles.all.contains(&tile);
    let lookups: Vec<(u64, u64)> = work.carried(found).map(|record| (record.id, head.size())).collect();
    let asked = work.request.heads.iter().map(Head::size);
    let step = served.len().div_ceil(FULL_CLIENTS).max(1);
    let mut full: BTreeSet<u64> = asked.take(FULL_CLIENTS).collect();
    full.extend(served.iter().rev().step_by(step).take(FULL_CLIENTS - full.len()).map(Head::size));
    // Of a range some, spread over it: that it is whole is for the properties of `tree::since` to show.
    if let Some(since) = work.request.since.filter(|&since| since < head.size()) {
        let step = ((head.size() - since) / RANGE_CLIENTS).max(1);
        full.extend((since.max(1)..head.size()).step_by(usize::try_from(step).unwrap_or(usize::MAX)));
    }
    let rest = served.iter().map(Head::size).filter(|size| !full.contains(size)).collect();
    let clients = [(&full, &lookups[..]), (&rest, &lookups[..lookups.len().min(1)])];
    for (heads, lookups) in clients {
        work.interrupt().check()?;
        let broken = |what: String| Error::new(ErrorKind::BundleInvalid, format!("{}: {what}", work.place.key.name()));
        let reads = client::reads(heads, lookups, has).map_err(|error| broken(error.to_string()))?;
        if let Some(missing) = reads.missing.first() {
            let count = reads.missing.len();
            let error = broken(format!("{missing} and {count} tiles in all would be missed by a client"));
            return Err(error.hint("this is a mistake of modferry; please report it"));
        }
    }
    Ok(())
}
