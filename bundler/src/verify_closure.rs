//! `modferry verify --closure`: whether every file is there that the go command asks for, found out without go.
//!
//! 1. head files and manifest are read and held to `BUNDLE`
//! 2. the content is gone through: what is delivered, and every `.mod` is read and hashed. No zip is read
//! 3. the module graph of each root is loaded from these go.mod files as go loads it, see [`modferry_format::module_graph`]
//! 4. the graph wants the `.mod` of all that is loaded, `.mod` and `.info` of all that is selected, and from level `all` on
//!    its zips: what is not there is a finding, with the requirements that lead to it
//!
//! Which zips the levels below `all` need only packages can say. Whoever changes requirements inside may ask for more.

use crate::carrier::{Carrier, What, fault_of_carrier};
use crate::context::Context;
use crate::error::Result;
use crate::findings::Findings;
use crate::head::Head;
use modferry_format::finding::{Finding, FindingKind};
use modferry_format::go_mod::{self, GoMod};
use modferry_format::header::{Header, Level, Root, RootKind};
use modferry_format::module_graph::{Graph, MainModules, Node, Source};
use modferry_format::root::HeadFile;
use modferry_format::{BundlePath, FileSha256, ModuleVersion};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

/// What a check of the closure found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Whether nothing is missing.
    pub ok: bool,
    /// The id of the bundle in its short form.
    pub id: String,
    /// All 64 digits of it.
    pub sha256: String,
    /// Roots of the bundle.
    pub roots: u64,
    /// Those among them that are exact lists, such as a go.sum: they have no graph, and nothing of them is checked.
    pub lists: u64,
    /// Versions in the graphs of all roots whose go.mod is needed.
    pub versions: u64,
    /// Versions among them that are selected.
    pub selected: u64,
    /// Files that are needed, not there, and named in `not_carried` of the header.
    pub not_carried: u64,
    /// Wall time, in seconds.
    pub seconds: f64,
    /// What is missing or cannot be judged, sorted.
    pub findings: Vec<Finding>,
}

/// Checks the closure of a bundle. An error means that it could not be checked: also a head file that is not good.
pub fn verify_closure(carrier: &dyn Carrier, context: &Context<'_>) -> Result<Report> {
    let started = Instant::now();
    let head = Head::read(carrier)?;
    let findings = Findings::default();
    let carried = Carried::read(&head, carrier, context, &findings)?;
    let mut report = Report {
        id: head.id.to_string(),
        sha256: head.id.hex(),
        roots: head.header.roots.len() as u64,
        ..Report::default()
    };
    // Of what a broken carrier does not bring nobody can say that it is missing: that it is broken is all there is to say.
    if carrier.is_broken() {
        carrier.findings().into_iter().for_each(|finding| findings.add(finding));
    } else {
        let mut closure = Closure::new(&carried, &head.header, &findings);
        for root in &head.header.roots {
            context.interrupt.check()?;
            closure.root(root);
        }
        closure.finish(&mut report);
    }
    report.findings = findings.finish();
    report.ok = report.findings.is_empty();
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// Where a module file is: only what stands in the manifest and is delivered counts.
enum State {
    Listed(FileSha256),
    There,
}

/// The module files of a bundle.
#[derive(Default)]
struct Carried {
    files: HashMap<BundlePath, State>,
    go_mods: BTreeMap<ModuleVersion, GoMod>,
}

impl Carried {
    fn read(head: &Head, carrier: &dyn Carrier, context: &Context<'_>, findings: &Findings) -> Result<Self> {
        let mut carried = Self::default();
        head.entries(carrier, |entry| {
            if matches!(entry.path, BundlePath::Mod(_) | BundlePath::Info(_) | BundlePath::Zip(_)) {
                carried.files.insert(entry.path, State::Listed(entry.sha256));
            }
        })?;
        for delivered in carrier.content()? {
            context.interrupt.check()?;
            let open = match delivered.what {
                What::File(_, open) => open,
                What::Other(_) => continue,
                // Among the findings of the carrier.
                What::Unreadable(_) if carrier.is_broken() => continue,
                // A directory too: then what is below it is missing for want of rights only, and this says so.
                What::Unreadable(error) => {
                    findings.find(&delivered.path, FindingKind::Unreadable, error.to_string());
                    continue;
                }
            };
            let Ok(path) = delivered.path.parse() else { continue };
            let Some(state) = carried.files.get_mut(&path) else { continue };
            let State::Listed(stated) = std::mem::replace(state, State::There) else { continue };
            let BundlePath::Mod(version) = path else { continue };
            match open.open().and_then(|source| source.read_all(go_mod::MAX_BYTES)) {
                Ok(bytes) if FileSha256::of(&bytes) == stated => {
                    carried.go_mods.insert(version, GoMod::parse(&String::from_utf8_lossy(&bytes)));
                }
                // What it requires is anybody's guess then: the graph ends here.
                Ok(bytes) => {
                    let detail = format!("has sha256 {}, SHA256SUMS states {stated}", FileSha256::of(&bytes));
                    findings.find(&delivered.path, FindingKind::Hash, detail);
                }
                Err(error) => {
                    let error = fault_of_carrier(error)?;
                    findings.find(&delivered.path, FindingKind::Unreadable, error.to_string());
                }
            }
        }
        Ok(carried)
    }
}

/// What the graphs of all roots want.
struct Closure<'a> {
    carried: &'a Carried,
    passed_over: BTreeSet<&'a str>,
    versions: BTreeSet<ModuleVersion>,
    selected: BTreeSet<ModuleVersion>,
    lists: u64,
    /// Each with the first chain that leads to it.
    missing: BTreeMap<String, String>,
    not_carried: BTreeSet<String>,
    findings: &'a Findings,
}

