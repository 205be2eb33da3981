//! Contents of one zip that wait to be hashed together.

use super::inflate::OUT_SLACK;
use crate::lanes::{self, BLOCK_BYTES, Chain, Run};
use std::ops::Range;

/// The largest content, in one batch, and all batches of all workers together: a batch is the smaller the more workers there
/// are, so that memory stays below what an import may take. Of the contents of prometheus' modules 27 % of the bytes are in
/// files above 1 MiB, 10 % above 4 MiB, 2 % above 8 MiB.
const ARENA_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Smaller ones wait together only as long as they are so many: what is hashed should be in the processor's cache still. Not
/// measured by itself.
const WAITING_BYTES: usize = 4 * 1024 * 1024;
const ARENA_MIN_BYTES: usize = 1024 * 1024;
const ARENAS_BYTES: usize = 16 * 1024 * 1024;

/// Contents side by side in memory, and the digests of those that were hashed; each with the number of its record.
pub(super) struct Batch {
    /// Made when the first content comes.
    arena: Vec<u8>,
    size: usize,
    used: usize,
    waiting: Vec<(usize, Range<usize>)>,
    digests: Vec<(usize, [u8; 32])>,
}

impl Batch {
    /// One of as many as there are workers.
    pub(super) fn among(workers: usize) -> Self {
        let size = (ARENAS_BYTES / workers.max(1)).clamp(ARENA_MIN_BYTES, ARENA_MAX_BYTES);
        Self { arena: Vec::new(), size, used: 0, waiting: Vec::new(), digests: Vec::new() }
    }

    /// The largest content that it takes.
    pub(super) fn largest(&self) -> usize {
        self.size
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.used = 0;
        self.waiting.clear();
        self.digests.clear();
    }

    pub(super) fn has_room(&self, size: usize) -> bool {
        let most = if self.used == 0 { self.size } else { self.size.min(WAITING_BYTES) };
        self.used + size <= most
    }

    /// Memory for a content of `size` bytes, which [`Batch::has_room`] said to be there, and for the slack after it.
    pub(super) fn room(&mut self, size: usize) -> &mut [u8] {
        if self.arena.is_empty() {
            self.arena = vec![0; self.size + OUT_SLACK];
        }
        &mut self.arena[self.used..self.used + size + OUT_SLACK]
    }

    /// Takes the content that was written to the room for it.
    pub(super) fn add(&mut self, record: usize, size: usize) {
        self.waiting.push((record, self.used..self.used + size));
        self.used += size;
    }

    /// Takes the digest of a content that was hashed elsewhere.
    pub(super) fn add_digest(&mut self, record: usize, digest: [u8; 32]) {
        self.digests.push((record, digest));
    }

    /// Hashes all that waits, and `other` beside it.
    pub(super) fn hash(&mut self, other: Run<'_>) {
        let mut chains = vec![Chain::default(); self.waiting.len()];
        let contents = self.waiting.iter().map(|(_, range)| self.arena[range.clone()].as_chunks::<BLOCK_BYTES>());
        let runs = chains.iter_mut().zip(contents.clone()).map(|(chain, (blocks, _))| Run { chain, blocks });
        lanes::add(runs.chain([other]).collect());
        let ends = chains.into_iter().zip(contents).map(|(chain, (_, rest))| chain.finish(rest));
        self.digests.extend(self.waiting.iter().map(|(record, _)| *record).zip(ends));
        self.waiting.clear();
        self.used = 0;
    }

    /// The digests of all records that were added, in no order.
    pub(super) fn digests(&mut self) -> impl Iterator<Item = (usize, [u8; 32])> {
        self.digests.drain(..)
    }
}
