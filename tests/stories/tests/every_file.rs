//! Each file of a small bundle is taken away in turn: either the rehearsal fails and names it, or it is one of those that no
//! command of the level needs, of which the reason is written down here.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

use modferry_harness::built;
use modferry_harness::clean_home::CleanHome;
use modferry_harness::database::{self, Log};
use modferry_harness::module::Module;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Records of the log beside those of the modules: enough for tiles of two levels.
const RECORDS: u64 = 300;

#[test]
fn a_rehearsal_names_every_file_that_the_level_needs() {
    let root = tempfile::tempdir().unwrap();
    let go_cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/go-build");
    let home = CleanHome::create(root.path(), &go_cache).unwrap();
    let module = |name: &str, requires: &str| {
        let go_mod = format!("module example.com/{name}\n\ngo 1.21\n{requires}");
        Module::new(&format!("example.com/{name}@v1.0.0")).unwrap().file("go.mod", go_mod)
    };
    let requires = "\nrequire (\n\texample.com/graph v1.0.0\n\texample.com/tested v1.0.0\n)\n";
    let used = module("Used", requires).file("p.go", "package used\n");
    let used = used.file("p_test.go", "package used\n\nimport _ \"example.com/tested\"\n");
    let published = [
        used,
        module("tested", "").file("p.go", "package tested\n"),
        module("graph", "").file("p.go", "package graph\n"),
    ];
    published.iter().for_each(|module| home.upstream().publish(module).unwrap());
    let mut log = Log::default();
    database::add_upstream(&mut log, &root.path().join("upstream")).unwrap();
    log.grow(RECORDS, "");
    let database = root.path().join("database");
    log.write(&database, &[]).unwrap();
    let mut variables = home.variables();
    variables.remove("GONOSUMDB");
    variables.insert("GOSUMDB".to_owned(), format!("{} file://{}", log.key(), database.display()));
    let app = home.work().join("app");
    fs::create_dir(&app).unwrap();
    fs::write(app.join("go.mod"), "module example.com/app\n\ngo 1.21\n\nrequire example.com/Used v1.0.0\n").unwrap();
    fs::write(app.join("app.go"), "package app\n\nimport _ \"example.com/Used\"\n").unwrap();
    let run = |program: &Path, arguments: &[&str]| -> Output {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&app).env_clear().envs(&variables).output().unwrap()
    };
    let succeeds = |program: &Path, arguments: &[&str]| {
        let output = run(program, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let modferry = built::modferry().unwrap();
    succeeds(Path::new("go"), &["mod", "tidy"]);
    succeeds(modferry, &["bundle", "--quiet", "-o", "../b"]);
    succeeds(modferry, &["rehearse", "--quiet", "../b"]);

    let (bundle, mut unneeded) = (home.work().join("b"), BTreeMap::new());
    let sums = fs::read_to_string(bundle.join("SHA256SUMS")).unwrap();
    for path in sums.lines().map(|line| line.split_once("  ").unwrap().1) {
        let (place, aside) = (bundle.join(path), root.path().join("aside"));
        fs::rename(&place, &aside).unwrap();
        let output = run(modferry, &["rehearse", "--json", "--quiet", "../b"]);
        fs::rename(&aside, &place).unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            unneeded.insert(path.to_owned(), why_carried(path).unwrap_or_else(|| panic!("{path}: nothing needs it")));
        } else {
            assert_eq!(output.status.code(), Some(1), "{path}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(text.contains(&format!("\"path\":\"{path}\"")), "{path} is not named:\n{text}");
        }
    }
    // What is proven to be needed, so that the list of reasons cannot swallow it.
    for needed in ["!used/@v/v1.0.0.zip", "!used/@v/v1.0.0.mod", "tested/@v/v1.0.0.zip", "graph/@v/v1.0.0.info"] {
        assert!(!unneeded.contains_key(&format!("download/example.com/{needed}")), "{needed}");
    }
}

/// Why a file is carried that no command of a rehearsal at level `work` asks for.
fn why_carried(path: &str) -> Option<&'static str> {
    let ends = |end: &str| path.ends_with(end);
    if ends("/@latest") {
        Some("go asks for it only where a list names no version; mirrors, bots and documentation servers ask always")
    } else if ends("/sumdb/sum.example.com/log/latest") {
        Some("go never asks for it; plain tools that check the database do")
    } else if ends("/@v/list") {
        Some("a list that is not there is an answer: no updates, no retraction")
    } else if path.contains("/tile/") {
        Some("of two tiles of the same records, one full and one not, a client reads one, by the head that it holds")
    } else if ends("/lookup/example.com/graph@v1.0.0") || ends("/graph/@v/v1.0.0.mod") {
        Some("its go.mod is read, and verified, where a go.mod is edited to require it, or has a go line below 1.17")
    } else {
        None
    }
}
