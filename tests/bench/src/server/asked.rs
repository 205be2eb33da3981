//! A client that does little but ask, and notes how long each answer took.
//!
//! wrk cannot show the tail of a fast server on few processors: it takes as much of them as the server does, and it adds what it
//! reckons to have been left out while an answer was late (`stats_correct`), so its percentiles are parts of the time rather
//! than of the requests. Both are in the tables.

use modferry_harness::Outcome;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) requests_per_s: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

struct Connection {
    stream: TcpStream,
    since: Instant,
    answer: Vec<u8>,
}

/// Asks for these files in turn, over so many connections, each of which waits for its answer before it asks again.
pub(super) fn ask(port: u16, urls: &[String], connections: u64, seconds: u32) -> Outcome<Asked> {
    try_ask(port, urls, connections, seconds).map_err(|error| format!("a client: {error}"))
}

fn try_ask(port: u16, urls: &[String], connections: u64, seconds: u32) -> io::Result<Asked> {
    let requests: Vec<String> = urls.iter().map(|url| format!("GET {url} HTTP/1.1\r\nHost: here\r\n\r\n")).collect();
    let mut next = requests.iter().cycle();
    let mut next = move || next.next().map_or(&[][..], |request| request.as_bytes());
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut all = Vec::new();
    for number in 0..connections {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, number))?;
        stream.write_all(next())?;
        all.push(Connection { stream, since: Instant::now(), answer: Vec::new() });
    }
    let (begun, mut took) = (Instant::now(), Vec::with_capacity(1 << 20));
    let mut events = [EpollEvent::empty(); 64];
    while begun.elapsed() < Duration::from_secs(seconds.into()) {
        let ready = epoll.wait(&mut events, EpollTimeout::from(1000_u16))?;
        for event in &events[..ready] {
            let connection = &mut all[event.data() as usize];
            if connection.read()? {
                took.push(connection.since.elapsed());
                connection.answer.clear();
                connection.since = Instant::now();
                connection.stream.write_all(next())?;
            }
        }
    }
    took.sort_unstable();
    let part = |part: usize| took.get(took.len() * part / 100).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3);
    let requests_per_s = took.len() as f64 / begun.elapsed().as_secs_f64();
    Ok(Asked { requests_per_s, p50_ms: part(50), p99_ms: part(99) })
}

impl Connection {
    /// Takes what has come; whether the answer is complete.
    fn read(&mut self) -> io::Result<bool> {
        let mut piece = [0; 16 * 1024];
        let read = match self.stream.read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        self.answer.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&self.answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(false) };
        let mut lines = head.lines();
        if lines.next() != Some("HTTP/1.1 200 OK") {
            return Err(io::Error::other(format!("an answer was an error: {head}")));
        }
        let length = lines.find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
        });
        Ok(length.is_some_and(|length| body.len() >= length))
    }
}
