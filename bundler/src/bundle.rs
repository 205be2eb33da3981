//! `modferry bundle`: from roots to a sealed bundle.
//!
//! 1. **want**: arguments become requests; the output is refused if it exists; work space and staging are made
//! 2. **go**: settings and version of the user's go command are read, a child with its own caches is set up
//! 3. **resolve**: each root gets a scratch copy of its go.mod, and go fills the child's module cache
//! 4. **harvest**: the cache is read; infos that go left out are asked for
//! 5. **records**: the part of the checksum database that proves all of it is fetched and proven
//! 6. **prove**: each zip is walked and hashed; go, go.sum and the checksum database must agree
//! 7. **seal**: lists, manifest and header are written; directory or tar is synced and gets its final name
//!
//! Whatever stops it before the last step leaves nothing at the output, and the zips that have arrived in the cache
//! directory, where the next run finds them.

mod ahead;
mod exact;
mod imports;
mod like;
mod options;
mod output;
mod own_go;
pub(crate) mod pack;
mod records;
mod request;
mod resolve;
mod root;
mod seal;
mod toolchains;

pub use exact::NO_GO;
pub use like::like;
pub use options::{Fetch, Options, Summary};
pub use output::Output;
pub use own_go::GoChoice;
pub use toolchains::{Platform, Wanted};

use crate::byte_size::{ByteSize, count};
use crate::context::{Context, Event};
use crate::error::{Error, ErrorKind, Result, Warning};
use crate::go_command::{self, Go, Settings, version_numbers};
use crate::heads_file;
use crate::module_cache;
use crate::work_space::WorkSpace;
use ahead::Ahead;
use modferry_format::go_sum::GoSum;
use modferry_format::header::{
    Counts, DEFAULT_CHANNEL, DRAFT, FORMAT, Header, Level, NotCarried, Observation, RootKind,
};
use modferry_format::{BundlePath, ModuleVersion};
use records::{Before, Records};
use request::Request;
use resolve::{Refused, Resolver};
use root::Root;
use seal::Staging;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use toolchains::Toolchains;

/// Makes a bundle.
pub fn bundle(options: &Options, out: Output<'_>, context: &Context<'_>) -> Result<Summary> {
    let started = Instant::now();
    records::check_patterns(&options.no_record)?;
    // A bridge has no roots, and toolchains need none.
    let is_alone = !options.bridge.is_empty()
        || (!options.toolchains.is_empty() && options.roots.is_empty() && !options.current_dir.join("go.mod").exists());
    let requests = if is_alone { Vec::new() } else { Request::parse_all(&options.roots, &options.current_dir)? };
    let created = context.environment.source_date_epoch()?.unwrap_or(context.now);
    let cache = WorkSpace::cache_dir(options.cache_dir.as_deref(), context)?;
    let found = match &options.go {
        Some(choice) => own_go::of(choice, &cache, context)?,
        // Exact lists need no go; one that is there is asked for its settings all the same.
        None if exact::need_no_go(&requests, options) => go_command::find(&context.environment).unwrap_or_default(),
        None => go_command::find(&context.environment)?,
    };
    in_work_space(&cache, options.dry_run, out, context, |staging, space| {
        make(&requests, options, staging, space, &found, created, context)
    })
    .map(|summary| Summary { seconds: started.elapsed().as_secs_f64(), ..summary })
}

/// Makes a bundle in a work space, which is gone afterwards but for what the next run can use.
fn in_work_space<'o>(
    cache: &Path,
    dry_run: bool,
    out: Output<'o>,
    context: &Context<'_>,
    make: impl FnOnce(Option<Staging<'o>>, &WorkSpace) -> Result<Summary>,
) -> Result<Summary> {
    let space = WorkSpace::open(cache, context)?;
    tell_work_space(&space, cache, context);
    // Made now, so that an output that cannot be written is known before anything is fetched.
    let name = out.name();
    let open = || Staging::open(out, cache, &space.scratch("staging")?);
    let made = (if dry_run { Ok(None) } else { open().map(Some) })
        .and_then(|staging| make(staging, &space))
        .map(|summary| Summary { out: summary.id.is_some().then(|| name.display().to_string()), ..summary });
    match made {
        Ok(mut summary) => {
            summary.work_bytes = space.bytes();
            space.remove()?;
            Ok(summary)
        }
        // What disagrees with what others state must not be where the next run looks first.
        Err(error) if matches!(error.kind, ErrorKind::HashConflict | ErrorKind::ZipRefused | ErrorKind::Differs) => {
            space.remove()?;
            Err(error)
        }
        Err(mut error) => {
            let (zips, bytes) = space.keep_zips();
            if zips > 0 {
                error.kept = Some(kept_text(zips, bytes, cache));
            }
            Err(error)
        }
    }
}

