//! `REQUIRES`: what the far side must already have for this bundle to be complete (SPEC M30 to M32).

use crate::database::DatabaseName;
use crate::go_sum::Line;
use crate::invalid::Invalid;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;
use data_encoding::BASE64;

const MODULES: &str = "[modules]";
const HEADS: &str = "[heads]";

/// The content of `REQUIRES` (SPEC M30): each subject and each database once (SPEC M31), nothing for a full bundle
/// (SPEC M32).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requires {
    /// The zips and go.mod files that must be there, with their hashes.
    pub modules: BTreeSet<Line>,
    /// The tree of each checksum database that the bundle continues.
    pub heads: BTreeSet<Head>,
}

/// A database's tree at one size; text form: name, size and base64 of the root hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// The database.
    pub name: DatabaseName,
    /// Records in the tree.
    pub size: u64,
    /// Hash of the tree's root.
    pub root: [u8; 32],
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, self.size, BASE64.encode_display(&self.root))
    }
}

impl FromStr for Head {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |reason: &'static str| Invalid::new("REQUIRES head", text, reason);
        let mut fields = text.split(' ');
        let (Some(name), Some(size), Some(root), None) = (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(invalid("not name, tree size and root hash"));
        };
        let root = BASE64.decode(root.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        let head = Self {
            name: name.parse()?,
            size: size.parse().map_err(|_| invalid("the tree size is no number"))?,
            root: root.ok_or_else(|| invalid("the root hash is not the base64 of 32 bytes"))?,
        };
        if head.to_string() == text { Ok(head) } else { Err(invalid("not the canonical spelling")) }
    }
}

impl fmt::Display for Requires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.modules.is_empty() {
            writeln!(f, "{MODULES}")?;
            self.modules.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        }
        if !self.heads.is_empty() {
            writeln!(f, "{HEADS}")?;
            self.heads.iter().try_for_each(|head| writeln!(f, "{head}"))?;
        }
        Ok(())
    }
}

impl FromStr for Requires {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut requires = Self::default();
        let mut section = "";
        for line in text.split_inclusive('\n').map(|line| line.strip_suffix('\n').unwrap_or(line)) {
            match (section, line) {
                ("", MODULES) | ("" | MODULES, HEADS) => section = line,
                (MODULES, line) => _ = requires.modules.insert(line.parse()?),
                (HEADS, line) => _ = requires.heads.insert(line.parse()?),
                _ => return Err(Invalid::new("REQUIRES", line, format!("{line:?} stands in no section"))),
            }
        }
        let modules = requires.modules.iter().zip(requires.modules.iter().skip(1));
        if let Some((line, _)) = modules.into_iter().find(|(a, b)| a.subject == b.subject) {
            return Err(Invalid::new("REQUIRES", text, format!("{} has two hashes", line.subject)));
        }
        let heads = requires.heads.iter().zip(requires.heads.iter().skip(1));
        if let Some((head, _)) = heads.into_iter().find(|(a, b)| a.name == b.name) {
            return Err(Invalid::new("REQUIRES", text, format!("{} has two heads", head.name)));
        }
        // One spelling only: sections that say something, in order, their lines ascending and once each.
        if requires.to_string() == text {
            Ok(requires)
        } else {
            Err(Invalid::new("REQUIRES", text, String::from("not in canonical order, or a line twice")))
        }
    }
}
