//! Notes open as `note.Open` of x/mod opens them.

use crate::cases;
use crate::naive_tree::{NAME, key, sign, signature};
use data_encoding::BASE64;
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::key::{GoSumDb, VerifierKey};
use modferry_format::sumdb::note::{self, MAX_BYTES, MAX_SIGNATURES, NotOpened};
use proptest::prelude::*;

const TREE: &str = "go.sum database tree\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";

fn refusal(note: impl AsRef<[u8]>) -> String {
    note::open(note.as_ref(), &key()).unwrap_err().to_string()
}

#[test]
fn texts_may_have_anything_but_control_characters() {
    for text in ["text\n", "two\n\nparts\n", "\n", "no blank line at the end\n", "\u{7f} \u{2014} \u{1f600}\n"] {
        assert_eq!(note::open(sign(text).as_bytes(), &key()), Ok(text));
    }
    for text in ["tab\t\n", "nul\0\n", "return\r\n", "\u{1b}[31m\n", "\u{1f}\n"] {
        assert!(refusal(sign(text)).contains("control character"), "{text:?}");
    }
    let invalid = [b"\xff\n\n", signature("\u{ff}\n", NAME, [7; 32]).as_bytes()].concat();
    assert!(refusal(invalid).contains("UTF-8"));
}

#[test]
fn what_is_no_note_is_refused() {
    let line = signature("text\n", NAME, [7; 32]);
    let base64 = line.rsplit(' ').next().unwrap().trim_end();
    for (note, reason) in [
        ("".to_owned(), "no blank line"),
        ("text\n".to_owned(), "no blank line"),
        (format!("text\n{line}"), "no blank line"),
        ("text\n\n".to_owned(), "no newline after"),
        (format!("text\n\n{}", line.trim_end()), "no newline after"),
        (format!("text\n\n{line}\n"), "no newline after"),
        (format!("text\n\n{line}{}", &line[3..]), "a line that is no"),
        (format!("text\n\n- {NAME} {base64}\n"), "a line that is no"),
        (format!("text\n\n\u{2014} {NAME}\n"), "a line that is no"),
        (format!("text\n\n\u{2014}  {base64}\n"), "a line that is no"),
        (format!("text\n\n\u{2014} a+b {base64}\n"), "a line that is no"),
        (format!("text\n\n\u{2014} a\u{a0}b {base64}\n"), "a line that is no"),
        (format!("text\n\n\u{2014} {NAME} \n"), "a line that is no"),
        (format!("text\n\n\u{2014} {NAME} {base64} \n"), "a line that is no"),
        (format!("text\n\n\u{2014} {NAME} YWJjZA==\n"), "a line that is no"),
        (format!("text\n\n\u{2014} {NAME} YQ==YWJjZGVm\n"), "a line that is no"),
        (format!("text\n\n\u{2014} {NAME} {}\n", &base64[1..]), "a line that is no"),
    ] {
        assert!(refusal(&note).contains(reason), "{note:?}: {}", refusal(&note));
    }
    assert!(refusal(vec![b'a'; MAX_BYTES + 1]).contains("larger"));
}

#[test]
fn unknown_signers_are_passed_over() {
    let own = signature(TREE, NAME, [7; 32]);
    let witness = signature(TREE, "witness.example", [8; 32]);
    let namesake = signature(TREE, NAME, [8; 32]);
    // Another algorithm, another length.
    let other = "\u{2014} witness.example AAAAAAA=\n";
    for lines in [&[&own, &witness][..], &[&witness, &own], &[&namesake, &own], &[&own, &own]] {
        let lines: String = lines.iter().map(|line| line.as_str()).collect();
        assert_eq!(note::open(format!("{TREE}\n{lines}{other}").as_bytes(), &key()), Ok(TREE));
    }
    let unsigned = NotOpened::NotSigned(key().to_string().into());
    assert_eq!(note::open(format!("{TREE}\n{witness}{namesake}{other}").as_bytes(), &key()), Err(unsigned));
}

#[test]
fn a_wrong_signature_of_the_key_is_an_error_and_the_first_counts() {
    let (own, wrong) = (signature(TREE, NAME, [7; 32]), signature("else\n", NAME, [7; 32]));
    let refused = NotOpened::WrongSignature(key().to_string().into());
    let open = |lines: &str| note::open(format!("{TREE}\n{lines}").as_bytes(), &key()).map(str::to_owned);
    assert_eq!(open(&wrong), Err(refused.clone()));
    assert_eq!(open(&format!("{wrong}{own}")), Err(refused.clone()));
    // As Go does: the second line of one key is not looked at.
    assert_eq!(open(&format!("{own}{wrong}")), Ok(TREE.to_owned()));
    // Too short for a signature of Ed25519, but by its key hash it is of this key.
    let (_, base64) = own.trim_end().rsplit_once(' ').unwrap();
    assert_eq!(open(&format!("\u{2014} {NAME} {}\n", &base64[..8])), Err(refused));
}

