//! A checksum database with a key of its own: what the real one would answer, made in the plainest way.
//!
//! - [`Log`] is the log with all its hashes. It names no function of the product that makes or judges hashes of the tree.
//! - [`Log::write`] makes a database of files, [`server`] one of HTTP that can misbehave.
//! - [`forge`] makes the part of it that a bundle has lie.

pub mod forge;
pub mod server;

use crate::module::Module;
use crate::{Outcome, at};
use data_encoding::BASE64;
use ed25519_dalek::{Signer, SigningKey};
use modferry_format::database::Tile;
use modferry_format::hash::{H1, H1Builder};
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::{BundlePath, ModuleVersion};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The name under which logs sign that are given no other.
pub const NAME: &str = "sum.example.com/log";
/// The seed of their key.
const SEED: u8 = 7;

type Hash = [u8; 32];

/// A log: its records, all hashes of its tree, and the key that signs its heads. A clone can be grown into a fork.
#[derive(Debug, Clone)]
pub struct Log {
    name: String,
    seed: [u8; 32],
    /// Texts of the records.
    texts: Vec<String>,
    ids: BTreeMap<ModuleVersion, u64>,
    /// `levels[b][i]` is the hash of the records from `i << b`, `1 << b` of them.
    levels: Vec<Vec<Hash>>,
}

impl Default for Log {
    fn default() -> Self {
        Self::new(NAME, SEED)
    }
}

impl Log {
    /// An empty log that signs under this name, with a key made from `seed`.
    pub fn new(name: &str, seed: u8) -> Self {
        Self { name: name.to_owned(), seed: [seed; 32], texts: Vec::new(), ids: BTreeMap::new(), levels: Vec::new() }
    }

    /// Adds the record of a module and gives its number.
    pub fn add(&mut self, module: &Module) -> Outcome<u64> {
        let go_mod = H1::of_go_mod(&module.go_mod());
        Ok(self.add_hashes(module.version(), zip_h1(&module.zip())?, go_mod))
    }

    /// Adds the record that somebody else made up.
    pub fn add_hashes(&mut self, version: &ModuleVersion, zip: H1, go_mod: H1) -> u64 {
        let text = format!(
            "{} {} {zip}\n{} {}/go.mod {go_mod}\n",
            version.path(),
            version.version(),
            version.path(),
            version.version()
        );
        let id = self.texts.len() as u64;
        self.ids.insert(version.clone(), id);
        self.push(Sha256::digest([&[0], text.as_bytes()].concat()).into());
        self.texts.push(text);
        id
    }

    /// Adds records of [`filler`] modules until there are `size`; `salt` makes them those of another log.
    pub fn grow(&mut self, size: u64, salt: &str) {
        for id in self.size()..size {
            let h1 = |what: &str| made_up(&format!("{salt} {id} {what}"));
            self.add_hashes(&filler(id), h1("zip"), h1("mod"));
        }
    }

    /// Records in the log.
    pub fn size(&self) -> u64 {
        self.texts.len() as u64
    }

    /// The number of a module version's record.
    pub fn id(&self, version: &ModuleVersion) -> Option<u64> {
        self.ids.get(version).copied()
    }

    /// The text of a record.
    pub fn text(&self, id: u64) -> &str {
        &self.texts[id as usize]
    }

    /// The verifier key, as it stands in GOSUMDB.
    pub fn key(&self) -> String {
        let (id, encoded) = self.key_parts();
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}+{id}+{}", self.name, BASE64.encode(&encoded))
    }

    /// The same as a value.
    pub fn verifier(&self) -> Outcome<VerifierKey> {
        self.key().parse().map_err(|error| format!("{error}"))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The signed head of the first `size` records.
    pub fn note(&self, size: u64) -> String {
        self.sign(&format!("go.sum database tree\n{size}\n{}\n", BASE64.encode(&self.root(size))))
    }

    /// The same, opened.
    pub fn head(&self, size: u64) -> Outcome<Head> {
        Head::open(self.note(size).as_bytes(), &self.verifier()?).map_err(|error| error.to_string())
    }

    /// A text as a note of the log.
    pub fn sign(&self, text: &str) -> String {
        let signature = SigningKey::from_bytes(&self.seed).sign(text.as_bytes()).to_bytes();
        let line = BASE64.encode(&[&self.key_parts().0[..], &signature].concat());
        format!("{text}\n\u{2014} {} {line}\n", self.name)
    }

    /// A lookup: the record `id` with the head of the first `size` records.
    pub fn lookup(&self, id: u64, size: u64) -> String {
        format!("{id}\n{}\n{}", self.text(id), self.note(size))
    }

    /// The bytes of a tile, if the log is that large.
    pub fn tile(&self, tile: Tile) -> Option<Vec<u8>> {
        let start = usize::try_from(tile.index()).ok()?.checked_mul(256)?;
        let level = self.levels.get(usize::from(tile.level()) * 8)?;
        Some(level.get(start..start + usize::from(tile.width()))?.concat())
    }

    /// Every tile of the tree of all records, as wide as it is filled.
    pub fn tiles(&self) -> BTreeSet<Tile> {
        let mut tiles = BTreeSet::new();
        for (level, hashes) in self.levels.iter().step_by(8).enumerate() {
            for (index, chunk) in hashes.chunks(256).enumerate() {
                tiles.extend(Tile::new(level as u8, index as u64, chunk.len() as u16));
            }
        }
        tiles
    }

    /// Writes a database of files into a directory that GOSUMDB may name: `supported`, `latest`, all lookups and all
    /// tiles of the tree of all records, and these tiles too.
    pub fn write(&self, directory: &Path, more: &[Tile]) -> Outcome<()> {
        let write = |name: &str, bytes: &[u8]| {
            let path = directory.join(name);
            let folder = path.parent().unwrap_or(directory);
            fs::create_dir_all(folder).map_err(at(folder))?;
            fs::write(&path, bytes).map_err(at(&path))
        };
        write("supported", b"")?;
        write("latest", self.note(self.size()).as_bytes())?;
        let note = self.note(self.size());
        for (version, id) in &self.ids {
            let name = format!("lookup/{}@{}", version.path().escaped(), version.version().escaped());
            write(&name, format!("{id}\n{}\n{note}", self.text(*id)).as_bytes())?;
        }
        for tile in self.tiles().into_iter().chain(more.iter().copied()) {
            let bytes = self.tile(tile).ok_or_else(|| format!("{tile}: beyond the log"))?;
            write(&tile.to_string(), &bytes)?;
        }
        Ok(())
    }

    fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let hashes = &mut self.levels[level];
            hashes.push(hash);
            if hashes.len() % 2 == 1 {
                return;
            }
            hash = node(hashes[hashes.len() - 2], hash);
        }
    }

    /// MTH of RFC 6962, section 2.1.
    fn root(&self, size: u64) -> Hash {
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

    fn key_parts(&self) -> (Vec<u8>, Vec<u8>) {
        let encoded = [&[1], &SigningKey::from_bytes(&self.seed).verifying_key().to_bytes()[..]].concat();
        let id = Sha256::digest([self.name.as_bytes(), b"\n", &encoded].concat())[..4].to_vec();
        (id, encoded)
    }
}

