//! `modferry bundle`: from roots to a sealed bundle.
//!
//! 1. **want**: arguments become requests; the output is refused if it exists; work space and staging are made
//! 2. **go**: settings and version of the user's go command are read, a child with its own caches is set up
//! 3. **resolve**: each root gets a scratch copy of its go.mod, and go fills the child's module cache; [`Verify`] says who
//!    holds its files to the checksum database
//! 4. **harvest**: the cache is read; infos that go left out are asked for
//! 5. **records**: the part of the checksum database that proves all of it is fetched and proven
//! 6. **prove**: each zip is walked and hashed; go, go.sum and the checksum database must agree
//! 7. **seal**: lists, manifest and header are written; directory or tar is synced and gets its final name
//!
//! Whatever stops it before the last step leaves nothing at the output, and the zips that have arrived in the cache
//! directory, where the next run finds them.

mod ahead;
mod closure;
mod exact;
mod go_mod_json;
mod imports;
mod level_costs;
mod like;
mod listed;
mod more_versions;
mod options;
mod output;
mod own_go;
pub(crate) mod pack;
mod records;
mod records_ahead;
mod rehearsal;
mod request;
mod resolve;
mod root;
mod seal;
mod small_file;
mod surroundings;
mod toolchains;
mod workspace;

pub use exact::NO_GO;
pub use like::like;
pub use more_versions::MoreVersions;
pub use options::{Fetch, Options, Summary};
pub use output::Output;
pub use own_go::GoChoice;
pub(crate) use surroundings::{has_all_members, is_directory, members, replacements};
pub use toolchains::{Platform, Wanted};

use crate::byte_size::{ByteSize, count};
use crate::context::{Context, Event};
use crate::database;
use crate::error::{Error, ErrorKind, Result, Warning};
use crate::go_command::{self, Go, Settings, version_numbers};
use crate::heads_file;
use crate::module_cache::{self, Versions};
use crate::work_space::WorkSpace;
use ahead::Ahead;
use closure::Closure;
use modferry_format::ModuleVersion;
use modferry_format::header::{Counts, Level};
use records::{Before, Records};
use records_ahead::{Expected, contradicts};
use request::Request;
use resolve::Resolver;
use seal::Staging;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;
use toolchains::Toolchains;

/// Makes a bundle.
pub fn bundle(options: &Options, mut out: Output<'_>, context: &Context<'_>) -> Result<Summary> {
    let started = Instant::now();
    records::check_patterns(&options.no_record)?;
    // A bridge has no roots; toolchains and tools need none.
    let has_others = !options.toolchains.is_empty() || !options.tools.is_empty();
    let is_elsewhere = !["go.mod", "go.work"].iter().any(|name| options.current_dir.join(name).exists());
    let is_alone = !options.bridge.is_empty() || (has_others && options.roots.is_empty() && is_elsewhere);
    let mut requests = if is_alone { Vec::new() } else { Request::parse_all(&options.roots, &options.current_dir)? };
    requests.extend(options.tools.iter().map(|tool| Request::tool(tool)).collect::<Result<Vec<_>>>()?);
    let created = context.environment.source_date_epoch()?.unwrap_or(context.now);
    let cache = WorkSpace::cache_dir(options.cache_dir.as_deref(), context)?;
    let found = match &options.go {
        Some(choice) => own_go::of(choice, &cache, context)?,
        // Exact lists need no go; one that is there is asked for its settings all the same.
        None if exact::need_no_go(&requests, options) => go_command::find(&context.environment).unwrap_or_default(),
        None => go_command::find(&context.environment)?,
    };
    let in_doubt = Cell::new(false);
    let mut made = |verify: Verify| {
        in_work_space(&cache, options.dry_run, out.again(), context, |staging, space| {
            make(&requests, options, staging, (space, verify, &in_doubt), &found, created, context)
        })
    };
    let made = match options.fetch {
        Fetch::Go => made(Verify::ByGo),
        // No records come.
        Fetch::Ahead if options.dry_run => made(Verify::ByGo),
        Fetch::Ahead => match made(Verify::ByRecords) {
            Err(error) if in_doubt.get() && !matches!(error.kind, ErrorKind::Interrupted | ErrorKind::NoSpace) => {
                context
                    .progress
                    .event(Event::Note(&format!("go is to verify each file as it comes ({})", error.message)));
                made(Verify::ByGo)
            }
            made => made,
        },
    };
    made.map(|summary| Summary { seconds: started.elapsed().as_secs_f64(), ..summary })
}

