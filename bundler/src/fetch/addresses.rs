//! Addresses of hosts, asked for once: ureq asks before every request, also for a connection that it has already.
//!
//! 32 threads that each ask for the same name again and again are more than some resolvers bear (measured: 54 of 728
//! requests of one fetch failed, and it took 82 s in place of 0.3 s). The rest wait for the one who asks.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How long an address is taken for the right one.
const KEPT: Duration = Duration::from_secs(60);
/// How long those who have waited are told that there is none.
const FAILED: Duration = Duration::from_secs(1);

/// A resolver with a memory.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    system: DefaultResolver,
    known: Mutex<BTreeMap<String, Known>>,
}

/// What is known of a host and port.
#[derive(Debug)]
struct Known {
    until: Instant,
    /// None, and the reason, or some.
    addresses: Result<Vec<SocketAddr>, String>,
}

impl Resolver for Addresses {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host =
            format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |it| it.as_str()));
        // Held while the system is asked: everybody else wants to know the same.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.get(&host).is_none_or(|known| Instant::now() >= known.until) {
            let old = known.remove(&host).and_then(|known| known.addresses.ok());
            let (kept, addresses) = match (self.system.resolve(uri, config, timeout), old) {
                (Ok(addresses), _) => (KEPT, Ok(addresses.to_vec())),
                // Better than nothing; whether somebody is still there will be seen.
                (Err(_), Some(old)) => (FAILED, Ok(old)),
                (Err(error), None) => (FAILED, Err(error.to_string())),
            };
            known.insert(host.clone(), Known { until: Instant::now() + kept, addresses });
        }
        match &known[&host].addresses {
            Ok(addresses) => {
                let mut resolved = self.empty();
                addresses.iter().for_each(|&address| resolved.push(address));
                Ok(resolved)
            }
            Err(words) => Err(Error::Io(io::Error::new(io::ErrorKind::HostUnreachable, words.clone()))),
        }
    }
}
