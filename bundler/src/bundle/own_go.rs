//! A go command for a machine that has none, or one that is too old: the toolchain module of a version, fetched from the
//! proxies of GOPROXY, proven by the checksum database, and unpacked into the cache directory.
//!
//! ```text
//! CACHE/go/go1.26.8.linux-amd64/bin/go
//! ```
//!
//! Without a go command nobody says what `go env` would: GOPROXY and the like are taken from the environment, and from the
//! user's `go/env` file, which `go env -w` writes.

use crate::beneath::Beneath;
use crate::bundle::ahead::Trees;
use crate::bundle::ahead::{Ahead, requests};
use crate::bundle::toolchains::{Platform, module_version};
use crate::context::{Context, Environment, Event};
use crate::database;
use crate::error::{Error, ErrorKind, Result};
use crate::go_command::{self, Settings};
use crate::module_cache;
use flate2::read::DeflateDecoder;
use modferry_format::ModuleVersion;
use modferry_format::go_sum::GoSum;
use modferry_prove::DIRECTORY_BUFFER_BYTES;
use rawzip::{CompressionMethod, ZipArchive};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Which go command to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GoChoice {
    /// This program.
    Path(PathBuf),
    /// The toolchain of this version, fetched if it is not in the cache directory.
    Version(String),
}

impl std::str::FromStr for GoChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text.contains(['/', '\\']) {
            return Ok(Self::Path(text.into()));
        }
        crate::bundle::toolchains::version(text)
            .map(Self::Version)
            .ok_or_else(|| "a version such as 1.26.8, or the path of a go command".to_owned())
    }
}

/// The go command that was chosen.
pub(crate) fn of(choice: &GoChoice, cache: &Path, context: &Context<'_>) -> Result<PathBuf> {
    match choice {
        GoChoice::Path(path) if path.is_file() => {
            std::path::absolute(path).map_err(|error| Error::io(path, "could not be found", &error))
        }
        GoChoice::Path(path) => Err(Error::new(ErrorKind::GoMissing, format!("{}: is no go command", path.display()))
            .hint("--go takes the path of a go command, or a version: --go 1.26.8")),
        GoChoice::Version(version) => unpacked(version, cache, context),
    }
}

/// The go command of a version in the cache directory; brought there if it is not.
fn unpacked(version: &str, cache: &Path, context: &Context<'_>) -> Result<PathBuf> {
    let platform = Platform::here().to_string();
    let home = cache.join("go").join(format!("go{version}.{platform}"));
    let program = home.join("bin").join(if cfg!(windows) { "go.exe" } else { "go" });
    if program.is_file() {
        return Ok(program);
    }
    let toolchain = module_version(version, &platform)?;
    let parent = cache.join("go");
    fs::create_dir_all(&parent).map_err(|error| Error::io(&parent, "could not be made", &error))?;
    let work = tempfile::tempdir_in(&parent).map_err(|error| Error::io(&parent, "could not be written", &error))?;
    context.progress.event(Event::Step(&format!("fetching go {version}")));
    let settings = match asked(context) {
        Some(settings) => settings,
        None => settings(&context.environment)?,
    };
    let zip = fetch(&toolchain, &settings, work.path(), context)?;
    context.progress.event(Event::Step(&format!("unpacking go {version}")));
    let tree = work.path().join("tree");
    unpack(&zip, &toolchain, &tree, context)?;
    // Whoever finds the name takes the files for whole.
    let synced = Beneath::new(&tree).and_then(|tree| tree.sync());
    synced.map_err(|error| Error::io(&tree, "could not be brought to the disk", &error))?;
    match fs::rename(&tree, &home) {
        Ok(()) => Ok(program),
        // Somebody else was faster, with the same bytes.
        Err(_) if program.is_file() => Ok(program),
        Err(error) => Err(Error::io(&home, "could not be put in place", &error)),
    }
}

