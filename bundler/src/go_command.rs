//! The go command of the connected machine: found, asked for its settings, and run as a child with its own caches.
//!
//! - settings come from `go env -json` in the root, so the user's go.env file, GOFLAGS and toolchain switch count
//! - the child is the go that the root selected, with GOENV off and GOTOOLCHAIN local: what it does depends on
//!   nothing that is not in its environment
//! - it gets a module cache of its own; the user's cache is only a source of exact versions

use crate::child::run_to_end;
use crate::context::{Environment, Interrupt};
use crate::error::{Error, ErrorKind, Result};
use modferry_format::sumdb::key::{GoSumDb, VerifierKey};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use crate::child::Output;

/// Oldest go command that is used: the first with GOTOOLCHAIN, and the oldest that the tests run with.
pub const OLDEST_GO: (u32, u32) = (1, 21);
/// Workers of the child: it uses GOMAXPROCS of them for downloads, and more than 16 brings nothing (measured).
const CHILD_GOMAXPROCS: &str = "16";

/// Variables of `go env` that say where modules come from and how they are trusted; the child gets them as they are.
const INHERITED: [&str; 10] = [
    "GOPROXY",
    "GOSUMDB",
    "GOPRIVATE",
    "GONOPROXY",
    "GONOSUMDB",
    "GOINSECURE",
    "GOVCS",
    "GOAUTH",
    "GOEXPERIMENT",
    "GODEBUG",
];
/// Further variables that are read.
const ASKED: [&str; 7] = ["GOCACHE", "GOFLAGS", "GOMODCACHE", "GOROOT", "GOTOOLCHAIN", "GOVERSION", "GOWORK"];

/// What `go env` says in one directory.
#[derive(Debug, Clone)]
pub struct Settings {
    values: BTreeMap<String, String>,
}

impl Settings {
    /// Settings that somebody else has found out.
    pub(crate) fn new(values: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { values: values.into_iter().collect() }
    }

