//! The closures of all roots, brought together, with what there is to say about them.

mod left_out;

use crate::bundle::records::Records;
use crate::bundle::request::Request;
use crate::bundle::resolve::{self, Mismatch, Refused, Resolved, Resolver};
use crate::bundle::root::Root;
use crate::bundle::toolchains::{self, Platform};
use crate::bundle::workspace::Workspace;
use crate::bundle::{Options, Summary, exact, go_mod_json, imports, seal, surroundings};
use crate::context::{Context, Event};
use crate::error::{Error, ErrorKind, Result, Warning};
use crate::module_cache;
use crate::work_space::WorkSpace;
use modferry_format::go_sum::GoSum;
use modferry_format::header::{
    Counts, DEFAULT_CHANNEL, DRAFT, FORMAT, Header, Level, LevelCost, Observation, Root as HeaderRoot, RootKind,
};
use modferry_format::{ModulePath, ModuleVersion};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What resolving has brought together.
#[derive(Default)]
pub(crate) struct Closure {
    pub(crate) roots: Vec<HeaderRoot>,
    pub(crate) observations: BTreeSet<Observation>,
    pub(super) refused: BTreeSet<Refused>,
    without_info: BTreeSet<ModuleVersion>,
    /// What is in a graph, and upstream has no go.mod of; nothing promised asks for it.
    without_go_mod: BTreeSet<ModuleVersion>,
    /// What the checksum database contradicts, and no root needs.
    mismatched: BTreeSet<Mismatch>,
    warnings: Vec<Warning>,
    /// Versions of Go that the roots ask for.
    pub(crate) toolchains: BTreeSet<String>,
    /// What the go.sum files of the projects and those of the child state.
    pub(crate) statements: seal::Statements,
    /// What came of roots that are exact lists.
    pub(crate) exact: exact::Brought,
    /// What level `build` has zips of, and what level `all` has.
    pub(super) named: BTreeSet<ModuleVersion>,
    pub(super) selected: BTreeSet<ModuleVersion>,
    /// Those of them whose go.mod is promised: all, but of level `build`.
    graph: BTreeSet<ModuleVersion>,
    /// What every level has zips of: toolchains.
    pub(crate) always: BTreeSet<ModuleVersion>,
    pub(super) costs: Vec<LevelCost>,
    /// The roots with their scratch directories, for what is done with them once all are resolved.
    pub(crate) resolved: Vec<Root>,
}

impl Closure {
    pub(crate) fn warn(&mut self, context: &Context<'_>, warning: Warning) {
        // What is resolved in several ways may fail in the same way.
        if !self.warnings.contains(&warning) {
            context.progress.event(Event::Warning(&warning));
            self.warnings.push(warning);
        }
    }

    /// Resolves one root with all its lives.
    pub(crate) fn add(
        &mut self,
        request: &Request,
        options: &Options,
        number: usize,
        space: &WorkSpace,
        resolver: &Resolver<'_>,
    ) -> Result<()> {
        let context = resolver.context;
        context.progress.event(Event::Note(&format!("resolving {}", request.name())));
        let scratch = |life: &str| space.scratch(&format!("{number}-{life}"));
        let level = options.level.unwrap_or(Level::Work);
        match request {
            Request::Directory(directory) => {
                let go_work = directory.join("go.work");
                let is_off = context.environment.get("GOWORK").is_some_and(|value| value == "off");
                if go_work.is_file() && !is_off && surroundings::has_all_members(&go_work) {
                    return self.add_workspace(&go_work, level, number, space, resolver);
                }
                if !is_off {
                    self.warnings_of(surroundings::workspace_above(directory), context);
                }
                self.add_module(&directory.join("go.mod"), level, &options.platforms, scratch("module")?, resolver)
            }
            Request::Workspace(go_work) => self.add_workspace(go_work, level, number, space, resolver),
            Request::GoModFile(file) => {
                if options.level.is_some_and(|level| level != Level::All) {
                    let message = format!("{}: is a go.mod file alone, which has no packages to load", file.display());
                    return Err(Error::new(ErrorKind::Usage, message)
                        .hint("level all does without; name the directory of the module for other levels"));
                }
                let (root, warnings) =
                    Root::local(RootKind::GoMod, Level::All, file, scratch("module")?, resolver.plain)?;
                warnings.into_iter().for_each(|warning| self.warn(context, warning));
                self.add_local(root, resolver)
            }
            Request::Version { module, query } => {
                let version = self.version(module, query, &scratch("query")?, resolver)?;
                self.add_version(&version, level, scratch, resolver)
            }
            // Exact lists are brought by themselves.
            Request::Exact(..) => Ok(()),
            Request::Tool { package, query } => self.add_tool(package, query, level, scratch, resolver),
        }
    }

