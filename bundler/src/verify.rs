//! `modferry verify`: everything that is wrong with a bundle, in one run.
//!
//! 1. head files: there, whole, of the right grammar
//! 2. manifest and content side by side, both in the same order: what is missing, extra, of another size or kind
//! 3. every file is hashed; every zip is walked and inflated, several at a time, the bytes read once. An h1 is made where
//!    a record of a checksum database states one
//! 4. the rules on the content as a whole, module by module
//! 5. the proof that records, tiles and heads are of the databases' logs
//!
//! Memory does not grow with zips, and a record of a checksum database takes about 1 KiB: the manifest is read a line at a
//! time, the content in pieces. A stream is gone through once, with as many of its zips in temporary files as there are
//! threads, twice over.

use crate::carrier::{Carrier, Delivered, Opener, What, fault_of_carrier};
use crate::context::{Context, Event};
use crate::error::{Error, Result};
use crate::findings::Findings;
use crate::head::header_error;
use crate::lines;
use crate::manifest_reader::{ManifestReader, Next};
use crate::source::Source;
use crate::tile_spool::TileSpool;
use crate::work_queue::WorkQueue;
use modferry_format::check::{self, Checker};
use modferry_format::database::DatabaseName;
use modferry_format::finding::{Finding, FindingKind};
use modferry_format::header::{Header, HeaderError};
use modferry_format::manifest::Entry;
use modferry_format::root::{BUNDLE, HeadFile, MAX_BUNDLE_BYTES, Root};
use modferry_format::sumdb::refused::Unproven;
use modferry_format::{BundleId, BundlePath, FileSha256, H1, go_mod, readme};
use modferry_prove::Prover;
use modferry_prove::tape;
use serde::Serialize;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::io;
use std::thread;
use std::time::Instant;

/// Files up to this size that are no zips are hashed where they are found; larger ones by a worker.
const SMALL_BYTES: u64 = 64 * 1024;

/// What a check of a bundle found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// The id in its short form, where there is a `BUNDLE`.
    pub id: Option<String>,
    /// All 64 digits of it.
    pub sha256: Option<String>,
    /// Files in the manifest.
    pub files: u64,
    /// Sum of their sizes, in bytes.
    pub bytes: u64,
    /// Records, tree heads and tiles that count on what the base has, so that only an import can prove them.
    pub left_to_import: u64,
    /// Wall time, in seconds.
    pub seconds: f64,
    /// What is wrong, sorted.
    pub findings: Vec<Finding>,
}

/// Checks a bundle. An error means that it could not be checked; what is wrong with it is in the report.
pub fn verify(carrier: &dyn Carrier, context: &Context<'_>) -> Result<Report> {
    let started = Instant::now();
    let findings = Findings::default();
    let mut report = Report::default();
    let root = read_root(carrier, &findings, &mut report);
    let header = read_header(carrier, root.as_ref(), &findings)?;
    check_requires(carrier, root.as_ref(), &findings);
    check_readme(carrier, root.as_ref(), &findings);
    let open = |file: HeadFile| open_head(carrier, file.name(), file.max_bytes(), &findings);
    if let (Some(sums), Some(sizes)) = (open(HeadFile::Sha256Sums), open(HeadFile::Sizes)) {
        let mut checker = header.as_ref().map(Checker::new);
        let work = Content { carrier, root: root.as_ref(), findings: &findings, context };
        let mut tiles = Tiles::default();
        work.check(ManifestReader::new(sums, sizes), &mut checker, &mut tiles, &mut report)?;
        if let Some(checker) = &mut checker {
            report.left_to_import = prove(checker, tiles)?;
        }
        for finding in checker.map(Checker::finish).into_iter().flatten() {
            findings.add(finding);
        }
    } else {
        // Without the manifest nothing of the content can be judged, but whether the carrier brings it in order can.
        carrier.content()?.for_each(drop);
    }
    carrier.findings().into_iter().for_each(|finding| findings.add(finding));
    report.findings = findings.finish();
    report.ok = report.findings.is_empty();
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// Tiles that wait for the proof.
#[derive(Default)]
struct Tiles {
    spool: TileSpool,
    /// Databases of which a tile could not be read or has the wrong hash: to prove the rest would only repeat it.
    damaged: BTreeSet<DatabaseName>,
}

/// Proves what is carried of checksum databases; gives how much of it only an import can prove.
fn prove(checker: &mut Checker<'_>, tiles: Tiles) -> Result<u64> {
    let Tiles { mut spool, damaged } = tiles;
    let (mut left, mut findings) = (0, Vec::new());
    let has_base = checker.has_base();
    for part in checker.databases().parts() {
        let name = part.key().name();
        if damaged.contains(name) {
            continue;
        }
        let get = |tile| spool.get(name, tile);
        let proven = if has_base { part.prove_alone(get) } else { part.prove(get).map(|_| 0) };
        match proven {
            Ok(more) => left += more,
            Err(Unproven::Refused(refused)) => findings.push(check::finding(name, &refused)),
            Err(Unproven::Unread { error, .. }) => {
                return Err(Error::io(&std::env::temp_dir(), "a temporary file could not be read", &error));
            }
        }
    }
    findings.into_iter().for_each(|finding| checker.add(finding));
    Ok(left)
}

fn open_head(carrier: &dyn Carrier, name: &str, limit: u64, findings: &Findings) -> Option<Source> {
    match carrier.head(name) {
        Ok(Some(source)) if source.size() <= limit => return Some(source),
        Ok(Some(source)) => {
            findings.find(
                name,
                FindingKind::HeadInvalid,
                format!("has {} bytes, at most {limit} are allowed", source.size()),
            );
        }
        Ok(None) => findings.find(name, FindingKind::HeadMissing, "missing"),
        Err(error) => findings.find(name, FindingKind::Unreadable, error.to_string()),
    }
    None
}

fn read_head(carrier: &dyn Carrier, name: &str, limit: u64, findings: &Findings) -> Option<Vec<u8>> {
    match open_head(carrier, name, limit, findings)?.read_all(limit) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            findings.find(name, FindingKind::Unreadable, error.to_string());
            None
        }
    }
}

