//! Versions that upstream serves otherwise than the checksum database has them; `k8s.io/client-go@v12.0.0+incompatible` is one.
//!
//! - In the graph of a root such a version stops the bundle: inside, go would refuse every command. The error says which root
//!   needs it and through what. A `path@version` has two graphs, that of who requires it and its own as the main module.
//! - Elsewhere, as another version of a module or as what an upgrade would choose, it is left out, recorded and told of; what it
//!   was brought for goes on without it. Inside, whoever asks for it is told what go says outside.
//! - Where a go.sum is what disagrees, the bundle stops wherever it is: somebody has counted on those bytes.

use super::Resolver;
use crate::bundle::root::{Root, write};
use crate::error::{Error, ErrorKind, Result, Warning};
use crate::module_cache;
use modferry_format::go_sum::{GoSum, Line, Subject};
use modferry_format::{BundlePath, H1, ModuleVersion};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

/// What go calls a zip, before go 1.24 and since.
const ZIP_NOUNS: [&str; 2] = ["module", "zip"];

/// What go says wherever bytes are not those that somebody has stated.
pub(super) const SIGN: &str = "SECURITY ERROR";

/// A file whose bytes the checksum database contradicts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mismatch {
    /// Of which version.
    pub(crate) version: ModuleVersion,
    /// Whether it is the zip; else it is the go.mod, without which a version is nothing.
    pub(crate) is_zip: bool,
    /// What the database says.
    recorded: H1,
}

impl Mismatch {
    /// Where the file would lie in a bundle.
    pub(crate) fn path(&self) -> BundlePath {
        if self.is_zip { BundlePath::Zip(self.version.clone()) } else { BundlePath::Mod(self.version.clone()) }
    }

    /// A go.sum that has counted on other bytes than the log has stops everything, also about what is left out.
    pub(crate) fn judge(&self, statements: &[(String, GoSum)]) -> Result<()> {
        let version = self.version.clone();
        let subject = if self.is_zip { Subject::Zip(version) } else { Subject::GoMod(version) };
        for (who, sums) in statements {
            let expected = sums.expected(&subject);
            if let Some(other) = expected.first().filter(|_| !expected.contains(&self.recorded)) {
                let line = |h1| Line { subject: subject.clone(), h1 }.to_string();
                let message = format!("{}: {who} and the checksum database disagree", self.version);
                return Err(Error::new(ErrorKind::HashConflict, message)
                    .because(format!("{who}: {}", line(*other)))
                    .because(format!("the checksum database: {}", line(self.recorded)))
                    .hint("find out who changed the version or the go.sum"));
            }
        }
        Ok(())
    }

    /// The warning for what is left out.
    pub(crate) fn warning(&self) -> Warning {
        let (version, file) = (&self.version, if self.is_zip { "zip" } else { "go.mod" });
        Warning::new(
            format!("{version}: the {file} that upstream serves is not the one in the checksum database: left out"),
            Some("no root needs it; go refuses it here as well, and inside it will not be there"),
        )
    }

    /// Whether a line of a go.sum is of this file.
    fn is_of(&self, line: &str) -> bool {
        let part = if self.is_zip { "" } else { "/go.mod" };
        line.starts_with(&format!("{} {}{part} ", self.version.path(), self.version.version()))
    }

    /// All that go complains of. It names the database and what that says; where it names a go.sum, it is no matter of ours.
    fn all_in(lines: &[String]) -> BTreeSet<Self> {
        let words = |line: &str| line.trim().to_owned();
        lines
            .windows(3)
            .filter(|lines| words(&lines[1]).starts_with("downloaded: h1:"))
            .filter_map(|lines| {
                let by = words(&lines[2]);
                let (who, recorded) = by.split_once(": ")?;
                let recorded = recorded.trim().parse().ok().filter(|_| !who.ends_with(".sum"))?;
                Self::in_line(&lines[0], recorded)
            })
            .collect()
    }

    /// `PATH@VERSION: verifying NOUN: checksum mismatch`, at the end of a line.
    fn in_line(line: &str, recorded: H1) -> Option<Self> {
        let (before, noun) = line.trim_end().strip_suffix(": checksum mismatch")?.rsplit_once(": verifying ")?;
        let version = before.rsplit([' ', '\t', '(']).next()?.parse().ok()?;
        Some(Self { version, is_zip: ZIP_NOUNS.contains(&noun), recorded })
    }
}

