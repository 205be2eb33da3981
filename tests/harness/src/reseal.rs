//! Makes the head files of a tampered bundle say what is there now: what an attacker does who can rewrite a disc.
//!
//! Without a signature nothing tells such a bundle from an honest one but the deeper checks: names, zips, infos, lists.

use crate::{Outcome, at};
use modferry_format::header::{Counts, Header};
use modferry_format::root::{BUNDLE, HeadFile, Root};
use modferry_format::{BundleId, BundlePath, FileSha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use walkdir::WalkDir;

/// How much of the head is written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reseal {
    /// SHA256SUMS, SIZES, the counts in bundle.json where it can be read, and BUNDLE.
    Everything,
    /// The same, but bundle.json stays as it is.
    KeepBundleJson,
    /// BUNDLE alone, over head files that a test wrote by hand.
    BundleOnly,
}

/// Seals the bundle in `directory` again and gives its new id.
pub fn reseal(directory: &Path, how: Reseal) -> Outcome<BundleId> {
    if how != Reseal::BundleOnly {
        let content = Content::read(directory)?;
        write(directory, HeadFile::Sha256Sums.name(), &content.sums)?;
        write(directory, HeadFile::Sizes.name(), &content.sizes)?;
        if how == Reseal::Everything {
            restate_counts(directory, &content)?;
        }
    }
    let mut sums = [FileSha256::of(b""); HeadFile::ALL.len()];
    for file in HeadFile::ALL {
        let path = directory.join(file.name());
        sums[file as usize] = FileSha256::of(&fs::read(&path).map_err(at(&path))?);
    }
    let root = Root::new(sums).to_string();
    write(directory, BUNDLE, &root)?;
    Ok(BundleId::of(root.as_bytes()))
}

/// What the head files say about the content. Paths are plain text here: a test may plant names that are no
/// [`BundlePath`].
struct Content {
    sums: String,
    sizes: String,
    counts: Counts,
    bytes: u64,
}

impl Content {
    fn read(directory: &Path) -> Outcome<Self> {
        let mut files = Vec::new();
        for entry in WalkDir::new(directory).min_depth(1) {
            let entry = entry.map_err(|error| error.to_string())?;
            let path = entry.path().strip_prefix(directory).map_err(at(directory))?;
            let path = path.to_str().ok_or_else(|| format!("{}: not UTF-8", path.display()))?.to_owned();
            if entry.file_type().is_file() && path.contains('/') {
                files.push(path);
            }
        }
        files.sort_by(|a, b| BundlePath::order(a, b));
        let mut content = Self { sums: String::new(), sizes: String::new(), counts: Counts::default(), bytes: 0 };
        let (mut modules, mut versions) = (BTreeSet::new(), BTreeSet::new());
        for path in &files {
            let bytes = fs::read(directory.join(path)).map_err(at(&directory.join(path)))?;
            content.sums += &format!("{}  {path}\n", FileSha256::of(&bytes));
            content.sizes += &format!("{}  {path}\n", bytes.len());
            content.bytes += bytes.len() as u64;
            content.counts.files += 1;
            let parsed = path.parse();
            content.counts.zips += u64::from(matches!(parsed, Ok(BundlePath::Zip(_))));
            if let Ok(BundlePath::Info(version) | BundlePath::Mod(version) | BundlePath::Zip(version)) = parsed {
                modules.insert(version.path().clone());
                versions.insert(version);
            }
        }
        content.counts.modules = modules.len() as u64;
        content.counts.versions = versions.len() as u64;
        Ok(content)
    }
}

fn restate_counts(directory: &Path, content: &Content) -> Outcome<()> {
    let path = directory.join(HeadFile::BundleJson.name());
    let bytes = fs::read(&path).map_err(at(&path))?;
    // A bundle.json that a test spoiled on purpose stays spoiled.
    if let Ok(mut header) = Header::parse(&bytes) {
        header.counts = content.counts;
        header.bytes = content.bytes;
        write(directory, HeadFile::BundleJson.name(), &header.to_json())?;
    }
    Ok(())
}

