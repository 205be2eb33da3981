//! What commands take from the world around them: environment, clock, a place for progress, a way to be stopped.

use crate::error::{Error, ErrorKind, Result, Warning};
use crate::fetch::authorities::Authorities;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Environment variables, as given to the process or made up by a test.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    /// What two of them and the system say whom TLS trusts, once it was asked for.
    pub(crate) authorities: Authorities,
}

impl Environment {
    /// From pairs such as those of [`std::env::vars_os`].
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self { variables: variables.into_iter().collect(), authorities: Authorities::default() }
    }

    /// The value of a variable; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.variables.insert(name.into(), value.into());
        self.authorities = Authorities::default();
    }

    /// Takes a variable out.
    pub fn remove(&mut self, name: &str) {
        self.variables.remove(OsStr::new(name));
        self.authorities = Authorities::default();
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// The user's directory for things that can be made again: XDG_CACHE_HOME, else below HOME (macOS and Windows
    /// have their own places).
    pub fn user_cache_dir(&self) -> Option<PathBuf> {
        if let Some(dir) = self.get("XDG_CACHE_HOME") {
            return Some(dir.into());
        }
        if cfg!(windows) {
            return self.get("LocalAppData").map(PathBuf::from);
        }
        let home = PathBuf::from(self.get("HOME")?);
        Some(home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }))
    }

    /// The user's directory for things to remember: XDG_STATE_HOME, else below HOME (macOS and Windows have their own
    /// places).
    pub fn user_state_dir(&self) -> Option<PathBuf> {
        if let Some(dir) = self.get("XDG_STATE_HOME") {
            return Some(dir.into());
        }
        if cfg!(windows) {
            return self.get("LocalAppData").map(PathBuf::from);
        }
        let home = PathBuf::from(self.get("HOME")?);
        Some(home.join(if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/state" }))
    }

    /// SOURCE_DATE_EPOCH as a time, where it is set.
    pub fn source_date_epoch(&self) -> Result<Option<Timestamp>> {
        let Some(value) = self.get("SOURCE_DATE_EPOCH") else { return Ok(None) };
        value.to_str().and_then(|text| Timestamp::from_second(text.parse().ok()?).ok()).map(Some).ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("SOURCE_DATE_EPOCH: {value:?} is not a number of seconds since 1970"))
        })
    }
}

/// Set from outside when the user wants the work to stop.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Asks the work to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error if somebody asked.
    pub fn check(&self) -> Result<()> {
        if self.is_set() { Err(Error::new(ErrorKind::Interrupted, "interrupted")) } else { Ok(()) }
    }
}

/// What long work tells while it runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// The next step begins.
    Step(&'a str),
    /// How far the step is; `total` is 0 where it is not known yet.
    Progress {
        /// Modules or files done.
        done: u64,
        /// Of how many.
        total: u64,
        /// Bytes of what is done.
        bytes: u64,
        /// The module or file at work.
        current: &'a str,
    },
    /// Something the user should know.
    Note(&'a str),
    /// The same, with a chance that it is wrong.
    Warning(&'a Warning),
}

/// Takes what long work tells.
pub trait Progress: Sync {
    /// Shows one event; called from several threads.
    fn event(&self, event: Event<'_>);
}

/// Shows nothing.
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event<'_>) {}
}

/// What every long command gets.
pub struct Context<'a> {
    /// The environment of the user.
    pub environment: Environment,
    /// The time to write into what is made.
    pub now: Timestamp,
    /// Threads for hashing.
    pub jobs: usize,
    /// Requests at a time; none means what is best for what is asked.
    pub requests: Option<usize>,
    /// Where to tell about the work.
    pub progress: &'a dyn Progress,
    /// How to be stopped.
    pub interrupt: Interrupt,
}
