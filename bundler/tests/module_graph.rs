//! The module graph that `verify --closure` walks is the one that the go command loads: go itself is the judge, on small
//! random graphs with every go line, replacements, exclusions, cycles and workspaces.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

use modferry_format::ModuleVersion;
use modferry_format::go_mod::GoMod;
use modferry_format::header::{Level, Local, Root, RootKind};
use modferry_format::module_graph::{Graph, MainModules};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Graphs of each kind; every one takes go about a tenth of a second.
const CASES: u64 = 24;
const MODULES: u64 = 7;
const VERSIONS: u64 = 3;
const GO_LINES: [&str; 4] = ["", "1.16", "1.17", "1.21"];

#[test]
fn is_the_one_that_go_loads() {
    for seed in 0..CASES {
        Case::new(seed, RootKind::Module).judge();
    }
}

#[test]
fn is_the_one_that_go_loads_in_a_workspace() {
    for seed in 0..CASES {
        Case::new(seed, RootKind::Workspace).judge();
    }
}

/// A project and everything that it could require.
struct Case {
    name: String,
    root: Root,
    upstream: BTreeMap<ModuleVersion, String>,
    random: Random,
}

/// The generator of Knuth's MMIX: the same graphs on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn path(&mut self) -> String {
        format!("example.com/m{}", self.below(MODULES))
    }

    fn version(&mut self) -> String {
        format!("v1.{}.0", self.below(VERSIONS))
    }

    /// Up to `most` requirements, each path once.
    fn requires(&mut self, most: u64, but: &str) -> Vec<String> {
        let count = self.below(most + 1);
        let required: BTreeMap<String, String> = (0..count).map(|_| (self.path(), self.version())).collect();
        required.iter().filter(|(path, _)| *path != but).map(|(path, version)| format!("{path}@{version}")).collect()
    }

    fn go_line(&mut self) -> String {
        GO_LINES[self.below(GO_LINES.len() as u64) as usize].to_owned()
    }
}

fn go_mod(module: &str, go: &str, requires: &[String]) -> String {
    let mut text = format!("module {module}\n");
    if !go.is_empty() {
        writeln!(text, "go {go}").unwrap();
    }
    for line in requires {
        writeln!(text, "require {}", line.replace('@', " ")).unwrap();
    }
    text
}

impl Case {
    fn new(seed: u64, kind: RootKind) -> Self {
        let mut random = Random(seed * 977 + u64::from(kind == RootKind::Workspace));
        random.below(2);
        let mut upstream = BTreeMap::new();
        for module in 0..MODULES {
            for version in 0..VERSIONS {
                let path = format!("example.com/m{module}");
                let text = go_mod(&path, &random.go_line(), &random.requires(3, &path));
                upstream.insert(format!("{path}@v1.{version}.0").parse().unwrap(), text);
            }
        }
        let mut root = Root::version(kind, Level::All, &"example.com/main@v1.0.0".parse().unwrap());
        root.version = None;
        if kind == RootKind::Module {
            root.go = random.go_line();
            root.requires = random.requires(5, "");
        } else {
            root.module = String::new();
            // Some members are modules that others require at a version.
            for member in 0..1 + random.below(3) {
                let module = if random.below(2) == 0 {
                    format!("example.com/m{member}")
                } else {
                    format!("example.com/w{member}")
                };
                let (go, requires) = (random.go_line(), random.requires(3, &module));
                root.local.push(Local { module, replaces: None, go, requires });
            }
        }
        let mut replaced = BTreeSet::new();
        for _ in 0..random.below(4) {
            let (path, version) = (random.path(), random.version());
            let is_member = root.local.iter().any(|local| local.module == path);
            let old = if random.below(2) == 0 || is_member { format!("{path}@{version}") } else { path.clone() };
            if !replaced.insert(old.clone()) {
                continue;
            }
            if random.below(2) == 0 {
                let new = format!("{}@{}", random.path(), random.version());
                root.replaces.push(format!("{old} => {new}"));
            } else {
                let (go, requires) = (random.go_line(), random.requires(3, &path));
                root.local.push(Local { module: path, replaces: Some(old), go, requires });
            }
        }
        root.excludes = random.requires(2, "");
        Self { name: format!("{kind} {seed}"), root, upstream, random }
    }

