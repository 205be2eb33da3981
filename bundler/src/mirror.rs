//! A mirror: the growing tree on the isolated side.
//!
//! ```text
//! download/                        what is served
//! ledger/<escaped module>/@sums    one line per published file of the module
//! ledger/@index.jsonl              one line per published version, appended
//! ledger/@state.json               counts and the newest bundle, replaced
//! bundles/<id>/                    evidence: the head files; `done` commits it
//! withdrawn/, quarantine/          what was taken out, deliberately
//! staging/<id>/                    an import under way; resumable
//! journal.jsonl                    the `done` files in the order of their imports; can always be made again
//! lock                             held by whoever changes the mirror
//! ```

use crate::context::{Context, Event};
use crate::durable::{Durable, Witness};
use crate::error::{Error, ErrorKind, Result};
use modferry_format::ledger::{self, Ledger};
use modferry_format::{BundleId, ModulePath};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Name of the file that commits a bundle.
pub const DONE: &str = "done";
/// The journal.
pub const JOURNAL: &str = "journal.jsonl";
/// How often a waiting import looks whether it should stop.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// What to do while another import holds the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenLocked {
    /// Wait until it ends.
    Wait,
    /// Give up at once.
    Fail,
}

/// A mirror that is ours to change until dropped.
pub struct Mirror<'a> {
    path: PathBuf,
    durable: Durable<'a>,
    _lock: File,
}

/// One line of the journal, and the content of a `done` file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalLine {
    /// All 64 digits of the bundle's id.
    pub bundle: String,
    /// When it was imported, RFC 3339 in UTC.
    pub imported: String,
    /// Who did it, as the system names them.
    pub by: String,
    /// Program and version.
    pub tool: String,
    /// Whether it was taken without any signature.
    pub unsigned: bool,
    /// Patterns of modules that were taken without a record of a checksum database.
    pub no_record: Vec<String>,
    /// Files that it published.
    pub new_files: u64,
    /// Files that were there already.
    pub known_files: u64,
    /// Bytes that it published.
    pub new_bytes: u64,
    /// SHA-256 of the line before this one, empty for the first.
    pub previous: String,
}

impl<'a> Mirror<'a> {
    /// Opens a mirror for changes; an empty or missing directory becomes one.
    pub fn open(
        path: &Path,
        when_locked: WhenLocked,
        witness: Option<&'a dyn Witness>,
        context: &Context<'_>,
    ) -> Result<Self> {
        let known = [
            "download",
            "ledger",
            "bundles",
            "staging",
            JOURNAL,
            "lock",
            "trust",
            "withdrawn",
            "quarantine",
            "lost+found",
        ];
        let is_new = match fs::read_dir(path) {
            Ok(entries) => !entries.flatten().any(|entry| known[..7].iter().any(|name| entry.file_name() == *name)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(Error::io(path, "the mirror could not be opened", &error)),
        };
        if is_new {
            let stranger = fs::read_dir(path).ok().and_then(|mut entries| {
                entries
                    .find_map(|entry| entry.ok().filter(|entry| !known.iter().any(|name| entry.file_name() == *name)))
            });
            if let Some(stranger) = stranger {
                let message = format!("{}: is no mirror: it has {}", path.display(), stranger.file_name().display());
                return Err(
                    Error::new(ErrorKind::Usage, message).hint("name a mirror, or an empty directory for a new one")
                );
            }
            fs::create_dir_all(path).map_err(|error| Error::io(path, "the mirror could not be made", &error))?;
        }
        let lock = File::create(path.join("lock"))
            .map_err(|error| Error::io(path, "the mirror could not be locked", &error))?;
        wait_for(&lock, path, when_locked, context)?;
        let durable = Durable::new(path, witness);
        for name in ["download", "ledger", "bundles", "staging"] {
            durable.make_dir(Path::new(name))?;
        }
        Ok(Self { path: path.to_owned(), durable, _lock: lock })
    }

    /// How it is changed.
    pub fn durable(&self) -> &Durable<'a> {
        &self.durable
    }

    /// Its root.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a bundle is committed.
    pub fn is_done(&self, id: &BundleId) -> bool {
        self.path.join(evidence(id)).join(DONE).is_file()
    }

