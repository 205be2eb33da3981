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
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::INTR | Errno::PERM) => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(error) => Err(error.into()),
    }
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
