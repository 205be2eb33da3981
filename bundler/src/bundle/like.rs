//! `modferry bundle --like`: makes a bundle again from its bundle.json, byte for byte.
//!
//! 1. **lock**: bundle.json is read; it names the versions, the heads of the checksum database and the time
//! 2. **fetch**: exactly these versions, as from an exact list; nothing is resolved, and no go command needed
//! 3. **records**: the same slice, for the same head, however far the database has grown since
//! 4. **compare**: counts, sizes and versions, and hash by hash where SHA256SUMS lies beside the file
//! 5. **seal**: with the head of the first bundle, so that the id is the same
//!
//! What it does not say is taken to be as it was: GONOSUMDB, `--since-head`, and that upstream still serves the same bytes.

use crate::bundle::ahead::Ahead;
use crate::bundle::exact::fetch::{Exactly, Wanted};
use crate::bundle::options::{Options, Summary};
use crate::bundle::output::Output;
use crate::bundle::records::{Before, Records};
use crate::bundle::rehearsal::RESULTS;
use crate::bundle::seal::{self, Content, Staging};
use crate::bundle::{in_work_space, own_go};
use crate::carrier;
use crate::context::{Context, Event};
use crate::error::{Error, ErrorKind, Result, Warning};
use crate::go_command::{self, Go, Settings};
use crate::source::Source;
use crate::work_space::WorkSpace;
use crate::{heads_file, module_cache};
use modferry_format::carried::Files;
use modferry_format::go_sum::GoSum;
use modferry_format::header::{EVERY_MODULE, Header, HeaderError};
use modferry_format::root::{BUNDLE, HeadFile, MAX_BUNDLE_BYTES};
use modferry_format::{BundleId, BundlePath, ModuleVersion};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The program that makes it, as bundle.json names it.
const TOOL: &str = concat!("modferry ", env!("CARGO_PKG_VERSION"));
/// Largest text that came of a rehearsal and is taken over, in bytes; some ten thousand commands.
const MAX_RESULTS_BYTES: u64 = 4 << 20;

/// Makes the bundle again that `lock` describes: a bundle.json, or a directory with one. Of the options those count that
/// say where to work and what to work with.
pub fn like(lock: &Path, options: &Options, out: Output<'_>, context: &Context<'_>) -> Result<Summary> {
    let started = Instant::now();
    let lock = Lock::read(lock)?;
    lock.check(options)?;
    let cache = WorkSpace::cache_dir(options.cache_dir.as_deref(), context)?;
    let found = match &options.go {
        Some(choice) => own_go::of(choice, &cache, context)?,
        None => go_command::find(&context.environment).unwrap_or_default(),
    };
    let mut warnings = Vec::new();
    if lock.header.tool != TOOL {
        let message = format!("{}: was made by {}, and this is {TOOL}", lock.name, lock.header.tool);
        warnings.push(Warning::new(message, Some("if the bundles differ, take the version that made the first")));
    }
    warnings.iter().for_each(|warning| context.progress.event(Event::Warning(warning)));
    in_work_space(&cache, options.dry_run, out, context, |staging, space| {
        make(&lock, options, staging, space, &found, context)
    })
    .map(|summary| Summary { seconds: started.elapsed().as_secs_f64(), warnings, ..summary })
}

/// What the bundle is to be like.
struct Lock {
    /// The file, as messages name it.
    name: String,
    text: Vec<u8>,
    header: Header,
    versions: BTreeMap<ModuleVersion, Files>,
    /// Versions that were carried without their info.
    without_info: BTreeSet<ModuleVersion>,
    /// The id, where BUNDLE lies beside it.
    id: Option<BundleId>,
    /// Hashes by path, where SHA256SUMS lies beside it.
    sums: Option<BTreeMap<String, String>>,
    /// What came of a rehearsal, where that lies beside it: it says what was, so it is taken over and not made again.
    rehearsal: Option<String>,
}

