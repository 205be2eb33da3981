//! A lookup is read in one spelling, for one module version, and written the same.

use crate::{LOG, real};
use data_encoding::BASE64;
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::sumdb::record::{Lookup, MAX_BYTES};

#[test]
fn what_is_read_is_written_the_same() {
    let (text, module) = real::lookup();
    let text = text.as_bytes();
    let mut read = 0;
    for at in 0..text.len() {
        // The note is kept as it is, so a broken one is read, and written, broken.
        let flipped = [&text[..at], &[text[at] ^ 1], &text[at + 1..]].concat();
        for broken in [flipped, text[..at].to_vec(), [&text[..=at], &text[at..]].concat()] {
            if let Ok(lookup) = Lookup::parse(&broken, &module) {
                assert_eq!(lookup.to_string().into_bytes(), broken);
                read += 1;
            }
        }
    }
    assert!(read > 300);
}

#[test]
fn upper_case_and_incompatible_versions_stand_as_they_are() {
    let h1 = "h1:5YQkICvTCSZ25hoRsyJazN0scjzKGiu4VAUc7H1o1nY=";
    for (path, version) in [("github.com/BurntSushi/toml", "v1.6.0"), ("a.b/c", "v12.0.0+incompatible")] {
        let module = format!("{path}@{version}").parse().unwrap();
        let text = format!("0\n{path} {version} {h1}\n{path} {version}/go.mod {h1}\n\nnote");
        let lookup = Lookup::parse(text.as_bytes(), &module).unwrap();
        assert_eq!(lookup.to_string(), text);
        assert_eq!(&*lookup.note, "note");
    }
}

#[test]
fn another_text_than_the_two_lines_is_refused() {
    let record = LOG.record(5);
    let (text, zip, go_mod) = (record.text(), record.zip, record.go_mod);
    let name = "example.com/m5 v1.0.0";
    let refused = |text: String| Lookup::parse(text.as_bytes(), &record.module).unwrap_err().to_string();
    assert!(Lookup::parse(format!("5\n{text}\nnote").as_bytes(), &record.module).is_ok());
    for (id, reason) in [
        ("", "record number"),
        ("05", "record number"),
        ("+5", "record number"),
        ("-5", "record number"),
        ("5 ", "record number"),
        ("9223372036854775807", "record number"),
        ("99999999999999999999", "record number"),
        ("\n5", "no blank line"),
    ] {
        let refused =
            refused(format!("{id}\n{text}\nnote").replace("\n\nnote", if id == "\n5" { "\n" } else { "\n\nnote" }));
        assert!(refused.contains(reason), "{id:?}: {refused}");
    }
    for body in [
        format!("{name} {zip}\n"),
        format!("{name}/go.mod {go_mod}\n"),
        format!("{name}/go.mod {go_mod}\n{name} {zip}\n"),
        format!("{text}{text}"),
        format!("{text}{name} h2:more\n"),
        format!("{name}  {zip}\n{name}/go.mod {go_mod}\n"),
        format!("{name} {zip} \n{name}/go.mod {go_mod}\n"),
        format!("{name} {zip}\r\n{name}/go.mod {go_mod}\n"),
        format!("{name} h2{}\n{name}/go.mod {go_mod}\n", &zip.to_string()[2..]),
        // 32 bytes in two padded pieces: what data-encoding takes is not the only spelling.
        format!("{name} h1:{}{}\n{name}/go.mod {go_mod}\n", BASE64.encode(&[0]), BASE64.encode(&[0; 31])),
        text.replace("m5", "m6"),
        text.replace("v1.0.0", "v1.0.1"),
        text.replace("v1.0.0 ", "v1.0.1 "),
        String::new(),
    ] {
        let refused = refused(format!("5\n{body}\nnote"));
        assert!(refused.contains("two lines") || refused.contains("of the version"), "{body:?}: {refused}");
    }
    assert!(refused(format!("5\n{}\nnote", text.trim_end())).contains("no blank line"));
    assert!(refused(format!("5\n{text}\n{}", "n".repeat(MAX_BYTES))).contains("larger"));
    assert!(Lookup::parse(b"5\n\xff\n\nnote", &record.module).unwrap_err().to_string().contains("UTF-8"));
    assert!(refused(String::new()).contains("no blank line"));
}

#[test]
fn lookup_without_its_note_has_no_head() {
    let (text, module) = real::lookup();
    let key = VerifierKey::sum_golang_org();
    let (record, _) = text.split_once("\n\n").unwrap();
    for note in ["", "go.sum database tree\n", "\n"] {
        let lookup = Lookup::parse(format!("{record}\n\n{note}").as_bytes(), &module).unwrap();
        assert!(lookup.head(&key).is_err(), "{note:?}");
    }
    assert!(Lookup::parse(text.replacen("\n\n", "\n", 1).as_bytes(), &module).is_err());
}

#[test]
fn genuine_lookup_of_another_module_is_refused() {
    let lookup = LOG.lookup(5, 300).to_string();
    assert!(Lookup::parse(lookup.as_bytes(), &LOG.record(5).module).is_ok());
    let refused = Lookup::parse(lookup.as_bytes(), &LOG.record(6).module).unwrap_err();
    assert!(refused.reason().contains("of the version that it lies under"), "{refused}");
}
