//! What is listed inside must do there: `go get M@latest` and `go get -u` take the newest version in a module's list, whoever
//! brought it: another root, the upgrade of another module, `go mod tidy -compat`.
//!
//! So where a root uses a module at an older version than the newest that is carried whole, it is resolved with that one as well,
//! until nothing new is listed. Not at level `upgrade`, which is for all at once; `upgrade=each` is for each.

use crate::bundle::closure::{Closure, observation};
use crate::bundle::more_versions::MoreVersions;
use crate::bundle::resolve::Resolver;
use crate::context::Event;
use crate::error::{Result, Warning};
use crate::module_cache;
use modferry_format::header::{Level, RootKind};
use modferry_format::{ModuleVersion, Version, versions};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How often what was brought is looked at again; each time it is less.
const ROUNDS: usize = 4;

impl Closure {
    /// Resolves the user's roots with the newest versions that are listed.
    pub(crate) fn settle_listed(&mut self, resolver: &Resolver<'_>) -> Result<()> {
        let mut done: BTreeSet<(usize, ModuleVersion)> = BTreeSet::new();
        for _ in 0..ROUNDS {
            let mut todo = Vec::new();
            let cached = module_cache::versions(resolver.module_cache)?;
            let has_zip = |version: &ModuleVersion| cached.get(version).is_some_and(|files| files.zip.is_some());
            let mut whole: BTreeMap<&str, Vec<&Version>> = BTreeMap::new();
            for version in cached.keys().filter(|version| has_zip(version)) {
                whole.entry(version.path().as_str()).or_default().push(version.version());
            }
            for (number, root) in self.resolved.iter().enumerate() {
                let is_project = matches!(root.header.kind, RootKind::Module | RootKind::GoMod);
                if !is_project || !matches!(root.header.level, Level::Work | Level::All) {
                    continue;
                }
                for selected in root.selected.iter().filter(|selected| has_zip(selected)) {
                    let all = whole.get(selected.path().as_str()).into_iter().flatten().copied();
                    let newest = versions::latest(all).filter(|newest| *newest > selected.version());
                    let newest =
                        newest.and_then(|newest| ModuleVersion::new(selected.path().clone(), newest.clone()).ok());
                    todo.extend(
                        newest.filter(|newest| done.insert((number, newest.clone()))).map(|newest| (number, newest)),
                    );
                }
            }
            if todo.is_empty() {
                break;
            }
            let total = todo.len() as u64;
            for (at, (number, version)) in todo.into_iter().enumerate() {
                let (at, current) = (at as u64, version.to_string());
                resolver.context.progress.event(Event::Progress { done: at, total, bytes: 0, current: &current });
                let brought = resolver.with_version(&self.resolved[number..=number], &version)?;
                self.take(brought, resolver.context);
            }
        }
        Ok(())
    }

    /// Brings more versions of the modules that have a zip by now.
    pub(crate) fn add_versions(
        &mut self,
        more: &[MoreVersions],
        newest: bool,
        scratch: &Path,
        resolver: &Resolver<'_>,
    ) -> Result<()> {
        let cached = module_cache::versions(resolver.module_cache)?;
        let with_zip = cached.iter().filter(|(_, files)| files.zip.is_some());
        let modules: BTreeSet<String> = with_zip.map(|(version, _)| version.path().to_string()).collect();
        let mut wanted: BTreeSet<ModuleVersion> = BTreeSet::new();
        for more in more {
            let matching: Vec<&String> = modules.iter().filter(|module| more.matches(module)).collect();
            if matching.is_empty() {
                let message = format!("--with-versions {}: no module of the closure matches", more.text());
                self.warn(resolver.context, Warning::new(message, Some("modferry show names the modules of a bundle")));
            }
            for module in matching {
                for version in more.versions(module, resolver.plain, scratch)? {
                    self.observe(version.clone(), more.query());
                    wanted.insert(version);
                }
            }
        }
        for query in ["upgrade", "patch"].into_iter().filter(|_| newest) {
            for root in &self.resolved {
                let updates = resolver.updates(root, query, &modules)?;
                let updates = updates.into_iter().filter(|version| !root.selected.contains(version));
                let updates: Vec<ModuleVersion> = updates.collect();
                wanted.extend(updates.iter().cloned());
                self.observations.extend(updates.iter().map(|version| observation(version, query)));
            }
        }
        let total = wanted.len() as u64;
        for (done, version) in wanted.iter().enumerate() {
            let (done, current) = (done as u64, version.to_string());
            resolver.context.progress.event(Event::Progress { done, total, bytes: 0, current: &current });
            let brought = resolver.with_version(&self.resolved, version)?;
            self.take(brought, resolver.context);
        }
        self.always.extend(wanted);
        Ok(())
    }
}
