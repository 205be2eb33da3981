//! The table of rehearsals at the end of the page: a row for each project, of which a run replaces those that it rehearsed.

use super::projects::{SUBJECTS, Subject};
use super::report::{first_line, machine};
use super::{Level, Rehearsed};
use modferry_harness::{Outcome, at};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The levels that have a column.
const COLUMNS: [Level; 4] = [Level::Build, Level::Work, Level::All, Level::Upgrade];
/// Where the section begins.
const START: &str = "\n## Rehearsals\n";
/// What it begins with.
const HEAD: &str = "
Written by `cargo run --release -p modferry-real-world --bin rehearsals -- [PROJECT...]`: each bundle is judged by `modferry rehearse
BUNDLE PROJECT`, as a user would have it judged, with the commands that we say the level promises; the network is denied by the
system. How many passed, and the wall time. What did not stands below the table.

";

/// The part of the page that is this section, or nothing.
pub(super) fn section_of(page: &str) -> &str {
    page.find(START).map_or("", |start| &page[start..])
}

/// Puts the row of a project into the page.
pub fn update_rehearsals(page: &Path, subject: &Subject, rehearsed: &[Rehearsed]) -> Outcome<()> {
    let before = if page.exists() { fs::read_to_string(page).map_err(at(page))? } else { String::new() };
    let old = section_of(&before);
    let text = before[..before.len() - old.len()].to_owned() + &section(old, subject, rehearsed, &machine()?);
    fs::write(page, text).map_err(at(page))
}

fn section(old: &str, subject: &Subject, rehearsed: &[Rehearsed], machine: &str) -> String {
    let mut rows: BTreeMap<&str, String> = BTreeMap::new();
    let mut remarks: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let named = |line: &str, before: &str| {
        let name = line.strip_prefix(before)?.split([' ', ',']).next()?;
        SUBJECTS.iter().find(|subject| subject.name == name).map(|subject| subject.name)
    };
    for line in old.lines() {
        if let Some(name) = named(line, "| ") {
            rows.insert(name, line.to_owned());
        } else if let Some(name) = named(line, "- ") {
            remarks.entry(name).or_default().push(line.to_owned());
        }
    }
    // Levels that were not rehearsed now keep what they had.
    let old_row = rows.remove(subject.name).unwrap_or_default();
    let old_remarks = remarks.remove(subject.name).unwrap_or_default();
    let mut row = format!("| {} | {machine} |", subject.name);
    let mut failed = Vec::new();
    for (column, level) in COLUMNS.into_iter().enumerate() {
        let cell = match rehearsed.iter().find(|rehearsed| rehearsed.level == level).map(|found| &found.verdict) {
            None => {
                let before = format!("- {}, `{level}`: ", subject.name);
                failed.extend(old_remarks.iter().filter(|line| line.starts_with(&before)).cloned());
                old_row.split('|').nth(column + 3).unwrap_or_default().trim().to_owned()
            }
            Some(Err(why)) => {
                failed.push(format!("- {}, `{level}`: no bundle: {}", subject.name, first_line(why)));
                "no bundle".to_owned()
            }
            Some(Ok(verdict)) => {
                let lines = verdict.remarks().map(|line| first_line(&line));
                failed.extend(lines.map(|line| format!("- {}, `{level}`: {line}", subject.name)));
                format!("{} of {}, {:.0} s", verdict.passed(), verdict.commands, verdict.seconds)
            }
        };
        let _ = write!(row, " {cell} |");
    }
    rows.insert(subject.name, row);
    remarks.insert(subject.name, failed);
    let columns: Vec<String> = COLUMNS.iter().map(ToString::to_string).collect();
    let mut text =
        format!("{START}{HEAD}| project | | {} |\n|---|---|{}\n", columns.join(" | "), "---|".repeat(COLUMNS.len()));
    let order = || SUBJECTS.iter().map(|subject| subject.name);
    for row in order().filter_map(|name| rows.get(name)) {
        text += row;
        text.push('\n');
    }
    let remarks: Vec<String> = order().filter_map(|name| remarks.remove(name)).flatten().collect();
    if !remarks.is_empty() {
        let _ = write!(text, "\n{}\n", remarks.join("\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::Rehearsal;
    use super::*;

    #[test]
    fn a_run_replaces_the_rows_of_its_projects() {
        let rehearsed = |failed: Vec<String>| {
            [Rehearsed {
                level: Level::Work,
                verdict: Ok(Rehearsal { commands: 3, failed, stated: BTreeMap::new(), seconds: 2.4 }),
            }]
        };
        let [cobra, nats, ..] = &SUBJECTS;
        let first = section("", nats, &rehearsed(vec!["`go x`: missing `y`".into()]), "a day");
        let both = section(&first, cobra, &rehearsed(Vec::new()), "a day");
        assert!(
            both.contains("| cobra | a day |  | 3 of 3, 2 s |  |  |\n| nats-server | a day |  | 2 of 3, 2 s |  |  |\n"),
            "{both}"
        );
        assert!(both.ends_with("\n- nats-server, `work`: `go x`: missing `y`\n"), "{both}");
        let again = section(&both, nats, &rehearsed(Vec::new()), "a day");
        assert!(
            again.contains("| nats-server | a day |  | 3 of 3, 2 s |  |  |") && !again.contains("missing"),
            "{again}"
        );
        let stated = BTreeMap::from([("the bundle says so: it is not there".to_owned(), 2)]);
        let verdict = Ok(Rehearsal { commands: 9, failed: Vec::new(), stated, seconds: 7.0 });
        let third = section(&both, nats, &[Rehearsed { level: Level::All, verdict }], "a day");
        assert!(third.contains("| nats-server | a day |  | 2 of 3, 2 s | 7 of 9, 7 s |  |"), "{third}");
        let kept = "- nats-server, `work`: `go x`: missing `y`\n";
        let new = "- nats-server, `all`: 2 fail, and the bundle says so: it is not there\n";
        assert!(third.ends_with(&format!("\n{kept}{new}")), "{third}");
        let page = format!("# Page\n\n## cobra: x\n\nbody\n{again}");
        assert_eq!(section_of(&page), again);
        assert_eq!(section_of("# Page\n"), "");
    }
}
