//! Sizes and counts as people read them.

use std::fmt;

/// A number of bytes, shown in decimal units with three digits: `354 MB`, `5.08 MB`, `512 B`.
#[derive(Debug, Clone, Copy)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut value, mut unit) = (self.0 as f64, "B");
        for larger in ["kB", "MB", "GB", "TB"] {
            // 999.5 would be shown as 1000.
            if value < 999.5 {
                break;
            }
            (value, unit) = (value / 1000.0, larger);
        }
        let digits = if unit == "B" || value >= 99.95 {
            0
        } else if value >= 9.995 {
            1
        } else {
            2
        };
        write!(f, "{value:.digits$} {unit}")
    }
}

/// A number of things: `1 file`, `2 files`; for words whose plural ends in an s.
pub fn count(number: u64, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::ByteSize;

    #[test]
    fn three_digits_at_most() {
        let shown =
            [0, 999, 1000, 5_080_000, 99_960_000, 353_800_000, 999_600_000].map(|bytes| ByteSize(bytes).to_string());
        assert_eq!(shown, ["0 B", "999 B", "1.00 kB", "5.08 MB", "100 MB", "354 MB", "1.00 GB"]);
    }
}
