//! Breaks every byte of the texts that a bundle stands on: each flipped bit and each cut is refused, or is read as
//! something else. So a hash over the value is a hash over the bytes.

use modferry_format::info::Info;
use modferry_format::manifest::{Entry, Reader};
use modferry_format::requires::Requires;
use modferry_format::root::Root;
use std::fmt::Debug;

/// All texts that differ from this one in one bit, or lack its end, or have one byte twice.
fn broken(text: &[u8]) -> Vec<Vec<u8>> {
    let mut broken = Vec::new();
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut flipped = text.to_vec();
            flipped[at] ^= 1 << bit;
            broken.push(flipped);
        }
        broken.push(text[..at].to_vec());
        broken.push([&text[..=at], &text[at..]].concat());
    }
    broken
}

fn assert_every_byte_counts<T: PartialEq + Debug>(text: &[u8], parse: impl Fn(&[u8]) -> Option<T>) {
    let value = parse(text).expect("the whole text parses");
    for other in broken(text) {
        assert_ne!(parse(&other).as_ref(), Some(&value), "{:?}", String::from_utf8_lossy(&other));
    }
}

fn text<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

const PATHS: [&str; 6] = [
    "download/sumdb/sum.golang.org/tile/8/0/x001/234.p/56",
    "download/github.com/!burnt!sushi/toml/@v/v1.0.0-!r!c1.mod",
    "download/rsc.io/quote/@latest",
    "download/rsc.io/quote/@v/main.info",
    "download/rsc.io/quote/@v/v2.0.0+incompatible.zip",
    "extra/sbom/bundle.cdx.json",
];

fn manifest() -> (String, String) {
    let hash = |index: usize| char::from(b'a' + index as u8).to_string().repeat(64);
    let sums = PATHS.iter().enumerate().map(|(index, path)| format!("{}  {path}\n", hash(index))).collect();
    let sizes = PATHS.iter().enumerate().map(|(index, path)| format!("{}  {path}\n", 90 * index)).collect();
    (sums, sizes)
}

/// Reads both files as a reader of bundles does: line by line, each with its newline, as many in one as in the other.
fn read_manifest(sums: &[u8], sizes: &[u8]) -> Option<Vec<Entry>> {
    let lines = |bytes| -> Option<Vec<String>> {
        let text: &str = std::str::from_utf8(bytes).ok()?;
        text.split_inclusive('\n').map(|line| line.strip_suffix('\n').map(str::to_owned)).collect()
    };
    let (sums, sizes) = (lines(sums)?, lines(sizes)?);
    let mut reader = Reader::default();
    let entries: Option<Vec<Entry>> = sums.iter().zip(&sizes).map(|(sum, size)| reader.entry(sum, size).ok()).collect();
    entries.filter(|_| sums.len() == sizes.len())
}

#[test]
fn of_sha256sums() {
    let (sums, sizes) = manifest();
    assert_every_byte_counts(sums.as_bytes(), |broken| read_manifest(broken, sizes.as_bytes()));
}

#[test]
fn of_sizes() {
    let (sums, sizes) = manifest();
    assert_every_byte_counts(sizes.as_bytes(), |broken| read_manifest(sums.as_bytes(), broken));
}

/// Cut at the same line, both files are a shorter manifest, and no other.
#[test]
fn of_both_at_once() {
    let (sums, sizes) = manifest();
    let whole = read_manifest(sums.as_bytes(), sizes.as_bytes()).unwrap();
    let cut = |text: &str, lines| text.split_inclusive('\n').take(lines).collect::<String>();
    for lines in 0..PATHS.len() {
        let entries = read_manifest(cut(&sums, lines).as_bytes(), cut(&sizes, lines).as_bytes()).unwrap();
        assert_eq!(entries, whole[..lines]);
    }
}

#[test]
fn of_bundle() {
    let sums: Vec<String> = (0..5).map(|digit| digit.to_string().repeat(64)).collect();
    let names = ["bundle.json", "SHA256SUMS", "SIZES", "REQUIRES", "README.txt"];
    let bundle: String = sums.iter().zip(names).map(|(sum, name)| format!("{sum}  {name}\n")).collect();
    assert_every_byte_counts(bundle.as_bytes(), text::<Root>);
}

#[test]
fn of_requires() {
    const HASH: &str = "3fEykkD9k7lYzXqCYrwGAf7iNhbk4yCjHmKBN9td4L0=";
    let requires = format!(
        "[modules]\n\
         github.com/BurntSushi/toml v1.0.0-RC1 h1:{HASH}\n\
         rsc.io/quote v1.5.2 h1:{HASH}\n\
         rsc.io/quote v1.5.2/go.mod h1:{HASH}\n\
         [heads]\n\
         sum.golang.org 63096908 {HASH}\n"
    );
    assert_every_byte_counts(requires.as_bytes(), text::<Requires>);
}

#[test]
fn of_canonical_infos() {
    for info in [
        r#"{"Version":"v1.0.0-RC1"}"#,
        r#"{"Version":"v1.5.2","Time":"2018-02-14T15:44:20Z"}"#,
        r#"{"Version":"v0.0.0-20170915032832-14c0d48ead0c","Time":"2017-09-15T03:28:32.25Z"}"#,
    ] {
        assert_every_byte_counts(info.as_bytes(), |bytes| Info::from_canonical(bytes).ok());
    }
}