    fn add_module(
        &mut self,
        go_mod: &Path,
        level: Level,
        platforms: &[Platform],
        scratch: PathBuf,
        resolver: &Resolver<'_>,
    ) -> Result<()> {
        let (mut root, warnings) = Root::local(RootKind::Module, level, go_mod, scratch, resolver.plain)?;
        warnings.into_iter().for_each(|warning| self.warn(resolver.context, warning));
        if level == Level::Build {
            root.header.platforms = go_mod_json::sorted(platforms.iter().map(Platform::slashed));
        }
        self.add_local(root, resolver)
    }

    fn add_local(&mut self, root: Root, resolver: &Resolver<'_>) -> Result<()> {
        self.statements.push((format!("go.sum of {}", root.name), root.go_sum.clone()));
        let header = root.header.clone();
        self.resolve(root, resolver)?;
        self.roots.push(header);
        Ok(())
    }

    /// A workspace, and each of its modules for what is done with GOWORK=off.
    fn add_workspace(
        &mut self,
        go_work: &Path,
        level: Level,
        number: usize,
        space: &WorkSpace,
        resolver: &Resolver<'_>,
    ) -> Result<()> {
        let context = resolver.context;
        let workspace =
            Workspace::open(go_work, level, space.scratch(&format!("{number}-workspace"))?, resolver.plain)?;
        resolver.check_workspace(&workspace)?;
        self.toolchains.extend(fs::read(go_work).ok().and_then(|text| toolchains::asked_by(&text)));
        let resolved = resolver.workspace(&workspace)?;
        self.graph.extend(resolved.selected.iter().cloned());
        self.take(resolved, context);
        self.state(&workspace.dir.join("go.work.sum"), &workspace.name)?;
        self.statements.extend(workspace.sums);
        self.roots.push(workspace.header);
        if level == Level::Build {
            return Ok(());
        }
        for (member, go_mod) in workspace.members.iter().enumerate() {
            context.progress.event(Event::Note(&format!("resolving {} alone", go_mod.display())));
            let scratch = space.scratch(&format!("{number}-member-{member}"))?;
            match self.add_module(go_mod, level, &[], scratch, resolver) {
                // It counts on its neighbours; with them it is carried.
                Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::GoFailed) => {
                    let cause = error.causes.first().map_or_else(String::new, |cause| format!(" ({cause})"));
                    let message =
                        format!("{}: does not resolve outside its workspace: {error}{cause}", go_mod.display());
                    self.warn(
                        context,
                        Warning::new(message, Some("inside, GOWORK=off will fail for it as it does here")),
                    );
                }
                added => added?,
            }
        }
        Ok(())
    }

    fn add_version(
        &mut self,
        version: &ModuleVersion,
        level: Level,
        scratch: impl Fn(&str) -> Result<PathBuf>,
        resolver: &Resolver<'_>,
    ) -> Result<()> {
        let context = resolver.context;
        let dependency = Root::dependency(version, level, scratch("dependency")?, resolver)?;
        let mut header = dependency.header.clone();
        self.resolve(dependency, resolver)?;
        if let Some(go_mod) =
            module_cache::versions(resolver.module_cache)?.get(version).and_then(|files| files.go_mod.clone())
        {
            let main = Root::main_module(version, level, &go_mod, scratch("main")?, resolver).and_then(|root| {
                let header = root.header.clone();
                self.resolve(root, resolver).map(|()| header)
            });
            match main {
                Ok(main) => header = main,
                // Another content than the log has is no matter of how a module was published: work on it needs those bytes.
                Err(error)
                    if matches!(error.kind, ErrorKind::Interrupted | ErrorKind::NoSpace | ErrorKind::HashConflict) =>
                {
                    return Err(error);
                }
                Err(error) => {
                    let cause = error.causes.first().map_or_else(String::new, |cause| format!(" ({cause})"));
                    let message = format!(
                        "{version}: carried as a dependency only; as a main module it does not resolve: {error}{cause}"
                    );
                    self.warn(
                        context,
                        Warning::new(message, Some("to work on the module itself, bundle a checkout of it")),
                    );
                }
            }
        }
        self.roots.push(header);
        Ok(())
    }

    /// A program: as a tool of a module, and as `go install` sees it, in the graph of its own module.
    fn add_tool(
        &mut self,
        package: &str,
        query: &str,
        level: Level,
        scratch: impl Fn(&str) -> Result<PathBuf>,
        resolver: &Resolver<'_>,
    ) -> Result<()> {
        let root = Root::tool(package, query, level, scratch("tool")?, resolver.plain)?;
        let version = root.header.version.clone().unwrap_or_default();
        if version != query {
            let (module, query) = (root.header.module.clone(), query.to_owned());
            self.observations.insert(Observation { module, query, version: version.clone() });
        }
        let header = root.header.clone();
        self.resolve(root, resolver)?;
        self.warnings_of(resolver.installed(&format!("{package}@{version}"), &scratch("install")?)?, resolver.context);
        self.roots.push(header);
        Ok(())
    }

    pub(crate) fn warnings_of(&mut self, warnings: impl IntoIterator<Item = Warning>, context: &Context<'_>) {
        warnings.into_iter().for_each(|warning| self.warn(context, warning));
    }

    /// The version that a query means today, which is noted.
    fn version(
        &mut self,
        module: &ModulePath,
        query: &str,
        scratch: &Path,
        resolver: &Resolver<'_>,
    ) -> Result<ModuleVersion> {
        if let Ok(version) = format!("{module}@{query}").parse() {
            return Ok(version);
        }
        let version = resolver.query(module.as_str(), query, scratch)?;
        self.observe(version.clone(), query);
        Ok(version)
    }

    fn resolve(&mut self, mut root: Root, resolver: &Resolver<'_>) -> Result<()> {
        let context = resolver.context;
        if root.sources().is_some() || matches!(root.header.kind, RootKind::GoMod | RootKind::Version) {
            self.toolchains.extend(toolchains::asked_by(&root.go_mod));
        }
        let with_chain = |error| resolver.with_chain(&root, error);
        let mut resolved = resolver.closure(&root).map_err(with_chain)?;
        if let Some(sources) = root.sources() {
            let untidy = imports::warnings(&root.name, sources, &root.ignored, &resolved.paths);
            if !untidy.is_empty() && root.header.level == Level::All {
                // Of such a project the modules that are listed are not all that go mod tidy asks for.
                resolver.load_untidy(&root, &mut resolved).map_err(with_chain)?;
            }
            self.warnings_of(untidy, context);
        }
        root.paths = resolved.paths.iter().cloned().collect();
        root.selected = resolved.unreplaced();
        if root.header.level > Level::Build {
            self.graph.extend(resolved.selected.iter().cloned());
        }
        self.take(resolved, context);
        self.state(&root.scratch.join("go.sum"), &root.name)?;
        self.resolved.push(root);
        Ok(())
    }

    pub(super) fn observe(&mut self, version: ModuleVersion, query: &str) {
        if version.version().as_str() != query {
            self.observations.insert(observation(&version, query));
        }
    }

    pub(super) fn take(&mut self, resolved: Resolved, context: &Context<'_>) {
        self.warnings_of(resolved.warnings, context);
        self.named.extend(resolved.named);
        self.selected.extend(resolved.selected);
        for refused in resolved.refused {
            if !self.refused.contains(&refused) {
                self.warn(context, resolve::refused_warning(&refused));
            }
            self.refused.insert(refused);
        }
        for mismatch in resolved.mismatched {
            if !self.mismatched.contains(&mismatch) {
                self.warn(context, mismatch.warning());
            }
            self.mismatched.insert(mismatch);
        }
    }

    /// Takes what go has verified as a statement.
    fn state(&mut self, sum: &Path, name: &str) -> Result<()> {
        if let Ok(text) = fs::read_to_string(sum) {
            let sums = GoSum::parse(&text).map_err(|invalid| {
                Error::new(ErrorKind::GoFailed, format!("{name}: go wrote a go.sum that cannot be read"))
                    .because(invalid.to_string())
            })?;
            self.statements.push(("go, after its checks".to_owned(), sums));
        }
        Ok(())
    }

    pub(crate) fn header(&self, created: jiff::Timestamp, go: &str, records: &Records) -> Header {
        Header {
            format: FORMAT,
            requires_features: Vec::new(),
            draft: DRAFT,
            channel: DEFAULT_CHANNEL.to_owned(),
            created: created.to_string(),
            tool: concat!("modferry ", env!("CARGO_PKG_VERSION")).to_owned(),
            go: go.to_owned(),
            roots: sorted(self.roots.clone()),
            base: records.base.clone(),
            without_record: records.without_record.clone(),
            databases: records.databases(),
            observations: self.observations.iter().cloned().collect(),
            not_carried: self.not_carried(),
            counts: Counts::default(),
            bytes: 0,
            levels: self.costs.clone(),
            closure: Vec::new(),
        }
    }

    pub(crate) fn summary(self, go: &str, counts: Counts, bytes: u64) -> Summary {
        let not_carried = self.not_carried();
        Summary {
            id: None,
            sha256: None,
            out: None,
            counts,
            bytes,
            seconds: Duration::ZERO.as_secs_f64(),
            go: go.to_owned(),
            work_bytes: 0,
            levels: self.costs,
            not_carried,
            warnings: self.warnings,
        }
    }
}

pub(super) fn observation(version: &ModuleVersion, query: &str) -> Observation {
    let (module, query) = (version.path().to_string(), query.to_owned());
    Observation { module, query, version: version.version().to_string() }
}

/// The order in which the user names roots, and how often, does not change the bundle.
fn sorted(mut roots: Vec<HeaderRoot>) -> Vec<modferry_format::header::Root> {
    roots.sort_by_cached_key(|root| (root.module.clone(), root.version.clone(), root.kind, root.requires.clone()));
    roots.dedup();
    roots
}
