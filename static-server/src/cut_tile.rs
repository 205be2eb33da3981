//! A narrow tile of a checksum database, cut from a wider one that is here.
//!
//! A database only grows at its right end, so a tile of width W is the first W hashes of every wider tile at its place;
//! whoever keeps the wider one has them all. `go` asks for the width that its own head needs, then for the full tile,
//! and never for a wider partial one (`readTile` in golang.org/x/mod/sumdb/client.go), so the cut has to be made here.
//!
//! 1. The full tile is taken,
//! 2. else the narrowest of the partial ones that are wider.
//!
//! A file whose size is not what its width says is no tile and is passed over: nothing is ever made up.

use crate::beneath::Directory;
use crate::entity_tag::EntityTag;
use crate::file_bytes::{Patience, read_whole};
use crate::limits::MAX_TILE_DIRECTORY_NAMES;
use bytes::Bytes;
use modferry_format::database::{DatabaseName, Tile};
use modferry_format::sumdb::hash::TreeHash;
use modferry_format::{BundlePath, FileSha256};
use std::collections::BTreeSet;
use std::io;

/// The bytes of a partial tile that is no file of its own; `None` where no wider one is here.
pub(crate) fn cut(
    root: &Directory,
    database: &DatabaseName,
    tile: Tile,
    patience: Patience,
) -> io::Result<Option<(Bytes, EntityTag)>> {
    // Nothing is wider than a full tile.
    if tile.width() == Tile::FULL_WIDTH {
        return Ok(None);
    }
    if let Some(found) = cut_from(root, database, tile, Tile::FULL_WIDTH, patience)? {
        return Ok(Some(found));
    }
    let text = BundlePath::Tile(database.clone(), tile).to_string();
    // All partial tiles of one place stand in one directory, each named by its width.
    let Some((directory, _)) = text.rsplit_once('/') else { return Ok(None) };
    for width in wider(tile.width(), &root.names(directory, MAX_TILE_DIRECTORY_NAMES, patience)?) {
        if let Some(found) = cut_from(root, database, tile, width, patience)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The partial widths above this one among the names of a directory, narrowest first.
fn wider(width: u16, names: &[String]) -> BTreeSet<u16> {
    let widths = names.iter().filter_map(|name| {
        let width: u16 = name.parse().ok()?;
        // Printing again refuses every other spelling of the same number.
        (width.to_string() == *name).then_some(width)
    });
    widths.filter(|&other| width < other && other < Tile::FULL_WIDTH).collect()
}

/// The tile as the beginning of the one with this width at its place, where that is here and whole.
fn cut_from(
    root: &Directory,
    database: &DatabaseName,
    tile: Tile,
    width: u16,
    patience: Patience,
) -> io::Result<Option<(Bytes, EntityTag)>> {
    let Some(wide) = Tile::new(tile.level(), tile.index(), width) else { return Ok(None) };
    let path = BundlePath::Tile(database.clone(), wide).to_string();
    let Some((file, size)) = root.file(&path, patience)? else { return Ok(None) };
    if size != bytes_of(width) as u64 {
        return Ok(None);
    }
    let bytes = read_whole(&file, size, patience)?;
    // It may have become shorter since its size was asked for.
    if bytes.len() != bytes_of(width) || bytes.len() < bytes_of(tile.width()) {
        return Ok(None);
    }
    let tag = EntityTag::First { width: tile.width(), of: FileSha256::of(&bytes) };
    Ok(Some((Bytes::from(bytes).slice(..bytes_of(tile.width())), tag)))
}

/// Size of a tile with this many hashes.
fn bytes_of(width: u16) -> usize {
    usize::from(width) * TreeHash::BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    const PLACE: &str = "download/sumdb/sum.example/tile/8/1/x001/002";

    /// Hashes that differ, so that a wrong part of them is seen; `mark` tells the files apart.
    fn hashes(width: u16, mark: u8) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..width).flat_map(|hash| [hash.to_le_bytes()[0]; TreeHash::BYTES]).collect();
        if let Some(last) = bytes.last_mut() {
            *last = mark;
        }
        bytes
    }

    fn put(root: &Path, name: &str, bytes: &[u8]) {
        let path = root.join(format!("{PLACE}{name}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn cut_at(root: &Path, width: u16) -> Option<(Bytes, EntityTag)> {
        let tile = Tile::new(1, 1002, width).unwrap();
        cut(&Directory::open(root).unwrap(), &"sum.example".parse().unwrap(), tile, Patience::Wait).unwrap()
    }

    #[test]
    fn the_full_tile_is_taken_first_and_then_the_narrowest_that_is_wider() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        assert_eq!(cut_at(root, 5), None);
        let of = |bytes: &[u8], width: u16| {
            let tag = EntityTag::First { width, of: FileSha256::of(bytes) };
            Some((Bytes::copy_from_slice(&bytes[..usize::from(width) * 32]), tag))
        };
        // Nothing that is narrower or as wide helps.
        put(root, ".p/3", &hashes(3, b'a'));
        put(root, ".p/5", &hashes(5, b'b'));
        assert_eq!(cut_at(root, 5), None);
        put(root, ".p/200", &hashes(200, b'c'));
        assert_eq!(cut_at(root, 5), of(&hashes(200, b'c'), 5));
        // 30 is less than 200, though not as texts.
        put(root, ".p/30", &hashes(30, b'd'));
        assert_eq!(cut_at(root, 5), of(&hashes(30, b'd'), 5));
        assert_eq!(cut_at(root, 30), of(&hashes(200, b'c'), 30));
        assert_eq!(cut_at(root, 200), None);
        put(root, "", &hashes(256, b'e'));
        assert_eq!(cut_at(root, 5), of(&hashes(256, b'e'), 5));
        assert_eq!(cut_at(root, 255), of(&hashes(256, b'e'), 255));
        assert_eq!(cut_at(root, 256), None);
    }

    #[test]
    fn what_is_no_tile_is_passed_over() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        put(root, "", &hashes(256, 0)[1..]);
        put(root, ".p/7", &hashes(7, 0)[..7 * 32 - 1]);
        put(root, ".p/8", b"");
        put(root, ".p/9", &hashes(10, 0));
        assert_eq!(cut_at(root, 6), None);
        fs::create_dir(root.join(format!("{PLACE}.p/10"))).unwrap();
        put(root, ".p/11", &hashes(11, 0));
        assert_eq!(cut_at(root, 6).unwrap().0, hashes(11, 0)[..6 * 32]);
    }

    #[test]
    fn widths_are_spelled_one_way_and_ordered_as_numbers() {
        let names =
            ["9", "100", "20", "5", "4", "+7", "07", "7 ", "0", "256", "257", "70000", "-1", "", ".new", "8.tmp"];
        let names: Vec<String> = names.map(String::from).into();
        assert_eq!(Vec::from_iter(wider(5, &names)), [9, 20, 100]);
        assert_eq!(Vec::from_iter(wider(100, &names)), [0_u16; 0]);
    }
}
