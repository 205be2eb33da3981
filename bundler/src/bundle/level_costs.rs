//! What each level would carry of the same roots, for `show`: as far as that takes no more than asking for sizes.

use crate::bundle::ahead::Ahead;
use crate::bundle::closure::Closure;
use crate::context::{Context, Event};
use crate::error::Result;
use crate::module_cache;
use modferry_format::ModuleVersion;
use modferry_format::header::{Level, LevelCost};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

impl Closure {
    /// Finds out what other levels would carry, as far as that takes no more than asking for sizes.
    pub(crate) fn compare_levels(
        &mut self,
        level: Level,
        carried: &module_cache::Versions,
        ahead: &Ahead<'_>,
        context: &Context<'_>,
    ) -> Result<()> {
        let size = |files: &module_cache::Files| {
            files.zip.as_ref().and_then(|zip| fs::metadata(zip).ok()).map(|meta| meta.len())
        };
        let here: BTreeMap<&ModuleVersion, u64> =
            carried.iter().filter_map(|(version, files)| Some((version, size(files)?))).collect();
        if here.is_empty() || self.selected.is_empty() {
            return Ok(());
        }
        let cost = |level, versions: &BTreeSet<&ModuleVersion>| {
            let bytes = versions.iter().map(|version| here.get(version).copied().unwrap_or(0)).sum();
            LevelCost { level, zips: versions.len() as u64, bytes: Some(bytes) }
        };
        let here_of = |versions: &BTreeSet<ModuleVersion>| -> BTreeSet<&ModuleVersion> {
            let wanted = versions.iter().chain(&self.always);
            wanted.filter_map(|version| here.get_key_value(version).map(|(version, _)| *version)).collect()
        };
        let all: BTreeSet<&ModuleVersion> = here.keys().copied().collect();
        let mut costs = Vec::new();
        if level > Level::Build {
            costs.push(cost(Level::Build, &here_of(&self.named)));
        }
        if level > Level::All {
            costs.push(cost(Level::All, &here_of(&self.selected)));
        }
        costs.push(cost(level, &all));
        if level < Level::All {
            let refused: BTreeSet<&ModuleVersion> = self.refused.iter().map(|refused| &refused.version).collect();
            let is_more = |version: &&ModuleVersion| !here.contains_key(version) && !refused.contains(version);
            let more: Vec<ModuleVersion> = self.selected.iter().filter(is_more).cloned().collect();
            context.progress.event(Event::Step("comparing levels"));
            let sizes = ahead.sizes(&more)?;
            let carried = cost(level, &all);
            let bytes = (sizes.len() == more.len()).then(|| carried.bytes.unwrap_or(0) + sizes.iter().sum::<u64>());
            costs.push(LevelCost { level: Level::All, zips: carried.zips + more.len() as u64, bytes });
        }
        self.costs = costs;
        Ok(())
    }
}
