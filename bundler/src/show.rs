//! `modferry show`: what is in a bundle, from which roots, how big it is, and which parts of it are the largest; of a mirror,
//! see `show/mirror.rs`.

mod mirror;

pub use mirror::{Imported, ShownMirror, show_mirror};

use crate::bundle::NO_GO;
use crate::byte_size::{ByteSize, count};
use crate::carrier::Carrier;
use crate::error::Result;
use crate::head::Head;
use modferry_format::header::{self, Header, Root, RootKind};
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::{BundlePath, sumdb};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;

/// How many of the largest zips are named.
pub const LARGEST: usize = 10;

/// What there is to say about a bundle.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// The id in its short form.
    pub id: String,
    /// All 64 digits of it.
    pub sha256: String,
    /// What the bundle says of itself.
    pub header: Header,
    /// What it carries of checksum databases.
    pub databases: Vec<Database>,
    /// The largest zips, largest first.
    pub largest: Vec<Large>,
    /// The versions that are carried whole.
    pub versions: Vec<String>,
}

/// What a bundle carries of a checksum database, or a mirror has of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Records in the log, by the head that everything is proven by.
    pub size: u64,
    /// Root hash of that head.
    pub root: String,
    /// Records that are carried.
    pub records: u64,
    /// Tile files that are carried.
    pub tiles: u64,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Earlier heads whose holders find their way from there.
    pub served: u64,
}

impl Database {
    /// Counts one of its files.
    fn add(&mut self, path: &BundlePath, bytes: u64) {
        self.bytes += bytes;
        self.records += u64::from(matches!(path, BundlePath::Lookup(..)));
        self.tiles += u64::from(matches!(path, BundlePath::Tile(..)));
    }
}

/// One of the largest zips.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Large {
    /// Size in bytes.
    pub bytes: u64,
    /// The module version.
    pub version: String,
}

/// Reads the head of a bundle and sums its manifest up.
pub fn show(carrier: &dyn Carrier) -> Result<Shown> {
    let head = Head::read(carrier)?;
    let mut largest: BinaryHeap<Reverse<Large>> = BinaryHeap::new();
    let mut versions = Vec::new();
    let mut databases: Vec<Database> = head.header.databases.iter().map(database).collect();
    head.entries(carrier, |entry| match &entry.path {
        BundlePath::Supported(name)
        | BundlePath::Head(name)
        | BundlePath::Lookup(name, _)
        | BundlePath::Tile(name, _) => {
            if let Some(database) = databases.iter_mut().find(|database| database.name == name.as_str()) {
                database.add(&entry.path, entry.size);
            }
        }
        BundlePath::Zip(version) => {
            largest.push(Reverse(Large { bytes: entry.size, version: version.to_string() }));
            versions.push(version.clone());
            if largest.len() > LARGEST {
                largest.pop();
            }
        }
        _ => {}
    })?;
    versions.sort();
    Ok(Shown {
        id: head.id.to_string(),
        sha256: head.id.hex(),
        header: head.header,
        databases,
        largest: largest.into_sorted_vec().into_iter().map(|Reverse(large)| large).collect(),
        versions: versions.iter().map(ToString::to_string).collect(),
    })
}

