//! From the command line to the library, and from its answers to the console.

use crate::cli::{self, Cli, Command};
use crate::console::Console;
use modferry::bundle::{self, Summary};
use modferry::byte_size::{ByteSize, count};
use modferry::carrier::Directory;
use modferry::context::Context;
use modferry::env::{self, Form};
use modferry::error::{Error, ErrorKind, Result};
use modferry::show::show;
use modferry::verify::{Report, verify};
use modferry::why::why;
use modferry_format::header::Level;
use serde::Serialize;
use serde_json::json;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Does what the command line says.
pub(crate) fn run(cli: &Cli, context: &Context<'_>, console: &Console) -> Result<ExitCode> {
    let written = match &cli.command {
        Command::Bundle(arguments) => {
            let summary = bundle::bundle(&options(arguments)?, context)?;
            console.result(&Ok_::new(&summary), &summary_text(&summary, arguments.dry_run))
        }
        Command::Verify(of) => {
            let report = verify(&Directory::open(&of.path)?, context)?;
            console.result(&report, &report_text(&of.path, &report)).map_err(|error| output_error(&error))?;
            if !report.ok {
                console.verdict(&format!(
                    "{}: not good: {}",
                    of.path.display(),
                    count(report.findings.len() as u64, "finding")
                ));
            }
            return Ok(ExitCode::from(u8::from(!report.ok)));
        }
        Command::Show(of) => {
            let shown = show(&Directory::open(&of.path)?)?;
            console.result(&Ok_::new(&shown), &shown.to_string())
        }
        Command::Why(asked) => {
            let question = asked.module.parse()?;
            let answers = why(&Directory::open(&asked.path)?, &question)?;
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
    };
    written.map_err(|error| output_error(&error))?;
    Ok(ExitCode::SUCCESS)
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

fn options(arguments: &cli::Bundle) -> Result<bundle::Options> {
    let out = &arguments.out;
    if out == Path::new("-") || out.extension().is_some_and(|extension| extension == "tar") {
        let message =
            format!("{}: this version writes bundles as directories; tar files and streams come later", out.display());
        return Err(Error::new(ErrorKind::Usage, message)
            .hint("write a directory and pack it: tar --format=ustar -cf NAME.tar -C OUT ."));
    }
    let current_dir =
        std::env::current_dir().map_err(|error| Error::io(Path::new("."), "the current directory is gone", &error))?;
    Ok(bundle::Options {
        roots: arguments.roots.clone(),
        current_dir,
        out: PathBuf::from(out),
        level: match arguments.level {
            cli::Level::All => Level::All,
        },
        cache_dir: arguments.cache_dir.clone(),
        dry_run: arguments.dry_run,
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
        "modules  {} ({}, {} with zip)\nfiles    {}\nbytes    {} ({})\ntime     {:.1} s with {}, work space {} (freed)\n",
        counts.modules,
        count(counts.versions, "version"),
        counts.zips,
        counts.files,
        summary.bytes,
        ByteSize(summary.bytes),
        summary.seconds,
        summary.go,
        ByteSize(summary.work_bytes)
    ));
    if !summary.not_carried.is_empty() {
        let files = count(summary.not_carried.len() as u64, "file");
        text.push_str(&format!("missing  {files} of the closure, see modferry show\n"));
    }
    text
}

fn report_text(path: &Path, report: &Report) -> String {
    let id = report.id.as_deref().unwrap_or("without id");
    if report.ok {
        let (bytes, seconds) = (ByteSize(report.bytes), report.seconds);
        let files = count(report.files, "file");
        return format!("{}: ok: bundle {id}, {files}, {bytes}, {seconds:.1} s\n", path.display());
    }
    report.findings.iter().map(|finding| format!("{finding}\n")).collect()
}
