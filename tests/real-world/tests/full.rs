//! More and larger projects than every change can wait for; `tests/full` runs them.

use modferry_real_world::{Crossed, Project};

/// Bundles a project and does inside what asks for every part of a closure.
fn crosses(module: &'static str, version: &'static str) -> Crossed {
    let crossed = Crossed::bundle(Project { module, version }).unwrap_or_else(|error| panic!("{module}: {error}"));
    for stray in ["go.work", "vendor"] {
        // What a module zip has of its repository's workspace and vendoring is of no use; bundle has said so.
        let path = crossed.project_dir().join(stray);
        if path.exists() {
            assert!(crossed.bundled.contains(stray), "{module}: has {stray}, and bundle did not say so");
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.expect("it can be removed");
        }
    }
    let commands: [&[&str]; 8] = [
        &["list", "-deps", "-test", "all"],
        &["build", "-n", "./..."],
        &["test", "-n", "./..."],
        &["mod", "graph"],
        &["list", "-m", "all"],
        &["list", "-m", "-u", "all"],
        &["mod", "verify"],
        &["mod", "tidy"],
    ];
    for arguments in commands {
        if let Err(error) = crossed.inside(arguments) {
            panic!("{module}: go {}: {error}", arguments.join(" "));
        }
    }
    crossed
}

#[test]
fn go_and_we_fetch_the_same() {
    let projects = [
        ("sigs.k8s.io/controller-runtime", "v0.25.2"),
        ("helm.sh/helm/v4", "v4.3.1"),
        ("github.com/prometheus/prometheus", "v0.316.0"),
    ];
    for (module, version) in projects {
        for level in ["work", "all"] {
            // Without what there is of the checksum database: its head may have moved on between the two. That a head has one
            // slice, whoever fetched the zips, is shown where the log stands still.
            let bundle = |way: &str| {
                let arguments = ["--fetch", way, "--level", level].map(std::ffi::OsStr::new);
                let crossed = Crossed::bundle_with(Project { module, version }, &arguments);
                crossed.unwrap_or_else(|error| panic!("{module} at level {level}: {error}")).files()
            };
            assert_eq!(bundle("go"), bundle("ahead"), "{module} at level {level}");
        }
    }
}

#[test]
fn nats_server() {
    crosses("github.com/nats-io/nats-server/v2", "v2.11.0")
        .inside(&["mod", "download", "all"])
        .expect("all of it is there");
}

#[test]
fn controller_runtime() {
    crosses("sigs.k8s.io/controller-runtime", "v0.20.4")
        .inside(&["mod", "download", "all"])
        .expect("all of it is there");
}

#[test]
fn helm() {
    crosses("helm.sh/helm/v3", "v3.17.0").inside(&["mod", "download", "all"]).expect("all of it is there");
}

#[test]
fn caddy() {
    // Some upstreams refuse single zips of its graph; then bundle says which, and only `go mod download all` misses them.
    crosses("github.com/caddyserver/caddy/v2", "v2.10.0");
}

#[test]
fn golangci_lint() {
    crosses("github.com/golangci/golangci-lint/v2", "v2.1.6");
}

#[test]
fn opa() {
    crosses("github.com/open-policy-agent/opa", "v1.2.0");
}

#[test]
fn prometheus_compiles() {
    let crossed = Crossed::bundle(Project { module: "github.com/prometheus/prometheus", version: "v0.316.0" })
        .expect("prometheus can be bundled");
    std::fs::remove_file(crossed.project_dir().join("go.work")).expect("the zip has a go.work");
    crossed.inside(&["build", "-o", "/dev/null", "./cmd/promtool"]).expect("promtool can be compiled");
}
