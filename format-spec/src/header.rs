//! `bundle.json`: what a bundle is, where it comes from and what it claims (SPEC M40 to M46).

use crate::bundle_path::BundlePath;
use crate::carried::Carried;
use crate::info;
use crate::invalid::Invalid;
use crate::json::{self, Value};
use crate::module_version::ModuleVersion;
use crate::root::HeadFile;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// The format that this crate describes.
pub const FORMAT: u32 = 1;
/// The draft of format 1; drafts do not read each other. Gone when the format is frozen.
pub const DRAFT: u32 = 3;
/// The claim of a bundle whose modules all come without a record.
pub const EVERY_MODULE: &str = "*";
/// The channel of a bundle that names none.
pub const DEFAULT_CHANNEL: &str = "main";

const KIND: &str = "bundle.json";
/// Digits of a commit's hash in a pseudo-version (`ShortenSHA1` of cmd/go).
const SHORT_HASH: usize = 12;

/// The content of `bundle.json`. Members that this version does not know are ignored (SPEC M44).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Always [`FORMAT`]; the first member, so that any reader can decide at once.
    pub format: u32,
    /// Names of things that a reader must know to read this bundle; none exist yet.
    pub requires_features: Vec<String>,
    /// Always [`DRAFT`].
    pub draft: u32,
    /// Which stream of bundles this is; a mirror takes the channels its policy names.
    pub channel: String,
    /// When the bundle was made, RFC 3339 in UTC: SOURCE_DATE_EPOCH where set, else the clock.
    pub created: String,
    /// The program that made it, with its version.
    pub tool: String,
    /// The go command that resolved it, such as `go1.26.8`; `none` where nothing had to be resolved.
    pub go: String,
    /// What the bundle was made for.
    pub roots: Vec<Root>,
    /// Ids of the bundles that the far side is taken to have; none for a full bundle.
    pub base: Vec<String>,
    /// Patterns, as in GONOSUMDB, of the modules that are carried without a checksum-database record.
    pub without_record: Vec<String>,
    /// The checksum databases of which it carries a part, by name (SPEC M90).
    pub databases: Vec<Database>,
    /// What upstream said when it was asked for versions.
    pub observations: Vec<Observation>,
    /// Files that belong to the closure and could not be had.
    pub not_carried: Vec<NotCarried>,
    /// How much is in it.
    pub counts: Counts,
    /// Sum of the sizes of the content, in bytes.
    pub bytes: u64,
    /// What each level would carry of the same roots, as far as it was found out; leanest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<LevelCost>,
    /// The module versions that are carried, one text per module: see [`Carried`]. With it `bundle.json` is the lock from which
    /// the same bundle can be made again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closure: Vec<Carried>,
}

/// A checksum database, and the head that its records are proven by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its key in Go's syntax, `NAME+HASH+KEY`.
    pub key: String,
    /// The signed note of the head; the same as in the database's `latest` (SPEC M91, M92).
    pub head: String,
    /// Signed notes of earlier heads, ascending by size: a client or mirror that holds one finds its way from there.
    pub served: Vec<String>,
}

/// One thing that the user wants to work inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// What kind of root it is.
    pub kind: RootKind,
    /// How much of its closure is carried.
    pub level: Level,
    /// The module path; that of a main module need not be one that a proxy can serve.
    pub module: String,
    /// The version, for a root that was given as `path@version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The go line of its go.mod, empty if there is none; of a program the go that built it.
    pub go: String,
    /// The requirements of its go.mod as `path@version`, as they stand there; of a workspace none, its members have them; of
    /// an exact list all versions that it names.
    pub requires: Vec<String>,
    /// The replacements of its go.mod or go.work by other versions, as `old => new`.
    pub replaces: Vec<String>,
    /// Modules of directories that go loads beside it: the members of a workspace, and what replaces a module; their sources
    /// must travel with the project.
    pub local: Vec<Local>,
    /// The versions that its go.mod excludes, as `path@version`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
    /// The package, for a root that is a tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// The platforms, such as `linux/amd64`, that its closure was narrowed to; none for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
}

/// A module whose go.mod is in a directory, not in the bundle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Local {
    /// Its module path, empty where its go.mod has none.
    pub module: String,
    /// What it replaces, as `path` or `path@version`; none for a member of a workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The go line of its go.mod, empty if there is none.
    pub go: String,
    /// The requirements of its go.mod as `path@version`, as they stand there.
    pub requires: Vec<String>,
}

