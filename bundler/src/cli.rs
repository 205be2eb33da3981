//! The command line as it is written; what it means is for the commands.

use crate::console::Results;
use clap::{Args, Parser, Subcommand, ValueEnum};
use modferry::bundle::{GoChoice, MoreVersions, Platform, Wanted};
use modferry::carrier::STREAM;
use modferry_format::sumdb::key::VerifierKey;
use modferry_server::{Address, LogFormat, Prefix, limits};
use std::path::{Path, PathBuf};

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

impl Cli {
    /// Where results go: not where the bundle goes.
    pub(crate) fn results(&self) -> Results {
        match &self.command {
            Command::Bundle(bundle) if bundle.out.as_deref() == Some(Path::new(STREAM)) => Results::Stderr,
            _ => Results::Stdout,
        }
    }
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
    /// Requests at a time, and threads for hashing [default: 16 requests, 32 to a checksum database, and a thread per processor]
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
    /// Resolve roots with the real go command, hash and prove everything, and seal it as a directory or a tar
    Bundle(Box<Bundle>),
    /// Check a bundle or a mirror: everything that is wrong with it, in one run
    Verify(Verify),
    /// Let the real go command do the work inside on a bundle alone, with the network denied, and say which files are missing
    Rehearse(Rehearse),
    /// Run any command against a recording proxy, and write down the module versions that it asks for as roots of a bundle
    Record(Record),
    /// The process of a rehearsal that leaves the network
    #[command(hide = true)]
    RehearseInside,
    /// The process that removes the directory of a run which has ended
    #[command(hide = true)]
    RemoveLeftovers {
        /// The directory
        dir: PathBuf,
    },
    /// Show what is in a bundle, from which roots, and how big it is; or what came into a mirror, and when
    Show(Show),
    /// Show which root brings a module into a bundle, and through which requirements
    Why(Why),
    /// Print the go settings with which the stock go command uses a bundle
    Env(Env),
    /// Serve a bundle or a mirror over HTTP, for GOPROXY
    Serve(Serve),
    /// Prove bundles and make them part of a mirror; nothing changes unless all of a bundle is good
    Import(Import),
}