    /// A setting, empty where this go does not know it.
    pub fn get(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// The key of the checksum database that GOSUMDB names; none if it is off.
    pub(crate) fn database_key(&self) -> Result<Option<VerifierKey>> {
        match self.get("GOSUMDB").parse() {
            Ok(GoSumDb::Database { key, .. }) => Ok(Some(*key)),
            Ok(GoSumDb::Off) => Ok(None),
            Err(invalid) => Err(Error::new(ErrorKind::Usage, invalid.to_string()).hint("check go env GOSUMDB")),
        }
    }

    /// The same with more patterns in GONOSUMDB: what may come without a record must not stop go.
    #[must_use]
    pub fn without_records_of(&self, patterns: &[String]) -> Self {
        let mut settings = self.clone();
        let all = [self.get("GONOSUMDB")].into_iter().chain(patterns.iter().map(String::as_str));
        let all: Vec<&str> = all.filter(|list| !list.is_empty()).collect();
        settings.values.insert("GONOSUMDB".to_owned(), all.join(","));
        settings
    }

    /// The version of the go command that is selected in the directory, such as `go1.26.8`.
    pub fn version(&self) -> &str {
        self.get("GOVERSION").split(' ').next().unwrap_or_default()
    }

    /// Its `go` program.
    fn program(&self, fallback: &Path) -> PathBuf {
        let program = Path::new(self.get("GOROOT")).join("bin").join(if cfg!(windows) { "go.exe" } else { "go" });
        // Without a GOROOT it would be one of the current directory.
        if program.is_absolute() && program.is_file() { program } else { fallback.to_owned() }
    }
}

/// Numbers of a Go version such as `go1.26.8`, `1.26`, `1.27rc1`, for comparisons; a pre-release counts below.
pub fn version_numbers(version: &str) -> (u32, u32, i64) {
    let mut parts = version.trim_start_matches("go").splitn(3, '.');
    let major = parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
    let minor = parts.next().unwrap_or_default();
    let digits = minor.find(|c: char| !c.is_ascii_digit()).unwrap_or(minor.len());
    let patch = parts.next().unwrap_or_default();
    let patch_digits = patch.find(|c: char| !c.is_ascii_digit()).unwrap_or(patch.len());
    // 1.27rc1 comes before 1.27.0 and after 1.26.x.
    let patch = if digits < minor.len() { -1 } else { patch[..patch_digits].parse().unwrap_or(0) };
    (major, minor[..digits].parse().unwrap_or(0), patch)
}

/// Finds `go` on the PATH of the environment.
pub fn find(environment: &Environment) -> Result<PathBuf> {
    let name = if cfg!(windows) { "go.exe" } else { "go" };
    let path = environment.get("PATH").unwrap_or_default();
    std::env::split_paths(path).map(|dir| dir.join(name)).find(|candidate| candidate.is_file()).ok_or_else(|| {
        Error::new(ErrorKind::GoMissing, "go: not found on PATH; modferry resolves modules with the real go command")
            .hint("install Go 1.21 or newer, add its bin directory to PATH, or let modferry bring one: --go 1.26.8")
    })
}

/// Asks `go env` in `dir`, as the user would.
pub fn settings(program: &Path, dir: &Path, environment: &Environment, interrupt: &Interrupt) -> Result<Settings> {
    let mut command = Command::new(program);
    command.env_clear().envs(environment.iter()).env_remove("PWD").current_dir(dir);
    command.args(["env", "-json"]).args(INHERITED).args(ASKED);
    let output = run_to_end(command, interrupt, &mut || {})?;
    if !output.status.success() {
        return Err(explain(&format!("{}: go env failed", dir.display()), &output.stderr));
    }
    let values = serde_json::from_slice(&output.stdout).map_err(|error| {
        Error::new(ErrorKind::GoFailed, format!("{}: go env printed no JSON", program.display()))
            .because(error.to_string())
    })?;
    let settings = Settings { values };
    let (major, minor, _) = version_numbers(settings.version());
    if (major, minor) < OLDEST_GO && !settings.version().starts_with("devel") {
        return Err(Error::new(
            ErrorKind::GoTooOld,
            format!("{}: is {}; modferry needs go 1.21 or newer", program.display(), settings.version()),
        )
        .hint("install a newer Go and put it first on PATH, or let modferry bring one: --go 1.26.8"));
    }
    Ok(settings)
}

/// Where the child keeps what it makes.
#[derive(Debug, Clone)]
pub struct Caches {
    /// GOMODCACHE.
    pub modules: PathBuf,
    /// GOPATH, for the heads of checksum databases.
    pub path: PathBuf,
    /// GOCACHE.
    pub build: PathBuf,
}

/// Directories in the layout of the download API that hold exact versions; asked before GOPROXY.
pub type Sources = Vec<PathBuf>;

/// The go command as a child with its own caches.
#[derive(Debug, Clone)]
pub struct Go {
    program: PathBuf,
    version: String,
    environment: Environment,
    proxy: String,
    interrupt: Interrupt,
}

impl Go {
    /// The go that these settings select, with caches of its own.
    pub fn new(settings: &Settings, found: &Path, user: &Environment, caches: &Caches, interrupt: Interrupt) -> Self {
        let mut environment = user.clone();
        for name in INHERITED {
            // A go that does not know a variable says nothing about it; then the user's own value stays.
            if settings.values.contains_key(name) && !settings.get(name).is_empty() {
                environment.set(name, settings.get(name));
            }
        }
        environment.set("GOENV", "off");
        environment.set("GO111MODULE", "on");
        environment.set("GOTOOLCHAIN", "local");
        environment.set("GOWORK", "off");
        environment.set("GOROOT", settings.get("GOROOT"));
        environment.set("GOMODCACHE", &caches.modules);
        environment.set("GOPATH", &caches.path);
        environment.set("GOCACHE", &caches.build);
        environment.set("GOMAXPROCS", CHILD_GOMAXPROCS);
        // -mod=mod lets go write the go.sum of the scratch copy; -modcacherw lets us remove the cache.
        environment.set(
            "GOFLAGS",
            format!("{} -modcacherw -mod=mod", scratch_flags(settings.get("GOFLAGS"))).trim_start().to_owned(),
        );
        environment.remove("PWD");
        Self {
            program: settings.program(found),
            version: settings.version().to_owned(),
            environment,
            proxy: settings.get("GOPROXY").to_owned(),
            interrupt,
        }
    }

    /// The version, such as `go1.26.8`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether there is such a program: what exact lists name is fetched without one.
    pub fn is_there(&self) -> bool {
        self.program.is_file()
    }

