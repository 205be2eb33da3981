//! The evidence of a mirror: which bundles it says it took, and whether that can be believed.
//!
//! The list is taken before anything else is looked at. An import writes its evidence before the first file that it
//! publishes, and `done` after the last, so whatever shows up later belongs to a bundle that is not done on this list,
//! or not on it at all: it is under way, and its manifest names what it may publish. Of each bundle an id and a hash
//! are kept.

use super::Check;
use super::finding::{Kind as FindingOf, MirrorFinding};
use super::manifest_search::Manifest;
use crate::beneath::{Beneath, Kind};
use crate::error::{Error, Result};
use crate::jobs;
use crate::mirror::{DONE, JournalLine, MAX_LINE_BYTES, evidence};
use modferry_format::database::DatabaseName;
use modferry_format::finding::FindingKind;
use modferry_format::header::Header;
use modferry_format::root::{BUNDLE, HeadFile, MAX_BUNDLE_BYTES, Root, is_signature_name};
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::{BundleId, BundlePath, FileSha256, patterns};
use modferry_prove::tape;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Directory of the extra files in a bundle and in its evidence.
const EXTRA: &str = "extra";

/// What a mirror says it took, as it was when the check began.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    bundles: BTreeMap<BundleId, State>,
    /// Patterns of modules that were taken without a record, of all bundles.
    no_record: BTreeSet<String>,
    /// Keys that bundles state of their databases.
    keys: Mutex<BTreeMap<DatabaseName, BTreeSet<String>>>,
}

/// How far the import of a bundle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Committed; the hash of its line.
    Done(FileSha256),
    /// Under way, or killed.
    UnderWay,
}

/// What the manifest of a bundle that is under way states of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stated {
    pub(super) sha256: FileSha256,
    pub(super) size: u64,
}

impl Evidence {
    /// Takes the list. What is wrong with a name in `bundles/` or with a `done` file is a finding.
    pub(super) fn take(check: &Check<'_>) -> Result<Self> {
        let mut taken = Self::default();
        let path = Path::new("bundles");
        let names = check.files.entries(path);
        let names = names.map_err(|error| Error::io(&check.files.full(path), "could not be read", &error))?;
        for (name, kind) in names {
            let name = name.to_string_lossy();
            let id = BundleId::from_hex(&name).ok().filter(|_| kind == Kind::Directory);
            let Some(id) = id else {
                check.stranger(&format!("bundles/{name}"), kind);
                continue;
            };
            let state = match taken.read_done(check, &id) {
                Some((line, text)) => {
                    taken.no_record.extend(line.no_record);
                    State::Done(FileSha256::of(text.as_bytes()))
                }
                None => State::UnderWay,
            };
            taken.bundles.insert(id, state);
        }
        Ok(taken)
    }

    fn read_done(&self, check: &Check<'_>, id: &BundleId) -> Option<(JournalLine, String)> {
        let subject = format!("bundles/{}/{DONE}", id.hex());
        let path = Path::new(&subject);
        let bytes = match check.files.kind(path) {
            Ok(None) => return None,
            Ok(Some(Kind::File(_))) => check.files.read(path, MAX_LINE_BYTES),
            Ok(Some(kind)) => {
                check.not_a_file(&subject, kind);
                return None;
            }
            Err(error) => Err(error),
        };
        match bytes {
            Ok(bytes) => {
                let line = JournalLine::of_done(&id.hex(), bytes);
                if line.is_none() {
                    check.evidence(&subject, "is not the line of this bundle, so its bundle counts as not imported");
                }
                line
            }
            Err(error) => {
                check.findings.find(&subject, FindingKind::Unreadable, error.to_string());
                None
            }
        }
    }

    /// All bundles on the list.
    pub(super) fn bundles(&self) -> impl Iterator<Item = (&BundleId, State)> {
        self.bundles.iter().map(|(id, state)| (id, *state))
    }

    /// Whether a bundle was committed when the check began.
    pub(super) fn is_done(&self, id: &BundleId) -> bool {
        matches!(self.bundles.get(id), Some(State::Done(_)))
    }

    /// Whether there is evidence of a bundle, by now.
    pub(super) fn has(&self, id: &BundleId, files: &Beneath) -> bool {
        self.bundles.contains_key(id) || files.kind(&evidence(id)).is_ok_and(|kind| kind == Some(Kind::Directory))
    }

