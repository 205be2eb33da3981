//! Forgeries of whoever writes a bundle and has no key of the database: everything that can be made to fit is.

use crate::database::NAME;
use crate::{Outcome, at};
use modferry_format::database::{DatabaseName, Tile};
use modferry_format::sumdb::hash::TreeHash;
use modferry_format::sumdb::record::Lookup;
use modferry_format::{BundlePath, H1, ModuleVersion};
use std::fs;
use std::path::{Path, PathBuf};

/// Makes the record of a version in a bundle that of the go.mod that lies there, and the leaf of the record's tile fit it.
/// Clients with the flaw of CVE-2026-56865 do not hold that tile to its parent.
pub fn record(bundle: &Path, version: &ModuleVersion) -> Outcome<()> {
    let go_mod = bundle.join(BundlePath::Mod(version.clone()).to_string());
    let place = lookup_file(bundle, version)?;
    let mut lookup =
        Lookup::parse(&fs::read(&place).map_err(at(&place))?, version).map_err(|error| error.to_string())?;
    lookup.record.go_mod = H1::of_go_mod(&fs::read(&go_mod).map_err(at(&go_mod))?);
    replace(&place, lookup.to_string().as_bytes())?;
    let id = lookup.record.id;
    let tile = Tile::new(0, id / 256, Tile::FULL_WIDTH).ok_or("no such tile")?;
    let place = bundle.join(BundlePath::Tile(name()?, tile).to_string());
    let mut hashes = fs::read(&place).map_err(at(&place))?;
    let start = (id % 256) as usize * TreeHash::BYTES;
    hashes[start..start + TreeHash::BYTES].copy_from_slice(lookup.record.leaf().as_bytes());
    replace(&place, &hashes)
}

/// Puts the genuine lookup of another version in the place of this one's. Clients with the flaw of CVE-2026-56864 find no hash
/// in it that contradicts anything.
pub fn lookup(bundle: &Path, version: &ModuleVersion, other: &ModuleVersion) -> Outcome<()> {
    let genuine = lookup_file(bundle, other)?;
    replace(&lookup_file(bundle, version)?, &fs::read(&genuine).map_err(at(&genuine))?)
}

/// Makes the go.mod of a version in a bundle another one.
pub fn go_mod(bundle: &Path, version: &ModuleVersion) -> Outcome<()> {
    let place = bundle.join(BundlePath::Mod(version.clone()).to_string());
    let genuine = fs::read(&place).map_err(at(&place))?;
    replace(&place, &[&genuine, &b"// evil\n"[..]].concat())
}

fn name() -> Outcome<DatabaseName> {
    NAME.parse().map_err(|error| format!("{error}"))
}

fn lookup_file(bundle: &Path, version: &ModuleVersion) -> Outcome<PathBuf> {
    Ok(bundle.join(BundlePath::Lookup(name()?, version.clone()).to_string()))
}

/// A file of a bundle is read-only; its folder is not.
fn replace(place: &Path, bytes: &[u8]) -> Outcome<()> {
    fs::remove_file(place).map_err(at(place))?;
    fs::write(place, bytes).map_err(at(place))
}
