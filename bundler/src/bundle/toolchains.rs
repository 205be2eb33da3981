//! Go toolchains as modules: `golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64`, one per version and platform.
//!
//! What the go command asks for (go-facts.md 3.4): the zip and its record where it switches; the list where a dependency
//! or a query such as `go@latest` is too new for it; and for `go get toolchain@` the info of linux-amd64, on whatever
//! platform. So the info and go.mod of linux-amd64 come with every version.
//!
//! The zips come like all others. `go mod download` judges them, without unpacking 250 MB each: for toolchains it asks the
//! checksum database whatever else is set.

use crate::bundle::ahead::{Ahead, Trees};
use crate::context::{Context, Event};
use crate::error::{Error, ErrorKind, Result};
use crate::go_command::{self, Go, version_numbers};
use crate::{jobs, module_cache};
use modferry_format::ModuleVersion;
use modferry_format::go_sum::GoSum;
use modferry_format::header::{Level, Observation, Root, RootKind};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The module that toolchains are versions of.
pub(crate) const MODULE: &str = "golang.org/toolchain";
/// The platform whose info go asks for, wherever it runs.
const ASKED_EVERYWHERE: &str = "linux-amd64";

/// Which toolchains are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// One version, such as `1.26.8`.
    Version(String),
    /// What the go and toolchain lines of the roots ask for.
    Auto,
    /// The newest release that upstream has.
    Latest,
}

/// A platform, such as `linux/amd64`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platform {
    os: String,
    arch: String,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "latest" => Ok(Self::Latest),
            _ => version(text)
                .map(Self::Version)
                .ok_or_else(|| "a version of Go such as 1.26.8, auto for what the roots ask for, or latest".to_owned()),
        }
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let is_name =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        match text.split_once('/') {
            Some((os, arch)) if is_name(os) && is_name(arch) => Ok(Self { os: os.to_owned(), arch: arch.to_owned() }),
            _ => Err("a platform such as linux/amd64".to_owned()),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.os, self.arch)
    }
}

impl Platform {
    /// As people write it: `linux/amd64`.
    pub(crate) fn slashed(&self) -> String {
        format!("{}/{}", self.os, self.arch)
    }

    /// The platform that this program was built for, in Go's names.
    pub fn here() -> Self {
        let os = if cfg!(target_os = "macos") { "darwin" } else { std::env::consts::OS };
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            "riscv64" => "riscv64",
            "loongarch64" => "loong64",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            other => other,
        };
        Self { os: os.to_owned(), arch: arch.to_owned() }
    }
}

/// A version of Go as toolchains have it: `go1.26.8`, `1.26.8`, `1.26rc1`; `1.26` is its first release, `1.26.0`, as the
/// go command reads a go line from 1.21 on.
pub(crate) fn version(text: &str) -> Option<String> {
    let text = text.strip_prefix("go").unwrap_or(text);
    let parts: Vec<&str> = text.split('.').collect();
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (major, minor, _) = version_numbers(text);
    match parts[..] {
        ["1", last] if digits(last) && (major, minor) >= (1, 21) => Some(format!("{text}.0")),
        ["1", last] => {
            let at = last.find(|c: char| !c.is_ascii_digit())?;
            let (minor, rest) = last.split_at(at);
            let number = rest.strip_prefix("rc").or_else(|| rest.strip_prefix("beta"))?;
            (digits(minor) && digits(number)).then(|| text.to_owned())
        }
        ["1", minor, patch] if digits(minor) && digits(patch) => Some(text.to_owned()),
        _ => None,
    }
}

/// The module version of a toolchain.
pub(crate) fn module_version(version: &str, platform: &str) -> Result<ModuleVersion> {
    format!("{MODULE}@v0.0.1-go{version}.{platform}").parse().map_err(|invalid: modferry_format::Invalid| {
        Error::new(ErrorKind::Usage, format!("toolchain go{version} for {platform}")).because(invalid.to_string())
    })
}

/// What the go.mod of a root asks for: its toolchain line, else its go line, whichever is newer. Nothing for a go line
/// below 1.21, which every go takes.
pub(crate) fn asked_by(go_mod: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(go_mod);
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let asked = lines.filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["go" | "toolchain", asked] => version(asked),
        _ => None,
    });
    let asked = asked.filter(|asked| version_numbers(asked) >= (1, 21, -1));
    asked.max_by_key(|asked| version_numbers(asked))
}

/// What it takes to fetch toolchains.
pub(crate) struct Toolchains<'a> {
    pub(crate) go: &'a Go,
    pub(crate) ahead: Option<&'a Ahead<'a>>,
    pub(crate) sources: &'a [PathBuf],
    pub(crate) module_cache: &'a Path,
    pub(crate) scratch: &'a Path,
    pub(crate) context: &'a Context<'a>,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Fetched {
    pub(crate) roots: Vec<Root>,
    pub(crate) observations: Vec<Observation>,
    pub(crate) versions: Vec<ModuleVersion>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    #[serde(default)]
    version: String,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default)]
    versions: Vec<String>,
}

