//! Proves a module zip: walks it strictly, checks every content and computes its h1, reading each byte once.
//!
//! What a bad zip can do, and the line of defence:
//! - hide bytes no reader shows (before, between, after records): records must cover the file without a gap
//! - show one reader this and another that (two names alike, local header and directory at odds, overlapping
//!   records, an archive inside a comment): one entry per name, headers must agree, records may not overlap
//! - escape its folder, or collide on another file system: the names' rules of `modferry_format::zip_names`
//! - burst (sizes that lie, endless deflate): inflating stops one byte past the declared size, sums are limited
//! - be damaged: crc32 of each content, exact end of each deflate stream
//! - carry a link: only regular files and directories by their mode
//!
//! Archives end at their end record; a comment, extra fields and times are allowed, as `go` allows them.
//!
//! Most entries go a fast way: [`inflate`] makes the whole content in memory, and a [`batch`] hashes many contents
//! together. It knows good entries only; what it does not find good, or what is too large for it, is judged by the
//! streaming inflater, which alone refuses.

mod batch;
mod directory;
mod inflate;
mod lanes;
mod native;
mod pinned;
pub mod tape;

use batch::Batch;
use directory::Record;
use flate2::{Crc, Decompress, FlushDecompress, Status};
use inflate::{IN_SLACK, Inflater};
use modferry_format::hash::H1Builder;
use modferry_format::zip_names::MAX_ZIP_BYTES;
use modferry_format::{FileSha256, H1, ModuleVersion};
use pinned::Pinned;
use rawzip::{CompressionMethod, ReaderAt};
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use tape::Tape;

/// What proving a zip gives.
#[derive(Debug, Clone)]
pub struct Proof {
    /// Hash of the file.
    pub sha256: FileSha256,
    /// Size of the file in bytes.
    pub size: u64,
    /// The h1 of the content, or why the zip is refused.
    pub h1: Result<H1, String>,
    /// Whether each byte was read once only: then what was proven is what the copy got, though the file be another the next
    /// time it is read. Not so with a directory of more than 8 MiB.
    pub is_of_one_reading: bool,
}

/// Whether contents are hashed on their way past.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contents {
    /// Their SHA-256 is wanted: an h1 is made of it.
    Hashed,
    /// Nobody states an h1 to compare with; names, sizes and checksums are looked at all the same.
    Checked,
}

/// Why a walk stopped: the zip is bad, or it could not be read.
enum Stop {
    Refused(String),
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rawzip::Error> for Stop {
    fn from(error: rawzip::Error) -> Self {
        match error.into_kind() {
            rawzip::ErrorKind::IO(error) => Self::Io(error),
            kind => Self::Refused(format!("not a zip: {}", rawzip::Error::from(kind))),
        }
    }
}

fn refuse<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Refused(reason.into()))
}

/// The buffers and the inflater of one worker, kept from zip to zip.
pub struct Prover {
    directory_buffer: Vec<u8>,
    tape_buffer: Vec<u8>,
    end_buffer: Vec<u8>,
    out: Vec<u8>,
    inflate: Decompress,
    inflater: Inflater,
    batch: Batch,
    contents: Contents,
}

/// Room for the largest central directory record: three fields of 64 KiB and the fixed part.
pub const DIRECTORY_BUFFER_BYTES: usize = 256 * 1024;
const OUT_BUFFER_BYTES: usize = 128 * 1024;

const LOCAL_HEADER_BYTES: usize = 30;
const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
const DESCRIPTOR_SIGNATURE: u32 = 0x0807_4b50;
const FLAG_ENCRYPTED: u16 = 1;
const FLAG_DESCRIPTOR: u16 = 1 << 3;
/// Stands in a 32-bit size field when the size is in a zip64 extra field.
const IN_ZIP64: u32 = u32::MAX;

impl Default for Prover {
    /// One of many.
    fn default() -> Self {
        Self::among(usize::MAX)
    }
}

