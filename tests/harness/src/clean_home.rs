//! An environment that holds nothing of the person who runs the tests: every place that `go` and `modferry` write
//! to lies in one directory, and every setting they read is set or absent on purpose.

use crate::no_network::NO_HTTP_FOR_GO;
use crate::upstream::Upstream;
use crate::{Outcome, at};
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The moment that all bundles of the tests are made at, in seconds since 1970: 2024-01-02T03:04:05Z.
pub const SOURCE_DATE_EPOCH: &str = "1704164645";

/// Directories for one test.
pub struct CleanHome {
    root: PathBuf,
    go_cache: PathBuf,
}

impl CleanHome {
    /// Makes the directories below `root`. `go_cache` is the one thing that is shared: compiled packages of the
    /// standard library, which would cost each test half a minute.
    pub fn create(root: &Path, go_cache: &Path) -> Outcome<Self> {
        // Paths with links in them come out of `go` without them; a test that compares paths needs one spelling.
        let root = root.canonicalize().map_err(at(root))?;
        for name in ["bin", "home", "gopath", "modcache", "cache", "tmp", "work", "upstream"] {
            let directory = root.join(name);
            fs::create_dir_all(&directory).map_err(at(&directory))?;
        }
        fs::create_dir_all(go_cache).map_err(at(go_cache))?;
        Ok(Self { root, go_cache: go_cache.to_owned() })
    }

    /// The directory that all others are in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory for the test's own files.
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// A directory that stands first on PATH.
    pub fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    /// The proxy that GOPROXY names.
    pub fn upstream(&self) -> Upstream {
        Upstream::at(self.root.join("upstream"))
    }

    /// The whole environment; a command gets this and nothing else.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let place = |name: &str| self.root.join(name).display().to_string();
        let path = env::var("PATH").unwrap_or_default();
        let settings = [
            ("PATH", format!("{}:{path}", place("bin"))),
            ("HOME", place("home")),
            ("TMPDIR", place("tmp")),
            ("XDG_CACHE_HOME", place("cache")),
            ("GOPATH", place("gopath")),
            ("GOMODCACHE", place("modcache")),
            ("GOCACHE", self.go_cache.display().to_string()),
            ("GOPROXY", self.upstream().proxy_url()),
            ("GONOSUMDB", "*".to_owned()),
            ("GOTOOLCHAIN", "local".to_owned()),
            ("GODEBUG", NO_HTTP_FOR_GO.to_owned()),
            // No C compiler: nothing here needs one, and asking for it costs time.
            ("CGO_ENABLED", "0".to_owned()),
            ("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH.to_owned()),
            ("LC_ALL", "C".to_owned()),
        ];
        settings.map(|(key, value)| (key.to_owned(), value)).into()
    }
}
