//! Fetches the part of a checksum database that proves a set of module versions, and lays it out as it is carried.
//!
//! 1. `place` finds the database as `go` finds it.
//! 2. `lookups` gets the record of every module version: from go's own caches, else from the database.
//! 3. `latest` is asked for after all lookups, for a lookup can be what makes the database add the record. Its head is
//!    the one that everything is proven by; never that of an answer, whose tiles may be gone.
//! 4. `tiles` gets the slice of the tree that leads from the head to the records, and to earlier heads.
//! 5. `gate` proves all of it on the files, and that no client misses a tile. Whatever fails, nothing stays behind.
//! 6. Every lookup is written with the one head: its note is signed apart from the record (measured: `go` takes it).
//!
//! ```text
//! OUT/NAME/supported
//! OUT/NAME/latest
//! OUT/NAME/lookup/github.com/!burnt!sushi/toml@v1.6.0
//! OUT/NAME/tile/8/0/x188/625
//! ```
//!
//! What speaks HTTP is `crate::fetch`.

mod ahead;
mod gate;
mod lookups;
mod place;
mod tiles;

pub use crate::fetch::Patience;
pub(crate) use ahead::{Ahead, ahead};

use crate::context::{Context, Event, Interrupt};
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::remote::{self, Answer, Reader};
use crate::{go_command, jobs};
use modferry_format::ModuleVersion;
use modferry_format::check;
use modferry_format::database::Tile;
use modferry_format::sumdb::hash::TreeHash;
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::sumdb::note;
use modferry_format::sumdb::record::Record;
use place::Place;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Requests at a time: beyond 32 a public mirror answers no faster (measured: 1,645 requests in 2.0 s with 64, 19.6 s
/// with 4).
pub const REQUESTS: usize = 32;
/// Most heads met in answers that are served too, the newest first. 1,898 lookups had 318 (measured).
pub const MAX_MET_HEADS: usize = 500;
/// How often `latest` is asked for until it has every record: the answers of a proxy are cached, and each for itself.
const LATEST_ATTEMPTS: u32 = 5;

/// What is wanted.
#[derive(Debug)]
pub struct Request<'a> {
    /// The module versions to prove, each with a zip or a go.mod alone.
    pub versions: &'a BTreeSet<ModuleVersion>,
    /// Heads that clients or mirrors have stored and that must be served too; signed by this database.
    pub heads: &'a [Head],
    /// Serve every head of this size or more, known or not.
    pub since: Option<u64>,
    /// Prove everything by this head and not by the newest: to make again what was made once.
    pub at: Option<&'a At>,
    /// Of these, the ones whose records the far side has already: looked up, and not carried.
    pub known: &'a BTreeSet<ModuleVersion>,
    /// Tile files that the far side has already: part of the proof, and not carried.
    pub held: &'a BTreeSet<Tile>,
    /// Directories in the layout of `GOMODCACHE/cache/download`, or of `download` in a bundle; what lies below `sumdb/NAME`
    /// there is not fetched again. A lookup gives number and text of a record; its head is one that was met.
    pub caches: &'a [PathBuf],
    /// Where to lay it out; a folder `NAME` is made in it, and must not be there.
    pub out: &'a Path,
    /// Requests at a time; [`REQUESTS`] is a good number.
    pub jobs: usize,
}

/// What a slice was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The head that everything is proven by, signed by the database.
    pub head: Head,
    /// The earlier heads that are served, ascending by size; no others are.
    pub served: Vec<Head>,
}

/// How `go` is told to find the database, as `go env` has it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// GOPROXY.
    pub goproxy: String,
    /// GOSUMDB.
    pub gosumdb: String,
    /// GOAUTH: where logins come from. Its commands are run.
    pub goauth: String,
    /// How to treat servers that do not answer.
    pub patience: Patience,
}

impl From<&go_command::Settings> for Settings {
    fn from(settings: &go_command::Settings) -> Self {
        let [goproxy, gosumdb, goauth] = ["GOPROXY", "GOSUMDB", "GOAUTH"].map(|name| settings.get(name).to_owned());
        Self { goproxy, gosumdb, goauth, patience: Patience::default() }
    }
}

