//! What is known of passwords: headers by the beginning of a URL, from the methods of GOAUTH, kept as the go command keeps them.
//!
//! - every method runs once before the first request over https, without a URL; `git` knows nothing then
//! - where an answer says that the client has done something wrong (4xx), all run again for that URL, and the request is made
//!   once more if that brought anything new. Neither for 408 and 429, which are about time
//! - the earlier a method stands, the more it counts; of the prefixes of a URL the longest does, by whole elements
//!
//! Requests that are refused at one time ask one after the other, and what the first one learns is tried by the others before
//! they ask themselves: a command may take a second, and a person's patience to answer it.

use crate::context::{Environment, Interrupt};
use crate::fetch::goauth::{self, Asked, Filled, ForPrefix, Method, Runner};
use crate::fetch::netrc::Netrc;
use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use ureq::http::HeaderMap;

/// The credentials of one run.
pub(super) struct Credentials {
    methods: Result<Vec<Method>, String>,
    netrc: Netrc,
    runner: Runner,
    /// Set when all methods have run once.
    begun: OnceLock<()>,
    /// Held while methods run.
    running: Mutex<()>,
    known: Mutex<BTreeMap<String, HeaderMap>>,
    /// What failed the last time that methods ran.
    failed: Mutex<Vec<String>>,
}

/// What was learned of a URL that was refused.
pub(super) enum Learned {
    /// Nothing that has not been sent.
    Nothing,
    /// What another request has learned in the meantime.
    Meanwhile(HeaderMap),
    /// What the methods say now, and logins of git that want to hear how it went.
    New(HeaderMap, Vec<Filled>),
}

