//! Why a file is not here, in words that help whoever reads the output of `go`.

use crate::limits::MAX_QUOTED_CHARS;
use modferry_format::{BundlePath, Version};
use std::fmt;

/// What is known of a module or database of which a file is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absence {
    /// What is served.
    pub kind: Kind,
    /// The newest version of the module.
    pub newest: Newest,
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

impl Absence {
    /// The text for this path; one to three lines without the last newline.
    pub(crate) fn text(&self, path: &BundlePath) -> String {
        let mut text = format!("not in this {}: {}", self.kind, subject(path));
        if let Some(reason) = &self.not_carried {
            text.push_str(&format!("\nleft out: {}", quoted(reason)));
        }
        match (&self.newest, path.module()) {
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
            let absence = Absence { kind: Kind::Bundle, newest, not_carried: reason.map(str::to_owned) };
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
}
