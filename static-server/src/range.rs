//! The `Range` header: which bytes of a file are wanted (RFC 9110, section 14).
//!
//! One range is understood. Several, another unit or nonsense are as if the header were not there: the whole file is a
//! right answer to each of them, and many small ranges of one file are a known way to make a server work.

use std::ops::Range;

/// What a `Range` header selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    /// The header does not count.
    Whole,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// Bytes that the file does not have.
    Unsatisfiable,
}

/// Reads the header for a file of this many bytes.
pub(crate) fn select(header: &str, size: u64) -> Selection {
    let Some((unit, spec)) = header.split_once('=') else { return Selection::Whole };
    let blank = [' ', '\t'];
    let Some((first, last)) = spec.trim_matches(blank).split_once('-') else { return Selection::Whole };
    if !unit.trim_matches(blank).eq_ignore_ascii_case("bytes") {
        return Selection::Whole;
    }
    if first.is_empty() {
        return match number(last) {
            None => Selection::Whole,
            Some(0) => Selection::Unsatisfiable,
            Some(_) if size == 0 => Selection::Unsatisfiable,
            Some(length) => Selection::Part(size.saturating_sub(length)..size),
        };
    }
    let Some(first) = number(first) else { return Selection::Whole };
    let end = match number(last) {
        None if last.is_empty() => size,
        Some(last) if last >= first => last.saturating_add(1).min(size),
        _ => return Selection::Whole,
    };
    if first < size { Selection::Part(first..end) } else { Selection::Unsatisfiable }
}

/// Digits only; a number that is too large is larger than any file.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_selects_and_everything_else_does_not_count() {
        use Selection::{Part, Unsatisfiable, Whole};
        for (header, selection) in [
            ("bytes=0-0", Part(0..1)),
            ("bytes=0-9", Part(0..10)),
            ("bytes=0-99", Part(0..10)),
            ("bytes=3-", Part(3..10)),
            ("bytes=3-5", Part(3..6)),
            ("bytes=-3", Part(7..10)),
            ("bytes=-99", Part(0..10)),
            ("BYTES=9-", Part(9..10)),
            ("bytes= 1-2 ", Part(1..3)),
            ("bytes=0-99999999999999999999999", Part(0..10)),
            ("bytes=10-", Unsatisfiable),
            ("bytes=10-11", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=5-4", Whole),
            ("bytes=0-1,3-4", Whole),
            ("bytes=0-1,", Whole),
            ("bytes=-", Whole),
            ("bytes=", Whole),
            ("bytes", Whole),
            ("bytes=a-b", Whole),
            ("bytes=1-x", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=--1", Whole),
            ("bytes=1--", Whole),
            ("bytes=1- 2", Whole),
            ("lines=0-1", Whole),
            ("", Whole),
        ] {
            assert_eq!(select(header, 10), selection, "{header}");
        }
        assert_eq!(select("bytes=0-", 0), Unsatisfiable);
        assert_eq!(select("bytes=-1", 0), Unsatisfiable);
    }
}
