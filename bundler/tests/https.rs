//! Modules over HTTPS: private authorities, logins, proxies and redirects come to the same for go and for us, with the
//! bundle of an undisturbed run, or the failure of go alone.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used, dead_code)]

#[path = "fetch_ahead/site.rs"]
mod site;

use modferry_harness::database::{Log, add_upstream};
use modferry_harness::https::{HOST, Https, Tunnel, authority};
use modferry_harness::proxy::{Behaviour, Proxy, Rule};
use modferry_harness::upstream::Upstream;
use site::{AHEAD, BOTH, Ran, Site, ZIPS, reference, upstream};
use std::fs;

/// A proxy, HTTPS in front of it, and a machine that trusts its authority, if it does.
struct Place {
    proxy: Proxy,
    https: Https,
    site: Site,
    authority: String,
}

impl Place {
    fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self::at(&upstream(), rules)
    }

    fn at(upstream: &Upstream, rules: impl IntoIterator<Item = Rule>) -> Self {
        let proxy = Proxy::start(upstream, rules).unwrap();
        let https = Https::before(&proxy.url()).unwrap();
        let site = Site::new();
        let authority = authority(&site.home.work()).unwrap().display().to_string();
        Self { proxy, https, site, authority }
    }

    /// Bundles with this GOPROXY and more variables, the authority known.
    fn bundle(&self, fetch: &'static str, goproxy: &str, more: &[(&str, &str)]) -> Ran {
        let known = [("SSL_CERT_FILE", self.authority.as_str())];
        self.site.bundle(fetch, goproxy, &[&known[..], more].concat())
    }

    /// What came is right, and every zip came once, by way of HTTPS.
    fn is_right(&self, ran: &Ran, fetch: &str) {
        ran.is(reference());
        let zips = self.proxy.zips();
        assert_eq!(zips.keys().map(String::as_str).collect::<Vec<_>>(), ZIPS, "{fetch}");
    }

    /// A program on PATH.
    fn script(&self, name: &str, text: &str) {
        let file = self.site.home.bin().join(name);
        fs::write(&file, format!("#!/bin/sh\n{text}")).unwrap();
        rustix::fs::chmod(&file, rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
    }

    fn netrc(&self, text: &str) {
        fs::write(self.site.home.root().join("home/.netrc"), text).unwrap();
    }
}

#[test]
fn a_private_authority_is_trusted_where_it_is_named() {
    for fetch in BOTH {
        let place = Place::new([]);
        place.is_right(&place.bundle(fetch, &place.https.url(), &[]), fetch);
        // A directory of authorities will do as well.
        let place = Place::new([]);
        let directory = place.site.home.work().join("authorities");
        fs::create_dir(&directory).unwrap();
        authority(&directory).unwrap();
        let named = [("SSL_CERT_DIR", directory.to_str().unwrap())];
        place.is_right(&place.site.bundle(fetch, &place.https.url(), &named), fetch);
    }
}

#[test]
fn an_authority_that_nobody_named_is_refused() {
    let [by_go, ahead] = BOTH.map(|fetch| {
        let place = Place::new([]);
        let ran = place.site.bundle(fetch, &place.https.url(), &[]);
        assert_eq!(place.proxy.requests(), []);
        ran
    });
    ahead.fails_as(&by_go);
    assert!(ahead.causes().contains("certificate signed by unknown authority"), "{}", ahead.causes());
}

