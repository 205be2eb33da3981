//! Where requests come from: addresses of the network, and sockets in the file system.

use crate::error::{Error, ErrorKind, Result};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
#[cfg(unix)]
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A place to listen at. Text form: `HOST:PORT`, or `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An address of the network.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("unix: is followed by a path".to_owned()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text
                .parse()
                .map(Self::Tcp)
                .map_err(|_| "neither an address with a port, such as 0.0.0.0:8077, nor unix:PATH".to_owned()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub enum Listener {
    /// Of the network.
    Tcp(TcpListener),
    /// In the file system.
    #[cfg(unix)]
    Unix(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl Listener {
    /// Listens at an address.
    pub(crate) fn bind(address: &Address) -> Result<Self> {
        match address {
            Address::Tcp(tcp) => TcpListener::bind(tcp).map(Self::Tcp).map_err(|error| unbound(address, &error)),
            Address::Unix(path) => bind_unix(path).map_err(|error| unbound(address, &error)),
        }
    }

    /// Where it listens; with port 0 the system has chosen one.
    pub(crate) fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            #[cfg(unix)]
            Self::Unix(listener) => {
                let address = listener.local_addr()?;
                Ok(Address::Unix(address.as_pathname().unwrap_or(Path::new("")).to_owned()))
            }
        }
    }

    /// The same socket once more, for the runtime of a thread. To be called within that runtime.
    pub(crate) fn share(&self) -> io::Result<Accepting> {
        match self {
            Self::Tcp(listener) => {
                let listener = listener.try_clone()?;
                listener.set_nonblocking(true)?;
                tokio::net::TcpListener::from_std(listener).map(Accepting::Tcp)
            }
            #[cfg(unix)]
            Self::Unix(listener) => {
                let listener = listener.try_clone()?;
                listener.set_nonblocking(true)?;
                tokio::net::UnixListener::from_std(listener).map(Accepting::Unix)
            }
        }
    }
}

#[cfg(unix)]
fn bind_unix(path: &Path) -> io::Result<Listener> {
    use std::os::unix::fs::FileTypeExt;
    match UnixListener::bind(path) {
        // A server that was killed leaves its socket behind; one that runs answers.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let is_socket = path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_socket());
            let refused = std::os::unix::net::UnixStream::connect(path)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
            if !(is_socket && refused) {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path).map(Listener::Unix)
        }
        bound => bound.map(Listener::Unix),
    }
}

#[cfg(not(unix))]
fn bind_unix(_: &Path) -> io::Result<Listener> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no such sockets"))
}

fn unbound(address: &Address, error: &io::Error) -> Error {
    let failed = Error::new(ErrorKind::Io, format!("{address}: cannot listen there")).because(error);
    match error.kind() {
        io::ErrorKind::AddrInUse => failed.hint("another program listens there; choose another with --listen"),
        io::ErrorKind::AddrNotAvailable => failed.hint("this machine does not have that address"),
        io::ErrorKind::PermissionDenied => match address {
            Address::Tcp(_) => failed.hint("ports below 1024 need rights; choose another with --listen"),
            Address::Unix(_) => failed.hint("the directory of the socket must be writable to this user"),
        },
        _ => failed,
    }
}

/// A socket that a thread accepts connections from.
#[derive(Debug)]
pub(crate) enum Accepting {
    Tcp(tokio::net::TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

impl Accepting {
    /// The next connection, with where it comes from if that is in the network.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // An answer is complete when it is written; waiting for more to send would only delay it.
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), Some(peer)))
            }
            #[cfg(unix)]
            Self::Unix(listener) => Ok((Stream::Unix(listener.accept().await?.0), None)),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(tokio::net::TcpStream),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

/// Does the same with either kind of connection.
macro_rules! either {
    ($stream:expr, $inner:ident => $act:expr) => {
        match $stream {
            Stream::Tcp($inner) => $act,
            #[cfg(unix)]
            Stream::Unix($inner) => $act,
        }
    };
}

impl Stream {
    /// Writes what the system takes now.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, stream => stream.try_write(bytes))
    }

    /// The same of two pieces.
    pub(crate) fn try_write_two(&self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        let both = [io::IoSlice::new(first), io::IoSlice::new(second)];
        either!(self, stream => stream.try_write_vectored(&both))
    }

    /// Writes to a connection that was just accepted, of whose readiness nothing is known yet; what is not taken is lost.
    pub(crate) fn send_now(&self, bytes: &[u8]) {
        #[cfg(unix)]
        either!(self, stream => {
            use rustix::net::{SendFlags, send};
            let _ = send(stream, bytes, SendFlags::DONTWAIT);
        });
        #[cfg(not(unix))]
        let _ = self.try_write(bytes);
    }

    /// Waits until the system may take more.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        either!(self, stream => stream.writable().await)
    }

    /// Whether the system takes more now; where it does not, [`Stream::writable`] waits until it does.
    #[cfg(target_os = "linux")]
    pub(crate) fn takes_more(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let asked = either!(self, stream => stream.try_io(tokio::io::Interest::WRITABLE, || {
            match poll(&mut [PollFd::new(stream, PollFlags::OUT)], Some(&at_once)) {
                // To have asked is enough for the system to tell of the change, which clearing the readiness counts on.
                Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
                // What is wrong is for the next write to say.
                _ => Ok(()),
            }
        }));
        asked.is_ok()
    }

    /// Sends bytes of a file from the system's own memory, as many as it takes now.
    #[cfg(target_os = "linux")]
    pub(crate) fn try_send_file(&self, file: &std::fs::File, offset: u64, count: usize) -> io::Result<usize> {
        let mut offset = offset;
        either!(self, stream => stream.try_io(tokio::io::Interest::WRITABLE, || {
            Ok(rustix::fs::sendfile(stream, file, Some(&mut offset), count)?)
        }))
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(&mut *self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(&mut *self, stream => Pin::new(stream).poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