/// Arguments of `bundle`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Modules come from where the go command of this machine gets them: GOPROXY, GOPRIVATE, GOSUMDB, \
GOAUTH, .netrc and version control work as they do for go. Files of this machine's module cache are used again. The project is \
never written to.\n\nSOURCE_DATE_EPOCH sets the time that the bundle states; the same inputs then give the \
same bytes.\n\nExamples:\n  modferry bundle -o drive/hello            the module in the current directory\n  modferry bundle ./api ./worker -o drive/b1   two modules\n  \
modferry bundle -o drive/hello.tar        one tar instead of a directory\n  \
modferry bundle github.com/spf13/cobra@latest -o drive/cobra\n  \
modferry bundle go.sum -o drive/hello     exactly what a go.sum names; no go command is needed\n  \
modferry bundle --like drive/hello -o b   the same bundle once more, from its bundle.json\n  \
modferry bundle                           what modferry.toml says"
)]
pub(crate) struct Bundle {
    /// Module or workspace directory, go.mod file, MODULE@VERSION, MODULE@latest, a toolchain as go@1.26.8 or go@latest, or @FILE
    /// with roots, one per line; for exactly the versions that it names a go.sum file, a program built by go, or an SBOM
    /// (CycloneDX or SPDX in JSON)
    /// [default: those of modferry.toml, else .]
    #[arg(value_name = "ROOT")]
    pub(crate) roots: Vec<String>,
    /// Recipe to take what is not said here from: roots, level, toolchains and so on; without it and without ROOT that is
    /// modferry.toml in the current directory, if there is one
    #[arg(long, value_name = "FILE", conflicts_with = "bridge")]
    pub(crate) recipe: Option<PathBuf>,
    /// Directory or NAME.tar to make, which must not exist; - writes a tar to standard output, and what there is to tell
    /// to standard error
    #[arg(long = "output", short, value_name = "OUT")]
    pub(crate) out: Option<PathBuf>,
    /// How much of the closure to carry [default: work; all for a go.mod file]
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(crate) level: Option<Level>,
    /// Carry a program for go install, go run and go get -tool: a package at a version, or at latest, such as
    /// golang.org/x/tools/gopls@latest; may be repeated. Without ROOT and go.mod here, nothing else
    #[arg(long, value_name = "PACKAGE@VERSION")]
    pub(crate) tool: Vec<String>,
    /// Carry more versions of modules of the closure, each with what go get of it asks for: a module path, with ... for any
    /// text, and latest, patch, v1, a branch, or a range such as >=v1.2.0 for all releases in it; may be repeated
    #[arg(long, value_name = "PATTERN@QUERY")]
    pub(crate) with_versions: Vec<MoreVersions>,
    /// Carry the newest release and the newest patch of every module of the closure that has a zip, so that go list -m -u and go get
    /// MODULE@latest see what exists today. Takes about a second for each module
    #[arg(long)]
    pub(crate) newest: bool,
    /// Let go do the work inside on the bundle alone before it is sealed, as modferry rehearse does; a bundle that fails is not made
    #[arg(long, conflicts_with_all = ["bridge", "like", "dry_run"])]
    pub(crate) rehearse: bool,
    /// Where to work [default: modferry in the user's cache directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Resolve everything and say what would be carried, but make no bundle
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Carry a Go toolchain too: a version such as 1.26.8, auto for what the go and toolchain lines of the roots ask for, or
    /// latest; may be repeated. Without ROOT and go.mod here, nothing else
    #[arg(long, value_name = "VERSION")]
    pub(crate) toolchain: Vec<Wanted>,
    /// Platforms, such as linux/amd64,darwin/arm64: of toolchains [default: that of this machine], and what level build is
    /// narrowed to [default: all]
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
    pub(crate) platform: Vec<Platform>,
    /// Use this go command: a path, or a version such as 1.26.8, which is fetched from GOPROXY, proven by the checksum database
    /// and kept in the cache directory [default: go on PATH]
    #[arg(long, value_name = "VERSION|PATH")]
    pub(crate) go: Option<GoChoice>,
    /// Who fetches zips: modferry, many at a time, or go, which takes longer and comes to the same
    #[arg(long, value_enum, default_value_t = Fetch::Ahead, value_name = "HOW")]
    pub(crate) fetch: Fetch,
    /// Take modules of this pattern (as in GONOSUMDB) though the checksum database has no record of them; those of
    /// GONOSUMDB and GOPRIVATE need no flag; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub(crate) no_record: Vec<String>,
    /// Carry nothing of the checksum database; inside, go verifies against go.sum only
    #[arg(long, conflicts_with_all = ["base", "client_latest", "since_head", "bridge"])]
    pub(crate) without_checksum_database: bool,
    /// Bundle that the far side has: its records and tiles of the checksum database are not carried again
    #[arg(long, value_name = "BUNDLE")]
    pub(crate) base: Option<PathBuf>,
    /// File with the tree heads of all bundles made so far, to be kept between runs: so they join in a mirror in any order
    /// [default: modferry/heads in the user's state directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) heads: Option<PathBuf>,
    /// Tree head that a machine inside has stored (its GOPATH/pkg/sumdb/NAME/latest), to be continued from; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) client_latest: Vec<PathBuf>,
    /// Serve machines with any tree head of SIZE records or more, whether it is known or not: for sites that take machines in
    /// often. Costs 8.3 KiB for 256 records of the log, 31 MiB for a million
    #[arg(long, value_name = "SIZE")]
    pub(crate) since_head: Option<u64>,
    /// Carry no module, only what joins the tree heads in this file: the text that import prints where it needs a bridge
    #[arg(long, value_name = "FILE", conflicts_with_all = ["roots", "base"])]
    pub(crate) bridge: Vec<PathBuf>,
    /// Make a bundle again, byte for byte, from its bundle.json or its directory: the same versions, the same tree head of the
    /// checksum database; fails where anything differs
    #[arg(long, value_name = "FILE", conflicts_with_all = ["roots", "recipe", "tool", "with_versions", "newest", "level", "toolchain", "platform", "fetch", "no_record",
        "without_checksum_database", "client_latest", "bridge"])]
    pub(crate) like: Option<PathBuf>,
}

