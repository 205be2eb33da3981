//! The head files of a bundle that is imported: copied into staging and held to what `BUNDLE` states.

use super::{copy_hashed, medium, refuse, staged_head};
use crate::carrier::Carrier;
use crate::durable::FILE_MODE;
use crate::error::{Error, ErrorKind, Result};
use crate::head::header_error;
use crate::lines::read_requires;
use crate::manifest_reader::{ManifestReader, Next};
use crate::mirror::Mirror;
use crate::source::Source;
use modferry_format::finding::{Finding, FindingKind};
use modferry_format::header::Header;
use modferry_format::manifest::Entry;
use modferry_format::requires::Required;
use modferry_format::root::{BUNDLE, HeadFile, MAX_BUNDLE_BYTES, Root};
use modferry_format::{BundleId, FileSha256, Invalid, ModulePath, readme};
use modferry_prove::tape;
use std::collections::BTreeMap;
use std::io;

/// Number of a line of the manifest, from 1 on. Two 32-bit numbers are enough for the 1.5 million lines of format 1.
pub(crate) type LineNumber = u32;

/// Reads `BUNDLE`, before anything is staged.
pub(crate) fn read_root(carrier: &dyn Carrier) -> Result<(Root, Vec<u8>)> {
    let bytes = match carrier.head(BUNDLE) {
        Ok(Some(source)) => source.read_all(MAX_BUNDLE_BYTES),
        Ok(None) => {
            let message = format!("{}: is no bundle: it has no file named BUNDLE", carrier.name());
            return Err(Error::new(ErrorKind::BundleInvalid, message)
                .hint("name a bundle, then the mirror: modferry import BUNDLE... MIRROR"));
        }
        Err(error) => Err(error),
    };
    let bytes = bytes.map_err(|error| medium(carrier, BUNDLE, &error))?;
    let root = String::from_utf8_lossy(&bytes)
        .parse()
        .map_err(|invalid: Invalid| refuse(carrier, BUNDLE, &invalid.to_string()))?;
    Ok((root, bytes))
}

/// Reads the header, before anything is staged; a format that is not known ends everything.
pub(crate) fn read_header(carrier: &dyn Carrier, root: &Root) -> Result<Header> {
    let file = HeadFile::BundleJson;
    let bytes = match carrier.head(file.name()) {
        Ok(Some(source)) => source.read_all(file.max_bytes()).map_err(|error| medium(carrier, file.name(), &error))?,
        Ok(None) => return Err(missing(carrier, file)),
        Err(error) => return Err(medium(carrier, file.name(), &error)),
    };
    let header = Header::parse(&bytes).map_err(|error| header_error(carrier, &error))?;
    let hash = FileSha256::of(&bytes);
    if hash != root.sum(file) {
        return Err(refuse(carrier, file.name(), &format!("has sha256 {hash}, BUNDLE states {}", root.sum(file))));
    }
    Ok(header)
}

/// The error for a head file that is not there, or did not come since the carrier is broken before it.
fn missing(carrier: &dyn Carrier, file: HeadFile) -> Error {
    let is_broken = |last: &Finding| last.kind == FindingKind::Carrier && last.subject == carrier.name();
    match carrier.findings().pop().filter(is_broken) {
        Some(broken) => refuse(carrier, &broken.subject, &broken.detail),
        None => refuse(carrier, file.name(), "missing"),
    }
}

/// The head files, in staging; they are read there from now on.
pub(crate) struct Head {
    pub(crate) id: BundleId,
    pub(crate) header: Header,
    name: String,
    sums: Source,
    sizes: Source,
    requires: Source,
}

/// Entries that belong together.
pub(crate) enum Group<'a> {
    /// All of one module.
    Module(&'a ModulePath, &'a [(LineNumber, Entry)]),
    /// One that is of no module.
    Other(LineNumber, &'a Entry),
}

