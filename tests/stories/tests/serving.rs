//! A hundred clients download from a mirror while bundles are imported into it: what is listed is there, whole, and the
//! bytes are those of the bundles, at every moment.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

use modferry_harness::module::Module;
use modferry_harness::{built, synthetic_bundle};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const CLIENTS: usize = 100;
const BUNDLES: usize = 15;
const MODULES: usize = 6;

/// The files of all bundles by their URL.
type Expected = BTreeMap<String, Vec<u8>>;

#[test]
fn clients_never_see_half_an_import() {
    let directory = tempfile::tempdir().unwrap();
    let (mut expected, mut bundles) = (Expected::new(), Vec::new());
    for number in 0..BUNDLES {
        let bundle = directory.path().join(format!("b{number}"));
        let modules: Vec<Module> = (0..MODULES).map(|module| version(module, number)).collect();
        synthetic_bundle::write(&bundle, &modules).unwrap();
        remember(&bundle, &mut expected);
        bundles.push(bundle);
    }
    let mirror = directory.path().join("mirror");
    import(&bundles[0], &mirror);
    let mut server = Server::start(&mirror);
    let (done, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = Client::connect(&server.address);
                while !done.load(Ordering::Relaxed) {
                    asked.fetch_add(client.look_around(&expected), Ordering::Relaxed);
                }
            });
        }
        for bundle in &bundles[1..] {
            import(bundle, &mirror);
        }
        done.store(true, Ordering::Relaxed);
    });
    // What can change is looked at again within a second, so the last import is there by then.
    thread::sleep(Duration::from_millis(1050));
    let seen = Client::connect(&server.address).look_around(&expected);
    assert_eq!(seen, (MODULES * BUNDLES * 3) as u64, "files that are listed in the end");
    assert!(asked.into_inner() > 10 * seen, "the clients hardly got to ask");
    server.stop();
}

/// Version 1.`number`.0 of a module, larger than what a server sends at once.
fn version(module: usize, number: usize) -> Module {
    let path = format!("example.com/Mixed{module}");
    let noise: Vec<u8> =
        (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> (number % 13 + 8)) as u8).collect();
    let made = Module::new(&format!("{path}@v1.{number}.0")).unwrap();
    made.file("go.mod", format!("module {path}\n\ngo 1.21\n")).file("p.go", "package p\n").file("data.bin", noise)
}

fn remember(bundle: &Path, expected: &mut Expected) {
    let download = bundle.join("download");
    for entry in walkdir::WalkDir::new(&download).into_iter().flatten().filter(|entry| entry.file_type().is_file()) {
        let url = format!("/{}", entry.path().strip_prefix(&download).unwrap().display());
        expected.insert(url, fs::read(entry.path()).unwrap());
    }
}

fn import(bundle: &Path, mirror: &Path) {
    let mut command = Command::new(built::modferry().unwrap());
    let output =
        command.args(["import", "--quiet", "--unsigned", "--no-record", "*"]).arg(bundle).arg(mirror).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(mirror: &Path) -> Self {
        let mut command = Command::new(built::modferry().unwrap());
        command.arg("serve").arg(mirror).args(["--listen", "127.0.0.1:0"]).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address =
            lines.map_while(Result::ok).find_map(|line| line.strip_prefix("listening on http://").map(str::to_owned));
        let address = address.expect("the server says where it listens");
        Self { child, address }
    }

    fn stop(&mut self) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM)
            .unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only where the test has failed before `stop`.
        let _ = self.child.kill();
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: &str) -> Self {
        Self(BufReader::new(TcpStream::connect(address).unwrap()))
    }

    /// Gets every file that every list names; gives their number.
    fn look_around(&mut self, expected: &Expected) -> u64 {
        let mut files = 0;
        for module in 0..MODULES {
            let base = format!("/example.com/!mixed{module}/@v");
            let list = String::from_utf8(self.get(&format!("{base}/list"))).unwrap();
            assert!(!list.trim().is_empty(), "{base}/list is empty");
            for version in list.lines() {
                for suffix in ["info", "mod", "zip"] {
                    let url = format!("{base}/{version}.{suffix}");
                    assert!(self.get(&url) == expected[&url], "{url} is not what the bundle has");
                    files += 1;
                }
            }
        }
        files
    }

    /// The body of an answer, which must be 200 and whole.
    fn get(&mut self, url: &str) -> Vec<u8> {
        write!(self.0.get_mut(), "GET {url} HTTP/1.1\r\nHost: mirror\r\n\r\n").unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200 "), "{url}: {line}");
        let mut len = None;
        loop {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                len = Some(value.trim().parse::<usize>().unwrap());
            }
        }
        let mut body = vec![0; len.expect("an answer states its length")];
        self.0.read_exact(&mut body).unwrap_or_else(|error| panic!("{url}: body is short: {error}"));
        body
    }
}
