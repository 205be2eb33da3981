//! What was found is kept: small files whole, large ones open.
//!
//! - Nothing is read in advance. What is kept is counted in bytes, all of it, and never more than was allowed; what was
//!   not asked for since the hand of the clock came by last makes room first.
//! - A file that is read whole is kept while there is room, and from then on when it is asked for once more: a client that asks
//!   for every file of a large mirror once shall not push out what many ask for.
//! - A key is the path of a file below `download/`, and comes from a [`BundlePath`]; so what a client wrote is a key only
//!   if it is spelled as that path is.
//! - The contents of a name that never changes are kept for good. What can change (`list`, `@latest`, aliases, heads) and
//!   what can go (zips) is looked at again after [`RECHECK_AFTER`], by its [`Stamp`]. That something is not there is
//!   never kept: what an import lists is there.

use crate::entity_tag::EntityTag;
use crate::limits::RECHECK_AFTER;
use crate::modified::Modified;
use crate::plan::{Class, Resource};
use crate::site::{FileBytes, Found, Stamp};
use bytes::Bytes;
use modferry_format::BundlePath;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::io::Write;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Parts with a lock of their own, so that threads do not wait for each other.
const SHARDS: usize = 8;
/// What is kept of a file beside its name, tag and bytes: its slot, its place in the table (which is half empty after it
/// has grown), and what an allocation takes.
const OVERHEAD: u64 = 208;
/// A tag and a date, at most.
const TEXTS_BYTES: u64 = 128;
/// How many of those that were asked for once a part remembers; 16 KiB, which the system gives as it is used. Where more are
/// asked for in between, one is forgotten, and kept one time later.
const REMEMBERED: usize = 4096;

/// Keeps files up to a number of bytes.
#[derive(Debug)]
pub(crate) struct Cache {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    /// For each shard.
    most_bytes: u64,
    /// For each shard.
    most_files: usize,
}

#[derive(Debug, Default)]
struct Shard {
    /// By the hash of the key; two keys with one hash, which nobody can find, would push each other out.
    slots_of: HashMap<u64, usize, BuildHasherDefault<Identity>>,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    hand: usize,
    bytes: u64,
    /// By the lower half of a hash, the upper half of the last one that was asked for and not kept.
    asked_once: Vec<u32>,
    /// Hashes of those that are open, in the order in which they are looked at when one has to be closed.
    open: VecDeque<u64>,
}

#[derive(Debug)]
struct Slot {
    hash: u64,
    asked_again: bool,
    kept: Kept,
}

/// A file that is kept.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// Key, texts of the tag and of the date, and bytes, one after the other in one piece of memory; of an open file no bytes.
    text: Arc<[u8]>,
    key_bytes: u16,
    tag_bytes: u8,
    has_date: bool,
    /// How it is answered.
    pub(crate) class: Class,
    /// Its size.
    pub(crate) size: u64,
    /// Where its bytes are, if not here.
    file: Option<Arc<File>>,
    /// Of what can change or go.
    checked: Option<Box<(Stamp, Instant)>>,
}

/// What a file is kept under, hashed once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    text: &'a [u8],
    hash: u64,
}

/// What is known of a file that is kept.
pub(crate) enum Known {
    /// All.
    Fresh(Kept),
    /// All if it is still in this state.
    Stale(Kept, Stamp),
}

impl Kept {
    /// What was found at a path, if it is something to keep.
    pub(crate) fn new(path: &BundlePath, key: Key<'_>, found: &Found, now: Instant) -> Option<Self> {
        // A zip has no tag until its import has come to the ledger; it shall not be without one for good.
        let Resource::Here { size, tag: Some(tag), modified } = found.resource else { return None };
        let (bytes, file): (&[u8], _) = match &found.bytes {
            FileBytes::None => return None,
            FileBytes::Read(bytes) => (bytes, None),
            FileBytes::File(file) => (&[], Some(Arc::clone(file))),
        };
        let mut text = Vec::with_capacity(key.text.len() + TEXTS_BYTES as usize + bytes.len());
        text.extend_from_slice(key.text);
        write!(text, "{tag}").ok()?;
        let tag_bytes = u8::try_from(text.len() - key.text.len()).ok()?;
        if let Some(modified) = modified {
            write!(text, "{modified}").ok()?;
        }
        text.extend_from_slice(bytes);
        let goes = !path.is_immutable() || matches!(path, BundlePath::Zip(_));
        Some(Self {
            key_bytes: u16::try_from(key.text.len()).ok()?,
            tag_bytes,
            has_date: modified.is_some(),
            text: text.into(),
            class: Class::of(path),
            size,
            file,
            checked: found.stamp.filter(|_| goes).map(|stamp| Box::new((stamp, now))),
        })
    }

