//! Roots that are lists of exact versions: go.sum files, programs built by go, software bills of materials.
//!
//! Such a list says itself what is to be carried, so nothing is resolved and no go command is needed: [`recognise`] tells
//! what a file is, [`read`] understands it, and [`fetch`] brings its files. What a list says about hashes the files are
//! held to, like what a project's go.sum says.

mod binary;
mod build_info;
pub(crate) mod fetch;
mod go_sum;
mod sbom;

use crate::bundle::closure::Closure;
use crate::bundle::request::Request;
use crate::bundle::resolve::{Refused, Resolver};
use crate::bundle::{Fetch, Options};
use crate::context::{Context, Event};
use crate::error::{Error, ErrorKind, Result, Warning};
use fetch::{Exactly, Wanted};
use modferry_format::carried::Files;
use modferry_format::go_sum::GoSum;
use modferry_format::header::{Level, NotCarried, Root, RootKind};
use modferry_format::{BundlePath, ModuleVersion};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What `go` of bundle.json says where no go command resolved anything.
pub const NO_GO: &str = "none";
/// Bytes of a file that tell what it is.
const START_BYTES: u64 = 4096;

/// What the exact lists of a bundle have brought.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    /// Versions whose info upstream does not have.
    pub(crate) without_info: Vec<Refused>,
    /// Whether something was left to go, so that the bundle depends on which go it was.
    pub(crate) by_go: bool,
    /// What the lists name and the bundle does not have.
    pub(crate) left_out: Vec<NotCarried>,
}

/// A list of exact versions.
#[derive(Debug)]
struct List {
    /// What bundle.json says of the root.
    root: Root,
    /// What it names.
    versions: BTreeMap<ModuleVersion, Files>,
    /// Of these the one that the list is about, which may never have been published.
    main: Option<ModuleVersion>,
    /// What it says about hashes.
    sums: GoSum,
    notes: Vec<String>,
    warnings: Vec<Warning>,
}

impl List {
    fn new(kind: RootKind, module: String) -> Self {
        let root = Root {
            kind,
            // All of what it names.
            level: Level::All,
            module,
            version: None,
            go: String::new(),
            requires: Vec::new(),
            replaces: Vec::new(),
            local: Vec::new(),
            excludes: Vec::new(),
            package: None,
            platforms: Vec::new(),
        };
        let (versions, sums) = (BTreeMap::new(), GoSum::default());
        Self { root, versions, main: None, sums, notes: Vec::new(), warnings: Vec::new() }
    }

    /// Adds a version with these files, and more if it is there with fewer.
    fn add(&mut self, version: ModuleVersion, files: Files) {
        let known = self.versions.entry(version).or_insert(files);
        *known = (*known).min(files);
    }
}

/// Whether all roots are exact lists that we fetch ourselves.
pub(crate) fn need_no_go(requests: &[Request], options: &Options) -> bool {
    let is_alone = options.toolchains.is_empty() && options.with_versions.is_empty() && !options.newest;
    is_alone && options.fetch == Fetch::Ahead && !requests.is_empty() && requests.iter().all(Request::is_exact)
}

/// What kind of list a file is; none if it is no list.
pub(crate) fn recognise(file: &Path) -> Result<Option<RootKind>> {
    let failed = |error: &io::Error| Error::io(file, "could not be read", error);
    if !file.metadata().map_err(|error| failed(&error))?.is_file() {
        return Ok(None);
    }
    if file.extension().is_some_and(|extension| extension == "sum") {
        return Ok(Some(RootKind::GoSum));
    }
    let mut start = Vec::new();
    let open = File::open(file).map_err(|error| failed(&error))?;
    open.take(START_BYTES).read_to_end(&mut start).map_err(|error| failed(&error))?;
    Ok(if build_info::is_program(&start) {
        Some(RootKind::Binary)
    } else if sbom::is_json(&start) {
        Some(RootKind::Sbom)
    } else {
        None
    })
}

fn read(kind: RootKind, file: &Path) -> Result<List> {
    let name = file.display().to_string();
    match kind {
        RootKind::GoSum => go_sum::read(file, &name),
        RootKind::Binary => binary::read(file, &name),
        _ => sbom::read(file, &name),
    }
}

/// The name of a file, for lists that have no better one.
fn file_name(file: &Path) -> String {
    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Reads a text, within a limit.
fn text(file: &Path, limit: u64) -> Result<String> {
    let failed = |error: &io::Error| Error::io(file, "could not be read", error);
    let mut bytes = Vec::new();
    let open = File::open(file).map_err(|error| failed(&error))?;
    open.take(limit + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > limit {
        return Err(Error::new(ErrorKind::Root, format!("{}: larger than {} MiB", file.display(), limit >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::Root, format!("{}: is no UTF-8 text", file.display())))
}

impl Closure {
    /// Brings all files of one exact list.
    pub(super) fn add_exact(
        &mut self,
        (kind, file): (RootKind, &Path),
        scratch: PathBuf,
        resolver: &Resolver<'_>,
        context: &Context<'_>,
    ) -> Result<()> {
        let name = file.display().to_string();
        context.progress.event(Event::Note(&format!("reading {name}")));
        let list = read(kind, file)?;
        list.notes.iter().for_each(|note| context.progress.event(Event::Note(&format!("{name}: {note}"))));
        list.warnings.into_iter().for_each(|warning| self.warn(context, warning));
        let who = match kind {
            RootKind::Binary => format!("the build info of {name}"),
            _ => name.clone(),
        };
        let exactly = Exactly {
            ahead: resolver.ahead,
            go: resolver.with_sources,
            sources: resolver.sources,
            module_cache: resolver.module_cache,
            scratch,
            context,
        };
        let wanted = Wanted {
            name: &name,
            versions: &list.versions,
            stated: (&who, &list.sums),
            without_info: &BTreeSet::new(),
            may_be_missing: list.main.as_ref(),
        };
        let fetched = exactly.fetch(&wanted)?;
        if let Some(main) = fetched.missing {
            let message = format!("{name}: its main module {main} was never published: left out");
            self.warn(context, Warning::new(message, Some("its sources must travel on their own")));
            let (path, reason) =
                (BundlePath::Zip(main).to_string(), "a main module that was never published".to_owned());
            self.exact.left_out.push(NotCarried { path, reason });
        }
        self.exact.without_info.extend(fetched.without_info);
        let whole = list.versions.iter().filter(|(_, files)| **files == Files::Whole);
        self.always.extend(whole.map(|(version, _)| version.clone()));
        self.exact.by_go |= fetched.by_go;
        self.statements.push((who, list.sums));
        self.roots.push(list.root);
        Ok(())
    }
}
