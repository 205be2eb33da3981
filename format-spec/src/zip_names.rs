//! What a module zip may hold: the rules of `CheckZip` in golang.org/x/mod/zip (SPEC M61), and limits of our own.
//!
//! - every name begins with `MODULE@VERSION/`, and the rest is a clean relative path of allowed characters
//! - no two names are equal when letter case is ignored; none is a file and a directory at once
//! - `go.mod` stands at the root only and is spelled in lower case
//! - all contents together, and go.mod and LICENSE alone, have a largest size
//! - ours: a directory entry is empty and comes once; entries and names have a largest count and length

use crate::module_version::ModuleVersion;
use crate::names::{self, ElementOf};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

/// Largest module zip, in bytes: `MaxZipFile` of x/mod (SPEC M62).
pub const MAX_ZIP_BYTES: u64 = 500 << 20;
/// Largest sum of the uncompressed contents, in bytes: `MaxZipFile` again.
pub const MAX_CONTENT_BYTES: u64 = 500 << 20;
/// Largest go.mod, in bytes: `MaxGoMod` of x/mod.
pub const MAX_GO_MOD_BYTES: u64 = 16 << 20;
/// Largest LICENSE, in bytes: `MaxLICENSE` of x/mod.
pub const MAX_LICENSE_BYTES: u64 = 16 << 20;
/// Most entries. Ours: the largest public modules have below 100,000; the names are kept to find collisions.
pub const MAX_ENTRIES: usize = 500_000;
/// Most elements in the path of an entry. Ours: the deepest public modules have below 30; each folder is kept.
pub const MAX_DEPTH: usize = 256;
/// Longest sum of all names, in bytes. Ours, for the same reason.
pub const MAX_NAMES_BYTES: usize = 64 << 20;

/// Takes the names and sizes of a zip's entries one by one and refuses the first that breaks a rule.
pub struct ZipNames {
    prefix: String,
    entries: usize,
    names_bytes: usize,
    content_bytes: u64,
    seen: BTreeMap<Box<str>, Seen>,
}

struct Seen {
    /// The name itself where it differs from its folded form, the key.
    spelled: Option<Box<str>>,
    is: Is,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    File,
    /// A directory that has an entry of its own.
    Directory,
    /// A directory because something stands below it.
    Parent,
}

type Refusal = Cow<'static, str>;

impl ZipNames {
    /// For the zip of this version.
    pub fn new(version: &ModuleVersion) -> Self {
        Self { prefix: format!("{version}/"), entries: 0, names_bytes: 0, content_bytes: 0, seen: BTreeMap::new() }
    }

    /// Takes the next entry with its uncompressed size; the error is the reason alone.
    pub fn add(&mut self, name: &str, size: u64) -> Result<(), Refusal> {
        self.entries += 1;
        self.names_bytes += name.len();
        if self.entries > MAX_ENTRIES {
            return Err("more than 500,000 entries".into());
        }
        if self.names_bytes > MAX_NAMES_BYTES {
            return Err("names longer than 64 MiB together".into());
        }
        let Some(name) = name.strip_prefix(self.prefix.as_str()) else {
            return Err(format!("name does not begin with {:?}", self.prefix).into());
        };
        let (path, is) = match name.strip_suffix('/') {
            Some(directory) => (directory, Is::Directory),
            // The entry of the prefix itself, its slash stripped above.
            None if name.is_empty() => (name, Is::Directory),
            None => (name, Is::File),
        };
        if is == Is::Directory && size != 0 {
            return Err("a directory entry with content".into());
        }
        if !name.is_empty() {
            path.split('/').try_for_each(|element| names::check_element(element, ElementOf::FilePath))?;
        }
        self.occupy(path, is)?;
        if is == Is::Directory {
            return Ok(());
        }
        let base = path.rsplit('/').next().unwrap_or_default();
        if base.eq_ignore_ascii_case("go.mod") && path != "go.mod" {
            return Err("go.mod belongs to the root of the module, in lower case".into());
        }
        self.content_bytes = self.content_bytes.saturating_add(size);
        if self.content_bytes > MAX_CONTENT_BYTES {
            return Err("contents larger than 500 MiB together".into());
        }
        if path == "go.mod" && size > MAX_GO_MOD_BYTES {
            return Err("go.mod larger than 16 MiB".into());
        }
        if path == "LICENSE" && size > MAX_LICENSE_BYTES {
            return Err("LICENSE larger than 16 MiB".into());
        }
        Ok(())
    }

    /// Notes the path and its parents; refuses what is there already in another spelling or another role.
    fn occupy(&mut self, path: &str, is: Is) -> Result<(), Refusal> {
        if path.split('/').count() > MAX_DEPTH {
            return Err("more than 256 folders deep".into());
        }
        let (mut path, mut is) = (path, is);
        loop {
            let folded = fold(path);
            if let Some(seen) = self.seen.get_mut(folded.as_ref()) {
                let spelled = seen.spelled.as_deref().unwrap_or(folded.as_ref());
                if spelled != path {
                    return Err(format!("{spelled:?} and {path:?} differ in letter case only").into());
                }
                return match (seen.is, is) {
                    (Is::Parent, Is::Parent | Is::Directory) => {
                        seen.is = is;
                        Ok(())
                    }
                    (Is::Directory, Is::Parent) => Ok(()),
                    (Is::File, Is::File) | (Is::Directory, Is::Directory) => {
                        Err(format!("two entries for {path:?}").into())
                    }
                    _ => Err(format!("{path:?} is both a file and a directory").into()),
                };
            }
            let spelled = (folded != path).then(|| path.into());
            self.seen.insert(folded.as_ref().into(), Seen { spelled, is });
            // A parent that is known has known parents, so this ends early for all but the first file of a folder.
            match path.rsplit_once('/') {
                Some((parent, _)) => (path, is) = (parent, Is::Parent),
                None => return Ok(()),
            }
        }
    }
}

/// Unicode simple case folding, the relation of `unicode.SimpleFold` in Go.
fn fold(path: &str) -> Cow<'_, str> {
    if path.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        return Cow::Borrowed(path);
    }
    let simple =
        |c: char| unicode_case_mapping::case_folded(c).and_then(|code| char::from_u32(code.get())).unwrap_or(c);
    Cow::Owned(path.chars().map(simple).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_as_deep_as_a_name_can_be_is_refused_and_not_followed() {
        let version: ModuleVersion = "example.com/a@v1.0.0".parse().unwrap();
        let name = |depth: usize| format!("{version}/{}x", "a/".repeat(depth));
        assert!(ZipNames::new(&version).add(&name(30_000), 0).is_err());
        assert!(ZipNames::new(&version).add(&name(MAX_DEPTH - 1), 0).is_ok());
        assert!(ZipNames::new(&version).add(&name(MAX_DEPTH), 0).is_err());
    }
}
