//! The `.info` file of a version: its name and when it was made, in one canonical spelling (SPEC M5).

use crate::invalid::Invalid;
use crate::version::Version;
use alloc::format;
use alloc::string::{String, ToString};
use jiff::Timestamp;
use serde::Deserialize;

const KIND: &str = ".info";
/// The time that Go's `time.Time` has when nothing set it, in seconds: 0001-01-01T00:00:00Z.
const GO_ZERO_TIME_SECOND: i64 = -62_135_596_800;
/// 0000-01-01T00:00:00Z in seconds; RFC 3339 has four digits for a year and no sign.
const YEAR_ZERO_SECOND: i64 = -62_167_219_200;

/// What `go` learns from a `.info` or `@latest` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    version: Version,
    time: Option<Timestamp>,
}

/// The members we read; upstream adds `Origin`, which names hosts and commits, and whatever comes later.
#[derive(Deserialize)]
struct Upstream {
    #[serde(rename = "Version")]
    version: String,
    #[serde(rename = "Time", default)]
    time: Option<String>,
}

impl Info {
    /// Largest `.info` that is read, in bytes; real ones have at most a few hundred.
    pub const MAX_BYTES: u64 = 64 * 1024;

    /// Reads any JSON that a proxy or the module cache gives for a version, whatever its spelling.
    pub fn from_upstream(bytes: &[u8]) -> Result<Self, Invalid> {
        let invalid = |reason: String| Invalid::new(KIND, &String::from_utf8_lossy(bytes), reason);
        let upstream: Upstream = serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
        let version = upstream.version.parse()?;
        let parse = |time: &str| parse_time(time).ok_or_else(|| invalid(format!("{time:?} is no RFC 3339 time")));
        let time = upstream.time.as_deref().map(parse).transpose()?;
        // Any spelling of the zero time, in any zone, says that the time is not known.
        let is_zero = |time: &Timestamp| time.as_second() == GO_ZERO_TIME_SECOND && time.subsec_nanosecond() == 0;
        Ok(Self { version, time: time.filter(|time| !is_zero(time)) })
    }

    /// Reads the canonical spelling and no other (SPEC M5).
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, Invalid> {
        let info = Self::from_upstream(bytes)?;
        if info.to_canonical().as_bytes() == bytes {
            return Ok(info);
        }
        let reason = format!("not canonical, should be {}", info.to_canonical());
        Err(Invalid::new(KIND, &String::from_utf8_lossy(bytes), reason))
    }

    /// The canonical bytes: Version, then Time in UTC where known; no spaces, no final newline (SPEC M5).
    pub fn to_canonical(&self) -> String {
        match self.time {
            // Timestamp prints UTC with a Z and as much of a fraction as there is.
            Some(time) => format!("{{\"Version\":\"{}\",\"Time\":\"{time}\"}}", self.version),
            None => format!("{{\"Version\":\"{}\"}}", self.version),
        }
    }

    /// When the version was made, as far as that is known.
    pub fn time(&self) -> Option<Timestamp> {
        self.time
    }

    /// The version that the file speaks of.
    pub fn version(&self) -> &Version {
        &self.version
    }
}

fn parse_time(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|time: &Timestamp| time.as_second() >= YEAR_ZERO_SECOND)
}

/// Whether the text is a time as the canonical spelling has it: RFC 3339, UTC with a `Z`, no needless digit.
pub(crate) fn is_canonical_time(text: &str) -> bool {
    parse_time(text).is_some_and(|time| time.to_string() == text)
}