impl Lock {
    fn read(path: &Path) -> Result<Self> {
        let json = HeadFile::BundleJson;
        let file = if path.is_dir() { path.join(json.name()) } else { path.to_owned() };
        let name = file.display().to_string();
        let text = fs::metadata(&file)
            .and_then(|meta| Source::whole(fs::File::open(&file)?, meta.len()).read_all(json.max_bytes()))
            .map_err(|error| {
                Error::io(&file, "could not be read", &error).hint("--like takes the bundle.json of a bundle")
            })?;
        let header = Header::parse(&text).map_err(|error| {
            let invalid = Error::new(ErrorKind::BundleInvalid, format!("{name}: is no bundle.json that can be made again"));
            match error {
                HeaderError::Unsupported(what) => invalid.because(what),
                // Its words would show the file, which may be anything.
                HeaderError::Invalid(invalid_text) if text.starts_with(b"{") => invalid.because(invalid_text.to_string()),
                _ => invalid.because("not a JSON object"),
            }
            .hint("--like takes the bundle.json of a bundle, or its directory; out of a tar: tar -xf NAME.tar bundle.json")
        })?;
        let versions = header.closure.iter().flat_map(|line| line.versions().collect::<Vec<_>>()).collect();
        let info = |path: &str| match path.parse() {
            Ok(BundlePath::Info(version)) => Some(version),
            _ => None,
        };
        let without_info = header.not_carried.iter().filter_map(|file| info(&file.path)).collect();
        // A file of another name is a copy that was kept, with other files beside it.
        let beside = file.file_name().is_some_and(|name| name == json.name()).then(|| file.parent()).flatten();
        let beside = beside.map(|dir| if dir.as_os_str().is_empty() { Path::new(".") } else { dir });
        let no_stream = || Err(Error::new(ErrorKind::Usage, "--like: is read from a file"));
        let rehearsal = beside.and_then(|dir| read_results(&dir.join(RESULTS)).ok());
        let beside = beside.map(|dir| carrier::open(dir, &std::env::temp_dir(), no_stream)).transpose()?;
        let read = |name: &str, limit: u64| beside.as_ref()?.head(name).ok()??.read_all(limit).ok();
        let sums = read(HeadFile::Sha256Sums.name(), HeadFile::Sha256Sums.max_bytes());
        let sums = sums.map(|bytes| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.lines().filter_map(|line| line.split_once("  ")).map(|(sum, path)| (path.into(), sum.into())).collect()
        });
        let id = read(BUNDLE, MAX_BUNDLE_BYTES).map(|bytes| BundleId::of(&bytes));
        Ok(Self { name, text, header, versions, without_info, id, sums, rehearsal })
    }

    /// What cannot be made again, and what that takes.
    fn check(&self, options: &Options) -> Result<()> {
        let Self { name, header, .. } = self;
        if self.versions.is_empty() {
            let message = format!("{name}: names no module versions, so it does not say what to carry");
            return Err(Error::new(ErrorKind::Usage, message)
                .hint("bridges cannot be made again, nor can bundles of a modferry that wrote no closure"));
        }
        if header.databases.len() > 1 {
            let message = format!("{name}: has several checksum databases, and a bundle is made with one");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        if header.to_json().as_bytes() != self.text {
            let message = format!("{name}: is not laid out as this modferry writes it, so the id cannot be the same");
            return Err(Error::new(ErrorKind::Differs, message)
                .hint("take the file as it lies in the bundle, and the modferry that made it"));
        }
        match (&header.base[..], &options.base) {
            ([], None) | ([_], Some(_)) => Ok(()),
            ([], Some(_)) => Err(Error::new(ErrorKind::Usage, format!("--base: {name} has none"))),
            ([base], None) => Err(Error::new(ErrorKind::Usage, format!("{name}: counts on a base, bundle {base}"))
                .hint("name it: --base BUNDLE")),
            _ => Err(Error::new(ErrorKind::Unsupported, format!("{name}: counts on more than one base"))),
        }
    }

    /// The base and the heads to prove by.
    fn before(&self, options: &Options, settings: &Settings) -> Result<Option<Before>> {
        let before = Before::read(options, settings)?;
        let base = before.as_ref().and_then(Before::base);
        if base != self.header.base.first().map(String::as_str) {
            let message = format!("--base: is bundle {}", base.unwrap_or_default());
            let because = format!("{} counts on {}", self.name, self.header.base.join(" "));
            return Err(Error::new(ErrorKind::Usage, message).because(because));
        }
        let (Some(before), Some(stated)) = (before, self.header.databases.first()) else { return Ok(None) };
        let key = settings.database_key()?.map_or_else(|| "off".to_owned(), |key| key.to_string());
        if key != stated.key {
            let message = format!("{}: is of the checksum database {}", self.name, stated.key);
            return Err(Error::new(ErrorKind::Usage, message)
                .because(format!("GOSUMDB is {key}"))
                .hint("set GOSUMDB as it was where the bundle was made"));
        }
        before.at(stated).map(Some)
    }

    /// Whether it is the same; told file by file where that is known.
    fn compare(&self, contents: &[Content], records: &Records) -> Result<()> {
        let differs = |what: String| Error::new(ErrorKind::Differs, format!("{}: {what}", self.name));
        let hint = "upstream serves other bytes, or the settings of go are not those of the first time (GOPROXY, GONOSUMDB, the \
                    files of its module cache); a bundle that was rehearsed is made again from its directory";
        if let Some(sums) = &self.sums {
            let made =
                contents.iter().map(|content| (content.entry.path.to_string(), content.entry.sha256.to_string()));
            let made: BTreeMap<String, String> = made.collect();
            let changed = sums.iter().filter_map(|(path, sum)| match made.get(path) {
                None => Some(format!("{path}: not made")),
                Some(other) if other != sum => Some(format!("{path}: {other} instead of {sum}")),
                Some(_) => None,
            });
            let new = made.keys().filter(|path| !sums.contains_key(*path)).map(|path| format!("{path}: was not there"));
            let all: Vec<String> = changed.chain(new).collect();
            if !all.is_empty() {
                let message = format!("what was made differs in {} files", all.len());
                return Err(differs(message).because_each(all.into_iter()).hint(hint));
            }
        }
        let entries: Vec<&Content> = contents.iter().collect();
        let (counts, bytes, closure) = seal::measure(&entries);
        let header = &self.header;
        if (counts, bytes) != (header.counts, header.bytes) {
            return Err(differs("what was made has another size".to_owned())
                .because(format!("made: {counts:?}, {bytes} bytes"))
                .because(format!("stated: {:?}, {} bytes", header.counts, header.bytes))
                .hint(hint));
        }
        if closure != header.closure {
            return Err(differs("what was made has other versions".to_owned()).hint(hint));
        }
        if records.databases() != header.databases || records.without_record != header.without_record {
            return Err(differs("other modules have records of the checksum database than the first time".to_owned())
                .because(format!("without a record: {}", records.without_record.join(" ")))
                .because(format!("stated: {}", header.without_record.join(" ")))
                .hint("set GONOSUMDB and GOPRIVATE as they were"));
        }
        Ok(())
    }
}

