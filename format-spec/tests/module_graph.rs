//! The module graph of small projects: which go.mod files are read, and what is selected. That go does the same on random
//! ones is for `bundler/tests/module_graph.rs` to say.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

use modferry_format::ModuleVersion;
use modferry_format::go_mod::GoMod;
use modferry_format::header::{Level, Local, Root, RootKind};
use modferry_format::module_graph::{Graph, MainModules};
use std::collections::BTreeMap;

/// Modules are `x.y/` and a letter, versions `v1.` and a digit: `a0` is `x.y/a@v1.0.0`.
fn full(short: &str) -> String {
    match short.split_at_checked(1) {
        Some((module, version)) if version.len() == 1 => format!("x.y/{module}@v1.{version}.0"),
        Some((module, "")) => format!("x.y/{module}"),
        _ => short.to_owned(),
    }
}

fn all(shorts: &str) -> Vec<String> {
    shorts.split_whitespace().map(full).collect()
}

/// The words of the other way.
fn short(names: impl Iterator<Item = String>) -> String {
    let short = |name: String| name.replace("x.y/", "").replace("@v1.", "").replace(".0", "");
    names.map(short).collect::<Vec<_>>().join(" ")
}

fn root(kind: RootKind, go: &str, requires: &str) -> Root {
    let version = if kind == RootKind::Version { "1" } else { "0" };
    let mut root = Root::version(kind, Level::All, &full(&format!("m{version}")).parse().unwrap());
    if kind != RootKind::Version {
        root.version = None;
    }
    Root { go: go.to_owned(), requires: all(requires), ..root }
}

fn module(go: &str, requires: &str) -> Root {
    root(RootKind::Module, go, requires)
}

fn local(module: &str, replaces: Option<&str>, go: &str, requires: &str) -> Local {
    Local { module: full(module), replaces: replaces.map(full), go: go.to_owned(), requires: all(requires) }
}

/// Each line of `upstream` is a version, its go line (`-` for none) and what it requires.
#[track_caller]
fn expect(root: &Root, upstream: &str, read: &str, selected: &str) {
    expect_of(&MainModules::of(root).unwrap(), upstream, read, selected);
}

#[track_caller]
fn expect_of(main: &MainModules, upstream: &str, read: &str, selected: &str) {
    let go_mods = upstream_of(upstream);
    let graph = Graph::load(main, &|version| go_mods.get(version));
    assert!(graph.is_settled());
    let ours = short(graph.go_mods().map(|(version, _)| version.to_string()));
    assert_eq!(ours, read, "left: the go.mod files that are read");
    assert_eq!(short(graph.selected().map(|node| node.to_string())), selected, "left: what is selected");
}

fn upstream_of(lines: &str) -> BTreeMap<ModuleVersion, GoMod> {
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let go = Some(words[1].to_owned()).filter(|go| go != "-");
        let requires = words[2..].iter().map(|word| full(word).parse().unwrap()).collect();
        (full(words[0]).parse().unwrap(), GoMod { go, requires, ..GoMod::default() })
    };
    lines.lines().filter(|text| !text.trim().is_empty()).map(line).collect()
}

#[test]
fn below_a_pruned_module_requirements_are_nodes_and_not_read() {
    let upstream = "a0 1.21 b0\n b0 1.21 c0\n c0 1.21 d0";
    expect(&module("1.21", "a0"), upstream, "a0", "a0 b0");
}

#[test]
fn an_unpruned_main_module_reads_everything() {
    let upstream = "a0 1.21 b0\n b0 1.21 c0\n c0 1.21";
    expect(&module("1.16", "a0"), upstream, "a0 b0 c0", "a0 b0 c0");
    // No go line is older still.
    expect(&module("", "a0"), upstream, "a0 b0 c0", "a0 b0 c0");
}

#[test]
fn below_an_unpruned_module_everything_is_read() {
    // b says that it prunes, which counts for nothing there.
    let upstream = "a0 1.16 b0\n b0 1.21 c0\n c0 1.21 d0\n d0 -";
    expect(&module("1.21", "a0"), upstream, "a0 b0 c0 d0", "a0 b0 c0 d0");
}

