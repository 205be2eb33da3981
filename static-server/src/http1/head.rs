//! Request heads: what counts of one, and what is refused before anybody looks for a file.
//!
//! The rules are those of hyper, line by line, so that both fronts take and refuse the same. What could be read in two
//! ways by two programs is refused: two hosts, two lengths, a length beside an encoding that is not the last.

use crate::limits::MAX_HEADERS;
use crate::plan::{Method, Request};
use crate::response::Status;
use std::borrow::Cow;
use std::mem::MaybeUninit;

/// What the beginning of a connection's bytes is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed<'a> {
    /// The beginning of a head.
    Part,
    /// A head.
    Head(Head<'a>),
    /// No head; the connection ends with this status.
    Refused(Status),
}

/// A request head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// Its length.
    pub(crate) bytes: usize,
    pub(crate) method: Method,
    pub(crate) method_name: &'a str,
    /// As it was sent.
    pub(crate) target: &'a str,
    pub(crate) version: Version,
    /// Whether the client wants to go on.
    pub(crate) keeps_alive: bool,
    pub(crate) has_body: bool,
    /// RFC 9112, section 3.2: one host, or the old protocol.
    pub(crate) names_one_host: bool,
    /// Whether a condition or a range stands in it.
    pub(crate) has_conditions: bool,
    if_none_match: Option<Cow<'a, str>>,
    if_modified_since: Once<'a>,
    range: Once<'a>,
    if_range: Once<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    Http11,
}

/// A header that counts only where it stands once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Once<'a> {
    #[default]
    None,
    One(Option<&'a str>),
    More,
}

impl<'a> Once<'a> {
    fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::None => Self::One(visible(value)),
            Self::One(_) | Self::More => Self::More,
        };
    }

    fn get(self) -> Option<&'a str> {
        match self {
            Self::One(value) => value,
            Self::None | Self::More => None,
        }
    }
}

/// Reads a head.
pub(crate) fn parse(bytes: &[u8]) -> Parsed<'_> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Parsed::Part,
        Err(httparse::Error::TooManyHeaders) => return Parsed::Refused(Status::RequestHeaderFieldsTooLarge),
        Err(_) => return Parsed::Refused(Status::BadRequest),
    };
    let (Some(method_name), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Parsed::Refused(Status::BadRequest);
    };
    let version = if version == 1 { Version::Http11 } else { Version::Http10 };
    let mut head = Head {
        bytes: length,
        method: match method_name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            _ => Method::Other,
        },
        method_name,
        target,
        version,
        keeps_alive: version == Version::Http11,
        has_body: false,
        names_one_host: false,
        has_conditions: false,
        if_none_match: None,
        if_modified_since: Once::None,
        range: Once::None,
        if_range: Once::None,
    };
    match head.read_fields(request.headers) {
        Ok(()) => Parsed::Head(head),
        // The target stands before the fields.
        Err(_) if head.target().is_none() => Parsed::Refused(Status::BadRequest),
        Err(status) => Parsed::Refused(status),
    }
}

