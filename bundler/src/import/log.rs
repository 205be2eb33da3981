//! One checksum database of a mirror: its heads, and whether a bundle's head is of the same log.

use super::databases::published;
use super::heads;
use super::verdict::Verdict;
use super::{LineNumber, staged_file};
use crate::beneath::Kind;
use crate::error::{Error, ErrorKind, Result};
use crate::mirror::Mirror;
use modferry_format::check::Part;
use modferry_format::database::{DatabaseName, Tile};
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::sumdb::mirror::{self, HeadLine};
use modferry_format::sumdb::note;
use modferry_format::sumdb::prove::Prover;
use modferry_format::sumdb::refused::{Refused, Unproven};
use modferry_format::{BundleId, BundlePath};
use std::collections::BTreeMap;
use std::path::Path;

/// A full tile.
const MAX_TILE_BYTES: u64 = 8192;

/// One database.
pub(crate) struct Log {
    pub(crate) key: VerifierKey,
    /// What the ledger of the mirror has, ascending by size.
    pub(crate) lines: Vec<HeadLine>,
    /// The head that is served, where the ledger has lost it: one head more only asks for more.
    served: Option<Head>,
    /// What this bundle adds, proven.
    pub(crate) added: Vec<Head>,
}

impl Log {
    /// What the mirror has of a database.
    pub(crate) fn open(key: VerifierKey, mirror: &Mirror<'_>) -> Result<Self> {
        let mut log = Self { lines: heads::read(mirror, &key)?, served: None, key, added: Vec::new() };
        log.remember_latest(mirror)?;
        Ok(log)
    }

    /// What the mirror has, ascending by size.
    pub(crate) fn known(&self) -> impl Iterator<Item = &Head> {
        self.lines.iter().map(|line| &line.head).chain(&self.served)
    }

    /// The newest of these.
    pub(crate) fn newest(&self) -> Option<&Head> {
        self.served.as_ref().or(self.lines.last().map(|line| &line.head))
    }

    fn remember_latest(&mut self, mirror: &Mirror<'_>) -> Result<()> {
        let path = BundlePath::Head(self.key.name().clone());
        let text = path.to_string();
        match mirror.durable().files().kind(Path::new(&text)) {
            Ok(None | Some(Kind::File(_))) => {}
            _ => return Err(mirror.durable().stranger(Path::new(&text), "is no file")),
        }
        let Some(bytes) = published(mirror, &path, note::MAX_BYTES as u64)? else { return Ok(()) };
        let Ok(head) = Head::open(&bytes, &self.key) else { return Ok(()) };
        if self.newest().is_none_or(|newest| newest.size() < head.size()) {
            // Which bundle brought it nobody can say any more; the ledger gets it with this one.
            self.added.push(head.clone());
            self.served = Some(head);
        }
        Ok(())
    }

    /// Proves that the mirror's newest head and the bundle's are of one log. Gives the bundle's heads that the mirror lacks.
    pub(crate) fn join(&self, part: &Part, tiles: &Tiles<'_>) -> Result<Vec<Head>> {
        if let Some(newest) = self.newest() {
            // Of two trees of one size the mirror's is the older.
            let (older, newer) = mirror::in_order(newest, part.head());
            let proven = mirror::join(older, newer, |tile| tiles.get(&self.key, tile, true));
            match proven {
                Ok(_) => {}
                Err(Unproven::Unread { error, .. }) => return Err(error),
                Err(Unproven::Refused(Refused::Missing { tile })) => {
                    return Err(tiles.verdict.needs_bridge(&self.key, older, newer, tile));
                }
                Err(Unproven::Refused(refused)) => {
                    self.blame_the_mirror(newest, tiles, &refused)?;
                    // Both trees are proven, and differ.
                    return Err(tiles.verdict.fork(&self.key, older, newer, &refused));
                }
            }
        }
        let heads = part.served().iter().chain([part.head()]);
        let is_new = |head: &&Head| head.size() > 0 && self.known().all(|known| known != *head);
        Ok(heads.filter(is_new).cloned().collect())
    }

    /// A damaged tile of the mirror looks like a fork; what the mirror has must prove its own head.
    fn blame_the_mirror(&self, newest: &Head, tiles: &Tiles<'_>, refused: &Refused) -> Result<()> {
        let mut prover = Prover::new(newest);
        if let Refused::ForgedTile { tile, .. } | Refused::ForgedPrefix { tile, .. } | Refused::Length { tile, .. } =
            refused
            && tiles.published(&self.key, *tile)?.is_some()
        {
            // Not in the tree of this head: then it came with a head between the two.
            let _ = prover.file(*tile);
        }
        match prover.prove(|tile| tiles.published(&self.key, tile)) {
            Ok(_) => Ok(()),
            Err(Unproven::Unread { error, .. }) => Err(error),
            Err(Unproven::Refused(refused)) => {
                let message = format!(
                    "{}: a file of the checksum database {} is damaged",
                    tiles.mirror.path().display(),
                    self.key.name()
                );
                Err(Error::new(ErrorKind::MirrorDamaged, message)
                    .because(refused.to_string())
                    .hint("put the file back from a copy of the mirror, or move it away and import its bundle again"))
            }
        }
    }
}

/// Where the tiles of a bundle that is staged are found, and those of the mirror.
pub(crate) struct Tiles<'a> {
    pub(crate) mirror: &'a Mirror<'a>,
    pub(crate) id: BundleId,
    /// Whether the file of a line is staged.
    pub(crate) is_staged: &'a dyn Fn(LineNumber) -> bool,
    pub(crate) lines: BTreeMap<(DatabaseName, Tile), LineNumber>,
    pub(crate) verdict: Verdict<'a>,
}

impl Tiles<'_> {
    /// A tile of the bundle, or else, where that is allowed, one of the mirror.
    pub(crate) fn get(&self, key: &VerifierKey, tile: Tile, from_mirror: bool) -> Result<Option<Vec<u8>>> {
        match self.lines.get(&(key.name().clone(), tile)) {
            Some(&number) if (self.is_staged)(number) => {
                let path = staged_file(&self.id, number, &BundlePath::Tile(key.name().clone(), tile));
                let read = self.mirror.durable().files().read(&path, MAX_TILE_BYTES).map(Some);
                read.map_err(|error| Error::io(&self.mirror.durable().full(&path), "could not be read", &error))
            }
            Some(_) => self.published(key, tile),
            None if from_mirror => self.published(key, tile),
            None => Ok(None),
        }
    }

    fn published(&self, key: &VerifierKey, tile: Tile) -> Result<Option<Vec<u8>>> {
        published(self.mirror, &BundlePath::Tile(key.name().clone(), tile), MAX_TILE_BYTES)
    }
}
