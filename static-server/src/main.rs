//! The modferry-server program: a shell around the library. It alone prints, exits and looks at the process.

use clap::Parser;
use modferry_server::{Error, Event, Events, Options, Prefix, Settings, run};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
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
    /// Address to listen at, such as 0.0.0.0:8077 or [::1]:0; can be given several times
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8077")]
    listen: Vec<SocketAddr>,
    /// Path that stands before all others, such as /go
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: Prefix,
    /// Time that running answers get after a signal
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    grace: u32,
}

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
    let cli = Cli::parse();
    let grace = Duration::from_secs(cli.grace.into());
    let settings = Settings { prefix: cli.prefix, grace, ..Settings::default() };
    match run(Options { path: cli.path, listen: cli.listen, settings }, Arc::new(StandardError)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            explain(&error);
            ExitCode::from(2)
        }
    }
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
