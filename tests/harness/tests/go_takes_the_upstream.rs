//! The real `go` is the judge of the modules that the harness makes.

use modferry_format::ModuleVersion;
use modferry_harness::clean_home::CleanHome;
use modferry_harness::hostile::{KINDS, Kind};
use modferry_harness::module::Module;
use std::path::Path;
use std::process::{Command, Output};

fn home(root: &tempfile::TempDir) -> CleanHome {
    let go_cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-build");
    CleanHome::create(root.path(), &go_cache).expect("a fresh directory can be written")
}

fn go(home: &CleanHome, arguments: &[&str]) -> Output {
    let variables = home.variables();
    Command::new("go")
        .args(arguments)
        .current_dir(home.work())
        .env_clear()
        .envs(variables)
        // The cache's directories can then be removed again.
        .env("GOFLAGS", "-modcacherw")
        .output()
        .expect("go: cannot run it; these tests need the go command on PATH")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("go prints UTF-8")
}

#[test]
fn all_kinds_of_versions_can_be_downloaded() {
    let root = tempfile::tempdir().unwrap();
    let home = home(&root);
    let versions = [
        "example.com/Upper@v1.0.0-RC1",
        "example.com/plain/v2@v2.3.4",
        "example.com/old@v2.0.0+incompatible",
        "example.com/commit@v0.0.0-20200102030405-abcdefabcdef",
        "gopkg.in/thing.v1@v1.0.0",
    ];
    for text in versions {
        let version: ModuleVersion = text.parse().unwrap();
        let mut module = Module::new(text).unwrap().file("p.go", "package p\n");
        if !version.version().is_incompatible() {
            module = module.file("go.mod", format!("module {}\n", version.path()));
        }
        home.upstream().publish(&module).unwrap();
    }
    stdout(&go(&home, &[&["mod", "download"][..], &versions].concat()));
    let latest = stdout(&go(&home, &["list", "-m", "-f", "{{.Version}} {{.Time.Year}}", "example.com/commit@latest"]));
    assert_eq!(latest, "v0.0.0-20200102030405-abcdefabcdef 2020\n");
    let listed = stdout(&go(&home, &["list", "-m", "-versions", "example.com/Upper"]));
    assert_eq!(listed, "example.com/Upper v1.0.0-RC1\n");
}

#[test]
fn go_says_of_each_unusual_zip_what_the_table_says() {
    let root = tempfile::tempdir().unwrap();
    let home = home(&root);
    let go_mod = |version: &ModuleVersion| format!("module {}\n", version.path()).into_bytes();
    let version = |kind: &Kind| format!("example.com/{}@v1.0.0", kind.name).parse::<ModuleVersion>().unwrap();
    for kind in KINDS {
        let version = version(kind);
        let zip = kind.zip(&version, &go_mod(&version));
        home.upstream().publish_as(&version, &go_mod(&version), &zip).unwrap();
    }
    // One run for all of them: `-json` goes on after a bad one.
    let names: Vec<String> = KINDS.iter().map(|kind| version(kind).to_string()).collect();
    let arguments: Vec<&str> =
        ["mod", "download", "-json"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let output = go(&home, &arguments);
    let mut errors = std::collections::BTreeMap::new();
    for object in serde_json::Deserializer::from_slice(&output.stdout).into_iter::<serde_json::Value>() {
        let object = object.unwrap();
        errors.insert(object["Path"].as_str().unwrap().to_owned(), object.get("Error").cloned());
    }
    let wrong: Vec<String> = KINDS
        .iter()
        .map(|kind| (kind, &errors[version(kind).path().as_str()]))
        .filter(|(kind, error)| error.is_none() != kind.go_takes_it)
        .map(|(kind, error)| format!("{}: go says {error:?}", kind.name))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