/// Fetches the zip of a toolchain and holds it to its record.
fn fetch(toolchain: &ModuleVersion, settings: &Settings, work: &Path, context: &Context<'_>) -> Result<PathBuf> {
    let modules = work.join("modules");
    let ahead = Ahead::new(settings, &modules, context);
    ahead.fetch(std::slice::from_ref(toolchain), &[], &GoSum::default(), Trees::None)?;
    let Some(proof) = ahead.into_proofs().remove(toolchain) else {
        let message = format!("{toolchain}: could not be fetched from any proxy of GOPROXY");
        return Err(Error::new(ErrorKind::NotFound, message)
            .because(format!("GOPROXY is {}", settings.get("GOPROXY")))
            .hint("check the version, the network and GOPROXY; a proxy may have no toolchains"));
    };
    let versions = BTreeSet::from([toolchain.clone()]);
    let request = database::Request {
        versions: &versions,
        since: None,
        at: None,
        known: &BTreeSet::new(),
        held: &BTreeSet::new(),
        heads: &[],
        caches: &[],
        out: &work.join("sumdb"),
        jobs: requests(context),
    };
    let slice = database::fetch(&request, &settings.into(), context)?;
    let stated = slice.records.get(toolchain).map(|record| record.zip);
    match (proof.h1, stated) {
        (Ok(h1), Some(stated)) if h1 == stated => Ok(module_cache::zip_file(&modules, toolchain)),
        (h1, stated) => {
            let name = slice.key.name();
            let text =
                |stated: Option<modferry_format::H1>| stated.map_or_else(|| "nothing".to_owned(), |h1| h1.to_string());
            Err(Error::new(ErrorKind::HashConflict, format!("{toolchain}: is not the one that {name} names"))
                .because(format!("from upstream: {}", text(h1.ok())))
                .because(format!("{name}: {}", text(stated)))
                .hint("somebody serves another toolchain than the world sees; find out who before you go on"))
        }
    }
}

