//! What of a database can be fetched while it is still being found out what is wanted of it: records and tiles of versions
//! that will most likely be.
//!
//! Nothing is decided here. [`fetch`](super::fetch) asks for whatever else it needs, for `latest` after all lookups, and proves
//! all of it; what failed here it does again.

use super::{Request, Settings, Work, lookups, place, tiles};
use crate::context::{Context, Silent};
use crate::error::{Error, Result};
use crate::fetch::Patience;
use crate::fetch::remote::Reader;
use modferry_format::ModuleVersion;
use modferry_format::sumdb::record::Record;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Records and tiles that came ahead.
pub(crate) struct Ahead {
    pub(super) place: place::Place,
    pub(super) found: lookups::Found,
    /// In the layout of a cache.
    pub(super) cache: PathBuf,
}

impl Ahead {
    /// What the database says of a version, not proven yet.
    pub(crate) fn record(&self, version: &ModuleVersion) -> Option<&Record> {
        self.found.records.get(version)
    }
}

/// Fetches ahead into `cache`, batch by batch, what is known of versions; none if the database is not found, or a server
/// fails. Asks for each thing once.
pub(crate) fn ahead(
    batches: impl Iterator<Item = BTreeSet<ModuleVersion>>,
    caches: &[PathBuf],
    cache: &Path,
    settings: &Settings,
    jobs: usize,
    context: &Context<'_>,
) -> Result<Option<Ahead>> {
    let patience = Patience { attempts: 1, connections: 1, ..settings.patience };
    let context = Context {
        environment: context.environment.clone(),
        interrupt: context.interrupt.clone(),
        progress: &Silent,
        ..*context
    };
    let reader = Reader::new(&context.environment, &settings.goauth, patience, jobs.max(1), &context.interrupt);
    // While go lists the graph; most proxies have TLS, and else the database does.
    reader.prepare();
    let mut ahead: Option<Ahead> = None;
    // Of none of them the database hears anything, not even that it is looked for.
    for versions in batches.filter(|versions| !versions.is_empty()) {
        let place = match &ahead {
            Some(ahead) => ahead.place.clone(),
            None => place::find(&settings.goproxy, &settings.gosumdb, &reader)?,
        };
        let known = |version: &ModuleVersion| {
            ahead
                .as_ref()
                .is_some_and(|it| it.found.records.contains_key(version) || it.found.absent.contains_key(version))
        };
        let versions: BTreeSet<ModuleVersion> = versions.into_iter().filter(|version| !known(version)).collect();
        if versions.is_empty() {
            continue;
        }
        let directory = cache.join("sumdb").join(place.key.name().as_str());
        fs::create_dir_all(&directory).map_err(|error| Error::io(&directory, "could not be made", &error))?;
        let request = Request {
            versions: &versions,
            heads: &[],
            since: None,
            at: None,
            known: &BTreeSet::new(),
            held: &BTreeSet::new(),
            caches,
            out: cache,
            jobs,
        };
        let work = Work {
            request: &request,
            context: &context,
            reader: &reader,
            place: &place,
            directory: &directory,
            cache: None,
        };
        let found = lookups::get(&work, lookups::Found::default())?;
        let head = work.head(&found.records)?;
        let records: Vec<&Record> = found.records.values().collect();
        tiles::lay_out(&work, (&head, head.size()), records.into_iter(), &[], &work.caches())?;
        match &mut ahead {
            Some(ahead) => ahead.found.add(found),
            None => ahead = Some(Ahead { place, found, cache: cache.to_owned() }),
        }
    }
    Ok(ahead)
}
