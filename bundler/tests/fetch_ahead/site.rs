//! A machine with a project, and bundles made there.

use modferry_format::{BundlePath, ModuleVersion};
use modferry_harness::built;
use modferry_harness::clean_home::CleanHome;
use modferry_harness::module::Module;
use modferry_harness::upstream::Upstream;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Who fetches.
pub(crate) type Fetch = &'static str;
pub(crate) const GO: Fetch = "go";
pub(crate) const AHEAD: Fetch = "ahead";
/// Go first: it is the reference.
pub(crate) const BOTH: [Fetch; 2] = [GO, AHEAD];

/// The module that things happen to, as its path begins in a proxy.
pub(crate) const B: &str = "example.com/b/@v/v1.0.0";
/// All zips of the closure.
pub(crate) const ZIPS: [&str; 5] = [
    "example.com/!upper/c/@v/v1.2.0-beta.1",
    "example.com/a/@v/v1.0.0",
    B,
    "example.com/old/@v/v2.0.0+incompatible",
    "example.com/pseudo/@v/v0.0.0-20200102030405-abcdefabcdef",
];

/// A bundle: its files by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A version with a go.mod and one package.
pub(crate) fn module(text: &str) -> Module {
    let path = text.split('@').next().unwrap();
    let name = path.rsplit('/').next().unwrap().trim_end_matches(".git");
    let module =
        Module::new(text).unwrap().file("p.go", format!("package {name}\n\n// Name is {text}.\nconst Name = 1\n"));
    match path {
        "example.com/old" => module,
        "example.com/a" => module.file("go.mod", format!("module {path}\n\ngo 1.21\n\nrequire example.com/b v1.0.0\n")),
        _ => module.file("go.mod", format!("module {path}\n\ngo 1.21\n")),
    }
}

const MODULES: [&str; 5] = [
    "example.com/Upper/c@v1.2.0-beta.1",
    "example.com/a@v1.0.0",
    "example.com/b@v1.0.0",
    "example.com/old@v2.0.0+incompatible",
    "example.com/pseudo@v0.0.0-20200102030405-abcdefabcdef",
];

/// Publishes the closure.
pub(crate) fn publish(upstream: &Upstream) {
    MODULES.iter().for_each(|text| upstream.publish(&module(text)).unwrap());
}

/// The closure, published once.
pub(crate) fn upstream() -> Upstream {
    static UPSTREAM: LazyLock<Upstream> = LazyLock::new(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fetch-ahead-upstream");
        let _ = fs::remove_dir_all(&directory);
        let upstream = Upstream::at(directory);
        publish(&upstream);
        upstream
    });
    UPSTREAM.clone()
}

/// A published zip.
pub(crate) fn zip(name: &str) -> Vec<u8> {
    let path: BundlePath = format!("download/{name}.zip").parse().unwrap();
    fs::read(upstream().path(&path)).unwrap()
}

/// What go alone makes of files that nobody disturbs.
pub(crate) fn reference() -> &'static Files {
    static REFERENCE: LazyLock<Files> = LazyLock::new(|| Site::new().bundle(GO, &upstream().proxy_url(), &[]).files());
    &REFERENCE
}

/// A project's go.sum, written by go.
static GO_SUM: LazyLock<String> = LazyLock::new(|| {
    let site = Site::without_go_sum();
    site.go(&["mod", "tidy"]);
    fs::read_to_string(site.app().join("go.sum")).unwrap()
});

