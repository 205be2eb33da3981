//! The process of a rehearsal that has left the network: serves the bundle on its own loopback and runs the commands.

use super::copies::{Tree, put_back};
use super::{Denied, Done, Missing, Place, Plan, Said, Step};
use crate::leftovers::remove;
use crate::no_network;
use modferry_format::{BundlePath, ModulePath};
use modferry_server::{Event, Events, Settings, Shutdown, Site, serve};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// Largest plan that is read, in bytes.
const MAX_PLAN_BYTES: u64 = 16 << 20;
/// Most that is kept of what a command says, in bytes; of it the last lines are told.
const MAX_SAID_BYTES: usize = 256 * 1024;
const MAX_LINES: usize = 8;
/// Most files that are named of one command.
const MAX_MISSING: usize = 20;

/// What was asked for and is not there.
#[derive(Default)]
struct Log(Mutex<Vec<BundlePath>>);

impl Events for Log {
    fn event(&self, event: &Event<'_>) {
        if let Event::Missing(path) = event {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push((*path).clone());
        }
    }
}

/// Reads a plan, leaves the network, and says how each command ended, a line of JSON each.
pub fn inside(plan: &mut dyn Read, out: &mut dyn Write) -> io::Result<()> {
    let mut text = Vec::new();
    plan.take(MAX_PLAN_BYTES).read_to_end(&mut text)?;
    let plan: Plan = serde_json::from_slice(&text)?;
    if plan.denied == Denied::BySystem
        && let Err(error) = no_network::leave()
    {
        return say(out, &Said::CannotLeave(error.to_string()));
    }
    let held = hold(&plan, out);
    if let Err(error) = held {
        say(out, &Said::Failed(error.to_string()))?;
    }
    Ok(())
}

fn hold(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    let site = Site::open(&plan.serve).map_err(io::Error::other)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // Whoever asks it for a connection is refused.
    let refusing = TcpListener::bind("127.0.0.1:0")?;
    let refused = format!("http://{}", refusing.local_addr()?);
    drop(refusing);
    let (log, shutdown) = (Arc::new(Log::default()), Shutdown::default());
    let settings = Settings { tells_missing: true, ..Settings::default() };
    thread::scope(|scope| {
        let (events, stop) = (Arc::clone(&log), shutdown.clone());
        let server = scope.spawn(move || serve(site, vec![listener], settings, &stop, events));
        let mut stage = Stage { plan, proxy: format!("http://{address}"), refused, log: &log, copies: 0, copied: None };
        let ran = plan.steps.iter().try_for_each(|step| {
            say(out, &Said::Begin(stage.name(step)))?;
            let done = stage.run(step)?;
            say(out, &Said::Done(done))
        });
        shutdown.now();
        match server.join() {
            Ok(served) => served.map(drop).map_err(io::Error::other).and(ran),
            Err(_) => Err(io::Error::other("the server ended")),
        }
    })
}

fn say(out: &mut dyn Write, said: &Said) -> io::Result<()> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}

struct Stage<'a> {
    plan: &'a Plan,
    proxy: String,
    refused: String,
    log: &'a Log,
    copies: u64,
    /// A copy of this tree is there already, and what go commands change in one is put back.
    copied: Option<(Tree, PathBuf)>,
}

/// Where a command runs, in what was made for it.
struct Spot {
    made: PathBuf,
    directory: PathBuf,
}

