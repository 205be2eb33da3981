//! Module versions made of a few lines of text, packed as `go` packs them.

use crate::raw_zip::{Entry, RawZip};
use crate::{Outcome, at};
use modferry_format::{ModuleVersion, info::Info};
use std::collections::BTreeMap;
use std::path::Path;

/// When every version was made that says nothing else; the same on each run, so hashes and bundles are too.
const TIME: &str = "2021-02-03T04:05:06Z";

/// One version of a module: its name and its files.
///
/// Without a go.mod among the files it is what `go` calls a module without go.mod: its `.mod` is made up.
#[derive(Debug, Clone)]
pub struct Module {
    version: ModuleVersion,
    files: BTreeMap<String, Vec<u8>>,
}

impl Module {
    /// The version `text`, such as `example.com/a@v1.0.0`, without files yet.
    pub fn new(text: &str) -> Outcome<Self> {
        let version = text.parse().map_err(|error| format!("{error}"))?;
        Ok(Self { version, files: BTreeMap::new() })
    }

    /// Adds or replaces a file; the name is relative to the module's root.
    #[must_use]
    pub fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(name.to_owned(), content.into());
        self
    }

    /// Its name.
    pub fn version(&self) -> &ModuleVersion {
        &self.version
    }

    /// The `.mod`: its go.mod, or the one line that Go makes up for a module that has none.
    pub fn go_mod(&self) -> Vec<u8> {
        self.files.get("go.mod").cloned().unwrap_or_else(|| synthetic_go_mod(&self.version))
    }

    /// The `.zip`, the same bytes on each run.
    pub fn zip(&self) -> Vec<u8> {
        let mut zip = RawZip::default();
        for (name, content) in &self.files {
            zip.entries.push(Entry::deflated(&format!("{}/{name}", self.version), content).with_descriptor());
        }
        zip.to_bytes()
    }
}

/// The go.mod of a module without one: `LegacyGoMod` of the go command.
pub fn synthetic_go_mod(version: &ModuleVersion) -> Vec<u8> {
    format!("module {}\n", version.path()).into_bytes()
}

/// The `.info` of a version: the time that its pseudo-version states, else always the same one.
pub fn info(version: &ModuleVersion) -> Outcome<Vec<u8>> {
    let time = match version.version().pseudo_timestamp() {
        Some(digits) => {
            let part = |range| digits.get(range).unwrap_or_default();
            let (date, clock) = ([part(0..4), part(4..6), part(6..8)], [part(8..10), part(10..12), part(12..14)]);
            format!("{}T{}Z", date.join("-"), clock.join(":"))
        }
        None => TIME.to_owned(),
    };
    let text = format!("{{\"Version\":\"{}\",\"Time\":\"{time}\"}}", version.version());
    let info = Info::from_upstream(text.as_bytes()).map_err(at(Path::new(&version.to_string())))?;
    Ok(info.to_canonical().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_same_bytes_each_time() {
        let module =
            || Module::new("example.com/a@v1.0.0").unwrap().file("b.go", "package b\n").file("a.go", "package b\n");
        assert_eq!(module().zip(), module().zip());
        assert_eq!(module().go_mod(), b"module example.com/a\n");
        assert_eq!(module().file("go.mod", "module x\n").go_mod(), b"module x\n");
        let info = |text: &str| String::from_utf8(info(&text.parse().unwrap()).unwrap()).unwrap();
        assert_eq!(info("example.com/a@v1.0.0"), r#"{"Version":"v1.0.0","Time":"2021-02-03T04:05:06Z"}"#);
        let pseudo = "example.com/a@v0.0.0-20200102030405-abcdefabcdef";
        assert!(info(pseudo).ends_with(r#""Time":"2020-01-02T03:04:05Z"}"#), "{}", info(pseudo));
    }
}
