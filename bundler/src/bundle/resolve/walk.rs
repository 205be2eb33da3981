//! Finds the zips that `go mod tidy` will ask for by following imports from file to file, and fetches them before it does.
//!
//! go finds them one after the other, with few workers, and unpacks each. Following imports takes nothing but the heads of files
//! that are there anyway. What is found here is a guess that go judges: what it does not need would only be too much, and what
//! was not found it fetches itself.
//!
//! As go loads packages (go-facts.md 3.1): a package is looked for in every selected module whose path begins its import path,
//! first among those that go.mod names, then in the whole graph; each of these needs its zip. Tests count of the packages that
//! the main module's own code leads to, not of those that only such tests lead to. Build tags and platforms do not count.

use super::got::is_of_module;
use super::{ModuleList, Resolver};
use crate::bundle::ahead::{Ahead, Trees};
use crate::bundle::imports;
use crate::bundle::root::Root;
use crate::error::Result;
use crate::go_source;
use crate::module_cache;
use modferry_format::ModuleVersion;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// Where the packages of a module are.
struct Place {
    directory: PathBuf,
    /// What it takes to have them; none for a directory of the user.
    version: Option<ModuleVersion>,
    /// Whether go.mod names it.
    is_named: bool,
}

/// An import path that is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    path: String,
    /// Whether the main module's own code leads to it, so that its tests count.
    is_in_all: bool,
}

struct Walk<'a> {
    modules: BTreeMap<&'a str, Place>,
    /// Those that could not be had.
    gone: BTreeSet<ModuleVersion>,
    seen: BTreeSet<Wanted>,
}

impl Resolver<'_> {
    /// Brings what loading the packages of a root will ask for, as far as it can be found out.
    pub(super) fn fetch_by_imports(&self, root: &Root, listed: &ModuleList) -> Result<()> {
        let Some(ahead) = self.ahead else { return Ok(()) };
        let mut walk = Walk { modules: self.places(root, listed)?, gone: BTreeSet::new(), seen: BTreeSet::new() };
        let mut queue: Vec<Wanted> = Vec::new();
        let entries = WalkDir::new(&root.scratch).into_iter();
        let entries = entries.filter_entry(|entry| imports::belongs(entry, &root.scratch, &root.ignored));
        for entry in entries.flatten().filter(|entry| entry.file_type().is_file()) {
            if entry.path().extension().is_some_and(|extension| extension == "go") {
                let imports = read(entry.path()).into_iter();
                queue.extend(imports.map(|path| Wanted { path, is_in_all: true }));
            }
        }
        // `go get` of a module loads the package at its root; those that are imported come first.
        queue.splice(0..0, root.required.iter().map(|path| Wanted { path: path.clone(), is_in_all: false }));
        loop {
            let (mut later, mut missing) = (Vec::new(), BTreeSet::new());
            while let Some(wanted) = queue.pop() {
                self.context.interrupt.check()?;
                walk.look(wanted, &mut queue, &mut later, &mut missing);
            }
            if missing.is_empty() {
                return Ok(());
            }
            self.bring(ahead, &mut walk, missing, root)?;
            queue = later;
        }
    }

    fn bring(
        &self,
        ahead: &Ahead<'_>,
        walk: &mut Walk<'_>,
        missing: BTreeSet<ModuleVersion>,
        root: &Root,
    ) -> Result<()> {
        let missing: Vec<ModuleVersion> = missing.into_iter().collect();
        ahead.fetch(&missing, self.sources, &root.go_sum, Trees::Heads)?;
        let is_gone = |version: &ModuleVersion| !module_cache::extracted_dir(self.module_cache, version).exists();
        walk.gone.extend(missing.into_iter().filter(is_gone));
        Ok(())
    }

    fn places<'a>(&self, root: &Root, listed: &'a ModuleList) -> Result<BTreeMap<&'a str, Place>> {
        let mut places = BTreeMap::new();
        for module in &listed.0 {
            let version = module.carried(&root.name).transpose()?;
            let directory = match (&version, &module.replace) {
                (Some(version), _) => module_cache::extracted_dir(self.module_cache, version),
                (None, Some(replace)) => PathBuf::from(&replace.path),
                (None, None) => root.scratch.clone(),
            };
            let is_named = module.main || root.required.contains(&module.path);
            places.insert(module.path.as_str(), Place { directory, version, is_named });
        }
        Ok(places)
    }
}

