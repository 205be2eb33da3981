//! One small file of a version, info or go.mod, from the first place that has it: directories of exact versions (the user's
//! module cache, what an earlier run has left), then the proxies of GOPROXY, as go falls from one to the next.

use crate::bundle::ahead::{ATTEMPTS, Ahead};
use crate::error::{ErrorKind, Result};
use crate::fetch::proxy_list::Entry;
use crate::fetch::remote::{Answer, Base};
use modferry_format::info::Info;
use modferry_format::{ModuleVersion, patterns};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What became of a file that was asked for.
pub(crate) enum Text {
    Found(Vec<u8>),
    /// No proxy has it, and nobody else is asked.
    Absent(String),
    /// Only go can get it, for this reason.
    LeftToGo(String),
}

/// Asks for the file of a version that ends in `suffix`; of local ones only a good one is taken, for others may have better ones.
pub(crate) fn fetch(
    ahead: &Ahead<'_>,
    sources: &[PathBuf],
    version: &ModuleVersion,
    suffix: &str,
    limit: u64,
    is_good: &dyn Fn(&[u8]) -> bool,
) -> Result<Text> {
    let path = path(version, suffix);
    for source in sources {
        if let Some(bytes) = read(&source.join(&path), limit).filter(|bytes| is_good(bytes)) {
            return Ok(Text::Found(bytes));
        }
    }
    if patterns::matches(&ahead.not_by_proxy, version.path().as_str()) {
        return Ok(Text::LeftToGo("GONOPROXY names it, so no proxy is asked".to_owned()));
    }
    let mut said = String::from("GOPROXY names no proxy");
    for Entry { url, may_fail } in &ahead.proxies.entries {
        let base = Base::parse(url)?;
        // As in `ahead`: a proxy with a successor for this case is not waited for.
        let attempts = if *may_fail { 1 } else { ATTEMPTS };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        match ahead.reader.get_patiently(&base, &on_the_wire(&base, &path), limit, attempts) {
            Ok(Answer::Found(bytes)) => return Ok(Text::Found(bytes)),
            Ok(Answer::Absent(words)) => said = format!("{}: {words}", base.shown(&path)),
            Err(error) if *may_fail && error.kind != ErrorKind::Interrupted => said = error.message,
            Err(error) => return Err(error),
        }
    }
    Ok(if ahead.proxies.is_direct { Text::LeftToGo(said) } else { Text::Absent(said) })
}

/// Whether these are the bytes of an info of this version.
pub(crate) fn is_info_of(version: &ModuleVersion, bytes: &[u8]) -> bool {
    Info::from_upstream(bytes).is_ok_and(|info| info.version() == version.version())
}

/// Where a file of a version is below a proxy or in a module cache.
pub(crate) fn path(version: &ModuleVersion, suffix: &str) -> String {
    format!("{}/@v/{}.{suffix}", version.path().escaped(), version.version().escaped())
}

/// As go writes it on the wire.
pub(crate) fn on_the_wire(base: &Base, path: &str) -> String {
    if matches!(base, Base::Http(_)) { path.replace('!', "%21") } else { path.to_owned() }
}

/// A small file of this machine; none if there is none, or none that can be used.
pub(crate) fn read(file: &Path, limit: u64) -> Option<Vec<u8>> {
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(file).ok()?.take(limit + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= limit).then_some(bytes)
}