/// A part of a database, proven.
#[derive(Debug)]
pub struct Slice {
    /// The key of the database, and with it its name.
    pub key: VerifierKey,
    /// The head that everything is proven by.
    pub head: Head,
    /// Earlier heads that are proven to be a part of it and can be served, the smallest first: those of the request, and
    /// those met in answers.
    pub served: Vec<Head>,
    /// The records.
    pub records: BTreeMap<ModuleVersion, Record>,
    /// Module versions that the database does not have, each with the server's words.
    pub absent: BTreeMap<ModuleVersion, String>,
    /// Requests made, those that failed too.
    pub requests: u64,
    /// Tile files laid out.
    pub tiles: u64,
    /// Tile files of the proof that are not carried: the far side has them.
    pub held: u64,
    /// Bytes laid out.
    pub bytes: u64,
}

/// Fetches, proves and lays out.
///
/// [`ErrorKind::HashConflict`]: what was served is not of one signed log; nothing is to be taken from it.
/// [`ErrorKind::Network`]: the database cannot be reached, or what answers is none. [`ErrorKind::Usage`]: GOSUMDB is off
/// or cannot be understood.
pub fn fetch(request: &Request<'_>, settings: &Settings, context: &Context<'_>) -> Result<Slice> {
    fetch_rest(request, None, settings, context)
}

/// The same, with what has come ahead.
pub(crate) fn fetch_rest(
    request: &Request<'_>,
    ahead: Option<Ahead>,
    settings: &Settings,
    context: &Context<'_>,
) -> Result<Slice> {
    let reader =
        Reader::new(&context.environment, &settings.goauth, settings.patience, request.jobs.max(1), &context.interrupt);
    let (place, found, cache) = match ahead {
        Some(Ahead { place, found, cache }) => (place, found, Some(cache)),
        None => (place::find(&settings.goproxy, &settings.gosumdb, &reader)?, lookups::Found::default(), None),
    };
    let directory = request.out.join(place.key.name().as_str());
    // Not taken over, and so never removed: it is not ours.
    if let Some(parent) = directory.parent() {
        fs::create_dir_all(parent).map_err(|error| Error::io(parent, "could not be made", &error))?;
    }
    fs::create_dir(&directory).map_err(|error| Error::io(&directory, "could not be made", &error))?;
    let work =
        Work { request, context, reader: &reader, place: &place, directory: &directory, cache: cache.as_deref() };
    work.run(found).inspect_err(|_| {
        // The first error is the one to tell; whoever calls removes the work space anyway.
        let _ = fs::remove_dir_all(&directory);
    })
}

/// One run.
struct Work<'a> {
    request: &'a Request<'a>,
    context: &'a Context<'a>,
    reader: &'a Reader<'a>,
    place: &'a Place,
    directory: &'a Path,
    /// A further cache: what has come ahead.
    cache: Option<&'a Path>,
}

