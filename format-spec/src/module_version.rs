//! A module path with one of its versions: what Go calls `module.Version`, checked as `module.Check` does.

use crate::invalid::Invalid;
use crate::module_path::ModulePath;
use crate::names;
use crate::version::Version;
use core::fmt;
use core::str::FromStr;

const KIND: &str = "module version";

/// A module at a version, such as `rsc.io/quote@v1.5.2`; the version fits the major suffix of the path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleVersion {
    path: ModulePath,
    version: Version,
}

impl ModuleVersion {
    /// Joins the two where the version's major number fits the path: `CheckPathMajor` of x/mod (SPEC M9).
    pub fn new(path: ModulePath, version: Version) -> Result<Self, Invalid> {
        let invalid = |reason: &'static str| Err(Invalid::new(KIND, &alloc::format!("{path}@{version}"), reason));
        if !major_fits(&version, path.major_suffix()) {
            return invalid("the major version does not fit the module path");
        }
        // The file name of a checksum-database record holds the last path element and the version.
        let (last, version_text) = (path.as_str().rsplit('/').next().unwrap_or_default(), version.as_str());
        let most = ModulePath::MAX_ESCAPED_ELEMENT_BYTES - "@".len();
        if last.len() + version_text.len() > most / 2
            && names::escaped_len(last) + names::escaped_len(version_text) > most
        {
            return invalid("last path element and version are longer than 255 bytes together");
        }
        Ok(Self { path, version })
    }

    /// The module path.
    pub fn path(&self) -> &ModulePath {
        &self.path
    }

    /// The version.
    pub fn version(&self) -> &Version {
        &self.version
    }
}

impl FromStr for ModuleVersion {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (path, version) =
            text.split_once('@').ok_or_else(|| Invalid::new(KIND, text, "not of the form PATH@VERSION"))?;
        Self::new(path.parse()?, version.parse()?)
    }
}

impl fmt::Display for ModuleVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.path, self.version)
    }
}

fn major_fits(version: &Version, suffix: &str) -> bool {
    if suffix.is_empty() {
        return matches!(version.major(), "v0" | "v1") || version.is_incompatible();
    }
    // Only gopkg.in paths end so, and after a dot.
    let suffix = suffix.strip_suffix("-unstable").unwrap_or(suffix);
    // Go once made v0.0.0- pseudo-versions for gopkg.in/NAME.v1; go.mod files with them are still around.
    if suffix == ".v1" && version.as_str().starts_with("v0.0.0-") {
        return true;
    }
    version.major() == &suffix[1..]
}
