//! Goes through a tar from header to header, whether its bytes lie in a file or come once.
//!
//! What a bad tar can do, and the line of defence:
//! - be cut off, or have bytes where a header should be: it is *broken* there, and nothing after it is read
//! - mean different things to different readers (links, sparse files, GNU's long names, pax settings, sizes in other
//!   forms): broken too, see [`super::header`]
//! - make us hold much: a pax header has a limit, two in a row are refused, everything else is passed by
//! - never end: zero bytes after the end have a limit
//! - hide bytes where no reader looks (padding, after the end, unused fields): found, and told

use super::header::{self, BLOCK_BYTES, Block, Kind};
use modferry_format::BundlePath;
use std::collections::BTreeSet;
use std::io;

/// Largest pax header that is read, in bytes: a path, and what stands around it.
const MAX_PAX_BYTES: u64 = BundlePath::MAX_BYTES as u64 + 16;
/// Most zero bytes after the end: writers fill up to 10 KiB, tapes and raw devices to some MiB.
const MAX_END_BYTES: u64 = 64 << 20;
/// Bytes read at once where they are only looked at.
const PASS_BYTES: usize = 64 * 1024;

/// Where the bytes of a tar come from, in order.
pub(super) trait Input {
    /// Reads some of the next bytes; 0 at the end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Passes over up to `len` bytes; fewer at the end.
    fn skip(&mut self, len: u64) -> io::Result<u64>;
}

/// One file of a tar; its bytes are the next of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// The path that stands in its header, escaped where it is no UTF-8.
    pub(super) path: String,
    /// Its size in bytes, as stated.
    pub(super) size: u64,
}

/// How far the headers are from those that we would write.
#[derive(Debug, Clone, Default)]
pub(super) struct Form {
    members: u64,
    first: String,
    what: BTreeSet<&'static str>,
}

impl Form {
    fn note(&mut self, path: &str, what: impl IntoIterator<Item = &'static str>) {
        if self.members == 0 {
            path.clone_into(&mut self.first);
        }
        self.members += 1;
        self.what.extend(what);
    }

    /// What there is to tell, in one sentence for all files: a tar of other tools has it in every header.
    pub(super) fn finding(&self) -> Option<String> {
        let what: Vec<&str> = self.what.iter().copied().collect();
        let others = match self.members.checked_sub(1)? {
            0 => String::new(),
            others => format!(" and {}", crate::byte_size::count(others, "other file")),
        };
        Some(format!(
            "the header of {}{others} is not the one that modferry writes: {}",
            self.first.escape_debug(),
            what.join(", ")
        ))
    }
}

/// All files of a tar, one after the other.
#[derive(Clone)]
pub(super) struct Members<I> {
    input: I,
    /// Offset of the next byte of the input.
    at: u64,
    current: String,
    /// Bytes of the current file that were not read, and the zero bytes after them.
    left: u64,
    padding: usize,
    state: State,
    /// It is broken there because the medium could not be read, which says nothing about the tar.
    failed: bool,
    form: Form,
}

#[derive(Clone)]
enum State {
    Reading,
    Ended,
    Broken(String),
}

impl<I: Input> Members<I> {
    pub(super) fn new(input: I) -> Self {
        let (current, form) = (String::new(), Form::default());
        Self { input, at: 0, current, left: 0, padding: 0, state: State::Reading, failed: false, form }
    }

    /// The next file; none at the end, and none where the tar is broken.
    pub(super) fn next(&mut self) -> Option<Member> {
        if !matches!(self.state, State::Reading) {
            return None;
        }
        match self.advance() {
            Ok(Some(member)) => Some(member),
            Ok(None) => {
                self.state = State::Ended;
                None
            }
            Err(reason) => {
                self.state = State::Broken(reason);
                None
            }
        }
    }

    /// Why nothing more can be read, where it is so.
    pub(super) fn broken(&self) -> Option<&str> {
        match &self.state {
            State::Broken(reason) => Some(reason),
            _ => None,
        }
    }

    /// Whether that is the fault of the medium.
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    pub(super) fn form(&self) -> &Form {
        &self.form
    }

