//! `go mod download`, watched while it runs, and asked again where a failure may pass.

use super::{Refused, Resolver};
use crate::context::{Context, Event};
use crate::error::{Error, ErrorKind, Result};
use crate::go_command::{self, Go};
use crate::module_cache;
use modferry_format::ModuleVersion;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a download is tried when single modules fail for reasons that may pass.
const ATTEMPTS: u32 = 3;
/// How often progress is told while zips arrive.
const TELL: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    path: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    error: String,
}

impl Resolver<'_> {
    /// `go mod download` in `dir`, with further attempts for what may pass; gives the zips that cannot be had.
    pub(super) fn download(
        &self,
        go: &Go,
        dir: &Path,
        name: &str,
        what: &[&str],
        expected: &[ModuleVersion],
        restore: &dyn Fn() -> Result<()>,
    ) -> Result<Vec<Refused>> {
        let mut arrivals = Arrivals::new(self.module_cache, expected);
        let arguments = [&["mod", "download", "-json"], what].concat();
        let mut attempt = 1;
        loop {
            let mut watch = || arrivals.tell(self.context);
            let output = go.run(dir, &arguments, &mut watch)?;
            let downloaded: Vec<Downloaded> = go_command::json_stream(&output.stdout, name)?;
            let errors: Vec<&Downloaded> = downloaded.iter().filter(|module| !module.error.is_empty()).collect();
            if output.status.success() {
                return Ok(Vec::new());
            }
            if errors.is_empty() {
                return Err(go_command::explain(&format!("{name}: go mod download failed"), &output.stderr));
            }
            let (mut refused, mut conflict) = (Vec::new(), None::<Error>);
            let mut may_pass = false;
            for module in errors {
                let version = format!("{}@{}", module.path, module.version);
                let explained = go_command::explain(&format!("{name}: {version} could not be fetched"), &module.error);
                match (explained.kind, version.parse()) {
                    (ErrorKind::NotFound | ErrorKind::GoFailed, Ok(version)) => {
                        refused.push(Refused { version, words: module.error.clone() });
                    }
                    (ErrorKind::Network, Ok(version)) if attempt < ATTEMPTS => {
                        may_pass = true;
                        refused.push(Refused { version, words: module.error.clone() });
                    }
                    // All of them are named: who can do without has to leave out each.
                    (ErrorKind::HashConflict, _) => match &mut conflict {
                        None => conflict = Some(explained),
                        Some(first) => first.causes.extend(explained.causes),
                    },
                    _ => return Err(explained),
                }
            }
            if let Some(conflict) = conflict {
                return Err(conflict);
            }
            if !may_pass {
                refused.sort();
                return Ok(refused);
            }
            attempt += 1;
            restore()?;
        }
    }
}

/// Counts the zips that have arrived, for progress.
struct Arrivals {
    waiting: Vec<(String, PathBuf)>,
    total: u64,
    bytes: u64,
    current: String,
    told: Instant,
}

impl Arrivals {
    fn new(module_cache: &Path, selected: &[ModuleVersion]) -> Self {
        let zip = |version: &ModuleVersion| (version.to_string(), module_cache::zip_file(module_cache, version));
        let waiting: Vec<_> = selected.iter().map(zip).collect();
        Self { total: waiting.len() as u64, waiting, bytes: 0, current: String::new(), told: Instant::now() }
    }

    fn tell(&mut self, context: &Context<'_>) {
        if self.told.elapsed() < TELL {
            return;
        }
        self.told = Instant::now();
        let (bytes, current) = (&mut self.bytes, &mut self.current);
        self.waiting.retain(|(name, zip)| match fs::metadata(zip) {
            Ok(meta) => {
                *bytes += meta.len();
                current.clone_from(name);
                false
            }
            Err(_) => true,
        });
        let done = self.total - self.waiting.len() as u64;
        context.progress.event(Event::Progress { done, total: self.total, bytes: self.bytes, current: &self.current });
    }
}
