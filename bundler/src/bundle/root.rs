//! What the user wants to work inside, with a scratch copy of its go.mod.

use crate::bundle::go_mod_json::{GoModJson, NameJson, ReplaceJson, sorted};
use crate::bundle::resolve::Resolver;
use crate::bundle::surroundings;
use crate::error::{Error, ErrorKind, Result, Warning};
use crate::go_command::{Go, version_numbers};
use crate::module_cache;
use crate::skeleton;
use modferry_format::ModuleVersion;
use modferry_format::go_sum::{self, GoSum};
use modferry_format::header::{Level, Local, Root as HeaderRoot, RootKind};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The first go line with a pruned graph, and the first go with `tool` lines, as [`version_numbers`] has them.
const PRUNED: (u32, u32, i64) = (1, 17, -1);
const TOOL_LINES: (u32, u32, i64) = (1, 24, -1);

/// Where the packages of a root are.
#[derive(Debug, Clone)]
enum Packages {
    /// It has none: a go.mod alone.
    None,
    /// In a directory of the user, or in the child's module cache.
    In(PathBuf),
    /// In the scratch directory, where they were made.
    Made,
}

/// A root with everything that the resolution needs.
pub(crate) struct Root {
    /// How messages name it.
    pub(crate) name: String,
    /// What goes into bundle.json.
    pub(crate) header: HeaderRoot,
    /// A directory with a copy of the go.mod, replacements by directories made absolute, and no go.sum.
    pub(crate) scratch: PathBuf,
    /// The copy as it was made; go may rewrite the file.
    pub(crate) go_mod: Vec<u8>,
    /// Whether a requirement is a query.
    pub(crate) has_queries: bool,
    /// Paths of the requirements.
    pub(crate) required: BTreeSet<String>,
    /// Paths of those that are the root's own, in the order of the file.
    pub(crate) direct: Vec<String>,
    /// Paths of all modules of its build list, once it is resolved.
    pub(crate) paths: BTreeSet<String>,
    /// The selected versions of those that nothing replaces.
    pub(crate) selected: BTreeSet<ModuleVersion>,
    /// Replacements by directories that are not there, as `old by directory`: nobody may need them.
    lost: Vec<String>,
    packages: Packages,
    is_copied: Cell<bool>,
    /// Directories below it that go passes over.
    pub(crate) ignored: Vec<String>,
    /// What the project has written down.
    pub(crate) go_sum: GoSum,
}

impl Root {
    fn new(name: String, header: HeaderRoot, json: &GoModJson, scratch: PathBuf, packages: Packages) -> Result<Self> {
        let go_mod = read(&scratch.join("go.mod"))?;
        Ok(Self {
            name,
            header,
            go_mod,
            has_queries: json.has_queries(),
            required: json.requires().map(|require| require.path.clone()).collect(),
            direct: json.requires().filter(|require| !require.indirect).map(|require| require.path.clone()).collect(),
            paths: BTreeSet::new(),
            selected: BTreeSet::new(),
            lost: Vec::new(),
            packages,
            is_copied: Cell::new(false),
            ignored: json.ignore.iter().flatten().map(|line| line.path.clone()).collect(),
            go_sum: GoSum::default(),
            scratch,
        })
    }

    /// Copies the go.mod of a directory, or a go.mod file, into `scratch`.
    pub(crate) fn local(
        kind: RootKind,
        level: Level,
        file: &Path,
        scratch: PathBuf,
        go: &Go,
    ) -> Result<(Self, Vec<Warning>)> {
        let directory = file.parent().unwrap_or(Path::new("."));
        let name = if kind == RootKind::Module { directory } else { file }.display().to_string();
        let (json, local) = copy_go_mod(file, &scratch, &name, &BTreeMap::new(), go)?;
        let sum_file = file.with_extension("sum");
        let go_sum = if sum_file.is_file() { read_go_sum(&sum_file)? } else { GoSum::default() };
        let has_sources = kind == RootKind::Module;
        let mut warnings = if has_sources { surroundings::warnings_about(directory, &name) } else { Vec::new() };
        warnings.extend(has_sources.then(|| json.sums_lacking(&go_sum, &name)).flatten());
        let packages = if has_sources { Packages::In(directory.to_owned()) } else { Packages::None };
        let header = HeaderRoot { local, ..header_root(kind, level, &json, None) };
        let is_lost = |replace: &&ReplaceJson| !directory.join(&replace.new.path).join("go.mod").is_file();
        let lost = json.local().filter(is_lost);
        let lost = lost.map(|replace| format!("{} by {}", replace.old.text(), replace.new.path)).collect();
        Ok((Self { lost, go_sum, ..Self::new(name, header, &json, scratch, packages)? }, warnings))
    }

