//! Opens a bundle for reading: its root, its id and its header, each held to what `BUNDLE` states.

use crate::carrier::Carrier;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest_reader::{ManifestReader, Next};
use modferry_format::header::{Header, HeaderError};
use modferry_format::manifest::Entry;
use modferry_format::root::{BUNDLE, HeadFile, MAX_BUNDLE_BYTES, Root};
use modferry_format::{BundleId, FileSha256};

/// What stands at the head of a bundle.
#[derive(Debug, Clone)]
pub struct Head {
    /// The hashes of the head files.
    pub root: Root,
    /// The name of the bundle.
    pub id: BundleId,
    /// What it says of itself.
    pub header: Header,
}

impl Head {
    /// Reads the head; the first thing that is wrong with it is an error.
    pub fn read(carrier: &dyn Carrier) -> Result<Self> {
        let bytes = read(carrier, BUNDLE, MAX_BUNDLE_BYTES)?;
        let text = String::from_utf8_lossy(&bytes);
        let root: Root =
            text.parse().map_err(|invalid: modferry_format::Invalid| wrong(carrier, BUNDLE, &invalid.to_string()))?;
        let file = HeadFile::BundleJson;
        let json = read(carrier, file.name(), file.max_bytes())?;
        // What it says before its hash is known to be right is only whether we can read on at all.
        let header = Header::parse(&json).map_err(|error| header_error(carrier, &error))?;
        if FileSha256::of(&json) != root.sum(file) {
            return Err(wrong(carrier, file.name(), "has not the hash that BUNDLE states"));
        }
        Ok(Self { root, id: BundleId::of(&bytes), header })
    }

    /// All entries of the manifest, one after the other.
    pub fn entries(&self, carrier: &dyn Carrier, mut each: impl FnMut(Entry)) -> Result<()> {
        let open = |file: HeadFile| match carrier.head(file.name()) {
            Ok(Some(source)) if source.size() <= file.max_bytes() => Ok(source),
            Ok(Some(_)) => Err(wrong(carrier, file.name(), "is larger than the format allows")),
            Ok(None) => Err(wrong(carrier, file.name(), "is missing")),
            Err(error) => Err(wrong(carrier, file.name(), &error.to_string())),
        };
        let (sums, sizes) = (HeadFile::Sha256Sums, HeadFile::Sizes);
        let mut manifest = ManifestReader::new(open(sums)?, open(sizes)?);
        let failed = |error: std::io::Error| wrong(carrier, sums.name(), &error.to_string());
        loop {
            match manifest.advance().map_err(failed)? {
                Next::Entry(entry) => each(entry),
                Next::Bad(file, reason) => return Err(wrong(carrier, file.name(), &reason)),
                Next::End => break,
            }
        }
        let hashes = manifest.finish().map_err(failed)?;
        for (file, hash) in [(sums, hashes.0), (sizes, hashes.1)] {
            if hash != self.root.sum(file) {
                return Err(wrong(carrier, file.name(), "has not the hash that BUNDLE states"));
            }
        }
        Ok(())
    }
}

fn read(carrier: &dyn Carrier, name: &str, limit: u64) -> Result<Vec<u8>> {
    match carrier.head(name) {
        Ok(Some(source)) => source.read_all(limit).map_err(|error| wrong(carrier, name, &error.to_string())),
        Ok(None) if name == BUNDLE => {
            let message = format!("{}: is no bundle: it has no file named BUNDLE", carrier.name());
            Err(Error::new(ErrorKind::BundleInvalid, message)
                .hint("name the directory or the tar that modferry bundle made"))
        }
        Ok(None) => Err(wrong(carrier, name, "is missing")),
        Err(error) => Err(wrong(carrier, name, &error.to_string())),
    }
}

fn wrong(carrier: &dyn Carrier, name: &str, reason: &str) -> Error {
    let error = Error::new(ErrorKind::BundleInvalid, format!("{}: {name}: {reason}", carrier.name()));
    error.hint("modferry verify names everything that is wrong with it")
}

/// The error for a header that cannot be used.
pub fn header_error(carrier: &dyn Carrier, error: &HeaderError) -> Error {
    match error {
        HeaderError::Unsupported(_) => Error::new(ErrorKind::Unsupported, format!("{}: {error}", carrier.name())),
        _ => wrong(carrier, HeadFile::BundleJson.name(), &error.to_string()),
    }
}
