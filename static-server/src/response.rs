//! What is answered, before any protocol has shaped it.

use std::borrow::Cow;
use std::ops::Range;

/// An answer: its status, its header fields and what its body is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: Status,
    /// Header fields with lower-case names, each name once; Date and Connection are the protocol's own.
    pub fields: Vec<(&'static str, Cow<'static, str>)>,
    /// The body.
    pub body: Body,
    /// Whether the connection cannot be used again.
    pub closes: bool,
}

/// Where the bytes of a body come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// There are none.
    Empty,
    /// They are these.
    Text(String),
    /// They are these bytes of the file that was asked for.
    Content(Range<u64>),
}

/// The statuses that are answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they have the names that RFC 9110 gives them")]
pub enum Status {
    Ok = 200,
    PartialContent = 206,
    NotModified = 304,
    BadRequest = 400,
    NotFound = 404,
    MethodNotAllowed = 405,
    Gone = 410,
    UriTooLong = 414,
    RangeNotSatisfiable = 416,
    RequestHeaderFieldsTooLarge = 431,
    InternalServerError = 500,
    ServiceUnavailable = 503,
}

impl Status {
    /// The number.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The words that HTTP/1.1 puts behind it.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::PartialContent => "Partial Content",
            Self::NotModified => "Not Modified",
            Self::BadRequest => "Bad Request",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::Gone => "Gone",
            Self::UriTooLong => "URI Too Long",
            Self::RangeNotSatisfiable => "Range Not Satisfiable",
            Self::RequestHeaderFieldsTooLarge => "Request Header Fields Too Large",
            Self::InternalServerError => "Internal Server Error",
            Self::ServiceUnavailable => "Service Unavailable",
        }
    }
}

impl Response {
    /// An answer in words. They are short and plain text, since that is what `go` shows to its user; nobody keeps them,
    /// since the next import may make them wrong.
    pub(crate) fn text(status: Status, text: impl Into<String>) -> Self {
        let mut text = text.into();
        text.push('\n');
        let response = Self { status, fields: Vec::new(), body: Body::Empty, closes: false };
        let mut response = response
            .field("content-type", "text/plain; charset=utf-8")
            .field("content-length", text.len().to_string())
            .field("cache-control", "no-cache")
            .field("x-content-type-options", "nosniff");
        response.body = Body::Text(text);
        response
    }

    /// Adds a header field.
    #[must_use]
    pub(crate) fn field(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Ends the connection after the answer.
    #[must_use]
    pub(crate) fn close(mut self, closes: bool) -> Self {
        self.closes = closes;
        self
    }
}
