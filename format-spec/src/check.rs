//! The rules that a bundle's content keeps as a whole (SPEC M50 to M58, M90 to M97), over facts that somebody else read.
//!
//! Files come in the order of the manifest. All files of one module stand together in that order, so a check
//! holds one module at a time; of checksum databases it holds all records, about 1 KiB each.

mod databases;

pub use databases::{Databases, Part, SUPPORTED, contradiction, finding};

use crate::bundle_path::BundlePath;
use crate::finding::{Finding, FindingKind};
use crate::header::{Counts, Header};
use crate::info::Info;
use crate::manifest::Entry;
use crate::module_path::ModulePath;
use crate::module_version::ModuleVersion;
use crate::patterns::{self, Patterns};
use crate::version::Version;
use crate::versions;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Largest `list` that is read, in bytes: room for a million versions.
pub const MAX_LIST_BYTES: u64 = 32 << 20;
/// Most patterns in `without_record` that are looked at (SPEC M56): every version without a record is held to each.
pub const MAX_PATTERNS: usize = 256;
/// Most findings that are kept; a disk that is broken all over needs no longer list.
pub const MAX_FINDINGS: usize = 10_000;

/// Checks the content of a bundle: all findings, sorted.
///
/// `files` are the entries of the manifest in its order, each with its bytes where [`wants_bytes`] asks for them
/// and they could be read.
pub fn check<'a>(header: &Header, files: impl IntoIterator<Item = (&'a Entry, Option<&'a [u8]>)>) -> Vec<Finding> {
    let mut checker = Checker::new(header);
    for (entry, bytes) in files {
        checker.file(&entry.path, entry.size, bytes);
    }
    checker.finish()
}

/// How many bytes of this file a check wants to see: files whose text follows from the others.
pub fn wants_bytes(path: &BundlePath) -> Option<u64> {
    match path {
        BundlePath::Info(_) | BundlePath::Latest(_) | BundlePath::Alias(..) => Some(Info::MAX_BYTES),
        BundlePath::List(_) => Some(MAX_LIST_BYTES),
        other => databases::wants_bytes(other),
    }
}

/// The check in steps, for readers that do not hold all files at once.
pub struct Checker<'h> {
    header: &'h Header,
    not_carried: BTreeSet<&'h str>,
    databases: Databases,
    without_record: Patterns,
    module: Option<(ModulePath, Module)>,
    counts: Counts,
    bytes: u64,
    findings: Vec<Finding>,
}

/// What was seen of one module.
#[derive(Default)]
struct Module {
    versions: BTreeMap<Version, Files>,
    list: Option<Option<Vec<u8>>>,
    latest: Option<Option<Vec<u8>>>,
}

/// Which files of a version there are.
#[derive(Default)]
struct Files {
    info: Option<SeenInfo>,
    go_mod: bool,
    zip: bool,
}

/// An info that is there.
enum SeenInfo {
    /// Its bytes were not at hand.
    Unread,
    /// Not canonical, which is a finding; what it says, up to 64 KiB, is not kept.
    Bad,
    /// A few dozen bytes.
    Canonical(Vec<u8>),
}

impl Files {
    fn whole(&self) -> bool {
        self.info.is_some() && self.go_mod && self.zip
    }
}

impl<'h> Checker<'h> {
    /// A check of the content that this header describes.
    pub fn new(header: &'h Header) -> Self {
        let not_carried = header.not_carried.iter().map(|file| file.path.as_str()).collect();
        let counts = Counts::default();
        let mut findings = Vec::new();
        let databases = Databases::new(header, |finding| add(&mut findings, finding));
        // Each version is held to them, so they are read once.
        let patterns: Vec<&str> = header.without_record.iter().take(MAX_PATTERNS).map(String::as_str).collect();
        let without_record = Patterns::new(&patterns.join(","));
        Self { header, not_carried, databases, without_record, module: None, counts, bytes: 0, findings }
    }

    /// Whether the bundle counts on what the far side has.
    pub fn has_base(&self) -> bool {
        !self.header.base.is_empty()
    }

    /// What the bundle carries of checksum databases; complete once the first file of a module has come.
    pub fn databases(&self) -> &Databases {
        &self.databases
    }