impl Toolchains<'_> {
    /// Brings toolchains into the child's module cache; `asked` is what the roots ask for.
    pub(crate) fn fetch(&self, wanted: &[Wanted], platforms: &[Platform], asked: &BTreeSet<String>) -> Result<Fetched> {
        let mut fetched = Fetched::default();
        let mut versions = BTreeSet::new();
        for wanted in wanted {
            match wanted {
                Wanted::Version(version) => drop(versions.insert(version.clone())),
                Wanted::Auto => versions.extend(asked.iter().cloned()),
                Wanted::Latest => {
                    let latest = self.latest()?;
                    let (module, query) = (MODULE.to_owned(), "latest".to_owned());
                    fetched.observations.push(Observation { module, query, version: format!("go{latest}") });
                    versions.insert(latest);
                }
            }
        }
        let here = [Platform::here()];
        let platforms = if platforms.is_empty() { &here[..] } else { platforms };
        let (mut whole, mut infos) = (Vec::new(), Vec::new());
        for version in &versions {
            for platform in platforms {
                whole.push(module_version(version, &platform.to_string())?);
            }
            let everywhere = module_version(version, ASKED_EVERYWHERE)?;
            if !whole.contains(&everywhere) {
                infos.push(everywhere);
            }
        }
        if whole.is_empty() {
            self.context.progress.event(Event::Note("no root asks for a toolchain"));
            return Ok(fetched);
        }
        self.download(&whole)?;
        self.infos(&infos)?;
        fetched.versions.clone_from(&whole);
        fetched.roots = whole.iter().map(|version| Root::version(RootKind::Toolchain, Level::All, version)).collect();
        Ok(fetched)
    }

    /// The newest release in upstream's list.
    fn latest(&self) -> Result<String> {
        let arguments = ["list", "-m", "-versions", "-json", "go"];
        let output = self.go.must(self.scratch, &arguments, "toolchain latest")?;
        let listed: Vec<Listed> = go_command::json_stream(&output.stdout, "toolchain latest")?;
        let releases = listed.into_iter().flat_map(|listed| listed.versions);
        let releases = releases.filter(|version| !version.contains("rc") && !version.contains("beta"));
        releases.max_by_key(|version| version_numbers(version)).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "toolchain latest: upstream lists no release of Go")
                .hint("name a version: --toolchain 1.26.8")
        })
    }

    fn download(&self, versions: &[ModuleVersion]) -> Result<()> {
        for version in versions {
            // Taken for unpacked, so that it is not.
            let dir = module_cache::extracted_dir(self.module_cache, version);
            fs::create_dir_all(&dir).map_err(|error| Error::io(&dir, "could not be made", &error))?;
        }
        if let Some(ahead) = self.ahead {
            ahead.fetch(versions, self.sources, &GoSum::default(), Trees::None)?;
        }
        let names: Vec<String> = versions.iter().map(ToString::to_string).collect();
        let mut arguments = vec!["mod", "download", "-json"];
        arguments.extend(names.iter().map(String::as_str));
        let output = self.go.run(self.scratch, &arguments, &mut || {})?;
        let downloaded: Vec<Downloaded> = go_command::json_stream(&output.stdout, "toolchains")?;
        if let Some(failed) = downloaded.iter().find(|module| !module.error.is_empty()) {
            let subject = format!("{MODULE}@{}: could not be fetched", failed.version);
            return Err(go_command::explain(&subject, &failed.error)
                .hint("go list -m -versions go names the versions; a proxy may have none of them (go env GOPROXY)"));
        }
        if !output.status.success() {
            return Err(go_command::explain("toolchains: go mod download failed", &output.stderr));
        }
        Ok(())
    }

    /// Info and go.mod alone.
    fn infos(&self, versions: &[ModuleVersion]) -> Result<()> {
        let asked = jobs::map(self.context.jobs, versions.to_vec(), |(): &mut (), version| {
            self.go.must(self.scratch, &["list", "-m", "-json", &version.to_string()], &version.to_string())
        });
        asked.into_iter().try_for_each(|(_, output)| output.map(drop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_toolchains() {
        for (text, expected) in [
            ("1.26.8", Some("1.26.8")),
            ("go1.26.8", Some("1.26.8")),
            ("1.26", Some("1.26.0")),
            ("1.27rc1", Some("1.27rc1")),
            ("1.20", None),
            ("1", None),
            ("2.0.0", None),
            ("1.26.8.1", None),
            ("1.26.x", None),
            ("1.x", None),
            ("../1.26", None),
            ("", None),
        ] {
            assert_eq!(version(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_go_mod_asks_for_the_newer_of_its_lines() {
        assert_eq!(asked_by(b"module m\n\ngo 1.24\n\ntoolchain go1.26.8 // ours\n").as_deref(), Some("1.26.8"));
        assert_eq!(asked_by(b"module m\ngo 1.27.0\ntoolchain go1.26.8\n").as_deref(), Some("1.27.0"));
        assert_eq!(asked_by(b"module m\ngo 1.17\n"), None);
        assert_eq!(asked_by(b"module m\ntoolchain default\n"), None);
    }

    #[test]
    fn platforms_have_two_names() {
        assert_eq!("linux/amd64".parse::<Platform>().unwrap().to_string(), "linux-amd64");
        for wrong in ["linux", "linux/", "/amd64", "Linux/amd64", "a/b/c", "../x"] {
            assert!(wrong.parse::<Platform>().is_err(), "{wrong}");
        }
    }
}
