//! What a module zip may hold.

use crate::vector_file::VectorFile;
use modferry_format::ModuleVersion;
use modferry_format::zip_names::ZipNames;

/// The module that all these zips claim to be.
const MODULE: &str = "a.example/m@v1.0.0";

pub(crate) fn zip_names(file: &VectorFile) {
    let version: ModuleVersion = MODULE.parse().unwrap();
    if !file.is_case() {
        for row in file.rows() {
            let size = 1;
            row.judge(ZipNames::new(&version).add(&format!("{MODULE}/{}", row.text("name")), size));
        }
        return;
    }
    let [entries] = file.exactly(["entries"]);
    let mut names = ZipNames::new(&version);
    let mut add = |line: &str| {
        let (size, name) = line.split_once(' ').unwrap();
        names.add(name, size.parse().unwrap())
    };
    let lines: Vec<&str> = std::str::from_utf8(entries).unwrap().lines().collect();
    let (last, before) = lines.split_last().unwrap();
    // One fault a file, and it is in the last entry: all before it are fine.
    for line in before {
        assert_eq!(add(line), Ok(()), "{}: {line}", file.name);
    }
    file.judge(add(last));
}