#[test]
fn a_login_of_netrc_is_for_the_host_with_its_port() {
    for fetch in BOTH {
        let place = Place::new([Rule::always("/", Behaviour::Wants("user", "secret"))]);
        let port = place.https.address().port();
        let machine = |host: &str, password: &str| format!("machine {host} login user password {password}\n");
        place.netrc(&(machine("localhost", "wrong") + &machine(&format!("localhost:{port}"), "secret")));
        place.is_right(&place.bundle(fetch, &place.https.url(), &[]), fetch);
        assert!(place.proxy.requests().iter().all(|request| request.authorization.is_some()));
        // Without the port it is another host, and a wrong password is refused.
        for (port, password) in [(false, "secret"), (true, "wrong")] {
            let place = Place::new([Rule::always("/", Behaviour::Wants("user", "secret"))]);
            let own = place.https.address().port();
            let host = if port { format!("localhost:{own}") } else { "localhost".to_owned() };
            place.netrc(&machine(&host, password));
            assert_ne!(place.bundle(fetch, &place.https.url(), &[]).code, 0);
        }
    }
}

#[test]
fn goauth_says_whether_netrc_is_read() {
    for (goauth, works) in [("netrc", true), ("off", false)] {
        for fetch in BOTH {
            let place = Place::new([Rule::always(".zip", Behaviour::Wants("user", "secret"))]);
            let port = place.https.address().port();
            place.netrc(&format!("machine localhost:{port} login user password secret\n"));
            let ran = place.bundle(fetch, &place.https.url(), &[("GOAUTH", goauth)]);
            assert_eq!(ran.code == 0, works, "{goauth} {fetch}");
        }
    }
}

/// Ways of GOAUTH to the login; what they print is of the one who asks or of the one who has asked.
const WAYS: [&str; 3] = ["credentials", "credentials when refused", "git"];

impl Place {
    /// Makes the programs of a way, and says what GOAUTH is then.
    fn goauth(&self, way: &str) -> String {
        let url = self.https.url();
        // user:secret
        let print = format!("printf '{url}/\\n\\nAuthorization: Basic dXNlcjpzZWNyZXQ=\\n\\n'\n");
        // Told only when something is refused, and by what the server has said of it.
        let is_refused = "if [ $# = 1 ]; then exit 0; fi\nread status\n\
             case \"$status\" in 'HTTP/1.1 401 '*) ;; *) exit 1 ;; esac\n";
        let give = "cat >/dev/null\nif [ $1 = get ]; then echo username=user; echo password=secret; fi\n";
        let config = "[credential]\n\thelper = \"!helper\"\n";
        match way {
            "git" => {
                self.script("helper", give);
                fs::write(self.site.home.root().join("home/.gitconfig"), config).unwrap();
                return format!("git {}", self.site.home.work().display());
            }
            "credentials" => self.script("credentials", &print),
            _ => self.script("credentials", &format!("{is_refused}{print}")),
        }
        "credentials 'as one word'".to_owned()
    }
}

#[test]
fn goauth_has_the_login_for_go_and_for_us() {
    for fetch in BOTH {
        for way in WAYS {
            let place = Place::new([Rule::always("/", Behaviour::Wants("user", "secret"))]);
            let goauth = place.goauth(way);
            place.is_right(&place.bundle(fetch, &place.https.url(), &[("GOAUTH", &goauth)]), fetch);
            let refused = place.proxy.requests().iter().filter(|request| request.status == 401).count();
            assert_eq!(refused == 0, way == "credentials", "{way} {fetch}: {refused}");
        }
        // A login for another place is none here.
        let place = Place::new([Rule::always("/", Behaviour::Wants("user", "secret"))]);
        let url = place.https.url();
        let print = format!("printf '{url}/x\\n\\nAuthorization: Basic dXNlcjpzZWNyZXQ=\\n\\n'\n");
        place.script("credentials", &print);
        assert_ne!(place.bundle(fetch, &url, &[("GOAUTH", "credentials")]).code, 0);
    }
}

