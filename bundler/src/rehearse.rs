//! `modferry rehearse`: the real go does the work inside on a bundle or mirror alone, with the network denied.
//!
//! 1. **plan**: the roots in the header and the directories that the user names become commands, see `plan`
//! 2. **leave**: this program starts itself once more; that process leaves the network (`no_network`), serves the bundle on its
//!    own loopback and runs the commands one after the other, see `inside`. Where the system allows no namespace, the network is
//!    denied to go by a proxy that refuses everything, which is weaker and said so
//! 3. **judge**: a command passes if it ends well. For one that does not, the files that were asked for and not there are named,
//!    with what would bring them
//!
//! go has a module cache of its own, empty at first and shared by the commands: what one has fetched came from the bundle, too.
//! Nothing of this machine's module cache, go.env and GOFLAGS is there; compiled packages are.

mod copies;
mod copying;
mod inside;
mod places;
mod plan;
mod project;
mod report;

use copies::Tree;
pub use inside::inside;
use places::Places;
use plan::Place;
pub use report::{Denied, Done, Missing, Report};

use crate::bundle;
use crate::byte_size::ByteSize;
use crate::carrier::Directory;
use crate::context::{Context, Event};
use crate::env::{self, GoSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::go_command;
use crate::head::Head;
use crate::leftovers::Leftovers;
use crate::mirror;
use modferry_format::header::{Header, Level};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What to rehearse.
#[derive(Debug, Clone)]
pub struct Options {
    /// The bundle or mirror.
    pub path: PathBuf,
    /// Directories of modules or workspaces; none means those roots of a bundle that need no directory, and the current one.
    pub roots: Vec<PathBuf>,
    /// Where relative roots start.
    pub current_dir: PathBuf,
    /// The user's own command in the place of those of the level.
    pub command: Vec<String>,
    /// What is promised; none means what the bundle says of the root, or level `work`.
    pub level: Option<Level>,
    /// Whether packages are compiled, not loaded alone.
    pub compile: bool,
    /// This program, which is started once more.
    pub program: PathBuf,
}

/// What the process inside is told.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    /// What is served.
    serve: PathBuf,
    /// Where copies and caches are made.
    work: PathBuf,
    /// What texts do not say.
    places: Places,
    denied: Denied,
    /// Zips that the bundle says it leaves out.
    not_carried: BTreeSet<String>,
    /// The environment of all commands, without GOPROXY.
    variables: Vec<(String, String)>,
    steps: Vec<Step>,
}

/// One command, with where and how it is run.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Step {
    root: String,
    level: Option<Level>,
    place: Place,
    /// The directory in it, empty for the place itself.
    below: String,
    /// What makes the place ready; it must end well too.
    before: Vec<Vec<String>>,
    command: Vec<String>,
    /// Further variables.
    variables: Vec<(String, String)>,
    /// What is said of it beside its words.
    note: String,
    /// Whether the bundle says that its module does not resolve outside its workspace.
    is_unresolved: bool,
}

impl Step {
    fn new(root: &str, level: Option<Level>, place: Place, command: Vec<String>) -> Self {
        Self {
            root: root.to_owned(),
            level,
            place,
            below: String::new(),
            before: Vec::new(),
            command,
            variables: Vec::new(),
            note: String::new(),
            is_unresolved: false,
        }
    }

    /// The same after other commands, which are named.
    fn after<'c>(mut self, before: impl IntoIterator<Item = &'c str>) -> Self {
        let before: Vec<&str> = before.into_iter().collect();
        self.before = before.iter().map(|command| plan::words(command)).collect();
        self.note = format!(", after {}", before.join(" && "));
        self
    }
}

/// What the process inside says, a line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Said {
    /// The network cannot be left.
    CannotLeave(String),
    /// A command begins.
    Begin(String),
    /// It has ended.
    Done(Done),
    /// The work itself failed.
    Failed(String),
}

/// A tree that is rehearsed, with what is known of it.
pub(crate) struct Subject {
    /// Its directory, with `download/` in it.
    pub(crate) serve: PathBuf,
    /// The header of a bundle.
    pub(crate) header: Option<Header>,
    /// What go is told to use it.
    pub(crate) settings: GoSettings,
}

