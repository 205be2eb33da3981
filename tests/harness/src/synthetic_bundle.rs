//! Bundles made from a few lines of text, without any go command: for tests and benchmarks of what reads bundles.

use crate::database::Log;
use crate::module::{self, Module};
use crate::reseal::{Reseal, reseal};
use crate::upstream::Upstream;
use crate::{Outcome, at};
use modferry_format::header::{Counts, DEFAULT_CHANNEL, DRAFT, Database, EVERY_MODULE, FORMAT, Header};
use modferry_format::root::HeadFile;
use modferry_format::sumdb::tree;
use modferry_format::{BundleId, BundlePath, ModulePath, ModuleVersion, Version, readme, versions};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Writes a full bundle of these modules into `directory` and gives its id.
pub fn write(directory: &Path, modules: &[Module]) -> Outcome<BundleId> {
    write_content(directory, modules)?;
    write_head(directory, vec![EVERY_MODULE.to_owned()], Vec::new())
}

/// The same with the part of a checksum database that proves the modules by its first `size` records, and serves the
/// heads of the sizes in `served`.
pub fn write_with_log(directory: &Path, modules: &[Module], log: &Log, size: u64, served: &[u64]) -> Outcome<BundleId> {
    write_content(directory, modules)?;
    let database = directory.join("download/sumdb").join(log.name());
    let write = |name: &str, bytes: &[u8]| {
        let path = database.join(name);
        let folder = path.parent().unwrap_or(&database);
        fs::create_dir_all(folder).map_err(at(folder))?;
        fs::write(&path, bytes).map_err(at(&path))
    };
    let mut ids = Vec::new();
    for version in modules.iter().map(Module::version) {
        let id = log.id(version).ok_or_else(|| format!("{version}: not in the log"))?;
        let name = format!("lookup/{}@{}", version.path().escaped(), version.version().escaped());
        write(&name, log.lookup(id, size).as_bytes())?;
        ids.push(id);
    }
    for tile in tree::slice(size, ids, served.iter().copied()) {
        let bytes = log.tile(tile).ok_or_else(|| format!("{tile}: beyond the log"))?;
        write(&tile.to_string(), &bytes)?;
    }
    write("supported", b"ok\n")?;
    write("latest", log.note(size).as_bytes())?;
    let served = served.iter().map(|&size| log.note(size)).collect();
    let database = Database { key: log.key(), head: log.note(size), served };
    write_head(directory, Vec::new(), vec![database])
}

fn write_content(directory: &Path, modules: &[Module]) -> Outcome<()> {
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
    Ok(())
}

fn write_head(directory: &Path, without_record: Vec<String>, databases: Vec<Database>) -> Outcome<BundleId> {
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
        without_record,
        databases,
        observations: Vec::new(),
        not_carried: Vec::new(),
        counts: Counts::default(),
        bytes: 0,
        levels: Vec::new(),
        closure: Vec::new(),
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
