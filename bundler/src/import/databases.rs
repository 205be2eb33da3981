//! The checksum databases of a bundle against what the mirror has of them.
//!
//! - **keys**: only that of sum.golang.org and those that the user names are trusted, whatever the bundle says
//! - **records**: what comes without one needs a pattern that the user has allowed
//! - **proof**: everything that the bundle brings is of the log of its head. That costs what the bundle costs
//! - **one log**: the older of the two heads, the mirror's newest and the bundle's, is the beginning of the newer. The
//!   tiles for it lie in the bundle or the mirror; where they do not, a bridge must be fetched, where they contradict each
//!   other, the database has shown two logs
//!
//! What is closed at one head, joined with a slice that was made for another one, is closed at the newer of the two
//! (`format-spec/tests/sumdb/histories.rs`), so an older bundle may come later.

use super::head::LineNumber;
use super::heads;
use super::log::{Log, Tiles};
use super::plan::{Ledgers, Plan};
use super::stage::Facts;
use super::verdict::{Keeps, Verdict, damaged, without_base};
use super::{Head as BundleHead, NO_RECORD_HINT, Options, refuse};
use crate::beneath::Kind;
use crate::carrier::Carrier;
use crate::error::{Error, ErrorKind, Result};
use crate::mirror::{Mirror, hold_to_limit};
use modferry_format::check::{self, Part};
use modferry_format::database::DatabaseName;
use modferry_format::header::Header;
use modferry_format::ledger::Ledger;
use modferry_format::patterns::{self, Patterns};
use modferry_format::requires;
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::sumdb::mirror::{self, HeadLine};
use modferry_format::sumdb::record::{self, Lookup, Record};
use modferry_format::sumdb::refused::{Refused, Unproven};
use modferry_format::{BundleId, BundlePath, H1, ModuleVersion};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// The databases of one bundle.
pub(crate) struct Databases<'a> {
    mirror: &'a Mirror<'a>,
    logs: Vec<Log>,
    has_base: bool,
    dry_run: bool,
    /// All databases that the mirror has, those of the bundle or not.
    in_mirror: Vec<DatabaseName>,
    /// Records that the mirror has of versions for which the bundle has none.
    covered: BTreeMap<ModuleVersion, Record>,
    /// Of the patterns that were allowed those that were needed.
    no_record: BTreeSet<String>,
}

/// A derived file: where it lies, and what it should be.
pub(crate) struct Derived {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    /// Whether it is a ledger; those come before what is served.
    pub(crate) is_ledger: bool,
}

/// Heads of databases that are proven to be of the mirror's log, and that it lacks.
#[derive(Default)]
pub(crate) struct Proven(Vec<(VerifierKey, Vec<Head>)>);

/// The keys of a bundle's databases, all of them trusted.
pub(crate) fn trusted_keys(name: &str, header: &Header, options: &Options<'_>) -> Result<Vec<VerifierKey>> {
    let known = VerifierKey::sum_golang_org();
    let key = |text: &String| {
        let key: VerifierKey = text
            .parse()
            .map_err(|invalid| Error::new(ErrorKind::BundleInvalid, format!("{name}: bundle.json: {invalid}")))?;
        if key == known || options.database_keys.contains(&key) {
            return Ok(key);
        }
        let message = format!("{name}: its checksum database {} has a key that nobody said to trust", key.name());
        Err(Error::new(ErrorKind::Untrusted, message)
            .because(key.to_string())
            .hint("compare the key with the one that the owner of the database names, then: --database-key KEY"))
    };
    let keys: Vec<VerifierKey> = header.databases.iter().map(|database| key(&database.key)).collect::<Result<_>>()?;
    // Before anything is read for each of them.
    if !keys.is_sorted_by(|a, b| a.name() < b.name()) {
        let message = format!("{name}: bundle.json: databases must ascend by name, each once");
        return Err(Error::new(ErrorKind::BundleInvalid, message));
    }
    Ok(keys)
}

impl<'a> Databases<'a> {
    /// What the mirror has of the bundle's databases.
    pub(crate) fn open(name: &str, header: &Header, options: &Options<'_>, mirror: &'a Mirror<'a>) -> Result<Self> {
        let log = |key| Log::open(key, mirror);
        let logs = trusted_keys(name, header, options)?.into_iter().map(log).collect::<Result<_>>()?;
        let (has_base, covered, no_record) = (!header.base.is_empty(), BTreeMap::new(), BTreeSet::new());
        let in_mirror = names_in(mirror)?;
        Ok(Self { mirror, logs, has_base, dry_run: options.dry_run, in_mirror, covered, no_record })
    }

