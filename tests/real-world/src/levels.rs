//! Measures what each level of a closure costs on real projects, and which go commands work inside with it.
//!
//! 1. the sources of a project at a fixed version ([`projects`], `sources`)
//! 2. `modferry bundle ROOT --level LEVEL` for each level, with empty caches
//! 3. the commands that the level promises (`commands`), each in a fresh copy of the project, inside (`inside`)
//! 4. what failed inside is run with a network too (`outside`): only what works there has failed for want of a file
//! 5. the zips that none of the commands asked for
//! 6. the page that says all of it (`report`)

mod bundled;
mod commands;
mod inside;
mod outside;
pub mod projects;
mod rehearsals;
mod rehearsed;
mod report;
mod script;
mod sources;

pub use bundled::Bundled;
pub use inside::{INSIDE, execute};
pub use rehearsals::update_rehearsals;
pub use rehearsed::{Rehearsed, Verdict as Rehearsal, rehearse};
pub use report::update;
pub use script::{Judged, Script};

use crate::{Project, run, text};
use inside::{Answered, Plan};
use modferry_harness::Outcome;
use outside::Outside;
use projects::{Caches, Subject};
use serde::{Deserialize, Serialize};
use sources::remove;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;

/// The go of the levels that move to the newest versions, which ask for the newest go.
pub const NEWEST_GO: &str = "1.27.3";

/// A level of a closure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// What compiling asks for.
    Build,
    /// What a developer does.
    Work,
    /// What `go mod download all` asks for too.
    All,
    /// The newest versions too, all moved together.
    Upgrade,
    /// And each direct requirement moved alone.
    UpgradeEach,
}

impl Level {
    /// All of them, the smallest first.
    pub const ALL: [Self; 5] = [Self::Build, Self::Work, Self::All, Self::Upgrade, Self::UpgradeEach];
}

impl Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Build => "build",
            Self::Work => "work",
            Self::All => "all",
            Self::Upgrade => "upgrade",
            Self::UpgradeEach => "upgrade=each",
        })
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|level| level.to_string() == text);
        known.ok_or_else(|| format!("{text}: no level; one of build, work, all, upgrade, upgrade=each"))
    }
}

/// What is to be measured of a project.
#[derive(Debug, Clone)]
pub struct Options {
    /// The levels.
    pub levels: Vec<Level>,
    /// Other caches than the project's usual ones.
    pub caches: Option<Caches>,
    /// Whether commands of all levels up to `all` are run at each level, also where it does not promise them.
    pub beyond: bool,
}

/// What was measured of a project.
#[derive(Debug)]
pub struct Measured {
    /// The project.
    pub subject: Subject,
    /// The caches that its commands had.
    pub caches: Caches,
    /// Level by level.
    pub levels: Vec<AtLevel>,
}

/// What was measured at a level.
#[derive(Debug)]
pub struct AtLevel {
    /// The level.
    pub level: Level,
    /// The bundle, or why there is none.
    pub bundled: Outcome<Bundled>,
    /// The commands, in the order that they ran in.
    pub cells: Vec<Cell>,
    /// Zips that no promised command asked for, with their sizes.
    pub unread: BTreeMap<String, u64>,
    /// What the level before has of versions and this one has not.
    pub lacking: Vec<String>,
}

/// How a command went at a level.
#[derive(Debug)]
pub struct Cell {
    /// The command.
    pub script: Script,
    /// How it went.
    pub verdict: Verdict,
    /// The first file that was missing, where the command named one.
    pub missing: Option<String>,
    /// What the command said, or how its go.mod differs, where it did not pass.
    pub said: String,
}

/// How a command went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should.
    Passes,
    /// It fails inside and works outside.
    Fails,
    /// It works inside, and go.mod is another one than outside.
    Differs,
    /// It fails on both sides.
    FailsEverywhere,
}

