//! Which commands stand for what a level promises.

use super::places::Places;
use super::{Denied, Options, Plan, Step, Subject};
use crate::context::{Context, Event};
use crate::error::{Error, ErrorKind, Result};
use crate::go_command::{Settings, version_numbers};
use modferry_format::go_mod::GoMod;
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
pub enum Place {
    /// In a copy of a directory of the user.
    Copy(PathBuf),
    /// The same, without the go.sum files in it.
    CopyWithoutSums(PathBuf),
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
        let project = Project::open(&options.current_dir.join(directory), options, is_off)?;
        let root = header_roots.iter().find(|root| project.is(root));
        named.push(project.module.clone());
        steps.extend(project.steps(options, options.level.or(root.map(|root| root.level)).unwrap_or(Level::Work)));
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
    let plan = Plan { serve, work, places, denied: Denied::BySystem, variables, steps };
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

/// A directory of the user.
struct Project {
    directory: PathBuf,
    /// Its module path; of a workspace the name of the directory, as in bundle.json.
    module: String,
    is_workspace: bool,
    /// Directories of the members, relative.
    members: Vec<String>,
    /// The first module that it requires itself.
    requires: Option<String>,
    has_sums: bool,
}

impl Project {
    fn open(directory: &Path, options: &Options, is_off: bool) -> Result<Self> {
        let directory = std::path::absolute(directory)
            .map_err(|error| Error::io(directory, "could not be found", &error))?
            .components()
            .collect::<PathBuf>();
        let read = |name: &str| fs::read_to_string(directory.join(name)).ok();
        let is_workspace = !is_off && crate::bundle::has_all_members(&directory.join("go.work"));
        let Some(go_mod) = read("go.mod").map(|text| GoMod::parse(&text)).or(is_workspace.then(GoMod::default)) else {
            let message = format!("{}: has no go.mod and no go.work", directory.display());
            return Err(Error::new(ErrorKind::Root, message).hint("name the directory of a module or workspace"));
        };
        let name = directory.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let module = if is_workspace { name } else { go_mod.module.clone() };
        let members = if is_workspace { crate::bundle::members(&directory.join("go.work")) } else { Vec::new() };
        if let Some(outside) = members.iter().find(|member| member.starts_with("..") || Path::new(member).is_absolute())
        {
            let message = format!("{}: its member {outside} lies outside of it", directory.display());
            return Err(Error::new(ErrorKind::Root, message).hint(format!(
                "a rehearsal works in a copy; rehearse the modules one by one: modferry rehearse {} DIRECTORY",
                options.path.display()
            )));
        }
        let requires = go_mod.requires.first().map(|version| version.path().to_string());
        let has_sums = directory.join("go.sum").is_file() || is_workspace;
        Ok(Self { directory, module, is_workspace, members, requires, has_sums })
    }

    fn is(&self, root: &Root) -> bool {
        let kind = if self.is_workspace { RootKind::Workspace } else { RootKind::Module };
        root.kind == kind && root.module == self.module
    }

