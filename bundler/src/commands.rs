//! From the command line to the library, and from its answers to the console.

mod import;
mod record;
mod verify;

use crate::cli::{self, Cli, Command};
use crate::console::Console;
use crate::from_recipe;
use modferry::bundle::{self, GoChoice, Output, Summary};
use modferry::byte_size::{ByteSize, count};
use modferry::carrier::{self, Carrier};
use modferry::context::Context;
use modferry::env::{self, Form};
use modferry::error::{Error, ErrorKind, Result};
use modferry::go_command;
use modferry::leftovers::remove_leftovers;
use modferry::mirror;
use modferry::rehearse::rehearse;
use modferry::show::{show, show_mirror};
use modferry::why::why;
use modferry_format::header::{DRAFT, FORMAT, Level};
use serde::Serialize;
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// What `--version --json` prints: also the format, and the go command that `bundle` would use here, with this `--go`.
pub(crate) fn version(go: Option<&str>, context: &Context<'_>) -> String {
    let of_program = |program: &Path| {
        let current = std::env::current_dir().unwrap_or_default();
        let settings = go_command::settings(program, &current, &context.environment, &context.interrupt);
        settings.ok().map(|settings| settings.version().to_owned())
    };
    let go = match go.map(str::parse) {
        Some(Ok(GoChoice::Path(path))) => of_program(&path),
        // What would be fetched, or was.
        Some(Ok(GoChoice::Version(version))) => Some(format!("go{version}")),
        Some(Err(_)) => None,
        None => go_command::find(&context.environment).ok().and_then(|program| of_program(&program)),
    };
    json!({ "ok": true, "version": env!("CARGO_PKG_VERSION"), "format": FORMAT, "draft": DRAFT, "go": go }).to_string()
}

/// Does what the command line says.
pub(crate) fn run(cli: &Cli, context: &Context<'_>, console: &Console) -> Result<ExitCode> {
    let written = match &cli.command {
        Command::Bundle(arguments) => {
            let mut stdout = io::stdout();
            let (arguments, current_dir) = &from_recipe::merged(arguments, context)?;
            let out = output(out_of(arguments)?, &mut stdout)?;
            let options = options(arguments, current_dir, context)?;
            let summary = match &arguments.like {
                Some(lock) => bundle::like(lock, &options, out, context)?,
                None => bundle::bundle(&options, out, context)?,
            };
            console.result(&Ok_::new(&summary), &summary_text(&summary, arguments.dry_run))
        }
        Command::Verify(of) => return verify::run(of, context, console),
        Command::Rehearse(of) => {
            let report = rehearse(&rehearse_options(of)?, context)?;
            console.result(&report, &report.to_string()).map_err(|error| output_error(&error))?;
            return Ok(ExitCode::from(u8::from(!report.ok)));
        }
        Command::Record(of) => return record::run(of, context, console),
        Command::RehearseInside => {
            let held = modferry::rehearse::inside(&mut io::stdin().lock(), &mut io::stdout().lock());
            return held.map(|()| ExitCode::SUCCESS).map_err(|error| output_error(&error));
        }
        Command::RemoveLeftovers { dir } => {
            let removed = remove_leftovers(dir);
            return removed.map(|()| ExitCode::SUCCESS).map_err(|error| Error::io(dir, "could not be removed", &error));
        }
        Command::Show(of) if mirror::is_mirror(&of.path) => {
            let shown = show_mirror(&of.path)?;
            console.result(&Ok_::new(&shown), &shown.to_string())
        }
        Command::Show(of) => {
            let shown = show(&*open(&of.path)?)?;
            console.result(&Ok_::new(&shown), &shown.to_string())
        }
        Command::Why(asked) => {
            let question = asked.module.parse()?;
            let answers = why(&*open(&asked.path)?, &question)?;
            console.result(&Ok_::new(&answers), &answers.to_string())
        }
        Command::Env(of) => {
            let settings = env::env(&of.path)?;
            let form = match of.form {
                cli::Form::All => Form::All,
                cli::Form::Shell => Form::Shell,
                cli::Form::Go => Form::Go,
                cli::Form::Docker => Form::Docker,
                cli::Form::Ci => Form::Ci,
            };
            console.result(&json!({ "ok": true, "env": settings.map() }), &settings.text(form))
        }
        Command::Serve(arguments) => {
            serve(arguments)?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Import(arguments) => return import::run(arguments, context, console),
    };
    written.map_err(|error| output_error(&error))?;
    Ok(ExitCode::SUCCESS)
}

fn rehearse_options(arguments: &cli::Rehearse) -> Result<modferry::rehearse::Options> {
    let here = |error: io::Error| Error::io(Path::new("."), "this program or directory could not be found", &error);
    Ok(modferry::rehearse::Options {
        path: arguments.path.clone(),
        roots: arguments.roots.clone(),
        current_dir: std::env::current_dir().map_err(here)?,
        command: arguments.command.clone(),
        level: arguments.level.map(level_of),
        compile: arguments.compile,
        program: std::env::current_exe().map_err(here)?,
    })
}

fn level_of(level: cli::Level) -> Level {
    match level {
        cli::Level::Build => Level::Build,
        cli::Level::Work => Level::Work,
        cli::Level::All => Level::All,
        cli::Level::Upgrade => Level::Upgrade,
        cli::Level::UpgradeEach => Level::UpgradeEach,
    }
}

/// Serves until a signal ends it.
fn serve(arguments: &cli::Serve) -> Result<()> {
    /// Events as lines on standard error; a reader that has gone away is no reason to stop.
    struct Lines;
    impl modferry_server::Events for Lines {
        fn event(&self, event: &modferry_server::Event<'_>) {
            let _ = writeln!(io::stderr().lock(), "{event}");
        }
    }
    let log = arguments.access_log.as_deref().map(|path| {
        let path = Some(path).filter(|path| *path != Path::new("-"));
        modferry_server::AccessLog::open(path, arguments.access_log_format).map(Arc::new)
    });
    let fitting = modferry_server::Settings::default();
    let settings = modferry_server::Settings {
        prefix: arguments.prefix.clone(),
        grace: Duration::from_secs(arguments.grace.into()),
        cache_bytes: arguments.cache_size.saturating_mul(1 << 20),
        timeouts: modferry_server::Timeouts {
            head: Duration::from_secs(arguments.head_timeout),
            idle: Duration::from_secs(arguments.idle_timeout),
            stall: Duration::from_secs(arguments.stall_timeout),
        },
        connections: arguments.connections,
        connections_per_address: arguments.connections_per_address,
        threads: arguments.threads.unwrap_or(fitting.threads),
        log: log.transpose().map_err(of_server)?,
        ..fitting
    };
    let (path, listen) = (arguments.path.clone(), arguments.listen.clone());
    modferry_server::run(modferry_server::Options { path, listen, settings }, Arc::new(Lines)).map_err(of_server)
}

/// An error of the server as one of ours.
fn of_server(error: modferry_server::Error) -> Error {
    let kind = match error.kind {
        modferry_server::ErrorKind::Usage => ErrorKind::Usage,
        modferry_server::ErrorKind::BundleInvalid => ErrorKind::BundleInvalid,
        modferry_server::ErrorKind::Unsupported => ErrorKind::Unsupported,
        _ => ErrorKind::Io,
    };
    let told =
        error.causes.iter().fold(Error::new(kind, error.message.clone()), |told, cause| told.because(cause.clone()));
    match error.hint {
        Some(hint) => told.hint(hint),
        None => told,
    }
}

/// A result with `"ok": true` before its own members.
#[derive(Serialize)]
struct Ok_<'a, T> {
    ok: bool,
    #[serde(flatten)]
    value: &'a T,
}

