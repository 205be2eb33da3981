//! Steps that need knowledge of zips and bundles: hostile zips, resealing.

use modferry_format::ModuleVersion;
use modferry_harness::database::forge;
use modferry_harness::module::{Module, synthetic_go_mod};
use modferry_harness::reseal::{Reseal, reseal};
use modferry_harness::upstream::Upstream;
use modferry_harness::{Outcome, at};
use modferry_harness::{hostile, hostile_tar};
use std::fs;
use std::path::Path;
use walkdir::WalkDir;

/// Puts the zip of this kind in the place of the version's own; a version that is not there is published.
pub(crate) fn hostile_zip(kind: &str, version: &str, directory: &Path) -> Outcome<()> {
    let upstream = Upstream::at(directory);
    let kind = hostile::kind(kind).ok_or_else(|| {
        let names: Vec<&str> = hostile::KINDS.iter().map(|kind| kind.name).collect();
        format!("{kind}: no kind of zip; there are {}", names.join(", "))
    })?;
    let version: ModuleVersion = version.parse().map_err(|error| format!("{error}"))?;
    match upstream.go_mod(&version) {
        Some(go_mod) => upstream.replace_zip(&version, &kind.zip(&version, &go_mod)),
        None => {
            let go_mod = synthetic_go_mod(&version);
            upstream.publish_as(&version, &go_mod, &kind.zip(&version, &go_mod))
        }
    }
}

/// Writes the good tar of a bundle, spoiled in every way of a family, as `KIND.tar` into a directory.
pub(crate) fn hostile_tars(family: &str, good: &Path, directory: &Path) -> Outcome<()> {
    let kinds = hostile_tar::family(family).ok_or_else(|| {
        let names: Vec<&str> = hostile_tar::FAMILIES.iter().map(|(name, _)| *name).collect();
        format!("{family}: no family of tars; there are {}", names.join(", "))
    })?;
    let bytes = fs::read(good).map_err(at(good))?;
    fs::create_dir_all(directory).map_err(at(directory))?;
    for kind in kinds {
        let tar = kind.tar(&bytes).ok_or_else(|| format!("{}: no tar of a bundle", good.display()))?;
        let file = directory.join(format!("{}.tar", kind.name));
        fs::write(&file, tar).map_err(at(&file))?;
    }
    Ok(())
}

/// Publishes the files of a directory as this version, in the place of what was published before.
pub(crate) fn publish(version: &str, files: &Path, directory: &Path) -> Outcome<()> {
    let mut module = Module::new(version)?;
    for entry in WalkDir::new(files) {
        let entry = entry.map_err(|error| error.to_string())?;
        let path = entry.path();
        let name = path.strip_prefix(files).map_err(at(path))?.display().to_string();
        if entry.file_type().is_file() {
            module = module.file(&name, fs::read(path).map_err(at(path))?);
        }
    }
    Upstream::at(directory).publish(&module)
}

/// Seals a tampered bundle again.
pub(crate) fn reseal_bundle(option: Option<&str>, directory: &Path) -> Outcome<()> {
    let how = match option {
        None => Reseal::Everything,
        Some("--keep-bundle-json") => Reseal::KeepBundleJson,
        Some("--bundle-only") => Reseal::BundleOnly,
        Some(other) => return Err(format!("{other}: not --keep-bundle-json or --bundle-only")),
    };
    reseal(directory, how).map(|_| ())
}

/// Makes the record of a version in a bundle that of the go.mod that lies there, with a leaf that fits it.
pub(crate) fn forge_record(bundle: &Path, version: &str) -> Outcome<()> {
    let version: ModuleVersion = version.parse().map_err(|error| format!("{error}"))?;
    forge::record(bundle, &version)
}
