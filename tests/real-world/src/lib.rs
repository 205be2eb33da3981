//! Takes a real project from the public Go mirror (through `go env GOPROXY`), bundles its closure, and runs go
//! commands on it in a network namespace of their own, where nothing but the bundle can be reached: its files, or a
//! server of the mirror that it was imported into.

pub mod levels;

use modferry_harness::{Outcome, at, built, no_network};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A project at a version, taken as its module zip.
#[derive(Debug, Clone, Copy)]
pub struct Project {
    /// Its module path.
    pub module: &'static str,
    /// Its version.
    pub version: &'static str,
}

/// A project that has crossed: its sources, and a bundle of its closure.
pub struct Crossed {
    /// What `modferry bundle` said on standard error.
    pub bundled: String,
    directory: TempDir,
    settings: BTreeMap<String, String>,
    way: Way,
}

/// How go reads modules inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From the files of the bundle.
    Files,
    /// From `modferry serve` on the mirror.
    Http,
}

/// Where the server listens; nobody else is in its network namespace.
const ADDRESS: &str = "127.0.0.1:8077";

/// Brings loopback up, starts the server, waits until it listens, runs go, and ends the server.
const WITH_SERVER: &str = r#"
ip link set lo up || { echo "ip: cannot bring loopback up; apt-get install iproute2" >&2; exit 1; }
log=$(mktemp)
"$MODFERRY" serve "$MIRROR" --listen "$ADDRESS" 2>"$log" & server=$!
until grep -q '^listening' "$log"; do
  kill -0 $server 2>/dev/null || { cat "$log" >&2; exit 1; }
done
go "$@"; code=$?
kill $server && wait $server || { echo "the server ended badly" >&2; cat "$log" >&2; exit 1; }
rm -f "$log"
exit $code
"#;

impl Crossed {
    /// Fetches the sources of a project and bundles its closure at level `all`.
    pub fn bundle(project: Project) -> Outcome<Self> {
        Self::bundle_with(project, &["--level", "all"].map(OsStr::new))
    }

    /// The same with other arguments, so at the usual level.
    pub fn bundle_with(project: Project, arguments: &[&OsStr]) -> Outcome<Self> {
        Self::bundle_where(project, arguments, &[])
    }

    /// The same with other variables.
    pub fn bundle_where(project: Project, arguments: &[&OsStr], variables: &[(&str, &str)]) -> Outcome<Self> {
        Self::bundle_edited(project, &|_| Ok(()), arguments, variables)
    }

    /// The same of sources that are edited first.
    pub fn bundle_edited(
        project: Project,
        edit: &dyn Fn(&Path) -> Outcome<()>,
        arguments: &[&OsStr],
        variables: &[(&str, &str)],
    ) -> Outcome<Self> {
        let directory = tempfile::tempdir().map_err(|error| format!("temporary directory: {error}"))?;
        let sources = directory.path().join("project");
        fetch(project, &sources)?;
        edit(&sources)?;
        let before = listing(&sources);
        let modferry = built::modferry()?;
        let bundle = directory.path().join("bundle");
        let mut command = Command::new(modferry);
        command.arg("bundle").arg(&sources).arg("-o").arg(&bundle).args(arguments);
        command.env("XDG_CACHE_HOME", directory.path().join("cache")).envs(variables.iter().copied());
        let bundled = run(command.env("XDG_STATE_HOME", directory.path().join("state")))?;
        if listing(&sources) != before {
            return Err(format!("{}: the project was changed by bundling it", project.module));
        }
        let mut command = Command::new(modferry);
        run(command.arg("verify").arg(&bundle))?;
        let settings = settings(modferry, &bundle.display().to_string())?;
        Ok(Self { bundled: text(&bundled.stderr), directory, settings, way: Way::Files })
    }

