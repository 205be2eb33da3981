//! Looks paths up in `SHA256SUMS` and `SIZES` of a bundle without reading them through: their lines are in order, so
//! some twenty small reads find one among a million.

use crate::source::Source;
use modferry_format::BundlePath;
use modferry_format::manifest::MAX_LINE_BYTES;
use rawzip::ReaderAt;
use std::cmp::Ordering;
use std::io;

/// A file of lines `FIELD  PATH` in the order of a manifest. What is found in one that is not in order is any line.
pub(super) struct Manifest {
    source: Source,
}

/// A line of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) field: String,
    pub(super) path: String,
    /// Where the next one begins.
    next: u64,
}

impl Manifest {
    pub(super) fn new(source: Source) -> Self {
        Self { source }
    }

    /// What stands before a path, if the path is there.
    pub(super) fn field(&self, path: &str) -> io::Result<Option<String>> {
        let line = self.line(self.seek(path)?)?;
        Ok(line.filter(|line| line.path == path).map(|line| line.field))
    }

    /// All lines whose path is not before this one.
    pub(super) fn from(&self, path: &str) -> io::Result<impl Iterator<Item = io::Result<Line>> + '_> {
        let mut at = Some(self.seek(path)?);
        Ok(std::iter::from_fn(move || {
            let line = self.line(at?).transpose();
            at = line.as_ref().and_then(|line| line.as_ref().ok()).map(|line| line.next);
            line
        }))
    }

    /// Where the first line begins whose path is not before this one.
    fn seek(&self, path: &str) -> io::Result<u64> {
        // All lines that begin before `low` are before the path; `best` is the first known that is not, and none that
        // begins from `high` on is better.
        let (mut low, mut high, mut best) = (0, self.source.size(), self.source.size());
        while low < high {
            let middle = low + (high - low) / 2;
            let start = self.start_from(middle)?;
            let line = if start < high { self.line(start)? } else { None };
            match line {
                Some(line) if BundlePath::order(&line.path, path) == Ordering::Less => low = line.next,
                Some(_) => (best, high) = (start, middle),
                None => high = middle,
            }
        }
        Ok(best)
    }

    /// Where the first line begins that does not begin before this place.
    fn start_from(&self, at: u64) -> io::Result<u64> {
        if at == 0 {
            return Ok(0);
        }
        let window = self.window(at - 1)?;
        match window.iter().position(|&byte| byte == b'\n') {
            Some(end) => Ok(at + end as u64),
            None => Ok(self.source.size()),
        }
    }

    /// The line that begins here; none at the end, or where there is no line as it should be.
    fn line(&self, at: u64) -> io::Result<Option<Line>> {
        let window = self.window(at)?;
        let line = window.iter().position(|&byte| byte == b'\n').and_then(|end| {
            let (field, path) = std::str::from_utf8(&window[..end]).ok()?.split_once("  ")?;
            Some(Line { field: field.to_owned(), path: path.to_owned(), next: at + end as u64 + 1 })
        });
        Ok(line)
    }

    /// The bytes from here on, enough for any line.
    fn window(&self, at: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; MAX_LINE_BYTES];
        let mut filled = 0;
        while filled < bytes.len() {
            match self.source.read_at(&mut bytes[filled..], at + filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_line_and_what_comes_after_it() {
        let mut paths: Vec<String> =
            (0..300).map(|n| format!("download/example.com/m{}/@v/v1.0.{n}.mod", "x".repeat(n * 7 % 90))).collect();
        paths.push("download/sumdb/sum.example.com/latest".to_owned());
        paths.sort_by(|one, other| BundlePath::order(one, other));
        for count in [0, 1, 2, 3, paths.len()] {
            let paths = &paths[..count];
            let text: String = paths.iter().enumerate().map(|(number, path)| format!("{number}  {path}\n")).collect();
            let manifest = Manifest::new(Source::memory(text.into_bytes()));
            for (number, path) in paths.iter().enumerate() {
                assert_eq!(manifest.field(path).unwrap(), Some(number.to_string()), "{path}");
                assert_eq!(manifest.field(&format!("{path}.")).unwrap(), None);
                let rest: Vec<String> = manifest.from(path).unwrap().map(|line| line.unwrap().path).collect();
                assert_eq!(rest, paths[number..]);
            }
            assert_eq!(manifest.field("download/").unwrap(), None);
            assert_eq!(manifest.field("extra/").unwrap(), None);
        }
    }
}
