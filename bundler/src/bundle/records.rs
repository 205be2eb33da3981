//! The part of the checksum database that a bundle carries: which versions need a record, and what the far side has.

use crate::bundle::Options;
use crate::carrier::{self, Carrier, What};
use crate::context::{Context, Event};
use crate::database::{self, At, REQUESTS, Slice};
use crate::error::{Error, ErrorKind, Result};
use crate::go_command::Settings;
use crate::{head, heads_file};
use modferry_format::database::Tile;
use modferry_format::go_sum::{GoSum, Line, Subject};
use modferry_format::header::{Database, EVERY_MODULE};
use modferry_format::info::Info;
use modferry_format::requires::{self, Requires};
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::sumdb::record::Record;
use modferry_format::{BundlePath, H1, Invalid, ModuleVersion, patterns};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// What is carried for the checksum database, and what bundle.json says about it.
#[derive(Default)]
pub(crate) struct Records {
    slice: Option<Slice>,
    /// Patterns of modules that come without a record.
    pub(crate) without_record: Vec<String>,
    /// Ids of the base.
    pub(crate) base: Vec<String>,
    base_infos: BTreeMap<ModuleVersion, Vec<u8>>,
    requires: Option<requires::Head>,
}

/// What the bundle is to be continued from; read before anything is fetched.
pub(crate) struct Before {
    key: VerifierKey,
    base: Base,
    heads: Vec<Head>,
    at: Option<At>,
}

impl Before {
    /// Reads the base and all files of heads. None where nothing of a checksum database is carried.
    pub(crate) fn read(options: &Options, settings: &Settings) -> Result<Option<Self>> {
        let key = if options.without_checksum_database { None } else { settings.database_key()? };
        let Some(key) = key else {
            let asks = options.base.is_some() || options.since_head.is_some();
            if asks || !options.client_latest.is_empty() || !options.bridge.is_empty() {
                let message = "GOSUMDB: is off, so there is no tree to continue";
                return Err(Error::new(ErrorKind::Usage, message).hint(
                    "--base, --bridge, --client-latest and --since-head need the checksum database: go env -u GOSUMDB",
                ));
            }
            return Ok(None);
        };
        let base = match &options.base {
            Some(path) => Base::read(path, &key)?,
            None => Base::default(),
        };
        let heads = heads(options, &base, &key)?;
        Ok(Some(Self { key, base, heads, at: None }))
    }

    /// Proves by the heads that a bundle.json states; for making the same bundle again.
    pub(crate) fn at(mut self, stated: &Database) -> Result<Self> {
        let open = |note: &String| {
            Head::open(note.as_bytes(), &self.key).map_err(|error| {
                let message = format!("bundle.json: has no tree head that {} has signed", self.key.name());
                Error::new(ErrorKind::BundleInvalid, message).because(error.to_string())
            })
        };
        self.at =
            Some(At { head: open(&stated.head)?, served: stated.served.iter().map(open).collect::<Result<_>>()? });
        Ok(self)
    }

    /// Where files of the database may lie already. Those of the base first: they are what the far side has.
    pub(crate) fn caches(&self, module_caches: &[PathBuf]) -> Vec<PathBuf> {
        self.base.download.iter().chain(module_caches).cloned().collect()
    }

    /// The id of the base.
    pub(crate) fn base(&self) -> Option<&str> {
        self.base.id.as_deref()
    }
}

/// What the base has, if there is one.
#[derive(Default)]
struct Base {
    id: Option<String>,
    heads: Vec<Head>,
    records: BTreeSet<ModuleVersion>,
    tiles: BTreeSet<Tile>,
    download: Option<PathBuf>,
    /// The infos of whole versions.
    infos: BTreeMap<ModuleVersion, Vec<u8>>,
}

