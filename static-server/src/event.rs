//! What the server tells while it runs; whoever calls it decides where that is written.

use crate::confine::Confinement;
use crate::limits::SHORTAGE_REPORT_EVERY;
use crate::listener::Address;
use crate::site::Site;
use crate::target::Prefix;
use modferry_format::BundlePath;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Takes events. It is called from all threads of the server, which wait for it.
pub trait Events: Send + Sync {
    /// Something that an admin should know has happened. Its `Display` is one line.
    fn event(&self, event: &Event<'_>);
}

/// Nobody listens.
impl Events for () {
    fn event(&self, _: &Event<'_>) {}
}

/// Keeps what happens with each request from being told with each request.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    last: Mutex<Option<Instant>>,
}

impl Seldom {
    /// Whether it may be told now; then not again for a while.
    pub(crate) fn may_tell(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|at| at.elapsed() >= SHORTAGE_REPORT_EVERY);
        if may {
            *last = Some(Instant::now());
        }
        may
    }
}

/// Something that has happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// This is what will be served.
    Serving(&'a Site),
    /// It counts on this other bundle, of which nothing is here.
    CountsOn(&'a str),
    /// So far is the process kept from everything else.
    Confined(Confinement),
    /// Requests are taken at this address, below this prefix.
    Listening(&'a Address, &'a Prefix),
    /// The system gives no more connections for now; told once a second at most.
    AcceptFailed(&'a Address, &'a io::Error),
    /// An address has as many connections as one may have, and wanted another; told once a second at most.
    TooMany(IpAddr),
    /// The access log could not be written, or opened again.
    LogFailed(&'a io::Error),
    /// A file could not be read, or not to its end: the client got an error or a closed connection.
    ReadFailed(&'a BundlePath, &'a io::Error),
    /// A file that is not here was asked for; told only where [`Settings::tells_missing`](crate::Settings::tells_missing).
    Missing(&'a BundlePath),
    /// No more requests are taken; running answers are finished.
    Stopping,
    /// Everything is closed; so many connections were cut because the time was up.
    Stopped {
        /// How many.
        cut: usize,
    },
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serving(site) => write!(f, "serving the {site}"),
            Self::CountsOn(base) => write!(
                f,
                "warning: it counts on bundle {base}, so go will miss files here; import both into a mirror and serve that"
            ),
            Self::Confined(confinement) => confinement.fmt(f),
            Self::Listening(address @ Address::Tcp(_), prefix) => write!(f, "listening on {address}{prefix}"),
            Self::Listening(address, prefix) if prefix.len() == 0 => write!(f, "listening on {address}"),
            Self::Listening(address, prefix) => write!(f, "listening on {address}, below {prefix}"),
            Self::TooMany(address) => write!(f, "{address}: has too many connections; another was refused"),
            Self::LogFailed(error) => write!(f, "access log: cannot be written: {error}"),
            Self::AcceptFailed(address, error) => write!(f, "{address}: no connection could be accepted: {error}"),
            Self::ReadFailed(path, error) => write!(f, "{path}: cannot be read: {error}"),
            Self::Missing(path) => write!(f, "{path}: is not here"),
            Self::Stopping => f.write_str("stopping; running answers are finished"),
            Self::Stopped { cut: 0 } => f.write_str("stopped"),
            Self::Stopped { cut: 1 } => f.write_str("stopped; 1 connection was cut"),
            Self::Stopped { cut } => write!(f, "stopped; {cut} connections were cut"),
        }
    }
}
