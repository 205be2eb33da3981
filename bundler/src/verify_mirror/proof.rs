//! Proves files of a checksum database by its newest head, and finds all that cannot be.
//!
//! The prover of the format stops at the first claim that is wrong. So that the others are judged too, what was refused
//! is taken out, together with all that hangs on the same tile, and the rest is proven in two halves. Nothing is kept
//! beyond the claims at hand but the tiles that are wrong.

use super::Check;
use modferry_format::BundlePath;
use modferry_format::check;
use modferry_format::database::{DatabaseName, Tile};
use modferry_format::finding::FindingKind;
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::mirror::HeadLine;
use modferry_format::sumdb::prove::Prover;
use modferry_format::sumdb::record::Record;
use modferry_format::sumdb::refused::{Refused, Unproven};
use modferry_format::sumdb::tree::{self, Subtree};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Something to prove.
pub(super) enum Claim<'a> {
    /// The record is in the log.
    Record(Record),
    /// The tile file has what the tree has at its place.
    File(Tile),
    /// The log of an earlier head is the beginning of this one, and its clients find what they need.
    Served(&'a Head),
}

/// Level and index of a tile.
type Place = (u8, u64);

/// The proof of one database.
pub(super) struct Proof<'a> {
    check: &'a Check<'a>,
    name: &'a DatabaseName,
    heads: &'a [HeadLine],
    newest: &'a Head,
    /// Nothing can be proven: the frontier is not good.
    is_hopeless: AtomicBool,
    /// Tiles on which nothing more is built.
    wrong: Mutex<BTreeSet<Place>>,
    records: AtomicU64,
}

impl<'a> Proof<'a> {
    /// By the newest of these heads, which ascend; none without any.
    pub(super) fn new(check: &'a Check<'a>, name: &'a DatabaseName, heads: &'a [HeadLine]) -> Option<Self> {
        let newest = &heads.last()?.head;
        let (is_hopeless, wrong, records) = (AtomicBool::default(), Mutex::default(), AtomicU64::default());
        Some(Self { check, name, heads, newest, is_hopeless, wrong, records })
    }

    /// How many records were proven.
    pub(super) fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Proves the frontier, and all heads.
    pub(super) fn prove_heads(&self) {
        if let Err(unproven) = Prover::new(self.newest).prove(|tile| self.tile(tile)) {
            self.is_hopeless.store(true, Ordering::Relaxed);
            return self.report(&unproven);
        }
        let (_, earlier) = self.heads.split_last().unwrap_or((&self.heads[0], &[]));
        let claims: Vec<Claim<'_>> = earlier.iter().map(|line| Claim::Served(&line.head)).collect();
        self.prove(claims.iter().collect(), &|_| false);
    }

    /// Proves what is claimed; what is wrong is a finding, unless it is a file of a bundle under way.
    pub(super) fn prove(&self, mut claims: Vec<&Claim<'_>>, is_under_way: &dyn Fn(&BundlePath) -> bool) {
        if self.is_hopeless.load(Ordering::Relaxed) || self.check.context.interrupt.is_set() {
            return;
        }
        claims.retain(|claim| !self.is_built_on_wrong(claim));
        let mut prover = Prover::new(self.newest);
        claims.retain(|claim| {
            let claimed = match claim {
                Claim::Record(record) => prover.record(record),
                Claim::File(tile) => prover.file(*tile),
                Claim::Served(head) => prover.served(head),
            };
            let Err(refused) = claimed else { return true };
            // Its head is not in the ledger yet.
            let is_early = match &refused {
                Refused::NotInTree { tile, .. } => is_under_way(&BundlePath::Tile(self.name.clone(), *tile)),
                _ => false,
            };
            if !is_early {
                self.report::<io::Error>(&Unproven::Refused(refused));
            }
            false
        });
        if claims.is_empty() {
            return;
        }
        let unproven = match prover.prove(|tile| self.tile(tile)) {
            Ok(_) => {
                let records = claims.iter().filter(|claim| matches!(claim, Claim::Record(_))).count();
                self.records.fetch_add(records as u64, Ordering::Relaxed);
                return;
            }
            Err(unproven) => unproven,
        };
        let before = claims.len();
        claims.retain(|claim| !self.is_at_fault(claim, &unproven));
        let is_new = claims.len() < before || self.is_new(&unproven);
        if is_new {
            self.report(&unproven);
        }
        if self.is_hopeless.load(Ordering::Relaxed) || claims.is_empty() || (before == 1 && !is_new) {
            return;
        }
        if claims.len() > 1 {
            let rest = claims.split_off(claims.len() / 2);
            self.prove(rest, is_under_way);
        }
        self.prove(claims, is_under_way);
    }

