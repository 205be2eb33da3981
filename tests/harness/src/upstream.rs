//! A directory in the layout of the module download API, used as `GOPROXY=file://...`: the internet of the tests.

use crate::module::{self, Module};
use crate::{Outcome, at};
use modferry_format::{BundlePath, ModulePath, ModuleVersion, Version, versions};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Such a directory; also the `download` directory of a bundle, where a test wants to plant something.
#[derive(Debug, Clone)]
pub struct Upstream {
    directory: PathBuf,
}

impl Upstream {
    /// The one in this directory, which may be absent or empty.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The value of GOPROXY that names it.
    pub fn proxy_url(&self) -> String {
        format!("file://{}", self.directory.display())
    }

    /// Publishes a version with all its files and brings `list` and `@latest` of the module up to date.
    pub fn publish(&self, module: &Module) -> Outcome<()> {
        self.publish_as(module.version(), &module.go_mod(), &module.zip())
    }

    /// Publishes a version whose files somebody else made; nothing holds them to any rule.
    pub fn publish_as(&self, version: &ModuleVersion, go_mod: &[u8], zip: &[u8]) -> Outcome<()> {
        self.write(&BundlePath::Mod(version.clone()), go_mod)?;
        self.write(&BundlePath::Zip(version.clone()), zip)?;
        self.write(&BundlePath::Info(version.clone()), &module::info(version)?)?;
        self.announce(version.path())
    }

    /// Writes the zip alone, over the one that may be there.
    pub fn replace_zip(&self, version: &ModuleVersion, zip: &[u8]) -> Outcome<()> {
        self.write(&BundlePath::Zip(version.clone()), zip)
    }

    /// The go.mod that is published for a version, if it is.
    pub fn go_mod(&self, version: &ModuleVersion) -> Option<Vec<u8>> {
        fs::read(self.path(&BundlePath::Mod(version.clone()))).ok()
    }

    /// Where a file of the API stands.
    pub fn path(&self, path: &BundlePath) -> PathBuf {
        let text = path.to_string();
        self.directory.join(text.strip_prefix("download/").unwrap_or(&text))
    }

    /// Writes `list`, and `@latest` where `go` asks for it: when no version is tagged.
    fn announce(&self, path: &ModulePath) -> Outcome<()> {
        let versions = self.versions(path)?;
        self.write(&BundlePath::List(path.clone()), versions::list(&versions).as_bytes())?;
        let latest = BundlePath::Latest(path.clone());
        match versions::latest(&versions) {
            Some(version) if version.is_pseudo() => {
                let version = ModuleVersion::new(path.clone(), version.clone()).map_err(|error| error.to_string())?;
                self.write(&latest, &module::info(&version)?)
            }
            _ => remove_if_there(&self.path(&latest)),
        }
    }

    fn versions(&self, path: &ModulePath) -> Outcome<Vec<Version>> {
        let list = self.path(&BundlePath::List(path.clone()));
        let directory = list.parent().unwrap_or(Path::new(""));
        let mut versions = Vec::new();
        for entry in fs::read_dir(directory).map_err(at(directory))? {
            let name = entry.map_err(at(directory))?.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(".info"));
            versions.extend(stem.and_then(|stem| Version::from_escaped(stem).ok()));
        }
        Ok(versions)
    }

    fn write(&self, path: &BundlePath, bytes: &[u8]) -> Outcome<()> {
        let path = self.path(path);
        let directory = path.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(directory).map_err(at(directory))?;
        // A file of a bundle is read-only; its folder is not.
        remove_if_there(&path)?;
        fs::write(&path, bytes).map_err(at(&path))
    }
}

fn remove_if_there(path: &Path) -> Outcome<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}
