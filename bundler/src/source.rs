//! Bytes of one file of a bundle: a whole file, a part of a larger one, or bytes that are in memory.

use rawzip::ReaderAt;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

/// A range of bytes; readable at any place, by several threads.
#[derive(Debug, Clone)]
pub struct Source {
    bytes: Bytes,
    start: u64,
    size: u64,
}

#[derive(Debug, Clone)]
enum Bytes {
    File(Arc<File>),
    Memory(Arc<[u8]>),
}

impl Source {
    /// The first `size` bytes of a file.
    pub fn whole(file: File, size: u64) -> Self {
        Self { bytes: Bytes::File(Arc::new(file)), start: 0, size }
    }

    /// Bytes that have been read already; only for what is small.
    pub fn memory(bytes: Vec<u8>) -> Self {
        let size = bytes.len() as u64;
        Self { bytes: Bytes::Memory(bytes.into()), start: 0, size }
    }

    /// The `size` bytes from `start` on, or fewer where the source ends before.
    #[must_use]
    pub fn part(&self, start: u64, size: u64) -> Self {
        let start = start.min(self.size);
        Self { bytes: self.bytes.clone(), start: self.start + start, size: size.min(self.size - start) }
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads from front to back, each reader with a place of its own.
    pub fn reader(&self) -> impl Read + '_ {
        Reader { source: self, at: 0 }
    }

    /// All bytes; an error if there are more than `limit`.
    pub fn read_all(&self, limit: u64) -> io::Result<Vec<u8>> {
        if self.size > limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("{} bytes, at most {limit} are read", self.size),
            ));
        }
        let mut bytes = Vec::new();
        self.reader().read_to_end(&mut bytes)?;
        if bytes.len() as u64 == self.size { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl ReaderAt for Source {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = buffer.len().min(left);
        if len == 0 {
            return Ok(0);
        }
        match &self.bytes {
            Bytes::File(file) => read_file_at(file, &mut buffer[..len], self.start + offset),
            Bytes::Memory(bytes) => {
                // Within the bytes, which are in memory: `len` is at most what lies between offset and size.
                let start = (self.start + offset) as usize;
                buffer[..len].copy_from_slice(&bytes[start..start + len]);
                Ok(len)
            }
        }
    }
}

#[cfg(unix)]
fn read_file_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_file_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

struct Reader<'a> {
    source: &'a Source,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.source.read_at(buffer, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_part_of_a_file_and_of_memory_reads_the_same() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        for whole in [Source::whole(file, 10), Source::memory(b"0123456789".to_vec())] {
            let read = |source: &Source| String::from_utf8(source.read_all(10).unwrap()).unwrap();
            assert_eq!(read(&whole.part(2, 5)), "23456");
            assert_eq!(read(&whole.part(2, 5).part(1, 2)), "34");
            assert_eq!(read(&whole.part(8, 5)), "89");
            assert_eq!(read(&whole.part(11, 5)), "");
            assert!(whole.read_all(9).is_err());
        }
    }
}