    /// Brings the bundle as a tar into a mirror; from here on go asks a server of that mirror.
    pub fn over_http(mut self) -> Outcome<Self> {
        let modferry = built::modferry()?;
        let (tar, mirror) = (self.directory.path().join("bundle.tar"), self.directory.path().join("mirror"));
        // In the order of a carrier, which is that of the manifest.
        let script = r#"cd "$1" && { echo BUNDLE; cut -c67- BUNDLE; cut -c67- SHA256SUMS; } >"$2.names" && \
            tar --format=ustar --owner=0 --group=0 --numeric-owner --mtime=@0 -cf "$2" -T "$2.names""#;
        let mut command = Command::new("sh");
        run(command.args(["-c", script, "sh"]).arg(self.bundle_dir()).arg(&tar))?;
        let mut command = Command::new(modferry);
        run(command.arg("verify").arg(&tar))?;
        let mut command = Command::new(modferry);
        run(command.args(["import", "--unsigned"]).arg(&tar).arg(&mirror))?;
        fs::remove_file(&tar).map_err(at(&tar))?;
        self.settings = settings(modferry, &format!("http://{ADDRESS}/"))?;
        self.way = Way::Http;
        self.forget()?;
        Ok(self)
    }

    /// Names and hashes of all files of modules, without those of the checksum database: its head may have moved on.
    pub fn files(&self) -> Outcome<Vec<String>> {
        let path = self.bundle_dir().join("SHA256SUMS");
        let sums = fs::read_to_string(&path).map_err(at(&path))?;
        Ok(sums.lines().filter(|line| !line.contains("  download/sumdb/")).map(str::to_owned).collect())
    }

    /// Imports another bundle into the mirror.
    pub fn import(&self, bundle: &Path) -> Outcome<()> {
        let mut command = Command::new(built::modferry()?);
        let mirror = self.directory.path().join("mirror");
        run(command.args(["import", "--unsigned"]).arg(bundle).arg(mirror)).map(drop)
    }

    /// The bundle.
    pub fn bundle_dir(&self) -> PathBuf {
        self.directory.path().join("bundle")
    }

    /// The sources.
    pub fn project_dir(&self) -> PathBuf {
        self.directory.path().join("project")
    }

    /// Makes the inside one that has come from outside, with this tree head of sum.golang.org.
    pub fn remember(&self, note: &str) -> Outcome<()> {
        let place = self.directory.path().join("gopath/pkg/sumdb/sum.golang.org");
        fs::create_dir_all(&place).map_err(at(&place))?;
        fs::write(place.join("latest"), note).map_err(at(&place))
    }

    /// Takes the go.sum away and gives the one that a go with a network writes in its place, which does not stay.
    pub fn go_sum_outside(&self) -> Outcome<String> {
        let go_sum = self.project_dir().join("go.sum");
        fs::remove_file(&go_sum).map_err(at(&go_sum))?;
        let mut command = Command::new("go");
        command.args(["mod", "download", "all"]).current_dir(self.project_dir()).env("GOFLAGS", "-mod=mod");
        run(&mut command)?;
        let text = fs::read_to_string(&go_sum).map_err(at(&go_sum))?;
        fs::remove_file(&go_sum).map_err(at(&go_sum))?;
        Ok(text)
    }

    /// What `modferry env` prints of a setting of go.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// How many records of the checksum database the go inside has looked up since its caches were empty.
    pub fn records(&self) -> Outcome<usize> {
        let lookups = self.directory.path().join("modcache/cache/download/sumdb/sum.golang.org/lookup");
        let files = walkdir::WalkDir::new(&lookups).into_iter();
        files
            .map(|entry| entry.map_err(|error| error.to_string()))
            .try_fold(0, |count, entry| Ok(count + usize::from(entry?.file_type().is_file())))
    }

    /// Throws the caches of the inside away: what comes next must ask the bundle again.
    pub fn forget(&self) -> Outcome<()> {
        for name in ["modcache", "gopath"] {
            let cache = self.directory.path().join(name);
            if cache.exists() {
                fs::remove_dir_all(&cache).map_err(at(&cache))?;
            }
        }
        Ok(())
    }

