//! A plain HTTP server of files on the loopback interface that records every request: what a web server before the
//! `download` directory of a bundle would answer.
//!
//! It knows nothing of modules and shares no code with the product: a path is unescaped and looked up, a file is sent,
//! anything else is 404. [`Proxy`](crate::proxy::Proxy) is the one that can misbehave.

use crate::Outcome;
use crate::loopback::{Head, Loopback, Requests};
use std::fs::File;
use std::io::{self, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its path, unescaped, without the slash at its beginning.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
}

/// A running server; it stops when dropped.
pub struct LoggingServer {
    listener: Loopback,
    log: Arc<Mutex<Vec<Logged>>>,
}

impl LoggingServer {
    /// Serves the files below a directory.
    pub fn start(directory: &Path) -> Outcome<Self> {
        let (directory, log) = (directory.to_owned(), Arc::new(Mutex::new(Vec::new())));
        let shared = Arc::clone(&log);
        let listener = Loopback::start(move |stream, requests| {
            // A client that goes away is no matter of the server's.
            let _ = connection(&directory, &shared, stream, requests);
        })?;
        Ok(Self { listener, log })
    }

    /// Its URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.listener.address())
    }

    /// Every request since the last time that this was asked, as they came.
    pub fn take_log(&self) -> Vec<Logged> {
        std::mem::take(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn connection(
    directory: &Path,
    log: &Mutex<Vec<Logged>>,
    mut stream: &TcpStream,
    requests: Requests<'_>,
) -> io::Result<()> {
    for Head { method, target, .. } in requests {
        let path = target.strip_prefix('/').and_then(unescaped);
        let file = match (&path, method.as_str()) {
            (Some(path), "GET") => open(directory, path),
            _ => None,
        };
        // Before the answer goes out: who has the answer finds the request in the log.
        let status = if file.is_some() { 200 } else { 404 };
        let logged = Logged { path: path.unwrap_or(target), status };
        log.lock().unwrap_or_else(PoisonError::into_inner).push(logged);
        match file {
            Some((mut file, length)) => {
                stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes())?;
                io::copy(&mut file, &mut stream)?;
            }
            None => stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\n\r\nnot found\n")?,
        }
    }
    Ok(())
}

/// The file of a path with its length; none leads out of the directory.
fn open(directory: &Path, path: &str) -> Option<(File, u64)> {
    let is_plain = |element: &str| !element.is_empty() && element != "." && element != ".." && !element.contains('\0');
    if !path.split('/').all(is_plain) {
        return None;
    }
    let file = File::open(path.split('/').fold(PathBuf::from(directory), |at, element| at.join(element))).ok()?;
    let meta = file.metadata().ok()?;
    meta.is_file().then_some((file, meta.len()))
}

/// A path without its escapes; none where one of them is broken.
fn unescaped(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(piece.get(..2)?, 16).ok()?);
        bytes.extend(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::Shutdown;

    /// Sends requests on one connection and gives all that comes back.
    fn ask(server: &LoggingServer, requests: &str) -> String {
        let mut stream = TcpStream::connect(server.listener.address()).unwrap();
        stream.write_all(requests.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn serves_files_and_records_what_was_asked() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("download/example.com/!a/@v");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("list"), "v1.0.0\n").unwrap();
        std::fs::write(directory.path().join("secret"), "").unwrap();
        let server = LoggingServer::start(&directory.path().join("download")).unwrap();
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let both = get("/example.com/%21a/@v/list") + &get("/example.com/!a/@v/v1.0.0.zip");
        let answer = ask(&server, &both);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nv1.0.0\nHTTP/1.1 404 "), "{answer}");
        let logged = |path: &str, status| Logged { path: path.to_owned(), status };
        let expected = [logged("example.com/!a/@v/list", 200), logged("example.com/!a/@v/v1.0.0.zip", 404)];
        assert_eq!(server.take_log(), expected);
        for path in ["/../secret", "/%2e%2e/secret", "//example.com/!a/@v/list", "/example.com/!a/@v", "/%2", "/"] {
            assert!(ask(&server, &get(path)).starts_with("HTTP/1.1 404 "), "{path}");
        }
        assert!(ask(&server, "POST /example.com/!a/@v/list HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert_eq!(server.take_log().len(), 7);
    }
}
