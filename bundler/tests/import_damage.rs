//! A mirror that something else has damaged, or that a crash and another bundle meet in: nothing is published over it in
//! silence, and what can be made whole again is.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

mod taking;

use modferry::carrier::TarStream;
use modferry::error::ErrorKind;
use modferry_harness::module::Module;
use modferry_harness::synthetic_bundle;
use std::fs;
use std::path::{Path, PathBuf};
use taking::{take, take_from};
use tempfile::TempDir;

/// A bundle of each list of modules, and a mirror that is not there yet.
struct Place {
    directory: TempDir,
}

fn module(text: &str, source: &str) -> Module {
    let go_mod = format!("module {}\n\ngo 1.21\n", text.split('@').next().unwrap());
    Module::new(text).unwrap().file("go.mod", go_mod).file("p.go", source)
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn bundle(&self, name: &str, modules: &[Module]) -> PathBuf {
        let path = self.directory.path().join(name);
        synthetic_bundle::write(&path, modules).unwrap();
        path
    }

    fn mirror(&self) -> PathBuf {
        self.directory.path().join("mirror")
    }
}

/// Everything below a directory that has bytes.
fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = walkdir::WalkDir::new(directory).sort_by_file_name().into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file());
    files.map(|entry| (entry.path().to_owned(), fs::read(entry.path()).unwrap())).collect()
}

/// Takes the ledger away and the commit: what a kill leaves between the names of the files and the ledger.
fn forget(mirror: &Path, modules: &[&str]) {
    for module in modules {
        fs::remove_file(mirror.join("ledger").join(module).join("@sums")).unwrap();
        for file in ["@v/list", "@latest"] {
            fs::remove_file(mirror.join("download").join(module).join(file)).unwrap();
        }
    }
    for bundle in fs::read_dir(mirror.join("bundles")).unwrap() {
        fs::remove_file(bundle.unwrap().path().join("done")).unwrap();
    }
    fs::remove_file(mirror.join("journal.jsonl")).unwrap();
}

#[test]
fn another_bundle_with_other_content_than_a_killed_one_is_refused_before_anything_of_it_is_there() {
    let place = Place::new();
    let (dep, other) = ("example.com/dep@v1.0.0", "example.com/a@v1.0.0");
    let killed = place.bundle("killed", &[module(dep, "package p\n")]);
    let second = place.bundle("second", &[module(dep, "package q\n"), module(other, "package a\n")]);
    let mirror = place.mirror();
    take(&killed, &mirror, None).unwrap();
    let whole = files(&mirror.join("download"));
    forget(&mirror, &["example.com/dep"]);
    let before = files(&mirror.join("download"));
    let error = take(&second, &mirror, None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Incident);
    assert!(error.message.contains("v1.0.0.zip: the mirror has h1:"), "{}", error.message);
    assert_eq!(files(&mirror.join("download")), before);
    // The killed one can still be finished, and only then the other one's module is a matter of a bundle.
    take(&killed, &mirror, None).unwrap();
    assert_eq!(files(&mirror.join("download")), whole);
    let error = take(&second, &mirror, None).unwrap_err();
    assert!(error.message.contains("from bundle "), "{}", error.message);
}

#[test]
fn another_bundle_with_the_same_content_takes_over_what_a_killed_one_left() {
    let place = Place::new();
    let dep = module("example.com/dep@v1.0.0", "package p\n");
    let killed = place.bundle("killed", std::slice::from_ref(&dep));
    let second = place.bundle("second", &[dep, module("example.com/e@v1.0.0", "package e\n")]);
    let mirror = place.mirror();
    take(&killed, &mirror, None).unwrap();
    let zip = fs::metadata(mirror.join("download/example.com/dep/@v/v1.0.0.zip")).unwrap().modified().unwrap();
    forget(&mirror, &["example.com/dep"]);
    let summary = take(&second, &mirror, None).unwrap();
    assert_eq!((summary.new_files, summary.known_files), (6, 0));
    assert_eq!(fs::metadata(mirror.join("download/example.com/dep/@v/v1.0.0.zip")).unwrap().modified().unwrap(), zip);
    assert_eq!(fs::read_to_string(mirror.join("download/example.com/dep/@v/list")).unwrap(), "v1.0.0\n");
    let summary = take(&killed, &mirror, None).unwrap();
    assert_eq!((summary.new_files, summary.known_files), (0, 3));
}

