//! Whether level `all` does for `go get` of a module that go.mod names, which loads the package at the root of the module.
//!
//! That package may be one that nobody imports, and lead to modules that `go mod download all` leaves out: a module of the graph
//! whose go.mod was pruned becomes a requirement as soon as a package of it is loaded, and then its own requirements count.
//! Level `work` lets go find out. Level `all` loads no packages, so the imports are followed in the zips, as go does it in
//! files that it has unpacked: a part of the time. Only where a package is found nowhere, or a version would move, go is asked.

use super::walk::package;
use super::{Listed, Resolved, Resolver};
use crate::bundle::root::Root;
use crate::error::Result;
use crate::jobs;
use crate::module_cache;
use crate::skeleton::{Unpacker, ZipPackages};
use modferry_format::ModuleVersion;
use modferry_format::go_mod::GoMod;
use modferry_format::header::{Root as HeaderRoot, RootKind};
use modferry_format::module_graph::{Graph, MainModules};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;

/// A module of the build list, with where its packages are.
struct Module<'a> {
    listed: &'a Listed,
    place: Place,
}

enum Place {
    /// In its zip, once that was looked at.
    Zip(ModuleVersion, Option<ZipPackages>),
    /// In a directory of the user.
    Directory(PathBuf),
}

impl Resolver<'_> {
    /// Level `all`: brings what `go get` of the requirements asks for beside what is there.
    pub(super) fn cover_got(&self, root: &Root, resolved: &mut Resolved) -> Result<()> {
        let is_covered =
            self.promoted(root, resolved).is_some_and(|promoted| self.is_settled(root, resolved, &promoted));
        if is_covered {
            return Ok(());
        }
        // What stands for an unpacked module is none for go.
        crate::work_space::remove_extracted(self.module_cache);
        // Heads for what go will load, so that it unpacks little.
        self.fetch_by_imports(root, &resolved.modules)?;
        self.got_again(root, resolved)?;
        self.forget_fetched(&mut resolved.refused);
        crate::work_space::remove_extracted(self.module_cache);
        Ok(())
    }

    /// The modules that packages are loaded from; none where a package, or a zip, is found nowhere.
    fn promoted(&self, root: &Root, resolved: &Resolved) -> Option<BTreeSet<String>> {
        let mut modules: BTreeMap<&str, Module<'_>> = BTreeMap::new();
        for listed in &resolved.modules.0 {
            let place = match (listed.carried(&root.name).transpose().ok()?, &listed.replace) {
                (Some(version), _) => Place::Zip(version, None),
                (None, Some(replace)) => Place::Directory(PathBuf::from(&replace.path)),
                (None, None) => Place::Directory(root.sources().unwrap_or(&root.scratch).to_owned()),
            };
            modules.insert(&listed.path, Module { listed, place });
        }
        let unreplaced =
            |path: &&String| modules.get(path.as_str()).is_some_and(|module| module.listed.replace.is_none());
        let mut wave: BTreeSet<String> = root.required.iter().filter(unreplaced).cloned().collect();
        let (mut seen, mut promoted) = (BTreeSet::new(), BTreeSet::new());
        let mut is_first = true;
        while !wave.is_empty() {
            self.context.interrupt.check().ok()?;
            self.look(&mut modules, &wave)?;
            let (mut packages, mut is_whole) = (Vec::new(), true);
            for import in &wave {
                let before = packages.len();
                for (path, module) in around(&modules, import) {
                    let folder = import[path.len()..].trim_start_matches('/');
                    if module.has(folder)? {
                        packages.push((module, folder));
                        promoted.insert(path.to_owned());
                    }
                }
                // A module need not have a package at its root; every import has to be somewhere.
                is_whole &= is_first || packages.len() > before;
            }
            if !is_whole {
                return None;
            }
            let read = jobs::map(self.context.jobs, packages, |worker: &mut Unpacker, (module, folder)| {
                module.imports(folder, worker)
            });
            let mut next = BTreeSet::new();
            for (_, imports) in read {
                next.extend(imports.ok()?.into_iter().filter(|import| is_of_module(import)));
            }
            seen.append(&mut wave);
            wave = next.difference(&seen).cloned().collect();
            is_first = false;
        }
        Some(promoted)
    }

    /// Looks at the zips that may have these packages.
    fn look(&self, modules: &mut BTreeMap<&str, Module<'_>>, imports: &BTreeSet<String>) -> Option<()> {
        let mut paths: BTreeSet<String> = BTreeSet::new();
        for import in imports {
            let closed = around(modules, import).filter(|(_, module)| matches!(module.place, Place::Zip(_, None)));
            paths.extend(closed.map(|(path, _)| path.to_owned()));
        }
        let closed: Vec<(String, ModuleVersion)> = paths
            .into_iter()
            .filter_map(|path| match &modules.get(path.as_str())?.place {
                Place::Zip(version, None) => Some((path, version.clone())),
                _ => None,
            })
            .collect();
        let opened = jobs::map(self.context.jobs, closed, |worker: &mut Unpacker, (_, version)| {
            ZipPackages::of(&module_cache::zip_file(self.module_cache, version), version, worker)
        });
        for ((path, version), packages) in opened {
            // A zip that upstream refuses is needed now.
            let packages = packages.ok()?;
            if let Some(module) = modules.get_mut(path.as_str()) {
                module.place = Place::Zip(version, Some(packages));
            }
        }
        Some(())
    }

    /// Whether the graph selects the same versions, and reads no go.mod that is not there, with these modules as requirements.
    fn is_settled(&self, root: &Root, resolved: &Resolved, promoted: &BTreeSet<String>) -> bool {
        if promoted.is_subset(&root.required) {
            return true;
        }
        let go_mod = GoMod::parse(&String::from_utf8_lossy(&root.go_mod));
        let selected: BTreeMap<&str, &str> =
            resolved.modules.0.iter().map(|module| (module.path.as_str(), module.version.as_str())).collect();
        let more = promoted.iter().filter_map(|path| Some(format!("{path}@{}", selected.get(path.as_str())?)));
        let main = MainModules::of(&HeaderRoot {
            kind: RootKind::Module,
            go: go_mod.go.unwrap_or_default(),
            requires: go_mod.requires.iter().map(ToString::to_string).chain(more).collect(),
            ..root.header.clone()
        });
        let (Some(main), Ok(cached)) = (main, module_cache::versions(self.module_cache)) else { return false };
        let read = |(version, files): (&ModuleVersion, &module_cache::Files)| {
            let text = fs::read_to_string(files.go_mod.as_ref()?).ok()?;
            Some((version.clone(), GoMod::parse(&text)))
        };
        let go_mods: BTreeMap<ModuleVersion, GoMod> = cached.iter().filter_map(read).collect();
        let is_lacking = Cell::new(false);
        let graph = Graph::load(&main, &|version| {
            let found = go_mods.get(version);
            is_lacking.set(is_lacking.get() || found.is_none());
            found
        });
        let moved = graph.selected().any(|node| {
            let version = node.version().map(ToString::to_string).unwrap_or_default();
            promoted.contains(node.path()) && selected.get(node.path()).is_some_and(|selected| *selected != version)
        });
        !moved && !is_lacking.get()
    }
}

