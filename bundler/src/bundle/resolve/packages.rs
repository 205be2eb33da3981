//! Loads packages with go, which brings whatever zip a command of a developer asks for (closure.md 3 and 4):
//!
//! 1. `go mod tidy`: packages with their tests and the tests of what they import, for all platforms and build tags
//! 2. `go list -deps -test all`, where the first one has changed the go.mod or failed: the same as other commands see it, on
//!    this platform
//! 3. `go get` of every module that go.mod names, at its version, which loads the package at the root of each
//! 4. the module as the only one of a workspace, where go leaves no requirement out of the graph: `go list -deps -test ./...`,
//!    `go list -m all`, `go work sync`
//! 5. modules of go 1.17 to 1.20: `go mod tidy -compat=1.16` loads the graph that an older go sees; it may fail for reasons of
//!    its own
//!
//! What upstream refuses of it stops the bundle: inside, the same command would stop. A project whose packages do not load
//! for reasons of its own is carried as far as they do, with a warning.

use super::{Refused, Resolved, Resolver};
use crate::bundle::ahead::Trees;
use crate::bundle::root::Root;
use crate::error::{Error, ErrorKind, Result, Warning};
use crate::go_command::{self, Go};
use crate::go_source;
use crate::module_cache;
use modferry_format::ModuleVersion;
use modferry_format::go_sum::GoSum;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use walkdir::WalkDir;

/// How often a command is tried that fails for reasons that may pass.
const ATTEMPTS: u32 = 3;
/// What names one file of a version that was asked for.
const FILE_ENDINGS: [&str; 3] = [".zip: ", ".mod: ", ".info: "];

/// Modules that one `go get` is asked for: a command line has an end.
const AT_ONCE: usize = 500;

/// What is said of a command that fails for reasons of the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// A warning.
    Warning,
    /// Nothing: it is not the user's own, or has been said.
    Nothing,
}

