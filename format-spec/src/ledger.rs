//! The ledger of a mirror: which published files a module has, and what vouches for each.
//!
//! One small file per module, `ledger/<escaped module>/@sums` (SPEC M80, M81), so that "what is here" costs what the module costs and
//! never what the mirror costs. Its lines are sorted by name, each name stands once, and it is replaced as a whole.

use crate::bundle_path::BundlePath;
use crate::hash::{BundleId, FileSha256, H1};
use crate::invalid::Invalid;
use crate::module_path::ModulePath;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

/// Largest ledger file that is read, in bytes: room for 100,000 versions of one module.
pub const MAX_BYTES: u64 = 64 << 20;

/// What is known of one published file (SPEC M80); text form `SHA256 SIZE H1 BUNDLE NAME`, `-` for a file without h1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Hash of the published bytes.
    pub sha256: FileSha256,
    /// Their number.
    pub size: u64,
    /// The h1 of a zip or go.mod.
    pub h1: Option<H1>,
    /// The bundle that brought it.
    pub bundle: BundleId,
    /// Its path below the module's directory in `download/`, such as `@v/v1.5.2.zip`.
    pub name: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.sha256, self.size)?;
        match &self.h1 {
            Some(h1) => write!(f, "{h1}")?,
            None => f.write_str("-")?,
        }
        write!(f, " {} {}", self.bundle.hex(), self.name)
    }
}

impl FromStr for Line {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |reason: &'static str| Invalid::new("ledger line", text, reason);
        let mut fields = text.split(' ');
        let mut next = || fields.next().ok_or_else(|| invalid("not five fields with one space between"));
        let (sha256, size, h1, bundle, name) = (next()?, next()?, next()?, next()?, next()?);
        if fields.next().is_some() || name.is_empty() {
            return Err(invalid("not five fields with one space between"));
        }
        let line = Self {
            sha256: sha256.parse()?,
            size: size.parse().map_err(|_| invalid("the size is no number"))?,
            h1: if h1 == "-" { None } else { Some(h1.parse()?) },
            bundle: BundleId::from_hex(bundle)?,
            name: String::from(name),
        };
        if line.to_string() == text { Ok(line) } else { Err(invalid("not the canonical spelling")) }
    }
}

/// The ledger of one module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    lines: BTreeMap<String, Line>,
}

impl Ledger {
    /// Where the ledger of a module lies in a mirror.
    pub fn path(module: &ModulePath) -> String {
        format!("ledger/{}/@sums", module.escaped())
    }

    /// The name under which a ledger knows a file: its path below the directory of its module. `None` for what belongs
    /// to no module.
    pub fn name_of(path: &BundlePath) -> Option<String> {
        let module = path.module()?.escaped();
        path.to_string().strip_prefix(&format!("download/{module}/")).map(String::from)
    }

    /// What is known of a file.
    pub fn get(&self, name: &str) -> Option<&Line> {
        self.lines.get(name)
    }

    /// Adds a line, or gives back the one that is there under its name; a line is never replaced.
    pub fn add(&mut self, line: Line) -> Option<&Line> {
        if self.lines.contains_key(&line.name) {
            return self.lines.get(&line.name);
        }
        self.lines.insert(line.name.clone(), line);
        None
    }

    /// All lines by name.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.values()
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.values().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl FromStr for Ledger {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut ledger = Self::default();
        for line in text.split_terminator('\n') {
            ledger.add(line.parse()?);
        }
        // SPEC M81: refuses every other order, a name that comes twice, and a last line without its newline.
        if ledger.to_string() == text {
            Ok(ledger)
        } else {
            Err(Invalid::new("ledger", text, "not in order, or a name twice"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_its_own_inverse_and_refuses_another_order() {
        let line = |name: &str| Line {
            sha256: FileSha256::of(b"x"),
            size: 1,
            h1: name.ends_with("zip").then(|| H1::of_go_mod(b"")),
            bundle: BundleId::of(b""),
            name: String::from(name),
        };
        let mut ledger = Ledger::default();
        assert!(ledger.add(line("@v/v1.0.0.zip")).is_none());
        assert!(ledger.add(line("@v/v1.0.0.mod")).is_none());
        assert!(ledger.add(line("@v/v1.0.0.mod")).is_some());
        let text = ledger.to_string();
        assert_eq!(text.parse(), Ok(ledger));
        let (first, second) = text.split_once('\n').unwrap();
        assert!(format!("{second}{first}\n").parse::<Ledger>().is_err());
        assert!(text.trim_end().parse::<Ledger>().is_err());
    }

    #[test]
    fn names_are_below_the_directory_of_the_module() {
        let path: BundlePath = "download/github.com/!a/b/@v/v1.0.0.zip".parse().unwrap();
        assert_eq!(Ledger::name_of(&path).as_deref(), Some("@v/v1.0.0.zip"));
        assert_eq!(Ledger::path(path.module().unwrap()), "ledger/github.com/!a/b/@sums");
    }
}