impl Records {
    /// Fetches and proves the records of all versions, and lays them out in `out`.
    pub(crate) fn fetch(
        versions: impl Iterator<Item = ModuleVersion>,
        (before, ahead): (Option<Before>, Option<database::Ahead>),
        options: &Options,
        settings: &Settings,
        module_caches: &[PathBuf],
        out: &Path,
        context: &Context<'_>,
    ) -> Result<Self> {
        let Some(before) = before else {
            return Ok(Self { without_record: vec![EVERY_MODULE.to_owned()], ..Self::default() });
        };
        let caches = before.caches(module_caches);
        let Before { key, base, heads, at } = before;
        let private = settings.get("GONOSUMDB");
        let (without, wanted): (BTreeSet<_>, BTreeSet<_>) =
            versions.partition(|version| patterns::matches(private, version.path().as_str()));
        let known: BTreeSet<ModuleVersion> = base.records.intersection(&wanted).cloned().collect();
        let last = base.heads.last().map(|head| requires::Head {
            name: key.name().clone(),
            size: head.size(),
            root: *head.root().as_bytes(),
        });
        let held = base.tiles;
        let mut records = Self { base: base.id.into_iter().collect(), base_infos: base.infos, ..Self::default() };
        if wanted.is_empty() && options.bridge.is_empty() {
            records.claim(&without, &[private]);
            return Ok(records);
        }
        let request = database::Request {
            versions: &wanted,
            since: options.since_head,
            at: at.as_ref(),
            known: &known,
            held: &held,
            heads: &heads,
            caches: &caches,
            out,
            jobs: context.requests.unwrap_or(REQUESTS),
        };
        let slice = database::fetch_rest(&request, ahead, &settings.into(), context)?;
        let allowed = options.no_record.join(",");
        let (accepted, absent): (Vec<_>, Vec<_>) =
            slice.absent.iter().partition(|(version, _)| patterns::matches(&allowed, version.path().as_str()));
        if let Some(((first, words), more)) = absent.split_first() {
            return Err(no_record(slice.key.name().as_str(), first, words, more));
        }
        let mut without = without;
        without.extend(accepted.into_iter().map(|(version, _)| version.clone()));
        let is_needed = slice.held > 0 || !known.is_empty();
        records.requires = last.filter(|_| is_needed);
        records.claim(&without, &[private, &allowed]);
        records.tell(&slice, known.len(), context);
        records.slice = Some(slice);
        Ok(records)
    }

    /// Of all patterns those that are needed for a version without a record.
    fn claim(&mut self, without: &BTreeSet<ModuleVersion>, lists: &[&str]) {
        let all: BTreeSet<&str> = lists.iter().flat_map(|list| patterns::split(list)).collect();
        let is_needed =
            |pattern: &&str| without.iter().any(|version| patterns::matches(pattern, version.path().as_str()));
        self.without_record = all.into_iter().filter(is_needed).map(str::to_owned).collect();
    }

    fn tell(&self, slice: &Slice, known: usize, context: &Context<'_>) {
        let note = format!(
            "{}: {} records proven by the tree head of {} records, {} tiles, {} bytes, {} requests",
            slice.key.name(),
            slice.records.len() - known,
            slice.head.size(),
            slice.tiles,
            slice.bytes,
            slice.requests
        );
        context.progress.event(Event::Note(&note));
    }

    /// What the database says of a version.
    pub(crate) fn record(&self, version: &ModuleVersion) -> Option<&Record> {
        self.slice.as_ref()?.records.get(version)
    }

    /// What `REQUIRES` says.
    pub(crate) fn requires(&self) -> Requires {
        Requires { heads: self.requires.iter().cloned().collect(), ..Requires::default() }
    }

    /// The infos of versions that the base has whole.
    pub(crate) fn base_infos(&self) -> &BTreeMap<ModuleVersion, Vec<u8>> {
        &self.base_infos
    }

    /// What the records state, in the form of a go.sum, with the name of who states it.
    pub(crate) fn statement(&self) -> Option<(String, GoSum)> {
        let slice = self.slice.as_ref()?;
        let text: String = slice.records.values().map(|record| record.text()).collect();
        // Two lines of go.sum a record.
        Some((format!("the checksum database {}", slice.key.name()), GoSum::parse(&text).unwrap_or_default()))
    }

    /// A go.sum that disagrees with the log stops everything, also about files that are not carried.
    pub(crate) fn judge(&self, statements: &[(String, GoSum)]) -> Result<()> {
        for record in self.slice.iter().flat_map(|slice| slice.records.values()) {
            let version = || record.module.clone();
            for (subject, h1) in [(Subject::Zip(version()), record.zip), (Subject::GoMod(version()), record.go_mod)] {
                for (who, sums) in statements {
                    let expected = sums.expected(&subject);
                    if let Some(other) = expected.first().filter(|_| !expected.contains(&h1)) {
                        return Err(self.contradiction(&subject, h1, who, *other));
                    }
                }
            }
        }
        Ok(())
    }

