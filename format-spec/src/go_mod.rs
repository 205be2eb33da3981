//! The part of go.mod files that says which module versions require which: enough to follow a chain.
//!
//! The go command decides what a closure is; this reading explains and checks it afterwards, without `go`. It is as
//! lenient as Go is with the go.mod of a dependency: what is not understood is passed over (SPEC M19).

use crate::module_path::ModulePath;
use crate::module_version::ModuleVersion;
use crate::version::Version;
use alloc::format;
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
    /// Requirements of paths that no proxy can serve, such as one without a dot: go takes them where the main module replaces
    /// them by a directory or another module.
    pub unservable: Vec<(String, Version)>,
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
        // What came before the release of 1.17 was older than it. With a `v` Go reads no further than the number.
        if go.strip_prefix("1.17").is_some_and(is_pre_release) {
            return false;
        }
        let mut parts = go.strip_prefix('v').unwrap_or(go).split('.');
        (number(parts.next()), number(parts.next())) >= (1, 17)
    }

    fn directive(&mut self, verb: &str, arguments: &[&str]) {
        match (verb, arguments) {
            ("module", [path]) => self.module = String::from(*path),
            ("go", [version]) => self.go = Some(String::from(*version)),
            ("require", [path, version]) => {
                let Some(version) = canonical(version) else { return };
                match path.parse::<ModulePath>() {
                    Ok(path) => self.requires.extend(ModuleVersion::new(path, version)),
                    Err(_) => self.unservable.extend(unservable(path, version)),
                }
            }
            _ => {}
        }
    }
}

/// A requirement of a path that no proxy can serve; none where it is no word of printable ASCII, which Go takes in no path.
pub(crate) fn unservable(path: &str, version: Version) -> Option<(String, Version)> {
    let is_word = !path.is_empty() && path.bytes().all(|b| b.is_ascii_graphic());
    is_word.then(|| (String::from(path), version))
}

/// `CanonicalVersion` of x/mod: short versions are filled up, build metadata is cut off, as Go does in a dependency.
fn canonical(text: &str) -> Option<Version> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (plain, build) = text.split_once('+').map_or((text, None), |(plain, build)| (plain, Some(build)));
    let is_build = |build: &str| {
        let is_identifier =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        build.split('.').all(is_identifier)
    };
    match (text.parse(), build) {
        (Ok(version), _) => Some(version),
        (Err(_), Some(build)) => {
            if is_build(build) {
                plain.parse().ok()
            } else {
                None
            }
        }
        (Err(_), None) => {
            let numbers = text.strip_prefix('v')?;
            match numbers.split('.').filter(|part| is_number(part)).count() {
                1 if is_number(numbers) => format!("{text}.0.0").parse().ok(),
                2 if numbers.matches('.').count() == 1 => format!("{text}.0").parse().ok(),
                _ => None,
            }
        }
    }
}

/// Whether this is the rest of a Go version such as `1.17rc1`.
fn is_pre_release(rest: &str) -> bool {
    let digits = rest.trim_start_matches(|c: char| c.is_ascii_lowercase());
    digits.len() < rest.len() && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
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
