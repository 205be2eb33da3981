//! Lets the real go command fill a module cache with the closure of a root.
//!
//! 1. where go verifies: `go mod graph` loads every go.mod of the graph, as the main module's own go line prunes it
//! 2. `go list -m -json all` does the same, names the selected versions and loads their infos
//! 3. the zips of the level are fetched ahead, see `ahead`. Where go would unpack them there is an empty directory, or the
//!    heads of their Go files where a level loads packages: go takes a version whose directory and `.ziphash` are there
//!    for unpacked. That is three quarters of its work (measured on prometheus: 5 s instead of 12 s, 360 MB instead of
//!    2.2 GB). Where a go should not take the directory for unpacked, it unpacks: slower, not wrong
//! 4. `go mod download`, or `go mod download all`, fetches what is missing; and verifies all of it where go is to do that
//! 5. level `work`: packages are loaded, see `packages`
//! 6. level `upgrade`: see `upgrade`
//! 7. infos of versions that are only in the graph are asked for one by one, see `fill`
//!
//! closure.md has the measurements that each level's commands come from.

mod download;
mod fill;
mod got;
mod mismatch;
mod other_versions;
mod packages;
mod upgrade;
mod walk;
mod workspace;

pub(crate) use mismatch::Mismatch;
pub(crate) use workspace::quoted;

use crate::bundle::Verify;
use crate::bundle::ahead::{Ahead, Trees};
use crate::bundle::records_ahead::Expected;
use crate::bundle::root::Root;
use crate::context::{Context, Event};
use crate::error::{Error, ErrorKind, Result, Warning};
use crate::go_command::{self, Go};
use crate::module_cache;
use crate::work_space;
use modferry_format::ModuleVersion;
use modferry_format::header::{Level, RootKind};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

/// What go needs to resolve a root.
pub(crate) struct Resolver<'a> {
    /// Asks the user's proxies only: for queries.
    pub(crate) plain: &'a Go,
    /// Asks local sources of exact versions first.
    pub(crate) with_sources: &'a Go,
    /// Fetches zips before go asks for them; none leaves all to go.
    pub(crate) ahead: Option<&'a Ahead<'a>>,
    /// Who holds what comes to the checksum database.
    pub(crate) verify: Verify,
    /// Who fetches records meanwhile.
    pub(crate) expected: Option<&'a Expected>,
    /// The local sources.
    pub(crate) sources: &'a [PathBuf],
    /// The child's module cache.
    pub(crate) module_cache: &'a Path,
    /// Progress and interruption.
    pub(crate) context: &'a Context<'a>,
}

/// What a root comes to.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    /// Zips that upstream refuses though nothing needs them.
    pub(crate) refused: Vec<Refused>,
    /// Paths of all selected modules, that of the root too, whatever replaces them.
    pub(crate) paths: Vec<String>,
    /// What plain `go mod download` gets: level `build`.
    pub(crate) named: BTreeSet<ModuleVersion>,
    /// All selected versions, replacements applied: what level `all` has zips of.
    pub(crate) selected: Vec<ModuleVersion>,
    /// What the user should know.
    pub(crate) warnings: Vec<Warning>,
    /// What the checksum database contradicts and nothing of the root needs.
    pub(crate) mismatched: BTreeSet<Mismatch>,
    modules: ModuleList,
    /// The go.mod files that upgrades came to.
    upgraded: BTreeSet<Vec<u8>>,
}

impl Resolved {
    /// The selected versions of modules that nothing replaces.
    pub(crate) fn unreplaced(&self) -> BTreeSet<ModuleVersion> {
        let modules = self.modules.0.iter().filter(|module| module.replace.is_none());
        modules.filter_map(|module| module.carried("").transpose().ok().flatten()).collect()
    }
}

/// The build list as `go list -m -json all` prints it.
#[derive(Debug, Default)]
struct ModuleList(Vec<Listed>);

