//! Reads from files at a place, without moving anything that another reader shares.

use std::fs::File;
use std::io;

/// Whether a disk may be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// No: what is not in memory is `WouldBlock`, and somebody with patience tries again.
    Now,
    /// Yes.
    Wait,
}

/// Reads until the buffer is full or the file ends; the number of bytes.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64, patience: Patience) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        let (rest, at) = (&mut buffer[read..], offset + read as u64);
        let once = match patience {
            Patience::Now => read_warm(file, rest, at),
            Patience::Wait => read_once(file, rest, at),
        };
        match once {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// The whole of a file that has `size` bytes, or has had; it may have become shorter, and what was added is left out.
pub(crate) fn read_whole(file: &File, size: u64, patience: Patience) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    let read = read_at(file, &mut bytes, 0, patience)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Reads what is in memory already, one byte or more; `WouldBlock` where the disk must be waited for, or where the
/// system cannot tell. 0 is the end of the file.
#[cfg(target_os = "linux")]
pub(crate) fn read_warm(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    match preadv2(file, &mut [io::IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT) {
        Ok(read) => Ok(read),
        Err(Errno::OPNOTSUPP) if is_in_memory(file) => read_once(file, buffer, offset),
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::INTR | Errno::PERM) => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a file is on a file system that is nowhere but in memory; those do not say so when they are asked.
#[cfg(target_os = "linux")]
fn is_in_memory(file: &File) -> bool {
    /// linux/magic.h
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    rustix::fs::fstatfs(file).is_ok_and(|system| system.f_type as u64 == TMPFS_MAGIC)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn read_warm(_: &File, _: &mut [u8], _: u64) -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

#[cfg(unix)]
fn read_once(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_once(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "what helps a test fails as the test does")]

    use super::*;
    use std::io::Write;

    #[test]
    fn what_is_nowhere_but_in_memory_is_read_at_once() {
        let descriptor = rustix::fs::memfd_create("bytes", rustix::fs::MemfdFlags::empty()).unwrap();
        let mut file = File::from(descriptor);
        file.write_all(b"in memory").unwrap();
        assert!(is_in_memory(&file));
        let mut buffer = [0; 16];
        assert_eq!(read_at(&file, &mut buffer, 3, Patience::Now).unwrap(), 6);
        assert_eq!(&buffer[..6], b"memory");
        assert!(!is_in_memory(&File::open("/proc/self/cmdline").unwrap()));
    }
}
