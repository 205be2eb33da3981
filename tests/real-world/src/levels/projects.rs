//! The projects that are measured, each at a fixed version.

use super::Level;
use crate::Project;

/// A project and how it is measured.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its module at a version.
    pub project: Project,
    /// What it is.
    pub kind: Kind,
    /// Whether packages are compiled, not only planned.
    pub compiles: bool,
    /// Whether each command begins with empty caches.
    pub caches: Caches,
    /// What was measured by hand before there were levels, where it was this version or another one of the project.
    pub earlier: &'static [Earlier],
}

/// What a project is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One module.
    Module,
    /// A workspace whose members other than its own module are published apart: `staging/src/PATH` is PATH at the version.
    Workspace {
        /// The version of the members.
        members: &'static str,
        /// The member that is worked on alone.
        alone: &'static str,
    },
    /// A program that is installed.
    Tool {
        /// Its package.
        package: &'static str,
        /// An argument with which it says something and ends.
        argument: &'static str,
    },
}

/// The caches of the commands of a set.
///
/// Sharing changes no verdict and no sum of what was read: whatever an earlier command left there came from the bundle, so a
/// file that the bundle lacks is lacking all the same. Only which command read a file first is no longer seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Caches {
    /// Each command has empty ones.
    Fresh,
    /// All commands of a set use the same, empty at first.
    Shared,
}

/// A size that was measured by hand.
#[derive(Debug, Clone, Copy)]
pub struct Earlier {
    /// The level that comes closest.
    pub level: Level,
    /// Zips.
    pub zips: u64,
    /// Their megabytes.
    pub megabytes: f64,
    /// Whether it was another version of the project.
    pub is_other_version: bool,
}

const fn same(level: Level, zips: u64, megabytes: f64) -> Earlier {
    Earlier { level, zips, megabytes, is_other_version: false }
}

const fn other(level: Level, zips: u64, megabytes: f64) -> Earlier {
    Earlier { level, zips, megabytes, is_other_version: true }
}

const fn module(
    name: &'static str,
    module: &'static str,
    version: &'static str,
    caches: Caches,
    earlier: &'static [Earlier],
) -> Subject {
    Subject { name, project: Project { module, version }, kind: Kind::Module, compiles: false, caches, earlier }
}

use Level::{All, Build, Upgrade, Work};

/// All of them, the small ones first.
pub const SUBJECTS: [Subject; 11] = [
    Subject {
        compiles: true,
        ..module(
            "cobra",
            "github.com/spf13/cobra",
            "v1.10.2",
            Caches::Fresh,
            &[same(Build, 6, 0.4), same(Work, 6, 0.4), same(All, 6, 0.4), same(Upgrade, 12, 0.9)],
        )
    },
    module(
        "nats-server",
        "github.com/nats-io/nats-server/v2",
        "v2.11.0",
        Caches::Fresh,
        &[other(Build, 10, 43.6), other(Work, 15, 43.9), other(All, 20, 55.1), other(Upgrade, 39, 162.8)],
    ),
    module(
        "controller-runtime",
        "sigs.k8s.io/controller-runtime",
        "v0.25.2",
        Caches::Fresh,
        &[other(Build, 90, 54.3), other(Work, 99, 62.4), other(All, 168, 77.5)],
    ),
    Subject {
        kind: Kind::Tool { package: "golang.org/x/tools/gopls", argument: "version" },
        ..module(
            "gopls",
            "golang.org/x/tools/gopls",
            "v0.21.0",
            Caches::Fresh,
            &[same(Build, 22, 24.1), same(All, 41, 29.3)],
        )
    },
    Subject {
        kind: Kind::Tool { package: "honnef.co/go/tools/cmd/staticcheck", argument: "-version" },
        ..module(
            "staticcheck",
            "honnef.co/go/tools",
            "v0.7.0",
            Caches::Fresh,
            &[other(Build, 7, 5.2), other(All, 13, 10.7)],
        )
    },
    module(
        "helm",
        "helm.sh/helm/v4",
        "v4.3.1",
        Caches::Fresh,
        &[other(Build, 176, 156.6), other(Work, 209, 182.2), other(All, 330, 285.2)],
    ),
    module(
        "caddy",
        "github.com/caddyserver/caddy/v2",
        "v2.11.9",
        Caches::Fresh,
        &[same(Build, 167, 192.9), same(Work, 225, 212.0), same(All, 594, 386.1)],
    ),
    module(
        "hugo",
        "github.com/gohugoio/hugo",
        "v0.160.0",
        Caches::Fresh,
        &[same(Build, 184, 169.6), same(Work, 218, 181.9), same(All, 435, 284.2)],
    ),
    module(
        "golangci-lint",
        "github.com/golangci/golangci-lint/v2",
        "v2.15.0",
        Caches::Fresh,
        &[same(Build, 223, 59.6), same(Work, 249, 69.8), same(All, 399, 248.7)],
    ),
    module(
        "prometheus",
        "github.com/prometheus/prometheus",
        "v0.316.0",
        Caches::Fresh,
        &[same(Build, 251, 285.9), same(Work, 300, 307.5), same(All, 418, 353.8)],
    ),
    Subject {
        kind: Kind::Workspace { members: "v0.36.1", alone: "k8s.io/client-go" },
        ..module("kubernetes", "k8s.io/kubernetes", "v1.36.1", Caches::Shared, &[same(All, 274, 154.2)])
    },
];

/// The one with this name.
pub fn subject(name: &str) -> Option<Subject> {
    SUBJECTS.into_iter().find(|subject| subject.name == name)
}

/// The one that a command line names.
pub fn named(name: &str) -> Result<Subject, String> {
    let names = || SUBJECTS.map(|subject| subject.name).join(", ");
    subject(name).ok_or_else(|| format!("no such project; there are {}", names()))
}