    /// The ledger of one module; empty for one that is not here.
    pub fn ledger(&self, module: &ModulePath) -> Result<Ledger> {
        let path = self.path.join(Ledger::path(module));
        let text = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ledger::default()),
            Ok(meta) if meta.len() > ledger::MAX_BYTES => {
                return Err(Error::new(ErrorKind::MirrorDamaged, format!("{}: larger than 64 MiB", path.display())));
            }
            _ => fs::read_to_string(&path).map_err(|error| Error::io(&path, "the ledger could not be read", &error))?,
        };
        text.parse().map_err(|invalid: modferry_format::Invalid| {
            Error::new(ErrorKind::MirrorDamaged, format!("{}: the ledger is damaged", path.display()))
                .because(invalid.to_string())
        })
    }

    /// Brings journal and state up to the `done` files: a crash leaves them short.
    pub fn settle(&self) -> Result<()> {
        let journal = self.journal()?;
        let mut missing = Vec::new();
        let bundles = self.path.join("bundles");
        let entries = fs::read_dir(&bundles).map_err(|error| Error::io(&bundles, "could not be read", &error))?;
        for entry in entries.flatten() {
            let Ok(text) = fs::read_to_string(entry.path().join(DONE)) else { continue };
            let line: JournalLine = serde_json::from_str(&text).map_err(|error| {
                Error::new(ErrorKind::MirrorDamaged, format!("{}: its done file is damaged", entry.path().display()))
                    .because(error.to_string())
            })?;
            if !journal.iter().any(|known| known.bundle == line.bundle) {
                missing.push((line.imported.clone(), text));
            }
        }
        missing.sort();
        for (_, text) in missing {
            self.durable.append(Path::new(JOURNAL), text.trim_end())?;
        }
        self.settle_state()
    }

    fn settle_state(&self) -> Result<()> {
        let journal = self.journal()?;
        let Some(newest) = journal.last() else { return Ok(()) };
        let state = serde_json::json!({
            "bundles": journal.len(),
            "files": journal.iter().map(|line| line.new_files).sum::<u64>(),
            "bytes": journal.iter().map(|line| line.new_bytes).sum::<u64>(),
            "newest": newest.bundle,
            "imported": newest.imported,
        });
        let (path, text) = (Path::new("ledger/@state.json"), format!("{state}\n"));
        if fs::read(self.path.join(path)).is_ok_and(|there| there == text.as_bytes()) {
            return Ok(());
        }
        self.durable.replace(path, text.as_bytes(), Path::new("staging/state"))
    }

    /// All whole lines of the journal; what a crash cut off is no line.
    pub fn journal(&self) -> Result<Vec<JournalLine>> {
        read_journal(&self.path)
    }

    /// The last whole line of the journal, as it stands.
    pub fn last_journal_line(&self) -> Result<Option<String>> {
        let text = journal_text(&self.path)?;
        Ok(text.lines().rfind(|line| serde_json::from_str::<JournalLine>(line).is_ok()).map(str::to_owned))
    }
}

/// Whether a directory is a mirror.
pub fn is_mirror(path: &Path) -> bool {
    path.join("ledger").is_dir() && path.join("bundles").is_dir()
}

/// All whole lines of a mirror's journal; what a crash cut off is no line.
pub fn read_journal(mirror: &Path) -> Result<Vec<JournalLine>> {
    Ok(journal_text(mirror)?.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

fn journal_text(mirror: &Path) -> Result<String> {
    let path = mirror.join(JOURNAL);
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other.map_err(|error| Error::io(&path, "the journal could not be read", &error)),
    }
}

/// Where the evidence of a bundle lies.
pub fn evidence(id: &BundleId) -> PathBuf {
    Path::new("bundles").join(id.hex())
}

/// Where a bundle is staged.
pub fn staging(id: &BundleId) -> PathBuf {
    Path::new("staging").join(id.hex())
}

fn wait_for(lock: &File, path: &Path, when_locked: WhenLocked, context: &Context<'_>) -> Result<()> {
    let mut told = false;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if when_locked == WhenLocked::Fail => {
                let message = format!("{}: another import is under way", path.display());
                return Err(Error::new(ErrorKind::Locked, message).hint("without --no-wait this one waits for it"));
            }
            Err(TryLockError::WouldBlock) => {
                if !told {
                    context.progress.event(Event::Note(&format!(
                        "{}: another import is under way, waiting for it",
                        path.display()
                    )));
                    told = true;
                }
                context.interrupt.check()?;
                thread::sleep(LOCK_POLL);
            }
            Err(TryLockError::Error(error)) => return Err(Error::io(path, "the mirror could not be locked", &error)),
        }
    }
}
