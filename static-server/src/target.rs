//! From a request target to a [`BundlePath`] and back; the only door to the files.
//!
//! - A target is decoded once, strictly. What decodes to no path of a bundle's `download/` names nothing: `..`, `//`,
//!   upper case, directories, absolute forms and the mirror's own files among it.
//! - `!` may come as it is or as `%21`, `+` is a plus: `go` sends `%21` for modules and `!` for records.
//! - A file has no query: `go` sends none, and a cache before us shall not keep one file under many names.

use crate::error::{Error, ErrorKind};
use modferry_format::BundlePath;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// What stands before the path of a file in a request target: nothing, or `/some/prefix`.
///
/// Text form: empty or `/` for nothing; else elements of letters, digits and `-._~` with a slash before each. One
/// slash at the end is dropped, as `go` drops it from GOPROXY.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prefix(String);

/// Why a target names no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is no well-formed target.
    Malformed,
    /// It is the address itself, without the name of a file.
    Top,
    /// No file has this name, whatever was imported.
    NoFile,
}

impl Prefix {
    /// The file that a target names.
    pub fn resolve(&self, target: &str) -> Result<BundlePath, Refused> {
        let decoded = decode(target).ok_or(Refused::Malformed)?;
        let rest = decoded.strip_prefix(self.0.as_bytes()).ok_or(Refused::NoFile)?;
        if rest.is_empty() || rest == b"/" {
            return Err(Refused::Top);
        }
        // `/prefixed` is not below `/prefix`.
        let rest = rest.strip_prefix(b"/").ok_or(Refused::NoFile)?;
        let text = str::from_utf8(rest).map_err(|_| Refused::NoFile)?;
        let path: BundlePath = format!("download/{text}").parse().map_err(|_| Refused::NoFile)?;
        if path.is_served() { Ok(path) } else { Err(Refused::NoFile) }
    }

    /// The target of a file, as a client writes it that escapes nothing; `None` for what is never served.
    pub fn target(&self, path: &BundlePath) -> Option<String> {
        let text = path.to_string();
        let below = text.strip_prefix("download").filter(|_| path.is_served())?;
        Some(format!("{}{below}", self.0))
    }

    /// The key of a target under which a file may be kept, if it is written as `go` writes it: `!` as it is or as `%21`, and
    /// nothing else escaped. It is no path yet: only what was found by a path is kept.
    pub(crate) fn key<'a>(&self, target: &'a str, unescaped: &'a mut [u8]) -> Option<&'a [u8]> {
        let rest = target.as_bytes().strip_prefix(self.0.as_bytes())?;
        if !rest.contains(&b'%') {
            return Some(rest);
        }
        let mut parts = rest.split(|&byte| byte == b'%');
        let mut length = 0;
        let mut add = |bytes: &[u8]| {
            unescaped.get_mut(length..length + bytes.len())?.copy_from_slice(bytes);
            length += bytes.len();
            Some(())
        };
        add(parts.next()?)?;
        for part in parts {
            add(b"!")?;
            add(part.strip_prefix(b"21")?)?;
        }
        Some(&unescaped[..length])
    }