/// Who holds the files of a closure to the checksum database.
///
/// The result is the same: what is in a bundle agrees with its records, which are proven by the signed tree head. Records are
/// carried anyway, so that go asks for each of them as well is most of its work when the files are on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verify {
    /// We do once the closure is there, with the records that it carries.
    ByRecords,
    /// go does whenever it reads a file, so it knows best what to do without. For closures that did not come to a good end
    /// otherwise.
    ByGo,
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
            space.remove(context.jobs)?;
            Ok(summary)
        }
        // What disagrees with what others state must not be where the next run looks first.
        Err(error) if matches!(error.kind, ErrorKind::HashConflict | ErrorKind::ZipRefused | ErrorKind::Differs) => {
            space.remove(context.jobs)?;
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
pub(crate) fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}

#[cfg(not(unix))]
pub(crate) fn free_bytes(_: &Path) -> Option<u64> {
    None
}

fn make(
    requests: &[Request],
    options: &Options,
    staging: Option<Staging<'_>>,
    (space, verify, in_doubt): (&WorkSpace, Verify, &Cell<bool>),
    found: &Path,
    created: jiff::Timestamp,
    context: &Context<'_>,
) -> Result<Summary> {
    let caches = space.caches();
    let query_dir = space.scratch("query")?;
    let settings = select_go(requests, found, &query_dir, context)?;
    let before = Before::read(options, &settings)?;
    // Where no records are carried nobody else verifies; and those that the base has are not proven here once more, so that
    // one in a cache could say anything.
    let proves_all = before.as_ref().is_some_and(|before| before.base().is_none());
    let verify = if proves_all { verify } else { Verify::ByGo };
    // A module that has a record all the same is held to it when the records have come.
    let childs = match verify {
        Verify::ByRecords => settings.without_records_of(&["*".to_owned()]),
        Verify::ByGo => settings.without_records_of(&options.no_record),
    };
    let go = Go::new(&childs, found, &context.environment, &caches, context.interrupt.clone());
    let mut sources = space.sources();
    let users = Some(module_cache::download_dir(Path::new(settings.get("GOMODCACHE")))).filter(|dir| dir.is_dir());
    sources.extend(users.clone());
    let with_sources = go.with_sources(&sources);
    let reads_again = options.rehearse.is_some() || staging.as_ref().is_none_or(|staging| !staging.only_moves());
    let reader = Ahead::new(&settings, &caches.modules, context).reading_again(reads_again);
    let ahead = (options.fetch == Fetch::Ahead).then_some(&reader);
    let resolve = |expected: Option<&Expected>| {
        let resolver = Resolver {
            plain: &go,
            with_sources: &with_sources,
            ahead,
            verify,
            expected,
            sources: &sources,
            module_cache: &caches.modules,
            context,
        };
        resolve(requests, options, space, &settings, &query_dir, &resolver)
    };
    let module_caches: Vec<PathBuf> = users.into_iter().chain([module_cache::download_dir(&caches.modules)]).collect();
    let (resolved, records_ahead) = match &before {
        Some(before) if verify == Verify::ByRecords => {
            let cache = space.scratch("records")?;
            records_ahead::beside(before, (options, &settings), &module_caches, &cache, context, |expected| {
                let resolved = resolve(Some(expected));
                if resolved
                    .as_ref()
                    .is_err_and(|error| !matches!(error.kind, ErrorKind::Interrupted | ErrorKind::NoSpace))
                {
                    // Perhaps by a file that is not the world's.
                    expected.add_all_in(&caches.modules);
                }
                resolved
            })
        }
        _ => (resolve(None), None),
    };
    let (mut closure, cached) = resolved.inspect_err(|error| {
        let there = || module_cache::versions(&caches.modules).ok();
        // A go.sum has spoken already.
        let is_other =
            |ahead: &database::Ahead| contradicts(|version| ahead.record(version), &there().unwrap_or_default());
        in_doubt.set(error.kind != ErrorKind::HashConflict && records_ahead.as_ref().is_some_and(is_other));
    })?;
    let is_exact = exact::need_no_go(requests, options) && !closure.exact.by_go;
    let resolved_by = if is_exact { exact::NO_GO } else { go.version() };
    if cached.is_empty() && options.bridge.is_empty() {
        context.progress.event(Event::Note("nothing to carry: no root has a dependency"));
        return Ok(closure.summary(resolved_by, Counts::default(), 0));
    }
    closure.compare_levels(options.level.unwrap_or(Level::Work), &cached, &reader, context)?;
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

    let records = Records::fetch(
        cached.keys().cloned(),
        (before, records_ahead),
        options,
        &settings,
        &module_caches,
        &staging.databases_dir()?,
        context,
    )
    .inspect_err(|error| in_doubt.set(verify == Verify::ByRecords && error.kind == ErrorKind::NoRecord))?;
    let doubt = |_: &Error| {
        in_doubt.set(verify == Verify::ByRecords && contradicts(|version| records.record(version), &cached));
    };
    records.judge(&closure.statements).inspect_err(doubt)?;
    closure.statements.extend(records.statement());

    context.progress.event(Event::Step("proving"));
    let proofs = reader.into_proofs();
    let filled = staging.fill(&cached, &closure.statements, records.base_infos(), &proofs, context);
    let mut contents = filled.inspect_err(doubt)?;
    contents.extend(staging.aliases(&cached, &closure.observations)?);
    contents.extend(staging.databases(context)?);
    let mut header = closure.header(created, resolved_by, &records);
    let stage = space.scratch("rehearsal")?;
    contents.extend(rehearsal::rehearse(requests, options, (&staging, &contents), &header, &stage, context)?);
    context.progress.event(Event::Step("sealing"));
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

/// Steps 3 and 4: everything that the roots come to, and the files of it.
fn resolve(
    requests: &[Request],
    options: &Options,
    space: &WorkSpace,
    settings: &Settings,
    query_dir: &Path,
    resolver: &Resolver<'_>,
) -> Result<(Closure, Versions)> {
    let context = resolver.context;
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
            closure.add_exact((*kind, file), space.scratch(&format!("{number}-exact"))?, resolver, context)?;
            continue;
        }
        closure.add(request, options, number, space, resolver)?;
    }

    if !options.toolchains.is_empty() {
        let toolchains = Toolchains {
            go: resolver.plain,
            ahead: resolver.ahead,
            sources: resolver.sources,
            module_cache: resolver.module_cache,
            scratch: &space.scratch("toolchains")?,
            context,
        };
        let fetched = toolchains.fetch(&options.toolchains, &options.platforms, &closure.toolchains)?;
        closure.always.extend(fetched.versions);
        closure.roots.extend(fetched.roots);
        closure.observations.extend(fetched.observations);
    }

    if options.newest || !options.with_versions.is_empty() {
        context.progress.event(Event::Step("resolving more versions"));
        closure.add_versions(&options.with_versions, options.newest, query_dir, resolver)?;
    }
    context.progress.event(Event::Step("completing"));
    closure.settle_listed(resolver)?;
    let mut missing = std::mem::take(&mut closure.exact.without_info);
    if resolver.plain.is_there() {
        let lacking = closure.without_go_mod(&module_cache::versions(resolver.module_cache)?);
        if !lacking.is_empty() {
            let refused = resolver.go_mods(&lacking, &space.scratch("graph")?)?;
            closure.note_without_go_mod(refused, context)?;
        }
        missing.extend(resolver.fill(query_dir)?);
    }
    let mut cached = module_cache::versions(resolver.module_cache)?;
    // A version of which only the info came was asked about, not chosen.
    cached.retain(|_, files| files.go_mod.is_some() || files.zip.is_some());
    closure.leave_out(&mut cached)?;
    closure.note_missing(&cached, &missing, context)?;
    Ok((closure, cached))
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