    /// Whether an import has allowed a module to come without a record.
    pub(super) fn allows(&self, module: &str) -> bool {
        self.no_record.iter().any(|pattern| patterns::matches(pattern, module))
    }

    /// The keys that bundles state of a database.
    pub(super) fn keys(&self, name: &DatabaseName) -> BTreeSet<String> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or_default()
    }

    /// What bundles under way state of a path; nothing if none of them brings it.
    pub(super) fn under_way(&self, path: &str, files: &Beneath) -> Vec<Stated> {
        let stated = |id: &BundleId| {
            let open = |file: HeadFile| files.open(&evidence(id).join(file.name())).map(Manifest::new);
            let sha256 = open(HeadFile::Sha256Sums).ok()?.field(path).ok()??.parse().ok()?;
            let size = open(HeadFile::Sizes).ok()?.field(path).ok()??.parse().ok()?;
            Some(Stated { sha256, size })
        };
        let listed = self.bundles().filter(|(_, state)| *state == State::UnderWay);
        let found: Vec<Stated> = listed.filter_map(|(id, _)| stated(id)).collect();
        if !found.is_empty() {
            return found;
        }
        // An import may have begun since.
        let now = files.entries(Path::new("bundles")).unwrap_or_default();
        let ids = now.iter().filter_map(|(name, _)| BundleId::from_hex(name.to_str()?).ok());
        ids.filter(|id| !self.bundles.contains_key(id)).filter_map(|id| stated(&id)).collect()
    }

    /// Holds all evidence to itself.
    pub(super) fn check(&self, check: &Check<'_>) -> Result<()> {
        let produce = |hand: &mut dyn FnMut(BundleId) -> Result<()>| self.bundles.keys().copied().try_for_each(hand);
        jobs::feed(check.context.jobs, produce, |id| {
            check.context.interrupt.check()?;
            self.check_bundle(check, &id);
            Ok(())
        })
    }

    /// The head files of one bundle: the one whose id the directory has.
    fn check_bundle(&self, check: &Check<'_>, id: &BundleId) {
        let is_done = self.is_done(id);
        let directory = format!("bundles/{}", id.hex());
        let entries = check.entries(&directory);
        let size = |name: &str| match entries.iter().find(|(there, _)| there == name) {
            Some((_, Kind::File(size))) => Some(*size),
            // Of a bundle under way not all may be there yet; what is no file is reported below.
            None if is_done => {
                let subject = format!("{directory}/{name}");
                check.findings.find(&subject, FindingKind::HeadMissing, "missing from the evidence of its bundle");
                None
            }
            _ => None,
        };
        for (name, kind) in &entries {
            let is_head = name == BUNDLE || name == DONE || HeadFile::ALL.iter().any(|file| file.name() == name);
            let subject = format!("{directory}/{name}");
            match kind {
                Kind::Directory if name == EXTRA => {}
                kind if !is_head && !is_signature_name(name) => check.stranger(&subject, *kind),
                Kind::File(_) => {}
                // Told when the list was taken.
                _ if name == DONE => {}
                kind => check.not_a_file(&subject, *kind),
            }
        }
        let root = size(BUNDLE).and_then(|_| check.read_root(&format!("{directory}/{BUNDLE}"), id));
        for file in HeadFile::ALL {
            let subject = format!("{directory}/{}", file.name());
            let Some(size) = size(file.name()) else { continue };
            if size > file.max_bytes() {
                let detail = format!("has {size} bytes, at most {} are allowed", file.max_bytes());
                check.findings.find(&subject, FindingKind::HeadInvalid, detail);
                continue;
            }
            let is_good = root.as_ref().is_some_and(|root| check.has_hash(&subject, root.sum(file), "BUNDLE"));
            if is_good && file == HeadFile::BundleJson {
                self.read_keys(check, &subject);
            }
        }
        if let Err(error) = check.extras(&directory, is_done) {
            check.findings.find(&format!("{directory}/{EXTRA}"), FindingKind::Unreadable, error.to_string());
        }
    }

    /// What a bundle states of its databases; one of another format was good when it was taken.
    fn read_keys(&self, check: &Check<'_>, subject: &str) {
        let Ok(bytes) = check.files.read(Path::new(subject), HeadFile::BundleJson.max_bytes()) else { return };
        let Ok(header) = Header::parse(&bytes) else { return };
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        for key in header.databases.iter().filter_map(|database| database.key.parse::<VerifierKey>().ok()) {
            keys.entry(key.name().clone()).or_default().insert(key.to_string());
        }
    }
}