impl Module<'_> {
    /// Whether there is a package in a folder; none where that cannot be said.
    fn has(&self, folder: &str) -> Option<bool> {
        match &self.place {
            Place::Zip(_, Some(packages)) => Some(packages.has(folder)),
            Place::Zip(_, None) => None,
            Place::Directory(directory) => Some(!package(directory, folder).is_empty()),
        }
    }

    fn imports(&self, folder: &str, worker: &mut Unpacker) -> io::Result<BTreeSet<String>> {
        match &self.place {
            Place::Zip(_, Some(packages)) => packages.imports(folder, worker),
            Place::Zip(_, None) => Ok(BTreeSet::new()),
            Place::Directory(directory) => {
                let files = package(directory, folder).into_iter().filter(|(_, is_test)| !is_test);
                Ok(files.flat_map(|(imports, _)| imports).collect())
            }
        }
    }
}

/// The modules whose path begins an import path.
fn around<'m, 'a>(
    modules: &'m BTreeMap<&'a str, Module<'a>>,
    import: &'m str,
) -> impl Iterator<Item = (&'a str, &'m Module<'a>)> {
    let ends = import.match_indices('/').map(|(end, _)| end).chain([import.len()]);
    ends.filter_map(|end| modules.get_key_value(&import[..end]).map(|(path, module)| (*path, module)))
}

/// The standard library has no dot in the first element.
pub(super) fn is_of_module(import: &str) -> bool {
    import.split('/').next().is_some_and(|first| first.contains('.'))
}
