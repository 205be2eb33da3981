//! The checksum databases of a mirror: their heads, and every file of them by the newest head.
//!
//! `latest` is read first, then the ledger of heads, then the files: an import writes them the other way round, so what
//! one of them does not know yet is of a bundle under way. Files are proven some thousand at a time.

use super::Check;
use super::evidence::Evidence;
use super::proof::{Claim, Proof};
use crate::beneath::Kind;
use crate::context::Event;
use crate::error::Result;
use crate::import::heads;
use crate::work_queue::WorkQueue;
use modferry_format::check::{self, SUPPORTED};
use modferry_format::database::DatabaseName;
use modferry_format::finding::FindingKind;
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::sumdb::mirror::{self, HeadLine, Signatures};
use modferry_format::sumdb::note;
use modferry_format::sumdb::record::{self, Lookup};
use modferry_format::{BundlePath, H1, ModuleVersion};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::thread;

/// Files that are proven together: enough that the tiles they share are read for many of them.
const TOGETHER: usize = 2048;

/// The databases of which the mirror has heads.
pub(super) struct Databases {
    logs: BTreeMap<DatabaseName, Log>,
}

/// One of them.
pub(super) struct Log {
    name: DatabaseName,
    /// None if nobody says which it is.
    key: Option<VerifierKey>,
    /// Ascending by size; none if their ledger is damaged.
    heads: Vec<HeadLine>,
}

impl Databases {
    /// Reads the heads.
    pub(super) fn open(check: &Check<'_>, evidence: &Evidence) -> Result<Self> {
        let mut logs = BTreeMap::new();
        check.walk("ledger/sumdb", |directory, entries| {
            for (name, kind) in entries.iter().filter(|(_, kind)| *kind != Kind::Directory) {
                let subject = format!("{directory}/{name}");
                let below = subject.strip_prefix("ledger/sumdb/").and_then(|below| below.strip_suffix(heads::FILE));
                let name = below.and_then(|name| name.strip_suffix('/')?.parse::<DatabaseName>().ok());
                match (name, kind) {
                    (Some(name), Kind::File(_)) => drop(logs.insert(name.clone(), Log::open(check, evidence, name))),
                    (_, kind) => check.stranger(&subject, *kind),
                }
            }
            Ok(())
        })?;
        Ok(Self { logs })
    }

    /// Holds the h1 of a version's files to its record; whether there is one. What is wrong with the record itself is
    /// told when it is proven.
    pub(super) fn compare(
        &self,
        check: &Check<'_>,
        version: &ModuleVersion,
        files: impl Iterator<Item = (BundlePath, Option<H1>)> + Clone,
    ) -> bool {
        let mut has_record = false;
        for name in self.logs.keys() {
            let path = BundlePath::Lookup(name.clone(), version.clone()).to_string();
            let bytes = match check.files.read(Path::new(&path), record::MAX_BYTES as u64) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                bytes => bytes.ok(),
            };
            has_record = true;
            let Some(lookup) = bytes.and_then(|bytes| Lookup::parse(&bytes, version).ok()) else { continue };
            for (path, h1) in files.clone() {
                let is_zip = matches!(path, BundlePath::Zip(_));
                let stated = if is_zip { lookup.record.zip } else { lookup.record.go_mod };
                if let Some(h1) = h1.filter(|h1| *h1 != stated) {
                    check.findings.add(check::contradiction(&path, h1, stated).into());
                }
            }
        }
        has_record
    }

    /// Checks every file of the databases; gives how many records were proven.
    pub(super) fn prove(&self, check: &Check<'_>, evidence: &Evidence) -> Result<u64> {
        let proofs: BTreeMap<&DatabaseName, Proof<'_>> =
            self.logs.values().filter_map(|log| Some((&log.name, Proof::new(check, &log.name, &log.heads)?))).collect();
        for proof in proofs.values() {
            proof.prove_heads();
        }
        let jobs = check.context.jobs.max(1);
        let queue = WorkQueue::with_room(2 * jobs);
        thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while let Some((log, files)) = queue.take() {
                        // Whoever adds files must not wait for room that never comes.
                        if !check.context.interrupt.is_set() {
                            let files: Vec<BundlePath> = files;
                            Log::files(log, check, evidence, &files, proofs.get(&log.name));
                        }
                    }
                });
            }
            let walked = self.hand_out(check, evidence, &queue);
            queue.close();
            walked
        })?;
        check.context.interrupt.check()?;
        Ok(proofs.values().map(Proof::records).sum())
    }

    /// Goes through the files and hands them out, some thousand of one database at a time.
    fn hand_out<'a>(
        &'a self,
        check: &Check<'_>,
        evidence: &Evidence,
        queue: &WorkQueue<(&'a Log, Vec<BundlePath>)>,
    ) -> Result<()> {
        let mut waiting: BTreeMap<&DatabaseName, Vec<BundlePath>> = BTreeMap::new();
        let (mut done, mut unknown) = (0, BTreeSet::new());
        let walked = check.walk("download/sumdb", |directory, entries| {
            for (name, kind) in entries.iter().filter(|(_, kind)| *kind != Kind::Directory) {
                let subject = format!("{directory}/{name}");
                done += 1;
                check.context.progress.event(Event::Progress { done, total: 0, bytes: 0, current: &subject });
                let path = subject.parse::<BundlePath>();
                let (
                    Ok(
                        BundlePath::Supported(database)
                        | BundlePath::Head(database)
                        | BundlePath::Lookup(database, _)
                        | BundlePath::Tile(database, _),
                    ),
                    Kind::File(_),
                ) = (&path, kind)
                else {
                    check.stranger(&subject, *kind);
                    continue;
                };
                let Some(log) = self.logs.get(database) else {
                    if !unknown.contains(database) && evidence.under_way(&subject, &check.files).is_empty() {
                        let detail = format!("missing, though download/sumdb/{database} has files");
                        check.findings.find(
                            &format!("ledger/sumdb/{database}/{}", heads::FILE),
                            FindingKind::TreeHead,
                            detail,
                        );
                        unknown.insert(database.clone());
                    }
                    continue;
                };
                // The head was judged with the heads.
                if let Ok(path @ (BundlePath::Supported(_) | BundlePath::Lookup(..) | BundlePath::Tile(..))) = path {
                    let files = waiting.entry(&log.name).or_default();
                    files.push(path);
                    if files.len() >= TOGETHER {
                        queue.add(1, (log, std::mem::take(files)));
                    }
                }
            }
            Ok(())
        });
        for (name, files) in waiting {
            queue.add(1, (&self.logs[name], files));
        }
        walked
    }
}

