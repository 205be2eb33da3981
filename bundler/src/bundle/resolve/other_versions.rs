//! One module at another version, in a root that is otherwise as it is: what `go get MODULE@VERSION` and `go mod tidy` ask for.

use super::packages::is_refusal;
use super::{Listed, ModuleList, Resolved, Resolver};
use crate::bundle::ahead::Trees;
use crate::bundle::root::{Root, write};
use crate::error::{ErrorKind, Result, Warning};
use crate::go_command;
use modferry_format::ModuleVersion;
use modferry_format::go_sum::GoSum;
use std::collections::BTreeSet;
use std::fs;

/// Module queries of one command: an operating system has a limit for arguments.
const QUERIES: usize = 500;

impl Resolver<'_> {
    /// The newer versions of modules of a root: the newest for `upgrade`, that of the same minor version for `patch`.
    pub(crate) fn updates(&self, root: &Root, query: &str, modules: &BTreeSet<String>) -> Result<Vec<ModuleVersion>> {
        let queries: Vec<String> =
            modules.intersection(&root.paths).map(|module| format!("{module}@{query}")).collect();
        let mut newer = Vec::new();
        for queries in queries.chunks(QUERIES) {
            root.restore()?;
            let mut arguments = vec!["list", "-m", "-e", "-json"];
            arguments.extend(queries.iter().map(String::as_str));
            let output = self.plain.must(&root.scratch, &arguments, &root.name)?;
            let named: Vec<Listed> = go_command::json_stream(&output.stdout, &root.name)?;
            // What upstream does not know any more, or no bundle can carry, is no update for anybody inside.
            newer.extend(named.iter().filter_map(|module| format!("{}@{}", module.path, module.version).parse().ok()));
        }
        root.restore()?;
        Ok(newer)
    }

    /// Brings a version, and what each of these roots asks for with it.
    pub(crate) fn with_version(&self, roots: &[Root], version: &ModuleVersion) -> Result<Vec<Warning>> {
        let mut warnings = Vec::new();
        if let Some(ahead) = self.ahead {
            ahead.fetch(std::slice::from_ref(version), self.sources, &GoSum::default(), Trees::Heads)?;
        }
        let name = version.to_string();
        let Some(first) = roots.first() else { return Ok(warnings) };
        let output = self.plain.run(&first.scratch, &["mod", "download", &name], &mut || {})?;
        if !output.status.success() {
            return Ok(vec![self.cannot(&name, &output.stderr)?]);
        }
        for root in roots.iter().filter(|root| root.paths.contains(version.path().as_str())) {
            root.restore()?;
            warnings.extend(self.changed(root, version)?);
        }
        Ok(warnings)
    }

    /// One root with this version.
    fn changed(&self, root: &Root, version: &ModuleVersion) -> Result<Option<Warning>> {
        let mut dir = root.scratch.file_name().unwrap_or_default().to_owned();
        dir.push("-changed");
        let dir = root.scratch.with_file_name(dir);
        fs::create_dir_all(&dir).map_err(|error| crate::error::Error::io(&dir, "could not be made", &error))?;
        let (go_mod, go_sum) = (dir.join("go.mod"), dir.join("go.sum"));
        write(&go_mod, &root.go_mod)?;
        // What go has verified for the root need not be asked again.
        let _ = fs::copy(root.scratch.join("go.sum"), go_sum);
        let name = format!("{} with {version}", root.name);
        self.plain.must(&dir, &["mod", "edit", &format!("-require={version}"), "go.mod"], &name)?;
        let file = format!("-modfile={}", go_mod.display());
        let output = self.plain.run(&root.scratch, &["list", "-m", &file, "-json", "all"], &mut || {})?;
        if !output.status.success() {
            return self.cannot(&name, &output.stderr).map(Some);
        }
        let listed = ModuleList(go_command::json_stream(&output.stdout, &name)?);
        if !root.has_packages() {
            let mut resolved = Resolved::default();
            let selected = listed.versions(&name)?;
            if let Some(ahead) = self.ahead {
                ahead.fetch(&selected, self.sources, &root.go_sum, Trees::Heads)?;
            }
            resolved.refused =
                self.download(self.plain, &root.scratch, &name, &[&file, "all"], &selected, &|| Ok(()))?;
            return Ok(resolved.refused.first().map(super::refused_warning));
        }
        root.copy_packages(self)?;
        self.fetch_by_imports(root, &listed)?;
        let output = self.plain.run(&root.scratch, &["mod", "tidy", "-e", &file], &mut || {})?;
        if !output.status.success() || is_refusal(&output.stderr) {
            return self.cannot(&name, &output.stderr).map(Some);
        }
        Ok(None)
    }

    /// A version that a root cannot take is carried all the same; whoever tries it inside hears the same.
    fn cannot(&self, name: &str, words: &str) -> Result<Warning> {
        let error = go_command::explain(&format!("{name}: does not resolve"), words);
        if matches!(error.kind, ErrorKind::Network | ErrorKind::NoSpace | ErrorKind::HashConflict | ErrorKind::NoRecord)
        {
            return Err(error);
        }
        let cause = error.causes.first().cloned().unwrap_or_default();
        Ok(Warning::new(format!("{name}: does not resolve here, and will not inside: {cause}"), None))
    }
}
