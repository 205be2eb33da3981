//! Reads a file once from front to back, hashing it and, where wanted, copying it on the way.

use crate::lanes::{self, Chain, Run};
use modferry_format::FileSha256;
use rawzip::ReaderAt;
use std::io::{self, Write};
use std::ops::Range;

/// Bytes read at once: large enough that system calls do not count, small enough for the processor's cache. A whole
/// number of SHA-256 blocks.
const BUFFER_BYTES: usize = 256 * 1024;

/// The largest window: half of the largest entry that is hashed beside others, 8 MiB. Text shrinks to less; what does not is
/// hashed by itself.
const WINDOW_MAX_BYTES: usize = 4 * 1024 * 1024;

/// A file on its way past; whoever reads it sees each byte once.
pub struct Tape<'a, R> {
    file: &'a R,
    size: u64,
    copy: Option<&'a mut (dyn Write + 'a)>,
    chain: Chain,
    buffer: Vec<u8>,
    /// The part of the buffer that holds bytes not consumed yet; what was read ends where it ends.
    unread: Range<usize>,
    /// Where in the buffer the bytes begin that are not hashed yet.
    hashed: usize,
    /// Bytes read from the file so far.
    read: u64,
    /// How far the buffer is filled next.
    piece: usize,
}

impl<'a, R: ReaderAt> Tape<'a, R> {
    /// A tape over the first `size` bytes of `file`.
    pub fn new(file: &'a R, size: u64, copy: Option<&'a mut (dyn Write + 'a)>) -> Self {
        Self {
            file,
            size,
            copy,
            chain: Chain::default(),
            buffer: Vec::new(),
            unread: 0..0,
            hashed: 0,
            read: 0,
            piece: BUFFER_BYTES,
        }
    }

    /// Reads into this buffer, which an earlier tape left behind.
    #[must_use]
    pub(crate) fn with_buffer(self, buffer: Vec<u8>) -> Self {
        Self { buffer, ..self }
    }

    /// The buffer, for the next tape.
    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        self.unread = 0..0;
        std::mem::take(&mut self.buffer)
    }

    /// Offset of the next byte.
    pub fn position(&self) -> u64 {
        self.read - self.unread.len() as u64
    }

    /// At least one and at most `limit` next bytes; [`Tape::consume`] takes them. An error at the end.
    pub fn available(&mut self, limit: u64) -> io::Result<&[u8]> {
        if self.unread.is_empty() {
            self.fill()?;
        }
        let len = self.unread.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(&self.buffer[self.unread.start..self.unread.start + len])
    }

    /// Whether the next `len` bytes can be had without reading the file.
    pub(crate) fn holds(&self, len: usize) -> bool {
        self.unread.len() >= len
    }

    /// The next `len` bytes in one piece, and maybe more; [`Tape::consume`] takes them. None if there are not as many, or
    /// if they are more than [`WINDOW_MAX_BYTES`].
    pub(crate) fn window(&mut self, len: usize) -> io::Result<Option<&[u8]>> {
        if len > WINDOW_MAX_BYTES || len as u64 > self.size - self.position() {
            return Ok(None);
        }
        while !self.holds(len) {
            // What is kept before the window is less than a block.
            self.piece = BUFFER_BYTES.max(len + lanes::BLOCK_BYTES);
            self.fill()?;
        }
        Ok(Some(&self.buffer[self.unread.clone()]))
    }

