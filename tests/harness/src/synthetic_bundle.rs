//! Bundles made from a few lines of text, without any go command: for tests and benchmarks of what reads bundles.

use crate::module::{self, Module};
use crate::reseal::{Reseal, reseal};
use crate::upstream::Upstream;
use crate::{Outcome, at};
use modferry_format::header::{Counts, DEFAULT_CHANNEL, DRAFT, EVERY_MODULE, FORMAT, Header};
use modferry_format::root::HeadFile;
use modferry_format::{BundleId, BundlePath, ModulePath, ModuleVersion, Version, readme, versions};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Writes a full bundle of these modules into `directory` and gives its id.
pub fn write(directory: &Path, modules: &[Module]) -> Outcome<BundleId> {
    let upstream = Upstream::at(directory.join("download"));
    let mut by_path: BTreeMap<ModulePath, Vec<Version>> = BTreeMap::new();
    for module in modules {
        upstream.publish(module)?;
        by_path.entry(module.version().path().clone()).or_default().push(module.version().version().clone());
    }
    for (path, versions) in by_path {
        let latest = versions::latest(&versions).ok_or("a module without versions")?;
        let version = ModuleVersion::new(path.clone(), latest.clone()).map_err(|error| error.to_string())?;
        let file = upstream.path(&BundlePath::Latest(path));
        fs::write(&file, module::info(&version)?).map_err(at(&file))?;
    }
    let header = Header {
        format: FORMAT,
        requires_features: Vec::new(),
        draft: DRAFT,
        channel: DEFAULT_CHANNEL.to_owned(),
        created: "2024-01-02T03:04:05Z".to_owned(),
        tool: "modferry-harness".to_owned(),
        go: "go1.26".to_owned(),
        roots: Vec::new(),
        base: Vec::new(),
        without_record: vec![EVERY_MODULE.to_owned()],
        databases: Vec::new(),
        observations: Vec::new(),
        not_carried: Vec::new(),
        counts: Counts::default(),
        bytes: 0,
    };
    for (file, text) in [
        (HeadFile::BundleJson, header.to_json()),
        (HeadFile::Requires, String::new()),
        (HeadFile::Readme, readme::TEXT.to_owned()),
    ] {
        let path = directory.join(file.name());
        fs::write(&path, text).map_err(at(&path))?;
    }
    reseal(directory, Reseal::Everything)
}
