//! Which HTTP proxy a request goes through, as golang.org/x/net/http/httpproxy decides it for the go command.
//!
//! - HTTPS_PROXY for https, HTTP_PROXY for http, in capitals or not; a value without a scheme is an http proxy
//! - never for `localhost` and loopback addresses
//! - NO_PROXY is a list: `*`, an address, a range such as `10.0.0.0/8`, `host` (it and all below), `.host` and `*.host`
//!   (only what is below); all but ranges may end in a port

use crate::context::Environment;
use std::net::IpAddr;

/// The proxies of an environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    http: Option<String>,
    https: Option<String>,
    not_for: Vec<Exception>,
}

/// An entry of NO_PROXY.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    Everything,
    Range { network: IpAddr, bits: u32 },
    Address { address: IpAddr, port: Option<u16> },
    Domain { below: String, is_itself: bool, port: Option<u16> },
}

impl Proxies {
    pub(crate) fn of(environment: &Environment) -> Self {
        let get = |name: &str| {
            let value = environment.get(name).or_else(|| environment.get(&name.to_ascii_lowercase()));
            value.and_then(|value| value.to_str()).map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned)
        };
        // A CGI program must not take a header of its request for HTTP_PROXY.
        let http = if environment.get("REQUEST_METHOD").is_some() { None } else { get("HTTP_PROXY") };
        let not_for = get("NO_PROXY").unwrap_or_default();
        Self { http, https: get("HTTPS_PROXY"), not_for: not_for.split(',').filter_map(Exception::parse).collect() }
    }

    /// The proxy for a request; the host without brackets.
    pub(crate) fn proxy(&self, is_https: bool, host: &str, port: u16) -> Option<String> {
        let proxy = if is_https { self.https.as_ref() } else { self.http.as_ref() }?;
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        let is_here = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        if is_here || self.not_for.iter().any(|exception| exception.matches(&host, address, port)) {
            return None;
        }
        Some(if proxy.contains("://") { proxy.clone() } else { format!("http://{proxy}") })
    }
}

impl Exception {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text.is_empty() {
            return None;
        }
        if text == "*" {
            return Some(Self::Everything);
        }
        if let Some((network, bits)) = text.split_once('/')
            && let (Ok(network), Ok(bits)) = (network.parse(), bits.parse())
        {
            return Some(Self::Range { network, bits });
        }
        let (host, port) = match text.rsplit_once(':') {
            // The colons of an address without brackets are not before a port.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (text.as_str(), None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = host.parse() {
            return Some(Self::Address { address, port });
        }
        let is_itself = !host.starts_with("*.") && !host.starts_with('.');
        let below = host.trim_start_matches('*').trim_start_matches('.');
        (!below.is_empty()).then(|| Self::Domain { below: format!(".{below}"), is_itself, port })
    }

    fn matches(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        let is_port = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match self {
            Self::Everything => true,
            Self::Range { network, bits } => address.is_some_and(|address| is_in(address, *network, *bits)),
            Self::Address { address: wanted, port } => address == Some(*wanted) && is_port(port),
            Self::Domain { below, is_itself, port } => {
                (host.ends_with(below) || *is_itself && host == &below[1..]) && is_port(port)
            }
        }
    }
}

fn is_in(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) if bits <= 32 => {
            let differs = u32::from(address) ^ u32::from(network);
            differs.checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) if bits <= 128 => {
            let differs = u128::from(address) ^ u128::from(network);
            differs.checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::of(&Environment::new(variables.iter().map(|(name, value)| (name.into(), value.into()))))
    }

    #[test]
    fn the_scheme_of_the_target_chooses_the_proxy() {
        let both = proxies(&[("http_proxy", "plain:3128"), ("HTTPS_PROXY", "https://secure.test")]);
        assert_eq!(both.proxy(false, "a.test", 80).as_deref(), Some("http://plain:3128"));
        assert_eq!(both.proxy(true, "a.test", 443).as_deref(), Some("https://secure.test"));
        assert_eq!(proxies(&[]).proxy(true, "a.test", 443), None);
        let cgi = proxies(&[("HTTP_PROXY", "evil"), ("REQUEST_METHOD", "GET")]);
        assert_eq!(cgi.proxy(false, "a.test", 80), None);
    }

    #[test]
    fn no_proxy_is_read_as_go_reads_it() {
        let none =
            "10.0.0.0/8, 192.168.7.7 ,[fd00::1]:8443,example.com,.below.test,*.star.test,port.test:8080,fd01::/16";
        let proxies = proxies(&[("HTTPS_PROXY", "p"), ("NO_PROXY", none)]);
        let through = |host: &str, port: u16| proxies.proxy(true, host, port).is_some();
        for (host, port) in [
            ("localhost", 1),
            ("127.0.0.9", 1),
            ("::1", 1),
            ("10.1.2.3", 1),
            ("192.168.7.7", 1),
            ("fd00::1", 8443),
            ("fd01::9", 1),
            ("example.com", 1),
            ("EXAMPLE.com.", 1),
            ("a.example.com", 1),
            ("a.below.test", 1),
            ("a.star.test", 1),
            ("port.test", 8080),
        ] {
            assert!(!through(host, port), "{host}:{port}");
        }
        for (host, port) in [
            ("11.1.2.3", 1),
            ("192.168.7.8", 1),
            ("fd00::1", 443),
            ("fd02::9", 1),
            ("notexample.com", 1),
            ("below.test", 1),
            ("star.test", 1),
            ("port.test", 443),
        ] {
            assert!(through(host, port), "{host}:{port}");
        }
        assert_eq!(
            super::Proxies { not_for: vec![Exception::Everything], ..proxies.clone() }.proxy(true, "x", 1),
            None
        );
    }
}