impl Log {
    fn open(check: &Check<'_>, evidence: &Evidence, name: DatabaseName) -> Self {
        let latest = BundlePath::Head(name.clone()).to_string();
        let served = check.files.read(Path::new(&latest), note::MAX_BYTES as u64);
        let key = Self::key(check, evidence, &name);
        let mut log = Self { name, key, heads: Vec::new() };
        let subject = format!("ledger/sumdb/{}/{}", log.name, heads::FILE);
        let read = check.files.read(Path::new(&subject), heads::MAX_BYTES);
        let Some(key) = &log.key else { return log };
        match read.map(|bytes| mirror::parse(&bytes, key, Signatures::All)) {
            Ok(Ok(heads)) if heads.is_empty() => check.findings.find(&subject, FindingKind::TreeHead, "has no head"),
            Ok(Ok(heads)) => log.heads = heads,
            Ok(Err(invalid)) => check.findings.find(&subject, FindingKind::TreeHead, invalid.reason()),
            Err(error) => check.findings.find(&subject, FindingKind::Unreadable, error.to_string()),
        }
        let mut unknown = BTreeSet::new();
        for line in &log.heads {
            if !evidence.has(&line.bundle, &check.files) && unknown.insert(line.bundle) {
                check.evidence(
                    &subject,
                    format!("names bundle {}, of which bundles/ has no evidence", line.bundle.hex()),
                );
            }
        }
        log.check_latest(check, evidence, &latest, served);
        let supported = BundlePath::Supported(log.name.clone()).to_string();
        if check.files.kind(Path::new(&supported)).is_ok_and(|kind| kind.is_none()) {
            check.findings.find(&supported, FindingKind::Missing, "missing, so go does not ask for the rest");
        }
        log
    }

    /// The key that heads are opened with: a trusted one, else the one that bundles state.
    fn key(check: &Check<'_>, evidence: &Evidence, name: &DatabaseName) -> Option<VerifierKey> {
        let known = VerifierKey::sum_golang_org();
        if let Some(key) = check.options.database_keys.iter().chain([&known]).find(|key| key.name() == name) {
            return Some(key.clone());
        }
        let subject = format!("ledger/sumdb/{name}/{}", heads::FILE);
        let keys: Vec<String> = evidence.keys(name).into_iter().collect();
        let ([key], more) = keys.split_at(keys.len().min(1)) else {
            let detail = "no bundle states the key of this database, so nothing of it can be proven";
            check.findings.find(&subject, FindingKind::DatabaseKey, detail);
            return None;
        };
        if !more.is_empty() {
            check.findings.find(&subject, FindingKind::DatabaseKey, format!("bundles state {} keys of it", keys.len()));
        }
        check.context.progress.event(Event::Note(&format!(
            "{name}: cannot be proven without --database-key; it is judged by the key that the mirror's own evidence \
             states: {key}"
        )));
        key.parse().ok()
    }

