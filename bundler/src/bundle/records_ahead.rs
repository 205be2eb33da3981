//! Fetches records and tiles of the checksum database while a closure is still being resolved: the one waits for the network,
//! the other works on zips.

use crate::bundle::Options;
use crate::bundle::records::Before;
use crate::bundle::small_file;
use crate::context::Context;
use crate::database;
use crate::go_command::Settings;
use crate::module_cache::{self, Versions};
use modferry_format::sumdb::record::Record;
use modferry_format::{H1, ModuleVersion, go_mod, patterns};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

/// Where versions are told of that will most likely be carried.
pub(crate) struct Expected(mpsc::Sender<BTreeSet<ModuleVersion>>);

impl Expected {
    fn add(&self, versions: BTreeSet<ModuleVersion>) {
        // Nobody listens where the database did not answer: it is asked once more when all is known.
        let _ = self.0.send(versions);
    }

    /// All of which there is a go.mod in a module cache.
    pub(crate) fn add_all_in(&self, module_cache: &Path) {
        // What cannot be read stops others, and better told.
        let there = module_cache::versions(module_cache).unwrap_or_default().into_iter();
        self.add(there.filter(|(_, files)| files.go_mod.is_some()).map(|(version, _)| version).collect());
    }
}

/// Does `work` with somebody beside it who fetches into `cache` what is proven by records; gives what came.
pub(crate) fn beside<T>(
    before: &Before,
    (options, settings): (&Options, &Settings),
    module_caches: &[PathBuf],
    cache: &Path,
    context: &Context<'_>,
    work: impl FnOnce(&Expected) -> T,
) -> (T, Option<database::Ahead>) {
    let caches = before.caches(module_caches);
    // The names of private modules are nobody's business.
    let private = [settings.get("GONOSUMDB"), &options.no_record.join(",")].join(",");
    let (sender, receiver) = mpsc::channel::<BTreeSet<ModuleVersion>>();
    let is_public = |version: &ModuleVersion| !patterns::matches(&private, version.path().as_str());
    let batches = receiver.into_iter().map(|versions| versions.into_iter().filter(is_public).collect());
    let jobs = context.requests.unwrap_or(database::REQUESTS);
    thread::scope(|scope| {
        let fetch = || database::ahead(batches, &caches, cache, &settings.into(), jobs, context);
        // Where the system gives no thread, nothing comes ahead.
        let fetching = thread::Builder::new().spawn_scoped(scope, fetch);
        let done = work(&Expected(sender));
        let fetched = fetching.ok().and_then(|thread| thread.join().ok());
        (done, fetched.and_then(|fetched| fetched.ok().flatten()))
    })
}

/// Whether a file in a module cache is another than a record states.
pub(crate) fn contradicts<'r>(record: impl Fn(&ModuleVersion) -> Option<&'r Record>, versions: &Versions) -> bool {
    versions.iter().filter_map(|(version, files)| Some((record(version)?, files))).any(|(record, files)| {
        let is_other = |stated: H1, there: Option<H1>| there.is_some_and(|there| there != stated);
        let go_mod = || Some(H1::of_go_mod(&small_file::read(files.go_mod.as_ref()?, go_mod::MAX_BYTES)?));
        let zip = || {
            let hash = small_file::read(&files.zip.as_ref()?.with_extension("ziphash"), MAX_ZIPHASH_BYTES)?;
            String::from_utf8(hash).ok()?.trim().parse().ok()
        };
        is_other(record.go_mod, go_mod()) || is_other(record.zip, zip())
    })
}

/// More than the 47 bytes that go writes.
const MAX_ZIPHASH_BYTES: u64 = 64;
