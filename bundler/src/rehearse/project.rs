//! A directory of the user, and the commands that stand for what its level promises (closure.md 4, go-facts.md 3.2).

use super::copies::{Tree, cleaned};
use super::plan::{Place, words};
use super::{Options, Step};
use crate::bundle::{has_all_members, is_directory, members, replacements};
use crate::error::{Error, ErrorKind, Result};
use crate::go_command::{Settings, version_numbers};
use modferry_format::ModuleVersion;
use modferry_format::go_mod::GoMod;
use modferry_format::header::{Level, Root, RootKind};
use std::fs;
use std::path::{Path, PathBuf};

/// The first go with `go work vendor`.
const WORK_VENDOR: (u32, u32, i64) = (1, 22, -1);
/// What moves all requirements at once: level `upgrade`.
const UPGRADES: [&str; 4] =
    ["go get -u ./...", "go get -u -t ./...", "go get -u=patch ./...", "go get -u=patch -t ./..."];

/// A module or workspace of the user.
pub(super) struct Project {
    tree: Tree,
    /// Its module path; of a workspace the name of the directory, as in bundle.json.
    pub(super) module: String,
    /// The modules of a workspace; none of a module.
    members: Option<Vec<Member>>,
    /// What the module requires itself.
    requires: Vec<ModuleVersion>,
    has_sums: bool,
    is_vendored: bool,
}

/// A module of a workspace.
struct Member {
    /// Its directory, relative to that of the workspace.
    directory: String,
    module: String,
    requires: Vec<ModuleVersion>,
}

impl Project {
    pub(super) fn open(directory: &Path, is_off: bool) -> Result<Self> {
        let absolute =
            std::path::absolute(directory).map_err(|error| Error::io(directory, "could not be found", &error))?;
        let directory = cleaned(&absolute);
        let (go_mod, go_work) = (directory.join("go.mod"), directory.join("go.work"));
        let is_workspace = !is_off && has_all_members(&go_work);
        if !is_workspace && !go_mod.is_file() {
            let message = format!("{}: has no go.mod and no go.work", directory.display());
            return Err(Error::new(ErrorKind::Root, message).hint("name the directory of a module or workspace"));
        }
        let named = if is_workspace { members(&go_work) } else { Vec::new() };
        if let Some(elsewhere) = named.iter().find(|member| Path::new(member).is_absolute()) {
            let message = format!("{}: its go.work names {elsewhere} by its full path", directory.display());
            return Err(Error::new(ErrorKind::Root, message)
                .hint("a rehearsal works in a copy: name it by a relative path, or rehearse the modules one by one"));
        }
        let mut beside: Vec<PathBuf> = named.iter().map(|member| cleaned(&directory.join(member))).collect();
        let homes = beside.iter().cloned().chain([directory.clone()]);
        let files = homes.map(|home| home.join("go.mod")).chain(is_workspace.then(|| go_work.clone()));
        for file in files.collect::<Vec<_>>() {
            let home = file.parent().unwrap_or(&directory);
            let new = replacements(&file).into_iter().map(|(_, new)| new);
            // What is named by its full path is found where it is, and no command writes there.
            let ways = new.filter(|new| is_directory(new) && !Path::new(new).is_absolute());
            beside.extend(ways.map(|way| cleaned(&home.join(way))));
        }
        beside.retain(|other| other.is_dir() && !other.starts_with(&directory));
        beside.sort();
        beside.dedup();
        let name = directory.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let text = fs::read_to_string(&go_mod).unwrap_or_default();
        let members = named.into_iter().map(|member| {
            let go_mod = directory.join(&member).join("go.mod");
            let module = GoMod::parse(&fs::read_to_string(&go_mod).unwrap_or_default()).module;
            Member { directory: member, module, requires: requires(&go_mod) }
        });
        Ok(Self {
            module: if is_workspace { name } else { GoMod::parse(&text).module },
            members: is_workspace.then(|| members.collect()),
            requires: requires(&go_mod),
            has_sums: directory.join("go.sum").is_file() || is_workspace,
            is_vendored: directory.join("vendor/modules.txt").is_file(),
            tree: Tree { directory, beside },
        })
    }

    pub(super) fn is(&self, root: &Root) -> bool {
        let kind = if self.members.is_some() { RootKind::Workspace } else { RootKind::Module };
        root.kind == kind && root.module == self.module
    }

    /// The commands. What fails in a module of a workspace that the bundle does not carry by itself, fails as stated.
    pub(super) fn steps(
        &self,
        options: &Options,
        level: Level,
        settings: &Settings,
        is_carried: &dyn Fn(&str) -> bool,
    ) -> Vec<Step> {
        if !options.command.is_empty() {
            return vec![Step::new(&self.module, None, Place::Copy(self.tree.clone()), options.command.clone())];
        }
        let step = |command: &str| self.step(level, command);
        let mut steps = Vec::new();
        if self.has_sums {
            // Nothing is trusted because the project says so: each module is verified by the checksum database.
            let is_tidied = level >= Level::Work && self.members.is_none();
            let first = step(if is_tidied { "go mod tidy" } else { "go mod download" });
            let place = Place::CopyWithoutSums(self.tree.clone());
            steps.push(Step { place, note: ", without go.sum".to_owned(), ..first });
        }
        steps.push(step("go mod download"));
        let packages = self.packages();
        let compiling =
            if options.compile { ["build", "vet", "test -run ^$"] } else { ["build -n", "vet -n", "test -n"] };
        steps.extend(compiling.map(|command| step(&format!("go {command} {packages}"))));
        if self.is_vendored {
            // With the directory `vendor` they have asked for nothing.
            steps.push(step(&format!("go build -mod=readonly -n {packages}")));
        }
        steps.push(step(&format!("go list -deps -test{} {packages}", self.past_vendor())));
        steps.extend(["go mod graph", "go mod verify"].map(step));
        if level >= Level::Work {
            steps.extend(["-m", "-m -u"].map(|flags| step(&format!("go list {flags}{} all", self.past_vendor()))));
            steps.push(step(&format!("go list -deps -test{} all", self.past_vendor())));
            steps.push(step("go mod why -m all"));
        }
        match &self.members {
            None => self.of_module(level, &mut steps),
            Some(members) => self.of_workspace(members, level, settings, is_carried, &mut steps),
        }
        steps
    }

