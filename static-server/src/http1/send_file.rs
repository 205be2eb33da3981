//! A large file on its way: from the system's own memory where that can be done, else read and written in pieces.
//!
//! - Never more is sent than was promised, and a file that has become shorter ends in an error, which closes the
//!   connection: the client sees that something is missing, and nothing is made up in its place.
//! - After each window others get their turn.
//! - Where a disk must be waited for another thread waits.

use crate::answering::{Part, Shared};
use crate::connections::Activity;
use crate::event::Event;
use crate::file_bytes::{Patience, read_at, read_warm};
#[cfg(target_os = "linux")]
use crate::limits::MAX_WARM_STRETCH_BYTES;
use crate::limits::{SEND_WINDOW_BYTES, WINDOW_BYTES};
use crate::listener::Stream;
use std::fs::File;
use std::io;
use std::sync::Arc;
use tokio::task::{spawn_blocking, yield_now};

/// A head and a part of a file, to be sent one after the other.
#[derive(Debug)]
pub(crate) struct Sending {
    /// What stands before the file; more than one head where answers were gathered.
    before: Vec<u8>,
    part: Part,
    way: Way,
    #[cfg(target_os = "linux")]
    warmth: Warmth,
}

/// How far the file was found to be in the system's memory.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Warmth {
    until: u64,
    /// What is looked at next, in bytes: twice as much each time that it was there.
    stretch: u64,
}

/// How the bytes of a file get to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the system alone.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux has it"))]
    System,
    /// Through memory of ours.
    Copies,
}

impl Sending {
    pub(crate) fn new(before: Vec<u8>, part: Part) -> Self {
        let way = if cfg!(target_os = "linux") { Way::System } else { Way::Copies };
        Self {
            before,
            part,
            way,
            #[cfg(target_os = "linux")]
            warmth: Warmth { until: 0, stretch: SEND_WINDOW_BYTES },
        }
    }

    #[cfg(all(test, unix))]
    fn by(before: Vec<u8>, part: Part, way: Way) -> Self {
        Self { way, ..Self::new(before, part) }
    }

    /// Sends all of it; how many bytes of the file went, and whether those are all.
    pub(crate) async fn send(mut self, stream: &Stream, shared: &Shared, activity: &Activity) -> (u64, io::Result<()>) {
        let begin = self.part.bytes.start;
        let sent = self.send_all(stream, shared, activity).await;
        (self.part.bytes.start - begin, sent)
    }

    async fn send_all(&mut self, stream: &Stream, shared: &Shared, activity: &Activity) -> io::Result<()> {
        // By itself: held back until the first bytes of the file are there it would be a packet less, and the server would send more of
        // the file from within its own time rather than as the client takes it.
        let before = std::mem::take(&mut self.before);
        write_all(&before, stream, activity).await?;
        let mut buffer = Vec::new();
        while !self.part.bytes.is_empty() {
            let sent = match self.way {
                #[cfg(target_os = "linux")]
                Way::System => self.send_window(stream, activity).await,
                _ => self.copy_window(&mut buffer, stream, activity).await,
            };
            match sent {
                Ok(()) => {}
                Err(Failed::ByClient(error)) => return Err(error),
                Err(Failed::ByFile(error)) => {
                    shared.events.event(&Event::ReadFailed(&self.part.path, &error));
                    return Err(error);
                }
            }
            if !self.part.bytes.is_empty() {
                yield_now().await;
            }
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    async fn send_window(&mut self, stream: &Stream, activity: &Activity) -> Result<(), Failed> {
        use rustix::io::Errno;
        let part = &mut self.part;
        let end = part.bytes.end.min(part.bytes.start + SEND_WINDOW_BYTES);
        if self.warmth.until < end {
            let stretch_end = part.bytes.end.min(part.bytes.start + self.warmth.stretch);
            // One byte at its end tells enough: the system reads ahead.
            match read_warm(&part.file, &mut [0], stretch_end - 1) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    bring_in(Arc::clone(&part.file), part.bytes.start, end).await.map_err(Failed::ByFile)?;
                    self.warmth = Warmth { until: end, stretch: SEND_WINDOW_BYTES };
                }
                // Whatever else is wrong with the file, the next call says it, for the bytes before it too.
                _ => {
                    let stretch = (self.warmth.stretch * 2).min(MAX_WARM_STRETCH_BYTES);
                    self.warmth = Warmth { until: stretch_end, stretch };
                }
            }
        }
        while part.bytes.start < end {
            // At most a window, so it fits.
            let count = (end - part.bytes.start) as usize;
            match stream.try_send_file(&part.file, part.bytes.start, count) {
                Ok(0) => return Err(Failed::ByFile(has_become_shorter())),
                Ok(sent) => {
                    part.bytes.start += sent as u64;
                    activity.bytes_went();
                    // Most likely nothing more is taken now. To be told so by the next call would cost it: it looks up the
                    // pages first.
                    if sent < count && !stream.takes_more() {
                        stream.writable().await.map_err(Failed::ByClient)?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    stream.writable().await.map_err(Failed::ByClient)?;
                }
                Err(error) => match Errno::from_io_error(&error) {
                    // A file system that cannot do it, or a sandbox that forbids it.
                    Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                        self.way = Way::Copies;
                        return Ok(());
                    }
                    Some(Errno::IO) => return Err(Failed::ByFile(error)),
                    _ => return Err(Failed::ByClient(error)),
                },
            }
        }
        Ok(())
    }

