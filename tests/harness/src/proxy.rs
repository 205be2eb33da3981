//! An HTTP server on the loopback interface that answers as a module proxy, and misbehaves where it is told to.
//!
//! It serves an [`Upstream`]. A [`Rule`] says for some paths what it does in place of a good answer, and how often; the
//! first rule that fits and is not used up counts. Every request is in [`Proxy::requests`].

use crate::Outcome;
use crate::loopback::{Head, Loopback, Requests};
use crate::upstream::Upstream;
use modferry_format::BundlePath;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What a proxy does in place of a good answer.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// The good answer, so much later.
    Slow(Duration),
    /// The good answer, one byte in each so much time.
    Trickle(Duration),
    /// The good answer in chunks, without a length.
    Chunked,
    /// Half a body in chunks, and no end of them.
    ChunkedCut,
    /// The length of the good answer and half of its body.
    Cut,
    /// No answer at all.
    Close,
    /// This status, with the reason as text.
    Status(u16),
    /// 429 with this text in Retry-After.
    TooMany(&'static str),
    /// A redirect to the same path below this URL; to itself where it is empty.
    Redirect(String),
    /// 401 without this name and password, else the good answer.
    Wants(&'static str, &'static str),
    /// 200 with these bytes.
    Instead(Vec<u8>),
    /// 200 with so many zeros.
    Zeros(u64),
}

/// A behaviour for some paths.
#[derive(Debug, Clone)]
pub struct Rule {
    pattern: String,
    times: u64,
    behaviour: Behaviour,
}

impl Rule {
    /// For every path that contains this text.
    pub fn always(pattern: &str, behaviour: Behaviour) -> Self {
        Self::first(u64::MAX, pattern, behaviour)
    }

    /// For the first so many requests of such paths, all of them counted together.
    pub fn first(times: u64, pattern: &str, behaviour: Behaviour) -> Self {
        Self { pattern: pattern.to_owned(), times, behaviour }
    }
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its path, unescaped.
    pub path: String,
    /// The status of the answer; 0 where the answer was cut off.
    pub status: u16,
    /// Its Authorization header, if it had one.
    pub authorization: Option<String>,
}

/// A running proxy; it stops when dropped.
pub struct Proxy {
    listener: Loopback,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: Upstream,
    rules: Vec<(Rule, AtomicU64)>,
    requests: Mutex<Vec<Request>>,
    /// Zips that are on their way, and the most that were.
    zips: Mutex<(u64, u64)>,
}

impl Proxy {
    /// Serves what is published there, also what is published later.
    pub fn start(upstream: &Upstream, rules: impl IntoIterator<Item = Rule>) -> Outcome<Self> {
        let rules = rules.into_iter().map(|rule| (rule, AtomicU64::new(0))).collect();
        let shared =
            Arc::new(Shared { upstream: upstream.clone(), rules, requests: Mutex::default(), zips: Mutex::default() });
        let served = Arc::clone(&shared);
        let listener = Loopback::start(move |stream, requests| served.connection(stream, requests))?;
        Ok(Self { listener, shared })
    }

    /// Its URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.listener.address())
    }

    /// Its URL with a name and a password in it.
    pub fn url_with_login(&self, login: &str) -> String {
        format!("http://{login}@{}", self.listener.address())
    }

    /// Every request, as they came.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The most zips that were on their way at one time.
    pub fn most_zips_at_once(&self) -> u64 {
        self.shared.zips.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// How often each zip was asked for, by the part of its path before `.zip`, such as `example.com/a/@v/v1.0.0`.
    pub fn zips(&self) -> BTreeMap<String, u64> {
        let mut zips = BTreeMap::new();
        for request in self.requests() {
            if let Some(name) = request.path.strip_suffix(".zip") {
                *zips.entry(name.trim_start_matches('/').to_owned()).or_default() += 1;
            }
        }
        zips
    }
}

/// An answer: status, further header lines, body, and how the body goes out.
struct Answer {
    status: u16,
    header: String,
    body: Vec<u8>,
    way: Way,
}

enum Way {
    Whole,
    Late(Duration),
    Slowly(Duration),
    Chunked,
    ChunkedCut,
    Cut,
    Zeros(u64),
}

impl Answer {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, header: String::new(), body: body.into(), way: Way::Whole }
    }

    fn of_status(status: u16) -> Self {
        Self::new(status, format!("this proxy says {status}\n"))
    }

    /// Whether the connection can be used further. HEAD has the head alone for an answer.
    fn send(&self, mut to: &TcpStream, method: &str) -> std::io::Result<bool> {
        let length = match self.way {
            Way::Chunked | Way::ChunkedCut => "Transfer-Encoding: chunked".to_owned(),
            Way::Zeros(size) => format!("Content-Length: {size}"),
            _ => format!("Content-Length: {}", self.body.len()),
        };
        let (status, reason) = (self.status, reason(self.status));
        let head = format!("HTTP/1.1 {status} {reason}\r\n{length}\r\n{}\r\n", self.header).into_bytes();
        let half = &self.body[..self.body.len() / 2];
        let chunk = |piece: &[u8]| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        match self.way {
            _ if method == "HEAD" => to.write_all(&head)?,
            Way::Whole => to.write_all(&[&head, &self.body[..]].concat())?,
            Way::Late(pause) => {
                thread::sleep(pause);
                to.write_all(&[&head, &self.body[..]].concat())?;
            }
            Way::Slowly(pause) => {
                to.write_all(&head)?;
                for byte in &self.body {
                    thread::sleep(pause);
                    to.write_all(&[*byte])?;
                }
            }
            Way::Chunked => {
                to.write_all(&head)?;
                self.body.chunks(100).try_for_each(|piece| to.write_all(&chunk(piece)))?;
                to.write_all(b"0\r\n\r\n")?;
            }
            Way::ChunkedCut => to.write_all(&[head, chunk(half)].concat())?,
            Way::Cut => to.write_all(&[&head, half].concat())?,
            Way::Zeros(size) => {
                to.write_all(&head)?;
                std::io::copy(&mut std::io::Read::take(std::io::repeat(0), size), &mut to)?;
            }
        }
        Ok(!self.is_cut())
    }

    fn is_cut(&self) -> bool {
        matches!(self.way, Way::Cut | Way::ChunkedCut)
    }
}

