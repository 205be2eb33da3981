//! `verify` in its three forms: a bundle, its closure, a mirror.

use super::{open, output_error};
use crate::cli;
use crate::console::Console;
use modferry::byte_size::{ByteSize, count};
use modferry::carrier::Carrier;
use modferry::context::Context;
use modferry::error::{Error, ErrorKind, Result};
use modferry::mirror;
use modferry::verify::{self, verify};
use modferry::verify_closure::{self, verify_closure};
use modferry::verify_mirror::{self, verify_mirror};
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::process::ExitCode;

/// Checks what the arguments name, and says what is wrong with it.
pub(super) fn run(of: &cli::Verify, context: &Context<'_>, console: &Console) -> Result<ExitCode> {
    let path = &of.path;
    if of.closure {
        let report = verify_closure(&*open_closure(of)?, context)?;
        return tell(console, path, &report, &report.findings, || closure_text(path, &report));
    }
    if mirror::is_mirror(path) {
        let report = verify_mirror(&mirror_options(of), context)?;
        return tell(console, path, &report, &report.findings, || mirror_text(path, &report));
    }
    let report = verify(&*open(path)?, context)?;
    tell(console, path, &report, &report.findings, || bundle_text(path, &report))
}

/// Prints what was found, a line each, or that all is good.
fn tell(
    console: &Console,
    path: &Path,
    report: &impl Serialize,
    findings: &[impl fmt::Display],
    good: impl FnOnce() -> String,
) -> Result<ExitCode> {
    let lines = || findings.iter().map(|finding| format!("{finding}\n")).collect();
    let text: String = if findings.is_empty() { good() } else { lines() };
    console.result(report, &text).map_err(|error| output_error(&error))?;
    if findings.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    console.verdict(&format!("{}: not good: {}", path.display(), count(findings.len() as u64, "finding")));
    Ok(ExitCode::from(1))
}

/// Opens the bundle whose closure is to be checked.
fn open_closure(of: &cli::Verify) -> Result<Box<dyn Carrier>> {
    if of.data {
        let error = Error::new(ErrorKind::Usage, "--closure: is for bundles, and --data for mirrors");
        return Err(
            error.hint("of a bundle, modferry verify without flags reads everything; --closure is a second run")
        );
    }
    if mirror::is_mirror(&of.path) {
        let message = format!("{}: is a mirror; --closure is for bundles", of.path.display());
        let error = Error::new(ErrorKind::Usage, message);
        return Err(error.hint("a mirror has no roots of its own; check each bundle before it is imported"));
    }
    open(&of.path)
}

fn bundle_text(path: &Path, report: &verify::Report) -> String {
    let id = report.id.as_deref().unwrap_or("without id");
    let (bytes, seconds) = (ByteSize(report.bytes), report.seconds);
    let files = count(report.files, "file");
    format!("{}: ok: bundle {id}, {files}, {bytes}, {seconds:.1} s\n", path.display())
}

fn closure_text(path: &Path, report: &verify_closure::Report) -> String {
    let (roots, versions) = (count(report.roots, "root"), count(report.versions, "version"));
    let path = path.display();
    let mut text = format!("{path}: closure complete: {roots}, {versions} in the graph, {} selected", report.selected);
    if report.lists > 0 {
        text.push_str(&format!(", {} without a graph", count(report.lists, "root")));
    }
    if report.not_carried > 0 {
        text.push_str(&format!(", {} not carried as the bundle says", count(report.not_carried, "file")));
    }
    text.push_str("; bytes were checked of go.mod files only\n");
    text
}

fn mirror_options(of: &cli::Verify) -> verify_mirror::Options {
    verify_mirror::Options {
        mirror: of.path.clone(),
        depth: if of.data { verify_mirror::Depth::Data } else { verify_mirror::Depth::Names },
        database_keys: of.database_key.clone(),
    }
}

fn mirror_text(path: &Path, report: &verify_mirror::Report) -> String {
    format!(
        "{}: ok: {}, {}, {}, {}, {} proven, {:.1} s\n",
        path.display(),
        count(report.bundles, "bundle"),
        count(report.versions, "version"),
        count(report.files, "file"),
        ByteSize(report.bytes),
        count(report.records, "record"),
        report.seconds
    )
}
