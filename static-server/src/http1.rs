//! HTTP/1.1: one connection, its requests brought to the planner and the answers to the client.

use crate::body::{AnswerBody, FileWindows, Source};
use crate::deadlines::{Activity, Timeouts, Waiting, Watched};
use crate::event::{Event, Events, Seldom};
use crate::limits::{MAX_HEAD_BYTES, MAX_HEADERS};
use crate::plan::{self, Method, Request, Resource};
use crate::response::{Body, Response, Status};
use crate::shutdown::{Stage, Watch};
use crate::site::{FileBytes, Found, Site};
use crate::target::Prefix;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::borrow::Cow;
use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use tokio::net::TcpStream;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) site: Site,
    pub(crate) prefix: Prefix,
    pub(crate) timeouts: Timeouts,
    /// Whether what is not there is told.
    pub(crate) tells_missing: bool,
    pub(crate) events: Arc<dyn Events>,
    /// For what the system has run out of.
    pub(crate) shortage: Seldom,
}

/// Serves one connection until it ends. After the wish to stop, a request that has begun is still answered.
pub(crate) async fn connection(stream: TcpStream, shared: Arc<Shared>, mut stop: Watch) {
    // An answer is complete when it is written; waiting for more to send would only delay it.
    let _ = stream.set_nodelay(true);
    let activity = Activity::default();
    let service = service_fn(|request| {
        activity.answering();
        ready(Ok::<_, Infallible>(respond(&shared, &request, &activity)))
    });
    let mut waiting = Waiting::new(activity.clone(), shared.timeouts);
    let stream = Watched::new(stream, activity.clone(), shared.timeouts);
    let connection = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // An error is one of the client or of the line, or was told already where a file is to blame.
    tokio::select! {
        // What is waited for depends on what the connection has just done.
        biased;
        _ = connection.as_mut() => return,
        () = waiting.too_long() => return,
        () = stop.reached(Stage::Stopping) => {}
    }
    // hyper would wait for a first request, however long it takes.
    if !activity.is_fresh() {
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            _ = connection => {}
            () = waiting.too_long() => {}
        }
    }
}

fn respond<B: hyper::body::Body>(
    shared: &Shared,
    request: &hyper::Request<B>,
    activity: &Activity,
) -> hyper::Response<AnswerBody> {
    let headers = request.headers();
    let target = target_of(request.uri());
    let if_none_match = joined(headers, &header::IF_NONE_MATCH);
    let plain = Request {
        method: match *request.method() {
            hyper::Method::GET => Method::Get,
            hyper::Method::HEAD => Method::Head,
            _ => Method::Other,
        },
        target: &target,
        has_body: !request.body().is_end_stream(),
        if_none_match: if_none_match.as_deref(),
        range: only(headers, &header::RANGE),
        if_range: only(headers, &header::IF_RANGE),
    };
    // RFC 9112, section 3.2: such a request is refused, so that nobody before us reads it for another host.
    if request.version() == hyper::Version::HTTP_11 && only(headers, &header::HOST).is_none() {
        return render(plan::malformed(plain.method, "not exactly one Host"), Source::Empty, activity);
    }
    let path = match plan::route(&plain, &shared.prefix) {
        Ok(path) => path,
        Err(refusal) => return render(refusal, Source::Empty, activity),
    };
    let Found { resource, bytes } = shared.site.look(&path).unwrap_or_else(|error| {
        let resource = if is_shortage(&error) { Resource::Busy } else { Resource::Unreadable };
        if resource == Resource::Unreadable || shared.shortage.may_tell() {
            shared.events.event(&Event::ReadFailed(&path, &error));
        }
        Found { resource, bytes: FileBytes::None }
    });
    let response = plan::answer(&plain, &path, &resource);
    if shared.tells_missing && response.status == Status::NotFound {
        shared.events.event(&Event::Missing(&path));
    }
    let source = match (&response.body, bytes) {
        (Body::Content(part), FileBytes::Read(bytes)) => {
            // The planner chose the part from these very bytes.
            let end = bytes.len();
            let place = |at: u64| usize::try_from(at).unwrap_or(end).min(end);
            Source::Bytes(bytes.slice(place(part.start)..place(part.end)))
        }
        (Body::Content(part), FileBytes::File(file)) => {
            Source::File(FileWindows::new(file, part.clone(), path, Arc::clone(&shared.events)))
        }
        _ => Source::Empty,
    };
    render(response, source, activity)
}

/// The planner's answer with the bytes of its file, as hyper takes it.
fn render(response: Response, file: Source, activity: &Activity) -> hyper::Response<AnswerBody> {
    let source = match response.body {
        Body::Text(text) => Source::Bytes(text.into()),
        Body::Empty | Body::Content(_) => file,
    };
    let mut rendered = hyper::Response::new(AnswerBody::new(source, activity.clone()));
    *rendered.status_mut() = hyper::StatusCode::from_u16(response.status.code()).unwrap_or_default();
    let headers = rendered.headers_mut();
    for (name, value) in response.fields {
        let value = match value {
            Cow::Borrowed(text) => HeaderValue::from_static(text),
            // The planner puts digits, hex and names of ours into header fields, nothing from outside.
            Cow::Owned(text) => HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("")),
        };
        headers.insert(HeaderName::from_static(name), value);
    }
    if response.closes {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    rendered
}

/// The request target as the client wrote it. One that names a host stays what it is, and will name no file.
fn target_of(uri: &hyper::Uri) -> Cow<'_, str> {
    match (uri.authority(), uri.path_and_query()) {
        (None, Some(target)) => Cow::Borrowed(target.as_str()),
        _ => Cow::Owned(uri.to_string()),
    }
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok()
}

fn joined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let first = values.next()?;
    Some(values.fold(Cow::Borrowed(first), |all, value| format!("{all}, {value}").into()))
}

/// Whether the system has run out of something that comes back.
#[cfg(unix)]
fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS))
}

#[cfg(not(unix))]
fn is_shortage(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory
}
