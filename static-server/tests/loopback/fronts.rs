//! Both fronts give the same bytes for the same bytes, whatever a client sends.

use crate::support::{FRONTS, Running, mirror, noise, start_with};
use modferry_format::FileSha256;
use modferry_server::{Settings, Timeouts};
use proptest::prelude::*;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

const LIST: &[u8] = b"v1.0.0\nv1.1.0\n";

fn put_files(root: &Path) {
    mirror(
        root,
        &[
            ("ex.org/a/@v/list", LIST),
            ("ex.org/a/@v/v1.0.0.info", b"{\"Version\":\"v1.0.0\"}"),
            ("ex.org/a/@v/v1.0.0.mod", b"module ex.org/a\n"),
            ("ex.org/a/@v/v1.0.0.zip", &noise(30_000)),
            ("ex.org/a/@v/v1.1.0.zip", &noise(300_001)),
            ("ex.org/!upper/@v/v1.0.0.mod", b"module ex.org/Upper\n"),
            ("sumdb/sum.golang.org/supported", b""),
            ("sumdb/sum.golang.org/tile/8/0/000", &noise(256 * 32)),
        ],
    );
}

/// A server of the same tree with each front.
struct Both {
    servers: Vec<Running>,
    _temp: tempfile::TempDir,
}

impl Both {
    fn start() -> Self {
        let temp = tempfile::tempdir().unwrap();
        put_files(temp.path());
        // What is no whole request is given up soon.
        let short = Duration::from_millis(400);
        let timeouts = Timeouts { head: short, idle: short, ..Timeouts::default() };
        let servers = FRONTS.map(|front| start_with(temp.path(), Settings { front, timeouts, ..Settings::default() }));
        Self { servers: servers.into(), _temp: temp }
    }

    /// What each front answers to these bytes until it closes, but for the date.
    fn answers(&self, sent: &[u8]) -> Vec<String> {
        self.servers.iter().map(|server| timeless(&everything(server, sent))).collect()
    }

    /// The answer of both.
    fn answer(&self, sent: &[u8]) -> String {
        let answers = self.answers(sent);
        assert_eq!(answers[0], answers[1], "{:?}", String::from_utf8_lossy(sent));
        answers.into_iter().next().unwrap()
    }
}

/// All that comes until the end.
fn everything(server: &Running, sent: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // A server that has refused the beginning may be gone.
    let _ = stream.write_all(sent);
    let mut came = Vec::new();
    match stream.read_to_end(&mut came) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}: {:?}", String::from_utf8_lossy(sent)),
    }
    came
}

/// Without what is of the moment, and with the fields of each head in one order: hyper puts the length of nothing last. A
/// client of the old protocol that wants to go on and is refused is told both by hyper, which then closes.
fn timeless(answer: &[u8]) -> String {
    let (mut text, mut head) = (String::new(), None::<Vec<String>>);
    // Bodies may be anything; as text they are still told apart.
    for line in answer.iter().map(|&byte| char::from(byte)).collect::<String>().split_inclusive('\n') {
        match &mut head {
            // A body may end without the end of a line.
            None => match line.find("HTTP/1.") {
                Some(_) => {
                    text.push_str(line);
                    head = Some(Vec::new());
                }
                None => text.push_str(line),
            },
            Some(fields) if line == "\r\n" => {
                fields.sort();
                text.extend(fields.drain(..));
                text.push_str(line);
                head = None;
            }
            Some(fields) => fields.push(match line {
                date if date.starts_with("date: ") => "date\r\n".to_owned(),
                "connection: close, keep-alive\r\n" => "connection: close\r\n".to_owned(),
                other => other.to_owned(),
            }),
        }
    }
    // What was cut within a head is told apart too.
    text.extend(head.into_iter().flatten());
    text
}

fn statuses(answer: &str) -> Vec<&str> {
    answer.split("HTTP/1.").skip(1).map(|rest| rest[2..5].trim()).collect()
}

const LAST: &str = "GET /ex.org/a/@v/v1.0.0.mod HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

