//! The module graph that `verify --closure` walks is the one of the real go, on real projects: the same go.mod files read, the
//! same requirements, the same versions selected.

use crate::{COBRA, KUBERNETES, PROMETHEUS};
use modferry_format::ModuleVersion;
use modferry_format::go_mod::GoMod;
use modferry_format::header::{Header, Level, Local, Root, RootKind};
use modferry_format::module_graph::{Graph, MainModules, Source};
use modferry_format::{BundlePath, ModulePath, Version};
use modferry_harness::{Outcome, built};
use modferry_real_world::levels::projects::SUBJECTS;
use modferry_real_world::{Crossed, Project, outside};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The version under which the modules in the repository of that kubernetes are published.
const STAGING: &str = "v0.36.3";

type GoMods = BTreeMap<ModuleVersion, GoMod>;
type Names = BTreeSet<String>;

#[test]
fn of_cobra_it_is_that_of_go() {
    bundled(COBRA, &|_| Ok(()));
}

#[test]
fn of_prometheus_it_is_that_of_go() {
    bundled(PROMETHEUS, &|project| {
        fs::remove_file(project.join("go.work")).map_err(|error| format!("its zip has a go.work: {error}"))
    });
}

/// Its zip lacks the modules beside it; they are taken as published.
#[test]
#[ignore = "tests/full runs it: .ci/run has 20 minutes"]
fn of_kubernetes_it_is_that_of_go() {
    bundled(KUBERNETES, &|project| {
        let edits = staging(project)?.into_iter().map(|module| format!("-replace={module}={module}@{STAGING}"));
        let edits: Vec<String> = edits.collect();
        let arguments: Vec<&str> = ["mod", "edit"].into_iter().chain(edits.iter().map(String::as_str)).collect();
        outside(project, &[], &arguments)?;
        let vendor = fs::remove_dir_all(project.join("vendor"));
        let removed = vendor.and_then(|()| fs::remove_file(project.join("go.work")));
        removed.map_err(|error| format!("its zip has a stub of vendor and a go.work: {error}"))
    });
}

/// Every other project of tests/real, the tools as modules.
#[test]
#[ignore = "tests/full runs it: .ci/run has 20 minutes"]
fn of_all_other_projects_it_is_that_of_go() {
    let by_name = ["cobra", "prometheus", "kubernetes"];
    for subject in SUBJECTS.iter().filter(|subject| !by_name.contains(&subject.name)) {
        bundled(subject.project, &|project| {
            for stray in ["go.work", "go.work.sum"] {
                let file = project.join(stray);
                if file.exists() {
                    fs::remove_file(&file).map_err(|error| format!("{}: {error}", file.display()))?;
                }
            }
            Ok(())
        });
    }
}

/// The modules that a go.mod replaces by directories.
fn staging(project: &Path) -> Outcome<Vec<String>> {
    let printed = outside(project, &[], &["mod", "edit", "-json"])?;
    let json: Value = serde_json::from_str(&printed).map_err(|error| error.to_string())?;
    let replaces = json["Replace"].as_array().cloned().unwrap_or_default();
    let paths = replaces.iter().filter_map(|replace| Some(replace["Old"]["Path"].as_str()?.to_owned()));
    Ok(paths.collect())
}