    /// Takes the next file in the order of the manifest.
    pub fn file(&mut self, path: &BundlePath, size: u64, bytes: Option<&[u8]>) {
        self.counts.files += 1;
        self.bytes = self.bytes.saturating_add(size);
        let Some(module) = path.module() else {
            if let Err((kind, detail)) = self.databases.file(path, size, bytes) {
                self.find(path, kind, detail);
            }
            return;
        };
        if self.module.as_ref().is_none_or(|(current, _)| current != module) {
            self.finish_module();
            self.module = Some((module.clone(), Module::default()));
        }
        let info = match (path, bytes) {
            (BundlePath::Info(version), Some(bytes)) => self.read_info(path, version, bytes),
            _ => SeenInfo::Unread,
        };
        let Some((_, seen)) = &mut self.module else { return };
        match path {
            BundlePath::List(_) => seen.list = Some(bytes.map(<[u8]>::to_vec)),
            BundlePath::Latest(_) => seen.latest = Some(bytes.map(<[u8]>::to_vec)),
            BundlePath::Info(version) => seen.files(version).info = Some(info),
            BundlePath::Mod(version) => seen.files(version).go_mod = true,
            BundlePath::Zip(version) => {
                seen.files(version).zip = true;
                self.counts.zips += 1;
            }
            BundlePath::Alias(..) => self.check_alias(path, bytes),
            _ => {}
        }
    }

    /// Adds what the reader found itself: a wrong hash, a bad zip.
    pub fn add(&mut self, finding: Finding) {
        add(&mut self.findings, finding);
    }

    /// Ends the check: all findings, sorted.
    pub fn finish(self) -> Vec<Finding> {
        self.end().0
    }

    /// Ends the check: all findings, sorted, and what is carried of checksum databases, which is not proven yet.
    pub fn end(mut self) -> (Vec<Finding>, Databases) {
        self.finish_module();
        // SPEC M13
        if self.counts.files == 0 {
            self.add(Finding::new("SHA256SUMS", FindingKind::ManifestLine, "lists no file"));
        }
        // SPEC M55
        if self.counts != self.header.counts || self.bytes != self.header.bytes {
            let detail = format!(
                "says {:?} and {} bytes, the content has {:?} and {} bytes",
                self.header.counts, self.header.bytes, self.counts, self.bytes
            );
            self.add(Finding::new("bundle.json", FindingKind::Counts, detail));
        }
        self.databases.finish(|finding| add(&mut self.findings, finding));
        // SPEC M56
        if self.header.without_record.len() > MAX_PATTERNS {
            let detail = format!("without_record has more than {MAX_PATTERNS} patterns");
            self.add(Finding::new("bundle.json", FindingKind::Record, detail));
        }
        for pattern in self.header.without_record.iter().take(MAX_PATTERNS) {
            if let Err(invalid) = patterns::check(pattern) {
                self.add(Finding::new("bundle.json", FindingKind::Record, invalid.to_string()));
            }
        }
        // SPEC M58
        self.findings.sort();
        (self.findings, self.databases)
    }

    fn find(&mut self, path: &BundlePath, kind: FindingKind, detail: String) {
        self.add(Finding::new(path.to_string(), kind, detail));
    }

    /// SPEC M57: what a branch or tag meant is known to its maker alone; only the spelling can be checked.
    fn check_alias(&mut self, path: &BundlePath, bytes: Option<&[u8]>) {
        if let Some(Err(invalid)) = bytes.map(Info::from_canonical) {
            self.find(path, FindingKind::Info, invalid.to_string());
        }
    }

    fn read_info(&mut self, path: &BundlePath, version: &ModuleVersion, bytes: &[u8]) -> SeenInfo {
        match Info::from_canonical(bytes) {
            Err(invalid) => {
                self.find(path, FindingKind::Info, invalid.to_string());
                return SeenInfo::Bad;
            }
            Ok(read) if read.version() != version.version() => {
                self.find(path, FindingKind::Info, format!("speaks of {}", read.version()));
            }
            Ok(_) => {}
        }
        SeenInfo::Canonical(bytes.to_vec())
    }

    fn finish_module(&mut self) {
        let Some((path, module)) = self.module.take() else { return };
        self.counts.modules += u64::from(!module.versions.is_empty());
        self.counts.versions += module.versions.len() as u64;
        for (version, files) in &module.versions {
            // The path was parsed with this version, so the two fit.
            if let Ok(version) = ModuleVersion::new(path.clone(), version.clone()) {
                self.check_version(&version, files);
            }
        }
        let whole: Vec<&Version> =
            module.versions.iter().filter(|(_, files)| files.whole()).map(|(version, _)| version).collect();
        self.check_list(&path, &module, &whole);
        self.check_latest(&path, &module, &whole);
    }

