//! `modferry why`: which root brings a module into a bundle, and through which requirements.
//!
//! The chain is found in the go.mod files that the bundle carries, so no go command and no network is needed. Each
//! step is a requirement that stands in the go.mod of the step before; where several chains lead to a module the
//! shortest is told.

use crate::carrier::{Carrier, What};
use crate::error::{Error, ErrorKind, Result};
use crate::head::Head;
use modferry_format::go_mod::{self, GoMod};
use modferry_format::header::{Observation, Root};
use modferry_format::{BundlePath, ModulePath, ModuleVersion, Version};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

/// What the user asks about.
#[derive(Debug, Clone)]
pub struct Question {
    module: ModulePath,
    version: Option<Version>,
}

impl std::str::FromStr for Question {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let usage = |invalid: modferry_format::Invalid| {
            Error::new(ErrorKind::Usage, format!("{text}: not MODULE or MODULE@VERSION")).because(invalid.to_string())
        };
        match text.split_once('@') {
            Some(_) => {
                let version: ModuleVersion = text.parse().map_err(usage)?;
                Ok(Self { module: version.path().clone(), version: Some(version.version().clone()) })
            }
            None => Ok(Self { module: text.parse().map_err(usage)?, version: None }),
        }
    }
}

/// Why one version is carried.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// The version, as `path@version`.
    pub version: String,
    /// Whether its zip is carried, or its go.mod alone.
    pub zip: bool,
    /// One chain per root that leads to it, from the root to the version itself.
    pub chains: Vec<Vec<String>>,
    /// The query that upstream answered with it, such as `example.com/m@latest`.
    pub observed: Option<String>,
}

/// All answers: one per carried version of the module.
#[derive(Debug, Clone, Serialize)]
pub struct Answers {
    /// In order of the versions.
    pub answers: Vec<Answer>,
}

/// Finds the chains.
pub fn why(carrier: &dyn Carrier, question: &Question) -> Result<Answers> {
    let head = Head::read(carrier)?;
    let (mut carried, mut zips) = (BTreeSet::new(), BTreeSet::new());
    head.entries(carrier, |entry| match entry.path {
        BundlePath::Mod(version) => _ = carried.insert(version),
        BundlePath::Zip(version) => _ = zips.insert(version),
        _ => {}
    })?;
    let asked: Vec<&ModuleVersion> = carried
        .iter()
        .filter(|version| {
            *version.path() == question.module
                && question.version.as_ref().is_none_or(|asked| version.version() == asked)
        })
        .collect();
    if asked.is_empty() {
        return Err(not_carried(carrier, question, &carried));
    }
    let requires = read_requires(carrier, &carried)?;
    let paths: Vec<Paths> = head.header.roots.iter().map(|root| Paths::from(root, &requires)).collect();
    let answers = asked
        .into_iter()
        .map(|version| Answer {
            version: version.to_string(),
            zip: zips.contains(version),
            observed: observed(&head.header.observations, version),
            chains: paths.iter().filter_map(|paths| paths.to(version)).collect(),
        })
        .collect();
    Ok(Answers { answers })
}

fn not_carried(carrier: &dyn Carrier, question: &Question, carried: &BTreeSet<ModuleVersion>) -> Error {
    let others: Vec<&str> = carried
        .iter()
        .filter(|version| *version.path() == question.module)
        .map(|version| version.version().as_str())
        .collect();
    let asked = question.version.as_ref().map_or_else(String::new, |version| format!("@{version}"));
    let error = Error::new(ErrorKind::NotCarried, format!("{}{asked}: is not in {}", question.module, carrier.name()));
    if others.is_empty() { error } else { error.hint(format!("carried versions: {}", others.join(" "))) }
}

type Requires = BTreeMap<ModuleVersion, Vec<ModuleVersion>>;

/// The query that upstream answered with this version.
fn observed(observations: &[Observation], version: &ModuleVersion) -> Option<String> {
    let names =
        |seen: &&Observation| seen.module == version.path().as_str() && seen.version == version.version().as_str();
    observations.iter().find(names).map(|seen| format!("{}@{}", seen.module, seen.query))
}

