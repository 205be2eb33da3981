//! Canonical module versions: semantic versions as Go writes them.

use crate::invalid::Invalid;
use crate::names;
use alloc::boxed::Box;
use alloc::string::String;
use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

const KIND: &str = "version";
/// Build metadata that Go keeps: a major version above 1 of a module without a go.mod for it.
const INCOMPATIBLE: &str = "+incompatible";

/// A canonical version, such as `v1.5.2`, `v0.0.0-20170915032832-14c0d48ead0c` or `v2.0.0+incompatible` (SPEC M9).
///
/// The order is that of semantic versions; versions of the same precedence (they differ in `+incompatible`
/// alone) are ordered by bytes, as `semver.Sort` of x/mod does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version(Box<str>);

/// The parts of a version, each a slice of its text.
struct Parts<'a> {
    numbers: [&'a str; 3],
    /// Without its leading dash; empty for a release.
    pre_release: &'a str,
}

impl Version {
    /// Longest escaped version, in bytes. Go knows no limit; this text plus `.info` must fit one file name.
    pub const MAX_ESCAPED_BYTES: usize = 240;

    /// Reads the escaped form, as it stands in URLs and file names (SPEC M2).
    pub fn from_escaped(escaped: &str) -> Result<Self, Invalid> {
        let text = names::unescape(escaped)
            .ok_or_else(|| Invalid::new("escaped version", escaped, "not the escaped form of any version"))?;
        Self::check(&text)?;
        Ok(Self(text.into()))
    }

    /// The version with each upper-case letter written as `!` and its lower-case letter (SPEC M2).
    pub fn escaped(&self) -> String {
        names::escape(&self.0)
    }

    /// The version as Go writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `v1` of `v1.5.2`.
    pub fn major(&self) -> &str {
        names::split_once(&self.0, b'.').map_or(&self.0, |(major, _)| major)
    }

    /// Whether the version ends in `+incompatible`.
    pub fn is_incompatible(&self) -> bool {
        self.0.ends_with(INCOMPATIBLE)
    }

    /// Whether the version has a pre-release part; a pseudo-version always has one.
    pub fn is_pre_release(&self) -> bool {
        !self.parts().pre_release.is_empty()
    }

    /// Whether the version names a commit that has no tag of its own: `IsPseudoVersion` of x/mod.
    pub fn is_pseudo(&self) -> bool {
        self.pseudo_timestamp().is_some()
    }

    /// The 14 digits of a pseudo-version that say when its commit was made, in UTC.
    pub fn pseudo_timestamp(&self) -> Option<&str> {
        // x/mod: ^v[0-9]+\.(0\.0-|\d+\.\d+-([^+]*\.)?0\.)\d{14}-[A-Za-z0-9]+(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$
        let parts = self.parts();
        let (head, revision) = parts.pre_release.rsplit_once('-')?;
        if revision.is_empty() || !revision.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let split = head.len().checked_sub(14)?;
        let (before, timestamp) = (head.get(..split)?, head.get(split..)?);
        if !timestamp.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let fits = match before {
            "" => parts.numbers[1..] == ["0", "0"],
            "0." => true,
            other => other.ends_with(".0."),
        };
        fits.then_some(timestamp)
    }

    fn parts(&self) -> Parts<'_> {
        let text = self.0.strip_suffix(INCOMPATIBLE).unwrap_or(&self.0);
        let (core, pre_release) = text.split_once('-').unwrap_or((text, ""));
        let mut numbers = core[1..].splitn(3, '.');
        let mut next = || numbers.next().unwrap_or_default();
        Parts { numbers: [next(), next(), next()], pre_release }
    }

    fn check(text: &str) -> Result<(), Invalid> {
        let invalid = |reason: &'static str| Invalid::new(KIND, text, reason);
        if names::is_longer_escaped(text, Self::MAX_ESCAPED_BYTES) {
            return Err(invalid("longer than 240 bytes when escaped"));
        }
        let rest = text.strip_prefix('v').ok_or_else(|| invalid("does not begin with v"))?;
        let (rest, build) = names::split_once(rest, b'+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
        if build.is_some_and(|build| build != "incompatible") {
            return Err(invalid("build metadata other than +incompatible is not canonical"));
        }
        let (core, pre_release) = names::split_once(rest, b'-').map_or((rest, None), |(core, pre)| (core, Some(pre)));
        let mut count = 0;
        for number in names::split(core, b'.') {
            if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
                return Err(invalid("major, minor and patch must be numbers"));
            }
            if number.len() > 1 && number.starts_with('0') {
                return Err(invalid("leading zero in a number"));
            }
            count += 1;
        }
        if count != 3 {
            return Err(invalid("not of the form vMAJOR.MINOR.PATCH"));
        }
        for identifier in pre_release.into_iter().flat_map(|pre| names::split(pre, b'.')) {
            if identifier.is_empty() || !identifier.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                return Err(invalid("invalid pre-release identifier"));
            }
            if identifier.len() > 1 && identifier.starts_with('0') && is_number(identifier) {
                return Err(invalid("leading zero in a numeric pre-release identifier"));
            }
        }
        Ok(())
    }
}

impl FromStr for Version {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.parts(), other.parts());
        let numbers = a.numbers.iter().zip(&b.numbers).map(|(a, b)| compare_numbers(a, b));
        numbers
            .fold(Ordering::Equal, Ordering::then)
            .then_with(|| compare_pre_releases(a.pre_release, b.pre_release))
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn is_number(identifier: &str) -> bool {
    identifier.bytes().all(|b| b.is_ascii_digit())
}

/// Compares decimal numbers of any length; no leading zeros, so the longer one is the greater.
fn compare_numbers(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn compare_pre_releases(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (is_number(a), is_number(b)) {
                (true, true) => compare_numbers(a, b),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}