#[test]
fn what_was_loaded_pruned_is_loaded_again_unpruned() {
    // b comes first as a requirement of the main module, then below a.
    let upstream = "a0 - b0\n b0 1.21 c0\n c0 1.21 d0\n d0 1.21";
    expect(&module("1.21", "b0"), upstream, "b0", "b0 c0");
    expect(&module("1.21", "b0 a0"), upstream, "a0 b0 c0 d0", "a0 b0 c0 d0");
}

#[test]
fn the_versions_that_lose_are_read_too() {
    let upstream = "a0 1.21 b1\n b0 1.16 c0\n b1 1.21\n c0 -";
    expect(&module("1.16", "a0 b0"), upstream, "a0 b0 b1 c0", "a0 b1 c0");
}

#[test]
fn cycles_end() {
    let upstream = "a0 - b0\n b0 - a1\n a1 - b0 m0\n m0 - a0";
    // The main module at a version is read, and never selected.
    expect(&module("1.16", "a0"), upstream, "a0 a1 b0 m0", "a1 b0");
}

#[test]
fn a_requirement_that_is_too_low_is_raised_and_what_it_pruned_comes_in() {
    let upstream = "a0 1.21 b1\n b0 1.21 c0\n b1 1.21 d0\n d0 1.21";
    // Of b1, which nobody reads at first, d is selected in the end.
    expect(&module("1.21", "a0 b0"), upstream, "a0 b0 b1", "a0 b1 d0");
    let edges = |root: &Root| {
        let (main, go_mods) = (MainModules::of(root).unwrap(), upstream_of(upstream));
        let graph = Graph::load(&main, &|version| go_mods.get(version));
        short(graph.edges().map(|(by, required)| format!("{by}>{required}")))
    };
    assert_eq!(edges(&module("1.21", "a0 b0")), "a0>b1 b1>d0 m>a0 m>b1");
}

#[test]
fn a_replacement_gives_its_go_mod_to_the_version_that_is_required() {
    let upstream = "a0 1.21 b0\n f0 1.16 c0\n f1 1.21 d0\n c0 -\n d0 -";
    let replaced = |lines: &[&str]| Root {
        replaces: lines.iter().map(|line| (*line).to_owned()).collect(),
        ..module("1.21", "a0")
    };
    let of_all = "x.y/a => x.y/f@v1.0.0";
    expect(&replaced(&[of_all]), upstream, "c0 f0", "a0 c0");
    // One version goes before all versions, wherever it stands.
    let of_one = "x.y/a@v1.0.0 => x.y/f@v1.1.0";
    expect(&replaced(&[of_all, of_one]), upstream, "f1", "a0 d0");
    expect(&replaced(&["x.y/a@v1.1.0 => x.y/f@v1.1.0"]), upstream, "a0", "a0 b0");
}

#[test]
fn a_replacement_by_a_directory_needs_no_file() {
    let upstream = "b0 1.21 c0\n c0 -";
    let with = |go| Root { local: vec![local("z", Some("a"), go, "b0")], ..module("1.21", "a0") };
    expect(&with("1.21"), upstream, "", "a0 b0");
    expect(&with(""), upstream, "b0 c0", "a0 b0 c0");
    let none = Graph::load(&MainModules::of(&module("1.21", "a0")).unwrap(), &|_| None).go_mods().count();
    assert_eq!(none, 1);
}

#[test]
fn paths_that_no_proxy_can_serve_need_a_replacement() {
    let replaced =
        Root { local: vec![local("z", Some("internal/a"), "1.21", "b0")], ..module("1.21", "internal/a@v0.0.0") };
    expect(&replaced, "b0 1.21", "", "internal/a@v0 b0");
    let main = MainModules::of(&module("1.21", "internal/a@v0.0.0")).unwrap();
    let graph = Graph::load(&main, &|_| None);
    assert_eq!(graph.nowhere().map(|node| node.to_string()).collect::<Vec<_>>(), ["internal/a@v0.0.0"]);
}

