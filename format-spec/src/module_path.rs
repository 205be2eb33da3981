//! Module paths, by the rules of `CheckPath` in golang.org/x/mod/module.

use crate::invalid::Invalid;
use crate::names::{self, ElementOf};
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

const KIND: &str = "module path";

/// A module path that Go accepts, such as `github.com/Azure/azure-sdk-for-go` (SPEC M8).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModulePath(Box<str>);

impl ModulePath {
    /// Longest escaped module path, in bytes. Go knows no limit; this one keeps every file path of a bundle
    /// below [`BundlePath::MAX_BYTES`](crate::BundlePath::MAX_BYTES).
    pub const MAX_ESCAPED_BYTES: usize = 640;
    /// Longest escaped path element, in bytes: what file systems allow for one name.
    pub const MAX_ESCAPED_ELEMENT_BYTES: usize = 255;

    /// Reads the escaped form, as it stands in URLs and file names (SPEC M2).
    pub fn from_escaped(escaped: &str) -> Result<Self, Invalid> {
        let text = names::unescape(escaped)
            .ok_or_else(|| Invalid::new("escaped module path", escaped, "not the escaped form of any path"))?;
        Self::check(&text)?;
        Ok(Self(text.into()))
    }

    /// The path with each upper-case letter written as `!` and its lower-case letter (SPEC M2).
    pub fn escaped(&self) -> String {
        names::escape(&self.0)
    }

    /// The path as Go writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The major version suffix: `/v2` and so on, `.v1` and so on for gopkg.in, else empty.
    pub fn major_suffix(&self) -> &str {
        split_major(&self.0).map_or("", |(_, major)| major)
    }

    fn check(text: &str) -> Result<(), Invalid> {
        let invalid = |reason| Invalid::new(KIND, text, reason);
        if names::is_longer_escaped(text, Self::MAX_ESCAPED_BYTES) {
            return Err(invalid("longer than 640 bytes when escaped".into()));
        }
        if text.starts_with('-') {
            return Err(invalid("leading dash".into()));
        }
        for element in names::split(text, b'/') {
            if names::is_longer_escaped(element, Self::MAX_ESCAPED_ELEMENT_BYTES) {
                return Err(invalid("path element longer than 255 bytes when escaped".into()));
            }
            names::check_element(element, ElementOf::ModulePath).map_err(invalid)?;
        }
        let first = names::split_once(text, b'/').map_or(text, |(first, _)| first);
        if !first.bytes().any(|b| b == b'.') {
            return Err(invalid("no dot in the first path element".into()));
        }
        if !first.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.') {
            return Err(invalid(
                "only lower-case letters, digits, dash and dot may stand in the first path element".into(),
            ));
        }
        split_major(text).ok_or_else(|| invalid("invalid major version suffix".into()))?;
        Ok(())
    }
}

impl FromStr for ModulePath {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ModulePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `SplitPathVersion` of x/mod: prefix and major suffix, or `None` where the suffix breaks the rules.
fn split_major(path: &str) -> Option<(&str, &str)> {
    if path.starts_with("gopkg.in/") {
        return split_gopkg_in(path);
    }
    let prefix = path.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    if prefix.len() == path.len() || !prefix.ends_with("/v") {
        return Some((path, ""));
    }
    let (prefix, major) = path.split_at(prefix.len() - 2);
    let number = &major[2..];
    if number.contains('.') || number.starts_with('0') || number == "1" {
        return None;
    }
    Some((prefix, major))
}

fn split_gopkg_in(path: &str) -> Option<(&str, &str)> {
    let stem = path.strip_suffix("-unstable").unwrap_or(path);
    let prefix = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    if !prefix.ends_with(".v") {
        return None;
    }
    let (prefix, major) = path.split_at(prefix.len() - 2);
    // x/mod looks at what follows `.v` together with -unstable: `.v-unstable` passes, though no version fits it.
    let number = &major[2..];
    if number.is_empty() || (number.starts_with('0') && major != ".v0") {
        return None;
    }
    Some((prefix, major))
}
