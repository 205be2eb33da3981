//! Sets a story up in a directory of its own and goes through its steps until one fails.

use crate::process::{self, Interruption, Ran, Surroundings};
use crate::story::{Piece, Step, Story, Word};
use crate::{expect, files, glob, plant};
use modferry_harness::clean_home::CleanHome;
use modferry_harness::database::{self, Log};
use modferry_harness::no_network;
use modferry_harness::{Outcome, at};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What all stories of a run share.
pub struct Place {
    /// The program under test.
    pub modferry: PathBuf,
    /// The build cache of `go`.
    pub go_cache: PathBuf,
}

/// One story on its way.
pub struct Stage {
    home: CleanHome,
    directory: PathBuf,
    variables: BTreeMap<String, String>,
    /// What `outside` puts back.
    outside: Option<BTreeMap<String, String>>,
    /// How often a story went inside; each time has a module cache of its own.
    insides: u32,
    last: Option<Ran>,
    /// The checksum database, once there is one.
    log: Option<Log>,
    /// Set where the go on PATH is too old for the rest of the story.
    over: bool,
    /// Last, so that it is removed when everything else is done.
    _root: Removed,
}

/// A temporary directory that is removed even if parts of it are read-only.
struct Removed(TempDir);

impl Drop for Removed {
    fn drop(&mut self) {
        files::make_removable(self.0.path());
    }
}

/// The step at which a story ended, and why.
#[derive(Debug)]
pub struct Failure {
    step: Step,
    reason: String,
    last: Option<Ran>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.step.line, self.step.text)?;
        writeln!(f, "{}", self.reason)?;
        if let Some(last) = &self.last {
            write!(f, "last program: {}\n[stdout]\n{}\n[stderr]\n{}", last.ending(), last.stdout, last.stderr)?;
        }
        Ok(())
    }
}

impl Stage {
    /// Writes the story's files and publishes its modules.
    pub fn set(story: &Story, place: &Place) -> Outcome<Self> {
        let root = tempfile::Builder::new().prefix("story-").tempdir().map_err(|error| format!("tempdir: {error}"))?;
        let root = Removed(root);
        let home = CleanHome::create(root.0.path(), &place.go_cache)?;
        let directory = home.work();
        for (name, content) in &story.files {
            let path = directory.join(name);
            let parent = path.parent().unwrap_or(&directory);
            fs::create_dir_all(parent).map_err(at(parent))?;
            fs::write(&path, content).map_err(at(&path))?;
        }
        for module in &story.modules {
            home.upstream().publish(module)?;
        }
        let program = home.bin().join("modferry");
        symlink(&place.modferry, &program).map_err(at(&program))?;
        let mut variables = home.variables();
        variables.insert("WORK".to_owned(), directory.display().to_string());
        variables.insert("BIN".to_owned(), home.bin().display().to_string());
        variables.insert("UPSTREAM".to_owned(), home.root().join("upstream").display().to_string());
        Ok(Self {
            home,
            directory,
            variables,
            outside: None,
            insides: 0,
            last: None,
            log: None,
            over: false,
            _root: root,
        })
    }

    /// Goes through all steps.
    pub fn play(mut self, story: &Story) -> Result<(), Box<Failure>> {
        for step in &story.steps {
            if self.over {
                break;
            }
            if let Err(reason) = self.step(step) {
                return Err(Box::new(Failure { step: step.clone(), reason, last: self.last }));
            }
        }
        Ok(())
    }

    /// Whether the go on PATH is this one or a later one: stories also run with older ones, which lack commands.
    fn go_is_since(&self, version: &str) -> Outcome<bool> {
        let output = std::process::Command::new("go")
            .args(["env", "GOVERSION"])
            .env_clear()
            .envs(&self.variables)
            .output()
            .map_err(|error| format!("go env GOVERSION: {error}"))?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let minor = |text: &str| {
            let digits: String = text.trim_start_matches("go1.").chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u32>().map_err(|_| format!("{text:?}: no version of go 1"))
        };
        Ok(minor(printed.trim())? >= minor(&format!("go{version}"))?)
    }

