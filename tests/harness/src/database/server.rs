//! An HTTP server on the loopback interface that answers as a checksum database, and misbehaves where it is told to.
//!
//! Everything is under any path in front of it: `/lookup/...`, `/sumdb/NAME/lookup/...`. It takes CONNECT and then
//! answers itself, so it is a proxy too. Every request that was answered is in [`Server::log_of_requests`].

use crate::Outcome;
use crate::database::Log;
use crate::loopback::{Head, Loopback, Requests};
use modferry_format::database::Tile;
use modferry_format::{ModulePath, ModuleVersion, Version};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What a server does wrong. Numbers of 0 mean never.
#[derive(Debug, Clone, Default)]
pub struct Misbehaviour {
    /// Every lookup carries another head: of the log as it was when the record had just come, or some time later.
    pub has_old_heads: bool,
    /// Partial tiles are not there.
    pub has_no_partial_tiles: bool,
    /// Every so-manieth request is answered by closing the connection.
    pub closes_every: u64,
    /// Every so-manieth request is answered by half a body.
    pub cuts_every: u64,
    /// Every so-manieth request is answered 500.
    pub fails_every: u64,
    /// The first so many requests are answered 429, with this number of seconds in Retry-After.
    pub too_many: Option<(u64, u64)>,
    /// Every path that begins so is answered with this status and text.
    pub answers: Vec<(String, u16, String)>,
    /// Lookups come with the heads of this log.
    pub heads_of: Option<Arc<Log>>,
    /// `latest` is of this log.
    pub latest_of: Option<Arc<Log>>,
    /// This lookup has another hash than the log.
    pub forges_lookup: Option<ModuleVersion>,
    /// A byte of this tile is wrong.
    pub forges_tile: Option<Tile>,
    /// The first so many answers of `latest` are of a tree of so many records.
    pub old_latest: Option<(u64, u64)>,
    /// Every answer comes so much later.
    pub delay: Duration,
}

/// A running server; it stops when dropped.
pub struct Server {
    listener: Loopback,
    shared: Arc<Shared>,
}

struct Shared {
    log: Arc<Log>,
    bad: Misbehaviour,
    seen: AtomicU64,
    latest: AtomicU64,
    requests: Mutex<Vec<(String, u16)>>,
}

impl Server {
    /// Serves a log, at its size of now.
    pub fn start(log: impl Into<Arc<Log>>, bad: Misbehaviour) -> Outcome<Self> {
        let (seen, latest, requests) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::default());
        let shared = Arc::new(Shared { log: log.into(), bad, seen, latest, requests });
        let served = Arc::clone(&shared);
        let listener = Loopback::start(move |stream, requests| served.connection(stream, requests))?;
        Ok(Self { listener, shared })
    }

    /// Its URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.listener.address())
    }

    /// GOSUMDB that asks it and no proxy.
    pub fn gosumdb(&self) -> String {
        format!("{} {}", self.shared.log.key(), self.url())
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.shared.log
    }

    /// Path and status of every request, as they came; status 0 where the answer was cut off.
    pub fn log_of_requests(&self) -> Vec<(String, u16)> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often each path was answered with 200.
    pub fn answered(&self) -> BTreeMap<String, u64> {
        let mut answered = BTreeMap::new();
        for (path, _) in self.log_of_requests().into_iter().filter(|(_, status)| *status == 200) {
            *answered.entry(path).or_default() += 1;
        }
        answered
    }
}

/// An answer.
struct Answer {
    status: u16,
    header: String,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, header: String::new(), body: body.into() }
    }
}

