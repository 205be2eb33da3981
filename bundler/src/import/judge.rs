//! Compares what is staged with what is published, before anything is: the same identity in other bytes is kept, another
//! one is an incident that ends the import.

use super::databases;
use super::head::{Group, Head, LineNumber};
use super::plan::is_published;
use super::stage::{Fact, Facts, State};
use super::staged_file;
use super::verdict;
use crate::beneath::Kind;
use crate::carrier::Carrier;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::mirror::Mirror;
use modferry_format::ledger::{self, Ledger, Line};
use modferry_format::manifest::Entry;
use modferry_format::{BundleId, BundlePath, FileSha256, H1, ModulePath};
use modferry_prove::Prover;
use modferry_prove::tape;
use std::collections::BTreeMap;
use std::path::Path;

/// Incidents that an error names.
const MAX_CAUSES: usize = 10;

/// What a published file is, by its own bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) sha256: FileSha256,
    pub(crate) size: u64,
    pub(crate) h1: Option<H1>,
}

/// What the judge found beside incidents.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    /// Paths whose bytes in the mirror are others, of the same identity.
    pub(crate) kept: Vec<String>,
    /// Files that a killed import has published in other bytes, for the lines that the ledger still needs.
    pub(crate) unrecorded: BTreeMap<LineNumber, Identity>,
}

/// Judges everything that is staged.
pub(crate) fn judge(
    head: &Head,
    facts: &mut Facts,
    carrier: &dyn Carrier,
    mirror: &Mirror<'_>,
    context: &Context<'_>,
) -> Result<Judgement> {
    let mut judge = Judge { head, mirror, judgement: Judgement::default(), incidents: Vec::new(), count: 0 };
    head.groups(|group| {
        context.interrupt.check()?;
        match group {
            Group::Module(module, lines) => judge.module(module, lines, facts),
            Group::Other(number, entry) => judge.database_file(number, entry, facts),
        }
    })?;
    if judge.count == 0 {
        return Ok(judge.judgement);
    }
    let mut incidents = judge.incidents.into_iter();
    let message = format!("{}: {}", carrier.name(), incidents.next().unwrap_or_default());
    let error = incidents.fold(Error::new(ErrorKind::Incident, message), Error::because);
    let left = judge.count.saturating_sub(MAX_CAUSES);
    let error = if left > 0 { error.because(format!("and {left} more")) } else { error };
    Err(error.hint(
        "the same version with another content: one of the two was changed after it was published; nothing was imported, \
         find out which bundle is right",
    ))
}

struct Judge<'a> {
    head: &'a Head,
    mirror: &'a Mirror<'a>,
    judgement: Judgement,
    incidents: Vec<String>,
    count: usize,
}

