//! What the user names as roots: arguments and lists of them, understood but not looked up yet.

use crate::bundle::exact;
use crate::error::{Error, ErrorKind, Result};
use modferry_format::ModulePath;
use modferry_format::header::RootKind;
use std::fs;
use std::path::{Path, PathBuf};

/// Largest list of roots that is read, in bytes.
const MAX_LIST_BYTES: u64 = 1 << 20;

/// Most modules that a hint names.
const MAX_NAMED: usize = 5;

/// One argument, understood but not looked up yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// A directory with a go.mod.
    Directory(PathBuf),
    /// A directory with a go.work, or the file.
    Workspace(PathBuf),
    /// A go.mod file alone.
    GoModFile(PathBuf),
    /// A file that names exact versions: a go.sum, a program, a software bill of materials.
    Exact(RootKind, PathBuf),
    /// A program, `package@version` or `package@query`.
    Tool {
        /// The package.
        package: String,
        /// A version, or what `go` makes one of.
        query: String,
    },
    /// `path@version` or `path@query`.
    Version {
        /// The module.
        module: ModulePath,
        /// A version, or what `go` makes one of: `latest`, `v1`, a branch, a hash.
        query: String,
    },
}

impl Request {
    /// Reads the arguments; relative paths start at `current`.
    pub(crate) fn parse_all(arguments: &[String], current: &Path) -> Result<Vec<Self>> {
        let mut requests = Vec::new();
        for argument in arguments {
            if argument.is_empty() || argument == "@" {
                return Err(Error::new(ErrorKind::Usage, format!("{argument:?}: is no root")));
            }
            match argument.strip_prefix('@') {
                Some(file) => requests.extend(Self::parse_list(&current.join(file))?),
                None => requests.push(Self::parse(argument, current)?),
            }
        }
        if requests.is_empty() {
            requests.push(Self::parse(".", current)?);
        }
        Ok(requests)
    }

    /// Reads `PACKAGE@VERSION`, a tool.
    pub(crate) fn tool(argument: &str) -> Result<Self> {
        match argument.rsplit_once('@') {
            Some((package, query)) if !package.is_empty() && !query.is_empty() => {
                Ok(Self::Tool { package: package.to_owned(), query: query.to_owned() })
            }
            _ => Err(Error::new(ErrorKind::Usage, format!("--tool {argument}: is no package at a version"))
                .hint("such as golang.org/x/tools/gopls@latest: what go install takes")),
        }
    }

    /// Reads a file with one root per line; `#` begins a comment, relative paths start at the file's directory.
    fn parse_list(file: &Path) -> Result<Vec<Self>> {
        let failed = |error: &std::io::Error| Error::io(file, "the list of roots could not be read", error);
        let size =
            fs::metadata(file).map_err(|error| failed(&error).hint("@FILE names a file with one root per line"))?.len();
        if size > MAX_LIST_BYTES {
            return Err(Error::new(ErrorKind::Usage, format!("{}: a list of roots has at most 1 MiB", file.display())));
        }
        let text = fs::read_to_string(file).map_err(|error| failed(&error))?;
        let current = file.parent().unwrap_or(Path::new("."));
        let mut requests = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let root = line.split('#').next().unwrap_or_default().trim();
            if root.is_empty() {
                continue;
            }
            if root.starts_with('@') {
                let place = format!("{}:{}", file.display(), number + 1);
                return Err(Error::new(ErrorKind::Usage, format!("{place}: a list of roots cannot name another list")));
            }
            requests.push(Self::parse(root, current)?);
        }
        if requests.is_empty() {
            return Err(Error::new(ErrorKind::Usage, format!("{}: names no root", file.display())));
        }
        Ok(requests)
    }

    fn parse(argument: &str, current: &Path) -> Result<Self> {
        // Without the `.` of `app/.`: messages show it.
        let path: PathBuf = current.join(argument).components().collect();
        let root_error = |message: &str| Error::new(ErrorKind::Root, format!("{argument}: {message}"));
        match fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => Self::directory(argument, path),
            Ok(_) if path.extension().is_some_and(|extension| extension == "mod") => Ok(Self::GoModFile(path)),
            Ok(_) if path.file_name().is_some_and(|name| name == "go.work") => Ok(Self::Workspace(path)),
            Ok(_) => match exact::recognise(&path)? {
                Some(kind) => Ok(Self::Exact(kind, path)),
                None => Err(root_error("is neither a go.mod or go.work file nor one that names exact versions")
                    .hint("a root is a directory with a go.mod or go.work, one of these files, MODULE@VERSION or @FILE with one of these per line; exact versions are named by a go.sum, a program built by go, an SBOM in JSON")),
            },
            Err(_) => match argument.rsplit_once('@') {
                Some((module, query)) if !query.is_empty() => {
                    let module = module.parse().map_err(|invalid| {
                        Error::new(ErrorKind::Root, format!("{argument}: not a module at a version")).because(format!("{invalid}"))
                    })?;
                    Ok(Self::Version { module, query: query.to_owned() })
                }
                _ => Err(root_error("no such file or directory")
                    .hint("for a module from upstream write MODULE@VERSION or MODULE@latest")),
            },
        }
    }

    fn directory(argument: &str, path: PathBuf) -> Result<Self> {
        if path.join("go.mod").is_file() {
            return Ok(Self::Directory(path));
        }
        if path.join("go.work").is_file() {
            return Ok(Self::Workspace(path.join("go.work")));
        }
        let error = Error::new(ErrorKind::Root, format!("{argument}: has no go.mod and no go.work"));
        let absolute = std::path::absolute(&path).unwrap_or(path);
        Err(match absolute.ancestors().skip(1).find(|parent| parent.join("go.mod").is_file()) {
            Some(parent) => error.hint(format!("the module that it belongs to is {}", parent.display())),
            None => match modules_below(&absolute)[..] {
                [] => error.hint("name a directory with a go.mod, or make one: go mod init MODULE"),
                ref below => error.hint(format!("there are modules below it: {}; name them", below.join(" "))),
            },
        })
    }

    /// How messages name it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Directory(path) | Self::GoModFile(path) | Self::Workspace(path) | Self::Exact(_, path) => {
                path.display().to_string()
            }
            Self::Version { module, query } => format!("{module}@{query}"),
            Self::Tool { package, query } => format!("{package}@{query}"),
        }
    }

    /// The directory in which `go env` is asked; none for what comes from upstream.
    pub(crate) fn directory_of(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) => Some(path),
            Self::GoModFile(path) | Self::Workspace(path) => path.parent(),
            Self::Version { .. } | Self::Tool { .. } | Self::Exact(..) => None,
        }
    }

    /// Whether it names all its versions itself, so that nothing has to be resolved.
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(..))
    }
}

/// Directories with a go.mod just below one.
fn modules_below(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let below = entries.filter(|entry| entry.path().join("go.mod").is_file());
    let mut below: Vec<String> = below.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    below.sort();
    below.truncate(MAX_NAMED);
    below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_path_and_has_an_at_is_a_version() {
        let dir = tempfile::tempdir().unwrap();
        let request = Request::parse("rsc.io/quote@latest", dir.path()).unwrap();
        assert_eq!(request, Request::Version { module: "rsc.io/quote".parse().unwrap(), query: "latest".into() });
        assert_eq!(Request::parse("nowhere", dir.path()).unwrap_err().kind, ErrorKind::Root);
    }
}
