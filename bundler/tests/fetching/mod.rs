//! A fetch with everything that it takes, and what it left.

use modferry::context::{Context, Environment, Event, Interrupt, Progress};
use modferry::database::{self, Patience, Request, Settings, Slice};
use modferry::error::{Error, Result};
use modferry_format::ModuleVersion;
use modferry_format::database::Tile;
use modferry_format::sumdb::client;
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::tree;
use modferry_harness::database::{Log, filler};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

/// Records of the log that most tests have.
pub(crate) const SIZE: u64 = 70_000;

/// A log of filler records.
pub(crate) fn log(size: u64) -> Log {
    let mut log = Log::default();
    log.grow(size, "");
    log
}

/// Some versions of it, in many tiles.
pub(crate) fn some() -> BTreeSet<ModuleVersion> {
    (0..40).map(|n| filler(n * n * 43 + 17)).collect()
}

/// A fetch.
pub(crate) struct Fetch {
    pub(crate) versions: BTreeSet<ModuleVersion>,
    pub(crate) since: Option<u64>,
    pub(crate) known: BTreeSet<ModuleVersion>,
    pub(crate) held: BTreeSet<Tile>,
    pub(crate) heads: Vec<Head>,
    pub(crate) caches: Vec<PathBuf>,
    pub(crate) settings: Settings,
    pub(crate) environment: Environment,
    pub(crate) interrupt: Interrupt,
    pub(crate) notes: Notes,
    out: tempfile::TempDir,
}

/// What was told.
#[derive(Default)]
pub(crate) struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn event(&self, event: Event<'_>) {
        if let Event::Note(note) = event {
            self.0.lock().unwrap().push(note.to_owned());
        }
    }
}

impl Notes {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Fetch {
    pub(crate) fn new(goproxy: &str, gosumdb: &str) -> Self {
        let patience = Patience {
            attempts: 4,
            connections: 2,
            first_wait: Duration::from_millis(5),
            longest_wait: Duration::from_secs(2),
            connect: Duration::from_secs(5),
            stall: Duration::from_millis(500),
        };
        let settings =
            Settings { goproxy: goproxy.to_owned(), gosumdb: gosumdb.to_owned(), goauth: String::new(), patience };
        Self {
            versions: some(),
            heads: Vec::new(),
            caches: Vec::new(),
            settings,
            environment: Environment::default(),
            interrupt: Interrupt::default(),
            since: None,
            known: BTreeSet::new(),
            held: BTreeSet::new(),
            notes: Notes::default(),
            out: tempfile::tempdir().unwrap(),
        }
    }

    /// From the database that GOSUMDB names with its place.
    pub(crate) fn direct(gosumdb: &str) -> Self {
        Self::new("off", gosumdb)
    }

    pub(crate) fn run(&self) -> Result<Slice> {
        let request = Request {
            versions: &self.versions,
            since: self.since,
            at: None,
            known: &self.known,
            held: &self.held,
            heads: &self.heads,
            caches: &self.caches,
            out: self.out.path(),
            jobs: database::REQUESTS,
        };
        let context = Context {
            environment: self.environment.clone(),
            now: "2026-01-02T03:04:05Z".parse().unwrap(),
            jobs: 2,
            requests: None,
            progress: &self.notes,
            interrupt: self.interrupt.clone(),
        };
        database::fetch(&request, &self.settings, &context)
    }

    /// What it left must be nothing; gives the error and all of its text.
    pub(crate) fn refused(&self) -> (Error, String) {
        let error = self.run().map(|slice| slice.head).unwrap_err();
        let left: Vec<_> = walkdir::WalkDir::new(self.out.path()).into_iter().flatten().collect();
        assert!(left.iter().all(|entry| entry.file_type().is_dir() && entry.depth() <= 1), "{left:?}");
        let texts = [&error.message].into_iter().chain(&error.causes).chain(&error.hint);
        let text = texts.cloned().collect::<Vec<_>>().join("\n");
        (error, text)
    }

    /// Where it was laid out.
    pub(crate) fn directory(&self, log: &Log) -> PathBuf {
        self.out.path().join(log.name())
    }

    /// It succeeds, and what lies there is what the log has: exactly the planned tiles, all lookups with one head.
    pub(crate) fn whole(&self, log: &Log) -> Slice {
        let slice = self.run().unwrap_or_else(|error| panic!("{error}: {:?}", error.causes));
        self.check(&slice, log);
        slice
    }

    pub(crate) fn check(&self, slice: &Slice, log: &Log) {
        let directory = self.directory(log);
        assert_eq!(slice.head, log.head(log.size()).unwrap());
        let ids: Vec<u64> = slice.records.values().map(|record| record.id).collect();
        let planned = tree::slice(slice.head.size(), ids, slice.served.iter().map(Head::size));
        assert_eq!(tiles(&directory), planned);
        // No tile that no client reads. With very many heads this takes seconds.
        let heads: BTreeSet<u64> = slice.served.iter().map(Head::size).collect();
        if heads.len() < 100 && !slice.records.is_empty() {
            let lookups: Vec<_> = ids_at(slice).collect();
            let reads = client::reads(&heads, &lookups, |tile| planned.contains(&tile)).unwrap();
            assert_eq!((reads.used, reads.missing), (planned.clone(), BTreeSet::new()));
        }
        assert_eq!(slice.tiles, planned.len() as u64);
        for tile in planned {
            assert_eq!(std::fs::read(directory.join(tile.to_string())).unwrap(), log.tile(tile).unwrap(), "{tile}");
        }
        assert_eq!(&slice.records.keys().chain(slice.absent.keys()).cloned().collect::<BTreeSet<_>>(), &self.versions);
        for (version, record) in &slice.records {
            let name = format!("lookup/{}@{}", version.path().escaped(), version.version().escaped());
            let text = std::fs::read_to_string(directory.join(name)).unwrap();
            assert_eq!(text, log.lookup(record.id, log.size()));
        }
        let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
        assert_eq!(read("latest"), log.note(log.size()));
        assert_eq!(read("supported"), "ok\n");
        let files = walkdir::WalkDir::new(&directory).into_iter().flatten().filter(|entry| entry.file_type().is_file());
        let (mut count, mut bytes) = (0, 0);
        files.for_each(|file| {
            count += 1;
            bytes += file.metadata().unwrap().len();
        });
        assert_eq!((count, bytes), (slice.tiles + slice.records.len() as u64 + 2, slice.bytes));
    }
}

/// The lookups as they are laid out: record numbers, all with the one head.
fn ids_at(slice: &Slice) -> impl Iterator<Item = (u64, u64)> {
    slice.records.values().map(|record| (record.id, slice.head.size()))
}

/// The tiles that were laid out.
pub(crate) fn tiles(directory: &Path) -> BTreeSet<Tile> {
    let entries = walkdir::WalkDir::new(directory.join("tile")).into_iter().flatten();
    let files = entries.filter(|entry| entry.file_type().is_file());
    files.map(|file| file.path().strip_prefix(directory).unwrap().to_str().unwrap().parse().unwrap()).collect()
}
