//! More versions of modules of the closure: those of `--with-versions PATTERN@QUERY`, and with `--newest` the newest release and
//! the newest patch of each module that has a zip in the bundle.
//!
//! A version that is listed inside must do there: `go get` of it, and `go mod tidy` after it. So each is resolved as the one
//! thing that changes in each root that has the module, see `Resolver::with_version`.

use crate::error::{Error, ErrorKind, Result};
use crate::go_command::{self, Go};
use modferry_format::{ModuleVersion, Version};
use serde::Deserialize;
use std::path::Path;
use std::str::FromStr;

/// `PATTERN@QUERY`: of which modules more versions are wanted, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoreVersions {
    /// A module path; `...` in it stands for any text, and `/...` at its end for nothing as well, as in patterns of packages.
    pattern: String,
    query: Query,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Query {
    /// All listed versions that compare so; of pre-releases none.
    Range(Comparison, Version),
    /// One version, as go reads it.
    One(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    AtLeast,
    Greater,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default)]
    versions: Vec<String>,
}

impl FromStr for MoreVersions {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || "PATTERN@QUERY such as golang.org/x/...@latest or example.org/m@>=v1.2.0".to_owned();
        let (pattern, query) =
            text.split_once('@').filter(|(a, b)| !a.is_empty() && !b.is_empty()).ok_or_else(wrong)?;
        let comparisons = [
            (">=", Comparison::AtLeast),
            ("<=", Comparison::AtMost),
            (">", Comparison::Greater),
            ("<", Comparison::Less),
        ];
        let range = comparisons.iter().find_map(|(sign, comparison)| Some((query.strip_prefix(sign)?, *comparison)));
        let query = match range {
            Some((version, comparison)) => Query::Range(comparison, version.parse().map_err(|_| wrong())?),
            None => Query::One(query.to_owned()),
        };
        Ok(Self { pattern: pattern.to_owned(), query, text: text.to_owned() })
    }
}

impl MoreVersions {
    /// As the user wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The query alone.
    pub(crate) fn query(&self) -> &str {
        self.text.split_once('@').map_or("", |(_, query)| query)
    }

    /// Whether it speaks of a module.
    pub(crate) fn matches(&self, module: &str) -> bool {
        let pattern = match self.pattern.strip_suffix("/...") {
            Some(base) if base == module => return true,
            _ => &self.pattern,
        };
        let mut parts = pattern.split("...");
        let Some(mut rest) = parts.next().and_then(|first| module.strip_prefix(first)) else { return false };
        let mut last = None;
        for part in parts {
            last = Some(part);
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        // Any text stands at the end where the pattern ends so; else what is left must be none, or be found at the very end.
        match last {
            None => rest.is_empty(),
            Some("") => true,
            Some(part) => rest.is_empty() || module.ends_with(part),
        }
    }

    /// The versions of a module that are wanted.
    pub(crate) fn versions(&self, module: &str, go: &Go, scratch: &Path) -> Result<Vec<ModuleVersion>> {
        let subject = format!("{module}@{}", self.query());
        let of = |version: &str| -> Result<ModuleVersion> {
            format!("{module}@{version}").parse().map_err(|invalid: modferry_format::Invalid| {
                Error::new(ErrorKind::GoFailed, format!("{subject}: go named {version}")).because(invalid.to_string())
            })
        };
        match &self.query {
            Query::Range(comparison, bound) => {
                let output = go.must(scratch, &["list", "-m", "-versions", "-json", module], &subject)?;
                let listed: Vec<Listed> = go_command::json_stream(&output.stdout, &subject)?;
                let versions = listed.iter().flat_map(|listed| &listed.versions);
                let fits = |version: &Version| match comparison {
                    Comparison::Less => version < bound,
                    Comparison::AtMost => version <= bound,
                    Comparison::AtLeast => version >= bound,
                    Comparison::Greater => version > bound,
                };
                let wanted = versions.filter(|text| {
                    text.parse().is_ok_and(|version: Version| fits(&version) && !version.is_pre_release())
                });
                wanted.map(|version| of(version)).collect()
            }
            Query::One(query) => {
                #[derive(Deserialize)]
                #[serde(rename_all = "PascalCase")]
                struct Named {
                    #[serde(default)]
                    version: String,
                }
                let output = go.must(scratch, &["list", "-m", "-json", &format!("{module}@{query}")], &subject)?;
                let named: Vec<Named> = go_command::json_stream(&output.stdout, &subject)?;
                named.iter().map(|named| of(&named.version)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_packages() {
        let matches =
            |pattern: &str, module| format!("{pattern}@latest").parse::<MoreVersions>().unwrap().matches(module);
        for (pattern, module, expected) in [
            ("golang.org/x/...", "golang.org/x/net", true),
            ("golang.org/x/...", "golang.org/x", true),
            ("golang.org/x/...", "golang.org/xy", false),
            ("golang.org/x...", "golang.org/xy", true),
            ("example.org/m", "example.org/m", true),
            ("example.org/m", "example.org/m/v2", false),
            ("...", "example.org/m", true),
            (".../api", "k8s.io/api", true),
            (".../api", "k8s.io/apis", false),
            (".../a/...", "x.org/a/b", true),
            (".../a", "x.org/a/b/a", true),
        ] {
            assert_eq!(matches(pattern, module), expected, "{pattern} {module}");
        }
    }

    #[test]
    fn a_query_is_one_version_or_a_range() {
        assert!("a.b/c@>=v1.2.0".parse::<MoreVersions>().is_ok_and(|more| matches!(more.query, Query::Range(..))));
        assert!("a.b/c@latest".parse::<MoreVersions>().is_ok_and(|more| matches!(more.query, Query::One(_))));
        for wrong in ["a.b/c", "@latest", "a.b/c@", "a.b/c@>=1", "a.b/c@<"] {
            assert!(wrong.parse::<MoreVersions>().is_err(), "{wrong}");
        }
    }
}
