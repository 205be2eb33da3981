//! What `list` and `@latest` of a module must say, by its ledger, its files and the evidence.

use super::evidence::Evidence;
use super::modules::Names;
use crate::beneath::Beneath;
use crate::listing;
use modferry_format::info::Info;
use modferry_format::ledger::Ledger;
use modferry_format::{BundlePath, ModulePath, ModuleVersion, Version, versions};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// The versions that a list must name, and those that it may: these are the same unless an import is under way or a
/// file of a version is missing, which is told for the file.
pub(super) struct Listing {
    pub(super) least: BTreeSet<Version>,
    most: BTreeSet<Version>,
}

impl Listing {
    pub(super) fn new(module: &ModulePath, ledger: &Ledger, names: &Names, evidence: &Evidence) -> Self {
        let most = listing::recorded(module, ledger);
        let is_there = |version: &Version| listing::is_whole(version, |name| names.contains_key(name));
        let least = if ledger.lines().all(|line| evidence.is_done(&line.bundle)) {
            most.clone()
        } else {
            let mut done = Ledger::default();
            for line in ledger.lines().filter(|line| evidence.is_done(&line.bundle)) {
                done.add(line.clone());
            }
            listing::recorded(module, &done)
        };
        Self { least: least.into_iter().filter(is_there).collect(), most }
    }

    /// What is wrong with a list, if anything is.
    pub(super) fn wrong_list(&self, bytes: &[u8]) -> Option<String> {
        if self.most.is_empty() {
            return Some("there, though no version is whole".to_owned());
        }
        let text = String::from_utf8_lossy(bytes);
        let mut listed = BTreeSet::<Version>::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            match line.parse() {
                Ok(version) => drop(listed.insert(version)),
                Err(_) => return Some("has a line that is no version".to_owned()),
            }
        }
        if let Some(version) = self.least.iter().find(|version| !version.is_pseudo() && !listed.contains(*version)) {
            return Some(format!("does not name {version}, which is whole"));
        }
        if let Some(version) = listed.iter().find(|version| version.is_pseudo() || !self.most.contains(*version)) {
            let why = if version.is_pseudo() { "a pseudo-version" } else { "which is not whole" };
            return Some(format!("names {version}, {why}"));
        }
        (versions::list(&listed) != text).then(|| "is not in the spelling of a list".to_owned())
    }

    /// What is wrong with the text of `@latest`, if anything is.
    pub(super) fn wrong_latest(&self, module: &ModulePath, files: &Beneath, bytes: &[u8]) -> Option<String> {
        let info = match Info::from_canonical(bytes) {
            Ok(info) => info,
            Err(invalid) => return Some(invalid.to_string()),
        };
        let version = info.version();
        let newest = versions::latest(self.least.iter().chain([version]));
        if !self.most.contains(version) || newest != Some(version) {
            let right = versions::latest(&self.least);
            return Some(match right {
                Some(right) => format!("is of {version}, should be of {right}"),
                None => format!("is of {version}, which is not whole"),
            });
        }
        let path = BundlePath::Info(ModuleVersion::new(module.clone(), version.clone()).ok()?).to_string();
        match files.read(Path::new(&path), Info::MAX_BYTES) {
            Ok(there) if there == bytes => None,
            Ok(_) => Some(format!("is not the info of {version}")),
            // Told with its line.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(format!("the info of {version} could not be read: {error}")),
        }
    }
}