fn make(
    lock: &Lock,
    options: &Options,
    staging: Option<Staging<'_>>,
    space: &WorkSpace,
    found: &Path,
    context: &Context<'_>,
) -> Result<Summary> {
    let header = &lock.header;
    let (caches, scratch) = (space.caches(), space.scratch("like")?);
    let settings = match found.is_file() {
        true => go_command::settings(found, &scratch, &context.environment, &context.interrupt)?,
        false => own_go::settings(&context.environment)?,
    };
    let options = Options {
        no_record: header.without_record.clone(),
        without_checksum_database: header.databases.is_empty()
            && header.base.is_empty()
            && header.without_record == [EVERY_MODULE],
        ..options.clone()
    };
    // What was remembered since must not add to the heads that are served.
    let before = lock.before(&Options { heads: None, ..options.clone() }, &settings)?;

    context.progress.event(Event::Step("fetching the versions of the lock"));
    let childs = settings.without_records_of(&options.no_record);
    let go = Go::new(&childs, found, &context.environment, &caches, context.interrupt.clone());
    let mut sources = space.sources();
    let users = Some(module_cache::download_dir(Path::new(settings.get("GOMODCACHE")))).filter(|dir| dir.is_dir());
    sources.extend(users.clone());
    let ahead = Ahead::new(&settings, &caches.modules, context)
        .reading_again(staging.as_ref().is_none_or(|staging| !staging.only_moves()));
    let exactly = Exactly {
        ahead: Some(&ahead),
        go: &go.with_sources(&sources),
        sources: &sources,
        module_cache: &caches.modules,
        scratch,
        context,
    };
    let fetched = exactly.fetch(&Wanted {
        name: &lock.name,
        versions: &lock.versions,
        stated: ("", &GoSum::default()),
        without_info: &lock.without_info,
        may_be_missing: None,
    })?;
    if let Some(gone) = fetched.without_info.first() {
        let message = format!("{}: {}: upstream has no info for it any more", lock.name, gone.version);
        return Err(Error::new(ErrorKind::Differs, message).because(&gone.words));
    }
    let cached = lock.versions_of(module_cache::versions(&caches.modules)?);
    let Some(staging) = staging else { return Ok(summary(header)) };
    let staging = staging.expecting(lock.id);

    let lookups: Vec<PathBuf> = users.into_iter().chain([module_cache::download_dir(&caches.modules)]).collect();
    let records = Records::fetch(
        cached.keys().cloned(),
        (before, None),
        &options,
        &settings,
        &lookups,
        &staging.databases_dir()?,
        context,
    )?;
    context.progress.event(Event::Step("proving"));
    let statements: Vec<_> = records.statement().into_iter().collect();
    let mut contents = staging.fill(&cached, &statements, records.base_infos(), &ahead.into_proofs(), context)?;
    contents.extend(staging.aliases(&cached, &header.observations.iter().cloned().collect())?);
    contents.extend(staging.databases(context)?);
    contents.extend(lock.rehearsal.as_ref().map(|text| staging.extra(RESULTS, text)).transpose()?);
    lock.compare(&contents, &records)?;

    context.progress.event(Event::Step("sealing"));
    let mut again = header.clone();
    let id = staging.seal(contents, &mut again, records.requires(), context)?;
    if let (Some(head), Some(file)) = (records.head(), &options.heads)
        && let Err(error) = heads_file::add(file, head)
    {
        let hint = "without it, a later bundle may not join this one in the mirror; name another file: --heads FILE";
        context.progress.event(Event::Warning(&Warning::new(error.to_string(), Some(hint))));
    }
    let mut summary = summary(header);
    summary.set_made(id, again.not_carried);
    Ok(summary)
}

impl Lock {
    /// Of what has come, what is carried: go may have brought more.
    fn versions_of(&self, mut cached: module_cache::Versions) -> module_cache::Versions {
        cached.retain(|version, files| {
            let wanted = self.versions.get(version);
            if wanted == Some(&Files::Graph) {
                files.zip = None;
            }
            if self.without_info.contains(version) {
                files.info = None;
            }
            wanted.is_some()
        });
        cached
    }
}

/// What came of a rehearsal, in a bundle.
fn read_results(file: &Path) -> std::io::Result<String> {
    let meta = fs::symlink_metadata(file)?;
    if !meta.is_file() {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let bytes = Source::whole(fs::File::open(file)?, meta.len()).read_all(MAX_RESULTS_BYTES)?;
    String::from_utf8(bytes).map_err(std::io::Error::other)
}

fn summary(header: &Header) -> Summary {
    Summary {
        id: None,
        sha256: None,
        out: None,
        counts: header.counts,
        bytes: header.bytes,
        seconds: 0.0,
        go: header.go.clone(),
        work_bytes: 0,
        levels: header.levels.clone(),
        not_carried: header.not_carried.clone(),
        warnings: Vec::new(),
    }
}