    /// Whether the mirror has this very head.
    pub(crate) fn has_head(&self, wanted: &requires::Head) -> bool {
        let is_it = |head: &Head| (head.size(), head.root().as_bytes()) == (wanted.size, &wanted.root);
        self.logs.iter().any(|log| *log.key.name() == wanted.name && log.known().any(is_it))
    }

    /// Whether the mirror has every head that the bundle states, so that nothing is left to prove of a bundle whose files
    /// are all there.
    pub(crate) fn are_known(&self, header: &Header) -> bool {
        self.logs.iter().zip(&header.databases).all(|(log, stated)| {
            stated.served.iter().chain([&stated.head]).all(|note| {
                Head::open(note.as_bytes(), &log.key).is_ok_and(|head| log.known().any(|known| *known == head))
            })
        })
    }

    /// Of the patterns that were allowed those that were needed.
    pub(crate) fn no_record(&self) -> Vec<String> {
        self.no_record.iter().cloned().collect()
    }

    /// Whether the tiles that join the bundle's head to the mirror's newest are perhaps nowhere: neither side names the
    /// other's head.
    pub(crate) fn may_need_bridge(&self, header: &Header) -> bool {
        self.logs.iter().zip(&header.databases).any(|(log, stated)| {
            let Some(newest) = log.newest() else { return false };
            let open = |note: &String| Head::open(note.as_bytes(), &log.key).ok();
            let knows_ours = stated.served.iter().chain([&stated.head]).filter_map(open).any(|head| head == *newest);
            let is_known = open(&stated.head).is_some_and(|head| log.known().any(|known| *known == head));
            !knows_ours && !is_known
        })
    }