    /// Runs a go command on the project inside, with the settings that `modferry env` prints and no network.
    pub fn inside(&self, arguments: &[&str]) -> Outcome<String> {
        self.inside_with(&[], arguments)
    }

    /// The same with more variables.
    pub fn inside_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Outcome<String> {
        let root = self.directory.path();
        let mut command = match self.way {
            Way::Files => no_network::command("go")?,
            Way::Http => {
                let mut command = no_network::command("bash")?;
                command.args(["-c", WITH_SERVER, "bash"]);
                command
            }
        };
        command.args(arguments).current_dir(self.project_dir()).env_clear();
        command.env("MODFERRY", built::modferry()?).env("MIRROR", root.join("mirror")).env("ADDRESS", ADDRESS);
        for name in ["PATH", "HOME", "TMPDIR"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.envs(&self.settings).env("GOFLAGS", "-modcacherw").env("GOENV", "off");
        command.env("GOMODCACHE", root.join("modcache")).env("GOPATH", root.join("gopath"));
        command.envs(variables.iter().copied());
        // Compiled packages of the standard library; nothing of a module comes from it.
        command.env("GOCACHE", Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/go-build"));
        run(&mut command).map(|output| text(&output.stdout))
    }
}

/// What `modferry env` prints for a bundle or an address.
fn settings(modferry: &Path, of: &str) -> Outcome<BTreeMap<String, String>> {
    let mut command = Command::new(modferry);
    let printed = text(&run(command.args(["env", "--for", "ci", of]))?.stdout);
    let settings = printed.lines().filter_map(|line| line.split_once('='));
    Ok(settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// What go says of one of its settings on this side.
pub fn go_env(name: &str) -> Outcome<String> {
    let mut command = Command::new("go");
    Ok(text(&run(command.args(["env", name]))?.stdout).trim().to_owned())
}

/// What a go command prints in a directory on this side, with more variables.
pub fn outside(directory: &Path, variables: &[(&str, &OsStr)], arguments: &[&str]) -> Outcome<String> {
    let mut command = Command::new("go");
    command.args(arguments).current_dir(directory).envs(variables.iter().copied());
    run(&mut command).map(|output| text(&output.stdout))
}

fn fetch(project: Project, to: &Path) -> Outcome<()> {
    fetch_version(&format!("{}@{}", project.module, project.version), to)
}

/// Fetches the sources of MODULE@VERSION.
fn fetch_version(version: &str, to: &Path) -> Outcome<()> {
    let mut command = Command::new("go");
    // Outside any module, so that only the version itself is looked at.
    command.args(["mod", "download", "-json", version]).current_dir(std::env::temp_dir()).env("GOWORK", "off");
    let downloaded: serde_json::Value =
        serde_json::from_slice(&run(&mut command)?.stdout).map_err(|error| format!("{version}: {error}"))?;
    let from = downloaded["Dir"].as_str().ok_or_else(|| format!("{version}: go extracted it nowhere"))?;
    copy(Path::new(from), to)
}

/// Copies a tree out of the module cache, writable as a checkout is.
fn copy(from: &Path, to: &Path) -> Outcome<()> {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.map_err(at(from))?;
        let target = to.join(entry.path().strip_prefix(from).map_err(at(from))?);
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target).map_err(at(&target))?;
        } else {
            // Not fs::copy, which would take the read-only mode along.
            let bytes = fs::read(entry.path()).map_err(at(entry.path()))?;
            fs::write(&target, bytes).map_err(at(&target))?;
        }
    }
    Ok(())
}

/// Every file with its size and time.
fn listing(directory: &Path) -> Vec<(PathBuf, u64, Option<std::time::SystemTime>)> {
    let entries = walkdir::WalkDir::new(directory).sort_by_file_name().into_iter().flatten();
    entries
        .filter_map(|entry| {
            let meta = entry.metadata().ok()?;
            Some((entry.into_path(), meta.len(), meta.modified().ok()))
        })
        .collect()
}

fn run(command: &mut Command) -> Outcome<Output> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{command:?}: {}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