#[test]
fn requirements_on_excluded_versions_are_dropped() {
    let upstream = "a0 1.16 b1\n b1 - c0\n b0 -\n c0 -";
    let root = Root { excludes: all("b1"), ..module("1.21", "a0 b0") };
    expect(&root, upstream, "a0 b0", "a0 b0");
    // Those of the main module are no exception.
    expect(&Root { excludes: all("a0"), ..module("1.21", "a0 b0") }, upstream, "b0", "b0");
}

#[test]
fn the_members_of_a_workspace_are_loaded_each_as_it_says() {
    let members = vec![local("m", None, "1.21", "a0"), local("n", None, "1.16", "b0")];
    let root = Root { local: members, ..root(RootKind::Workspace, "1.21", "") };
    let upstream = "a0 1.21 c0\n b0 1.21 d0\n c0 1.21 e0\n d0 1.21 e0\n e0 -";
    expect(&root, upstream, "a0 b0 d0 e0", "a0 b0 c0 d0 e0");
}

#[test]
fn a_member_that_is_required_at_a_version_is_selected_itself_and_that_version_is_read() {
    let members = vec![local("m", None, "1.21", "n0"), local("n", None, "1.21", "a0")];
    let root = Root { local: members, ..root(RootKind::Workspace, "1.21", "") };
    // As go does it: `go list -m all` fails where it cannot read the go.mod of n0.
    expect(&root, "n0 1.21 a1\n a0 1.21", "a0 a1 n0", "a1");
}

#[test]
fn in_a_workspace_what_is_selected_above_a_requirement_is_loaded_as_a_member_is() {
    let members = vec![local("m", None, "1.21", "a0"), local("n", None, "1.21", "b0")];
    let root = Root { local: members, ..root(RootKind::Workspace, "1.21", "") };
    // a1 comes from b0; its requirement c0 is loaded, unlike that of b0 on d0.
    let upstream = "a0 1.21\n a1 1.21 c0\n b0 1.21 a1 d0\n c0 1.21 e0\n d0 1.21 e0";
    expect(&root, upstream, "a0 a1 b0 c0", "a1 b0 c0 d0 e0");
}

#[test]
fn a_version_has_two_lives() {
    let upstream = "m1 1.16 a0\n a0 - b0\n b0 -";
    let root = Root { excludes: all("b0"), ..root(RootKind::Version, "1.16", "a0") };
    // Whoever uses it knows nothing of what it excludes.
    expect_of(&MainModules::requiring(full("m1").parse().unwrap()), upstream, "a0 b0 m1", "a0 b0 m1");
    expect(&root, upstream, "a0", "a0");
    let version = full("m1").parse().unwrap();
    assert!(MainModules::of(&Root::version(RootKind::Version, Level::All, &version)).is_none());
}

#[test]
fn what_only_upstream_can_say_is_named() {
    let root = Root {
        replaces: vec!["x.y/b => x.y/c@main".to_owned()],
        local: vec![local("z", Some("a"), "1.21", "x.y/d@latest")],
        ..module("1.21", "x.y/e@v1 a0")
    };
    let main = MainModules::of(&root).unwrap();
    let named = ["x.y/m requires x.y/e@v1", "x.y/z requires x.y/d@latest", "x.y/b => x.y/c@main"];
    assert_eq!(main.not_understood(), named);
}

#[test]
fn chains_are_shortest_and_begin_at_a_main_module() {
    let main = MainModules::of(&module("1.16", "a0 b0")).unwrap();
    let go_mods = upstream_of("a0 - c0\n b0 - d0\n c0 - d0\n d0 -");
    let graph = Graph::load(&main, &|version| go_mods.get(version));
    let d0 = full("d0").parse().unwrap();
    let (_, node) = graph.go_mods().find(|(version, _)| **version == d0).unwrap();
    assert_eq!(short(graph.chain(node).iter().map(ToString::to_string)), "m b0 d0");
}
