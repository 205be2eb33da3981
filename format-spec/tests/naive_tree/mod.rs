//! A whole log with all its hashes, made in the plainest way, and a key that signs its heads: what the real database
//! would answer. It names no function of the crate that makes or judges hashes or tiles.
#![allow(dead_code, reason = "no test binary needs all of it")]

use data_encoding::BASE64;
use ed25519_dalek::{Signer, SigningKey};
use modferry_format::database::Tile;
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::sumdb::record::{Lookup, Record};
use sha2::{Digest, Sha256};

type Hash = [u8; 32];

/// The name under which the log signs.
pub(crate) const NAME: &str = "sum.example.com/log";
/// The secret with which it signs.
pub(crate) const SEED: [u8; 32] = [7; 32];

/// A log. Record `id` is of the module `example.com/m<id>` at v1.0.0, whose go.mod is [`go_mod`]; two logs with different
/// salts differ from record `fork` on.
pub(crate) struct NaiveTree {
    /// `levels[b][i]` is the hash of the records from `i << b`, `1 << b` of them.
    levels: Vec<Vec<Hash>>,
    salt: u8,
    fork: u64,
}

impl NaiveTree {
    pub(crate) fn new(size: u64) -> Self {
        Self::forked(size, 0, 0)
    }

    pub(crate) fn forked(size: u64, salt: u8, fork: u64) -> Self {
        let mut tree = Self { levels: Vec::new(), salt, fork };
        let leaf = |id| Sha256::digest([&[0], tree.text(id).as_bytes()].concat()).into();
        let mut level: Vec<Hash> = (0..size).map(leaf).collect();
        while !level.is_empty() {
            let above = level.chunks_exact(2).map(|pair| node(pair[0], pair[1])).collect();
            tree.levels.push(level);
            level = above;
        }
        tree
    }

    /// The zip is none: only its hash is told.
    fn zip_h1(&self, id: u64) -> String {
        let salt = if id < self.fork { 0 } else { self.salt };
        format!("h1:{}", BASE64.encode(&Sha256::digest(format!("{salt} {id} zip"))))
    }

    /// The text of a record.
    pub(crate) fn text(&self, id: u64) -> String {
        let module = format!("example.com/m{id} v1.0.0");
        format!("{module} {}\n{module}/go.mod {}\n", self.zip_h1(id), go_mod_h1(id))
    }

    pub(crate) fn record(&self, id: u64) -> Record {
        Record {
            id,
            module: format!("example.com/m{id}@v1.0.0").parse().unwrap(),
            zip: self.zip_h1(id).parse().unwrap(),
            go_mod: go_mod_h1(id).parse().unwrap(),
        }
    }

    pub(crate) fn lookup(&self, id: u64, size: u64) -> Lookup {
        let bytes = format!("{id}\n{}\n{}", self.text(id), self.note(size));
        Lookup::parse(bytes.as_bytes(), &self.record(id).module).unwrap()
    }

    /// The root of the first records: MTH of RFC 6962, section 2.1.
    pub(crate) fn root(&self, size: u64) -> Hash {
        if size == 0 { Sha256::digest([]).into() } else { self.mth(0, size) }
    }

    fn mth(&self, start: u64, end: u64) -> Hash {
        let size = end - start;
        if size.is_power_of_two() {
            return self.levels[size.ilog2() as usize][(start / size) as usize];
        }
        let split = start + (1 << size.ilog2());
        node(self.mth(start, split), self.mth(split, end))
    }

    /// The bytes of a tile.
    pub(crate) fn tile(&self, tile: Tile) -> Vec<u8> {
        let start = tile.index() as usize * 256;
        self.levels[usize::from(tile.level()) * 8][start..start + usize::from(tile.width())].concat()
    }

    /// What a database says of the first records.
    pub(crate) fn head_text(&self, size: u64) -> String {
        format!("go.sum database tree\n{size}\n{}\n", BASE64.encode(&self.root(size)))
    }

    /// The signed head of the first records.
    pub(crate) fn note(&self, size: u64) -> String {
        sign(&self.head_text(size))
    }

    pub(crate) fn head(&self, size: u64) -> Head {
        Head::open(self.note(size).as_bytes(), &key()).unwrap()
    }
}

fn node(left: Hash, right: Hash) -> Hash {
    Sha256::digest([&[1], &left[..], &right].concat()).into()
}

/// The go.mod of the module of a record.
pub(crate) fn go_mod(id: u64) -> String {
    format!("module example.com/m{id}\n")
}

fn go_mod_h1(id: u64) -> String {
    let hex: String = Sha256::digest(go_mod(id)).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("h1:{}", BASE64.encode(&Sha256::digest(format!("{hex}  go.mod\n"))))
}

fn key_parts(name: &str, signing: &SigningKey) -> (Vec<u8>, Vec<u8>) {
    let encoded = [&[1], &signing.verifying_key().to_bytes()[..]].concat();
    let id = Sha256::digest([name.as_bytes(), b"\n", &encoded].concat())[..4].to_vec();
    (id, encoded)
}

/// The key of the log.
pub(crate) fn key() -> VerifierKey {
    key_of(NAME, SEED).parse().unwrap()
}

/// The key of any name and secret.
pub(crate) fn key_of(name: &str, seed: [u8; 32]) -> String {
    let (id, encoded) = key_parts(name, &SigningKey::from_bytes(&seed));
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name}+{id}+{}", BASE64.encode(&encoded))
}

/// The line that signs a text, by the log's own key or by that of somebody else.
pub(crate) fn signature(text: &str, name: &str, seed: [u8; 32]) -> String {
    let signing = SigningKey::from_bytes(&seed);
    let (id, _) = key_parts(name, &signing);
    let signature = signing.sign(text.as_bytes()).to_bytes();
    format!("\u{2014} {name} {}\n", BASE64.encode(&[&id[..], &signature].concat()))
}

/// A text as a note of the log.
pub(crate) fn sign(text: &str) -> String {
    sign_as(text, NAME, SEED)
}

/// A text as a note of anybody.
pub(crate) fn sign_as(text: &str, name: &str, seed: [u8; 32]) -> String {
    format!("{text}\n{}", signature(text, name, seed))
}
