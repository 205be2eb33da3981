//! Bundles that wait in staging for a bridge, and are imported from there once it has come.
//!
//! All of such a bundle lies in the mirror: its head files and whatever was new in staging, the rest published. So it
//! needs no medium any more, which may be gone by the time the bridge comes.

use super::head::LineNumber;
use super::{staged_file, staged_head};
use crate::beneath::{Beneath, Kind};
use crate::carrier::{Carrier, Delivered, What};
use crate::error::{Error, Result};
use crate::manifest_reader::{ManifestReader, Next};
use crate::mirror::{Mirror, staging};
use crate::source::Source;
use modferry_format::BundleId;
use modferry_format::root::{BUNDLE, HeadFile, MAX_BUNDLE_BYTES};
use std::io;
use std::iter;
use std::path::Path;
use std::sync::Arc;

/// The file in a bundle's staging that says it waits; it has the two notes.
pub(super) const WAITS: &str = "needs-bridge";

/// Whether this bundle waits.
pub(super) fn waits(mirror: &Mirror<'_>, id: &BundleId) -> bool {
    mirror.durable().files().kind(&staging(id).join(WAITS)).is_ok_and(|kind| kind.is_some())
}

/// The bundles of a mirror that wait.
pub fn waiting(mirror: &Path) -> Result<Vec<Staged>> {
    let failed = |error: &io::Error| Error::io(mirror, "could not be read", error);
    let files = Arc::new(Beneath::new(mirror).map_err(|error| failed(&error))?);
    let mut staged = Vec::new();
    let entries = match std::fs::read_dir(mirror.join("staging")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(staged),
        entries => entries.map_err(|error| failed(&error))?,
    };
    for entry in entries {
        let name = entry.map_err(|error| failed(&error))?.file_name();
        let Some(id) = name.to_str().and_then(|name| BundleId::from_hex(name).ok()) else { continue };
        let waits = matches!(files.kind(&staging(&id).join(WAITS)), Ok(Some(Kind::File(_))));
        let bundle = || files.read(&staged_head(&id, BUNDLE), MAX_BUNDLE_BYTES);
        if waits && bundle().is_ok_and(|bytes| BundleId::of(&bytes) == id) {
            staged.push(Staged { name: format!("bundle {id}, which waits"), id, files: Arc::clone(&files) });
        }
    }
    staged.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(staged)
}

/// A bundle in staging, as a carrier of itself.
pub struct Staged {
    name: String,
    id: BundleId,
    files: Arc<Beneath>,
}

impl Carrier for Staged {
    fn name(&self) -> &str {
        &self.name
    }

    fn head(&self, name: &str) -> io::Result<Option<Source>> {
        match self.files.open(&staged_head(&self.id, name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    fn content(&self) -> Result<Box<dyn Iterator<Item = Delivered> + '_>> {
        let open = |file: HeadFile| {
            let path = staged_head(&self.id, file.name());
            self.files.open(&path).map_err(|error| Error::io(&self.files.full(&path), "could not be opened", &error))
        };
        let mut manifest = ManifestReader::new(open(HeadFile::Sha256Sums)?, open(HeadFile::Sizes)?);
        let mut number: LineNumber = 0;
        // A manifest that breaks its grammar is for the import to name; what it lists is not delivered then.
        let next = move || match manifest.advance() {
            Ok(Next::Entry(entry)) => {
                number += 1;
                Some(Some((number, entry.path)))
            }
            Ok(Next::Bad(..)) => Some(None),
            Ok(Next::End) | Err(_) => None,
        };
        let delivered = iter::from_fn(next).flatten().filter_map(|(number, path)| {
            let staged = staged_file(&self.id, number, &path);
            let path = path.to_string();
            let (place, size) =
                [staged.as_path(), Path::new(&path)].into_iter().find_map(|place| match self.files.kind(place) {
                    Ok(Some(Kind::File(size))) => Some((place.to_owned(), size)),
                    _ => None,
                })?;
            let files = Arc::clone(&self.files);
            let what = What::File(size, Box::new(move || files.open(&place)));
            Some(Delivered { path, what })
        });
        Ok(Box::new(delivered))
    }
}
