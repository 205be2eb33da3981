//! Reads the module cache of a go command: which files of which module versions are there.
//!
//! `cache/download` has the layout of a bundle's `download/`, but its `list` files, locks and half-made files are of
//! no use to others (go-facts: a list names versions without a zip and leaves out upper-case ones).

use crate::error::{Error, ErrorKind, Result};
use modferry_format::{BundlePath, ModuleVersion};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// The files of one version that are there.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// The `.info`, as go wrote it.
    pub info: Option<PathBuf>,
    /// The `.mod`.
    pub go_mod: Option<PathBuf>,
    /// The `.zip`.
    pub zip: Option<PathBuf>,
}

/// All versions in a module cache.
pub type Versions = BTreeMap<ModuleVersion, Files>;

/// Where a module cache keeps what it downloaded.
pub fn download_dir(module_cache: &Path) -> PathBuf {
    module_cache.join("cache").join("download")
}

/// What a file below a download directory is, by its name.
pub fn bundle_path(download: &Path, file: &Path) -> Option<BundlePath> {
    let relative = file.strip_prefix(download).ok()?.to_str()?;
    format!("download/{}", relative.replace('\\', "/")).parse().ok()
}

/// Lists every version of which a `.info`, `.mod` or `.zip` is there.
pub fn versions(module_cache: &Path) -> Result<Versions> {
    let download = download_dir(module_cache);
    let mut versions = Versions::new();
    if !download.exists() {
        return Ok(versions);
    }
    let walk =
        WalkDir::new(&download).into_iter().filter_entry(|entry| entry.depth() != 1 || entry.file_name() != "sumdb");
    for entry in walk {
        let entry = entry.map_err(|error| Error::io(&download, "could not be read", &error.into()))?;
        if !entry.file_type().is_file() {
            continue;
        }
        let path = entry.into_path();
        match bundle_path(&download, &path) {
            Some(BundlePath::Info(version)) => versions.entry(version).or_default().info = Some(path),
            Some(BundlePath::Mod(version)) => versions.entry(version).or_default().go_mod = Some(path),
            Some(BundlePath::Zip(version)) => versions.entry(version).or_default().zip = Some(path),
            Some(_) => {}
            None if path.extension().is_some_and(|extension| extension == "mod" || extension == "zip") => {
                let name = path.strip_prefix(&download).unwrap_or(&path).display().to_string();
                return Err(Error::new(
                    ErrorKind::BundleInvalid,
                    format!("{name}: no bundle can carry a file of this name"),
                )
                .hint("SPEC.md M1 and M2 say which names a bundle can carry"));
            }
            None => {}
        }
    }
    Ok(versions)
}

/// Where the zip of a version is, if it is there.
pub fn zip_file(module_cache: &Path, version: &ModuleVersion) -> PathBuf {
    let name = format!("{}.zip", version.version().escaped());
    download_dir(module_cache).join(version.path().escaped()).join("@v").join(name)
}

/// The directory into which go extracts a version.
pub fn extracted_dir(module_cache: &Path, version: &ModuleVersion) -> PathBuf {
    module_cache.join(format!("{}@{}", version.path().escaped(), version.version().escaped()))
}
