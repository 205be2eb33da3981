//! Writes files as one tar, from where they lie: the same files in the same order give the same bytes.

use crate::carrier::tar::header::{BLOCK_BYTES, END_BLOCKS, MAX_FILE_BYTES, encode};
use crate::context::{Context, Event};
use crate::error::{Error, ErrorKind, Result};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes read and written at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// A file for the tar.
pub(crate) struct Packed {
    /// Its path in the tar.
    pub(crate) path: String,
    /// Its size when it was hashed, in bytes.
    pub(crate) size: u64,
    /// Where it lies.
    pub(crate) place: PathBuf,
}

/// Writes the files in this order to `out`, which messages call `name`. A file that has not the size it had when it was
/// hashed is an error: nothing is written under a hash that is not its own.
pub(crate) fn pack(files: &[Packed], out: &mut dyn Write, name: &Path, context: &Context<'_>) -> Result<()> {
    let not_written = |error: io::Error| Error::io(name, "the tar could not be written", &error);
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, out);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut bytes = 0;
    for (done, Packed { path, size, place }) in files.iter().enumerate() {
        if *size > MAX_FILE_BYTES {
            let message = format!("{path}: has {size} bytes; a tar holds files up to {MAX_FILE_BYTES}");
            return Err(Error::new(ErrorKind::BundleInvalid, message));
        }
        let not_read = |error: io::Error| Error::io(place, "could not be read", &error);
        let changed = || {
            Error::new(ErrorKind::Io, format!("{}: has another size than when it was hashed", place.display()))
                .hint("somebody else writes into the work space; name another one: --cache-dir DIR")
        };
        out.write_all(&encode(path.as_bytes(), *size)).map_err(not_written)?;
        // One byte more, to see whether it has grown.
        let mut file = File::open(place).map_err(not_read)?.take(*size + 1);
        let mut left = *size;
        loop {
            context.interrupt.check()?;
            let got = file.read(&mut buffer).map_err(not_read)?;
            if got == 0 {
                break;
            }
            left = left.checked_sub(got as u64).ok_or_else(changed)?;
            out.write_all(&buffer[..got]).map_err(not_written)?;
        }
        if left > 0 {
            return Err(changed());
        }
        // Less than a block.
        let padding = (size.next_multiple_of(BLOCK_BYTES as u64) - size) as usize;
        out.write_all(&[0; BLOCK_BYTES][..padding]).map_err(not_written)?;
        bytes += size;
        let (done, total) = (done as u64 + 1, files.len() as u64);
        context.progress.event(Event::Progress { done, total, bytes, current: path });
    }
    out.write_all(&[0; END_BLOCKS * BLOCK_BYTES]).and_then(|()| out.flush()).map_err(not_written)
}
