//! The check of a mirror: every damage is found and named, and nothing that an import does is taken for one.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

mod taking;

use modferry::context::{Context, Environment, Interrupt, Silent};
use modferry::durable::{Step, Witness};
use modferry::mirror::is_mirror;
use modferry::verify_mirror::{Depth, Options, Report, verify_mirror};
use modferry_format::BundlePath;
use modferry_format::database::Tile;
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::sumdb::tree;
use modferry_harness::database::{Log, filler};
use modferry_harness::module::Module;
use modferry_harness::synthetic_bundle;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use taking::take;
use tempfile::TempDir;

fn verify(mirror: &Path, depth: Depth) -> Report {
    verify_by(mirror, depth, Vec::new())
}

fn verify_by(mirror: &Path, depth: Depth, database_keys: Vec<VerifierKey>) -> Report {
    let context = Context {
        environment: Environment::default(),
        now: "2024-01-02T03:04:05Z".parse().unwrap(),
        jobs: 2,
        requests: None,
        progress: &Silent,
        interrupt: Interrupt::default(),
    };
    let options = Options { mirror: mirror.to_owned(), depth, database_keys };
    verify_mirror(&options, &context).unwrap()
}

/// What is wrong, a line each: subject, kind, detail.
fn findings(mirror: &Path, depth: Depth) -> Vec<String> {
    lines(&verify(mirror, depth))
}

fn lines(report: &Report) -> Vec<String> {
    assert_eq!(report.ok, report.findings.is_empty());
    let line = |finding: &modferry::verify_mirror::MirrorFinding| {
        let kind = serde_json::to_value(finding.kind).unwrap();
        format!("{} [{}] {}", finding.subject, kind.as_str().unwrap(), finding.detail)
    };
    report.findings.iter().map(line).collect()
}

/// Two bundles, the second with a new version of a module of the first.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let module = |text: &str| {
            let go_mod = format!("module {}\n\ngo 1.21\n", text.split('@').next().unwrap());
            Module::new(text).unwrap().file("go.mod", go_mod).file("p.go", "package p\n")
        };
        let (old, new) = (module("example.com/Common@v1.0.0"), module("example.com/Common@v1.1.0"));
        let pseudo = module("example.com/a/pseudo@v0.0.0-20240102030405-abcdefabcdef");
        let path = |name: &str| directory.path().join(name);
        synthetic_bundle::write(&path("first"), &[old.clone(), module("example.com/a@v1.0.0"), pseudo]).unwrap();
        synthetic_bundle::write(&path("second"), &[old, new, module("example.com/b@v0.1.0")]).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn mirror(&self) -> PathBuf {
        self.path("mirror")
    }

    /// Both bundles, imported; gives their ids.
    fn imported(&self) -> [String; 2] {
        ["first", "second"].map(|name| take(&self.path(name), &self.mirror(), None).unwrap().sha256)
    }
}

/// Writes a file of the mirror anew; published ones cannot be written into.
fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    let _ = fs::remove_file(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    put(path, bytes);
}

fn replace(path: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(old), "{old:?} is not in {text:?}");
    put(path, text.replacen(old, new, 1));
}

#[test]
fn a_mirror_as_imports_leave_it_is_good() {
    let place = Place::new();
    place.imported();
    for depth in [Depth::Names, Depth::Data] {
        assert_eq!(findings(&place.mirror(), depth), Vec::<String>::new());
    }
    let report = verify(&place.mirror(), Depth::Data);
    assert_eq!((report.bundles, report.under_way, report.versions, report.files), (2, 0, 5, 15));
    assert_eq!(report.read_bytes, report.bytes);
    assert_eq!(verify(&place.mirror(), Depth::Names).read_bytes, 0);
}

#[test]
fn a_mirror_without_anything_in_it_is_good() {
    let place = Place::new();
    for name in ["download", "ledger", "bundles"] {
        fs::create_dir_all(place.mirror().join(name)).unwrap();
    }
    assert_eq!(findings(&place.mirror(), Depth::Data), Vec::<String>::new());
}

/// Checks the mirror before every step of an import, with its lock held.
struct Looker {
    mirror: PathBuf,
    looks: AtomicU64,
}

impl Witness for Looker {
    fn before(&self, step: &Step) -> io::Result<()> {
        if is_mirror(&self.mirror) {
            self.looks.fetch_add(1, Ordering::Relaxed);
            assert_eq!(findings(&self.mirror, Depth::Data), Vec::<String>::new(), "before {step:?}");
        }
        Ok(())
    }
}

