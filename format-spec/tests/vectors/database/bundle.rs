//! A bundle in the making: sound as it is made, and everything in it can be changed before it is written.

use crate::naive_tree::{self, NAME, NaiveTree, SEED};
use data_encoding::BASE64;
use modferry_format::BundlePath;
use modferry_format::database::Tile;
use modferry_format::header::{Counts, DEFAULT_CHANNEL, DRAFT, Database, FORMAT, Header};
use modferry_format::sumdb::tree;
use std::collections::{BTreeMap, BTreeSet};

/// Columns of base64.
const WIDTH: usize = 116;

#[derive(Default)]
pub(super) struct Bundle {
    base: Vec<String>,
    without_record: Vec<String>,
    databases: Vec<Database>,
    files: BTreeMap<BundlePath, Vec<u8>>,
}

/// The path of a file of the log.
pub(super) fn log_file(file: &str) -> String {
    format!("download/sumdb/{NAME}/{file}")
}

/// The path of a tile of the log.
pub(super) fn tile(name: &str) -> String {
    log_file(&format!("tile/8/{name}"))
}

/// The path of the lookup of record `id`.
pub(super) fn lookup(id: u64) -> String {
    log_file(&format!("lookup/example.com/m{id}@v1.0.0"))
}

/// The path of the go.mod of the module of record `id`.
pub(super) fn go_mod(id: u64) -> String {
    format!("download/example.com/m{id}/@v/v1.0.0.mod")
}

impl Bundle {
    /// With these records, their modules, and served heads, at the head of the first `size` records.
    pub(super) fn of(log: &NaiveTree, size: u64, ids: &[u64], served: &[u64]) -> Self {
        let bundle = Self::default().database(log, (NAME, SEED), size, ids, served);
        ids.iter().fold(bundle, |bundle, &id| bundle.module(id))
    }

    /// With one module that a pattern lets be without record, and nothing else.
    pub(super) fn private() -> Self {
        Self { without_record: vec!["example.com/m0".into()], ..Self::default() }.module(0)
    }

    /// Adds the part of a database that somebody signs.
    pub(super) fn database(
        mut self,
        log: &NaiveTree,
        (name, seed): (&str, [u8; 32]),
        size: u64,
        ids: &[u64],
        served: &[u64],
    ) -> Self {
        let note = |size| naive_tree::sign_as(&log.head_text(size), name, seed);
        let mut add = |file: String, bytes| self.files.insert(path(&format!("download/sumdb/{name}/{file}")), bytes);
        add("supported".into(), b"ok\n".into());
        add("latest".into(), note(size).into());
        for id in ids {
            let text = format!("{id}\n{}\n{}", log.text(*id), note(size));
            add(format!("lookup/example.com/m{id}@v1.0.0"), text.into());
        }
        for tile in tree::slice(size, ids.iter().copied(), served.iter().copied()) {
            add(tile.to_string(), log.tile(tile));
        }
        let served = served.iter().map(|&size| note(size)).collect();
        self.databases.push(Database { key: naive_tree::key_of(name, seed), head: note(size), served });
        self
    }

    /// Adds the files of the module of a record.
    pub(super) fn module(self, id: u64) -> Self {
        let folder = format!("download/example.com/m{id}");
        let info = br#"{"Version":"v1.0.0","Time":"2018-02-14T15:44:20Z"}"#;
        self.with(&format!("{folder}/@latest"), info)
            .with(&format!("{folder}/@v/list"), b"v1.0.0\n")
            .with(&format!("{folder}/@v/v1.0.0.info"), info)
            .with(&format!("{folder}/@v/v1.0.0.mod"), naive_tree::go_mod(id).as_bytes())
            .with(&format!("{folder}/@v/v1.0.0.zip"), b"a zip\n")
    }

    /// Adds a tile as the log has it.
    pub(super) fn tile(self, log: &NaiveTree, name: &str) -> Self {
        let read: Tile = format!("tile/8/{name}").parse().unwrap();
        self.with(&tile(name), &log.tile(read))
    }