    /// Offset of the next byte.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Reads on in the bytes of the current file; 0 at their end. A file that is cut off breaks the tar.
    pub(super) fn read_data(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let reason = loop {
            match self.input.read(&mut buffer[..want]) {
                Ok(0) => break self.cut_off(),
                Ok(got) => {
                    self.at += got as u64;
                    self.left -= got as u64;
                    return Ok(got);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break self.unreadable(&error),
            }
        };
        self.state = State::Broken(reason.clone());
        Err(io::Error::other(reason))
    }

    fn advance(&mut self) -> Result<Option<Member>, String> {
        self.finish_member()?;
        let start = self.at;
        let Some(mut block) = self.block()? else {
            return Err(format!("ends at byte {start} without the two blocks of zeros that stand at its end"));
        };
        if is_zero(&block) {
            return self.end().map(|()| None);
        }
        let broken = |reason: String| format!("at byte {start}: {reason}");
        let mut header = header::decode(&block).map_err(broken)?;
        let mut blocks = block.to_vec();
        if header.kind == Kind::Pax {
            let record = self.pax(header.size, &mut blocks).map_err(broken)?;
            let path = header::pax_path(&record).map_err(broken)?.to_vec();
            block = self.block()?.ok_or_else(|| broken("ends after a pax header".to_owned()))?;
            blocks.extend_from_slice(&block);
            header = header::decode(&block).map_err(broken)?;
            if header.kind == Kind::Pax {
                return Err(broken("two pax headers in a row".to_owned()));
            }
            header.name = path;
        }
        let size = header.size;
        let odd = header::deviations(&blocks, &header.name, size);
        let path = String::from_utf8(header.name).unwrap_or_else(|error| error.as_bytes().escape_ascii().to_string());
        if !odd.is_empty() {
            self.form.note(&path, odd);
        }
        path.clone_into(&mut self.current);
        self.left = size;
        // Less than a block.
        self.padding = (size.next_multiple_of(BLOCK_BYTES as u64) - size) as usize;
        Ok(Some(Member { path, size }))
    }

    /// The record of a pax header; its blocks are kept to be compared with ours.
    fn pax(&mut self, size: u64, blocks: &mut Vec<u8>) -> Result<Vec<u8>, String> {
        if size > MAX_PAX_BYTES {
            return Err(format!("a pax header of {size} bytes, at most {MAX_PAX_BYTES} are read"));
        }
        // At most the limit, which is small.
        let size = size as usize;
        let mut record = vec![0; size.next_multiple_of(BLOCK_BYTES)];
        if self.fill(&mut record)? < record.len() {
            return Err("ends within a pax header".to_owned());
        }
        blocks.extend_from_slice(&record);
        record.truncate(size);
        Ok(record)
    }

    /// Passes over what is left of the current file.
    fn finish_member(&mut self) -> Result<(), String> {
        let skipped = self.input.skip(self.left).map_err(|error| self.unreadable(&error))?;
        self.at += skipped;
        self.left -= skipped;
        if self.left > 0 {
            return Err(self.cut_off());
        }
        let mut padding = [0; BLOCK_BYTES];
        let len = self.padding;
        if self.fill(&mut padding[..len])? < len {
            return Err(format!("ends at byte {}, within the zeros after {}", self.at, self.current.escape_debug()));
        }
        self.padding = 0;
        if !is_zero(&padding) {
            self.form.note(&self.current, ["bytes after the file that are not zero"]);
        }
        Ok(())
    }

    /// What follows the first zero block: one more, and then at most zeros.
    fn end(&mut self) -> Result<(), String> {
        match self.block()? {
            Some(block) if is_zero(&block) => {}
            Some(_) => return Err(format!("at byte {}: one block of zeros and then more", self.at - 512)),
            None => return Err(format!("ends at byte {} after one block of zeros; there should be two", self.at)),
        }
        let mut buffer = vec![0; PASS_BYTES];
        let mut seen = 0;
        loop {
            let start = self.at;
            let got = self.fill(&mut buffer)?;
            if !is_zero(&buffer[..got]) {
                return Err(format!("bytes that are not zero stand after its end, from byte {start} on"));
            }
            if got < buffer.len() {
                return Ok(());
            }
            seen += got as u64;
            if seen > MAX_END_BYTES {
                return Err(format!("more than {MAX_END_BYTES} zeros stand after its end"));
            }
        }
    }

    /// The next block; none at the end of the input.
    fn block(&mut self) -> Result<Option<Block>, String> {
        let mut block = [0; BLOCK_BYTES];
        match self.fill(&mut block)? {
            0 => Ok(None),
            BLOCK_BYTES => Ok(Some(block)),
            _ => Err(format!("ends at byte {}, within a block", self.at)),
        }
    }

    /// Reads until the buffer is full or the input ends.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, String> {
        let mut len = 0;
        while len < buffer.len() {
            match self.input.read(&mut buffer[len..]) {
                Ok(0) => break,
                Ok(got) => len += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.unreadable(&error)),
            }
        }
        self.at += len as u64;
        Ok(len)
    }

    fn cut_off(&self) -> String {
        format!("ends at byte {}, {} bytes before the end of {}", self.at, self.left, self.current.escape_debug())
    }

    fn unreadable(&mut self, error: &io::Error) -> String {
        self.failed = true;
        format!("cannot be read at byte {}: {error}", self.at)
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

/// Passes over bytes of what can only be read.
pub(super) fn skip_by_reading(reader: &mut impl io::Read, len: u64) -> io::Result<u64> {
    io::copy(&mut io::Read::take(reader, len), &mut io::sink())
}