impl Shared {
    /// A connection to its end. A client that goes away is no matter of the proxy's.
    fn connection(&self, stream: &TcpStream, requests: Requests<'_>) {
        for Head { method, target, authorization } in requests {
            // Of what go escapes in a path, tests have nothing but the `!` of a capital letter.
            let path = target.replace("%21", "!");
            let is_zip = path.ends_with(".zip");
            self.count(is_zip, 1);
            let answer = self.answer(&path, authorization.as_deref());
            let status = answer.as_ref().filter(|answer| !answer.is_cut()).map_or(0, |answer| answer.status);
            self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(Request { path, status, authorization });
            let is_usable = answer.is_some_and(|answer| answer.send(stream, &method).unwrap_or(false));
            self.count(is_zip, -1);
            if !is_usable {
                return;
            }
        }
    }

    fn count(&self, is_zip: bool, more: i64) {
        let (now, most) = &mut *self.zips.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.saturating_add_signed(if is_zip { more } else { 0 });
        *most = (*most).max(*now);
    }

    /// The answer; none closes the connection.
    fn answer(&self, path: &str, authorization: Option<&str>) -> Option<Answer> {
        let is_left = |(rule, used): &&(Rule, AtomicU64)| {
            path.contains(&rule.pattern) && used.fetch_add(1, Ordering::Relaxed) < rule.times
        };
        let good = || self.good(path);
        let by = |way: Way| Answer { way, ..self.good(path) };
        let Some((rule, _)) = self.rules.iter().find(is_left) else { return Some(good()) };
        Some(match &rule.behaviour {
            Behaviour::Slow(pause) => by(Way::Late(*pause)),
            Behaviour::Trickle(pause) => by(Way::Slowly(*pause)),
            Behaviour::Chunked => by(Way::Chunked),
            Behaviour::ChunkedCut => by(Way::ChunkedCut),
            Behaviour::Cut => by(Way::Cut),
            Behaviour::Close => return None,
            Behaviour::Status(status) => Answer::of_status(*status),
            Behaviour::TooMany(after) => {
                Answer { header: format!("Retry-After: {after}\r\n"), ..Answer::of_status(429) }
            }
            Behaviour::Redirect(base) => {
                let header = format!("Location: {base}{}\r\n", path.replace('!', "%21"));
                Answer { header, ..Answer::of_status(302) }
            }
            Behaviour::Wants(name, password) => {
                let token = data_encoding::BASE64.encode(format!("{name}:{password}").as_bytes());
                if authorization == Some(&format!("Basic {token}")) { good() } else { Answer::of_status(401) }
            }
            Behaviour::Instead(bytes) => Answer::new(200, bytes.as_slice()),
            Behaviour::Zeros(size) => Answer { way: Way::Zeros(*size), ..Answer::new(200, "") },
        })
    }

    fn good(&self, path: &str) -> Answer {
        // A path that no bundle has is none of the API, and leads out of no directory.
        let file = format!("download{path}").parse::<BundlePath>().ok();
        match file.and_then(|file| fs::read(self.upstream.path(&file)).ok()) {
            Some(bytes) => Answer::new(200, bytes),
            None => Answer::new(404, format!("not found: {path}\n")),
        }
    }
}

/// The words of a status: go repeats them.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        302 => "Found",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        410 => "Gone",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::Module;
    use std::io::Read;

    fn ask(proxy: &Proxy, path: &str) -> String {
        let mut stream = TcpStream::connect(proxy.listener.address()).unwrap();
        // The server reads until the client is done, so half of the connection is closed at once.
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[test]
    fn rules_are_used_up_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let upstream = Upstream::at(directory.path().join("upstream"));
        upstream.publish(&Module::new("example.com/A@v1.0.0").unwrap()).unwrap();
        let rules = [
            Rule::first(1, ".mod", Behaviour::Status(500)),
            Rule::first(1, ".mod", Behaviour::Cut),
            Rule::always(".info", Behaviour::Redirect("http://other".to_owned())),
        ];
        let proxy = Proxy::start(&upstream, rules).unwrap();
        let paths = ["mod", "mod", "mod", "info"].map(|suffix| format!("/example.com/%21a/@v/v1.0.0.{suffix}"));
        let [failed, cut, good, redirected] = paths.map(|path| ask(&proxy, &path));
        assert!(failed.starts_with("HTTP/1.1 500 "), "{failed}");
        assert!(cut.ends_with("Content-Length: 21\r\n\r\nmodule exa"), "{cut}");
        assert!(good.ends_with("module example.com/A\n"), "{good}");
        assert!(redirected.contains("Location: http://other/example.com/%21a/@v/v1.0.0.info\r\n"), "{redirected}");
        assert!(ask(&proxy, "/../../etc/passwd").starts_with("HTTP/1.1 404 "));
        let log = proxy.requests();
        assert_eq!(log[0].path, "/example.com/!a/@v/v1.0.0.mod");
        assert_eq!(log.iter().map(|request| request.status).collect::<Vec<_>>(), [500, 0, 200, 302, 404]);
    }
}