/// Who fetches zips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fetch {
    /// modferry fetches them before go asks, and the records of the bundle verify them; go fetches what cannot be had in
    /// this way, and verifies all where a file disagrees
    Ahead,
    /// go fetches them, and verifies each
    Go,
}

/// Levels of a closure, leanest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// What go mod download gets: for building and testing, on any platform
    Build,
    /// What a developer asks for: also tidy, vendor, list -m all, get of what is carried, workspaces
    Work,
    /// Also go mod download all: zips of modules that no package needs
    All,
    /// Also what go get -u, -u=patch and -u -t would choose today
    Upgrade,
    /// Also what upgrading any single requirement would choose today
    #[value(name = "upgrade=each", alias = "upgrade-each")]
    UpgradeEach,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Bundle (a directory, NAME.tar, or - for a tar on standard input) or mirror
    #[arg(value_name = "BUNDLE|MIRROR")]
    pub(crate) path: PathBuf,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(
    after_help = "Of a bundle everything is read. Of a mirror names, sizes, ledgers, evidence and checksum databases \
are checked; with --data every published file is read and hashed too. Nothing is changed, and an import may be under way.\n\n\
With --closure the go.mod files of a bundle are read, and the module graph of each root is loaded from them as the go command \
loads it: the .mod of every version in it must be there, the .info of every selected one, and from level all on its zip. At the \
levels build and work zips are not judged: which of them packages need, the graph does not say. Neither is what upgrades \
would choose, nor roots that are lists (go.sum files, programs, bills of materials). Files that the bundle says it does not \
carry are counted and passed over."
)]
pub(crate) struct Verify {
    /// Bundle (a directory, NAME.tar, or - for a tar on standard input), or the directory of a mirror
    #[arg(value_name = "BUNDLE|MIRROR")]
    pub(crate) path: PathBuf,
    /// Of a mirror, read and hash all published files
    #[arg(long)]
    pub(crate) data: bool,
    /// Of a bundle, check that everything is there that go asks for, in place of the bytes of what is there
    #[arg(long)]
    pub(crate) closure: bool,
    /// Of a mirror, trust a checksum database other than sum.golang.org: its key as in GOSUMDB, NAME+HASH+KEY; may be
    /// repeated
    #[arg(long, value_name = "KEY")]
    pub(crate) database_key: Vec<VerifierKey>,
}

/// Arguments of `rehearse`.
#[derive(Debug, Args)]
#[command(
    after_help = "The commands of the level are run in copies of the roots, with empty caches, GOPROXY at the bundle and GOSUMDB as \
it is inside; first without go.sum. Packages are loaded and not compiled, which is what files can be missing for; --compile does \
that too. Of roots such as MODULE@VERSION and tools a bundle says itself what to run.\n\nThe network is denied by a namespace of \
the system, in which there is only loopback; where that is not allowed, by a proxy that refuses, which is weaker.\n\nExamples:\n  \
modferry rehearse drive/api                 the module in the current directory\n  \
modferry rehearse drive/api ./api -- make ci  your own command\n  \
modferry rehearse /srv/mirror ./project     will this project build here?"
)]
pub(crate) struct Rehearse {
    /// Bundle or mirror: a directory
    #[arg(value_name = "BUNDLE|MIRROR")]
    pub(crate) path: PathBuf,
    /// Directories of modules or workspaces [default: . if it is one]
    #[arg(value_name = "ROOT")]
    pub(crate) roots: Vec<PathBuf>,
    /// What has to work [default: what the bundle says of the root; work]
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(crate) level: Option<Level>,
    /// Compile packages and tests, too
    #[arg(long)]
    pub(crate) compile: bool,
    /// Run this in the place of the commands of the level
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// Arguments of `record`.
#[derive(Debug, Args)]
#[command(
    after_help = "The command runs as it is, with GOPROXY at a proxy on loopback and an empty module cache, so that it asks for everything. \
A go.sum as output is a root of modferry bundle: exactly what was asked for, held to the hashes of what the command got. What go gets \
past its proxy (direct, GONOPROXY) is not seen.\n\nExamples:\n  \
modferry record -o drive/bazel -- bazel build //...   straight into a bundle\n  \
modferry record -o roots.sum -- bazel build //...     a root for later\n  \
modferry bundle roots.sum . -o drive/all              with others"
)]
pub(crate) struct Record {
    /// What to make: NAME.sum, a go.sum; NAME.txt, a list of MODULE@VERSION for modferry bundle @NAME.txt; else a bundle of what
    /// was asked for, a directory or NAME.tar
    #[arg(long = "output", short, value_name = "OUT")]
    pub(crate) out: PathBuf,
    /// The command
    #[arg(last = true, value_name = "COMMAND", required = true)]
    pub(crate) command: Vec<String>,
}