impl Credentials {
    pub(super) fn new(environment: &Environment, goauth: &str, interrupt: &Interrupt) -> Self {
        let methods = Method::all(goauth);
        let reads_netrc = methods.as_ref().is_ok_and(|methods| methods.contains(&Method::Netrc));
        let netrc = if reads_netrc { Netrc::of(environment) } else { Netrc::default() };
        Self {
            methods,
            netrc,
            runner: Runner::new(environment, interrupt),
            begun: OnceLock::new(),
            running: Mutex::default(),
            known: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// The headers for a request to an `https://` URL. An error is about GOAUTH itself, and go would end with it.
    pub(super) fn headers(&self, url: &str) -> Result<HeaderMap, String> {
        let methods = self.methods.as_ref().map_err(Clone::clone)?;
        self.begun.get_or_init(|| drop(self.run(methods, None)));
        Ok(self.load(url))
    }

    /// Asks the methods about a URL to which a request with the headers `sent` was answered with this status, 4xx or not.
    pub(super) fn learn(&self, url: &str, sent: &HeaderMap, status: u16, answer: impl FnOnce() -> String) -> Learned {
        let Ok(methods) = &self.methods else { return Learned::Nothing };
        let is_about_time = matches!(status, 408 | 429);
        // A file says what it said before.
        if !(400..500).contains(&status) || is_about_time || methods.iter().all(|method| *method == Method::Netrc) {
            return Learned::Nothing;
        }
        let _running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.load(url);
        if now != *sent {
            return Learned::Meanwhile(now);
        }
        let filled = self.run(methods, Some(&Asked { url, answer: &answer() }));
        let now = self.load(url);
        if now == *sent { Learned::Nothing } else { Learned::New(now, filled) }
    }

    /// Tells git whether one of its logins was right.
    pub(super) fn tell(&self, filled: Filled, is_right: bool) {
        self.runner.tell(filled, is_right);
    }

    /// Why methods have failed, the last time that they ran.
    pub(super) fn failed(&self) -> Vec<String> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn run(&self, methods: &[Method], asked: Option<&Asked<'_>>) -> Vec<Filled> {
        let (mut failed, mut logins) = (Vec::new(), Vec::new());
        for method in methods.iter().rev() {
            let found: Result<Vec<ForPrefix>, String> = match (method, asked) {
                (Method::Netrc, _) => Ok(self.netrc.headers()),
                (Method::Git(_), None) => Ok(Vec::new()),
                (Method::Git(directory), Some(asked)) => self.runner.git(directory, asked).map(|filled| {
                    let found = vec![(goauth::prefix(&filled.url).to_owned(), filled.headers.clone())];
                    logins.push(filled);
                    found
                }),
                (Method::Command(words), _) => self.runner.command(words, asked),
            };
            match found {
                Ok(found) => found.into_iter().for_each(|found| self.store(found)),
                Err(reason) => failed.push(format!("GOAUTH: {reason}")),
            }
        }
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        logins
    }

    /// No headers are for a prefix of which nothing is known any more.
    fn store(&self, (prefix, headers): ForPrefix) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if headers.is_empty() {
            known.remove(&prefix)
        } else {
            known.insert(prefix, headers)
        };
    }

    fn load(&self, url: &str) -> HeaderMap {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut place = goauth::prefix(url);
        loop {
            if let Some(headers) = known.get(place) {
                return headers.clone();
            }
            let Some((above, _)) = place.rsplit_once('/') else { return HeaderMap::new() };
            place = above;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn login(headers: &HeaderMap) -> String {
        let value = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let bytes = data_encoding::BASE64.decode(value.trim_start_matches("Basic ").as_bytes()).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn of(environment: Environment, goauth: &str) -> Credentials {
        Credentials::new(&environment, goauth, &Interrupt::default())
    }

    fn with_netrc(text: &str, goauth: &str) -> Credentials {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("netrc");
        fs::write(&file, text).unwrap();
        let mut environment = Environment::default();
        environment.set("NETRC", &file);
        environment.set("PATH", std::env::var_os("PATH").unwrap());
        of(environment, goauth)
    }

    #[test]
    fn the_longest_prefix_by_elements_counts() {
        let netrc = "machine a.test:8443 login port password p\nmachine a.test/x login path password p\n\
             machine a.test login host password p\nmachine a.test login second password p\n";
        for goauth in ["", "netrc", "no-such-program-at-all;netrc"] {
            let credentials = with_netrc(netrc, goauth);
            let login_of = |url: &str| login(&credentials.headers(url).unwrap());
            for (url, expected) in [
                ("https://a.test:8443/x", "port:p"),
                ("https://a.test/x/y", "path:p"),
                ("https://a.test/x/", "path:p"),
                ("https://a.test/xy", "host:p"),
                ("https://a.test/", "host:p"),
                ("https://b.a.test/x", ""),
                ("https://a.test:8444/x", ""),
            ] {
                assert_eq!(login_of(url), expected, "{goauth} {url}");
            }
        }
        assert_eq!(login(&with_netrc(netrc, "off").headers("https://a.test/").unwrap()), "");
    }

    #[test]
    fn a_goauth_that_go_ends_at_is_an_error() {
        let error = of(Environment::default(), "netrc;off").headers("https://a.test/").unwrap_err();
        assert_eq!(error, "GOAUTH: off stands with no other command");
    }

    #[cfg(unix)]
    #[test]
    fn a_command_is_asked_once_and_again_for_what_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (script, log) = (directory.path().join("give"), directory.path().join("log"));
        // Without a URL it has a login for one place, for a URL the answer makes another one, of which the input is a part.
        let text = format!(
            "input=$(cat | tr '\\n' '|'); echo \"$*:$input\" >>{}\n\
             if [ $# = 1 ]; then printf 'https://a.test/x\\n\\nA: first\\n\\n'; else printf '%s\\n\\nA: %s\\n\\n' \"$2\" second; fi\n",
            log.display()
        );
        fs::write(&script, text).unwrap();
        let mut environment = Environment::default();
        environment.set("PATH", std::env::var_os("PATH").unwrap());
        let credentials = of(environment, &format!("sh '{}' own", script.display()));
        let value = |headers: &HeaderMap| headers.get("a").map(|value| value.to_str().unwrap().to_owned());
        let first = credentials.headers("https://a.test/x/y").unwrap();
        assert_eq!(value(&first).as_deref(), Some("first"));
        assert_eq!(credentials.headers("https://b.test/").unwrap(), HeaderMap::new());
        let learn = |url: &str, sent: &HeaderMap, status| {
            credentials.learn(url, sent, status, || "HTTP/1.1 401 Unauthorized\nWww-Authenticate: Basic\n\n".to_owned())
        };
        for status in [200, 304, 408, 429, 500] {
            assert!(matches!(learn("https://b.test/", &HeaderMap::new(), status), Learned::Nothing), "{status}");
        }
        let Learned::New(second, _) = learn("https://a.test/x/y", &first, 404) else { panic!("nothing new") };
        assert_eq!(value(&second).as_deref(), Some("second"));
        // Who has sent what is no longer known tries that, and nobody runs anything.
        let Learned::Meanwhile(known) = learn("https://a.test/x/y", &first, 401) else { panic!("not known") };
        assert_eq!(known, second);
        assert!(matches!(learn("https://a.test/x/y", &second, 401), Learned::Nothing));
        let asked = "own https://a.test/x/y:HTTP/1.1 401 Unauthorized|Www-Authenticate: Basic||";
        let runs = fs::read_to_string(&log).unwrap();
        let lines: Vec<&str> = runs.lines().map(|line| line.trim_start_matches(' ')).collect();
        assert_eq!(lines, ["own:", asked, asked]);
        assert!(credentials.failed().is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_command_that_hangs_is_left_when_the_user_stops_the_work() {
        let mut environment = Environment::default();
        environment.set("PATH", std::env::var_os("PATH").unwrap());
        let interrupt = Interrupt::default();
        // Its own child keeps the pipes open.
        let credentials = Credentials::new(&environment, "sh -c 'sleep 5 && true'", &interrupt);
        let began = std::time::Instant::now();
        let stopper = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(200));
            interrupt.set();
        });
        assert_eq!(credentials.headers("https://a.test/").unwrap(), HeaderMap::new());
        assert!(began.elapsed() < std::time::Duration::from_secs(3), "{:?}", began.elapsed());
        assert_eq!(credentials.failed(), ["GOAUTH: interrupted"]);
        stopper.join().unwrap();
    }

    #[test]
    fn what_could_not_be_run_is_told() {
        let credentials = with_netrc("machine a.test login host password p\n", "no-such-program-at-all");
        assert_eq!(credentials.headers("https://a.test/").unwrap(), HeaderMap::new());
        let failed = credentials.failed();
        assert!(
            failed.len() == 1 && failed[0].starts_with("GOAUTH: no-such-program-at-all: could not be run"),
            "{failed:?}"
        );
    }
}
