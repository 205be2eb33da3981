//! The packages of a module zip by what they import, read where they lie: nothing is unpacked.

use super::{Unpacker, is_source};
use modferry_format::ModuleVersion;
use rawzip::{CompressionMethod, ZipArchive, ZipArchiveEntryWayfinder};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The Go files of a module zip by folder. The zip is not kept open: a process may have few files open, and there are many zips.
pub(crate) struct ZipPackages {
    zip: PathBuf,
    folders: HashMap<String, Vec<(ZipArchiveEntryWayfinder, CompressionMethod)>>,
}

impl ZipPackages {
    /// Those of a proven zip.
    pub(crate) fn of(zip: &Path, version: &ModuleVersion, worker: &mut Unpacker) -> io::Result<Self> {
        let (_, files) = worker.files(zip, version)?;
        let mut folders: HashMap<String, Vec<_>> = HashMap::new();
        for (name, wayfinder, method) in files {
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            let files = folders.entry(folder.to_owned()).or_default();
            // What go passes over makes a package of the folder all the same.
            if is_source(&name) && !name.ends_with("_test.go") {
                files.push((wayfinder, method));
            }
        }
        Ok(Self { zip: zip.to_owned(), folders })
    }

    /// Whether a package is in this folder, empty for the module's own.
    pub(crate) fn has(&self, folder: &str) -> bool {
        self.folders.contains_key(folder)
    }

    /// What its files import, tests apart, on any platform.
    pub(crate) fn imports(&self, folder: &str, worker: &mut Unpacker) -> io::Result<BTreeSet<String>> {
        let archive = ZipArchive::from_file(File::open(&self.zip)?, &mut worker.directory).map_err(io::Error::other)?;
        let mut imports = BTreeSet::new();
        for &(wayfinder, method) in self.folders.get(folder).into_iter().flatten() {
            let range = archive.get_entry(wayfinder).map_err(io::Error::other)?.compressed_data_range();
            if let Ok(head) = worker.head(archive.get_ref(), range, method)? {
                imports.extend(head.imports.into_iter().filter(|_| !head.is_ignored));
            }
        }
        Ok(imports)
    }
}
