//! The methods of GOAUTH and what they print, as the go command has them (cmd/go/internal/auth of go 1.26.8, `go help goauth`).
//!
//! - `netrc`, the default, reads a file; `off` stands alone
//! - `git DIR` asks `git credential fill` in that directory for one URL
//! - anything else is a command: it prints blocks of URLs, an empty line, header lines, an empty line; asked about a URL it has
//!   that as its last argument, and the server's answer on its standard input

use crate::child;
use crate::context::{Environment, Interrupt};
use std::path::PathBuf;
use std::process::Command;
use ureq::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Longest output of a command that is read, in bytes: headers for some thousand places.
const MAX_OUTPUT_BYTES: usize = 1 << 20;

/// One of the ways to come to a password, in the order of GOAUTH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Method {
    /// The netrc file.
    Netrc,
    /// `git credential` in this directory.
    Git(PathBuf),
    /// A program and its arguments.
    Command(Vec<String>),
}

/// Headers for all URLs that begin so, without `https://`.
pub(super) type ForPrefix = (String, HeaderMap);

/// A login that git had, which is to hear whether it was right.
#[derive(Debug)]
pub(super) struct Filled {
    /// The URL that it is for.
    pub(super) url: String,
    /// What it makes of a request.
    pub(super) headers: HeaderMap,
    /// What git said.
    output: Vec<u8>,
}

/// Whom a method is run for.
pub(super) struct Asked<'a> {
    /// The URL that was refused.
    pub(super) url: &'a str,
    /// The answer, status line and headers.
    pub(super) answer: &'a str,
}

/// Where programs are run.
#[derive(Debug, Clone)]
pub(super) struct Runner {
    environment: Environment,
    interrupt: Interrupt,
}

impl Method {
    /// Reads GOAUTH. What go ends at is an error.
    pub(super) fn all(goauth: &str) -> Result<Vec<Self>, String> {
        let methods: Vec<&str> = goauth.split(';').map(str::trim).collect();
        match methods[..] {
            [""] => return Ok(vec![Self::Netrc]),
            ["off"] => return Ok(Vec::new()),
            _ => {}
        }
        methods.into_iter().map(Self::parse).collect()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            [] => Err("GOAUTH: one of its commands is empty".to_owned()),
            ["off", ..] => Err("GOAUTH: off stands with no other command".to_owned()),
            ["netrc", ..] => Ok(Self::Netrc),
            ["git", directory] if PathBuf::from(directory).is_absolute() => {
                let directory = PathBuf::from(directory);
                if directory.is_dir() {
                    return Ok(Self::Git(directory));
                }
                Err(format!("GOAUTH: git {}: is no directory", directory.display()))
            }
            ["git", ..] => Err("GOAUTH: git must be followed by the absolute path of one directory".to_owned()),
            _ => split(text).map(Self::Command).ok_or_else(|| "GOAUTH: a quote of a command has no end".to_owned()),
        }
    }
}

impl Runner {
    pub(super) fn new(environment: &Environment, interrupt: &Interrupt) -> Self {
        let mut environment = environment.clone();
        // As in go: nobody sits there to be asked, and what asks all the same would wait for ever.
        for (name, value) in [("GIT_TERMINAL_PROMPT", "0"), ("GCM_INTERACTIVE", "never")] {
            if environment.get(name).is_none() {
                environment.set(name, value);
            }
        }
        Self { environment, interrupt: interrupt.clone() }
    }

    /// What a command has for URLs.
    pub(super) fn command(&self, words: &[String], asked: Option<&Asked<'_>>) -> Result<Vec<ForPrefix>, String> {
        let (program, arguments) = words.split_first().ok_or("an empty command")?;
        let mut command = Command::new(program);
        command.args(arguments).args(asked.map(|asked| asked.url));
        let output = self.run(command, asked.map_or("", |asked| asked.answer))?;
        let output = String::from_utf8(output).map_err(|_| format!("{program}: printed what is no UTF-8"))?;
        parse(&output).map_err(|reason| format!("{program}: {reason}"))
    }

    /// What git has for a URL.
    pub(super) fn git(&self, directory: &PathBuf, asked: &Asked<'_>) -> Result<Filled, String> {
        let mut command = Command::new("git");
        command.args(["credential", "fill"]).current_dir(directory);
        let output = self.run(command, &format!("url={}\n", asked.url))?;
        let (url, user, password) = filled(&String::from_utf8_lossy(&output));
        // What git says of another place is not for this one.
        if url.is_empty() || !asked.url.starts_with(&url) {
            return Err("git credential fill: has named another place than it was asked for".to_owned());
        }
        Ok(Filled { url, headers: basic(&user, &password).ok_or("git credential fill: has no login")?, output })
    }

