//! `modferry record`: runs a command against a proxy of ours on loopback, and writes down every module version that it asked for.
//!
//! For what no recipe foresees: bazel, gazelle, editors, scripts. The command gets an empty module cache, so that it asks for
//! everything; the proxy gets what it has not seen yet from the user's module cache, where exact files are the same everywhere, and
//! from the proxies of GOPROXY.
//!
//! What comes out is a go.sum: each version with the h1 of what the command got, its zip or its go.mod alone. As a root of
//! `modferry bundle` that is exactly what was asked for, held to these hashes. What go gets past its proxy is not seen: `direct`,
//! and modules of GONOPROXY.

mod proxy;

use crate::context::{Context, Event};
use crate::error::{Error, ErrorKind, Result, Warning};
use crate::fetch::proxy_list::ProxyList;
use crate::go_command;
use crate::module_cache;
use modferry_format::ModuleVersion;
use modferry_format::go_sum::{Line, Subject};
use proxy::Proxy;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What to record.
#[derive(Debug, Clone)]
pub struct Options {
    /// The command with its arguments.
    pub command: Vec<String>,
    /// Where it runs.
    pub current_dir: PathBuf,
}

/// What was recorded.
#[derive(Debug, Clone, Serialize)]
pub struct Recorded {
    /// Whether the command ended well.
    pub ok: bool,
    /// Its exit code, none where a signal ended it.
    pub code: Option<i32>,
    /// Versions of which it asked for the zip.
    pub zips: u64,
    /// Versions of which it asked for the go.mod alone.
    pub go_mods: u64,
    /// What it asked for that was nowhere.
    pub absent: u64,
    /// The text of a go.sum.
    #[serde(skip)]
    pub sums: String,
    /// Versions with zip.
    #[serde(skip)]
    pub versions: BTreeSet<ModuleVersion>,
}

/// Runs the command and records it. Its own failure is no error: what it asked for is recorded all the same.
pub fn record(options: &Options, context: &Context<'_>) -> Result<Recorded> {
    let [program, arguments @ ..] = &options.command[..] else {
        return Err(Error::new(ErrorKind::Usage, "record: no command").hint("modferry record -o roots.sum -- make ci"));
    };
    let go = go_command::find(&context.environment)?;
    let settings = go_command::settings(&go, &options.current_dir, &context.environment, &context.interrupt)?;
    let work = tempfile::Builder::new()
        .prefix("modferry-record-")
        .tempdir()
        .map_err(|error| Error::io(&std::env::temp_dir(), "no directory could be made in it", &error))?;
    let proxies = ProxyList::parse(settings.get("GOPROXY"));
    if proxies.entries.is_empty() {
        let message = format!("GOPROXY: is {:?}, which names no proxy", settings.get("GOPROXY"));
        return Err(Error::new(ErrorKind::Usage, message).hint(
            "what go gets from origins cannot be recorded; set GOPROXY to a proxy, the public Go mirror for instance",
        ));
    }
    let is_direct = proxies.is_direct;
    let users = module_cache::download_dir(Path::new(settings.get("GOMODCACHE")));
    let store = work.path().join("files");
    let proxy = Proxy { proxies, users, store, context, settings: &settings };
    let (status, seen) = proxy.during(|url| {
        context.progress.event(Event::Note(&format!("recording {}", options.command.join(" "))));
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&options.current_dir).env_clear().envs(context.environment.iter());
        command.env("GOPROXY", if is_direct { format!("{url},direct") } else { url.to_owned() });
        command.env("GOMODCACHE", work.path().join("modules"));
        let flags = format!("{} -modcacherw", settings.get("GOFLAGS"));
        command.env("GOFLAGS", flags.trim_start()).status().map_err(|error| {
            Error::new(ErrorKind::Usage, format!("{program}: could not be run")).because(error.to_string())
        })
    })?;
    context.interrupt.check()?;
    let patterns = settings.get("GONOPROXY");
    if !patterns.is_empty() && patterns != "none" {
        let message = format!("modules of GONOPROXY ({patterns}) are not recorded: go gets them past its proxy");
        let hint = "name them as roots, or record with GONOPROXY=none where a proxy has them";
        context.progress.event(Event::Warning(&Warning::new(message, Some(hint))));
    }
    let line = |subject, h1: &_| Line { subject, h1: *h1 }.to_string() + "\n";
    let mut sums = String::new();
    let (mut zips, mut go_mods) = (0, 0);
    for (version, files) in &seen.versions {
        match (&files.zip, &files.go_mod) {
            (Some(zip), _) => {
                zips += 1;
                sums.push_str(&line(Subject::Zip(version.clone()), zip));
            }
            (None, Some(_)) => go_mods += 1,
            (None, None) => {}
        }
        if let Some(go_mod) = &files.go_mod {
            sums.push_str(&line(Subject::GoMod(version.clone()), go_mod));
        }
    }
    let versions = seen.versions.iter().filter(|(_, files)| files.zip.is_some()).map(|(version, _)| version.clone());
    let (ok, code) = (status.success(), status.code());
    Ok(Recorded { ok, code, zips, go_mods, absent: seen.absent, sums, versions: versions.collect() })
}

impl Recorded {
    /// A list of roots, one per line, as `@FILE` takes it.
    pub fn roots(&self) -> String {
        self.versions.iter().map(|version| format!("{version}\n")).collect()
    }

    /// Writes a text beside its place and gives it its name.
    pub fn write(text: &str, file: &Path) -> Result<()> {
        let partial = file.with_extension("partial");
        let write = || {
            fs::write(&partial, text)?;
            fs::rename(&partial, file)
        };
        write().map_err(|error| Error::io(file, "could not be written", &error))
    }
}
