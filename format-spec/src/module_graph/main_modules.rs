//! What the go command starts from: the main module or the members of a workspace, what replaces modules, and which versions
//! are excluded. All of it stands in the header of a bundle.

use super::Node;
use crate::go_mod::{GoMod, unservable};
use crate::header::{self, RootKind};
use crate::module_version::ModuleVersion;
use crate::version::Version;
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The path of a main module that is made up: no domain ends in `.invalid`.
const SCRATCH: &str = "modferry.invalid/scratch";
/// The first go line that prunes; what is made up has a new one.
const PRUNED: &str = "1.17";

/// The main module, or the members of a workspace, with what they replace and exclude.
#[derive(Debug, Clone, Default)]
pub struct MainModules {
    members: Vec<GoMod>,
    is_workspace: bool,
    /// By path, and by version where only one version is replaced.
    replacements: BTreeMap<String, BTreeMap<Option<Version>, Replacement>>,
    excluded: BTreeMap<String, BTreeSet<Version>>,
    not_understood: Vec<String>,
}

#[derive(Debug, Clone)]
enum Replacement {
    Version(ModuleVersion),
    Directory(GoMod),
}

/// Where the go.mod of a node is.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// In a directory, that of a main module or of a replacement: this is what it says.
    Directory(&'a GoMod),
    /// With this version, which is the one that is required or replaces it.
    Version(&'a ModuleVersion),
    /// Nowhere: no proxy can serve the path, and nothing replaces it.
    Nowhere,
}

impl MainModules {
    /// Those of a root that is worked on itself. None for a root without a go.mod of its own: a version that is carried as a
    /// dependency only, a tool, a toolchain, a list.
    pub fn of(root: &header::Root) -> Option<Self> {
        let has_go_mod = match root.kind {
            RootKind::Module | RootKind::GoMod | RootKind::Workspace => true,
            RootKind::Version => !root.go.is_empty() || !root.requires.is_empty(),
            RootKind::Tool | RootKind::Toolchain | RootKind::GoSum | RootKind::Binary | RootKind::Sbom => false,
        };
        if !has_go_mod {
            return None;
        }
        let mut main = Self { is_workspace: root.kind == RootKind::Workspace, ..Self::default() };
        if !main.is_workspace {
            let module = main.go_mod(&root.module, &root.go, &root.requires);
            main.members.push(module);
        }
        for local in &root.local {
            let go_mod = main.go_mod(&local.module, &local.go, &local.requires);
            match &local.replaces {
                Some(old) => main.replace(old, Replacement::Directory(go_mod)),
                None => main.members.push(go_mod),
            }
        }
        for line in &root.replaces {
            match line.split_once(" => ").and_then(|(old, new)| Some((old, new.parse().ok()?))) {
                Some((old, new)) => main.replace(old, Replacement::Version(new)),
                None => main.not_understood.push(line.clone()),
            }
        }
        for (path, version) in root.excludes.iter().filter_map(|text| split(text)) {
            main.excluded.entry(path).or_default().insert(version);
        }
        Some(main)
    }

    /// A main module that is made up to require one version, as whoever uses that version does: pruned.
    pub fn requiring(version: ModuleVersion) -> Self {
        let go_mod = GoMod {
            module: SCRATCH.to_owned(),
            go: Some(PRUNED.to_owned()),
            requires: Vec::from([version]),
            ..GoMod::default()
        };
        Self { members: Vec::from([go_mod]), ..Self::default() }
    }

    /// Whether a node is the main module that [`Self::requiring`] makes up.
    pub fn is_made_up(node: Node<'_>) -> bool {
        node.version().is_none() && node.path() == SCRATCH
    }

    /// Requirements and replacements, as they stand in the header, of which only upstream can say what they mean: those that
    /// name a branch or another query.
    pub fn not_understood(&self) -> &[String] {
        &self.not_understood
    }

    /// What the go.mod of a node is.
    pub fn source<'a>(&'a self, node: Node<'a>) -> Source<'a> {
        let Some(version) = node.version() else {
            let member = self.members.iter().find(|member| member.module == node.path());
            return member.map_or(Source::Nowhere, Source::Directory);
        };
        let of_path = self.replacements.get(node.path());
        // A replacement of one version goes before that of all versions.
        let found = of_path.and_then(|of| of.get(&Some(version.clone())).or_else(|| of.get(&None)));
        match (found, node.servable()) {
            (Some(Replacement::Directory(go_mod)), _) => Source::Directory(go_mod),
            (Some(Replacement::Version(new)), _) | (None, Some(new)) => Source::Version(new),
            (None, None) => Source::Nowhere,
        }
    }

    /// Whether requirements on this version are dropped.
    pub(super) fn excludes(&self, node: Node<'_>) -> bool {
        let of_path = self.excluded.get(node.path());
        of_path.zip(node.version()).is_some_and(|(versions, version)| versions.contains(version))
    }

    /// The one main module; none for a workspace.
    pub(super) fn single(&self) -> Option<&GoMod> {
        if self.is_workspace { None } else { self.members.first() }
    }

    /// The main modules.
    pub(super) fn members(&self) -> impl Iterator<Item = &GoMod> {
        self.members.iter()
    }

    fn go_mod(&mut self, module: &str, go: &str, requires: &[String]) -> GoMod {
        let go = Some(go.to_owned()).filter(|go| !go.is_empty());
        let mut go_mod = GoMod { module: module.to_owned(), go, ..GoMod::default() };
        for text in requires {
            match (text.parse(), split(text)) {
                (Ok(version), _) => go_mod.requires.push(version),
                (Err(_), Some((path, version))) => go_mod.unservable.push((path, version)),
                (Err(_), None) => self.not_understood.push(format!("{module} requires {text}")),
            }
        }
        go_mod
    }

    fn replace(&mut self, old: &str, new: Replacement) {
        let (path, version) = match old.split_once('@') {
            None => (old.to_owned(), None),
            Some(_) => match split(old) {
                Some((path, version)) => (path, Some(version)),
                None => return self.not_understood.push(old.to_string()),
            },
        };
        self.replacements.entry(path).or_default().insert(version, new);
    }
}

/// `path@version` with a canonical version, whether a proxy can serve the path or not.
fn split(text: &str) -> Option<(String, Version)> {
    let (path, version) = text.rsplit_once('@')?;
    unservable(path, version.parse().ok()?)
}
