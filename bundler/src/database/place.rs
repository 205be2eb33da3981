//! Where a database is, found as the go command finds it (`dbClient.initBase` in cmd/go/internal/modfetch/sumdb.go).
//!
//! 1. GOSUMDB names it: with a URL, that is the place, and the proxies are passed by.
//! 2. GOPROXY is walked: the first proxy with `sumdb/NAME/supported` answers for all of it. One that has no such file is
//!    passed by; one that fails ends the walk, unless `|` comes after it. `direct` and `off` end it too.
//! 3. Else the place is `https://NAME`.

use crate::database::remote::{Answer, Base, Reader};
use crate::error::{Error, ErrorKind, Result};
use modferry_format::sumdb::key::{GoSumDb, VerifierKey};

/// Largest `supported` that is read, in bytes; what is in it means nothing.
const MAX_SUPPORTED: usize = 64 * 1024;
/// How often a proxy is asked that has a successor for this case.
const ATTEMPTS_BEFORE_NEXT: u32 = 2;

/// A database and where it is.
pub(super) struct Place {
    pub(super) key: VerifierKey,
    pub(super) base: Base,
}

/// Finds the database of these settings.
pub(super) fn find(goproxy: &str, gosumdb: &str, reader: &Reader<'_>) -> Result<Place> {
    let invalid = |error: modferry_format::Invalid| Error::new(ErrorKind::Usage, error.to_string());
    let (key, url) = match gosumdb.parse().map_err(|error| invalid(error).hint("check go env GOSUMDB"))? {
        GoSumDb::Off => {
            return Err(Error::new(ErrorKind::Usage, "GOSUMDB: is off, so there is no checksum database to carry")
                .hint("set GOSUMDB, or say --without-checksum-database"));
        }
        GoSumDb::Database { key, url } => (*key, url),
    };
    let base = match url {
        Some(url) => Base::parse(&url)?,
        None => walk(&proxies(goproxy), key.name().as_str(), reader)?
            .map_or_else(|| Base::parse(&format!("https://{}", key.name())), Ok)?,
    };
    Ok(Place { key, base })
}

/// An entry of GOPROXY.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    url: String,
    /// Whether the next one is asked after any failure: `|` comes after it.
    may_fail: bool,
}

/// The entries of GOPROXY up to `direct` or `off`, as `proxyList` of cmd/go/internal/modfetch reads them.
/// Also whether `direct` ends it.
fn proxies(goproxy: &str) -> (Vec<Entry>, bool) {
    let mut entries = Vec::new();
    let mut rest = goproxy;
    while !rest.is_empty() {
        let (url, may_fail, after) = match rest.find([',', '|']) {
            Some(end) => (&rest[..end], rest.as_bytes()[end] == b'|', &rest[end + 1..]),
            None => (rest, false, ""),
        };
        rest = after;
        match url.trim() {
            "" => {}
            "off" => break,
            "direct" => return (entries, true),
            url => {
                let is_short = url.contains(['.', ':', '/']) && !url.contains(":/") && !url.starts_with('/');
                let url = if is_short { format!("https://{url}") } else { url.to_owned() };
                entries.push(Entry { url, may_fail });
            }
        }
    }
    (entries, false)
}

fn walk((entries, is_direct): &(Vec<Entry>, bool), name: &str, reader: &Reader<'_>) -> Result<Option<Base>> {
    let mut failed = None;
    for entry in entries {
        let base = Base::parse(&entry.url)?.join(&format!("sumdb/{name}"));
        let attempts = if entry.may_fail { ATTEMPTS_BEFORE_NEXT } else { u32::MAX };
        let answer = match attempts {
            u32::MAX => reader.get(&base, "supported", MAX_SUPPORTED),
            few => reader.get_patiently(&base, "supported", MAX_SUPPORTED, few),
        };
        match answer {
            Ok(Answer::Found(_)) => return Ok(Some(base)),
            Ok(Answer::Absent(_)) => {}
            Err(error) if error.kind == ErrorKind::Interrupted => return Err(error),
            Err(error) if entry.may_fail => failed = Some(error),
            Err(error) => return Err(error),
        }
    }
    // A proxy that might have had the database is not replaced by the database itself, unless `direct` says so.
    failed.filter(|_| !is_direct).map_or(Ok(None), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goproxy_is_read_as_go_reads_it() {
        let read = |text: &str| {
            let entries = proxies(text).0.into_iter();
            entries.map(|entry| format!("{}{}", entry.url, if entry.may_fail { "|" } else { "" })).collect::<Vec<_>>()
        };
        assert_eq!(read("https://a.test,direct,https://b.test"), ["https://a.test"]);
        assert_eq!(read("a.test| file:///x ,off"), ["https://a.test|", "file:///x"]);
        assert_eq!(read("off"), [""; 0]);
        assert_eq!(read(""), [""; 0]);
    }
}
