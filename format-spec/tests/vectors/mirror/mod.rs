//! What a mirror has of a database, and what may join it (SPEC M98 to M101).

mod made;

use crate::vector_file::{Row, VectorFile};
use modferry_format::BundlePath;
use modferry_format::database::Tile;
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::sumdb::mirror::{Signatures, in_order, is_same, join, parse, text};
use modferry_format::sumdb::refused::{Refused, Unproven};
use modferry_format::sumdb::{client, tree};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

/// M98: what is published under a name, and what a bundle brings under it.
pub(crate) fn write_once(file: &VectorFile) {
    for row in file.rows() {
        let path: BundlePath = row.text("path").parse().unwrap();
        let same = is_same(&path, row.bytes("published"), row.bytes("brought")).unwrap();
        row.judge(if same { Ok(()) } else { Err("an incident") });
    }
}

/// M99: the heads of a mirror and of a bundle, and the tiles that the two have.
pub(crate) fn one_log(file: &VectorFile) {
    let [(k, key), (m, mirror), (b, bundle), rest @ ..] = file.sections() else {
        panic!("{}: sections are missing", file.name)
    };
    assert_eq!([k, m, b].map(String::as_str), ["key", "mirror", "bundle"], "{}", file.name);
    let key: VerifierKey = std::str::from_utf8(key).unwrap().trim_end().parse().unwrap();
    let open = |note: &[u8]| Head::open(note, &key).unwrap();
    let (mirror, bundle) = (open(mirror), open(bundle));
    let (older, newer) = in_order(&mirror, &bundle);
    let (tiles, bridge): (Vec<_>, Vec<_>) = rest.iter().partition(|(name, _)| name.starts_with("tile/"));
    let tiles: BTreeMap<Tile, &[u8]> =
        tiles.into_iter().map(|(name, bytes)| (name.parse().unwrap(), bytes.as_slice())).collect();
    let joined = join(older, newer, |tile| Ok::<_, Infallible>(tiles.get(&tile)));
    let is_missing = matches!(joined, Err(Unproven::Refused(Refused::Missing { .. })));
    let is_fork = matches!(joined, Err(Unproven::Refused(Refused::Fork { .. })));
    file.judge(joined);
    let verdict = if is_missing {
        "needs-bridge"
    } else if is_fork {
        "fork"
    } else {
        ""
    };
    assert_eq!(file.key("verdict").unwrap_or_default(), verdict, "{}", file.name);
    // What helps is told where something is missing.
    let [(name, bridge)] = bridge[..] else {
        assert!(bridge.is_empty() && !is_missing, "{}: {bridge:?}", file.name);
        return;
    };
    assert_eq!(name, "bridge", "{}", file.name);
    let listed: BTreeSet<Tile> = String::from_utf8_lossy(bridge).lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(listed, tree::slice(newer.size(), [], [older.size()]), "{}", file.name);
}

/// M100: a mirror that is closed at `m`, joined with a slice for `n`: what clients miss in any state, whatever they look up.
pub(crate) fn base_state(file: &VectorFile) {
    for row in file.rows() {
        let (m, n) = (number(&row, "m"), number(&row, "n"));
        let (old_ids, ids) = (numbers(&row, "old-ids"), numbers(&row, "ids"));
        let (old_heads, heads) = (numbers(&row, "old-heads"), numbers(&row, "heads"));
        let mut there = tree::slice(m, old_ids.iter().copied(), old_heads.iter().copied());
        there.extend(tree::slice(n, ids.iter().copied(), heads.iter().copied()));
        // A lookup keeps the head of the bundle that brought it (M98).
        let old = old_ids.iter().map(|&id| (id, m));
        let mut lookups: Vec<(u64, u64)> = old.chain(ids.iter().map(|&id| (id, n))).collect();
        let stored: BTreeSet<u64> = old_heads.iter().chain(&heads).copied().chain([m, n]).collect();
        let mut missing = BTreeSet::new();
        // Those of the old bundle first, and last.
        for _ in 0..2 {
            missing.extend(client::reads(&stored, &lookups, |tile| there.contains(&tile)).unwrap().missing);
            lookups.reverse();
        }
        let expected: BTreeSet<Tile> =
            row.text("missing").split_whitespace().map(|tile| tile.parse().unwrap()).collect();
        assert_eq!(missing, expected, "{}", row.place);
        row.judge(if missing.is_empty() { Ok(()) } else { Err("it is not closed") });
    }
}

fn number(row: &Row<'_>, column: &str) -> u64 {
    row.text(column).parse().unwrap_or_else(|_| panic!("{}: {column}", row.place))
}

fn numbers(row: &Row<'_>, column: &str) -> BTreeSet<u64> {
    row.text(column).split_whitespace().map(|number| number.parse().unwrap()).collect()
}

/// M101, and of M98 what `latest` is.
pub(crate) fn heads(file: &VectorFile) {
    let [(k, key), (h, lines), latest @ ..] = file.sections() else { panic!("{}: sections are missing", file.name) };
    assert_eq!((k.as_str(), h.as_str()), ("key", "@heads"), "{}", file.name);
    let key: VerifierKey = std::str::from_utf8(key).unwrap().trim_end().parse().unwrap();
    let Some(read) = file.judge(parse(lines, &key, Signatures::All)) else { return };
    assert_eq!(text(&read).as_bytes(), lines, "{}", file.name);
    match (read.last(), latest) {
        (None, []) => {}
        (Some(newest), [(name, note)]) if name == "latest" => {
            assert_eq!(newest.head.note().as_bytes(), note, "{}", file.name);
        }
        _ => panic!("{}: latest is the note of the newest head", file.name),
    }
}
