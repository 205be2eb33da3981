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
use hashbrown::HashTable;
use modferry_format::BundlePath;
use std::collections::VecDeque;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Parts with a lock of their own, so that threads do not wait for each other.
const SHARDS: usize = 8;
/// What is kept of a file beside its name, tag and bytes: a slot and the eighth of one that the next files have room in (63
/// bytes), its place in a table that is half empty after it has grown (12), and what an allocation takes, rounded up (32).
const OVERHEAD: u64 = 108;
/// What is kept apart of a file that is open, that changes or that can go, in one more allocation.
const APART_BYTES: u64 = size_of::<Apart>() as u64 + 24;
/// Slots that there is room for at once, at least.
const LEAST_GROWTH: usize = 16;
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
    /// Places in `slots`, by the hashes of what is there; two keys with one hash, which nobody can find, would push each other out.
    places: HashTable<u32>,
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
    /// What most files do not have.
    apart: Option<Box<Apart>>,
}

#[derive(Debug, Clone)]
struct Apart {
    /// Where its bytes are, if not here.
    file: Option<Arc<File>>,
    /// Of what can change or go.
    checked: Option<(Stamp, Instant)>,
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

/// What has come of a use of what is kept.
pub(crate) enum Used<T> {
    /// It is fresh.
    Fresh(T),
    /// It has to be looked at again.
    Stale,
    /// Nothing is kept.
    Unknown,
}

impl Kept {
    /// Whether what is kept of a file has to be looked at again.
    pub(crate) fn goes(path: &BundlePath) -> bool {
        !path.is_immutable() || matches!(path, BundlePath::Zip(_))
    }

