//! Threads, each with a runtime of its own, that share the listeners.
//!
//! A connection stays on the thread that accepted it, so nothing on its way is handed over.

use crate::access_log::AccessLog;
use crate::answering::Shared;
use crate::cache::Cache;
use crate::connections::{Activity, Connections, Timeouts};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Events, Seldom};
use crate::limits::{self, ACCEPT_PAUSE, LOG_EVERY, MAX_DISK_THREADS, MAX_THREADS};
use crate::listener::{Accepting, Address, Listener, Stream};
use crate::shutdown::{Shutdown, Stage, Watch};
use crate::site::Site;
use crate::target::Prefix;
use crate::{http1, hyper_front};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinSet, yield_now};

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
    /// Most of them from one address of the network.
    pub connections_per_address: usize,
    /// Memory for small files, in bytes.
    pub cache_bytes: u64,
    /// Most large files that are kept open.
    pub kept_files: usize,
    /// Threads that serve, 1 to [`MAX_THREADS`].
    pub threads: usize,
    /// Whether each request for a file that is not here is an event.
    pub tells_missing: bool,
    /// Where a line for each answer goes.
    pub log: Option<Arc<AccessLog>>,
    /// Who speaks HTTP/1.1.
    pub front: Front,
}

/// Who speaks HTTP/1.1; the answers are the same, byte for byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Front {
    /// We do, over tokio and httparse.
    #[default]
    Own,
    /// hyper does: a second opinion for tests.
    Hyper,
}

impl Default for Settings {
    /// What fits this machine.
    fn default() -> Self {
        Self {
            prefix: Prefix::default(),
            grace: limits::DEFAULT_GRACE,
            timeouts: Timeouts::default(),
            connections: limits::MAX_CONNECTIONS,
            connections_per_address: limits::MAX_CONNECTIONS_PER_ADDRESS,
            cache_bytes: limits::DEFAULT_CACHE_BYTES,
            kept_files: limits::MAX_KEPT_FILES,
            threads: thread::available_parallelism().map_or(1, usize::from),
            tells_missing: false,
            log: None,
            front: Front::default(),
        }
    }
}

/// Serves until `shutdown` says otherwise, then until all answers are finished or the grace period is over; the number
/// of connections that were cut.
pub fn serve<L: Into<Listener>>(
    site: Site,
    listeners: Vec<L>,
    settings: Settings,
    shutdown: &Shutdown,
    events: Arc<dyn Events>,
) -> Result<usize> {
    let server = Arc::new(Server {
        slots: Arc::new(Semaphore::new(settings.connections.clamp(1, Semaphore::MAX_PERMITS))),
        addresses: Arc::new(Addresses { counts: Mutex::default(), most: settings.connections_per_address }),
        shared: Arc::new(Shared {
            site,
            cache: Cache::new(settings.cache_bytes, settings.kept_files),
            prefix: settings.prefix,
            timeouts: settings.timeouts,
            tells_missing: settings.tells_missing,
            events,
            log: settings.log,
            shortage: Seldom::default(),
            is_stopping: AtomicBool::new(false),
            looks: Arc::default(),
        }),
        grace: settings.grace,
        front: settings.front,
    });
    let listeners: Vec<Listener> = listeners.into_iter().map(Into::into).collect();
    let failed = |error: io::Error| Error::new(ErrorKind::Io, "the server could not be started").because(error);
    // Everything that can fail is done before the first connection is taken.
    let mut threads = Vec::new();
    for _ in 0..settings.threads.clamp(1, MAX_THREADS) {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(MAX_DISK_THREADS)
            .build()
            .map_err(failed)?;
        let own = {
            let _entered = runtime.enter();
            listeners
                .iter()
                .map(|listener| Ok((listener.share()?, listener.address()?)))
                .collect::<io::Result<Vec<_>>>()
        };
        threads.push((runtime, own.map_err(failed)?));
    }
    drop(listeners);
    let cut = thread::scope(|scope| {
        if let Some(log) = &server.shared.log {
            let (log, events) = (Arc::clone(log), Arc::clone(&server.shared.events));
            thread::Builder::new().spawn_scoped(scope, move || log.write(events.as_ref())).map_err(failed)?;
        }
        let own = threads.pop();
        let spawn = |(runtime, listeners)| {
            // A machine that has no threads left is served by fewer.
            thread::Builder::new().spawn_scoped(scope, || server.run(runtime, listeners, shutdown.watch())).ok()
        };
        let others: Vec<_> = threads.into_iter().filter_map(spawn).collect();
        let cut = own.map_or(0, |(runtime, listeners)| server.run(runtime, listeners, shutdown.watch()));
        // One that panicked has lost its own connections; the others were served.
        let cut = cut + others.into_iter().map(|other| other.join().unwrap_or_default()).sum::<usize>();
        if let Some(log) = &server.shared.log {
            log.end();
        }
        Ok(cut)
    })?;
    server.shared.events.event(&Event::Stopped { cut });
    Ok(cut)
}