impl<'a> Closure<'a> {
    fn new(carried: &'a Carried, header: &'a Header, findings: &'a Findings) -> Self {
        Self {
            carried,
            passed_over: header.not_carried.iter().map(|file| file.path.as_str()).collect(),
            versions: BTreeSet::new(),
            selected: BTreeSet::new(),
            lists: 0,
            missing: BTreeMap::new(),
            not_carried: BTreeSet::new(),
            findings,
        }
    }

    fn root(&mut self, root: &Root) {
        let named = match root.kind {
            RootKind::GoSum | RootKind::Binary | RootKind::Sbom => {
                self.lists += 1;
                return;
            }
            RootKind::Module | RootKind::GoMod | RootKind::Workspace => None,
            RootKind::Version | RootKind::Tool | RootKind::Toolchain => {
                let name = format!("{}@{}", root.module, root.version.as_deref().unwrap_or_default());
                match name.parse::<ModuleVersion>() {
                    Ok(version) => Some(version),
                    Err(invalid) => {
                        return self.not_judged(&format!("the root {name} is no module version: {invalid}"));
                    }
                }
            }
        };
        match named {
            // Go asks for toolchains by themselves, and never for what they require.
            Some(version) if root.kind == RootKind::Toolchain => {
                self.want(BundlePath::Mod(version.clone()), || IS_A_ROOT.to_owned());
                self.selected(&version, Level::All, || IS_A_ROOT.to_owned());
            }
            Some(version) => self.graph(&MainModules::requiring(version), root.level),
            None => {}
        }
        if let Some(main) = MainModules::of(root) {
            self.graph(&main, root.level);
        }
    }

    /// Wants what one graph takes.
    fn graph(&mut self, main: &MainModules, level: Level) {
        let carried = self.carried;
        let graph = Graph::load(main, &|version| carried.go_mods.get(version));
        for text in main.not_understood() {
            self.not_judged(&format!(
                "{text}: only upstream can say which version that is, so what it leads to is not judged"
            ));
        }
        if !graph.is_settled() {
            self.not_judged("the requirements of a root contradict each other without end");
        }
        for (version, node) in graph.go_mods() {
            self.want(BundlePath::Mod(version.clone()), || chain(&graph, node, version));
        }
        for node in graph.selected() {
            if let Source::Version(version) = main.source(node) {
                self.selected(version, level, || chain(&graph, node, version));
            }
        }
        let selected = graph.selected().filter(|node| matches!(main.source(*node), Source::Nowhere));
        for node in graph.nowhere().chain(selected) {
            let chain = names(&graph, node);
            self.not_judged(&format!("{chain}: no proxy can serve that path, and nothing replaces it"));
        }
    }

    fn selected(&mut self, version: &ModuleVersion, level: Level, why: impl Fn() -> String) {
        self.selected.insert(version.clone());
        self.want(BundlePath::Mod(version.clone()), &why);
        self.want(BundlePath::Info(version.clone()), &why);
        if level >= Level::All {
            self.want(BundlePath::Zip(version.clone()), &why);
        }
    }

    fn want(&mut self, path: BundlePath, why: impl FnOnce() -> String) {
        if let BundlePath::Mod(version) = &path {
            self.versions.insert(version.clone());
        }
        if matches!(self.carried.files.get(&path), Some(State::There)) {
            return;
        }
        let path = path.to_string();
        if self.passed_over.contains(path.as_str()) {
            self.not_carried.insert(path);
        } else {
            self.missing.entry(path).or_insert_with(why);
        }
    }

    /// Says what keeps the graph from being known; the header is where it stands.
    fn not_judged(&self, reason: &str) {
        let reason = reason.escape_debug().to_string();
        self.findings.find(HeadFile::BundleJson.name(), FindingKind::NotJudged, reason);
    }

    fn finish(self, report: &mut Report) {
        report.lists = self.lists;
        report.versions = self.versions.len() as u64;
        report.selected = self.selected.len() as u64;
        report.not_carried = self.not_carried.len() as u64;
        for (path, why) in self.missing {
            self.findings.find(&path, FindingKind::Missing, format!("is not in the bundle: {why}"));
        }
    }
}

const IS_A_ROOT: &str = "it is a root";

/// The requirements that lead to a file, in words.
fn chain(graph: &Graph<'_>, node: Node<'_>, version: &ModuleVersion) -> String {
    let names = names(graph, node);
    let names = if names == version.to_string() { IS_A_ROOT.to_owned() } else { names };
    if node.servable() == Some(version) { names } else { format!("{names}, which {version} replaces") }
}

fn names(graph: &Graph<'_>, node: Node<'_>) -> String {
    let chain = graph.chain(node);
    let names: Vec<String> =
        chain.iter().filter(|node| !MainModules::is_made_up(**node)).map(ToString::to_string).collect();
    // The path of a main module may be any text.
    names.join(" requires ").escape_debug().to_string()
}
