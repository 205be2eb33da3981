//! A place, HTTP or files: asked until there is an answer, within limits.
//!
//! | answer | what it means |
//! |---|---|
//! | 200 | the bytes |
//! | 404, 410, no such file | it is not there, in the server's words |
//! | 429, 408, 5xx, a broken or stalled connection | asked again after a wait; Retry-After is kept by all threads |
//! | no connection | the same, a few times only |
//! | anything else | an error that shows status and words: asking again would change nothing |

use crate::context::Interrupt;
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::client::{Client, Failure, Limits, Sink, unescaped};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait for a server, and how often to come back.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Times that one thing is asked for, 1 or more.
    pub attempts: u32,
    /// Times that are tried to get any connection at all; a machine without a network should hear of it soon.
    pub connections: u32,
    /// The wait before the second time; each further one is three times as long.
    pub first_wait: Duration,
    /// Longest wait, also if Retry-After asks for more.
    pub longest_wait: Duration,
    /// To make a connection.
    pub connect: Duration,
    /// Between two bytes of an answer, and before the first. Who stops work that is not [`Reader::stoppable`] may wait as long.
    pub stall: Duration,
}

impl Default for Patience {
    /// 0.3, 0.9, 2.7, 8.1 and 24.3 seconds: a restart of a server passes, an outage does not.
    fn default() -> Self {
        Self {
            attempts: 6,
            connections: 3,
            first_wait: Duration::from_millis(300),
            longest_wait: Duration::from_secs(120),
            connect: Duration::from_secs(20),
            stall: Duration::from_secs(30),
        }
    }
}

/// How much longer each wait is than the one before.
const GROWTH: u32 = 3;
/// How often a wait looks whether the user wants to stop.
const POLL: Duration = Duration::from_millis(50);
/// Bytes of a file that are handed on at once.
const FILE_PIECE: usize = 256 * 1024;
/// Longest part of a server's words in a message, in characters.
const MAX_SHOWN: usize = 300;

/// What is at a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The bytes.
    Found(Vec<u8>),
    /// Nothing, and what the server says about it.
    Absent(String),
}

