//! Why a file is not here, in words that help whoever reads the output of `go`.

use crate::limits::MAX_QUOTED_CHARS;
use modferry_format::database::DatabaseName;
use modferry_format::{BundlePath, Version};
use std::fmt;

/// Why a version has its go.mod here and no zip.
pub(crate) const LEFT_BY_LEVEL: &str =
    "only its go.mod came, by the level of the bundle; --level all brings the zip, and so does a root of its own";

/// What is known of a module or database of which a file is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absence {
    /// What is served.
    pub kind: Kind,
    /// The newest version of the module.
    pub newest: Newest,
    /// Whether the checksum database is here.
    pub database: Database,
    /// Why the file is not in the bundle, where the bundle's header says it.
    pub not_carried: Option<String>,
}

/// Kinds of things that can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One bundle.
    Bundle,
    /// A mirror, which grows with each import.
    Mirror,
}

/// The newest version of a module that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Newest {
    /// Nobody asked: the file belongs to no module, or the answer would cost too much.
    Unknown,
    /// The module has no `list`, so no version of it is complete.
    None,
    /// The module has a `list` and no tagged version in it.
    Untagged,
    /// This one.
    Version(Version),
}

/// Whether the checksum database that a file belongs to is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// Nobody could tell, or the file belongs to no database.
    Unknown,
    /// Nothing of it is answered for.
    None,
    /// It is here, as far as its records and tiles were carried.
    Here,
}

impl Absence {
    /// The text for this path; one to three lines without the last newline.
    pub(crate) fn text(&self, path: &BundlePath) -> String {
        let kind = self.kind;
        let mut text = match (path, self.database) {
            (BundlePath::Head(name) | BundlePath::Lookup(name, _) | BundlePath::Tile(name, _), Database::None) => {
                format!("not in this {kind}: the checksum database {name}")
            }
            (BundlePath::Lookup(..), Database::Here) => format!("{} is not in this {kind}", subject(path)),
            _ => format!("not in this {kind}: {}", subject(path)),
        };
        if let Some(reason) = &self.not_carried {
            text.push_str(&format!("\nleft out: {}", quoted(reason)));
        }
        if let (BundlePath::Tile(name, _), Database::Here) = (path, self.database) {
            text.push_str(&format!("\n{}", reset(name)));
        }
        match (&self.newest, path.module()) {
            // What is here of the module says nothing about a database that is not.
            (Newest::Version(_), _) if self.database == Database::None => {}
            (Newest::Version(version), _) => text.push_str(&format!("\nhere: newest is {version}")),
            (Newest::Untagged, Some(module)) => text.push_str(&format!("\nhere: only untagged versions of {module}")),
            (Newest::None, Some(module)) => text.push_str(&format!("\nhere: no complete version of {module}")),
            (Newest::Unknown | Newest::Untagged | Newest::None, _) => {}
        }
        text
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bundle => "bundle",
            Self::Mirror => "mirror",
        })
    }
}

/// A file in the words of the user.
fn subject(path: &BundlePath) -> String {
    match path {
        BundlePath::List(module) => module.to_string(),
        BundlePath::Latest(module) => format!("{module}@latest"),
        BundlePath::Info(version) => format!("{version} (.info)"),
        BundlePath::Mod(version) => format!("{version} (.mod)"),
        BundlePath::Zip(version) => format!("{version} (.zip)"),
        BundlePath::Alias(module, alias) => format!("{module}@{alias}"),
        BundlePath::Lookup(database, version) => format!("the record of {version} in {database}"),
        BundlePath::Supported(database) => format!("the checksum database {database}"),
        BundlePath::Head(database) => format!("the head of {database}"),
        BundlePath::Tile(database, tile) => format!("{tile} of {database}"),
        other => other.to_string(),
    }
}

/// What helps a client that has met the database elsewhere: it holds a head that ours has to be joined to, by tiles
/// that nobody carried. `go` keeps that head in the first directory and records in the second, each with the head that
/// it came with; were only the first deleted, `go` would read the head again from there.
fn reset(database: &DatabaseName) -> String {
    format!(
        "if {database} was used elsewhere before, delete both $(go env GOPATH)/pkg/sumdb and \
         $(go env GOMODCACHE)/cache/download/sumdb"
    )
}

/// Somebody else's words on one line: a bundle may say anything.
pub(crate) fn quoted(text: &str) -> String {
    text.chars().take(MAX_QUOTED_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_what_is_missing_and_what_is_there() {
        let text = |path: &str, newest, reason: Option<&str>| {
            let not_carried = reason.map(str::to_owned);
            let absence = Absence { kind: Kind::Bundle, newest, database: Database::Unknown, not_carried };
            absence.text(&path.parse().unwrap())
        };
        let version = Newest::Version("v1.4.2".parse().unwrap());
        assert_eq!(
            text("download/github.com/!burnt!sushi/toml/@v/v1.9.0.zip", version, None),
            "not in this bundle: github.com/BurntSushi/toml@v1.9.0 (.zip)\nhere: newest is v1.4.2"
        );
        assert_eq!(
            text("download/ex.org/a/@v/list", Newest::None, None),
            "not in this bundle: ex.org/a\nhere: no complete version of ex.org/a"
        );
        assert_eq!(
            text("download/ex.org/a/@v/main.info", Newest::Untagged, Some("410\n\u{1b}[31mGone")),
            "not in this bundle: ex.org/a@main\nleft out: 410  [31mGone\nhere: only untagged versions of ex.org/a"
        );
        assert_eq!(
            text("download/sumdb/sum.golang.org/tile/8/0/005", Newest::Unknown, None),
            "not in this bundle: tile/8/0/005 of sum.golang.org"
        );
        assert_eq!(quoted(&"x".repeat(1000)).len(), MAX_QUOTED_CHARS);
    }

    #[test]
    fn of_a_database_the_text_says_whether_it_is_here_and_what_a_client_can_do() {
        let text = |below: &str, database| {
            let absence = Absence { kind: Kind::Mirror, newest: Newest::None, database, not_carried: None };
            absence.text(&format!("download/sumdb/sum.golang.org/{below}").parse().unwrap())
        };
        let reset = "if sum.golang.org was used elsewhere before, delete both $(go env GOPATH)/pkg/sumdb and \
                     $(go env GOMODCACHE)/cache/download/sumdb";
        for (below, here) in [
            ("lookup/ex.org/!a@v1.0.0", "the record of ex.org/A@v1.0.0 in sum.golang.org is not in this mirror".into()),
            ("tile/8/0/005", format!("not in this mirror: tile/8/0/005 of sum.golang.org\n{reset}")),
            ("tile/8/0/005.p/6", format!("not in this mirror: tile/8/0/005.p/6 of sum.golang.org\n{reset}")),
            ("latest", "not in this mirror: the head of sum.golang.org".into()),
        ] {
            assert_eq!(text(below, Database::Here), here);
            assert_eq!(text(below, Database::None), "not in this mirror: the checksum database sum.golang.org");
            // `go` shows this much of it.
            assert!(here.len() < 648 && here.lines().count() < 8);
        }
    }
}
