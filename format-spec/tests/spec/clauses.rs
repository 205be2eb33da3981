//! Every clause of SPEC.md is cited in the sources, and the other way round. That each has a vector is for the test
//! `vectors` to say.

use crate::{read, sources};
use std::collections::{BTreeMap, BTreeSet};

/// The clauses of SPEC.md: number, and whether it is for tools.
fn clauses() -> BTreeMap<u32, bool> {
    let mut clauses = BTreeMap::new();
    for line in read("SPEC.md").lines() {
        let Some(rest) = line.strip_prefix("**M") else { continue };
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap();
        let for_tools = rest[end..].starts_with(" (for tools). ");
        assert!(for_tools || rest[end..].starts_with(". "), "{line}");
        let number = rest[..end].parse().unwrap();
        assert!(clauses.insert(number, for_tools).is_none(), "M{number} stands twice in SPEC.md");
    }
    assert!(clauses.len() > 40);
    clauses
}

/// The numbers after each `SPEC M`; a range such as `M10 to M14` cites its ends, but covers nothing.
fn citations(source: &str) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let number = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse::<u32>().ok();
    let (mut single, mut ends) = (BTreeSet::new(), BTreeSet::new());
    for (at, found) in source.match_indices("SPEC M") {
        let rest = &source[at + found.len()..];
        let Some(first) = number(rest) else { continue };
        match rest.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix(" to M").and_then(number) {
            Some(last) => ends.extend([first, last]),
            None => _ = single.insert(first),
        }
    }
    (single, ends)
}

#[test]
fn every_clause_is_cited_where_it_is_obeyed() {
    let cited: BTreeSet<u32> = sources().iter().flat_map(|(_, source)| citations(source).0).collect();
    let here: BTreeSet<u32> = clauses().into_iter().filter(|(_, for_tools)| !for_tools).map(|(n, _)| n).collect();
    assert_eq!(here, cited, "left: clauses of SPEC.md that are not for tools; right: citations in src");
}

#[test]
fn every_citation_has_its_clause() {
    let clauses = clauses();
    for (name, source) in sources() {
        let (single, ends) = citations(&source);
        for number in single.union(&ends) {
            assert!(clauses.contains_key(number), "{name} cites SPEC M{number}, which is not there");
        }
    }
}

#[test]
fn every_rule_says_must() {
    let text = read("SPEC.md");
    let rules = text.split("\n**M").skip(1).map(|rule| rule.split("\n\n").next().unwrap());
    // A table between the words of a rule ends its paragraph; the rules over tables say it before.
    for rule in rules {
        assert!(rule.contains("MUST"), "M{rule}");
    }
}

#[test]
fn findings_have_their_names_and_their_order() {
    let source = read("src/finding.rs");
    let (_, kinds) = source.split_once("pub enum FindingKind {").unwrap();
    let kinds = kinds.split_once('}').unwrap().0.lines().filter_map(|line| line.trim().strip_suffix(','));
    let kebab = |kind: &str| {
        let words = kind.replace(|c: char| c.is_ascii_uppercase(), "-*");
        let upper = kind.chars().filter(char::is_ascii_uppercase);
        upper.fold(words, |text, c| text.replacen('*', &c.to_ascii_lowercase().to_string(), 1))[1..].to_owned()
    };
    let names: Vec<String> = kinds.map(|kind| format!("`{}`", kebab(kind))).collect();
    let spec = read("SPEC.md").replace('\n', " ");
    assert!(spec.contains(&names.join(", ")), "{}", names.join(", "));
}
