//! Reads `SHA256SUMS` and `SIZES` side by side, a line at a time, and hashes both on the way.

use crate::lines::{Line, Lines};
use crate::source::Source;
use modferry_format::FileSha256;
use modferry_format::manifest::{self, Entry};
use modferry_format::root::HeadFile;
use std::io;

/// What comes next in a manifest.
#[derive(Debug)]
pub enum Next {
    /// A file of the content.
    Entry(Entry),
    /// Lines that break the grammar or the order, and the file to blame; reading can go on.
    Bad(HeadFile, String),
    /// The end of both files.
    End,
}

/// Both files of a manifest, under way.
pub struct ManifestReader {
    sums: Lines,
    sizes: Lines,
    reader: manifest::Reader,
}

impl ManifestReader {
    /// At the first line of both.
    pub fn new(sums: Source, sizes: Source) -> Self {
        Self { sums: Lines::new(sums), sizes: Lines::new(sizes), reader: manifest::Reader::default() }
    }

    /// Takes the next line of both.
    pub fn advance(&mut self) -> io::Result<Next> {
        let (sums, sizes) = (self.sums.next()?, self.sizes.next()?);
        Ok(match (sums, sizes) {
            (Line::End, Line::End) => Next::End,
            (Line::Bad(reason), _) => Next::Bad(HeadFile::Sha256Sums, format!("line {}: {reason}", self.sums.number())),
            (_, Line::Bad(reason)) => Next::Bad(HeadFile::Sizes, format!("line {}: {reason}", self.sizes.number())),
            (Line::End, Line::Text(_)) => Next::Bad(HeadFile::Sizes, "has more lines than SHA256SUMS".to_owned()),
            (Line::Text(_), Line::End) => Next::Bad(HeadFile::Sha256Sums, "has more lines than SIZES".to_owned()),
            (Line::Text(sums), Line::Text(sizes)) => match self.reader.entry(&sums, &sizes) {
                Ok(entry) => Next::Entry(entry),
                Err(invalid) => {
                    let file = if invalid.kind().starts_with("SIZES") { HeadFile::Sizes } else { HeadFile::Sha256Sums };
                    Next::Bad(file, format!("line {}: {invalid}", self.sums.number()))
                }
            },
        })
    }

    /// Hashes of `SHA256SUMS` and `SIZES`; whatever was not read yet is read now.
    pub fn finish(self) -> io::Result<(FileSha256, FileSha256)> {
        Ok((self.sums.finish()?, self.sizes.finish()?))
    }
}
