//! What a bundle leaves out, since upstream does not give it or gives something else, and where that stops it.

use super::Closure;
use crate::bundle::resolve::Refused;
use crate::context::Context;
use crate::error::{Result, Warning};
use crate::go_command;
use crate::module_cache;
use modferry_format::header::NotCarried;
use modferry_format::{BundlePath, ModuleVersion};

impl Closure {
    /// Takes out what the checksum database contradicts, should something have fetched it again.
    pub(crate) fn leave_out(&self, cached: &mut module_cache::Versions) -> Result<()> {
        for mismatch in &self.mismatched {
            mismatch.judge(&self.statements)?;
            if !mismatch.is_zip {
                cached.remove(&mismatch.version);
            } else if let Some(files) = cached.get_mut(&mismatch.version) {
                files.zip = None;
            }
        }
        Ok(())
    }

    /// Versions that are selected, and of which no go.mod has come.
    pub(crate) fn without_go_mod(&self, cached: &module_cache::Versions) -> Vec<ModuleVersion> {
        let is_there = |version: &&ModuleVersion| cached.get(*version).is_some_and(|files| files.go_mod.is_some());
        self.selected.iter().filter(|version| !is_there(version)).cloned().collect()
    }

    /// Of those, what upstream does not give: fatal where the level promises the graph, else a recorded warning.
    pub(crate) fn note_without_go_mod(&mut self, refused: Vec<Refused>, context: &Context<'_>) -> Result<()> {
        for Refused { version, words } in refused {
            let error = go_command::explain(&format!("{version}: its go.mod could not be fetched"), &words);
            if self.graph.contains(&version) {
                return Err(
                    error.hint("it is in the graph, which is promised from level work on; --level build does without")
                );
            }
            let words = error.causes.first().map_or("", |words| words.trim());
            let message =
                format!("{version}: upstream has no go.mod for it ({words}); it is in the graph only, and left out");
            self.warn(
                context,
                Warning::new(message, Some("go list -m all may fail for it inside; build, test and vet will not")),
            );
            self.without_go_mod.insert(version);
        }
        Ok(())
    }

    /// Versions whose info upstream does not give: fatal where a zip is carried, else a recorded warning.
    pub(crate) fn note_missing(
        &mut self,
        cached: &module_cache::Versions,
        missing: &[Refused],
        context: &Context<'_>,
    ) -> Result<()> {
        for (version, files) in cached {
            let words =
                missing.iter().find(|refused| refused.version == *version).map_or("", |refused| refused.words.as_str());
            if files.go_mod.is_none() || (files.zip.is_some() && files.info.is_none()) {
                return Err(go_command::explain(&format!("{version}: its info or go.mod could not be fetched"), words));
            }
            if files.info.is_none() {
                let words = words.lines().next().unwrap_or_default();
                let message = format!(
                    "{version}: upstream has no info for it ({words}); it is in the graph only, and no command asks for it"
                );
                self.warn(context, Warning::new(message, None));
                self.without_info.insert(version.clone());
            }
        }
        Ok(())
    }

    pub(super) fn not_carried(&self) -> Vec<NotCarried> {
        // The words of upstream stay out: they may name hosts and paths of this machine.
        let file = |path: BundlePath, reason: &str| NotCarried { path: path.to_string(), reason: reason.to_owned() };
        let infos = self
            .without_info
            .iter()
            .map(|version| file(BundlePath::Info(version.clone()), "upstream has no info for it"));
        let go_mods = self.without_go_mod.iter().flat_map(|version| {
            let reason = "upstream has no go.mod for it";
            [BundlePath::Mod(version.clone()), BundlePath::Info(version.clone())].map(|path| file(path, reason))
        });
        let zips = self.refused.iter().map(|refused| {
            file(BundlePath::Zip(refused.version.clone()), "upstream refuses it, and no package needs it")
        });
        let contradicted = self
            .mismatched
            .iter()
            .map(|mismatch| file(mismatch.path(), "upstream serves another one than the checksum database has"));
        let mut files: Vec<NotCarried> =
            infos.chain(go_mods).chain(zips).chain(contradicted).chain(self.exact.left_out.iter().cloned()).collect();
        files.sort();
        files
    }
}
