//! `modferry show` of a mirror: which bundles came when and by whom, and what it has of checksum databases.

use super::{Database, plain};
use crate::byte_size::{ByteSize, count};
use crate::error::{Error, Result};
use crate::mirror::{JournalLine, read_journal};
use modferry_format::{BundleId, BundlePath};
use serde::Serialize;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use walkdir::WalkDir;

/// What there is to say about a mirror.
#[derive(Debug, Clone, Serialize)]
pub struct ShownMirror {
    /// Its place, as it was named.
    pub mirror: String,
    /// The bundles that were imported, oldest first.
    pub bundles: Vec<Imported>,
    /// What it has of checksum databases, by name; their newest heads are not verified here.
    pub databases: Vec<Database>,
}

/// A bundle that was imported.
#[derive(Debug, Clone, Serialize)]
pub struct Imported {
    /// The id in its short form.
    pub id: String,
    /// All 64 digits of it.
    pub sha256: String,
    /// When it was imported, RFC 3339 in UTC.
    pub imported: String,
    /// Who did it, as the system names them.
    pub by: String,
    /// Files that it published.
    pub new_files: u64,
    /// Files that were there already.
    pub known_files: u64,
    /// Bytes that it published.
    pub new_bytes: u64,
}

/// Sums a mirror up: its journal, and the files of its checksum databases.
pub fn show_mirror(mirror: &Path) -> Result<ShownMirror> {
    let imported = |line: JournalLine| Imported {
        id: BundleId::from_hex(&line.bundle).map_or_else(|_| line.bundle.clone(), |id| id.to_string()),
        sha256: line.bundle,
        imported: line.imported,
        by: line.by,
        new_files: line.new_files,
        known_files: line.known_files,
        new_bytes: line.new_bytes,
    };
    Ok(ShownMirror {
        mirror: mirror.display().to_string(),
        bundles: read_journal(mirror)?.into_iter().map(imported).collect(),
        databases: databases(mirror)?,
    })
}

fn databases(mirror: &Path) -> Result<Vec<Database>> {
    let directory = mirror.join("download/sumdb");
    let failed = |error: &io::Error| Error::io(&directory, "could not be read", error);
    let mut databases: Vec<Database> = Vec::new();
    for entry in WalkDir::new(&directory).sort_by_file_name() {
        let entry = match entry {
            Err(error) if error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound) => continue,
            other => other.map_err(|error| failed(&error.into()))?,
        };
        let path = entry.path().strip_prefix(mirror).ok().and_then(Path::to_str).and_then(|path| path.parse().ok());
        let Some(path) = path else { continue };
        let name = match &path {
            BundlePath::Supported(name)
            | BundlePath::Head(name)
            | BundlePath::Lookup(name, _)
            | BundlePath::Tile(name, _) => name.to_string(),
            _ => continue,
        };
        let at = databases.iter().position(|database| database.name == name).unwrap_or_else(|| {
            databases.push(Database { name, ..Database::default() });
            databases.len() - 1
        });
        let database = &mut databases[at];
        database.add(&path, entry.metadata().map_err(|error| failed(&error.into()))?.len());
        if let BundlePath::Head(name) = &path {
            let note = fs::read_to_string(entry.path()).map_err(|error| failed(&error))?;
            let mut lines = note.lines().skip(1);
            database.size = lines.next().and_then(|size| size.parse().ok()).unwrap_or_default();
            database.root = lines.next().unwrap_or_default().to_owned();
            let heads = fs::read(mirror.join("ledger/sumdb").join(name.as_str()).join("@heads"));
            let heads = heads.map_or(0, |heads| heads.iter().filter(|byte| **byte == b'\n').count() as u64);
            database.served = heads.saturating_sub(1);
        }
    }
    Ok(databases)
}

impl fmt::Display for ShownMirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "mirror {}", plain(&self.mirror))?;
        writeln!(f, "\nbundles, oldest first")?;
        for bundle in &self.bundles {
            writeln!(
                f,
                "  {} imported {} by {}: {} new ({}), {} known",
                plain(&bundle.id),
                plain(&bundle.imported),
                plain(&bundle.by),
                count(bundle.new_files, "file"),
                ByteSize(bundle.new_bytes),
                bundle.known_files
            )?;
        }
        for (number, database) in self.databases.iter().enumerate() {
            if number == 0 {
                writeln!(f, "\nchecksum databases")?;
            }
            writeln!(
                f,
                "  {}: {} by a tree head of {} records, {}, {} more served, {}",
                plain(&database.name),
                count(database.records, "record"),
                database.size,
                count(database.tiles, "tile"),
                count(database.served, "head"),
                ByteSize(database.bytes)
            )?;
        }
        Ok(())
    }
}