    /// What was found at a path, if it is something to keep; of what [`goes`](Self::goes) with the time when it was looked at.
    pub(crate) fn new(path: &BundlePath, key: Key<'_>, found: &Found, now: Option<Instant>) -> Option<Self> {
        // A zip has no tag until its import has come to the ledger; it shall not be without one for good.
        let Resource::Here { size, tag: Some(tag), modified } = found.resource else { return None };
        let (bytes, file): (&[u8], _) = match &found.bytes {
            FileBytes::None => return None,
            FileBytes::Read(bytes) => (bytes, None),
            FileBytes::File(file) => (&[], Some(Arc::clone(file))),
        };
        let (mut tag_text, mut date_text) = (EntityTag::NO_TEXT, Modified::NO_TEXT);
        let tag = tag.text(&mut tag_text);
        let date = modified.as_ref().map_or(&[][..], |modified| modified.text(&mut date_text));
        let checked = found.stamp.zip(now);
        Some(Self {
            key_bytes: u16::try_from(key.text.len()).ok()?,
            tag_bytes: u8::try_from(tag.len()).ok()?,
            has_date: modified.is_some(),
            text: [key.text, tag, date, bytes].concat().into(),
            class: Class::of(path),
            size,
            apart: (file.is_some() || checked.is_some()).then(|| Box::new(Apart { file, checked })),
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
        self.file().is_none().then(|| &self.text[self.bytes_at()])
    }

    /// The open file.
    pub(crate) fn file(&self) -> Option<&Arc<File>> {
        self.apart.as_ref()?.file.as_ref()
    }

    fn checked(&self) -> Option<(Stamp, Instant)> {
        self.apart.as_ref()?.checked
    }

    /// The bytes without a copy of them.
    pub(crate) fn shared_bytes(&self) -> Bytes {
        Bytes::from_owner(Owned(Arc::clone(&self.text))).slice(self.bytes_at())
    }

    /// The same as a look found it.
    pub(crate) fn found(&self) -> Found {
        let tag = str::from_utf8(self.tag()).ok().and_then(EntityTag::parse);
        let modified = str::from_utf8(self.modified()).ok().and_then(Modified::parse);
        let bytes = match self.file() {
            Some(file) => FileBytes::File(Arc::clone(file)),
            None => FileBytes::Read(self.shared_bytes()),
        };
        Found { resource: Resource::Here { size: self.size, tag, modified }, bytes, stamp: None }
    }

    /// Whether it need not be looked at again at this time.
    fn is_fresh(&self, now: impl FnOnce() -> Instant) -> bool {
        self.checked().is_none_or(|(_, at)| now().saturating_duration_since(at) < RECHECK_AFTER)
    }

    fn weight(&self) -> u64 {
        self.text.len() as u64 + OVERHEAD + if self.apart.is_some() { APART_BYTES } else { 0 }
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
    pub(crate) fn with<T>(&self, key: Key<'_>, now: impl FnOnce() -> Instant, act: impl FnOnce(&Kept) -> T) -> Used<T> {
        let mut shard = self.shard(key.hash);
        let Some(slot) = shard.slot_of(key) else { return Used::Unknown };
        if !slot.kept.is_fresh(now) {
            return Used::Stale;
        }
        slot.asked_again = true;
        Used::Fresh(act(&slot.kept))
    }

    /// What is known of a file.
    pub(crate) fn known(&self, key: Key<'_>, now: impl FnOnce() -> Instant) -> Option<Known> {
        let mut shard = self.shard(key.hash);
        let slot = shard.slot_of(key)?;
        slot.asked_again = true;
        let kept = slot.kept.clone();
        drop(shard);
        match kept.checked() {
            Some((stamp, _)) if !kept.is_fresh(now) => Some(Known::Stale(kept, stamp)),
            _ => Some(Known::Fresh(kept)),
        }
    }

    /// A file was looked at again, and is as it was.
    pub(crate) fn is_as_it_was(&self, key: Key<'_>, stamp: Stamp, now: Instant) {
        if let Some(slot) = self.shard(key.hash).slot_of(key)
            && let Some(checked) = slot.kept.apart.as_mut().and_then(|apart| apart.checked.as_mut())
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
        // Of bits that the table of a part does not look at first.
        let shard = (hash >> 32) as usize % SHARDS;
        // One that panicked has at worst counted wrongly.
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn slot_of(&mut self, key: Key<'_>) -> Option<&mut Slot> {
        let at = self.place_of(key.hash)?;
        self.slots[at].as_mut().filter(|slot| slot.kept.key() == key.text)
    }

    fn place_of(&self, hash: u64) -> Option<usize> {
        let at = self.places.find(hash, |&at| hash_at(&self.slots, at) == hash)?;
        Some(*at as usize)
    }

    fn keep(&mut self, hash: u64, kept: Kept, most_bytes: u64, most_files: usize) {
        self.remove(hash);
        let bytes = kept.weight();
        while self.bytes + bytes > most_bytes {
            self.make_room();
        }
        if kept.file().is_some() {
            if most_files == 0 {
                return;
            }
            while self.open.len() >= most_files {
                self.close_one();
            }
            self.open.push_back(hash);
        }
        let slot = Some(Slot { hash, asked_again: false, kept });
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                if self.slots.len() == self.slots.capacity() {
                    // Twice as many, as is usual, would be memory that is never used.
                    self.slots.reserve_exact(LEAST_GROWTH.max(self.slots.len() / 8));
                }
                self.slots.push(None);
                self.slots.len() - 1
            }
        };
        // Files have more bytes than a place has numbers.
        let Ok(place) = u32::try_from(at) else { return };
        self.slots[at] = slot;
        self.bytes += bytes;
        self.places.insert_unique(hash, place, |&at| hash_at(&self.slots, at));
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
        let slot = self.place_of(hash).and_then(|at| self.slots[at].as_mut());
        if slot.is_some_and(|slot| std::mem::take(&mut slot.asked_again)) {
            self.open.push_back(hash);
        } else {
            self.remove(hash);
        }
    }

    fn remove(&mut self, hash: u64) {
        let Ok(place) = self.places.find_entry(hash, |&at| hash_at(&self.slots, at) == hash) else { return };
        let at = place.remove().0 as usize;
        if let Some(slot) = self.slots[at].take() {
            self.bytes -= slot.kept.weight();
            if slot.kept.file().is_some() {
                self.open.retain(|&other| other != hash);
            }
            self.free.push(at);
        }
    }
}

/// The hash of what is in a slot; of an empty one, which stands in no table, any.
fn hash_at(slots: &[Option<Slot>], at: u32) -> u64 {
    slots.get(at as usize).and_then(Option::as_ref).map_or(0, |slot| slot.hash)
}

struct Owned(Arc<[u8]>);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests;
