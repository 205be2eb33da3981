//! Reads a text file of a bundle a line at a time and hashes it on the way, with flat memory however long it is.

use crate::source::Source;
use modferry_format::FileSha256;
use modferry_format::manifest::MAX_LINE_BYTES;
use modferry_format::requires::{self, Required};
use sha2::{Digest, Sha256};
use std::io::{self, BufRead, BufReader, Read};

/// What comes next.
pub(crate) enum Line {
    /// A line without its newline.
    Text(String),
    /// A line that no text file of a bundle has; reading can go on.
    Bad(&'static str),
    /// The end of the file.
    End,
}

/// A text file under way.
pub(crate) struct Lines {
    file: BufReader<Box<dyn Read>>,
    sha256: Sha256,
    number: u64,
}

impl Lines {
    /// At the first line.
    pub(crate) fn new(source: Source) -> Self {
        Self {
            file: BufReader::with_capacity(64 * 1024, Box::new(OwnedReader { source, at: 0 })),
            sha256: Sha256::new(),
            number: 0,
        }
    }

    /// How many lines were taken.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Takes the next line.
    pub(crate) fn next(&mut self) -> io::Result<Line> {
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

    /// The hash of the whole file; what was not read yet is read now.
    pub(crate) fn finish(mut self) -> io::Result<FileSha256> {
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

/// Reads `REQUIRES`, hands on each thing that the far side must have, and gives the hash of the file; inside, what is
/// wrong with its text.
pub(crate) fn read_requires(
    source: Source,
    mut each: impl FnMut(Required) -> io::Result<()>,
) -> io::Result<(FileSha256, Result<(), String>)> {
    let (mut lines, mut reader) = (Lines::new(source), requires::Reader::default());
    let read = loop {
        let line = match lines.next()? {
            Line::Text(text) => reader.line(&text),
            Line::Bad(reason) => break Err(format!("line {}: {reason}", lines.number())),
            Line::End => break reader.finish().map_err(|invalid| invalid.to_string()),
        };
        match line {
            Ok(Some(required)) => each(required)?,
            Ok(None) => {}
            Err(invalid) => break Err(format!("line {}: {invalid}", lines.number())),
        }
    };
    Ok((lines.finish()?, read))
}
