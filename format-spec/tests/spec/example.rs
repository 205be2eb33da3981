//! The worked example of SPEC.md, made anew: a bundle of one module.

use crate::stored_zip;
use modferry_format::carried::{Carried, Files};
use modferry_format::hash::H1Builder;
use modferry_format::header::{Counts, DEFAULT_CHANNEL, DRAFT, EVERY_MODULE, FORMAT, Header, Level, Root, RootKind};
use modferry_format::info::Info;
use modferry_format::manifest::Entry;
use modferry_format::requires::Requires;
use modferry_format::root::{self, BUNDLE, HeadFile};
use modferry_format::{BundleId, BundlePath, FileSha256, H1, ModuleVersion, check, readme, versions};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

pub(crate) const MODULE: &str = "a.example/hello";
pub(crate) const GO_MOD: &[u8] = b"module a.example/hello\n";
const SOURCE: &[u8] = b"package hello\n";
const INFO: &[u8] = br#"{"Version":"v1.0.0","Time":"2026-01-02T03:04:05Z"}"#;

pub(crate) struct Example {
    /// Every file by its path from the root of the bundle.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) id: BundleId,
    pub(crate) zip_h1: H1,
}

pub(crate) fn make() -> Example {
    let version: ModuleVersion = format!("{MODULE}@v1.0.0").parse().unwrap();
    let sources = [(format!("{version}/go.mod"), GO_MOD), (format!("{version}/hello.go"), SOURCE)];
    let mut zip_h1 = H1Builder::default();
    sources.iter().for_each(|(name, content)| zip_h1.add(name, Sha256::digest(content).into()));
    let info = Info::from_canonical(INFO).unwrap().to_canonical().into_bytes();
    let content: BTreeMap<BundlePath, Vec<u8>> = BTreeMap::from([
        (BundlePath::Latest(version.path().clone()), info.clone()),
        (BundlePath::List(version.path().clone()), versions::list([version.version()]).into_bytes()),
        (BundlePath::Info(version.clone()), info),
        (BundlePath::Mod(version.clone()), GO_MOD.to_vec()),
        (BundlePath::Zip(version.clone()), stored_zip::pack(&sources)),
    ]);
    let entries: Vec<Entry> = content
        .iter()
        .map(|(path, bytes)| Entry { path: path.clone(), sha256: FileSha256::of(bytes), size: bytes.len() as u64 })
        .collect();
    let header = header(version.clone(), &entries);
    let findings = check::check(&header, entries.iter().zip(content.values().map(|bytes| Some(bytes.as_slice()))));
    assert_eq!(findings, [], "the example breaks no rule");
    let head = [
        header.to_json(),
        entries.iter().map(Entry::sums_line).collect(),
        entries.iter().map(Entry::sizes_line).collect(),
        Requires::default().to_string(),
        readme::TEXT.to_owned(),
    ];
    let root = root::Root::new(head.each_ref().map(|text| FileSha256::of(text.as_bytes()))).to_string();
    let mut files: BTreeMap<String, Vec<u8>> =
        content.into_iter().map(|(path, bytes)| (path.to_string(), bytes)).collect();
    files.extend(HeadFile::ALL.iter().zip(head).map(|(file, text)| (file.to_string(), text.into_bytes())));
    let id = BundleId::of(root.as_bytes());
    files.insert(BUNDLE.to_owned(), root.into_bytes());
    Example { files, id, zip_h1: zip_h1.finish() }
}

fn header(version: ModuleVersion, entries: &[Entry]) -> Header {
    Header {
        format: FORMAT,
        requires_features: Vec::new(),
        draft: DRAFT,
        channel: DEFAULT_CHANNEL.to_owned(),
        created: "2026-01-02T03:04:05Z".to_owned(),
        tool: "modferry 0.1.0".to_owned(),
        go: "go1.26.8".to_owned(),
        roots: vec![Root {
            kind: RootKind::Version,
            level: Level::All,
            module: MODULE.to_owned(),
            version: Some("v1.0.0".to_owned()),
            go: String::new(),
            requires: Vec::new(),
            replaces: Vec::new(),
            local: Vec::new(),
            excludes: Vec::new(),
            package: None,
            platforms: Vec::new(),
        }],
        base: Vec::new(),
        without_record: vec![EVERY_MODULE.to_owned()],
        databases: Vec::new(),
        observations: Vec::new(),
        not_carried: Vec::new(),
        counts: Counts { modules: 1, versions: 1, zips: 1, files: entries.len() as u64 },
        bytes: entries.iter().map(|entry| entry.size).sum(),
        levels: Vec::new(),
        closure: Carried::lines([(version, Files::Whole)]),
    }
}
