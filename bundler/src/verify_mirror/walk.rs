//! Goes through a tree of the mirror, a directory at a time, and follows no link.

use super::Check;
use crate::beneath::Kind;
use crate::error::Result;
use modferry_format::finding::FindingKind;
use std::ffi::OsString;
use std::io;
use std::path::Path;

/// What is in a directory.
pub(super) type Entries = Vec<(String, Kind)>;

impl Check<'_> {
    /// Hands `top` and every directory below it to `visit`, with what is in it; the directories that are left in the
    /// list come next. Only the names of directories that wait are kept.
    pub(super) fn walk(&self, top: &str, mut visit: impl FnMut(&str, &mut Entries) -> Result<()>) -> Result<()> {
        let mut waiting = vec![top.to_owned()];
        while let Some(directory) = waiting.pop() {
            self.context.interrupt.check()?;
            let mut entries = self.entries(&directory);
            visit(&directory, &mut entries)?;
            let below = entries.into_iter().filter(|(_, kind)| *kind == Kind::Directory);
            waiting.extend(below.map(|(name, _)| format!("{directory}/{name}")));
        }
        Ok(())
    }

    /// What is in a directory; nothing for one that is gone. What cannot be read, or has a name that no file of ours
    /// can have, is a finding.
    pub(super) fn entries(&self, directory: &str) -> Entries {
        let named = |(name, kind): (OsString, Kind)| match name.into_string() {
            Ok(name) => Some((name, kind)),
            Err(name) => {
                self.stranger(&format!("{directory}/{}", name.display()), kind);
                None
            }
        };
        match self.files.entries(Path::new(directory)) {
            Ok(entries) => entries.into_iter().filter_map(named).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.findings.find(directory, FindingKind::Unreadable, error.to_string());
                Vec::new()
            }
        }
    }

    /// Reports what no import leaves under this name.
    pub(super) fn stranger(&self, path: &str, kind: Kind) {
        match kind {
            Kind::File(_) => self.findings.find(path, FindingKind::Extra, "no file of a mirror has this name"),
            Kind::Directory => self.findings.find(path, FindingKind::Extra, "no directory of a mirror has this name"),
            Kind::Other => self.not_a_file(path, kind),
        }
    }

    /// Reports what lies in the place of a file.
    pub(super) fn not_a_file(&self, path: &str, kind: Kind) {
        let is = if kind == Kind::Directory { "a directory" } else { "a link, a pipe or a device" };
        self.findings.find(path, FindingKind::NotAFile, format!("is {is}; only files lie here"));
    }
}