impl Resolver<'_> {
    /// Level `build`: packages and their tests load.
    pub(super) fn prove_build(&self, root: &Root, resolved: &mut Resolved) -> Result<()> {
        root.copy_packages(self)?;
        self.judge(root, &resolved.refused)?;
        self.load(self.plain, root, &["list", "-deps", "-test", "./..."], said_of(root), resolved).map(drop)
    }

    /// Level `work`.
    pub(super) fn work(&self, root: &Root, resolved: &mut Resolved) -> Result<()> {
        root.copy_packages(self)?;
        self.judge(root, &resolved.refused)?;
        self.fetch_by_imports(root, &resolved.modules)?;
        let is_loaded = self.load(self.plain, root, &["mod", "tidy"], said_of(root), resolved)?;
        // With the same requirements it looks at fewer files in the same places, and is the slowest of these commands.
        if !is_loaded || root.current()? != root.go_mod {
            self.load(self.plain, root, &["list", "-deps", "-test", "all"], Said::Nothing, resolved)?;
        }
        self.got_again(root, resolved)?;
        self.alone_in_workspace(root, resolved)?;
        if root.has_older_view() {
            self.tidy(root, &["-compat=1.16"])?;
        }
        self.forget_fetched(&mut resolved.refused);
        Ok(())
    }

    /// What `go get` of a module asks for at the version that is there: the package at its root, whether it is imported or not.
    pub(super) fn got_again(&self, root: &Root, resolved: &mut Resolved) -> Result<()> {
        let named: Vec<String> = resolved
            .unreplaced()
            .iter()
            .filter(|version| root.required.contains(version.path().as_str()))
            .map(ToString::to_string)
            .collect();
        // Lists are those of the child's own cache: inside, too, nothing newer is listed, and nothing newer is looked at for a
        // retraction.
        let go = self.plain.with_sources(&vec![module_cache::download_dir(self.module_cache)]);
        for named in named.chunks(AT_ONCE) {
            let arguments: Vec<&str> = ["get"].into_iter().chain(named.iter().map(String::as_str)).collect();
            match self.load(&go, root, &arguments, Said::Nothing, resolved) {
                // Whoever tries that hears the same; the project does without.
                Err(error) if error.kind == ErrorKind::NotFound => {}
                loaded => drop(loaded?),
            }
        }
        Ok(())
    }

    /// Level `build` for some platforms alone: zips of what compiling and testing takes there, with and without cgo.
    pub(super) fn narrowed(&self, root: &Root) -> Result<Resolved> {
        let known = self.plain.must(&root.scratch, &["tool", "dist", "list"], &root.name)?.stdout;
        let known = String::from_utf8_lossy(&known).into_owned();
        if let Some(unknown) =
            root.header.platforms.iter().find(|platform| !known.lines().any(|line| line == *platform))
        {
            let message = format!("--platform {unknown}: {} has no such platform", self.plain.version());
            return Err(Error::new(ErrorKind::Usage, message).hint("go tool dist list names them"));
        }
        self.plain.must(&root.scratch, &["mod", "graph"], &root.name)?;
        let listed = self.list(self.plain, root)?;
        let selected = listed.versions(&root.name)?;
        let mut resolved = Resolved { paths: listed.paths(), ..Resolved::default() };
        root.copy_packages(self)?;
        for platform in &root.header.platforms {
            let (os, arch) = platform.split_once('/').unwrap_or((platform, ""));
            for cgo in [true, false] {
                let go = self.with_sources.for_platform(os, arch, cgo);
                self.load(&go, root, &["list", "-deps", "-test", "./..."], said_of(root), &mut resolved)?;
            }
        }
        let is_there = |version: &&_| module_cache::zip_file(self.module_cache, version).exists();
        resolved.named = selected.iter().filter(is_there).cloned().collect();
        resolved.selected = selected;
        root.restore()?;
        Ok(resolved)
    }

    /// The module as `go work init .` would have it.
    fn alone_in_workspace(&self, root: &Root, resolved: &mut Resolved) -> Result<()> {
        let go = self.plain.in_workspace(&self.own_workspace(root)?);
        for arguments in [&["list", "-deps", "-test", "./..."][..], &["list", "-m", "-json", "all"], &["work", "sync"]]
        {
            match self.load(&go, root, arguments, Said::Nothing, resolved) {
                // Nobody has asked for a workspace.
                Err(error) if error.kind == ErrorKind::NotFound => resolved.warnings.push(Warning::new(
                    format!("{}: in a workspace it would need what could not be fetched: {error}", root.name),
                    Some("go work init will not do inside"),
                )),
                Err(error) if error.kind == ErrorKind::HashConflict => {
                    self.leave_out(error, &root.scratch, &mut resolved.mismatched)?
                }
                loaded => drop(loaded?),
            }
        }
        Ok(())
    }

    /// What `go install` and `go run` of a program ask for outside of any module.
    pub(crate) fn installed(&self, program: &str, scratch: &Path) -> Result<Option<Warning>> {
        let go = self.with_sources.without_mod();
        let output = go.run(scratch, &["install", "-n", program], &mut || {})?;
        if output.status.success() {
            return Ok(None);
        }
        let error = go_command::explain(&format!("{program}: go install failed"), &output.stderr);
        let is_its_own = output.stderr.contains("directives") || output.stderr.contains("is not a main package");
        if !is_its_own && (is_refusal(&output.stderr) || error.kind != ErrorKind::GoFailed) {
            return Err(error);
        }
        let words = output.stderr.lines().find(|line| !line.starts_with("go: downloading ")).unwrap_or_default();
        let message = format!("{program}: go install and go run refuse it here, and will inside: {}", words.trim());
        Ok(Some(Warning::new(message, Some("go get -tool and go tool work; or bundle a checkout of its module"))))
    }

    /// The packages of a version that others can import, on whatever platform.
    pub(crate) fn importable(&self, version: &ModuleVersion, scratch: &Path) -> Result<Vec<String>> {
        let name = version.to_string();
        if let Some(ahead) = self.ahead {
            ahead.fetch(std::slice::from_ref(version), self.sources, &GoSum::default(), Trees::Heads)?;
        }
        self.with_sources.must(scratch, &["mod", "download", &name], &name)?;
        let tree = module_cache::extracted_dir(self.module_cache, version);
        let mut packages = BTreeSet::new();
        let walk = WalkDir::new(&tree).into_iter().filter_entry(|entry| {
            let name = entry.file_name().to_string_lossy();
            let is_closed = ["internal", "testdata", "vendor"].contains(&&*name) || name.starts_with(['.', '_']);
            entry.depth() == 0 || !entry.file_type().is_dir() || !is_closed
        });
        for entry in walk.flatten().filter(|entry| entry.file_type().is_file()) {
            let file = entry.file_name().to_string_lossy();
            if !file.ends_with(".go") || file.ends_with("_test.go") || file.starts_with(['.', '_']) {
                continue;
            }
            let bytes = fs::read(entry.path()).unwrap_or_default();
            if go_source::package(&bytes).is_some_and(|package| package != "main" && package != "documentation") {
                let below = entry.path().parent().and_then(|folder| folder.strip_prefix(&tree).ok());
                let below = below.map(|below| below.to_string_lossy().replace('\\', "/")).unwrap_or_default();
                let separator = if below.is_empty() { "" } else { "/" };
                packages.insert(format!("{}{separator}{below}", version.path()));
            }
        }
        Ok(packages.into_iter().collect())
    }

    /// Runs a command that loads packages, on the go.mod as it was made. Gives whether all of them load.
    pub(super) fn load(
        &self,
        go: &Go,
        root: &Root,
        arguments: &[&str],
        said: Said,
        resolved: &mut Resolved,
    ) -> Result<bool> {
        root.restore()?;
        let warning = self.load_in(go, &root.scratch, &root.name, arguments, &|| root.restore())?;
        let is_loaded = warning.is_none();
        resolved.warnings.extend(warning.filter(|_| said == Said::Warning));
        Ok(is_loaded)
    }

    /// The same in a directory; gives a warning where packages do not load for reasons of their own.
    pub(super) fn load_in(
        &self,
        go: &Go,
        dir: &Path,
        name: &str,
        arguments: &[&str],
        restore: &dyn Fn() -> Result<()>,
    ) -> Result<Option<Warning>> {
        let command = arguments.iter().take(3).copied().collect::<Vec<_>>().join(" ");
        let mut attempt = 1;
        let words = loop {
            let output = go.run(dir, arguments, &mut || {})?;
            if output.status.success() {
                return Ok(None);
            }
            let error = go_command::explain(&format!("{name}: go {command} failed"), &output.stderr);
            match error.kind {
                _ if is_about_packages(&output.stderr) => break output.stderr,
                ErrorKind::Network if attempt < ATTEMPTS => attempt += 1,
                ErrorKind::NotFound if !is_refusal(&output.stderr) => break output.stderr,
                ErrorKind::GoFailed => break output.stderr,
                _ => return Err(error),
            }
            restore()?;
        };
        // As far as it goes.
        if let [verb @ ("list" | "mod"), rest @ ..] = arguments {
            restore()?;
            let (sub, rest) = if *verb == "mod" { rest.split_at(1) } else { (&[][..], rest) };
            let output = go.run(dir, &[&[*verb], sub, &["-e"], rest].concat(), &mut || {})?;
            let error = go_command::explain(&format!("{name}: go {command} failed"), &output.stderr);
            if is_refusal(&output.stderr) || matches!(error.kind, ErrorKind::HashConflict | ErrorKind::NoSpace) {
                return Err(error);
            }
        }
        let first = first_of(&words);
        let message = format!("{name}: go {command} fails here, and will inside: {first}");
        Ok(Some(Warning::new(message, Some("what loads of it is carried; mend it and bundle again for the rest"))))
    }
}