/// What the header says of a database; its note is opened for size and root.
fn database(stated: &header::Database) -> Database {
    let key = stated.key.parse::<VerifierKey>();
    let name = key.as_ref().map_or_else(|_| stated.key.clone(), |key| key.name().to_string());
    let opened = key.ok().and_then(|key| sumdb::head::Head::open(stated.head.as_bytes(), &key).ok());
    let (size, root) = opened.map_or((0, String::new()), |head| (head.size(), head.root().to_string()));
    Database { name, size, root, served: stated.served.len() as u64, ..Database::default() }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = &self.header;
        writeln!(f, "bundle {}", self.id)?;
        writeln!(f, "  sha256 {}", self.sha256)?;
        writeln!(f, "  format {}, draft {}, channel {}", header.format, header.draft, plain(&header.channel))?;
        let with = if header.go == NO_GO { "without go".to_owned() } else { format!("with {}", header.go) };
        writeln!(f, "  made {} by {} {}", plain(&header.created), plain(&header.tool), plain(&with))?;
        for base in &header.base {
            writeln!(f, "  counts on bundle {}, which has to be imported first", plain(base))?;
        }
        writeln!(f, "\nroots")?;
        for root in &header.roots {
            writeln!(f, "  {}", plain(&told(root)))?;
            for local in &root.local {
                match &local.replaces {
                    Some(old) => {
                        writeln!(
                            f,
                            "    {} is replaced by a directory: its sources travel with the project",
                            plain(old)
                        )?;
                    }
                    None => writeln!(f, "    member {}", plain(&local.module))?,
                }
            }
        }
        let counts = &header.counts;
        writeln!(f, "\ncontent")?;
        writeln!(
            f,
            "  {}, {} ({} with zip), {}, {}",
            count(counts.modules, "module"),
            count(counts.versions, "version"),
            counts.zips,
            count(counts.files, "file"),
            ByteSize(header.bytes)
        )?;
        for database in &self.databases {
            writeln!(
                f,
                "  checksum database {}: {} proven by a tree head of {} records, {}, {} more served",
                plain(&database.name),
                count(database.records, "record"),
                database.size,
                count(database.tiles, "tile"),
                count(database.served, "head"),
            )?;
        }
        if !header.without_record.is_empty() {
            let patterns = header.without_record.join(" ");
            writeln!(
                f,
                "  without a record of the checksum database: {}",
                if patterns == "*" { "every module" } else { &patterns }
            )?;
        }
        if !header.levels.is_empty() {
            writeln!(f, "\nlevels")?;
        }
        for cost in &header.levels {
            let is_here = header.roots.iter().any(|root| !is_exact(root.kind) && root.level == cost.level);
            writeln!(f, "{}", level_line(cost, is_here))?;
        }
        list(
            f,
            "observed upstream",
            header.observations.iter().map(|seen| format!("{}@{} was {}", seen.module, seen.query, seen.version)),
        )?;
        list(f, "not carried", header.not_carried.iter().map(|file| format!("{}: {}", file.path, file.reason)))?;
        list(
            f,
            "largest",
            self.largest.iter().map(|large| format!("{:>8}  {}", ByteSize(large.bytes).to_string(), large.version)),
        )
    }
}

/// A root in one line.
fn told(root: &Root) -> String {
    let (kind, level) = (root.kind, root.level);
    let version = root.version.as_ref().map_or_else(String::new, |version| format!("@{version}"));
    match kind {
        RootKind::Toolchain => {
            let version = root.version.as_deref().unwrap_or_default();
            format!("{} (toolchain)", version.strip_prefix("v0.0.1-").unwrap_or(version))
        }
        RootKind::Tool if root.package.is_some() => {
            let package = root.package.as_deref().unwrap_or_default();
            format!("{package}{version} (tool of {}, level {level})", root.module)
        }
        kind if is_exact(kind) => {
            format!("{} ({kind}, exactly {})", root.module, count(root.requires.len() as u64, "version"))
        }
        _ => {
            let go = if root.go.is_empty() { "no go line".to_owned() } else { format!("go {}", root.go) };
            format!("{}{version} ({kind}, level {level}{}, {go})", root.module, platforms_text(&root.platforms))
        }
    }
}

/// Whether a root names its versions itself, whatever the level.
fn is_exact(kind: RootKind) -> bool {
    matches!(kind, RootKind::Toolchain | RootKind::GoSum | RootKind::Binary | RootKind::Sbom)
}

fn platforms_text(platforms: &[String]) -> String {
    if platforms.is_empty() { String::new() } else { format!(" for {}", platforms.join(", ")) }
}

/// What a level costs; the one that is carried has a mark.
pub fn level_line(cost: &header::LevelCost, is_here: bool) -> String {
    let mark = if is_here { '*' } else { ' ' };
    let bytes = cost.bytes.map_or_else(|| "size not known".to_owned(), |bytes| ByteSize(bytes).to_string());
    format!("{mark} {:<12} {:>14}  {bytes}", cost.level.to_string(), count(cost.zips, "zip"))
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, lines: impl Iterator<Item = String>) -> fmt::Result {
    for (number, line) in lines.enumerate() {
        if number == 0 {
            writeln!(f, "\n{title}")?;
        }
        writeln!(f, "  {}", plain(&line))?;
    }
    Ok(())
}

/// A bundle may be hostile: no control character of its texts reaches a terminal.
fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}