    pub(super) fn with(mut self, file: &str, bytes: &[u8]) -> Self {
        self.files.insert(path(file), bytes.into());
        self
    }

    pub(super) fn without(mut self, file: &str) -> Self {
        assert!(self.files.remove(&path(file)).is_some(), "{file}");
        self
    }

    /// Changes the bytes of a file.
    pub(super) fn change(mut self, file: &str, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        change(self.files.get_mut(&path(file)).unwrap());
        self
    }

    /// Changes a bit of a file.
    pub(super) fn flip(self, file: &str) -> Self {
        self.change(file, |bytes| bytes[0] ^= 1)
    }

    /// Replaces a part of a text that is there once.
    pub(super) fn edit(self, file: &str, from: &str, to: &str) -> Self {
        self.change(file, |bytes| {
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert_eq!(text.matches(from).count(), 1, "{file}: {from:?}");
            *bytes = text.replace(from, to).into();
        })
    }

    /// Changes what bundle.json says of the databases.
    pub(super) fn stated(mut self, change: impl FnOnce(&mut Vec<Database>)) -> Self {
        change(&mut self.databases);
        self
    }

    pub(super) fn without_record(mut self, patterns: &[&str]) -> Self {
        self.without_record.extend(patterns.iter().map(|&pattern| pattern.to_owned()));
        self
    }

    /// Counts on what another bundle has brought.
    pub(super) fn on_a_base(mut self) -> Self {
        self.base.push("c".repeat(64));
        self
    }

    /// The sections of a vector, but for the findings.
    pub(super) fn sections(&self) -> String {
        // On three lines, for what is said of the databases is long.
        let json = serde_json::to_string(&self.header()).unwrap();
        let json =
            json.replace(r#""databases":"#, "\n\"databases\":").replace(r#""observations""#, "\n\"observations\"");
        let mut text = format!("-- bundle.json --\n{}\n", json.replace('\\', r"\\"));
        for (path, bytes) in &self.files {
            if matches!(path, BundlePath::Tile(..)) {
                text += &format!("-- {path} (base64) --\n");
                let base64 = BASE64.encode(bytes).into_bytes();
                let lines = base64.chunks(WIDTH).map(|line| format!("{}\n", String::from_utf8_lossy(line)));
                text.extend(lines);
                continue;
            }
            let content = String::from_utf8(bytes.clone()).unwrap().replace('\\', r"\\");
            let end = if content.is_empty() || content.ends_with('\n') { "" } else { "\\\n" };
            text += &format!("-- {path} --\n{content}{end}");
        }
        text
    }

    fn header(&self) -> Header {
        let version = |path: &BundlePath| match path {
            BundlePath::Info(version) | BundlePath::Mod(version) | BundlePath::Zip(version) => Some(version.clone()),
            _ => None,
        };
        let versions: BTreeSet<_> = self.files.keys().filter_map(version).collect();
        let modules: BTreeSet<_> = versions.iter().map(|version| version.path().clone()).collect();
        let zips = self.files.keys().filter(|path| matches!(path, BundlePath::Zip(_)));
        let counts = Counts {
            modules: modules.len() as u64,
            versions: versions.len() as u64,
            zips: zips.count() as u64,
            files: self.files.len() as u64,
        };
        Header {
            format: FORMAT,
            requires_features: Vec::new(),
            draft: DRAFT,
            channel: DEFAULT_CHANNEL.to_owned(),
            created: "2026-01-02T03:04:05Z".to_owned(),
            tool: "modferry 0.1.0".to_owned(),
            go: "go1.26.8".to_owned(),
            roots: Vec::new(),
            base: self.base.clone(),
            without_record: self.without_record.clone(),
            databases: self.databases.clone(),
            observations: Vec::new(),
            not_carried: Vec::new(),
            counts,
            bytes: self.files.values().map(|bytes| bytes.len() as u64).sum(),
            levels: Vec::new(),
            closure: Vec::new(),
        }
    }
}

fn path(text: &str) -> BundlePath {
    text.parse().unwrap()
}