    /// Writes a go.mod that requires one module version, and a package that imports all of its own: its life as a
    /// dependency.
    pub(crate) fn dependency(
        version: &ModuleVersion,
        level: Level,
        scratch: PathBuf,
        resolver: &Resolver<'_>,
    ) -> Result<Self> {
        let go = resolver.plain;
        let name = version.to_string();
        let text = scratch_go_mod(go, &format!("\nrequire {} {}\n", version.path(), version.version()));
        write(&scratch.join("go.mod"), text.as_bytes())?;
        let packages = resolver.importable(version, &scratch)?;
        let header = HeaderRoot::version(RootKind::Version, level, version);
        if packages.is_empty() {
            let json = GoModJson::read(go, &scratch.join("go.mod"), &name)?;
            return Self::new(name, header, &json, scratch, Packages::None);
        }
        let imports: String = packages.iter().map(|package| format!("import _ \"{package}\"\n")).collect();
        write(&scratch.join("imports.go"), format!("package scratch\n\n{imports}").as_bytes())?;
        write(&scratch.join("go.mod"), text.as_bytes())?;
        // What it requires of others stands in a go.mod that go has tidied, as it will in that of whoever takes it.
        let tidied = go.run(&scratch, &["mod", "tidy", "-e"], &mut || {})?;
        let json = GoModJson::read(go, &scratch.join("go.mod"), &name)?;
        let is_kept = json.requires().any(|require| require.text() == name);
        if tidied.status.success() && is_kept {
            return Self::new(name, header, &json, scratch, Packages::Made);
        }
        write(&scratch.join("go.mod"), text.as_bytes())?;
        let json = GoModJson::read(go, &scratch.join("go.mod"), &name)?;
        Self::new(name, header, &json, scratch, Packages::Made)
    }

    /// Makes a module of its own that has a program as its tool.
    pub(crate) fn tool(package: &str, query: &str, level: Level, scratch: PathBuf, go: &Go) -> Result<Self> {
        let name = format!("{package}@{query}");
        write(&scratch.join("go.mod"), scratch_go_mod(go, "").as_bytes())?;
        let knows_tools = version_numbers(go.version()) >= TOOL_LINES || go.version().starts_with("devel");
        let get: &[&str] = if knows_tools { &["get", "-tool", &name] } else { &["get", &name] };
        go.must(&scratch, get, &name)?;
        if !knows_tools {
            let text = format!("//go:build tools\n\npackage scratch\n\nimport _ \"{package}\"\n");
            write(&scratch.join("tools.go"), text.as_bytes())?;
        }
        let arguments = ["list", "-f", "{{with .Module}}{{.Path}}@{{.Version}}{{end}}", package];
        let printed = go.must(&scratch, &arguments, &name)?.stdout;
        let version: ModuleVersion = String::from_utf8_lossy(&printed).trim().parse().map_err(|invalid| {
            Error::new(ErrorKind::GoFailed, format!("{name}: go names no module of it")).because(format!("{invalid}"))
        })?;
        let json = GoModJson::read(go, &scratch.join("go.mod"), &name)?;
        let header =
            HeaderRoot { package: Some(package.to_owned()), ..HeaderRoot::version(RootKind::Tool, level, &version) };
        Self::new(name, header, &json, scratch, Packages::Made)
    }