#[test]
fn a_hundred_signatures_are_read_and_no_more() {
    let witness = |number: usize| signature(TREE, &format!("w{number}.example"), [8; 32]);
    let own = signature(TREE, NAME, [7; 32]);
    let lines: String = (1..MAX_SIGNATURES).map(witness).collect();
    assert_eq!(note::open(format!("{TREE}\n{lines}{own}").as_bytes(), &key()), Ok(TREE));
    assert!(refusal(format!("{TREE}\n{own}{lines}{}", witness(0))).contains("more than 100"));
}

#[test]
fn base64_of_signatures_is_as_lax_as_in_go() {
    let own = signature(TREE, NAME, [7; 32]);
    // 68 bytes leave 4 bits of the last digit that say nothing.
    let end = own.len() - 3;
    let digits = own.as_bytes()[end];
    let other = if digits == b'A' { 'B' } else { char::from(digits + 1) };
    let lax = format!("{TREE}\n{}{other}=\n", &own[..end]);
    assert_eq!(note::open(lax.as_bytes(), &key()), Ok(TREE), "{own}{lax}");
}

#[test]
fn heads_are_read_as_go_reads_them() {
    let head = Head::open(sign(TREE).as_bytes(), &key()).unwrap();
    assert_eq!(head.size(), 0);
    let more = sign(&format!("{TREE}a line of later\n\nand more\n"));
    assert_eq!(Head::open(more.as_bytes(), &key()).unwrap(), head);
    let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let largest = sign(&format!("go.sum database tree\n9223372036854775807\n{root}\n"));
    assert_eq!(Head::open(largest.as_bytes(), &key()).unwrap().size(), i64::MAX as u64);
    for (text, reason) in [
        (format!("go.sum database tree v2\n0\n{root}\n"), "first line"),
        (format!("sum.example.com\n0\n{root}\n"), "first line"),
        ("go.sum database tree\n".to_owned(), "size"),
        ("go.sum database tree\n0\n".to_owned(), "root hash"),
        (format!("go.sum database tree\n00\n{root}\n"), "size"),
        (format!("go.sum database tree\n+1\n{root}\n"), "size"),
        (format!("go.sum database tree\n-1\n{root}\n"), "size"),
        (format!("go.sum database tree\n\n{root}\n"), "size"),
        (format!("go.sum database tree\n9223372036854775808\n{root}\n"), "size"),
        (format!("go.sum database tree\n99999999999999999999\n{root}\n"), "size"),
        (format!("go.sum database tree\n0\n{}\n", &root[4..]), "root hash"),
        (format!("go.sum database tree\n0\n{root}=\n"), "root hash"),
        // 32 bytes, in two padded pieces.
        (format!("go.sum database tree\n0\n{}{}\n", BASE64.encode(&[0]), BASE64.encode(&[0; 31])), "root hash"),
    ] {
        let refused = Head::open(sign(&text).as_bytes(), &key()).unwrap_err();
        assert!(matches!(refused, NotOpened::NoTree(why) if why.contains(reason)), "{text:?}: {refused}");
    }
}

#[test]
fn keys_have_one_spelling() {
    let text = key().to_string();
    assert_eq!(text.parse(), Ok(key()));
    let (start, base64) = text.rsplit_once('+').unwrap();
    let encoded = BASE64.decode(base64.as_bytes()).unwrap();
    let pieces = format!("{start}+{}{}", BASE64.encode(&encoded[..1]), BASE64.encode(&encoded[1..]));
    assert!(pieces.parse::<VerifierKey>().unwrap_err().reason().contains("canonical"), "{pieces}");
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn nothing_that_is_read_makes_a_parser_fall_over(
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
        text in "(go\\.sum database tree\n)?[0-9]{0,3}\n[A-Za-z=]{0,44}\n?\n\n?(\u{2014} [a-z]{0,2} [A-Za-z0-9=]{0,12}\n?){0,3}",
        setting in "[a-z. ]{0,4}\\+?[0-9a-f]{0,8}\\+?[A-Za-z0-9=]{0,44} ?[a-z:/]{0,5}",
    ) {
        for bytes in [&bytes, text.as_bytes()] {
            prop_assert!(Head::open(bytes, &key()).is_err());
        }
        if let Ok(parsed) = setting.parse::<VerifierKey>() {
            prop_assert_eq!(parsed.to_string(), setting.as_str());
        }
        prop_assert!(!matches!(setting.parse::<GoSumDb>(), Ok(GoSumDb::Off)) || setting == "off");
        // As a signed text it is refused as well, or read.
        prop_assert!(Head::open(sign(&text).as_bytes(), &key()).is_err() || text.starts_with("go.sum"));
    }
}
