//! The front on hyper: for protocols that we do not speak ourselves, and as a second opinion on HTTP/1.1.

use crate::access_log::Entry;
use crate::answering::{self, Content, Shared};
use crate::body::{AnswerBody, FileWindows, Source};
use crate::connections::{Activity, State};
use crate::file_bytes::Patience;
use crate::limits::{MAX_HEAD_BYTES, MAX_HEADERS};
use crate::listener::Stream;
use crate::plan::{self, Method, Request};
use crate::response::Response;
use crate::shutdown::{Stage, Watch};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::borrow::Cow;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Serves one connection until it ends. After the wish to stop, a request that has begun is still answered.
pub(crate) async fn connection(
    stream: Stream,
    client: Option<SocketAddr>,
    shared: Arc<Shared>,
    activity: Activity,
    mut stop: Watch,
) {
    let service = service_fn(|request| {
        activity.answering();
        let (shared, activity) = (Arc::clone(&shared), activity.clone());
        async move { Ok::<_, Infallible>(respond(&shared, client, &request, activity).await) }
    });
    let stream = Watched { stream, activity: activity.clone() };
    let connection = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // An error is one of the client or of the line, or was told already where a file is to blame.
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        () = stop.reached(Stage::Stopping) => {}
    }
    // hyper would wait for a first request, however long it takes.
    if activity.state() != State::Fresh {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

async fn respond<B: hyper::body::Body>(
    shared: &Arc<Shared>,
    client: Option<SocketAddr>,
    request: &hyper::Request<B>,
    activity: Activity,
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
        if_modified_since: only(headers, &header::IF_MODIFIED_SINCE),
        range: only(headers, &header::RANGE),
        if_range: only(headers, &header::IF_RANGE),
    };
    let (response, content) = answer(shared, &plain, request).await;
    if let Some(log) = &shared.log {
        log.note(&Entry {
            client,
            method: request.method().as_str(),
            target: &target,
            version: if request.version() == hyper::Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" },
            status: response.status.code(),
            bytes: content.len(),
            now: SystemTime::now(),
        });
    }
    render(response, content, shared, activity)
}

async fn answer<B>(shared: &Arc<Shared>, plain: &Request<'_>, request: &hyper::Request<B>) -> (Response, Content) {
    let refused = |refusal: Response| {
        let text = answering::text_of(&refusal);
        (refusal, text)
    };
    // RFC 9112, section 3.2: such a request is refused, so that nobody before us reads it for another host.
    if request.version() == hyper::Version::HTTP_11 && only(request.headers(), &header::HOST).is_none() {
        return refused(plan::malformed(plain.method, "not exactly one Host"));
    }
    let path = match plan::route(plain, &shared.prefix) {
        Ok(path) => path,
        Err(refusal) => return refused(refusal),
    };
    let found = match answering::find(shared, &path, Patience::Now) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            answering::find_patiently(shared, path.clone()).await
        }
        found => found,
    };
    answering::answer(shared, plain, path, found)
}

/// The planner's answer with its bytes, as hyper takes it.
fn render(response: Response, content: Content, shared: &Shared, activity: Activity) -> hyper::Response<AnswerBody> {
    let source = match content {
        Content::Empty => Source::Empty,
        Content::Bytes(bytes) => Source::Bytes(bytes),
        Content::File(part) => Source::File(FileWindows::new(part, Arc::clone(&shared.events))),
    };
    let mut rendered = hyper::Response::new(AnswerBody::new(source, activity));
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

/// A stream that notes what passes.
struct Watched {
    stream: Stream,
    activity: Activity,
}

impl Watched {
    fn wrote(&self, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(1..)) = poll {
            self.activity.bytes_went();
        }
        poll
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.bytes_came();
        }
        poll
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