    /// The keys of the databases.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.logs.iter().map(|log| log.key.to_string()).collect()
    }

    /// Names of the databases of which the bundle has something.
    pub(crate) fn names(&self) -> impl Iterator<Item = &DatabaseName> {
        self.logs.iter().map(|log| log.key.name())
    }

    /// Judges what comes without a record.
    pub(crate) fn judge_missing(
        &mut self,
        name: &str,
        header: &Header,
        plan: &Plan,
        options: &Options<'_>,
    ) -> Result<()> {
        let allowed: BTreeSet<&str> = options.no_record.iter().flat_map(|list| patterns::split(list)).collect();
        let allowed: Vec<(&str, Patterns)> =
            allowed.into_iter().map(|pattern| (pattern, Patterns::new(pattern))).collect();
        let mut refused: Vec<&ModuleVersion> = Vec::new();
        for version in &plan.without {
            // What the log says of a version holds, whoever says that it comes without a record.
            if let Some(record) = self.record(version)? {
                self.covered.insert(version.clone(), record);
                continue;
            }
            let mut is_allowed = false;
            for (pattern, compiled) in &allowed {
                if compiled.match_path(version.path().as_str()) {
                    self.no_record.insert((*pattern).to_owned());
                    is_allowed = true;
                }
            }
            if !is_allowed {
                refused.push(version);
            }
        }
        let Some((first, more)) = refused.split_first() else { return Ok(()) };
        let is_claimed = |list: &String| patterns::matches(list, first.path().as_str());
        if self.has_base && !header.without_record.iter().any(is_claimed) {
            return Err(without_base(name, header, &format!("the record of {first}")));
        }
        let message =
            format!("{name}: {first} has no record of a checksum database, and nobody said that this is wanted");
        let error = Error::new(ErrorKind::Untrusted, message);
        let error = error.because_each(more.iter().map(|version| format!("nor has {version}")));
        Err(error.hint(NO_RECORD_HINT))
    }

    /// The record that the mirror has of a version.
    fn record(&self, version: &ModuleVersion) -> Result<Option<Record>> {
        for name in &self.in_mirror {
            let path = BundlePath::Lookup(name.clone(), version.clone());
            if let Some(bytes) = published(self.mirror, &path, record::MAX_BYTES as u64)? {
                return Ok(Some(read_lookup(self.mirror, &path, version, &bytes)?.record));
            }
        }
        Ok(None)
    }

    /// Proves what the bundle brings, and that its log is the mirror's. Gives the heads that the mirror lacks. Only with
    /// [`Keeps::Evidence`] is anything written, and only of what is refused.
    pub(crate) fn prove(
        &self,
        carrier: &dyn Carrier,
        head: &BundleHead,
        is_staged: &dyn Fn(LineNumber) -> bool,
        carried: &check::Databases,
        keeps: Keeps,
    ) -> Result<Proven> {
        let mut proven = Proven::default();
        if self.logs.is_empty() {
            return Ok(proven);
        }
        let mut lines = BTreeMap::new();
        head.entries(|number, entry| {
            if let BundlePath::Tile(name, tile) = &entry.path {
                lines.insert((name.clone(), *tile), number);
            }
            Ok(())
        })?;
        let keeps = if self.dry_run { Keeps::Nothing } else { keeps };
        let verdict = Verdict { mirror: self.mirror, id: head.id, carrier, keeps };
        let tiles = Tiles { mirror: self.mirror, id: head.id, is_staged, lines, verdict };
        for part in carried.parts() {
            let Some(log) = self.logs.iter().find(|log| log.key == *part.key()) else { continue };
            let get = |tile| tiles.get(&log.key, tile, self.has_base);
            match part.prove(get) {
                Ok(_) => {}
                Err(Unproven::Refused(ref refused @ Refused::Fork { ref older, ref newer, .. })) => {
                    return Err(tiles.verdict.fork(&log.key, older, newer, refused));
                }
                Err(Unproven::Refused(Refused::Missing { tile })) if self.has_base => {
                    return Err(without_base(carrier.name(), &head.header, &format!("{tile} of {}", log.key.name())));
                }
                Err(Unproven::Refused(refused)) => {
                    let finding = check::finding(log.key.name(), &refused);
                    return Err(refuse(carrier, &finding.subject, &finding.detail));
                }
                Err(Unproven::Unread { error, .. }) => return Err(error),
            }
            proven.0.push((log.key.clone(), log.join(part, &tiles)?));
            hold_to_records(self.mirror, carrier, part)?;
        }
        Ok(proven)
    }

    /// Takes what was proven, if the ledgers of heads have room for it.
    pub(crate) fn add(&mut self, proven: Proven, id: &BundleId) -> Result<()> {
        for (key, heads) in proven.0 {
            self.logs.iter_mut().filter(|log| log.key == key).for_each(|log| log.added.extend(heads.iter().cloned()));
        }
        self.hold_to_limit(id)
    }

    /// A ledger of heads that nobody would read again is never written.
    fn hold_to_limit(&self, id: &BundleId) -> Result<()> {
        for derived in self.derived(id).into_iter().filter(|derived| derived.is_ledger) {
            let hint = "a mirror holds some 100,000 tree heads of one database: begin a new mirror for what comes next";
            let (file, size) = (self.mirror.durable().full(&derived.path), derived.bytes.len() as u64);
            hold_to_limit(&file, size, heads::MAX_BYTES, hint)?;
        }
        Ok(())
    }

    /// Holds what came without a record to those that the mirror has.
    pub(crate) fn hold_to_covered(&self, carrier: &dyn Carrier, head: &BundleHead, facts: &Facts) -> Result<()> {
        if self.covered.is_empty() {
            return Ok(());
        }
        head.entries(|number, entry| match &entry.path {
            BundlePath::Zip(version) | BundlePath::Mod(version) => {
                let h1 = facts.of(number).h1.zip(self.covered.get(version));
                self.compare(carrier, &entry.path, h1)
            }
            _ => Ok(()),
        })
    }

    fn compare(&self, carrier: &dyn Carrier, path: &BundlePath, h1: Option<(H1, &Record)>) -> Result<()> {
        let Some((h1, record)) = h1 else { return Ok(()) };
        let stated = if matches!(path, BundlePath::Zip(_)) { record.zip } else { record.go_mod };
        if h1 == stated {
            return Ok(());
        }
        let finding = check::contradiction(path, h1, stated);
        Err(refuse(carrier, &finding.subject, &finding.detail))
    }

    /// The ledgers of heads and the heads that are served, as they should be now.
    pub(crate) fn derived(&self, id: &BundleId) -> Vec<Derived> {
        let mut derived = Vec::new();
        for log in &self.logs {
            let name = log.key.name();
            let mut lines = log.lines.clone();
            lines.extend(log.added.iter().map(|head| HeadLine { head: head.clone(), bundle: *id }));
            lines.sort_by_key(|line| line.head.size());
            let Some(newest) = lines.last() else { continue };
            let latest = BundlePath::Head(name.clone()).to_string();
            derived.push(Derived {
                path: latest.into(),
                bytes: newest.head.note().as_bytes().to_vec(),
                is_ledger: false,
            });
            if !log.added.is_empty() {
                derived.push(Derived {
                    path: heads::path(name),
                    bytes: mirror::text(&lines).into_bytes(),
                    is_ledger: true,
                });
            }
        }
        derived
    }
}