impl Prover {
    /// One of as many as there are workers, which share what memory there is for their buffers.
    #[must_use]
    pub fn among(workers: usize) -> Self {
        Self {
            directory_buffer: vec![0; DIRECTORY_BUFFER_BYTES],
            tape_buffer: Vec::new(),
            end_buffer: Vec::new(),
            out: vec![0; OUT_BUFFER_BYTES],
            inflate: Decompress::new(false),
            inflater: Inflater::default(),
            batch: Batch::among(workers),
            contents: Contents::Hashed,
        }
    }

    /// Proves the zip of `version` in the `size` bytes of `file`; `copy` gets every byte of it on the way.
    ///
    /// An error is one of reading or copying; a bad zip is an `Err` in [`Proof::h1`].
    pub fn prove<R: ReaderAt>(
        &mut self,
        version: &ModuleVersion,
        file: &R,
        size: u64,
        copy: Option<&mut dyn Write>,
    ) -> io::Result<Proof> {
        self.pass(version, file, size, copy, Contents::Hashed)
    }

    /// Walks the zip in the same way but makes no h1, which is a third of the work; for whoever has no h1 to compare
    /// with. Gives the hash of the file, and why the zip is refused if it is.
    pub fn check<R: ReaderAt>(
        &mut self,
        version: &ModuleVersion,
        file: &R,
        size: u64,
    ) -> io::Result<(FileSha256, Result<(), String>)> {
        let proof = self.pass(version, file, size, None, Contents::Checked)?;
        Ok((proof.sha256, proof.h1.map(|_| ())))
    }

    fn pass<R: ReaderAt>(
        &mut self,
        version: &ModuleVersion,
        file: &R,
        size: u64,
        copy: Option<&mut dyn Write>,
        contents: Contents,
    ) -> io::Result<Proof> {
        let pinned = Pinned::new(file, size, std::mem::take(&mut self.end_buffer));
        let copy = copy.map(|copy| copy as &mut dyn Write);
        let mut tape = Tape::new(&pinned, size, copy).with_buffer(std::mem::take(&mut self.tape_buffer));
        self.contents = contents;
        let h1 = match self.walk(version, &pinned, size, &mut tape) {
            Ok(h1) => Ok(h1),
            Err(Stop::Refused(reason)) => Err(reason),
            // If the file is shorter than it was, reading the rest of it says so.
            Err(Stop::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err("a field of it points past its end".to_owned())
            }
            Err(Stop::Io(error)) => return Err(error),
        };
        // Also where the walk went no further than the directory.
        pinned.pass();
        let sha256 = tape.finish_in_place()?;
        self.tape_buffer = tape.take_buffer();
        let is_of_one_reading = !pinned.is_read_twice();
        self.end_buffer = pinned.into_buffer();
        Ok(Proof { sha256, size, h1, is_of_one_reading })
    }

    fn walk<R: ReaderAt>(
        &mut self,
        version: &ModuleVersion,
        file: &Pinned<'_, R>,
        size: u64,
        tape: &mut Tape<'_, Pinned<'_, R>>,
    ) -> Result<H1, Stop> {
        if size > MAX_ZIP_BYTES {
            return refuse("larger than 500 MiB");
        }
        let records = directory::read(&mut self.directory_buffer, version, file, size)?;
        file.pass();
        let mut h1 = H1Builder::default();
        // An earlier walk may have stopped in the middle.
        self.batch.clear();
        let Some((first, rest)) = records.entries.split_first() else {
            return if records.start == 0 {
                Ok(h1.finish())
            } else {
                refuse("bytes before the central directory belong to no entry")
            };
        };
        // The end of each entry is where the next one starts; the gap is its data descriptor or a lie.
        let ends = rest.iter().map(|record| record.offset).chain([records.start]);
        for (index, (record, end)) in std::iter::once(first).chain(rest).zip(ends).enumerate() {
            if record.offset != tape.position() {
                return refuse(format!("{:?}: bytes between two entries, or entries that overlap", record.name));
            }
            self.entry(index, record, end, tape)?;
        }
        self.batch.hash(tape.run());
        for (record, digest) in self.batch.digests() {
            h1.add(records.entries[record].name.as_str(), digest);
        }
        Ok(h1.finish())
    }

