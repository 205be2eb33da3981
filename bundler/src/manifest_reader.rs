//! Reads `SHA256SUMS` and `SIZES` side by side, a line at a time, and hashes both on the way.

use crate::source::Source;
use modferry_format::FileSha256;
use modferry_format::manifest::{self, Entry, MAX_LINE_BYTES};
use modferry_format::root::HeadFile;
use sha2::{Digest, Sha256};
use std::io::{self, BufRead, BufReader, Read};

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
            (Line::Bad(reason), _) => Next::Bad(HeadFile::Sha256Sums, format!("line {}: {reason}", self.sums.number)),
            (_, Line::Bad(reason)) => Next::Bad(HeadFile::Sizes, format!("line {}: {reason}", self.sizes.number)),
            (Line::End, Line::Text(_)) => Next::Bad(HeadFile::Sizes, "has more lines than SHA256SUMS".to_owned()),
            (Line::Text(_), Line::End) => Next::Bad(HeadFile::Sha256Sums, "has more lines than SIZES".to_owned()),
            (Line::Text(sums), Line::Text(sizes)) => match self.reader.entry(&sums, &sizes) {
                Ok(entry) => Next::Entry(entry),
                Err(invalid) => {
                    let file = if invalid.kind().starts_with("SIZES") { HeadFile::Sizes } else { HeadFile::Sha256Sums };
                    Next::Bad(file, format!("line {}: {invalid}", self.sums.number))
                }
            },
        })
    }

    /// Hashes of `SHA256SUMS` and `SIZES`; whatever was not read yet is read now.
    pub fn finish(self) -> io::Result<(FileSha256, FileSha256)> {
        Ok((self.sums.finish()?, self.sizes.finish()?))
    }
}

enum Line {
    Text(String),
    Bad(&'static str),
    End,
}

struct Lines {
    file: BufReader<Box<dyn Read>>,
    sha256: Sha256,
    number: u64,
}

impl Lines {
    fn new(source: Source) -> Self {
        Self {
            file: BufReader::with_capacity(64 * 1024, Box::new(OwnedReader { source, at: 0 })),
            sha256: Sha256::new(),
            number: 0,
        }
    }

    fn next(&mut self) -> io::Result<Line> {
        let mut line = Vec::new();
        let mut long = false;
        loop {
            let buffer = self.file.fill_buf()?;
            if buffer.is_empty() {
                if line.is_empty() && !long {
                    return Ok(Line::End);
                }
                self.number += 1;
                return Ok(Line::Bad("no newline at the end of the file"));
            }
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let taken = end.map_or(buffer.len(), |end| end + 1);
            let part = &buffer[..end.unwrap_or(taken)];
            if line.len() + part.len() > MAX_LINE_BYTES {
                long = true;
            } else {
                line.extend_from_slice(part);
            }
            self.sha256.update(&buffer[..taken]);
            self.file.consume(taken);
            if end.is_some() {
                break;
            }
        }
        self.number += 1;
        if long {
            return Ok(Line::Bad("longer than 2048 bytes"));
        }
        Ok(String::from_utf8(line).map_or(Line::Bad("not UTF-8"), Line::Text))
    }

    fn finish(mut self) -> io::Result<FileSha256> {
        loop {
            let buffer = self.file.fill_buf()?;
            if buffer.is_empty() {
                return Ok(FileSha256::from_digest(self.sha256.finalize().into()));
            }
            let len = buffer.len();
            self.sha256.update(buffer);
            self.file.consume(len);
        }
    }
}

struct OwnedReader {
    source: Source,
    at: u64,
}

impl Read for OwnedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = rawzip::ReaderAt::read_at(&self.source, buffer, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}
