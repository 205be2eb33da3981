//! What `list` and `@latest` say about the versions that are carried whole (SPEC M6, M7).

use crate::version::Version;
use alloc::string::String;
use alloc::vec::Vec;

/// The text of `list`: the tagged versions in ascending order, one line each; one empty line if there is none
/// (SPEC M6).
///
/// `whole` are the versions of one module with info, mod and zip; pseudo-versions among them are left out.
pub fn list<'a>(whole: impl IntoIterator<Item = &'a Version>) -> String {
    let mut tagged: Vec<&Version> = whole.into_iter().filter(|version| !version.is_pseudo()).collect();
    tagged.sort();
    let mut text = String::new();
    for version in &tagged {
        text.push_str(version.as_str());
        text.push('\n');
    }
    if tagged.is_empty() {
        text.push('\n');
    }
    text
}

/// The version that `@latest` means: the highest release, else the highest tagged pre-release, else the
/// pseudo-version with the newest timestamp (the last one by bytes among equals). `None` for no versions (SPEC M7).
pub fn latest<'a>(whole: impl IntoIterator<Item = &'a Version>) -> Option<&'a Version> {
    // Each version has exactly one of three ranks; within its rank one order decides.
    whole.into_iter().max_by(|a, b| {
        let (a_rank, b_rank) = (rank(a), rank(b));
        a_rank.cmp(&b_rank).then_with(|| match a_rank {
            Rank::Pseudo => (a.pseudo_timestamp(), a.as_str()).cmp(&(b.pseudo_timestamp(), b.as_str())),
            Rank::PreRelease | Rank::Release => a.cmp(b),
        })
    })
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Pseudo,
    PreRelease,
    Release,
}

fn rank(version: &Version) -> Rank {
    if version.is_pseudo() {
        Rank::Pseudo
    } else if version.is_pre_release() {
        Rank::PreRelease
    } else {
        Rank::Release
    }
}