/// The first thing that go said: a line, with those that go on from it.
fn first_of(words: &str) -> String {
    let is_talk = |line: &&str| line.starts_with("go: downloading ") || line.starts_with("go: finding ");
    let mut lines = words.lines().skip_while(is_talk);
    let mut first = lines.next().unwrap_or_default().trim().to_owned();
    for more in lines.take_while(|line| line.starts_with(['\t', ' '])) {
        first.push(' ');
        first.push_str(more.trim());
    }
    first
}

fn said_of(root: &Root) -> Said {
    if root.is_of_user() { Said::Warning } else { Said::Nothing }
}

/// Whether go could not read a file of a version that it knows.
pub(super) fn is_refusal(words: &str) -> bool {
    words.lines().any(|line| line.contains("/@v/") && FILE_ENDINGS.iter().any(|ending| line.contains(ending)))
}

/// Whether go has nothing against modules, but against imports.
fn is_about_packages(words: &str) -> bool {
    !is_refusal(words)
        && ["cannot find module providing package", "does not contain package", "no required module provides package"]
            .iter()
            .any(|sign| words.contains(sign))
}

/// The error for a zip that is needed and refused.
pub(super) fn refused_error(name: &str, refused: &Refused) -> Error {
    go_command::explain(
        &format!("{name}: {} could not be fetched, and packages need it", refused.version),
        &refused.words,
    )
}
