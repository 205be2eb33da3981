//! How connections are treated, and how they end.

use crate::support::{Client, Running, mirror, noise, start, start_with, write};
use modferry_server::{Settings, Timeouts};
use std::fs::OpenOptions;
use std::io::Read;
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// More than the system takes for both sides of a connection together.
const LARGE: usize = 32 << 20;
const ZIP: &str = "/ex.org/a/@v/v1.0.0.zip";
const MOD: &str = "/ex.org/a/@v/v1.0.0.mod";

fn small() -> TempDir {
    let temp = tempfile::tempdir().unwrap();
    mirror(temp.path(), &[("ex.org/a/@v/v1.0.0.mod", b"module ex.org/a\n")]);
    temp
}

fn large() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| noise(LARGE))
}

fn with_large_zip() -> TempDir {
    let temp = small();
    mirror(temp.path(), &[("ex.org/a/@v/v1.0.0.zip", large())]);
    temp
}

/// With limits that a busy machine does not reach by itself, and that a test can wait for.
fn quick() -> Settings {
    let short = Duration::from_millis(800);
    let timeouts = Timeouts { head: short, idle: short, stall: short };
    Settings { timeouts, ..Settings::default() }
}

/// A client that has begun to read the large zip and stopped.
fn stuck(server: &Running) -> Client {
    let mut client = server.connect();
    client.send(&format!("GET {ZIP} HTTP/1.1\r\nHost: here\r\n\r\n"));
    assert!(client.fill());
    client
}

#[test]
fn a_connection_serves_many_requests_and_survives_refusals() {
    let temp = small();
    let server = start(temp.path());
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(client.ask("GET", MOD, "").status, 200);
        assert_eq!(client.ask("GET", "/ex.org/none/@v/list", "").status, 404);
        assert_eq!(client.ask("HEAD", "/ex.org/none/@v/list", "").status, 404);
        let refused = client.ask("POST", MOD, "Content-Length: 0\r\n");
        assert_eq!((refused.status, refused.field("allow")), (405, "GET, HEAD"));
        assert_eq!(client.ask("DELETE", MOD, "").status, 405);
        assert_eq!(client.ask("OPTIONS", "*", "").status, 405);
    }
    // Two requests in one packet are two answers.
    let request = format!("GET {MOD} HTTP/1.1\r\nHost: here\r\n\r\n");
    client.send(&request.repeat(2));
    assert_eq!((client.answer("GET").status, client.answer("GET").status), (200, 200));
    let last = client.ask("GET", MOD, "Connection: close\r\n");
    assert_eq!(last.status, 200);
    assert!(client.is_closed());
}

#[test]
fn no_body_is_taken() {
    let temp = small();
    let server = start(temp.path());
    for (method, headers, status) in [
        ("POST", "Content-Length: 5\r\n", 405),
        ("PUT", "Transfer-Encoding: chunked\r\n", 405),
        ("GET", "Content-Length: 5\r\n", 400),
        ("GET", "Transfer-Encoding: chunked\r\n", 400),
        ("HEAD", "Content-Length: 5\r\n", 400),
        ("POST", "Content-Length: 5\r\nExpect: 100-continue\r\n", 405),
    ] {
        let mut client = server.connect();
        let refused = client.ask(method, MOD, headers);
        assert_eq!((refused.status, refused.field("connection")), (status, "close"), "{method} {headers}");
        assert!(client.is_closed(), "{method} {headers}");
    }
}

