//! A tar in a file: its files are parts of it, readable at any time and by several threads.

use super::members::Input;
use super::{Item, Items};
use crate::carrier::{Carrier, Delivered, What};
use crate::error::{Error, Result};
use crate::source::Source;
use modferry_format::finding::Finding;
use rawzip::ReaderAt;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// A bundle in one tar, or with a part of the content one volume of it.
pub struct Tar {
    name: String,
    source: Source,
    head: BTreeMap<String, Source>,
    /// The first file of the content, and how to read on behind its header.
    content: (Option<Item>, Items<Place>),
    /// What the last walk through the content came to.
    found: Mutex<Vec<Finding>>,
    broken: AtomicBool,
}

/// A place in the file.
#[derive(Clone)]
struct Place {
    source: Source,
    at: u64,
}

impl Input for Place {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.source.read_at(buffer, self.at)?;
        self.at += got as u64;
        Ok(got)
    }

    fn skip(&mut self, len: u64) -> io::Result<u64> {
        let skipped = len.min(self.source.size() - self.at);
        self.at += skipped;
        Ok(skipped)
    }
}

impl Tar {
    /// Reads the headers up to the content; whether the file holds a bundle is for the reader to find out.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || {
            let file = File::open(path)?;
            let size = file.metadata()?.len();
            Ok(Source::whole(file, size))
        };
        let source = open().map_err(|error: io::Error| Error::io(path, "the bundle could not be opened", &error))?;
        Ok(Self::read(path.display().to_string(), source))
    }

    fn read(name: String, source: Source) -> Self {
        let mut items = Items::new(Place { source: source.clone(), at: 0 });
        let mut head = BTreeMap::new();
        let first = loop {
            match items.next() {
                Some(Item::Head(name, size)) => {
                    let part = source.part(items.members.at(), size);
                    // Of a file that is cut off nothing is given; the tar is broken behind it, and says so.
                    if part.size() == size {
                        head.insert(name, part);
                    }
                }
                other => break other,
            }
        };
        let found = Mutex::new(items.findings(&name));
        Self { name, source, head, content: (first, items), found, broken: AtomicBool::new(false) }
    }
}

impl Carrier for Tar {
    fn name(&self) -> &str {
        &self.name
    }

    fn head(&self, name: &str) -> io::Result<Option<Source>> {
        Ok(self.head.get(name).cloned())
    }

    fn content(&self) -> Result<Box<dyn Iterator<Item = Delivered> + '_>> {
        self.broken.store(false, Ordering::Relaxed);
        let (first, items) = &self.content;
        let first = first.as_ref().map(|item| match item {
            Item::Head(path, size) | Item::Content(path, size) => Item::Content(path.clone(), *size),
        });
        Ok(Box::new(Content { tar: self, first, items: items.clone(), done: false }))
    }

    fn findings(&self) -> Vec<Finding> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }
}

/// One walk through the content.
struct Content<'a> {
    tar: &'a Tar,
    first: Option<Item>,
    items: Items<Place>,
    done: bool,
}

impl Iterator for Content<'_> {
    type Item = Delivered;

    fn next(&mut self) -> Option<Delivered> {
        if self.done {
            return None;
        }
        match self.first.take().or_else(|| self.items.next()) {
            Some(Item::Head(path, size) | Item::Content(path, size)) => {
                let part = self.tar.source.part(self.items.members.at(), size);
                // A file that is cut off cannot be opened; a stream finds that out on the way.
                let opened = if part.size() == size { Ok(part) } else { Err(self.reason_behind()) };
                let what = What::File(size, Box::new(move || opened));
                Some(Delivered { path, what })
            }
            None => {
                self.done = true;
                *self.tar.found.lock().unwrap_or_else(PoisonError::into_inner) = self.items.findings(&self.tar.name);
                self.tar.broken.store(self.items.members.broken().is_some(), Ordering::Relaxed);
                self.items.lost(&self.tar.name)
            }
        }
    }
}

impl Content<'_> {
    /// Why the tar is broken behind the current file.
    fn reason_behind(&self) -> io::Error {
        let mut behind = self.items.clone();
        let _ = behind.next();
        io::Error::other(behind.members.broken().unwrap_or_default().to_owned())
    }
}