/// Arguments of `why`.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Bundle: a directory, NAME.tar, or - for a tar on standard input
    #[arg(value_name = "BUNDLE")]
    pub(crate) path: PathBuf,
    /// Module path, or path and version
    #[arg(value_name = "MODULE[@VERSION]")]
    pub(crate) module: String,
}

/// Arguments of `serve`; those of `modferry-server`, which is the same server as a program of its own.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Bundle or mirror to serve
    pub(crate) path: PathBuf,
    /// Address to listen at, such as 0.0.0.0:8077 or [::1]:0, or unix:PATH; can be given several times
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8077")]
    pub(crate) listen: Vec<Address>,
    /// Path that stands before all others, such as /go
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub(crate) prefix: Prefix,
    /// Time that running answers get after SIGTERM or SIGINT; a second signal cuts them
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) grace: u32,
    /// Memory for small files, in MiB
    #[arg(long, value_name = "MIB", default_value_t = limits::DEFAULT_CACHE_BYTES >> 20)]
    pub(crate) cache_size: u64,
    /// Most connections at once; others wait
    #[arg(long, value_name = "N", default_value_t = limits::MAX_CONNECTIONS)]
    pub(crate) connections: usize,
    /// Most connections of one address; others are refused
    #[arg(long, value_name = "N", default_value_t = limits::MAX_CONNECTIONS_PER_ADDRESS)]
    pub(crate) connections_per_address: usize,
    /// Time for a whole request head
    #[arg(long, value_name = "SECONDS", default_value_t = limits::HEAD_TIMEOUT.as_secs())]
    pub(crate) head_timeout: u64,
    /// Time without a request after which a connection is closed
    #[arg(long, value_name = "SECONDS", default_value_t = limits::IDLE_TIMEOUT.as_secs())]
    pub(crate) idle_timeout: u64,
    /// Time without a byte taken by the client after which a connection is closed
    #[arg(long, value_name = "SECONDS", default_value_t = limits::STALL_TIMEOUT.as_secs())]
    pub(crate) stall_timeout: u64,
    /// Threads that serve [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// File for a line about each answer, - for standard output; SIGHUP opens it again
    #[arg(long, value_name = "FILE")]
    pub(crate) access_log: Option<PathBuf>,
    /// Form of these lines: text (the common log format) or json
    #[arg(long, value_name = "FORM", default_value = "text", requires = "access_log")]
    pub(crate) access_log_format: LogFormat,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
#[command(
    override_usage = "modferry import [OPTIONS] BUNDLE... MIRROR",
    after_help = "The mirror is made if it is not there. A bundle is imported after those that it was made after, in whatever \
order they are named. Importing a bundle again does nothing; an import that was \
killed is finished by the same command. The same version with another content is refused, and the mirror stays as it was."
)]
pub(crate) struct Import {
    /// Bundles, then the mirror
    #[arg(value_names = ["BUNDLE", "MIRROR"], num_args = 2.., required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Take bundles that nobody signed: only their own hashes vouch for them
    #[arg(long)]
    pub(crate) unsigned: bool,
    /// Take modules of this pattern (as in GONOSUMDB) without a record of the checksum database; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub(crate) no_record: Vec<String>,
    /// Trust a checksum database other than sum.golang.org: its key as in GOSUMDB, NAME+HASH+KEY; may be repeated
    #[arg(long, value_name = "KEY")]
    pub(crate) database_key: Vec<VerifierKey>,
    /// Fail at once when another import is under way, instead of waiting for it
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Judge everything and say what would be published, but publish nothing; needs the same room for a while
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Arguments of `env`.
#[derive(Debug, Args)]
pub(crate) struct Env {
    /// Directory of a bundle or mirror, or the http:// address of one that is served
    #[arg(value_name = "PATH|URL")]
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
