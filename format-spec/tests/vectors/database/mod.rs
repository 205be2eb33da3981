//! Makes the vectors `check/database-*.txt`: bundles with parts of checksum databases, for which somebody has to sign.
//!
//! What each case should find is written beside it, not taken from the code under test. The vectors are files so that
//! other implementers have them; a test holds them to what is made here. To write them again:
//!
//! ```text
//! cargo test -p modferry-format --test vectors -- --ignored database_vectors_are_written
//! ```

mod bundle;
mod lookups;
mod proofs;
mod sound;
mod stated;

use crate::vector_file;
use bundle::Bundle;
use std::fs;

/// Folder of the vectors, and what their names begin with.
const FOLDER: &str = "check";
const PREFIX: &str = "database-";

/// One vector.
struct Case {
    /// Without prefix and `.txt`.
    name: &'static str,
    must: &'static str,
    verdict: &'static str,
    about: &'static str,
    bundle: Bundle,
    /// How much of a bundle with a base is left to the import.
    left: u64,
    /// Kinds and subjects, in their order.
    findings: Vec<(&'static str, String)>,
}

impl Case {
    fn good(name: &'static str, must: &'static str, about: &'static str, bundle: Bundle) -> Self {
        Self { name, must, verdict: "valid", about, bundle, left: 0, findings: Vec::new() }
    }

    fn bad<const N: usize>(
        name: &'static str,
        must: &'static str,
        about: &'static str,
        bundle: Bundle,
        findings: [(&'static str, String); N],
    ) -> Self {
        Self { name, must, verdict: "invalid", about, bundle, left: 0, findings: findings.into() }
    }

    /// Go takes it, or would if it looked.
    fn stricter(self) -> Self {
        Self { verdict: "stricter", ..self }
    }

    fn left(self, left: u64) -> Self {
        Self { left, ..self }
    }

    fn text(&self) -> String {
        let mut text = format!("must: {}\nexpect: {}\n", self.must, self.verdict);
        if self.left > 0 {
            text += &format!("left: {}\n", self.left);
        }
        text += &format!("about: {}\n\n{}-- findings --\n", self.about, self.bundle.sections());
        text + &self.findings.iter().map(|(kind, subject)| format!("{kind}\t{subject}\n")).collect::<String>()
    }
}

/// All vectors by the names of their files, sorted.
fn vectors() -> Vec<(String, String)> {
    let cases = [sound::cases(), stated::cases(), lookups::cases(), proofs::cases()].into_iter().flatten();
    let mut vectors: Vec<(String, String)> =
        cases.map(|case| (format!("{PREFIX}{}.txt", case.name), case.text())).collect();
    vectors.sort();
    assert!(vectors.windows(2).all(|two| two[0].0 < two[1].0), "two cases of one name");
    vectors
}

fn there() -> Vec<String> {
    let mut names = vector_file::names_in(&vector_file::root().join(FOLDER));
    names.retain(|name| name.starts_with(PREFIX));
    names
}

#[test]
fn database_vectors_are_what_is_made_here() {
    let vectors = vectors();
    assert_eq!(there(), vectors.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    for (name, text) in vectors {
        assert!(fs::read_to_string(vector_file::root().join(FOLDER).join(&name)).unwrap() == text, "{name} is stale");
    }
}

#[test]
#[ignore = "writes the vectors"]
fn database_vectors_are_written() {
    let folder = vector_file::root().join(FOLDER);
    there().iter().for_each(|name| fs::remove_file(folder.join(name)).unwrap());
    vectors().iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
}