    /// Tells git whether a login was right, so that its helpers keep it, or ask anew.
    pub(super) fn tell(&self, filled: Filled, is_right: bool) {
        let mut command = Command::new("git");
        command.args(["credential", if is_right { "approve" } else { "reject" }]);
        command.env_clear().envs(self.environment.iter());
        // Git's memory is a convenience; a request does not hang on it.
        let _ = child::run_with_input(command, filled.output, MAX_OUTPUT_BYTES, &self.interrupt);
    }

    fn run(&self, mut command: Command, input: &str) -> Result<Vec<u8>, String> {
        command.env_clear().envs(self.environment.iter());
        let program = command.get_program().to_string_lossy().into_owned();
        let output = child::run_with_input(command, input.as_bytes().to_vec(), MAX_OUTPUT_BYTES, &self.interrupt)
            .map_err(|error| [vec![error.message], error.causes].concat().join(": "))?;
        if !output.status.success() {
            let said = super::remote::words(output.stderr.lines().next().unwrap_or_default().as_bytes());
            return Err(format!("{program}: {}: {said}", output.status));
        }
        Ok(output.stdout)
    }
}

/// A basic login as a header; none where it cannot be one.
pub(super) fn basic(user: &str, password: &str) -> Option<HeaderMap> {
    let token = data_encoding::BASE64.encode(format!("{user}:{password}").as_bytes());
    let mut value = HeaderValue::from_str(&format!("Basic {token}")).ok()?;
    value.set_sensitive(true);
    Some(HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
}

/// Words with quotes around some, as cmd/internal/quoted has them: nothing is escaped. None where a quote has no end.
fn split(text: &str) -> Option<Vec<String>> {
    let (mut words, mut rest) = (Vec::new(), text.trim_start());
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '"' | '\'' => rest[1..].split_once(first)?,
            _ => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    Some(words)
}

/// What a command prints: parseUserAuth of go. Of several blocks for one prefix the last counts.
fn parse(output: &str) -> Result<Vec<ForPrefix>, &'static str> {
    let (mut found, mut rest) = (Vec::new(), output);
    let mut line = |missing| {
        let (line, after) = rest.split_once('\n').ok_or(missing)?;
        rest = after;
        Ok((line, rest.is_empty()))
    };
    let mut is_over = output.is_empty();
    while !is_over {
        let mut prefixes = Vec::new();
        loop {
            let (url, _) = line("no empty line after the URLs")?;
            if url.is_empty() {
                break;
            }
            if !is_url(url) {
                return Err("a line before the first empty one is no URL");
            }
            prefixes.push(prefix(url).to_owned());
        }
        let mut headers = HeaderMap::new();
        loop {
            let (header, is_last) = line("no empty line after the headers")?;
            is_over = is_last;
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(": ").ok_or("a header line has no colon and space")?;
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "a header has a name that is none")?;
            let mut value = HeaderValue::from_bytes(value.trim().as_bytes())
                .map_err(|_| "a header has a value that no request takes")?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        found.extend(prefixes.into_iter().map(|prefix| (prefix, headers.clone())));
    }
    Ok(found)
}

/// What `url.ParseRequestURI` takes, as far as it matters: something with a scheme, or a path.
fn is_url(line: &str) -> bool {
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let is_plain = line.chars().all(|c| !c.is_control() && c != ' ');
    is_plain && (line.starts_with('/') || line.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme)))
}

/// A URL as credentials are kept for it.
pub(super) fn prefix(url: &str) -> &str {
    let url = url.strip_prefix("https://").unwrap_or(url);
    url.strip_suffix('/').unwrap_or(url)
}

