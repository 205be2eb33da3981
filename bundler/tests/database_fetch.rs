//! The part of a checksum database that proves a set of versions is fetched, whatever the server does; and from one that
//! does not tell the truth nothing is.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

mod fetching;

use fetching::{Fetch, SIZE, log, some, tiles};
use modferry::error::ErrorKind;
use modferry::go_command::file_url;
use modferry_format::database::Tile;
use modferry_format::sumdb::client;
use modferry_format::sumdb::head::Head;
use modferry_harness::database::server::{Misbehaviour, Server, old_size};
use modferry_harness::database::{Log, filler};
use modferry_harness::module::Module;
use modferry_harness::no_network::NO_HTTP_FOR_GO;
use modferry_harness::upstream::Upstream;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// The log of most tests, made once.
static LOG: LazyLock<Arc<Log>> = LazyLock::new(|| Arc::new(log(SIZE)));

fn serve(bad: Misbehaviour) -> Server {
    Server::start(Arc::clone(&LOG), bad).unwrap()
}

/// The same log up to 40,000 records, and then another one.
fn forked(size: u64) -> Arc<Log> {
    let mut fork = log(40_000);
    fork.grow(size, "fork");
    Arc::new(fork)
}

/// Every path was answered with 200 once at most.
fn nothing_twice(server: &Server) {
    let twice: Vec<_> = server.answered().into_iter().filter(|(_, times)| *times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn exactly_the_slice_is_asked_for_and_laid_out() {
    let server = serve(Misbehaviour::default());
    let fetch = Fetch::direct(&server.gosumdb());
    let slice = fetch.whole(server.log());
    assert!(slice.served.is_empty() && slice.absent.is_empty());
    nothing_twice(&server);
    let requests = server.log_of_requests();
    assert_eq!(requests.len() as u64, slice.tiles + 40 + 1);
    assert_eq!(slice.requests, requests.len() as u64);
    assert!(fetch.notes.all().is_empty());
}

#[test]
fn real_modules_have_their_own_hashes_and_raw_names() {
    let mut log = log(1000);
    let module = Module::new("github.com/BurntSushi/toml@v1.0.0+incompatible").unwrap().file("a.go", "package a\n");
    let id = log.add(&module).unwrap();
    log.grow(1500, "");
    let server = Server::start(log, Misbehaviour::default()).unwrap();
    let mut fetch = Fetch::direct(&server.gosumdb());
    fetch.versions = BTreeSet::from([module.version().clone()]);
    let slice = fetch.whole(server.log());
    assert_eq!(slice.records[module.version()].id, id);
    let asked = server.answered();
    assert!(asked.contains_key("/lookup/github.com/!burnt!sushi/toml@v1.0.0+incompatible"), "{asked:?}");
}

#[test]
fn no_versions_are_a_head_and_its_frontier() {
    let server = serve(Misbehaviour::default());
    let mut fetch = Fetch::direct(&server.gosumdb());
    fetch.versions.clear();
    assert_eq!(fetch.whole(server.log()).tiles, 3);
}

#[test]
fn heads_of_answers_and_of_the_request_are_served() {
    let server = serve(Misbehaviour { has_old_heads: true, ..Misbehaviour::default() });
    let mut fetch = Fetch::direct(&server.gosumdb());
    fetch.heads = [1, 300, 65_536, SIZE].map(|size| server.log().head(size).unwrap()).to_vec();
    let slice = fetch.whole(server.log());
    let met = fetch.versions.iter().map(|version| old_size(server.log().id(version).unwrap(), SIZE));
    let served: BTreeSet<u64> = met.chain([1, 300, 65_536]).collect();
    assert_eq!(slice.served.iter().map(Head::size).collect::<BTreeSet<_>>(), served);
    assert!(served.len() > 40);
    nothing_twice(&server);
}

/// Whoever has stored a head of the range finds everything; whoever has an earlier one does not.
#[test]
fn a_range_of_heads_is_served() {
    let server = serve(Misbehaviour::default());
    let mut fetch = Fetch::direct(&server.gosumdb());
    fetch.since = Some(60_000);
    let slice = fetch.run().unwrap();
    let laid_out = tiles(&fetch.directory(server.log()));
    let lookups: Vec<(u64, u64)> = slice.records.values().map(|record| (record.id, SIZE)).collect();
    let missing = |size| client::reads(&[size].into(), &lookups, |tile| laid_out.contains(&tile)).unwrap().missing;
    for size in [60_000, 60_001, 60_159, 60_160, 65_535, 65_536, 65_537, 66_000, SIZE - 1, SIZE] {
        assert_eq!(missing(size), BTreeSet::new(), "{size}");
    }
    assert!(!missing(50_000).is_empty());
}

/// What the base has is neither asked for nor laid out, and all of it is proven.
#[test]
fn what_the_base_has_is_not_asked_for_again() {
    let server = serve(Misbehaviour::default());
    let base = Fetch::direct(&server.gosumdb());
    let before = base.whole(server.log());
    let cache = tempfile::tempdir().unwrap();
    let place = cache.path().join("sumdb").join(server.log().name());
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::rename(base.directory(server.log()), &place).unwrap();

    let again = serve(Misbehaviour::default());
    let mut fetch = Fetch::direct(&again.gosumdb());
    let new = [filler(5_555), filler(44_444)];
    fetch.versions.extend(new.iter().cloned());
    fetch.known = some();
    fetch.held = tiles(&place);
    fetch.heads = vec![before.head.clone()];
    fetch.caches = vec![cache.path().to_owned()];
    let slice = fetch.run().unwrap();
    let laid_out = tiles(&fetch.directory(again.log()));
    assert!(laid_out.is_disjoint(&fetch.held) && !laid_out.is_empty());
    assert!(slice.held > 0 && slice.tiles == laid_out.len() as u64);
    let lookups = |version: &modferry_format::ModuleVersion| format!("/lookup/{version}");
    let expected: BTreeSet<String> = new
        .iter()
        .map(lookups)
        .chain(laid_out.iter().map(|tile| format!("/{tile}")))
        .chain(["/latest".to_owned()])
        .collect();
    assert_eq!(again.answered().into_keys().collect::<BTreeSet<_>>(), expected);
    // A tile of the base that is not good is asked for, and the proof is made by what came: one of the frontier.
    let held = fetch.held.iter().next_back().unwrap().to_string();
    let mut bytes = fs::read(place.join(&held)).unwrap();
    bytes[7] ^= 1;
    fs::write(place.join(&held), bytes).unwrap();
    fs::remove_dir_all(fetch.directory(again.log())).unwrap();
    fetch.run().unwrap();
    assert!(again.answered().contains_key(&format!("/{held}")));
}

#[test]
fn of_very_many_heads_the_newest_are_served() {
    let server = serve(Misbehaviour { has_old_heads: true, ..Misbehaviour::default() });
    let mut fetch = Fetch::direct(&server.gosumdb());
    fetch.versions = (0..650).map(|n| filler(n * 100)).collect();
    fetch.heads = vec![server.log().head(2).unwrap()];
    let slice = fetch.whole(server.log());
    assert_eq!(slice.served.len(), modferry::database::MAX_MET_HEADS + 1);
    assert_eq!(slice.served[0].size(), 2);
    assert!(fetch.notes.all()[0].contains("older tree heads were met"), "{:?}", fetch.notes.all());
}

#[test]
fn partial_tiles_that_are_not_kept_are_cut_from_full_ones() {
    // The head of 600 records is in tiles that the log has filled since.
    let bad = Misbehaviour {
        has_no_partial_tiles: true,
        latest_of: Some(Arc::new(log(600))),
        heads_of: Some(Arc::new(log(600))),
        ..Misbehaviour::default()
    };
    let server = serve(bad);
    let mut fetch = Fetch::direct(&server.gosumdb());
    fetch.versions = [3, 255, 256, 599].map(filler).into();
    fetch.whole(&log(600));
}

#[test]
fn a_tile_that_is_nowhere_is_named() {
    let server = serve(Misbehaviour { has_no_partial_tiles: true, ..Misbehaviour::default() });
    let (error, text) = Fetch::direct(&server.gosumdb()).refused();
    assert_eq!(error.kind, ErrorKind::Network);
    assert!(text.contains(".p/") && text.contains(": is not there, and needed for the proof"), "{text}");
}

#[test]
fn broken_connections_are_made_again() {
    for bad in [
        Misbehaviour { closes_every: 7, ..Misbehaviour::default() },
        Misbehaviour { cuts_every: 9, ..Misbehaviour::default() },
        Misbehaviour { fails_every: 5, ..Misbehaviour::default() },
    ] {
        let server = serve(bad);
        let slice = Fetch::direct(&server.gosumdb()).whole(server.log());
        nothing_twice(&server);
        assert!(slice.requests > server.answered().len() as u64);
    }
}

#[test]
fn a_server_that_never_answers_well_is_given_up() {
    for (bad, words) in [
        (Misbehaviour { closes_every: 1, ..Misbehaviour::default() }, "no whole answer came, 4 times"),
        (Misbehaviour { fails_every: 1, ..Misbehaviour::default() }, "answered 500, 4 times"),
        (Misbehaviour { delay: Duration::from_secs(3), ..Misbehaviour::default() }, "no whole answer came, 4 times"),
    ] {
        let server = serve(bad);
        let mut fetch = Fetch::direct(&server.gosumdb());
        fetch.versions = [filler(1)].into();
        let (error, text) = fetch.refused();
        assert_eq!(error.kind, ErrorKind::Network, "{text}");
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn nobody_is_there() {
    let gosumdb = format!("{} http://127.0.0.1:1", Log::default().key());
    let (error, text) = Fetch::direct(&gosumdb).refused();
    assert_eq!(error.kind, ErrorKind::Network);
    assert!(text.contains("127.0.0.1:1/lookup/") && text.contains("could not be reached, 2 times"), "{text}");
}

#[test]
fn too_many_requests_are_made_later() {
    let server = serve(Misbehaviour { too_many: Some((32, 1)), ..Misbehaviour::default() });
    let began = Instant::now();
    Fetch::direct(&server.gosumdb()).whole(server.log());
    assert!(began.elapsed() >= Duration::from_secs(1));
    nothing_twice(&server);
    // All of them waited together.
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn an_unknown_module_is_absent_in_the_words_of_the_server() {
    let server = serve(Misbehaviour::default());
    let mut fetch = Fetch::direct(&server.gosumdb());
    let unknown: modferry_format::ModuleVersion = "corp.example.com/Private@v1.0.0".parse().unwrap();
    fetch.versions.insert(unknown.clone());
    let slice = fetch.whole(server.log());
    assert_eq!(
        slice.absent.into_iter().collect::<Vec<_>>(),
        [(unknown, "not found: corp.example.com/!private@v1.0.0: invalid version: unknown revision".to_owned())]
    );
}

#[test]
fn another_refusal_is_shown_and_not_repeated() {
    let answers = vec![("/lookup/".to_owned(), 403, "<html>\nplease log in".to_owned())];
    let server = serve(Misbehaviour { answers, ..Misbehaviour::default() });
    let mut fetch = Fetch::direct(&server.gosumdb());
    fetch.versions = [filler(1)].into();
    let (error, text) = fetch.refused();
    assert_eq!(error.kind, ErrorKind::Network);
    assert!(text.contains("answered 403") && text.contains("<html> please log in"), "{text}");
    assert_eq!(server.log_of_requests().len(), 1);
}

#[test]
fn a_page_in_place_of_the_database_is_refused() {
    for (path, words) in
        [("/lookup/", "is not the lookup of"), ("/latest", "no tree head"), ("/tile/", "bytes instead")]
    {
        let answers = vec![(path.to_owned(), 200, "<html>welcome</html>".to_owned())];
        let server = serve(Misbehaviour { answers, ..Misbehaviour::default() });
        let (_, text) = Fetch::direct(&server.gosumdb()).refused();
        assert!(text.contains(words) && text.contains("<html>welcome"), "{text}");
    }
}

#[test]
fn notes_of_somebody_else_are_refused() {
    let mut other = Log::new(modferry_harness::database::NAME, 8);
    other.grow(SIZE, "");
    let other = Some(Arc::new(other));
    for (bad, path) in [
        (Misbehaviour { heads_of: other.clone(), ..Misbehaviour::default() }, "/lookup/"),
        (Misbehaviour { latest_of: other.clone(), ..Misbehaviour::default() }, "/latest"),
    ] {
        let server = serve(bad);
        let (error, text) = Fetch::direct(&server.gosumdb()).refused();
        assert_eq!(error.kind, ErrorKind::HashConflict);
        assert!(text.contains(path) && text.contains("has no signature of"), "{text}");
    }
}

#[test]
fn a_forged_record_is_named() {
    let forged = some().into_iter().nth(11).unwrap();
    let server = serve(Misbehaviour { forges_lookup: Some(forged.clone()), ..Misbehaviour::default() });
    let (error, text) = Fetch::direct(&server.gosumdb()).refused();
    assert_eq!(error.kind, ErrorKind::HashConflict);
    assert!(text.contains(&format!("lookup of {forged}: the log has another text")), "{text}");
}

#[test]
fn a_forged_tile_is_named() {
    for tile in
        [Tile::new(0, 0, 256), Tile::new(1, 0, 256), Tile::new(2, 0, 1), Tile::new(1, 1, 17)].map(Option::unwrap)
    {
        let server = serve(Misbehaviour { forges_tile: Some(tile), ..Misbehaviour::default() });
        let (error, text) = Fetch::direct(&server.gosumdb()).refused();
        assert_eq!(error.kind, ErrorKind::HashConflict);
        assert!(text.contains(&format!("{tile}")), "{tile}: {text}");
    }
}

#[test]
fn a_fork_gives_both_notes() {
    // Met in an answer, stored by a client, and of the very same size.
    let (fork, same) = (forked(SIZE - 1), forked(SIZE));
    let met = serve(Misbehaviour { heads_of: Some(Arc::clone(&fork)), ..Misbehaviour::default() });
    let good = serve(Misbehaviour::default());
    let mut stored = Fetch::direct(&good.gosumdb());
    stored.heads = vec![fork.head(SIZE - 1).unwrap()];
    let mut beside = Fetch::direct(&good.gosumdb());
    beside.heads = vec![same.head(SIZE).unwrap()];
    for (fetch, other) in
        [(Fetch::direct(&met.gosumdb()), fork.note(SIZE - 1)), (stored, fork.note(SIZE - 1)), (beside, same.note(SIZE))]
    {
        let (error, text) = fetch.refused();
        assert_eq!(error.kind, ErrorKind::HashConflict);
        assert!(text.contains("contradict each other"), "{text}");
        assert!(text.contains(&other) && text.contains(&good.log().note(SIZE)), "{text}");
    }
}

#[test]
fn a_record_newer_than_latest_is_waited_for() {
    let server = serve(Misbehaviour { old_latest: Some((2, 69_000)), ..Misbehaviour::default() });
    let mut fetch = Fetch::direct(&server.gosumdb());
    fetch.versions.insert(filler(SIZE - 1));
    fetch.whole(server.log());
    let server = serve(Misbehaviour { old_latest: Some((100, 69_000)), ..Misbehaviour::default() });
    let mut fetch = Fetch::direct(&server.gosumdb());
    fetch.versions.insert(filler(SIZE - 1));
    let (error, text) = fetch.refused();
    assert_eq!(error.kind, ErrorKind::Network);
    assert!(text.contains("69000 records") && text.contains(&filler(SIZE - 1).to_string()), "{text}");
}

#[test]
fn a_head_to_serve_that_is_newer_than_latest_is_no_success() {
    let server = serve(Misbehaviour::default());
    let mut newer = log(SIZE);
    newer.grow(SIZE + 1, "");
    let mut fetch = Fetch::direct(&server.gosumdb());
    fetch.heads = vec![newer.head(SIZE + 1).unwrap()];
    let (error, text) = fetch.refused();
    assert_eq!(error.kind, ErrorKind::Network);
    assert!(text.contains("70000 records") && text.contains("a tree head of 70001 records is to be served"), "{text}");
}

#[test]
fn a_database_of_files_will_do() {
    let log = log(3000);
    let directory = tempfile::tempdir().unwrap();
    log.write(directory.path(), &[]).unwrap();
    let mut fetch = Fetch::direct(&format!("{} {}", log.key(), file_url(directory.path())));
    fetch.versions = [0, 255, 256, 2999].map(filler).into();
    fetch.heads = [5, 2900].map(|size| log.head(size).unwrap()).to_vec();
    fetch.whole(&log);
    // And what is laid out is one itself.
    let mut again = Fetch::direct(&format!("{} {}", log.key(), file_url(&fetch.directory(&log))));
    again.versions = fetch.versions.clone();
    again.whole(&log);
    fs::remove_file(directory.path().join("latest")).unwrap();
    let mut fetch = Fetch::direct(&format!("{} {}", log.key(), file_url(directory.path())));
    fetch.versions = [filler(1)].into();
    let (_, text) = fetch.refused();
    assert!(text.contains("latest: is not there"), "{text}");
}

#[test]
fn the_first_proxy_that_supports_the_database_is_asked() {
    let server = serve(Misbehaviour::default());
    let proxy = tempfile::tempdir().unwrap();
    let key = server.log().key();
    let (files, http) = (file_url(proxy.path()), format!("{}/goproxy", server.url()));
    let unsupported =
        Misbehaviour { answers: vec![("/supported".to_owned(), 410, String::new())], ..Misbehaviour::default() };
    let unsupported = serve(unsupported);
    let goproxy = format!("{},{files},{http},http://127.0.0.1:1", unsupported.url());
    Fetch::new(&goproxy, &key).whole(server.log());
    let base = format!("/goproxy/sumdb/{}", server.log().name());
    assert!(server.log_of_requests().iter().all(|(path, _)| path.starts_with(&base)), "{:?}", server.log_of_requests());
    assert_eq!(unsupported.log_of_requests().len(), 1);
    // A directory that is one comes first.
    let mut small = Log::new("sum.small.test", 3);
    small.grow(300, "");
    small.write(&proxy.path().join("sumdb").join(small.name()), &[]).unwrap();
    let mut fetch = Fetch::new(&format!("{files},{http}"), &small.key());
    fetch.versions = [filler(299)].into();
    fetch.whole(&small);
}

#[test]
fn a_proxy_that_fails_ends_the_walk_unless_a_bar_follows() {
    let server = serve(Misbehaviour::default());
    let broken = serve(Misbehaviour { fails_every: 1, ..Misbehaviour::default() });
    let key = server.log().key();
    let (_, text) = Fetch::new(&format!("{},{}", broken.url(), server.url()), &key).refused();
    assert!(text.contains("supported: answered 500"), "{text}");
    Fetch::new(&format!("{}|{}", broken.url(), server.url()), &key).whole(server.log());
    let (_, text) = Fetch::new(&format!("{}|off", broken.url()), &key).refused();
    assert!(text.contains("supported: answered 500"), "{text}");
}

#[test]
fn without_a_database_there_is_nothing_to_fetch() {
    assert_eq!(Fetch::new("direct", "off").refused().0.kind, ErrorKind::Usage);
    let (error, text) = Fetch::new("direct", "sum.example.com").refused();
    assert_eq!(error.kind, ErrorKind::Usage);
    assert!(text.contains("NAME+HASH+KEY"), "{text}");
}

#[test]
fn what_a_cache_has_is_not_asked_for_and_still_proven() {
    let server = serve(Misbehaviour::default());
    let (cache, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lookups = cache.path().join("sumdb").join(server.log().name()).join("lookup/example.com/filler");
    fs::create_dir_all(&lookups).unwrap();
    for version in some().iter().take(20) {
        // The head is of another time, and the note cut: neither counts.
        let id = server.log().id(version).unwrap();
        let text = server.log().lookup(id, id + 1);
        let name = version.to_string().split('/').next_back().unwrap().to_owned();
        fs::write(lookups.join(name), &text[..text.len() - 30]).unwrap();
    }
    let mut fetch = Fetch::direct(&server.gosumdb());
    fetch.caches = vec![empty.path().to_owned(), cache.path().to_owned()];
    let slice = fetch.whole(server.log());
    assert!(slice.served.is_empty());
    assert_eq!(server.answered().keys().filter(|path| path.contains("/lookup/")).count(), 20);

    let first = some().into_iter().next().unwrap();
    let file = lookups.join(first.to_string().split('/').next_back().unwrap());
    let genuine = fs::read_to_string(&file).unwrap();
    // Of another number: it is not proven.
    let (id, rest) = genuine.split_once('\n').unwrap();
    fs::write(&file, format!("{}\n{rest}", id.parse::<u64>().unwrap() + 1)).unwrap();
    let mut fetch = Fetch::direct(&server.gosumdb());
    fetch.caches = vec![cache.path().to_owned()];
    let (error, text) = fetch.refused();
    assert_eq!(error.kind, ErrorKind::HashConflict);
    assert!(text.contains(&first.to_string()) && text.contains(&file.display().to_string()), "{text}");
    // Of another module, or half of one: it is asked for.
    fs::write(&file, genuine.replace("filler/m", "filler/x")).unwrap();
    let mut fetch = Fetch::direct(&server.gosumdb());
    fetch.caches = vec![cache.path().to_owned()];
    fetch.whole(server.log());
    // Beyond the head of its own note: the same.
    let whole = server.log().lookup(server.log().id(&first).unwrap(), server.log().id(&first).unwrap() + 1);
    let (_, rest) = whole.split_once('\n').unwrap();
    fs::write(&file, format!("99999999999\n{rest}")).unwrap();
    let mut fetch = Fetch::direct(&server.gosumdb());
    fetch.caches = vec![cache.path().to_owned()];
    fetch.whole(server.log());
}

#[test]
fn a_proxy_is_tunnelled_and_a_redirect_followed() {
    let server = serve(Misbehaviour::default());
    let mut fetch = Fetch::direct(&format!("{} http://sum.nowhere.test/x", server.log().key()));
    fetch.environment.set("http_proxy", server.url());
    fetch.whole(server.log());
    assert!(server.log_of_requests().iter().any(|(path, _)| path == "CONNECT sum.nowhere.test:80"));
    let tunnels = server.log_of_requests().iter().filter(|(path, _)| path.starts_with("CONNECT")).count();
    assert!(tunnels <= modferry::database::REQUESTS, "{tunnels}");

    // The tunnel of https; what is at its end here speaks no TLS.
    let mut fetch = Fetch::direct(&format!("{} https://sum.nowhere.test/x", server.log().key()));
    fetch.environment.set("https_proxy", server.url());
    assert_eq!(fetch.refused().0.kind, ErrorKind::Network);
    assert!(server.log_of_requests().iter().any(|(path, _)| path == "CONNECT sum.nowhere.test:443"));

    let answers = vec![("/latest".to_owned(), 302, format!("{}/elsewhere/latest", server.url()))];
    let moved = serve(Misbehaviour { answers, ..Misbehaviour::default() });
    Fetch::direct(&moved.gosumdb()).whole(moved.log());
    assert!(server.answered().contains_key("/elsewhere/latest"));
}

#[test]
fn an_interrupt_ends_it_soon() {
    let server = serve(Misbehaviour { delay: Duration::from_millis(50), ..Misbehaviour::default() });
    let mut fetch = Fetch::direct(&server.gosumdb());
    fetch.versions = (0..5000).map(filler).collect();
    let interrupt = fetch.interrupt.clone();
    let began = Instant::now();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        interrupt.set();
    });
    assert_eq!(fetch.refused().0.kind, ErrorKind::Interrupted);
    assert!(began.elapsed() < Duration::from_secs(3));
    stopper.join().unwrap();
}

#[test]
fn a_folder_that_is_there_is_not_touched() {
    let server = serve(Misbehaviour::default());
    let fetch = Fetch::direct(&server.gosumdb());
    let directory = fetch.directory(server.log());
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("mine"), "x").unwrap();
    assert_eq!(fetch.run().map(|slice| slice.tiles).unwrap_err().kind, ErrorKind::Io);
    assert!(directory.join("mine").exists());
    assert!(server.log_of_requests().is_empty());
}

#[test]
fn the_real_go_verifies_by_what_was_laid_out() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    let upstream = Upstream::at(place("upstream"));
    let mut log = log(900);
    let (mut versions, mut requires) = (BTreeSet::new(), String::new());
    for text in ["example.com/Upper@v1.2.3", "example.com/b@v0.0.0-20200102030405-abcdefabcdef"] {
        let (path, version) = text.split_once('@').unwrap();
        let module = Module::new(text).unwrap().file("go.mod", format!("module {path}\n")).file("p.go", "package p\n");
        upstream.publish(&module).unwrap();
        log.add(&module).unwrap();
        log.grow(log.size() + 300, "");
        versions.insert(module.version().clone());
        requires += &format!("require {path} {version}\n");
    }
    let server = Server::start(log, Misbehaviour { has_old_heads: true, ..Misbehaviour::default() }).unwrap();
    let mut fetch = Fetch::direct(&server.gosumdb());
    fetch.versions = versions;
    fetch.whole(server.log());
    let sumdb = place("upstream/sumdb/sum.example.com");
    fs::create_dir_all(&sumdb).unwrap();
    fs::create_dir_all(place("project")).unwrap();
    fs::write(place("project/go.mod"), format!("module example.com/project\n\ngo 1.21\n\n{requires}")).unwrap();
    let run = |home: &str| {
        let mut go = Command::new("go");
        go.args(["mod", "download"]).current_dir(place("project")).env_clear();
        go.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", place(home)).env("GOPROXY", upstream.proxy_url());
        go.env("GOSUMDB", server.log().key()).env("GOFLAGS", "-mod=mod -modcacherw").env("GOTOOLCHAIN", "local");
        go.env("GODEBUG", NO_HTTP_FOR_GO);
        let output = go.output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    // Without a database go refuses, so it is asked.
    let (is_done, words) = run("without");
    assert!(!is_done && words.contains("network disabled"), "{words}");
    fs::rename(fetch.directory(server.log()), sumdb.join("log")).unwrap();
    let (is_done, words) = run("with");
    assert!(is_done, "{words}");
}
