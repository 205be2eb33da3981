//! The real checksum database across the gap: GOSUMDB at its default, no go.sum, empty caches, no network.

use crate::{COBRA, CONTROLLER_RUNTIME, PROMETHEUS};
use modferry_real_world::{Crossed, Project};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// A genuine tree head of sum.golang.org, some months and millions of records old, that no answer about cobra carries.
const OLD_HEAD: &str = "go.sum database tree\n63096908\n8lHrQPRYe4KT4WQ9/Qk8/taKnD6IRHbFgfN7vQE2Y54=\n\n\u{2014} sum.golang.org \
     Az3gri/oVBN1jAhNZ/iS+W31psFAWRT20/GyrhpU6taFwulQGetBkH5S7wpGXdS935jiIGiUUAXBVHzT/P6fYhqAmAk=\n";

fn go_sum(crossed: &Crossed) -> String {
    crossed.inside(&["mod", "download", "all"]).expect("everything is there and verifies");
    let path = crossed.project_dir().join("go.sum");
    let text = fs::read_to_string(&path).expect("go wrote a go.sum");
    // By the database, and not because somebody told it to do without.
    let verified = crossed.records().expect("the module cache can be read");
    let modules = text.lines().filter_map(|line| line.split_once("/go.mod ")).count();
    assert!(verified >= modules, "{verified} records were looked up for {modules} modules");
    for name in ["GOSUMDB", "GONOSUMDB", "GOPRIVATE"] {
        assert!(crossed.setting(name).is_none_or(str::is_empty), "{name}: {:?}", crossed.setting(name));
    }
    fs::remove_file(&path).expect("it can be removed");
    text
}

fn verifies_from_nothing(project: Project) {
    let crossed = Crossed::bundle(project).expect("the project can be bundled");
    // The zip of prometheus has the go.work of the repository, but not the modules that it names.
    let _ = fs::remove_file(crossed.project_dir().join("go.work"));
    let online = crossed.go_sum_outside().expect("go writes a go.sum outside");
    assert_eq!(go_sum(&crossed), online, "from the files of the bundle");
    let crossed = crossed.over_http().expect("the bundle can be imported");
    assert_eq!(go_sum(&crossed), online, "over http");
    // Once more, warm.
    assert_eq!(go_sum(&crossed), online, "over http, with caches");
}

#[test]
fn cobra_is_verified_from_nothing() {
    verifies_from_nothing(COBRA);
}

#[test]
fn controller_runtime_is_verified_from_nothing() {
    verifies_from_nothing(CONTROLLER_RUNTIME);
}

#[test]
#[ignore = "tests/full runs it: .ci/run has 20 minutes"]
fn prometheus_is_verified_from_nothing() {
    verifies_from_nothing(PROMETHEUS);
}

/// A machine that was online long ago comes in: it is served only by a bundle that knows its tree head.
#[test]
fn a_laptop_with_an_old_head_is_served() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let head: &Path = &directory.path().join("latest");
    fs::write(head, OLD_HEAD).expect("a file can be written");
    let without = Crossed::bundle(COBRA).expect("cobra can be bundled");
    let with =
        Crossed::bundle_with(COBRA, &[OsStr::new("--client-latest"), head.as_os_str()]).expect("cobra can be bundled");
    for (crossed, is_served) in [(&without, false), (&with, true)] {
        fs::remove_file(crossed.project_dir().join("go.sum")).expect("cobra has a go.sum");
        crossed.remember(OLD_HEAD).expect("a head can be planted");
        let result = crossed.inside(&["mod", "download", "all"]);
        match (result, is_served) {
            (Ok(_), true) => {}
            (Err(error), false) => assert!(error.contains("checking tree#63096908"), "{error}"),
            (result, _) => panic!("{result:?}"),
        }
    }
}

/// A second bundle for the same mirror, and a client that has used the first one.
#[test]
fn a_second_bundle_joins_the_first() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let head: &Path = &directory.path().join("latest");
    fs::write(head, OLD_HEAD).expect("a file can be written");
    // Both are made by one CI, which keeps its heads: so they join wherever the log has grown to between them.
    let heads: &Path = &directory.path().join("heads");
    let keeps = [OsStr::new("--heads"), heads.as_os_str()];
    let more = [&keeps[..], &[OsStr::new("--client-latest"), head.as_os_str()]].concat();
    let first = Crossed::bundle_with(COBRA, &more).expect("cobra can be bundled");
    let first = first.over_http().expect("the bundle can be imported");
    fs::remove_file(first.project_dir().join("go.sum")).expect("cobra has a go.sum");
    let before = go_sum(&first);
    let second = Crossed::bundle_with(CONTROLLER_RUNTIME, &keeps).expect("controller-runtime can be bundled");
    first.import(&second.bundle_dir()).expect("the second bundle joins the first");
    assert_eq!(go_sum(&first), before, "a warm client goes on");
    first.forget().expect("caches can be removed");
    assert_eq!(go_sum(&first), before, "a cold client begins");
    first.remember(OLD_HEAD).expect("a head can be planted");
    assert_eq!(go_sum(&first), before, "and one that came in long ago");
}
