//! No parser panics, whatever it is given.

use crate::strategies::*;
use modferry_format::bundle_path::{Alias, ExtraPath};
use modferry_format::check::Checker;
use modferry_format::database::{DatabaseName, Tile};
use modferry_format::go_mod::GoMod;
use modferry_format::go_sum::{GoSum, Line};
use modferry_format::header::Header;
use modferry_format::info::Info;
use modferry_format::manifest::Reader;
use modferry_format::requires::{Head, Requires};
use modferry_format::root::{Root, is_signature_name};
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::sumdb::mirror;
use modferry_format::zip_names::ZipNames;
use modferry_format::{BundlePath, FileSha256, H1, ModulePath, ModuleVersion, Version, json, patterns};
use proptest::collection::vec;
use proptest::prelude::*;
use std::fmt::Display;
use std::str::FromStr;

/// Parses; an error can be shown.
fn parse<T: FromStr<Err: Display>>(text: &str) {
    if let Err(error) = text.parse::<T>() {
        assert!(!error.to_string().is_empty());
    }
}

fn parse_as_everything(text: &str) {
    parse::<ModulePath>(text);
    parse::<Version>(text);
    parse::<ModuleVersion>(text);
    parse::<BundlePath>(text);
    parse::<Alias>(text);
    parse::<ExtraPath>(text);
    parse::<DatabaseName>(text);
    parse::<Tile>(text);
    parse::<FileSha256>(text);
    parse::<H1>(text);
    parse::<Line>(text);
    parse::<Root>(text);
    parse::<Requires>(text);
    parse::<Head>(text);
    let _ = ModulePath::from_escaped(text);
    let _ = Version::from_escaped(text);
    let _ = GoSum::parse(text);
    let _ = GoMod::parse(text).is_pruned();
    let _ = is_signature_name(text);
    let _ = Reader::default().entry(text, text);
    let _ = patterns::check(text);
    let _ = patterns::matches(text, text);
    let version = "a.b/c@v1.0.0".parse().unwrap();
    let mut names = ZipNames::new(&version);
    let _ = names.add(text, u64::MAX);
    let _ = names.add(&format!("{version}/{text}"), u64::MAX);
    parse_bytes(text.as_bytes());
}

fn parse_bytes(bytes: &[u8]) {
    let _ = mirror::parse(bytes, &VerifierKey::sum_golang_org(), mirror::Signatures::All);
    let _ = Info::from_upstream(bytes);
    let _ = Info::from_canonical(bytes);
    let _ = Header::parse(bytes);
    let _ = json::parse(bytes);
    let _ = H1::of_go_mod(bytes);
}

/// A piece of any grammar, so that a mix of them comes near to what parses.
fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "v1.0.0",
        "v0.0.0-",
        "20170915032832",
        "-",
        "+incompatible",
        "/go.mod",
        "@v/",
        "@latest",
        "download/",
        "sumdb/",
        "extra/",
        "tile/8/0/",
        "x001/",
        ".p/",
        "lookup/",
        "a.b",
        "gopkg.in/",
        ".v1",
        "/v2",
        "!",
        "\n",
        " ",
        "  ",
        "\t",
        "h1:",
        "[modules]",
        "[heads]",
        "require",
        "(",
        ")",
        "//",
        "\"",
        "`",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"Version\"",
        "\"format\":1",
        "é",
        "\u{212a}",
        "\0",
        "~1",
        ".",
        "..",
        "BUNDLE.",
        ".sig",
    ];
    proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn on_any_text(text in any::<String>()) {
        parse_as_everything(&text);
    }

    #[test]
    fn on_any_bytes(bytes in vec(any::<u8>(), 0..64)) {
        parse_bytes(&bytes);
        parse_as_everything(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn on_pieces_of_all_grammars(pieces in vec(piece(), 0..10)) {
        parse_as_everything(&pieces.concat());
    }

    #[test]
    fn on_texts_with_a_fault(
        texts in (bundle_path(), line(), requires(), module_version()),
        at in any::<proptest::sample::Index>(),
        fault in any::<char>(),
    ) {
        let texts = [texts.0.to_string(), texts.1.to_string(), texts.2.to_string(), texts.3.to_string()];
        for text in texts {
            let mut chars: Vec<char> = text.chars().collect();
            if !chars.is_empty() {
                let at = at.index(chars.len());
                chars[at] = fault;
            }
            parse_as_everything(&chars.iter().collect::<String>());
        }
    }

    #[test]
    fn on_headers_with_a_fault(header in header(), at in any::<proptest::sample::Index>(), fault in any::<u8>()) {
        let mut bytes = header.to_json().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = fault;
        parse_bytes(&bytes);
    }

    /// A check takes any paths in any order, with any bytes or none.
    #[test]
    fn in_a_check(
        header in header(),
        files in vec((bundle_path(), any::<u64>(), proptest::option::of(vec(any::<u8>(), 0..8))), 0..8),
    ) {
        let mut checker = Checker::new(&header);
        for (path, size, bytes) in &files {
            checker.file(path, *size, bytes.as_deref());
        }
        prop_assert!(checker.finish().is_sorted());
    }
}
