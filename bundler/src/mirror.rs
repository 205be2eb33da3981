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
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use crate::beneath::{Beneath, Kind};
use crate::context::{Context, Event, Progress};
use crate::durable::{Durable, Witness};
use crate::error::{Error, ErrorKind, Result, Warning};
use modferry_format::ledger::{self, Ledger};
use modferry_format::{BundleId, FileSha256, ModulePath};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Name of the file that commits a bundle.
pub const DONE: &str = "done";
/// In the staging of a bundle, the directory with the names that its files get.
pub(crate) const TREE: &str = "tree";
/// The journal.
pub const JOURNAL: &str = "journal.jsonl";
/// Largest `done` file that is read, in bytes; its longest part is the patterns without record.
pub(crate) const MAX_LINE_BYTES: u64 = 1 << 20;
/// Largest journal that is read or written, in bytes: room for some 500,000 bundles.
const MAX_JOURNAL_BYTES: u64 = 256 << 20;
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
    durable: Durable<'a>,
    progress: &'a dyn Progress,
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
    /// Keys of the checksum databases that its records were proven by.
    #[serde(default)]
    pub databases: Vec<String>,
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
        context: &'a Context<'_>,
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
        // A forgotten MIRROR makes the last bundle the mirror; it has a download/ too.
        if path.join(modferry_format::root::BUNDLE).symlink_metadata().is_ok() {
            let message = format!("{}: is a bundle, no mirror", path.display());
            return Err(Error::new(ErrorKind::Usage, message)
                .hint("name the mirror after the bundles: modferry import BUNDLE... MIRROR"));
        }
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
            make_root(path).map_err(|error| Error::io(path, "the mirror could not be made", &error))?;
        }
        let durable = Durable::new(path, witness)?;
        let lock = durable.lock_file()?;
        wait_for(&lock, path, when_locked, context)?;
        for name in ["download", "ledger", "bundles", "staging"] {
            durable.make_dir(Path::new(name))?;
        }
        Ok(Self { durable, progress: context.progress, _lock: lock })
    }

    /// How it is changed.
    pub fn durable(&self) -> &Durable<'a> {
        &self.durable
    }

    /// Its root.
    pub fn path(&self) -> &Path {
        self.durable.files().path()
    }

    /// The journal line of a bundle that is committed, and its text. A `done` file that is damaged commits nothing; the user is told,
    /// and importing the bundle again writes it anew.
    pub fn done(&self, id: &str) -> Result<Option<(JournalLine, String)>> {
        let path = Path::new("bundles").join(id).join(DONE);
        let bytes = match self.durable.files().kind(&path) {
            Ok(None) => return Ok(None),
            Ok(Some(Kind::File(_))) => self.durable.files().read(&path, MAX_LINE_BYTES),
            Ok(Some(_)) => return Err(self.durable.stranger(&path, "is no file")),
            Err(error) => Err(error),
        };
        let bytes = match bytes {
            Err(error) if error.kind() != io::ErrorKind::FileTooLarge => {
                return Err(Error::io(&self.durable.full(&path), "could not be read", &error));
            }
            other => other.unwrap_or_default(),
        };
        let line = JournalLine::of_done(id, bytes);
        if line.is_none() {
            let message =
                format!("{}: is damaged, so its bundle counts as not imported", self.durable.full(&path).display());
            let hint = "import that bundle again; nothing of it is published twice";
            self.progress.event(Event::Warning(&Warning::new(message, Some(hint))));
        }
        Ok(line)
    }

    /// The ledger of one module; empty for one that is not here.
    pub fn ledger(&self, module: &ModulePath) -> Result<Ledger> {
        read_ledger(self.durable.files(), module)
    }

    /// Brings journal and state up to the `done` files: a crash leaves them short, and without a journal it is made again.
    pub fn settle(&self) -> Result<()> {
        let journal = self.journal()?;
        let known: HashSet<&str> = journal.iter().map(|line| line.bundle.as_str()).collect();
        let mut missing = BTreeMap::new();
        let bundles = self.durable.full(Path::new("bundles"));
        let failed = |error: &io::Error| Error::io(&bundles, "could not be read", error);
        for entry in fs::read_dir(&bundles).map_err(|error| failed(&error))? {
            let name = entry.map_err(|error| failed(&error))?.file_name();
            let Some(id) = name.to_str().filter(|id| BundleId::from_hex(id).is_ok() && !known.contains(id)) else {
                continue;
            };
            if let Some((line, text)) = self.done(id)? {
                // Its own order first: each line names the one before it. The clock is for lines whose chain is broken.
                missing.insert((line.previous, line.imported, id.to_owned()), text);
            }
        }
        let mut last = self.last_journal_line()?.map_or_else(String::new, |line| hash_of(&line));
        while !missing.is_empty() {
            let next = missing.range((last.clone(), String::new(), String::new())..).next();
            let next = next.filter(|((previous, ..), _)| *previous == last).map(|(key, _)| key.clone());
            let oldest = || missing.keys().min_by_key(|(_, imported, _)| imported.clone()).cloned();
            let Some(text) = next.or_else(oldest).and_then(|key| missing.remove(&key)) else { break };
            self.durable.append(Path::new(JOURNAL), &text)?;
            last = hash_of(&text);
        }
        self.settle_state()
    }

    /// An error if one line more may make the journal larger than anybody reads; before anything is published.
    pub(crate) fn hold_to_limit(&self) -> Result<()> {
        let size = match self.durable.files().kind(Path::new(JOURNAL)) {
            Ok(Some(Kind::File(size))) => size,
            _ => 0,
        };
        let hint = "a mirror holds some 500,000 bundles: begin a new mirror for what comes next";
        hold_to_limit(&self.durable.full(Path::new(JOURNAL)), size + MAX_LINE_BYTES, MAX_JOURNAL_BYTES, hint)
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
        if self.durable.files().read(path, MAX_LINE_BYTES).is_ok_and(|there| there == text.as_bytes()) {
            return Ok(());
        }
        self.durable.replace(path, text.as_bytes(), Path::new("staging/state"))
    }

    /// All whole lines of the journal; what a crash cut off is no line.
    pub fn journal(&self) -> Result<Vec<JournalLine>> {
        read_journal(self.path())
    }

    /// The last whole line of the journal, as it stands.
    pub fn last_journal_line(&self) -> Result<Option<String>> {
        self.journal_line(|_| true)
    }

    /// The line of a bundle in the journal, as it stands.
    pub(crate) fn journal_line_of(&self, id: &str) -> Result<Option<String>> {
        self.journal_line(|line| line.bundle == id)
    }

    /// The last whole line of the journal that is such a one.
    fn journal_line(&self, is_meant: impl Fn(&JournalLine) -> bool) -> Result<Option<String>> {
        let text = journal_text(self.path())?;
        let is_line = |line: &&str| serde_json::from_str::<JournalLine>(line).is_ok_and(|line| is_meant(&line));
        Ok(text.lines().rfind(is_line).map(str::to_owned))
    }
}

