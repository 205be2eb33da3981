//! The program itself: what it says, how it stops, and what it does not serve.

use crate::support::{Running, mirror};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_modferry-server"))
}

/// Ends the program whatever becomes of the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn says_what_it_serves_and_where_and_stops_at_a_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let temp = tempfile::tempdir().unwrap();
        mirror(temp.path(), &[("ex.org/a/@v/list", b"v1.0.0\n")]);
        let listen = ["--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--prefix", "/go/"];
        let child = program().arg(temp.path()).args(listen).stderr(Stdio::piped()).spawn().unwrap();
        let mut child = Ended(child);
        let mut stderr = BufReader::new(child.0.stderr.take().unwrap());
        let mut line = || {
            let mut line = String::new();
            stderr.read_line(&mut line).unwrap();
            line
        };
        assert_eq!(line(), format!("serving the mirror in {}\n", temp.path().display()));
        assert!(line().contains("confined"));
        for _ in 0..2 {
            let told = line();
            let address =
                told.strip_prefix("listening on http://").and_then(|rest| rest.strip_suffix("/go\n")).unwrap();
            let answer = Running::client_of(address.parse().unwrap()).ask("GET", "/go/ex.org/a/@v/list", "");
            assert_eq!(answer.text(), "v1.0.0\n");
        }
        kill_process(Pid::from_child(&child.0), signal).unwrap();
        assert_eq!(line(), "stopping; running answers are finished\n");
        assert_eq!(line(), "stopped\n");
        assert_eq!(child.0.wait().unwrap().code(), Some(0));
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[test]
fn what_cannot_be_served_is_said_with_a_way_out() {
    let temp = tempfile::tempdir().unwrap();
    let place = temp.path();
    let make = |name: &str| {
        fs::create_dir_all(place.join(name)).unwrap();
        place.join(name)
    };
    let (empty, bundle, inside) = (make("empty"), make("bundle"), make("bundle/download"));
    fs::write(bundle.join("BUNDLE"), "").unwrap();
    fs::write(place.join("b.tar"), "").unwrap();
    let linked = make("mirror/ledger").join("..");
    #[cfg(unix)]
    std::os::unix::fs::symlink(&inside, linked.join("download")).unwrap();
    let newer = make("newer");
    fs::write(newer.join("BUNDLE"), "").unwrap();
    fs::write(newer.join("bundle.json"), r#"{"format":2,"requires_features":[]}"#).unwrap();
    for (path, words) in [
        (&empty, ["is neither a bundle nor a mirror", "hint: modferry bundle makes a bundle"]),
        (&inside, ["is neither a bundle nor a mirror", "hint: name the bundle itself"]),
        (&bundle, ["has no bundle.json", "hint: modferry verify"]),
        (&place.join("b.tar"), ["b.tar: cannot be served", "hint: unpack a tar first"]),
        (&place.join("none"), ["none: cannot be served", "caused by: "]),
        (&linked, ["download: is no directory, and no link is followed", "hint: serve the place"]),
        (&newer, ["format 2; this modferry reads format 1", "error: "]),
    ] {
        fails_with(path, &["--listen", "127.0.0.1:0"], 2, &words);
    }
    mirror(&empty, &[]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    fails_with(&empty, &["--listen", &address], 2, &["cannot listen there", "hint: another program"]);
    fails_with(&empty, &["--prefix", "go"], 2, &["does not begin with /", "--prefix"]);
    fails_with(&empty, &["--listen", "nowhere"], 2, &["nowhere", "--listen"]);
}

fn fails_with(path: &Path, arguments: &[&str], code: i32, words: &[&str]) {
    let Output { status, stdout, stderr } = program().arg(path).args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&stderr);
    assert_eq!((status.code(), stdout.len()), (Some(code), 0), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} is not in: {stderr}");
    }
}
