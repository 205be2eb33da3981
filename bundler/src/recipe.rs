//! `modferry.toml`: what a bundle is made of, written down for those who make it again and again.
//!
//! ```toml
//! roots = [".", "../worker", "github.com/spf13/cobra@v1.9.1"]
//! level = "work"
//! tools = ["golang.org/x/tools/gopls@latest"]
//! toolchains = ["auto"]
//! platforms = ["linux/amd64"]
//! no-record = ["git.example.com/*"]
//! output = "drive/team"
//! ```
//!
//! Every member is the flag of `bundle` of its name, and may be left out. One that is not known is an error: a recipe that
//! is half understood would carry something else than it says.

use crate::error::{Error, ErrorKind};
use serde::Deserialize;
use std::path::PathBuf;

/// The name under which `bundle` looks for one in the current directory.
pub const NAME: &str = "modferry.toml";
/// Largest file that is read, in bytes.
pub const MAX_BYTES: u64 = 1 << 20;

/// A recipe, as it is written: nothing in it is looked up yet. Relative paths start where the file is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Recipe {
    /// Roots, as on the command line.
    pub roots: Vec<String>,
    /// How much of their closure to carry.
    pub level: Option<String>,
    /// Programs, as `PACKAGE@VERSION`.
    pub tools: Vec<String>,
    /// Go toolchains: versions, `auto`, `latest`.
    pub toolchains: Vec<String>,
    /// Platforms such as `linux/amd64`.
    pub platforms: Vec<String>,
    /// The bundle that the far side has.
    pub base: Option<PathBuf>,
    /// The directory or tar to make.
    pub output: Option<PathBuf>,
    /// Further versions, as `PATTERN@QUERY`.
    pub with_versions: Vec<String>,
    /// Carry the newest release and patch of every module.
    pub newest: bool,
    /// Patterns of modules that may come without a record.
    pub no_record: Vec<String>,
    /// The file of tree heads that were sealed.
    pub heads: Option<PathBuf>,
}

impl Recipe {
    /// Reads the text of the file that messages call `name`.
    pub fn parse(text: &str, name: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            let place = format!("{name}:{line}");
            Error::new(ErrorKind::Usage, format!("{place}: could not be understood: {}", error.message())).hint(
                "it has the members roots, level, tools, toolchains, platforms, base, output, with-versions, newest, no-record \
                 and heads, each like the flag of modferry bundle of that name",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_read() {
        let text = "roots = ['.', 'a.test/b@v1.0.0']\nlevel = 'all'\ntools = ['a.test/t@latest']\ntoolchains = ['auto']\n\
            platforms = ['linux/amd64']\nbase = 'old'\noutput = 'out'\nwith-versions = ['a.test/*@v1']\nnewest = true\n\
            no-record = ['a.test/*']\nheads = 'heads'\n";
        let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        let expected = Recipe {
            roots: list(&[".", "a.test/b@v1.0.0"]),
            level: Some("all".to_owned()),
            tools: list(&["a.test/t@latest"]),
            toolchains: list(&["auto"]),
            platforms: list(&["linux/amd64"]),
            base: Some("old".into()),
            output: Some("out".into()),
            with_versions: list(&["a.test/*@v1"]),
            newest: true,
            no_record: list(&["a.test/*"]),
            heads: Some("heads".into()),
        };
        assert_eq!(Recipe::parse(text, NAME).unwrap(), expected);
        assert_eq!(Recipe::parse("", NAME).unwrap(), Recipe::default());
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, line, word) in [
            ("roots = []\n\nrots = ['.']\n", 3, "rots"),
            ("no_record = []", 1, "no_record"),
            ("# x\nlevel = 7\n", 2, "expected a string"),
            ("roots = '.'", 1, "expected a sequence"),
            ("newest = 3", 1, "expected a boolean"),
            ("roots = ['.'", 1, ""),
            ("[bundle]\nroots = []\n", 1, "bundle"),
            ("level = 'a'\nlevel = 'b'\n", 2, "duplicate key"),
            ("\u{0}", 1, ""),
        ] {
            let error = Recipe::parse(text, NAME).unwrap_err();
            assert!(error.message.starts_with(&format!("modferry.toml:{line}: ")), "{text:?}: {error}");
            assert!(error.message.contains(word), "{text:?}: {error}");
        }
    }
}