impl JournalLine {
    /// Reads the `done` file of a bundle, and gives its text too; none for a damaged one, or that of another bundle.
    pub(crate) fn of_done(id: &str, bytes: Vec<u8>) -> Option<(Self, String)> {
        let text = String::from_utf8(bytes).ok()?.trim_end().to_owned();
        let line = serde_json::from_str::<Self>(&text).ok()?;
        (line.bundle == id && !text.contains('\n')).then_some((line, text))
    }

    /// The line as it stands in the journal and in `done`, without its end.
    pub fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| {
            Error::new(ErrorKind::Io, "journal: the line could not be written").because(error.to_string())
        })
    }
}

/// What the line after this one calls it.
pub fn hash_of(line: &str) -> String {
    FileSha256::of(line.as_bytes()).to_string()
}

/// Makes the directory of a mirror, readable for whoever serves it.
#[allow(clippy::disallowed_methods)] // Durable begins in a directory that is there.
fn make_root(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o755);
    builder.create(path)
}

/// Whether a directory is a mirror.
pub fn is_mirror(path: &Path) -> bool {
    path.join("ledger").is_dir() && path.join("bundles").is_dir()
}

/// The ledger of one module; empty for one that is not here.
pub(crate) fn read_ledger(files: &Beneath, module: &ModulePath) -> Result<Ledger> {
    let path = PathBuf::from(Ledger::path(module));
    let damaged = |reason: String| {
        let message = format!("{}: the ledger is damaged", files.full(&path).display());
        let hint = "put the file back from a copy of the mirror; the ledger of a module can also be made again: move the \
                    file away and import the bundles again that brought the module (ledger/@index.jsonl names them)";
        Error::new(ErrorKind::MirrorDamaged, message).because(reason).hint(hint)
    };
    let bytes = match files.read(&path, ledger::MAX_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ledger::default()),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => return Err(damaged(error.to_string())),
        other => other.map_err(|error| Error::io(&files.full(&path), "the ledger could not be read", &error))?,
    };
    let text = String::from_utf8(bytes).map_err(|_| damaged("it is not UTF-8".to_owned()))?;
    text.parse().map_err(|invalid: modferry_format::Invalid| damaged(invalid.to_string()))
}

/// All whole lines of a mirror's journal; what a crash cut off is no line.
pub fn read_journal(mirror: &Path) -> Result<Vec<JournalLine>> {
    Ok(journal_text(mirror)?.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// An error for a file that would be larger than anybody reads.
pub(crate) fn hold_to_limit(file: &Path, size: u64, limit: u64, hint: &str) -> Result<()> {
    if size <= limit {
        return Ok(());
    }
    let message = format!("{}: would have up to {size} bytes, at most {limit} are allowed", file.display());
    Err(Error::new(ErrorKind::Unsupported, message).hint(hint))
}

/// What is no UTF-8, as after a crash in the middle of a name, is in no whole line either.
fn journal_text(mirror: &Path) -> Result<String> {
    let path = mirror.join(JOURNAL);
    let read = Beneath::new(mirror).and_then(|files| files.read(Path::new(JOURNAL), MAX_JOURNAL_BYTES));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Error::io(&path, "the journal could not be read", &error)),
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_nobody_would_read_is_not_written() {
        let journal = Path::new(JOURNAL);
        assert!(hold_to_limit(journal, 10, 10, "").is_ok());
        let error = hold_to_limit(journal, 11, 10, "").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
    }
}
