//! go.sum files: which content each module version must have, as a project wrote it down.

use crate::hash::H1;
use crate::invalid::Invalid;
use crate::module_version::ModuleVersion;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

/// Largest go.sum that is read, in bytes; the largest seen have 1 MiB.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// What a go.sum line speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The zip of a version.
    Zip(ModuleVersion),
    /// The go.mod of a version.
    GoMod(ModuleVersion),
}

impl Subject {
    /// The version it speaks of.
    pub fn version(&self) -> &ModuleVersion {
        match self {
            Self::Zip(version) | Self::GoMod(version) => version,
        }
    }

    fn order(&self) -> (&ModuleVersion, bool) {
        (self.version(), matches!(self, Self::GoMod(_)))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version();
        let suffix = if matches!(self, Self::GoMod(_)) { "/go.mod" } else { "" };
        write!(f, "{} {}{suffix}", version.path(), version.version())
    }
}

/// One line: `PATH VERSION h1:...` or `PATH VERSION/go.mod h1:...`. Lines sort as in a go.sum file: by path,
/// by semantic version, the zip before the go.mod (SPEC M30).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What the hash is of.
    pub subject: Subject,
    /// The hash.
    pub h1: H1,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.subject, self.h1)
    }
}

impl FromStr for Line {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |reason: &'static str| Invalid::new("go.sum line", text, reason);
        let mut fields = text.split(' ');
        let (Some(path), Some(version), Some(h1), None) = (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(invalid("not three fields with one space between"));
        };
        let plain = version.strip_suffix("/go.mod");
        let module = ModuleVersion::new(path.parse()?, plain.unwrap_or(version).parse()?)?;
        let subject = if plain.is_some() { Subject::GoMod(module) } else { Subject::Zip(module) };
        Ok(Self { subject, h1: h1.parse()? })
    }
}

impl Ord for Line {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.subject.order(), self.h1).cmp(&(other.subject.order(), other.h1))
    }
}

impl PartialOrd for Line {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A project's go.sum, read as `go` reads it (SPEC M18): hashes of unknown algorithms and the hash of an empty
/// go.mod are passed over, and so is a line for a version that no bundle can carry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GoSum {
    sums: BTreeMap<Subject, Vec<H1>>,
}

/// `emptyGoModHash` of the go command: an old bug wrote it for modules without a go.mod.
const EMPTY_GO_MOD: &str = "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY=";

impl GoSum {
    /// Reads the file; a line that has not three fields is an error, as for `go`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let mut sums: BTreeMap<Subject, Vec<H1>> = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            match fields[..] {
                [] => {}
                [_, _, EMPTY_GO_MOD] => {}
                [path, version, hash] => {
                    if let Ok(line) = format!("{path} {version} {hash}").parse::<Line>() {
                        sums.entry(line.subject).or_default().push(line.h1);
                    }
                }
                _ => {
                    let reason = format!("line {}: {} fields instead of 3", number + 1, fields.len());
                    return Err(Invalid::new("go.sum", line, reason));
                }
            }
        }
        Ok(Self { sums })
    }

    /// Adds what another file says.
    pub fn extend(&mut self, other: Self) {
        for (subject, hashes) in other.sums {
            let known = self.sums.entry(subject).or_default();
            known.extend(hashes);
            known.sort();
            known.dedup();
        }
    }

    /// The hashes written down for this zip or go.mod; empty where the file says nothing.
    pub fn expected(&self, subject: &Subject) -> &[H1] {
        self.sums.get(subject).map_or(&[], Vec::as_slice)
    }
}
