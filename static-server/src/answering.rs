//! What both fronts do with a request: find what there is, ask the planner, and say where the bytes are.

use crate::access_log::AccessLog;
use crate::cache::{Cache, Kept, Key, Known};
use crate::connections::Timeouts;
use crate::disk_queue::DiskQueue;
use crate::event::{Event, Events, Seldom};
use crate::file_bytes::Patience;
use crate::plan::{self, Request, Resource};
use crate::response::{Body, Response, Status};
use crate::site::{FileBytes, Found, Site};
use crate::target::Prefix;
use bytes::Bytes;
use modferry_format::BundlePath;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) site: Site,
    pub(crate) cache: Cache,
    pub(crate) prefix: Prefix,
    pub(crate) timeouts: Timeouts,
    /// Whether what is not there is told.
    pub(crate) tells_missing: bool,
    pub(crate) events: Arc<dyn Events>,
    pub(crate) log: Option<Arc<AccessLog>>,
    /// For what the system has run out of.
    pub(crate) shortage: Seldom,
    /// Whether no more requests are taken.
    pub(crate) is_stopping: AtomicBool,
    /// Looks that may wait for a disk.
    pub(crate) looks: Arc<DiskQueue<BundlePath, io::Result<Looked>>>,
}

#[cfg(all(test, unix))]
impl Shared {
    /// For a site that nobody else is told of; nothing is kept.
    pub(crate) fn alone(site: Site) -> Self {
        Self {
            site,
            cache: Cache::new(0, 0),
            prefix: Prefix::default(),
            timeouts: Timeouts::default(),
            tells_missing: false,
            events: Arc::new(()),
            log: None,
            shortage: Seldom::default(),
            is_stopping: AtomicBool::new(false),
            looks: Arc::default(),
        }
    }
}

/// The bytes of a body.
#[derive(Debug)]
pub(crate) enum Content {
    Empty,
    Bytes(Bytes),
    File(Part),
}

/// A part of a file.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) file: Arc<File>,
    pub(crate) bytes: Range<u64>,
    /// What it is called when it cannot be read.
    pub(crate) path: BundlePath,
}

impl Content {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(part) => part.bytes.end - part.bytes.start,
        }
    }
}

/// What a look has come to.
pub(crate) enum Looked {
    /// All that is said of it is ready: it is kept by now.
    Ready(Kept),
    /// What is not kept.
    Found(Found),
}

impl Looked {
    pub(crate) fn found(self) -> Found {
        match self {
            Self::Ready(kept) => kept.found(),
            Self::Found(found) => found,
        }
    }
}

/// What there is at a path: what is kept of it, or what a look finds. `WouldBlock` where a disk must be waited for, and may
/// not.
pub(crate) fn find(shared: &Shared, path: &BundlePath, patience: Patience) -> io::Result<Looked> {
    let text = path.to_string();
    match text.strip_prefix("download") {
        Some(key) => {
            let key = shared.cache.key(key.as_bytes());
            find_named(shared, path, &text, key, shared.cache.known(key, Instant::now), patience)
        }
        None => shared.site.look(path, &text, patience).map(Looked::Found),
    }
}

/// The same where the text of the path is there, the key for it, and what is known of it.
pub(crate) fn find_named(
    shared: &Shared,
    path: &BundlePath,
    text: &str,
    key: Key<'_>,
    known: Option<Known>,
    patience: Patience,
) -> io::Result<Looked> {
    match known {
        Some(Known::Fresh(kept)) => return Ok(Looked::Ready(kept)),
        Some(Known::Stale(kept, stamp)) => {
            // From before the look: what changes after it is seen with the next one.
            let now = Instant::now();
            if shared.site.stamp(path, patience)? == Some(stamp) {
                shared.cache.is_as_it_was(key, stamp, now);
                return Ok(Looked::Ready(kept));
            }
            shared.cache.forget(key);
        }
        None => {}
    }
    // From before the look, for what is looked at again.
    let now = Kept::goes(path).then(Instant::now);
    let found = shared.site.look(path, text, patience)?;
    let is_wanted = match &found.bytes {
        // An open file costs nothing to keep.
        FileBytes::File(_) => true,
        FileBytes::Read(bytes) => shared.cache.wants(key, bytes.len() as u64),
        FileBytes::None => false,
    };
    match is_wanted.then(|| Kept::new(path, key, &found, now)).flatten() {
        Some(kept) => {
            shared.cache.keep(key, kept.clone());
            Ok(Looked::Ready(kept))
        }
        None => Ok(Looked::Found(found)),
    }
}

/// The same by a thread that may wait for a disk.
pub(crate) async fn find_patiently(shared: &Arc<Shared>, path: BundlePath) -> io::Result<Looked> {
    let own = Arc::clone(shared);
    let found = shared.looks.ask(path, move |path| find(&own, &path, Patience::Wait)).await;
    found.unwrap_or_else(|| Err(io::Error::other("the thread that looked for it has stopped")))
}

/// The answer for a path, from what was found there.
pub(crate) fn answer(
    shared: &Shared,
    request: &Request<'_>,
    path: BundlePath,
    found: io::Result<Looked>,
) -> (Response, Content) {
    let Found { resource, bytes, .. } = found.map(Looked::found).unwrap_or_else(|error| {
        let resource = if is_shortage(&error) { Resource::Busy } else { Resource::Unreadable };
        if resource == Resource::Unreadable || shared.shortage.may_tell() {
            shared.events.event(&Event::ReadFailed(&path, &error));
        }
        Found { resource, bytes: FileBytes::None, stamp: None }
    });
    let response = plan::answer(request, &path, &resource);
    if shared.tells_missing && response.status == Status::NotFound {
        shared.events.event(&Event::Missing(&path));
    }
    let content = match (&response.body, bytes) {
        (Body::Content(part), FileBytes::Read(bytes)) => {
            // The planner chose the part from these very bytes.
            let end = bytes.len();
            let place = |at: u64| usize::try_from(at).unwrap_or(end).min(end);
            Content::Bytes(bytes.slice(place(part.start)..place(part.end)))
        }
        (Body::Content(part), FileBytes::File(file)) => Content::File(Part { file, bytes: part.clone(), path }),
        _ => text_of(&response),
    };
    (response, content)
}

/// The body of an answer that needs no file.
pub(crate) fn text_of(response: &Response) -> Content {
    match &response.body {
        Body::Text(text) => Content::Bytes(text.clone().into()),
        Body::Empty | Body::Content(_) => Content::Empty,
    }
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