fn kept_text(zips: u64, bytes: u64, cache: &Path) -> String {
    let zips = count(zips, "zip");
    format!("{zips} ({}) in {}; the next bundle uses what is there again", ByteSize(bytes), cache.display())
}

fn tell_work_space(space: &WorkSpace, cache: &Path, context: &Context<'_>) {
    let (zips, bytes) = space.left();
    let reused = if zips == 0 {
        String::new()
    } else {
        format!(", {} of an earlier run ({}) used again", count(zips, "zip"), ByteSize(bytes))
    };
    let free = free_bytes(cache).map_or_else(String::new, |free| format!(", {} free", ByteSize(free)));
    context.progress.event(Event::Note(&format!("work space {}{free}{reused}", cache.display())));
}

#[cfg(unix)]
fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

/// What resolving has brought together.
#[derive(Default)]
struct Closure {
    roots: Vec<modferry_format::header::Root>,
    observations: BTreeSet<Observation>,
    refused: BTreeSet<Refused>,
    without_info: BTreeSet<ModuleVersion>,
    warnings: Vec<Warning>,
    /// Versions of Go that the roots ask for.
    toolchains: BTreeSet<String>,
    /// What the go.sum files of the projects and those of the child state.
    statements: seal::Statements,
    /// What came of roots that are exact lists.
    exact: exact::Brought,
}

