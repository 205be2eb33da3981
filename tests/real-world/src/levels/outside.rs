//! The connected side: what has to be known of a project before its commands can be written, and what they do with a
//! network.

use super::projects::{Kind, Subject};
use super::script::{Place, Ran, Script, environment};
use super::sources::members;
use crate::text;
use modferry_harness::Outcome;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// What commands are made of.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The direct requirements that nothing replaces.
    pub(super) direct: Vec<String>,
    /// The first of them at a release.
    pub(super) tagged: Option<String>,
    /// The first of them at a pseudo-version.
    pub(super) pseudo: Option<String>,
    /// A package of a direct requirement that the project does not use, and could without a change to its go.mod.
    pub(super) unused: Option<String>,
    /// The directories of a workspace.
    pub(super) members: Vec<String>,
}

/// Packages that are tried, and of one module.
const TRIES: usize = 24;
const TRIES_OF_MODULE: usize = 4;

/// The connected side of one project; its caches stay for all that is asked.
pub(super) struct Outside {
    place: Place,
}

impl Outside {
    /// Works below a directory.
    pub(super) fn new(sources: &Path, work: &Path) -> Outcome<Self> {
        let mut environment = environment(&work.join("modcache"), &work.join("gopath"));
        for name in ["GOPROXY", "GOSUMDB"] {
            environment.insert(name.to_owned(), crate::go_env(name)?.into());
        }
        Ok(Self { place: Place { sources: sources.to_owned(), copy: work.join("project"), environment } })
    }

    /// Runs a command with a network, and with the go on this PATH.
    pub(super) fn run(&self, script: &Script, path: &str) -> Outcome<Ran> {
        let Place { sources, copy, environment } = &self.place;
        let mut environment = environment.clone();
        environment.insert("PATH".to_owned(), path.into());
        Place { sources: sources.clone(), copy: copy.clone(), environment }.run(script)
    }

    /// Looks at a project.
    pub(super) fn facts(&self, subject: &Subject) -> Outcome<Facts> {
        let mut facts = Facts::default();
        if matches!(subject.kind, Kind::Tool { .. }) {
            return Ok(facts);
        }
        if matches!(subject.kind, Kind::Workspace { .. }) {
            facts.members = members(&self.place.sources)?;
        }
        let go_mod: serde_json::Value = serde_json::from_str(&self.go(&["mod", "edit", "-json"])?)
            .map_err(|error| format!("{}: go mod edit -json: {error}", subject.name))?;
        let list = |name: &str| go_mod[name].as_array().cloned().unwrap_or_default();
        let replaced: BTreeSet<String> =
            list("Replace").iter().filter_map(|it| it["Old"]["Path"].as_str()).map(str::to_owned).collect();
        for required in list("Require") {
            let (Some(path), Some(version)) = (required["Path"].as_str(), required["Version"].as_str()) else {
                continue;
            };
            if required["Indirect"] == true || replaced.contains(path) {
                continue;
            }
            let first = if is_pseudo(version) { &mut facts.pseudo } else { &mut facts.tagged };
            first.get_or_insert(path.to_owned());
            facts.direct.push(path.to_owned());
        }
        facts.unused = self.unused(&facts.direct)?;
        Ok(facts)
    }

    /// Of the packages that could be imported as go.mod stands, the one that brings most packages that were not used.
    fn unused(&self, modules: &[String]) -> Outcome<Option<String>> {
        let deps = self.go(&["list", "-deps", "./..."])?;
        let used: BTreeSet<&str> = deps.lines().collect();
        let (mut tries, mut best) = (0, None);
        for module in modules {
            let all = format!("{module}/...");
            let list =
                ["list", "-e", "-f", "{{if not .Error}}{{if ne .Name \"main\"}}{{.ImportPath}}{{end}}{{end}}", &all];
            // A requirement that only tests of others need may have no package at all.
            let Ok(packages) = self.go(&list) else { continue };
            let is_open = |package: &&str| !package.is_empty() && !package.split('/').any(|it| it == "internal");
            let unused = packages.lines().filter(is_open).filter(|package| !used.contains(package));
            for package in unused.take(TRIES_OF_MODULE) {
                tries += 1;
                // One that needs another requirement fails here.
                let Ok(deps) = self.go(&["list", "-deps", package]) else { continue };
                let brings = deps.lines().filter(|package| !used.contains(package)).count();
                if best.as_ref().is_none_or(|(most, _)| brings > *most) {
                    best = Some((brings, package.to_owned()));
                }
            }
            if tries >= TRIES {
                break;
            }
        }
        Ok(best.map(|(_, package)| package))
    }

    /// Runs go on the sources, which it leaves as they are.
    fn go(&self, arguments: &[&str]) -> Outcome<String> {
        let mut command = Command::new("go");
        command.args(arguments).current_dir(&self.place.sources).env_clear().envs(&self.place.environment);
        crate::run(&mut command).map(|output| text(&output.stdout))
    }
}

/// Whether a version ends in a time and a hash.
fn is_pseudo(version: &str) -> bool {
    let mut pieces = version.trim_end_matches("+incompatible").rsplit('-');
    let (hash, rest) = (pieces.next().unwrap_or_default(), pieces.next().unwrap_or_default());
    let time = rest.rsplit('.').next().unwrap_or_default();
    hash.len() == 12 && time.len() == 14 && time.bytes().all(|byte| byte.is_ascii_digit())
}
