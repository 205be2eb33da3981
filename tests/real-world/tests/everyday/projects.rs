//! Real projects at level `all`, each command inside a network namespace without any network, or with loopback and
//! `modferry serve` alone.

use crate::{COBRA, HUGO, PROMETHEUS};
use modferry_real_world::Crossed;

/// What a developer does with a module whose packages are not compiled here: from files all of it, from a server what asks
/// for the most, for the bytes are the same.
fn works_without_compiling(crossed: Crossed, carried: &str) {
    let latest = format!("{carried}@latest");
    let loads: [&[&str]; 7] = [
        &["build", "-n", "./..."],
        &["test", "-n", "./..."],
        &["vet", "-n", "./..."],
        &["list", "-deps", "-test", "all"],
        &["mod", "graph"],
        &["list", "-m", "all"],
        &["mod", "verify"],
    ];
    let asks: [&[&str]; 4] =
        [&["list", "-m", "-u", "all"], &["mod", "download", "all"], &["get", &latest], &["mod", "tidy"]];
    let inside = |crossed: &Crossed, arguments: &[&str]| {
        crossed.inside(arguments).unwrap_or_else(|error| panic!("go {}: {error}", arguments.join(" ")));
    };
    loads.iter().chain(&asks).for_each(|arguments| inside(&crossed, arguments));
    let crossed = crossed.over_http().expect("the bundle can be imported");
    asks.iter().for_each(|arguments| inside(&crossed, arguments));
}

#[test]
fn cobra_works_fully() {
    let crossed = Crossed::bundle(COBRA).expect("cobra can be bundled");
    works_fully(&crossed);
    let vendor = crossed.project_dir().join("vendor");
    std::fs::remove_dir_all(&vendor).expect("go mod vendor was the last command");
    works_fully(&crossed.over_http().expect("the bundle can be imported"));
}

fn works_fully(crossed: &Crossed) {
    let commands: [&[&str]; 14] = [
        &["build", "./..."],
        // Compiles the tests and runs none.
        &["test", "-run", "^$", "./..."],
        &["vet", "./..."],
        &["mod", "tidy"],
        &["mod", "tidy", "-diff"],
        &["mod", "download", "all"],
        &["mod", "verify"],
        &["mod", "graph"],
        &["mod", "why", "-m", "all"],
        &["list", "-m", "all"],
        &["list", "-m", "-u", "all"],
        &["list", "-m", "-versions", "github.com/spf13/pflag"],
        &["get", "github.com/spf13/pflag@latest"],
        &["mod", "vendor"],
    ];
    for arguments in commands {
        // Cobra is small: every command starts with empty caches.
        crossed.forget().expect("caches can be removed");
        if let Err(error) = crossed.inside(arguments) {
            panic!("go {}: {error}", arguments.join(" "));
        }
    }
}

#[test]
#[ignore = "tests/full runs it: .ci/run has 20 minutes"]
fn prometheus_works() {
    let crossed = Crossed::bundle(PROMETHEUS).expect("prometheus can be bundled");
    // The zip has the go.work of the repository, but not the modules that it names; the hint says what to do.
    assert!(crossed.bundled.contains("go.work names"), "{}", crossed.bundled);
    std::fs::remove_file(crossed.project_dir().join("go.work")).expect("the zip has a go.work");
    works_without_compiling(crossed, "github.com/prometheus/common");
}

#[test]
fn hugo_works() {
    let crossed = Crossed::bundle(HUGO).expect("hugo can be bundled");
    works_without_compiling(crossed, "github.com/spf13/cobra");
}

/// Without a go.sum everything is asked for again, and the one that go writes must be the project's own.
#[test]
fn cobra_gets_the_same_go_sum_again() {
    let crossed = Crossed::bundle(COBRA).expect("cobra can be bundled");
    let go_sum = crossed.project_dir().join("go.sum");
    crossed.inside(&["mod", "tidy"]).expect("cobra can be tidied inside");
    let before = std::fs::read_to_string(&go_sum).expect("cobra has a go.sum");
    std::fs::remove_file(&go_sum).expect("it can be removed");
    crossed.forget().expect("caches can be removed");
    crossed.inside(&["mod", "tidy"]).expect("cobra can be tidied inside without go.sum");
    let after = std::fs::read_to_string(&go_sum).expect("go wrote one");
    assert_eq!(before, after);
}
