//! How the bytes of a bundle travel, behind one interface: first the head files, then the content in its order.
//!
//! A carrier brings bytes; what they must be is for the manifest to say. Verify, show, why and import know only
//! [`Carrier`]: a directory, a tar and a stream are implementations of it, volumes will be one more, and nothing else.

mod directory;
pub(crate) mod tar;

pub use directory::Directory;
pub use tar::{Tar, TarStream};

use crate::error::{Error, Result};
use crate::source::Source;
use modferry_format::finding::Finding;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// How the user names a tar that comes by on standard input.
pub const STREAM: &str = "-";

/// Opens what the user named: a directory, a tar, or [`STREAM`], for which `stream` is called. Large files of a stream
/// are kept in `temp_dir` for a moment.
pub fn open(
    path: &Path,
    temp_dir: &Path,
    stream: impl FnOnce() -> Result<Box<dyn Read + Send>>,
) -> Result<Box<dyn Carrier>> {
    if path == Path::new(STREAM) {
        return Ok(Box::new(TarStream::open("standard input", stream()?, temp_dir)?));
    }
    let failed = |error: &io::Error| Error::io(path, "the bundle could not be opened", error);
    let meta = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed(&error)
            .hint("name the directory or the .tar that modferry bundle has made, or - for a tar on standard input"),
        _ => failed(&error),
    })?;
    if meta.is_dir() {
        return Ok(Box::new(Directory::open(path)?));
    }
    if meta.is_file() {
        return Ok(Box::new(Tar::open(path)?));
    }
    // A pipe with a name, as in `verify <(curl ...)`.
    let file = File::open(path).map_err(|error| failed(&error))?;
    Ok(Box::new(TarStream::open(&path.display().to_string(), Box::new(file), temp_dir)?))
}

/// Brings the files of one bundle.
pub trait Carrier: Sync {
    /// How messages name it.
    fn name(&self) -> &str;

    /// A file that stands beside `BUNDLE`, or `BUNDLE` itself; `None` if it is not there.
    fn head(&self, name: &str) -> io::Result<Option<Source>>;

    /// Everything else, in the order of the manifest; what it does not list comes along in its place.
    fn content(&self) -> Result<Box<dyn Iterator<Item = Delivered> + '_>>;

    /// What is wrong with the carrier itself: what the tar has that no bundle has, what stands out of order, where it is
    /// broken. So far; all of it once the content has been gone through.
    fn findings(&self) -> Vec<Finding> {
        Vec::new()
    }

    /// Whether the content has ended early because the carrier is broken: what did not come is not missing, but not known.
    /// The last that came then was [`What::Unreadable`], under the name of the carrier.
    fn is_broken(&self) -> bool {
        false
    }

    /// Whether the content comes by once: it can be asked for once, and a file must be opened before the next is asked
    /// for. What was opened stays.
    fn passes_once(&self) -> bool {
        false
    }
}

/// One thing that a carrier has.
pub struct Delivered {
    /// Its path from the root of the bundle; escaped where it is no UTF-8.
    pub path: String,
    /// What it is.
    pub what: What,
}

/// What a carrier has under a path.
pub enum What {
    /// A file with its size in bytes; opened when its bytes are wanted.
    File(u64, Opener),
    /// Something else, such as a link or a device; the text says what.
    Other(&'static str),
    /// It, or the directory it is in, could not be looked at.
    Unreadable(io::Error),
}

/// The bytes of a file that was delivered, for whichever thread wants them.
pub type Opener = Box<dyn Bytes>;

/// Gives the bytes of one file, once.
pub trait Bytes: Send {
    /// For reading at any place. What can only be read from front to back is kept somewhere for that.
    fn open(self: Box<Self>) -> io::Result<Source>;

    /// Hands all of them on from front to back; nothing is kept.
    fn pass(self: Box<Self>, to: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>;
}

/// Bytes handed on at once.
const PASS_BYTES: usize = 256 * 1024;

/// Most carriers have their files lying there: opening them is all there is to say.
impl<F: FnOnce() -> io::Result<Source> + Send> Bytes for F {
    fn open(self: Box<Self>) -> io::Result<Source> {
        self()
    }

    fn pass(self: Box<Self>, to: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let source = self()?;
        let mut reader = source.reader();
        let mut buffer = vec![0; PASS_BYTES.min(usize::try_from(source.size()).unwrap_or(PASS_BYTES)).max(1)];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(()),
                got => to(&buffer[..got])?,
            }
        }
    }
}

/// Tells a fault of the carrier from a failure of this machine while it was read, which says nothing about the bundle
/// and ends the work: a full disk for temporary files.
pub fn fault_of_carrier(error: io::Error) -> Result<io::Error> {
    match error.downcast::<Error>() {
        Ok(own) => Err(own),
        Err(error) => Ok(error),
    }
}
