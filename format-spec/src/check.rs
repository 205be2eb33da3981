//! The rules that a bundle's content keeps as a whole (SPEC M50 to M58), over facts that somebody else read.
//!
//! Files come in the order of the manifest. All files of one module stand together in that order, so a check
//! holds one module at a time and its memory does not grow with the bundle.

use crate::bundle_path::BundlePath;
use crate::finding::{Finding, FindingKind};
use crate::header::{Counts, EVERY_MODULE, Header};
use crate::info::Info;
use crate::manifest::Entry;
use crate::module_path::ModulePath;
use crate::module_version::ModuleVersion;
use crate::version::Version;
use crate::versions;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Largest `list` that is read, in bytes: room for a million versions.
pub const MAX_LIST_BYTES: u64 = 32 << 20;
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
        _ => None,
    }
}

/// The check in steps, for readers that do not hold all files at once.
pub struct Checker<'h> {
    header: &'h Header,
    not_carried: BTreeSet<&'h str>,
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
        Self { header, not_carried, module: None, counts, bytes: 0, findings: Vec::new() }
    }

    /// Takes the next file in the order of the manifest.
    pub fn file(&mut self, path: &BundlePath, size: u64, bytes: Option<&[u8]>) {
        self.counts.files += 1;
        self.bytes = self.bytes.saturating_add(size);
        let Some(module) = path.module() else {
            if !matches!(path, BundlePath::Extra(_)) {
                // SPEC M56: draft 1 carries no part of a checksum database.
                self.find(path, FindingKind::Record, "draft 1 carries no part of a checksum database".into());
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
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else if self.findings.len() == MAX_FINDINGS {
            self.findings.push(Finding::new(
                "",
                FindingKind::TooMany,
                format!("more than {MAX_FINDINGS} findings, the rest is left out"),
            ));
        }
    }

    /// Ends the check: all findings, sorted.
    pub fn finish(mut self) -> Vec<Finding> {
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
        // SPEC M56
        if self.header.without_record != [EVERY_MODULE] {
            self.add(Finding::new("bundle.json", FindingKind::Record, "without_record must be [\"*\"] in draft 1"));
        }
        // SPEC M58
        self.findings.sort();
        self.findings
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
        // SPEC M52
        if files.zip && files.info.is_none() {
            self.find(
                &BundlePath::Zip(version.clone()),
                FindingKind::IncompleteVersion,
                "carried without the info of its version".into(),
            );
        }
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
