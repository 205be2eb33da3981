//! A proxy that misbehaves: the bundle is the one of an undisturbed run by go, or the failure is go's own, and what is
//! right is never fetched twice.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

#[path = "fetch_ahead/site.rs"]
mod site;

use modferry_harness::module::Module;
use modferry_harness::proxy::{Behaviour, Proxy, Rule};
use modferry_harness::upstream::Upstream;
use site::{AHEAD, B, BOTH, GO, Ran, Site, ZIPS, reference, upstream, zip};
use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

const MILLISECOND: Duration = Duration::from_millis(1);

fn proxy(rules: impl IntoIterator<Item = Rule>) -> Proxy {
    Proxy::start(&upstream(), rules).unwrap()
}

/// How often the proxy was asked for a zip.
fn asked(proxy: &Proxy, name: &str) -> u64 {
    proxy.zips().get(name).copied().unwrap_or_default()
}

/// Every zip was asked for once, but for these.
fn once_each_but(proxy: &Proxy, but: &[(&str, u64)]) {
    let mut expected: BTreeMap<String, u64> = ZIPS.iter().map(|&name| (name.to_owned(), 1)).collect();
    expected.extend(but.iter().map(|&(name, times)| (name.to_owned(), times)));
    expected.retain(|_, times| *times > 0);
    assert_eq!(proxy.zips(), expected);
}

/// The bundle comes out right, and this zip was asked for so many times, all others once.
fn succeeds(rule: Rule, times: u64) {
    let proxy = proxy([rule]);
    Site::new().bundle(AHEAD, &proxy.url(), &[]).is(reference());
    once_each_but(&proxy, &[(B, times)]);
}

/// All that is wrong with one zip: the error is that of go alone, and the next run with a good proxy asks only for what
/// has not arrived. Gives kind and exit code.
fn fails(behaviour: Behaviour) -> (String, i32) {
    let name = format!("{behaviour:?}");
    let rules = [Rule::always(&format!("{B}.zip"), behaviour)];
    let [by_go, ahead] = BOTH.map(|fetch| {
        let (bad, good, site) = (proxy(rules.clone()), proxy([]), Site::new());
        let failed = site.bundle(fetch, &bad.url(), &[]);
        let conflict = failed.kind() == "hash-conflict";
        once_each_but(&bad, &[(B, asked(&bad, B))]);
        assert!(asked(&bad, B) > 0);
        if fetch == GO {
            // Its next run is no matter of ours.
            return failed;
        }
        site.bundle(fetch, &good.url(), &[]).is(reference());
        if conflict {
            // What disagrees with others is thrown away with all that came with it.
            once_each_but(&good, &[]);
        } else {
            assert_eq!(good.zips(), BTreeMap::from([(B.to_owned(), 1)]), "{name}");
        }
        failed
    });
    ahead.fails_as(&by_go);
    (ahead.kind(), ahead.code)
}

#[test]
fn slow_and_oddly_framed_answers_are_answers() {
    let proxy = proxy([
        Rule::always("example.com/a/", Behaviour::Chunked),
        Rule::always(&format!("{B}.zip"), Behaviour::Trickle(2 * MILLISECOND)),
        Rule::always(".zip", Behaviour::Slow(300 * MILLISECOND)),
    ]);
    for fetch in BOTH {
        Site::new().bundle(fetch, &proxy.url(), &[]).is(reference());
    }
    let twice: Vec<(&str, u64)> = ZIPS.iter().map(|&name| (name, 2)).collect();
    once_each_but(&proxy, &twice);
}

#[test]
fn so_many_requests_are_made_at_a_time() {
    for (jobs, at_once) in [("1", 1), ("3", 3), ("16", ZIPS.len() as u64)] {
        let proxy = proxy([Rule::always(".zip", Behaviour::Slow(700 * MILLISECOND))]);
        Site::new().bundle_with_jobs(jobs, &proxy.url()).is(reference());
        assert_eq!(proxy.most_zips_at_once(), at_once, "--jobs {jobs}");
    }
}

#[test]
fn what_passes_is_asked_for_again() {
    let zip = format!("{B}.zip");
    let date = "Wed, 21 Oct 2099 07:28:00 GMT";
    thread::scope(|scope| {
        for (times, behaviour) in [
            (2, Behaviour::Status(500)),
            (1, Behaviour::Status(503)),
            (1, Behaviour::Cut),
            (1, Behaviour::ChunkedCut),
            (1, Behaviour::Close),
            (1, Behaviour::TooMany(date)),
        ] {
            let rule = Rule::first(times, &zip, behaviour);
            scope.spawn(move || succeeds(rule, times + 1));
        }
    });
}