#[test]
fn what_is_not_http_is_refused() {
    let temp = small();
    let server = start(temp.path());
    let many: String = (0..100).map(|i| format!("X-{i}: y\r\n")).collect();
    for (text, status) in [
        (format!("GET {MOD} HTTP/1.1\r\n\r\n"), 400),
        (format!("GET {MOD} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400),
        (format!("GET {MOD} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), 400),
        (format!("GET {MOD} HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"), 400),
        (format!("GET {MOD} HTTP/1.1\r\nHost : a\r\n\r\n"), 400),
        ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("nonsense\r\n\r\n".to_owned(), 400),
        (format!("GET {MOD} HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431),
        (format!("GET {MOD} HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(20_000)), 431),
    ] {
        let mut client = server.connect();
        client.send(&text);
        assert_eq!(client.answer("GET").status, status, "{}", &text[..text.len().min(80)]);
        assert!(client.is_closed());
    }
    // The old protocol has no Host.
    let mut client = server.connect();
    client.send(&format!("GET {MOD} HTTP/1.0\r\n\r\n"));
    assert_eq!(client.answer("GET").text(), "module ex.org/a\n");
    assert!(client.is_closed());
}

#[test]
fn a_head_that_does_not_come_ends_the_connection() {
    let temp = small();
    let server = start_with(temp.path(), quick());
    let mut silent = server.connect();
    let mut slow = server.connect();
    slow.send("GET / HT");
    let mut idle = server.connect();
    assert_eq!(idle.ask("GET", MOD, "").status, 200);
    assert!(silent.is_closed() && slow.is_closed() && idle.is_closed());
    // One more byte now and then gives no more time.
    let mut dripping = server.connect();
    let mut bytes = 0;
    while std::io::Write::write(&mut dripping.stream, b"G").is_ok() && bytes < 1000 {
        bytes += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(bytes < 1000);
}

#[test]
fn a_client_that_takes_nothing_is_let_go() {
    let temp = with_large_zip();
    // The only place for a connection is free again when the first one is let go.
    let server = start_with(temp.path(), Settings { connections: 1, ..quick() });
    let mut client = stuck(&server);
    assert_eq!(server.get(MOD).status, 200);
    let got = client.answer("GET");
    assert_eq!((got.status, got.whole), (200, false));
}

#[test]
fn a_slow_client_that_goes_on_gets_everything() {
    let temp = with_large_zip();
    let server = start_with(temp.path(), quick());
    let mut client = server.connect();
    client.send(&format!("GET {ZIP} HTTP/1.1\r\nHost: here\r\n\r\n"));
    // Longer than every limit, with pauses shorter than one.
    while client.received() < LARGE {
        std::thread::sleep(Duration::from_millis(100));
        let enough = client.received() + (2 << 20);
        while client.received() < enough.min(LARGE) {
            assert!(client.fill(), "cut after {} bytes", client.received());
        }
    }
    let got = client.answer("GET");
    assert!(got.whole && got.body == large());
}

#[test]
fn a_file_that_is_cut_while_it_is_sent_ends_the_connection() {
    let temp = with_large_zip();
    let server = start(temp.path());
    let mut client = stuck(&server);
    let file = OpenOptions::new().write(true).open(temp.path().join("download").join(&ZIP[1..])).unwrap();
    file.set_len(LARGE as u64 / 2).unwrap();
    let got = client.answer("GET");
    assert_eq!((got.status, got.whole), (200, false));
    assert!(large().starts_with(&got.body));
    assert!(client.is_closed());
    let told = server.events.lines();
    assert!(
        told.iter().any(|line| line.contains("v1.0.0.zip: cannot be read: the file has become shorter")),
        "{told:?}"
    );
}

#[test]
fn a_file_that_is_replaced_while_it_is_sent_is_sent_as_it_was() {
    let temp = with_large_zip();
    let server = start(temp.path());
    let mut client = stuck(&server);
    write(temp.path(), &format!("download{ZIP}"), b"other");
    let got = client.answer("GET");
    assert!(got.whole && got.body == large());
}

#[test]
fn running_answers_are_finished_after_the_wish_to_stop() {
    let temp = with_large_zip();
    let server = start(temp.path());
    let (mut running, mut idle, mut fresh) = (stuck(&server), server.connect(), server.connect());
    assert_eq!(idle.ask("GET", MOD, "").status, 200);
    server.shutdown.begin();
    assert!(idle.is_closed() && fresh.is_closed());
    let got = running.answer("GET");
    assert!(got.whole && got.body == large());
    assert!(running.is_closed());
    let address = server.address;
    let events = std::sync::Arc::clone(&server.events);
    assert_eq!(server.ended(), 0);
    assert!(std::net::TcpStream::connect(address).is_err());
    assert_eq!(events.lines().last().map(String::as_str), Some("stopped"));
}

#[test]
fn what_does_not_finish_in_time_is_cut() {
    let temp = with_large_zip();
    let settings = Settings { grace: Duration::from_millis(100), ..Settings::default() };
    let server = start_with(temp.path(), settings);
    let _client = stuck(&server);
    server.shutdown.begin();
    assert_eq!(server.ended(), 1);
    // And at once if that is wanted.
    let server = start(temp.path());
    let _client = stuck(&server);
    server.shutdown.begin();
    server.shutdown.now();
    assert_eq!(server.ended(), 1);
}

#[test]
fn at_the_cap_others_wait_and_are_not_dropped() {
    let temp = small();
    let settings = Settings { connections: 1, ..Settings::default() };
    let server = start_with(temp.path(), settings);
    let mut first = server.connect();
    assert_eq!(first.ask("GET", MOD, "").status, 200);
    let mut second = server.connect();
    second.send(&format!("GET {MOD} HTTP/1.1\r\nHost: here\r\n\r\n"));
    second.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(second.stream.read(&mut [0; 1]).is_err());
    drop(first);
    second.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(second.answer("GET").status, 200);
}
