//! Writes large files so that neither the processors wait for the disk in the end nor the disk for them.
//!
//! Past the page cache where the file system can: what goes to the disk from our own memory needs no page to be found,
//! filled and written out later. An import of prometheus (361 MB; ext4 on two processors of a virtual machine) has 0.45 s of
//! system time so; through the cache 0.9 s, and 1.7 to 2.1 s where the machine touches its memory for the first time.
//! Elsewhere they are written through the cache and sent on their way when they are whole.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

/// Files from this size on are large. Smaller ones the disk takes together: a request for each would cost more than it gains.
const MIN_BYTES: u64 = 256 * 1024;

/// Place, length and memory of a direct write are multiples of this, in bytes: the largest block that disks have. Where more
/// is wanted the write is refused, and the cache does it.
const ALIGNMENT: usize = 4096;

/// Bytes of one direct write, of which each worker keeps one: 1.0 GB/s with half of that and 1.3 GB/s with twice of it, one
/// after the other, on the disk of the measurement above.
const BUFFER_BYTES: usize = 512 * 1024;

/// Buffers that are free, so that not every file needs new memory.
#[derive(Debug, Default)]
pub(crate) struct Buffers(Mutex<Vec<Buffer>>);

/// Memory at a place that is a multiple of [`ALIGNMENT`].
#[derive(Debug)]
struct Buffer {
    memory: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// None where no such place is found; the standard library promises none.
    fn new() -> Option<Self> {
        let memory = vec![0; BUFFER_BYTES + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        (start <= ALIGNMENT).then_some(Self { memory, start })
    }
}

impl Buffers {
    fn take(&self) -> Option<Buffer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().or_else(Buffer::new)
    }

    fn give_back(&self, buffer: Buffer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

/// A new file that is written from front to back.
#[derive(Debug)]
pub(crate) struct LargeFile<'b> {
    file: File,
    buffers: &'b Buffers,
    /// While its writes are direct: what is not written yet, and how much it is.
    pending: Option<(Buffer, usize)>,
    written: u64,
}

impl<'b> LargeFile<'b> {
    /// A file that is empty and will have about so many bytes; nobody reads it soon.
    pub(crate) fn new(file: File, size: u64, buffers: &'b Buffers) -> Self {
        let buffer = if size < MIN_BYTES { None } else { buffers.take() };
        let pending = buffer.filter(|_| set_direct(&file, true)).map(|buffer| (buffer, 0));
        Self { file, buffers, pending, written: 0 }
    }

    /// Adds bytes.
    pub(crate) fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        while let (Some((buffer, filled)), false) = (&mut self.pending, bytes.is_empty()) {
            let (now, later) = bytes.split_at(bytes.len().min(BUFFER_BYTES - *filled));
            buffer.memory[buffer.start + *filled..][..now.len()].copy_from_slice(now);
            *filled += now.len();
            bytes = later;
            if *filled == BUFFER_BYTES {
                self.flush(BUFFER_BYTES)?;
            }
        }
        self.file.write_all(bytes)
    }

    /// Ends it. What is written is on its way to the disk; only a sync knows that it is there.
    pub(crate) fn finish(mut self) -> io::Result<File> {
        if let Some((_, filled)) = self.pending {
            self.flush(filled / ALIGNMENT * ALIGNMENT)?;
            self.end_direct()?;
        } else {
            send(&self.file, self.written);
        }
        Ok(self.file)
    }

    /// Writes the first `len` bytes of what is pending.
    fn flush(&mut self, len: usize) -> io::Result<()> {
        let Some((buffer, filled)) = &mut self.pending else { return Ok(()) };
        let mut done = 0;
        while done < len {
            match (&self.file).write(&buffer.memory[buffer.start + done..buffer.start + len]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(more) => done += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It wants other places than ours, or has stopped at one.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => break,
                Err(error) => return Err(error),
            }
        }
        buffer.memory.copy_within(buffer.start + done..buffer.start + *filled, buffer.start);
        *filled -= done;
        if done < len { self.end_direct() } else { Ok(()) }
    }

    /// Writes what is pending through the cache, and whatever comes.
    fn end_direct(&mut self) -> io::Result<()> {
        let Some((buffer, filled)) = self.pending.take() else { return Ok(()) };
        set_direct(&self.file, false);
        let written = self.file.write_all(&buffer.memory[buffer.start..][..filled]);
        self.buffers.give_back(buffer);
        written
    }
}

/// Begins to bring a file of so many bytes to the disk, without waiting. A failure is that of the later sync.
pub(crate) fn send(file: &File, bytes: u64) {
    #[cfg(target_os = "linux")]
    if bytes >= MIN_BYTES {
        // The advice that its pages are not needed soon begins to write them, and drops none that is not written.
        let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, bytes);
}

/// Whether writes to the file are as wanted from now on.
#[cfg(target_os = "linux")]
fn set_direct(file: &File, is_direct: bool) -> bool {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let set =
        |flags: OFlags| fcntl_setfl(file, if is_direct { flags | OFlags::DIRECT } else { flags & !OFlags::DIRECT });
    fcntl_getfl(file).and_then(set).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn set_direct(_: &File, is_direct: bool) -> bool {
    !is_direct
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, SeekFrom};

    fn written(file: File, size: usize, part: usize) {
        let bytes: Vec<u8> = (0..size).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let buffers = Buffers::default();
        let mut large = LargeFile::new(file, size as u64, &buffers);
        bytes.chunks(part.max(1)).for_each(|part| large.write_all(part).unwrap());
        let mut file = large.finish().unwrap();
        let mut read = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut read).unwrap();
        assert!(read == bytes, "{size} bytes in parts of {part}");
    }

    #[test]
    fn every_byte_is_there_however_it_is_written() {
        let least = usize::try_from(MIN_BYTES).unwrap();
        for size in [0, 1, least - 1, least, least + 1, BUFFER_BYTES, BUFFER_BYTES + ALIGNMENT, 3 * BUFFER_BYTES + 4097]
        {
            for part in [977, ALIGNMENT, 2 * BUFFER_BYTES + 1] {
                // Beside the sources, where a file system has direct writes, and where it may not.
                written(tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap(), size, part);
                written(tempfile::tempfile().unwrap(), size, part);
            }
        }
    }

    #[test]
    fn a_file_that_takes_no_direct_write_in_its_middle_is_written_through_the_cache() {
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        // From here on no place is a multiple of the alignment.
        file.write_all(b"x").unwrap();
        let buffers = Buffers::default();
        let mut large = LargeFile::new(file, 2 * BUFFER_BYTES as u64, &buffers);
        large.write_all(&vec![b'y'; 2 * BUFFER_BYTES]).unwrap();
        assert!(large.pending.is_none());
        large.write_all(b"z").unwrap();
        let mut file = large.finish().unwrap();
        let mut read = String::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_string(&mut read).unwrap();
        assert!(read == format!("x{}z", "y".repeat(2 * BUFFER_BYTES)));
    }

    #[test]
    fn buffers_are_used_again() {
        let buffers = Buffers::default();
        for _ in 0..3 {
            let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
            LargeFile::new(file, MIN_BYTES, &buffers).finish().unwrap();
        }
        assert!(buffers.0.lock().unwrap().len() <= 1);
    }
}
