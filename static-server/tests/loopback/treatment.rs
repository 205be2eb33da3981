//! The program itself under bad treatment: clients that are slow, many, or gone, and an admin who stops it meanwhile.

use crate::support::{Client, Running, mirror, noise, until_it_is_looked_at_again};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const MOD: &str = "/ex.org/a/@v/v1.0.0.mod";
const ZIP: &str = "/ex.org/a/@v/v1.0.0.zip";
/// More than the system takes for both sides of a connection together.
const LARGE: usize = 32 << 20;

/// The program, ended with the test.
struct Program {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// Where it listens.
    places: Vec<String>,
    tree: TempDir,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_modferry-server"));
        Self::of(&mut command, arguments, tree())
    }

    /// Serves a tree; what is not an address of the network is given in the arguments.
    fn of(command: &mut Command, arguments: &[&str], tree: TempDir) -> Self {
        command.arg(tree.path()).args(["--listen", "127.0.0.1:0"]).args(arguments).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let wanted = 1 + arguments.iter().filter(|argument| **argument == "--listen").count();
        let mut places = Vec::new();
        while places.len() < wanted {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "ended before it listened");
            places.extend(line.strip_prefix("listening on ").map(|place| place.trim_end().to_owned()));
        }
        Self { child, stderr, places, tree }
    }

    fn address(&self) -> SocketAddr {
        self.places[0].strip_prefix("http://").unwrap().parse().unwrap()
    }

    fn connect(&self) -> Client {
        Running::client_of(self.address())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// What it still says, after it has ended in order.
    fn ended(mut self) -> String {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{said}");
        said
    }

    /// A figure of its `/proc/PID/status`.
    fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Seconds of CPU that it has taken; the system counts hundredths.
    fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tree() -> TempDir {
    let temp = tempfile::tempdir().unwrap();
    mirror(
        temp.path(),
        &[
            ("ex.org/a/@v/list", b"v1.0.0\n"),
            ("ex.org/a/@v/v1.0.0.mod", b"module ex.org/a\n"),
            ("ex.org/a/@v/v1.0.0.zip", &noise(LARGE)),
        ],
    );
    temp
}

/// A client that has begun to read the large zip and stopped.
fn stuck(program: &Program) -> Client {
    let mut client = program.connect();
    client.send(&format!("GET {ZIP} HTTP/1.1\r\nHost: here\r\n\r\n"));
    assert!(client.fill());
    client
}

#[test]
fn slow_heads_and_slow_readers_are_let_go_and_others_are_served() {
    let program = Program::start(&["--head-timeout", "1", "--stall-timeout", "1", "--idle-timeout", "1"]);
    let mut slow: Vec<Client> = (0..50).map(|_| program.connect()).collect();
    for (number, client) in slow.iter_mut().enumerate() {
        client.send(&format!("GET {ZIP} HTTP/1.1\r\nX: {number}"));
    }
    let mut readers: Vec<Client> = (0..10).map(|_| stuck(&program)).collect();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        // One byte now and then gives no more time.
        for client in &mut slow {
            let _ = client.stream.write(b"y");
        }
        let asked = Instant::now();
        assert_eq!(program.connect().ask("GET", MOD, "").status, 200);
        assert!(asked.elapsed() < Duration::from_millis(500));
        thread::sleep(Duration::from_millis(50));
    }
    assert!(slow.iter_mut().all(Client::is_closed));
    for reader in &mut readers {
        let got = reader.answer("GET");
        assert_eq!((got.status, got.whole), (200, false));
    }
}

