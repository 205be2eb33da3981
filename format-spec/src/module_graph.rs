//! The module graph as the go command loads it, from nothing but go.mod files.
//!
//! What a bundle must have is what go asks for, so this follows `cmd/go/internal/modload` (1.21 to 1.27) step by step:
//!
//! - a node is a version as it is *required*; its go.mod is that of what replaces it. Requirements on excluded versions
//!   are dropped (`goModSummary`)
//! - a node is loaded pruned or unpruned. The requirements of a loaded node are nodes; they are loaded in turn unless both the
//!   node's go.mod (go 1.17 or later) and the way it is loaded are pruned. Below unpruned everything is unpruned
//!   (`readModGraph`)
//! - the selected version of a path is the highest of its nodes; a main module is above all versions of its path
//! - where a pruned main module requires less than what is selected, its requirements are raised and the graph is loaded again
//!   (`updatePrunedRoots`): what was pruned before may come in
//! - in a workspace the requirements of all members are loaded, and those of what replaces them by a higher version
//!
//! Nothing is read here: a callback gives the go.mod of a version. Where it has none, the graph ends.

mod main_modules;

pub use main_modules::{MainModules, Source};

use crate::go_mod::GoMod;
use crate::module_version::ModuleVersion;
use crate::version::Version;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

/// How often the requirements of a main module are raised before it is given up. Each time, go loads the whole graph again;
/// real projects need one or two.
const MAX_ROUNDS: usize = 100;

/// A module in the graph: a version as it is required, before anything replaces it, or a main module.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    path: &'a str,
    version: Option<&'a Version>,
    servable: Option<&'a ModuleVersion>,
}

impl<'a> Node<'a> {
    /// A main module.
    fn main(path: &'a str) -> Self {
        Self { path, version: None, servable: None }
    }

    /// The requirements of a go.mod.
    fn required_by(go_mod: &'a GoMod) -> impl Iterator<Item = Self> {
        let servable = go_mod.requires.iter().map(Self::from);
        let others = go_mod.unservable.iter();
        servable.chain(others.map(|(path, version)| Self { path, version: Some(version), servable: None }))
    }

    /// The module path.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The version; none for a main module.
    pub fn version(&self) -> Option<&'a Version> {
        self.version
    }

    /// The same as a version that a proxy can serve; none for a main module, and for a path that only a replacement makes
    /// something of.
    pub fn servable(&self) -> Option<&'a ModuleVersion> {
        self.servable
    }
}

impl<'a> From<&'a ModuleVersion> for Node<'a> {
    fn from(version: &'a ModuleVersion) -> Self {
        Self { path: version.path().as_str(), version: Some(version.version()), servable: Some(version) }
    }
}

impl Ord for Node<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.path, self.version).cmp(&(other.path, other.version))
    }
}

impl PartialOrd for Node<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Node<'_> {}

/// As `go mod graph` writes it: `path@version`, a main module by its path alone.
impl fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "{}@{version}", self.path),
            None => f.write_str(self.path),
        }
    }
}

/// The graph of one main module or workspace.
#[derive(Debug, Default)]
pub struct Graph<'a> {
    requires: BTreeMap<Node<'a>, Vec<Node<'a>>>,
    first: BTreeMap<Node<'a>, Node<'a>>,
    selected: BTreeMap<&'a str, Node<'a>>,
    go_mods: BTreeMap<&'a ModuleVersion, Node<'a>>,
    nowhere: BTreeSet<Node<'a>>,
    is_settled: bool,
}

impl<'a> Graph<'a> {
    /// Loads the graph; `go_mod` gives the go.mod of a version that replacements have been applied to.
    pub fn load(main: &'a MainModules, go_mod: &dyn Fn(&ModuleVersion) -> Option<&'a GoMod>) -> Self {
        let load = Load { main, go_mod, graph: Self::default(), queue: VecDeque::new(), queued: BTreeSet::new() };
        match main.single() {
            Some(module) => load.module(module),
            None => load.workspace(),
        }
    }

    /// All requirements that are in the graph, as `go mod graph` prints them: who requires, and what. Sorted.
    pub fn edges(&self) -> impl Iterator<Item = (Node<'a>, Node<'a>)> + '_ {
        self.requires.iter().flat_map(|(&node, required)| required.iter().map(move |&required| (node, required)))
    }

    /// The versions whose go.mod the go command reads to load the graph, each with the node that it is read for: another one
    /// where it replaces that. Sorted.
    pub fn go_mods(&self) -> impl Iterator<Item = (&'a ModuleVersion, Node<'a>)> + '_ {
        self.go_mods.iter().map(|(&version, &node)| (version, node))
    }

    /// The selected version of every path, but for main modules: the build list, sorted by path.
    pub fn selected(&self) -> impl Iterator<Item = Node<'a>> + '_ {
        self.selected.values().copied().filter(|node| node.version.is_some())
    }

    /// Nodes that have no go.mod anywhere: no proxy can serve their path, and nothing replaces them.
    pub fn nowhere(&self) -> impl Iterator<Item = Node<'a>> + '_ {
        self.nowhere.iter().copied()
    }

    /// Whether the requirements of the main module came to rest; else the graph is one of the last ones tried.
    pub fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// The requirements that lead to a node, from a main module to the node itself; a shortest chain.
    pub fn chain(&self, node: Node<'a>) -> Vec<Node<'a>> {
        let mut chain = alloc::vec![node];
        let mut step = node;
        // Each node is noted once, by one that was noted before it: the chain ends.
        while let Some(&before) = self.first.get(&step) {
            chain.push(before);
            step = before;
        }
        chain.reverse();
        chain
    }

    fn select(&mut self, node: Node<'a>) {
        let selected = self.selected.entry(node.path).or_insert(node);
        // A main module has no version and stays.
        if selected.version.is_some() && selected.version < node.version {
            *selected = node;
        }
    }
}