impl Judge<'_> {
    fn module(&mut self, module: &ModulePath, lines: &[(LineNumber, Entry)], facts: &mut Facts) -> Result<()> {
        let ledger = self.mirror.ledger(module)?;
        let mut grown = 0;
        for (number, entry) in lines {
            let fact = facts.of(*number);
            let Some(name) = Ledger::name_of(&entry.path).filter(|_| is_published(&entry.path)) else { continue };
            let known = ledger.get(&name);
            if known.is_none() {
                grown += ledger_line(entry, fact, self.head.id, name).to_string().len() as u64 + 1;
            }
            if fact.state == State::Staged && !self.file(*number, entry, fact, known)? {
                facts.set(*number, Fact { state: State::Kept, ..fact });
            }
        }
        let size = ledger.to_string().len() as u64 + grown;
        if size > ledger::MAX_BYTES {
            let message =
                format!("{module}: its ledger would have {size} bytes, at most {} are allowed", ledger::MAX_BYTES);
            return Err(
                Error::new(ErrorKind::Unsupported, message).hint("a mirror holds some 100,000 versions of one module")
            );
        }
        Ok(())
    }

    /// A file of a checksum database: a lookup may carry another head, everything else has one content for ever.
    fn database_file(&self, number: LineNumber, entry: &Entry, facts: &mut Facts) -> Result<()> {
        let fact = facts.of(number);
        if !is_published(&entry.path) || fact.state != State::Staged {
            return Ok(());
        }
        let (durable, path) = (self.mirror.durable(), entry.path.to_string());
        let there = durable.files().kind(Path::new(&path));
        match there.map_err(|error| Error::io(&durable.full(Path::new(&path)), "could not be looked at", &error))? {
            None => return Ok(()),
            Some(Kind::File(_)) => {}
            Some(_) => return Err(durable.stranger(Path::new(&path), "is no file")),
        }
        if !databases::is_same(
            self.mirror,
            &self.head.header,
            &entry.path,
            &staged_file(&self.head.id, number, &entry.path),
        )? {
            // The bundle's is proven, and its log is the mirror's.
            return Err(verdict::damaged(self.mirror, &entry.path, "it is not what the log has under this name"));
        }
        facts.set(number, Fact { state: State::Kept, ..fact });
        Ok(())
    }

    /// Judges one staged file; whether it is to be published.
    fn file(&mut self, number: LineNumber, entry: &Entry, fact: Fact, known: Option<&Line>) -> Result<bool> {
        let path = entry.path.to_string();
        let (there, whence) = match known {
            // Lost from the mirror and brought again.
            Some(line) if line.sha256 == entry.sha256 => return Ok(true),
            Some(line) => {
                let there = Identity { sha256: line.sha256, size: line.size, h1: line.h1 };
                (there, format!("from bundle {}", line.bundle))
            }
            None => match self.mirror.durable().files().kind(Path::new(&path)) {
                Ok(Some(Kind::File(_))) => (
                    identity(self.mirror, &entry.path)?,
                    "from an import that was killed before it wrote its ledger (bundles/ has directories without done)"
                        .to_owned(),
                ),
                Ok(None) => return Ok(true),
                Ok(Some(_)) => return Err(self.mirror.durable().stranger(Path::new(&path), "is no file")),
                Err(error) => {
                    return Err(Error::io(
                        &self.mirror.durable().full(Path::new(&path)),
                        "could not be looked at",
                        &error,
                    ));
                }
            },
        };
        let same = match &entry.path {
            BundlePath::Zip(_) => there.h1.is_some() && there.h1 == fact.h1,
            // The version is in the name, and the rules have held the text to it when it came by a bundle. What no ledger
            // names may have come from anywhere.
            BundlePath::Info(_) => known.is_some() || there.sha256 == entry.sha256,
            _ => there.sha256 == entry.sha256,
        };
        if same {
            self.judgement.kept.push(path);
            if known.is_none() {
                self.judgement.unrecorded.insert(number, there);
            }
            return Ok(false);
        }
        self.count += 1;
        if self.incidents.len() <= MAX_CAUSES {
            let hash = |sha256: &FileSha256, h1: &Option<H1>| {
                h1.map_or_else(|| format!("sha256 {sha256}"), |h1| h1.to_string())
            };
            self.incidents.push(format!(
                "{path}: the mirror has {} {whence}, this bundle has {}",
                hash(&there.sha256, &there.h1),
                hash(&entry.sha256, &fact.h1)
            ));
        }
        Ok(false)
    }
}

/// The ledger's line for a file of this bundle.
pub(crate) fn ledger_line(entry: &Entry, fact: Fact, bundle: BundleId, name: String) -> Line {
    Line { sha256: entry.sha256, size: entry.size, h1: fact.h1, bundle, name }
}

/// What a published file is, by its own bytes.
fn identity(mirror: &Mirror<'_>, path: &BundlePath) -> Result<Identity> {
    let text = path.to_string();
    let read = || {
        let source = mirror.durable().files().open(Path::new(&text))?;
        let size = source.size();
        let (sha256, h1) = match path {
            BundlePath::Zip(version) => {
                let proof = Prover::default().prove(version, &source, size, None)?;
                (proof.sha256, proof.h1.ok())
            }
            BundlePath::Mod(_) => {
                let bytes = source.read_all(modferry_format::go_mod::MAX_BYTES)?;
                (FileSha256::of(&bytes), Some(H1::of_go_mod(&bytes)))
            }
            _ => (tape::hash(&source, size)?, None),
        };
        Ok(Identity { sha256, size, h1 })
    };
    let full = mirror.durable().full(Path::new(&text));
    read().map_err(|error: std::io::Error| Error::io(&full, "could not be read", &error))
}