    fn judge(mut self) {
        let directory = tempfile::tempdir().unwrap();
        self.publish(&directory.path().join("proxy"));
        let go_mods: BTreeMap<ModuleVersion, GoMod> =
            self.upstream.iter().map(|(version, text)| (version.clone(), GoMod::parse(text))).collect();
        let main = MainModules::of(&self.root).unwrap();
        let graph = Graph::load(&main, &|version| go_mods.get(version));
        assert!(graph.is_settled() && graph.nowhere().next().is_none(), "{}", self.name);
        let names = |names: &mut dyn Iterator<Item = String>| names.collect::<BTreeSet<String>>();

        let (printed, cached) = self.go(directory.path(), &["mod", "graph"]);
        let read = names(&mut graph.go_mods().map(|(version, _)| version.to_string()));
        assert_eq!(read, cached, "{}: left: go.mod files that we read; right: those that go read", self.name);
        // Go drops requirements of an unpruned main module that say nothing new; the others are printed as they stand.
        let is_told = |by: &str| by != "example.com/main" || matches!(self.root.go.as_str(), "1.17" | "1.21");
        let edges = names(&mut graph.edges().map(|(by, required)| format!("{by} {required}")));
        let of_go = names(
            &mut printed
                .lines()
                .filter(|line| !line.contains("go@") && !line.contains("toolchain@"))
                .map(str::to_owned),
        );
        let told = |edges: &BTreeSet<String>| {
            let told = edges.iter().filter(|edge| is_told(edge.split(' ').next().unwrap()));
            told.cloned().collect::<BTreeSet<String>>()
        };
        let (edges, of_go) = (told(&edges), told(&of_go));
        if is_told("example.com/main") {
            assert_eq!(edges, of_go, "{}: left: our edges; right: those of go mod graph", self.name);
        } else {
            assert!(of_go.is_subset(&edges), "{}: {of_go:?} is not in {edges:?}", self.name);
        }

        let (printed, _) = self.go(directory.path(), &["list", "-m", "all"]);
        let selected = names(&mut graph.selected().map(|node| node.to_string().replace('@', " ")));
        let listed = printed.lines().map(|line| line.split(" => ").next().unwrap()).filter(|line| line.contains(' '));
        assert_eq!(
            selected,
            names(&mut listed.map(str::to_owned)),
            "{}: left: selected by us; right: by go",
            self.name
        );
    }

    fn publish(&mut self, proxy: &Path) {
        for (version, text) in &self.upstream {
            let place = proxy.join(version.path().escaped()).join("@v");
            fs::create_dir_all(&place).unwrap();
            let (name, time) = (version.version(), format!("2024-01-0{}T00:00:00Z", 1 + self.random.below(9)));
            fs::write(place.join(format!("{name}.mod")), text).unwrap();
            fs::write(place.join(format!("{name}.info")), format!(r#"{{"Version":"{name}","Time":"{time}"}}"#))
                .unwrap();
        }
    }

    /// Runs go in a fresh copy of the project; gives what it printed, and the versions whose go.mod is in the module cache
    /// then.
    fn go(&self, directory: &Path, arguments: &[&str]) -> (String, BTreeSet<String>) {
        let project = directory.join(arguments[0]);
        let (main, flags) = self.write(&project);
        let cache = project.join("cache");
        let path = std::env::var_os("PATH").unwrap();
        let mut command = Command::new("go");
        command.args(arguments).current_dir(main).env_clear().env("PATH", path).env("HOME", &project);
        command.env("GOPROXY", format!("file://{}", directory.join("proxy").display())).env("GOFLAGS", flags);
        command.env("GOMODCACHE", &cache).env("GOPATH", project.join("gopath")).env("GOTOOLCHAIN", "local");
        let output = command.env("GOSUMDB", "off").env("GOENV", "off").output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}: go {arguments:?}: {}\n{:#?}", self.name, text(&output.stderr), self.root);
        let is_cached = |version: &&ModuleVersion| {
            let place = cache.join("cache/download").join(version.path().escaped());
            place.join(format!("@v/{}.mod", version.version())).exists()
        };
        (text(&output.stdout), self.upstream.keys().filter(is_cached).map(ToString::to_string).collect())
    }

    /// Writes the project that the root describes; gives the directory to work in, and the flags.
    fn write(&self, project: &Path) -> (std::path::PathBuf, &'static str) {
        let is_workspace = self.root.kind == RootKind::Workspace;
        let mut replaces = String::new();
        let mut work = "go 1.21\n".to_owned();
        for (number, local) in self.root.local.iter().enumerate() {
            let place = project.join(format!("local{number}"));
            fs::create_dir_all(&place).unwrap();
            let mut text = go_mod(&local.module, &local.go, &local.requires);
            match &local.replaces {
                Some(old) => {
                    let dots = if is_workspace { "." } else { ".." };
                    writeln!(replaces, "replace {} => {dots}/local{number}", old.replace('@', " ")).unwrap();
                }
                None => {
                    writeln!(work, "use ./local{number}").unwrap();
                    // Those of one member hold for all.
                    if number == 0 {
                        text += &self.excludes();
                    }
                }
            }
            fs::write(place.join("go.mod"), text).unwrap();
        }
        for line in &self.root.replaces {
            writeln!(replaces, "replace {}", line.replace('@', " ")).unwrap();
        }
        if is_workspace {
            fs::write(project.join("go.work"), work + &replaces).unwrap();
            return (project.to_owned(), "");
        }
        let main = project.join("main");
        fs::create_dir_all(&main).unwrap();
        let text = go_mod(&self.root.module, &self.root.go, &self.root.requires);
        fs::write(main.join("go.mod"), text + &replaces + &self.excludes()).unwrap();
        (main, "-mod=mod")
    }

    fn excludes(&self) -> String {
        self.root.excludes.iter().map(|line| format!("exclude {}\n", line.replace('@', " "))).collect()
    }
}
