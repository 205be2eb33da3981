//! One line of the lock in `bundle.json`: the versions of a module that a bundle carries (SPEC M46).

use crate::invalid::Invalid;
use crate::module_path::ModulePath;
use crate::module_version::ModuleVersion;
use crate::version::Version;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const KIND: &str = "line of the closure";
/// Stands after a version that is carried without its zip, as in a go.sum.
const GO_MOD: &str = "/go.mod";

/// A module with the versions of it that are carried: `PATH VERSION...`, where a version of which only `.mod` and `.info` are
/// there ends in `/go.mod`. Versions ascend.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Carried {
    module: ModulePath,
    versions: Vec<(Version, Files)>,
}

/// Which files of a version are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Files {
    /// With its zip.
    Whole,
    /// What the module graph needs of it.
    Graph,
}

impl Carried {
    /// The lines for all versions; they may come in any order.
    pub fn lines(versions: impl IntoIterator<Item = (ModuleVersion, Files)>) -> Vec<Self> {
        let mut all: Vec<(ModuleVersion, Files)> = versions.into_iter().collect();
        all.sort();
        all.dedup_by(|later, first| later.0 == first.0);
        let mut lines: Vec<Self> = Vec::new();
        for (version, files) in all {
            let one = (version.version().clone(), files);
            match lines.last_mut() {
                Some(line) if line.module == *version.path() => line.versions.push(one),
                _ => lines.push(Self { module: version.path().clone(), versions: alloc::vec![one] }),
            }
        }
        lines
    }

    /// The versions of the line.
    pub fn versions(&self) -> impl Iterator<Item = (ModuleVersion, Files)> + '_ {
        let version = |(version, files): &(Version, Files)| {
            // The line was made of module versions, or parsed as such.
            ModuleVersion::new(self.module.clone(), version.clone()).ok().map(|version| (version, *files))
        };
        self.versions.iter().filter_map(version)
    }
}

impl FromStr for Carried {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |reason: &str| Invalid::new(KIND, text, reason.to_string());
        let mut words = text.split(' ');
        let module: ModulePath = words.next().unwrap_or_default().parse()?;
        let mut versions: Vec<(Version, Files)> = Vec::new();
        for word in words {
            let (version, files) = match word.strip_suffix(GO_MOD) {
                Some(version) => (version, Files::Graph),
                None => (word, Files::Whole),
            };
            let version = ModuleVersion::new(module.clone(), version.parse()?)?.version().clone();
            if versions.last().is_some_and(|(last, _)| *last >= version) {
                return Err(invalid("its versions must ascend"));
            }
            versions.push((version, files));
        }
        if versions.is_empty() { Err(invalid("names no version")) } else { Ok(Self { module, versions }) }
    }
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.module)?;
        self.versions.iter().try_for_each(|(version, files)| {
            write!(f, " {version}{}", if *files == Files::Graph { GO_MOD } else { "" })
        })
    }
}

impl Serialize for Carried {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Carried {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
