//! The tiles of the slice, fetched and laid out; one is in memory for a moment only.
//!
//! - A slice has every tile as wide as the tree fills it, and of the few that are open, narrower ones for earlier heads.
//!   Those are never asked for: nobody may have kept their widths (measured: 404 for most), and they are the beginning of
//!   the wider one, which the proof checks.
//! - A partial tile that is not there is cut from the full one, which the log may have by now.

use crate::database::Work;
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::remote::{Answer, words};
use modferry_format::database::Tile;
use modferry_format::sumdb::hash::TreeHash;
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::record::Record;
use modferry_format::sumdb::tree;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The tiles that were laid out.
pub(super) struct Tiles {
    pub(super) all: BTreeSet<Tile>,
    pub(super) bytes: u64,
}

pub(super) fn lay_out<'a>(
    work: &Work<'_>,
    // The size that the database has by now goes with it.
    (head, newest): (&Head, u64),
    records: impl Iterator<Item = &'a Record>,
    served: &[Head],
    caches: &[PathBuf],
) -> Result<Tiles> {
    let mut all = tree::slice(head.size(), records.map(|record| record.id), served.iter().map(Head::size));
    if let Some(since) = work.request.since {
        all.extend(tree::since(since, head.size()));
    }
    let in_tree = |tile: &Tile| tree::tile_of(tile.level(), tile.index(), head.size());
    let (asked, cut): (Vec<Tile>, Vec<Tile>) = all.iter().partition(|tile| in_tree(tile) == Some(**tile));
    let mut bytes = 0;
    for (_, written) in work.each(asked, |&tile| {
        get(work, tile, newest, caches).and_then(|hashes| work.write(&tile.to_string(), &hashes))
    })? {
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

/// A tile in go's own cache or in another bundle; the proof will tell whether it is good.
fn cached(file: &Path, tile: Tile) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file).ok()?.take(length(tile) as u64 + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() == length(tile)).then_some(bytes)
}

fn length(tile: Tile) -> usize {
    usize::from(tile.width()) * TreeHash::BYTES
}

/// The bytes of a tile, as many as it must have.
fn get(work: &Work<'_>, tile: Tile, newest: u64, caches: &[PathBuf]) -> Result<Vec<u8>> {
    if let Some(bytes) = caches.iter().find_map(|cache| cached(&cache.join(tile.to_string()), tile)) {
        return Ok(bytes);
    }
    let full = Tile::new(tile.level(), tile.index(), Tile::FULL_WIDTH).expect("wider than a tile that exists");
    let base = &work.place.base;
    let mut said = String::new();
    // Of an earlier head the width may be gone, and the full one not there yet.
    let by_now = tree::tile_of(tile.level(), tile.index(), newest).unwrap_or(full);
    for file in BTreeSet::from([tile, by_now, full]) {
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
