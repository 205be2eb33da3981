//! A tiny bundle as a tar, broken in every way that one step can break it, read as a file and as a stream.

use super::header::{BLOCK_BYTES, encode};
use super::{Tar, TarStream};
use crate::bundle::pack::{Packed, pack};
use crate::carrier::Carrier;
use crate::context::{Context, Environment, Interrupt, Silent};
use crate::verify::{Report, verify};
use modferry_format::BundlePath;
use modferry_format::finding::FindingKind;
use modferry_format::header::{Counts, DEFAULT_CHANNEL, DRAFT, EVERY_MODULE, FORMAT, Header};
use modferry_format::root::{BUNDLE, HeadFile};
use modferry_harness::module::Module;
use modferry_harness::reseal::{Reseal, reseal};
use modferry_harness::upstream::Upstream;
use std::fs;
use std::io::{self, Cursor, Read};
use std::path::Path;
use tempfile::TempDir;
use walkdir::WalkDir;

fn context() -> Context<'static> {
    let (environment, interrupt) = (Environment::default(), Interrupt::default());
    Context { environment, now: jiff::Timestamp::default(), jobs: 1, requests: None, progress: &Silent, interrupt }
}

/// A bundle of one module, as a directory.
fn bundle() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let module = Module::new("example.com/a@v1.0.0").unwrap().file("a.go", "package a\n");
    let upstream = Upstream::at(dir.path().join("download"));
    upstream.publish(&module).unwrap();
    let [info, latest] =
        [BundlePath::Info(module.version().clone()), BundlePath::Latest(module.version().path().clone())];
    fs::copy(upstream.path(&info), upstream.path(&latest)).unwrap();
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
    let write = |file: HeadFile, text: &str| fs::write(dir.path().join(file.name()), text).unwrap();
    write(HeadFile::BundleJson, &header.to_json());
    write(HeadFile::Requires, &modferry_format::requires::Requires::default().to_string());
    write(HeadFile::Readme, modferry_format::readme::TEXT);
    reseal(dir.path(), Reseal::Everything).unwrap();
    dir
}

/// The files of a bundle in the order of a tar.
fn files(dir: &Path) -> Vec<Packed> {
    let packed = |path: String| {
        let place = dir.join(&path);
        Packed { size: fs::metadata(&place).unwrap().len(), path, place }
    };
    let files = WalkDir::new(dir).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    let mut content: Vec<String> =
        files.map(|file| file.path().strip_prefix(dir).unwrap().display().to_string()).collect();
    content.retain(|path| path.contains('/'));
    content.sort_by(|a, b| BundlePath::order(a, b));
    let head = [BUNDLE].into_iter().chain(HeadFile::ALL.map(HeadFile::name)).map(str::to_owned);
    head.chain(content).map(packed).collect()
}

fn tar(files: &[Packed]) -> Vec<u8> {
    let mut tar = Vec::new();
    pack(files, &mut tar, Path::new("test"), &context()).unwrap();
    tar
}

/// What verify says of these bytes in a file; as a stream it must say the same.
fn judge(tar: &[u8]) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("b.tar");
    fs::write(&file, tar).unwrap();
    let as_file = verify(&Tar::open(&file).unwrap(), &context()).unwrap();
    let as_stream = verify(&stream(&file.display().to_string(), Cursor::new(tar.to_vec())), &context()).unwrap();
    assert_eq!(as_file.findings, as_stream.findings);
    as_file
}

fn stream(name: &str, bytes: impl Read + Send + 'static) -> TarStream {
    TarStream::open(name, Box::new(bytes), &std::env::temp_dir()).unwrap()
}

