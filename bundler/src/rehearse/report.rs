//! What came of a rehearsal, as people, programs and bundles are told.

use modferry_format::header::Level;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How the network is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Denied {
    /// By the system: there is only a loopback, and nobody else on it.
    BySystem,
    /// By a proxy that refuses: a program that asks for no proxy gets through.
    ByProxy,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether every command ended well, but for those that fail for what the bundle says it leaves out.
    pub ok: bool,
    /// How the network was denied.
    pub denied: Denied,
    /// The go command.
    pub go: String,
    /// What was run, in order.
    pub results: Vec<Done>,
    /// Roots of the bundle that were not rehearsed, since nobody named their directory.
    pub left_out: Vec<String>,
}

/// One command and how it ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Done {
    /// The root.
    pub root: String,
    /// What its level promises.
    pub level: Option<Level>,
    /// The command, as the user would write it.
    pub command: String,
    /// Whether it ended well.
    pub ok: bool,
    /// Wall time in seconds.
    pub seconds: f64,
    /// Of a failure: the files that were not there.
    pub missing: Vec<Missing>,
    /// Of a failure: the end of what the command said, without paths of this machine.
    pub words: Vec<String>,
    /// Of a failure: whether the bundle says it. Either all that a `go mod download` misses are zips that upstream does not give,
    /// or the command is for a module of a workspace that does not resolve outside of it. Nothing that could be added mends it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub as_stated: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// A file that was asked for and not there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Missing {
    /// Its path in a bundle.
    pub path: String,
    /// Arguments of `modferry bundle` that bring it, beside those that the bundle was made with; each by itself is enough.
    pub add: Vec<String>,
    /// What else is to be known of it, or nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Done {
    /// Whether it ended well, or as the bundle says it will.
    pub(super) fn is_as_promised(&self) -> bool {
        self.ok || self.as_stated
    }
}

impl Report {
    /// What is kept in a bundle: without times, so that the same rehearsal has the same bytes.
    pub(crate) fn kept(&self) -> String {
        #[derive(Serialize)]
        struct Kept<'a> {
            go: &'a str,
            denied: Denied,
            commands: Vec<Passed<'a>>,
        }
        #[derive(Serialize)]
        struct Passed<'a> {
            root: &'a str,
            level: Option<Level>,
            command: &'a str,
            ok: bool,
            #[serde(skip_serializing_if = "is_false")]
            as_stated: bool,
        }
        let commands = self.results.iter();
        let commands = commands
            .map(|done| {
                let Done { root, level, command, ok, as_stated, .. } = done;
                Passed { root, level: *level, command, ok: *ok, as_stated: *as_stated }
            })
            .collect();
        // Plain texts become JSON always.
        let mut text =
            serde_json::to_string_pretty(&Kept { go: &self.go, denied: self.denied, commands }).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// What brings it.
impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.add.is_empty() {
            return f.write_str(&self.note);
        }
        write!(f, "bring it: modferry bundle ... {}", self.add.join("  or: ... "))?;
        if self.note.is_empty() { Ok(()) } else { write!(f, "  ({})", self.note) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut root = None;
        for done in &self.results {
            if root != Some(&done.root) {
                let level = done.level.map_or_else(String::new, |level| format!(" (level {level})"));
                writeln!(f, "{}{level}", done.root)?;
                root = Some(&done.root);
            }
            let verdict = match (done.ok, done.as_stated) {
                (true, _) => "ok  ",
                (false, true) => "left",
                (false, false) => "FAIL",
            };
            writeln!(f, "  {verdict} {:>7.1} s  {}", done.seconds, done.command)?;
            if done.ok {
                continue;
            }
            for missing in &done.missing {
                writeln!(f, "         missing {}\n           {missing}", missing.path)?;
            }
            if done.missing.is_empty() {
                writeln!(f, "         no file was missing: it fails for a reason of its own")?;
            }
            done.words.iter().try_for_each(|line| writeln!(f, "         | {line}"))?;
        }
        for root in &self.left_out {
            writeln!(f, "{root}\n  not rehearsed: name its directory, modferry rehearse BUNDLE DIRECTORY")?;
        }
        let failed = self.results.iter().filter(|done| !done.is_as_promised()).count();
        let left = self.results.iter().filter(|done| done.as_stated).count();
        let how = match self.denied {
            Denied::BySystem => "without any network",
            Denied::ByProxy => "with the network denied by a proxy alone",
        };
        let all = self.results.len();
        if left > 0 {
            let commands = if left == 1 { "1 command fails".to_owned() } else { format!("{left} commands fail") };
            writeln!(
                f,
                "{commands} as the bundle says: upstream does not give what they ask for, or their module does not resolve outside \
                 its workspace"
            )?;
        }
        match failed {
            0 => writeln!(f, "{} commands passed with {}, {how}", all - left, self.go),
            _ => writeln!(f, "{failed} of {all} commands failed with {}, {how}", self.go),
        }
    }
}