/// The module version of record `id`, where a log was [grown](Log::grow).
pub fn filler(id: u64) -> ModuleVersion {
    format!("example.com/filler/m{id}@v1.0.0").parse().expect("a module version, whatever the number")
}

/// An h1 of nothing.
pub fn made_up(what: &str) -> H1 {
    format!("h1:{}", BASE64.encode(&Sha256::digest(what))).parse().expect("the base64 of 32 bytes")
}

/// The h1 of a module zip.
pub fn zip_h1(zip: &[u8]) -> Outcome<H1> {
    use std::io::Read;
    let failed = |error: rawzip::Error| error.to_string();
    let archive = rawzip::ZipArchive::from_slice(zip).map_err(failed)?;
    let (mut entries, mut builder) = (archive.entries(), H1Builder::default());
    while let Some(entry) = entries.next_entry().map_err(failed)? {
        let name = String::from_utf8_lossy(entry.file_path().as_ref()).into_owned();
        let local = archive.get_entry(entry.wayfinder()).map_err(failed)?;
        let mut content = Vec::new();
        let mut inflated = flate2::bufread::DeflateDecoder::new(local.data());
        inflated.read_to_end(&mut content).map_err(|error| format!("{name}: {error}"))?;
        builder.add(name, Sha256::digest(&content).into());
    }
    Ok(builder.finish())
}

/// Adds to a log every module of a directory in the layout of the download API that has a zip or a go.mod, unless the log
/// has it; where one of the two is missing, its hash is made up. Gives the versions.
pub fn add_upstream(log: &mut Log, download: &Path) -> Outcome<BTreeSet<ModuleVersion>> {
    let mut hashes: BTreeMap<ModuleVersion, (Option<H1>, Option<H1>)> = BTreeMap::new();
    for entry in walkdir::WalkDir::new(download).sort_by_file_name().into_iter().flatten() {
        let relative = entry.path().strip_prefix(download).ok().and_then(Path::to_str).unwrap_or_default();
        match format!("download/{relative}").parse() {
            Ok(BundlePath::Zip(version)) => {
                let bytes = fs::read(entry.path()).map_err(at(entry.path()))?;
                hashes.entry(version).or_default().0 = Some(zip_h1(&bytes)?);
            }
            Ok(BundlePath::Mod(version)) => {
                let bytes = fs::read(entry.path()).map_err(at(entry.path()))?;
                hashes.entry(version).or_default().1 = Some(H1::of_go_mod(&bytes));
            }
            _ => {}
        }
    }
    for (version, (zip, go_mod)) in hashes.iter().filter(|(version, _)| log.id(version).is_none()).collect::<Vec<_>>() {
        let or_made_up = |h1: &Option<H1>, what: &str| h1.unwrap_or_else(|| made_up(&format!("{version} {what}")));
        log.add_hashes(version, or_made_up(zip, "zip"), or_made_up(go_mod, "mod"));
    }
    Ok(hashes.into_keys().collect())
}

fn node(left: Hash, right: Hash) -> Hash {
    Sha256::digest([&[1], &left[..], &right].concat()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use modferry_format::sumdb::prove::Prover;
    use modferry_format::sumdb::record::Lookup;

    #[test]
    fn the_product_proves_what_the_log_says() {
        let mut log = Log::default();
        log.grow(300, "");
        let module = Module::new("example.com/Upper@v1.0.0").unwrap().file("a.go", "package a\n");
        let id = log.add(&module).unwrap();
        log.grow(700, "");
        assert_eq!(log.id(module.version()), Some(id));
        let (head, earlier) = (log.head(700).unwrap(), log.head(301).unwrap());
        let lookup = Lookup::parse(log.lookup(id, 700).as_bytes(), module.version()).unwrap();
        let mut prover = Prover::new(&head);
        prover.record(&lookup.record).unwrap();
        prover.served(&earlier).unwrap();
        prover.prove(|tile| Ok::<_, String>(log.tile(tile))).unwrap();
    }
}