/// A machine of one test.
pub(crate) struct Site {
    pub(crate) home: CleanHome,
    runs: AtomicU64,
    _directory: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let site = Self::without_go_sum();
        fs::write(site.app().join("go.sum"), &*GO_SUM).unwrap();
        site
    }

    fn without_go_sum() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let go_cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-cache");
        let site = Self {
            home: CleanHome::create(directory.path(), &go_cache).unwrap(),
            runs: AtomicU64::new(0),
            _directory: directory,
        };
        fs::create_dir(site.app()).unwrap();
        let requires: String = MODULES.iter().map(|text| format!("require {}\n", text.replace('@', " "))).collect();
        fs::write(site.app().join("go.mod"), format!("module example.com/app\n\ngo 1.21\n\n{requires}")).unwrap();
        let imports: String =
            MODULES.iter().map(|text| format!("import _ \"{}\"\n", text.split('@').next().unwrap())).collect();
        fs::write(site.app().join("app.go"), format!("package app\n\n{imports}")).unwrap();
        site
    }

    fn app(&self) -> PathBuf {
        self.home.work().join("app")
    }

    pub(crate) fn forget_go_sum(&self) {
        fs::remove_file(self.app().join("go.sum")).unwrap();
    }

    /// Adds a requirement of v1.0.0, and an import of it.
    pub(crate) fn require(&self, path: &str) {
        let append = |name: &str, line: String| {
            let file = self.app().join(name);
            fs::write(&file, fs::read_to_string(&file).unwrap() + &line).unwrap();
        };
        append("go.mod", format!("require {path} v1.0.0\n"));
        append("app.go", format!("import _ \"{path}\"\n"));
    }

    /// Makes a git repository with a version in it, and lets git take it for the one at this URL.
    pub(crate) fn git_origin(&self, url: &str, module: &Module) {
        let repository = self.home.work().join("origin");
        fs::create_dir(&repository).unwrap();
        fs::write(repository.join("go.mod"), module.go_mod()).unwrap();
        fs::write(repository.join("p.go"), "package p\n").unwrap();
        let config = format!(
            "[user]\nname = a\nemail = a@example.com\n[url \"file://{}\"]\ninsteadOf = {url}\n",
            repository.display()
        );
        fs::write(self.home.root().join("home/.gitconfig"), config).unwrap();
        for arguments in [&["init", "-q"][..], &["add", "."], &["commit", "-q", "-m", "x"], &["tag", "v1.0.0"]] {
            let mut git = Command::new("git");
            git.env("GIT_COMMITTER_DATE", "1700000000 +0000").env("GIT_AUTHOR_DATE", "1700000000 +0000");
            git.env("HOME", self.home.root().join("home")).args(arguments).current_dir(&repository);
            assert!(git.status().unwrap().success(), "git {arguments:?}");
        }
    }

    fn go(&self, arguments: &[&str]) {
        let mut go = Command::new("go");
        go.env_clear().envs(self.home.variables()).env("GOPROXY", upstream().proxy_url()).env("GOFLAGS", "-modcacherw");
        let output = go.args(arguments).current_dir(self.app()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Has the user's go fetch everything.
    pub(crate) fn fill_cache(&self) {
        self.go(&["mod", "download", "all"]);
    }

    fn cached(&self, name: &str, extension: &str) -> PathBuf {
        self.home.root().join("modcache/cache/download").join(format!("{name}.{extension}"))
    }

    /// Removes the zips from the user's module cache.
    pub(crate) fn forget_zips(&self) {
        ZIPS.iter().for_each(|name| fs::remove_file(self.cached(name, "zip")).unwrap());
    }

    /// Writes other bytes over a file of B in the user's module cache.
    pub(crate) fn spoil(&self, extension: &str, bytes: &[u8]) {
        let file = self.cached(B, extension);
        assert!(file.exists());
        fs::write(file, bytes).unwrap();
    }

    /// Lets go put another content into the user's module cache.
    pub(crate) fn replace_in_cache(&self, module: &Module) {
        let wrong = Upstream::at(self.home.work().join("wrong"));
        wrong.publish(module).unwrap();
        for extension in ["zip", "ziphash"] {
            fs::remove_file(self.cached(B, extension)).unwrap();
        }
        let version: &ModuleVersion = module.version();
        fs::remove_dir_all(self.home.root().join("modcache").join(version.to_string())).unwrap();
        let mut go = Command::new("go");
        go.env_clear().envs(self.home.variables()).env("GOPROXY", wrong.proxy_url()).env("GOFLAGS", "-modcacherw");
        let output = go.args(["mod", "download", &version.to_string()]).current_dir(self.home.work()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Makes a bundle, to the end.
    pub(crate) fn bundle(&self, fetch: Fetch, goproxy: &str, more: &[(&str, &str)]) -> Ran {
        self.start(fetch, goproxy, more).end()
    }

    /// The same with so many requests at a time.
    pub(crate) fn bundle_with_jobs(&self, jobs: &str, goproxy: &str) -> Ran {
        self.start_with(&["--jobs", jobs], AHEAD, goproxy, &[]).end()
    }

    /// Begins to make one.
    pub(crate) fn start(&self, fetch: Fetch, goproxy: &str, more: &[(&str, &str)]) -> Running<'_> {
        self.start_with(&[], fetch, goproxy, more)
    }

    fn start_with(&self, flags: &[&str], fetch: Fetch, goproxy: &str, more: &[(&str, &str)]) -> Running<'_> {
        let out = self.home.work().join(format!("b{}", self.runs.fetch_add(1, Ordering::Relaxed)));
        let mut command = Command::new(built::modferry().unwrap());
        command.env_clear().envs(self.home.variables()).envs(more.iter().copied());
        // Go may use http here: it stays on loopback.
        command.env("GODEBUG", "").env("GOPROXY", goproxy);
        command.args(["bundle", "--json", "--fetch", fetch]).args(flags).arg("-o").arg(&out).current_dir(self.app());
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running { site: self, child, out }
    }
}

/// A bundle being made.
pub(crate) struct Running<'a> {
    site: &'a Site,
    child: Child,
    out: PathBuf,
}