#[test]
fn the_checksum_database_wants_a_login_too() {
    let directory = tempfile::tempdir().unwrap();
    let upstream = Upstream::at(directory.path());
    site::publish(&upstream);
    let mut log = Log::default();
    add_upstream(&mut log, directory.path()).unwrap();
    log.grow(600, "");
    let base = format!("sumdb/{}", log.name());
    log.write(&directory.path().join(&base), &[]).unwrap();
    let run = |is_direct: bool, way: Option<&str>| {
        let place = Place::at(&upstream, [Rule::always(&base, Behaviour::Wants("user", "secret"))]);
        let url = place.https.url();
        let goauth = way.map_or_else(|| "off".to_owned(), |way| place.goauth(way));
        let gosumdb = if is_direct { format!("{} {url}/{base}", log.key()) } else { log.key() };
        let ran = place.bundle(AHEAD, &url, &[("GOAUTH", &goauth), ("GOSUMDB", &gosumdb), ("GONOSUMDB", "")]);
        (place, ran)
    };
    // By way of the proxy, and asked itself.
    for is_direct in [false, true] {
        for way in WAYS {
            let (place, ran) = run(is_direct, Some(way));
            let files = ran.files();
            let lookups = files.keys().filter(|path| path.starts_with(&format!("download/{base}/lookup/"))).count();
            assert_eq!(lookups, ZIPS.len(), "{:?}", files.keys());
            // go itself never asks for the newest head.
            let requests = place.proxy.requests();
            let is_newest = |path: &str| path.ends_with("/latest") && path.contains(&base);
            let of_us: Vec<_> = requests.iter().filter(|request| is_newest(&request.path)).collect();
            assert!(of_us.iter().any(|request| request.status == 200), "{way} {of_us:?}");
        }
        assert_ne!(run(is_direct, None).1.code, 0);
    }
}

#[test]
fn a_login_in_the_url_is_sent() {
    for fetch in BOTH {
        let place = Place::new([Rule::always("/", Behaviour::Wants("user", "s%cret"))]);
        let ran = place.bundle(fetch, &place.https.url_with_login("user:s%25cret"), &[]);
        place.is_right(&ran, fetch);
        assert!(!format!("{ran:?}").contains("cret@"), "{ran:?}");
    }
}

#[test]
fn a_proxy_of_https_is_tunnelled_to_the_host() {
    for fetch in BOTH {
        let place = Place::new([Rule::always("/", Behaviour::Wants("user", "secret"))]);
        place.netrc(&format!("machine {HOST} login user password secret\n"));
        let tunnel = Tunnel::to(place.https.address()).unwrap();
        let ran = place.bundle(fetch, &format!("https://{HOST}"), &[("HTTPS_PROXY", &tunnel.url())]);
        place.is_right(&ran, fetch);
        let targets = tunnel.targets();
        assert!(!targets.is_empty() && targets.iter().all(|target| *target == format!("{HOST}:443")), "{targets:?}");
        // What NO_PROXY names goes without, and there is nobody.
        let variables = [("HTTPS_PROXY", tunnel.url()), ("NO_PROXY", HOST.to_owned())];
        let variables = [0, 1].map(|at| (variables[at].0, variables[at].1.as_str()));
        assert_ne!(Place::new([]).bundle(fetch, &format!("https://{HOST}"), &variables).code, 0);
        assert_eq!(tunnel.targets().len(), targets.len());
    }
}

#[test]
fn redirects_stay_on_https() {
    for fetch in BOTH {
        let behind = Place::new([]);
        let place = Place::new([Rule::always("/", Behaviour::Redirect(behind.https.url()))]);
        place.bundle(fetch, &place.https.url(), &[]).is(reference());
        assert_eq!(behind.proxy.zips().len(), ZIPS.len());
    }
    let [by_go, ahead] = BOTH.map(|fetch| {
        let plain = Proxy::start(&upstream(), []).unwrap();
        let place = Place::new([Rule::always(".zip", Behaviour::Redirect(plain.url()))]);
        let ran = place.bundle(fetch, &place.https.url(), &[]);
        assert_eq!(plain.requests(), [], "{fetch}");
        ran
    });
    assert_ne!(ahead.code, 0);
    ahead.fails_as(&by_go);
    assert!(ahead.causes().contains("insecure"), "{}", ahead.causes());
}