impl ModuleList {
    /// The versions to carry, replacements applied.
    fn versions(&self, name: &str) -> Result<Vec<ModuleVersion>> {
        self.0.iter().filter_map(|module| module.carried(name)).collect()
    }

    /// Those of them that stand for one of these module paths.
    fn below(&self, name: &str, paths: &BTreeSet<String>) -> Result<Vec<ModuleVersion>> {
        let named = self.0.iter().filter(|module| paths.contains(&module.path));
        named.filter_map(|module| module.carried(name)).collect()
    }

    /// The paths that packages are imported by.
    fn paths(&self) -> Vec<String> {
        self.0.iter().map(|module| module.path.clone()).collect()
    }
}

impl Listed {
    /// The version whose files are carried; none for what is in a directory.
    fn carried(&self, name: &str) -> Option<Result<ModuleVersion>> {
        if self.main {
            return None;
        }
        let module = self.replace.as_deref().unwrap_or(self);
        if module.version.is_empty() {
            return None;
        }
        let text = format!("{}@{}", module.path, module.version);
        Some(text.parse().map_err(|invalid| {
            Error::new(ErrorKind::Root, format!("{name}: {text} cannot be carried")).because(format!("{invalid}"))
        }))
    }
}

/// A zip of the closure that upstream does not give and that no package needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Refused {
    /// Whose zip.
    pub(crate) version: ModuleVersion,
    /// In go's words.
    pub(crate) words: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    path: String,
    #[serde(default)]
    version: String,
    replace: Option<Box<Listed>>,
    #[serde(default)]
    main: bool,
    error: Option<Problem>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Problem {
    err: String,
}

