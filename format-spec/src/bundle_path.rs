//! The path of every file that the content of a bundle may have; the only place that knows the layout.
//!
//! ```text
//! download/rsc.io/quote/@v/list
//! download/rsc.io/quote/@v/v1.5.2.info
//! download/rsc.io/quote/@v/v1.5.2.mod
//! download/rsc.io/quote/@v/v1.5.2.zip
//! download/rsc.io/quote/@v/main.info
//! download/rsc.io/quote/@latest
//! download/github.com/!burnt!sushi/toml/@v/v1.0.0-!r!c1.mod
//! download/sumdb/sum.golang.org/supported
//! download/sumdb/sum.golang.org/latest
//! download/sumdb/sum.golang.org/lookup/rsc.io/quote@v1.5.2
//! download/sumdb/sum.golang.org/tile/8/0/x001/234.p/56
//! extra/sbom/bundle.cdx.json
//! ```
//!
//! A test parses each line of this drawing. `parse` and `Display` are exact inverses (SPEC M1).

use crate::database::{DatabaseName, Tile};
use crate::invalid::Invalid;
use crate::module_path::ModulePath;
use crate::module_version::ModuleVersion;
use crate::names::{self, ElementOf};
use crate::version::Version;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

const KIND: &str = "bundle path";

/// One file of a bundle's content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BundlePath {
    /// The versions of a module that are carried whole.
    List(ModulePath),
    /// The `.info` of the version that `@latest` means.
    Latest(ModulePath),
    /// What `go` calls the info of a version: its name and time.
    Info(ModuleVersion),
    /// The go.mod of a version.
    Mod(ModuleVersion),
    /// The source of a version.
    Zip(ModuleVersion),
    /// The info of the version that a branch, tag or hash meant when it was bundled.
    Alias(ModulePath, Alias),
    /// Tells `go` that the database is answered for.
    Supported(DatabaseName),
    /// The newest head of a database.
    Head(DatabaseName),
    /// The database's record of a version.
    Lookup(DatabaseName, ModuleVersion),
    /// A piece of the database's tree.
    Tile(DatabaseName, Tile),
    /// A file that travels with the bundle and is never served.
    Extra(ExtraPath),
}

/// The media types of all files; the ones that the public Go mirror uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaType {
    /// What `go` reads as JSON.
    Json,
    /// The source of a version.
    Zip,
    /// Bytes that nobody reads but programs.
    Octets,
    /// Lines of text.
    Text,
}

impl MediaType {
    /// As it stands in a header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Zip => "application/zip",
            Self::Octets => "application/octet-stream",
            Self::Text => "text/plain; charset=utf-8",
        }
    }
}

/// A version query that is no canonical version: `main`, `3f2ac1`, `v1`; without upper case where escaped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alias(Box<str>);

/// The path of a file below `extra/`: a type, then one or more elements.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtraPath(Box<str>);

impl BundlePath {
    /// Longest path, in bytes (SPEC M1).
    pub const MAX_BYTES: usize = 1024;
    /// Longest element of a path, in bytes (SPEC M1).
    pub const MAX_ELEMENT_BYTES: usize = 255;
    /// What the paths of all checksum-database files begin with; they stand first in a manifest (SPEC M12).
    pub const SUMDB_PREFIX: &str = "download/sumdb/";