impl Check<'_> {
    /// Reports that evidence is not what it should be.
    pub(super) fn evidence(&self, subject: &str, detail: impl Into<String>) {
        self.findings.add(MirrorFinding::new(subject, FindingOf::Evidence, detail));
    }

    fn read_root(&self, subject: &str, id: &BundleId) -> Option<Root> {
        let bytes = match self.files.read(Path::new(subject), MAX_BUNDLE_BYTES) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.findings.find(subject, FindingKind::Unreadable, error.to_string());
                return None;
            }
        };
        if BundleId::of(&bytes) != *id {
            let detail = format!("has sha256 {}, its directory is that of another bundle", BundleId::of(&bytes).hex());
            self.findings.find(subject, FindingKind::HeadHash, detail);
            return None;
        }
        let root = String::from_utf8_lossy(&bytes).parse();
        root.map_err(|invalid: modferry_format::Invalid| {
            self.findings.find(subject, FindingKind::HeadInvalid, invalid.to_string());
        })
        .ok()
    }

    /// Whether a file of the evidence has the hash that `by` states.
    fn has_hash(&self, subject: &str, stated: FileSha256, by: &str) -> bool {
        let source = self.files.open(Path::new(subject));
        match source.and_then(|source| tape::hash(&source, source.size())) {
            Ok(hash) if hash == stated => true,
            Ok(hash) => {
                let detail = format!("has sha256 {hash}, {by} states {stated}");
                self.findings.find(subject, FindingKind::HeadHash, detail);
                false
            }
            Err(error) => {
                self.findings.find(subject, FindingKind::Unreadable, error.to_string());
                false
            }
        }
    }

    /// The extra files of a bundle: those of its manifest, and no other.
    fn extras(&self, directory: &str, is_done: bool) -> io::Result<()> {
        let manifest = |file: HeadFile| match self.files.open(Path::new(&format!("{directory}/{}", file.name()))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            source => source.map(|source| Some(Manifest::new(source))),
        };
        let (Some(sums), Some(sizes)) = (manifest(HeadFile::Sha256Sums)?, manifest(HeadFile::Sizes)?) else {
            return Ok(());
        };
        for line in sums.from("extra/")? {
            let line = line?;
            let subject = format!("{directory}/{}", line.path);
            let (Ok(BundlePath::Extra(_)), Ok(stated)) = (line.path.parse(), line.field.parse::<FileSha256>()) else {
                continue;
            };
            let size = sizes.field(&line.path)?.and_then(|size| size.parse::<u64>().ok());
            match self.files.kind(Path::new(&subject))? {
                None if is_done => self.findings.find(&subject, FindingKind::Missing, "missing from the evidence"),
                None => {}
                Some(Kind::File(is)) if size.is_some_and(|size| size != is) => {
                    let detail = format!("has {is} bytes, SIZES states {}", size.unwrap_or_default());
                    self.findings.find(&subject, FindingKind::Size, detail);
                }
                Some(Kind::File(_)) if self.reads_data() => {
                    self.has_hash(&subject, stated, HeadFile::Sha256Sums.name());
                }
                Some(Kind::File(_)) => {}
                Some(kind) => self.not_a_file(&subject, kind),
            }
        }
        let top = format!("{directory}/{EXTRA}");
        // Only an interruption ends a walk early, and whoever called sees it too.
        let _ = self.walk(&top, |below, entries| {
            for (name, kind) in entries.iter().filter(|(_, kind)| *kind != Kind::Directory) {
                let subject = format!("{below}/{name}");
                let path = &subject[directory.len() + 1..];
                match kind {
                    Kind::File(_) if sums.field(path).is_ok_and(|field| field.is_none()) => {
                        self.findings.find(&subject, FindingKind::Extra, "is not in the SHA256SUMS of its bundle");
                    }
                    Kind::File(_) => {}
                    // In the manifest it was told above.
                    kind if sums.field(path).is_ok_and(|field| field.is_none()) => self.not_a_file(&subject, *kind),
                    _ => {}
                }
            }
            Ok(())
        });
        Ok(())
    }
}