    fn key(&self) -> &[u8] {
        &self.text[..usize::from(self.key_bytes)]
    }

    fn date_at(&self) -> Range<usize> {
        let start = usize::from(self.key_bytes) + usize::from(self.tag_bytes);
        start..start + if self.has_date { Modified::TEXT_BYTES } else { 0 }
    }

    fn bytes_at(&self) -> Range<usize> {
        self.date_at().end..self.text.len()
    }

    /// The tag as it stands in a header.
    pub(crate) fn tag(&self) -> &[u8] {
        &self.text[usize::from(self.key_bytes)..self.date_at().start]
    }

    /// The date of the last change as it stands in a header; empty where it is not known.
    pub(crate) fn modified(&self) -> &[u8] {
        &self.text[self.date_at()]
    }

    /// The bytes; none of a file that is open.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        self.file.is_none().then(|| &self.text[self.bytes_at()])
    }

    /// The open file.
    pub(crate) fn file(&self) -> Option<&Arc<File>> {
        self.file.as_ref()
    }

    /// The bytes without a copy of them.
    pub(crate) fn shared_bytes(&self) -> Bytes {
        Bytes::from_owner(Owned(Arc::clone(&self.text))).slice(self.bytes_at())
    }

    /// The same as a look found it.
    pub(crate) fn found(&self) -> Found {
        let tag = str::from_utf8(self.tag()).ok().and_then(EntityTag::parse);
        let modified = str::from_utf8(self.modified()).ok().and_then(Modified::parse);
        let bytes = match &self.file {
            Some(file) => FileBytes::File(Arc::clone(file)),
            None => FileBytes::Read(self.shared_bytes()),
        };
        Found { resource: Resource::Here { size: self.size, tag, modified }, bytes, stamp: None }
    }

    /// Whether it need not be looked at again at this time.
    fn is_fresh(&self, now: impl FnOnce() -> Instant) -> bool {
        self.checked.as_ref().is_none_or(|checked| now().saturating_duration_since(checked.1) < RECHECK_AFTER)
    }

    fn weight(&self) -> u64 {
        self.text.len() as u64 + OVERHEAD
    }
}

