//! `modferry record`: runs a command against a proxy of ours on loopback, and writes down every module version that it asked for.
//!
//! For what no recipe foresees: bazel, gazelle, editors, scripts. The command gets an empty module cache, so that it asks for
//! everything; the proxy gets what it has not seen yet from the user's module cache, where exact files are the same everywhere, and
//! from the proxies of GOPROXY.
//!
//! What comes out is a go.sum: each version with the h1 of what the command got, its zip or its go.mod alone. As a root of
//! `modferry bundle` that is exactly what was asked for, held to these hashes. Branches and hashes that were asked for stand beside
//! it, as roots such as `MODULE@main`: a go.sum has no place for them. What go gets past its proxy is not seen: `direct`,
//! and modules of GONOPROXY.

mod proxy;

use crate::context::{Context, Event};
use crate::error::{Error, ErrorKind, Result, Warning};
use crate::fetch::proxy_list::ProxyList;
use crate::go_command;
use crate::jobs;
use crate::leftovers::Leftovers;
use crate::module_cache;
use crate::source::Source;
use modferry_format::go_sum::{Line, Subject};
use modferry_format::{H1, ModuleVersion};
use modferry_prove::Prover;
use proxy::{Files, Proxy};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What to record.
#[derive(Debug, Clone)]
pub struct Options {
    /// The command with its arguments.
    pub command: Vec<String>,
    /// Where it runs.
    pub current_dir: PathBuf,
    /// This program, which is started once more to remove what is left in the end.
    pub program: PathBuf,
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
    /// Branches, tags and hashes that it asked for, as `MODULE@NAME`.
    pub aliases: BTreeSet<String>,
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
    let work = Leftovers::create(&options.program)?;
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
    let modules = work.path().join("modules");
    let proxy = Proxy { proxies, users, store, context, settings: &settings };
    let (status, seen) = proxy.during(|url| {
        context.progress.event(Event::Note(&format!("recording {}", options.command.join(" "))));
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&options.current_dir).env_clear().envs(context.environment.iter());
        command.env("GOPROXY", if is_direct { format!("{url},direct") } else { url.to_owned() });
        command.env("GOMODCACHE", &modules);
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
    let zips_of = |(version, files): (&ModuleVersion, &Files)| Some((version.clone(), files.zip.clone()?));
    let zips: Vec<(ModuleVersion, PathBuf)> = seen.versions.iter().filter_map(zips_of).collect();
    let zips = jobs::map(context.jobs, zips, |prover, (version, zip)| h1_of(version, zip, &modules, prover));
    let mut h1s = BTreeMap::new();
    for ((version, _), h1) in zips {
        // One that is refused is refused again when it is bundled.
        h1s.extend(h1?.map(|h1| (version, h1)));
    }
    let (mut sums, mut go_mods) = (String::new(), 0);
    for (version, files) in &seen.versions {
        match h1s.get(version) {
            Some(zip) => sums.push_str(&line(Subject::Zip(version.clone()), zip)),
            None => go_mods += u64::from(files.go_mod.is_some()),
        }
        if let Some(go_mod) = &files.go_mod {
            sums.push_str(&line(Subject::GoMod(version.clone()), go_mod));
        }
    }
    let (ok, code, zips) = (status.success(), status.code(), h1s.len() as u64);
    let versions: BTreeSet<ModuleVersion> = h1s.into_keys().collect();
    Ok(Recorded { ok, code, zips, go_mods, absent: seen.absent, aliases: seen.aliases, sums, versions })
}

/// The h1 of a zip that the command got: what go wrote down when it unpacked it, else made here; none of a bad zip.
fn h1_of(version: &ModuleVersion, zip: &Path, modules: &Path, prover: &mut Prover) -> Result<Option<H1>> {
    let of_go = module_cache::zip_file(modules, version).with_extension("ziphash");
    if let Some(h1) = fs::read_to_string(of_go).ok().and_then(|text| text.trim().parse().ok()) {
        return Ok(Some(h1));
    }
    let mut prove = || {
        let file = File::open(zip)?;
        let size = file.metadata()?.len();
        prover.prove(version, &Source::whole(file, size), size, None)
    };
    let proof = prove().map_err(|error| Error::io(zip, "could not be read, to be hashed", &error))?;
    Ok(proof.h1.ok())
}

impl Recorded {
    /// A list of roots, one per line, as `@FILE` takes it.
    pub fn roots(&self) -> String {
        let versions = self.versions.iter().map(ToString::to_string);
        versions.chain(self.aliases.iter().cloned()).map(|root| root + "\n").collect()
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
