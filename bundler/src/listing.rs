//! Which versions `list` and `@latest` of a module in a mirror speak of: those of which the ledger names all three files,
//! and of which all three are there. Import makes the two by it, verify holds them to it.

use modferry_format::ledger::Ledger;
use modferry_format::{ModulePath, ModuleVersion, Version};
use std::collections::BTreeSet;

/// Endings of the files that make a version whole.
const SUFFIXES: [&str; 3] = [".info", ".mod", ".zip"];

/// The versions of which a ledger names all three files.
pub(crate) fn recorded(module: &ModulePath, ledger: &Ledger) -> BTreeSet<Version> {
    let zips = ledger.lines().filter_map(|line| version_of(module, &line.name, ".zip"));
    let is_named = |name: &str| ledger.get(&format!("@v/{name}")).is_some();
    zips.map(|version| version.version().clone()).filter(|version| is_whole(version, is_named)).collect()
}

/// Whether all three files of a version are there; `has` knows the names in the module's `@v`.
pub(crate) fn is_whole(version: &Version, has: impl Fn(&str) -> bool) -> bool {
    SUFFIXES.iter().all(|suffix| has(&format!("{}{suffix}", version.escaped())))
}

/// The version in a ledger name such as `@v/v1.0.0.zip`.
pub(crate) fn version_of(module: &ModulePath, name: &str, suffix: &str) -> Option<ModuleVersion> {
    let escaped = name.strip_prefix("@v/")?.strip_suffix(suffix)?;
    ModuleVersion::new(module.clone(), Version::from_escaped(escaped).ok()?).ok()
}