#[test]
fn an_import_under_way_is_no_damage_at_any_step() {
    let place = Place::new();
    let looker = Looker { mirror: place.mirror(), looks: AtomicU64::default() };
    for bundle in ["first", "second"] {
        take(&place.path(bundle), &place.mirror(), Some(&looker)).unwrap();
    }
    assert!(looker.looks.into_inner() > 80);
}

/// A tile comes after those above it, whether whole directories are moved or each file by itself.
#[test]
fn tiles_of_an_import_under_way_hang_in_no_air() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    let module = |name: &str| {
        let go_mod = format!("module example.com/{name}\n");
        Module::new(&format!("example.com/{name}@v1.0.0")).unwrap().file("go.mod", go_mod).file("p.go", "package p\n")
    };
    let mut log = Log::default();
    log.grow(300, "");
    log.add(&module("early")).unwrap();
    // Below the second tile of the level above, which is none of the last ones: the other bundle does not have it.
    log.grow(66_000, "");
    log.add(&module("late")).unwrap();
    log.grow(132_000, "");
    synthetic_bundle::write_with_log(&place("first"), &[module("early")], &log, 132_000, &[]).unwrap();
    synthetic_bundle::write_with_log(&place("second"), &[module("late")], &log, 132_000, &[]).unwrap();
    let (mirror, mut is_over) = (place("mirror"), false);
    for at in 0.. {
        let _ = fs::remove_dir_all(&mirror);
        take(&place("first"), &mirror, None).unwrap();
        let stopper = Stopper { at, seen: AtomicU64::default() };
        is_over |= take(&place("second"), &mirror, Some(&stopper)).is_ok();
        for finding in findings(&mirror, Depth::Names) {
            assert!(finding.contains("has no line of bundle"), "after {at} steps: {finding}");
        }
        if is_over {
            assert!(at > 40);
            break;
        }
        // The second try goes on one file after the other.
        if at % 9 == 8 {
            let looker = Looker { mirror: mirror.clone(), looks: AtomicU64::default() };
            take(&place("second"), &mirror, Some(&looker)).unwrap();
        }
    }
}

/// Stops an import for good.
struct Stopper {
    at: u64,
    seen: AtomicU64,
}

impl Witness for Stopper {
    fn before(&self, _: &Step) -> io::Result<()> {
        if self.seen.fetch_add(1, Ordering::Relaxed) < self.at { Ok(()) } else { Err(io::Error::other("stopped")) }
    }
}

#[test]
fn an_import_that_was_killed_is_no_damage_but_for_a_journal_without_its_line() {
    let place = Place::new();
    for at in 0.. {
        let _ = fs::remove_dir_all(place.mirror());
        take(&place.path("first"), &place.mirror(), None).unwrap();
        let stopper = Stopper { at, seen: AtomicU64::default() };
        let is_over = take(&place.path("second"), &place.mirror(), Some(&stopper)).is_ok();
        for finding in findings(&place.mirror(), Depth::Data) {
            assert!(finding.contains("has no line of bundle"), "after {at} steps: {finding}");
        }
        // And again in the middle of the second try.
        let looker = Looker { mirror: place.mirror(), looks: AtomicU64::default() };
        if at % 7 == 0 {
            take(&place.path("second"), &place.mirror(), Some(&looker)).unwrap();
        }
        if is_over {
            assert!(at > 40);
            return;
        }
    }
}