fn make(
    requests: &[Request],
    options: &Options,
    staging: Option<Staging<'_>>,
    space: &WorkSpace,
    found: &Path,
    created: jiff::Timestamp,
    context: &Context<'_>,
) -> Result<Summary> {
    let caches = space.caches();
    let query_dir = space.scratch("query")?;
    let settings = select_go(requests, found, &query_dir, context)?;
    let before = Before::read(options, &settings)?;
    // A module that has a record all the same is held to it when the records have come.
    let childs = settings.without_records_of(&options.no_record);
    let go = Go::new(&childs, found, &context.environment, &caches, context.interrupt.clone());
    let mut sources = space.sources();
    let users = Some(module_cache::download_dir(Path::new(settings.get("GOMODCACHE")))).filter(|dir| dir.is_dir());
    sources.extend(users.clone());
    let with_sources = go.with_sources(&sources);
    let ahead = (options.fetch == Fetch::Ahead).then(|| Ahead::new(&settings, &caches.modules, context));
    let resolver = Resolver {
        plain: &go,
        with_sources: &with_sources,
        ahead: ahead.as_ref(),
        sources: &sources,
        module_cache: &caches.modules,
        context,
    };

    context.progress.event(Event::Step("resolving"));
    let mut closure = Closure::default();
    if settings.get("GOSUMDB") == "off" {
        closure.warn(
            context,
            Warning::new(
                "GOSUMDB is off: nothing is verified against a checksum database, only against go.sum files",
                Some("unset it (go env -u GOSUMDB) and name private modules in GONOSUMDB"),
            ),
        );
    }
    for (number, request) in requests.iter().enumerate() {
        if let Request::Exact(kind, file) = request {
            closure.add_exact((*kind, file), space.scratch(&format!("{number}-exact"))?, &resolver, context)?;
            continue;
        }
        closure.add(request, options.level, number, space, &resolver, context)?;
    }

    if !options.toolchains.is_empty() {
        let toolchains = Toolchains {
            go: &go,
            ahead: ahead.as_ref(),
            sources: &sources,
            module_cache: &caches.modules,
            scratch: &space.scratch("toolchains")?,
            context,
        };
        let fetched = toolchains.fetch(&options.toolchains, &options.platforms, &closure.toolchains)?;
        closure.roots.extend(fetched.roots);
        closure.observations.extend(fetched.observations);
    }

    context.progress.event(Event::Step("completing"));
    let mut missing = std::mem::take(&mut closure.exact.without_info);
    if go.is_there() {
        missing.extend(resolver.fill(&module_cache::versions(&caches.modules)?, &query_dir)?);
    }
    let mut cached = module_cache::versions(&caches.modules)?;
    // A version of which only the info came was asked about, not chosen.
    cached.retain(|_, files| files.go_mod.is_some() || files.zip.is_some());
    closure.note_missing(&cached, &missing, context)?;
    let is_exact = exact::need_no_go(requests, options) && !closure.exact.by_go;
    let resolved_by = if is_exact { exact::NO_GO } else { go.version() };
    if cached.is_empty() && options.bridge.is_empty() {
        context.progress.event(Event::Note("nothing to carry: no root has a dependency"));
        return Ok(closure.summary(resolved_by, Counts::default(), 0));
    }
    let Some(staging) = staging else {
        let counts = Counts {
            modules: cached.keys().map(ModuleVersion::path).collect::<BTreeSet<_>>().len() as u64,
            versions: cached.len() as u64,
            zips: cached.values().filter(|files| files.zip.is_some()).count() as u64,
            files: 0,
        };
        let zips = cached.values().filter_map(|files| fs::metadata(files.zip.as_ref()?).ok());
        return Ok(closure.summary(resolved_by, counts, zips.map(|meta| meta.len()).sum()));
    };

    let caches: Vec<PathBuf> = users.into_iter().chain([module_cache::download_dir(&caches.modules)]).collect();
    let records = Records::fetch(
        cached.keys().cloned(),
        before,
        options,
        &settings,
        &caches,
        &staging.databases_dir()?,
        context,
    )?;
    records.judge(&closure.statements)?;
    closure.statements.extend(records.statement());

    context.progress.event(Event::Step("proving"));
    let proofs = ahead.map(Ahead::into_proofs).unwrap_or_default();
    let mut contents = staging.fill(&cached, &closure.statements, records.base_infos(), &proofs, context)?;
    contents.extend(staging.aliases(&closure.observations, &cached)?);
    contents.extend(staging.databases(context)?);
    context.progress.event(Event::Step("sealing"));
    let mut header = closure.header(created, resolved_by, &records);
    let id = staging.seal(contents, &mut header, records.requires(), context)?;
    if let (Some(head), Some(file)) = (records.head(), &options.heads)
        && let Err(error) = heads_file::add(file, head)
    {
        let hint = "without it, a later bundle may not join this one in the mirror; name another file: --heads FILE";
        closure.warn(context, Warning::new(error.to_string(), Some(hint)));
    }
    let mut summary = closure.summary(resolved_by, header.counts, header.bytes);
    summary.set_made(id, header.not_carried);
    Ok(summary)
}

/// The settings of the newest go that one of the roots selects: one go resolves them all.
fn select_go(requests: &[Request], found: &Path, elsewhere: &Path, context: &Context<'_>) -> Result<Settings> {
    if !found.is_file() {
        return own_go::settings(&context.environment);
    }
    let mut dirs: BTreeSet<&Path> =
        requests.iter().map(|request| request.directory_of().unwrap_or(elsewhere)).collect();
    if dirs.is_empty() {
        dirs.insert(elsewhere);
    }
    let mut newest: Option<Settings> = None;
    for dir in dirs {
        let settings = go_command::settings(found, dir, &context.environment, &context.interrupt)?;
        let numbers = |settings: &Settings| version_numbers(settings.version());
        if newest.as_ref().is_none_or(|newest| numbers(newest) < numbers(&settings)) {
            newest = Some(settings);
        }
    }
    // There is always a request, so there is always a directory.
    newest.ok_or_else(|| Error::new(ErrorKind::Usage, "no roots"))
}

impl Closure {
    fn warn(&mut self, context: &Context<'_>, warning: Warning) {
        context.progress.event(Event::Warning(&warning));
        self.warnings.push(warning);
    }

