//! Which commands stand for what a level promises.

use super::copies::Tree;
use super::places::Places;
use super::project::Project;
use super::{Denied, Options, Plan, Step, Subject};
use crate::context::{Context, Event};
use crate::error::{Error, ErrorKind, Result};
use crate::go_command::{Settings, version_numbers};
use modferry_format::header::{Level, Root, RootKind};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// The first go with `go get -tool`.
const TOOL_LINES: (u32, u32, i64) = (1, 24, -1);
/// Variables that lead to a network, and those of go are the rehearsal's own.
const TAKEN_AWAY: [&str; 8] =
    ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"];

/// Where a command is run; each one finds it as if it were the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Place {
    /// In a copy of a directory of the user.
    Copy(Tree),
    /// The same, without the go.sum files in it.
    CopyWithoutSums(Tree),
    /// In a new module that requires nothing.
    NewModule,
    /// In an empty directory.
    Empty,
}

/// The commands, and the roots that there are none for.
pub(super) struct Planned {
    pub(super) plan: Plan,
    pub(super) left_out: Vec<String>,
}

pub(super) fn plan(
    subject: &Subject,
    options: &Options,
    work: &Path,
    settings: &Settings,
    context: &Context<'_>,
) -> Result<Planned> {
    context.progress.event(Event::Note(&format!("rehearsing {}", options.path.display())));
    let header_roots: &[Root] = subject.header.as_ref().map_or(&[], |header| &header.roots);
    let needs_directory = |root: &&Root| matches!(root.kind, RootKind::Module | RootKind::Workspace);
    let mut directories = options.roots.clone();
    let here = ["go.mod", "go.work"].iter().any(|name| options.current_dir.join(name).is_file());
    let has_projects = header_roots.is_empty() || header_roots.iter().any(|root| needs_directory(&root));
    if directories.is_empty() && here && has_projects {
        directories.push(PathBuf::from("."));
    }
    let is_off = context.environment.get("GOWORK").is_some_and(|value| value == "off");
    let mut steps = Vec::new();
    let mut named = Vec::new();
    for directory in &directories {
        let project = Project::open(&options.current_dir.join(directory), is_off)?;
        let root = header_roots.iter().find(|root| project.is(root));
        named.push(project.module.clone());
        let level = options.level.or(root.map(|root| root.level)).unwrap_or(Level::Work);
        // From level `work` on each module of a workspace is a root as well, but for those that do not resolve by themselves.
        let has_members = root.is_some_and(|root| root.kind == RootKind::Workspace && root.level >= Level::Work);
        let is_root =
            |module: &str| header_roots.iter().any(|root| root.kind == RootKind::Module && root.module == module);
        steps.extend(project.steps(options, level, settings, &|module| !has_members || is_root(module)));
    }
    if directories.is_empty() && !options.command.is_empty() {
        // It may bring what it works on, or need nothing but a program of the bundle.
        steps.push(Step::new("no directory", None, Place::Empty, options.command.clone()));
    }
    let mut left_out = Vec::new();
    for root in header_roots.iter().filter(|_| options.command.is_empty()) {
        match root.kind {
            RootKind::Module | RootKind::Workspace if !named.contains(&root.module) => {
                // What is a member of a workspace that was named has been seen there.
                let is_member = header_roots.iter().any(|space| {
                    named.contains(&space.module) && space.local.iter().any(|local| local.module == root.module)
                });
                if !is_member {
                    left_out.push(root.module.clone());
                }
            }
            _ => steps.extend(of_root(root, settings)),
        }
    }
    if steps.is_empty() {
        let message = format!("{}: there is nothing to rehearse", options.path.display());
        return Err(Error::new(ErrorKind::Usage, message)
            .hint("name directories of modules or workspaces: modferry rehearse BUNDLE DIRECTORY"));
    }
    let mut variables: Vec<(String, String)> = context
        .environment
        .iter()
        .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value.to_str()?.to_owned())))
        .filter(|(name, _)| !name.starts_with("GO") && !TAKEN_AWAY.contains(&name.as_str()))
        .collect();
    // GONOPROXY is against a GOPRIVATE, which is not here.
    let for_go = subject.settings.env.iter().filter(|setting| !matches!(setting.name, "GOPROXY" | "GONOPROXY"));
    variables.extend(for_go.map(|setting| (setting.name.to_owned(), setting.value.clone())));
    let place = |name: &str| work.join(name).to_string_lossy().into_owned();
    for (name, value) in [
        ("GOENV", "off".to_owned()),
        ("GOFLAGS", "-modcacherw".to_owned()),
        ("GOVCS", "*:off".to_owned()),
        ("GOWORK", if is_off { "off".to_owned() } else { String::new() }),
        ("GOMODCACHE", place("modules")),
        ("GOPATH", place("gopath")),
        // Compiled packages go by their content; nothing of a module comes from there.
        ("GOCACHE", settings.get("GOCACHE").to_owned()),
    ] {
        variables.push((name.to_owned(), value));
    }
    let places = places(subject, &directories, work, options, settings, context);
    let (serve, work) = (subject.serve.clone(), work.to_owned());
    let not_carried = subject.header.iter().flat_map(|header| &header.not_carried).map(|file| file.path.clone());
    let not_carried = not_carried.filter(|path| path.ends_with(".zip")).collect();
    let plan = Plan { serve, work, places, denied: Denied::BySystem, not_carried, variables, steps };
    Ok(Planned { plan, left_out })
}