impl Cache {
    /// Keeps this many bytes and files open; 0 bytes for nothing at all.
    pub(crate) fn new(bytes: u64, files: usize) -> Self {
        let most_bytes = bytes / SHARDS as u64;
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::new(), most_bytes, most_files: files / SHARDS }
    }

    /// The key for the path of a file below `download/`.
    pub(crate) fn key<'a>(&self, text: &'a [u8]) -> Key<'a> {
        Key { text, hash: self.hasher.hash_one(text) }
    }

    /// Uses what is kept under a key and is fresh.
    pub(crate) fn with<T>(
        &self,
        key: Key<'_>,
        now: impl FnOnce() -> Instant,
        act: impl FnOnce(&Kept) -> T,
    ) -> Option<T> {
        let mut shard = self.shard(key.hash);
        let slot = shard.slot_of(key)?;
        if !slot.kept.is_fresh(now) {
            return None;
        }
        slot.asked_again = true;
        Some(act(&slot.kept))
    }

    /// What is known of a file.
    pub(crate) fn known(&self, key: Key<'_>, now: impl FnOnce() -> Instant) -> Option<Known> {
        let mut shard = self.shard(key.hash);
        let slot = shard.slot_of(key)?;
        slot.asked_again = true;
        let kept = slot.kept.clone();
        drop(shard);
        match &kept.checked {
            Some(checked) if !kept.is_fresh(now) => {
                let stamp = checked.0;
                Some(Known::Stale(kept, stamp))
            }
            _ => Some(Known::Fresh(kept)),
        }
    }

    /// A file was looked at again, and is as it was.
    pub(crate) fn is_as_it_was(&self, key: Key<'_>, stamp: Stamp, now: Instant) {
        if let Some(slot) = self.shard(key.hash).slot_of(key)
            && let Some(checked) = &mut slot.kept.checked
            && checked.0 == stamp
        {
            checked.1 = now;
        }
    }

    /// Whether a small file of this size is to be kept: while there is room, and then if it was asked for before; that it is asked
    /// for now is remembered.
    pub(crate) fn wants(&self, key: Key<'_>, size: u64) -> bool {
        let mut shard = self.shard(key.hash);
        if shard.bytes + key.text.len() as u64 + TEXTS_BYTES + size + OVERHEAD <= self.most_bytes {
            return true;
        }
        if shard.asked_once.is_empty() {
            shard.asked_once = vec![0; REMEMBERED];
        }
        // Halves of a hash; none is remembered as no hash at all.
        let (place, rest) = (key.hash as usize % REMEMBERED, (key.hash >> 32) as u32 | 1);
        std::mem::replace(&mut shard.asked_once[place], rest) == rest
    }

    /// Keeps a file in place of what was kept of it before.
    pub(crate) fn keep(&self, key: Key<'_>, kept: Kept) {
        // Were a quarter of all taken by one file, the others would go for it.
        if kept.weight() > self.most_bytes / 4 {
            return;
        }
        self.shard(key.hash).keep(key.hash, kept, self.most_bytes, self.most_files);
    }

    /// Forgets a file.
    pub(crate) fn forget(&self, key: Key<'_>) {
        let mut shard = self.shard(key.hash);
        if shard.slot_of(key).is_some() {
            shard.remove(key.hash);
        }
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        let shard = (hash >> 56) as usize % SHARDS;
        // One that panicked has at worst counted wrongly.
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn slot_of(&mut self, key: Key<'_>) -> Option<&mut Slot> {
        let slot = self.slots[*self.slots_of.get(&key.hash)?].as_mut();
        slot.filter(|slot| slot.kept.key() == key.text)
    }

    fn keep(&mut self, hash: u64, kept: Kept, most_bytes: u64, most_files: usize) {
        self.remove(hash);
        let bytes = kept.weight();
        while self.bytes + bytes > most_bytes {
            self.make_room();
        }
        if kept.file.is_some() {
            if most_files == 0 {
                return;
            }
            while self.open.len() >= most_files {
                self.close_one();
            }
            self.open.push_back(hash);
        }
        self.bytes += bytes;
        let slot = Some(Slot { hash, asked_again: false, kept });
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        self.slots_of.insert(hash, at);
    }

    /// Moves the hand on by one, and takes what it finds there if nobody asked for it since it came by last.
    fn make_room(&mut self) {
        self.hand = if self.hand + 1 < self.slots.len() { self.hand + 1 } else { 0 };
        let Some(Some(slot)) = self.slots.get_mut(self.hand) else { return };
        if std::mem::take(&mut slot.asked_again) {
            return;
        }
        let hash = slot.hash;
        self.remove(hash);
    }

    /// The same among the open ones, of which there are few: the whole clock shall not be gone round for them.
    fn close_one(&mut self) {
        let Some(hash) = self.open.pop_front() else { return };
        let slot = self.slots_of.get(&hash).and_then(|&at| self.slots[at].as_mut());
        if slot.is_some_and(|slot| std::mem::take(&mut slot.asked_again)) {
            self.open.push_back(hash);
        } else {
            self.remove(hash);
        }
    }

    fn remove(&mut self, hash: u64) {
        let Some(at) = self.slots_of.remove(&hash) else { return };
        if let Some(slot) = self.slots[at].take() {
            self.bytes -= slot.kept.weight();
            if slot.kept.file.is_some() {
                self.open.retain(|&other| other != hash);
            }
            self.free.push(at);
        }
    }
}

/// Keys of the tables are hashes already.
#[derive(Debug, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

struct Owned(Arc<[u8]>);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests;
