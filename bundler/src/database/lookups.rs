//! The records of module versions: from go's own caches where they are, else from the database.
//!
//! A cached lookup gives number and text, proven like all others; its head is as old as the answer, and one that was met.
//! In an answer the text must be that of the version, and the note must be signed; its head is remembered, for somebody
//! may have stored it. Most notes are alike, so each is opened once.

use crate::database::{Work, not_opened};
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::remote::{Answer, Base};
use modferry_format::ModuleVersion;
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::record::{self, Lookup, Record};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What the lookups gave.
#[derive(Default)]
pub(super) struct Found {
    pub(super) records: BTreeMap<ModuleVersion, Record>,
    pub(super) absent: BTreeMap<ModuleVersion, String>,
    /// The heads that answers carried, in no order.
    pub(super) heads: Vec<Head>,
    /// Files of caches that records were taken from.
    pub(super) cached: BTreeMap<ModuleVersion, PathBuf>,
}

impl Found {
    /// Adds what others gave.
    pub(super) fn add(&mut self, other: Self) {
        self.records.extend(other.records);
        self.absent.extend(other.absent);
        self.heads.extend(other.heads);
        self.cached.extend(other.cached);
    }
}

/// The name of a lookup below its database: escaped, and for the rest raw.
pub(super) fn name(version: &ModuleVersion) -> String {
    format!("lookup/{}@{}", version.path().escaped(), version.version().escaped())
}

/// Gets all of the request; of what was `found` already only the heads count that nobody asks for again.
pub(super) fn get(work: &Work<'_>, mut found: Found) -> Result<Found> {
    let wanted = &work.request.versions;
    found.records.retain(|version, _| wanted.contains(version));
    found.cached.retain(|version, _| wanted.contains(version));
    // What was not there then may be now.
    found.absent.clear();
    let caches = work.caches();
    let heads = Heads { work, opened: Mutex::default() };
    let mut wanted = Vec::new();
    for version in
        work.request.versions.iter().filter(|version| !found.records.contains_key(version)).collect::<Vec<_>>()
    {
        let cached = caches.iter().map(|cache| cache.join(name(version)));
        // Whoever asked before has stored the head of it, and may come along. For a record beyond its own head one would wait
        // in vain.
        let usable = |file: PathBuf| {
            let lookup = cached_lookup(&file, version)?;
            let is_in_tree = heads.meet(&lookup).is_none_or(|size| lookup.record.id < size);
            is_in_tree.then_some((lookup, file))
        };
        match cached.into_iter().find_map(usable) {
            Some((lookup, file)) => {
                found.records.insert(version.clone(), lookup.record);
                found.cached.insert(version.clone(), file);
            }
            None => wanted.push(version.clone()),
        }
    }
    for (version, answer) in work.each(wanted, |version| heads.look_up(version))? {
        match answer {
            Ok(record) => drop(found.records.insert(version, record)),
            Err(words) => drop(found.absent.insert(version, words)),
        }
    }
    found.heads.extend(heads.opened.into_inner().unwrap_or_else(PoisonError::into_inner).into_values());
    Ok(found)
}

/// A lookup in a file of a cache; none if there is no such file, or none that can be used: then the database is asked.
fn cached_lookup(file: &Path, version: &ModuleVersion) -> Option<Lookup> {
    let mut bytes = Vec::new();
    File::open(file).ok()?.take(record::MAX_BYTES as u64 + 1).read_to_end(&mut bytes).ok()?;
    Lookup::parse(&bytes, version).ok()
}

/// The heads that were met, by their notes.
struct Heads<'a> {
    work: &'a Work<'a>,
    opened: Mutex<BTreeMap<Box<str>, Head>>,
}

impl Heads<'_> {
    /// The record, or the server's words about its absence.
    fn look_up(&self, version: &ModuleVersion) -> Result<std::result::Result<Record, String>> {
        let (base, name): (&Base, _) = (&self.work.place.base, name(version));
        let bytes = match self.work.reader.get(base, &name, record::MAX_BYTES)? {
            Answer::Found(bytes) => bytes,
            Answer::Absent(words) => return Ok(Err(words)),
        };
        let shown = base.shown(&name);
        let lookup = Lookup::parse(&bytes, version).map_err(|error| {
            Error::new(ErrorKind::Network, format!("{shown}: is not the lookup of {version}"))
                .because(error.to_string())
                .hint("whoever answers is perhaps no checksum database; check go env GOPROXY GOSUMDB")
        })?;
        let is_known = self.lock().contains_key(&lookup.note);
        if !is_known {
            let key = &self.work.place.key;
            let head = lookup.head(key).map_err(|error| not_opened(&shown, &error, lookup.note.as_bytes()))?;
            self.lock().insert(lookup.note, head);
        }
        Ok(Ok(lookup.record))
    }

    /// Remembers the head of a cached lookup, and gives its size; none if it is no head.
    fn meet(&self, lookup: &Lookup) -> Option<u64> {
        if let Some(head) = self.lock().get(&lookup.note) {
            return Some(head.size());
        }
        let head = lookup.head(&self.work.place.key).ok()?;
        let size = head.size();
        self.lock().insert(lookup.note.clone(), head);
        Some(size)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Box<str>, Head>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the lookups, all with one head; gives their length in bytes.
pub(super) fn write<'a>(work: &Work<'_>, records: impl Iterator<Item = &'a Record>, head: &Head) -> Result<u64> {
    let mut bytes = 0;
    for record in records {
        work.interrupt().check()?;
        let lookup = Lookup { record: record.clone(), note: head.note().into() };
        let name = name(&record.module);
        bytes += work.write(&name, lookup.to_string().as_bytes())?;
    }
    Ok(bytes)
}
