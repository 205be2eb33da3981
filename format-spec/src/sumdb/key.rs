//! Keys that verify a database's tree heads, and GOSUMDB, the setting that chooses the database.

use crate::database::DatabaseName;
use crate::invalid::Invalid;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signature, Verifier, VerifyingKey};
use sha2::{Digest, Sha256};

/// `algEd25519` of golang.org/x/mod/sumdb/note, the first byte of a key's encoding.
const ALGORITHM_ED25519: u8 = 1;

/// A key that verifies signed notes (SPEC M90), in Go's syntax `NAME+HASH+KEY`: the database's name, the key hash as 8 hex digits,
/// and the base64 of one byte for Ed25519 and the 32 bytes of the key.
///
/// Stricter than Go: the name is a [`DatabaseName`], for it becomes a folder; hex is lower-case, base64 canonical, and a
/// key that is no point of the curve is refused at once instead of failing every signature.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: DatabaseName,
    id: KeyId,
    key: VerifyingKey,
}

/// What a signature line says of its key beside the name: the first 4 bytes of SHA-256 over name, newline and encoded
/// key. `keyHash` of golang.org/x/mod/sumdb/note.
pub(crate) type KeyId = [u8; 4];

impl VerifierKey {
    /// The key of sum.golang.org, as it is compiled into the go command (`knownGOSUMDB` in cmd/go/internal/modfetch).
    pub const SUM_GOLANG_ORG: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

    /// The key of sum.golang.org.
    pub fn sum_golang_org() -> Self {
        Self::SUM_GOLANG_ORG.parse().expect("a test parses this constant")
    }

    /// The database that signs with it.
    pub fn name(&self) -> &DatabaseName {
        &self.name
    }

    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    /// Whether this is the key's signature of the text; takes what crypto/ed25519 of Go takes.
    pub(crate) fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.key.verify(text.as_bytes(), &signature).is_ok())
    }

    fn encoded(&self) -> Vec<u8> {
        encode(&self.key)
    }
}

fn encode(key: &VerifyingKey) -> Vec<u8> {
    [&[ALGORITHM_ED25519][..], key.as_bytes()].concat()
}

fn key_id(name: &DatabaseName, encoded: &[u8]) -> KeyId {
    let hash = Sha256::new().chain_update(name.as_str()).chain_update("\n").chain_update(encoded).finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}+{}", self.name, HEXLOWER.encode_display(&self.id), BASE64.encode_display(&self.encoded()))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |reason: &'static str| Invalid::new("verifier key", text, reason);
        let (name, rest) = text.split_once('+').ok_or_else(|| invalid("not of the form NAME+HASH+KEY"))?;
        // No further cut: a plus is a digit of base64.
        let (id, key) = rest.split_once('+').ok_or_else(|| invalid("not of the form NAME+HASH+KEY"))?;
        let name: DatabaseName = name.parse()?;
        let id = HEXLOWER.decode(id.as_bytes()).ok().and_then(|id| KeyId::try_from(id).ok());
        let id = id.ok_or_else(|| invalid("the key hash is not 8 lower-case hex digits"))?;
        let encoded = BASE64.decode(key.as_bytes()).map_err(|_| invalid("the key is not base64"))?;
        let key = match encoded.split_first() {
            Some((&ALGORITHM_ED25519, key)) => {
                <[u8; 32]>::try_from(key).map_err(|_| invalid("the key has not 32 bytes"))?
            }
            _ => return Err(invalid("the key is not of Ed25519, which is all that Go knows")),
        };
        if key_id(&name, &encoded) != id {
            return Err(invalid("the key hash is not the one of this name and key"));
        }
        let key = VerifyingKey::from_bytes(&key).map_err(|_| invalid("the key is no point of the curve"))?;
        let parsed = Self { name, id, key };
        // Base64 in padded pieces, or a point in another spelling.
        if parsed.to_string() == text { Ok(parsed) } else { Err(invalid("not the canonical spelling")) }
    }
}

/// The value of GOSUMDB, read as `dbDial` in cmd/go/internal/modfetch reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GoSumDb {
    /// `off`: no database, nothing is verified.
    Off,
    /// One database; Go knows no list of them.
    Database {
        /// Its key, and with it its name.
        key: Box<VerifierKey>,
        /// Where it is, if the setting says so; `go` then asks there and passes its proxies by.
        url: Option<Box<str>>,
    },
}

impl GoSumDb {
    /// An alias of sum.golang.org that is reachable from mainland China; the one that cmd/go has.
    const ALIAS: &str = "sum.golang.google.cn";
    /// What the alias stands for.
    const ALIAS_URL: &str = "https://sum.golang.google.cn";
    /// The one database whose key need not be stated.
    const KNOWN: &str = "sum.golang.org";
}