/// Rehearses a bundle or mirror. A failed command is no error: the report says so.
pub fn rehearse(options: &Options, context: &Context<'_>) -> Result<Report> {
    if options.path.is_file() {
        let message = format!("{}: is a tar; a rehearsal takes a directory", options.path.display());
        return Err(Error::new(ErrorKind::Usage, message).hint("unpack it: mkdir DIR && tar -xf NAME.tar -C DIR"));
    }
    let header = if mirror::is_mirror(&options.path) {
        None
    } else {
        Some(Head::read(&Directory::open(&options.path)?)?.header)
    };
    if let Some(base) = header.iter().flat_map(|header| &header.base).next() {
        let message = format!("{}: counts on bundle {base}, so it cannot be rehearsed alone", options.path.display());
        return Err(Error::new(ErrorKind::Usage, message)
            .hint("import both into a mirror and rehearse that: modferry rehearse MIRROR DIRECTORY"));
    }
    let serve = std::fs::canonicalize(&options.path)
        .map_err(|error| Error::io(&options.path, "its full path could not be found", &error))?;
    of(&Subject { serve, header, settings: env::env(&options.path)? }, options, context)
}

/// Rehearses a tree.
pub(crate) fn of(subject: &Subject, options: &Options, context: &Context<'_>) -> Result<Report> {
    let program = go_command::find(&context.environment)?;
    let settings = go_command::settings(&program, &options.current_dir, &context.environment, &context.interrupt)?;
    let work = Leftovers::create(&options.program)?;
    let planned = plan::plan(subject, options, work.path(), &settings, context)?;
    let mut plan = planned.plan;
    check_space(&plan)?;
    let results = match run(&plan, options, context)? {
        Some(results) => results,
        None => {
            context.progress.event(Event::Note(
                "this system lets nobody leave the network: it is denied by a proxy that refuses everything, which is weaker",
            ));
            plan.denied = Denied::ByProxy;
            run(&plan, options, context)?.unwrap_or_default()
        }
    };
    let ok = results.len() == plan.steps.len() && results.iter().all(Done::is_as_promised);
    let go = settings.version().to_owned();
    Ok(Report { ok, denied: plan.denied, go, results, left_out: planned.left_out })
}

/// There is room for the copy of each project, which is made one after the other.
fn check_space(plan: &Plan) -> Result<()> {
    let Some(free) = bundle::free_bytes(&plan.work) else { return Ok(()) };
    let mut seen: Vec<&Tree> = Vec::new();
    for step in &plan.steps {
        let (Place::Copy(tree) | Place::CopyWithoutSums(tree)) = &step.place else { continue };
        if seen.contains(&tree) {
            continue;
        }
        seen.push(tree);
        let needed = tree.bytes(&plan.work).map_err(|error| Error::io(&tree.directory, "could not be read", &error))?;
        if needed > free {
            let message = format!(
                "{}: has no room for a copy of {}: that takes {}, and {} are free",
                plan.work.display(),
                tree.directory.display(),
                ByteSize(needed),
                ByteSize(free),
            );
            return Err(Error::new(ErrorKind::NoSpace, message).hint(
                "set TMPDIR to a larger place, or take away what is built or downloaded there and no package needs",
            ));
        }
    }
    Ok(())
}

/// Runs the plan in a process of its own; none if that cannot leave the network.
fn run(plan: &Plan, options: &Options, context: &Context<'_>) -> Result<Option<Vec<Done>>> {
    let failed = |error: &std::io::Error| Error::io(&options.program, "could not be run for the rehearsal", error);
    let mut child = Command::new(&options.program)
        .arg("rehearse-inside")
        .env_clear()
        .envs(context.environment.iter())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| failed(&error))?;
    let text = serde_json::to_vec(plan).map_err(|error| failed(&error.into()))?;
    let told = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(&text));
    let (mut results, total) = (Vec::new(), plan.steps.len() as u64);
    let lines = child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines());
    let mut failure = None;
    for line in lines {
        if context.interrupt.is_set() {
            // What it has started ends with it: it is the first process of nothing else, and its children are told by the pipe.
            child.kill().map_err(|error| failed(&error))?;
            break;
        }
        let line = line.map_err(|error| failed(&error))?;
        match serde_json::from_str(&line).map_err(|error| failed(&error.into()))? {
            Said::CannotLeave(_) => {
                let _ = child.wait();
                return Ok(None);
            }
            Said::Begin(command) => {
                let done = results.len() as u64;
                context.progress.event(Event::Progress { done, total, bytes: 0, current: &command });
            }
            Said::Done(done) => results.push(done),
            Said::Failed(words) => failure = Some(words),
        }
    }
    let status = child.wait().map_err(|error| failed(&error))?;
    context.interrupt.check()?;
    if let Some(words) = failure {
        return Err(Error::new(ErrorKind::Io, "the rehearsal could not be held").because(words));
    }
    told.map_err(|error| failed(&error))?;
    if !status.success() {
        return Err(Error::new(ErrorKind::Io, format!("the rehearsal ended early: {status}")));
    }
    Ok(Some(results))
}