#[test]
fn what_was_lost_of_a_bundle_comes_back_with_the_same_bundle() {
    let place = Place::new();
    let versions = ["v1.0.0", "v1.1.0"].map(|version| module(&format!("example.com/dep@{version}"), "package p\n"));
    let bundle = place.bundle("bundle", &versions);
    let mirror = place.mirror();
    take(&bundle, &mirror, None).unwrap();
    let whole = files(&mirror);
    let ledger = mirror.join("ledger/example.com/dep/@sums");
    let text = fs::read_to_string(&ledger).unwrap();
    let damages: [(&str, &dyn Fn()); 6] = [
        ("a zip", &|| fs::remove_file(mirror.join("download/example.com/dep/@v/v1.0.0.zip")).unwrap()),
        ("a module", &|| fs::remove_dir_all(mirror.join("download/example.com/dep")).unwrap()),
        ("the ledger", &|| fs::remove_file(&ledger).unwrap()),
        ("half of the ledger", &|| put(&ledger, &text[..text.find('\n').unwrap() + 1])),
        ("done", &|| {
            let done = whole.iter().find(|(path, _)| path.ends_with("done")).unwrap();
            put(&done.0, "");
            fs::remove_file(mirror.join("journal.jsonl")).unwrap();
        }),
        ("a directory at the place of a temporary file", &|| {
            fs::create_dir_all(mirror.join("staging/state/x")).unwrap();
            fs::remove_file(mirror.join("ledger/@state.json")).unwrap();
        }),
    ];
    for (what, damage) in damages {
        damage();
        take(&bundle, &mirror, None).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let now = files(&mirror);
        let differing: Vec<_> = whole.iter().filter(|file| !now.contains(file)).map(|(path, _)| path).collect();
        assert!(
            differing.is_empty() || differing.iter().all(|path| path.ends_with("@index.jsonl")),
            "{what}: {differing:?}"
        );
        assert!(take(&bundle, &mirror, None).unwrap().already, "{what}");
    }
}