    /// Whether a published file of this kind never changes (SPEC M3).
    pub fn is_immutable(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Latest(_) | Self::Alias(..) | Self::Head(_))
    }

    /// Whether a server may answer with this file (SPEC M4).
    pub fn is_served(&self) -> bool {
        !matches!(self, Self::Extra(_))
    }

    /// The media type to serve the file with (SPEC M4).
    pub fn media_type(&self) -> MediaType {
        match self {
            Self::Info(_) | Self::Latest(_) | Self::Alias(..) => MediaType::Json,
            Self::Zip(_) => MediaType::Zip,
            Self::Tile(..) | Self::Extra(_) => MediaType::Octets,
            Self::List(_) | Self::Mod(_) | Self::Supported(_) | Self::Head(_) | Self::Lookup(..) => MediaType::Text,
        }
    }

    /// The module that the file belongs to; none for checksum-database files and extras.
    pub fn module(&self) -> Option<&ModulePath> {
        match self {
            Self::List(module) | Self::Latest(module) | Self::Alias(module, _) => Some(module),
            Self::Info(version) | Self::Mod(version) | Self::Zip(version) => Some(version.path()),
            Self::Supported(_) | Self::Head(_) | Self::Lookup(..) | Self::Tile(..) | Self::Extra(_) => None,
        }
    }

    /// The order of a manifest and of every carrier: checksum-database files first, then by bytes (SPEC M12).
    pub fn order(a: &str, b: &str) -> Ordering {
        let key = |path: &str| !path.starts_with(Self::SUMDB_PREFIX);
        key(a).cmp(&key(b)).then_with(|| a.cmp(b))
    }

    fn parse_download(rest: &str) -> Option<Result<Self, Invalid>> {
        if let Some(sumdb) = rest.strip_prefix("sumdb/") {
            return Self::parse_sumdb(sumdb);
        }
        if let Some(module) = rest.strip_suffix("/@latest") {
            return Some(ModulePath::from_escaped(module).map(Self::Latest));
        }
        // No module path has an @ in it.
        let (module, file) = names::split_once(rest, b'@')?;
        let (module, file) = (module.strip_suffix('/')?, file.strip_prefix("v/")?);
        let module = match ModulePath::from_escaped(module) {
            Ok(module) => module,
            Err(invalid) => return Some(Err(invalid)),
        };
        if file == "list" {
            return Some(Ok(Self::List(module)));
        }
        let (stem, suffix) = file.rsplit_once('.')?;
        let kind: fn(ModuleVersion) -> Self = match suffix {
            "info" => Self::Info,
            "mod" => Self::Mod,
            "zip" => Self::Zip,
            _ => return None,
        };
        Some(match Version::from_escaped(stem) {
            Ok(version) => ModuleVersion::new(module, version).map(kind),
            Err(_) if suffix == "info" => Alias::from_escaped(stem).map(|alias| Self::Alias(module, alias)),
            Err(invalid) => Err(invalid),
        })
    }

    fn parse_sumdb(rest: &str) -> Option<Result<Self, Invalid>> {
        if let Some(name) = rest.strip_suffix("/supported") {
            return Some(name.parse().map(Self::Supported));
        }
        if let Some(name) = rest.strip_suffix("/latest") {
            return Some(name.parse().map(Self::Head));
        }
        if let Some((name, record)) = rest.split_once("/lookup/") {
            let (path, version) = record.split_once('@')?;
            return Some(name.parse().and_then(|name| {
                let record = ModuleVersion::new(ModulePath::from_escaped(path)?, Version::from_escaped(version)?)?;
                Ok(Self::Lookup(name, record))
            }));
        }
        let (name, tile) = rest.split_once("/tile/")?;
        Some(name.parse().and_then(|name| Ok(Self::Tile(name, format!("tile/{tile}").parse()?))))
    }
}

impl FromStr for BundlePath {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        check_alphabet(text)?;
        let parsed = match names::split_once(text, b'/') {
            Some(("download", rest)) => Self::parse_download(rest),
            Some(("extra", rest)) => Some(rest.parse().map(Self::Extra)),
            _ => None,
        };
        parsed.unwrap_or_else(|| Err(Invalid::new(KIND, text, "no file of a bundle has this name")))
    }
}

