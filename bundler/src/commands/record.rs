//! `record`: from the command line to a list of roots, or to a bundle of them.

use super::{options, output, output_error, summary_text};
use crate::cli::{self, Cli, Command};
use crate::console::Console;
use clap::Parser;
use modferry::bundle;
use modferry::byte_size::count;
use modferry::context::{Context, Event};
use modferry::error::{Error, ErrorKind, Result, Warning};
use modferry::record::{Options, Recorded, record};
use serde_json::json;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// The go.sum of a recording that becomes a bundle; bundle.json names the root like this.
const SUMS: &str = "recorded.sum";

/// Records a command; its own failure is told once what it asked for is written.
pub(super) fn run(of: &cli::Record, context: &Context<'_>, console: &Console) -> Result<ExitCode> {
    let here =
        std::env::current_dir().map_err(|error| Error::io(Path::new("."), "the current directory is gone", &error))?;
    let kind = of.out.extension().and_then(OsStr::to_str);
    let is_bundle = !matches!(kind, Some("sum" | "txt"));
    if is_bundle {
        // What bundle would refuse is refused before the command runs.
        output(&of.out, &mut io::stdout())?;
        if of.out.symlink_metadata().is_ok() {
            let message = format!("{}: is there already, and is never overwritten", of.out.display());
            return Err(Error::new(ErrorKind::Usage, message).hint("name another output, or remove it"));
        }
    }
    let program = std::env::current_exe()
        .map_err(|error| Error::io(Path::new("modferry"), "this program could not be found", &error))?;
    let recorded = record(&Options { command: of.command.clone(), current_dir: here, program }, context)?;
    let out = of.out.display();
    let told = format!(
        "{} and {} of other versions, {} answered as absent",
        count(recorded.zips, "whole version"),
        count(recorded.go_mods, "go.mod file"),
        recorded.absent
    );
    let shown = if is_bundle {
        let summary = seal(&recorded, of, context)?;
        let json = json!({ "ok": recorded.ok, "recorded": recorded, "bundle": summary });
        console.result(&json, &format!("recorded {told}\n{}", summary_text(&summary, false)))
    } else {
        let is_list = kind == Some("txt");
        Recorded::write(&if is_list { recorded.roots() } else { recorded.sums.clone() }, &of.out)?;
        if !is_list && !recorded.aliases.is_empty() {
            let names = recorded.aliases.iter().cloned().collect::<Vec<_>>().join(" ");
            let hint = format!("name them beside it: modferry bundle {out} {names}");
            let message = format!("{out}: a go.sum has no place for {names}");
            context.progress.event(Event::Warning(&Warning::new(message, Some(&hint))));
        }
        let next = if is_list { format!("@{out}") } else { out.to_string() };
        console.result(&recorded, &format!("{out}: {told}\nnext: modferry bundle {next} -o OUT\n"))
    };
    shown.map_err(|error| output_error(&error))?;
    if !recorded.ok {
        let code = recorded.code.map_or_else(|| "by a signal".to_owned(), |code| format!("with exit code {code}"));
        console.verdict(&format!("{}: ended {code}; what it asked for until then is recorded", of.command[0]));
    }
    Ok(ExitCode::from(u8::from(!recorded.ok)))
}

/// Makes a bundle of what was recorded, as `modferry bundle recorded.sum MODULE@NAME... -o OUT` does.
fn seal(recorded: &Recorded, of: &cli::Record, context: &Context<'_>) -> Result<bundle::Summary> {
    let place = tempfile::tempdir()
        .map_err(|error| Error::io(&std::env::temp_dir(), "no directory could be made in it", &error))?;
    let sums = place.path().join(SUMS);
    Recorded::write(&recorded.sums, &sums)?;
    // An empty go.sum names nothing, and is no root.
    let roots = (!recorded.sums.is_empty()).then(|| sums.as_os_str()).into_iter();
    let roots: Vec<&OsStr> = roots.chain(recorded.aliases.iter().map(OsStr::new)).collect();
    if roots.is_empty() {
        let message = format!("{}: asked for no module, so there is no bundle to make", of.command.join(" "));
        return Err(Error::new(ErrorKind::Root, message)
            .hint("a program that uses another GOPROXY or GOMODCACHE than its environment says is not seen"));
    }
    let words = ["modferry", "bundle", "-o"].map(OsStr::new);
    let words = [&words[..], &[of.out.as_os_str(), OsStr::new("--")], &roots].concat();
    let Ok(Cli { command: Command::Bundle(arguments), .. }) = Cli::try_parse_from(words) else {
        return Err(Error::new(ErrorKind::Usage, format!("{}: is no name for a bundle", of.out.display())));
    };
    let here =
        std::env::current_dir().map_err(|error| Error::io(Path::new("."), "the current directory is gone", &error))?;
    let mut stdout = io::stdout();
    bundle::bundle(&options(&arguments, &here, context)?, output(&of.out, &mut stdout)?, context)
}