fn put(path: &Path, text: &str) {
    fs::remove_file(path).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn a_version_that_its_ledger_lost_stays_in_the_list_and_is_told() {
    let place = Place::new();
    let first = place.bundle("first", &[module("example.com/dep@v1.0.0", "package p\n")]);
    let second = place.bundle("second", &[module("example.com/dep@v1.1.0", "package p\n")]);
    let mirror = place.mirror();
    take(&first, &mirror, None).unwrap();
    fs::remove_file(mirror.join("ledger/example.com/dep/@sums")).unwrap();
    let summary = take(&second, &mirror, None).unwrap();
    assert_eq!(fs::read_to_string(mirror.join("download/example.com/dep/@v/list")).unwrap(), "v1.0.0\nv1.1.0\n");
    assert!(summary.damaged[0].contains("example.com/dep@v1.0.0: is published and listed"), "{:?}", summary.damaged);
    take(&first, &mirror, None).unwrap();
    assert_eq!(fs::read_to_string(mirror.join("ledger/example.com/dep/@sums")).unwrap().lines().count(), 6);
}

#[test]
fn a_published_file_of_another_size_than_the_ledger_says_stops_the_import() {
    let place = Place::new();
    let first = place.bundle("first", &[module("example.com/dep@v1.0.0", "package p\n")]);
    let mirror = place.mirror();
    take(&first, &mirror, None).unwrap();
    put(&mirror.join("download/example.com/dep/@v/v1.0.0.zip"), "shortened");
    let error = take(&first, &mirror, None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::MirrorDamaged);
    assert!(error.message.contains("v1.0.0.zip: has 9 bytes; the ledger says "), "{}", error.message);
}

#[test]
fn a_journal_that_is_lost_or_cut_in_a_letter_is_made_again_in_its_order() {
    let place = Place::new();
    let mirror = place.mirror();
    // All in the same second: only their chain tells the order.
    for number in 0..6 {
        let bundle =
            place.bundle(&format!("b{number}"), &[module(&format!("example.com/m@v1.{number}.0"), "package m\n")]);
        take(&bundle, &mirror, None).unwrap();
    }
    let journal = mirror.join("journal.jsonl");
    let whole = fs::read(&journal).unwrap();
    let again = place.directory.path().join("b3");
    fs::remove_file(&journal).unwrap();
    take(&again, &mirror, None).unwrap();
    assert_eq!(fs::read(&journal).unwrap(), whole);
    // A name with letters of two bytes, cut in the middle of one.
    let cut = [&whole[..whole.len() - 20], b"\xc3"].concat();
    fs::write(&journal, &cut).unwrap();
    take(&again, &mirror, None).unwrap();
    let lines = fs::read(&journal).unwrap();
    let newest = whole.trim_ascii_end().rsplit(|&byte| byte == b'\n').next().unwrap();
    assert_eq!(lines.trim_ascii_end().rsplit(|&byte| byte == b'\n').next().unwrap(), newest);
}

#[test]
fn a_done_file_that_is_lost_comes_back_as_the_journal_has_it() {
    let place = Place::new();
    let mirror = place.mirror();
    let bundles: Vec<_> = (0..3)
        .map(|number| {
            let bundle =
                place.bundle(&format!("b{number}"), &[module(&format!("example.com/m@v1.{number}.0"), "package m\n")]);
            (take(&bundle, &mirror, None).unwrap().sha256, bundle)
        })
        .collect();
    let journal = mirror.join("journal.jsonl");
    let whole = fs::read_to_string(&journal).unwrap();
    for (id, bundle) in &bundles {
        let done = mirror.join("bundles").join(id).join("done");
        let text = fs::read_to_string(&done).unwrap();
        put(&done, "");
        take(bundle, &mirror, None).unwrap();
        assert_eq!(fs::read_to_string(&done).unwrap(), text, "{}", bundle.display());
        assert_eq!(fs::read_to_string(&journal).unwrap(), whole, "{}", bundle.display());
    }
    // The chain is still one: the journal is made again from it.
    fs::remove_file(&journal).unwrap();
    assert!(take(&bundles[0].1, &mirror, None).unwrap().already);
    assert_eq!(fs::read_to_string(&journal).unwrap(), whole);
}

/// The end of a zip is kept while it passes, up to 8 MiB; one with more is proved again from its copy.
#[test]
fn a_zip_with_a_large_directory_is_taken_and_a_bad_one_is_not() {
    let place = Place::new();
    let names = (0..40_000).map(|number| format!("{}/{number:0>100}.go", "d".repeat(100)));
    let large = names.fold(module("example.com/large@v1.0.0", "package p\n"), |module, name| module.file(&name, ""));
    let bundle = place.bundle("bundle", &[large]);
    let zip = "download/example.com/large/@v/v1.0.0.zip";
    let bytes = fs::read(bundle.join(zip)).unwrap();
    let end: [u8; 4] = bytes[bytes.len() - 10..bytes.len() - 6].try_into().unwrap();
    assert!(u32::from_le_bytes(end) > 8 << 20, "the directory has {} bytes", u32::from_le_bytes(end));
    take(&bundle, &place.mirror(), None).unwrap();
    assert!(fs::read(place.mirror().join(zip)).unwrap() == bytes);

    fs::remove_dir_all(place.mirror()).unwrap();
    for at in [100, bytes.len() - 100] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(bundle.join(zip), changed).unwrap();
        assert_eq!(take(&bundle, &place.mirror(), None).unwrap_err().kind, ErrorKind::BundleInvalid, "{at}");
    }
    assert!(!place.mirror().join("download/example.com").exists());
}

/// What is wrong with a zip is no fault of the medium that brings it.
#[test]
fn a_zip_that_points_past_its_end_is_bad_and_not_unreadable() {
    let place = Place::new();
    // One that is written past the page cache, and one that is not.
    for size in [10, 600_000] {
        let text: String = (0..size).map(|at: u32| char::from(b'a' + (at.wrapping_mul(at) >> 7) as u8 % 26)).collect();
        let name = format!("bundle-{size}");
        let bundle = place.bundle(&name, &[module("example.com/dep@v1.0.0", &format!("package p // {text}\n"))]);
        let zip = bundle.join("download/example.com/dep/@v/v1.0.0.zip");
        let bytes = fs::read(&zip).unwrap();
        // The length of the comment at its very end, and the length of the first name.
        for (at, from) in [(bytes.len() - 2, 1), (26, 0xff)] {
            let mut changed = bytes.clone();
            changed[at] = from;
            fs::write(&zip, changed).unwrap();
            modferry_harness::reseal::reseal(&bundle, modferry_harness::reseal::Reseal::Everything).unwrap();
            let error = take(&bundle, &place.mirror(), None).unwrap_err();
            assert_eq!(error.kind, ErrorKind::BundleInvalid, "{size} {at}: {error:?}");
            let staging: Vec<_> = fs::read_dir(place.mirror().join("staging")).unwrap().collect();
            assert!(staging.is_empty(), "{staging:?}");
        }
    }
}

