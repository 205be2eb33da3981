//! A tar that comes by once: standard input behind a diode or a pipe.
//!
//! The files before the content are kept. A file of the content is there until the next one is asked for; whoever
//! wants it takes it before. What is small is taken into memory, what is large into a temporary file that the system
//! removes when the last reader lets go of it. A file that nobody takes is passed by without being kept.

use super::members::{Input, skip_by_reading};
use super::{Item, Items, max_head_bytes};
use crate::carrier::{Bytes, Carrier, Delivered, What};
use crate::error::{Error, ErrorKind, Result};
use crate::source::Source;
use modferry_format::finding::Finding;
use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files up to this size are taken into memory, larger ones into a temporary file.
const IN_MEMORY_BYTES: u64 = 1 << 20;
/// Bytes read at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// A bundle in one tar that can be read once.
pub struct TarStream {
    name: String,
    head: BTreeMap<String, Head>,
    stream: Arc<Mutex<Stream>>,
}

enum Head {
    Kept(Source),
    TooLarge(u64),
}

struct Stream {
    items: Items<Passing>,
    /// Where temporary files are made.
    temp_dir: PathBuf,
    /// The first file of the content, whose header has been read already.
    first: Option<Item>,
    /// How many files of the content have come by.
    number: u64,
    begun: bool,
    done: bool,
}

struct Passing(BufReader<Box<dyn Read + Send>>);

impl Input for Passing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }

    fn skip(&mut self, len: u64) -> io::Result<u64> {
        skip_by_reading(&mut self.0, len)
    }
}

impl TarStream {
    /// Reads up to the content; an error means that what has to be kept could not be.
    pub fn open(name: &str, stream: Box<dyn Read + Send>, temp_dir: &Path) -> Result<Self> {
        let mut items = Items::new(Passing(BufReader::with_capacity(BUFFER_BYTES, stream)));
        let mut head = BTreeMap::new();
        let first = loop {
            match items.next() {
                Some(Item::Head(name, size)) if size > max_head_bytes(&name) => {
                    head.insert(name, Head::TooLarge(size));
                }
                Some(Item::Head(name, size)) => match take(&mut items, size, temp_dir) {
                    Ok(source) => _ = head.insert(name, Head::Kept(source)),
                    // The tar is broken there, and says so itself.
                    Err(error) => _ = crate::carrier::fault_of_carrier(error)?,
                },
                other => break other,
            }
        };
        let temp_dir = temp_dir.to_owned();
        let stream = Stream { items, temp_dir, first, number: 0, begun: false, done: false };
        Ok(Self { name: name.to_owned(), head, stream: Arc::new(Mutex::new(stream)) })
    }
}

impl Carrier for TarStream {
    fn name(&self) -> &str {
        &self.name
    }

    fn head(&self, name: &str) -> io::Result<Option<Source>> {
        match self.head.get(name) {
            Some(Head::Kept(source)) => Ok(Some(source.clone())),
            Some(Head::TooLarge(size)) => Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("has {size} bytes, at most {} are allowed", max_head_bytes(name)),
            )),
            None => Ok(None),
        }
    }

    fn content(&self) -> Result<Box<dyn Iterator<Item = Delivered> + '_>> {
        let mut stream = lock(&self.stream);
        if std::mem::replace(&mut stream.begun, true) {
            return Err(Error::new(ErrorKind::Io, format!("{}: can be read only once", self.name)));
        }
        Ok(Box::new(Content(self)))
    }

    fn findings(&self) -> Vec<Finding> {
        lock(&self.stream).items.findings(&self.name)
    }

    fn is_broken(&self) -> bool {
        let stream = lock(&self.stream);
        stream.done && stream.items.members.broken().is_some()
    }

    fn passes_once(&self) -> bool {
        true
    }
}

struct Content<'a>(&'a TarStream);

impl Iterator for Content<'_> {
    type Item = Delivered;

    fn next(&mut self) -> Option<Delivered> {
        let mut stream = lock(&self.0.stream);
        if stream.done {
            return None;
        }
        stream.number += 1;
        let number = stream.number;
        match stream.first.take().or_else(|| stream.items.next()) {
            Some(Item::Head(path, size) | Item::Content(path, size)) => {
                let file = PassingFile { stream: Arc::clone(&self.0.stream), number, size };
                Some(Delivered { path, what: What::File(size, Box::new(file)) })
            }
            None => {
                stream.done = true;
                stream.items.lost(&self.0.name)
            }
        }
    }
}

/// The file that comes by right now, as long as it does.
struct PassingFile {
    stream: Arc<Mutex<Stream>>,
    number: u64,
    size: u64,
}

impl PassingFile {
    fn stream(&self) -> io::Result<MutexGuard<'_, Stream>> {
        let stream = lock(&self.stream);
        if stream.number == self.number { Ok(stream) } else { Err(io::Error::other("has passed by already")) }
    }
}

impl Bytes for PassingFile {
    fn open(self: Box<Self>) -> io::Result<Source> {
        let mut stream = self.stream()?;
        let Stream { items, temp_dir, .. } = &mut *stream;
        take(items, self.size, temp_dir)
    }

    fn pass(self: Box<Self>, to: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut stream = self.stream()?;
        pass(&mut stream.items, self.size, to)
    }
}

fn lock(stream: &Mutex<Stream>) -> MutexGuard<'_, Stream> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the bytes of the current file.
fn take(items: &mut Items<Passing>, size: u64, temp_dir: &Path) -> io::Result<Source> {
    // A failure of this machine, which says nothing about the bundle.
    let not_kept = |error: io::Error| {
        let error = Error::io(temp_dir, "a file of the stream could not be kept there", &error);
        io::Error::other(error.hint("set TMPDIR to a directory with room for the largest files of the bundle"))
    };
    let mut file = (size > IN_MEMORY_BYTES).then(|| tempfile::tempfile_in(temp_dir)).transpose().map_err(not_kept)?;
    let mut memory = Vec::new();
    pass(items, size, &mut |bytes| match &mut file {
        Some(file) => file.write_all(bytes).map_err(not_kept),
        None => {
            memory.extend_from_slice(bytes);
            Ok(())
        }
    })?;
    Ok(file.map_or_else(|| Source::memory(memory), |file| Source::whole(file, size)))
}

/// Hands on the bytes of the current file.
fn pass(items: &mut Items<Passing>, size: u64, to: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES.min(usize::try_from(size).unwrap_or(usize::MAX)).max(1)];
    loop {
        match items.members.read_data(&mut buffer)? {
            0 => return Ok(()),
            got => to(&buffer[..got])?,
        }
    }
}
