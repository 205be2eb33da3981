//! GOPROXY, as `proxyList` of cmd/go/internal/modfetch reads it.

/// The proxies of a list, up to `direct` or `off`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProxyList {
    pub(crate) entries: Vec<Entry>,
    /// Whether `direct` ends it: then go asks the origin of a module.
    pub(crate) is_direct: bool,
}

/// One proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) url: String,
    /// Whether the next one is asked after any failure: `|` comes after it.
    pub(crate) may_fail: bool,
}

impl ProxyList {
    pub(crate) fn parse(goproxy: &str) -> Self {
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
                "direct" => return Self { entries, is_direct: true },
                url => {
                    let is_short = url.contains(['.', ':', '/']) && !url.contains(":/") && !url.starts_with('/');
                    let url = if is_short { format!("https://{url}") } else { url.to_owned() };
                    entries.push(Entry { url, may_fail });
                }
            }
        }
        Self { entries, is_direct: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goproxy_is_read_as_go_reads_it() {
        let read = |text: &str| {
            let entries = ProxyList::parse(text).entries.into_iter();
            entries.map(|entry| format!("{}{}", entry.url, if entry.may_fail { "|" } else { "" })).collect::<Vec<_>>()
        };
        assert_eq!(read("https://a.test,direct,https://b.test"), ["https://a.test"]);
        assert_eq!(read("a.test| file:///x ,off"), ["https://a.test|", "file:///x"]);
        assert_eq!(read("off"), [""; 0]);
        assert_eq!(read(""), [""; 0]);
    }
}
