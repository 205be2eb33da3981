//! Decides what is answered to a request; no socket, no file and no clock is needed for it.
//!
//! 1. [`route`]: method, length and target decide whether a file is asked for, and which.
//! 2. Somebody looks for it, and tells what there is as a [`Resource`].
//! 3. [`answer`]: what there is, and the conditions of the request, decide the answer.
//!
//! HEAD is answered as GET is, without the body: one decision, so the two cannot differ.

use crate::absence::Absence;
use crate::entity_tag::EntityTag;
use crate::limits::MAX_TARGET_BYTES;
use crate::modified::Modified;
use crate::range::{self, Selection};
use crate::response::{Body, Response, Status};
use crate::target::{Prefix, Refused};
use modferry_format::{BundlePath, MediaType};

/// What counts of a request, whatever protocol it came with.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What is to be done.
    pub method: Method,
    /// The request target, as it was sent.
    pub target: &'a str,
    /// Whether a body comes with it; one is never read.
    pub has_body: bool,
    /// `If-None-Match`, several of them joined with commas.
    pub if_none_match: Option<&'a str>,
    /// `If-Modified-Since`, where there is exactly one.
    pub if_modified_since: Option<&'a str>,
    /// `Range`, where there is exactly one.
    pub range: Option<&'a str>,
    /// `If-Range`, where there is exactly one.
    pub if_range: Option<&'a str>,
}

/// Methods, as far as they are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A file is wanted.
    Get,
    /// What stands before a file is wanted.
    Head,
    /// All others.
    Other,
}

/// What there is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// A file.
    Here {
        /// Its size in bytes.
        size: u64,
        /// Its tag, where its hash is known.
        tag: Option<EntityTag>,
        /// When it was changed last, of a file that has one content for ever, where that is known.
        modified: Option<Modified>,
    },
    /// Nothing.
    Absent(Absence),
    /// A version that was taken out on purpose. No site says so yet: tombstones come with `modferry withdraw`.
    Withdrawn {
        /// Why, in the words of who did it.
        reason: String,
    },
    /// A file that cannot be read: a broken disk, or rights that do not fit.
    Unreadable,
    /// Perhaps a file: the system has no descriptors left to look.
    Busy,
}

/// What the answers to all files of a kind have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Class {
    cache_control: CacheControl,
    media_type: MediaType,
}

impl Class {
    pub(crate) fn of(path: &BundlePath) -> Self {
        Self { cache_control: CacheControl::of(path), media_type: path.media_type() }
    }

    /// The header fields of the answer to a request for a whole file without conditions; those that [`answer`] gives.
    pub(crate) fn write_whole(self, tag: &[u8], modified: &[u8], size: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"cache-control: ");
        out.extend_from_slice(self.cache_control.as_str().as_bytes());
        if !tag.is_empty() {
            out.extend_from_slice(b"\r\netag: ");
            out.extend_from_slice(tag);
        }
        if !modified.is_empty() {
            out.extend_from_slice(b"\r\nlast-modified: ");
            out.extend_from_slice(modified);
        }
        out.extend_from_slice(b"\r\ncontent-type: ");
        out.extend_from_slice(self.media_type.as_str().as_bytes());
        out.extend_from_slice(b"\r\ncontent-length: ");
        write_number(size, out);
        out.extend_from_slice(b"\r\naccept-ranges: bytes\r\nx-content-type-options: nosniff\r\n");
    }
}

/// A number in digits.
pub(crate) fn write_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        // The remainder is one digit.
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The file that a request asks for, or the answer where it asks for none.
pub fn route(request: &Request<'_>, prefix: &Prefix) -> Result<BundlePath, Response> {
    let refuse = |status, text| {
        let response = Response::text(status, text).close(request.has_body);
        Err(for_method(response, request.method))
    };
    if request.method == Method::Other {
        return refuse(Status::MethodNotAllowed, "only GET and HEAD")
            .map_err(|response| response.field("allow", "GET, HEAD"));
    }
    if request.has_body {
        // To skip it would be to let a client decide how long we read.
        return refuse(Status::BadRequest, "GET and HEAD have no body here");
    }
    if request.target.len() > MAX_TARGET_BYTES + prefix.len() {
        return refuse(Status::UriTooLong, "no file has a name that long");
    }
    match prefix.resolve(request.target) {
        Ok(path) => Ok(path),
        Err(Refused::Malformed) => refuse(Status::BadRequest, "% without two hex digits"),
        Err(Refused::Top) => refuse(Status::NotFound, "Go modules are served here: set GOPROXY to this address"),
        Err(Refused::NoFile) => refuse(Status::NotFound, "no file of the module download API has this name"),
    }
}