/// Asks places, over HTTP and in files.
pub(crate) struct Reader<'a> {
    client: Client,
    patience: Patience,
    interrupt: &'a Interrupt,
    /// Nobody asks before this time: a server that has had too many requests has had them from all threads.
    pause: Mutex<Option<Instant>>,
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        environment: &crate::context::Environment,
        goauth: &str,
        patience: Patience,
        connections: usize,
        interrupt: &'a Interrupt,
    ) -> Self {
        let limits = Limits { connect: patience.connect, stall: patience.stall, connections };
        let client = Client::new(environment, goauth, limits, interrupt);
        let (requests, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { client, patience, interrupt, pause: Mutex::new(None), requests, bytes }
    }

    /// Reads now what the first connection with TLS would otherwise wait for.
    pub(crate) fn prepare(&self) {
        self.client.prepare();
    }

    /// Requests made so far, those that failed too.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes of all bodies so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Does work that asks, and breaks its connections when the user stops it: a read alone would wait for a stalled server.
    pub(crate) fn stoppable<T>(&self, work: impl FnOnce() -> T) -> T {
        let (working, end) = mpsc::channel::<()>();
        let watch = move || {
            while end.recv_timeout(POLL) == Err(mpsc::RecvTimeoutError::Timeout) {
                if self.interrupt.is_set() {
                    self.client.stop();
                }
            }
        };
        thread::scope(|scope| {
            // Where the system gives no thread, the end comes a stall later.
            let _ = thread::Builder::new().spawn_scoped(scope, watch);
            let done = work();
            drop(working);
            done
        })
    }

    /// Waits for the time before `attempt`, and longer if a server has asked for it.
    pub(crate) fn wait(&self, attempt: u32) -> Result<()> {
        let wait = self.patience.first_wait.saturating_mul(GROWTH.saturating_pow(attempt.saturating_sub(1)));
        self.sleep_until(Instant::now() + wait.min(self.patience.longest_wait))
    }

    /// Asks for what is at `path` under `base`, `limit` bytes at most.
    pub(crate) fn get(&self, base: &Base, path: &str, limit: usize) -> Result<Answer> {
        self.get_patiently(base, path, limit, self.patience.attempts)
    }

    /// The same, `attempts` times at most.
    pub(crate) fn get_patiently(&self, base: &Base, path: &str, limit: usize, attempts: u32) -> Result<Answer> {
        let mut bytes = Vec::new();
        Ok(match self.pass(base, path, limit as u64, &mut bytes, attempts)? {
            Passed::All(_) => Answer::Found(bytes),
            Passed::Absent(words) => Answer::Absent(words),
        })
    }

    /// Asks for what is at `path` under `base`, `limit` bytes at most, and hands it on as it comes; what came of an attempt
    /// that broke is forgotten.
    pub(crate) fn pass(&self, base: &Base, path: &str, limit: u64, to: &mut dyn Sink, attempts: u32) -> Result<Passed> {
        let url = base.url(path);
        let mut attempt = 0;
        loop {
            self.interrupt.check()?;
            self.pause()?;
            attempt += 1;
            self.requests.fetch_add(1, Ordering::Relaxed);
            let once = self.once(base, &url, path, limit, to);
            if !matches!(once, Ok(Once::Answer(_))) {
                // What broke because the user stops the work says nothing about the server.
                self.interrupt.check()?;
            }
            let (error, most) = match once? {
                Once::Answer(answer) => return Ok(answer),
                Once::Again { error, most } => (error, most),
            };
            if attempt >= attempts.min(most) {
                let times = if attempt == 1 { String::new() } else { format!(", {attempt} times") };
                return Err(Error { message: format!("{}{times}", error.message), ..error });
            }
            self.wait(attempt)?;
        }
    }

    fn once(&self, base: &Base, url: &str, path: &str, limit: u64, to: &mut dyn Sink) -> Result<Once> {
        if let Base::Directory(directory) = base {
            return self.file(&directory.join(path), limit, to).map(Once::Answer);
        }
        let network = |tried: String| Error::new(ErrorKind::Network, format!("{}: {tried}", shown(url)));
        let reply = match self.client.get(url, limit, to) {
            Ok(reply) => reply,
            Err(Failure::Unreachable(words)) => {
                let error = network("could not be reached".to_owned()).because(words);
                let error = error.hint("check the network, GOPROXY, GOSUMDB (go env GOPROXY GOSUMDB) and HTTPS_PROXY");
                return Ok(Once::Again { error, most: self.patience.connections });
            }
            Err(Failure::Broken(words)) => {
                let error = network("no whole answer came".to_owned()).because(words);
                return Ok(Once::Again { error, most: u32::MAX });
            }
            Err(Failure::Own(error)) => return Err(own(&error)),
            Err(Failure::Lasting(words)) => {
                let hint = "a private certificate authority is named by SSL_CERT_FILE, a proxy by HTTPS_PROXY";
                return Err(network("could not be asked".to_owned()).because(words).hint(hint));
            }
        };
        self.bytes.fetch_add(reply.size, Ordering::Relaxed);
        let words = words(&reply.words);
        let answered = |error: Error| if words.is_empty() { error } else { error.because(words.clone()) };
        match reply.status {
            200 => Ok(Once::Answer(Passed::All(reply.size))),
            404 | 410 => Ok(Once::Answer(Passed::Absent(words))),
            status @ (408 | 429 | 500..=599) => {
                if let Some(asked) = reply.retry_after {
                    let until = Instant::now() + asked.min(self.patience.longest_wait);
                    let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
                    *pause = Some(pause.map_or(until, |earlier| earlier.max(until)));
                }
                let error = answered(network(format!("answered {status}")));
                Ok(Once::Again { error, most: u32::MAX })
            }
            status => {
                let error = answered(network(format!("answered {status}")));
                let error = error.because_each(self.client.failed_credentials().into_iter());
                Err(error.hint(match status {
                    401 | 403 | 407 => "it wants a login: check netrc and go env GOAUTH GOPROXY GOSUMDB",
                    _ => "whoever answers is perhaps no checksum database; check go env GOPROXY GOSUMDB",
                }))
            }
        }
    }

    /// The size of what is at `path` under `base`, asked for once; none where that is not known. It is for information, and
    /// nothing waits for it.
    pub(crate) fn size(&self, base: &Base, path: &str) -> Option<u64> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match base {
            Base::Directory(directory) => {
                directory.join(path).metadata().ok().filter(fs::Metadata::is_file).map(|meta| meta.len())
            }
            Base::Http(_) => self.client.size(&base.url(path)).ok().flatten(),
        }
    }

    fn file(&self, path: &Path, limit: u64, to: &mut dyn Sink) -> Result<Passed> {
        let failed = |error: &io::Error| Error::io(path, "could not be read", error);
        // Nobody waits for the other end of a pipe here: that could not be interrupted.
        if path.metadata().is_ok_and(|meta| !meta.is_file()) {
            return Err(Error::new(ErrorKind::Io, format!("{}: is no file", path.display())));
        }
        let mut file = match fs::File::open(path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Passed::Absent(format!("{}: {error}", path.display())));
            }
            opened => opened.map_err(|error| failed(&error))?,
        };
        to.restart().map_err(|error| own(&error))?;
        let (mut piece, mut size) = (vec![0; FILE_PIECE], 0);
        loop {
            let got = file.read(&mut piece).map_err(|error| failed(&error))?;
            if got == 0 {
                self.bytes.fetch_add(size, Ordering::Relaxed);
                return Ok(Passed::All(size));
            }
            size += got as u64;
            if size > limit {
                return Err(Error::new(ErrorKind::Io, format!("{}: larger than {limit} bytes", path.display())));
            }
            to.write_all(&piece[..got]).map_err(|error| own(&error))?;
        }
    }

    fn pause(&self) -> Result<()> {
        let until = *self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        until.map_or(Ok(()), |until| self.sleep_until(until))
    }

    fn sleep_until(&self, until: Instant) -> Result<()> {
        loop {
            self.interrupt.check()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(POLL));
        }
    }
}

