//! The one error of this crate: what it is about, what was tried, why it failed, and what to do about it.

use serde::Serialize;
use std::fmt;
use std::io;
use std::path::Path;

/// Why a command could not do its work, or judged the work of others not good.
#[derive(Debug, Clone, Serialize)]
pub struct Error {
    /// Stable name for programs that read `--json`.
    pub kind: ErrorKind,
    /// Subject, what was tried and why it failed; lower case, no full stop.
    pub message: String,
    /// What lies below, outermost first: the words of the go command or of the system.
    #[serde(rename = "caused_by")]
    pub causes: Vec<String>,
    /// What the work that failed has left behind, for the next try.
    pub kept: Option<String>,
    /// What the user can do.
    pub hint: Option<String>,
}

/// Kinds of errors; the names in `--json` are these in kebab case and do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The command line cannot be understood or asks for what does not exist yet.
    Usage,
    /// Reading or writing failed.
    Io,
    /// The disk is full.
    NoSpace,
    /// No network, or a proxy that does not answer.
    Network,
    /// Upstream does not have the module or version.
    NotFound,
    /// There is no go command.
    GoMissing,
    /// The go command is older than the root or a module asks for.
    GoTooOld,
    /// The go command failed for another reason.
    GoFailed,
    /// A root is not what it should be.
    Root,
    /// A directory that a go.mod names in a replacement is not there.
    ReplacementMissing,
    /// The output exists already.
    OutputExists,
    /// Two sources state different hashes for the same thing.
    HashConflict,
    /// The checksum database does not know a module version that is not said to be private.
    NoRecord,
    /// Two signed heads of a checksum database contradict each other.
    Fork,
    /// A bundle and a mirror hold parts of a checksum database that no tile at hand joins.
    NeedsBridge,
    /// What was made again is not the same as before.
    Differs,
    /// A rehearsal has failed.
    Incomplete,
    /// A module zip that Go would refuse, or that readers of zips would understand differently.
    ZipRefused,
    /// The bundle breaks a rule of the format.
    BundleInvalid,
    /// The bundle is in a format, or needs a feature, that this version does not know.
    Unsupported,
    /// The module is not in the bundle.
    NotCarried,
    /// The same version has another content here than in the bundle.
    Incident,
    /// The bundle is not trusted, or asks for more than was allowed.
    Untrusted,
    /// Something in the mirror is not as imports leave it.
    MirrorDamaged,
    /// Somebody else is changing the mirror.
    Locked,
    /// The user stopped the work.
    Interrupted,
}

impl ErrorKind {
    /// Exit code: 1 where something was judged not good, 2 where the work could not be done.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::HashConflict
            | Self::NoRecord
            | Self::Fork
            | Self::NeedsBridge
            | Self::Differs
            | Self::Incomplete
            | Self::ZipRefused
            | Self::BundleInvalid
            | Self::NotCarried
            | Self::Incident
            | Self::Untrusted
            | Self::MirrorDamaged => 1,
            _ => 2,
        }
    }
}

impl Error {
    /// An error without causes and hint.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), kept: None, hint: None }
    }

    /// A failed system call on a file: `PATH: what was tried`.
    pub fn io(path: &Path, tried: &str, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
            _ => ErrorKind::Io,
        };
        let error = Self::new(kind, format!("{}: {tried}", path.display())).because(error.to_string());
        match kind {
            ErrorKind::NoSpace => error.hint("free some space there, or name another place"),
            _ => error,
        }
    }

    /// Adds what lies below.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds several causes, the first ten in words and the others as a number.
    #[must_use]
    pub fn because_each(self, causes: impl ExactSizeIterator<Item = String>) -> Self {
        /// More than that nobody reads.
        const IN_WORDS: usize = 10;
        let left = causes.len().saturating_sub(IN_WORDS);
        let error = causes.take(IN_WORDS).fold(self, Self::because);
        if left > 0 { error.because(format!("and {left} more")) } else { error }
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// What most functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// Something that does not stop the work but that the user should know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Warning {
    /// Subject and what is the matter.
    pub message: String,
    /// What the user can do.
    pub hint: Option<String>,
}

impl Warning {
    /// A warning, with a hint where there is something to do.
    pub fn new(message: impl Into<String>, hint: Option<&str>) -> Self {
        Self { message: message.into(), hint: hint.map(str::to_owned) }
    }
}