/// URL, user and password of what `git credential fill` prints: parseGitAuth of go.
fn filled(output: &str) -> (String, String, String) {
    let (mut protocol, mut host, mut path) = (String::new(), String::new(), String::new());
    let (mut url, mut user, mut password) = (None, String::new(), String::new());
    for (key, value) in output.lines().filter_map(|line| line.trim().split_once('=')) {
        let to = match key {
            "protocol" => &mut protocol,
            "host" => &mut host,
            "path" => &mut path,
            "username" => &mut user,
            "password" => &mut password,
            "url" if is_url(value) => url.insert(String::new()),
            _ => continue,
        };
        value.clone_into(to);
    }
    let joined = || {
        let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
        if host.is_empty() { String::new() } else { format!("{protocol}://{host}{slash}{path}") }
    };
    (url.unwrap_or_else(joined), user, password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_those_of_go() {
        assert_eq!(Method::all(""), Ok(vec![Method::Netrc]));
        assert_eq!(Method::all("off"), Ok(Vec::new()));
        let command = |words: &[&str]| Method::Command(words.iter().map(|&word| word.to_owned()).collect());
        assert_eq!(
            Method::all("netrc; /bin/give 'a b' \"c\"d ;git /"),
            Ok(vec![Method::Netrc, command(&["/bin/give", "a b", "c", "d"]), Method::Git("/".into())])
        );
        for wrong in ["netrc;", ";", "netrc;off", "git", "git a", "git / /", "git /no/such/place", "x 'y"] {
            assert!(Method::all(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_a_command_prints_is_read_as_go_reads_it() {
        // Examples of go's own test.
        let read = |output: &str| {
            parse(output).map(|found| {
                let shown = |(prefix, headers): ForPrefix| {
                    let shown: Vec<String> =
                        headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
                    (prefix, shown.join(","))
                };
                found.into_iter().map(shown).collect::<Vec<_>>()
            })
        };
        let is = |pairs: &[(&str, &str)]| Ok(pairs.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect());
        assert_eq!(
            read(
                "https://example.com\n\nAuthorization: Basic Zm9v\n\nhttps://hello.com/\nhttps://a.test/x\n\nA: 1\na:  2\n\n"
            ),
            is(&[("example.com", "authorization=Basic Zm9v"), ("hello.com", "a=1,a=2"), ("a.test/x", "a=1,a=2")])
        );
        assert_eq!(read(""), is(&[]));
        assert_eq!(read("https://example.com\n\n\n"), is(&[("example.com", "")]));
        for wrong in [
            "https://example.com",
            "https://example.com\n",
            "https://example.com\n\nA: 1\n",
            "https://example.com\n\nA: 1",
            "example.com\n\nA: 1\n\n",
            "https://example.com\n\nA 1\n\n",
            "https://example.com\n\n: 1\n\n",
            "https://example.com\n\nA(: 1\n\n",
            "https://example.com\n\nA: 1\x012\n\n",
            "https://exa mple.com\n\nA: 1\n\n",
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_git_says_is_read_as_go_reads_it() {
        let is = |url: &str, user: &str, password: &str| (url.to_owned(), user.to_owned(), password.to_owned());
        assert_eq!(
            filled("protocol=https\nhost=example.com\nusername=bob\npassword=secr3t\n"),
            is("https://example.com", "bob", "secr3t")
        );
        assert_eq!(
            filled("protocol=https\nhost=example.com\npath=x/y\nusername=u\npassword=a=b\n"),
            is("https://example.com/x/y", "u", "a=b")
        );
        assert_eq!(filled("url=https://a.test/b\nusername=u\n"), is("https://a.test/b", "u", ""));
        assert_eq!(filled("username=u\nurl=:\nfatal: no\n"), is("", "u", ""));
    }

    #[cfg(unix)]
    #[test]
    fn git_is_asked_for_a_url_and_told_whether_it_was_right() {
        use std::fs;
        let directory = tempfile::tempdir().unwrap();
        let (helper, log) = (directory.path().join("helper"), directory.path().join("log"));
        let text = format!(
            "echo $1 >>{}; cat >/dev/null; if [ $1 = get ]; then echo username=bob; echo password=secret; fi\n",
            log.display()
        );
        fs::write(&helper, text).unwrap();
        let config = format!("[credential]\n\thelper = \"!sh '{}'\"\n", helper.display());
        fs::write(directory.path().join(".gitconfig"), config).unwrap();
        let mut environment = Environment::default();
        environment.set("PATH", std::env::var_os("PATH").unwrap());
        environment.set("HOME", directory.path());
        let runner = Runner::new(&environment, &Interrupt::default());
        for (is_right, told) in [(true, "store"), (false, "erase")] {
            let _ = fs::remove_file(&log);
            let asked = Asked { url: "https://a.test/x/y", answer: "" };
            let filled = runner.git(&directory.path().to_owned(), &asked).unwrap();
            assert_eq!((&*filled.url, &filled.headers), ("https://a.test", &basic("bob", "secret").unwrap()));
            runner.tell(filled, is_right);
            assert_eq!(fs::read_to_string(&log).unwrap(), format!("get\n{told}\n"));
        }
        // Without a login git says so; nobody is asked on a terminal.
        fs::write(&helper, "cat >/dev/null\n").unwrap();
        let asked = Asked { url: "https://a.test/x/y", answer: "" };
        assert!(runner.git(&directory.path().to_owned(), &asked).is_err());
    }

    #[test]
    fn nobody_reads_a_password_in_a_message() {
        let headers = basic("user", "pass").unwrap();
        assert!(!format!("{headers:?}").contains("dXNlcjpwYXNz"), "{headers:?}");
    }
}
