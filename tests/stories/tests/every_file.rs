//! Each file of a small bundle is taken away in turn: either the rehearsal fails and names it, or it is one of those that no
//! command of the level needs: then a command that does need it is run with the file and without it.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

use modferry_harness::built;
use modferry_harness::clean_home::CleanHome;
use modferry_harness::database::{self, Log};
use modferry_harness::module::Module;
use std::collections::BTreeSet;
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

    let bundle = home.work().join("b");
    let sums = fs::read_to_string(bundle.join("SHA256SUMS")).unwrap();
    let paths: Vec<&str> = sums.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    // Takes files away, rehearses, and puts them back; whether it passed, with the report.
    let without = |gone: &[&str], command: Option<&str>| -> (bool, String) {
        let aside = |path: &str| root.path().join(path.replace('/', "_"));
        gone.iter().for_each(|path| fs::rename(bundle.join(path), aside(path)).unwrap());
        let own = command.map(|command| ["--", "bash", "-c", command]);
        let arguments = [&["rehearse", "--json", "--quiet", "../b"][..], own.as_ref().map_or(&[], |own| own)].concat();
        let output = run(modferry, &arguments);
        gone.iter().for_each(|path| fs::rename(aside(path), bundle.join(path)).unwrap());
        assert!(matches!(output.status.code(), Some(0 | 1)), "{gone:?}: {}", String::from_utf8_lossy(&output.stderr));
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let named = |path: &str, report: &str| {
        assert!(report.contains(&format!("\"path\":\"{path}\"")), "{path} is not named:\n{report}");
    };
    let mut unneeded = BTreeSet::new();
    for &path in &paths {
        let (passed, report) = without(&[path], None);
        if !passed {
            named(path, &report);
            continue;
        }
        unneeded.insert(path);
        match why_carried(path, &paths).unwrap_or_else(|| panic!("{path}: nothing needs it")) {
            Why::For(command) => {
                let (passed, report) = without(&[], Some(&command));
                assert!(passed, "{path} is carried for this, which does not work: {command}\n{report}");
                let (passed, report) = without(&[path], Some(&command));
                assert!(!passed, "{path} is carried for this, which works without it: {command}");
                named(path, &report);
            }
            Why::WhereEmpty(list, command) => {
                let (place, full) = (bundle.join(list), fs::read(bundle.join(list)).unwrap());
                let put = |bytes: &[u8]| fs::remove_file(&place).and_then(|()| fs::write(&place, bytes)).unwrap();
                put(b"\n");
                let (with, report) = without(&[], Some(&command));
                assert!(with, "{path} does not answer where {list} names nothing:\n{report}");
                let (passed, report) = without(&[path], Some(&command));
                put(&full);
                assert!(!passed, "{path} is gone, {list} names nothing, and this works: {command}");
                named(path, &report);
            }
            Why::InPlaceOf(other) => {
                let (passed, report) = without(&[path, other], None);
                assert!(!passed, "{path} and {other} are gone, and nothing fails");
                assert!(report.contains(path) || report.contains(other), "neither {path} nor {other}:\n{report}");
            }
            Why::NotForGo => {}
        }
    }
    // What is proven to be needed by the level itself, so that the reasons cannot swallow it.
    for needed in ["!used/@v/v1.0.0.zip", "!used/@v/v1.0.0.mod", "tested/@v/v1.0.0.zip", "graph/@v/v1.0.0.info"] {
        assert!(!unneeded.contains(format!("download/example.com/{needed}").as_str()), "{needed}");
    }
}

/// Why a file is carried that no command of a rehearsal at level `work` asks for.
enum Why<'a> {
    /// This command works with it, and fails without it and names it.
    For(String),
    /// Where this list names no version, this command works with it and fails without it.
    WhereEmpty(&'a str, String),
    /// One of the two is needed.
    InPlaceOf(&'a str),
    /// Other programs read it.
    NotForGo,
}

/// A module path of this test, as go writes it.
fn unescaped(module: &str) -> String {
    module.replace("!used", "Used")
}

fn why_carried<'a>(path: &'a str, all: &[&'a str]) -> Option<Why<'a>> {
    const DATABASE: &str = "download/sumdb/sum.example.com/log/";
    let is_there = |path: &str| all.iter().copied().find(|other| *other == path);
    if let Some(module) = path.strip_prefix("download/").and_then(|path| path.strip_suffix("/@latest")) {
        // go asks for it where a list names no version; mirrors, bots and documentation servers ask always.
        let command = format!("go list -m {}@latest", unescaped(module));
        return is_there(&format!("download/{module}/@v/list")).map(|list| Why::WhereEmpty(list, command));
    }
    if let Some(module) = path.strip_prefix("download/").and_then(|path| path.strip_suffix("/@v/list")) {
        // Only who asks for versions misses it.
        let module = unescaped(module);
        return Some(Why::For(format!("[[ $(go list -m -versions {module}) == *v1.0.0* ]]")));
    }
    if path == format!("{DATABASE}latest") {
        // Plain tools that check the database read it.
        return Some(Why::NotForGo);
    }
    if let Some(tile) = path.strip_prefix(DATABASE).filter(|tile| tile.starts_with("tile/")) {
        // Of two tiles of the same records, one full and one not, a client reads one, by the head that it holds.
        let tile = tile.split(".p/").next().unwrap_or(tile);
        let siblings = all.iter().copied().filter(|other| {
            let rest = other.strip_prefix(DATABASE).and_then(|other| other.strip_prefix(tile));
            *other != path && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(".p/"))
        });
        return siblings.map(Why::InPlaceOf).next();
    }
    let graph = [
        "download/sumdb/sum.example.com/log/lookup/example.com/graph@v1.0.0",
        "download/example.com/graph/@v/v1.0.0.mod",
    ];
    if graph.contains(&path) {
        // It is in the graph alone; whoever requires it has its go.mod read, and verified.
        return Some(Why::For("rm go.sum && go mod edit -require example.com/graph@v1.0.0 && go mod tidy".to_owned()));
    }
    None
}