    fn check_version(&mut self, version: &ModuleVersion, files: &Files) {
        // SPEC M50: the go.mod is what all other files of a version need.
        if !files.go_mod {
            self.find(
                &BundlePath::Mod(version.clone()),
                FindingKind::IncompleteVersion,
                "missing, though other files of the version are carried".into(),
            );
        }
        let info = BundlePath::Info(version.clone());
        match &files.info {
            // SPEC M51
            None if !self.not_carried.contains(info.to_string().as_str()) => {
                self.find(&info, FindingKind::IncompleteVersion, "missing, and not_carried does not say why".into());
            }
            _ => {}
        }
        // SPEC M56; with a base the lookup may be on the far side.
        if (files.go_mod || files.zip) && self.header.base.is_empty() && !self.has_record(version) {
            let path = if files.go_mod { BundlePath::Mod(version.clone()) } else { BundlePath::Zip(version.clone()) };
            let detail = "has no record of a checksum database, and without_record does not say so";
            self.find(&path, FindingKind::Record, detail.into());
        }
        // SPEC M52
        if files.zip && files.info.is_none() {
            self.find(
                &BundlePath::Zip(version.clone()),
                FindingKind::IncompleteVersion,
                "carried without the info of its version".into(),
            );
        }
    }

    fn has_record(&self, version: &ModuleVersion) -> bool {
        let path = version.path().to_string();
        self.databases.has_record(version) || self.without_record.match_path(&path)
    }

    fn check_list(&mut self, path: &ModulePath, module: &Module, whole: &[&Version]) {
        let list = BundlePath::List(path.clone());
        let has_zip = module.versions.values().any(|files| files.zip);
        match (&module.list, has_zip) {
            (None, false) | (Some(None), true) => {}
            (None, true) => {
                self.find(&list, FindingKind::List, "missing, though a zip of the module is carried".into())
            }
            // With a base the zips may all be on the far side.
            (Some(_), false) if !self.header.base.is_empty() => {}
            (Some(_), false) => {
                self.find(&list, FindingKind::List, "there, though no zip of the module is carried".into())
            }
            (Some(Some(bytes)), true) => {
                // SPEC M53; with a base the list names the base's versions too.
                let expected = versions::list(whole.iter().copied());
                if self.header.base.is_empty() && bytes != expected.as_bytes() {
                    self.find(
                        &list,
                        FindingKind::List,
                        format!("reads {}, should read {}", start_of(bytes), start_of(expected.as_bytes())),
                    );
                }
            }
        }
    }

    fn check_latest(&mut self, path: &ModulePath, module: &Module, whole: &[&Version]) {
        let latest = BundlePath::Latest(path.clone());
        let expected = versions::latest(whole.iter().copied());
        match (&module.latest, expected) {
            (None, None) | (Some(None), _) => {}
            (None, Some(_)) => {
                self.find(&latest, FindingKind::Latest, "missing, though a version is carried whole".into())
            }
            (Some(_), None) if !self.header.base.is_empty() => {}
            (Some(_), None) => {
                self.find(&latest, FindingKind::Latest, "there, though no version is carried whole".into())
            }
            (Some(Some(bytes)), Some(version)) => {
                // SPEC M54
                let info = module.versions.get(version).and_then(|files| files.info.as_ref());
                // What is wrong with both needs no second finding.
                let differs = match info {
                    Some(SeenInfo::Canonical(info)) => info != bytes,
                    Some(SeenInfo::Bad) => Info::from_canonical(bytes).is_ok(),
                    _ => false,
                };
                if self.header.base.is_empty() && differs {
                    self.find(&latest, FindingKind::Latest, format!("is not the info of {version}"));
                }
            }
        }
    }
}

fn add(findings: &mut Vec<Finding>, finding: Finding) {
    if findings.len() < MAX_FINDINGS {
        findings.push(finding);
    } else if findings.len() == MAX_FINDINGS {
        let detail = format!("more than {MAX_FINDINGS} findings, the rest is left out");
        findings.push(Finding::new("", FindingKind::TooMany, detail));
    }
}

/// The start of a text, for a message: lists can be long.
fn start_of(text: &[u8]) -> String {
    const SHOWN: usize = 200;
    let start = format!("{:?}", String::from_utf8_lossy(&text[..text.len().min(SHOWN)]));
    if text.len() > SHOWN { format!("{start}... ({} bytes)", text.len()) } else { start }
}

impl Module {
    fn files(&mut self, version: &ModuleVersion) -> &mut Files {
        self.versions.entry(version.version().clone()).or_default()
    }
}