impl Resolver<'_> {
    /// What no root needs is left out if go found it to contradict the checksum database; every other error remains one. Where
    /// it was fetched ahead, it is taken out of the child's cache, and out of the go.sum in `dir`: `go mod download -json` writes
    /// the hash there that it has just refused (seen with go 1.26.8), and would take it for verified the next time.
    pub(super) fn leave_out(&self, error: Error, dir: &Path, mismatched: &mut BTreeSet<Mismatch>) -> Result<()> {
        let found =
            if error.kind == ErrorKind::HashConflict { Mismatch::all_in(&error.causes) } else { BTreeSet::new() };
        if found.is_empty() {
            return Err(error);
        }
        let go_sum = dir.join("go.sum");
        if let Ok(text) = fs::read_to_string(&go_sum) {
            let is_good = |line: &&str| !found.iter().any(|mismatch| mismatch.is_of(line));
            let good: String = text.lines().filter(is_good).map(|line| format!("{line}\n")).collect();
            write(&go_sum, good.as_bytes())?;
        }
        for mismatch in found {
            let zip = module_cache::zip_file(self.module_cache, &mismatch.version);
            // What is not there is out already.
            let _ = fs::remove_file(zip.with_extension("ziphash"));
            let _ = fs::remove_file(zip);
            let _ = fs::remove_dir_all(module_cache::extracted_dir(self.module_cache, &mismatch.version));
            mismatched.insert(mismatch);
        }
        Ok(())
    }

    /// Says through which requirements a root comes to what go refused.
    pub(crate) fn with_chain(&self, root: &Root, error: Error) -> Error {
        if error.kind != ErrorKind::HashConflict {
            return error;
        }
        let found = Mismatch::all_in(&error.causes);
        let Some(first) = found.first() else { return error };
        let graph = root.restore().and_then(|()| self.plain.must(&root.scratch, &["mod", "graph"], &root.name));
        // Where the graph does not load, go names the requirements itself.
        let Ok(graph) = graph else { return error };
        match chain(&String::from_utf8_lossy(&graph.stdout), &first.version.to_string()) {
            Some(chain) => error.because(format!("{} is required by {}", first.version, chain.join(", by "))),
            None => error,
        }
    }
}

/// What go said first, or first of a mismatch: requirements or imports stand before that.
pub(super) fn told(error: &Error) -> String {
    let is_verdict = |cause: &&String| cause.contains(": verifying ");
    error
        .causes
        .iter()
        .find(is_verdict)
        .or(error.causes.first())
        .map(|cause| cause.trim().to_owned())
        .unwrap_or_default()
}

/// The shortest way from a version up to the main module, in the words of `go mod graph`.
fn chain<'g>(graph: &'g str, to: &str) -> Option<Vec<&'g str>> {
    let edges: Vec<(&str, &str)> = graph.lines().filter_map(|line| line.split_once(' ')).collect();
    let mut required_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, requires) in &edges {
        required_by.entry(requires).or_default().push(from);
    }
    let start = *required_by.keys().find(|version| **version == to)?;
    let (mut below, mut queue) = (BTreeMap::from([(start, start)]), VecDeque::from([start]));
    while let Some(version) = queue.pop_front() {
        if !version.contains('@') {
            let mut chain = vec![version];
            let mut at = version;
            while below[at] != start {
                at = below[at];
                chain.push(at);
            }
            chain.reverse();
            return Some(chain);
        }
        for from in required_by.get(version).into_iter().flatten() {
            if !below.contains_key(from) {
                below.insert(from, version);
                queue.push_back(from);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(words: &str) -> Vec<String> {
        let lines: Vec<String> = words.lines().map(str::to_owned).collect();
        Mismatch::all_in(&lines).iter().map(|mismatch| mismatch.path().to_string()).collect()
    }

    #[test]
    fn reads_what_go_says_of_the_database_and_not_of_a_go_sum() {
        let by = |noun: &str, who: &str| {
            format!(
                "go: a.test/m@v1.0.0 requires\n\tb.test/M@v1.2.0: verifying {noun}: checksum mismatch\n\
                 \tdownloaded: h1:AAAA\n\t{who}: h1:x8Smm/nH/joQGYwiTcJiJ8EQlqRKA3m6ZRdW70uEbsk=\n\nSECURITY ERROR\nThis download does NOT match."
            )
        };
        assert_eq!(found(&by("zip", "sum.golang.org")), ["download/b.test/!m/@v/v1.2.0.zip"]);
        assert_eq!(found(&by("module", "sum.golang.org")), ["download/b.test/!m/@v/v1.2.0.zip"]);
        assert_eq!(found(&by("go.mod", "sum.test/log")), ["download/b.test/!m/@v/v1.2.0.mod"]);
        assert!(found(&by("zip", "go.sum")).is_empty());
        assert!(found(&by("zip", "go.work.sum")).is_empty());
        assert!(
            found("verifying a.test/m@v1.0.0: checksum mismatch\n\tdownloaded: h1:A\n\tgo.sum:     h1:B").is_empty()
        );
    }

    #[test]
    fn a_chain_is_the_shortest_way_up() {
        let graph = "main.test/m a.test/a@v1.0.0\nmain.test/m go@1.21\na.test/a@v1.0.0 b.test/b@v1.0.0\n\
             b.test/b@v1.0.0 c.test/c@v1.0.0\na.test/a@v1.0.0 c.test/c@v1.0.0\nc.test/c@v1.0.0 b.test/b@v1.0.0\n";
        assert_eq!(chain(graph, "c.test/c@v1.0.0"), Some(vec!["a.test/a@v1.0.0", "main.test/m"]));
        assert_eq!(chain(graph, "a.test/a@v1.0.0"), Some(vec!["main.test/m"]));
        assert_eq!(chain(graph, "c.test/c@v1.1.0"), None);
    }
}