fn read_root(carrier: &dyn Carrier, findings: &Findings, report: &mut Report) -> Option<Root> {
    let bytes = read_head(carrier, BUNDLE, MAX_BUNDLE_BYTES, findings)?;
    let id = BundleId::of(&bytes);
    (report.id, report.sha256) = (Some(id.to_string()), Some(id.hex()));
    match String::from_utf8_lossy(&bytes).parse() {
        Ok(root) => Some(root),
        Err(invalid) => {
            findings.find(BUNDLE, FindingKind::HeadInvalid, invalid.to_string());
            None
        }
    }
}

fn check_hash(name: &str, file: HeadFile, hash: FileSha256, root: Option<&Root>, findings: &Findings) {
    if let Some(root) = root
        && root.sum(file) != hash
    {
        findings.find(name, FindingKind::HeadHash, format!("has sha256 {hash}, BUNDLE states {}", root.sum(file)));
    }
}

/// Reads `bundle.json`. A format that we do not know ends everything: nothing else can be understood then.
fn read_header(carrier: &dyn Carrier, root: Option<&Root>, findings: &Findings) -> Result<Option<Header>> {
    let file = HeadFile::BundleJson;
    let Some(bytes) = read_head(carrier, file.name(), file.max_bytes(), findings) else { return Ok(None) };
    check_hash(file.name(), file, FileSha256::of(&bytes), root, findings);
    match Header::parse(&bytes) {
        Ok(header) => Ok(Some(header)),
        Err(error @ HeaderError::Unsupported(_)) => Err(header_error(carrier, &error)),
        Err(error) => {
            findings.find(file.name(), FindingKind::HeadInvalid, error.to_string());
            Ok(None)
        }
    }
}

fn check_readme(carrier: &dyn Carrier, root: Option<&Root>, findings: &Findings) {
    let file = HeadFile::Readme;
    let Some(bytes) = read_head(carrier, file.name(), file.max_bytes(), findings) else { return };
    check_hash(file.name(), file, FileSha256::of(&bytes), root, findings);
    if bytes != readme::TEXT.as_bytes() {
        findings.find(file.name(), FindingKind::HeadInvalid, "is not the text of this format");
    }
}

/// A line at a time: it may be as long as the manifest.
fn check_requires(carrier: &dyn Carrier, root: Option<&Root>, findings: &Findings) {
    let file = HeadFile::Requires;
    let Some(source) = open_head(carrier, file.name(), file.max_bytes(), findings) else { return };
    match lines::read_requires(source, |_| Ok(())) {
        Ok((hash, read)) => {
            check_hash(file.name(), file, hash, root, findings);
            if let Err(reason) = read {
                findings.find(file.name(), FindingKind::HeadInvalid, reason);
            }
        }
        Err(error) => findings.find(file.name(), FindingKind::Unreadable, error.to_string()),
    }
}

/// A file for a worker: what it must be, and its bytes.
struct Job {
    entry: Entry,
    open: Opener,
    /// The h1 that a record states for it.
    stated: Option<H1>,
}

struct Content<'a> {
    carrier: &'a dyn Carrier,
    root: Option<&'a Root>,
    findings: &'a Findings,
    context: &'a Context<'a>,
}

