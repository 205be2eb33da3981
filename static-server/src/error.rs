//! The one error of this crate: what it is about, what was tried, why it failed, and what to do about it.

use std::fmt;
use std::io;
use std::path::Path;

/// Why nothing could be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What a caller may tell apart.
    pub kind: ErrorKind,
    /// Subject, what was tried and why it failed; lower case, no full stop.
    pub message: String,
    /// What lies below, outermost first: the words of the system.
    pub causes: Vec<String>,
    /// What the user can do.
    pub hint: Option<String>,
}

/// Kinds of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was asked for does not exist or makes no sense.
    Usage,
    /// A file or a socket failed.
    Io,
    /// The bundle breaks a rule of the format.
    BundleInvalid,
    /// The bundle is in a format, or needs a feature, that this version does not know.
    Unsupported,
}

impl Error {
    /// An error without causes and hint.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), hint: None }
    }

    /// A failed system call on a file: `PATH: what was tried`.
    pub(crate) fn io(path: &Path, tried: &str, error: &io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("{}: {tried}", path.display())).because(error)
    }

    /// Adds what lies below.
    #[must_use]
    pub(crate) fn because(mut self, cause: impl fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    /// Adds what the user can do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
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
