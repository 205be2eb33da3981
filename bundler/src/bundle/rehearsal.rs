//! A rehearsal before the seal: a bundle that does not work is not made.

use crate::bundle::Options;
use crate::bundle::request::Request;
use crate::bundle::seal::{Content, Staging};
use crate::context::{Context, Event};
use crate::env;
use crate::error::{Error, ErrorKind, Result};
use crate::rehearse::{self, Subject};
use modferry_format::header::Header;
use std::fs;
use std::path::Path;

/// Where a bundle keeps what came of its rehearsal.
pub(crate) const RESULTS: &str = "extra/rehearsal/results.json";

/// Rehearses what is about to be sealed, laid out in `dir`; gives the file that says what was run.
pub(crate) fn rehearse(
    requests: &[Request],
    options: &Options,
    (staging, contents): (&Staging<'_>, &[Content]),
    header: &Header,
    dir: &Path,
    context: &Context<'_>,
) -> Result<Option<Content>> {
    let Some(program) = &options.rehearse else { return Ok(None) };
    context.progress.event(Event::Step("rehearsing"));
    staging.lay_out(contents, dir, context)?;
    // A tree without head files is served as a mirror is.
    let ledger = dir.join("ledger");
    fs::create_dir_all(&ledger).map_err(|error| Error::io(&ledger, "could not be made", &error))?;
    let roots = requests.iter().filter_map(|request| match request {
        Request::Directory(path) => Some(path.clone()),
        Request::Workspace(path) => path.parent().map(Path::to_owned),
        _ => None,
    });
    let asked = rehearse::Options {
        path: dir.to_owned(),
        roots: roots.collect(),
        current_dir: options.current_dir.clone(),
        command: Vec::new(),
        level: None,
        compile: false,
        program: program.clone(),
    };
    let subject =
        Subject { serve: dir.to_owned(), header: Some(header.clone()), settings: env::of_header(header, dir) };
    let report = rehearse::of(&subject, &asked, context)?;
    if report.ok {
        let passed = report.to_string();
        context.progress.event(Event::Note(passed.lines().last().unwrap_or_default()));
        return staging.extra(RESULTS, &report.kept()).map(Some);
    }
    let failed = report.results.iter().filter(|done| !done.ok && !done.as_stated);
    let error = Error::new(ErrorKind::Incomplete, "the rehearsal failed, so no bundle is made");
    let causes = failed.flat_map(|done| {
        let missing = done.missing.iter().map(|missing| format!("  missing {}; {missing}", missing.path));
        let words = done.words.last().map(|line| format!("  {line}"));
        std::iter::once(format!("{}: {}", done.root, done.command)).chain(missing).chain(words).collect::<Vec<_>>()
    });
    let causes: Vec<String> = causes.collect();
    Err(error
        .because_each(causes.into_iter())
        .hint("add what is missing, take another level, or mend the project; --rehearse asks for all of it"))
}