impl Work<'_> {
    fn run(&self, found: lookups::Found) -> Result<Slice> {
        let name = self.place.key.name();
        self.step(&format!("looking up {} module versions in {name}", self.request.versions.len()));
        let mut found = lookups::get(self, found)?;
        let newest = self.head(&found.records)?;
        let (head, served) = match self.request.at {
            Some(at) => {
                self.forget_later(&mut found, at, &newest)?;
                (at.head.clone(), at.served.clone())
            }
            None => (newest.clone(), self.served(std::mem::take(&mut found.heads), &newest)?),
        };
        self.step(&format!("fetching the part of {name} that proves them"));
        let (caches, none) = (self.caches(), Vec::new());
        let prove = |caches: &[PathBuf]| {
            let tiles = tiles::lay_out(self, (&head, newest.size()), self.carried(&found), &served, caches)?;
            self.step(&format!("proving them by the tree head of {} records", head.size()));
            gate::prove(self, &head, &found, &served, &tiles).map(|()| tiles)
        };
        let tiles = match prove(&caches) {
            // A tile of a cache may be damaged; what the database itself serves is judged then.
            Err(error) if error.kind == ErrorKind::HashConflict && !caches.is_empty() => prove(&none)?,
            proven => proven?,
        };
        let (mut bytes, mut held) = (tiles.bytes, 0);
        for tile in tiles.all.intersection(self.request.held) {
            let path = self.directory.join(tile.to_string());
            fs::remove_file(&path).map_err(|error| Error::io(&path, "could not be removed", &error))?;
            held += 1;
            bytes -= u64::from(tile.width()) * TreeHash::BYTES as u64;
        }
        bytes += self.write("supported", check::SUPPORTED.as_bytes())?;
        bytes += self.write("latest", head.note().as_bytes())?;
        bytes += lookups::write(self, self.carried(&found), &head)?;
        Ok(Slice {
            key: self.place.key.clone(),
            head,
            served,
            records: found.records,
            absent: found.absent,
            requests: self.reader.requests(),
            tiles: tiles.all.len() as u64 - held,
            held,
            bytes,
        })
    }

    /// The records that are carried.
    fn carried<'f>(&self, found: &'f lookups::Found) -> impl Iterator<Item = &'f Record> {
        found.records.values().filter(|record| !self.request.known.contains(&record.module))
    }

    /// Where files of this database may lie already.
    fn caches(&self) -> Vec<PathBuf> {
        let folder = Path::new("sumdb").join(self.place.key.name().as_str());
        let caches = self.cache.into_iter().chain(self.request.caches.iter().map(PathBuf::as_path));
        caches.map(|cache| cache.join(&folder)).collect()
    }

    /// The head of `latest`, once it has all records and all heads of the request.
    fn head(&self, records: &BTreeMap<ModuleVersion, Record>) -> Result<Head> {
        let last = records.values().max_by_key(|record| record.id);
        let heads = self.request.heads.iter().chain(self.request.at.map(|at| &at.head));
        let needed = heads.map(Head::size).chain(last.map(|record| record.id + 1)).max();
        let mut newest: Option<Head> = None;
        for attempt in 0..LATEST_ATTEMPTS {
            if attempt > 0 {
                self.reader.wait(attempt)?;
            }
            let shown = self.place.base.shown("latest");
            let bytes = match self.reader.get(&self.place.base, "latest", note::MAX_BYTES)? {
                Answer::Found(bytes) => bytes,
                Answer::Absent(words) => {
                    return Err(Error::new(ErrorKind::Network, format!("{shown}: is not there")).because(words));
                }
            };
            let head = Head::open(&bytes, &self.place.key).map_err(|error| not_opened(&shown, &error, &bytes))?;
            if newest.as_ref().is_none_or(|newest| newest.size() < head.size()) {
                newest = Some(head);
            }
            // Two heads of one size with two roots are told apart by the proof, if the request has one of them.
            if let Some(newest) = newest.take_if(|newest| newest.size() >= needed.unwrap_or(0)) {
                return Ok(newest);
            }
        }
        let size = newest.map_or(0, |head| head.size());
        let message = format!("{}: has a tree head of {size} records", self.place.base.shown("latest"));
        let needs = match last {
            Some(record) if record.id >= size => format!("{} is record {}", record.module, record.id),
            _ => format!("a tree head of {} records is to be served", needed.unwrap_or(0)),
        };
        Err(Error::new(ErrorKind::Network, message)
            .because(needs)
            .hint("try again later: the answer may come from a cache"))
    }

    /// Takes back the records that were not there yet at an earlier head.
    fn forget_later(&self, found: &mut lookups::Found, at: &At, newest: &Head) -> Result<()> {
        if at.head.size() == newest.size() && at.head != *newest {
            return Err(fork(&at.head, newest, self));
        }
        let later: Vec<ModuleVersion> =
            found.records.values().filter(|record| record.id >= at.head.size()).map(|r| r.module.clone()).collect();
        for version in later {
            found.records.remove(&version);
            found.absent.insert(version, format!("it had no record in {} yet", at.head));
        }
        Ok(())
    }

    /// The heads to serve: all of the request, and those met that are not newer than `head`.
    fn served(&self, met: Vec<Head>, head: &Head) -> Result<Vec<Head>> {
        let mut served: Vec<Head> = Vec::new();
        let mut add = |new: Head| match served.iter().find(|known| known.size() == new.size()) {
            Some(known) if *known != new => Err(fork(known, &new, self)),
            Some(_) => Ok(false),
            None => {
                served.push(new);
                Ok(true)
            }
        };
        add(head.clone())?;
        for asked in self.request.heads {
            add(asked.clone())?;
        }
        let mut met: Vec<Head> = met.into_iter().filter(|met| (1..=head.size()).contains(&met.size())).collect();
        met.sort_by_key(|met| std::cmp::Reverse(met.size()));
        let (mut taken, mut cut) = (0, 0);
        for met in met {
            if taken == MAX_MET_HEADS {
                cut += 1;
            } else if add(met)? {
                taken += 1;
            }
        }
        if cut > 0 {
            let note = format!("{cut} older tree heads were met and are not served, beside {MAX_MET_HEADS} that are");
            self.context.progress.event(Event::Note(&note));
        }
        served.retain(|known| known != head);
        served.sort_by_key(Head::size);
        Ok(served)
    }

    /// Does `work` on all items, so many at a time; the first error in their order ends it.
    fn each<T, R>(&self, items: Vec<T>, work: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<(T, R)>>
    where
        T: Send + Sync + ToString,
        R: Send,
    {
        let (has_failed, done, total) = (AtomicBool::new(false), AtomicU64::new(0), items.len() as u64);
        let one = |(): &mut (), item: &T| {
            if has_failed.load(Ordering::Relaxed) {
                return None;
            }
            let result = self.interrupt().check().and_then(|()| work(item));
            has_failed.fetch_or(result.is_err(), Ordering::Relaxed);
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            let (bytes, current) = (self.reader.bytes(), item.to_string());
            self.context.progress.event(Event::Progress { done, total, bytes, current: &current });
            Some(result)
        };
        let results = self.reader.stoppable(|| jobs::map(self.request.jobs, items, one));
        // What was not begun comes after what failed, and the first that failed is the error.
        let begun = results.into_iter().filter_map(|(item, result)| Some(result?.map(|result| (item, result))));
        begun.collect()
    }

    fn interrupt(&self) -> &Interrupt {
        &self.context.interrupt
    }

    fn step(&self, what: &str) {
        self.context.progress.event(Event::Step(what));
    }

    /// Writes one of the files, and says how long it is.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<u64> {
        let path = self.directory.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| Error::io(parent, "could not be made", &error))?;
        }
        fs::write(&path, bytes).map_err(|error| Error::io(&path, "could not be written", &error))?;
        Ok(bytes.len() as u64)
    }
}

/// A note that does not open: signed by another, or no note at all.
fn not_opened(shown: &str, error: &note::NotOpened, bytes: &[u8]) -> Error {
    let message = format!("{shown}: has no tree head that the database has signed");
    let (kind, hint) = match error {
        note::NotOpened::Malformed(_) => {
            (ErrorKind::Network, "whoever answers is perhaps no checksum database; check go env GOPROXY GOSUMDB")
        }
        _ => (ErrorKind::HashConflict, "find out who answers in the name of the database before you go on"),
    };
    Error::new(kind, message).because(error.to_string()).because(remote::words(bytes)).hint(hint)
}

/// Two signed heads that contradict each other. Both notes are in the error: they are evidence.
fn fork(one: &Head, other: &Head, work: &Work<'_>) -> Error {
    Error::new(
        ErrorKind::HashConflict,
        format!("{}: has signed two trees that contradict each other, {one} and {other}", work.place.key.name()),
    )
    .because(one.note())
    .because(other.note())
    .hint("keep both notes: they prove that the database, or who has its key, shows different logs to different people")
}