/// Unpacks a zip that has been proven, as the go command does it: what is in bin, pkg/tool and lib is executable, and
/// the `_go.mod` of the standard library and the commands, which a module zip cannot have under their name, get it back.
fn unpack(zip: &Path, toolchain: &ModuleVersion, tree: &Path, context: &Context<'_>) -> Result<()> {
    let failed =
        |error: String| Error::new(ErrorKind::Io, format!("{}: could not be unpacked", zip.display())).because(error);
    let file = File::open(zip).map_err(|error| Error::io(zip, "could not be read", &error))?;
    let mut buffer = vec![0; DIRECTORY_BUFFER_BYTES];
    let archive = ZipArchive::from_file(file, &mut buffer).map_err(|error| failed(error.to_string()))?;
    let prefix = format!("{}@{}/", toolchain.path(), toolchain.version());
    let mut entries = archive.entries(&mut buffer);
    while let Some(entry) = entries.next_entry().map_err(|error| failed(error.to_string()))? {
        context.interrupt.check()?;
        let name = String::from_utf8_lossy(entry.file_path().as_ref()).into_owned();
        // The proof has seen that every name begins so and is clean.
        let Some(below) = name.strip_prefix(&prefix).filter(|below| !below.is_empty() && !below.ends_with('/')) else {
            continue;
        };
        let local = archive.get_entry(entry.wayfinder()).map_err(|error| failed(error.to_string()))?;
        let path = tree.join(below);
        let write = || -> io::Result<()> {
            fs::create_dir_all(path.parent().unwrap_or(tree))?;
            let mut file = File::create(&path)?;
            let mut content: Box<dyn Read> = match entry.compression_method() {
                CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(local.reader())),
                _ => Box::new(local.reader()),
            };
            io::copy(&mut content, &mut file)?;
            executable(&file, below)
        };
        write().map_err(|error| Error::io(&path, "could not be written", &error))?;
    }
    for folder in ["src", "src/cmd"] {
        let (hidden, shown) = (tree.join(folder).join("_go.mod"), tree.join(folder).join("go.mod"));
        if hidden.is_file() {
            fs::copy(&hidden, &shown).map_err(|error| Error::io(&shown, "could not be written", &error))?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn executable(file: &File, below: &str) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if ["bin/", "pkg/tool/", "lib/"].iter().any(|folder| below.starts_with(folder)) {
        file.set_permissions(fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn executable(_: &File, _: &str) -> io::Result<()> {
    Ok(())
}

/// What a go that is there all the same says: it knows its own defaults.
fn asked(context: &Context<'_>) -> Option<Settings> {
    let program = go_command::find(&context.environment).ok()?;
    go_command::settings(&program, &std::env::temp_dir(), &context.environment, &context.interrupt).ok()
}

/// What `go env` would say, as far as it can be known without go.
pub(crate) fn settings(environment: &Environment) -> Result<Settings> {
    let file = environment.get("GOENV").map(PathBuf::from).or_else(|| {
        let config = environment.get("XDG_CONFIG_HOME").map(PathBuf::from);
        let home = || environment.get("HOME").map(|home| PathBuf::from(home).join(".config"));
        Some(config.or_else(home)?.join("go/env"))
    });
    let text = file.and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
    let in_file = |name: &str| {
        // The last one counts.
        let mut lines = text.lines().filter_map(|line| line.split_once('=')).rev();
        lines.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    };
    let get = |name: &str| {
        let set = environment.get(name).and_then(|value| value.to_str()).filter(|value| !value.is_empty());
        set.map(str::to_owned).or_else(|| in_file(name))
    };
    let private = get("GOPRIVATE").unwrap_or_default();
    let Some(goproxy) = get("GOPROXY") else {
        return Err(Error::new(
            ErrorKind::Usage,
            "GOPROXY: is not set, and without a go command nobody says its default",
        )
        .hint("export GOPROXY=URL: the public Go mirror, or your own proxy"));
    };
    let values = [
        ("GOPROXY", goproxy),
        ("GOSUMDB", get("GOSUMDB").unwrap_or_else(|| "sum.golang.org".to_owned())),
        ("GONOPROXY", get("GONOPROXY").unwrap_or_else(|| private.clone())),
        ("GONOSUMDB", get("GONOSUMDB").unwrap_or_else(|| private.clone())),
        ("GOAUTH", get("GOAUTH").unwrap_or_default()),
        ("GOMODCACHE", get("GOMODCACHE").or_else(|| module_cache_of(get("GOPATH"), environment)).unwrap_or_default()),
    ];
    Ok(Settings::new(values.map(|(name, value)| (name.to_owned(), value))))
}

/// The default of GOMODCACHE: below the first directory of GOPATH, which is `go` in the user's home by default.
fn module_cache_of(gopath: Option<String>, environment: &Environment) -> Option<String> {
    let first = gopath.as_deref().and_then(|list| std::env::split_paths(list).next());
    let home =
        || environment.get(if cfg!(windows) { "USERPROFILE" } else { "HOME" }).map(|home| Path::new(home).join("go"));
    Some(first.or_else(home)?.join("pkg").join("mod").to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_a_version_or_a_path() {
        assert_eq!("1.26.8".parse(), Ok(GoChoice::Version("1.26.8".to_owned())));
        assert_eq!("/usr/bin/go".parse(), Ok(GoChoice::Path("/usr/bin/go".into())));
        assert!("newest".parse::<GoChoice>().is_err());
    }

    #[test]
    fn settings_come_from_the_environment_and_from_the_file_of_go() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("go")).unwrap();
        fs::write(dir.path().join("go/env"), "GOPROXY=https://a.test\nGOPRIVATE=corp.test\n").unwrap();
        let mut environment = Environment::default();
        assert!(settings(&environment).is_err());
        environment.set("XDG_CONFIG_HOME", dir.path());
        let read = settings(&environment).unwrap();
        assert_eq!((read.get("GOPROXY"), read.get("GONOPROXY")), ("https://a.test", "corp.test"));
        environment.set("GOPROXY", "https://b.test");
        assert_eq!(settings(&environment).unwrap().get("GOPROXY"), "https://b.test");
        assert_eq!(settings(&environment).unwrap().get("GOSUMDB"), "sum.golang.org");
        let module_cache = |environment: &Environment| settings(environment).unwrap().get("GOMODCACHE").to_owned();
        assert_eq!(module_cache(&environment), "");
        environment.set("HOME", "/home/a");
        environment.set("USERPROFILE", "/home/a");
        assert_eq!(Path::new(&module_cache(&environment)), Path::new("/home/a/go/pkg/mod"));
        environment.set("GOPATH", "/g");
        assert_eq!(Path::new(&module_cache(&environment)), Path::new("/g/pkg/mod"));
    }
}