impl Walk<'_> {
    /// Looks at one import path: what it imports comes into `queue`; if modules are missing for it, it comes into `later`.
    fn look(
        &mut self,
        wanted: Wanted,
        queue: &mut Vec<Wanted>,
        later: &mut Vec<Wanted>,
        missing: &mut BTreeSet<ModuleVersion>,
    ) {
        let is_known =
            self.seen.contains(&wanted) || self.seen.contains(&Wanted { is_in_all: true, path: wanted.path.clone() });
        if !is_of_module(&wanted.path) || is_known {
            return;
        }
        for among_named in [true, false] {
            let mut packages = Vec::new();
            let mut lacking = Vec::new();
            for (path, place) in self.candidates(&wanted.path).filter(|(_, place)| place.is_named || !among_named) {
                match &place.version {
                    Some(version) if self.gone.contains(version) => {}
                    Some(version) if !place.directory.exists() => lacking.push(version.clone()),
                    // In a directory of the user, what has a go.mod of its own is another module.
                    None if is_nested(&place.directory, &wanted.path[path.len()..]) => {}
                    _ => packages.extend(package(&place.directory, &wanted.path[path.len()..])),
                }
            }
            if !lacking.is_empty() {
                missing.extend(lacking);
                later.push(wanted);
                return;
            }
            if !packages.is_empty() {
                for (imports, is_test) in packages.iter().filter(|(_, is_test)| wanted.is_in_all || !is_test) {
                    let is_in_all = wanted.is_in_all && !is_test;
                    queue.extend(imports.iter().map(|path| Wanted { path: path.clone(), is_in_all }));
                }
                break;
            }
        }
        self.seen.insert(wanted);
    }

    /// The modules whose path begins an import path.
    fn candidates<'b>(&'b self, import: &'b str) -> impl Iterator<Item = (&'b str, &'b Place)> {
        let ends = import.match_indices('/').map(|(end, _)| end).chain([import.len()]);
        ends.filter_map(|end| self.modules.get_key_value(&import[..end]).map(|(path, place)| (*path, place)))
    }
}

/// Whether a go.mod lies between a module and a package below it.
fn is_nested(directory: &Path, below: &str) -> bool {
    let package = directory.join(below.trim_start_matches('/'));
    package.ancestors().take_while(|folder| *folder != directory).any(|folder| folder.join("go.mod").is_file())
}

/// The imports of each file of a package, and whether it is a test.
pub(super) fn package(directory: &Path, below: &str) -> Vec<(Vec<String>, bool)> {
    let Ok(entries) = fs::read_dir(directory.join(below.trim_start_matches('/'))) else { return Vec::new() };
    let files = entries.flatten().filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_source = name.ends_with(".go") && !name.starts_with(['_', '.']);
        is_source.then(|| (read(&entry.path()), name.ends_with("_test.go")))
    });
    files.collect()
}

fn read(file: &Path) -> Vec<String> {
    fs::read(file).map(|bytes| go_source::imports(&bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, imports: &[&str]) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let imports: String = imports.iter().map(|import| format!("import \"{import}\"\n")).collect();
        fs::write(path, format!("package p\n{imports}")).unwrap();
    }

    #[test]
    fn follows_imports_as_go_loads_packages() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(root, "a/p.go", &["ex.org/b/q", "fmt"]);
        write(root, "a/p_test.go", &["ex.org/test/t"]);
        write(root, "b/q/q.go", &[]);
        write(root, "test/t/t.go", &["ex.org/deep"]);
        write(root, "test/t/t_test.go", &["ex.org/never"]);
        let version = |name: &str| format!("ex.org/{name}@v1.0.0").parse::<ModuleVersion>().unwrap();
        let place = |name: &str, is_named| Place { directory: root.join(name), version: Some(version(name)), is_named };
        let modules = BTreeMap::from([
            ("ex.org/a", place("a", true)),
            ("ex.org/b", place("b", true)),
            ("ex.org/b/q", place("bq", false)),
            ("ex.org/test", place("test", false)),
            ("ex.org/deep", place("deep", false)),
            ("ex.org/never", place("never", false)),
        ]);
        let mut walk = Walk { modules, gone: BTreeSet::new(), seen: BTreeSet::new() };
        let mut queue = vec![Wanted { path: "ex.org/a".into(), is_in_all: true }];
        let (mut later, mut missing) = (Vec::new(), BTreeSet::new());
        while let Some(wanted) = queue.pop() {
            walk.look(wanted, &mut queue, &mut later, &mut missing);
        }
        // `b/q` is a module of its own that go.mod does not name, so it is not looked at.
        assert_eq!(missing, BTreeSet::from([version("deep")]));
        assert_eq!(later, [Wanted { path: "ex.org/deep".into(), is_in_all: false }]);
    }
}