#[test]
fn retry_after_is_kept() {
    let proxy = proxy([Rule::first(1, &format!("{B}.zip"), Behaviour::TooMany("2"))]);
    let started = Instant::now();
    Site::new().bundle(AHEAD, &proxy.url(), &[]).is(reference());
    assert!(started.elapsed() >= Duration::from_secs(2));
    once_each_but(&proxy, &[(B, 2)]);
}

#[test]
fn redirects_are_followed_to_another_place() {
    let other = proxy([]);
    for fetch in BOTH {
        let proxy = proxy([Rule::always(".zip", Behaviour::Redirect(other.url()))]);
        Site::new().bundle(fetch, &proxy.url(), &[]).is(reference());
        once_each_but(&proxy, &[]);
    }
    once_each_but(&other, &ZIPS.map(|name| (name, 2)));
}

#[test]
fn refusals_are_those_of_go() {
    assert_eq!(fails(Behaviour::Status(404)), ("not-found".to_owned(), 2));
    assert_eq!(fails(Behaviour::Status(410)), ("not-found".to_owned(), 2));
    assert_eq!(fails(Behaviour::Status(403)), ("not-found".to_owned(), 2));
    assert_eq!(fails(Behaviour::Wants("user", "secret")), ("go-failed".to_owned(), 2));
    assert_eq!(fails(Behaviour::Redirect(String::new())), ("go-failed".to_owned(), 2));
}