    /// `latest` must be the newest head, or one beside which all newer ones are of bundles under way.
    fn check_latest(&self, check: &Check<'_>, evidence: &Evidence, subject: &str, served: io::Result<Vec<u8>>) {
        let Some(newest) = self.heads.last() else { return };
        let is_done = |line: &HeadLine| evidence.is_done(&line.bundle);
        let bytes = match served {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.heads.iter().any(is_done) {
                    check.findings.find(subject, FindingKind::TreeHead, "missing, though its ledger has heads");
                }
                return;
            }
            Err(error) => return check.findings.find(subject, FindingKind::Unreadable, error.to_string()),
        };
        let is_newest = |line: &HeadLine| line.head.note().as_bytes() == bytes;
        let newer: Vec<&HeadLine> = self.heads.iter().rev().take_while(|line| !is_newest(line)).collect();
        if newer.len() == self.heads.len() || newer.iter().any(|line| is_done(line)) {
            let is = match self.key.as_ref().map(|key| Head::open(&bytes, key)) {
                Some(Ok(head)) => format!("is {head}"),
                Some(Err(error)) => format!("is no head: {error}"),
                None => return,
            };
            check.findings.find(subject, FindingKind::TreeHead, format!("{is}, the newest one is {}", newest.head));
        }
    }

    /// Checks some files of the database.
    fn files(&self, check: &Check<'_>, evidence: &Evidence, files: &[BundlePath], proof: Option<&Proof<'_>>) {
        let mut claims = Vec::new();
        for path in files {
            let subject = path.to_string();
            let limit = match path {
                BundlePath::Tile(_, tile) => {
                    claims.push(Claim::File(*tile));
                    continue;
                }
                BundlePath::Lookup(..) => record::MAX_BYTES as u64,
                _ => SUPPORTED.len() as u64,
            };
            let bytes = match check.files.read(Path::new(&subject), limit) {
                Ok(bytes) => bytes,
                Err(error) => {
                    check.findings.find(&subject, FindingKind::Unreadable, error.to_string());
                    continue;
                }
            };
            match path {
                BundlePath::Lookup(_, version) => match self.lookup(version, &bytes) {
                    Ok(record) => claims.push(Claim::Record(record)),
                    // The head of a bundle under way is not in the ledger yet.
                    Err(Wrong::Head(_))
                        if check.findings.are_full() || !evidence.under_way(&subject, &check.files).is_empty() => {}
                    Err(Wrong::Head(reason) | Wrong::Text(reason)) => {
                        check.findings.find(&subject, FindingKind::Lookup, reason);
                    }
                },
                _ if bytes != SUPPORTED.as_bytes() => {
                    check.findings.find(&subject, FindingKind::TreeHead, format!("is not {SUPPORTED:?}"));
                }
                _ => {}
            }
        }
        if let Some(proof) = proof {
            let is_under_way = |path: &BundlePath| !evidence.under_way(&path.to_string(), &check.files).is_empty();
            proof.prove(claims.iter().collect(), &is_under_way);
        }
    }

    fn lookup(&self, version: &ModuleVersion, bytes: &[u8]) -> std::result::Result<record::Record, Wrong> {
        let lookup = Lookup::parse(bytes, version).map_err(|invalid| Wrong::Text(invalid.to_string()))?;
        // Without heads there is nothing to compare with, and that is told.
        let (Some(key), false) = (&self.key, self.heads.is_empty()) else { return Ok(lookup.record) };
        // The second line of a head is its size; the same head may be signed in another way.
        let size = lookup.note.lines().nth(1).and_then(|size| size.parse::<u64>().ok());
        let known = size.and_then(|size| self.heads.binary_search_by_key(&size, |line| line.head.size()).ok());
        let known = known.map(|at| &self.heads[at].head);
        if known.is_some_and(|head| head.note() == &*lookup.note) {
            return Ok(lookup.record);
        }
        match lookup.head(key) {
            Ok(head) if known == Some(&head) => Ok(lookup.record),
            Ok(head) => Err(Wrong::Head(format!("carries {head}, which is not one of the ledger's"))),
            Err(error) => Err(Wrong::Text(format!("carries no head of the database: {error}"))),
        }
    }
}

/// What is wrong with a lookup.
enum Wrong {
    /// Its head is not in the ledger.
    Head(String),
    /// Anything else.
    Text(String),
}