    /// Copies the go.mod of a module version: its life as the main module.
    pub(crate) fn main_module(
        version: &ModuleVersion,
        level: Level,
        go_mod: &Path,
        scratch: PathBuf,
        resolver: &Resolver<'_>,
    ) -> Result<Self> {
        let go = resolver.plain;
        let name = version.to_string();
        write(&scratch.join("go.mod"), &read(go_mod)?)?;
        let json = GoModJson::read(go, &scratch.join("go.mod"), &name)?;
        check_go_line(&json.go, go, &name)?;
        let packages = Packages::In(module_cache::extracted_dir(resolver.module_cache, version));
        let header = header_root(RootKind::Version, level, &json, Some(version));
        Self::new(name, header, &json, scratch, packages)
    }

    /// Whether go leaves requirements of requirements out of its graph: since go 1.17.
    pub(crate) fn is_pruned(&self) -> bool {
        version_numbers(&self.header.go) >= PRUNED || matches!(self.packages, Packages::Made)
    }

    /// Whether an older go may be asked to take it, and sees more of the graph then.
    pub(crate) fn has_older_view(&self) -> bool {
        let (major, minor, _) = version_numbers(&self.header.go);
        ((1, 17)..=(1, 20)).contains(&(major, minor))
    }

    /// The error of go, told of the replacement that it is about.
    pub(crate) fn explained(&self, error: Error) -> Error {
        let (ErrorKind::ReplacementMissing, Some(lost)) = (error.kind, self.lost.first()) else { return error };
        Error { message: format!("{}: go.mod replaces {lost}, where no go.mod is", self.name), ..error }
    }

    /// Whether it has packages that go can load.
    pub(crate) fn has_packages(&self) -> bool {
        !matches!(self.packages, Packages::None)
    }

    /// Whether it is the user's own project, of which the user can change something.
    pub(crate) fn is_of_user(&self) -> bool {
        self.header.kind == RootKind::Module
    }

    /// The user's own sources.
    pub(crate) fn sources(&self) -> Option<&Path> {
        match &self.packages {
            Packages::In(directory) if self.is_of_user() => Some(directory),
            _ => None,
        }
    }

    /// Brings the heads of its Go files into the scratch directory, once.
    pub(crate) fn copy_packages(&self, resolver: &Resolver<'_>) -> Result<()> {
        let Packages::In(directory) = &self.packages else { return Ok(()) };
        if self.is_copied.replace(true) {
            return Ok(());
        }
        let is_empty = || fs::read_dir(directory).map_or(true, |mut entries| entries.next().is_none());
        if self.header.kind == RootKind::Version && is_empty() {
            // What stands for an unpacked module is in the way of one.
            let _ = fs::remove_dir(directory);
            resolver.plain.must(&self.scratch, &["mod", "download", &self.name], &self.name)?;
        }
        skeleton::copy(directory, &self.scratch)
    }

    /// Puts the copy of the go.mod back as it was made: `-mod=mod` lets go rewrite it, and the next command must see
    /// what the user's go sees.
    pub(crate) fn restore(&self) -> Result<()> {
        self.put(&self.go_mod)
    }

    /// Makes the copy of the go.mod this one.
    pub(crate) fn put(&self, go_mod: &[u8]) -> Result<()> {
        write(&self.scratch.join("go.mod"), go_mod)
    }

    /// The copy of the go.mod as go has left it.
    pub(crate) fn current(&self) -> Result<Vec<u8>> {
        read(&self.scratch.join("go.mod"))
    }
}

/// The go.mod of a module of ours. Its go line is the newest that this go knows: no dependency may ask for more, and any since
/// 1.17 prunes alike.
fn scratch_go_mod(go: &Go, rest: &str) -> String {
    format!("module modferry.invalid/scratch\n\ngo {}\n{rest}", go.version().trim_start_matches("go"))
}

