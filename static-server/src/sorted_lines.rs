//! Finds one line in a large sorted file with a few reads and no memory of it.
//!
//! `SHA256SUMS` of a bundle and `@sums` of a module are sorted, so nothing needs to be read when the server starts, and
//! a bundle of a million files costs no more than a small one.

use crate::file_bytes::{Patience, read_at};
use modferry_format::manifest::MAX_LINE_BYTES;
use std::cmp::Ordering;
use std::fs::File;
use std::io;
use std::sync::OnceLock;

/// What is read around a point to find a whole line there: one that began before it, and one after it.
const PROBE_BYTES: usize = 2 * MAX_LINE_BYTES;
/// What is read first, since it is enough nearly always: most paths are much shorter than the longest.
const SHORT_PROBE_BYTES: usize = 512;
/// At this size what is left is read in one piece; while it is larger, there is a line that begins behind its middle.
const REST_BYTES: u64 = 4 * MAX_LINE_BYTES as u64;

/// Lines that searches in one file begin with: half of what is read for a search is the same for all of them.
#[derive(Debug)]
pub(crate) struct FirstSteps(Vec<OnceLock<(u64, Box<str>)>>);

impl FirstSteps {
    /// Eight steps of a search, as a tree; some 32 KiB of usual lines once all of them have been taken, 256 KiB of the longest.
    const LINES: usize = 256;

    fn known(&self, step: usize) -> Option<(u64, &str)> {
        self.0.get(step)?.get().map(|(at, line)| (*at, &**line))
    }

    fn keep(&self, step: usize, at: u64, line: &str) {
        if let Some(place) = self.0.get(step) {
            // Who comes second has read the same.
            let _ = place.set((at, line.into()));
        }
    }
}

impl Default for FirstSteps {
    fn default() -> Self {
        Self((0..Self::LINES).map(|_| OnceLock::new()).collect())
    }
}

/// The line that `compare` calls equal; it is given lines without their newlines and says how what they hold stands to
/// what is looked for. `None` where there is none, and where the file is not what it should be.
pub(crate) fn find(
    file: &File,
    size: u64,
    patience: Patience,
    first_steps: Option<&FirstSteps>,
    compare: impl Fn(&str) -> Option<Ordering>,
) -> io::Result<Option<String>> {
    // Between these two, both at the beginning of a line, the line must be.
    let (mut from, mut to) = (0, size);
    let mut buffer = vec![0; REST_BYTES as usize];
    // Where in the tree of all searches this one is: below n stand 2n, and 2n + 1 for what is greater.
    let mut step = 1_usize;
    let below = |step: usize| step.saturating_mul(2);
    while to - from > REST_BYTES {
        let (at, line) = match first_steps.and_then(|steps| steps.known(step)) {
            Some(known) => known,
            None => {
                let middle = from + (to - from) / 2;
                let mut read = read_at(file, &mut buffer[..SHORT_PROBE_BYTES], middle, patience)?;
                if line_within(&buffer[..read]).is_none() {
                    read = read_at(file, &mut buffer[..PROBE_BYTES], middle, patience)?;
                }
                match line_within(&buffer[..read]) {
                    Some((before, line)) if middle + before < to => {
                        first_steps.inspect(|steps| steps.keep(step, middle + before, line));
                        (middle + before, line)
                    }
                    _ => return Ok(None),
                }
            }
        };
        match compare(line) {
            Some(Ordering::Equal) => return Ok(Some(line.to_owned())),
            Some(Ordering::Less) => (from, step) = (at + line.len() as u64 + 1, below(step).saturating_add(1)),
            Some(Ordering::Greater) => (to, step) = (at, below(step)),
            None => return Ok(None),
        }
        // Lines that lie about their order cannot make the two cross.
        if from > to {
            return Ok(None);
        }
    }
    let rest = usize::try_from(to - from).unwrap_or(buffer.len());
    let read = read_at(file, &mut buffer[..rest], from, patience)?;
    let Ok(text) = str::from_utf8(&buffer[..read]) else { return Ok(None) };
    Ok(find_in_memory(text, compare).map(str::to_owned))
}

/// The same in whole lines that were read.
fn find_in_memory(mut lines: &str, compare: impl Fn(&str) -> Option<Ordering>) -> Option<&str> {
    while !lines.is_empty() {
        let middle = lines.len() / 2;
        let (before, behind) = lines.as_bytes().split_at(middle);
        let begin = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let end = behind.iter().position(|&byte| byte == b'\n').map_or(lines.len(), |at| middle + at);
        let line = &lines[begin..end];
        match compare(line)? {
            Ordering::Equal => return Some(line),
            Ordering::Less => lines = lines.get(end + 1..).unwrap_or_default(),
            Ordering::Greater => lines = &lines[..begin],
        }
    }
    None
}

/// The first whole line in these bytes, and where it begins.
fn line_within(bytes: &[u8]) -> Option<(u64, &str)> {
    let newline = |bytes: &[u8]| bytes.iter().position(|&b| b == b'\n');
    let begin = newline(bytes)? + 1;
    let rest = &bytes[begin..];
    let line = str::from_utf8(&rest[..newline(rest)?]).ok()?;
    Some((begin as u64, line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file_of(text: &str) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn look_for(file: &File, size: usize, key: &str) -> Option<String> {
        look_from(file, size, None, key)
    }

    fn look_from(file: &File, size: usize, steps: Option<&FirstSteps>, key: &str) -> Option<String> {
        find(file, size as u64, Patience::Wait, steps, |line| Some(line.split_once(' ')?.0.cmp(key))).unwrap()
    }

    #[test]
    fn finds_every_line_and_no_other() {
        for count in [0, 1, 2, 100, 5000] {
            // Lines of all lengths up to the longest, so that probes fall everywhere.
            let line = |i: usize| format!("{i:05} {}", "x".repeat(i * 37 % (MAX_LINE_BYTES - 6)));
            let text: String = (0..count).map(|i| line(2 * i) + "\n").collect();
            let (file, steps) = (file_of(&text), FirstSteps::default());
            for i in 0..count {
                let key = format!("{:05}", 2 * i);
                assert_eq!(look_for(&file, text.len(), &key), Some(line(2 * i)), "{i} of {count}");
                assert_eq!(look_from(&file, text.len(), Some(&steps), &key), Some(line(2 * i)), "{i} of {count}");
            }
            for i in (0..count).step_by(97) {
                let key = format!("{:05}", 2 * i + 1);
                assert_eq!(look_for(&file, text.len(), &key), None);
                assert_eq!(look_from(&file, text.len(), Some(&steps), &key), None);
            }
            let known = steps.0.iter().filter(|place| place.get().is_some()).count();
            assert_eq!(known == FirstSteps::LINES - 1, count >= 5000, "{known} of {count}");
            assert_eq!(look_for(&file, text.len(), ""), None);
            assert_eq!(look_for(&file, text.len(), "99999"), None);
        }
    }

    #[test]
    fn a_file_that_is_not_what_it_should_be_has_no_line() {
        let size = 100_000;
        for text in ["x".repeat(size), "\n".repeat(size), "b \n".repeat(size / 3), "a\n".repeat(size / 2)] {
            assert_eq!(look_for(&file_of(&text), text.len(), "a"), None);
        }
        // Shorter than it was a moment ago.
        assert_eq!(look_for(&file_of("a \n"), size, "a"), None);
        assert_eq!(look_for(&file_of(""), size, "a"), None);
    }
}
