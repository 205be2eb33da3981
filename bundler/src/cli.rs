//! The command line as it is written; what it means is for the commands.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Carries Go modules into networks without internet, proven and complete.
#[derive(Debug, Parser)]
#[command(name = "modferry", version, about, long_about = None, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done; 1 judged not good (corrupt, conflicting, incomplete); 2 could not do it \
(usage, input or output, network, space).\nData goes to standard output, everything else to standard error.")]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Flags of all commands.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Flags of all commands.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Print the result as one JSON object, and events as JSON lines on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show no progress; warnings and errors are shown
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Whether to use colors
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
    /// Threads for hashing [default: one per processor]
    #[arg(long, short, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: Option<u16>,
}

/// When to use colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Resolve roots with the real go command, hash and prove everything, and seal it as a directory
    Bundle(Bundle),
    /// Check a bundle: everything that is wrong with it, in one run
    Verify(OfBundle),
    /// Show what is in a bundle, from which roots, and how big it is
    Show(OfBundle),
    /// Show which root brings a module into a bundle, and through which requirements
    Why(Why),
    /// Print the go settings with which the stock go command uses a bundle
    Env(Env),
}

/// Arguments of `bundle`.
#[derive(Debug, Args)]
#[command(
    after_help = "Modules come from where the go command of this machine gets them: GOPROXY, GOPRIVATE, GOSUMDB, \
GOAUTH, .netrc and version control work as they do for go. Files of this machine's module cache are used again. The \
project is never written to.\n\nSOURCE_DATE_EPOCH sets the time that the bundle states; the same inputs then give the \
same bytes.\n\nExamples:\n  modferry bundle -o drive/hello            the module in the current directory\n  modferry bundle ./api ./worker -o drive/b1   two modules\n  \
modferry bundle github.com/spf13/cobra@latest -o drive/cobra"
)]
pub(crate) struct Bundle {
    /// Module directory, go.mod file, MODULE@VERSION, MODULE@latest, or @FILE with one of these per line
    #[arg(value_name = "ROOT", default_value = ".")]
    pub(crate) roots: Vec<String>,
    /// Directory to make; it must not exist
    #[arg(long = "output", short, value_name = "OUT")]
    pub(crate) out: PathBuf,
    /// How much of the closure to carry
    #[arg(long, value_enum, default_value_t = Level::All)]
    pub(crate) level: Level,
    /// Where to work [default: modferry in the user's cache directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Resolve everything and say what would be carried, but make no bundle
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Levels of a closure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// Everything that `go mod download all` asks for: each module of the graph
    All,
}

/// Arguments of commands on one bundle.
#[derive(Debug, Args)]
pub(crate) struct OfBundle {
    /// Directory of the bundle
    #[arg(value_name = "BUNDLE")]
    pub(crate) path: PathBuf,
}

/// Arguments of `why`.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Directory of the bundle
    #[arg(value_name = "BUNDLE")]
    pub(crate) path: PathBuf,
    /// Module path, or path and version
    #[arg(value_name = "MODULE[@VERSION]")]
    pub(crate) module: String,
}

/// Arguments of `env`.
#[derive(Debug, Args)]
pub(crate) struct Env {
    /// Directory of the bundle
    #[arg(value_name = "BUNDLE")]
    pub(crate) path: PathBuf,
    /// For what to print the settings
    #[arg(long = "for", value_enum, default_value_t = Form::All, value_name = "WHAT")]
    pub(crate) form: Form,
}

/// Forms of go settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Lines for a shell, the other forms beside them as comments
    All,
    /// export NAME='value'
    Shell,
    /// go env -w NAME=value
    Go,
    /// ENV NAME="value"
    Docker,
    /// NAME=value
    Ci,
}