impl FromStr for GoSumDb {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |reason: &'static str| Err(Invalid::new("GOSUMDB", text, reason));
        // Both are compared before the fields are cut, so that neither stands with a URL or with spaces around it.
        match text {
            "off" => return Ok(Self::Off),
            Self::ALIAS => {
                let (key, url) = (Box::new(VerifierKey::sum_golang_org()), Some(Self::ALIAS_URL.into()));
                return Ok(Self::Database { key, url });
            }
            _ => {}
        }
        let mut fields = text.split_whitespace();
        let Some(key) = fields.next() else { return invalid("no database named; off means none") };
        let url = fields.next().map(Box::from);
        if fields.next().is_some() {
            return invalid("more than a key and a URL");
        }
        let key = match key {
            Self::KNOWN => VerifierKey::sum_golang_org(),
            name if !name.contains('+') => {
                return invalid("only the key of sum.golang.org is known; others are stated as NAME+HASH+KEY");
            }
            key => key.parse()?,
        };
        Ok(Self::Database { key: Box::new(key), url })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

    #[test]
    fn built_in_key_is_its_own_text() {
        let key = VerifierKey::sum_golang_org();
        assert_eq!(key.to_string(), OWN);
        assert_eq!(key.name().as_str(), "sum.golang.org");
        assert_eq!(key.id(), [0x03, 0x3d, 0xe0, 0xae]);
    }

    #[test]
    fn other_spellings_and_other_keys_are_refused() {
        for (text, reason) in [
            ("sum.golang.org", "NAME+HASH+KEY"),
            ("sum.golang.org+033de0ae", "NAME+HASH+KEY"),
            (&OWN.replace("033de0ae", "033de0af"), "not the one of this name and key"),
            (&OWN.replace("sum.golang.org", "sum.golang.com"), "not the one of this name and key"),
            (&OWN.replace("033de0ae", "033DE0AE"), "lower-case"),
            (&OWN.replace("033de0ae", "33de0ae"), "8 lower-case"),
            (&OWN.replace("Ac4z", "As4z"), "Ed25519"),
            (&OWN.replace("+Ac4z", "+"), "Ed25519"),
            (&OWN.replace("OuAn8", "OuAn"), "base64"),
            (&OWN.replace("OuAn8", "O"), "32 bytes"),
            ("sum.golang.org+033de0ae+", "Ed25519"),
            ("Sum.golang.org+033de0ae+AAAA", "lower-case"),
            ("+033de0ae+AAAA", ""),
        ] {
            let refused = text.parse::<VerifierKey>().unwrap_err();
            assert!(refused.to_string().contains(reason), "{text}: {refused}");
        }
    }

    #[test]
    fn a_key_that_is_no_point_is_refused() {
        let name: DatabaseName = "sum.test".parse().unwrap();
        let mut encoded = [ALGORITHM_ED25519; 33];
        let refused = (0..=u8::MAX).find_map(|byte| {
            encoded[1] = byte;
            let id = HEXLOWER.encode(&key_id(&name, &encoded));
            alloc::format!("{name}+{id}+{}", BASE64.encode(&encoded)).parse::<VerifierKey>().err()
        });
        assert!(refused.unwrap().reason().contains("no point"));
    }

    #[test]
    fn go_sum_db_is_read_as_go_reads_it() {
        let key = Box::new(VerifierKey::sum_golang_org());
        let database = |url: Option<&str>| Ok(GoSumDb::Database { key: key.clone(), url: url.map(Box::from) });
        assert_eq!("off".parse(), Ok(GoSumDb::Off));
        assert_eq!("sum.golang.org".parse(), database(None));
        assert_eq!(OWN.parse(), database(None));
        assert_eq!(" sum.golang.org  file:///srv/sumdb ".parse(), database(Some("file:///srv/sumdb")));
        assert_eq!(alloc::format!("{OWN} https://a.b/c").parse(), database(Some("https://a.b/c")));
        assert_eq!("sum.golang.google.cn".parse(), database(Some("https://sum.golang.google.cn")));
        for (text, reason) in [
            ("", "no database"),
            (" ", "no database"),
            ("off https://a.b", "only the key of sum.golang.org"),
            ("on", "only the key of sum.golang.org"),
            ("sum.golang.org,sum.test", "only the key of sum.golang.org"),
            ("sum.golang.org https://a.b https://c.d", "more than a key"),
            ("sum.golang.org+033de0ae+AAAA", "Ed25519"),
        ] {
            let refused = text.parse::<GoSumDb>().unwrap_err();
            assert!(refused.to_string().contains(reason), "{text}: {refused}");
        }
    }
}
