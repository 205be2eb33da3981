//! Errors of readers, empty proofs, and messages that name the file at fault.

use crate::LOG;
use crate::proofs::Bundle;
use modferry_format::database::Tile;
use modferry_format::sumdb::prove::{Prover, consistent};
use modferry_format::sumdb::refused::{Refused, Unproven};
use std::collections::BTreeSet;
use std::convert::Infallible;

#[test]
fn the_empty_tree_needs_no_tile_and_has_none() {
    let head = LOG.head(0);
    let nothing = |_| -> Result<Option<Vec<u8>>, Infallible> { panic!("nothing to read") };
    assert_eq!(Prover::new(&head).prove(nothing).unwrap().files, 0);
    assert_eq!(consistent(&head, &head, nothing).unwrap().files, 0);
    let tile: Tile = "tile/8/0/000.p/1".parse().unwrap();
    assert_eq!(Prover::new(&head).file(tile), Err(Refused::NotInTree { tile, size: 0 }));
    assert!(Prover::new(&head).record(&LOG.record(0)).is_err());
}

#[test]
fn errors_of_the_reader_are_passed_on_with_the_file() {
    let bundle = Bundle::of(&LOG, 65_793, &[0].into(), &BTreeSet::new());
    for &bad in bundle.files.keys() {
        let mut prover = Prover::new(&bundle.head);
        prover.record(&bundle.records[0]).unwrap();
        let found = prover.prove(|tile| if tile == bad { Err("is on fire") } else { Ok(bundle.files.get(&tile)) });
        assert_eq!(found, Err(Unproven::Unread { tile: bad, error: "is on fire" }));
        assert_eq!(found.unwrap_err().to_string(), format!("{bad}: is on fire"));
    }
}

#[test]
fn claims_may_be_made_twice() {
    let bundle = Bundle::of(&LOG, 65_793, &[0, 65_792].into(), &[65_536, 300].into());
    let mut twice = bundle.clone();
    twice.records.extend(bundle.records.clone());
    twice.heads.extend(bundle.heads.clone());
    assert_eq!(twice.prove(), bundle.prove());
}

#[test]
fn messages_begin_with_the_file_at_fault() {
    let tile: Tile = "tile/8/0/002".parse().unwrap();
    let parent: Tile = "tile/8/1/000".parse().unwrap();
    let open: Tile = "tile/8/0/003.p/7".parse().unwrap();
    let record = LOG.record(7);
    let (older, newer) = (Box::new(LOG.head(3)), Box::new(LOG.head(9)));
    let root = newer.root();
    for (refused, message) in [
        (
            Refused::BeyondHead { module: record.module.clone(), id: 7, size: 5 },
            "lookup of example.com/m7@v1.0.0: record 7 is not in the tree of 5 records".to_owned(),
        ),
        (
            Refused::ForgedRecord { module: record.module, id: 7 },
            "lookup of example.com/m7@v1.0.0: the log has another text as record 7".to_owned(),
        ),
        (
            Refused::NewerHead { size: 9, of: 3 },
            "tree head of 9 records: cannot be proven by one of 3 records".to_owned(),
        ),
        (
            Refused::Fork { older: older.clone(), newer: newer.clone(), root },
            format!(
                "tree head 3 {}: contradicts tree head 9 {root}, whose first 3 records have the root {root}",
                older.root()
            ),
        ),
        (Refused::Missing { tile }, "tile/8/0/002: not there, and needed for the proof".to_owned()),
        (Refused::Length { tile: open, bytes: 8192 }, "tile/8/0/003.p/7: has 8192 bytes instead of 224".to_owned()),
        (
            Refused::Frontier { size: 775, tiles: vec![parent, open] },
            "frontier of the tree of 775 records: does not make the root of its head; it is tile/8/1/000, \
             tile/8/0/003.p/7"
                .to_owned(),
        ),
        (
            Refused::Frontier { size: 0, tiles: vec![] },
            "frontier of the tree of 0 records: does not make the root of its head".to_owned(),
        ),
        (Refused::ForgedTile { tile, parent }, "tile/8/0/002: has not the hash that tile/8/1/000 states".to_owned()),
        (Refused::ForgedPrefix { tile: open, of: tile }, "tile/8/0/003.p/7: does not begin as tile/8/0/002".to_owned()),
        (Refused::NotInTree { tile, size: 5 }, "tile/8/0/002: not a part of the tree of 5 records".to_owned()),
    ] {
        assert_eq!(refused.to_string(), message);
    }
}
