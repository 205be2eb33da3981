//! Reads the vector files of `vectors/`, as its README.md describes them.
//!
//! Everything is read, nothing is passed over: a key, a section or a cell that a test does not take is an error there.

use data_encoding::BASE64;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// One file.
pub(crate) struct VectorFile {
    /// Folder and file name, for messages.
    pub(crate) name: String,
    head: BTreeMap<String, String>,
    /// The lines of a table: number in the file and cells.
    rows: Vec<(usize, Vec<Vec<u8>>)>,
    /// The sections of a case, in their order.
    sections: Vec<(String, Vec<u8>)>,
    /// The same with their escapes.
    raw_sections: Vec<(String, String)>,
    /// Keys of the head that a test has asked for.
    taken: RefCell<BTreeSet<String>>,
}

/// One line of a table.
pub(crate) struct Row<'a> {
    /// File and line, for messages.
    pub(crate) place: String,
    /// The cells by the names of their columns.
    cells: BTreeMap<&'a str, &'a [u8]>,
}

/// The directory with all vectors.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// The names in a directory, sorted.
pub(crate) fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

impl VectorFile {
    /// Reads `FOLDER/FILE`.
    pub(crate) fn open(folder: &str, file: &str) -> Self {
        let name = format!("{folder}/{file}");
        let text = fs::read_to_string(root().join(folder).join(file)).unwrap();
        Self::parse(&name, &text)
    }

    fn parse(name: &str, text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap_or_else(|| panic!("{name}: no empty line after the head"));
        let mut keys = BTreeMap::new();
        for line in head.lines() {
            let (key, value) = line.split_once(": ").unwrap_or_else(|| panic!("{name}: {line:?} in the head"));
            assert!(keys.insert(key.to_owned(), value.to_owned()).is_none(), "{name}: {key} twice");
        }
        for key in ["must", "about"] {
            assert!(keys.contains_key(key), "{name}: no {key}");
        }
        assert!(keys.contains_key("columns") != keys.contains_key("expect"), "{name}: a table or a case");
        let mut file = Self {
            name: name.to_owned(),
            head: keys,
            rows: Vec::new(),
            sections: Vec::new(),
            raw_sections: Vec::new(),
            taken: RefCell::new(BTreeSet::from(["must".into(), "about".into(), "expect".into(), "columns".into()])),
        };
        if file.head.contains_key("columns") {
            file.read_rows(body, head.lines().count() + 2);
        } else {
            file.read_sections(body);
        }
        file
    }

    fn read_rows(&mut self, body: &str, first: usize) {
        for (index, line) in body.lines().enumerate() {
            if !line.is_empty() && !line.starts_with("# ") {
                let cells = line.split('\t').map(|cell| unescape(cell, &self.name)).collect();
                self.rows.push((first + index, cells));
            }
        }
        assert!(!self.rows.is_empty(), "{}: a table without cases", self.name);
    }

    fn read_sections(&mut self, body: &str) {
        let raw = &mut self.raw_sections;
        for line in body.split_inclusive('\n') {
            let header = line.strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --\n"));
            match (header, raw.last_mut()) {
                (Some(name), _) => raw.push((name.to_owned(), String::new())),
                (None, Some((_, text))) => text.push_str(line),
                (None, None) => panic!("{}: {line:?} stands in no section", self.name),
            }
        }
        let decode = |(section, text): &(String, String)| match section.strip_suffix(" (base64)") {
            Some(section) => (section.to_owned(), BASE64.decode(text.replace('\n', "").as_bytes()).unwrap()),
            None => (section.clone(), unescape(text, &self.name)),
        };
        self.sections = raw.iter().map(decode).collect();
    }

    /// A key of the head.
    pub(crate) fn key(&self, key: &str) -> Option<&str> {
        self.taken.borrow_mut().insert(key.to_owned());
        self.head.get(key).map(String::as_str)
    }

    /// The clauses that the file covers.
    pub(crate) fn musts(&self) -> impl Iterator<Item = &str> {
        self.head["must"].split(' ')
    }

    /// Whether it is a case file; else it is a table.
    pub(crate) fn is_case(&self) -> bool {
        self.head.contains_key("expect")
    }

    /// The verdict of a case file.
    pub(crate) fn expect(&self) -> &str {
        self.head.get("expect").unwrap_or_else(|| panic!("{}: is no case file", self.name))
    }

