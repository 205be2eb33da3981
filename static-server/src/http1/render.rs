//! Heads of answers as bytes, and the date that stands in them.

use crate::cache::Kept;
use crate::http1::head::Version;
use crate::plan::Class;
use crate::response::{Response, Status};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is said of the connection in the head of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    /// It goes on, as is usual.
    GoesOn,
    /// It goes on, which a client of the old protocol has to be told.
    KeepAlive,
    /// It ends, which has to be told.
    Close,
    /// It ends, as is usual in the old protocol.
    Ends,
}

impl Connection {
    /// How it goes on after an answer to a request of this version.
    pub(crate) fn after(version: Version, goes_on: bool, says_close: bool) -> Self {
        match (version, goes_on) {
            (Version::Http11, true) => Self::GoesOn,
            (Version::Http11, false) => Self::Close,
            (Version::Http10, true) => Self::KeepAlive,
            (Version::Http10, false) if says_close => Self::Close,
            (Version::Http10, false) => Self::Ends,
        }
    }

    fn line(self) -> &'static [u8] {
        match self {
            Self::GoesOn | Self::Ends => b"",
            Self::KeepAlive => b"connection: keep-alive\r\n",
            Self::Close => b"connection: close\r\n",
        }
    }
}

/// The `Date` of now, written once a second.
#[derive(Debug, Default)]
pub(crate) struct Date {
    second: u64,
    line: String,
}

impl Date {
    /// The line with the empty line behind it, for a time.
    fn line(&mut self, now: SystemTime) -> &[u8] {
        let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if second != self.second || self.line.is_empty() {
            let now = UNIX_EPOCH + Duration::from_secs(second);
            self.line = format!("date: {}\r\n\r\n", httpdate::fmt_http_date(now));
            self.second = second;
        }
        self.line.as_bytes()
    }
}

/// The head of an answer that the planner made.
pub(crate) fn head(
    response: &Response,
    version: Version,
    connection: Connection,
    date: &mut Date,
    now: SystemTime,
    out: &mut Vec<u8>,
) {
    status_line(response.status, version, out);
    for (name, value) in &response.fields {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(connection.line());
    out.extend_from_slice(date.line(now));
}

/// A file of which all is known that is said of it.
pub(crate) struct Whole<'a> {
    pub(crate) class: Class,
    pub(crate) tag: &'a [u8],
    pub(crate) modified: &'a [u8],
    pub(crate) size: u64,
}

impl<'a> From<&'a Kept> for Whole<'a> {
    fn from(kept: &'a Kept) -> Self {
        Self { class: kept.class, tag: kept.tag(), modified: kept.modified(), size: kept.size }
    }
}

/// The head of the answer to a request for a whole file without conditions.
pub(crate) fn head_of_whole(
    file: &Whole<'_>,
    version: Version,
    connection: Connection,
    date: &mut Date,
    now: SystemTime,
    out: &mut Vec<u8>,
) {
    status_line(Status::Ok, version, out);
    file.class.write_whole(file.tag, file.modified, file.size, out);
    out.extend_from_slice(connection.line());
    out.extend_from_slice(date.line(now));
}

/// The answer to what is no request, in the version of the last one.
pub(crate) fn refusal(status: Status, version: Version, date: &mut Date, now: SystemTime, out: &mut Vec<u8>) {
    status_line(status, version, out);
    out.extend_from_slice(Connection::after(version, false, false).line());
    out.extend_from_slice(b"content-length: 0\r\n");
    out.extend_from_slice(date.line(now));
}

fn status_line(status: Status, version: Version, out: &mut Vec<u8>) {
    if (status, version) == (Status::Ok, Version::Http11) {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(match version {
        Version::Http10 => b"HTTP/1.0 ",
        Version::Http11 => b"HTTP/1.1 ",
    });
    crate::plan::write_number(status.code().into(), out);
    out.push(b' ');
    out.extend_from_slice(status.reason().as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_that_of_the_second() {
        let mut date = Date::default();
        for (seconds, text) in [
            (0, "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"),
            (784_111_777, "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"),
        ] {
            for millis in [0, 999] {
                let now = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis);
                assert_eq!(str::from_utf8(date.line(now)).unwrap(), text);
            }
        }
    }

    #[test]
    fn a_head_says_what_the_planner_said() {
        let response = Response::text(Status::NotFound, "no").close(true);
        let mut out = Vec::new();
        let close = Connection::after(Version::Http11, false, true);
        head(&response, Version::Http11, close, &mut Date::default(), UNIX_EPOCH, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 404 Not Found\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 3\r\n\
             cache-control: no-cache\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\
             date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"
        );
    }
}
