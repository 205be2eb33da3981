//! A proxy on loopback for one command: hands on what upstream has, and remembers what was asked for.
//!
//! It speaks as much HTTP/1.1 as the go command does to a proxy: GET without a body, connections that are used again. Whoever
//! reaches it is the same user on the same machine.

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::Patience;
use crate::fetch::proxy_list::{Entry, ProxyList};
use crate::fetch::remote::{Base, Passed, Reader};
use crate::go_command::Settings;
use modferry_format::zip_names::MAX_ZIP_BYTES;
use modferry_format::{BundlePath, H1, ModuleVersion};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Connections to upstream.
const CONNECTIONS: usize = 16;
/// Times that a proxy is asked for one file.
const ATTEMPTS: u32 = 4;
/// Longest line of a request, and most lines of one.
const MAX_LINE_BYTES: u64 = 8 * 1024;
const MAX_LINES: usize = 100;

/// What it takes to be a proxy.
pub(super) struct Proxy<'a> {
    pub(super) proxies: ProxyList,
    /// The user's module cache: files of exact versions only.
    pub(super) users: PathBuf,
    /// Where files are kept while they are handed on.
    pub(super) store: PathBuf,
    pub(super) context: &'a Context<'a>,
    pub(super) settings: &'a Settings,
}

/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) versions: BTreeMap<ModuleVersion, Files>,
    /// Branches, tags and hashes that there was an answer for, as `MODULE@NAME`.
    pub(super) aliases: BTreeSet<String>,
    pub(super) absent: u64,
}

/// The files of one version that were handed on.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) go_mod: Option<H1>,
    /// Where its zip is until the end.
    pub(super) zip: Option<PathBuf>,
}

/// What came of asking upstream.
enum Answer {
    File(File, u64),
    Absent(String),
    Failed(String),
}

