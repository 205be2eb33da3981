//! How the bytes of a bundle travel, behind one interface: first the head files, then the content in its order.
//!
//! A carrier brings bytes; what they must be is for the manifest to say. Verify, show, why and later import know only
//! [`Carrier`], so a tar, volumes or a stream are further implementations and nothing else.

mod directory;

pub use directory::Directory;

use crate::error::Result;
use crate::source::Source;
use std::io;

/// Brings the files of one bundle.
pub trait Carrier: Sync {
    /// How messages name it.
    fn name(&self) -> &str;

    /// A file that stands beside `BUNDLE`, or `BUNDLE` itself; `None` if it is not there.
    fn head(&self, name: &str) -> io::Result<Option<Source>>;

    /// Everything else, in the order of the manifest; what it does not list comes along in its place.
    fn content(&self) -> Result<Box<dyn Iterator<Item = Delivered> + '_>>;
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

/// Opens a file that was delivered, on whichever thread wants it.
pub type Opener = Box<dyn FnOnce() -> io::Result<Source> + Send>;