/// What came of something that was handed on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// All of it, so many bytes.
    All(u64),
    /// It is not there, in the server's words.
    Absent(String),
}

/// What came could not be kept: the disk is full, most likely.
fn own(error: &io::Error) -> Error {
    Error::io(Path::new("work space"), "what came could not be kept", error)
        .hint("free some space, or name a place with more for the work: --cache-dir DIR")
}

/// What one attempt came to.
enum Once {
    Answer(Passed),
    Again {
        error: Error,
        /// Most attempts for what failed so.
        most: u32,
    },
}

/// Where a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    /// At a URL without a slash at its end.
    Http(String),
    /// In files.
    Directory(PathBuf),
}

impl Base {
    /// Reads a URL of GOPROXY or GOSUMDB: http, https or file.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let invalid = |reason: &str| Error::new(ErrorKind::Usage, format!("{}: {reason}", shown(url)));
        match url.split_once("://") {
            Some(("http" | "https", rest)) if !rest.is_empty() && !rest.starts_with('/') => {
                // What comes after belongs to one request, not to a place.
                let end = url.find(['?', '#']).unwrap_or(url.len());
                Ok(Self::Http(url[..end].trim_end_matches('/').to_owned()))
            }
            Some(("file", path)) => {
                let path = path.strip_prefix("localhost").unwrap_or(path);
                if !path.starts_with('/') {
                    return Err(invalid("not of the form file:///DIRECTORY"));
                }
                let path = unescaped(path);
                // file:///C:/dir is C:/dir.
                let is_drive = cfg!(windows) && path.as_bytes().get(2) == Some(&b':');
                Ok(Self::Directory(PathBuf::from(if is_drive { &path[1..] } else { &path })))
            }
            _ => Err(invalid("not the URL of a place that can be asked: http, https or file")
                .hint("check go env GOPROXY GOSUMDB")),
        }
    }

    /// A place below this one.
    pub(crate) fn join(&self, path: &str) -> Self {
        match self {
            Self::Http(url) => Self::Http(format!("{url}/{path}")),
            Self::Directory(directory) => Self::Directory(directory.join(path)),
        }
    }

    fn url(&self, path: &str) -> String {
        match self {
            // Raw: `!` and `+` as Go writes them (measured: the database takes lookups in no other form).
            Self::Http(url) => format!("{url}/{path}"),
            Self::Directory(directory) => directory.join(path).display().to_string(),
        }
    }

    /// How messages name what is below.
    pub(crate) fn shown(&self, path: &str) -> String {
        shown(&self.url(path))
    }
}