#[test]
fn outages_are_those_of_go() {
    // Each takes 8 seconds: four times 0.3, 0.9 and 2.7, with local sources and without.
    let all = [Behaviour::Status(500), Behaviour::Cut, Behaviour::ChunkedCut, Behaviour::Close];
    let kinds = thread::scope(|scope| {
        let threads = all.map(|behaviour| scope.spawn(move || fails(behaviour)));
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(
        kinds.map(|(kind, code)| format!("{kind} {code}")),
        ["go-failed 2", "network 2", "network 2", "network 2"]
    );
}

#[test]
fn a_zip_that_is_none_is_judged_by_go() {
    let good = zip(B);
    let mut damaged = good.clone();
    damaged[good.len() / 3] ^= 0x10;
    for bad in [good[..good.len() - 30].to_vec(), b"<html>\n".to_vec(), damaged] {
        let (kind, code) = fails(Behaviour::Instead(bad));
        assert!(["go-failed", "hash-conflict"].contains(&&*kind), "{kind} {code}");
    }
}

/// Another content under the name of B.
fn other() -> Module {
    site::module("example.com/b@v1.0.0").file("evil.go", "package b\n")
}

#[test]
fn another_content_is_refused_by_go_sum() {
    assert_eq!(fails(Behaviour::Instead(other().zip())), ("hash-conflict".to_owned(), 1));
}

#[test]
fn without_go_sum_and_database_the_proxy_is_believed_as_go_believes_it() {
    let [by_go, ahead] = BOTH.map(|fetch| {
        let proxy = proxy([Rule::always(&format!("{B}.zip"), Behaviour::Instead(other().zip()))]);
        let site = Site::new();
        site.forget_go_sum();
        let ran = site.bundle(fetch, &proxy.url(), &[]);
        once_each_but(&proxy, &[]);
        ran.files()
    });
    assert!(by_go == ahead && ahead != *reference());
}

#[test]
fn lists_fall_through_where_go_does() {
    // 404 and 410 do at a comma.
    for fetch in BOTH {
        let first = proxy([
            Rule::always(&format!("{B}.zip"), Behaviour::Status(404)),
            Rule::always("example.com/a/@v/v1.0.0.zip", Behaviour::Status(410)),
        ]);
        let second = proxy([]);
        Site::new().bundle(fetch, &format!("{},{}", first.url(), second.url()), &[]).is(reference());
        once_each_but(&first, &[]);
        assert_eq!(second.zips(), BTreeMap::from([(B.to_owned(), 1), ("example.com/a/@v/v1.0.0".to_owned(), 1)]));
    }
    // Nothing else does, and at a bar everything.
    let [by_go, ahead] = BOTH.map(|fetch| {
        let first = proxy([Rule::always(&format!("{B}.zip"), Behaviour::Status(403))]);
        let second = proxy([]);
        let failed = Site::new().bundle(fetch, &format!("{},{}", first.url(), second.url()), &[]);
        assert!(second.requests().is_empty(), "{:?}", second.requests());
        Site::new().bundle(fetch, &format!("{}|{}", first.url(), second.url()), &[]).is(reference());
        assert_eq!(second.zips(), BTreeMap::from([(B.to_owned(), 1)]));
        failed
    });
    ahead.fails_as(&by_go);
}

#[test]
fn a_bar_passes_outages_on() {
    let outages = [Behaviour::Status(500), Behaviour::Cut, Behaviour::Close, Behaviour::Redirect(String::new())];
    let rules: Vec<Rule> =
        ZIPS.iter().zip(outages).map(|(name, behaviour)| Rule::always(&format!("{name}.zip"), behaviour)).collect();
    for fetch in BOTH {
        let (first, second) = (proxy(rules.clone()), proxy([]));
        Site::new().bundle(fetch, &format!("{}|{}", first.url(), second.url()), &[]).is(reference());
        assert_eq!(second.zips(), ZIPS[..4].iter().map(|&name| (name.to_owned(), 1)).collect());
        if fetch == AHEAD {
            // As often as a redirect to itself is followed. Go asks again where a used connection is closed.
            once_each_but(&first, &[(ZIPS[3], 11)]);
        }
    }
}

#[test]
fn a_comma_does_not_pass_outages_on() {
    let [by_go, ahead] = BOTH.map(|fetch| {
        let (first, second) = (proxy([Rule::always(&format!("{B}.zip"), Behaviour::Status(500))]), proxy([]));
        let failed = Site::new().bundle(fetch, &format!("{},{}", first.url(), second.url()), &[]);
        assert!(second.requests().is_empty(), "{:?}", second.requests());
        failed
    });
    ahead.fails_as(&by_go);
}

#[test]
fn nobody_listens() {
    let [by_go, ahead] = BOTH.map(|fetch| {
        let gone = proxy([]).url();
        // The graph is here; the zips are not.
        let site = Site::new();
        site.fill_cache();
        site.forget_zips();
        site.bundle(fetch, &gone, &[])
    });
    ahead.fails_as(&by_go);
    assert_eq!(ahead.kind(), "network");
}

#[test]
fn off_is_off() {
    let [by_go, ahead] = BOTH.map(|fetch| {
        let site = Site::new();
        let failed = site.bundle(fetch, "off", &[]);
        let cached = Site::new();
        cached.fill_cache();
        cached.bundle(fetch, "off", &[]).is(reference());
        failed
    });
    ahead.fails_as(&by_go);
    assert_eq!(ahead.kind(), "network");
}

/// A module that go takes for the git repository `https://private.test/p`.
fn private() -> Module {
    site::module("private.test/p.git@v1.0.0")
}

#[test]
fn direct_is_left_to_go() {
    let directory = tempfile::tempdir().unwrap();
    let both = Upstream::at(directory.path());
    site::publish(&both);
    both.publish(&private()).unwrap();
    let [by_go, ahead] = BOTH.map(|fetch| {
        let rule = Rule::always("private.test/p.git/@v/v1.0.0.zip", Behaviour::Status(404));
        let proxy = Proxy::start(&both, [rule]).unwrap();
        let site = Site::new();
        site.require("private.test/p.git");
        // No repository is asked, and go says so in place of a name server.
        site.bundle(fetch, &format!("{},direct", proxy.url()), &[("GOVCS", "*:off")])
    });
    ahead.fails_as(&by_go);
    assert!(ahead.causes().contains("GOVCS"), "{}", ahead.causes());
}

#[test]
fn private_modules_are_no_matter_of_the_proxy() {
    let [by_go, ahead] = BOTH.map(|fetch| {
        let site = Site::new();
        site.require("private.test/p.git");
        site.git_origin("https://private.test/p", &private());
        let proxy = proxy([]);
        let ran = site.bundle(fetch, &proxy.url(), &[("GOPRIVATE", "private.test")]);
        let files = ran.files();
        let asked = proxy.requests().into_iter().map(|request| request.path);
        assert_eq!(asked.filter(|path| path.contains("private.test")).collect::<Vec<_>>(), [""; 0]);
        once_each_but(&proxy, &[]);
        assert!(files.keys().any(|name| name.ends_with("private.test/p.git/@v/v1.0.0.zip")));
        files
    });
    assert!(by_go == ahead);
}

#[test]
fn passwords_never_go_over_http() {
    let nothing_sent = |proxy: &Proxy| {
        assert!(proxy.requests().iter().all(|request| request.authorization.is_none()), "{:?}", proxy.requests());
    };
    let [by_go, ahead] = BOTH.map(|fetch| {
        let rule = || Rule::always(".zip", Behaviour::Wants("user", "secret"));
        // In a netrc.
        let (netrc, site) = (proxy([rule()]), Site::new());
        let host = netrc.url().trim_start_matches("http://").to_owned();
        let machine = |host: &str| format!("machine {host} login user password secret\n");
        let text = machine("127.0.0.1") + &machine(&host);
        fs::write(site.home.root().join("home/.netrc"), text).unwrap();
        let in_netrc = site.bundle(fetch, &netrc.url(), &[]);
        nothing_sent(&netrc);
        // In the URL, for the go.mod files already.
        let (in_url, site) = (proxy([rule()]), Site::new());
        let at_once = site.bundle(fetch, &in_url.url_with_login("user:secret"), &[]);
        // And for zips alone, where the cache of this machine has the rest.
        site.fill_cache();
        site.forget_zips();
        let for_zips = site.bundle(fetch, &in_url.url_with_login("user:secret"), &[]);
        assert_eq!(in_url.requests(), []);
        assert!(!format!("{for_zips:?}{at_once:?}").contains("secret"));
        [in_netrc, at_once, for_zips]
    });
    ahead.iter().zip(&by_go).for_each(|(ahead, by_go)| ahead.fails_as(by_go));
    assert!(ahead[2].causes().contains("refusing to pass credentials"), "{}", ahead[2].causes());
}

/// The cache of this machine is spoiled, and the bundle is right all the same: only the zip of B is fetched.
fn mends(fetch: site::Fetch, spoil: impl Fn(&Site)) {
    let (site, proxy) = (Site::new(), proxy([]));
    site.fill_cache();
    spoil(&site);
    site.bundle(fetch, &proxy.url(), &[]).is(reference());
    assert_eq!(proxy.zips().get(B), Some(&1));
    if fetch == AHEAD {
        assert_eq!(proxy.zips().len(), 1, "{:?}", proxy.zips());
    }
}

#[test]
fn a_damaged_cache_of_this_machine_is_passed_over() {
    for fetch in BOTH {
        mends(fetch, |site| {
            let mut bytes = zip(B);
            let at = bytes.len() / 3;
            bytes[at] ^= 0x10;
            site.spoil("zip", &bytes);
        });
    }
    mends(AHEAD, |site| site.spoil("zip", &zip(B)[..50]));
}

#[test]
fn a_zip_of_this_machine_that_go_sum_does_not_know_is_passed_over() {
    mends(AHEAD, |site| site.replace_in_cache(&other()));
    // Go alone takes it from the first source, which is found out in the end.
    let site = Site::new();
    site.fill_cache();
    site.replace_in_cache(&other());
    assert_eq!(site.bundle(GO, &proxy([]).url(), &[]).kind(), "hash-conflict");
}

#[test]
fn a_hash_of_this_machine_that_lies_is_not_believed() {
    // Go itself reads no hash of a source, so it takes the zip, which is right.
    let (site, proxy) = (Site::new(), proxy([]));
    site.fill_cache();
    site.spoil("ziphash", format!("h1:{}=", "A".repeat(43)).as_bytes());
    site.bundle(AHEAD, &proxy.url(), &[]).is(reference());
    assert_eq!(proxy.zips(), BTreeMap::from([(B.to_owned(), 1)]));
}

#[test]
fn a_cache_that_is_wrong_in_itself_is_believed_as_go_believes_it() {
    let [by_go, ahead] = BOTH.map(|fetch| {
        let (site, proxy) = (Site::new(), proxy([]));
        site.fill_cache();
        site.forget_go_sum();
        site.replace_in_cache(&other());
        let files = site.bundle(fetch, &proxy.url(), &[]).files();
        assert_eq!(proxy.zips(), BTreeMap::new());
        files
    });
    assert!(by_go == ahead && ahead != *reference());
}

#[test]
fn an_interruption_waits_for_no_server() {
    let started = Instant::now();
    let zip = format!("{B}.zip");
    for behaviour in [Behaviour::Trickle(100 * MILLISECOND), Behaviour::Slow(Duration::from_secs(20))] {
        let (bad, good, site) = (proxy([Rule::always(&zip, behaviour.clone())]), proxy([]), Site::new());
        let running = site.start(AHEAD, &bad.url(), &[]);
        let until = Instant::now() + Duration::from_secs(20);
        while bad.zips().len() < ZIPS.len() {
            assert!(Instant::now() < until, "{:?}", bad.requests());
            thread::sleep(10 * MILLISECOND);
        }
        thread::sleep(500 * MILLISECOND);
        let signalled = Instant::now();
        let ran: Ran = running.interrupt();
        assert!(signalled.elapsed() < Duration::from_secs(3), "{behaviour:?}: {:?}", signalled.elapsed());
        assert_eq!((ran.kind().as_str(), ran.code), ("interrupted", 2));
        assert!(ran.error["kept"].as_str().is_some_and(|kept| kept.starts_with("4 zips")), "{}", ran.error);
        site.bundle(AHEAD, &good.url(), &[]).is(reference());
        assert_eq!(good.zips(), BTreeMap::from([(B.to_owned(), 1)]));
    }
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn both_ways_come_to_the_same_bundle() {
    for (fetch, directory) in [(GO, false), (AHEAD, false), (AHEAD, true)] {
        let proxy = proxy([]);
        let url = if directory { upstream().proxy_url() } else { proxy.url() };
        Site::new().bundle(fetch, &url, &[]).is(reference());
        once_each_but(&proxy, &if directory { ZIPS.map(|name| (name, 0)).to_vec() } else { Vec::new() });
    }
}