    /// Reads one entry from the tape up to `end` and gives its content, or the digest of it, to the batch.
    fn entry<R: ReaderAt>(
        &mut self,
        index: usize,
        record: &Record,
        end: u64,
        tape: &mut Tape<'_, R>,
    ) -> Result<(), Stop> {
        let refused = |reason: &str| Stop::Refused(format!("{:?}: {reason}", record.name));
        let header: [u8; LOCAL_HEADER_BYTES] = tape.array().map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => refused("local header is cut off"),
            _ => Stop::Io(error),
        })?;
        let (half, word) = (|at: usize| u16::from_le_bytes([header[at], header[at + 1]]), |at| word(&header, at));
        if word(0) != LOCAL_SIGNATURE {
            return Err(refused("no local header where the central directory says"));
        }
        if record.flags & FLAG_ENCRYPTED != 0 {
            return Err(refused("encrypted"));
        }
        if half(6) != record.flags || half(8) != record.method.as_u16() {
            return Err(refused("local header and central directory state different flags or methods"));
        }
        let has_descriptor = record.flags & FLAG_DESCRIPTOR != 0;
        let fields = [(word(14), u64::from(record.crc)), (word(18), record.compressed), (word(22), record.size)];
        for (index, (local, stated)) in fields.into_iter().enumerate() {
            let deferred = has_descriptor && local == 0;
            let in_extra_field = index > 0 && local == IN_ZIP64;
            if u64::from(local) != stated && !deferred && !in_extra_field {
                return Err(refused("local header and central directory state different sizes or checksums"));
            }
        }
        let (name_len, extra_len) = (half(26), half(28));
        if tape.vec(name_len.into())? != record.name.as_bytes() {
            return Err(refused("local header has another name than the central directory"));
        }
        tape.skip(extra_len.into())?;
        // Keeps a lying size from reading past this entry: all comparisons below are within its own bytes.
        let data_end = tape.position().checked_add(record.compressed).filter(|&data_end| data_end <= end);
        let data_end = data_end.ok_or_else(|| refused("overlaps the next record"))?;
        match record.method {
            CompressionMethod::DEFLATE if self.deflated_whole(index, record, tape)? => {}
            CompressionMethod::DEFLATE => {
                let digest = self.deflated(record, data_end, tape)?;
                self.batch.add_digest(index, digest);
            }
            CompressionMethod::STORE => {
                let digest = self.stored(record, tape)?;
                self.batch.add_digest(index, digest);
            }
            other => {
                return Err(refused(&format!("compression method {}; Go knows store and deflate", other.as_u16())));
            }
        }
        let descriptor =
            tape.vec(usize::try_from(end - data_end).unwrap_or(usize::MAX).min(DESCRIPTOR_MAX_BYTES + 1))?;
        let fits = if has_descriptor { is_descriptor_of(record, &descriptor) } else { descriptor.is_empty() };
        if fits { Ok(()) } else { Err(refused("bytes after its content that are not its data descriptor")) }
    }

    fn stored<R: ReaderAt>(&mut self, record: &Record, tape: &mut Tape<'_, R>) -> Result<[u8; 32], Stop> {
        if record.compressed != record.size {
            return refuse(format!("{:?}: stored, but with two sizes", record.name));
        }
        let mut content = Content::new(self.contents);
        let mut left = record.size;
        while left > 0 {
            let chunk = tape.available(left)?;
            content.update(chunk);
            let taken = chunk.len();
            left -= taken as u64;
            tape.consume(taken);
        }
        content.finish(record)
    }

    /// The fast way: takes the entry's data from the tape if they are good in every respect, or takes nothing.
    fn deflated_whole<R: ReaderAt>(
        &mut self,
        index: usize,
        record: &Record,
        tape: &mut Tape<'_, R>,
    ) -> io::Result<bool> {
        let (Ok(compressed), Ok(size)) = (usize::try_from(record.compressed), usize::try_from(record.size)) else {
            return Ok(false);
        };
        let Some(wanted) = compressed.checked_add(IN_SLACK).filter(|_| size <= self.batch.largest()) else {
            return Ok(false);
        };
        // The file's own bytes are hashed beside the contents that came of them, before they leave the buffer.
        if !tape.holds(wanted) || !self.batch.has_room(size) {
            self.batch.hash(tape.run());
        }
        let Some(input) = tape.window(wanted)? else { return Ok(false) };
        let out = self.batch.room(size);
        if self.inflater.inflate(input, out) != Some((compressed, size)) {
            return Ok(false);
        }
        let mut crc = Crc::new();
        crc.update(&out[..size]);
        if crc.sum() != record.crc {
            return Ok(false);
        }
        tape.consume(compressed);
        if self.contents == Contents::Hashed {
            self.batch.add(index, size);
        }
        Ok(true)
    }

    fn deflated<R: ReaderAt>(
        &mut self,
        record: &Record,
        data_end: u64,
        tape: &mut Tape<'_, R>,
    ) -> Result<[u8; 32], Stop> {
        let refused = |reason: &str| Stop::Refused(format!("{:?}: {reason}", record.name));
        self.inflate.reset(false);
        let mut content = Content::new(self.contents);
        // Told that all of it fits, the inflater keeps no window of its own.
        let fits = record.size <= self.out.len() as u64;
        let flush = if fits { FlushDecompress::Finish } else { FlushDecompress::None };
        loop {
            let left = data_end - tape.position();
            let input = if left == 0 { &[][..] } else { tape.available(left)? };
            let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(input, &mut self.out, flush)
                .map_err(|error| refused(&format!("cannot inflate: {error}")))?;
            // Both differences are at most the lengths of the buffers.
            let taken = (self.inflate.total_in() - before_in) as usize;
            let given = (self.inflate.total_out() - before_out) as usize;
            tape.consume(taken);
            content.update(&self.out[..given]);
            if self.inflate.total_out() > record.size {
                return Err(refused("inflates to more than its stated size"));
            }
            match status {
                Status::StreamEnd if tape.position() == data_end => return content.finish(record),
                Status::StreamEnd => return Err(refused("bytes after the end of its deflate stream")),
                Status::Ok | Status::BufError if taken == 0 && given == 0 => {
                    return Err(refused("deflate stream is cut off"));
                }
                Status::Ok | Status::BufError => {}
            }
        }
    }
}

