//! A bundle that is one tar, in a file or as a stream.
//!
//! The order is the law of a tar (SPEC M70): `BUNDLE`, signatures by name, the other head files, then content in the
//! order of the manifest, strictly ascending. So a reader knows what a file must be before its first byte, and two
//! files of one name cannot be. What stands out of order, or has a name that nothing in a bundle has, is told and
//! passed by.
//!
//! - [`header`] is one header as bytes, [`members`] goes from one to the next and says where a tar is broken
//! - [`file`](mod@file) reads any file of the tar at any time, [`stream`] each one as it comes by
//!
//! A volume is such a tar with a part of the content: the same order, the same headers, the same head files. Nothing
//! in here asks whether the content is all there; that is for whoever holds the manifest against it. Volumes will be a
//! carrier of their own beside this one, over several [`Tar`]s.

pub(crate) mod header;

mod file;
mod members;
mod stream;
#[cfg(test)]
mod tests;

pub use file::Tar;
pub use stream::TarStream;

use super::{Delivered, What};
use members::{Input, Members};
use modferry_format::BundlePath;
use modferry_format::check::MAX_FINDINGS;
use modferry_format::finding::{Finding, FindingKind};
use modferry_format::root::{BUNDLE, HeadFile, MAX_BUNDLE_BYTES, MAX_SIGNATURE_BYTES, is_signature_name};
use std::cmp::Ordering;
use std::io;

/// Most signatures in one tar; a bundle has one for each signer.
const MAX_SIGNATURES: usize = 64;

/// A file of the tar that stands in its place.
enum Item {
    /// Before the content, with its size in bytes.
    Head(String, u64),
    /// In the content.
    Content(String, u64),
}

/// The files of a tar that stand in their places; the rest is told.
#[derive(Clone)]
struct Items<I> {
    members: Members<I>,
    last: Option<Place>,
    signatures: usize,
    found: Vec<Finding>,
}

impl<I: Input> Items<I> {
    fn new(input: I) -> Self {
        Self { members: Members::new(input), last: None, signatures: 0, found: Vec::new() }
    }

    /// The next file; none at the end, and none where the tar is broken.
    fn next(&mut self) -> Option<Item> {
        loop {
            let member = self.members.next()?;
            let Some(place) = Place::of(&member.path) else {
                let path = if member.path.is_empty() { "(without a name)" } else { &member.path };
                self.find(path, FindingKind::Extra, "no file of a bundle has this name".to_owned());
                continue;
            };
            match self.last.as_ref().map(|last| place.cmp(last)) {
                None | Some(Ordering::Greater) => {}
                Some(Ordering::Equal) => {
                    self.find(&member.path, FindingKind::Carrier, "stands in the tar twice".to_owned());
                    continue;
                }
                Some(Ordering::Less) => {
                    let last = self.last.as_ref().map_or("", |last| &last.path);
                    let reason = format!("stands behind {last}: out of order, or for a second time");
                    self.find(&member.path, FindingKind::Carrier, reason);
                    continue;
                }
            }
            let rank = place.rank;
            self.last = Some(place);
            if rank == Place::SIGNATURE {
                self.signatures += 1;
                if self.signatures == MAX_SIGNATURES + 1 {
                    let reason =
                        format!("more than {MAX_SIGNATURES} signatures; this one and those behind it are left out");
                    self.find(&member.path, FindingKind::Carrier, reason);
                }
                if self.signatures > MAX_SIGNATURES {
                    continue;
                }
            }
            return Some(match rank {
                Place::CONTENT => Item::Content(member.path, member.size),
                _ => Item::Head(member.path, member.size),
            });
        }
    }

    fn find(&mut self, subject: &str, kind: FindingKind, detail: String) {
        if self.found.len() < MAX_FINDINGS {
            self.found.push(Finding::new(subject, kind, detail));
        }
    }

    /// What comes last where the tar of this name is broken.
    fn lost(&self, name: &str) -> Option<Delivered> {
        let reason = self.members.broken()?;
        Some(Delivered { path: name.to_owned(), what: What::Unreadable(io::Error::other(reason.to_owned())) })
    }

    /// What was wrong so far with the tar of this name.
    fn findings(&self, name: &str) -> Vec<Finding> {
        let mut findings = self.found.clone();
        let form = self.members.form().finding();
        findings.extend(form.map(|detail| Finding::new(name, FindingKind::CarrierForm, detail)));
        let kind = if self.members.has_failed() { FindingKind::Unreadable } else { FindingKind::Carrier };
        let broken = self.members.broken();
        findings.extend(broken.map(|reason| Finding::new(name, kind, format!("{reason}; nothing after that is read"))));
        findings
    }
}

/// Where a file stands among the others.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    rank: usize,
    path: String,
}

impl Place {
    const SIGNATURE: usize = 1;
    const CONTENT: usize = 2 + HeadFile::ALL.len();

    /// None for what is no file of a bundle.
    fn of(path: &str) -> Option<Self> {
        let rank = if path == BUNDLE {
            0
        } else if is_signature_name(path) {
            Self::SIGNATURE
        } else if let Some(file) = head_file(path) {
            2 + file as usize
        } else if path.parse::<BundlePath>().is_ok() {
            Self::CONTENT
        } else {
            return None;
        };
        Some(Self { rank, path: path.to_owned() })
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank).then_with(|| match self.rank {
            Self::CONTENT => BundlePath::order(&self.path, &other.path),
            _ => self.path.cmp(&other.path),
        })
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn head_file(name: &str) -> Option<HeadFile> {
    HeadFile::ALL.into_iter().find(|file| file.name() == name)
}

/// Most bytes that are read of a file before the content.
fn max_head_bytes(name: &str) -> u64 {
    match head_file(name) {
        Some(file) => file.max_bytes(),
        None if name == BUNDLE => MAX_BUNDLE_BYTES,
        None => MAX_SIGNATURE_BYTES,
    }
}