#[test]
fn ten_thousand_idle_connections_cost_little_and_others_are_served() {
    const IDLE: usize = 10_000;
    // This process holds the other ends.
    let files = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: files, maximum: files }).unwrap();
    assert!(files.is_none_or(|files| files >= 2 * IDLE as u64), "the hard limit of open files must be 20,000 or more");
    let most = IDLE.to_string();
    let program = Program::start(&["--connections", &most, "--connections-per-address", &most]);
    let get = format!("GET {MOD} HTTP/1.1\r\nHost: here\r\n\r\n");
    // What serving at all takes is there before.
    let mut client = program.connect();
    assert_eq!(client.ask("GET", MOD, "").status, 200);
    let before = program.status("VmRSS");
    let mut idle = Vec::new();
    let mut buffer = [0; 1024];
    for number in 1..IDLE {
        let mut stream = TcpStream::connect(program.address()).unwrap();
        // Half of them have been served, and half have never asked.
        if number % 2 == 0 {
            stream.write_all(get.as_bytes()).unwrap();
            assert!(stream.read(&mut buffer).unwrap() > 0);
        }
        idle.push(stream);
    }
    let asked = Instant::now();
    assert_eq!(client.ask("GET", MOD, "").status, 200);
    assert!(asked.elapsed() < Duration::from_secs(1));
    let each = (program.status("VmRSS") - before) * 1024 / IDLE as u64;
    assert!(each <= 2048, "{each} bytes for each");
    drop(idle);
    assert_eq!(program.connect().ask("GET", MOD, "").status, 200);
}

#[test]
fn where_descriptors_run_out_nothing_spins_and_service_returns() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_modferry-server")]);
    let program = Program::of(&mut command, &[], tree());
    // More than it may open: they wait in the system's queue, or are told to come back.
    let clients: Vec<Client> = (0..120).map(|_| program.connect()).collect();
    thread::sleep(Duration::from_millis(300));
    let before = program.cpu();
    thread::sleep(Duration::from_secs(1));
    assert!(program.cpu() - before < 0.1, "{} s of CPU in a second", program.cpu() - before);
    drop(clients);
    for _ in 0..10 {
        assert_eq!(program.connect().ask("GET", MOD, "").status, 200);
    }
    // And with all of them at large files: whole, or refused, and never short.
    let mut readers: Vec<Client> = (0..20).map(|_| program.connect()).collect();
    for reader in &mut readers {
        reader.send(&format!("GET {ZIP} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"));
    }
    for reader in &mut readers {
        let got = reader.answer("GET");
        assert!(got.status == 503 || (got.status == 200 && got.whole && got.body.len() == LARGE), "{}", got.status);
    }
}

#[test]
fn an_address_has_no_more_connections_than_it_may_have() {
    let program = Program::start(&["--connections-per-address", "2"]);
    let (mut first, mut second) = (program.connect(), program.connect());
    assert_eq!((first.ask("GET", MOD, "").status, second.ask("GET", MOD, "").status), (200, 200));
    let mut third = program.connect();
    let refused = third.answer("GET");
    assert_eq!((refused.status, refused.text()), (503, "too many connections from this address\n"));
    assert!(third.is_closed());
    drop(first);
    // It takes a moment until the program has seen that.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut again = program.connect();
        again.send(&format!("GET {MOD} HTTP/1.1\r\nHost: here\r\n\r\n"));
        if again.answer("GET").status == 200 {
            break;
        }
        assert!(Instant::now() < deadline);
    }
}

#[test]
fn a_transfer_is_finished_after_sigterm_and_cut_after_the_grace() {
    let program = Program::start(&[]);
    let mut running = stuck(&program);
    program.signal(Signal::TERM);
    let address = program.address();
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "still accepts");
        thread::sleep(Duration::from_millis(10));
    }
    let got = running.answer("GET");
    assert!(got.whole && got.body == noise(LARGE));
    assert!(running.is_closed());
    assert_eq!(program.ended(), "stopping; running answers are finished\nstopped\n");

    let program = Program::start(&["--grace", "1"]);
    let mut running = stuck(&program);
    program.signal(Signal::TERM);
    let said = program.ended();
    assert!(said.ends_with("stopped; 1 connection was cut\n"), "{said}");
    assert!(!running.answer("GET").whole);
}

