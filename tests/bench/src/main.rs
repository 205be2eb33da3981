//! The benchmarks: `cargo run --release -p modferry-bench -- NAME`.
//!
//! Each compares commands in one run: interleaved (A B A B ...), with the wall time, the CPU time and the largest memory
//! of every run as the system accounts for them, and the medians and ranges over all rounds. Results that were seen
//! stand in README.md beside this crate.

mod bundle;
mod closure;
mod import;
mod levels;
mod measure;
mod project;
mod rehearse;
mod server;
mod slice;
mod verify;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// Bundling controller-runtime, helm and prometheus, cold and warm, beside `go mod download all` and `cp -r`
    Bundle {
        /// Rounds that count
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// Bundling controller-runtime, helm and prometheus at level work, beside `go mod download all`
    Levels {
        /// Rounds that count
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// Checking a bundle of prometheus, beside `sha256sum -c` and `go mod verify`
    Verify {
        /// Rounds that count
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// Checking that bundles of kubernetes, prometheus and hugo lack nothing, beside `go list -m all` on them
    Closure {
        /// Rounds that count
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// Recording `go mod download` of cobra and prometheus beside the command alone
    Record {
        /// Rounds that count
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Of the projects that with this in its name
        #[arg(long)]
        only: Option<String>,
        /// From the proxies that `go env` names, not from a bundle served on loopback
        #[arg(long)]
        real: bool,
    },
    /// Rehearsing bundles of cobra and prometheus beside the same commands by hand
    Rehearse {
        /// Rounds that count
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Of the projects that with this in its name
        #[arg(long)]
        only: Option<String>,
    },
    /// Importing a bundle of prometheus, beside `cp -r` and `sync`, and `go mod verify`
    Import {
        /// Rounds that count
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// Serving a bundle of prometheus and a mirror of a million versions, beside nginx in several configurations (installs
    /// nginx and wrk)
    Server {
        /// Rounds that count
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Parts to measure, all without
        #[arg(long, value_delimiter = ',')]
        only: Vec<server::Part>,
        /// Bundle of prometheus at level all, made where none is named
        #[arg(long)]
        bundle: Option<PathBuf>,
    },
    /// The part of a checksum database for 1,000 records from a slow server, its proof, and its size
    Slice {
        /// Rounds that count
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Closures of cobra and prometheus too, from the database that `go env` names
        #[arg(long)]
        real: bool,
    },
    /// Runs one command and prints what it took; the other benchmarks call this
    #[command(hide = true)]
    Measure {
        #[arg(trailing_var_arg = true, required = true)]
        command: Vec<OsString>,
    },
    /// Fetches a slice of 1,000 records
    #[command(hide = true)]
    FetchSlice { gosumdb: String, out: PathBuf },
    /// Hashes every file below a directory with the code that verify uses, and does nothing else
    #[command(hide = true)]
    Hash { directory: PathBuf },
    /// Copies a bundle with the code that import uses: hashed, synced, named
    #[command(hide = true)]
    Copy { bundle: PathBuf, directory: PathBuf },
    /// Proves what a bundle carries of checksum databases
    #[command(hide = true)]
    ProveLog { bundle: PathBuf },
    /// Makes the h1 of every zip below a directory, on all processors
    #[command(hide = true)]
    Prove { directory: PathBuf },
}

fn main() -> ExitCode {
    let done = match Cli::parse().benchmark {
        Benchmark::Bundle { rounds } => bundle::run(rounds),
        Benchmark::Levels { rounds } => levels::run(rounds),
        Benchmark::Verify { rounds } => verify::run(rounds),
        Benchmark::Record { rounds, only, real } => rehearse::record(rounds, only.as_deref(), real),
        Benchmark::Rehearse { rounds, only } => rehearse::run(rounds, only.as_deref()),
        Benchmark::Closure { rounds } => closure::run(rounds),
        Benchmark::Import { rounds } => import::run(rounds),
        Benchmark::Server { rounds, only, bundle } => server::run(rounds, &only, bundle),
        Benchmark::Slice { rounds, real } => slice::run(rounds, real),
        Benchmark::FetchSlice { gosumdb, out } => slice::fetch(&gosumdb, &out),
        Benchmark::ProveLog { bundle } => slice::prove_log(&bundle),
        Benchmark::Copy { bundle, directory } => import::copy(&bundle, &directory),
        Benchmark::Measure { command } => measure::print(&command),
        Benchmark::Hash { directory } => verify::hash(&directory),
        Benchmark::Prove { directory } => verify::prove(&directory),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            measure::say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