impl Proxy<'_> {
    /// Listens while `work` runs, which is told the URL.
    pub(super) fn during<T>(&self, work: impl FnOnce(&str) -> Result<T>) -> Result<(T, Seen)> {
        fs::create_dir_all(&self.store).map_err(|error| Error::io(&self.store, "could not be made", &error))?;
        let failed = |error: &io::Error| {
            Error::new(ErrorKind::Io, "127.0.0.1: no place to listen at").because(error.to_string())
        };
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| failed(&error))?;
        let address = listener.local_addr().map_err(|error| failed(&error))?;
        let patience = Patience::default();
        let (environment, interrupt) = (&self.context.environment, &self.context.interrupt);
        let connections = self.context.requests.unwrap_or(CONNECTIONS);
        let reader = Reader::new(environment, self.settings.get("GOAUTH"), patience, connections, interrupt);
        let (seen, done, number) = (Mutex::new(Seen::default()), AtomicBool::new(false), AtomicU64::new(0));
        let result = thread::scope(|scope| {
            let (reader, seen, done, number) = (&reader, &seen, &done, &number);
            scope.spawn(move || {
                for stream in listener.incoming() {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    // One that broke is the client's to open again.
                    scope.spawn(move || {
                        let _ = self.connection(stream, reader, seen, done, number);
                    });
                }
            });
            let result = work(&format!("http://{address}"));
            done.store(true, Ordering::Relaxed);
            // Wakes the listener up.
            drop(TcpStream::connect(address));
            self.complete(reader, seen);
            result
        })?;
        Ok((result, seen.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    fn connection(
        &self,
        stream: TcpStream,
        reader: &Reader<'_>,
        seen: &Mutex<Seen>,
        done: &AtomicBool,
        number: &AtomicU64,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        // So that a connection that is kept open does not keep us.
        stream.set_read_timeout(Some(std::time::Duration::from_millis(200)))?;
        let (mut input, mut out) = (BufReader::new(stream.try_clone()?), stream);
        loop {
            let Some(line) = line(&mut input, done)? else { return Ok(()) };
            for _ in 0..MAX_LINES {
                if self::line(&mut input, done)?.is_none_or(|line| line.is_empty()) {
                    break;
                }
            }
            let target = line.strip_prefix("GET ").and_then(|rest| rest.split(' ').next());
            let path = target.and_then(|target| target.strip_prefix('/')).map(|path| path.replace("%21", "!"));
            let Some(path) = path else {
                write!(out, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
                return Ok(());
            };
            let place = self.store.join(number.fetch_add(1, Ordering::Relaxed).to_string());
            match self.ask(&path, &place, reader) {
                Answer::File(mut file, size) => {
                    write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")?;
                    io::copy(&mut file, &mut out)?;
                    self.remember(&path, file, &place, seen)?;
                }
                Answer::Absent(words) => {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).absent += 1;
                    say(&mut out, "404 Not Found", &words)?;
                }
                Answer::Failed(words) => say(&mut out, "502 Bad Gateway", &words)?,
            }
            let _ = fs::remove_file(&place);
        }
    }

    /// Fetches the go.mod files of versions of which the info alone was asked for: in a go.sum they stand for it.
    fn complete(&self, reader: &Reader<'_>, seen: &Mutex<Seen>) {
        let seen = &mut *seen.lock().unwrap_or_else(PoisonError::into_inner);
        let place = self.store.join("go.mod");
        let lacking = seen.versions.iter_mut().filter(|(_, files)| files.go_mod.is_none() && files.zip.is_none());
        for (version, files) in lacking {
            let path = BundlePath::Mod(version.clone()).to_string();
            let mut bytes = Vec::new();
            if let Answer::File(file, _) = self.ask(path.trim_start_matches("download/"), &place, reader)
                && file.take(modferry_format::go_mod::MAX_BYTES).read_to_end(&mut bytes).is_ok()
            {
                files.go_mod = Some(H1::of_go_mod(&bytes));
            }
        }
    }

    /// From the user's module cache, or the first proxy that has it, as go falls from one to the next.
    fn ask(&self, path: &str, place: &PathBuf, reader: &Reader<'_>) -> Answer {
        let known: Option<BundlePath> = format!("download/{path}").parse().ok();
        // Of all else a module cache has only what it happens to have.
        if matches!(known, Some(BundlePath::Mod(_) | BundlePath::Zip(_) | BundlePath::Info(_)))
            && let Ok(file) = File::open(self.users.join(path))
            && let Ok(meta) = file.metadata()
            && (!path.ends_with(".zip") || self.users.join(path).with_extension("ziphash").is_file())
        {
            return Answer::File(file, meta.len());
        }
        let failed = |error: String| Answer::Failed(error);
        let mut absent = String::new();
        for Entry { url, may_fail } in &self.proxies.entries {
            let base = match Base::parse(url) {
                Ok(base) => base,
                Err(error) => return failed(error.message),
            };
            // As go writes it on the wire: module paths escaped, records of the checksum database not.
            let is_http = matches!(base, Base::Http(_)) && !path.starts_with("sumdb/");
            let wire = if is_http { path.replace('!', "%21") } else { path.to_owned() };
            let mut file = match File::options().create(true).truncate(true).read(true).write(true).open(place) {
                Ok(file) => file,
                Err(error) => return failed(error.to_string()),
            };
            match reader.pass(&base, &wire, MAX_ZIP_BYTES, &mut file, if *may_fail { 1 } else { ATTEMPTS }) {
                Ok(Passed::All(size)) => return rewound(file, size),
                Ok(Passed::Absent(words)) => absent = words,
                Err(_) if *may_fail => {}
                Err(error) => return failed(format!("{error}")),
            }
        }
        Answer::Absent(absent)
    }

    fn remember(&self, path: &str, mut file: File, place: &Path, seen: &Mutex<Seen>) -> io::Result<()> {
        let version = |version: ModuleVersion, set: &dyn Fn(&mut Files)| {
            set(seen.lock().unwrap_or_else(PoisonError::into_inner).versions.entry(version).or_default());
        };
        match format!("download/{path}").parse() {
            Ok(BundlePath::Mod(of)) => {
                io::Seek::rewind(&mut file)?;
                let mut bytes = Vec::new();
                file.take(modferry_format::go_mod::MAX_BYTES).read_to_end(&mut bytes)?;
                version(of, &|files| files.go_mod = Some(H1::of_go_mod(&bytes)));
            }
            Ok(BundlePath::Zip(of)) => {
                // It is hashed when the command has ended, if at all: go does so as well, and waits for no second one.
                let kept = place.with_extension("zip");
                let zip = match fs::rename(place, &kept) {
                    Ok(()) => kept,
                    Err(_) => self.users.join(path),
                };
                version(of, &|files| files.zip = Some(zip.clone()));
            }
            Ok(BundlePath::Info(of)) => version(of, &|_| {}),
            Ok(BundlePath::Alias(module, alias)) => {
                seen.lock().unwrap_or_else(PoisonError::into_inner).aliases.insert(format!("{module}@{alias}"));
            }
            _ => {}
        }
        Ok(())
    }
}

fn rewound(mut file: File, size: u64) -> Answer {
    match io::Seek::rewind(&mut file) {
        Ok(()) => Answer::File(file, size),
        Err(error) => Answer::Failed(error.to_string()),
    }
}

fn say(out: &mut TcpStream, status: &str, words: &str) -> io::Result<()> {
    let len = words.len();
    write!(out, "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len}\r\n\r\n{words}")
}

/// One line without its end; none where the client has nothing more to say, or the command has ended.
fn line(input: &mut BufReader<TcpStream>, done: &AtomicBool) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    loop {
        let room = MAX_LINE_BYTES.saturating_sub(bytes.len() as u64);
        match input.by_ref().take(room).read_until(b'\n', &mut bytes) {
            // What came of the line stays, and the rest may follow.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                if done.load(Ordering::Relaxed) {
                    return Ok(None);
                }
            }
            Err(error) => return Err(error),
            Ok(_) if bytes.is_empty() => return Ok(None),
            Ok(_) => return Ok(Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())),
        }
    }
}