/// A URL without the password in it.
fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((login, host)) => {
            let name = login.split(':').next().unwrap_or_default();
            format!("{scheme}://{name}:xxxxx@{host}{}", &rest[authority.len()..])
        }
        None => url.to_owned(),
    }
}

/// The beginning of what a server says, fit for a terminal.
pub(crate) fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let plain = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut words: String = plain.take(MAX_SHOWN).collect();
    if text.trim().chars().nth(MAX_SHOWN).is_some() {
        words.push_str("...");
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Environment;
    use modferry_harness::module::Module;
    use modferry_harness::proxy::{Behaviour, Proxy, Rule};
    use modferry_harness::upstream::Upstream;

    #[test]
    fn bases_are_urls_of_three_kinds() {
        let http = |url: &str| Ok(Base::Http(url.to_owned()));
        let parse = |url: &str| Base::parse(url).map_err(|error| error.to_string());
        assert_eq!(parse("https://a.test/x/"), http("https://a.test/x"));
        assert_eq!(parse("http://a.test?x"), http("http://a.test"));
        assert_eq!(parse("file:///a%20b"), Ok(Base::Directory("/a b".into())));
        assert_eq!(parse("file://localhost/a"), Ok(Base::Directory("/a".into())));
        for wrong in ["", "a.test", "file://a", "ftp://a.test", "https://", "https:///a"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_message_has_a_password() {
        let base = Base::parse("https://user:secret@a.test/x").unwrap();
        assert_eq!(base.shown("latest"), "https://user:xxxxx@a.test/x/latest");
    }

    /// Asks a server that misbehaves once, for 1000 bytes at most.
    fn once(behaviour: Behaviour) -> Result<Vec<u8>> {
        let directory = tempfile::tempdir().unwrap();
        let module = Module::new("example.com/a@v1.0.0").unwrap().file("a.go", "package a\n");
        let upstream = Upstream::at(directory.path());
        upstream.publish(&module).unwrap();
        let proxy = Proxy::start(&upstream, [Rule::always("", behaviour)]).unwrap();
        let patience = Patience { attempts: 1, stall: Duration::from_secs(1), ..Patience::default() };
        let interrupt = Interrupt::default();
        let reader = Reader::new(&Environment::default(), "", patience, 1, &interrupt);
        let base = Base::parse(&proxy.url()).unwrap();
        match reader.get(&base, "example.com/a/@v/v1.0.0.zip", 1000)? {
            Answer::Found(bytes) if bytes == module.zip() => Ok(bytes),
            answer => panic!("{answer:?}"),
        }
    }

    #[test]
    fn what_stalls_or_never_ends_is_given_up() {
        let causes = |behaviour| once(behaviour).unwrap_err().causes.concat();
        assert!(once(Behaviour::Chunked).is_ok());
        assert!(once(Behaviour::Slow(Duration::from_millis(300))).is_ok());
        assert_eq!(causes(Behaviour::Zeros(1 << 40)), "answers with more than 1000 bytes");
        assert_eq!(causes(Behaviour::Trickle(Duration::from_millis(20))), "slower than 1024 bytes a second");
        assert!(causes(Behaviour::Slow(Duration::from_secs(3))).contains("timeout"));
        assert_eq!(causes(Behaviour::Redirect(String::new())), "more than 10 redirects");
    }

    #[test]
    fn words_of_a_server_cannot_move_the_cursor() {
        assert_eq!(words(b"  not found: \x1b[2J\n"), "not found:  [2J");
        assert_eq!(words("x".repeat(400).as_bytes()).len(), 303);
    }
}
