//! Two forgeries that go before 1.25.13 and 1.26.6 takes (CVE-2026-56864, CVE-2026-56865). Inside, with such a go, nothing but the
//! proofs of `verify` and `import` stands between whoever wrote a bundle and those who build with it.

use modferry_format::ModuleVersion;
use modferry_harness::clean_home::CleanHome;
use modferry_harness::database::{Log, forge};
use modferry_harness::module::Module;
use modferry_harness::reseal::{Reseal, reseal};
use modferry_harness::{Outcome, built};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const FORGED: &str = "example.com/dep@v1.0.0";
const OTHER: &str = "example.com/other@v1.0.0";
/// A go that nobody mends any more.
const OLD_GO: &str = "1.24.11";
/// At this size the frontier has 6 subtrees in 2 tiles, so a flawed client passes over the 4 tiles that come next.
const RECORDS: u64 = 700;

/// What the writer of a bundle does to it, beside making the manifest right again.
type Forgery = fn(&Path, &ModuleVersion) -> Outcome<()>;

/// Each with what a mended go says of it, and the kind of what `verify` finds.
const FORGERIES: [(&str, Forgery, &str, &str); 2] = [
    ("the lookup of another module", other_lookup, "checksum missing from sumdb response", "lookup"),
    ("a record and its leaf", forge::record, "downloaded inconsistent tile", "tile"),
];

fn other_lookup(bundle: &Path, version: &ModuleVersion) -> Outcome<()> {
    forge::lookup(bundle, version, &OTHER.parse().map_err(|error| format!("{error}"))?)
}

/// A machine with a bundle that is genuine, whose modules are in a log.
struct Place {
    directory: tempfile::TempDir,
    home: CleanHome,
    key: String,
    forged: ModuleVersion,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let go_cache = directory.path().join("go-cache");
        let home = CleanHome::create(directory.path(), &go_cache).expect("a place for go and modferry");
        let mut log = Log::default();
        for text in [FORGED, OTHER] {
            let path = text.split('@').next().unwrap_or_default();
            let module = Module::new(text).expect("a module version").file("go.mod", format!("module {path}\n"));
            let module = module.file("p.go", "package p\n");
            home.upstream().publish(&module).expect("it can be published");
            log.add(&module).expect("it has hashes");
        }
        log.grow(RECORDS, "");
        log.write(&directory.path().join("sumdb"), &[]).expect("a database can be written");
        let app = home.work().join("app");
        fs::create_dir(&app).expect("a directory for the project");
        let require = "require (\n\texample.com/dep v1.0.0\n\texample.com/other v1.0.0\n)\n";
        fs::write(app.join("go.mod"), format!("module example.com/app\n\ngo 1.21\n\n{require}")).expect("a go.mod");
        fs::write(app.join("a.go"), "package app\n\nimport (\n\t_ \"example.com/dep\"\n\t_ \"example.com/other\"\n)\n")
            .expect("a package");
        let place = Self { key: log.key(), forged: FORGED.parse().expect("a module version"), directory, home };
        let gosumdb = format!("{} file://{}", place.key, place.directory.path().join("sumdb").display());
        let bundled = place.modferry(&["bundle", "app", "-o", "genuine"], &gosumdb);
        assert!(bundled.status.success(), "{}", String::from_utf8_lossy(&bundled.stderr));
        place
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>, gosumdb: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.home.variables()).env_remove("GONOSUMDB").env("GOSUMDB", gosumdb);
        command.current_dir(self.home.work());
        command
    }

    fn modferry(&self, arguments: &[&str], gosumdb: &str) -> Output {
        let program = built::modferry().expect("modferry can be built");
        self.command(program, gosumdb).args(arguments).output().expect("modferry can be run")
    }

    /// A forged copy of the bundle.
    fn forge(&self, forgery: Forgery) -> PathBuf {
        let copy = self.home.work().join("forged");
        let _ = fs::remove_dir_all(&copy);
        let copied = Command::new("cp").arg("-r").arg(self.home.work().join("genuine")).arg(&copy).status();
        assert!(copied.expect("cp can be run").success());
        forge::go_mod(&copy, &self.forged).expect("another go.mod");
        forgery(&copy, &self.forged).expect("it can be forged");
        reseal(&copy, Reseal::Everything).expect("the manifest can be made right");
        copy
    }

    /// Downloads from a bundle into nothing; gives what go said, and the go.mod that it took for verified.
    fn download(&self, go: &Path, bundle: &Path) -> Result<String, String> {
        let caches = tempfile::tempdir_in(self.directory.path()).expect("a temporary directory");
        let mut command = self.command(go, &self.key);
        command.args(["mod", "download"]).current_dir(self.home.work().join("app"));
        command.env("GOPROXY", format!("file://{}", bundle.join("download").display()));
        command.env("GOMODCACHE", caches.path().join("mod")).env("GOPATH", caches.path().join("path"));
        command.env("GOFLAGS", "-mod=mod -modcacherw");
        let output = command.output().expect("go can be run");
        let _ = fs::remove_file(self.home.work().join("app/go.sum"));
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let cached = caches.path().join("mod/cache/download/example.com/dep/@v/v1.0.0.mod");
        Ok(fs::read_to_string(cached).expect("go has downloaded it"))
    }
}