    fn contradiction(&self, subject: &Subject, h1: H1, who: &str, other: H1) -> Error {
        let name = self.slice.as_ref().map_or_else(String::new, |slice| slice.key.name().to_string());
        let line = |h1| Line { subject: subject.clone(), h1 }.to_string();
        let message = format!("{}: {who} and the checksum database {name} disagree", subject.version());
        Error::new(ErrorKind::HashConflict, message)
            .because(format!("{who}: {}", line(other)))
            .because(format!("{name}: {}", line(h1)))
            .hint("go would refuse it as well (SECURITY ERROR); find out who changed the version or the go.sum")
    }

    /// What bundle.json says of the databases.
    pub(crate) fn databases(&self) -> Vec<Database> {
        let database = |slice: &Slice| Database {
            key: slice.key.to_string(),
            head: slice.head.note().to_owned(),
            served: slice.served.iter().map(|head| head.note().to_owned()).collect(),
        };
        self.slice.iter().map(database).collect()
    }

    /// The head of the bundle.
    pub(crate) fn head(&self) -> Option<&Head> {
        self.slice.as_ref().map(|slice| &slice.head)
    }
}

/// All heads that the bundle is asked to continue from.
fn heads(options: &Options, base: &Base, key: &VerifierKey) -> Result<Vec<Head>> {
    let mut heads = base.heads.clone();
    if let Some(file) = &options.heads {
        heads.extend(heads_file::read(file, key, true)?);
    }
    for file in options.client_latest.iter().chain(&options.bridge) {
        let read = heads_file::read(file, key, false)?;
        if read.is_empty() {
            let message = format!("{}: has no tree head of {}", file.display(), key.name());
            return Err(Error::new(ErrorKind::Usage, message)
                .hint("a client keeps its head in GOPATH/pkg/sumdb/NAME/latest, of the database that it uses"));
        }
        heads.extend(read);
    }
    Ok(heads)
}

impl Base {
    fn read(path: &Path, key: &VerifierKey) -> Result<Self> {
        let carrier: Box<dyn Carrier> = carrier::open(path, &std::env::temp_dir(), || {
            Err(Error::new(ErrorKind::Usage, "--base: is read from a directory or a NAME.tar, not from a stream"))
        })?;
        let opened = head::Head::read(&*carrier)?;
        let mut base = Self { id: Some(opened.id.hex()), ..Self::default() };
        for database in opened.header.databases.iter().filter(|database| database.key == key.to_string()) {
            for note in database.served.iter().chain([&database.head]) {
                base.heads.push(Head::open(note.as_bytes(), key).map_err(|error| {
                    Error::new(ErrorKind::BundleInvalid, format!("{}: a tree head in bundle.json", carrier.name()))
                        .because(error.to_string())
                })?);
            }
        }
        let mut whole = BTreeSet::new();
        opened.entries(&*carrier, |entry| match entry.path {
            BundlePath::Lookup(name, version) if name == *key.name() => drop(base.records.insert(version)),
            BundlePath::Tile(name, tile) if name == *key.name() => drop(base.tiles.insert(tile)),
            BundlePath::Zip(version) => drop(whole.insert(version)),
            _ => {}
        })?;
        for delivered in carrier.content()? {
            let Ok(BundlePath::Info(version)) = delivered.path.parse() else { continue };
            let What::File(_, bytes) = delivered.what else { continue };
            if whole.contains(&version) {
                let failed =
                    |error: &io::Error| Error::io(path, &format!("its {} could not be read", delivered.path), error);
                let read = bytes.open().and_then(|source| source.read_all(Info::MAX_BYTES));
                base.infos.insert(version, read.map_err(|error| failed(&error))?);
            }
        }
        base.download = path.is_dir().then(|| path.join("download"));
        Ok(base)
    }
}

/// The error for public modules that the database does not know.
fn no_record(name: &str, first: &ModuleVersion, words: &str, more: &[(&ModuleVersion, &String)]) -> Error {
    let message = format!("{first}: the checksum database {name} has no record of it");
    let error = Error::new(ErrorKind::NoRecord, message).because(words.lines().next().unwrap_or_default());
    let error = error.because_each(more.iter().map(|(version, _)| format!("nor of {version}")));
    error.hint(
        "a private module belongs into GONOSUMDB or GOPRIVATE (go env -w GONOSUMDB=PATTERN); --no-record PATTERN takes \
         modules without one",
    )
}

/// Says that a pattern given by the user cannot be one.
pub(crate) fn check_patterns(list: &[String]) -> Result<()> {
    list.iter().try_for_each(|pattern| {
        patterns::check(pattern).map_err(|invalid: Invalid| {
            Error::new(ErrorKind::Usage, format!("--no-record: {invalid}"))
                .hint("such as git.example.com/* or example.com/team; it takes everything below as well")
        })
    })
}
