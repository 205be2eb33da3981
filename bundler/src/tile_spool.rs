//! Tiles of a bundle that is gone through once, kept until they are proven.
//!
//! A manifest has the tiles of the lowest level first, and a proof reads them from the top: so they wait, a few MiB in
//! memory and what is more in a temporary file.

use modferry_format::database::{DatabaseName, Tile};
use modferry_format::sumdb::hash::TreeHash;
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use tempfile::SpooledTempFile;

/// What stays in memory, in bytes: 1,000 tiles, as a closure of as many records has.
const IN_MEMORY_BYTES: usize = 8 << 20;

/// Tiles by name.
pub(crate) struct TileSpool {
    file: SpooledTempFile,
    end: u64,
    places: BTreeMap<(DatabaseName, Tile), u64>,
}

impl Default for TileSpool {
    fn default() -> Self {
        Self { file: SpooledTempFile::new(IN_MEMORY_BYTES), end: 0, places: BTreeMap::new() }
    }
}

impl TileSpool {
    /// Keeps a tile; its length is that of its width.
    pub(crate) fn add(&mut self, name: &DatabaseName, tile: Tile, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(bytes)?;
        self.places.insert((name.clone(), tile), self.end);
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Gives a tile back.
    pub(crate) fn get(&mut self, name: &DatabaseName, tile: Tile) -> io::Result<Option<Vec<u8>>> {
        let Some(&place) = self.places.get(&(name.clone(), tile)) else { return Ok(None) };
        self.file.seek(SeekFrom::Start(place))?;
        let mut bytes = vec![0; usize::from(tile.width()) * TreeHash::BYTES];
        self.file.read_exact(&mut bytes)?;
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_come_back_from_memory_and_from_a_file() {
        let name: DatabaseName = "sum.test".parse().unwrap();
        let mut spool = TileSpool::default();
        let tile = |index| Tile::new(0, index, 256).unwrap();
        let count = IN_MEMORY_BYTES as u64 / 8192 + 3;
        let bytes = |index: u64| vec![index as u8; 8192];
        for index in 0..count {
            spool.add(&name, tile(index), &bytes(index)).unwrap();
        }
        for index in (0..count).rev() {
            assert_eq!(spool.get(&name, tile(index)).unwrap(), Some(bytes(index)));
        }
        assert_eq!(spool.get(&name, tile(count)).unwrap(), None);
    }
}