/// Bundles a project, walks the graph of its root by what the bundle has, and lets go do the same with that bundle.
fn bundled(project: Project, edit: &dyn Fn(&Path) -> Outcome<()>) {
    let level = ["--level", "all"].map(OsStr::new);
    let name = project.module;
    let crossed = Crossed::bundle_edited(project, edit, &level, &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
    let directory = crossed.bundle_dir();
    let header = Header::parse(&fs::read(directory.join("bundle.json")).expect("a bundle has it")).expect("it is good");
    let [root] = &header.roots[..] else { panic!("{name}: {} roots", header.roots.len()) };
    let go_mods = go_mods(&directory.join("download"));
    let main = MainModules::of(root).expect("a module has a go.mod");
    let graph = Graph::load(&main, &|version| go_mods.get(version));
    let inside = |arguments: &[&str]| {
        // A changed go.mod lacks lines of its go.sum.
        let variables = [("GOFLAGS", "-modcacherw -mod=mod")];
        crossed.inside_with(&variables, arguments).unwrap_or_else(|error| panic!("{name}: go {arguments:?}: {error}"))
    };
    compare(name, &graph, &inside(&["mod", "graph"]), &inside(&["list", "-m", "all"]));
    // What go left in its cache at bundling is what the graph reads and what is selected, and go.mod files that `go work sync`
    // asks for beside it; nothing has a zip that is not selected.
    let mut wanted: Names = graph.go_mods().map(|(version, _)| version.to_string()).collect();
    wanted.extend(graph.selected().filter_map(|node| match main.source(node) {
        Source::Version(version) => Some(version.to_string()),
        _ => None,
    }));
    let carried: Names = go_mods.keys().map(ToString::to_string).collect();
    same(name, "wanted", &wanted, "wanted and carried", &wanted.intersection(&carried).cloned().collect());
    for version in go_mods.keys().filter(|version| !wanted.contains(&version.to_string())) {
        let zip = BundlePath::Zip(version.clone()).to_string();
        assert!(!directory.join(&zip).exists(), "{name}: {zip} is carried, and not selected");
    }
    let modferry = built::modferry().expect("it can be built");
    let verified = Command::new(modferry).arg("verify").arg(&directory).arg("--closure").output().expect("it starts");
    let text = String::from_utf8_lossy(&verified.stdout);
    let versions = format!("{} versions in the graph, {} selected", wanted.len(), graph.selected().count());
    assert!(verified.status.success() && text.contains(&versions), "{name}: {versions}: {text}");
}

/// A real workspace: kubernetes and the modules of its repository, as they are published, all of them as members.
#[test]
#[ignore = "tests/full runs it: .ci/run has 20 minutes"]
fn of_the_workspace_of_kubernetes_it_is_that_of_go() {
    workspace().unwrap_or_else(|error| panic!("{error}"));
}

fn workspace() -> Outcome<()> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let place = directory.path();
    let (cache, gopath) = (place.join("cache"), place.join("gopath"));
    let variables = [
        ("GOMODCACHE", cache.as_os_str()),
        ("GOPATH", gopath.as_os_str()),
        ("GOFLAGS", OsStr::new("-modcacherw")),
        ("GONOSUMDB", OsStr::new("*")),
    ];
    let go = |directory: &Path, arguments: &[&str]| outside(directory, &variables, arguments);
    // Only their go.mod files, outside any module.
    let published = |names: &[String]| -> Outcome<Vec<String>> {
        let arguments: Vec<&str> =
            ["list", "-m", "-f", "{{.GoMod}}"].into_iter().chain(names.iter().map(String::as_str)).collect();
        let paths = go(place, &arguments)?;
        paths.lines().map(|path| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))).collect()
    };
    let project = place.join("project");
    let write = |file: &Path, text: &str| -> Outcome<()> {
        let folder = file.parent().unwrap_or(&project);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(file, text))
            .map_err(|error| format!("{}: {error}", file.display()))
    };
    let own = published(&[format!("{}@{}", KUBERNETES.module, KUBERNETES.version)])?.concat();
    write(&project.join("go.mod"), &own)?;
    let mut modules = staging(&project)?;
    // Not every mirror has those that nobody requires.
    modules.retain(|module| own.contains(&format!("{module} v0.0.0")));
    let mut root = Root::version(RootKind::Workspace, Level::All, &version("k8s.io/kubernetes@v1.36.3"));
    (root.version, root.local) = (None, vec![local(&own, None)]);
    let mut work = format!("go {}\nuse .\n", GoMod::parse(&own).go.unwrap_or_default());
    let names: Vec<String> = modules.iter().map(|module| format!("{module}@{STAGING}")).collect();
    for (module, text) in modules.iter().zip(published(&names)?) {
        write(&project.join("staging/src").join(module).join("go.mod"), &text)?;
        root.local.extend([local(&text, None), local(&text, Some(module))]);
        work.push_str(&format!("use ./staging/src/{module}\n"));
    }
    write(&project.join("go.work"), &work)?;

    // What was asked for so far is not what the graph asks for.
    fs::remove_dir_all(&cache).map_err(|error| error.to_string())?;
    let printed = go(&project, &["mod", "graph"])?;
    let go_mods = go_mods(&cache.join("cache/download"));
    let main = MainModules::of(&root).ok_or("a workspace has go.mod files")?;
    let graph = Graph::load(&main, &|version| go_mods.get(version));
    let read = graph.go_mods().map(|(version, _)| version.to_string()).collect();
    same("workspace", "read by us", &read, "read by go", &go_mods.keys().map(ToString::to_string).collect());
    compare("workspace", &graph, &printed, &go(&project, &["list", "-m", "all"])?);
    Ok(())
}

fn version(text: &str) -> ModuleVersion {
    text.parse().expect("a version")
}

fn local(go_mod: &str, replaces: Option<&str>) -> Local {
    let go_mod = GoMod::parse(go_mod);
    let requires = go_mod.requires.iter().map(ToString::to_string).collect();
    Local { module: go_mod.module, replaces: replaces.map(str::to_owned), go: go_mod.go.unwrap_or_default(), requires }
}

/// All go.mod files below a directory in the layout of the download API.
fn go_mods(download: &Path) -> GoMods {
    let mut go_mods = GoMods::new();
    for entry in walkdir::WalkDir::new(download).into_iter().map(|entry| entry.expect("it can be listed")) {
        let path = entry.path();
        let name = path.strip_prefix(download).expect("it is below").display().to_string();
        if let Ok(BundlePath::Mod(version)) = format!("download/{name}").parse() {
            let text = fs::read_to_string(path).expect("a go.mod is text");
            go_mods.insert(version, GoMod::parse(&text));
        }
    }
    go_mods
}

/// Holds a graph to what go printed of it; `go` and `toolchain` are no modules.
fn compare(name: &str, graph: &Graph<'_>, printed: &str, listed: &str) {
    let edges: Names = graph.edges().map(|(by, required)| format!("{by} {required}")).collect();
    let of_go = printed.lines().filter(|line| {
        let is_module = |node: &str| !node.starts_with("go@") && !node.starts_with("toolchain@");
        line.split(' ').all(is_module)
    });
    same(name, "our requirements", &edges, "those of go mod graph", &of_go.map(str::to_owned).collect());
    let selected: Names = graph.selected().map(|node| node.to_string()).collect();
    let of_go = listed.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (path, version) = (words.next()?, words.next()?);
        let is_version = path.parse::<ModulePath>().is_ok() && version.parse::<Version>().is_ok();
        is_version.then(|| format!("{path}@{version}"))
    });
    same(name, "selected by us", &selected, "listed by go", &of_go.collect());
}

#[track_caller]
fn same(name: &str, what: &str, ours: &Names, other: &str, of_go: &Names) {
    assert!(!ours.is_empty(), "{name}: nothing is {what}");
    let (more, less): (Vec<_>, Vec<_>) = (ours.difference(of_go).collect(), of_go.difference(ours).collect());
    assert!(more.is_empty() && less.is_empty(), "{name}: only {what}: {more:?}; only {other}: {less:?}");
}
