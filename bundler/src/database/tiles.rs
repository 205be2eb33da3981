//! The tiles of the slice, fetched and laid out; one is in memory for a moment only.
//!
//! - A slice has every tile as wide as the tree fills it, and of the few that are open, narrower ones for earlier heads.
//!   Those are never asked for: nobody may have kept their widths (measured: 404 for most), and they are the beginning of
//!   the wider one, which the proof checks.
//! - A partial tile that is not there is cut from the full one, which the log may have by now.

use crate::database::Work;
use crate::database::remote::{Answer, words};
use crate::error::{Error, ErrorKind, Result};
use modferry_format::database::Tile;
use modferry_format::sumdb::hash::TreeHash;
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::record::Record;
use modferry_format::sumdb::tree;
use std::collections::BTreeSet;
use std::fs;

/// The tiles that were laid out.
pub(super) struct Tiles {
    pub(super) all: BTreeSet<Tile>,
    pub(super) bytes: u64,
}

pub(super) fn lay_out<'a>(
    work: &Work<'_>,
    head: &Head,
    records: impl Iterator<Item = &'a Record>,
    served: &[Head],
) -> Result<Tiles> {
    let all = tree::slice(head.size(), records.map(|record| record.id), served.iter().map(Head::size));
    let in_tree = |tile: &Tile| tree::tile_of(tile.level(), tile.index(), head.size());
    let (asked, cut): (Vec<Tile>, Vec<Tile>) = all.iter().partition(|tile| in_tree(tile) == Some(**tile));
    let mut bytes = 0;
    for (_, written) in
        work.each(asked, |&tile| get(work, tile).and_then(|hashes| work.write(&tile.to_string(), &hashes)))?
    {
        bytes += written;
    }
    for tile in cut {
        let wider = in_tree(&tile).expect("earlier heads have no tiles beyond the tree");
        let path = work.directory.join(wider.to_string());
        let hashes = fs::read(&path).map_err(|error| Error::io(&path, "could not be read", &error))?;
        bytes += work.write(&tile.to_string(), &hashes[..length(tile).min(hashes.len())])?;
    }
    Ok(Tiles { all, bytes })
}

fn length(tile: Tile) -> usize {
    usize::from(tile.width()) * TreeHash::BYTES
}

/// The bytes of a tile, as many as it must have.
fn get(work: &Work<'_>, tile: Tile) -> Result<Vec<u8>> {
    let full = Tile::new(tile.level(), tile.index(), Tile::FULL_WIDTH).expect("wider than a tile that exists");
    let base = &work.place.base;
    let mut said = String::new();
    for file in BTreeSet::from([tile, full]) {
        let name = file.to_string();
        match work.reader.get(base, &name, length(full))? {
            Answer::Found(mut bytes) if bytes.len() == length(file) => {
                bytes.truncate(length(tile));
                return Ok(bytes);
            }
            Answer::Found(bytes) => {
                let message = format!("{}: has {} bytes instead of {}", base.shown(&name), bytes.len(), length(file));
                return Err(Error::new(ErrorKind::HashConflict, message).because(words(&bytes)));
            }
            Answer::Absent(words) => said = words,
        }
    }
    let message = format!("{}: is not there, and needed for the proof", base.shown(&tile.to_string()));
    Err(Error::new(ErrorKind::Network, message)
        .because(said)
        .hint("a mirror of the database may be incomplete: ask another one, see go env GOPROXY GOSUMDB"))
}
