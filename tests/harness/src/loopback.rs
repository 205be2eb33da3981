//! What the servers of the tests share: a listener on loopback that stops when dropped, and the heads of requests.

use crate::{Outcome, at};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A listener; each connection has a thread.
pub(crate) struct Loopback {
    address: SocketAddr,
    is_stopped: Arc<AtomicBool>,
}

impl Loopback {
    /// Hands every connection to `serve`, with the requests on it until the end.
    pub(crate) fn start(serve: impl Fn(&TcpStream, Requests<'_>) + Send + Sync + 'static) -> Outcome<Self> {
        Self::start_stoppable(move |stream, is_stopped| {
            serve(stream, Requests { reader: BufReader::new(stream), is_stopped });
        })
    }

    /// The same for what is not, or not yet, HTTP.
    pub(crate) fn start_raw(serve: impl Fn(&TcpStream) + Send + Sync + 'static) -> Outcome<Self> {
        Self::start_stoppable(move |stream, _| serve(stream))
    }

    fn start_stoppable(serve: impl Fn(&TcpStream, &AtomicBool) + Send + Sync + 'static) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(at(Path::new("127.0.0.1")))?;
        let address = listener.local_addr().map_err(at(Path::new("127.0.0.1")))?;
        let (serve, is_stopped) = (Arc::new(serve), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&is_stopped);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (serve, stopped) = (Arc::clone(&serve), Arc::clone(&stopped));
                thread::spawn(move || {
                    let _ = stream.set_nodelay(true);
                    serve(&stream, &stopped);
                });
            }
        });
        Ok(Self { address, is_stopped })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        // The listener waits for one more connection; where it cannot be had, the process is at its end.
        let _ = TcpStream::connect(self.address);
    }
}

/// The requests of one connection; they end when the client is done or the listener stopped.
pub(crate) struct Requests<'a> {
    reader: BufReader<&'a TcpStream>,
    is_stopped: &'a AtomicBool,
}

/// The head of a request.
pub(crate) struct Head {
    pub(crate) method: String,
    /// As it was sent.
    pub(crate) target: String,
    pub(crate) authorization: Option<String>,
}

impl Iterator for Requests<'_> {
    type Item = Head;

    fn next(&mut self) -> Option<Head> {
        let mut line = String::new();
        if self.reader.read_line(&mut line).ok()? == 0 || self.is_stopped.load(Ordering::Relaxed) {
            return None;
        }
        let mut words = line.split(' ').map(str::to_owned);
        let (method, target, mut authorization) = (words.next()?, words.next()?, None);
        loop {
            let mut header = String::new();
            if self.reader.read_line(&mut header).ok()? <= 2 {
                return Some(Head { method, target, authorization });
            }
            let (name, value) = header.split_once(':')?;
            if name.eq_ignore_ascii_case("authorization") {
                authorization = Some(value.trim().to_owned());
            }
        }
    }
}
