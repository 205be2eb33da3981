//! HTTP/1.1 as most clients of a mirror speak it: our own front, over tokio and httparse.
//!
//! 1. What comes is read into memory of the thread; only an unfinished head is kept with its connection, so one that idles
//!    costs a few hundred bytes.
//! 2. All requests in it are answered, and the answers are sent in one piece, heads and small bodies alike.
//! 3. What could not be sent at once, and every large file, is sent by the connection's task, in windows.
//!
//! A file that is kept in memory and asked for without conditions takes the short way: no path is parsed, no answer is
//! planned; its bytes are those that the long way gives. [`hyper_front`](crate::hyper_front) is the other front; both give
//! the same bytes for the same request.

pub(crate) mod head;
mod plainly;
mod render;
mod send_file;

use crate::access_log::Entry;
use crate::answering::{self, Content, Looked, Part, Shared};
use crate::connections::Activity;
use crate::file_bytes::Patience;
use crate::limits::{MAX_COPIED_BYTES, MAX_GATHERED_BYTES, MAX_HEAD_BYTES, MAX_LINGER_BYTES};
use crate::listener::Stream;
use crate::plan::{self, Method};
use crate::response::{Response, Status};
use bytes::Bytes;
use head::{Head, Parsed, Version};
use modferry_format::BundlePath;
use render::{Connection, Date};
use send_file::{Sending, write_all};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::yield_now;

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers {
        input: vec![0; MAX_HEAD_BYTES],
        output: Vec::new(),
        date: Date::default(),
    });
}

/// Memory of a thread that its connections use in turn; never across a pause.
struct Buffers {
    input: Vec<u8>,
    output: Vec<u8>,
    date: Date,
}

/// Serves one connection until it ends.
pub(crate) async fn connection(stream: Stream, client: Option<SocketAddr>, shared: Arc<Shared>, activity: Activity) {
    let mut connection = Conversation {
        stream,
        client,
        shared,
        activity,
        kept: Vec::new(),
        next: Next::Read,
        version: Version::Http11,
        found: None,
    };
    while let Ok(Goes::On) = connection.go_on().await {}
}

struct Conversation {
    stream: Stream,
    client: Option<SocketAddr>,
    shared: Arc<Shared>,
    activity: Activity,
    /// What came and is not answered.
    kept: Vec<u8>,
    next: Next,
    /// Of the last request.
    version: Version,
    /// What was found for the first request in `kept`, by somebody who could wait.
    found: Option<io::Result<Looked>>,
}

/// What is to be done with what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// More has to come; of a head this much is known to be no whole one.
    Read,
    /// A request may be in it.
    Answer,
}

enum Goes {
    On,
    /// It has ended in order.
    Nowhere,
}

/// What a turn of the thread leaves to the task of the connection.
enum Left {
    /// Nothing; the connection ends.
    Nothing,
    /// Bytes that were not taken at once.
    Bytes(Vec<u8>, Bytes, Ends),
    /// A large file.
    File(Box<(Sending, Option<Noted>)>, Ends),
    /// A file that a disk must be waited for.
    Cold(BundlePath),
    /// An end that has to be waited for, so that the client gets the last answer.
    Linger,
}

/// How it goes on after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    GoesOn,
    Closes,
    /// What the client still sends is taken, and not read.
    Lingers,
}

/// What the access log says of an answer once it is known how much of it went.
struct Noted {
    method: String,
    target: String,
    version: Version,
    status: Status,
}

/// One turn: requests that came, and the answers to them.
struct Turn<'a> {
    output: &'a mut Vec<u8>,
    date: &'a mut Date,
    now: SystemTime,
    /// A body that is sent from where it lies; it is the last of the turn.
    body: Bytes,
    part: Option<(Part, Option<Noted>)>,
    cold: Option<BundlePath>,
    ends: Ends,
}

impl Conversation {
    async fn go_on(&mut self) -> io::Result<Goes> {
        let left = poll_fn(|cx| BUFFERS.with_borrow_mut(|buffers| self.poll_turns(cx, buffers))).await;
        let ends = match left {
            Left::Nothing => return Ok(Goes::Nowhere),
            Left::Linger => Ends::Lingers,
            Left::Bytes(first, second, ends) => {
                write_all(&first, &self.stream, &self.activity).await?;
                write_all(&second, &self.stream, &self.activity).await?;
                ends
            }
            Left::File(sending, ends) => {
                let (sending, noted) = *sending;
                // On the heap, so that a connection that idles does not keep the room for it.
                let (bytes, sent) = Box::pin(sending.send(&self.stream, &self.shared, &self.activity)).await;
                if let Some(noted) = noted {
                    self.note(&noted.method, &noted.target, noted.version, noted.status, bytes, SystemTime::now());
                }
                sent?;
                if self.next == Next::Answer {
                    // Who has asked for many files at once does not get all of them before others get one.
                    yield_now().await;
                }
                ends
            }
            Left::Cold(path) => {
                self.found = Some(Box::pin(answering::find_patiently(&self.shared, path)).await);
                return Ok(Goes::On);
            }
        };
        match ends {
            Ends::GoesOn if self.is_over() => Ok(Goes::Nowhere),
            Ends::GoesOn => {
                self.answered();
                Ok(Goes::On)
            }
            Ends::Closes => Ok(Goes::Nowhere),
            Ends::Lingers => Box::pin(self.linger()).await.map(|()| Goes::Nowhere),
        }
    }

