//! A real project is rehearsed with every go version of tests/go-versions, each fetched as GOTOOLCHAIN does it.

use modferry_harness::built;
use modferry_real_world::{Crossed, Project};
use std::process::Command;

const COBRA: Project = Project { module: "github.com/spf13/cobra", version: "v1.10.2" };

/// Runs a command and gives what it printed.
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}:\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn cobra_passes_with_every_go() {
    let crossed = Crossed::bundle(COBRA).expect("cobra can be bundled");
    let versions: Vec<&str> = include_str!("../../go-versions").split_whitespace().collect();
    assert!(versions.len() >= 5, "{versions:?}");
    for version in versions {
        let mut go = Command::new("go");
        let root = printed(go.args(["env", "GOROOT"]).env("GOTOOLCHAIN", format!("go{version}")));
        let path = format!("{}/bin:{}", root.trim(), std::env::var("PATH").expect("there is a PATH"));
        let mut rehearse = Command::new(built::modferry().expect("modferry can be built"));
        rehearse.arg("rehearse").arg(crossed.bundle_dir()).arg(crossed.project_dir()).env("PATH", path);
        let report = printed(&mut rehearse);
        assert!(report.contains(&format!("passed with go{version}, without any network")), "{report}");
    }
}