/// Hash, checksum and length of one content, side by side.
struct Content {
    sha256: Option<Sha256>,
    crc: Crc,
    len: u64,
}

impl Content {
    fn new(contents: Contents) -> Self {
        Self { sha256: (contents == Contents::Hashed).then(Sha256::new), crc: Crc::new(), len: 0 }
    }

    fn update(&mut self, bytes: &[u8]) {
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        self.crc.update(bytes);
        self.len += bytes.len() as u64;
    }

    fn finish(self, record: &Record) -> Result<[u8; 32], Stop> {
        if self.len != record.size {
            return refuse(format!("{:?}: content has {} bytes, {} are stated", record.name, self.len, record.size));
        }
        if self.crc.sum() != record.crc {
            return refuse(format!("{:?}: content has not the stated crc32", record.name));
        }
        Ok(self.sha256.map_or([0; 32], |sha256| sha256.finalize().into()))
    }
}

/// The longest data descriptor: signature, crc32, two sizes of 8 bytes.
const DESCRIPTOR_MAX_BYTES: usize = 24;

/// Whether these are the crc32 and sizes of the record, with or without signature, in 4 or 8 bytes each.
fn is_descriptor_of(record: &Record, bytes: &[u8]) -> bool {
    let mut forms: Vec<Vec<u8>> = Vec::new();
    for signature in [&[][..], &DESCRIPTOR_SIGNATURE.to_le_bytes()] {
        let start = [signature, &record.crc.to_le_bytes()].concat();
        let long = [&start[..], &record.compressed.to_le_bytes(), &record.size.to_le_bytes()].concat();
        if let (Ok(compressed), Ok(size)) = (u32::try_from(record.compressed), u32::try_from(record.size)) {
            forms.push([&start[..], &compressed.to_le_bytes(), &size.to_le_bytes()].concat());
        }
        forms.push(long);
    }
    forms.iter().any(|form| form == bytes)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