/// Where, what is done to it, and the findings that come of it: their beginnings.
type Damage<'a> = (&'a str, &'a dyn Fn(&Path), Depth, &'a [&'a str]);

#[test]
fn every_damage_is_found_and_nothing_else_is_told() {
    const COMMON: &str = "download/example.com/!common/@v";
    let place = Place::new();
    let [first, second] = place.imported();
    let whole = place.path("whole");
    fs::rename(place.mirror(), &whole).unwrap();
    let evidence = |file: &str| format!("bundles/{first}/{file}");
    let (bundle, header, done) = (evidence("BUNDLE"), evidence("bundle.json"), evidence("done"));
    let (names, data) = (Depth::Names, Depth::Data);
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let done_of_second = fs::read(whole.join("bundles").join(&second).join("done")).unwrap();
    let zip = format!("{COMMON}/v1.0.0.zip");
    let at_zip = |rest: &str| format!("{zip} {rest}");
    let sums = "ledger/example.com/!common/@sums";
    let damages: &[Damage<'_>] = &[
        (&zip, &|path| flip(path, 60), data, &[&at_zip("[hash] has sha256 ")]),
        (&zip, &|path| flip(path, 60), names, &[]),
        (
            &zip,
            &|path| put(path, &fs::read(path).unwrap()[..99]),
            names,
            &[&at_zip("[size] has 99 bytes, its ledger states ")],
        ),
        (&zip, &remove, names, &[&at_zip("[missing] missing; bundle ")]),
        (
            "download/example.com/a/@v/v1.0.0.mod",
            &|path| flip(path, 3),
            data,
            &["download/example.com/a/@v/v1.0.0.mod [hash]"],
        ),
        (
            "download/example.com/a/@v/v1.0.0.info",
            &|path| flip(path, 3),
            data,
            &[
                "download/example.com/a/@latest [latest] is not the info of v1.0.0",
                "download/example.com/a/@v/v1.0.0.info [hash]",
            ],
        ),
        (
            &format!("{COMMON}/v1.2.0.zip"),
            &|path| put(path, "x"),
            names,
            &["download/example.com/!common/@v/v1.2.0.zip [extra] is in no ledger"],
        ),
        (
            &format!("{COMMON}/.tmp1234"),
            &|path| put(path, "x"),
            names,
            &["download/example.com/!common/@v/.tmp1234 [extra] no file of a mirror has this name"],
        ),
        (
            &format!("{COMMON}/main.info"),
            &|path| put(path, "x"),
            names,
            &["download/example.com/!common/@v/main.info [info] is not the info of"],
        ),
        (
            &format!("{COMMON}/deep/x"),
            &|path| put(path, "x"),
            names,
            &["download/example.com/!common/@v/deep [not-a-file] is a directory"],
        ),
        ("download/notes.txt", &|path| put(path, "x"), names, &["download/notes.txt [extra]"]),
        ("download/nodot/@v/v1.0.0.mod", &|path| put(path, "x"), names, &["download/nodot/@v [extra] is of no module"]),
        ("download/sumdb/notes", &|path| put(path, "x"), names, &["download/sumdb/notes [extra]"]),
        (
            "download/sumdb/sum.example.com/latest",
            &|path| put(path, "x"),
            names,
            &["ledger/sumdb/sum.example.com/@heads [tree-head] missing"],
        ),
        (
            "ledger/sumdb/sum.example.com/@heads",
            &|path| put(path, "x"),
            names,
            &["ledger/sumdb/sum.example.com/@heads [database-key] no bundle states the key"],
        ),
        ("ledger/example.com/notes", &|path| put(path, "x"), names, &["ledger/example.com/notes [extra]"]),
        ("bundles/notes", &|path| put(path, "x"), names, &["bundles/notes [extra]"]),
        ("bundles/notes/x", &|path| put(path, "x"), names, &["bundles/notes [extra] no directory"]),
        (&evidence("notes"), &|path| put(path, "x"), names, &[&format!("{} [extra]", evidence("notes"))]),
        (
            &evidence("extra/sbom/x"),
            &|path| put(path, "x"),
            names,
            &[&format!("{} [extra] is not in the SHA256SUMS", evidence("extra/sbom/x"))],
        ),
        (
            &format!("{COMMON}/list"),
            &|path| put(path, "v1.0.0\n"),
            names,
            &["download/example.com/!common/@v/list [list] does not name v1.1.0"],
        ),
        (
            &format!("{COMMON}/list"),
            &|path| put(path, "v1.0.0\nv1.1.0\nv1.9.0\n"),
            names,
            &["download/example.com/!common/@v/list [list] names v1.9.0"],
        ),
        (
            &format!("{COMMON}/list"),
            &|path| put(path, "v1.1.0\nv1.0.0\n"),
            names,
            &["download/example.com/!common/@v/list [list] is not in the spelling"],
        ),
        (&format!("{COMMON}/list"), &remove, names, &["download/example.com/!common/@v/list [list] missing"]),
        (
            "download/example.com/a/pseudo/@v/list",
            &|path| put(path, ""),
            names,
            &["download/example.com/a/pseudo/@v/list [list] is not in the spelling"],
        ),
        (
            "download/example.com/!common/@latest",
            &remove,
            names,
            &["download/example.com/!common/@latest [latest] missing"],
        ),
        (
            "download/example.com/!common/@latest",
            &|path| replace(path, "v1.1.0", "v1.0.0"),
            names,
            &["download/example.com/!common/@latest [latest] is of v1.0.0, should be of v1.1.0"],
        ),
        (
            "download/example.com/!common/@latest",
            &|path| put(path, "x"),
            names,
            &["download/example.com/!common/@latest [latest]"],
        ),
        (sums, &|path| replace(path, ".zip\n", ".zip \n"), names, &["ledger/example.com/!common/@sums [ledger]"]),
        (
            sums,
            &|path| replace(path, &first, &"0".repeat(64)),
            names,
            &["ledger/example.com/!common/@sums [evidence] names bundle 0000"],
        ),
        (sums, &|path| forge_h1(path), data, &["download/example.com/!common/@v/v1.0.0.mod [ledger] has h1:"]),
        (
            sums,
            &|path| replace(path, " - ", " h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= "),
            names,
            &["ledger/example.com/!common/@sums [ledger] the line of @v/v1.0.0.info has an h1"],
        ),
        ("journal.jsonl", &remove, names, &["journal.jsonl [missing]"]),
        (
            "journal.jsonl",
            &|path| put(path, &fs::read(path).unwrap()[..fs::read(path).unwrap().len() - 30]),
            names,
            &["journal.jsonl [journal] has no line of bundle "],
        ),
        (
            "journal.jsonl",
            &|path| replace(path, "test", "nobody"),
            names,
            &[
                "journal.jsonl [journal] line 2: does not name the line before it",
                "journal.jsonl [journal] the line of bundle ",
            ],
        ),
        (
            "journal.jsonl",
            &|path| put(path, [&b"x\n"[..], &fs::read(path).unwrap()].concat()),
            names,
            &["journal.jsonl [journal] line 1: is no line of a journal"],
        ),
        (&bundle, &remove, names, &[&format!("{bundle} [head-missing]")]),
        (&bundle, &|path| flip(path, 0), names, &[&format!("{bundle} [head-hash]")]),
        (&header, &|path| flip(path, 40), names, &[&format!("{header} [head-hash] has sha256 ")]),
        (&header, &remove, names, &[&format!("{header} [head-missing]")]),
        (&done, &remove, names, &[&format!("{done} [evidence] missing, though the journal")]),
        (
            &done,
            &|path| put(path, &done_of_second),
            names,
            &[&format!("{done} [evidence] is not the line of this bundle")],
        ),
    ];
    for (path, damage, depth, expected) in damages {
        let _ = fs::remove_dir_all(place.mirror());
        copy(&whole, &place.mirror());
        damage(&place.mirror().join(path));
        let found = findings(&place.mirror(), *depth);
        assert_eq!(found.len(), expected.len(), "{path}: {found:#?}");
        for (found, expected) in found.iter().zip(*expected) {
            assert!(found.starts_with(expected), "{path}: {found:?} and not {expected:?}");
        }
    }
}

/// A mirror with a database of 70,000 records, of which it has many more than are proven together.
struct Database {
    place: Place,
    log: Log,
}

impl Database {
    const SIZE: u64 = 70_000;
    const EARLIER: u64 = 500;
    const LOOKUPS: u64 = 3500;

    fn new() -> Self {
        let place = Place::new();
        let [bundle, _] = place.imported();
        let mut log = Log::default();
        log.grow(Self::SIZE, "");
        let database = Self { place, log };
        for number in 0..Self::LOOKUPS {
            let id = number * (Self::SIZE / Self::LOOKUPS);
            put(&database.lookup(id), database.log.lookup(id, Self::SIZE));
        }
        for tile in database.log.tiles().into_iter().chain(tree::own(Self::EARLIER, Self::SIZE)) {
            put(&database.tile(tile), database.log.tile(tile).unwrap());
        }
        let name: modferry_format::database::DatabaseName = database.log.name().parse().unwrap();
        let path = |path: BundlePath| database.place.mirror().join(path.to_string());
        put(&path(BundlePath::Supported(name.clone())), "ok\n");
        put(&path(BundlePath::Head(name)), database.log.note(Self::SIZE));
        let heads = [Self::EARLIER, Self::SIZE].map(|size| {
            let root = database.log.head(size).unwrap().root();
            let note = serde_json::json!(database.log.note(size));
            format!("{{\"size\":{size},\"root\":\"{root}\",\"bundle\":\"{bundle}\",\"note\":{note}}}\n")
        });
        put(&database.place.mirror().join("ledger/sumdb").join(database.log.name()).join("@heads"), heads.concat());
        database
    }

    fn lookup(&self, id: u64) -> PathBuf {
        let path = BundlePath::Lookup(self.log.name().parse().unwrap(), filler(id));
        self.place.mirror().join(path.to_string())
    }

    fn tile(&self, tile: Tile) -> PathBuf {
        let path = BundlePath::Tile(self.log.name().parse().unwrap(), tile);
        self.place.mirror().join(path.to_string())
    }

    fn findings(&self) -> (Vec<String>, u64) {
        let report = verify_by(&self.place.mirror(), Depth::Names, vec![self.log.verifier().unwrap()]);
        let prefix = format!("download/sumdb/{}/", self.log.name());
        let lines = lines(&report).into_iter().map(|line| line.replacen(&prefix, "", 1)).collect();
        (lines, report.records)
    }
}

#[test]
fn all_that_is_wrong_with_a_database_is_told_once_and_the_rest_is_proven() {
    let database = Database::new();
    assert_eq!(database.findings(), (Vec::new(), Database::LOOKUPS));
    let tile = |level, index, width| database.tile(Tile::new(level, index, width).unwrap());
    let full = |level, index| tile(level, index, Tile::FULL_WIDTH);
    // Three tiles of leaves, each with some records; two records; a file that nothing is built on; one that is longer,
    // one that is gone, one of another place.
    for index in [3, 100, 200] {
        flip(&full(0, index), 77);
    }
    for id in [20_000, 40_000] {
        replace(&database.lookup(id), "h1:", "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let text = fs::read_to_string(database.lookup(id)).unwrap();
        let start = text.find("AAA=").unwrap() + 4;
        put(&database.lookup(id), format!("{}{}", &text[..start], &text[start + text[start..].find('\n').unwrap()..]));
    }
    put(&tile(0, 150, 9), [7; 9 * 32]);
    put(&tile(0, 151, 9), &fs::read(full(0, 151)).unwrap()[..9 * 32]);
    put(&full(0, 160), [fs::read(full(0, 160)).unwrap(), vec![0]].concat());
    fs::remove_file(full(0, 170)).unwrap();
    put(&full(0, 900), fs::read(full(0, 30)).unwrap());
    let (found, records) = database.findings();
    let expected = [
        "lookup/filler.example.com/".to_owned(),
        "lookup/filler.example.com/".to_owned(),
        "tile/8/0/003 [tile] tile/8/0/003: has not the hash that tile/8/1/000 states".to_owned(),
        "tile/8/0/100 [tile]".to_owned(),
        "tile/8/0/150.p/9 [tile] tile/8/0/150.p/9: does not begin as tile/8/0/150".to_owned(),
        "tile/8/0/160 [tile] tile/8/0/160: has 8193 bytes instead of 8192".to_owned(),
        "tile/8/0/170 [tile] tile/8/0/170: not there".to_owned(),
        "tile/8/0/200 [tile]".to_owned(),
        "tile/8/0/900 [tile] tile/8/0/900: not a part of the tree of 70000 records".to_owned(),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(&expected[..]).skip(2) {
        assert!(found.starts_with(expected), "{found:?} and not {expected:?}");
    }
    assert!(found[..2].iter().all(|found| found.contains("[lookup] lookup of ")), "{found:?}");
    // All but the two, and those in the five tiles.
    let in_tiles =
        (0..Database::LOOKUPS).filter(|number| [3, 100, 160, 170, 200].contains(&(number * 20 / 256))).count();
    assert_eq!(records, Database::LOOKUPS - 2 - in_tiles as u64);
}

#[test]
fn without_the_frontier_or_the_right_key_nothing_of_a_database_is_called_proven() {
    let database = Database::new();
    flip(&database.tile(Tile::new(0, Database::SIZE / 256, (Database::SIZE % 256) as u16).unwrap()), 5);
    let (found, records) = database.findings();
    assert_eq!((found.len(), records), (1, 0), "{found:?}");
    assert!(found[0].starts_with("latest [tile] frontier of the tree of 70000 records: does not make"), "{found:?}");
    let other = Log::new(database.log.name(), 9).verifier().unwrap();
    let report = verify_by(&database.place.mirror(), Depth::Names, vec![other]);
    let found = lines(&report);
    assert_eq!((found.len(), report.records), (1, 0), "{found:?}");
    assert!(found[0].starts_with("ledger/sumdb/sum.example.com/log/@heads [tree-head]"), "{found:?}");
}

/// Gives the first h1 of a ledger another value.
fn forge_h1(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let start = text.find("h1:").unwrap();
    let end = start + text[start..].find(' ').unwrap();
    put(path, format!("{}h1:{}={}", &text[..start], "A".repeat(43), &text[end..]));
}

fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let place = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(&place).unwrap();
        } else {
            fs::copy(entry.path(), &place).unwrap();
        }
    }
}
