//! What the user wants to work inside, with a scratch copy of its go.mod.

use crate::bundle::resolve::Resolver;
use crate::error::{Error, ErrorKind, Result, Warning};
use crate::go_command::{Go, version_numbers};
use crate::module_cache;
use modferry_format::go_sum::{self, GoSum, Subject};
use modferry_format::header::{Level, Local, Root as HeaderRoot, RootKind};
use modferry_format::{ModuleVersion, Version};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

/// A go.mod as `go mod edit -json` prints it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GoModJson {
    /// The main module.
    pub(crate) module: Option<NameJson>,
    /// The go line, empty if there is none.
    #[serde(default)]
    pub(crate) go: String,
    #[serde(default)]
    require: Option<Vec<NameJson>>,
    #[serde(default)]
    replace: Option<Vec<ReplaceJson>>,
    #[serde(default)]
    exclude: Option<Vec<NameJson>>,
    #[serde(default)]
    ignore: Option<Vec<IgnoreJson>>,
}

/// A module in such a go.mod.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NameJson {
    /// Module path, or the path of a directory.
    pub(crate) path: String,
    /// Empty where none is stated.
    #[serde(default)]
    pub(crate) version: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReplaceJson {
    old: NameJson,
    new: NameJson,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IgnoreJson {
    path: String,
}

impl NameJson {
    fn text(&self) -> String {
        if self.version.is_empty() { self.path.clone() } else { format!("{}@{}", self.path, self.version) }
    }
}

impl GoModJson {
    /// Reads a go.mod file with the go command.
    pub(crate) fn read(go: &Go, file: &Path, subject: &str) -> Result<Self> {
        let directory = file.parent().unwrap_or(Path::new("."));
        let name = file.to_string_lossy();
        let output = go.must(directory, &["mod", "edit", "-json", &name], subject)?;
        serde_json::from_slice(&output.stdout).map_err(|error| {
            Error::new(ErrorKind::GoFailed, format!("{subject}: go mod edit printed no JSON"))
                .because(error.to_string())
        })
    }

    /// The module path, empty where there is none.
    fn path(&self) -> &str {
        self.module.as_ref().map_or("", |module| module.path.as_str())
    }

    /// What bundle.json says of a module whose go.mod is in a directory.
    fn local_module(&self, replaces: Option<String>) -> Local {
        let requires = sorted(self.requires().map(NameJson::text));
        Local { module: self.path().to_owned(), replaces, go: self.go.clone(), requires }
    }

    /// Whether a requirement names a version that only upstream can resolve, such as a branch.
    pub(crate) fn has_queries(&self) -> bool {
        self.requires().any(|require| require.version.parse::<Version>().is_err())
    }

    /// A warning where go.sum does not cover the requirements: then go asks for them inside, before it builds.
    fn sums_lacking(&self, go_sum: &GoSum, name: &str) -> Option<Warning> {
        let versions = self.requires().filter_map(|require| self.replaced(require)?.parse().ok());
        let lacking: Vec<ModuleVersion> = versions
            .filter(|version: &ModuleVersion| go_sum.expected(&Subject::GoMod(version.clone())).is_empty())
            .collect();
        let first = lacking.first()?;
        let message = format!(
            "{name}: go.sum says nothing of {first}{}; go build will stop for it inside",
            match lacking.len() {
                1 => String::new(),
                more => format!(" and {} more of its requirements", more - 1),
            }
        );
        Some(Warning::new(message, Some("go mod tidy completes it, here or inside")))
    }

    fn requires(&self) -> impl Iterator<Item = &NameJson> {
        self.require.iter().flatten()
    }

    fn replaces(&self) -> impl Iterator<Item = &ReplaceJson> {
        self.replace.iter().flatten()
    }

    /// The replacements by directories.
    fn local(&self) -> impl Iterator<Item = &ReplaceJson> {
        self.replaces().filter(|replace| replace.new.version.is_empty())
    }

    /// What takes the place of a requirement, itself where nothing does; none for a directory.
    fn replaced(&self, require: &NameJson) -> Option<String> {
        let matching = |replace: &&ReplaceJson| {
            replace.old.path == require.path
                && (replace.old.version.is_empty() || replace.old.version == require.version)
        };
        // A replacement of one version goes before that of all versions.
        match self.replaces().filter(matching).max_by_key(|replace| !replace.old.version.is_empty()) {
            Some(replace) if replace.new.version.is_empty() => None,
            Some(replace) => Some(replace.new.text()),
            None => Some(require.text()),
        }
    }
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
    /// Where its packages are, for a root that has sources.
    pub(crate) sources: Option<PathBuf>,
    /// Directories below it that go passes over.
    pub(crate) ignored: Vec<String>,
    /// What the project has written down.
    pub(crate) go_sum: GoSum,
}

impl Root {
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
        let read = |file: &Path| fs::read(file).map_err(|error| Error::io(file, "could not be read", &error));
        let copy = scratch.join("go.mod");
        write(&copy, &read(file)?)?;
        // The user's own file, which is only read, so that an error in it names its place.
        let absolute = std::path::absolute(file).map_err(|error| Error::io(file, "could not be found", &error))?;
        let json = GoModJson::read(go, &absolute, &name)?;
        check_go_line(&json.go, go, &name)?;
        let mut local = Vec::new();
        for replace in json.local() {
            let target = directory.join(&replace.new.path);
            if !target.join("go.mod").is_file() {
                return Err(Error::new(
                    ErrorKind::ReplacementMissing,
                    format!(
                        "{name}: go.mod replaces {} by {}, where no go.mod is",
                        replace.old.text(),
                        replace.new.path
                    ),
                )
                .hint("work from a whole checkout; the directories that a go.mod names are not part of a bundle"));
            }
            let target =
                std::path::absolute(&target).map_err(|error| Error::io(&target, "could not be found", &error))?;
            let edit = format!("-replace={}={}", replace.old.text(), target.display());
            go.must(&scratch, &["mod", "edit", &edit], &name)?;
            local.push(GoModJson::read(go, &target.join("go.mod"), &name)?.local_module(Some(replace.old.text())));
        }
        let sum_file = file.with_extension("sum");
        let go_sum = if sum_file.is_file() { read_go_sum(&sum_file)? } else { GoSum::default() };
        let has_sources = kind == RootKind::Module;
        let mut warnings = if has_sources { warnings_about(directory, &name) } else { Vec::new() };
        warnings.extend(has_sources.then(|| json.sums_lacking(&go_sum, &name)).flatten());
        let root = Self {
            header: HeaderRoot { local: sorted(local.into_iter()), ..header_root(kind, level, &json, None) },
            go_mod: read(&copy)?,
            ignored: json.ignore.iter().flatten().map(|line| line.path.clone()).collect(),
            has_queries: json.has_queries(),
            sources: has_sources.then(|| directory.to_owned()),
            name,
            scratch,
            go_sum,
        };
        Ok((root, warnings))
    }

    /// Writes a go.mod that requires one module version: its life as a dependency.
    pub(crate) fn dependency(version: &ModuleVersion, level: Level, scratch: PathBuf, go: &Go) -> Result<Self> {
        // The newest language that this go knows: no dependency may ask for more, and any since 1.17 prunes alike.
        let language = go.version().trim_start_matches("go");
        let text = format!(
            "module modferry.invalid/scratch\n\ngo {language}\n\nrequire {} {}\n",
            version.path(),
            version.version()
        );
        write(&scratch.join("go.mod"), text.as_bytes())?;
        Ok(Self {
            name: version.to_string(),
            header: HeaderRoot::version(RootKind::Version, level, version),
            go_mod: text.into_bytes(),
            ignored: Vec::new(),
            has_queries: false,
            sources: None,
            go_sum: GoSum::default(),
            scratch,
        })
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
        let bytes = fs::read(go_mod).map_err(|error| Error::io(go_mod, "could not be read", &error))?;
        let copy = scratch.join("go.mod");
        write(&copy, &bytes)?;
        let json = GoModJson::read(go, &copy, &name)?;
        check_go_line(&json.go, go, &name)?;
        if let Some(replace) = json.local().next() {
            return Err(Error::new(
                ErrorKind::ReplacementMissing,
                format!("{name}: its go.mod replaces {} by the directory {}", replace.old.text(), replace.new.path),
            ));
        }
        Ok(Self {
            header: header_root(RootKind::Version, level, &json, Some(version)),
            go_mod: bytes,
            ignored: Vec::new(),
            has_queries: json.has_queries(),
            sources: Some(module_cache::extracted_dir(resolver.module_cache, version)),
            go_sum: GoSum::default(),
            name,
            scratch,
        })
    }

    /// Puts the copy of the go.mod back as it was made: `-mod=mod` lets go rewrite it, and the next command must see
    /// what the user's go sees.
    pub(crate) fn restore(&self) -> Result<()> {
        write(&self.scratch.join("go.mod"), &self.go_mod)
    }
}