/// How a node is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pruning {
    /// Its requirements are nodes, and loaded only where its own go.mod is unpruned.
    Pruned,
    /// Everything below it is loaded, and unpruned.
    Unpruned,
    /// Its requirements are loaded, each as its own go.mod says: a member of a workspace.
    Workspace,
}

impl Pruning {
    fn of(go_mod: &GoMod) -> Self {
        if go_mod.is_pruned() { Self::Pruned } else { Self::Unpruned }
    }
}

struct Load<'a, 'f> {
    main: &'a MainModules,
    go_mod: &'f dyn Fn(&ModuleVersion) -> Option<&'a GoMod>,
    graph: Graph<'a>,
    queue: VecDeque<(Node<'a>, Pruning)>,
    /// What has been in the queue: cycles end here. A node that was loaded pruned may be loaded unpruned later.
    queued: BTreeSet<(Node<'a>, Pruning)>,
}

impl<'a> Load<'a, '_> {
    fn module(mut self, module: &'a GoMod) -> Graph<'a> {
        let main = Node::main(&module.module);
        let pruning = Pruning::of(module);
        let mut roots: Vec<Node<'a>> = self.kept(module);
        roots.sort();
        for _ in 0..MAX_ROUNDS {
            // What an earlier round read, go has read too, on its way to this one.
            let go_mods = core::mem::take(&mut self.graph.go_mods);
            self.graph = Graph { go_mods, ..Graph::default() };
            self.queued.clear();
            self.graph.select(main);
            self.require(main, roots.clone());
            roots.iter().for_each(|&root| self.enqueue(root, pruning));
            self.run();
            let raised = self.raised(main, &roots);
            if pruning == Pruning::Unpruned || raised == roots {
                self.graph.is_settled = true;
                break;
            }
            roots = raised;
        }
        self.graph
    }

    /// Each root once, at the version that is selected.
    fn raised(&self, main: Node<'a>, roots: &[Node<'a>]) -> Vec<Node<'a>> {
        let mut raised: Vec<Node<'a>> = Vec::new();
        for root in roots.iter().filter(|root| root.path != main.path) {
            if raised.last().is_none_or(|last| last.path != root.path) {
                raised.extend(self.graph.selected.get(root.path));
            }
        }
        raised
    }

    fn workspace(mut self) -> Graph<'a> {
        let members: Vec<Node<'a>> = self.main.members().map(|member| Node::main(&member.module)).collect();
        for &member in &members {
            self.graph.select(member);
            self.enqueue(member, Pruning::Workspace);
        }
        self.run();
        // Where a member gets a higher version than it requires, what it requires says less than what it imports: the
        // requirements of the higher one are loaded as those of a member are, and so on from there.
        let mut paths: BTreeSet<&'a str> = members.iter().map(|member| member.path).collect();
        let mut seen: BTreeSet<Node<'a>> = BTreeSet::new();
        loop {
            let mut more: BTreeSet<Node<'a>> = BTreeSet::new();
            for selected in paths.iter().filter_map(|path| self.graph.selected.get(path)) {
                if !seen.contains(selected) {
                    more.insert(*selected);
                    continue;
                }
                let required = self.graph.requires.get(selected).into_iter().flatten();
                let above = required.filter_map(|required| {
                    let selected = self.graph.selected.get(required.path)?;
                    (selected.version > required.version && !seen.contains(selected)).then_some(*selected)
                });
                more.extend(above);
            }
            if more.is_empty() {
                break;
            }
            for node in more {
                self.enqueue(node, Pruning::Workspace);
                seen.insert(node);
                paths.insert(node.path);
            }
            self.run();
        }
        self.graph.is_settled = true;
        self.graph
    }

    fn enqueue(&mut self, node: Node<'a>, pruning: Pruning) {
        if self.queued.insert((node, pruning)) {
            self.queue.push_back((node, pruning));
        }
    }

    fn run(&mut self) {
        while let Some((node, pruning)) = self.queue.pop_front() {
            let Some(go_mod) = self.read(node) else { continue };
            if !self.graph.requires.contains_key(&node) {
                let required = self.kept(go_mod);
                self.require(node, required);
            }
            let own = Pruning::of(go_mod);
            if pruning == Pruning::Pruned && own == Pruning::Pruned {
                continue;
            }
            let next = if pruning == Pruning::Unpruned { Pruning::Unpruned } else { own };
            let required = self.graph.requires.get(&node).cloned().unwrap_or_default();
            required.into_iter().for_each(|required| self.enqueue(required, next));
        }
    }

    /// The go.mod of a node, replacements applied.
    fn read(&mut self, node: Node<'a>) -> Option<&'a GoMod> {
        match self.main.source(node) {
            Source::Directory(go_mod) => Some(go_mod),
            Source::Version(version) => {
                self.graph.go_mods.entry(version).or_insert(node);
                (self.go_mod)(version)
            }
            Source::Nowhere => {
                self.graph.nowhere.insert(node);
                None
            }
        }
    }

    /// The requirements of a go.mod without excluded versions.
    fn kept(&self, go_mod: &'a GoMod) -> Vec<Node<'a>> {
        Node::required_by(go_mod).filter(|&node| !self.main.excludes(node)).collect()
    }

    fn require(&mut self, node: Node<'a>, required: Vec<Node<'a>>) {
        for &required in &required {
            // A main module begins every chain.
            if required.version.is_some() && required != node {
                self.graph.first.entry(required).or_insert(node);
            }
            self.graph.select(required);
        }
        self.graph.requires.insert(node, required);
    }
}
