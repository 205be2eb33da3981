//! The worked example of SPEC.md and its worked numbers are what the sources make of them.

use crate::example;
use crate::read;
use data_encoding::BASE64;
use modferry_format::database::Tile;
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::sumdb::tree;
use modferry_format::{H1, ModulePath, readme};
use std::collections::{BTreeMap, BTreeSet};

const FENCE: &str = "\0";

/// The files that SPEC.md shows: a line with the name, an empty line, a block.
fn blocks() -> BTreeMap<String, Vec<u8>> {
    let text = read("SPEC.md");
    let (_, example) = text.split_once("\n## A complete example\n").unwrap();
    let (example, _) = example.split_once("\n## ").unwrap();
    // A fence is one mark from here on, so that a backtick begins a name.
    let example = example.replace("```", FENCE);
    let mut blocks = BTreeMap::new();
    for part in example.split("\n\n`").skip(1) {
        let (title, rest) = part.split_once(&format!("\n\n{FENCE}\n")).unwrap();
        let block = rest.split_once(FENCE).unwrap().0;
        let (name, how) = title.split_once('`').unwrap();
        let bytes = match how {
            " (without the last LF)" => block.strip_suffix('\n').unwrap().into(),
            " (in base64)" => BASE64.decode(block.replace('\n', "").as_bytes()).unwrap(),
            _ => block.into(),
        };
        assert!(blocks.insert(name.to_owned(), bytes).is_none(), "{name} twice");
    }
    blocks
}

#[test]
fn example_is_what_the_sources_make() {
    let (shown, made) = (blocks(), example::make());
    assert_eq!(shown.keys().collect::<Vec<_>>(), made.files.keys().collect::<Vec<_>>());
    for (name, bytes) in &made.files {
        assert_eq!(String::from_utf8_lossy(&shown[name]), String::from_utf8_lossy(bytes), "{name}");
        assert_eq!(&shown[name], bytes, "{name}");
    }
    assert_eq!(shown["README.txt"], readme::TEXT.as_bytes());
}

#[test]
fn example_has_the_id_and_hashes_that_the_text_names() {
    let (text, made) = (read("SPEC.md"), example::make());
    let go_mod = H1::of_go_mod(example::GO_MOD);
    for shown in [made.id.to_string(), made.id.hex(), made.zip_h1.to_string(), go_mod.to_string()] {
        assert!(text.contains(&format!("`{shown}`")), "{shown}");
    }
}

#[test]
fn worked_numbers_are_right() {
    // Where a line ends says nothing.
    let text = read("SPEC.md").replace('\n', " ");
    let path: ModulePath = "github.com/BurntSushi/toml".parse().unwrap();
    assert!(text.contains(&format!("`{path}` is `{}`", path.escaped())));
    let tile = Tile::new(0, 1_234_067, 56).unwrap();
    assert!(text.contains(&format!("Tile {} of level 0, 56 hashes wide, is `{tile}`", tile.index())));
    let slice: BTreeSet<Tile> = tree::slice(65_793, [0, 65_792], [65_536, 300]);
    let (_, shown) =
        text.split_once("For 65,793 records, ids 0 and 65,792 and heads 65,536 and 300 a slice is `").unwrap();
    let names = shown.split_once('`').unwrap().0.split(' ');
    assert_eq!(names.map(|name| format!("tile/8/{name}").parse().unwrap()).collect::<BTreeSet<Tile>>(), slice);
    assert!(text.contains(&format!("`{}`", VerifierKey::SUM_GOLANG_ORG)));
}