    fn steps(&self, options: &Options, level: Level) -> Vec<Step> {
        let step = |place: Place, command: Vec<String>| Step {
            root: self.module.clone(),
            level: Some(level),
            place,
            below: String::new(),
            before: Vec::new(),
            command,
            variables: Vec::new(),
            note: String::new(),
        };
        let copy = || Place::Copy(self.directory.clone());
        let go = |command: &str| words(&format!("go {command}"));
        if !options.command.is_empty() {
            return vec![Step { level: None, ..step(copy(), options.command.clone()) }];
        }
        let packages = if self.is_workspace {
            self.members.iter().map(|member| below(member)).collect()
        } else {
            "./...".to_owned()
        };
        let mut steps = Vec::new();
        if self.has_sums {
            // Nothing is trusted because the project says so: each module is verified by the checksum database.
            let first = if level >= Level::Work && !self.is_workspace { "mod tidy" } else { "mod download" };
            let note = ", without go.sum".to_owned();
            steps.push(Step { note, ..step(Place::CopyWithoutSums(self.directory.clone()), go(first)) });
        }
        let compiling = if options.compile {
            [format!("build {packages}"), format!("vet {packages}"), format!("test -run ^$ {packages}")]
        } else {
            [format!("build -n {packages}"), format!("vet -n {packages}"), format!("test -n {packages}")]
        };
        steps.push(step(copy(), go("mod download")));
        steps.extend(compiling.iter().map(|command| step(copy(), go(command))));
        steps.push(step(copy(), go(&format!("list -deps -test {packages}"))));
        steps.push(step(copy(), go("mod graph")));
        steps.push(step(copy(), go("mod verify")));
        if level >= Level::Work {
            steps.push(step(copy(), go("list -m all")));
            steps.push(step(copy(), go("list -m -u all")));
            if self.is_workspace {
                steps.push(step(copy(), go("work sync")));
                for member in &self.members {
                    let alone = |command: &str| Step {
                        variables: vec![("GOWORK".to_owned(), "off".to_owned())],
                        note: format!(", {member} with GOWORK=off"),
                        below: member.clone(),
                        ..step(copy(), go(command))
                    };
                    steps.extend(["mod tidy", "build -n ./...", "list -m all"].map(alone));
                }
            } else {
                for command in ["mod tidy", "list -deps -test all", "mod why -m all", "mod vendor"] {
                    steps.push(step(copy(), go(command)));
                }
                let in_workspace = |command: &str| Step {
                    before: vec![go("work init .")],
                    note: ", after go work init".to_owned(),
                    ..step(copy(), go(command))
                };
                steps.extend(["build -n ./...", "list -m all"].map(in_workspace));
                steps.extend(self.requires.iter().map(|path| step(copy(), go(&format!("get {path}@latest")))));
            }
        }
        if level >= Level::All {
            steps.push(step(copy(), go("mod download all")));
        }
        if level >= Level::Upgrade && !self.is_workspace {
            for command in ["get -u ./...", "get -u=patch -t ./...", "get -u -t ./..."] {
                let before = vec![go(command)];
                steps.push(step(copy(), go(command)));
                steps.push(Step { before, note: format!(", after go {command}"), ..step(copy(), go("mod tidy")) });
            }
        }
        steps
    }
}

/// Roots that need no directory of the user.
fn of_root(root: &Root, settings: &Settings) -> Vec<Step> {
    let version = root.version.as_deref().unwrap_or_default();
    let module = format!("{}@{version}", root.module);
    let step = |name: &str, place: Place, command: String| Step {
        root: name.to_owned(),
        level: Some(root.level),
        place,
        below: String::new(),
        before: Vec::new(),
        command: words(&command),
        variables: Vec::new(),
        note: String::new(),
    };
    match (root.kind, &root.package) {
        (RootKind::Version, _) => {
            let got = words(&format!("go get {module}"));
            let listed = Step { before: vec![got], ..step(&module, Place::NewModule, "go list -m all".to_owned()) };
            vec![
                step(&module, Place::NewModule, format!("go get {module}")),
                Step { note: format!(", after go get {module}"), ..listed },
            ]
        }
        (RootKind::Tool, Some(package)) => {
            let tool = format!("{package}@{version}");
            let mut steps = vec![step(&tool, Place::Empty, format!("go install -n {tool}"))];
            if version_numbers(settings.version()) >= TOOL_LINES {
                steps.push(step(&tool, Place::NewModule, format!("go get -tool {tool}")));
            }
            steps
        }
        _ => Vec::new(),
    }
}

fn words(command: &str) -> Vec<String> {
    command.split_whitespace().map(str::to_owned).collect()
}

/// All packages of a member, with a space before.
fn below(member: &str) -> String {
    let member = member.trim_start_matches("./").trim_end_matches('/');
    if matches!(member, "" | ".") { " ./...".to_owned() } else { format!(" ./{member}/...") }
}
