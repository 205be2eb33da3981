//! One loop per folder of `vectors/`; a folder, a file, a key or a section that no loop reads makes a test fail.
// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

mod bundles;
mod clauses;
mod database;
mod mirror;
#[path = "../naive_tree/mod.rs"]
mod naive_tree;
mod names;
mod texts;
mod vector_file;
mod zips;

use vector_file::VectorFile;

/// Judges every file of a folder.
fn each(folder: &str, judge: fn(&VectorFile)) {
    let files = vector_file::names_in(&vector_file::root().join(folder));
    assert!(!files.is_empty());
    for file in files {
        assert!(file.ends_with(".txt"), "{folder}/{file}: vectors are named .txt");
        let file = VectorFile::open(folder, &file);
        judge(&file);
        file.assert_all_taken();
    }
}

macro_rules! loops {
    ($($test:ident: $folder:literal => $judge:path,)*) => {
        $(
            #[test]
            fn $test() {
                each($folder, $judge);
            }
        )*

        const FOLDERS: &[&str] = &[$($folder),*];
    };
}

loops! {
    base_state: "base-state" => mirror::base_state,
    bundle_path: "bundle-path" => names::bundle_path,
    check: "check" => bundles::check,
    database_name: "database-name" => names::database_name,
    escaping: "escaping" => names::escaping,
    go_mod: "go-mod" => texts::go_mod,
    go_sum: "go-sum" => texts::go_sum,
    h1: "h1" => texts::h1,
    header: "header" => bundles::header,
    info: "info" => texts::info,
    json: "json" => texts::json,
    ledger: "ledger" => bundles::ledger,
    list: "list" => texts::list,
    manifest: "manifest" => bundles::manifest,
    mirror_heads: "mirror-heads" => mirror::heads,
    module_path: "module-path" => names::module_path,
    module_version: "module-version" => names::module_version,
    one_log: "one-log" => mirror::one_log,
    patterns: "patterns" => names::patterns,
    pseudo_version: "pseudo-version" => names::pseudo_version,
    requires: "requires" => bundles::requires,
    root: "root" => bundles::root,
    signature_names: "signature-names" => names::signature_name,
    tile: "tile" => names::tile,
    version: "version" => names::version,
    version_order: "version-order" => names::version_order,
    write_once: "write-once" => mirror::write_once,
    zip_names: "zip-names" => zips::zip_names,
}

#[test]
fn every_folder_has_a_loop() {
    let mut there = vector_file::names_in(&vector_file::root());
    there.retain(|name| name != "README.md");
    assert_eq!(there, FOLDERS);
}

#[test]
fn every_verdict_is_known() {
    for folder in FOLDERS {
        for file in vector_file::names_in(&vector_file::root().join(folder)) {
            let file = VectorFile::open(folder, &file);
            if file.is_case() {
                let verdict = file.expect();
                assert!(["valid", "invalid", "stricter", "unsupported"].contains(&verdict), "{}: {verdict}", file.name);
            }
        }
    }
}
