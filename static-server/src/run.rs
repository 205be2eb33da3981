//! The whole program but its command line: opens, binds, serves and stops at a signal.

use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Events};
use crate::limits;
use crate::serve::{Settings, serve};
use crate::shutdown::{Shutdown, Stage};
use crate::site::Site;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use tokio::runtime::{Builder, Runtime};

/// What to serve, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// A bundle or a mirror.
    pub path: PathBuf,
    /// Addresses to listen at; port 0 lets the system choose one.
    pub listen: Vec<SocketAddr>,
    /// How to serve.
    pub settings: Settings,
}

/// Serves until SIGTERM or SIGINT, then finishes running answers within the grace period; a second signal cuts them.
///
/// Before it returns everything is closed. The signals stay taken: the process does not end at them any more.
pub fn run(options: Options, events: Arc<dyn Events>) -> Result<()> {
    let Options { path, listen, mut settings } = options;
    if listen.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "no address to listen at").hint("name one with --listen"));
    }
    let site = Site::open(&path)?;
    events.event(&Event::Serving(&site));
    // From here on a signal stops the server in order, even before it listens.
    let signals = Signals::take()
        .map_err(|error| Error::new(ErrorKind::Io, "the signals to stop could not be taken").because(error))?;
    let mut listeners = Vec::new();
    settings.connections = limits::connections(settings.connections);
    for address in listen {
        let listener = TcpListener::bind(address).map_err(|error| unbound(address, &error))?;
        // With port 0 the address is known only now.
        let address = listener.local_addr().map_err(|error| unbound(address, &error))?;
        listeners.push(listener);
        events.event(&Event::Listening(address, &settings.prefix));
    }
    let shutdown = Shutdown::default();
    thread::scope(|scope| {
        thread::Builder::new()
            .spawn_scoped(scope, || signals.forward(&shutdown, events.as_ref()))
            .map_err(|error| Error::new(ErrorKind::Io, "no thread could be started").because(error))?;
        let served = serve(site, listeners, settings, &shutdown, Arc::clone(&events));
        // Ends the thread above.
        shutdown.now();
        served.map(drop)
    })
}

fn unbound(address: SocketAddr, error: &io::Error) -> Error {
    let failed = Error::new(ErrorKind::Io, format!("{address}: cannot listen there")).because(error);
    match error.kind() {
        io::ErrorKind::AddrInUse => failed.hint("another program listens there; choose another with --listen"),
        io::ErrorKind::AddrNotAvailable => failed.hint("this machine does not have that address"),
        io::ErrorKind::PermissionDenied => failed.hint("ports below 1024 need rights; choose another with --listen"),
        _ => failed,
    }
}

/// SIGTERM and SIGINT, taken from the moment that this exists.
struct Signals {
    runtime: Runtime,
    streams: Streams,
}

impl Signals {
    fn take() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let streams = {
            let _entered = runtime.enter();
            Streams::open()?
        };
        Ok(Self { runtime, streams })
    }

    /// Passes each signal on, until nothing is left to stop.
    fn forward(mut self, shutdown: &Shutdown, events: &dyn Events) {
        let mut watch = shutdown.watch();
        self.runtime.block_on(async {
            loop {
                tokio::select! {
                    () = self.streams.next() => {
                        events.event(&Event::Stopping);
                        shutdown.next();
                    }
                    () = watch.reached(Stage::Now) => return,
                }
            }
        });
    }
}

#[cfg(unix)]
struct Streams {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Streams {
    fn open() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(windows)]
struct Streams(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Streams {
    fn open() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}
