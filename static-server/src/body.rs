//! The body of an answer as hyper takes it: bytes that are there, or a file read window by window.

use crate::answering::Part;
use crate::connections::Activity;
use crate::event::{Event, Events};
use crate::file_bytes::{Patience, read_at, read_warm};
use crate::limits::WINDOW_BYTES;
use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use std::fs::File;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::task::{JoinHandle, spawn_blocking};

/// A body; when it is dropped its answer has been handed over.
pub(crate) struct AnswerBody {
    source: Source,
    activity: Activity,
}

pub(crate) enum Source {
    Empty,
    Bytes(Bytes),
    File(FileWindows),
}

impl AnswerBody {
    pub(crate) fn new(source: Source, activity: Activity) -> Self {
        Self { source, activity }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.activity.answered();
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut self.source {
            Source::Empty => Poll::Ready(None),
            Source::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Source::Bytes(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Source::File(windows) => windows.poll_next(cx).map(|next| next.map(|bytes| bytes.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.source {
            Source::Empty => 0,
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::File(windows) => windows.rest.bytes.end - windows.rest.bytes.start,
        })
    }
}

/// A part of a file on its way.
///
/// A window that is in memory is read at once; where the disk must be waited for another thread waits. Never more is
/// read than was promised, and a file that has become shorter ends in an error, which closes the connection: the client
/// sees that something is missing, and nothing is made up in its place.
pub(crate) struct FileWindows {
    rest: Part,
    waiting: Option<JoinHandle<io::Result<BytesMut>>>,
    /// What was sent last; its memory serves again as soon as nobody else holds it.
    sent: Bytes,
    events: Arc<dyn Events>,
}

impl FileWindows {
    pub(crate) fn new(rest: Part, events: Arc<dyn Events>) -> Self {
        Self { rest, waiting: None, sent: Bytes::new(), events }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.rest.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let read = match &mut self.waiting {
            Some(waiting) => {
                let read = ready!(Pin::new(waiting).poll(cx));
                self.waiting = None;
                read.unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
            }
            None => match self.read_now() {
                Err((error, buffer)) if error.kind() == io::ErrorKind::WouldBlock => {
                    let (file, offset) = (Arc::clone(&self.rest.file), self.rest.bytes.start);
                    self.waiting = Some(spawn_blocking(move || read_cold(&file, buffer, offset)));
                    return self.poll_next(cx);
                }
                Err((error, _)) => Err(error),
                Ok(buffer) => Ok(buffer),
            },
        };
        let read = read.and_then(|buffer| match buffer.len() {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter while it was sent")),
            _ => Ok(buffer.freeze()),
        });
        match &read {
            Ok(bytes) => {
                self.rest.bytes.start += bytes.len() as u64;
                self.sent = bytes.clone();
            }
            Err(error) => self.events.event(&Event::ReadFailed(&self.rest.path, error)),
        }
        Poll::Ready(Some(read))
    }

    /// The next window if it is in memory; on an error its buffer comes back for the next try.
    fn read_now(&mut self) -> Result<BytesMut, (io::Error, BytesMut)> {
        let size = (self.rest.bytes.end - self.rest.bytes.start).min(WINDOW_BYTES) as usize;
        let mut buffer = std::mem::take(&mut self.sent).try_into_mut().unwrap_or_default();
        buffer.resize(size, 0);
        match read_warm(&self.rest.file, &mut buffer, self.rest.bytes.start) {
            Ok(read) => {
                buffer.truncate(read);
                Ok(buffer)
            }
            Err(error) => Err((error, buffer)),
        }
    }
}

fn read_cold(file: &File, mut buffer: BytesMut, offset: u64) -> io::Result<BytesMut> {
    let read = read_at(file, &mut buffer, offset, Patience::Wait)?;
    buffer.truncate(read);
    Ok(buffer)
}