/// Replaces a head file, which may be read-only.
fn write(directory: &Path, name: &str, text: &str) -> Outcome<()> {
    let path = directory.join(name);
    if path.exists() {
        fs::remove_file(&path).map_err(at(&path))?;
    }
    fs::write(&path, text).map_err(at(&path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use modferry_format::header::{DEFAULT_CHANNEL, DRAFT, EVERY_MODULE, FORMAT};
    use modferry_format::manifest::Reader;

    const FILES: [(&str, &str); 3] = [
        ("download/example.com/a/@v/v1.0.0.mod", "module example.com/a\n"),
        ("download/example.com/a/@v/v1.0.0.zip", "zip"),
        ("download/sumdb/sum.golang.org/supported", "ok\n"),
    ];

    fn bundle() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let header = Header {
            format: FORMAT,
            requires_features: Vec::new(),
            draft: DRAFT,
            channel: DEFAULT_CHANNEL.to_owned(),
            created: "2024-01-02T03:04:05Z".to_owned(),
            tool: "test".to_owned(),
            go: "go1.26.8".to_owned(),
            roots: Vec::new(),
            base: Vec::new(),
            without_record: vec![EVERY_MODULE.to_owned()],
            databases: Vec::new(),
            observations: Vec::new(),
            not_carried: Vec::new(),
            counts: Counts::default(),
            bytes: 0,
            levels: Vec::new(),
            closure: Vec::new(),
        };
        let head =
            [("bundle.json", header.to_json()), ("REQUIRES", String::new()), ("README.txt", "hello\n".to_owned())];
        for (name, text) in head.iter().map(|(name, text)| (*name, text.as_str())).chain(FILES) {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn read(bundle: &tempfile::TempDir, name: &str) -> String {
        fs::read_to_string(bundle.path().join(name)).unwrap()
    }

    #[test]
    fn all_head_files_are_true_afterwards() {
        let bundle = bundle();
        let id = reseal(bundle.path(), Reseal::Everything).unwrap();
        let (sums, sizes) = (read(&bundle, "SHA256SUMS"), read(&bundle, "SIZES"));
        let mut reader = Reader::default();
        let entries: Vec<_> = sums.lines().zip(sizes.lines()).map(|(a, b)| reader.entry(a, b).unwrap()).collect();
        let paths: Vec<String> = entries.iter().map(|entry| entry.path.to_string()).collect();
        assert_eq!(paths, [FILES[2].0, FILES[0].0, FILES[1].0]);
        let header = Header::parse(read(&bundle, "bundle.json").as_bytes()).unwrap();
        assert_eq!(header.counts, Counts { modules: 1, versions: 1, zips: 1, files: 3 });
        assert_eq!(header.bytes, 27);
        let root: Root = read(&bundle, BUNDLE).parse().unwrap();
        assert_eq!(root.sum(HeadFile::Sizes), FileSha256::of(sizes.as_bytes()));
        assert_eq!(id, BundleId::of(read(&bundle, BUNDLE).as_bytes()));
    }

    #[test]
    fn what_a_test_wrote_by_hand_stays() {
        let bundle = bundle();
        reseal(bundle.path(), Reseal::KeepBundleJson).unwrap();
        assert_eq!(Header::parse(read(&bundle, "bundle.json").as_bytes()).unwrap().bytes, 0);
        fs::write(bundle.path().join("SIZES"), "wrong\n").unwrap();
        reseal(bundle.path(), Reseal::BundleOnly).unwrap();
        assert_eq!(read(&bundle, "SIZES"), "wrong\n");
        let root: Root = read(&bundle, BUNDLE).parse().unwrap();
        assert_eq!(root.sum(HeadFile::Sizes), FileSha256::of(b"wrong\n"));
    }
}
