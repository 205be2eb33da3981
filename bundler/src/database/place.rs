//! Where a database is, found as the go command finds it (`dbClient.initBase` in cmd/go/internal/modfetch/sumdb.go).
//!
//! 1. GOSUMDB names it: with a URL, that is the place, and the proxies are passed by.
//! 2. GOPROXY is walked: the first proxy with `sumdb/NAME/supported` answers for all of it. One that has no such file is
//!    passed by; one that fails ends the walk, unless `|` comes after it. `direct` and `off` end it too.
//! 3. Else the place is `https://NAME`.

use crate::error::{Error, ErrorKind, Result};
use crate::fetch::proxy_list::ProxyList;
use crate::fetch::remote::{Answer, Base, Reader};
use modferry_format::sumdb::key::{GoSumDb, VerifierKey};

/// Largest `supported` that is read, in bytes; what is in it means nothing.
const MAX_SUPPORTED: usize = 64 * 1024;
/// How often a proxy is asked that has a successor for this case.
const ATTEMPTS_BEFORE_NEXT: u32 = 2;

/// A database and where it is.
#[derive(Clone)]
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
        None => walk(&ProxyList::parse(goproxy), key.name().as_str(), reader)?
            .map_or_else(|| Base::parse(&format!("https://{}", key.name())), Ok)?,
    };
    Ok(Place { key, base })
}

fn walk(list: &ProxyList, name: &str, reader: &Reader<'_>) -> Result<Option<Base>> {
    let mut failed = None;
    for entry in &list.entries {
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
    failed.filter(|_| !list.is_direct).map_or(Ok(None), Err)
}
