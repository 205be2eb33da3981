//! The rules on the parts of checksum databases that a bundle carries (SPEC M90 to M97).
//!
//! Their files come first in a manifest, a head before its lookups and those before tiles, so the records are known
//! when the first module comes. Names are collected on the way; the proof at the end reads the tiles.

use crate::bundle_path::BundlePath;
use crate::database::{DatabaseName, Tile};
use crate::finding::{Finding, FindingKind};
use crate::go_sum::Subject;
use crate::hash::H1;
use crate::header::Header;
use crate::module_version::ModuleVersion;
use crate::sumdb::hash::TreeHash;
use crate::sumdb::head::Head;
use crate::sumdb::key::VerifierKey;
use crate::sumdb::note;
use crate::sumdb::prove::{Proven, Prover};
use crate::sumdb::record::{self, Lookup, Record};
use crate::sumdb::refused::{Refused, Unproven};
use crate::sumdb::tree::{self, Subtree};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The content of `supported`, which only has to be there.
pub const SUPPORTED: &str = "ok\n";

/// What a bundle carries of one database.
#[derive(Debug)]
pub struct Part {
    key: VerifierKey,
    head: Head,
    has_head: bool,
    served: Vec<Head>,
    has_supported: bool,
    records: BTreeMap<ModuleVersion, Record>,
    tiles: BTreeSet<Tile>,
}

/// The parts of all databases, by name.
#[derive(Debug, Default)]
pub struct Databases(BTreeMap<DatabaseName, Part>);

impl Part {
    /// The database's key, as bundle.json states it; only that of sum.golang.org is known to be right.
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The head that everything is proven by.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Earlier heads whose clients can go on from here.
    pub fn served(&self) -> &[Head] {
        &self.served
    }

    /// The records, by module version.
    pub fn records(&self) -> impl ExactSizeIterator<Item = &Record> {
        self.records.values()
    }

    /// The tile files.
    pub fn tiles(&self) -> &BTreeSet<Tile> {
        &self.tiles
    }

    /// Proves all of it: records, served heads, every tile file (SPEC M95).
    pub fn prove<B: AsRef<[u8]>, E>(
        &self,
        get: impl FnMut(Tile) -> Result<Option<B>, E>,
    ) -> Result<Proven, Unproven<E>> {
        self.claims(|_| true)?.prove(get)
    }

    /// Proves what can be proven by the tiles of a bundle that counts on those of its base (SPEC M97); gives how many
    /// records, heads and files are left for an import to prove.
    pub fn prove_alone<B: AsRef<[u8]>, E>(
        &self,
        get: impl FnMut(Tile) -> Result<Option<B>, E>,
    ) -> Result<u64, Unproven<E>> {
        let head = &self.head;
        let all = (self.records.len() + self.served.len() + self.tiles.len()) as u64;
        let has = |tile: Tile| {
            let full = Tile::new(tile.level(), tile.index(), Tile::FULL_WIDTH);
            self.tiles.contains(&tile) || full.is_some_and(|full| self.tiles.contains(&full))
        };
        let is_led = |subtree: Subtree| tree::chain(subtree, head.size()).all(has);
        if !tree::decompose(head.size()).all(is_led) {
            return Ok(all);
        }
        let mut left = 0;
        let prover = self.claims(|claim| {
            let is_provable = match claim {
                Claim::Record(record) => is_led(Subtree::record(record.id)),
                Claim::Served(earlier) => {
                    tree::decompose(earlier.size()).all(is_led)
                        && tree::own(earlier.size(), head.size()).all(|tile| self.tiles.contains(&tile))
                }
                Claim::File(tile) => is_led(Subtree::first_of(tile)),
            };
            left += u64::from(!is_provable);
            is_provable
        })?;
        prover.prove(get)?;
        Ok(left)
    }