    async fn copy_window(&mut self, buffer: &mut Vec<u8>, stream: &Stream, activity: &Activity) -> Result<(), Failed> {
        let part = &mut self.part;
        let size = (part.bytes.end - part.bytes.start).min(WINDOW_BYTES);
        buffer.resize(size as usize, 0);
        let read = match read_warm(&part.file, buffer, part.bytes.start) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let (file, offset, mut taken) = (Arc::clone(&part.file), part.bytes.start, std::mem::take(buffer));
                let read = spawn_blocking(move || {
                    let read = read_at(&file, &mut taken, offset, Patience::Wait);
                    read.map(|read| (read, taken))
                });
                let (read, taken) = joined(read.await).map_err(Failed::ByFile)?;
                *buffer = taken;
                Ok(read)
            }
            read => read,
        };
        let mut rest = match read.map_err(Failed::ByFile)? {
            0 => return Err(Failed::ByFile(has_become_shorter())),
            read => &buffer[..read],
        };
        while !rest.is_empty() {
            let sent = taken(stream.try_write(rest), stream, activity).await.map_err(Failed::ByClient)?;
            rest = &rest[sent..];
            part.bytes.start += sent as u64;
        }
        Ok(())
    }
}

/// Whose fault it is.
#[derive(Debug)]
enum Failed {
    ByFile(io::Error),
    ByClient(io::Error),
}

fn has_become_shorter() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter while it was sent")
}

/// How much of a write was taken; where it was nothing, waits until it may be more.
async fn taken(written: io::Result<usize>, stream: &Stream, activity: &Activity) -> io::Result<usize> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await.map(|()| 0),
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Ok(sent) => {
            activity.bytes_went();
            Ok(sent)
        }
        error => error,
    }
}

/// Writes all of it.
pub(crate) async fn write_all(bytes: &[u8], stream: &Stream, activity: &Activity) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        rest = &rest[taken(stream.try_write(rest), stream, activity).await?..];
    }
    Ok(())
}

/// Brings a part of a file into the system's memory.
#[cfg(target_os = "linux")]
async fn bring_in(file: Arc<File>, from: u64, to: u64) -> io::Result<()> {
    let read = spawn_blocking(move || {
        let mut piece = vec![0; 64 * 1024];
        let mut at = from;
        while at < to {
            match read_at(&file, &mut piece, at, Patience::Wait)? {
                0 => break,
                read => at += read as u64,
            }
        }
        Ok(())
    });
    joined(read.await)
}

/// What a thread that waited for a disk has brought.
pub(crate) fn joined<T>(read: Result<io::Result<T>, tokio::task::JoinError>) -> io::Result<T> {
    read.unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "what helps a test fails as the test does")]

    use super::*;
    use crate::site::Site;
    use std::io::Read;

    const BEFORE: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

    /// Sends a part of a file of `size` bytes; what came, and how it ended.
    fn sent(way: Way, size: usize, bytes: std::ops::Range<u64>) -> (Vec<u8>, (u64, io::Result<()>)) {
        let temp = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..size as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        std::fs::write(temp.path().join("file"), content).unwrap();
        let file = Arc::new(File::open(temp.path().join("file")).unwrap());
        let part = Part { file, bytes, path: "download/ex.org/a/@v/list".parse().unwrap() };
        std::fs::create_dir_all(temp.path().join("ledger")).unwrap();
        let shared = Shared::alone(Site::open(temp.path()).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let reader = std::thread::spawn(move || {
                let mut came = Vec::new();
                theirs.read_to_end(&mut came).unwrap();
                came
            });
            let stream = Stream::Unix(tokio::net::UnixStream::from_std(ours).unwrap());
            let ended = Sending::by(BEFORE.to_vec(), part, way).send(&stream, &shared, &Activity::default()).await;
            drop(stream);
            (reader.join().unwrap(), ended)
        })
    }

    #[test]
    fn both_ways_bring_the_same_bytes() {
        let (size, window) = (3 * SEND_WINDOW_BYTES + 3, SEND_WINDOW_BYTES);
        for bytes in [0..size, 0..1, size - 1..size, window - 1..window + 1, window..2 * window, 5..size - 5] {
            let came = [Way::System, Way::Copies].map(|way| {
                let (came, (count, ended)) = sent(way, size as usize, bytes.clone());
                assert!(ended.is_ok() && count == bytes.end - bytes.start, "{bytes:?}: {ended:?}");
                came
            });
            assert_eq!(came[0].len() as u64, BEFORE.len() as u64 + bytes.end - bytes.start);
            assert!(came[0].starts_with(BEFORE) && came[0] == came[1], "{bytes:?}");
            assert_eq!(came[0][BEFORE.len()], (bytes.start as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]);
        }
    }

    #[test]
    fn a_file_that_ends_early_is_an_error_and_nothing_is_made_up() {
        for way in [Way::System, Way::Copies] {
            let (came, (count, ended)) = sent(way, 500_000, 0..600_000);
            assert_eq!((came.len(), count), (BEFORE.len() + 500_000, 500_000));
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
