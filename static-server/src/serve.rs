//! Threads, each with a runtime of its own, that share the listeners.
//!
//! A connection stays on the thread that accepted it, so nothing on its way takes a lock.

use crate::deadlines::Timeouts;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Events, Seldom};
use crate::http1::{self, Shared};
use crate::limits::{self, ACCEPT_PAUSE, MAX_DISK_THREADS, MAX_THREADS};
use crate::shutdown::{Shutdown, Stage, Watch};
use crate::site::Site;
use crate::target::Prefix;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How to serve.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What stands before the path of a file in a request target.
    pub prefix: Prefix,
    /// How long running answers get after the wish to stop.
    pub grace: Duration,
    /// How long a client may take for what.
    pub timeouts: Timeouts,
    /// Most connections at once.
    pub connections: usize,
    /// Threads that serve, 1 to [`MAX_THREADS`].
    pub threads: usize,
    /// Whether each request for a file that is not here is an event.
    pub tells_missing: bool,
}

impl Default for Settings {
    /// What fits this machine.
    fn default() -> Self {
        Self {
            prefix: Prefix::default(),
            grace: limits::DEFAULT_GRACE,
            timeouts: Timeouts::default(),
            connections: limits::MAX_CONNECTIONS,
            threads: thread::available_parallelism().map_or(1, usize::from),
            tells_missing: false,
        }
    }
}

/// Serves until `shutdown` says otherwise, then until all answers are finished or the grace period is over; the number
/// of connections that were cut.
pub fn serve(
    site: Site,
    listeners: Vec<TcpListener>,
    settings: Settings,
    shutdown: &Shutdown,
    events: Arc<dyn Events>,
) -> Result<usize> {
    let server = Server {
        slots: Arc::new(Semaphore::new(settings.connections.clamp(1, Semaphore::MAX_PERMITS))),
        shared: Arc::new(Shared {
            site,
            prefix: settings.prefix,
            timeouts: settings.timeouts,
            tells_missing: settings.tells_missing,
            events,
            shortage: Seldom::default(),
        }),
        grace: settings.grace,
    };
    let server = Arc::new(server);
    let failed = |error: io::Error| Error::new(ErrorKind::Io, "the server could not be started").because(error);
    // Everything that can fail is done before the first connection is taken.
    let mut threads = Vec::new();
    for _ in 0..settings.threads.clamp(1, MAX_THREADS) {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(MAX_DISK_THREADS)
            .build()
            .map_err(failed)?;
        let own = listeners.iter().map(|listener| accepting(&runtime, listener)).collect::<io::Result<Vec<_>>>();
        threads.push((runtime, own.map_err(failed)?));
    }
    drop(listeners);
    let cut = thread::scope(|scope| {
        let own = threads.pop();
        let spawn = |(runtime, listeners)| {
            // A machine that has no threads left is served by fewer.
            thread::Builder::new().spawn_scoped(scope, || server.run(runtime, listeners, &shutdown.watch())).ok()
        };
        let others: Vec<_> = threads.into_iter().filter_map(spawn).collect();
        let cut = own.map_or(0, |(runtime, listeners)| server.run(runtime, listeners, &shutdown.watch()));
        // One that panicked has lost its own connections; the others were served.
        cut + others.into_iter().map(|other| other.join().unwrap_or_default()).sum::<usize>()
    });
    server.shared.events.event(&Event::Stopped { cut });
    Ok(cut)
}

fn accepting(runtime: &Runtime, listener: &TcpListener) -> io::Result<tokio::net::TcpListener> {
    let listener = listener.try_clone()?;
    listener.set_nonblocking(true)?;
    let _entered = runtime.enter();
    tokio::net::TcpListener::from_std(listener)
}

struct Server {
    shared: Arc<Shared>,
    slots: Arc<Semaphore>,
    grace: Duration,
}

impl Server {
    fn run(self: &Arc<Self>, runtime: Runtime, listeners: Vec<tokio::net::TcpListener>, stop: &Watch) -> usize {
        let cut = runtime.block_on(async {
            let mut loops = JoinSet::new();
            for listener in listeners {
                loops.spawn(Arc::clone(self).accept(listener, stop.clone()));
            }
            loops.join_all().await.into_iter().sum()
        });
        // A thread may still wait for a disk that will never answer.
        runtime.shutdown_background();
        cut
    }

    /// Accepts until the wish to stop; the number of connections that had to be cut.
    async fn accept(self: Arc<Self>, listener: tokio::net::TcpListener, mut stop: Watch) -> usize {
        let mut connections = JoinSet::new();
        let watch = stop.clone();
        tokio::select! {
            () = self.accept_all(&listener, &mut connections, &watch) => {}
            () = stop.reached(Stage::Stopping) => {}
        }
        drop(listener);
        let finish = async { while connections.join_next().await.is_some() {} };
        tokio::select! {
            _ = tokio::time::timeout(self.grace, finish) => {}
            () = stop.reached(Stage::Now) => {}
        }
        while connections.try_join_next().is_some() {}
        connections.len()
    }

    async fn accept_all(
        self: &Arc<Self>,
        listener: &tokio::net::TcpListener,
        connections: &mut JoinSet<()>,
        watch: &Watch,
    ) {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    self.accept_failed(listener.local_addr().ok(), &error).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            // At the cap this one waits, and the next ones in the system's queue.
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { return };
            let (shared, watch) = (Arc::clone(&self.shared), watch.clone());
            connections.spawn(async move {
                http1::connection(stream, shared, watch).await;
                drop(slot);
            });
        }
    }

    /// A client that went away again costs nothing. Everything else is a shortage that `accept` would run into again at
    /// once: it is waited out, not spun through.
    async fn accept_failed(&self, address: Option<SocketAddr>, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return;
        }
        if let Some(address) = address.filter(|_| self.shared.shortage.may_tell()) {
            self.shared.events.event(&Event::AcceptFailed(address, error));
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}