#[test]
fn evidence_that_is_lost_comes_back_with_its_bundle() {
    let place = Place::new();
    let mirror = place.mirror();
    let bundle = place.bundle("bundle", &[module("example.com/m@v1.0.0", "package m\n")]);
    let id = take(&bundle, &mirror, None).unwrap().sha256;
    let evidence = mirror.join("bundles").join(id);
    let whole = files(&mirror);
    for name in ["BUNDLE", "bundle.json", "SHA256SUMS", "SIZES", "REQUIRES"] {
        fs::remove_file(evidence.join(name)).unwrap();
        take(&bundle, &mirror, None).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(files(&mirror), whole, "{name}");
    }
    // In other bytes it is nothing to write over.
    fs::write(evidence.join("SIZES"), "").unwrap();
    fs::remove_file(evidence.join("BUNDLE")).unwrap();
    assert_eq!(take(&bundle, &mirror, None).unwrap_err().kind, ErrorKind::MirrorDamaged);
}

#[test]
fn what_lies_in_staging_counts_only_with_its_hash() {
    let place = Place::new();
    let bundle = place.bundle("bundle", &[module("example.com/dep@v1.0.0", "package p\n")]);
    let zip = "download/example.com/dep/@v/v1.0.0.zip";
    let id = take(&bundle, &place.mirror(), None).unwrap().sha256;
    let whole = files(&place.mirror().join("download"));
    for (staged, original) in
        [(&*format!("tree/{zip}"), zip), ("head/SHA256SUMS", "SHA256SUMS"), ("head/BUNDLE", "BUNDLE")]
    {
        fs::remove_dir_all(place.mirror()).unwrap();
        let staged = place.mirror().join("staging").join(&id).join(staged);
        fs::create_dir_all(staged.parent().unwrap()).unwrap();
        let mut bytes = fs::read(bundle.join(original)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&staged, bytes).unwrap();
        take(&bundle, &place.mirror(), None).unwrap_or_else(|error| panic!("{original}: {error:?}"));
        assert_eq!(files(&place.mirror().join("download")), whole, "{original}");
        let evidence = place.mirror().join("bundles").join(&id);
        for name in ["SHA256SUMS", "BUNDLE"] {
            assert_eq!(fs::read(evidence.join(name)).unwrap(), fs::read(bundle.join(name)).unwrap(), "{original}");
        }
    }
}

#[test]
fn a_ledger_never_grows_beyond_what_every_reader_takes() {
    use modferry_format::ledger::{Ledger, Line, MAX_BYTES};
    use modferry_format::{BundleId, FileSha256};
    let place = Place::new();
    let bundle = place.bundle("bundle", &[module("example.com/dep@v1.0.0", "package p\n")]);
    let mirror = place.mirror();
    take(&bundle, &mirror, None).unwrap();
    let path = mirror.join("ledger/example.com/dep/@sums");
    let mut ledger: Ledger = fs::read_to_string(&path).unwrap().parse().unwrap();
    let line = |number: u64| Line {
        sha256: FileSha256::of(b""),
        size: 1,
        h1: None,
        bundle: BundleId::of(b""),
        name: format!("@v/v9.9.{number:0>200}.mod"),
    };
    let room = MAX_BYTES - ledger.to_string().len() as u64;
    (0..room / (line(0).to_string().len() as u64 + 1)).for_each(|number| _ = ledger.add(line(number)));
    put(&path, &ledger.to_string());
    let next = place.bundle("next", &[module("example.com/dep@v1.1.0", "package p\n")]);
    let error = take(&next, &mirror, None).unwrap_err();
    assert!(error.message.contains("example.com/dep: its ledger would have "), "{}", error.message);
    assert!(!mirror.join("download/example.com/dep/@v/v1.1.0.mod").exists());
}