impl Shared {
    /// A connection to its end. A client that goes away is no matter of the server's.
    fn connection(&self, stream: &TcpStream, requests: Requests<'_>) {
        for Head { method, target: path, .. } in requests {
            if method == "CONNECT" {
                self.note(&format!("CONNECT {path}"), 200);
                let mut writer = stream;
                if writer.write_all(b"HTTP/1.1 200 OK\r\n\r\n").is_err() {
                    return;
                }
                continue;
            }
            thread::sleep(self.bad.delay);
            let number = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
            let is_every = |every: u64| every > 0 && number.is_multiple_of(every);
            if is_every(self.bad.closes_every) {
                self.note(&path, 0);
                return;
            }
            let answer = if is_every(self.bad.fails_every) {
                Answer::new(500, "something went wrong\n")
            } else if let Some((_, seconds)) = self.bad.too_many.filter(|(first, _)| number <= *first) {
                Answer { header: format!("Retry-After: {seconds}\r\n"), ..Answer::new(429, "too many requests\n") }
            } else {
                self.answer(&path)
            };
            let is_cut = is_every(self.bad.cuts_every);
            self.note(&path, if is_cut { 0 } else { answer.status });
            let Answer { status, header, body } = answer;
            let head = format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n{header}\r\n", body.len());
            let sent = if is_cut { &body[..body.len() / 2] } else { &body[..] };
            let mut writer = stream;
            if writer.write_all(&[head.as_bytes(), sent].concat()).is_err() || is_cut {
                return;
            }
        }
    }

    fn note(&self, path: &str, status: u16) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push((path.to_owned(), status));
    }

    fn answer(&self, path: &str) -> Answer {
        if let Some((_, status, text)) = self.bad.answers.iter().find(|(start, _, _)| path.contains(start)) {
            let mut answer = Answer::new(*status, text.as_bytes());
            if (300..400).contains(status) {
                answer.header = format!("Location: {text}\r\n");
            }
            return answer;
        }
        if path.ends_with("/supported") {
            return Answer::new(200, "");
        }
        if path.ends_with("/latest") {
            return Answer::new(200, self.latest());
        }
        if let Some((_, name)) = path.split_once("/lookup/") {
            return self.lookup(name);
        }
        let tile = path.find("/tile/").and_then(|start| path[start + 1..].parse::<Tile>().ok());
        let tile = tile.filter(|tile| !self.bad.has_no_partial_tiles || tile.width() == Tile::FULL_WIDTH);
        match tile.and_then(|tile| Some((tile, self.log.tile(tile)?))) {
            Some((tile, mut bytes)) => {
                if self.bad.forges_tile == Some(tile) {
                    bytes[0] ^= 1;
                }
                Answer::new(200, bytes)
            }
            None => Answer::new(404, "not found\n"),
        }
    }

    fn latest(&self) -> String {
        let number = self.latest.fetch_add(1, Ordering::Relaxed);
        let log = self.bad.latest_of.as_deref().unwrap_or(&self.log);
        match self.bad.old_latest {
            Some((first, size)) if number < first => log.note(size),
            _ => log.note(log.size()),
        }
    }

    fn lookup(&self, name: &str) -> Answer {
        let version = name.split_once('@').and_then(|(path, version)| {
            ModuleVersion::new(ModulePath::from_escaped(path).ok()?, Version::from_escaped(version).ok()?).ok()
        });
        let Some((version, id)) =
            version.and_then(|version| Some((self.log.id(&version)?, version)).map(|(a, b)| (b, a)))
        else {
            return Answer::new(404, format!("not found: {name}: invalid version: unknown revision\n"));
        };
        let heads = self.bad.heads_of.as_deref().unwrap_or(&self.log);
        let size = if self.bad.has_old_heads { old_size(id, heads.size()) } else { heads.size() };
        let mut text = self.log.text(id).to_owned();
        if self.bad.forges_lookup.as_ref() == Some(&version) {
            let at = text.find("h1:").unwrap_or_default() + 3;
            let letter = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
            text.replace_range(at..=at, letter);
        }
        Answer::new(200, format!("{id}\n{text}\n{}", heads.note(size)))
    }
}

/// The size of the log when somebody asked for this record before: each record another one.
pub fn old_size(id: u64, size: u64) -> u64 {
    (id + 1 + (size - id - 1) / (2 + id % 5)).max(id + 1)
}
