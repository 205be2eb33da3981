//! Reads a file once from front to back, hashing it and, where wanted, copying it on the way.

use modferry_format::FileSha256;
use rawzip::ReaderAt;
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// Bytes read at once: large enough that system calls do not count, small enough for the processor's cache.
const BUFFER_BYTES: usize = 256 * 1024;

/// A file on its way past; whoever reads it sees each byte once.
pub struct Tape<'a, R> {
    file: &'a R,
    size: u64,
    copy: Option<&'a mut (dyn Write + 'a)>,
    /// None where the hash of the file is known already.
    sha256: Option<Sha256>,
    buffer: Vec<u8>,
    /// The part of the buffer that holds bytes not consumed yet.
    unread: std::ops::Range<usize>,
    /// Bytes read from the file so far.
    read: u64,
}

impl<'a, R: ReaderAt> Tape<'a, R> {
    /// A tape over the first `size` bytes of `file`.
    pub fn new(file: &'a R, size: u64, copy: Option<&'a mut (dyn Write + 'a)>) -> Self {
        let buffer = vec![0; BUFFER_BYTES.min(usize::try_from(size).unwrap_or(BUFFER_BYTES).max(1))];
        Self { file, size, copy, sha256: Some(Sha256::new()), buffer, unread: 0..0, read: 0 }
    }

    /// The same without copying and without hashing the file.
    pub fn unhashed(file: &'a R, size: u64) -> Self {
        Self { sha256: None, ..Self::new(file, size, None) }
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

    /// Reads the rest and gives the hash of the whole file; of zeros where none was made.
    pub fn finish(mut self) -> io::Result<FileSha256> {
        while self.read < self.size {
            self.fill()?;
        }
        Ok(FileSha256::from_digest(self.sha256.map_or([0; 32], |sha256| sha256.finalize().into())))
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

    fn fill(&mut self) -> io::Result<()> {
        let want = self.buffer.len().min(usize::try_from(self.size - self.read).unwrap_or(usize::MAX));
        let got = if want == 0 { 0 } else { self.file.read_at(&mut self.buffer[..want], self.read)? };
        if got == 0 {
            // Either the zip points past the end, or the file became shorter while it was read.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let chunk = &self.buffer[..got];
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(chunk);
        }
        if let Some(copy) = &mut self.copy {
            copy.write_all(chunk)?;
        }
        self.unread = 0..got;
        self.read += got as u64;
        Ok(())
    }
}

/// Reads a whole file past and gives its hash.
pub fn hash<R: ReaderAt>(file: &R, size: u64) -> io::Result<FileSha256> {
    Tape::new(file, size, None).finish()
}