#[test]
fn a_bundle_is_not_taken_for_a_mirror_and_an_info_from_nowhere_not_for_the_bundle_s() {
    let place = Place::new();
    let bundle = place.bundle("bundle", &[module("example.com/dep@v1.0.0", "package p\n")]);
    let other = place.bundle("other", &[module("example.com/a@v1.0.0", "package a\n")]);
    let before = files(&other);
    assert_eq!(take(&bundle, &other, None).unwrap_err().kind, ErrorKind::Usage);
    assert_eq!(files(&other), before);
    let info = place.mirror().join("download/example.com/dep/@v/v1.0.0.info");
    fs::create_dir_all(info.parent().unwrap()).unwrap();
    fs::create_dir_all(place.mirror().join("ledger")).unwrap();
    fs::write(&info, "garbage").unwrap();
    assert_eq!(take(&bundle, &place.mirror(), None).unwrap_err().kind, ErrorKind::Incident);
    assert_eq!(files(&place.mirror().join("download")).len(), 1);
}

#[test]
fn evidence_that_is_not_the_bundle_s_is_not_committed() {
    let place = Place::new();
    let bundle = place.bundle("bundle", &[module("example.com/dep@v1.0.0", "package p\n")]);
    let id = take(&bundle, &place.mirror(), None).unwrap().sha256;
    fs::remove_dir_all(place.mirror()).unwrap();
    let evidence = place.mirror().join("bundles").join(id);
    fs::create_dir_all(&evidence).unwrap();
    fs::write(evidence.join("SHA256SUMS"), "evil").unwrap();
    assert_eq!(take(&bundle, &place.mirror(), None).unwrap_err().kind, ErrorKind::MirrorDamaged);
    assert_eq!(files(&place.mirror().join("download")).len(), 0);
}

#[test]
fn a_list_that_was_lost_comes_back_with_the_same_bundle() {
    let place = Place::new();
    let bundle = place.bundle("bundle", &[module("example.com/dep@v1.0.0", "package p\n")]);
    take(&bundle, &place.mirror(), None).unwrap();
    let list = place.mirror().join("download/example.com/dep/@v/list");
    fs::remove_file(&list).unwrap();
    assert!(take(&bundle, &place.mirror(), None).unwrap().already);
    assert_eq!(fs::read_to_string(&list).unwrap(), "v1.0.0\n");
}

/// A tar with a bad sector.
struct BadSector(std::io::Cursor<Vec<u8>>, u64);

impl std::io::Read for BadSector {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.1 - self.0.position()).unwrap();
        if left == 0 {
            return Err(std::io::Error::other("bad sector"));
        }
        let len = buffer.len().min(left);
        std::io::Read::read(&mut self.0, &mut buffer[..len])
    }
}

#[test]
fn a_tar_that_cannot_be_read_is_not_called_bad_and_what_was_staged_waits() {
    let place = Place::new();
    let bundle = place.bundle("bundle", &[module("example.com/dep@v1.0.0", "package p\n")]);
    let mut tar = tar::Builder::new(Vec::new());
    let head = ["BUNDLE", "bundle.json", "SHA256SUMS", "SIZES", "REQUIRES", "README.txt"].map(PathBuf::from);
    let content = fs::read_to_string(bundle.join("SHA256SUMS")).unwrap();
    let content: Vec<PathBuf> = content.lines().map(|line| PathBuf::from(line.split_once("  ").unwrap().1)).collect();
    for path in head.iter().chain(&content) {
        tar.append_path_with_name(bundle.join(path), path).unwrap();
    }
    let bytes = tar.into_inner().unwrap();
    let open = |end: usize| {
        let reader = BadSector(std::io::Cursor::new(bytes.clone()), end as u64);
        TarStream::open("disc", Box::new(reader), place.directory.path()).unwrap()
    };
    for end in (0..bytes.len()).step_by(512) {
        let Err(error) = take_from(&open(end), &place.mirror(), None) else { panic!("{end}: imported") };
        assert_eq!(error.kind, ErrorKind::Io, "{end}: {error:?}");
        assert_eq!(error.kind.exit_code(), 2);
    }
    assert!(!place.mirror().join("download/example.com").exists());
    assert!(fs::read_dir(place.mirror().join("staging")).unwrap().count() > 0);
    take(&bundle, &place.mirror(), None).unwrap();
}

#[cfg(unix)]
#[test]
fn a_staged_file_with_another_name_outside_is_copied_anew() {
    let place = Place::new();
    let bundle = place.bundle("bundle", &[module("example.com/dep@v1.0.0", "package p\n")]);
    let id = take(&bundle, &place.mirror(), None).unwrap().sha256;
    fs::remove_dir_all(place.mirror()).unwrap();
    let staged = place.mirror().join("staging").join(id).join("files");
    fs::create_dir_all(&staged).unwrap();
    let zip = "download/example.com/dep/@v/v1.0.0.zip";
    let outside = place.directory.path().join("outside.zip");
    fs::copy(bundle.join(zip), &outside).unwrap();
    fs::hard_link(&outside, staged.join("5")).unwrap();
    take(&bundle, &place.mirror(), None).unwrap();
    fs::write(&outside, "changed").unwrap();
    assert_eq!(fs::read(place.mirror().join(zip)).unwrap(), fs::read(bundle.join(zip)).unwrap());
}