    /// Whether it is this claim alone that was refused.
    fn is_at_fault<E>(&self, claim: &Claim<'_>, unproven: &Unproven<E>) -> bool {
        let needs = |file: &Tile| match claim {
            Claim::File(tile) => tile == file,
            Claim::Served(head) => tree::own(head.size(), self.newest.size()).any(|tile| tile == *file),
            Claim::Record(_) => false,
        };
        match (claim, unproven) {
            (Claim::Record(record), Unproven::Refused(Refused::ForgedRecord { module, id })) => {
                record.module == *module && record.id == *id
            }
            (Claim::Served(head), Unproven::Refused(Refused::Fork { older, .. })) => **head == **older,
            (_, Unproven::Refused(Refused::ForgedPrefix { tile, .. })) => needs(tile),
            // Another width than the tree has is nothing that others are built on.
            (_, Unproven::Refused(Refused::Missing { tile } | Refused::Length { tile, .. }))
            | (_, Unproven::Unread { tile, .. }) => {
                tree::tile_of(tile.level(), tile.index(), self.newest.size()) != Some(*tile) && needs(tile)
            }
            _ => false,
        }
    }

    /// Whether a tile was not known to be wrong; one of the frontier, or none, is the end of the proof.
    fn is_new<E>(&self, unproven: &Unproven<E>) -> bool {
        let tile = match unproven {
            Unproven::Refused(
                Refused::Missing { tile } | Refused::Length { tile, .. } | Refused::ForgedTile { tile, .. },
            )
            | Unproven::Unread { tile, .. } => Some(tile),
            Unproven::Refused(_) => None,
        };
        let place = tile.map(|tile| (tile.level(), tile.index()));
        let is_frontier = |place| tree::decompose(self.newest.size()).any(|subtree| subtree.place() == place);
        match place.filter(|place| !is_frontier(*place)) {
            Some(place) => self.wrong.lock().unwrap_or_else(PoisonError::into_inner).insert(place),
            None => !self.is_hopeless.swap(true, Ordering::Relaxed),
        }
    }

    fn is_built_on_wrong(&self, claim: &Claim<'_>) -> bool {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.is_empty() {
            return false;
        }
        let size = self.newest.size();
        let is_wrong =
            |subtree: Subtree| tree::chain(subtree, size).any(|tile| wrong.contains(&(tile.level(), tile.index())));
        match claim {
            Claim::Record(record) => is_wrong(Subtree::record(record.id)),
            Claim::File(tile) => {
                let first = u64::from(Tile::FULL_WIDTH).checked_mul(tile.index());
                first.is_some_and(|index| is_wrong(Subtree { height: tile.level() * Tile::HEIGHT, index }))
            }
            Claim::Served(head) => tree::decompose(head.size()).any(is_wrong),
        }
    }

    fn report<E: std::fmt::Display>(&self, unproven: &Unproven<E>) {
        match unproven {
            Unproven::Refused(refused) => self.check.findings.add(check::finding(self.name, refused).into()),
            Unproven::Unread { tile, error } => {
                let path = BundlePath::Tile(self.name.clone(), *tile).to_string();
                self.check.findings.find(&path, FindingKind::Unreadable, error.to_string());
            }
        }
    }

    fn tile(&self, tile: Tile) -> io::Result<Option<Vec<u8>>> {
        /// One byte more than a full tile has: what is longer is refused for its length.
        const MAX_BYTES: u64 = 8192 + 1;
        let path = BundlePath::Tile(self.name.clone(), tile).to_string();
        match self.check.files.read(Path::new(&path), MAX_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }
}
