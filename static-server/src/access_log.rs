//! The access log: a line for each answer, as text that tools for web servers read, or as JSON.
//!
//! A thread that serves writes lines into memory of its own and hands them over in pieces; one other thread writes them to
//! the file. So no answer waits for a disk, and where the disk cannot keep up lines are lost and their number is told.

use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Events};
use crate::limits::{LOG_CHUNK_BYTES, MAX_LOG_CHUNKS};
use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Forms of a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// The common log format: `HOST - - [TIME] "REQUEST" STATUS BYTES`.
    #[default]
    Text,
    /// An object with `time`, `client`, `method`, `target`, `status` and `bytes`.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("neither text nor json".to_owned()),
        }
    }
}

/// Where lines go.
#[derive(Debug)]
pub struct AccessLog {
    format: LogFormat,
    /// None for standard output, which is never opened again.
    path: Option<PathBuf>,
    chunks: SyncSender<Message>,
    taken: Mutex<Option<(Receiver<Message>, Output)>>,
    lost: AtomicU64,
}

#[derive(Debug)]
enum Message {
    Lines(Vec<u8>),
    Reopen,
    End,
}

#[derive(Debug)]
enum Output {
    File(File),
    Standard(io::Stdout),
}

/// What a line is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) client: Option<SocketAddr>,
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) version: &'a str,
    pub(crate) status: u16,
    /// Of the body, those that were sent.
    pub(crate) bytes: u64,
    pub(crate) now: SystemTime,
}

thread_local! {
    static LINES: RefCell<Lines> = RefCell::default();
}

#[derive(Debug, Default)]
struct Lines {
    text: Vec<u8>,
    second: u64,
    time: String,
}

impl AccessLog {
    /// Opens a file, to which lines are added; none for standard output.
    pub fn open(path: Option<&Path>, format: LogFormat) -> Result<Self> {
        let output = match path {
            Some(path) => Output::File(append_to(path).map_err(|error| {
                Error::new(ErrorKind::Io, format!("{}: the access log cannot be written", path.display()))
                    .because(error)
            })?),
            None => Output::Standard(io::stdout()),
        };
        let (chunks, taken) = sync_channel(MAX_LOG_CHUNKS);
        let taken = Mutex::new(Some((taken, output)));
        Ok(Self { format, path: path.map(Path::to_owned), chunks, taken, lost: AtomicU64::new(0) })
    }

    /// Opens the file by its name again, once what has been handed over is written: for programs that move logs away.
    pub fn reopen(&self) {
        // A full queue is written first; this is for a thread that serves nobody.
        let _ = self.chunks.send(Message::Reopen);
    }