impl Content<'_> {
    fn check(
        &self,
        mut manifest: ManifestReader,
        checker: &mut Option<Checker<'_>>,
        tiles: &mut Tiles,
        report: &mut Report,
    ) -> Result<()> {
        let jobs = self.context.jobs.max(1);
        let queue = if self.carrier.passes_once() { WorkQueue::with_room(jobs) } else { WorkQueue::default() };
        thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| self.work(&queue));
            }
            let walked = self.walk(&mut manifest, checker, tiles, report, &queue);
            queue.close();
            walked
        })?;
        self.context.interrupt.check()?;
        match manifest.finish() {
            Ok((sums, sizes)) => {
                check_hash(HeadFile::Sha256Sums.name(), HeadFile::Sha256Sums, sums, self.root, self.findings);
                check_hash(HeadFile::Sizes.name(), HeadFile::Sizes, sizes, self.root, self.findings);
            }
            Err(error) => self.findings.find(HeadFile::Sha256Sums.name(), FindingKind::Unreadable, error.to_string()),
        }
        Ok(())
    }

    /// Goes through manifest and content side by side.
    fn walk(
        &self,
        manifest: &mut ManifestReader,
        checker: &mut Option<Checker<'_>>,
        tiles: &mut Tiles,
        report: &mut Report,
        queue: &WorkQueue<Job>,
    ) -> Result<()> {
        let mut content = self.carrier.content()?.filter(|delivered| !self.is_stray(delivered)).peekable();
        loop {
            self.context.interrupt.check()?;
            let entry = match manifest.advance() {
                Ok(Next::Entry(entry)) => entry,
                Ok(Next::Bad(file, reason)) => {
                    self.findings.find(file.name(), FindingKind::ManifestLine, reason);
                    continue;
                }
                Ok(Next::End) => break,
                Err(error) => {
                    self.findings.find(HeadFile::Sha256Sums.name(), FindingKind::Unreadable, error.to_string());
                    break;
                }
            };
            report.files += 1;
            report.bytes = report.bytes.saturating_add(entry.size);
            let path = entry.path.to_string();
            while let Some(extra) =
                content.next_if(|delivered| BundlePath::order(&delivered.path, &path) == Ordering::Less)
            {
                self.extra(&extra);
            }
            let delivered = content.next_if(|delivered| delivered.path == path);
            // Of what a broken carrier does not bring nobody can say that it is missing.
            let stated = checker.as_ref().and_then(|checker| checker.databases().h1(&entry.path));
            let bytes = if delivered.is_none() && self.carrier.is_broken() {
                None
            } else {
                self.file(&entry, &path, delivered, stated, queue)?
            };
            if let BundlePath::Tile(name, tile) = &entry.path {
                match &bytes {
                    Some(bytes) => tiles.spool.add(name, *tile, bytes).map_err(|error| {
                        Error::io(&std::env::temp_dir(), "a temporary file could not be written", &error)
                    })?,
                    None => drop(tiles.damaged.insert(name.clone())),
                }
            }
            if let Some(checker) = checker {
                checker.file(&entry.path, entry.size, bytes.as_deref());
            }
            let (done, bytes) = (report.files, report.bytes);
            self.context.progress.event(Event::Progress { done, total: 0, bytes, current: &path });
        }
        content.for_each(|delivered| self.extra(&delivered));
        Ok(())
    }

    /// Whether it cannot stand in any manifest, so that its order means nothing; reported at once.
    fn is_stray(&self, delivered: &Delivered) -> bool {
        if delivered.path == self.carrier.name() && self.carrier.is_broken() {
            // Among the findings of the carrier.
            return true;
        }
        let stray = delivered.path.parse::<BundlePath>().is_err();
        if stray {
            self.extra(delivered);
        }
        stray
    }

    fn extra(&self, delivered: &Delivered) {
        match &delivered.what {
            What::Unreadable(error) => self.findings.find(&delivered.path, FindingKind::Unreadable, error.to_string()),
            What::Other(kind) => self.findings.find(
                &delivered.path,
                FindingKind::NotAFile,
                format!("is {kind}; a bundle has only files"),
            ),
            What::File(..) => self.findings.find(&delivered.path, FindingKind::Extra, "is not in SHA256SUMS"),
        }
    }

    /// Checks one file of the manifest, or hands it to a worker; gives the bytes that the rules look at.
    fn file(
        &self,
        entry: &Entry,
        path: &str,
        delivered: Option<Delivered>,
        stated: Option<H1>,
        queue: &WorkQueue<Job>,
    ) -> Result<Option<Vec<u8>>> {
        let (size, open) = match delivered.map(|delivered| delivered.what) {
            Some(What::File(size, open)) => (size, open),
            Some(What::Other(kind)) => {
                self.findings.find(path, FindingKind::NotAFile, format!("is {kind}; a bundle has only files"));
                return Ok(None);
            }
            Some(What::Unreadable(error)) => {
                self.findings.find(path, FindingKind::Unreadable, error.to_string());
                return Ok(None);
            }
            None => {
                self.findings.find(path, FindingKind::Missing, "missing");
                return Ok(None);
            }
        };
        if size != entry.size {
            self.findings.find(path, FindingKind::Size, format!("has {size} bytes, SIZES states {}", entry.size));
            return Ok(None);
        }
        let wanted = check::wants_bytes(&entry.path);
        if wanted.is_some() || (size <= SMALL_BYTES && !matches!(entry.path, BundlePath::Zip(_))) {
            let Some((bytes, is_good)) = self.small(entry, path, open, wanted.unwrap_or(SMALL_BYTES))? else {
                return Ok(None);
            };
            self.compare_go_mod(entry, &bytes, stated);
            let is_tile = matches!(entry.path, BundlePath::Tile(..));
            return Ok((wanted.is_some() || (is_tile && is_good)).then_some(bytes));
        }
        if let Some(open) = self.in_time(path, open)? {
            queue.add(size, Job { entry: entry.clone(), open, stated });
        }
        Ok(None)
    }

    /// Opens now what could not be opened later.
    fn in_time(&self, path: &str, open: Opener) -> Result<Option<Opener>> {
        if !self.carrier.passes_once() {
            return Ok(Some(open));
        }
        match open.open() {
            Ok(source) => Ok(Some(Box::new(move || Ok(source)))),
            Err(error) => self.unreadable(path, error).map(|()| None),
        }
    }

    /// Reads a small file; also whether its hash is right.
    fn small(&self, entry: &Entry, path: &str, open: Opener, limit: u64) -> Result<Option<(Vec<u8>, bool)>> {
        match open.open().and_then(|source| source.read_all(limit)) {
            Ok(bytes) => {
                let is_good = self.compare(path, entry, FileSha256::of(&bytes));
                Ok(Some((bytes, is_good)))
            }
            Err(error) => self.unreadable(path, error).map(|()| None),
        }
    }

    fn unreadable(&self, path: &str, error: io::Error) -> Result<()> {
        let error = fault_of_carrier(error)?;
        self.findings.find(path, FindingKind::Unreadable, error.to_string());
        Ok(())
    }

    fn compare(&self, path: &str, entry: &Entry, hash: FileSha256) -> bool {
        if hash != entry.sha256 {
            self.findings.find(
                path,
                FindingKind::Hash,
                format!("has sha256 {hash}, SHA256SUMS states {}", entry.sha256),
            );
        }
        hash == entry.sha256
    }

    fn compare_go_mod(&self, entry: &Entry, bytes: &[u8], stated: Option<H1>) {
        if let (BundlePath::Mod(_), Some(stated)) = (&entry.path, stated) {
            self.compare_h1(entry, H1::of_go_mod(bytes), stated);
        }
    }

    fn compare_h1(&self, entry: &Entry, h1: H1, stated: H1) {
        if h1 != stated {
            self.findings.add(check::contradiction(&entry.path, h1, stated));
        }
    }

    fn work(&self, queue: &WorkQueue<Job>) {
        let mut prover = Prover::among(self.context.jobs);
        while let Some(Job { entry, open, stated }) = queue.take() {
            if self.context.interrupt.is_set() {
                continue;
            }
            let path = entry.path.to_string();
            if let Err(error) = open.open().and_then(|source| self.large(&entry, &path, &source, stated, &mut prover)) {
                self.findings.find(&path, FindingKind::Unreadable, error.to_string());
            }
        }
    }

    fn large(
        &self,
        entry: &Entry,
        path: &str,
        source: &Source,
        stated: Option<H1>,
        prover: &mut Prover,
    ) -> io::Result<()> {
        let size = source.size();
        let version = match (&entry.path, stated) {
            (BundlePath::Zip(version), _) => version,
            (BundlePath::Mod(_), Some(_)) => {
                let bytes = source.read_all(go_mod::MAX_BYTES)?;
                if self.compare(path, entry, FileSha256::of(&bytes)) {
                    self.compare_go_mod(entry, &bytes, stated);
                }
                return Ok(());
            }
            _ => {
                self.compare(path, entry, tape::hash(source, size)?);
                return Ok(());
            }
        };
        let (sha256, good) = match stated {
            Some(_) => {
                let proof = prover.prove(version, source, size, None)?;
                (proof.sha256, proof.h1.map(Some))
            }
            None => {
                let (sha256, good) = prover.check(version, source, size)?;
                (sha256, good.map(|()| None))
            }
        };
        // A zip that has changed is reported as such, not by what the change did to it.
        if self.compare(path, entry, sha256) {
            match (good, stated) {
                (Err(reason), _) => self.findings.find(path, FindingKind::Zip, reason),
                (Ok(Some(h1)), Some(stated)) => self.compare_h1(entry, h1, stated),
                (Ok(_), _) => {}
            }
        }
        Ok(())
    }
}