    /// The same go with directories of exact versions before its proxies. Never for queries such as `latest`:
    /// a directory would answer with what it happens to have.
    #[must_use]
    pub fn with_sources(&self, sources: &Sources) -> Self {
        let mut go = self.clone();
        let urls = sources.iter().map(|dir| file_url(dir)).chain([self.proxy.clone()]).collect::<Vec<_>>();
        go.environment.set("GOPROXY", urls.join(","));
        go
    }

    /// The same go in the workspace of this go.work file, where `-mod` is not allowed.
    #[must_use]
    pub fn in_workspace(&self, go_work: &Path) -> Self {
        let mut go = self.without_mod();
        go.environment.set("GOWORK", go_work);
        go
    }

    /// The same go without `-mod=mod`: for commands that do not take it.
    #[must_use]
    pub fn without_mod(&self) -> Self {
        let mut go = self.clone();
        let flags = go.environment.get("GOFLAGS").map(|flags| flags.to_string_lossy().into_owned()).unwrap_or_default();
        go.environment.set("GOFLAGS", scratch_flags(&flags) + " -modcacherw");
        go
    }

    /// The same go for another platform.
    #[must_use]
    pub fn for_platform(&self, os: &str, arch: &str, cgo: bool) -> Self {
        let mut go = self.clone();
        go.environment.set("GOOS", os);
        go.environment.set("GOARCH", arch);
        go.environment.set("CGO_ENABLED", if cgo { "1" } else { "0" });
        go
    }

    /// Runs it to its end; `watch` is called now and then while it runs.
    pub fn run(&self, dir: &Path, arguments: &[&str], watch: &mut dyn FnMut()) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.env_clear().envs(self.environment.iter()).current_dir(dir).args(arguments);
        run_to_end(command, &self.interrupt, watch)
    }

    /// Runs it; anything but success is an error about `subject` in go's own words.
    pub fn must(&self, dir: &Path, arguments: &[&str], subject: &str) -> Result<Output> {
        let output = self.run(dir, arguments, &mut || {})?;
        if output.status.success() {
            return Ok(output);
        }
        let command = arguments.iter().take(3).copied().collect::<Vec<_>>().join(" ");
        Err(explain(&format!("{subject}: go {command} failed"), &output.stderr))
    }
}

/// GOFLAGS without the flags that name files of the user's project: the child works in a scratch directory.
fn scratch_flags(flags: &str) -> String {
    let of_project = ["-modfile", "-overlay", "-C", "-mod", "-modcacherw"];
    let keep = |flag: &&str| {
        let name = flag.split('=').next().unwrap_or_default();
        !of_project.iter().any(|gone| name == *gone || name == format!("-{gone}"))
    };
    flags.split_whitespace().filter(keep).collect::<Vec<_>>().join(" ")
}