#[test]
fn what_two_programs_could_read_in_two_ways_is_refused_and_nothing_behind_it_is_answered() {
    let both = Both::start();
    let smuggled = "GET /ex.org/a/@v/list HTTP/1.1\r\nHost: h\r\n\r\n";
    for (head, status) in [
        // Two lengths, or a length that is none.
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -0\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5 5\r\n\r\n", "400"),
        // A length and an encoding, in both orders; an encoding that is not the last, or nearly none.
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "405"),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding\t: chunked\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\u{b}chunked\r\n\r\n", "400"),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        // A body that is announced is never read.
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 44\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 44\r\n\r\n", "405"),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        // Lines that go on, that begin with a blank, that end in odd ways.
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\n Host: h\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", "400"),
        // Hosts, and request lines.
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "400"),
        ("GET / HTTP/1.1 \r\nHost: h\r\n\r\n", "400"),
        ("GET / HTTP/1.2\r\nHost: h\r\n\r\n", "400"),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", "400"),
        ("GET /\u{7f} HTTP/1.1\r\nHost: h\r\n\r\n", "400"),
        ("GET / http/1.1\r\nHost: h\r\n\r\n", "400"),
        ("G@T / HTTP/1.1\r\nHost: h\r\n\r\n", "400"),
    ] {
        let answer = both.answer(format!("{head}{smuggled}").as_bytes());
        assert_eq!(statuses(&answer), [status], "{head:?}: {answer}");
    }
    // What can be read in one way only is answered, and so is what comes behind it.
    for head in [
        "\r\n\r\nGET /ex.org/a/@v/list HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /ex.org/a/@v/list HTTP/1.1\nHost: h\n\n",
        "GET /ex.org/a/@v/list HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        "GET /ex.org/a/@v/list HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n",
        "GET /ex.org/a/@v/list HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        "GET /ex.org/a/@v/list HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ] {
        let answer = both.answer(format!("{head}{LAST}").as_bytes());
        assert_eq!(statuses(&answer), ["200", "200"], "{head:?}: {answer}");
    }
}

