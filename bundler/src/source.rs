//! Bytes of one file of a bundle: a whole file, or a part of a larger one.

use rawzip::ReaderAt;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

/// A range of an open file; readable at any place, by several threads.
#[derive(Debug, Clone)]
pub struct Source {
    file: Arc<File>,
    start: u64,
    size: u64,
}

impl Source {
    /// The first `size` bytes of a file.
    pub fn whole(file: File, size: u64) -> Self {
        Self { file: Arc::new(file), start: 0, size }
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
        read_file_at(&self.file, &mut buffer[..len], self.start + offset)
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