    fn claims(&self, mut is_wanted: impl FnMut(Claim<'_>) -> bool) -> Result<Prover<'_>, Refused> {
        let mut prover = Prover::new(&self.head);
        for record in self.records.values().filter(|record| is_wanted(Claim::Record(record))) {
            prover.record(record)?;
        }
        for earlier in self.served.iter().filter(|earlier| is_wanted(Claim::Served(earlier))) {
            prover.served(earlier)?;
        }
        for &tile in self.tiles.iter().filter(|&&tile| is_wanted(Claim::File(tile))) {
            prover.file(tile)?;
        }
        Ok(prover)
    }
}

enum Claim<'a> {
    Record(&'a Record),
    Served(&'a Head),
    File(Tile),
}

impl Databases {
    /// What bundle.json says of them; what is wrong with it is a finding.
    pub(super) fn new(header: &Header, mut add: impl FnMut(Finding)) -> Self {
        let mut databases = Self::default();
        let mut find = |kind, detail| add(Finding::new("bundle.json", kind, detail));
        for stated in &header.databases {
            let key = match stated.key.parse::<VerifierKey>() {
                Ok(key) if key.to_string() == stated.key => key,
                Ok(_) => {
                    find(FindingKind::DatabaseKey, format!("database key {:?}: not in its one spelling", stated.key));
                    continue;
                }
                Err(invalid) => {
                    find(FindingKind::DatabaseKey, invalid.to_string());
                    continue;
                }
            };
            // SPEC M90
            let known = VerifierKey::sum_golang_org();
            if key.name() == known.name() && key != known {
                find(FindingKind::DatabaseKey, format!("{key}: is not the key of {}", known.name()));
                continue;
            }
            if databases.0.last_key_value().is_some_and(|(last, _)| last >= key.name()) {
                find(FindingKind::DatabaseKey, format!("{}: databases must ascend by name, each once", key.name()));
                continue;
            }
            // SPEC M92
            let head = match Head::open(stated.head.as_bytes(), &key) {
                Ok(head) => head,
                Err(error) => {
                    find(FindingKind::TreeHead, format!("the head of {}: {error}", key.name()));
                    continue;
                }
            };
            let mut served: Vec<Head> = Vec::new();
            for text in &stated.served {
                match Head::open(text.as_bytes(), &key) {
                    Ok(earlier)
                        if served.last().map_or(0, Head::size) >= earlier.size() || earlier.size() >= head.size() =>
                    {
                        let detail = format!("served {earlier}: served heads must ascend by size, below {head}");
                        find(FindingKind::TreeHead, detail);
                    }
                    Ok(earlier) => served.push(earlier),
                    Err(error) => find(FindingKind::TreeHead, format!("a served head of {}: {error}", key.name())),
                }
            }
            let (has_head, has_supported, records, tiles) = (false, false, BTreeMap::new(), BTreeSet::new());
            let name = key.name().clone();
            databases.0.insert(name, Part { key, head, has_head, served, has_supported, records, tiles });
        }
        databases
    }

    /// All parts, by name.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.0.values()
    }

    /// Whether nothing is carried of any database.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The h1 that the record of its version states for a zip or go.mod.
    pub fn h1(&self, path: &BundlePath) -> Option<H1> {
        let record = |version| self.0.values().find_map(|part| part.records.get(version));
        match path {
            BundlePath::Zip(version) => record(version).map(|record| record.zip),
            BundlePath::Mod(version) => record(version).map(|record| record.go_mod),
            _ => None,
        }
    }

    pub(super) fn has_record(&self, version: &ModuleVersion) -> bool {
        self.0.values().any(|part| part.records.contains_key(version))
    }

    /// Takes the next file, which is one of a database; gives what is wrong with it.
    pub(super) fn file(
        &mut self,
        path: &BundlePath,
        size: u64,
        bytes: Option<&[u8]>,
    ) -> Result<(), (FindingKind, String)> {
        let (BundlePath::Supported(name)
        | BundlePath::Head(name)
        | BundlePath::Lookup(name, _)
        | BundlePath::Tile(name, _)) = path
        else {
            return Ok(());
        };
        // SPEC M91
        let Some(part) = self.0.get_mut(name) else {
            let kind = if matches!(path, BundlePath::Tile(..)) { FindingKind::Tile } else { FindingKind::TreeHead };
            return Err((kind, "bundle.json names no such database".into()));
        };
        match (path, bytes) {
            // SPEC M94
            (BundlePath::Tile(_, tile), _) => {
                let length = u64::from(tile.width()) * TreeHash::BYTES as u64;
                if size != length {
                    return Err((FindingKind::Tile, format!("has {size} bytes instead of {length}")));
                }
                let records = part.head.size();
                if tree::tile_of(tile.level(), tile.index(), records).is_none_or(|of| of.width() < tile.width()) {
                    return Err((FindingKind::Tile, format!("not a part of the tree of {records} records")));
                }
                part.tiles.insert(*tile);
            }
            (BundlePath::Supported(_), bytes) => {
                part.has_supported = true;
                if bytes.is_some_and(|bytes| bytes != SUPPORTED.as_bytes()) {
                    return Err((FindingKind::TreeHead, format!("is not {SUPPORTED:?}")));
                }
            }
            (BundlePath::Head(_), bytes) => {
                part.has_head = true;
                if bytes.is_some_and(|bytes| bytes != part.head.note().as_bytes()) {
                    return Err((FindingKind::TreeHead, "is not the head that bundle.json states".into()));
                }
            }
            (BundlePath::Lookup(_, version), Some(bytes)) => {
                let record = part.read_lookup(version, bytes)?;
                let others = self.0.values().filter_map(|part| part.records.get(version));
                // Two databases may well have the same module; they cannot differ about it.
                let contradicts =
                    others.into_iter().any(|other| (other.zip, other.go_mod) != (record.zip, record.go_mod));
                if let Some(part) = self.0.get_mut(name) {
                    part.records.insert(version.clone(), record);
                }
                if contradicts {
                    return Err((FindingKind::Lookup, "contradicts the record of another database".into()));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What is missing at the end.
    pub(super) fn finish(&self, mut add: impl FnMut(Finding)) {
        for (name, part) in &self.0 {
            let mut missing = |path: BundlePath| {
                let detail = "missing, though bundle.json names the database";
                add(Finding::new(path.to_string(), FindingKind::TreeHead, detail));
            };
            if !part.has_supported {
                missing(BundlePath::Supported(name.clone()));
            }
            if !part.has_head {
                missing(BundlePath::Head(name.clone()));
            }
        }
    }
}

impl Part {
    /// SPEC M93
    fn read_lookup(&self, version: &ModuleVersion, bytes: &[u8]) -> Result<Record, (FindingKind, String)> {
        let refused = |detail: String| (FindingKind::Lookup, detail);
        let lookup = Lookup::parse(bytes, version).map_err(|invalid| refused(invalid.to_string()))?;
        let record = lookup.record;
        let head = &self.head;
        if *lookup.note != *head.note() {
            return Err(refused(match Head::open(lookup.note.as_bytes(), &self.key) {
                Ok(other) => format!("carries {other}, not {head} as the bundle"),
                Err(error) => format!("carries no head of the bundle: {error}"),
            }));
        }
        if record.id >= head.size() {
            return Err(refused(format!("record {} is not in the tree of {} records", record.id, head.size())));
        }
        Ok(record)
    }
}

/// How many bytes of a database's file a check wants to see.
pub(super) fn wants_bytes(path: &BundlePath) -> Option<u64> {
    /// Far more than `ok`.
    const MAX_SUPPORTED_BYTES: u64 = 64;
    match path {
        BundlePath::Supported(_) => Some(MAX_SUPPORTED_BYTES),
        BundlePath::Head(_) => Some(note::MAX_BYTES as u64),
        BundlePath::Lookup(..) => Some(record::MAX_BYTES as u64),
        _ => None,
    }
}

/// The finding for a zip or go.mod whose h1 is not that of its record (SPEC M96).
pub fn contradiction(path: &BundlePath, h1: H1, stated: H1) -> Finding {
    let subject = match path {
        BundlePath::Zip(version) => Subject::Zip(version.clone()).to_string(),
        BundlePath::Mod(version) => Subject::GoMod(version.clone()).to_string(),
        other => other.to_string(),
    };
    let detail = format!("has {h1}, the checksum database says {stated} of {subject}");
    Finding::new(path.to_string(), FindingKind::RecordMismatch, detail)
}

/// The finding for what a proof has refused.
pub fn finding(name: &DatabaseName, refused: &Refused) -> Finding {
    let tile = |tile: &Tile| (BundlePath::Tile(name.clone(), *tile), FindingKind::Tile);
    let (path, kind) = match refused {
        Refused::BeyondHead { module, .. } | Refused::ForgedRecord { module, .. } => {
            (BundlePath::Lookup(name.clone(), module.clone()), FindingKind::Lookup)
        }
        Refused::NewerHead { .. } => (BundlePath::Head(name.clone()), FindingKind::TreeHead),
        Refused::Fork { .. } => (BundlePath::Head(name.clone()), FindingKind::Fork),
        // One of them is wrong, and which one nobody can say.
        Refused::Frontier { tiles, .. } if tiles.len() != 1 => (BundlePath::Head(name.clone()), FindingKind::Tile),
        Refused::Frontier { tiles, .. } => tile(&tiles[0]),
        Refused::Missing { tile: it }
        | Refused::Length { tile: it, .. }
        | Refused::ForgedTile { tile: it, .. }
        | Refused::ForgedPrefix { tile: it, .. }
        | Refused::NotInTree { tile: it, .. } => tile(it),
    };
    Finding::new(path.to_string(), kind, refused.to_string())
}
