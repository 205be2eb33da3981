//! The process of a rehearsal that has left the network: serves the bundle on its own loopback and runs the commands.

use super::{Denied, Done, Missing, Place, Plan, Said, Step, without_paths};
use crate::no_network;
use modferry_format::BundlePath;
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
use walkdir::WalkDir;

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
    /// A copy of this directory is there already, and what go commands change in one is put back.
    copied: Option<(PathBuf, PathBuf)>,
}

impl Stage<'_> {
    /// The command as the user would write it.
    fn name(&self, step: &Step) -> String {
        format!("{}{}", step.command.join(" "), step.note)
    }

    fn run(&mut self, step: &Step) -> io::Result<Done> {
        let place = self.place(step)?;
        self.log.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let started = Instant::now();
        let (mut ok, mut said) = (true, String::new());
        for command in step.before.iter().chain([&step.command]) {
            (ok, said) = self.command(command, step, &place)?;
            if !ok {
                break;
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        let (missing, words) = if ok { Default::default() } else { (self.missing(&said), self.words(&said, &place)) };
        if self.copied.as_ref().is_none_or(|(_, copy)| *copy != place) {
            // The copies of a large project would fill a disk.
            remove(&place)?;
        }
        Ok(Done { root: step.root.clone(), level: step.level, command: self.name(step), ok, seconds, missing, words })
    }

    fn place(&mut self, step: &Step) -> io::Result<PathBuf> {
        let (from, with_sums) = match &step.place {
            Place::Copy(from) => (from, true),
            Place::CopyWithoutSums(from) => (from, false),
            Place::NewModule => {
                let to = self.fresh()?;
                fs::write(to.join("go.mod"), "module modferry.invalid/rehearsal\n\ngo 1.21\n")?;
                return Ok(to);
            }
            Place::Empty => return self.fresh(),
        };
        // The user's own commands may change anything.
        if step.level.is_some()
            && let Some((_, copy)) = self.copied.as_ref().filter(|(copied, _)| copied == from)
        {
            put_back(from, copy, with_sums)?;
            return Ok(copy.clone());
        }
        if let Some((_, copy)) = self.copied.take() {
            remove(&copy)?;
        }
        let to = self.fresh()?;
        copy(from, &to)?;
        put_back(from, &to, with_sums)?;
        self.copied = step.level.is_some().then(|| (from.clone(), to.clone()));
        Ok(to)
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
        command.env("GOPROXY", &self.proxy).env("HTTP_PROXY", &self.refused).env("HTTPS_PROXY", &self.refused);
        command.env("NO_PROXY", "127.0.0.1,localhost").envs(step.variables.iter().cloned());
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

    /// The files that the command ran into: those in its words, else all that were asked for by an exact name.
    fn missing(&self, said: &str) -> Vec<Missing> {
        let asked = self.log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let asked: BTreeSet<BundlePath> = asked.into_iter().collect();
        let in_words = |path: &&BundlePath| {
            let text = path.to_string();
            let target = text.strip_prefix("download/").unwrap_or(&text);
            said.contains(target) || said.contains(&target.replace('!', "%21"))
        };
        let is_exact = |path: &&BundlePath| !matches!(path, BundlePath::List(_) | BundlePath::Latest(_));
        let mut named: Vec<&BundlePath> = asked.iter().filter(in_words).collect();
        if named.is_empty() {
            named = asked.iter().filter(is_exact).collect();
        }
        named.into_iter().take(MAX_MISSING).map(|path| self.bring(path)).collect()
    }

    fn bring(&self, path: &BundlePath) -> Missing {
        let add = match path {
            BundlePath::Zip(version)
                if self.plan.serve.join(BundlePath::Mod(version.clone()).to_string()).is_file() =>
            {
                format!("--level all; or {version} as a root")
            }
            BundlePath::Zip(version) | BundlePath::Mod(version) | BundlePath::Info(version) => format!("{version}"),
            BundlePath::Lookup(_, version) => format!("{version}; or GONOSUMDB names it, if it is private"),
            BundlePath::List(module) | BundlePath::Latest(module) => format!("{module}@latest"),
            BundlePath::Alias(module, alias) => format!("{module}@{alias}"),
            _ => "again, with --client-latest for what this machine has seen of the checksum database".to_owned(),
        };
        Missing { path: path.to_string(), add }
    }

    /// The last lines of what was said, without places of this machine.
    fn words(&self, said: &str, place: &Path) -> Vec<String> {
        let text = without_paths(said, &[(place, "."), (&self.plan.work, "$WORK"), (&self.plan.serve, "$BUNDLE")]);
        let text = text.replace(&self.proxy, "$GOPROXY");
        let lines: Vec<&str> =
            text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("go: downloading ")).collect();
        let last = &lines[lines.len().saturating_sub(MAX_LINES)..];
        last.iter().map(|line| line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()).collect()
    }
}

/// What go commands write, in the directory of a module or workspace.
const CHANGED: [&str; 4] = ["go.mod", "go.sum", "go.work", "go.work.sum"];

/// Puts back what go commands of a rehearsal change in a copy: go.mod and go.sum files, go.work, and a `vendor` that was made.
fn put_back(from: &Path, copy: &Path, with_sums: bool) -> io::Result<()> {
    let members = crate::bundle::members(&from.join("go.work"));
    for module in members.iter().map(String::as_str).chain([""]) {
        let (from, copy) = (from.join(module), copy.join(module));
        for name in CHANGED {
            let (original, changed) = (from.join(name), copy.join(name));
            if original.is_file() && (with_sums || !name.ends_with(".sum")) {
                fs::copy(&original, &changed)?;
                writable(&changed)?;
            } else if changed.exists() {
                fs::remove_file(&changed)?;
            }
        }
        if !from.join("vendor").exists() {
            remove(&copy.join("vendor"))?;
        }
    }
    Ok(())
}

/// Copies a tree, links as links, without the directories of version control.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let entries = WalkDir::new(from).min_depth(1).into_iter().filter_entry(|entry| {
        let name = entry.file_name();
        !(entry.file_type().is_dir() && (name == ".git" || name == ".hg" || name == ".svn"))
    });
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.path().strip_prefix(from).unwrap_or(entry.path()));
        let kind = entry.file_type();
        if kind.is_dir() {
            fs::create_dir_all(&target)?;
        } else if kind.is_symlink() {
            link(&leads_to(entry.path(), from)?, &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)?;
            writable(&target)?;
        }
    }
    Ok(())
}

/// Where a link of a copied tree leads: as it says within the tree, else to the place itself.
fn leads_to(link: &Path, tree: &Path) -> io::Result<PathBuf> {
    let said = fs::read_link(link)?;
    match fs::canonicalize(link) {
        Ok(place) if !place.starts_with(fs::canonicalize(tree)?) => Ok(place),
        // One that leads nowhere stays what it is.
        _ => Ok(said),
    }
}

#[cfg(unix)]
fn link(to: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(to, at)
}

#[cfg(not(unix))]
fn link(to: &Path, at: &Path) -> io::Result<()> {
    fs::copy(to, at).map(drop)
}

/// A tree of the module cache is read-only; commands write into go.mod and go.sum.
fn writable(file: &Path) -> io::Result<()> {
    let mut permissions = fs::metadata(file)?.permissions();
    if permissions.readonly() {
        #[cfg(unix)]
        std::os::unix::fs::PermissionsExt::set_mode(
            &mut permissions,
            0o600 | std::os::unix::fs::PermissionsExt::mode(&fs::metadata(file)?.permissions()),
        );
        #[cfg(not(unix))]
        permissions.set_readonly(false);
        fs::set_permissions(file, permissions)?;
    }
    Ok(())
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
