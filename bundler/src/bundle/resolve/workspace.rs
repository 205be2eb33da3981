//! Workspaces: those of the user, and the one that a module alone would make.
//!
//! A workspace leaves no requirement of its modules out of the graph, and `go mod download` in it gets all of the build list.
//! So a user's workspace is resolved as `go work` sees it at every level, and each of its modules is a root as well, for what
//! developers do with GOWORK=off (closure.md 4).

use super::{ModuleList, Resolved, Resolver};
use crate::bundle::ahead::Trees;
use crate::bundle::root::{Root, write};
use crate::bundle::workspace::Workspace;
use crate::error::{Error, ErrorKind, Result};
use crate::go_command::{self, Go};
use crate::module_cache;
use modferry_format::ModuleVersion;
use modferry_format::header::Level;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

impl Resolver<'_> {
    /// The closure of a workspace, without that of its members alone.
    pub(crate) fn workspace(&self, space: &Workspace) -> Result<Resolved> {
        let go = self.plain.in_workspace(&space.go_work);
        let restore = || space.restore();
        go.must(&space.dir, &["mod", "graph"], &space.name)?;
        let mut resolved = Resolved::default();
        self.fetch_workspace(&go, space, &mut resolved)?;
        let patterns: Vec<String> = space.patterns();
        let load: Vec<&str> =
            ["list", "-deps", "-test"].into_iter().chain(patterns.iter().map(String::as_str)).collect();
        resolved.warnings.extend(self.load_in(&go, &space.dir, &space.name, &load, &restore)?);
        if space.header.level > Level::Build {
            // It may raise versions, in the go.mod files as well.
            resolved.warnings.extend(self.load_in(&go, &space.dir, &space.name, &["work", "sync"], &restore)?);
            self.fetch_workspace(&go, space, &mut resolved)?;
            space.restore()?;
        }
        if let Some(first) = resolved.refused.first()
            && resolved.warnings.is_empty()
        {
            return Err(super::packages::refused_error(&space.name, first));
        }
        Ok(resolved)
    }

    /// What `go mod download` gets in the workspace as it is.
    fn fetch_workspace(&self, go: &Go, space: &Workspace, resolved: &mut Resolved) -> Result<()> {
        let listed = self.list_in(go, &space.dir, &space.name)?;
        let selected = listed.versions(&space.name)?;
        if let Some(ahead) = self.ahead {
            ahead.fetch(&selected, self.sources, &space.go_sum, Trees::Heads)?;
        }
        let refused = self.download(go, &space.dir, &space.name, &[], &selected, &|| Ok(()))?;
        resolved.refused.extend(refused);
        resolved.paths.extend(listed.paths());
        resolved.named.extend(selected.iter().cloned());
        resolved.selected.extend(selected);
        Ok(())
    }

    /// A go.work with the copy of a module alone, beside the copy.
    pub(super) fn own_workspace(&self, root: &Root) -> Result<PathBuf> {
        let mut name = root.scratch.file_name().unwrap_or_default().to_owned();
        name.push("-workspace");
        let dir = root.scratch.with_file_name(name);
        fs::create_dir_all(&dir).map_err(|error| Error::io(&dir, "could not be made", &error))?;
        let file = dir.join("go.work");
        let language = self.plain.version().trim_start_matches("go");
        write(&file, format!("go {language}\n\nuse {}\n", quoted(&root.scratch)).as_bytes())?;
        Ok(file)
    }

    /// Level `all` loads no packages, so it takes of a workspace of one module what may be asked for: another version of a
    /// module that is selected, and modules whose path begins as that of a selected one does, or goes on after it: go looks
    /// into each that could have a package.
    pub(super) fn workspace_beyond(&self, root: &Root, resolved: &mut Resolved) -> Result<()> {
        let go = self.plain.in_workspace(&self.own_workspace(root)?);
        root.restore()?;
        let Ok(listed) = self.list_in(&go, &root.scratch, &root.name) else {
            // A go.mod that is not tidy does not do in a workspace.
            return root.restore();
        };
        self.graph_of_sync(root, &listed)?;
        let selected: BTreeSet<&ModuleVersion> = resolved.selected.iter().collect();
        let is_asked_for = |path: &str| {
            let below = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
            resolved.paths.iter().any(|known| known == path || below(known, path) || below(path, known))
        };
        let mut beyond = Vec::new();
        for module in listed.0.iter().filter(|module| is_asked_for(&module.path)) {
            beyond.extend(module.carried(&root.name).transpose()?.filter(|version| !selected.contains(version)));
        }
        if beyond.is_empty() {
            return root.restore();
        }
        for version in &beyond {
            let dir = module_cache::extracted_dir(self.module_cache, version);
            fs::create_dir_all(&dir).map_err(|error| Error::io(&dir, "could not be made", &error))?;
        }
        if let Some(ahead) = self.ahead {
            ahead.fetch(&beyond, self.sources, &root.go_sum, Trees::None)?;
        }
        let names: Vec<String> = beyond.iter().map(ToString::to_string).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match self.download(self.plain, &root.scratch, &root.name, &names, &beyond, &|| root.restore()) {
            Ok(refused) => resolved.refused.extend(refused),
            Err(error) => self.leave_out(error, &root.scratch, &mut resolved.mismatched)?,
        }
        resolved.selected.extend(beyond);
        root.restore()
    }

    /// The go.mod files that `go work sync` asks for: it makes a requirement of what is selected, and the graph goes on below
    /// each requirement. It does without those that are not there, so what cannot be had is no error.
    fn graph_of_sync(&self, root: &Root, listed: &ModuleList) -> Result<()> {
        let mut text = root.current()?;
        for module in listed.0.iter().filter(|module| !module.main && !module.version.is_empty()) {
            text.extend_from_slice(format!("\nrequire {} {}\n", module.path, module.version).as_bytes());
        }
        root.put(&text)?;
        self.plain.run(&root.scratch, &["mod", "graph"], &mut || {})?;
        root.restore()
    }

    /// The error where go.work itself cannot be used.
    pub(crate) fn check_workspace(&self, space: &Workspace) -> Result<()> {
        let go = self.plain.in_workspace(&space.go_work);
        let output = go.run(&space.dir, &["list", "-m"], &mut || {})?;
        if output.status.success() {
            return Ok(());
        }
        let error = go_command::explain(&format!("{}: go cannot use its go.work", space.name), &output.stderr);
        Err(Error { kind: ErrorKind::Root, ..error })
    }
}

/// A path as go.work files take any: in double quotes.
pub(crate) fn quoted(path: &std::path::Path) -> String {
    let text = path.to_string_lossy().replace('\\', "/");
    format!("\"{}\"", text.replace('"', "\\\""))
}