impl Stage<'_> {
    /// The command as the user would write it.
    fn name(&self, step: &Step) -> String {
        self.plan.places.hide(&format!("{}{}", step.command.join(" "), step.note))
    }

    fn run(&mut self, step: &Step) -> io::Result<Done> {
        let Spot { made, directory: place } = self.place(step)?;
        self.log.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let started = Instant::now();
        let (mut ok, mut said, mut is_last) = (true, String::new(), false);
        for (number, command) in step.before.iter().chain([&step.command]).enumerate() {
            is_last = number == step.before.len();
            (ok, said) = self.command(command, step, &place)?;
            if !ok {
                break;
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        let (mut missing, words) =
            if ok { Default::default() } else { (self.missing(&said), self.words(&said, &place)) };
        if self.copied.as_ref().is_none_or(|(_, copy)| *copy != made) {
            // The copies of a large project would fill a disk.
            remove(&made)?;
        }
        let is_download = is_last && step.command.starts_with(&["go", "mod", "download"].map(str::to_owned));
        let is_stated = |missing: &Missing| self.plan.not_carried.contains(&missing.path);
        let is_left_out = is_download && !missing.is_empty() && missing.iter().all(is_stated);
        let as_stated = !ok && (step.is_unresolved || is_left_out);
        if as_stated && step.is_unresolved {
            for missing in &mut missing {
                missing.add.clear();
                missing.note = "the bundle says so: the module does not resolve outside its workspace".to_owned();
            }
        }
        missing.truncate(MAX_MISSING);
        let (root, level, command) = (step.root.clone(), step.level, self.name(step));
        Ok(Done { root, level, command, ok, seconds, missing, words, as_stated })
    }

    fn place(&mut self, step: &Step) -> io::Result<Spot> {
        let alone = |made: PathBuf| Spot { directory: made.clone(), made };
        let (from, with_sums) = match &step.place {
            Place::Copy(from) => (from, true),
            Place::CopyWithoutSums(from) => (from, false),
            Place::NewModule => {
                let to = self.fresh()?;
                fs::write(to.join("go.mod"), "module modferry.invalid/rehearsal\n\ngo 1.21\n")?;
                return Ok(alone(to));
            }
            Place::Empty => return self.fresh().map(alone),
        };
        // The user's own commands may change anything.
        if step.level.is_some()
            && let Some((_, copy)) = self.copied.as_ref().filter(|(copied, _)| copied == from)
        {
            let directory = from.directory_in(copy);
            put_back(&from.directory, &directory, with_sums)?;
            return Ok(Spot { made: copy.clone(), directory });
        }
        if let Some((_, copy)) = self.copied.take() {
            remove(&copy)?;
        }
        let made = self.fresh()?;
        from.copy(&made, &self.plan.work)?;
        let directory = from.directory_in(&made);
        put_back(&from.directory, &directory, with_sums)?;
        self.copied = step.level.is_some().then(|| (from.clone(), made.clone()));
        Ok(Spot { made, directory })
    }

    fn fresh(&mut self) -> io::Result<PathBuf> {
        self.copies += 1;
        let to = self.plan.work.join(format!("place-{}", self.copies));
        fs::create_dir_all(&to)?;
        Ok(to)
    }

    /// Whether it ended well, and the end of what it said.
    fn command(&self, words: &[String], step: &Step, place: &Path) -> io::Result<(bool, String)> {
        let [program, arguments @ ..] = words else { return Ok((true, String::new())) };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(place.join(&step.below))
            .env_clear()
            .envs(self.plan.variables.iter().cloned());
        command.env("GOPROXY", &self.proxy);
        // Programs differ in the spelling that they read.
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            command.env(name, &self.refused);
        }
        for name in ["NO_PROXY", "no_proxy"] {
            command.env(name, "127.0.0.1,localhost");
        }
        command.envs(step.variables.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Ok((false, format!("{program}: could not be run: {error}"))),
        };
        let mut said = Vec::new();
        if let Some(mut stderr) = child.stderr.take() {
            let mut piece = [0; 16 * 1024];
            while let Ok(got @ 1..) = stderr.read(&mut piece) {
                said.extend_from_slice(&piece[..got]);
                let over = said.len().saturating_sub(MAX_SAID_BYTES);
                said.drain(..over);
            }
        }
        let status = child.wait()?;
        Ok((status.success(), String::from_utf8_lossy(&said).into_owned()))
    }

    /// The files that the command ran into: those in its words, else all that were asked for by an exact name, and what is
    /// asked of modules that are there: of others go only looks whether they are, as for the path above that of a module.
    fn missing(&self, said: &str) -> Vec<Missing> {
        let asked = self.log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let asked: BTreeSet<BundlePath> = asked.into_iter().collect();
        let in_words = |path: &&BundlePath| {
            let text = path.to_string();
            let target = text.strip_prefix("download/").unwrap_or(&text);
            said.contains(target) || said.contains(&target.replace('!', "%21"))
        };
        let is_exact = |path: &&BundlePath| {
            let Some(module) = path.module() else { return true };
            let versions = self.versions_dir(module);
            let is_above_another = versions.parent().is_some_and(Path::is_dir);
            versions.is_dir() || !matches!(path, BundlePath::List(_) | BundlePath::Latest(_)) && !is_above_another
        };
        // Of a package go names its own path first: what is meant is the module of ours that it is in.
        let meant = |path: &BundlePath| {
            let file = |path: &BundlePath| path.to_string().rsplit_once("/@").map(|(_, file)| file.to_owned());
            let own = path.module()?;
            if self.versions_dir(own).is_dir() {
                return None;
            }
            let module = own.as_str();
            let is_around = |other: &&BundlePath| {
                let around = other.module().filter(|other| self.versions_dir(other).is_dir());
                let below = around.and_then(|around| module.strip_prefix(around.as_str()));
                below.is_some_and(|below| below.starts_with('/')) && file(other) == file(path)
            };
            asked.iter().find(is_around)
        };
        let mut named: Vec<&BundlePath> = asked.iter().filter(in_words).collect();
        if named.is_empty() {
            named = asked.iter().filter(is_exact).collect();
        }
        let named: BTreeSet<&BundlePath> = named.into_iter().map(|path| meant(path).unwrap_or(path)).collect();
        named.into_iter().map(|path| self.bring(path)).collect()
    }

    /// Where the versions of a module lie, if there are any.
    fn versions_dir(&self, module: &ModulePath) -> PathBuf {
        let list = self.plan.serve.join(BundlePath::List(module.clone()).to_string());
        list.parent().map(Path::to_owned).unwrap_or_default()
    }

    fn bring(&self, path: &BundlePath) -> Missing {
        let (add, note): (Vec<String>, &str) = match path {
            BundlePath::Zip(_) if self.plan.not_carried.contains(&path.to_string()) => (
                Vec::new(),
                "the bundle says so: upstream does not give it, or gives another one than the checksum database has",
            ),
            BundlePath::Zip(version)
                if self.plan.serve.join(BundlePath::Mod(version.clone()).to_string()).is_file() =>
            {
                (vec!["--level all".to_owned(), version.to_string()], "")
            }
            BundlePath::Zip(version) | BundlePath::Mod(version) | BundlePath::Info(version) => {
                (vec![version.to_string()], "")
            }
            BundlePath::Lookup(_, version) => {
                (vec![version.to_string()], "one that is private has no record: GONOSUMDB or --no-record names it")
            }
            BundlePath::List(module) | BundlePath::Latest(module) => (vec![format!("{module}@latest")], ""),
            BundlePath::Alias(module, alias) => (vec![format!("{module}@{alias}")], ""),
            _ => (
                vec!["--client-latest FILE".to_owned()],
                "FILE is what this machine has seen of the checksum database: GOPATH/pkg/sumdb/NAME/latest",
            ),
        };
        Missing { path: path.to_string(), add, note: note.to_owned() }
    }

    /// The last lines of what was said, without places of this machine.
    fn words(&self, said: &str, place: &Path) -> Vec<String> {
        let text = self.plan.places.with([(&*place.to_string_lossy(), ".")]).hide(said);
        let text = text.replace(&self.proxy, "$GOPROXY");
        let lines: Vec<&str> =
            text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("go: downloading ")).collect();
        let last = &lines[lines.len().saturating_sub(MAX_LINES)..];
        last.iter().map(|line| line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()).collect()
    }
}
