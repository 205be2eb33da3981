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
        let mut reader = Reader::default();
        for line in text.split_inclusive('\n') {
            let line = line
                .strip_suffix('\n')
                .ok_or_else(|| invalid(line, "not in canonical order: no newline at the end"))?;
            match reader.line(line)? {
                Some(Required::Module(line)) => _ = requires.modules.insert(line),
                Some(Required::Head(head)) => _ = requires.heads.insert(head),
                None => {}
            }
        }
        reader.finish()?;
        Ok(requires)
    }
}

/// One thing that the far side must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Required {
    /// A zip or go.mod with its hash.
    Module(Line),
    /// A database's tree.
    Head(Head),
}

/// Reads `REQUIRES` a line at a time, for readers that do not hold it as a whole; one spelling only: sections that say
/// something, in order, their lines ascending and once each.
#[derive(Debug, Default)]
pub struct Reader {
    section: Section,
}

#[derive(Debug, Default)]
enum Section {
    #[default]
    None,
    Modules(Option<Line>),
    Heads(Option<Head>),
}

fn invalid(text: &str, reason: impl Into<String>) -> Invalid {
    Invalid::new("REQUIRES", text, reason.into())
}

impl Reader {
    /// Takes the next line, without its newline; `None` for the title of a section.
    pub fn line(&mut self, text: &str) -> Result<Option<Required>, Invalid> {
        match (&mut self.section, text) {
            (Section::None, MODULES) => self.section = Section::Modules(None),
            (Section::None | Section::Modules(Some(_)), HEADS) => self.section = Section::Heads(None),
            (Section::Modules(None), HEADS) => return Err(invalid(text, EMPTY)),
            (Section::Modules(last), text) => {
                let line: Line = text.parse()?;
                match last {
                    Some(last) if last.subject == line.subject && last.h1 != line.h1 => {
                        return Err(invalid(text, format!("{} has two hashes", line.subject)));
                    }
                    Some(last) if *last >= line => return Err(invalid(text, ORDER)),
                    _ => *last = Some(line.clone()),
                }
                return Ok(Some(Required::Module(line)));
            }
            (Section::Heads(last), text) => {
                let head: Head = text.parse()?;
                match last {
                    Some(last) if last.name == head.name => {
                        return Err(invalid(text, format!("{} has two heads", head.name)));
                    }
                    Some(last) if *last >= head => return Err(invalid(text, ORDER)),
                    _ => *last = Some(head.clone()),
                }
                return Ok(Some(Required::Head(head)));
            }
            (Section::None, _) => return Err(invalid(text, format!("{text:?} stands in no section"))),
        }
        Ok(None)
    }

    /// Ends the reading; an error if the last section says nothing.
    pub fn finish(self) -> Result<(), Invalid> {
        match self.section {
            Section::Modules(None) | Section::Heads(None) => Err(invalid("", EMPTY)),
            _ => Ok(()),
        }
    }
}

const ORDER: &str = "not in canonical order, or a line twice";
const EMPTY: &str = "not in canonical order: a section without lines";