    /// The file that a [`key`](Self::key) names, with its text. What names none is for [`resolve`](Self::resolve) to say; where both
    /// name one, it is the same.
    pub(crate) fn named(key: &[u8]) -> Option<(BundlePath, String)> {
        let key = str::from_utf8(key).ok().filter(|key| key.starts_with('/'))?;
        let text = ["download", key].concat();
        let path: BundlePath = text.parse().ok()?;
        path.is_served().then_some((path, text))
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromStr for Prefix {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |reason| Err(Error::new(ErrorKind::Usage, format!("prefix {text:?}: {reason}")));
        let text_without_end = text.strip_suffix('/').unwrap_or(text);
        let Some(elements) = text_without_end.strip_prefix('/') else {
            return if text_without_end.is_empty() { Ok(Self::default()) } else { invalid("does not begin with /") };
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        for element in elements.split('/') {
            if matches!(element, "" | "." | "..") || !element.bytes().all(plain) {
                return invalid("only letters, digits and -._~ may stand between its slashes");
            }
        }
        Ok(Self(text_without_end.to_owned()))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Undoes percent-encoding once. `None` for a `%` without two hex digits.
fn decode(target: &str) -> Option<Cow<'_, [u8]>> {
    let mut parts = target.as_bytes().split(|&b| b == b'%');
    let first = parts.next().unwrap_or_default();
    if first.len() == target.len() {
        return Some(Cow::Borrowed(first));
    }
    let mut decoded = first.to_vec();
    for part in parts {
        let (&[high, low], rest) = part.split_first_chunk::<2>()?;
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        decoded.push(digit(high)? << 4 | digit(low)?);
        decoded.extend_from_slice(rest);
    }
    Some(Cow::Owned(decoded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resolve(target: &str) -> Result<String, Refused> {
        Prefix::default().resolve(target).map(|path| path.to_string())
    }

    #[test]
    fn every_kind_of_file_has_a_target() {
        for (target, path) in [
            ("/rsc.io/quote/@v/list", "download/rsc.io/quote/@v/list"),
            ("/rsc.io/quote/@latest", "download/rsc.io/quote/@latest"),
            ("/rsc.io/quote/@v/v1.5.2.info", "download/rsc.io/quote/@v/v1.5.2.info"),
            ("/rsc.io/quote/@v/main.info", "download/rsc.io/quote/@v/main.info"),
            ("/sumdb/sum.golang.org/supported", "download/sumdb/sum.golang.org/supported"),
            ("/sumdb/sum.golang.org/latest", "download/sumdb/sum.golang.org/latest"),
            ("/sumdb/sum.golang.org/tile/8/0/x001/234.p/56", "download/sumdb/sum.golang.org/tile/8/0/x001/234.p/56"),
            // Case 1: escaped by `go` for modules, raw for records.
            ("/ex.org/%21upper/@v/v1.0.0-%21r%21c1.mod", "download/ex.org/!upper/@v/v1.0.0-!r!c1.mod"),
            (
                "/sumdb/sum.golang.org/lookup/ex.org/!upper@v1.0.0-!r!c1",
                "download/sumdb/sum.golang.org/lookup/ex.org/!upper@v1.0.0-!r!c1",
            ),
            // Case 3: a plus is a plus.
            ("/ex.org/a/@v/v2.0.0+incompatible.zip", "download/ex.org/a/@v/v2.0.0+incompatible.zip"),
            ("/ex.org/a/@v/v2.0.0%2Bincompatible.zip", "download/ex.org/a/@v/v2.0.0+incompatible.zip"),
            ("/ex.org/a/@v/v2.0.0%2bincompatible.zip", "download/ex.org/a/@v/v2.0.0+incompatible.zip"),
            // Some clients escape whatever they can.
            ("/ex.org%2Fa/%40v/list", "download/ex.org/a/@v/list"),
        ] {
            assert_eq!(resolve(target).as_deref(), Ok(path), "{target}");
        }
    }

    #[test]
    fn whatever_is_no_file_names_nothing() {
        for target in [
            // Case 12: directories.
            "/ex.org/a/",
            "/ex.org/a",
            "/ex.org/a/@v",
            "/ex.org/a/@v/",
            "/ex.org/a/@v/list/",
            "/sumdb/",
            // Case 13: ways out.
            "/../BUNDLE",
            "/ex.org/../../bundle.json",
            "/%2e%2e/%2E%2e/etc/passwd",
            "/..%2f..%2fetc/passwd",
            "/%252e%252e/etc/passwd",
            "/ex.org/a/@v/../@v/list",
            "/ex.org/a/./@v/list",
            "/ex.org/a/@v/%2e%2e%2flist",
            "//ex.org/a/@v/list",
            "/ex.org//a/@v/list",
            "/ex.org/a/@v//list",
            "/ex.org/a/@v/list%00",
            "/ex.org/a%00/@v/list",
            "/ex.org\\a\\@v\\list",
            "/ex.org%5ca/@v/list",
            "/C:/a/@v/list",
            "http://ex.org/a/@v/list",
            "ex.org/a/@v/list",
            "*",
            "/\u{2025}/ex.org/a/@v/list",
            "/%c0%ae%c0%ae/ex.org/a/@v/list",
            "/%ff",
            // Case 14: upper case, and escapes of what is not.
            "/ex.org/Upper/@v/list",
            "/ex.org/%55pper/@v/list",
            "/ex.org/!Upper/@v/list",
            "/ex.org/!1/@v/list",
            "/ex.org/a/@v/v1.0.0-RC1.mod",
            "/ex.org/a/@v/LIST",
            // No query, no fragment.
            "/ex.org/a/@v/list?x=1",
            "/ex.org/a/@v/list?",
            "/ex.org/a?go-get=1",
            "/ex.org/a/@v/list#x",
            "/ex.org/a/@v/list%3Fx",
            // What lies beside the download directory, and what `go` leaves in a module cache.
            "/extra/sbom/bundle.cdx.json",
            "/ledger/ex.org/a/@sums",
            "/bundles/00/BUNDLE",
            "/trust/policy.toml",
            "/staging/x",
            "/journal.jsonl",
            "/.git/config",
            "/download/ex.org/a/@v/list",
            "/ex.org/a/@v/v1.0.0.ziphash",
            "/ex.org/a/@v/v1.0.0.lock",
            "/ex.org/a/@v/v1.0.0.tmp",
            "/ex.org/a/@v/v1.zip",
            "/sumdb/sum.golang.org/tile/8/data/000",
            "/sumdb/sum.golang.org/tile/8/0/000.p/0",
        ] {
            assert_eq!(resolve(target), Err(Refused::NoFile), "{target}");
        }
        assert_eq!(resolve("/"), Err(Refused::Top));
    }

    #[test]
    fn a_broken_escape_is_malformed() {
        for target in ["/ex.org/%", "/ex.org/%2", "/ex.org/%zz/@v/list", "/%-1", "/%+1", "/a%2", "/%%32e"] {
            assert_eq!(resolve(target), Err(Refused::Malformed), "{target}");
        }
    }

    #[test]
    fn a_prefix_is_whole_elements() {
        let prefix: Prefix = "/go/Proxy/".parse().unwrap();
        assert_eq!(prefix.to_string(), "/go/Proxy");
        let found = |target: &str| prefix.resolve(target).map(|path| path.to_string());
        assert_eq!(found("/go/Proxy/ex.org/a/@v/list").as_deref(), Ok("download/ex.org/a/@v/list"));
        assert_eq!(found("/go/Pro%78y/ex.org/a/@v/list").as_deref(), Ok("download/ex.org/a/@v/list"));
        assert_eq!(found("/go/Proxy"), Err(Refused::Top));
        for target in ["/ex.org/a/@v/list", "/go/Proxyex.org/a/@v/list", "/go/Proxy//ex.org/a/@v/list", "/go/proxy/"] {
            assert_eq!(found(target), Err(Refused::NoFile), "{target}");
        }
        assert_eq!("".parse::<Prefix>(), Ok(Prefix::default()));
        assert_eq!("/".parse::<Prefix>(), Ok(Prefix::default()));
        for text in ["go", "//", "/a//b", "/..", "/a/./b", "/a b", "/a%20", "/a?", "/a/b//"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_is_the_path_of_the_target_or_none() {
        for (prefix, target, key) in [
            ("", "/ex.org/a/@v/list", Some("/ex.org/a/@v/list")),
            ("", "/ex.org/%21a/%21@v/list%21", Some("/ex.org/!a/!@v/list!")),
            ("", "/%2", None),
            ("", "/%", None),
            ("", "/%2e", None),
            ("/go", "/go/a", Some("/a")),
            ("/go", "/gone/a", Some("ne/a")),
            ("/go", "/a", None),
        ] {
            let prefix: Prefix = prefix.parse().unwrap();
            let mut unescaped = [0; 64];
            assert_eq!(prefix.key(target, &mut unescaped), key.map(str::as_bytes), "{target}");
        }
        assert_eq!(Prefix::default().key("/%21abcdefgh", &mut [0; 8]), None);
    }

    /// Paths of every kind that is served.
    fn served() -> impl Strategy<Value = String> {
        let module = "[a-z]{1,6}\\.[a-z]{2,3}(/(![a-z])?[a-z0-9_~-]{0,4}[a-z]){0,3}";
        let version = "v[01]\\.[0-9]{1,3}\\.[0-9](-!r!c[1-9]|\\+incompatible)?";
        let file = prop_oneof![
            Just("@v/list".to_owned()),
            Just("@latest".to_owned()),
            (version, "info|mod|zip").prop_map(|(version, suffix)| format!("@v/{version}.{suffix}")),
            "[a-z]{1,8}".prop_map(|alias| format!("@v/{alias}.info")),
        ];
        let of_sumdb = prop_oneof![
            Just("supported".to_owned()),
            Just("latest".to_owned()),
            (module, version).prop_map(|(module, version)| format!("lookup/{module}@{version}")),
            (0u8..6, 0u16..1000, 1u16..256).prop_map(|(level, index, width)| match width {
                255 => format!("tile/8/{level}/x001/{index:03}"),
                _ => format!("tile/8/{level}/{index:03}.p/{width}"),
            }),
        ];
        prop_oneof![
            (module, file).prop_map(|(module, file)| format!("download/{module}/{file}")),
            of_sumdb.prop_map(|rest| format!("download/sumdb/sum.golang.org/{rest}")),
        ]
    }

    proptest! {
        #[test]
        fn a_target_and_its_path_are_inverses(text in served(), prefix in "(/[a-z]{1,4}){0,2}", escape in any::<u64>()) {
            let prefix: Prefix = prefix.parse().unwrap();
            // A version that does not fit the module path is no path; the others stay.
            if let Ok(path) = text.parse::<BundlePath>() {
                let target = prefix.target(&path).unwrap();
                prop_assert_eq!(prefix.resolve(&target), Ok(path.clone()));
                let named = prefix.key(&target, &mut [0; 512]).and_then(Prefix::named);
                prop_assert_eq!(named, Some((path.clone(), text.clone())));
                let as_go = target.replace('!', "%21");
                prop_assert_eq!(prefix.key(&as_go, &mut [0; 512]).and_then(Prefix::named), Some((path.clone(), text)));
                // Whatever a client chooses to escape, the target means the same.
                let mut escaped = String::new();
                for (at, byte) in target.bytes().enumerate() {
                    if escape >> (at % 64) & 1 == 1 {
                        escaped.push_str(&format!("%{byte:02X}"));
                    } else {
                        escaped.push(char::from(byte));
                    }
                }
                prop_assert_eq!(prefix.resolve(&escaped), Ok(path));
            }
        }

        #[test]
        fn a_target_that_means_something_is_the_only_plain_one(target in "[/a-z0-9.!@+_%A-F-]{0,40}|/[a-z]{2}\\.[a-z]{2}/@v/.{0,12}") {
            let prefix = Prefix::default();
            if let Some((path, text)) = prefix.key(&target, &mut [0; 512]).and_then(Prefix::named) {
                prop_assert_eq!(&path.to_string(), &text);
                prop_assert_eq!(prefix.resolve(&target), Ok(path));
            }
            if let Ok(path) = prefix.resolve(&target) {
                let plain = prefix.target(&path).unwrap();
                prop_assert!(plain == target || target.contains('%'), "{} {}", plain, target);
            }
        }
    }
}