impl Root {
    /// A root that is a module version, of whose go.mod nothing is said.
    pub fn version(kind: RootKind, level: Level, version: &ModuleVersion) -> Self {
        Self {
            kind,
            level,
            module: version.path().to_string(),
            version: Some(version.version().to_string()),
            go: String::new(),
            requires: Vec::new(),
            replaces: Vec::new(),
            local: Vec::new(),
            excludes: Vec::new(),
            package: None,
            platforms: Vec::new(),
        }
    }
}

/// Kinds of roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootKind {
    /// A directory with a go.mod.
    Module,
    /// A directory with a go.work: several modules that are worked on together.
    Workspace,
    /// A go.mod file alone.
    GoMod,
    /// `path@version`, as a dependency and as a main module.
    Version,
    /// A program, `package@version`, for `go install`, `go run` and `go get -tool`.
    Tool,
    /// A Go toolchain, which is a version of `golang.org/toolchain`.
    Toolchain,
    /// A go.sum file: exactly what it names.
    GoSum,
    /// A program built by go: exactly the modules that it was built from.
    Binary,
    /// A software bill of materials: exactly the modules that it names.
    Sbom,
}

impl fmt::Display for RootKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// How much of a root's closure is carried, leanest first; `All` may lack go.mod files and infos that `Work` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// What `go mod download` gets, and what compiling and testing the root takes.
    Build,
    /// What a developer's commands ask for: those that edit go.mod, load all packages or make a workspace as well.
    Work,
    /// All that `go mod download all` asks for: every module of the graph.
    All,
    /// What `go get -u` would choose too.
    Upgrade,
    /// What upgrading any single requirement would choose too.
    UpgradeEach,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// What a level would carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelCost {
    /// The level.
    pub level: Level,
    /// Zips.
    pub zips: u64,
    /// Sum of their sizes in bytes; none where upstream did not tell the size of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// What upstream answered to a version query.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Observation {
    /// The module that was asked for.
    pub module: String,
    /// The query, such as `latest`.
    pub query: String,
    /// The version that upstream named.
    pub version: String,
}

impl Observation {
    /// The files by which go learns inside what the query meant, where it asks for one: a branch, a tag or a hash. With them
    /// the version that they name. Of a hash go knows the form of 12 digits as well, which a pseudo-version ends in.
    pub fn aliases(&self) -> Vec<(BundlePath, ModuleVersion)> {
        let is_asked_of_the_list = matches!(self.query.as_str(), "latest" | "upgrade" | "patch")
            || self.query.starts_with(['<', '>', '='])
            || self.query.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let version = self.module.parse().and_then(|path| ModuleVersion::new(path, self.version.parse()?));
        let (false, Ok(version)) = (is_asked_of_the_list, version) else { return Vec::new() };
        let is_hash = self.query.len() > SHORT_HASH && self.query.bytes().all(|b| b.is_ascii_hexdigit());
        let short = self.query.get(..SHORT_HASH).filter(|short| is_hash && self.version.ends_with(short));
        let queries = [Some(self.query.as_str()), short].into_iter().flatten();
        let alias = |query: &str| Some(BundlePath::Alias(version.path().clone(), query.parse().ok()?));
        queries.filter_map(|query| Some((alias(query)?, version.clone()))).collect()
    }
}

/// A file of the closure that is not in the bundle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NotCarried {
    /// Its path, as it would stand in the manifest.
    pub path: String,
    /// Why, in the words of upstream or of the user's choice.
    pub reason: String,
}

/// How many of each there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Modules with at least one version file.
    pub modules: u64,
    /// Module versions with at least one file.
    pub versions: u64,
    /// `.zip` files.
    pub zips: u64,
    /// All files of the content.
    pub files: u64,
}

/// Why a header cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// It breaks a rule.
    Invalid(Invalid),
    /// It may be fine, but is for another version of the format: which part, and what this version reads.
    Unsupported(String),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::Unsupported(what) => write!(f, "{KIND}: {what}"),
        }
    }
}

impl core::error::Error for HeaderError {}

