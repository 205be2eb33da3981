//! Exact lists without go, from proxies that misbehave: infos, go.mod files and zips come as go would get them, or the
//! failure is told and leaves nothing.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

use modferry_format::H1;
use modferry_harness::built;
use modferry_harness::clean_home::CleanHome;
use modferry_harness::module::Module;
use modferry_harness::proxy::{Behaviour, Proxy, Rule};
use modferry_harness::upstream::Upstream;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

const A: &str = "example.com/a@v1.0.0";
const UPPER: &str = "example.com/Upper/b@v1.2.0";

/// A machine without go, an upstream with two modules, and a go.sum that names both.
struct Site {
    home: CleanHome,
    upstream: Upstream,
    _directory: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = CleanHome::create(directory.path(), &directory.path().join("go-cache")).unwrap();
        let upstream = home.upstream();
        let mut go_sum = String::new();
        for text in [A, UPPER] {
            let (path, version) = text.split_once('@').unwrap();
            let module =
                Module::new(text).unwrap().file("go.mod", format!("module {path}\n")).file("p.go", "package p\n");
            upstream.publish(&module).unwrap();
            go_sum.push_str(&format!("{path} {version}/go.mod {}\n", H1::of_go_mod(&module.go_mod())));
        }
        // Of one the zip too: its hash is for the bundler to find out.
        go_sum.push_str("example.com/a v1.0.0 h1:unknown\n");
        fs::write(home.work().join("go.sum"), go_sum.replace("h1:unknown", &zip_h1(&home, &upstream))).unwrap();
        Self { home, upstream, _directory: directory }
    }

    fn proxy(&self, rules: impl IntoIterator<Item = Rule>) -> Proxy {
        Proxy::start(&self.upstream, rules).unwrap()
    }

    /// Makes a bundle; gives exit code, result and files.
    fn bundle(&self, goproxy: &str, out: &str) -> (i32, Value) {
        let mut command = Command::new(built::modferry().unwrap());
        command.env_clear().envs(self.home.variables()).env("PATH", self.home.bin()).env("GOPROXY", goproxy);
        command.args(["bundle", "go.sum", "--json", "-o", out]).current_dir(self.home.work());
        let output = command.output().unwrap();
        let result = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), result)
    }

    fn files(&self, out: &str) -> BTreeMap<String, Vec<u8>> {
        let root = self.home.work().join(out);
        let files = walkdir::WalkDir::new(&root).into_iter().map(Result::unwrap);
        let files = files.filter(|entry| entry.file_type().is_file());
        let name = |entry: &walkdir::DirEntry| entry.path().strip_prefix(&root).unwrap().display().to_string();
        files.map(|entry| (name(&entry), fs::read(entry.path()).unwrap())).collect()
    }
}

/// The h1 of A's zip, as an SBOM of nothing else would have it: by a bundle made from files.
fn zip_h1(home: &CleanHome, upstream: &Upstream) -> String {
    let sbom =
        r#"{"bomFormat":"CycloneDX","components":[{"name":"example.com/a","purl":"pkg:golang/example.com/a@v1.0.0"}]}"#;
    fs::write(home.work().join("sbom.json"), sbom).unwrap();
    let mut command = Command::new(built::modferry().unwrap());
    command.env_clear().envs(home.variables()).env("PATH", home.bin()).env("GOPROXY", upstream.proxy_url());
    let bundled = command.args(["bundle", "sbom.json", "-q", "-o", "first"]).current_dir(home.work()).output().unwrap();
    assert!(bundled.status.success(), "{}", String::from_utf8_lossy(&bundled.stderr));
    let zip = home.work().join("first/download/example.com/a/@v/v1.0.0.zip");
    let size = fs::metadata(&zip).unwrap().len();
    let source = modferry::source::Source::whole(fs::File::open(&zip).unwrap(), size);
    let mut prover = modferry_prove::Prover::default();
    prover.prove(&A.parse().unwrap(), &source, size, None).unwrap().h1.unwrap().to_string()
}

#[test]
fn what_passes_is_waited_for_and_the_bundle_is_the_same() {
    let site = Site::new();
    assert_eq!(site.bundle(&site.upstream.proxy_url(), "reference").0, 0);
    let rules = [
        Rule::first(1, "a/@v/v1.0.0.mod", Behaviour::Status(503)),
        Rule::first(1, "a/@v/v1.0.0.info", Behaviour::Cut),
        Rule::first(1, "a/@v/v1.0.0.zip", Behaviour::Close),
        Rule::first(1, "b/@v/v1.2.0.mod", Behaviour::Slow(Duration::from_millis(300))),
    ];
    let proxy = site.proxy(rules);
    assert_eq!(site.bundle(&proxy.url(), "b").0, 0);
    assert_eq!(site.files("b"), site.files("reference"));
    // Of the second module nobody wants the zip.
    assert_eq!(proxy.zips().keys().collect::<Vec<_>>(), ["example.com/a/@v/v1.0.0"]);
}

#[test]
fn the_next_proxy_is_asked_as_go_asks_it() {
    let site = Site::new();
    let good = site.proxy([]);
    for (behaviour, with_comma) in
        [(Behaviour::Status(404), 0), (Behaviour::Status(410), 0), (Behaviour::Status(403), 2)]
    {
        let name = format!("{behaviour:?}");
        let bad = site.proxy([Rule::always("", behaviour)]);
        assert_eq!(
            site.bundle(&format!("{},{}", bad.url(), good.url()), &format!("comma-{name}")).0,
            with_comma,
            "{name}"
        );
        assert_eq!(site.bundle(&format!("{}|{}", bad.url(), good.url()), &format!("pipe-{name}")).0, 0, "{name}");
    }
    assert_eq!(site.bundle(&format!("http://127.0.0.1:1|{}", good.url()), "nobody").0, 0);
}

#[test]
fn other_bytes_than_stated_are_a_conflict() {
    let site = Site::new();
    let other = Module::new(A).unwrap().file("go.mod", "module example.com/a\n").file("p.go", "package evil\n");
    for (path, bytes, kind, code) in [
        ("a/@v/v1.0.0.mod", b"module example.com/evil\n".to_vec(), "hash-conflict", 1),
        ("a/@v/v1.0.0.zip", other.zip(), "hash-conflict", 1),
        ("a/@v/v1.0.0.zip", b"no zip".to_vec(), "zip-refused", 1),
        ("a/@v/v1.0.0.info", b"no info".to_vec(), "bundle-invalid", 1),
        ("b/@v/v1.2.0.info", br#"{"Version":"v1.2.1"}"#.to_vec(), "bundle-invalid", 1),
    ] {
        let proxy = site.proxy([Rule::always(path, Behaviour::Instead(bytes))]);
        let (ended, result) = site.bundle(&proxy.url(), "b");
        assert_eq!((ended, result["error"]["kind"].as_str()), (code, Some(kind)), "{path}: {result:#}");
        assert!(!site.home.work().join("b").exists());
    }
}

#[test]
fn too_much_is_refused() {
    let site = Site::new();
    for path in ["a/@v/v1.0.0.mod", "a/@v/v1.0.0.info"] {
        let proxy = site.proxy([Rule::always(path, Behaviour::Zeros(1 << 40))]);
        let (code, result) = site.bundle(&proxy.url(), "b");
        assert_eq!((code, result["error"]["kind"].as_str()), (2, Some("network")), "{result:#}");
    }
}