    /// The file's directory, where another file may be made under its name.
    pub(crate) fn directory(&self) -> Option<&Path> {
        let parent = self.path.as_deref()?.parent()?;
        Some(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
    }

    /// Writes what is handed over, until `end`.
    pub(crate) fn write(&self, events: &dyn Events) {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((chunks, mut output)) = taken else { return };
        let tell = |error: &io::Error| events.event(&Event::LogFailed(error));
        for message in chunks {
            let done = match message {
                Message::Lines(lines) => output.write(&lines),
                Message::Reopen => match &self.path {
                    Some(path) => append_to(path).map(|file| output = Output::File(file)),
                    None => Ok(()),
                },
                Message::End => return,
            };
            if let Err(error) = done {
                tell(&error);
            }
            match self.lost.swap(0, Ordering::Relaxed) {
                0 => {}
                lost => tell(&io::Error::other(format!("{lost} bytes of lines were lost: the disk is too slow"))),
            }
        }
    }

    /// Ends `write` once everything is written.
    pub(crate) fn end(&self) {
        let _ = self.chunks.send(Message::End);
    }

    /// Adds a line; it is written with others later.
    pub(crate) fn note(&self, entry: &Entry<'_>) {
        LINES.with_borrow_mut(|lines| {
            lines.add(self.format, entry);
            if lines.text.len() >= LOG_CHUNK_BYTES {
                self.hand_over(std::mem::take(&mut lines.text));
            }
        });
    }

    /// Hands over the lines of this thread.
    pub(crate) fn flush(&self) {
        let text = LINES.with_borrow_mut(|lines| std::mem::take(&mut lines.text));
        if !text.is_empty() {
            self.hand_over(text);
        }
    }

    fn hand_over(&self, text: Vec<u8>) {
        let bytes = text.len() as u64;
        if self.chunks.try_send(Message::Lines(text)).is_err() {
            self.lost.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

impl Output {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all(lines),
            Self::Standard(output) => {
                let mut output = output.lock();
                output.write_all(lines).and_then(|()| output.flush())
            }
        }
    }
}

/// A line is written whole, and behind what others write.
fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Lines {
    fn add(&mut self, format: LogFormat, entry: &Entry<'_>) {
        let second = entry.now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.second != second || self.time.is_empty() {
            self.time = time(format, &httpdate::fmt_http_date(entry.now));
            self.second = second;
        }
        let out = &mut self.text;
        // Writing to memory does not fail.
        let _ = match format {
            LogFormat::Text => (|| {
                match entry.client {
                    Some(client) => write!(out, "{}", client.ip())?,
                    None => out.write_all(b"unix:")?,
                }
                write!(out, " - - [{}] \"", self.time)?;
                escape(entry.method, format, out);
                out.push(b' ');
                escape(entry.target, format, out);
                writeln!(out, " {}\" {} {}", entry.version, entry.status, entry.bytes)
            })(),
            LogFormat::Json => (|| {
                write!(out, "{{\"time\":\"{}\",\"client\":\"", self.time)?;
                match entry.client {
                    Some(client) => write!(out, "{}", client.ip())?,
                    None => out.write_all(b"unix:")?,
                }
                out.write_all(b"\",\"method\":\"")?;
                escape(entry.method, format, out);
                out.write_all(b"\",\"target\":\"")?;
                escape(entry.target, format, out);
                writeln!(out, "\",\"status\":{},\"bytes\":{}}}", entry.status, entry.bytes)
            })(),
        };
    }
}

/// A time as each format has it, from that of HTTP: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn time(format: LogFormat, http: &str) -> String {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let part = |from, to| http.get(from..to).unwrap_or_default();
    let (day, month, year, clock) = (part(5, 7), part(8, 11), part(12, 16), part(17, 25));
    match format {
        LogFormat::Text => format!("{day}/{month}/{year}:{clock} +0000"),
        LogFormat::Json => {
            let month = MONTHS.find(month).map_or(0, |at| at / 3 + 1);
            format!("{year}-{month:02}-{day}T{clock}Z")
        }
    }
}

/// What a client wrote, so that it can end neither its quotes nor its line.
fn escape(text: &str, format: LogFormat, out: &mut Vec<u8>) {
    let is_plain = |byte: u8| (b' '..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for c in text.chars() {
        let _ = match c {
            '"' | '\\' if format == LogFormat::Json => write!(out, "\\{c}"),
            c if c.is_ascii() && is_plain(c as u8) => write!(out, "{c}"),
            c if format == LogFormat::Json && (c as u32) < 0x80 => write!(out, "\\u{:04x}", c as u32),
            c if format == LogFormat::Json => write!(out, "{c}"),
            // As nginx writes it.
            c => c.encode_utf8(&mut [0; 4]).bytes().try_for_each(|byte| write!(out, "\\x{byte:02X}")),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn line(format: LogFormat, target: &str, client: Option<&str>) -> String {
        let mut lines = Lines::default();
        let entry = Entry {
            client: client.map(|client| client.parse().unwrap()),
            method: "GET",
            target,
            version: "HTTP/1.1",
            status: 200,
            bytes: 7,
            now: UNIX_EPOCH + Duration::from_secs(784_111_777),
        };
        lines.add(format, &entry);
        String::from_utf8(lines.text).unwrap()
    }

    #[test]
    fn a_line_is_what_tools_read() {
        assert_eq!(
            line(LogFormat::Text, "/ex.org/a/@v/list", Some("[::1]:80")),
            "::1 - - [06/Nov/1994:08:49:37 +0000] \"GET /ex.org/a/@v/list HTTP/1.1\" 200 7\n"
        );
        assert_eq!(
            line(LogFormat::Json, "/ex.org/a/@v/list", Some("192.0.2.1:80")),
            "{\"time\":\"1994-11-06T08:49:37Z\",\"client\":\"192.0.2.1\",\"method\":\"GET\",\
             \"target\":\"/ex.org/a/@v/list\",\"status\":200,\"bytes\":7}\n"
        );
        assert!(line(LogFormat::Text, "/", None).starts_with("unix: - - ["));
    }

    #[test]
    fn what_a_client_wrote_stays_in_its_place() {
        let target = "/\" 200 1\n\\\u{7f}\u{e9}";
        assert!(
            line(LogFormat::Text, target, None).contains(r#""GET /\x22 200 1\x0A\x5C\x7F\xC3\xA9 HTTP/1.1" 200 7"#)
        );
        let json = line(LogFormat::Json, target, None);
        assert!(json.contains(r#""target":"/\" 200 1\u000a\\\u007fé""#), "{json}");
        assert_eq!(json.matches('\n').count(), 1);
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_again_after_what_was_meant_for_it() {
        let temp = tempfile::tempdir().unwrap();
        let (path, moved) = (temp.path().join("log"), temp.path().join("log.1"));
        let log = AccessLog::open(Some(&path), LogFormat::Text).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| log.write(&()));
            log.hand_over(b"old\n".to_vec());
            std::fs::rename(&path, &moved).unwrap();
            log.reopen();
            log.hand_over(b"new\n".to_vec());
            log.end();
        });
        assert_eq!(std::fs::read(moved).unwrap(), b"old\n");
        assert_eq!(std::fs::read(path).unwrap(), b"new\n");
    }
}
