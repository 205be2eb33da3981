//! One HTTP request: through the right proxy, with the right credentials, over a connection that is used again.
//!
//! - HTTPS with the authorities of the system and of SSL_CERT_FILE and SSL_CERT_DIR; HTTPS_PROXY, HTTP_PROXY and NO_PROXY;
//!   what GOAUTH has for the URL, netrc by default; a login in the URL itself; neither over plain http: all as the go command has it
//! - what is refused is asked for once more where GOAUTH has learned something by that
//! - redirects are followed here, so each step gets its own proxy and login; never from https to http
//! - a connection has a limit to be made and every read has one; a request has none, but a least rate: a slow server is no
//!   broken one, and one that gives a byte now and then is
//! - nothing is tried again; [`super::remote`] does that
//!
//! Every request through a proxy is tunnelled by CONNECT, those for plain http too (ureq knows no other way); a proxy may
//! refuse that for port 80.

use crate::context::{Environment, Interrupt};
use crate::fetch::addresses::Addresses;
use crate::fetch::authorities::Authorities;
use crate::fetch::credentials::{Credentials, Learned};
use crate::fetch::goauth;
use crate::fetch::proxies::Proxies;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use ureq::http::{HeaderMap, Uri, header};
use ureq::tls::TlsConfig;
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Proxy};

/// Most redirects of one request, as in net/http of Go.
const MAX_REDIRECTS: usize = 10;
/// Longest part of a body that is read of an answer that is not 200, in bytes.
const MAX_WORDS: u64 = 16 * 1024;
/// Least rate of a body, in bytes a second, over as long as a stall may last.
const LEAST_RATE: u64 = 1024;
/// Bytes of a body that are handed on at once.
const PIECE: usize = 64 * 1024;
/// How this program calls itself.
const USER_AGENT: &str = concat!("modferry/", env!("CARGO_PKG_VERSION"));

/// An HTTP client, for many threads at once.
pub(crate) struct Client {
    /// By proxy, none is the direct way, and whether there is TLS on it.
    agents: Mutex<BTreeMap<(Option<String>, bool), Agent>>,
    /// For its certificate authorities: who speaks plain http needs none.
    environment: Environment,
    limits: Limits,
    proxies: Proxies,
    credentials: Credentials,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Its status, of no redirect.
    pub(crate) status: u16,
    /// Retry-After, if it is a number of seconds.
    pub(crate) retry_after: Option<Duration>,
    /// Bytes of the body of a 200, which went to the sink.
    pub(crate) size: u64,
    /// The beginning of the body of other answers.
    pub(crate) words: Vec<u8>,
}

/// Takes a body; begins anew when a request is made again.
pub(crate) trait Sink: Write {
    /// Forgets what came so far.
    fn restart(&mut self) -> io::Result<()>;
}

