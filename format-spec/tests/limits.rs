//! Limits that need more input than a vector file should hold.

use modferry_format::check::{Checker, MAX_FINDINGS, MAX_PATTERNS};
use modferry_format::header::Header;
use modferry_format::manifest::{MAX_ENTRIES, MAX_LINE_BYTES, Reader};
use modferry_format::root::{HeadFile, MAX_BUNDLE_BYTES, MAX_SIGNATURE_BYTES};
use modferry_format::zip_names::{self, ZipNames};
use modferry_format::{BundlePath, Finding, FindingKind, Invalid, ModulePath, ModuleVersion};

const SPEC: &str = include_str!("../SPEC.md");

#[test]
fn head_files_have_the_limits_of_the_spec() {
    let mut rows = vec![("`BUNDLE`".to_owned(), MAX_BUNDLE_BYTES), ("a signature".to_owned(), MAX_SIGNATURE_BYTES)];
    rows.extend(HeadFile::ALL.map(|file| (format!("`{file}`"), file.max_bytes())));
    let shown = |bytes: u64| match (bytes >> 20, bytes >> 10) {
        (0, kib) => format!("{kib} KiB"),
        (mib, _) => format!("{mib} MiB"),
    };
    let table: String = rows.iter().map(|(name, bytes)| format!("| {name} | {} |\n", shown(*bytes))).collect();
    assert!(SPEC.contains(&table), "SPEC.md should have\n{table}");
}

#[test]
fn manifest_ends_after_the_last_entry_it_may_have() {
    let mut reader = Reader::default();
    for _ in 0..MAX_ENTRIES {
        let refused = reader.entry("", "").expect_err("an empty line is no entry");
        assert!(!refused.reason().contains("1,500,000"), "{refused}");
    }
    let path = "download/rsc.io/quote/@v/list";
    let line = format!("{}  {path}", "0".repeat(64));
    let refused = reader.entry(&line, &format!("1  {path}")).expect_err("one entry too many");
    assert!(refused.reason().contains("1,500,000"), "{refused}");
    assert!(SPEC.contains("1,500,000 files"));
}

#[test]
fn longest_entry_fits_a_line() {
    let hash_and_spaces = 64 + 2;
    assert!(hash_and_spaces + BundlePath::MAX_BYTES <= MAX_LINE_BYTES);
    assert!(SPEC.contains(&format!("{MAX_LINE_BYTES} bytes")));
}

/// The longest names there are still give paths that parse: whoever holds a value can write it down.
#[test]
fn longest_names_give_paths_that_parse() {
    // 640 bytes escaped, the last element as long as its version allows.
    let last = "b".repeat(255 - "@v1.0.0".len());
    let fill = 640 - "a.b/".len() - last.len();
    let module: ModulePath =
        format!("a.b/{}a{}/{last}", "a/".repeat(fill / 2 - 1), "a".repeat(fill % 2)).parse().unwrap();
    assert_eq!(module.escaped().len(), 640);
    let version = ModuleVersion::new(module.clone(), "v1.0.0".parse().unwrap()).unwrap();
    let database = "d".repeat(100).parse().unwrap();
    let longest = "v1.0.0-".to_owned() + &"p".repeat(233);
    let short: ModulePath = format!("a.b/{}a", "a/".repeat(317)).parse().unwrap();
    let long_version = ModuleVersion::new(short, longest.parse().unwrap()).unwrap();
    for path in [
        BundlePath::Latest(module),
        BundlePath::Zip(version.clone()),
        BundlePath::Lookup(database, version),
        BundlePath::Info(long_version.clone()),
        BundlePath::Lookup("d".repeat(100).parse().unwrap(), long_version),
    ] {
        assert_eq!(path.to_string().parse(), Ok(path));
    }
}

/// An extra path counts with its `extra/`: what parses alone parses in its place.
#[test]
fn longest_extra_path_parses_in_its_place() {
    let (max, start) = (BundlePath::MAX_BYTES, "extra/");
    let path = |length: usize| {
        let element = "a".repeat(200) + "/";
        let text: String = element.repeat(6);
        text[..length - 1].trim_end_matches('/').to_owned() + "aa"
    };
    let longest = path(max - start.len() - 1);
    assert_eq!(start.len() + longest.len(), max);
    let extra: modferry_format::bundle_path::ExtraPath = longest.parse().unwrap();
    let whole = BundlePath::Extra(extra);
    assert_eq!(whole.to_string().parse(), Ok(whole));
    let longer: Result<modferry_format::bundle_path::ExtraPath, Invalid> = path(max - start.len()).parse();
    assert!(longer.is_err());
}