/// A `file://` URL for GOPROXY.
pub fn file_url(dir: &Path) -> String {
    // RFC 3986: everything but unreserved characters and the slash is escaped; `,` and `|` would split GOPROXY.
    let mut url = String::from("file://");
    let text = dir.to_string_lossy().replace('\\', "/");
    if !text.starts_with('/') {
        url.push('/');
    }
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:@+!$&()=".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

/// Reads the stream of JSON objects that `go list -json` and `go mod download -json` print.
pub fn json_stream<T: for<'de> Deserialize<'de>>(bytes: &[u8], what: &str) -> Result<Vec<T>> {
    serde_json::Deserializer::from_slice(bytes).into_iter().collect::<serde_json::Result<_>>().map_err(|error| {
        Error::new(ErrorKind::GoFailed, format!("{what}: go printed what is no JSON")).because(error.to_string())
    })
}

/// Lines of go's own words that an error repeats.
const MAX_LINES: usize = 12;

/// Makes an error of what go said, with its own words kept and a hint for the usual causes.
pub fn explain(message: &str, words: &str) -> Error {
    let lower = words.to_lowercase();
    let has = |signs: &[&str]| signs.iter().any(|sign| lower.contains(sign));
    let (kind, hint) = if has(&["no space left on device", "disk quota exceeded", "not enough space on the disk"]) {
        (ErrorKind::NoSpace, Some("free some space, or name a place with more for the work: --cache-dir DIR"))
    } else if has(&["checksum mismatch", "security error"]) {
        (
            ErrorKind::HashConflict,
            Some(
                "somebody serves another content than the checksum database or go.sum knows; find out who before you go on (GOPROXY, or the module cache of this machine)",
            ),
        )
    } else if has(&["verifying module", "verifying go.mod"])
        && has(&["/lookup/"])
        && has(&["404 not found", "410 gone", "no such file or directory"])
    {
        (
            ErrorKind::NoRecord,
            Some(
                "the checksum database does not know it: name private modules in GONOSUMDB or GOPRIVATE (go env -w GONOSUMDB=PATTERN)",
            ),
        )
    } else if has(&["requires go >=", "toolchain not available"]) {
        (ErrorKind::GoTooOld, Some("install the Go version that is asked for, or set GOTOOLCHAIN=auto"))
    } else if has(&["goproxy=off"]) {
        (ErrorKind::Network, Some("GOPROXY is off, so go asks nobody: unset it, or name a proxy (go env GOPROXY)"))
    } else if has(&["replacement directory"]) || (has(&["(replaced by "]) && has(&["go.mod: no such file"])) {
        (
            ErrorKind::ReplacementMissing,
            Some("work from a whole checkout: the directories that go.mod names must be there"),
        )
    } else if has(&[
        "no such host",
        "connection refused",
        "i/o timeout",
        "network is unreachable",
        "tls handshake",
        "connection reset",
        "cmdgonetlimit",
        "proxyconnect",
        "temporary failure in name resolution",
        "no route to host",
        "could not resolve host",
        "x509:",
        "unexpected eof",
        ": eof",
        "server misbehaving",
        "context deadline exceeded",
    ]) {
        (
            ErrorKind::Network,
            Some(
                "check the network, GOPROXY (go env GOPROXY) and HTTPS_PROXY; what has arrived is used again by the next try",
            ),
        )
    } else if has(&[
        "404 not found",
        "410 gone",
        "unknown revision",
        "no matching versions",
        ": not found",
        "invalid version",
        "unrecognized import path",
        "403 forbidden",
        "repository not found",
        "no such file or directory",
    ]) {
        (
            ErrorKind::NotFound,
            Some(
                "check the spelling of module and version, and that GOPROXY or GOPRIVATE lead to it: go list -m -versions MODULE",
            ),
        )
    } else {
        (ErrorKind::GoFailed, None)
    };
    let mut error = Error::new(kind, message);
    let mut lines =
        words.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with("go: downloading "));
    error.causes = lines.by_ref().take(MAX_LINES).map(clean).collect();
    let left = lines.count();
    if left > 0 {
        error.causes.push(format!("... and {left} more lines"));
    }
    error.hint = hint.map(str::to_owned);
    error
}

/// Tabs as spaces, other control characters as escapes: the words come from servers too.
fn clean(line: &str) -> String {
    line.replace('\t', "    ")
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_go_versions_as_go_does() {
        let ascending = ["1.9", "go1.20.14", "1.21rc2", "1.21", "1.21.13", "go1.26.8", "1.27rc1", "1.27.0"];
        let numbers: Vec<_> = ascending.iter().map(|version| version_numbers(version)).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
    }

    #[test]
    fn keeps_only_flags_that_fit_a_scratch_directory() {
        let flags = "-mod=vendor -modfile=alt.mod --overlay=x.json -tags=a,b -modcacherw -trimpath";
        assert_eq!(scratch_flags(flags), "-tags=a,b -trimpath");
    }

    #[test]
    fn file_urls_cannot_split_a_proxy_list() {
        assert_eq!(file_url(Path::new("/a b/c,d|e%/é")), "file:///a%20b/c%2Cd%7Ce%25/%C3%A9");
    }

    #[test]
    fn a_network_failure_is_told_from_a_missing_version() {
        let network =
            explain("m", "go: m@v1: Get \"http://127.0.0.1:1/m\": dial tcp 127.0.0.1:1: connect: connection refused");
        assert_eq!(network.kind, ErrorKind::Network);
        let missing = explain("m", "go: m@v9.0.0: reading http://p/m/@v/v9.0.0.info: 404 Not Found");
        assert_eq!(missing.kind, ErrorKind::NotFound);
    }
}