impl Resolver<'_> {
    /// Asks upstream which version a query means.
    pub(crate) fn query(&self, module: &str, query: &str, scratch: &Path) -> Result<ModuleVersion> {
        let subject = format!("{module}@{query}");
        let output = self.plain.must(scratch, &["list", "-m", "-json", &subject], &subject)?;
        let listed: Vec<Listed> = go_command::json_stream(&output.stdout, &subject)?;
        let [listed] = &listed[..] else {
            return Err(Error::new(ErrorKind::GoFailed, format!("{subject}: go list named {} modules", listed.len())));
        };
        format!("{}@{}", listed.path, listed.version).parse().map_err(|invalid| {
            Error::new(ErrorKind::GoFailed, format!("{subject}: go named no version")).because(format!("{invalid}"))
        })
    }

    /// Steps 1 to 6 for one root.
    pub(crate) fn closure(&self, root: &Root) -> Result<Resolved> {
        if !root.header.platforms.is_empty() {
            return self.narrowed(root);
        }
        let mut resolved = self.fetch(root)?;
        match root.header.level {
            Level::Build => self.prove_build(root, &mut resolved)?,
            Level::Work => self.work(root, &mut resolved)?,
            Level::All => {
                self.judge_all(root, &mut resolved)?;
                self.cover_got(root, &mut resolved)?;
            }
            Level::Upgrade | Level::UpgradeEach => {
                self.judge_all(root, &mut resolved)?;
                self.upgrade(root, &mut resolved)?;
            }
        }
        root.restore()?;
        // What stands for an unpacked module here is none for a root that loads packages.
        for version in &resolved.selected {
            let _ = fs::remove_dir(module_cache::extracted_dir(self.module_cache, version));
        }
        Ok(resolved)
    }

    /// Level `work` on what level `all` has brought, for a project that imports what no module of its graph has.
    pub(crate) fn load_untidy(&self, root: &Root, resolved: &mut Resolved) -> Result<()> {
        work_space::remove_extracted(self.module_cache);
        self.work(root, resolved)?;
        work_space::remove_extracted(self.module_cache);
        root.restore()
    }

    /// Steps 1 to 4, from local sources and upstream, or from upstream alone where a local file is not good: a damaged
    /// module cache of this machine must neither stop a bundle nor thin it out.
    fn fetch(&self, root: &Root) -> Result<Resolved> {
        if root.has_queries {
            return self.fetch_by(self.plain, root, self.sources);
        }
        match self.fetch_by(self.with_sources, root, self.sources) {
            Ok(resolved) if resolved.refused.is_empty() => return Ok(resolved),
            Err(error) if matches!(error.kind, ErrorKind::Interrupted | ErrorKind::NoSpace) => return Err(error),
            _ => {}
        }
        root.restore()?;
        // What was refused may stand there, see `mismatch`.
        let _ = fs::remove_file(root.scratch.join("go.sum"));
        if let Some(ahead) = self.ahead {
            ahead.forget_local();
        }
        let resolved = self.fetch_by(self.plain, root, &[])?;
        if resolved.refused.is_empty() {
            let note = format!(
                "{}: a file in the module cache of this machine is not good; upstream was asked instead",
                root.name
            );
            self.context.progress.event(Event::Note(&note));
        }
        Ok(resolved)
    }

    fn fetch_by(&self, go: &Go, root: &Root, sources: &[PathBuf]) -> Result<Resolved> {
        let load_graph =
            || go.must(&root.scratch, &["mod", "graph"], &root.name).map_err(|error| root.explained(error));
        if self.verify == Verify::ByGo {
            load_graph()?;
        }
        let listed = self.list(go, root).or_else(|error| {
            // Of a graph that does not load, `mod graph` says in fewer words why.
            load_graph()?;
            // Where it does, a version that nothing but its list needs may be gone, and level `build` promises no list.
            let is_gone =
                root.header.level == Level::Build && matches!(error.kind, ErrorKind::NotFound | ErrorKind::GoFailed);
            if is_gone { self.list_with(go, &root.scratch, &root.name, &["-e"]) } else { Err(error) }
        })?;
        if let Some(expected) = self.expected {
            expected.add_all_in(self.module_cache);
        }
        let selected = listed.versions(&root.name)?;
        let named = if root.is_pruned() { listed.below(&root.name, &root.required)? } else { selected.clone() };
        // Without pruning plain `go mod download` gets all of it, too.
        let carries_all = root.header.level >= Level::All || !root.is_pruned();
        let wanted = if carries_all { &selected } else { &named };
        // Of a project level `all` loads no packages; what makes a module of ours has loaded them anyway.
        let loads_none = root.header.level == Level::All && root.header.kind != RootKind::Version;
        let trees = if loads_none { Trees::None } else { Trees::Heads };
        if let Some(ahead) = self.ahead {
            // Side by side: zips from this machine take processors, infos wait for the network.
            thread::scope(|scope| {
                let fetch_infos = || if self.verify == Verify::ByRecords { ahead.fetch_infos(sources) } else { Ok(()) };
                let infos = thread::Builder::new().spawn_scoped(scope, fetch_infos);
                let zips = ahead.fetch(wanted, sources, &root.go_sum, trees);
                let infos = infos.map_or(Ok(()), |infos| infos.join().unwrap_or(Ok(())));
                zips.and(infos)
            })?;
        }
        root.restore()?;
        let refused = if self.verify == Verify::ByRecords && self.has_all(wanted) {
            Vec::new()
        } else {
            if trees == Trees::None {
                self.make_empty_dirs(wanted)?;
            }
            let arguments: &[&str] = if carries_all { &["all"] } else { &[] };
            self.download(go, &root.scratch, &root.name, arguments, wanted, &|| root.restore())?
        };
        Ok(Resolved {
            refused,
            paths: listed.paths(),
            named: named.into_iter().collect(),
            selected,
            warnings: Vec::new(),
            mismatched: BTreeSet::new(),
            modules: listed,
            upgraded: BTreeSet::new(),
        })
    }

    /// Whether there is nothing left to download of these versions.
    fn has_all(&self, versions: &[ModuleVersion]) -> bool {
        versions.iter().all(|version| {
            let zip = module_cache::zip_file(self.module_cache, version);
            ["zip", "ziphash", "mod", "info"].iter().all(|suffix| zip.with_extension(suffix).exists())
        })
    }

    /// What go takes for unpacked.
    fn make_empty_dirs(&self, versions: &[ModuleVersion]) -> Result<()> {
        versions.iter().try_for_each(|version| {
            let dir = module_cache::extracted_dir(self.module_cache, version);
            fs::create_dir_all(&dir).map_err(|error| Error::io(&dir, "could not be made", &error))
        })
    }

    /// Level `all` and above: what could not be fetched must not be needed by any package.
    fn judge_all(&self, root: &Root, resolved: &mut Resolved) -> Result<()> {
        self.workspace_beyond(root, resolved)?;
        let is_old = root.has_older_view();
        if root.has_packages() && (!resolved.refused.is_empty() || is_old) {
            work_space::remove_extracted(self.module_cache);
            root.copy_packages(self)?;
            if is_old {
                self.tidy(root, &["-compat=1.16"])?;
            }
            self.judge(root, &resolved.refused)?;
            self.forget_fetched(&mut resolved.refused);
            work_space::remove_extracted(self.module_cache);
        } else if let Some(first) = resolved.refused.first() {
            let subject = format!("{}: {} could not be fetched", root.name, first.version);
            let error = go_command::explain(&subject, &first.words);
            return Err(match root.header.kind {
                RootKind::GoMod => {
                    error.hint("with the module's directory as root, a zip that no package needs may be missing")
                }
                _ => error,
            });
        }
        Ok(())
    }

    /// Loading packages may have had better luck than the download.
    fn forget_fetched(&self, refused: &mut Vec<Refused>) {
        refused.retain(|refused| !module_cache::zip_file(self.module_cache, &refused.version).exists());
    }

    fn list(&self, go: &Go, root: &Root) -> Result<ModuleList> {
        self.list_in(go, &root.scratch, &root.name)
    }

    fn list_in(&self, go: &Go, dir: &Path, name: &str) -> Result<ModuleList> {
        self.list_with(go, dir, name, &[])
    }

    fn list_with(&self, go: &Go, dir: &Path, name: &str, flags: &[&str]) -> Result<ModuleList> {
        let output = go.must(dir, &[&["list", "-m", "-json"], flags, &["all"]].concat(), name)?;
        Ok(ModuleList(go_command::json_stream(&output.stdout, name)?))
    }

    fn tidy(&self, root: &Root, flags: &[&str]) -> Result<bool> {
        root.restore()?;
        let arguments = [&["mod", "tidy"], flags].concat();
        Ok(self.plain.run(&root.scratch, &arguments, &mut || {})?.status.success())
    }

    /// Whether what the level promises does without the zips that failed: the packages of the root and their tests, and above
    /// level `build` `go mod tidy`.
    fn judge(&self, root: &Root, failed: &[Refused]) -> Result<()> {
        let Some(first) = failed.first() else { return Ok(()) };
        root.restore()?;
        let is_build = root.header.level == Level::Build;
        let packages = if is_build { "./..." } else { "all" };
        let output = self.plain.run(&root.scratch, &["list", "-deps", "-test", packages], &mut || {})?;
        if !output.status.success() || (!is_build && !self.tidy(root, &[])?) {
            return Err(packages::refused_error(&root.name, first));
        }
        Ok(())
    }
}

/// The warning for a zip that is left out.
pub(crate) fn refused_warning(refused: &Refused) -> Warning {
    let words = refused.words.lines().next().unwrap_or_default();
    Warning::new(
        format!("{}: upstream refuses it, and no package needs it: left out ({words})", refused.version),
        Some("go mod download will fail for it inside, or go mod download all; build, test and vet will not"),
    )
}