    /// Reads and answers until something has to be waited for.
    fn poll_turns(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Poll<Left> {
        let Buffers { input, output, date } = buffers;
        loop {
            let mut turn = Turn {
                output,
                date,
                now: SystemTime::now(),
                body: Bytes::new(),
                part: None,
                cold: None,
                ends: Ends::GoesOn,
            };
            turn.output.clear();
            if self.next == Next::Answer {
                let kept = std::mem::take(&mut self.kept);
                self.answer_all(&kept, &mut turn);
            } else {
                let mut read = ReadBuf::new(input);
                if ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read)).is_err() || read.filled().is_empty() {
                    return Poll::Ready(Left::Nothing);
                }
                self.activity.bytes_came();
                if self.kept.is_empty() {
                    self.answer_all(read.filled(), &mut turn);
                } else {
                    let known = self.kept.len();
                    let mut kept = std::mem::take(&mut self.kept);
                    kept.extend_from_slice(read.filled());
                    // What is no whole head yet is not parsed once more for each byte of it.
                    if kept.len() < MAX_HEAD_BYTES && !may_be_whole(&kept, known) {
                        self.kept = kept;
                        continue;
                    }
                    self.answer_all(&kept, &mut turn);
                }
            }
            if let Some(left) = self.send(turn) {
                return Poll::Ready(left);
            }
        }
    }

    /// Answers the requests in these bytes, and keeps what is left of them.
    fn answer_all(&mut self, bytes: &[u8], turn: &mut Turn<'_>) {
        let mut at = 0;
        self.next = Next::Read;
        while at < bytes.len() {
            let is_full = turn.output.len() >= MAX_GATHERED_BYTES || !turn.body.is_empty() || turn.part.is_some();
            if is_full {
                self.next = Next::Answer;
                break;
            }
            let rest = &bytes[at..];
            match head::parse(rest) {
                Parsed::Part if rest.len() < MAX_HEAD_BYTES => break,
                Parsed::Part => self.refuse(Status::RequestHeaderFieldsTooLarge, turn),
                Parsed::Refused(status) => self.refuse(status, turn),
                Parsed::Head(head) if head.bytes > MAX_HEAD_BYTES => {
                    self.refuse(Status::RequestHeaderFieldsTooLarge, turn);
                }
                Parsed::Head(head) => {
                    self.activity.answering();
                    self.answer(&head, turn);
                    if turn.cold.is_some() {
                        // Asked once more when it has been found, and behind what is answered already.
                        self.next = Next::Answer;
                        break;
                    }
                    at += head.bytes;
                }
            }
            if turn.ends != Ends::GoesOn {
                return;
            }
        }
        self.kept.extend_from_slice(&bytes[at..]);
    }

    fn answer(&mut self, head: &Head<'_>, turn: &mut Turn<'_>) {
        let goes_on = head.keeps_alive && !self.shared.is_stopping.load(Ordering::Relaxed);
        let is_plain = head.method == Method::Get && !head.has_conditions && !head.has_body && head.names_one_host;
        if is_plain && self.answer_plainly(head, goes_on, turn) {
            return;
        }
        let found = self.found.take();
        let Some(target) = head.target() else { return self.refuse(Status::BadRequest, turn) };
        self.version = head.version;
        let request = head.request(&target);
        let (response, content) = if head.names_one_host {
            match plan::route(&request, &self.shared.prefix) {
                Err(refusal) => {
                    let text = answering::text_of(&refusal);
                    (refusal, text)
                }
                Ok(path) => {
                    let Some(found) = found.or_else(|| at_once(answering::find(&self.shared, &path, Patience::Now)))
                    else {
                        turn.cold = Some(path);
                        return;
                    };
                    answering::answer(&self.shared, &request, path, found)
                }
            }
        } else {
            let refusal = plan::malformed(head.method, "not exactly one Host");
            let text = answering::text_of(&refusal);
            (refusal, text)
        };
        self.add(head, &response, content, goes_on && !response.closes, turn);
    }

    /// Adds an answer that the planner made.
    fn add(&mut self, head: &Head<'_>, response: &Response, content: Content, goes_on: bool, turn: &mut Turn<'_>) {
        let connection = Connection::after(head.version, goes_on, response.closes);
        render::head(response, head.version, connection, turn.date, turn.now, turn.output);
        let bytes = content.len();
        match content {
            Content::Empty => {}
            Content::Bytes(bytes) if bytes.len() <= MAX_COPIED_BYTES => turn.output.extend_from_slice(&bytes),
            Content::Bytes(bytes) => turn.body = bytes,
            Content::File(part) => turn.part = Some((part, None)),
        }
        if !goes_on {
            turn.ends = if response.closes { Ends::Lingers } else { Ends::Closes };
        }
        self.note_answer(head, response.status, bytes, turn);
    }

    /// Adds the answer to what is no request.
    fn refuse(&self, status: Status, turn: &mut Turn<'_>) {
        self.activity.answering();
        render::refusal(status, self.version, turn.date, turn.now, turn.output);
        turn.ends = Ends::Lingers;
        self.note("-", "-", self.version, status, 0, turn.now);
    }

    /// Sends what a turn has brought, as far as it goes at once; what is left.
    fn send(&mut self, turn: Turn<'_>) -> Option<Left> {
        let Turn { output, body, part, cold, ends, .. } = turn;
        if let Some((part, noted)) = part {
            return Some(Left::File(Box::new((Sending::new(output.clone(), part), noted)), ends));
        }
        if output.is_empty() {
            return cold.map(Left::Cold);
        }
        let written = match body.is_empty() {
            true => self.stream.try_write(output),
            false => self.stream.try_write_two(output, &body),
        };
        let written = match written {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return Some(Left::Nothing),
        };
        if written < output.len() + body.len() {
            let second = body.slice(written.saturating_sub(output.len())..);
            return Some(Left::Bytes(output[written.min(output.len())..].to_vec(), second, ends));
        }
        match ends {
            Ends::GoesOn if self.is_over() => Some(Left::Nothing),
            Ends::GoesOn => {
                self.answered();
                // What is cold has its turn now that everything before it is sent.
                cold.map(Left::Cold)
            }
            Ends::Closes => Some(Left::Nothing),
            Ends::Lingers => Some(Left::Linger),
        }
    }

    /// Whether the server stops, and no request has begun that would still be answered.
    fn is_over(&self) -> bool {
        self.shared.is_stopping.load(Ordering::Relaxed) && self.kept.is_empty()
    }

    /// All answers are sent.
    fn answered(&self) {
        self.activity.answered();
        if !self.kept.is_empty() {
            self.activity.bytes_came();
        }
    }

    fn note_answer(&self, head: &Head<'_>, status: Status, bytes: u64, turn: &mut Turn<'_>) {
        if self.shared.log.is_none() {
            return;
        }
        match &mut turn.part {
            // Of a large file it is not known yet how much will go.
            Some((_, noted)) => {
                let (method, target) = (head.method_name.to_owned(), head.target.to_owned());
                *noted = Some(Noted { method, target, version: head.version, status });
            }
            None => self.note(head.method_name, head.target, head.version, status, bytes, turn.now),
        }
    }

    fn note(&self, method: &str, target: &str, version: Version, status: Status, bytes: u64, now: SystemTime) {
        let Some(log) = &self.shared.log else { return };
        let version = match version {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        };
        log.note(&Entry { client: self.client, method, target, version, status: status.code(), bytes, now });
    }

    /// Ends the connection so that the last answer gets through: a system that is sent more after the end takes back what
    /// its client has not read. Who sends on for too long is cut as one who is slow with a head.
    async fn linger(&mut self) -> io::Result<()> {
        self.activity.answered();
        self.activity.bytes_came();
        poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await?;
        let (mut most, mut buffer) = (MAX_LINGER_BYTES, [0; 2048]);
        while most > 0 {
            let mut read = ReadBuf::new(&mut buffer);
            poll_fn(|cx| Pin::new(&mut self.stream).poll_read(cx, &mut read)).await?;
            if read.filled().is_empty() {
                break;
            }
            most = most.saturating_sub(read.filled().len());
        }
        Ok(())
    }
}

/// What was found, but not that a disk must be waited for.
fn at_once(found: io::Result<Looked>) -> Option<io::Result<Looked>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        found => Some(found),
    }
}

/// Whether the end of a head may stand behind the part that is known to have none; hyper's own quick look.
fn may_be_whole(bytes: &[u8], known: usize) -> bool {
    let new = &bytes[known.saturating_sub(3)..];
    new.windows(2).any(|two| two == b"\n\n") || new.windows(3).any(|three| three == b"\n\r\n")
}

#[cfg(all(test, unix))]
mod tests;
