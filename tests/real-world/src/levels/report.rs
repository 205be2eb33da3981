//! The page of all projects: one section each, of which a run replaces those that it measured.

use super::projects::{Caches, Kind};
use super::{AtLevel, Level, Measured, NEWEST_GO, Verdict, rehearsals};
use crate::{run, text};
use modferry_harness::{Outcome, at};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Lines of a go.mod that are shown where they differ.
const DIFFERENCES: usize = 6;
/// What the page begins with.
const HEAD: &str = "# Real projects at each level

Written by `cargo run --release -p modferry-real-world --bin levels -- [PROJECT...]`; a run replaces the sections of the projects
that it measured. Everything comes from the public Go mirror.

The first table of a project is what `modferry bundle --level LEVEL` carries, with the wall time from empty caches. *Unread* are
the zips that no command of the level asked for. The last column is what the closures had when they were made by hand, before
there were levels: *build* is `go mod download` there, *work* was called dev.

The second table is what works inside: every command in a fresh copy of the project, in a network namespace where a plain file
server of the bundle is all there is, with GOSUMDB at its default, the caches empty at first (*shared* caches are empty before the
first command of a level). **P** passes; **F** fails, and works with a network; **D** works, and go.mod is another one than the same
command writes with a network; **X** fails with a network too. A small letter is a command that this level does not promise, and
nothing stands for one that was not run. The commands that move requirements pass when go.mod is byte for byte the one
that they write with a network. What there is to say of single figures stands under Notes, by hand.
";
/// Names of unread zips that are printed; more say nothing that their number does not.
const NAMED: usize = 20;

/// Puts the sections of these projects into the page.
pub fn update(page: &Path, measured: &[Measured]) -> Outcome<()> {
    let before = if page.exists() { fs::read_to_string(page).map_err(at(page))? } else { String::new() };
    let mut sections = sections(&before);
    let machine = machine()?;
    for project in measured {
        let (heading, body) = section(project, &machine);
        sections.insert(heading, body);
    }
    let mut text = HEAD.to_owned();
    let place = |heading: &str| super::projects::SUBJECTS.iter().position(|subject| subject.name == name_in(heading));
    let mut sections: Vec<_> = sections.into_iter().collect();
    sections.sort_by_key(|(heading, _)| place(heading));
    for (heading, body) in sections.into_iter().filter(|(heading, _)| place(heading).is_some()) {
        let _ = write!(text, "\n## {heading}\n\n{}\n", body.trim());
    }
    text.push_str(tail(&before));
    if let Some(directory) = page.parent() {
        fs::create_dir_all(directory).map_err(at(directory))?;
    }
    fs::write(page, text).map_err(at(page))
}

/// What stands behind the projects, as it is: what people have to say of the figures, and the rehearsals.
fn tail(page: &str) -> &str {
    page.find("\n## Notes\n").map_or(rehearsals::section_of(page), |start| &page[start..])
}

/// The sections that a page has, by their headings; a project that moved to another version loses its old one.
fn sections(page: &str) -> BTreeMap<String, String> {
    let page = page.strip_suffix(tail(page)).unwrap_or(page);
    let sections = page.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'));
    let known = |heading: &str| super::projects::SUBJECTS.iter().any(|subject| heading_of(subject) == heading);
    sections
        .filter(|(heading, _)| known(heading))
        .map(|(heading, body)| (heading.to_owned(), body.to_owned()))
        .collect()
}

fn heading_of(subject: &super::projects::Subject) -> String {
    format!("{}: {}@{}", subject.name, subject.project.module, subject.project.version)
}

fn name_in(heading: &str) -> &str {
    heading.split_once(':').map_or(heading, |(name, _)| name)
}

fn section(project: &Measured, machine: &str) -> (String, String) {
    let subject = &project.subject;
    let mut body = format!("{machine}.");
    if project.caches == Caches::Shared {
        body += " Caches shared by the commands of a level.";
    }
    if project.levels.iter().any(|at_level| at_level.level >= Level::Upgrade) {
        let _ = write!(body, " Upgrades with go{NEWEST_GO}.");
    }
    if let Kind::Workspace { members, .. } = subject.kind {
        let _ = write!(
            body,
            " The module zip has its go.work and none of the members below `staging`; they are the published modules at \
             {members}, laid out where go.work names them, with the go.mod files of the repository: siblings are replaced by \
             directories."
        );
    }
    body += "\n\n";
    sizes(project, &mut body);
    body += "\n";
    commands(project, &mut body);
    remarks(project, &mut body);
    (heading_of(subject), body)
}

fn sizes(project: &Measured, body: &mut String) {
    *body += "| level | modules | versions | zips | MB of zips | MB in all | bundle s | unread zips | unread MB | by hand: zips, MB |\n";
    *body += "|---|---|---|---|---|---|---|---|---|---|\n";
    for at_level in &project.levels {
        let level = at_level.level;
        let earlier = project.subject.earlier.iter().find(|earlier| earlier.level == level);
        let by_hand = earlier.map_or(String::new(), |earlier| {
            let other = if earlier.is_other_version { " (another version)" } else { "" };
            format!("{}, {:.1}{other}", earlier.zips, earlier.megabytes)
        });
        let _ = match &at_level.bundled {
            Err(_) => writeln!(body, "| {level} | no bundle | | | | | | | | {by_hand} |"),
            Ok(bundled) => {
                let zips = bundled.zips();
                let (bytes, unread) = (zips.values().sum(), at_level.unread.values().sum());
                writeln!(
                    body,
                    "| {level} | {} | {} | {} | {:.1} | {:.1} | {:.1} | {} ({:.0} %) | {:.1} ({:.0} %) | {by_hand} |",
                    bundled.modules,
                    bundled.versions,
                    zips.len(),
                    megabytes(bytes),
                    megabytes(bundled.bytes),
                    bundled.seconds,
                    at_level.unread.len(),
                    percent(at_level.unread.len() as u64, zips.len() as u64),
                    megabytes(unread),
                    percent(unread, bytes),
                )
            }
        };
    }
}