/// The go of this version, fetched as GOTOOLCHAIN does it; the one of this machine without one.
fn go(version: Option<&str>) -> (PathBuf, String) {
    let mut command = Command::new("go");
    if let Some(version) = version {
        command.env("GOTOOLCHAIN", format!("go{version}"));
    }
    let output = command.args(["env", "GOROOT", "GOVERSION"]).output().expect("go can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (root, version) = text.trim().split_once('\n').expect("two lines");
    (Path::new(root).join("bin/go"), version.to_owned())
}

/// Whether a go has the mended client: since 1.25.13, 1.26.6 and 1.27.
fn is_mended(version: &str) -> bool {
    let numbers = version.trim_start_matches("go1.").split_whitespace().next().unwrap_or_default();
    let mut numbers = numbers.split('.').map(|number| number.parse().unwrap_or(0_u32));
    match (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) {
        (25, patch) => patch >= 13,
        (26, patch) => patch >= 6,
        (minor, _) => minor >= 27,
    }
}

fn are_refused_by_us_and_by_a_mended_go(gos: &[(PathBuf, String)]) {
    let place = Place::new();
    for (name, forgery, words, kind) in FORGERIES {
        let bundle = place.forge(forgery);
        let shown = bundle.display().to_string();
        let verified = place.modferry(&["verify", "--json", &shown], "off");
        let found = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert_eq!(verified.status.code(), Some(1), "{name}: verify\n{found}");
        assert!(found.contains(&format!("\"kind\":\"{kind}\"")), "{name}: verify\n{found}");
        let mirror = place.home.work().join("mirror");
        let arguments = ["import", &shown, "mirror", "--unsigned", "--database-key", &place.key];
        let imported = place.modferry(&arguments, "off");
        assert_eq!(imported.status.code(), Some(1), "{name}: import\n{}", String::from_utf8_lossy(&imported.stderr));
        assert!(!mirror.join("download/example.com").exists(), "{name}: import has published");
        for (go, version) in gos {
            match (place.download(go, &bundle), is_mended(version)) {
                (Ok(go_mod), false) => assert!(go_mod.ends_with("// evil\n"), "{name}: {version} has {go_mod}"),
                (Err(said), true) => assert!(said.contains(words), "{name}: {version}\n{said}"),
                (taken, _) => panic!("{name}: {version}: {taken:?}"),
            }
        }
    }
    // The same without any forgery is taken by all.
    let genuine = place.home.work().join("genuine");
    for (go, version) in gos {
        assert_eq!(place.download(go, &genuine).as_deref(), Ok("module example.com/dep\n"), "{version}");
    }
}

#[test]
fn an_old_go_takes_what_we_and_the_installed_go_refuse() {
    let (old, installed) = (go(Some(OLD_GO)), go(None));
    assert!(!is_mended(&old.1), "{}", old.1);
    are_refused_by_us_and_by_a_mended_go(&[old, installed]);
}

/// For `tests/full`: they are fetched first.
#[test]
#[ignore = "fetches every go version of tests/go-versions"]
fn every_go_takes_them_until_it_was_mended() {
    let gos: Vec<_> =
        include_str!("../../../go-versions").split_whitespace().map(|version| go(Some(version))).collect();
    assert!(gos.iter().any(|(_, version)| is_mended(version)) && !gos.iter().all(|(_, version)| is_mended(version)));
    are_refused_by_us_and_by_a_mended_go(&gos);
}
