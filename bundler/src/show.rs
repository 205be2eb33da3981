//! `modferry show`: what is in a bundle, from which roots, how big it is, and which parts of it are the largest.

use crate::byte_size::{ByteSize, count};
use crate::carrier::Carrier;
use crate::error::Result;
use crate::head::Head;
use modferry_format::BundlePath;
use modferry_format::header::Header;
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
    /// The largest zips, largest first.
    pub largest: Vec<Large>,
    /// The versions that are carried whole.
    pub versions: Vec<String>,
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
    head.entries(carrier, |entry| {
        let BundlePath::Zip(version) = entry.path else { return };
        largest.push(Reverse(Large { bytes: entry.size, version: version.to_string() }));
        versions.push(version);
        if largest.len() > LARGEST {
            largest.pop();
        }
    })?;
    versions.sort();
    Ok(Shown {
        id: head.id.to_string(),
        sha256: head.id.hex(),
        header: head.header,
        largest: largest.into_sorted_vec().into_iter().map(|Reverse(large)| large).collect(),
        versions: versions.iter().map(ToString::to_string).collect(),
    })
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = &self.header;
        writeln!(f, "bundle {}", self.id)?;
        writeln!(f, "  sha256 {}", self.sha256)?;
        writeln!(f, "  format {}, draft {}, channel {}", header.format, header.draft, plain(&header.channel))?;
        writeln!(f, "  made {} by {} with {}", plain(&header.created), plain(&header.tool), plain(&header.go))?;
        writeln!(f, "\nroots")?;
        for root in &header.roots {
            let version = root.version.as_ref().map_or_else(String::new, |version| format!("@{version}"));
            let go = if root.go.is_empty() { "no go line".to_owned() } else { format!("go {}", root.go) };
            writeln!(
                f,
                "  {} ({}, level {}, {})",
                plain(&format!("{}{version}", root.module)),
                root.kind,
                root.level,
                plain(&go)
            )?;
            for local in &root.local {
                writeln!(f, "    {} is replaced by a directory: its sources travel with the project", plain(local))?;
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
        if !header.without_record.is_empty() {
            let patterns = header.without_record.join(" ");
            writeln!(
                f,
                "  without a record of the checksum database: {}",
                if patterns == "*" { "every module" } else { &patterns }
            )?;
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