    /// The cases of a table.
    pub(crate) fn rows(&self) -> Vec<Row<'_>> {
        let columns: Vec<&str> =
            self.head.get("columns").unwrap_or_else(|| panic!("{}: is no table", self.name)).split(' ').collect();
        for (line, cells) in &self.rows {
            assert!(cells.len() <= columns.len(), "{}:{line}: more cells than columns", self.name);
        }
        self.rows
            .iter()
            .map(|(line, cells)| Row {
                place: format!("{}:{line}", self.name),
                cells: columns.iter().copied().zip(cells.iter().map(Vec::as_slice)).collect(),
            })
            .collect()
    }

    /// All sections, in their order.
    pub(crate) fn sections(&self) -> &[(String, Vec<u8>)] {
        &self.sections
    }

    /// The bytes of the sections with these names; the file has them and no others.
    pub(crate) fn exactly<const N: usize>(&self, names: [&str; N]) -> [&[u8]; N] {
        let there: Vec<&str> = self.sections.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(there, names, "{}: sections", self.name);
        std::array::from_fn(|index| self.sections[index].1.as_slice())
    }

    /// The lines of the only section, each as cells.
    pub(crate) fn cells(&self) -> Vec<Vec<Vec<u8>>> {
        let [(_, text)] = &self.raw_sections[..] else { panic!("{}: not one section", self.name) };
        text.lines().map(|line| line.split('\t').map(|cell| unescape(cell, &self.name)).collect()).collect()
    }

    /// Compares a verdict with `expect` and `reason`.
    pub(crate) fn judge<T: std::fmt::Debug, E: std::fmt::Display>(&self, result: Result<T, E>) -> Option<T> {
        let reason = self.key("reason");
        match (self.expect(), result) {
            ("valid", Ok(value)) => Some(value),
            ("valid", Err(error)) => panic!("{}: refused: {error}", self.name),
            (_, Ok(value)) => panic!("{}: taken as {value:?}", self.name),
            (_, Err(error)) => {
                let (message, reason) = (error.to_string(), reason.unwrap_or_default());
                assert!(message.contains(reason), "{}: refused for another reason: {message}", self.name);
                None
            }
        }
    }

    /// Fails if the head has a key that no test has asked for.
    pub(crate) fn assert_all_taken(&self) {
        let unknown: Vec<&String> = self.head.keys().filter(|&key| !self.taken.borrow().contains(key)).collect();
        assert!(unknown.is_empty(), "{}: no test reads {unknown:?}", self.name);
    }
}

impl Row<'_> {
    /// The bytes of a cell; missing cells are empty.
    pub(crate) fn bytes(&self, column: &str) -> &[u8] {
        self.cells.get(column).copied().unwrap_or_default()
    }

    /// A cell that is UTF-8.
    pub(crate) fn text(&self, column: &str) -> &str {
        std::str::from_utf8(self.bytes(column)).unwrap_or_else(|_| panic!("{}: {column} is not UTF-8", self.place))
    }

    /// Compares a verdict with the cell `expect`; gives the value of a case that is valid.
    pub(crate) fn judge<T: std::fmt::Debug, E: std::fmt::Display>(&self, result: Result<T, E>) -> Option<T> {
        match (self.text("expect"), result) {
            ("valid", Ok(value)) => Some(value),
            ("valid", Err(error)) => panic!("{}: refused: {error}", self.place),
            ("invalid" | "stricter", Ok(value)) => panic!("{}: taken as {value:?}", self.place),
            ("invalid" | "stricter", Err(_)) => None,
            (other, _) => panic!("{}: verdict {other:?}", self.place),
        }
    }
}

fn unescape(text: &str, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let after = &rest[at + 1..];
        let escape = after.chars().next().unwrap_or_else(|| panic!("{name}: a backslash at the end"));
        let mut length = 1;
        match escape {
            '\\' => bytes.push(b'\\'),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'e' | '\n' => {}
            'x' => {
                length = 3;
                bytes.push(u8::from_str_radix(&after[1..3], 16).unwrap());
            }
            '{' => {
                let end = after.find('}').unwrap();
                let (count, repeated) = after[1..end].split_once('*').unwrap();
                length = end + 1;
                bytes.extend(repeated.as_bytes().repeat(count.parse().unwrap()));
            }
            other => panic!("{name}: escape \\{other}"),
        }
        rest = &after[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