    fn step(&mut self, step: &Step) -> Outcome<()> {
        let words: Vec<String> = step.words.iter().map(|word| self.fill(word)).collect::<Outcome<_>>()?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["exec", ref program @ ..] => return self.run(program, step.negated, None),
            ["modferry" | "go", ..] => return self.run(&words, step.negated, None),
            ["small-disk", size, directory, "--", ref program @ ..] => {
                return self.run(&small_disk(size, &self.path(directory), program)?, step.negated, None);
            }
            ["read-only", directory, "--", ref program @ ..] => {
                return self.run(&read_only(&self.path(directory), program), step.negated, None);
            }
            ["since-go", version] => {
                self.over = !self.go_is_since(version)?;
                return Ok(());
            }
            ["since-go", version, "--", ref program @ ..] => {
                return if self.go_is_since(version)? { self.run(program, step.negated, None) } else { Ok(()) };
            }
            ["without-network", "--", ref program @ ..] => {
                return self.run(&without_network(program)?, step.negated, None);
            }
            ["without-namespaces", "--", ref program @ ..] => {
                return self.run(&without_namespaces(program), step.negated, None);
            }
            ["interrupt-after-file", signal @ ("INT" | "TERM" | "KILL"), file, "--", ref program @ ..] => {
                let signal = match signal {
                    "INT" => Signal::INT,
                    "TERM" => Signal::TERM,
                    _ => Signal::KILL,
                };
                let file = self.path(file);
                return self.run(program, true, Some(Interruption { file: &file, signal }));
            }
            ["stdout", pattern] => return expect::matches("stdout", &self.last()?.stdout, pattern, step.negated),
            ["stderr", pattern] => return expect::matches("stderr", &self.last()?.stderr, pattern, step.negated),
            ["exists", _, ..] => return self.exists(&words[1..], step.negated),
            _ => {}
        }
        if step.negated {
            return Err(format!("! cannot stand before {}", words[0]));
        }
        match words[..] {
            ["exit", code] => expect::exit_code(self.last()?, code),
            ["cmp", a, b] => expect::same_content((a, &self.content(a)?), (b, &self.content(b)?)),
            ["tree", directory, expected] => {
                let listing = expect::listing(&self.path(directory))?;
                expect::same_content((directory, listing.as_bytes()), (expected, &self.content(expected)?))
            }
            ["sums-equal", a, b] => expect::same_trees(&self.path(a), &self.path(b)),
            ["cp", from @ ("stdout" | "stderr"), to] => {
                fs::write(self.path(to), self.content(from)?).map_err(at(&self.path(to)))
            }
            ["cp", from, to] => files::copy(&self.path(from), &self.path(to)),
            ["mv", from, to] => files::rename(&self.path(from), &self.path(to)),
            ["rm", ref paths @ ..] => paths.iter().try_for_each(|path| files::remove(&self.path(path))),
            ["mkdir", path] => fs::create_dir_all(self.path(path)).map_err(at(&self.path(path))),
            ["chmod", mode, path] => files::change_mode(mode, &self.path(path)),
            ["append", path, line] => files::append(&self.path(path), line),
            ["replace", path, old, new] => files::replace(&self.path(path), old, new),
            ["flip", path, offset] => files::flip(&self.path(path), offset),
            ["truncate", path, size] => files::truncate(&self.path(path), size),
            ["symlink", link, target] => symlink(target, self.path(link)).map_err(at(&self.path(link))),
            ["reseal", directory] => plant::reseal_bundle(None, &self.path(directory)),
            ["reseal", option, directory] => plant::reseal_bundle(Some(option), &self.path(directory)),
            ["hostile-zip", kind, version] => plant::hostile_zip(kind, version, &self.home.root().join("upstream")),
            ["hostile-zip", kind, version, directory] => plant::hostile_zip(kind, version, &self.path(directory)),
            ["hostile-tars", family, good, directory] => {
                plant::hostile_tars(family, &self.path(good), &self.path(directory))
            }
            ["publish", version, directory] => {
                plant::publish(version, &self.path(directory), &self.home.root().join("upstream"))
            }
            ["env", ref settings @ ..] => settings.iter().try_for_each(|setting| self.set_variable(setting)),
            ["unset", ref names @ ..] => {
                names.iter().for_each(|name| _ = self.variables.remove(*name));
                Ok(())
            }
            ["cd", directory] => self.change_directory(directory),
            ["database", size] => self.grow_database(size, ""),
            ["database", size, salt] => self.grow_database(size, salt),
            ["forge-record", bundle, version] => plant::forge_record(&self.path(bundle), version),
            ["inside", bundle] => self.go_inside(bundle),
            ["outside"] => self.go_outside(),
            _ => Err(format!("{}: no such command, or not with these words; see tests/stories/README.md", words[0])),
        }
    }

    fn fill(&self, word: &Word) -> Outcome<String> {
        let value = |piece: &Piece| match piece {
            Piece::Text(text) => Ok(text.clone()),
            Piece::Variable(name) => self.variables.get(name).cloned().ok_or_else(|| format!("${name} is not set")),
        };
        word.iter().map(value).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn last(&self) -> Outcome<&Ran> {
        self.last.as_ref().ok_or_else(|| "no program has run yet".to_owned())
    }

    fn content(&self, name: &str) -> Outcome<Vec<u8>> {
        match name {
            "stdout" => Ok(self.last()?.stdout.clone().into_bytes()),
            "stderr" => Ok(self.last()?.stderr.clone().into_bytes()),
            _ => fs::read(self.path(name)).map_err(at(&self.path(name))),
        }
    }

    fn run<S: ToString>(&mut self, words: &[S], must_fail: bool, interrupt: Option<Interruption<'_>>) -> Outcome<()> {
        let words: Vec<String> = words.iter().map(S::to_string).collect();
        let output = self.home.root();
        let surroundings = Surroundings { directory: &self.directory, variables: &self.variables, output };
        // A report must not show what an earlier program printed.
        self.last = None;
        let ran = self.last.insert(process::run(&words, &surroundings, interrupt)?);
        match (ran.status.success(), must_fail) {
            (true, false) | (false, true) => Ok(()),
            (false, false) => Err(format!("failed ({})", ran.ending())),
            (true, true) => Err("did not fail".to_owned()),
        }
    }

    fn exists(&self, patterns: &[&str], negated: bool) -> Outcome<()> {
        for pattern in patterns {
            let found = glob::find(&self.path(pattern))?;
            match (found.first(), negated) {
                (None, false) => return Err(format!("{pattern}: not there")),
                (Some(path), true) => return Err(format!("{} is there", path.display())),
                _ => {}
            }
        }
        Ok(())
    }

    fn set_variable(&mut self, setting: &str) -> Outcome<()> {
        let (name, value) = setting.split_once('=').ok_or_else(|| format!("{setting}: not NAME=VALUE"))?;
        self.variables.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    fn change_directory(&mut self, directory: &str) -> Outcome<()> {
        let directory = self.path(directory);
        self.directory = directory.canonicalize().map_err(at(&directory))?;
        Ok(())
    }

    /// Makes GOSUMDB a database of files that has every module of upstream and as many records as that; with a salt, a new
    /// one under the same key, whose other records are others.
    fn grow_database(&mut self, size: &str, salt: &str) -> Outcome<()> {
        let size = size.parse().map_err(|_| format!("{size}: not a number of records"))?;
        let mut log = self.log.take().filter(|_| salt.is_empty()).unwrap_or_default();
        database::add_upstream(&mut log, &self.home.root().join("upstream"))?;
        log.grow(size, salt);
        let directory = self.home.root().join("sumdb");
        if directory.exists() {
            files::remove(&directory)?;
        }
        log.write(&directory, &[])?;
        let mut set = |name: &str, value: String| self.variables.insert(name.to_owned(), value);
        set("GOSUMDB", format!("{} file://{}", log.key(), directory.display()));
        set("DATABASE_KEY", log.key());
        set("DATABASE", directory.display().to_string());
        self.variables.remove("GONOSUMDB");
        self.log = Some(log);
        Ok(())
    }

    /// Crosses the gap: an empty module cache, and a bundle is all there is.
    fn go_inside(&mut self, bundle: &str) -> Outcome<()> {
        self.go_outside()?;
        let download = self.path(bundle).join("download");
        let download = download.canonicalize().map_err(at(&download))?;
        self.outside = Some(self.variables.clone());
        self.insides += 1;
        let place = self.home.root().join(format!("inside-{}", self.insides));
        let mut set = |name: &str, value: String| self.variables.insert(name.to_owned(), value);
        set("GOPROXY", format!("file://{}", download.display()));
        set("GOMODCACHE", place.join("modcache").display().to_string());
        set("GOPATH", place.join("gopath").display().to_string());
        set("XDG_CACHE_HOME", place.join("cache").display().to_string());
        if let Some(log) = &self.log {
            // Without a place: go has to find it in the bundle.
            set("GOSUMDB", log.key());
        }
        Ok(())
    }

    /// Comes back; settings that were made inside are gone.
    fn go_outside(&mut self) -> Outcome<()> {
        if let Some(variables) = self.outside.take() {
            self.variables = variables;
        }
        Ok(())
    }
}

/// A command that runs `program` with a file system of `size` bytes mounted at `directory`, where it alone sees it,
/// and then prints `left: NAME` for whatever it left there.
fn small_disk(size: &str, directory: &Path, program: &[&str]) -> Outcome<Vec<String>> {
    const SCRIPT: &str = r#"size=$1 dir=$2; shift 2
mount -t tmpfs -o size="$size" tmpfs "$dir" || exit 125
"$@"; code=$?
ls -A "$dir" | sed 's/^/left: /'
exit $code"#;
    fs::create_dir_all(directory).map_err(at(directory))?;
    Ok(with_mounts(SCRIPT, &[size, &directory.display().to_string()], program))
}

/// A command that runs `program` while nobody, root included, can write to `directory`.
fn read_only(directory: &Path, program: &[&str]) -> Vec<String> {
    const SCRIPT: &str = r#"dir=$1; shift
mount --bind "$dir" "$dir" && mount -o remount,bind,ro "$dir" || exit 125
# The old view of the directory, from before the mount, must go.
cd / && cd "$OLDPWD" && exec "$@""#;
    with_mounts(SCRIPT, &[&directory.display().to_string()], program)
}

/// A command that runs `program` where there is no network at all.
fn without_network(program: &[&str]) -> Outcome<Vec<String>> {
    let [name, arguments @ ..] = program else { return Err("no program to run".to_owned()) };
    let command = no_network::command(name)?;
    let words = [command.get_program()].into_iter().chain(command.get_args()).map(|word| word.to_string_lossy());
    Ok(words.chain(arguments.iter().map(|&word| word.into())).map(|word| word.into_owned()).collect())
}

/// A command that runs `program` where nobody can make a network namespace, as many containers have it.
fn without_namespaces(program: &[&str]) -> Vec<String> {
    // namespaces(7): the limit of a user namespace is one for all within it, whoever they are.
    const SCRIPT: &str = r#"echo 0 >/proc/sys/user/max_net_namespaces || exit 125
exec "$@""#;
    let words = [&["unshare", "-r", "--", "sh", "-c", SCRIPT, "sh"], program].concat();
    words.iter().map(|&word| word.to_owned()).collect()
}

/// A shell script that may mount things which only it and its children see.
fn with_mounts(script: &str, arguments: &[&str], program: &[&str]) -> Vec<String> {
    // As root of a namespace of our own where the tests do not run as root.
    let flags = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
    let words = [&["unshare", flags, "--", "sh", "-c", script, "sh"], arguments, program].concat();
    words.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(text: &str) -> Outcome<()> {
        let root = tempfile::tempdir().unwrap();
        let place = Place { modferry: "/nonexistent".into(), go_cache: root.path().join("go-build") };
        let story = Story::parse(text).unwrap();
        Stage::set(&story, &place).unwrap().play(&story).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_story_that_is_true_passes() {
        let all = "# Every command once.\n\
            exec sh -c 'echo hello; echo oops >&2; pwd'\nexit 0\nstdout '^hello$'\n! stdout oops\nstderr oops\nstdout $WORK\n\
            ! exec sh -c 'exit 3'\nexit 3\n\
            cp a.txt b.txt\ncmp a.txt b.txt\nexists *.txt\n! exists c.txt .x-*\nmv b.txt c.txt\nrm c.txt\n\
            mkdir d/e\nsymlink d/l ../a.txt\ntree d expected\ncp d d2\nsums-equal d d2\n\
            append a.txt more\nreplace a.txt one two\ncmp a.txt two.txt\nflip a.txt 0\ntruncate a.txt 2\nchmod 400 a.txt\n\
            env K=v\nexec printenv K\nstdout v\ncp stdout out\ncmp stdout out\nunset K\n! exec printenv K\n\
            cd d\nexists e\ncd ..\n\
            hostile-zip plain example.com/h@v1.0.0\nexists $UPSTREAM/example.com/h/@v/v1.0.0.zip\n\
            exists $UPSTREAM/example.com/a/@v/v1.0.0.zip\n\
            small-disk 64k small -- sh -c 'echo x >small/f'\nstdout '^left: f$'\n! exists small/f\n\
            publish example.com/d@v1.0.0 d2\nexists $UPSTREAM/example.com/d/@v/v1.0.0.zip\n\
            ! read-only d2 -- touch d2/new\nexit 1\nread-only d2 -- ls d2\n\
            ! without-namespaces -- unshare -n true\nwithout-namespaces -- true\n\
            without-network -- cat /proc/net/dev\nstdout lo:\n! stdout eth\nexec touch d2/new\n\
            interrupt-after-file KILL started -- sh -c 'touch started; sleep 60'\n\
            -- a.txt --\none\n-- two.txt --\ntwo\nmore\n-- expected --\ne/\nl -> ../a.txt\n\
            -- upstream/example.com/a@v1.0.0/a.go --\npackage a\n";
        assert_eq!(play(all), Ok(()));
    }

    #[test]
    fn going_inside_changes_the_proxy_and_coming_out_changes_it_back() {
        let text = "# In and out.\nmkdir b/download\ninside b\nexec printenv GOPROXY\nstdout '^file://.*/b/download$'\n\
            env X=1\noutside\n! exec printenv X\nexec printenv GOPROXY\nstdout upstream\n";
        assert_eq!(play(text), Ok(()));
    }

    #[test]
    fn a_wrong_expectation_fails_and_says_where() {
        let wrong = [
            "exec false",
            "! exec true",
            "exec no-such-program",
            "exit 0",
            "stdout x",
            "exists a",
            "! exists f",
            "cmp f g",
            "tree . g",
            "sums-equal . d",
            "rm a",
            "cd a",
            "cp a b",
            "inside f",
            "hostile-zip nothing example.com/a@v1.0.0",
            "exec echo $NOTHING",
            "! cp f g",
            "interrupt-after-file INT x -- true",
            "no-such-command",
            "cmp f",
        ];
        for step in wrong {
            let report = play(&format!("# Wrong.\nmkdir d\n{step}\n-- f --\n1\n-- g --\n2\n")).unwrap_err();
            assert!(report.starts_with(&format!("3: {step}\n")), "{step}: {report}");
        }
    }

    #[test]
    fn a_report_shows_what_the_program_printed() {
        let report = play("# Wrong.\n! exec sh -c 'echo out; echo err >&2; exit 4'\nexit 5\n").unwrap_err();
        assert_eq!(report, "3: exit 5\nexit 4, not 5\nlast program: exit 4\n[stdout]\nout\n\n[stderr]\nerr\n");
    }
}
