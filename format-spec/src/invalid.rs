//! The one error of all parsers in this crate: what was read, as which kind of text, and why it is refused.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

/// A text that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    kind: &'static str,
    text: String,
    reason: Cow<'static, str>,
}

impl Invalid {
    /// Longest part of a refused text that an error repeats, in bytes; the input may be hostile and long.
    pub const MAX_SHOWN_BYTES: usize = 200;

    pub(crate) fn new(kind: &'static str, text: &str, reason: impl Into<Cow<'static, str>>) -> Self {
        let mut end = text.len().min(Self::MAX_SHOWN_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut shown = String::from(&text[..end]);
        if end < text.len() {
            shown.push_str("...");
        }
        Self { kind, text: shown, reason: reason.into() }
    }

    /// Which kind of text was expected, such as `module path`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Why the text is refused.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Debug escapes control characters: a hostile name cannot move the cursor of a terminal.
        write!(f, "{} {:?}: {}", self.kind, self.text, self.reason)
    }
}

impl core::error::Error for Invalid {}
