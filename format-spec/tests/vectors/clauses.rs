//! Every clause of SPEC.md has a vector or a named test, and every vector has its clause.

use crate::FOLDERS;
use crate::vector_file::{self, VectorFile};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Clauses that no vector can cover, with the test that does.
const NAMED_TESTS: [(&str, &str, &str); 3] = [
    ("M14", "tests/limits.rs", "manifest_ends_after_the_last_entry_it_may_have"),
    ("M21", "tests/limits.rs", "head_files_have_the_limits_of_the_spec"),
    ("M24", "tests/spec/worked.rs", "example_is_what_the_sources_make"),
];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn every_clause_has_a_vector_or_a_named_test() {
    let mut covered: BTreeSet<String> = BTreeSet::new();
    for folder in FOLDERS {
        for file in vector_file::names_in(&vector_file::root().join(folder)) {
            covered.extend(VectorFile::open(folder, &file).musts().map(str::to_owned));
        }
    }
    for (number, path, test) in NAMED_TESTS {
        assert!(read(path).contains(&format!("#[test]\nfn {test}()")), "{path} has no test {test}");
        covered.insert(number.to_owned());
    }
    // A rule for tools begins with `**M25 (for tools). `, every other one with `**M24. `.
    let spec = read("SPEC.md");
    let starts = spec.lines().filter_map(|line| line.strip_prefix("**")?.split_once(". "));
    let clauses: BTreeSet<String> =
        starts.map(|(number, _)| number.to_owned()).filter(|number| !number.contains(' ')).collect();
    assert_eq!(clauses, covered, "left: clauses of SPEC.md; right: what vectors and named tests cover");
}