    /// What of the file was read and not hashed yet, in whole blocks; whoever asks for it adds it to the hash. Without
    /// anybody who asks it is hashed before the next bytes are read.
    pub(crate) fn run(&mut self) -> Run<'_> {
        let (blocks, _) = self.buffer[self.hashed..self.unread.end].as_chunks();
        self.hashed += blocks.len() * lanes::BLOCK_BYTES;
        Run { chain: &mut self.chain, blocks }
    }

    /// Takes `len` of the bytes that [`Tape::available`] gave.
    pub fn consume(&mut self, len: usize) {
        self.unread.start += len;
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut array = [0; N];
        self.fill_slice(&mut array)?;
        Ok(array)
    }

    /// The next `len` bytes; for short pieces.
    pub fn vec(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.fill_slice(&mut bytes)?;
        Ok(bytes)
    }

    /// Passes over `len` bytes.
    pub fn skip(&mut self, mut len: u64) -> io::Result<()> {
        while len > 0 {
            let taken = self.available(len)?.len();
            self.consume(taken);
            len -= taken as u64;
        }
        Ok(())
    }

    /// Reads the rest and gives the hash of the whole file.
    pub fn finish(mut self) -> io::Result<FileSha256> {
        self.finish_in_place()
    }

    /// The same for who wants the buffer back.
    pub(crate) fn finish_in_place(&mut self) -> io::Result<FileSha256> {
        while self.read < self.size {
            self.unread.start = self.unread.end;
            self.fill()?;
        }
        self.hash_alone();
        let rest = &self.buffer[self.hashed..self.unread.end];
        Ok(FileSha256::from_digest(std::mem::take(&mut self.chain).finish(rest)))
    }

    fn hash_alone(&mut self) {
        let run = self.run();
        run.chain.add(run.blocks);
    }

    fn fill_slice(&mut self, mut slice: &mut [u8]) -> io::Result<()> {
        while !slice.is_empty() {
            let chunk = self.available(slice.len() as u64)?;
            let len = chunk.len();
            slice[..len].copy_from_slice(chunk);
            self.consume(len);
            slice = &mut slice[len..];
        }
        Ok(())
    }

    /// Reads more bytes behind the unread ones.
    fn fill(&mut self) -> io::Result<()> {
        self.hash_alone();
        // Less than a block, and what a window keeps.
        let kept = self.hashed.min(self.unread.start);
        self.buffer.copy_within(kept..self.unread.end, 0);
        self.unread = self.unread.start - kept..self.unread.end - kept;
        self.hashed -= kept;

        let left = usize::try_from(self.size - self.read).unwrap_or(usize::MAX);
        let end = self.unread.end.saturating_add(left).min(std::mem::replace(&mut self.piece, BUFFER_BYTES));
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        let chunk = &mut self.buffer[self.unread.end..end];
        let got = if chunk.is_empty() { 0 } else { self.file.read_at(chunk, self.read)? };
        if got == 0 {
            // Either the zip points past the end, or the file became shorter while it was read.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(copy) = &mut self.copy {
            copy.write_all(&chunk[..got])?;
        }
        self.unread.end += got;
        self.read += got as u64;
        Ok(())
    }
}

/// Reads a whole file past and gives its hash.
pub fn hash<R: ReaderAt>(file: &R, size: u64) -> io::Result<FileSha256> {
    Tape::new(file, size, None).finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::BLOCK_BYTES;

    /// Gives at most `step` bytes at once.
    struct Short<'a> {
        bytes: &'a [u8],
        step: usize,
    }

    impl ReaderAt for Short<'_> {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let left = &self.bytes[usize::try_from(offset).unwrap().min(self.bytes.len())..];
            let len = left.len().min(buffer.len()).min(self.step);
            buffer[..len].copy_from_slice(&left[..len]);
            Ok(len)
        }
    }

    #[test]
    fn hash_copy_and_bytes_are_the_same_however_they_are_read() {
        let bytes: Vec<u8> = (0..2_700_001_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut buffer = Vec::new();
        for (step, piece) in [
            (usize::MAX, 100_000),
            (1000, 30_000),
            (4093, 1),
            (BLOCK_BYTES, 65),
            (262_143, 262_080),
            (100_000, 1_300_000),
        ] {
            let size = if piece == 1 { 20_000 } else { bytes.len() };
            let (file, mut copy) = (Short { bytes: &bytes[..size], step }, Vec::new());
            let mut tape = Tape::new(&file, size as u64, Some(&mut copy)).with_buffer(std::mem::take(&mut buffer));
            let mut at = 0;
            // In windows of this size, in what is at hand, and past some.
            for turn in 0.. {
                assert_eq!(tape.position(), at as u64);
                let taken = match turn % 4 {
                    0 | 1 => match tape.window(piece).unwrap() {
                        Some(window) => {
                            assert_eq!(window[..piece], bytes[at..at + piece]);
                            piece - turn % 3 % piece
                        }
                        None => break,
                    },
                    2 => {
                        let available = tape.available(77).unwrap();
                        assert_eq!(*available, bytes[at..at + available.len()]);
                        available.len()
                    }
                    _ => {
                        let run = tape.run();
                        lanes::add(vec![run]);
                        0
                    }
                };
                tape.consume(taken);
                at += taken;
            }
            let hash = tape.finish_in_place().unwrap();
            buffer = tape.take_buffer();
            drop(tape);
            assert_eq!(hash, FileSha256::of(&bytes[..size]), "{step} {piece}");
            assert_eq!(copy, bytes[..size], "{step} {piece}");
        }
    }

    #[test]
    fn a_window_is_never_larger_than_its_limit_or_the_rest() {
        let bytes = vec![1; 2 * WINDOW_MAX_BYTES];
        let file = Short { bytes: &bytes, step: usize::MAX };
        let mut tape = Tape::new(&file, bytes.len() as u64, None);
        assert!(tape.window(WINDOW_MAX_BYTES + 1).unwrap().is_none());
        assert_eq!(tape.window(WINDOW_MAX_BYTES).unwrap().map(|window| window.len() >= WINDOW_MAX_BYTES), Some(true));
        tape.skip(bytes.len() as u64 - 9).unwrap();
        assert_eq!(tape.window(9).unwrap(), Some(&[1; 9][..]));
        assert!(tape.window(10).unwrap().is_none());
    }
}