impl Head {
    /// Copies the head files; one that is not as `BUNDLE` states ends the import.
    pub(crate) fn stage(
        carrier: &dyn Carrier,
        mirror: &Mirror<'_>,
        id: &BundleId,
        root: &Root,
        bundle: &[u8],
    ) -> Result<Self> {
        // What lies there already stays: a bundle that waits has perhaps no other copy.
        let files = mirror.durable().files();
        if !files.read(&staged_head(id, BUNDLE), MAX_BUNDLE_BYTES).is_ok_and(|there| there == bundle) {
            mirror.durable().create(&staged_head(id, BUNDLE))?.write_all(bundle)?;
        }
        let mut staged = BTreeMap::new();
        for file in HeadFile::ALL {
            let source = match carrier.head(file.name()) {
                Ok(Some(source)) if source.size() <= file.max_bytes() => source,
                Ok(Some(_)) => return Err(refuse(carrier, file.name(), "larger than the format allows")),
                Ok(None) => return Err(missing(carrier, file)),
                Err(error) => return Err(medium(carrier, file.name(), &error)),
            };
            let size = source.size();
            let path = staged_head(id, file.name());
            if let Ok(there) = files.open(&path)
                && there.size() == size
                && files.is_ours_alone(&path, FILE_MODE).is_ok_and(|alone| alone)
                && tape::hash(&there, size).is_ok_and(|hash| hash == root.sum(file))
            {
                staged.insert(file, there);
                continue;
            }
            let (sha256, copied) =
                copy_hashed(carrier, file.name(), size, Box::new(move || Ok(source)), mirror, &path)?;
            if sha256 != root.sum(file) {
                let reason = format!("has sha256 {}, BUNDLE states {}", sha256, root.sum(file));
                return Err(refuse(carrier, file.name(), &reason));
            }
            staged.insert(file, copied);
        }
        // SPEC M24
        if root.sum(HeadFile::Readme) != FileSha256::of(readme::TEXT.as_bytes()) {
            return Err(refuse(carrier, HeadFile::Readme.name(), "is not the text of this format"));
        }
        let file = HeadFile::BundleJson;
        let json = staged[&file].read_all(file.max_bytes()).map_err(|error| {
            Error::io(&mirror.durable().full(&staged_head(id, file.name())), "could not be read", &error)
        })?;
        let mut take = |file| staged.remove(&file).unwrap_or_else(|| Source::memory(Vec::new()));
        Ok(Self {
            id: *id,
            header: Header::parse(&json).map_err(|error| header_error(carrier, &error))?,
            name: carrier.name().to_owned(),
            sums: take(HeadFile::Sha256Sums),
            sizes: take(HeadFile::Sizes),
            requires: take(HeadFile::Requires),
        })
    }

    /// How messages name the bundle.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// All entries with their line numbers; a line that breaks the grammar ends the import.
    pub(crate) fn entries(&self, mut each: impl FnMut(LineNumber, Entry) -> Result<()>) -> Result<()> {
        let mut manifest = ManifestReader::new(self.sums.clone(), self.sizes.clone());
        let mut number = 0;
        loop {
            match manifest.advance() {
                Ok(Next::Entry(entry)) => {
                    number += 1;
                    each(number, entry)?;
                }
                Ok(Next::End) => return Ok(()),
                Ok(Next::Bad(file, reason)) => {
                    return Err(Error::new(ErrorKind::BundleInvalid, format!("{}: {file}: {reason}", self.name)));
                }
                Err(error) => return Err(self.unreadable("the manifest", &error)),
            }
        }
    }

    /// The entries of one module after the other, which stand together, and in their place what belongs to none.
    pub(crate) fn groups(&self, mut each: impl FnMut(Group<'_>) -> Result<()>) -> Result<()> {
        let (mut module, mut lines): (Option<ModulePath>, Vec<(LineNumber, Entry)>) = (None, Vec::new());
        self.entries(|number, entry| {
            if entry.path.module() != module.as_ref() {
                if let Some(module) = &module {
                    each(Group::Module(module, &lines))?;
                }
                lines.clear();
                module = entry.path.module().cloned();
            }
            if module.is_none() {
                return each(Group::Other(number, &entry));
            }
            lines.push((number, entry));
            Ok(())
        })?;
        module.map_or(Ok(()), |module| each(Group::Module(&module, &lines)))
    }

    /// What the far side must have, one thing after the other.
    pub(crate) fn requires(&self, mut each: impl FnMut(Required) -> Result<()>) -> Result<()> {
        let mut own = None;
        let read = read_requires(self.requires.clone(), |required| {
            each(required).map_err(|error| {
                own = Some(error);
                io::Error::other("ended by its reader")
            })
        });
        match (own, read) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(self.unreadable("REQUIRES", &error)),
            (None, Ok((_, Err(reason)))) => {
                let message = format!("{}: {}: {reason}", self.name, HeadFile::Requires);
                Err(Error::new(ErrorKind::BundleInvalid, message))
            }
            (None, Ok((_, Ok(())))) => Ok(()),
        }
    }

    fn unreadable(&self, what: &str, error: &io::Error) -> Error {
        let message = format!("{}: {what} could not be read in staging", self.name);
        Error::new(ErrorKind::Io, message).because(error.to_string())
    }
}