impl From<Invalid> for HeaderError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl Header {
    /// Reads `bundle.json`. Format, features and draft are judged first, before anything else in it is
    /// understood (SPEC M41).
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let invalid =
            |reason: String| HeaderError::Invalid(Invalid::new(KIND, &String::from_utf8_lossy(bytes), reason));
        if bytes.len() as u64 > HeadFile::BundleJson.max_bytes() {
            return Err(invalid("larger than 16 MiB".to_owned()));
        }
        let Value::Object(members) = json::parse(bytes)? else {
            return Err(invalid("not a JSON object".to_owned()));
        };
        let [(first, format), (second, features), rest @ ..] = &members[..] else {
            return Err(invalid("must begin with format and requires_features".to_owned()));
        };
        let (Value::Integer(format), Value::Array(features)) = (format, features) else {
            return Err(invalid("format must be a number and requires_features a list".to_owned()));
        };
        if first != "format" || second != "requires_features" {
            return Err(invalid("must begin with format and requires_features".to_owned()));
        }
        if *format != i128::from(FORMAT) {
            return Err(HeaderError::Unsupported(format!(
                "format {format}; this modferry reads format {FORMAT}, take a newer one"
            )));
        }
        if let Some(feature) = features.first() {
            let name = if let Value::String(name) = feature { name.as_str() } else { "?" };
            return Err(HeaderError::Unsupported(format!(
                "feature {name:?} is not known to this modferry, take a newer one"
            )));
        }
        let draft = rest.iter().find(|(key, _)| key == "draft").map(|(_, value)| value);
        if draft != Some(&Value::Integer(DRAFT.into())) {
            return Err(HeaderError::Unsupported(format!(
                "not draft {DRAFT} of format {FORMAT}; drafts do not read each other, take the modferry that made it"
            )));
        }
        let header: Self = serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
        // SPEC M43
        rest.iter().try_for_each(|(key, value)| check_types(key, value)).map_err(invalid)?;
        if info::is_canonical_time(&header.created) {
            Ok(header)
        } else {
            Err(invalid(format!("created {:?} is no RFC 3339 time in UTC as .info files write it", header.created)))
        }
    }

    /// The bytes of `bundle.json`: members in the order of this type, indented by two, a final newline
    /// (SPEC M42).
    pub fn to_json(&self) -> String {
        // Serializing plain strings and numbers to memory cannot fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// Refuses what serde takes as well, and other readers of JSON do not: a list of values in place of an object, an object of
/// one member in place of a word, null in place of a member that is not there.
fn check_types(key: &str, value: &Value) -> Result<(), String> {
    let objects = match (key, value) {
        ("counts", counts) => core::slice::from_ref(counts),
        ("roots" | "databases" | "observations" | "not_carried" | "levels", Value::Array(objects)) => objects,
        _ => return Ok(()),
    };
    for object in objects {
        let Value::Object(members) = object else {
            return Err(format!("invalid type: {key} must be made of objects"));
        };
        let is_text = |(name, value): &(String, Value)| {
            !matches!(name.as_str(), "kind" | "level" | "version" | "package") || matches!(value, Value::String(_))
        };
        if key == "roots" && !members.iter().all(is_text) {
            return Err("invalid type: kind, level, version and package of a root must be texts".to_owned());
        }
        let local = members.iter().find(|(name, _)| key == "roots" && name == "local").map(|(_, value)| value);
        if let Some(Value::Array(local)) = local
            && !local.iter().all(is_local)
        {
            return Err("invalid type: local must be made of objects, and what they replace be a text".to_owned());
        }
        let is_number = |(name, value): &(String, Value)| name != "bytes" || matches!(value, Value::Integer(_));
        if key == "levels" && !members.iter().all(is_number) {
            return Err("invalid type: bytes of a level must be a number".to_owned());
        }
    }
    Ok(())
}

fn is_local(value: &Value) -> bool {
    let Value::Object(members) = value else { return false };
    members.iter().all(|(name, value)| name != "replaces" || matches!(value, Value::String(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_go_asks_for_by_name_has_an_alias() {
        let aliases = |query: &str, version: &str| {
            let (module, query, version) = ("ex.org/A".into(), query.into(), version.into());
            let aliases = Observation { module, query, version }.aliases();
            aliases.into_iter().map(|(path, _)| path.to_string()).collect::<Vec<_>>()
        };
        let commit = "v0.0.0-20260102030405-abcdefabcdef";
        assert_eq!(aliases("Main", commit), ["download/ex.org/!a/@v/!main.info"]);
        assert_eq!(aliases("release-1.2", "v1.2.3"), ["download/ex.org/!a/@v/release-1.2.info"]);
        let hash = "abcdefabcdef0123456789abcdefabcdef012345";
        let both = [hash, "abcdefabcdef"].map(|alias| format!("download/ex.org/!a/@v/{alias}.info"));
        assert_eq!(aliases(hash, commit), both);
        for query in ["latest", "upgrade", "patch", "v1", "v1.2", ">=v1.0.0", "<v2", "feature/x", "v1.2.3"] {
            assert!(aliases(query, "v1.2.3").is_empty(), "{query}");
        }
        assert!(aliases("main", "go1.26.8").is_empty());
    }
}