struct Server {
    shared: Arc<Shared>,
    slots: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    grace: Duration,
    front: Front,
}

impl Server {
    /// Accepts until the wish to stop; the number of connections that had to be cut.
    fn run(self: &Arc<Self>, runtime: Runtime, listeners: Vec<(Accepting, Address)>, mut stop: Watch) -> usize {
        let connections = Arc::new(Connections::default());
        let cut = runtime.block_on(async {
            let mut loops = JoinSet::new();
            for (listener, address) in listeners {
                loops.spawn(Arc::clone(self).accept(listener, address, Arc::clone(&connections), stop.clone()));
            }
            let mut keeping = JoinSet::new();
            let (shared, swept) = (Arc::clone(&self.shared), Arc::clone(&connections));
            keeping.spawn(async move { swept.sweep(shared.timeouts).await });
            if let Some(log) = self.shared.log.clone() {
                keeping.spawn(async move {
                    loop {
                        tokio::time::sleep(LOG_EVERY).await;
                        log.flush();
                    }
                });
            }
            stop.reached(Stage::Stopping).await;
            self.shared.is_stopping.store(true, Ordering::Relaxed);
            // With them the listeners are closed.
            loops.shutdown().await;
            if self.front == Front::Own {
                connections.end_waiting();
            }
            tokio::select! {
                _ = tokio::time::timeout(self.grace, connections.all_gone()) => {}
                () = stop.reached(Stage::Now) => {}
            }
            connections.count()
        });
        if let Some(log) = &self.shared.log {
            log.flush();
        }
        // A thread may still wait for a disk that will never answer.
        runtime.shutdown_background();
        cut
    }

    async fn accept(
        self: Arc<Self>,
        listener: Accepting,
        address: Address,
        connections: Arc<Connections>,
        watch: Watch,
    ) {
        loop {
            let (stream, client) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    self.accept_failed(&address, &error).await;
                    continue;
                }
            };
            let Some(place) = self.addresses.enter(client) else {
                self.refuse(&stream, client);
                continue;
            };
            // At the cap this one waits, and the next ones in the system's queue.
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { return };
            self.start(stream, client, (place, slot), &connections, &watch);
            // Another thread was woken for the next one as well, and has none yet.
            yield_now().await;
        }
    }

    fn start(
        &self,
        stream: Stream,
        client: Option<SocketAddr>,
        held: (AddressPlace, OwnedSemaphorePermit),
        connections: &Arc<Connections>,
        watch: &Watch,
    ) {
        let activity = Activity::default();
        let here = connections.enter(activity.clone());
        let at = here.at();
        let shared = Arc::clone(&self.shared);
        let task = match self.front {
            Front::Own => tokio::spawn(async move {
                let _held = (held, here);
                http1::connection(stream, client, shared, activity).await;
            }),
            Front::Hyper => {
                let watch = watch.clone();
                tokio::spawn(async move {
                    let _held = (held, here);
                    hyper_front::connection(stream, client, shared, activity, watch).await;
                })
            }
        };
        // The task runs on this thread, so it has not begun.
        connections.started(at, task.abort_handle());
    }

    /// Says why, if the client's system takes it at once, and closes.
    fn refuse(&self, stream: &Stream, client: Option<SocketAddr>) {
        let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
                      content-length: 39\r\nretry-after: 1\r\nconnection: close\r\n\r\n\
                      too many connections from this address\n";
        stream.send_now(answer.as_bytes());
        if let Some(client) = client.filter(|_| self.shared.shortage.may_tell()) {
            self.shared.events.event(&Event::TooMany(client.ip()));
        }
    }

    /// A client that went away again costs nothing. Everything else is a shortage that `accept` would run into again at
    /// once: it is waited out, not spun through.
    async fn accept_failed(&self, address: &Address, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return;
        }
        if self.shared.shortage.may_tell() {
            self.shared.events.event(&Event::AcceptFailed(address, error));
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// How many connections each address has.
struct Addresses {
    counts: Mutex<HashMap<IpAddr, usize>>,
    most: usize,
}

/// One of them, until it is dropped. A socket in the file system has none.
struct AddressPlace(Option<(IpAddr, Arc<Addresses>)>);

impl Addresses {
    /// None where the address has as many as it may have.
    fn enter(self: &Arc<Self>, client: Option<SocketAddr>) -> Option<AddressPlace> {
        let Some(client) = client else { return Some(AddressPlace(None)) };
        let address = client.ip().to_canonical();
        let mut counts = self.counts();
        let count = counts.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(AddressPlace(Some((address, Arc::clone(self)))))
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let Some((address, addresses)) = &self.0 else { return };
        let mut counts = addresses.counts();
        if let Some(count) = counts.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(address);
            }
        }
    }
}
