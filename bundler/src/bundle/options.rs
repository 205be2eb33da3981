//! What `bundle` is asked for, and what it says at the end.

use crate::bundle::more_versions::MoreVersions;
use crate::bundle::own_go::GoChoice;
use crate::bundle::toolchains::{Platform, Wanted};
use crate::error::Warning;
use modferry_format::BundleId;
use modferry_format::header::{Counts, Level, LevelCost, NotCarried};
use serde::Serialize;
use std::path::PathBuf;

/// What to bundle and where to.
#[derive(Debug, Clone)]
pub struct Options {
    /// Roots as the user wrote them; none means the current directory.
    pub roots: Vec<String>,
    /// Where relative roots start.
    pub current_dir: PathBuf,
    /// How much of the closure to carry; none means [`Level::Work`], and [`Level::All`] for a go.mod file alone.
    pub level: Option<Level>,
    /// Programs to carry, each `package@version`.
    pub tools: Vec<String>,
    /// More versions of modules of the closure.
    pub with_versions: Vec<MoreVersions>,
    /// The newest release and patch of every module that has a zip.
    pub newest: bool,
    /// Rehearse before sealing; this program, which is started once more for it.
    pub rehearse: Option<PathBuf>,
    /// Where to work; none means the user's cache directory.
    pub cache_dir: Option<PathBuf>,
    /// Resolve and tell, but make no bundle.
    pub dry_run: bool,
    /// The go command to use; none means the one on PATH.
    pub go: Option<GoChoice>,
    /// Who fetches zips.
    pub fetch: Fetch,
    /// Go toolchains to carry.
    pub toolchains: Vec<Wanted>,
    /// For which platforms; none means that of this machine for toolchains, and all for modules. Level `build` is narrowed to
    /// them.
    pub platforms: Vec<Platform>,
    /// Patterns of modules that may come without a record, beside those of GONOSUMDB.
    pub no_record: Vec<String>,
    /// Carry nothing of the checksum database.
    pub without_checksum_database: bool,
    /// A bundle that the far side has: its records and tiles are not carried again.
    pub base: Option<PathBuf>,
    /// The tree heads that this bundler has sealed, to be continued from; the bundle's own is added.
    pub heads: Option<PathBuf>,
    /// Files with tree heads that clients have stored, to be continued from.
    pub client_latest: Vec<PathBuf>,
    /// Serve clients with every tree head of this size or more.
    pub since_head: Option<u64>,
    /// Files with tree heads to join; no modules are carried then.
    pub bridge: Vec<PathBuf>,
}

/// Who fetches zips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetch {
    /// We do, many at a time; what cannot be had in this way go fetches. The records of the bundle are what verifies them.
    Ahead,
    /// Go does: slower, and the reference.
    Go,
}

/// What was made.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The id in its short form, 32 digits in groups of four; none for a dry run or where there is nothing to carry.
    pub id: Option<String>,
    /// All 64 digits of it.
    pub sha256: Option<String>,
    /// The output, as the user named it.
    pub out: Option<String>,
    /// How much is in it.
    pub counts: Counts,
    /// Sum of the sizes of its content, in bytes.
    pub bytes: u64,
    /// Wall time, in seconds.
    pub seconds: f64,
    /// Go command that resolved it.
    pub go: String,
    /// Bytes that the work space held at the end; they are freed.
    pub work_bytes: u64,
    /// What each level would carry, as far as it was found out.
    pub levels: Vec<LevelCost>,
    /// What belongs to the closure and is not carried.
    pub not_carried: Vec<NotCarried>,
    /// What the user should know.
    pub warnings: Vec<Warning>,
}

impl Summary {
    pub(crate) fn set_made(&mut self, id: BundleId, not_carried: Vec<NotCarried>) {
        self.id = Some(id.to_string());
        self.sha256 = Some(id.hex());
        self.not_carried = not_carried;
    }
}