    /// What is done with a module and not with a workspace.
    fn of_module(&self, level: Level, steps: &mut Vec<Step>) {
        let step = |command: &str| self.step(level, command);
        if level >= Level::Work {
            steps.extend(["go mod tidy", "go mod vendor"].map(step));
            let in_workspace = |command: &str| step(command).after(["go work init ."]);
            steps.extend(["go build -n ./...", "go list -m all", "go work sync"].map(in_workspace));
        }
        if level >= Level::All {
            steps.push(step("go mod download all"));
        }
        steps.extend(moved(&self.requires, level).iter().map(|command| step(command)));
        if level >= Level::Upgrade {
            for upgrade in UPGRADES {
                steps.push(step(upgrade));
                steps.push(step("go mod download all").after([upgrade, "go mod tidy"]));
            }
        }
    }

    /// What is done with a workspace, and with each of its modules alone.
    fn of_workspace(
        &self,
        members: &[Member],
        level: Level,
        settings: &Settings,
        is_carried: &dyn Fn(&str) -> bool,
        steps: &mut Vec<Step>,
    ) {
        let step = |command: &str| self.step(level, command);
        if level < Level::Work {
            return;
        }
        steps.push(step("go work sync"));
        if version_numbers(settings.version()) >= WORK_VENDOR {
            steps.push(step("go work vendor"));
        }
        for Member { directory, module, requires } in members {
            let alone = |command: &str, before: &[&str]| {
                let step = step(command).after(before.iter().copied());
                let after = if before.is_empty() { String::new() } else { step.note };
                Step {
                    variables: vec![("GOWORK".to_owned(), "off".to_owned())],
                    note: format!("{after}, {directory} with GOWORK=off"),
                    below: directory.clone(),
                    is_unresolved: !is_carried(module),
                    ..step
                }
            };
            let list = format!("go list -m{} all", self.past_vendor());
            steps.extend(["go mod tidy", "go build -n ./...", &list].map(|command| alone(command, &[])));
            if level >= Level::All {
                steps.push(alone("go mod download all", &[]));
            }
            steps.extend(moved(requires, level).iter().map(|command| alone(command, &[])));
            if level >= Level::Upgrade {
                for upgrade in UPGRADES {
                    steps.push(alone(upgrade, &[]));
                    steps.push(alone("go mod download all", &[upgrade, "go mod tidy"]));
                }
            }
        }
    }

    fn step(&self, level: Level, command: &str) -> Step {
        Step::new(&self.module, Some(level), Place::Copy(self.tree.clone()), words(command))
    }

    /// What makes `go list` look at modules though there is a directory `vendor`.
    fn past_vendor(&self) -> &str {
        if self.is_vendored { " -mod=readonly" } else { "" }
    }

    /// All packages of the project.
    fn packages(&self) -> String {
        match &self.members {
            None => "./...".to_owned(),
            Some(members) => members.iter().map(|member| below(&member.directory)).collect::<Vec<_>>().join(" "),
        }
    }
}

/// Commands that move single requirements, as far as the level promises them: what is carried may be asked for at every level,
/// the newest alone only where each is.
fn moved(requires: &[ModuleVersion], level: Level) -> Vec<String> {
    let first = requires.first();
    match level {
        Level::Build => Vec::new(),
        Level::Work | Level::All => first
            .iter()
            .flat_map(|first| [format!("go get {first}"), format!("go get {}@latest", first.path())])
            .collect(),
        Level::Upgrade => first.iter().map(|first| format!("go get {first}")).collect(),
        Level::UpgradeEach => {
            let each =
                |one: &ModuleVersion| [format!("go get {}@latest", one.path()), format!("go get -u {}", one.path())];
            requires.iter().flat_map(each).collect()
        }
    }
}

/// What a go.mod requires for its own packages, but for what it replaces.
fn requires(go_mod: &Path) -> Vec<ModuleVersion> {
    let text = fs::read_to_string(go_mod).unwrap_or_default();
    let own: String =
        text.lines().filter(|line| !line.contains("// indirect")).map(|line| format!("{line}\n")).collect();
    let replaced = replacements(go_mod);
    let is_replaced = |version: &ModuleVersion| replaced.iter().any(|(old, _)| old == version.path().as_str());
    GoMod::parse(&own).requires.into_iter().filter(|version| !is_replaced(version)).collect()
}

/// All packages of a member.
fn below(member: &str) -> String {
    let member = member.trim_start_matches("./").trim_end_matches('/');
    match member {
        "" | "." => "./...".to_owned(),
        outside if outside.starts_with("..") => format!("{outside}/..."),
        inside => format!("./{inside}/..."),
    }
}