impl<'a, T> Ok_<'a, T> {
    fn new(value: &'a T) -> Self {
        Self { ok: true, value }
    }
}

fn output_error(error: &io::Error) -> Error {
    Error::new(ErrorKind::Io, "standard output: could not be written").because(error.to_string())
}

/// Opens a bundle in whichever form it is.
fn open(path: &Path) -> Result<Box<dyn Carrier>> {
    if mirror::is_mirror(path) {
        let message = format!("{}: is a mirror; this command reads bundles", path.display());
        return Err(Error::new(ErrorKind::Usage, message)
            .hint("verify, show, serve and env take mirrors; what came into one is in its bundles/"));
    }
    carrier::open(path, &std::env::temp_dir(), || {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            let error = Error::new(ErrorKind::Usage, "standard input: is a terminal; a tar is read from it");
            return Err(error.hint("cat NAME.tar | modferry verify -"));
        }
        Ok(Box::new(stdin))
    })
}

/// Endings of compressed tars; what a bundle mostly holds is compressed already.
const COMPRESSED: [&str; 5] = [".tar.gz", ".tgz", ".tar.xz", ".tar.zst", ".tar.bz2"];

/// Where a bundle goes, as the user says it.
fn out_of(arguments: &cli::Bundle) -> Result<&Path> {
    // A dry run makes nothing.
    let nowhere = arguments.dry_run.then_some(Path::new("nowhere"));
    arguments.out.as_deref().or(nowhere).ok_or_else(|| {
        Error::new(ErrorKind::Usage, "--output: is not given, so there is no place for the bundle")
            .hint("name a directory or NAME.tar: -o OUT, or output in modferry.toml")
    })
}

