//! The modferry-server program: a shell around the library. It alone prints, exits and looks at the process.

use clap::Parser;
use modferry_server::{
    AccessLog, Address, Error, Event, Events, LogFormat, Options, Prefix, Settings, Timeouts, limits, run,
};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Serves a bundle or a mirror of Go modules over HTTP, for GOPROXY.
#[derive(Debug, Parser)]
#[command(name = "modferry-server", version, about, long_about = None)]
#[command(
    after_help = "Only files of the module download API are answered with: no listings, nothing that lies beside \
download/. What an import adds is there with the next request.\n\nSIGTERM and SIGINT stop it in order, a second one at \
once. Exit codes: 0 stopped by a signal; 2 could not serve."
)]
struct Cli {
    /// Bundle or mirror to serve
    path: PathBuf,
    /// Address to listen at, such as 0.0.0.0:8077 or [::1]:0, or unix:PATH; can be given several times
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8077")]
    listen: Vec<Address>,
    /// Path that stands before all others, such as /go
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: Prefix,
    /// Time that running answers get after a signal
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    grace: u32,
    /// Memory for small files, in MiB
    #[arg(long, value_name = "MIB", default_value_t = limits::DEFAULT_CACHE_BYTES / MIB)]
    cache_size: u64,
    /// Most connections at once; others wait
    #[arg(long, value_name = "N", default_value_t = limits::MAX_CONNECTIONS)]
    connections: usize,
    /// Most connections of one address; others are refused
    #[arg(long, value_name = "N", default_value_t = limits::MAX_CONNECTIONS_PER_ADDRESS)]
    connections_per_address: usize,
    /// Time for a whole request head
    #[arg(long, value_name = "SECONDS", default_value_t = limits::HEAD_TIMEOUT.as_secs())]
    head_timeout: u64,
    /// Time without a request after which a connection is closed
    #[arg(long, value_name = "SECONDS", default_value_t = limits::IDLE_TIMEOUT.as_secs())]
    idle_timeout: u64,
    /// Time without a byte taken by the client after which a connection is closed
    #[arg(long, value_name = "SECONDS", default_value_t = limits::STALL_TIMEOUT.as_secs())]
    stall_timeout: u64,
    /// Threads that serve [default: one for each processor]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// File for a line about each answer, - for standard output; SIGHUP opens it again
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
    /// Form of these lines: text (the common log format) or json
    #[arg(long, value_name = "FORM", default_value = "text", requires = "access_log")]
    access_log_format: LogFormat,
}

const MIB: u64 = 1024 * 1024;

/// Writes to standard error; a reader that has gone away is no reason to stop.
struct StandardError;

impl StandardError {
    fn line(text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

impl Events for StandardError {
    fn event(&self, event: &Event<'_>) {
        Self::line(&event.to_string());
    }
}

fn main() -> ExitCode {
    match serve(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            explain(&error);
            ExitCode::from(2)
        }
    }
}

fn serve(cli: Cli) -> Result<(), Error> {
    let log = cli.access_log.map(|path| {
        let path = Some(path.as_path()).filter(|path| *path != Path::new("-"));
        AccessLog::open(path, cli.access_log_format).map(Arc::new)
    });
    let fitting = Settings::default();
    let settings = Settings {
        prefix: cli.prefix,
        grace: Duration::from_secs(cli.grace.into()),
        cache_bytes: cli.cache_size.saturating_mul(MIB),
        timeouts: Timeouts {
            head: Duration::from_secs(cli.head_timeout),
            idle: Duration::from_secs(cli.idle_timeout),
            stall: Duration::from_secs(cli.stall_timeout),
        },
        connections: cli.connections,
        connections_per_address: cli.connections_per_address,
        threads: cli.threads.unwrap_or(fitting.threads),
        log: log.transpose()?,
        ..fitting
    };
    run(Options { path: cli.path, listen: cli.listen, settings }, Arc::new(StandardError))
}

fn explain(error: &Error) {
    StandardError::line(&format!("error: {error}"));
    for cause in &error.causes {
        StandardError::line(&format!("  caused by: {cause}"));
    }
    if let Some(hint) = &error.hint {
        StandardError::line(&format!("hint: {hint}"));
    }
}