impl Running<'_> {
    /// As a terminal stops it, but for the children.
    pub(crate) fn interrupt(self) -> Ran {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        self.end()
    }

    fn end(self) -> Ran {
        let output = self.child.wait_with_output().unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let mut result: Value =
            serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}\n{stderr}"));
        let code = output.status.code().unwrap();
        assert_eq!(code == 0, result["ok"] != Value::Bool(false), "{stdout}");
        let root = self.site.home.root().display().to_string();
        Ran { code, error: result["error"].take(), stderr: stderr.into_owned(), out: self.out, root }
    }
}

/// A bundle that was made, or not.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) error: Value,
    stderr: String,
    out: PathBuf,
    root: String,
}

impl Ran {
    /// The kind of its error.
    pub(crate) fn kind(&self) -> String {
        assert!(self.code != 0, "a bundle was made\n{}", self.stderr);
        self.error["kind"].as_str().unwrap().to_owned()
    }

    /// What its error says, without what no two runs have in common.
    pub(crate) fn causes(&self) -> String {
        let mut text = format!("{:#}", self.error).replace(&self.root, "ROOT");
        for (sign, is_varying) in [
            ("127.0.0.1:", char::is_ascii_digit as fn(&char) -> bool),
            ("localhost:", char::is_ascii_digit),
            ("/run-", char::is_ascii_alphanumeric),
        ] {
            let mut parts = text.split(sign).map(str::to_owned).collect::<Vec<_>>();
            for part in parts.iter_mut().skip(1) {
                *part = part.trim_start_matches(|c: char| is_varying(&c)).to_owned();
            }
            text = parts.join(&format!("{sign}N"));
        }
        text
    }

    /// It failed as another one did, to the word, and left nothing.
    pub(crate) fn fails_as(&self, other: &Self) {
        assert!(self.code != 0, "a bundle was made\n{}", self.stderr);
        assert_eq!((self.code, self.causes()), (other.code, other.causes()));
        assert!(!self.out.exists() && !other.out.exists());
    }

    /// The files of its bundle, which verifies.
    pub(crate) fn files(&self) -> Files {
        let files = self.read();
        let verified = Command::new(built::modferry().unwrap()).arg("verify").arg(&self.out).output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
        files
    }

    fn read(&self) -> Files {
        assert!(self.code == 0, "{:#}\n{}", self.error, self.stderr);
        let entries = walkdir::WalkDir::new(&self.out).into_iter().map(Result::unwrap);
        let files = entries.filter(|entry| entry.file_type().is_file());
        let name = |path: &Path| path.strip_prefix(&self.out).unwrap().display().to_string();
        files.map(|entry| (name(entry.path()), fs::read(entry.path()).unwrap())).collect()
    }

    /// Its bundle has exactly these files, of one that verifies.
    pub(crate) fn is(&self, files: &Files) {
        let own = self.read();
        assert_eq!(own.keys().collect::<Vec<_>>(), files.keys().collect::<Vec<_>>());
        let other: Vec<&String> =
            own.iter().filter(|(name, bytes)| files[*name] != **bytes).map(|(name, _)| name).collect();
        assert!(other.is_empty(), "other bytes: {other:?}");
    }
}