/// Where a bundle goes, by its name.
fn output<'a>(out: &Path, stdout: &'a mut io::Stdout) -> Result<Output<'a>> {
    if out == Path::new(carrier::STREAM) {
        if stdout.is_terminal() {
            let error = Error::new(ErrorKind::Usage, "standard output: is a terminal; no tar is written to it");
            return Err(error.hint("send it to a program or a file, or name an output: -o NAME.tar"));
        }
        return Ok(Output::Stream(stdout));
    }
    let name = out.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    if COMPRESSED.iter().any(|ending| name.ends_with(ending)) {
        let message = format!("{}: a bundle is not compressed, the zips in it are already", out.display());
        return Err(Error::new(ErrorKind::Usage, message).hint("name it NAME.tar, or a directory"));
    }
    let is_tar = out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tar"));
    Ok(if is_tar { Output::Tar(out.to_owned()) } else { Output::Directory(out.to_owned()) })
}

fn options(arguments: &cli::Bundle, current_dir: &Path, context: &Context<'_>) -> Result<bundle::Options> {
    // `go@1.26.8` as the go command has it, beside the flag.
    let (toolchains, roots): (Vec<&String>, Vec<&String>) =
        arguments.roots.iter().partition(|root| root.starts_with("go@"));
    let toolchain = |root: &&String| {
        root["go@".len()..].parse::<bundle::Wanted>().map_err(|words| {
            Error::new(ErrorKind::Usage, format!("{root}: names no toolchain")).because(format!("it should be {words}"))
        })
    };
    let toolchains = toolchains.iter().map(toolchain).collect::<Result<Vec<_>>>()?;
    let has_use =
        !toolchains.is_empty() || !arguments.toolchain.is_empty() || arguments.level == Some(cli::Level::Build);
    if !arguments.platform.is_empty() && !has_use {
        return Err(Error::new(
            ErrorKind::Usage,
            "--platform: is for toolchains and for level build, and neither is asked for",
        )
        .hint("add --toolchain auto, or --level build; what developers do takes modules of all platforms"));
    }
    if let (true, Some(base)) = (arguments.rehearse, &arguments.base) {
        let base = base.display();
        let message = format!("--rehearse: a bundle that counts on another ({base}) cannot be rehearsed alone");
        return Err(Error::new(ErrorKind::Usage, message).hint(
            "make it without --rehearse, import both into a mirror here, and rehearse that: modferry rehearse MIRROR ROOT",
        ));
    }
    let remembered = || context.environment.user_state_dir().map(|dir| dir.join("modferry/heads"));
    Ok(bundle::Options {
        roots: roots.into_iter().cloned().collect(),
        current_dir: current_dir.to_owned(),
        level: arguments.level.map(level_of),
        tools: arguments.tool.clone(),
        with_versions: arguments.with_versions.clone(),
        newest: arguments.newest,
        rehearse: arguments.rehearse.then(std::env::current_exe).transpose().map_err(|error| {
            Error::io(Path::new("modferry"), "this program could not be found, to be started for the rehearsal", &error)
        })?,
        cache_dir: arguments.cache_dir.clone(),
        dry_run: arguments.dry_run,
        go: arguments.go.clone(),
        toolchains: arguments.toolchain.iter().cloned().chain(toolchains).collect(),
        platforms: arguments.platform.clone(),
        fetch: match arguments.fetch {
            cli::Fetch::Ahead => bundle::Fetch::Ahead,
            cli::Fetch::Go => bundle::Fetch::Go,
        },
        no_record: arguments.no_record.clone(),
        without_checksum_database: arguments.without_checksum_database,
        base: arguments.base.clone(),
        heads: arguments.heads.clone().or_else(remembered),
        client_latest: arguments.client_latest.clone(),
        since_head: arguments.since_head,
        bridge: arguments.bridge.clone(),
    })
}

fn summary_text(summary: &Summary, dry_run: bool) -> String {
    let counts = &summary.counts;
    let mut text = String::new();
    if let (Some(id), Some(out)) = (&summary.id, &summary.out) {
        text.push_str(&format!("bundle   {id}\nin       {out}\n"));
    } else if dry_run {
        text.push_str("bundle   none, this was a dry run\n");
    } else {
        text.push_str("bundle   none, there is nothing to carry\n");
    }
    text.push_str(&format!(
        "modules  {} ({}, {} with zip)\nfiles    {}\nbytes    {} ({})\ntime     {:.1} s {}, work space {} (freed)\n",
        counts.modules,
        count(counts.versions, "version"),
        counts.zips,
        counts.files,
        summary.bytes,
        ByteSize(summary.bytes),
        summary.seconds,
        if summary.go == bundle::NO_GO { "without go".to_owned() } else { format!("with {}", summary.go) },
        ByteSize(summary.work_bytes)
    ));
    if !summary.not_carried.is_empty() {
        let files = count(summary.not_carried.len() as u64, "file");
        text.push_str(&format!("missing  {files} of the closure, see modferry show\n"));
    }
    text
}