#[cfg(unix)]
#[test]
fn links_and_pipes_in_a_mirror_are_neither_followed_nor_waited_for() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    let bundle = place.bundle("bundle", &[module("example.com/dep@v1.0.0", "package p\n")]);
    let outside = place.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "precious").unwrap();
    let pipe = |path: &Path| {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    };
    let mirror = place.mirror();
    type Plant<'a> = (&'a str, &'a dyn Fn(&Path));
    let plants: [Plant<'_>; 16] = [
        ("lock", &|path| symlink(outside.join("precious"), path).unwrap()),
        ("lock", &pipe),
        ("download", &|path| symlink(&outside, path).unwrap()),
        ("download/example.com", &|path| symlink(&outside, path).unwrap()),
        ("ledger/example.com", &|path| symlink(&outside, path).unwrap()),
        ("download/example.com/dep/@v/v1.0.0.zip", &pipe),
        ("download/example.com/dep/@v/v1.0.0.mod", &|path| symlink(outside.join("precious"), path).unwrap()),
        ("journal.jsonl", &|path| symlink(outside.join("precious"), path).unwrap()),
        ("journal.jsonl", &pipe),
        ("bundles", &|path| symlink(&outside, path).unwrap()),
        ("staging", &|path| symlink(&outside, path).unwrap()),
        ("ledger", &|path| symlink(&outside, path).unwrap()),
        ("ledger/@index.jsonl", &|path| symlink(outside.join("precious"), path).unwrap()),
        ("ledger/@index.jsonl", &pipe),
        ("download/example.com/dep/@v", &|path| symlink(&outside, path).unwrap()),
        ("ledger/example.com/dep/@sums", &|path| symlink(outside.join("precious"), path).unwrap()),
    ];
    for (name, plant) in plants {
        let path = mirror.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        plant(&path);
        if fs::symlink_metadata(mirror.join("staging")).is_err() {
            fs::create_dir(mirror.join("staging")).unwrap();
        }
        let imported = take(&bundle, &mirror, None);
        assert!(imported.is_err(), "{name}: {imported:?}");
        assert_eq!(files(&outside).len(), 1, "{name}: something was written outside");
        assert_eq!(fs::read(outside.join("precious")).unwrap(), b"precious", "{name}");
        fs::remove_dir_all(&mirror).unwrap();
    }
    // What stands in staging under the name of a file is replaced, not written through.
    let id = take(&bundle, &mirror, None).unwrap().sha256;
    fs::remove_dir_all(&mirror).unwrap();
    let tree = mirror.join("staging").join(&id).join("tree/download/example.com");
    fs::create_dir_all(tree.join("dep/@v")).unwrap();
    symlink(outside.join("precious"), tree.join("dep/@v/v1.0.0.zip")).unwrap();
    pipe(&tree.join("dep/@v/v1.0.0.mod"));
    // What is not of the bundle goes nowhere, though directories are moved whole.
    fs::create_dir_all(tree.join("evil/@v")).unwrap();
    let strangers = ["evil/@v/v1.0.0.zip", "dep/@v/v1.1.0.zip"];
    strangers.iter().for_each(|name| fs::write(tree.join(name), "evil").unwrap());
    take(&bundle, &mirror, None).unwrap();
    assert_eq!(fs::read(outside.join("precious")).unwrap(), b"precious");
    assert!(fs::symlink_metadata(mirror.join("download/example.com/dep/@v/v1.0.0.zip")).unwrap().is_file());
    for name in strangers {
        assert!(!mirror.join("download/example.com").join(name).exists(), "{name}");
    }
    // Nor is a link followed in place of a directory.
    fs::remove_dir_all(&mirror).unwrap();
    fs::create_dir_all(tree.parent().unwrap()).unwrap();
    symlink(&outside, &tree).unwrap();
    let error = take(&bundle, &mirror, None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::MirrorDamaged, "{error:?}");
    assert_eq!(files(&outside).len(), 1);
}