/// Copies a go.mod into a directory with its replacements by directories made absolute; `moved` are directories that have a
/// copy. Gives what stands in it, and what bundle.json says of those directories.
pub(crate) fn copy_go_mod(
    file: &Path,
    to: &Path,
    name: &str,
    moved: &BTreeMap<PathBuf, PathBuf>,
    go: &Go,
) -> Result<(GoModJson, Vec<Local>)> {
    let directory = file.parent().unwrap_or(Path::new("."));
    write(&to.join("go.mod"), &read(file)?)?;
    // The user's own file, which is only read, so that an error in it names its place.
    let json = GoModJson::read(go, &absolute(file)?, name)?;
    check_go_line(&json.go, go, name)?;
    let mut local = Vec::new();
    for replace in json.local() {
        let target = absolute(&directory.join(&replace.new.path))?;
        let place = moved.get(&target).unwrap_or(&target);
        let edit = format!("-replace={}={}", replace.old.text(), place.display());
        go.must(to, &["mod", "edit", &edit], name)?;
        // One that is not there stops go only where the module is required.
        if target.join("go.mod").is_file() {
            local.push(GoModJson::read(go, &target.join("go.mod"), name)?.local_module(Some(replace.old.text())));
        }
    }
    local.sort();
    Ok((json, local))
}

/// The directory that a line of go.mod or go.work replaces a module by.
pub(crate) fn replaced_by(directory: &Path, replace: &ReplaceJson, file: &str, name: &str) -> Result<PathBuf> {
    // As go joins them: without a look at links.
    let target = absolute(&directory.join(&replace.new.path))?;
    if target.join("go.mod").is_file() {
        return Ok(target);
    }
    let message = format!("{name}: {file} replaces {} by {}, where no go.mod is", replace.old.text(), replace.new.path);
    Err(Error::new(ErrorKind::ReplacementMissing, message)
        .hint(format!("work from a whole checkout; the directories that a {file} names are not part of a bundle")))
}

/// A path from the root on, without `.` and `..` in it.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    let failed = |error: std::io::Error| Error::io(path, "could not be found", &error);
    let mut plain = PathBuf::new();
    for part in std::path::absolute(path).map_err(failed)?.components() {
        match part {
            std::path::Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    Ok(plain)
}

pub(crate) fn header_root(
    kind: RootKind,
    level: Level,
    json: &GoModJson,
    version: Option<&ModuleVersion>,
) -> HeaderRoot {
    let by_version = json.replaces().filter(|replace| !replace.new.version.is_empty());
    HeaderRoot {
        kind,
        level,
        module: json.path().to_owned(),
        version: version.map(|version| version.version().to_string()),
        go: json.go.clone(),
        requires: sorted(json.requires().map(NameJson::text)),
        replaces: sorted(by_version.map(|replace| format!("{} => {}", replace.old.text(), replace.new.text()))),
        local: Vec::new(),
        excludes: sorted(json.exclude.iter().flatten().map(NameJson::text)),
        package: None,
        platforms: Vec::new(),
    }
}

/// Whether the go line can be met; the child does not switch toolchains any more.
pub(crate) fn check_go_line(line: &str, go: &Go, name: &str) -> Result<()> {
    if line.is_empty() || version_numbers(line) <= version_numbers(go.version()) || go.version().starts_with("devel") {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::GoTooOld,
        format!("{name}: go.mod asks for go {line}, the go command here is {}", go.version()),
    )
    .hint(format!("install Go {line} or newer, or let it be fetched: --go {line}, or GOTOOLCHAIN=auto")))
}

pub(crate) fn read_go_sum(file: &Path) -> Result<GoSum> {
    let size = fs::metadata(file).map_err(|error| Error::io(file, "could not be read", &error))?.len();
    if size > go_sum::MAX_BYTES {
        return Err(Error::new(ErrorKind::Root, format!("{}: larger than 64 MiB", file.display())));
    }
    let text = fs::read_to_string(file).map_err(|error| Error::io(file, "could not be read", &error))?;
    GoSum::parse(&text).map_err(|invalid| {
        Error::new(ErrorKind::Root, format!("{}: could not be understood", file.display()))
            .because(invalid.to_string())
            .hint("go mod tidy writes it anew")
    })
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).map_err(|error| Error::io(file, "could not be read", &error))
}

pub(crate) fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(file, bytes).map_err(|error| Error::io(file, "could not be written", &error))
}