/// The answer, now that it is known what there is at the path.
pub fn answer(request: &Request<'_>, path: &BundlePath, resource: &Resource) -> Response {
    let response = match resource {
        Resource::Here { size, tag, modified } => here(request, path, *size, *tag, *modified),
        Resource::Absent(absence) => Response::text(Status::NotFound, absence.text(path)),
        Resource::Withdrawn { reason } => {
            Response::text(Status::Gone, format!("withdrawn: {}", crate::absence::quoted(reason)))
        }
        Resource::Unreadable => Response::text(Status::InternalServerError, "the file cannot be read; see the log"),
        Resource::Busy => {
            Response::text(Status::ServiceUnavailable, "too many files are open; try again").field("retry-after", "1")
        }
    };
    for_method(response, request.method)
}

/// An answer to a request that broke a rule of its protocol.
pub(crate) fn malformed(method: Method, why: &str) -> Response {
    for_method(Response::text(Status::BadRequest, why).close(true), method)
}

fn here(
    request: &Request<'_>,
    path: &BundlePath,
    size: u64,
    tag: Option<EntityTag>,
    modified: Option<Modified>,
) -> Response {
    let response = |status| {
        let response = Response { status, fields: Vec::with_capacity(8), body: Body::Empty, closes: false };
        let response = response.field("cache-control", CacheControl::of(path).as_str());
        let response = match tag {
            Some(tag) => response.field("etag", tag.to_string()),
            None => response,
        };
        match modified {
            Some(modified) => response.field("last-modified", modified.to_string()),
            None => response,
        }
    };
    let is_known = match (request.if_none_match, request.if_modified_since) {
        (Some(tags), _) => tag.is_some_and(|tag| tag.is_among(tags)),
        (None, Some(date)) => modified.zip(Modified::parse(date)).is_some_and(|(modified, since)| modified <= since),
        (None, None) => false,
    };
    if is_known {
        return response(Status::NotModified);
    }
    // Of a file that never changes a date is as good as a tag, but only as it was given.
    let is_of_date = |header: &str| modified.is_some_and(|it| it.to_string() == header);
    let same = || request.if_range.is_none_or(|header| tag.is_some_and(|tag| tag.is(header)) || is_of_date(header));
    let selection = match request.range {
        // A range means something for GET only (RFC 9110, section 14.2).
        Some(header) if request.method == Method::Get && same() => range::select(header, size),
        _ => Selection::Whole,
    };
    let (status, part) = match selection {
        Selection::Whole => (Status::Ok, 0..size),
        Selection::Part(part) => (Status::PartialContent, part),
        Selection::Unsatisfiable => {
            return Response::text(Status::RangeNotSatisfiable, "the file has no such bytes")
                .field("content-range", format!("bytes */{size}"));
        }
    };
    let mut response = response(status)
        .field("content-type", path.media_type().as_str())
        .field("content-length", (part.end - part.start).to_string())
        .field("accept-ranges", "bytes")
        // What a module's author wrote is nothing for a browser to guess at.
        .field("x-content-type-options", "nosniff");
    if status == Status::PartialContent {
        let last = part.end.saturating_sub(1);
        response = response.field("content-range", format!("bytes {}-{last}/{size}", part.start));
    }
    response.body = Body::Content(part);
    response
}

/// How long others may keep a file without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CacheControl {
    /// Not at all: it changes.
    No,
    /// A version, since it can be withdrawn.
    Day,
    /// A tile of the checksum database, which never changes and never goes.
    Year,
}

impl CacheControl {
    fn of(path: &BundlePath) -> Self {
        match path {
            BundlePath::Tile(..) => Self::Year,
            _ if path.is_immutable() => Self::Day,
            _ => Self::No,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::No => "no-cache",
            Self::Day => "public, max-age=86400, immutable",
            Self::Year => "public, max-age=31536000, immutable",
        }
    }
}

fn for_method(mut response: Response, method: Method) -> Response {
    if method == Method::Head {
        response.body = Body::Empty;
    }
    response
}

#[cfg(test)]
mod tests;
