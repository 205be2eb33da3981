//! The whole program but its command line: opens, binds, serves and stops at a signal.

use crate::confine::confine;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Events};
use crate::limits;
use crate::listener::{Address, Listener};
use crate::serve::{Settings, serve};
use crate::shutdown::{Shutdown, Stage};
use crate::site::Site;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use tokio::runtime::{Builder, Runtime};

/// What to serve, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// A bundle or a mirror.
    pub path: PathBuf,
    /// Where to listen; port 0 lets the system choose one.
    pub listen: Vec<Address>,
    /// How to serve.
    pub settings: Settings,
}

/// Serves until SIGTERM or SIGINT, then finishes running answers within the grace period; a second signal cuts them.
/// SIGHUP opens the access log again. Once it listens the process is confined to what it serves, for good.
///
/// Before it returns everything is closed. The signals stay taken: the process does not end at them any more.
pub fn run(options: Options, events: Arc<dyn Events>) -> Result<()> {
    let Options { path, listen, mut settings } = options;
    if listen.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "no address to listen at").hint("name one with --listen"));
    }
    let site = Site::open(&path)?;
    events.event(&Event::Serving(&site));
    if let Some(base) = site.base() {
        events.event(&Event::CountsOn(base));
    }
    // From here on a signal stops the server in order, even before it listens.
    let signals = Signals::take()
        .map_err(|error| Error::new(ErrorKind::Io, "the signals to stop could not be taken").because(error))?;
    let kept;
    (settings.connections, kept) = limits::descriptors(settings.connections);
    settings.kept_files = settings.kept_files.min(kept);
    let listeners = listen.iter().map(Listener::bind).collect::<Result<Vec<_>>>()?;
    let sockets = Sockets(listen);
    let log = settings.log.clone();
    let log_directory = log.as_deref().and_then(|log| log.directory());
    events.event(&Event::Confined(confine(&path, log_directory, &sockets.directories())));
    for listener in &listeners {
        // With port 0 the address is known only now.
        let address = listener
            .address()
            .map_err(|error| Error::new(ErrorKind::Io, "a socket does not tell its address").because(error))?;
        events.event(&Event::Listening(&address, &settings.prefix));
    }
    let shutdown = Shutdown::default();
    let reopen = || {
        if let Some(log) = &log {
            log.reopen();
        }
    };
    thread::scope(|scope| {
        thread::Builder::new()
            .spawn_scoped(scope, || signals.forward(&shutdown, &reopen, events.as_ref()))
            .map_err(|error| Error::new(ErrorKind::Io, "no thread could be started").because(error))?;
        let served = serve(site, listeners, settings, &shutdown, Arc::clone(&events));
        // Ends the thread above.
        shutdown.now();
        served.map(drop)
    })
}

/// Sockets in the file system, which stay there until somebody takes them away.
struct Sockets(Vec<Address>);

impl Sockets {
    fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter_map(|address| match address {
            Address::Unix(path) => Some(path.as_path()),
            Address::Tcp(_) => None,
        })
    }

    fn directories(&self) -> Vec<&Path> {
        let parents = self.paths().filter_map(Path::parent);
        parents.map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent }).collect()
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for path in self.paths() {
            // Somebody else may have taken it away.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// SIGTERM, SIGINT and SIGHUP, taken from the moment that this exists.
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
    fn forward(mut self, shutdown: &Shutdown, reopen: &(dyn Fn() + Sync), events: &dyn Events) {
        let mut watch = shutdown.watch();
        self.runtime.block_on(async {
            loop {
                tokio::select! {
                    asked = self.streams.next() => match asked {
                        Asked::Stop => {
                            events.event(&Event::Stopping);
                            shutdown.next();
                        }
                        Asked::Reopen => reopen(),
                    },
                    () = watch.reached(Stage::Now) => return,
                }
            }
        });
    }
}

/// What a signal asks for.
enum Asked {
    Stop,
    #[cfg_attr(not(unix), expect(dead_code, reason = "only Unix has the signal"))]
    Reopen,
}

#[cfg(unix)]
struct Streams {
    hangup: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Streams {
    fn open() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let hangup = signal(SignalKind::hangup())?;
        Ok(Self { hangup, terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hangup.recv() => Asked::Reopen,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
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

    async fn next(&mut self) -> Asked {
        self.0.recv().await;
        Asked::Stop
    }
}
