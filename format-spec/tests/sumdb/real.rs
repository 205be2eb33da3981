//! What sum.golang.org itself has signed and served.

use modferry_format::ModuleVersion;
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::sumdb::note::{self, NotOpened};
use modferry_format::sumdb::record::Lookup;

/// Size, root and signature of genuine heads.
pub(crate) const HEADS: [(u64, &str, &str); 4] = [
    (
        35_225_469,
        "vt5T6GaLCXvyHFl9VUvvItR43XZxfLgftEcTyO3eJCQ=",
        "Az3grpukl5AXaVfYkLiDGORx/DN2nlcS5kZHR5uYOBV2KA2HgXpD+gu9HHONebHLAyaKbbTM75QTtPydhKCExixSfwQ=",
    ),
    (
        63_096_908,
        "8lHrQPRYe4KT4WQ9/Qk8/taKnD6IRHbFgfN7vQE2Y54=",
        "Az3gri/oVBN1jAhNZ/iS+W31psFAWRT20/GyrhpU6taFwulQGetBkH5S7wpGXdS935jiIGiUUAXBVHzT/P6fYhqAmAk=",
    ),
    (
        66_398_721,
        "5oXTdOltbW8oy+WAHSPYkUE7FskIY/5ZJCYGy+buJ3g=",
        "Az3grkwAPWdf0j0QaqFdZ3Hg/pDusO9we04GR+upDAujfj+kau8VzeyO7Xqw0j0qZNnwMvwiV98DluG2iyB8t4v4WQU=",
    ),
    (
        71_999_284,
        "q5+IcsQ9SCXC+pYmNIRIRUbPnH/iVuVw/N2fPtPImqw=",
        "Az3grn4GNnbtrfETJem3Jr7ZbFYo1Azb5JCrPTzzbWdjm6kXry0pPHrWYdXd/NjK6NcWPMPjjUlE84sNCiwm4c98uwo=",
    ),
];

pub(crate) fn note((size, root, signature): (u64, &str, &str)) -> String {
    format!("go.sum database tree\n{size}\n{root}\n\n\u{2014} sum.golang.org {signature}\n")
}

/// The record that came with the second head.
const RECORD: &str = "\
60295460
github.com/go-chi/chi/v5 v5.3.2 h1:5YQkICvTCSZ25hoRsyJazN0scjzKGiu4VAUc7H1o1nY=
github.com/go-chi/chi/v5 v5.3.2/go.mod h1:R+tYY2hNuVUUjxoPtqUdgBqevM9s9njzkTLutVsOCto=

";

pub(crate) fn lookup() -> (String, ModuleVersion) {
    (format!("{RECORD}{}", note(HEADS[1])), "github.com/go-chi/chi/v5@v5.3.2".parse().unwrap())
}

#[test]
fn heads_open_with_the_built_in_key() {
    for (size, root, signature) in HEADS {
        let note = note((size, root, signature));
        let head = Head::open(note.as_bytes(), &VerifierKey::sum_golang_org()).unwrap();
        assert_eq!((head.size(), head.root().to_string().as_str()), (size, root));
        assert_eq!(head.note(), note);
        assert_eq!(Head::text(head.size(), head.root()), note.split_once("\n\n").unwrap().0.to_owned() + "\n");
    }
}

#[test]
fn every_altered_byte_of_a_head_is_refused() {
    let key = VerifierKey::sum_golang_org();
    let note = note(HEADS[3]).into_bytes();
    for at in 0..note.len() {
        for flip in [1, 2, 0x20, 0x80] {
            let mut altered = note.clone();
            altered[at] ^= flip;
            assert!(note::open(&altered, &key).is_err(), "{}", String::from_utf8_lossy(&altered));
        }
        assert!(note::open(&note[..at], &key).is_err());
    }
    let text = String::from_utf8(note).unwrap();
    let wrong = Err(NotOpened::WrongSignature(VerifierKey::SUM_GOLANG_ORG.into()));
    assert_eq!(note::open(text.replace("71999284", "71999285").as_bytes(), &key), wrong);
    assert_eq!(note::open(text.replace("q5+Ic", "q5+Id").as_bytes(), &key), wrong);
    assert_eq!(note::open(text.replace("uwo=", "uws=").as_bytes(), &key), wrong);
    let unknown = Err(NotOpened::NotSigned(VerifierKey::SUM_GOLANG_ORG.into()));
    assert_eq!(note::open(text.replace("Az3grn4", "Bz3grn4").as_bytes(), &key), unknown);
    assert_eq!(note::open(text.replace("sum.golang.org", "sum.golang.com").as_bytes(), &key), unknown);
}

#[test]
fn record_has_its_leaf_hash() {
    let (text, module) = lookup();
    let lookup = Lookup::parse(text.as_bytes(), &module).unwrap();
    assert_eq!(lookup.record.id, 60_295_460);
    assert_eq!(lookup.record.leaf().to_string(), "4+dvl88ARiok04NmAVC+NvykHmRdbC6KoiebzNIPExA=");
    assert_eq!(lookup.head(&VerifierKey::sum_golang_org()).unwrap().size(), 63_096_908);
    assert_eq!(lookup.to_string(), text);
}