/// Checks what holds for every path in a manifest, known or not: bytes, lengths and elements (SPEC M1).
fn check_alphabet(text: &str) -> Result<(), Invalid> {
    let invalid = |reason: &'static str| Err(Invalid::new(KIND, text, reason));
    if text.len() > BundlePath::MAX_BYTES {
        return invalid("longer than 1024 bytes");
    }
    const PLAIN: [bool; 256] = names::alphanumeric_and(b"!-._~@+");
    let mut begin = 0;
    for (at, byte) in text.bytes().chain([b'/']).enumerate() {
        if byte != b'/' {
            if !PLAIN[usize::from(byte)] || byte.is_ascii_uppercase() {
                return invalid("only a-z 0-9 ! - . _ ~ / @ + may stand in a path");
            }
            continue;
        }
        let element = &text.as_bytes()[begin..at];
        if matches!(element, b"" | b"." | b"..") {
            return invalid("empty, . and .. are no path elements");
        }
        if element.len() > BundlePath::MAX_ELEMENT_BYTES {
            return invalid("path element longer than 255 bytes");
        }
        begin = at + 1;
    }
    Ok(())
}

impl fmt::Display for BundlePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = |f: &mut fmt::Formatter<'_>, version: &ModuleVersion, suffix| {
            write!(f, "download/{}/@v/{}.{suffix}", version.path().escaped(), version.version().escaped())
        };
        match self {
            Self::List(module) => write!(f, "download/{}/@v/list", module.escaped()),
            Self::Latest(module) => write!(f, "download/{}/@latest", module.escaped()),
            Self::Info(version) => file(f, version, "info"),
            Self::Mod(version) => file(f, version, "mod"),
            Self::Zip(version) => file(f, version, "zip"),
            Self::Alias(module, alias) => {
                write!(f, "download/{}/@v/{}.info", module.escaped(), names::escape(&alias.0))
            }
            Self::Supported(name) => write!(f, "download/sumdb/{name}/supported"),
            Self::Head(name) => write!(f, "download/sumdb/{name}/latest"),
            Self::Lookup(name, version) => {
                let (path, version) = (version.path().escaped(), version.version().escaped());
                write!(f, "download/sumdb/{name}/lookup/{path}@{version}")
            }
            Self::Tile(name, tile) => write!(f, "download/sumdb/{name}/{tile}"),
            Self::Extra(path) => write!(f, "extra/{}", path.0),
        }
    }
}

impl Ord for BundlePath {
    fn cmp(&self, other: &Self) -> Ordering {
        Self::order(&self.to_string(), &other.to_string())
    }
}

impl PartialOrd for BundlePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Alias {
    /// Longest escaped alias, in bytes; with `.info` it must fit one file name.
    pub const MAX_ESCAPED_BYTES: usize = 240;

    /// The query as the user writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn from_escaped(escaped: &str) -> Result<Self, Invalid> {
        names::unescape(escaped)
            .ok_or_else(|| Invalid::new("escaped version query", escaped, "not an escaped text"))?
            .parse()
    }
}

impl FromStr for Alias {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |reason| Invalid::new("version query", text, reason);
        if text.parse::<Version>().is_ok() {
            return Err(invalid("a canonical version is no alias".into()));
        }
        if names::is_longer_escaped(text, Self::MAX_ESCAPED_BYTES) {
            return Err(invalid("longer than 240 bytes when escaped".into()));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~@+".contains(&b);
        if !text.bytes().all(plain) {
            return Err(invalid("a proxy can only answer for names of letters, digits and -._~@+".into()));
        }
        names::check_element(text, ElementOf::FilePath).map_err(invalid)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ExtraPath {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        check_alphabet(text)?;
        let invalid = |reason| Invalid::new("extra path", text, reason);
        if "extra/".len() + text.len() > BundlePath::MAX_BYTES {
            return Err(invalid("longer than 1024 bytes with extra/ before it".into()));
        }
        if !text.contains('/') {
            return Err(invalid("a file stands in the folder of its type: extra/TYPE/NAME".into()));
        }
        for element in text.split('/') {
            // The names are copied to file systems of all kinds.
            if element.contains('!') {
                return Err(invalid("! is for escaped module paths".into()));
            }
            names::check_element(element, ElementOf::FilePath).map_err(invalid)?;
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ExtraPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