#[test]
fn every_flipped_byte_is_found() {
    let dir = bundle();
    let mut tar = tar(&files(dir.path()));
    assert!(judge(&tar).ok, "{:?}", judge(&tar).findings);
    for at in 0..tar.len() {
        let bit = 1 << (at % 8);
        tar[at] ^= bit;
        // An unknown format ends verify with an error; any other change is a finding.
        let good = std::panic::catch_unwind(|| verify(&stream("flipped", Cursor::new(tar.clone())), &context()));
        let found = good.unwrap().map_or(true, |report| !report.ok);
        assert!(found, "byte {at}, bit {bit}");
        tar[at] ^= bit;
    }
    assert!(judge(&tar).ok);
}

#[test]
fn every_place_to_cut_it_off_is_found_and_nothing_is_called_missing_for_it() {
    let dir = bundle();
    let tar = tar(&files(dir.path()));
    for block in 0..tar.len() / BLOCK_BYTES {
        for at in [block * BLOCK_BYTES, block * BLOCK_BYTES + 1, (block + 1) * BLOCK_BYTES - 1] {
            let report = judge(&tar[..at]);
            assert!(report.findings.iter().any(|finding| finding.kind == FindingKind::Carrier), "{at}");
            assert!(!report.findings.iter().any(|finding| finding.kind == FindingKind::Missing), "{at}");
        }
    }
}

#[test]
fn a_long_path_travels_in_a_pax_header() {
    let dir = bundle();
    let path = format!("extra/sbom/{}/{}.json", "d".repeat(200), "f".repeat(200));
    fs::create_dir_all(dir.path().join(&path).parent().unwrap()).unwrap();
    fs::write(dir.path().join(&path), "{}").unwrap();
    reseal(dir.path(), Reseal::Everything).unwrap();
    let tar = tar(&files(dir.path()));
    assert!(judge(&tar).ok, "{:?}", judge(&tar).findings);
    let unpacked = tempfile::tempdir().unwrap();
    ::tar::Archive::new(&tar[..]).unpack(unpacked.path()).unwrap();
    assert_eq!(fs::read_to_string(unpacked.path().join(path)).unwrap(), "{}");
}

#[test]
fn a_file_that_changed_its_size_since_it_was_hashed_is_no_tar() {
    let dir = bundle();
    for change in [-1, 1] {
        let mut files = files(dir.path());
        let last = files.last_mut().unwrap();
        last.size = last.size.strict_add_signed(change);
        assert!(pack(&files, &mut Vec::new(), Path::new("test"), &context()).is_err());
    }
}

#[test]
fn a_large_file_of_a_stream_lies_on_the_disk_and_one_that_nobody_wants_passes_by() {
    let size = 3 << 20;
    let path = b"extra/sbom/large";
    let bytes = encode(path, size).into_iter().map(Ok).collect::<io::Result<Vec<u8>>>().unwrap();
    let large = || Cursor::new(bytes.clone()).chain(io::repeat(7).take(size)).chain(io::repeat(0).take(1024));
    let carrier = stream("large", large());
    let mut content = carrier.content().unwrap();
    let crate::carrier::What::File(stated, open) = content.next().unwrap().what else { panic!("no file") };
    assert_eq!(stated, size);
    let source = open.open().unwrap();
    assert!(content.next().is_none());
    assert!(!carrier.is_broken());
    assert_eq!(source.read_all(size).unwrap(), vec![7; size as usize]);

    let carrier = stream("large", large());
    let mut content = carrier.content().unwrap();
    let crate::carrier::What::File(_, open) = content.next().unwrap().what else { panic!("no file") };
    assert!(content.next().is_none());
    assert!(open.open().is_err(), "it has passed by");
    assert!(carrier.content().is_err(), "a second time");
}

#[test]
fn zeros_after_the_end_are_read_to_a_limit() {
    let dir = bundle();
    let tar = tar(&files(dir.path()));
    let verdict = |zeros: u64| {
        let bytes = Cursor::new(tar.clone()).chain(io::repeat(0).take(zeros));
        verify(&stream("zeros", bytes), &context()).unwrap().ok
    };
    assert!(verdict(10_240));
    assert!(!verdict(u64::MAX));
}