impl Sink for Vec<u8> {
    fn restart(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

impl Sink for File {
    fn restart(&mut self) -> io::Result<()> {
        self.set_len(0)?;
        self.rewind()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No connection: nobody listens, or there is no such host.
    Unreachable(String),
    /// A connection that broke or stalled.
    Broken(String),
    /// What came could not be kept.
    Own(io::Error),
    /// What the next try would meet again: a certificate, a URL, a proxy that refuses.
    Lasting(String),
}

/// The limits of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// To have a connection, TLS included.
    pub(crate) connect: Duration,
    /// Between two bytes.
    pub(crate) stall: Duration,
    /// Connections kept open.
    pub(crate) connections: usize,
}

impl Client {
    pub(crate) fn new(environment: &Environment, goauth: &str, limits: Limits, interrupt: &Interrupt) -> Self {
        let credentials = Credentials::new(environment, goauth, interrupt);
        let (environment, proxies) = (environment.clone(), Proxies::of(environment));
        Self { agents: Mutex::default(), environment, limits, proxies, credentials }
    }

    /// Reads now what the first connection with TLS would otherwise wait for.
    pub(crate) fn prepare(&self) {
        Authorities::of(&self.environment);
    }

    /// Why methods of GOAUTH have failed, the last time that they ran.
    pub(crate) fn failed_credentials(&self) -> Vec<String> {
        self.credentials.failed()
    }

    /// Asks once. A body of 200 that is larger than `limit` bytes is a failure.
    pub(crate) fn get(&self, url: &str, limit: u64, to: &mut dyn Sink) -> Result<Reply, Failure> {
        let mut response = self.follow(url, Method::Get)?;
        let status = response.status().as_u16();
        let retry_after = header_of(&response, header::RETRY_AFTER).and_then(|text| text.trim().parse().ok());
        let retry_after = retry_after.map(Duration::from_secs);
        let mut body = response.body_mut().as_reader();
        if status == 200 {
            let size = self.pass(&mut body, limit, to)?;
            return Ok(Reply { status, retry_after, size, words: Vec::new() });
        }
        let mut words = Vec::new();
        // Of a refusal any words will do.
        let _ = body.take(MAX_WORDS).read_to_end(&mut words);
        Ok(Reply { status, retry_after, size: 0, words })
    }

    /// Asks once for the size of what a GET would give; none where the server does not say it.
    pub(crate) fn size(&self, url: &str) -> Result<Option<u64>, Failure> {
        let response = self.follow(url, Method::Head)?;
        let size = header_of(&response, header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
        Ok(size.filter(|_| response.status().as_u16() == 200))
    }

    /// Asks until the answer is no redirect.
    fn follow(&self, url: &str, method: Method) -> Result<Response, Failure> {
        let mut url: Uri = url.parse().map_err(|_| Failure::Lasting("not a URL".to_owned()))?;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.ask(&url, method)?;
            let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            let Some(location) = header_of(&response, header::LOCATION).filter(|_| is_redirect) else {
                return Ok(response);
            };
            url = redirected(&url, location)
                .ok_or_else(|| Failure::Lasting(format!("redirects to {location:?}, where no request goes")))?;
        }
        Err(Failure::Lasting(format!("more than {MAX_REDIRECTS} redirects")))
    }

    /// Breaks all connections, and what is under way on them.
    pub(crate) fn stop(&self) {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().for_each(Agent::shutdown);
    }

    /// Hands a body on, and says how long it was.
    fn pass(&self, body: &mut dyn Read, limit: u64, to: &mut dyn Sink) -> Result<u64, Failure> {
        to.restart().map_err(Failure::Own)?;
        let mut piece = vec![0; PIECE.min(usize::try_from(limit).unwrap_or(PIECE) + 1)];
        let (mut size, mut since, mut in_time) = (0, Instant::now(), 0);
        loop {
            let got = body.read(&mut piece).map_err(|error| Failure::Broken(error.to_string()))?;
            if got == 0 {
                return Ok(size);
            }
            size += got as u64;
            if size > limit {
                return Err(Failure::Lasting(format!("answers with more than {limit} bytes")));
            }
            to.write_all(&piece[..got]).map_err(Failure::Own)?;
            in_time += got as u64;
            if since.elapsed() >= self.limits.stall {
                if in_time < LEAST_RATE * self.limits.stall.as_secs() {
                    return Err(Failure::Broken(format!("slower than {LEAST_RATE} bytes a second")));
                }
                (since, in_time) = (Instant::now(), 0);
            }
        }
    }

    fn ask(&self, url: &Uri, method: Method) -> Result<Response, Failure> {
        let is_https = url.scheme_str() == Some("https");
        let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = url.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let agent = self.agent(self.proxies.proxy(is_https, host, port), is_https)?;
        let in_url = url.authority().and_then(|authority| authority.as_str().rsplit_once('@')).map(|(login, _)| {
            let (name, password) = login.split_once(':').unwrap_or((login, ""));
            goauth::basic(&unescaped(name), &unescaped(password)).unwrap_or_default()
        });
        match in_url {
            // As go does: over plain http no password is looked up.
            Some(_) if !is_https => {
                Err(Failure::Lasting("has a password, which no request takes over plain http".to_owned()))
            }
            Some(headers) => send(&agent, &url.to_string(), method, &headers),
            None if !is_https => send(&agent, &url.to_string(), method, &HeaderMap::new()),
            None => self.ask_with_credentials(&agent, &url.to_string(), method),
        }
    }

    fn ask_with_credentials(&self, agent: &Agent, url: &str, method: Method) -> Result<Response, Failure> {
        let mut headers = self.credentials.headers(url).map_err(Failure::Lasting)?;
        let mut response = send(agent, url, method, &headers)?;
        loop {
            let status = response.status().as_u16();
            let (new, filled) = match self.credentials.learn(url, &headers, status, || answer(&response)) {
                Learned::Nothing => return Ok(response),
                // Another request may learn again; each time something changes, so this has an end.
                Learned::Meanwhile(new) => (new, None),
                Learned::New(new, filled) => (new, Some(filled)),
            };
            // So that the connection can be used again.
            let _ = response.body_mut().as_reader().take(MAX_WORDS).read_to_end(&mut Vec::new());
            headers = new;
            response = send(agent, url, method, &headers)?;
            let Some(filled) = filled else { continue };
            for login in filled {
                // What is neither says nothing about the login.
                match send(agent, &login.url, Method::Head, &login.headers).map(|reply| reply.status().as_u16()) {
                    Ok(200) => self.credentials.tell(login, true),
                    Ok(401) => self.credentials.tell(login, false),
                    _ => {}
                }
            }
            return Ok(response);
        }
    }

    fn agent(&self, proxy: Option<String>, is_https: bool) -> Result<Agent, Failure> {
        let has_tls = is_https || proxy.as_ref().is_some_and(|proxy| proxy.to_ascii_lowercase().starts_with("https:"));
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (proxy, has_tls);
        if let Some(agent) = agents.get(&key) {
            return Ok(agent.clone());
        }
        let invalid = |_| Failure::Lasting("HTTPS_PROXY or HTTP_PROXY is not the URL of a proxy".to_owned());
        let through = key.0.as_deref().map(Proxy::new).transpose().map_err(invalid)?;
        let tls = TlsConfig::builder();
        let tls = if has_tls { tls.root_certs(Authorities::of(&self.environment)) } else { tls };
        let config = Agent::config_builder()
            .tls_config(tls.build())
            // Else it would be one from the environment of the process.
            .proxy(through)
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(USER_AGENT)
            .timeout_resolve(Some(self.limits.connect))
            .timeout_connect(Some(self.limits.connect))
            .timeout_per_read(Some(self.limits.stall))
            .timeout_per_write(Some(self.limits.stall))
            .max_idle_connections(self.limits.connections)
            .max_idle_connections_per_host(self.limits.connections)
            .build();
        Ok(agents
            .entry(key)
            .or_insert_with(|| Agent::with_parts(config, DefaultConnector::default(), Addresses::default()))
            .clone())
    }
}

type Response = ureq::http::Response<ureq::Body>;

fn send(agent: &Agent, url: &str, method: Method, headers: &HeaderMap) -> Result<Response, Failure> {
    let request = match method {
        Method::Get => agent.get(url),
        Method::Head => agent.head(url),
    };
    let with = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    with.call().map_err(Failure::from)
}

/// Status line and headers, as go tells them to a command.
fn answer(response: &Response) -> String {
    let status = response.status();
    let mut text =
        format!("{:?} {} {}\n", response.version(), status.as_u16(), status.canonical_reason().unwrap_or_default());
    for name in response.headers().keys() {
        let values = response.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
        text += &format!("{}: {}\n", canonical(name.as_str()), values.collect::<Vec<_>>().join(", "));
    }
    text + "\n"
}

/// The name of a header as Go spells it: `Www-Authenticate`.
fn canonical(name: &str) -> String {
    let mut is_first = true;
    let letter = |c: char| {
        let spelled = if is_first { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        is_first = c == '-';
        spelled
    };
    name.chars().map(letter).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Head,
}

fn header_of(response: &Response, name: header::HeaderName) -> Option<&str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The target of a redirect; none if no request may go there.
fn redirected(from: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let absolute = if location.contains("://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let to: Uri = absolute.parse().ok()?;
    let is_allowed = match to.scheme_str()? {
        "https" => true,
        "http" => scheme == "http",
        _ => false,
    };
    is_allowed.then_some(to)
}

/// `%41` as `A`.
pub(crate) fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        use std::io::ErrorKind;
        use ureq::{Error, Timeout};
        let words = error.to_string();
        match error {
            // A proxy that cannot get through, or does not want to.
            Error::ConnectProxyFailed(_) => Self::Unreachable(words),
            Error::HostNotFound | Error::ConnectionFailed | Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                Self::Unreachable(words)
            }
            Error::Io(error) => match error.kind() {
                ErrorKind::ConnectionRefused | ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
                    Self::Unreachable(words)
                }
                // What rustls says of a certificate comes through as this.
                ErrorKind::InvalidData => Self::Lasting(words),
                _ => Self::Broken(words),
            },
            Error::Timeout(_) | Error::Protocol(_) => Self::Broken(words),
            _ => Self::Lasting(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_nowhere_less_safe() {
        let to = |from: &str, location: &str| redirected(&from.parse().unwrap(), location).map(|url| url.to_string());
        assert_eq!(to("https://a.test/x/y", "/z").as_deref(), Some("https://a.test/z"));
        assert_eq!(to("https://a.test/x/y", "z").as_deref(), Some("https://a.test/x/z"));
        assert_eq!(to("https://a.test/x", "//b.test/z").as_deref(), Some("https://b.test/z"));
        assert_eq!(to("http://a.test/x", "https://b.test/z").as_deref(), Some("https://b.test/z"));
        assert_eq!(to("https://a.test/x", "http://a.test/z"), None);
        assert_eq!(to("https://a.test/x", "file:///etc/passwd"), None);
    }

    #[test]
    fn headers_are_spelled_as_go_does() {
        assert_eq!(canonical("www-authenticate"), "Www-Authenticate");
        assert_eq!(canonical("x-A1-bC"), "X-A1-Bc");
    }

    #[test]
    fn escapes_are_read_once() {
        assert_eq!(unescaped("a%20b%2541%4"), "a b%41%4");
    }
}
