//! A go.mod as the go command reads it.

use crate::error::{Error, ErrorKind, Result, Warning};
use crate::go_command::Go;
use modferry_format::go_sum::{GoSum, Subject};
use modferry_format::header::Local;
use modferry_format::{ModuleVersion, Version};
use serde::Deserialize;
use std::path::Path;

/// A go.mod as `go mod edit -json` prints it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GoModJson {
    /// The main module.
    pub(crate) module: Option<NameJson>,
    /// The go line, empty if there is none.
    #[serde(default)]
    pub(crate) go: String,
    #[serde(default)]
    pub(crate) require: Option<Vec<NameJson>>,
    #[serde(default)]
    replace: Option<Vec<ReplaceJson>>,
    #[serde(default)]
    pub(crate) exclude: Option<Vec<NameJson>>,
    #[serde(default)]
    pub(crate) ignore: Option<Vec<IgnoreJson>>,
}

/// A module in such a go.mod.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NameJson {
    /// Module path, or the path of a directory.
    pub(crate) path: String,
    /// Empty where none is stated.
    #[serde(default)]
    pub(crate) version: String,
    /// For a requirement: only others need it.
    #[serde(default)]
    pub(crate) indirect: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ReplaceJson {
    pub(crate) old: NameJson,
    pub(crate) new: NameJson,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct IgnoreJson {
    pub(crate) path: String,
}

impl NameJson {
    /// `path@version`, or the path alone.
    pub(crate) fn text(&self) -> String {
        if self.version.is_empty() { self.path.clone() } else { format!("{}@{}", self.path, self.version) }
    }
}

impl GoModJson {
    /// Reads a go.mod file with the go command.
    pub(crate) fn read(go: &Go, file: &Path, subject: &str) -> Result<Self> {
        let directory = file.parent().unwrap_or(Path::new("."));
        let name = file.to_string_lossy();
        let output = go.must(directory, &["mod", "edit", "-json", &name], subject)?;
        serde_json::from_slice(&output.stdout).map_err(|error| {
            Error::new(ErrorKind::GoFailed, format!("{subject}: go mod edit printed no JSON"))
                .because(error.to_string())
        })
    }

    /// The module path, empty where there is none.
    pub(crate) fn path(&self) -> &str {
        self.module.as_ref().map_or("", |module| module.path.as_str())
    }

    /// What bundle.json says of a module whose go.mod is in a directory.
    pub(crate) fn local_module(&self, replaces: Option<String>) -> Local {
        let requires = sorted(self.requires().map(NameJson::text));
        Local { module: self.path().to_owned(), replaces, go: self.go.clone(), requires }
    }

    /// Whether a requirement names a version that only upstream can resolve, such as a branch.
    pub(crate) fn has_queries(&self) -> bool {
        self.requires().any(|require| require.version.parse::<Version>().is_err())
    }

    /// A warning where go.sum does not cover the requirements: then go asks for them inside, before it builds.
    pub(crate) fn sums_lacking(&self, go_sum: &GoSum, name: &str) -> Option<Warning> {
        let versions = self.requires().filter_map(|require| self.replaced(require)?.parse().ok());
        let lacking: Vec<ModuleVersion> = versions
            .filter(|version: &ModuleVersion| go_sum.expected(&Subject::GoMod(version.clone())).is_empty())
            .collect();
        let first = lacking.first()?;
        let message = format!(
            "{name}: go.sum says nothing of {first}{}; go build will stop for it inside",
            match lacking.len() {
                1 => String::new(),
                more => format!(" and {} more of its requirements", more - 1),
            }
        );
        Some(Warning::new(message, Some("go mod tidy completes it, here or inside")))
    }

    pub(crate) fn requires(&self) -> impl Iterator<Item = &NameJson> {
        self.require.iter().flatten()
    }

    pub(crate) fn replaces(&self) -> impl Iterator<Item = &ReplaceJson> {
        self.replace.iter().flatten()
    }

    /// The replacements by directories.
    pub(crate) fn local(&self) -> impl Iterator<Item = &ReplaceJson> {
        self.replaces().filter(|replace| replace.new.version.is_empty())
    }

    /// What takes the place of a requirement, itself where nothing does; none for a directory.
    fn replaced(&self, require: &NameJson) -> Option<String> {
        let matching = |replace: &&ReplaceJson| {
            replace.old.path == require.path
                && (replace.old.version.is_empty() || replace.old.version == require.version)
        };
        // A replacement of one version goes before that of all versions.
        match self.replaces().filter(matching).max_by_key(|replace| !replace.old.version.is_empty()) {
            Some(replace) if replace.new.version.is_empty() => None,
            Some(replace) => Some(replace.new.text()),
            None => Some(require.text()),
        }
    }
}

/// Lists of bundle.json have one order.
pub(crate) fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort();
    items
}