#[test]
fn no_way_out_of_the_tree_is_found_in_any_encoding() {
    let both = Both::start();
    let steps =
        ["..", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "%c0%ae%c0%ae", "..%00", "..;", "\u{2025}", "%u002e%u002e"];
    let slashes = ["/", "%2f", "%2F", "\\", "%5c", "//", "/./", "%252f"];
    let mut sent = String::new();
    let mut count = 0;
    for step in steps {
        for slash in slashes {
            for target in [
                format!("/{step}{slash}ledger{slash}ex.org{slash}a{slash}@sums"),
                format!("/ex.org/a/@v{slash}{step}{slash}{step}{slash}{step}{slash}{step}{slash}ledger/ex.org/a/@sums"),
                format!("{slash}{step}{slash}{step}{slash}etc{slash}passwd"),
            ] {
                sent.push_str(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
                count += 1;
                // As many as a head is long; each is answered by itself.
                if sent.len() > 8000 {
                    none_is_found(&both, &std::mem::take(&mut sent));
                }
            }
        }
    }
    none_is_found(&both, &sent);
    assert_eq!(count, steps.len() * slashes.len() * 3);
}

fn none_is_found(both: &Both, sent: &str) {
    for request in sent.split_inclusive("\r\n\r\n") {
        let request = request.replace("Host: h\r\n", "Host: h\r\nConnection: close\r\n");
        let answer = both.answer(request.as_bytes());
        assert!(matches!(statuses(&answer)[..], ["404" | "400"]), "{request}: {answer}");
        assert!(!answer.contains("root:") && !answer.contains("v1.0.0.info"), "{request}: {answer}");
    }
}

#[test]
fn every_part_of_a_file_is_the_same_from_both() {
    let both = Both::start();
    let (small, large) = (noise(30_000), noise(300_001));
    for (target, bytes) in [("/ex.org/a/@v/v1.0.0.zip", &small), ("/ex.org/a/@v/v1.1.0.zip", &large)] {
        let size = bytes.len();
        let edges = [0, 1, 4095, 4096, 16_383, 16_384, 65_536, 131_072, 262_143, 262_144, size - 1, size];
        for first in edges {
            for last in edges.into_iter().filter(|&last| first <= last && last < size) {
                let request = format!(
                    "GET {target} HTTP/1.1\r\nHost: h\r\nRange: bytes={first}-{last}\r\nConnection: close\r\n\r\n"
                );
                let answer = both.answer(request.as_bytes());
                let body: String = bytes[first..=last].iter().map(|&byte| char::from(byte)).collect();
                assert!(
                    answer.starts_with("HTTP/1.1 206 ") && answer.ends_with(&format!("\r\n\r\n{body}")),
                    "{request}"
                );
            }
        }
    }
}

/// One request, right or wrong.
fn request() -> impl Strategy<Value = String> {
    let tag = format!("If-None-Match: \"{}\"", FileSha256::of(LIST));
    let if_range = format!("If-Range: \"{}\"", FileSha256::of(LIST));
    let method = prop_oneof![
        6 => Just("GET"), 2 => Just("HEAD"), 1 => Just("POST"), 1 => Just("OPTIONS"), 1 => Just("get"), 1 => Just("CONNECT"),
    ];
    let known = prop::sample::select(vec![
        "/ex.org/a/@v/list",
        "/ex.org/a/@v/v1.0.0.info",
        "/ex.org/a/@v/v1.0.0.mod",
        "/ex.org/a/@v/v1.0.0.zip",
        "/ex.org/a/@v/v1.1.0.zip",
        "/ex.org/%21upper/@v/v1.0.0.mod",
        "/ex.org/!upper/@v/v1.0.0.mod",
        "/ex.org/a/@v/v9.0.0.mod",
        "/sumdb/sum.golang.org/supported",
        "/sumdb/sum.golang.org/tile/8/0/000.p/7",
        "/",
        "*",
        "//ex.org/a/@v/list",
        "http://h/ex.org/a/@v/list",
        "/ex.org/a/@v/list?x",
        "/ex.org/a/@v/list#x",
        "/ex.org/%zz",
        "/%2e%2e/ledger",
        "h:80",
        "",
    ]);
    let target = prop_oneof![8 => known.prop_map(str::to_owned), 2 => "/[!-~]{0,30}", 1 => "\\PC{0,20}"];
    let version = prop_oneof![8 => Just("HTTP/1.1"), 2 => Just("HTTP/1.0"), 1 => Just("HTTP/1.2"), 1 => Just("HTTP/3")];
    let field = prop::sample::select(vec![
        "Host: h".to_owned(),
        "host: other".to_owned(),
        "Connection: close".to_owned(),
        "Connection: keep-alive".to_owned(),
        "Connection: x, Keep-Alive".to_owned(),
        "Range: bytes=0-3".to_owned(),
        "Range: bytes=-5".to_owned(),
        "Range: bytes=999999999-".to_owned(),
        "Range: bytes=1-2,4-5".to_owned(),
        tag,
        if_range,
        "If-None-Match: *".to_owned(),
        "If-None-Match: \u{e9}".to_owned(),
        "If-Modified-Since: Wed, 21 Oct 2026 07:28:00 GMT".to_owned(),
        "If-Modified-Since: Fri, 31 Dec 2100 23:59:59 GMT".to_owned(),
        "If-Modified-Since: x".to_owned(),
        "Content-Length: 0".to_owned(),
        "Content-Length: 5".to_owned(),
        "Content-Length: 18446744073709551615".to_owned(),
        "Content-Length: x".to_owned(),
        "Transfer-Encoding: chunked".to_owned(),
        "Transfer-Encoding: gzip".to_owned(),
        "Expect: 100-continue".to_owned(),
        "Upgrade: h2c".to_owned(),
        "X: \t y ".to_owned(),
        "X : y".to_owned(),
        " folded".to_owned(),
        "X: \u{0}".to_owned(),
    ]);
    let end = prop_oneof![9 => Just("\r\n"), 1 => Just("\n")];
    let fields = prop::collection::vec(field, 0..4);
    let host = prop_oneof![5 => Just("Host: h\r\n"), 1 => Just("")];
    (method, target, version, host, fields, end).prop_map(|(method, target, version, host, fields, end)| {
        let fields: String = fields.iter().map(|field| format!("{field}{end}")).collect();
        format!("{method} {target} {version}{end}{host}{fields}{end}")
    })
}

/// A few, or as many as somebody asks for (`tests/full` does).
fn cases() -> ProptestConfig {
    let asked = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { asked.cases } else { 12 };
    ProptestConfig { cases, failure_persistence: None, ..asked }
}

proptest! {
    #![proptest_config(cases())]

    /// Each case is many conversations, since a server is started for it.
    #[test]
    fn any_conversation_is_the_same_with_both(
        conversations in prop::collection::vec(prop::collection::vec(request(), 1..4), 40),
        cut in 0_usize..400,
    ) {
        let both = Both::start();
        for (number, requests) in conversations.iter().enumerate() {
            let mut sent = requests.concat();
            sent.push_str(LAST);
            if number == 0 {
                // One that ends in the middle of a head.
                let end = (0..=cut.min(sent.len())).rev().find(|&end| sent.is_char_boundary(end)).unwrap();
                sent.truncate(end);
            }
            let answers = both.answers(sent.as_bytes());
            prop_assert_eq!(&answers[0], &answers[1], "{:?}", sent);
        }
    }
}