#[test]
fn a_file_that_is_cut_or_replaced_while_it_is_sent_is_never_padded() {
    let program = Program::start(&[]);
    let (mut cut, path) = (stuck(&program), program.tree.path().join("download").join(&ZIP[1..]));
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(LARGE as u64 / 2).unwrap();
    let got = cut.answer("GET");
    assert!(!got.whole && noise(LARGE).starts_with(&got.body));
    assert!(cut.is_closed());
    // The next request sees what is there, within a second.
    until_it_is_looked_at_again();
    let got = program.connect().ask("GET", ZIP, "");
    assert_eq!((got.whole, got.body.len()), (true, LARGE / 2));
    let mut replaced = stuck(&program);
    let new = program.tree.path().join("new");
    fs::write(&new, noise(LARGE - 1)).unwrap();
    fs::rename(&new, &path).unwrap();
    let got = replaced.answer("GET");
    assert!(got.whole && got.body == noise(LARGE)[..LARGE / 2]);
    until_it_is_looked_at_again();
    assert_eq!(program.connect().ask("GET", ZIP, "").body.len(), LARGE - 1);
}

#[test]
fn a_socket_in_the_file_system_serves_and_is_taken_away_at_the_end() {
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("socket");
    let listen = format!("unix:{}", socket.display());
    // What a program that was killed has left behind is no obstacle.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let program = Program::start(&["--listen", &listen]);
    assert_eq!(program.places[1], listen);
    let mut client = UnixStream::connect(&socket).unwrap();
    write!(client, "GET {ZIP} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert!(got.starts_with(b"HTTP/1.1 200 OK\r\n") && got.ends_with(&noise(LARGE)));
    // Two cannot have it.
    let mut second = Command::new(env!("CARGO_BIN_EXE_modferry-server"));
    let second = second.arg(program.tree.path()).args(["--listen", &listen]).output().unwrap();
    assert_eq!(second.status.code(), Some(2));
    program.signal(Signal::TERM);
    program.ended();
    assert!(!socket.exists());
}

#[test]
fn the_access_log_has_a_line_for_each_answer_and_is_opened_again_at_sighup() {
    for (format, words) in [
        (
            "text",
            [format!("\"GET {MOD} HTTP/1.1\" 200 16"), "\"GET /none HTTP/1.1\" 404 ".into(), format!("{LARGE}\n")],
        ),
        (
            "json",
            [
                format!("\"method\":\"GET\",\"target\":\"{MOD}\",\"status\":200,\"bytes\":16}}"),
                "\"target\":\"/none\",\"status\":404,".into(),
                format!("\"bytes\":{LARGE}}}\n"),
            ],
        ),
    ] {
        let place = tempfile::tempdir().unwrap();
        let (log, moved) = (place.path().join("access.log"), place.path().join("access.log.1"));
        let program = Program::start(&["--access-log", log.to_str().unwrap(), "--access-log-format", format]);
        let mut client = program.connect();
        for target in [MOD, MOD, "/none", ZIP] {
            client.ask("GET", target, "");
        }
        let written = |path: &std::path::Path, lines: usize| {
            let deadline = Instant::now() + Duration::from_secs(10);
            loop {
                let text = fs::read_to_string(path).unwrap_or_default();
                if text.lines().count() >= lines || Instant::now() > deadline {
                    return text;
                }
                thread::sleep(Duration::from_millis(20));
            }
        };
        let text = written(&log, 4);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        assert!(text.lines().all(|line| line.contains("127.0.0.1")), "{text}");
        fs::rename(&log, &moved).unwrap();
        program.signal(Signal::HUP);
        let deadline = Instant::now() + Duration::from_secs(10);
        while !log.exists() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        client.ask("HEAD", MOD, "");
        // The end writes what is left, without waiting.
        program.signal(Signal::TERM);
        program.ended();
        let text = fs::read_to_string(&log).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("HEAD"), "{text}");
        assert_eq!(written(&moved, 4).lines().count(), 4);
    }
}

#[test]
fn no_thread_can_get_more_rights() {
    let program = Program::start(&[]);
    assert_eq!(program.connect().ask("GET", MOD, "").status, 200);
    let tasks = fs::read_dir(format!("/proc/{}/task", program.child.id())).unwrap();
    let mut serving = 0;
    for task in tasks {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
        serving += 1;
    }
    assert!(serving > 1);
}