/// The databases that a mirror has, by their ledgers.
fn names_in(mirror: &Mirror<'_>) -> Result<Vec<DatabaseName>> {
    let files = mirror.durable().files();
    let failed = |path: &Path, error: &io::Error| Error::io(&mirror.durable().full(path), "could not be read", error);
    let (mut names, mut directories) = (Vec::new(), vec![PathBuf::from(heads::DIRECTORY)]);
    while let Some(directory) = directories.pop() {
        let entries = match files.entries(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(|error| failed(&directory, &error))?,
        };
        for (name, kind) in entries {
            if kind == Kind::Directory && directory.as_os_str().len() < MAX_LEDGER_PATH {
                directories.push(directory.join(name));
            } else if name == heads::FILE {
                let below = directory.strip_prefix(heads::DIRECTORY).ok().and_then(Path::to_str);
                names.extend(below.and_then(|name| name.parse::<DatabaseName>().ok()));
            }
        }
    }
    names.sort();
    Ok(names)
}

/// Longer than the longest directory of a database.
const MAX_LEDGER_PATH: usize = heads::DIRECTORY.len() + 1 + DatabaseName::MAX_BYTES;

/// What the mirror has of a version must be what its record says, whichever came first.
fn hold_to_records(mirror: &Mirror<'_>, carrier: &dyn Carrier, part: &Part) -> Result<()> {
    let mut ledgers = Ledgers::new(mirror, false);
    for record in part.records() {
        let ledger = ledgers.of(record.module.path())?;
        let (zip, go_mod) = (BundlePath::Zip(record.module.clone()), BundlePath::Mod(record.module.clone()));
        for (path, stated) in [(zip, record.zip), (go_mod, record.go_mod)] {
            let line = Ledger::name_of(&path).and_then(|name| ledger.get(&name));
            let Some((line, h1)) = line.and_then(|line| Some((line, line.h1?))).filter(|(_, h1)| *h1 != stated) else {
                continue;
            };
            let message = format!(
                "{}: {path}: the mirror has {h1} from bundle {}, the checksum database {} says {stated}",
                carrier.name(),
                line.bundle,
                part.key().name()
            );
            return Err(Error::new(ErrorKind::Incident, message).hint(
                "it came without a record, and is not what the world sees; nothing was imported, find out who made that \
                 bundle",
            ));
        }
    }
    Ok(())
}

/// The bytes of a published file; none if it is not there.
pub(crate) fn published(mirror: &Mirror<'_>, path: &BundlePath, limit: u64) -> Result<Option<Vec<u8>>> {
    let text = path.to_string();
    match mirror.durable().files().read(Path::new(&text), limit) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read
            .map(Some)
            .map_err(|error| Error::io(&mirror.durable().full(Path::new(&text)), "could not be read", &error)),
    }
}

fn read_lookup(mirror: &Mirror<'_>, path: &BundlePath, version: &ModuleVersion, bytes: &[u8]) -> Result<Lookup> {
    Lookup::parse(bytes, version).map_err(|invalid| damaged(mirror, path, &invalid.to_string()))
}

/// Whether the mirror has the same under a path of a database in other bytes: a lookup may carry another head.
pub(crate) fn is_same(at: &Mirror<'_>, header: &Header, path: &BundlePath, staged: &Path) -> Result<bool> {
    // Tiles of other bytes are others, and need not be read.
    let BundlePath::Lookup(name, version) = path else { return Ok(matches!(path, BundlePath::Supported(_))) };
    let Some(there) = published(at, path, record::MAX_BYTES as u64)? else { return Ok(true) };
    let durable = at.durable();
    let here = durable.files().read(staged, record::MAX_BYTES as u64);
    let here = here.map_err(|error| Error::io(&durable.full(staged), "could not be read", &error))?;
    // Only what a client would take is as good as what the bundle brings.
    let lookup = read_lookup(at, path, version, &there)?;
    let keys = header.databases.iter().filter_map(|database| database.key.parse::<VerifierKey>().ok());
    for key in keys.filter(|key| key.name() == name) {
        lookup.head(&key).map_err(|error| damaged(at, path, &format!("carries no head of the database: {error}")))?;
    }
    mirror::is_same(path, &there, &here).map_err(|invalid| damaged(at, path, &invalid.to_string()))
}