    /// Resolves one root with all its lives.
    fn add(
        &mut self,
        request: &Request,
        level: Level,
        number: usize,
        space: &WorkSpace,
        resolver: &Resolver<'_>,
        context: &Context<'_>,
    ) -> Result<()> {
        context.progress.event(Event::Note(&format!("resolving {}", request.name())));
        let scratch = |life: &str| space.scratch(&format!("{number}-{life}"));
        if let Some((kind, file)) = request.local() {
            let (root, warnings) = Root::local(kind, level, &file, scratch("module")?, resolver.plain)?;
            warnings.into_iter().for_each(|warning| self.warn(context, warning));
            self.resolve(&root, resolver, context)?;
            self.statements.push((format!("go.sum of {}", root.name), root.go_sum));
            self.roots.push(root.header);
            return Ok(());
        }
        let Request::Version { module, query } = request else { return Ok(()) };
        let version: ModuleVersion = match format!("{module}@{query}").parse() {
            Ok(version) => version,
            Err(_) => {
                let version = resolver.query(module.as_str(), query, &scratch("query")?)?;
                let (module, query) = (module.to_string(), query.clone());
                self.observations.insert(Observation { module, query, version: version.version().to_string() });
                version
            }
        };
        let dependency = Root::dependency(&version, level, scratch("dependency")?, resolver.plain)?;
        let mut header = dependency.header.clone();
        self.resolve(&dependency, resolver, context)?;
        if let Some(go_mod) =
            module_cache::versions(resolver.module_cache)?.get(&version).and_then(|files| files.go_mod.clone())
        {
            let main = Root::main_module(&version, level, &go_mod, scratch("main")?, resolver)
                .and_then(|root| self.resolve(&root, resolver, context).map(|()| root.header));
            match main {
                Ok(main) => header = main,
                Err(error) if error.kind == ErrorKind::Interrupted || error.kind == ErrorKind::NoSpace => {
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

    fn resolve(&mut self, root: &Root, resolver: &Resolver<'_>, context: &Context<'_>) -> Result<()> {
        if root.sources.is_some() || root.header.kind == RootKind::GoMod {
            self.toolchains.extend(toolchains::asked_by(&root.go_mod));
        }
        let resolved = resolver.closure(root)?;
        if let (Some(sources), None) = (&root.sources, &root.header.version) {
            for warning in imports::warnings(&root.name, sources, &root.ignored, &resolved.paths) {
                self.warn(context, warning);
            }
        }
        for refused in resolved.refused {
            if !self.refused.contains(&refused) {
                self.warn(context, resolve::refused_warning(&refused));
            }
            self.refused.insert(refused);
        }
        let sum = root.scratch.join("go.sum");
        if let Ok(text) = fs::read_to_string(&sum) {
            let sums = GoSum::parse(&text).map_err(|invalid| {
                Error::new(ErrorKind::GoFailed, format!("{}: go wrote a go.sum that cannot be read", root.name))
                    .because(invalid.to_string())
            })?;
            self.statements.push(("go, after its checks".to_owned(), sums));
        }
        Ok(())
    }

    /// Versions whose info upstream does not give: fatal where a zip is carried, else a recorded warning.
    fn note_missing(
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

    fn not_carried(&self) -> Vec<NotCarried> {
        // The words of upstream stay out: they may name hosts and paths of this machine.
        let file = |path: BundlePath, reason: &str| NotCarried { path: path.to_string(), reason: reason.to_owned() };
        let infos = self
            .without_info
            .iter()
            .map(|version| file(BundlePath::Info(version.clone()), "upstream has no info for it"));
        let zips = self.refused.iter().map(|refused| {
            file(BundlePath::Zip(refused.version.clone()), "upstream refuses it, and no package needs it")
        });
        let mut files: Vec<NotCarried> = infos.chain(zips).chain(self.exact.left_out.iter().cloned()).collect();
        files.sort();
        files
    }

    fn header(&self, created: jiff::Timestamp, go: &str, records: &Records) -> Header {
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
            levels: Vec::new(),
            closure: Vec::new(),
        }
    }

    fn summary(self, go: &str, counts: Counts, bytes: u64) -> Summary {
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
            not_carried,
            warnings: self.warnings,
        }
    }
}

/// The order in which the user names roots, and how often, does not change the bundle.
fn sorted(mut roots: Vec<modferry_format::header::Root>) -> Vec<modferry_format::header::Root> {
    roots.sort_by_cached_key(|root| (root.module.clone(), root.version.clone(), root.kind, root.requires.clone()));
    roots.dedup();
    roots
}
