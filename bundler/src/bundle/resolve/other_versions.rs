//! One module at another version, in a root that is otherwise as it is: what `go get MODULE@VERSION` and `go mod tidy` ask for.

use super::packages::is_refusal;
use super::{Listed, ModuleList, Resolved, Resolver, mismatch};
use crate::bundle::ahead::Trees;
use crate::bundle::root::{Root, write};
use crate::error::{Error, ErrorKind, Result, Warning};
use crate::go_command;
use modferry_format::ModuleVersion;
use modferry_format::go_sum::GoSum;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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
    pub(crate) fn with_version(&self, roots: &[Root], version: &ModuleVersion) -> Result<Resolved> {
        let mut brought = Resolved::default();
        if let Some(ahead) = self.ahead {
            ahead.fetch(std::slice::from_ref(version), self.sources, &GoSum::default(), Trees::Heads)?;
        }
        let name = version.to_string();
        let Some(first) = roots.first() else { return Ok(brought) };
        let output = self.plain.run(&first.scratch, &["mod", "download", &name], &mut || {})?;
        if !output.status.success() {
            self.cannot(&name, &output.stderr, &first.scratch, &mut brought)?;
            return Ok(brought);
        }
        for root in roots.iter().filter(|root| root.paths.contains(version.path().as_str())) {
            root.restore()?;
            self.changed(root, version, &mut brought)?;
        }
        Ok(brought)
    }

    /// One root with this version.
    fn changed(&self, root: &Root, version: &ModuleVersion, brought: &mut Resolved) -> Result<()> {
        let mut dir = root.scratch.file_name().unwrap_or_default().to_owned();
        dir.push("-changed");
        let dir = root.scratch.with_file_name(dir);
        fs::create_dir_all(&dir).map_err(|error| Error::io(&dir, "could not be made", &error))?;
        let (go_mod, go_sum) = (dir.join("go.mod"), dir.join("go.sum"));
        write(&go_mod, &root.go_mod)?;
        // What go has verified for the root need not be asked again.
        let _ = fs::copy(root.scratch.join("go.sum"), go_sum);
        let name = format!("{} with {version}", root.name);
        self.plain.must(&dir, &["mod", "edit", &format!("-require={version}"), "go.mod"], &name)?;
        let file = format!("-modfile={}", go_mod.display());
        let output = self.plain.run(&root.scratch, &["list", "-m", &file, "-json", "all"], &mut || {})?;
        if !output.status.success() {
            return self.cannot(&name, &output.stderr, &dir, brought);
        }
        let listed = ModuleList(go_command::json_stream(&output.stdout, &name)?);
        if !root.has_packages() {
            let selected = listed.versions(&name)?;
            if let Some(ahead) = self.ahead {
                ahead.fetch(&selected, self.sources, &root.go_sum, Trees::Heads)?;
            }
            match self.download(self.plain, &root.scratch, &name, &[&file, "all"], &selected, &|| Ok(())) {
                Ok(refused) => brought.warnings.extend(refused.first().map(super::refused_warning)),
                Err(error) => self.without(&name, error, &dir, brought)?,
            }
            return Ok(());
        }
        root.copy_packages(self)?;
        self.fetch_by_imports(root, &listed)?;
        let output = self.plain.run(&root.scratch, &["mod", "tidy", "-e", &file], &mut || {})?;
        // With -e go goes on where it refuses a module, and says so.
        let is_refused = is_refusal(&output.stderr) || output.stderr.contains(mismatch::SIGN);
        if !output.status.success() || is_refused {
            return self.cannot(&name, &output.stderr, &dir, brought);
        }
        Ok(())
    }

    /// A version that a root cannot take is carried all the same; whoever tries it inside hears the same.
    fn cannot(&self, name: &str, words: &str, dir: &Path, brought: &mut Resolved) -> Result<()> {
        self.without(name, go_command::explain(&format!("{name}: does not resolve"), words), dir, brought)
    }

    fn without(&self, name: &str, error: Error, dir: &Path, brought: &mut Resolved) -> Result<()> {
        if matches!(error.kind, ErrorKind::Network | ErrorKind::NoSpace | ErrorKind::NoRecord) {
            return Err(error);
        }
        let cause = mismatch::told(&error);
        if error.kind == ErrorKind::HashConflict {
            self.leave_out(error, dir, &mut brought.mismatched)?;
        }
        let message = format!("{name}: does not resolve here, and will not inside: {cause}");
        brought.warnings.push(Warning::new(message, None));
        Ok(())
    }
}