/// Measures a project. `program` is the one that calls [`execute`] when its first argument is [`INSIDE`].
pub fn measure(program: &Path, subject: Subject, options: &Options) -> Outcome<Measured> {
    let directory = tempfile::tempdir().map_err(|error| format!("temporary directory: {error}"))?;
    let place = |name: &str| directory.path().join(name);
    let Project { module, version } = subject.project;
    say(&format!("{module}@{version}: fetching its sources, looking at it"));
    let sources = place("sources");
    sources::lay_out(&subject, &sources)?;
    let outside = Outside::new(&sources, &place("outside"))?;
    let scripts = commands::scripts(&subject, &outside.facts(&subject)?);
    let caches = options.caches.unwrap_or(subject.caches);
    let mut measured = Measured { subject, caches, levels: Vec::new() };
    for &level in &options.levels {
        say(&format!("  level {level}"));
        let bundle = place("bundle");
        let path = path_at(level)?;
        let bundled = bundled::bundle(&subject, &sources, level, &path, &bundle);
        let before = measured.levels.last().and_then(|before: &AtLevel| before.bundled.as_ref().ok());
        let lacking = match (&bundled, before) {
            (Ok(bundled), Some(before)) => bundled.lacks(before),
            _ => Vec::new(),
        };
        let mut at_level = AtLevel { level, bundled, cells: Vec::new(), unread: BTreeMap::new(), lacking };
        match &at_level.bundled {
            Err(error) => say(&format!("    no bundle: {error}")),
            Ok(bundled) => {
                say(&format!("    bundled in {:.1} s: {} zips", bundled.seconds, bundled.zips().len()));
                let is_over = |it: &&Script| it.last.is_some_and(|last| last < level);
                let is_wanted =
                    |it: &&Script| !is_over(it) && (it.level <= level || (options.beyond && it.level <= Level::All));
                let scripts: Vec<Script> = scripts.iter().filter(is_wanted).cloned().collect();
                let plan = Plan {
                    download: bundle.join("download"),
                    sources: sources.clone(),
                    work: place("inside"),
                    caches,
                    path: path.clone(),
                    scripts,
                };
                let answers = inside::enter(program, &plan)?;
                at_level.unread = unread(bundled, level, &plan.scripts, &answers);
                for (script, answered) in plan.scripts.into_iter().zip(answers) {
                    at_level.cells.push(judge(script, &answered, &outside, &path)?);
                }
            }
        }
        measured.levels.push(at_level);
        remove(&bundle)?;
    }
    Ok(measured)
}

/// What PATH is at a level, on both sides: with the newest go first where the newest versions are asked for.
fn path_at(level: Level) -> Outcome<String> {
    let path = std::env::var("PATH").map_err(|error| format!("PATH: {error}"))?;
    if level < Level::Upgrade {
        return Ok(path);
    }
    let mut command = Command::new("go");
    command.args(["env", "GOROOT"]).env("GOTOOLCHAIN", format!("go{NEWEST_GO}"));
    let root = text(&run(&mut command)?.stdout);
    Ok(format!("{}/bin:{path}", root.trim()))
}

/// Holds how a command went inside against how it goes outside, where that matters.
fn judge(script: Script, answered: &Answered, outside: &Outside, path: &str) -> Outcome<Cell> {
    let inside = &answered.ran;
    let (verdict, said) = match (inside.is_good, script.judged) {
        (true, Judged::ByExit | Judged::OrDifference) => (Verdict::Passes, String::new()),
        (true, Judged::ByGoMod) => {
            let outside = outside.run(&script, path)?;
            match outside.is_good && outside.go_mod == inside.go_mod {
                true => (Verdict::Passes, String::new()),
                false if outside.is_good => (Verdict::Differs, difference(&outside.go_mod, &inside.go_mod)),
                false => (Verdict::Differs, format!("fails with a network: {}", outside.said)),
            }
        }
        (false, _) => match outside.run(&script, path)?.is_good {
            true => (Verdict::Fails, inside.said.clone()),
            false => (Verdict::FailsEverywhere, inside.said.clone()),
        },
    };
    let missing = if inside.is_good { None } else { missing(&said, &answered.missed) };
    Ok(Cell { script, verdict, missing, said })
}

/// The lines that only one of two go.mod files has.
fn difference(outside: &Option<String>, inside: &Option<String>) -> String {
    let [outside, inside] = [outside, inside].map(|it| it.as_deref().unwrap_or_default());
    let only = |of: &str, other: &str, mark: &str| -> String {
        let other: BTreeSet<&str> = other.lines().collect();
        of.lines().filter(|line| !other.contains(line)).map(|line| format!("{mark} {}\n", line.trim())).collect()
    };
    only(outside, inside, "outside:") + &only(inside, outside, "inside: ")
}

/// The first file that was not there of those that go names in what it says: most that it asks for in vain is a guess.
fn missing(said: &str, missed: &[String]) -> Option<String> {
    let said = said.replace("%21", "!");
    missed.iter().find(|path| said.contains(*path)).cloned()
}

/// What is carried for the promised commands and asked for by none.
fn unread(bundled: &Bundled, level: Level, scripts: &[Script], answers: &[Answered]) -> BTreeMap<String, u64> {
    let mut zips = bundled.zips();
    for (_, answered) in scripts.iter().zip(answers).filter(|(script, _)| script.level <= level) {
        for path in &answered.read {
            zips.remove(path);
        }
    }
    zips
}

/// Tells the person who waits.
fn say(line: &str) {
    // Nobody is left to tell where this fails.
    let _ = writeln!(std::io::stderr(), "{line}");
}
