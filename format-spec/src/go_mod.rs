//! The part of go.mod files that says which module versions require which: enough to follow a chain.
//!
//! The go command decides what a closure is; this reading only explains it afterwards, without `go`. It is as
//! lenient as Go is with the go.mod of a dependency: what is not understood is passed over (SPEC M19).

use crate::module_version::ModuleVersion;
use alloc::string::String;
use alloc::vec::Vec;

/// Largest go.mod that Go reads, in bytes: `MaxGoMod` of golang.org/x/mod/zip.
pub const MAX_BYTES: u64 = 16 << 20;

/// What a go.mod says about other modules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GoMod {
    /// The text after `module`.
    pub module: String,
    /// The text after `go`, such as `1.21` or `1.26.0`; none means older than 1.12.
    pub go: Option<String>,
    /// The requirements with a canonical version, in the order of the file.
    pub requires: Vec<ModuleVersion>,
}

impl GoMod {
    /// Reads the text; there is no error, see the module's comment.
    pub fn parse(text: &str) -> Self {
        let mut go_mod = Self::default();
        let mut block: Option<String> = None;
        for line in text.lines() {
            let fields = fields(line);
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            match (block.as_deref(), &fields[..]) {
                (_, []) => {}
                (Some(_), [")"]) => block = None,
                (Some(verb), rest) => {
                    let verb = String::from(verb);
                    go_mod.directive(&verb, rest);
                }
                (None, [verb, "("]) => block = Some(String::from(*verb)),
                (None, [verb, rest @ ..]) => go_mod.directive(verb, rest),
            }
        }
        go_mod
    }

    /// Whether Go leaves the requirements of requirements out of this module's graph: since go 1.17.
    pub fn is_pruned(&self) -> bool {
        // Go reads `1.21rc1`, and in a dependency also `v1.17` and `1.17.x`: major and minor are what counts.
        let number = |part: Option<&str>| {
            let part = part.unwrap_or_default();
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..end].parse::<u32>().unwrap_or(0)
        };
        let go = self.go.as_deref().unwrap_or("1.11");
        let mut parts = go.strip_prefix('v').unwrap_or(go).split('.');
        (number(parts.next()), number(parts.next())) >= (1, 17)
    }

    fn directive(&mut self, verb: &str, arguments: &[&str]) {
        match (verb, arguments) {
            ("module", [path]) => self.module = String::from(*path),
            ("go", [version]) => self.go = Some(String::from(*version)),
            ("require", [path, version]) => {
                let version = path.parse().and_then(|path| ModuleVersion::new(path, version.parse()?));
                self.requires.extend(version);
            }
            _ => {}
        }
    }
}

/// The words of a line without its comment; a word may stand in double quotes or backquotes.
fn fields(line: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with("//") {
        let (field, after) = match rest.chars().next() {
            Some(quote @ ('"' | '`')) => match rest[1..].find(quote) {
                Some(end) => (&rest[1..=end], &rest[end + 2..]),
                None => (rest, ""),
            },
            Some('(' | ')') => rest.split_at(1),
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || c == '(' || c == ')').unwrap_or(rest.len());
                // A comment needs no space before it.
                rest.split_at(rest[..end].find("//").unwrap_or(end))
            }
        };
        fields.push(String::from(field));
        rest = after.trim_start();
    }
    fields
}