impl<'a> Head<'a> {
    fn read_fields(&mut self, headers: &[httparse::Header<'a>]) -> Result<(), Status> {
        let mut host = Once::None;
        let (mut length, mut has_length, mut encoding) = (None, false, None);
        let mut says_close = false;
        for header in headers {
            let (name, value) = (header.name, header.value);
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            // Most headers are told apart by their length.
            match name.len() {
                4 if is("host") => host.add(value),
                5 if is("range") => self.range.add(value),
                8 if is("if-range") => self.if_range.add(value),
                10 if is("connection") => {
                    if says_close || names_token(value, "close") {
                        (says_close, self.keeps_alive) = (true, false);
                    } else if !self.keeps_alive {
                        self.keeps_alive = names_token(value, "keep-alive");
                    }
                }
                13 if is("if-none-match") => {
                    self.has_conditions = true;
                    if let Some(value) = visible(value) {
                        self.if_none_match = Some(match self.if_none_match.take() {
                            None => Cow::Borrowed(value),
                            Some(before) => format!("{before}, {value}").into(),
                        });
                    }
                }
                14 if is("content-length") => {
                    has_length = true;
                    // An encoding overrules it.
                    if encoding.is_some() {
                        continue;
                    }
                    let stated = digits(value).ok_or(Status::BadRequest)?;
                    if length.is_some_and(|length| length != stated) {
                        return Err(Status::BadRequest);
                    }
                    // Beyond this hyper counts no more.
                    if stated >= u64::MAX - 1 {
                        return Err(Status::RequestHeaderFieldsTooLarge);
                    }
                    length = Some(stated);
                }
                17 if is("if-modified-since") => self.if_modified_since.add(value),
                17 if is("transfer-encoding") => {
                    if self.version == Version::Http10 {
                        return Err(Status::BadRequest);
                    }
                    let last = visible(value).and_then(|value| value.rsplit(',').next());
                    encoding = Some(last.is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked")));
                    length = None;
                }
                _ => {}
            }
        }
        if encoding == Some(false) {
            return Err(Status::BadRequest);
        }
        if encoding.is_some() && has_length {
            self.keeps_alive = false;
        }
        self.has_body = encoding.is_some() || length.is_some_and(|length| length > 0);
        self.names_one_host = self.version == Version::Http10 || host.get().is_some();
        self.has_conditions |=
            [self.range, self.if_range, self.if_modified_since].iter().any(|header| *header != Once::None);
        Ok(())
    }

    /// What the planner is asked, with the target as [`target`] gives it.
    pub(crate) fn request<'r>(&'r self, target: &'r str) -> Request<'r> {
        Request {
            method: self.method,
            target,
            has_body: self.has_body,
            if_none_match: self.if_none_match.as_deref(),
            if_modified_since: self.if_modified_since.get(),
            range: self.range.get(),
            if_range: self.if_range.get(),
        }
    }

    /// The target without what no server is sent; none where it is no target at all. One that names a host stays what it
    /// is, and will name no file.
    pub(crate) fn target(&self) -> Option<Cow<'a, str>> {
        let uri: hyper::Uri = self.target.parse().ok()?;
        Some(match (uri.authority(), uri.path_and_query()) {
            (None, Some(target)) if target.as_str().len() == self.target.len() => Cow::Borrowed(self.target),
            (None, Some(target)) => Cow::Owned(target.as_str().to_owned()),
            _ => Cow::Owned(uri.to_string()),
        })
    }
}

/// A value of visible characters, blanks and tabs.
fn visible(value: &[u8]) -> Option<&str> {
    let is_visible = value.iter().all(|&byte| byte == b'\t' || (b' '..0x7f).contains(&byte));
    str::from_utf8(value).ok().filter(|_| is_visible)
}

fn names_token(value: &[u8], token: &str) -> bool {
    visible(value).is_some_and(|value| value.split(',').any(|other| other.trim().eq_ignore_ascii_case(token)))
}

/// Digits only, without a sign.
fn digits(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head<'_> {
        match parse(text.as_bytes()) {
            Parsed::Head(head) => head,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn a_head_is_what_was_sent() {
        let text = "GET /a%21 HTTP/1.1\r\nhost: h\r\nRANGE: bytes=0-1\r\nIf-None-Match: \"a\"\r\nIf-None-Match: \"b\"\r\n\r\nrest";
        let head = head(text);
        assert_eq!((head.method, head.target, head.bytes), (Method::Get, "/a%21", text.len() - 4));
        assert!(head.keeps_alive && !head.has_body && head.names_one_host && head.has_conditions);
        let request = head.request(head.target);
        assert_eq!((request.range, request.if_none_match), (Some("bytes=0-1"), Some("\"a\", \"b\"")));
        for end in 0..text.len() - 4 {
            assert_eq!(parse(&text.as_bytes()[..end]), Parsed::Part, "{end}");
        }
    }

    #[test]
    fn how_a_connection_goes_on_is_what_the_client_says() {
        for (version, fields, keeps_alive) in [
            ("1.1", "", true),
            ("1.1", "Connection: close\r\n", false),
            ("1.1", "Connection: x, CLOSE\r\nConnection: keep-alive\r\n", false),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.1", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", false),
        ] {
            assert_eq!(head(&format!("GET / HTTP/{version}\r\n{fields}\r\n")).keeps_alive, keeps_alive, "{fields}");
        }
    }

    #[test]
    fn a_body_is_announced_in_one_way_or_refused() {
        for (fields, has_body) in [
            ("Content-Length: 0\r\n", Ok(false)),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Ok(true)),
            ("Transfer-Encoding: chunked\r\n", Ok(true)),
            ("Transfer-Encoding: gzip, chunked\r\n", Ok(true)),
            ("Transfer-Encoding: chunked\r\nContent-Length: x\r\n", Ok(true)),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", Err(400)),
            ("Content-Length: +5\r\n", Err(400)),
            ("Content-Length: 5, 5\r\n", Err(400)),
            ("Content-Length:\r\n", Err(400)),
            ("Content-Length: 18446744073709551615\r\n", Err(431)),
            ("Content-Length: 18446744073709551616\r\n", Err(400)),
            ("Transfer-Encoding: chunked, gzip\r\n", Err(400)),
            ("Transfer-Encoding: xchunked\r\n", Err(400)),
        ] {
            let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
            let parsed = match parse(text.as_bytes()) {
                Parsed::Head(head) => Ok(head.has_body),
                Parsed::Refused(status) => Err(status.code()),
                Parsed::Part => panic!("{fields}"),
            };
            assert_eq!(parsed, has_body, "{fields}");
        }
        let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(parse(old.as_bytes()), Parsed::Refused(Status::BadRequest));
    }

    #[test]
    fn a_host_stands_once_and_a_range_does_not_count_twice() {
        for (fields, one) in
            [("", false), ("Host: a\r\n", true), ("Host: a\r\nhost: b\r\n", false), ("Host: \u{e9}\r\n", false)]
        {
            assert_eq!(head(&format!("GET / HTTP/1.1\r\n{fields}\r\n")).names_one_host, one, "{fields}");
        }
        assert!(head("GET / HTTP/1.0\r\n\r\n").names_one_host);
        let twice = "GET / HTTP/1.1\r\nRange: bytes=0-1\r\nRange: bytes=2-3\r\n\r\n";
        assert_eq!(head(twice).request("/").range, None);
    }

    #[test]
    fn a_target_has_no_fragment_and_keeps_its_host() {
        let target = |target: &str| {
            let text = format!("GET {target} HTTP/1.1\r\n\r\n");
            match parse(text.as_bytes()) {
                Parsed::Head(head) => head.target().map(Cow::into_owned),
                _ => None,
            }
        };
        for (sent, taken) in [
            ("/a/@v/list", Some("/a/@v/list")),
            ("/a?b", Some("/a?b")),
            ("/a#b", Some("/a")),
            ("http://h/a", Some("http://h/a")),
            ("*", Some("*")),
        ] {
            assert_eq!(target(sent).as_deref(), taken, "{sent}");
        }
    }
}
