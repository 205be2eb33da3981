//! Go toolchains across the gap, verified by the real checksum database, and a machine that has no go.

use crate::COBRA;
use modferry_real_world::{Crossed, go_env};
use std::ffi::OsStr;

/// Not the newest, so that it is not the one that is installed.
const VERSION: &str = "1.25.14";

fn switches(crossed: &Crossed) {
    let inside = |toolchain: &str, arguments: &[&str]| {
        crossed.inside_with(&[("GOTOOLCHAIN", toolchain)], arguments).expect("the toolchain is there and verifies")
    };
    assert!(inside("go1.25.14", &["version"]).contains("go1.25.14"));
    assert!(inside("auto", &["list", "-m", "-versions", "go"]).contains(VERSION));
    inside("go1.25.14", &["build", "./..."]);
    // One that is not there is not made up.
    assert!(crossed.inside_with(&[("GOTOOLCHAIN", "go1.25.13")], &["version"]).is_err());
}

#[test]
fn a_toolchain_is_switched_to_inside() {
    let arguments = [OsStr::new("--toolchain"), OsStr::new(VERSION)];
    let crossed = Crossed::bundle_with(COBRA, &arguments).expect("cobra and a toolchain can be bundled");
    switches(&crossed);
    switches(&crossed.over_http().expect("the bundle can be imported"));
}

#[test]
fn a_machine_without_go_brings_its_own() {
    let nothing = tempfile::tempdir().expect("a temporary directory");
    let path = nothing.path().display().to_string();
    let goproxy = go_env("GOPROXY").expect("go says where modules come from");
    let arguments = [OsStr::new("--go"), OsStr::new(VERSION)];
    let own = Crossed::bundle_where(COBRA, &arguments, &[("PATH", &path), ("GOPROXY", &goproxy)]);
    let own = own.expect("cobra can be bundled without go");
    own.inside(&["build", "./..."]).expect("cobra builds inside");
    let usual = Crossed::bundle_with(COBRA, &[]).expect("cobra can be bundled");
    assert_eq!(own.files(), usual.files());
}

#[test]
fn go_and_we_fetch_the_same() {
    for level in ["work", "all"] {
        let bundle = |way: &str| {
            let arguments = ["--fetch", way, "--level", level].map(OsStr::new);
            Crossed::bundle_with(COBRA, &arguments).expect("cobra can be bundled").files()
        };
        assert_eq!(bundle("go"), bundle("ahead"), "level {level}");
    }
}