fn commands(project: &Measured, body: &mut String) {
    // The longest list has the order of all: a level's commands are those of the level below and more.
    let Some(longest) = project.levels.iter().max_by_key(|at_level| at_level.cells.len()) else { return };
    let levels: Vec<String> = project.levels.iter().map(|at_level| at_level.level.to_string()).collect();
    let _ = writeln!(body, "| command | {} |\n|---|{}", levels.join(" | "), "---|".repeat(levels.len()));
    for row in &longest.cells {
        let cells: Vec<&str> = project.levels.iter().map(|at_level| letter(at_level, &row.script.name)).collect();
        let _ = writeln!(body, "| {} | {} |", code(&row.script.name), cells.join(" | "));
    }
}

fn letter(at_level: &AtLevel, name: &str) -> &'static str {
    let Some(cell) = at_level.cells.iter().find(|cell| cell.script.name == name) else { return "" };
    match (cell.verdict, cell.script.level <= at_level.level) {
        (Verdict::Passes, true) => "P",
        (Verdict::Fails, true) => "**F**",
        (Verdict::Differs, true) => "**D**",
        (Verdict::FailsEverywhere, true) => "X",
        (Verdict::Passes, false) => "p",
        (Verdict::Fails, false) => "f",
        (Verdict::Differs, false) => "d",
        (Verdict::FailsEverywhere, false) => "x",
    }
}

fn remarks(project: &Measured, body: &mut String) {
    let mut remarks = Vec::new();
    for at_level in &project.levels {
        let level = at_level.level;
        match &at_level.bundled {
            Err(error) => remarks.push(format!("`{level}`: {}", first_line(error))),
            Ok(bundled) => {
                for refused in &bundled.not_carried {
                    remarks.push(format!("`{level}`: not carried: {}", first_line(refused)));
                }
            }
        }
        remarks.extend(at_level.cells.iter().filter_map(|cell| remark(level, cell)));
        let unread: Vec<String> = at_level.unread.keys().map(|path| version_of(path)).collect();
        if (1..=NAMED).contains(&unread.len()) {
            remarks.push(format!("`{level}`: unread: {}", names(&unread)));
        }
        if !at_level.lacking.is_empty() {
            let (lacking, few) = (&at_level.lacking, &at_level.lacking[..at_level.lacking.len().min(NAMED)]);
            let more = if few.len() < lacking.len() { ", ..." } else { "" };
            let count = lacking.len();
            remarks
                .push(format!("`{level}`: has not, of what the level before has, {count} files: {}{more}", names(few)));
        }
    }
    if !remarks.is_empty() {
        *body += "\n";
    }
    for remark in remarks {
        let _ = writeln!(body, "- {remark}");
    }
}

/// What there is to tell of a command that did not pass.
fn remark(level: Level, cell: &super::Cell) -> Option<String> {
    let name = code(&cell.script.name);
    let why = match &cell.missing {
        Some(path) => format!("first missing `{path}`"),
        None => first_line(last_words(&cell.said)),
    };
    match cell.verdict {
        Verdict::Passes => None,
        Verdict::Fails => Some(format!("`{level}`, {name}: {why}")),
        Verdict::Differs => {
            let lines: Vec<&str> = cell.said.lines().take(DIFFERENCES).collect();
            Some(format!("`{level}`, {name}: another go.mod than with a network: {}", lines.join("; ")))
        }
        Verdict::FailsEverywhere => Some(format!("`{level}`, {name}: fails with a network too: {why}")),
    }
}

/// The line of what go said that tells most: the last one, where causes stand, without progress.
fn last_words(said: &str) -> &str {
    said.lines().rfind(|line| !line.trim().is_empty() && !line.starts_with("go: downloading")).unwrap_or(said)
}

pub(super) fn first_line(text: &str) -> String {
    // Addresses of a run are no figures of it.
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let words: Vec<&str> = line.split(' ').filter(|word| !word.contains("://127.0.0.1")).collect();
    words.join(" ").replace('|', "\\|")
}

fn names(paths: &[String]) -> String {
    paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ")
}

/// MODULE@VERSION of the path of a zip, still escaped.
fn version_of(path: &str) -> String {
    path.trim_end_matches(".zip").replacen("/@v/", "@", 1)
}

/// A name as code, unless it has code in it.
fn code(name: &str) -> String {
    if name.contains('`') { name.to_owned() } else { format!("`{name}`") }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// The day, the go command and how busy the machine is: times mean little without.
pub(super) fn machine() -> Outcome<String> {
    let mut command = Command::new("date");
    let day = text(&run(command.args(["-u", "+%F"]))?.stdout);
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    Ok(format!("{}, {}, {processors} processors at load {load}", day.trim(), crate::go_env("GOVERSION")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_found_again() {
        let heading = heading_of(&super::super::projects::SUBJECTS[0]);
        let page = format!("{HEAD}\n## {heading}\n\nbody\n\n## gone: example.com/gone@v1.0.0\n\nold\n");
        for tail_of_page in ["", "\n## Notes\n\nwords\n\n## Rehearsals\n\n| x |\n", "\n## Rehearsals\n\n| x |\n"] {
            let page = page.clone() + tail_of_page;
            let sections = sections(&page);
            assert_eq!(sections.len(), 1);
            assert_eq!(sections[&heading].trim(), "body");
            assert_eq!(tail(&page), tail_of_page);
        }
    }
}