#[test]
fn zip_has_at_most_so_many_entries() {
    let version = "rsc.io/quote@v1.5.2".parse().unwrap();
    let mut names = ZipNames::new(&version);
    for _ in 0..zip_names::MAX_ENTRIES {
        assert!(!names.add("x", 0).expect_err("no prefix").contains("500,000"));
    }
    assert!(names.add("rsc.io/quote@v1.5.2/a", 0).expect_err("one entry too many").contains("500,000"));
}

#[test]
fn zip_has_names_of_at_most_so_many_bytes() {
    let version = "rsc.io/quote@v1.5.2".parse().unwrap();
    let mut names = ZipNames::new(&version);
    let half = "x".repeat(zip_names::MAX_NAMES_BYTES / 2);
    for _ in 0..2 {
        assert!(names.add(&half, 0).expect_err("no prefix").contains("does not begin"));
    }
    assert!(names.add("x", 0).expect_err("a byte too many").contains("64 MiB"));
}

#[test]
fn error_repeats_a_part_of_a_long_text_only() {
    let refused = format!("rsc.io/{}", "é".repeat(100_000)).parse::<ModulePath>().expect_err("too long");
    assert!(refused.to_string().len() < 2 * Invalid::MAX_SHOWN_BYTES);
    assert_eq!(refused.kind(), "module path");
}

#[test]
fn header_has_at_most_so_many_patterns() {
    let json = r#"{"format":1,"requires_features":[],"draft":3,"channel":"main","created":"2026-01-02T03:04:05Z",
        "tool":"","go":"","roots":[],"base":[],"without_record":["*"],"databases":[],"observations":[],"not_carried":[],
        "counts":{"modules":0,"versions":0,"zips":0,"files":0},"bytes":0}"#;
    let mut header = Header::parse(json.as_bytes()).expect("a header");
    header.without_record = (0..MAX_PATTERNS).map(|n| format!("example.com/{n}")).collect();
    let about = |header: &Header| {
        let findings = Checker::new(header).finish();
        findings.into_iter().filter(|finding| finding.kind == FindingKind::Record).count()
    };
    assert_eq!(about(&header), 0);
    header.without_record.push("*".to_owned());
    assert_eq!(about(&header), 1);
    assert!(SPEC.contains(&format!("there are at most {MAX_PATTERNS}")));
}

#[test]
fn check_keeps_at_most_so_many_findings() {
    let json = r#"{"format":1,"requires_features":[],"draft":3,"channel":"main","created":"2026-01-02T03:04:05Z",
        "tool":"","go":"","roots":[],"base":[],"without_record":["*"],"databases":[],"observations":[],"not_carried":[],
        "counts":{"modules":0,"versions":0,"zips":0,"files":0},"bytes":0}"#;
    let header = Header::parse(json.as_bytes()).expect("a header");
    let mut checker = Checker::new(&header);
    for _ in 0..MAX_FINDINGS + 5 {
        checker.add(Finding::new("x", FindingKind::Missing, "missing"));
    }
    let findings = checker.finish();
    assert_eq!(findings.len(), MAX_FINDINGS + 1);
    assert_eq!(findings.iter().filter(|finding| finding.kind == FindingKind::TooMany).count(), 1);
    assert!(SPEC.contains("After 10,000"));
}

/// What bundle.json says wrong of databases counts as well: a header has room for hundreds of thousands of them.
#[test]
fn check_keeps_at_most_so_many_findings_about_databases() {
    let databases = vec![r#"{"key":"","head":"","served":[]}"#; MAX_FINDINGS + 5].join(",");
    let json = format!(
        r#"{{"format":1,"requires_features":[],"draft":3,"channel":"main","created":"2026-01-02T03:04:05Z",
        "tool":"","go":"","roots":[],"base":[],"without_record":["*"],"databases":[{databases}],"observations":[],
        "not_carried":[],"counts":{{"modules":0,"versions":0,"zips":0,"files":0}},"bytes":0}}"#
    );
    let header = Header::parse(json.as_bytes()).expect("a header");
    assert_eq!(Checker::new(&header).finish().len(), MAX_FINDINGS + 1);
}