/// The requirements of every go.mod that is carried.
fn read_requires(carrier: &dyn Carrier, carried: &BTreeSet<ModuleVersion>) -> Result<Requires> {
    let mut requires = Requires::new();
    for delivered in carrier.content()? {
        let (Ok(BundlePath::Mod(version)), What::File(_, open)) = (delivered.path.parse(), delivered.what) else {
            continue;
        };
        if !carried.contains(&version) {
            continue;
        }
        let bytes = open.open().and_then(|source| source.read_all(go_mod::MAX_BYTES)).map_err(|error| {
            Error::new(ErrorKind::Io, format!("{}: {}: could not be read", carrier.name(), delivered.path))
                .because(error.to_string())
        })?;
        requires.insert(version, GoMod::parse(&String::from_utf8_lossy(&bytes)).requires);
    }
    if carrier.is_broken() {
        let error = Error::new(
            ErrorKind::BundleInvalid,
            format!("{}: is broken, and not all of it can be read", carrier.name()),
        );
        return Err(error.hint("modferry verify names everything that is wrong with it"));
    }
    Ok(requires)
}

/// All versions that a root leads to, each with the version that first required it.
struct Paths {
    root: String,
    from: BTreeMap<ModuleVersion, Option<ModuleVersion>>,
}

impl Paths {
    /// Goes through the graph breadth first.
    fn from(root: &Root, requires: &Requires) -> Self {
        let replaces: Vec<(&str, &str)> = root.replaces.iter().filter_map(|line| line.split_once(" => ")).collect();
        let own = root.version.as_ref().map(|version| format!("{}@{version}", root.module));
        // A version as root is a requirement itself; what go.mod files in directories require is part of the root.
        let local = root.local.iter().flat_map(|local| &local.requires);
        let direct = own.iter().chain(&root.requires).chain(local).filter_map(|text| text.parse().ok());
        let direct = direct.map(|version| replaced(&version, &replaces));
        let mut paths = Self { root: own.clone().unwrap_or_else(|| root.module.clone()), from: BTreeMap::new() };
        let mut queue = VecDeque::new();
        for version in direct {
            if paths.from.insert(version.clone(), None).is_none() {
                queue.push_back(version);
            }
        }
        while let Some(version) = queue.pop_front() {
            for required in requires.get(&version).into_iter().flatten() {
                let required = replaced(required, &replaces);
                if !paths.from.contains_key(&required) {
                    paths.from.insert(required.clone(), Some(version.clone()));
                    queue.push_back(required);
                }
            }
        }
        paths
    }

    /// The chain from the root to a version.
    fn to(&self, version: &ModuleVersion) -> Option<Vec<String>> {
        let mut chain = vec![version.to_string()];
        let mut from = self.from.get(version)?;
        while let Some(step) = from {
            chain.push(step.to_string());
            from = self.from.get(step)?;
        }
        if chain.last() != Some(&self.root) {
            chain.push(self.root.clone());
        }
        chain.reverse();
        Some(chain)
    }
}

fn replaced(version: &ModuleVersion, replaces: &[(&str, &str)]) -> ModuleVersion {
    let exact = version.to_string();
    // A replacement of one version goes before that of all versions.
    let new = replaces
        .iter()
        .find(|(old, _)| *old == exact)
        .or_else(|| replaces.iter().find(|(old, _)| *old == version.path().as_str()));
    new.and_then(|(_, new)| new.parse().ok()).unwrap_or_else(|| version.clone())
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, answer) in self.answers.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            writeln!(f, "{} ({})", answer.version, if answer.zip { "with zip" } else { "go.mod only" })?;
            if answer.chains.is_empty() {
                match &answer.observed {
                    Some(query) => writeln!(f, "  no requirement leads to it; it was asked for upstream as {query}")?,
                    None => writeln!(
                        f,
                        "  no requirement leads to it; an upgrade would choose it, or go looked into it for a package or a retraction"
                    )?,
                }
            }
            for chain in &answer.chains {
                writeln!(f, "  {}", chain.join("\n    requires "))?;
            }
        }
        Ok(())
    }
}