fn header_root(kind: RootKind, level: Level, json: &GoModJson, version: Option<&ModuleVersion>) -> HeaderRoot {
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

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort();
    items
}

/// Whether the go line can be met; the child does not switch toolchains any more.
fn check_go_line(line: &str, go: &Go, name: &str) -> Result<()> {
    if line.is_empty() || version_numbers(line) <= version_numbers(go.version()) || go.version().starts_with("devel") {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::GoTooOld,
        format!("{name}: go.mod asks for go {line}, the go command here is {}", go.version()),
    )
    .hint(format!("install Go {line} or newer, or let it be fetched: --go {line}, or GOTOOLCHAIN=auto")))
}

fn read_go_sum(file: &Path) -> Result<GoSum> {
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

/// Names what in the directory will stop go inside, though it does not stop the bundle.
fn warnings_about(directory: &Path, name: &str) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |message: String, hint: &str| warnings.push(Warning::new(message, Some(hint)));
    if let Ok(text) = fs::read_to_string(directory.join("go.work")) {
        let others = members_of(&text).filter(|member| !matches!(member.as_str(), "." | "./")).count();
        if others > 0 && members_of(&text).all(|member| directory.join(member).join("go.mod").is_file()) {
            warn(
                format!("{name}: go.work is passed over: the bundle is for this module alone"),
                "name the other modules as further roots, and build inside with GOWORK=off",
            );
        }
        for member in members_of(&text).filter(|member| !directory.join(member).join("go.mod").is_file()) {
            warn(
                format!("{name}: go.work names {member}, where no go.mod is; go commands there will fail"),
                "a module zip carries the go.work of its repository but not the other modules: remove it, or set GOWORK=off",
            );
        }
    }
    let vendor = directory.join("vendor");
    let hint = "a module zip carries a stub of vendor: remove it, or build with -mod=mod";
    match fs::read_to_string(vendor.join("modules.txt")) {
        Ok(text) => {
            let mut packages = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
            if let Some(package) = packages.find(|package| !vendor.join(package).is_dir()) {
                warn(
                    format!(
                        "{name}: vendor does not have {package}, which its modules.txt names; go build there will fail"
                    ),
                    hint,
                );
            }
        }
        Err(_) if vendor.is_dir() => {
            warn(format!("{name}: vendor has no modules.txt; go build there will call it inconsistent"), hint);
        }
        Err(_) => {}
    }
    warnings
}

/// The directories of the `use` lines of a go.work.
fn members_of(go_work: &str) -> impl Iterator<Item = String> {
    let mut in_use = false;
    let lines = go_work.lines().map(|line| line.split("//").next().unwrap_or_default().trim().to_owned());
    lines.filter_map(move |line| {
        let quoted =
            |member: &str| Some(member.trim().trim_matches(['"', '`']).to_owned()).filter(|member| !member.is_empty());
        match line.as_str() {
            ")" => {
                in_use = false;
                None
            }
            member if in_use => quoted(member),
            line => match line.strip_prefix("use")?.trim_start() {
                "(" => {
                    in_use = true;
                    None
                }
                member if line.len() > "use".len() => quoted(member),
                _ => None,
            },
        }
    })
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(file, bytes).map_err(|error| Error::io(file, "could not be written", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_work_members_are_read_from_lines_and_blocks() {
        let text = "go 1.26\nuse ./a // one\nuse (\n\t./b\n\t\"./c d\"\n)\nreplace x => y\n";
        assert_eq!(members_of(text).collect::<Vec<_>>(), ["./a", "./b", "./c d"]);
    }
}
