//! A server on loopback, the trees it serves, and a client that shows every byte.

use modferry_format::ledger::{Ledger, Line};
use modferry_format::{BundleId, BundlePath, FileSha256};
use modferry_server::{Event, Events, Front, Settings, Shutdown, Site, limits, serve};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A client waits this long for anything; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server; dropping it stops it.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: Shutdown,
    pub(crate) events: Arc<Log>,
    thread: Option<JoinHandle<usize>>,
}

/// Keeps the lines of all events.
#[derive(Default)]
pub(crate) struct Log(Mutex<Vec<String>>);

impl Events for Log {
    fn event(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(event.to_string());
    }
}

impl Log {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

pub(crate) fn start(path: &Path) -> Running {
    start_with(path, Settings::default())
}

/// Both fronts, for tests of what a client sees.
pub(crate) const FRONTS: [Front; 2] = [Front::Own, Front::Hyper];

/// How long what can change is kept without looking at it again, and a little more.
pub(crate) fn until_it_is_looked_at_again() {
    thread::sleep(limits::RECHECK_AFTER + Duration::from_millis(50));
}

/// A server of this tree with each front.
pub(crate) fn start_both(path: &Path) -> Vec<Running> {
    FRONTS.map(|front| start_with(path, Settings { front, ..Settings::default() })).into()
}

pub(crate) fn start_with(path: &Path, settings: Settings) -> Running {
    let site = Site::open(path).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, events) = (Shutdown::default(), Arc::new(Log::default()));
    let thread = {
        let (shutdown, events) = (shutdown.clone(), Arc::clone(&events));
        thread::spawn(move || serve(site, vec![listener], settings, &shutdown, events).unwrap())
    };
    Running { address, shutdown, events, thread: Some(thread) }
}

impl Running {
    pub(crate) fn connect(&self) -> Client {
        Self::client_of(self.address)
    }

    /// A connection to a server that somebody else started.
    pub(crate) fn client_of(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream, rest: Vec::new() }
    }

    /// The answer to one request on a connection of its own.
    pub(crate) fn get(&self, target: &str) -> Answer {
        self.connect().ask("GET", target, "")
    }

    /// Waits for the end after `shutdown`; the number of connections that were cut.
    pub(crate) fn ended(mut self) -> usize {
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.now();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    rest: Vec<u8>,
}

/// One answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// Whether all bytes came that were promised.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    /// Sends a request with further header lines, each ended by CR LF, and reads the answer.
    pub(crate) fn ask(&mut self, method: &str, target: &str, headers: &str) -> Answer {
        self.send(&format!("{method} {target} HTTP/1.1\r\nHost: here\r\n{headers}\r\n"));
        self.answer(method)
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn answer(&mut self, method: &str) -> Answer {
        let end = loop {
            if let Some(at) = self.rest.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            assert!(self.fill(), "closed within a head: {:?}", String::from_utf8_lossy(&self.rest));
        };
        let head = String::from_utf8(self.rest.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let fields: BTreeMap<String, String> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = match fields.get("content-length") {
            _ if method == "HEAD" || status == 304 => 0,
            Some(length) => length.parse().unwrap(),
            None => panic!("no length: {head}"),
        };
        while self.rest.len() < length && self.fill() {}
        let whole = self.rest.len() >= length;
        let body = self.rest.drain(..length.min(self.rest.len())).collect();
        Answer { status, fields, body, whole }
    }

    /// Whether the server has closed the connection, with nothing more sent.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.rest.is_empty() && !self.fill()
    }

    /// Bytes that have come and were not taken by `answer`.
    pub(crate) fn received(&self) -> usize {
        self.rest.len()
    }

    /// Reads more; `false` at the end of the stream.
    pub(crate) fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(read) => {
                self.rest.extend_from_slice(&buffer[..read]);
                read > 0
            }
            // Closed with bytes of ours unread.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("waited in vain: {error}"),
        }
    }
}

/// Bytes that differ everywhere, so that a wrong part of them is seen.
pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Writes a mirror with these files below `download/`, each in its module's ledger where it belongs to one.
pub(crate) fn mirror(root: &Path, files: &[(&str, &[u8])]) {
    fs::create_dir_all(root.join("ledger")).unwrap();
    let mut ledgers: BTreeMap<String, Ledger> = BTreeMap::new();
    for (name, bytes) in files {
        let text = format!("download/{name}");
        write(root, &text, bytes);
        let Ok(path) = text.parse::<BundlePath>() else { continue };
        if let (Some(module), Some(name), true) = (path.module(), Ledger::name_of(&path), path.is_immutable()) {
            let line = Line {
                sha256: FileSha256::of(bytes),
                size: bytes.len() as u64,
                h1: None,
                bundle: BundleId::of(b"bundle"),
                name,
            };
            ledgers.entry(Ledger::path(module)).or_default().add(line);
        }
    }
    for (path, ledger) in ledgers {
        write(root, &path, ledger.to_string().as_bytes());
    }
}

/// Puts a file in place as an import does: complete, under its final name.
pub(crate) fn write(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let temporary = path.with_file_name(".new");
    fs::write(&temporary, bytes).unwrap();
    fs::rename(temporary, path).unwrap();
}