/// What results call the places of this machine.
fn places(
    subject: &Subject,
    directories: &[PathBuf],
    work: &Path,
    options: &Options,
    settings: &Settings,
    context: &Context<'_>,
) -> Places {
    let of_user = ["HOME", "TMPDIR", "XDG_CACHE_HOME"].map(|name| {
        let path = context.environment.get(name).unwrap_or_default();
        (PathBuf::from(path), if name == "HOME" { "~".to_owned() } else { format!("${name}") })
    });
    let of_go = ["GOROOT", "GOCACHE"].map(|name| (PathBuf::from(settings.get(name)), format!("${name}")));
    let roots = directories.iter().map(|directory| (options.current_dir.join(directory), "$ROOT".to_owned()));
    let ours = [(subject.serve.as_path(), "$BUNDLE"), (work, "$WORK"), (options.current_dir.as_path(), "$HERE")];
    let ours = ours.map(|(path, name)| (path.to_owned(), name.to_owned()));
    let all: Vec<(PathBuf, String)> = of_user.into_iter().chain(of_go).chain(roots).chain(ours).collect();
    // What goes through links has two paths, and programs print the one or the other.
    let both = all.iter().flat_map(|(path, name)| {
        let real = fs::canonicalize(path).ok();
        [Some(path.components().collect()), real].into_iter().flatten().map(move |path: PathBuf| (path, name))
    });
    let both: Vec<(String, &String)> = both.map(|(path, name)| (path.to_string_lossy().into_owned(), name)).collect();
    Places::default().with(both.iter().map(|(path, name)| (path.as_str(), name.as_str())))
}

/// Roots that need no directory of the user.
fn of_root(root: &Root, settings: &Settings) -> Vec<Step> {
    let version = root.version.as_deref().unwrap_or_default();
    let module = format!("{}@{version}", root.module);
    let step = |name: &str, place: Place, command: &str| Step::new(name, Some(root.level), place, words(command));
    match (root.kind, &root.package) {
        (RootKind::Version, _) => {
            let get = format!("go get {module}");
            let after = |command: &str| step(&module, Place::NewModule, command).after([get.as_str()]);
            let mut steps = vec![step(&module, Place::NewModule, &get)];
            steps.extend(["go list -m all", "go list -m -u all", "go mod graph", "go mod download"].map(after));
            if root.level >= Level::All {
                steps.push(after("go mod download all"));
            }
            steps
        }
        (RootKind::Tool, Some(package)) => {
            let tool = format!("{package}@{version}");
            let mut steps = vec![step(&tool, Place::Empty, &format!("go install -n {tool}"))];
            if version_numbers(settings.version()) >= TOOL_LINES {
                steps.push(step(&tool, Place::NewModule, &format!("go get -tool {tool}")));
            }
            steps
        }
        _ => Vec::new(),
    }
}

pub(super) fn words(command: &str) -> Vec<String> {
    command.split_whitespace().map(str::to_owned).collect()
}
