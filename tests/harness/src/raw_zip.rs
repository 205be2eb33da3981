//! Writes zip archives in which every byte is the caller's choice, also the wrong ones.
//!
//! ```text
//! before | entry: gap, local header, data, descriptor | ... | after_entries | directory | before_end | end | after_end
//! ```

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use std::io::Write;

/// Content as it is.
pub const STORE: u16 = 0;
/// Content deflated.
pub const DEFLATE: u16 = 8;
/// The flag that says: crc32 and sizes stand behind the content.
pub const FLAG_DESCRIPTOR: u16 = 1 << 3;

const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
const DIRECTORY_SIGNATURE: u32 = 0x0201_4b50;
const DESCRIPTOR_SIGNATURE: u32 = 0x0807_4b50;
const END_SIGNATURE: u32 = 0x0605_4b50;
const ZIP64_END_SIGNATURE: u32 = 0x0606_4b50;
const ZIP64_LOCATOR_SIGNATURE: u32 = 0x0706_4b50;
const ZIP64_EXTRA: u16 = 1;
/// Made on Unix, by version 2.0: only then do readers take the mode from the attributes.
const MADE_BY_UNIX: u16 = (3 << 8) | 20;

/// What one of an entry's two headers says.
#[derive(Debug, Clone)]
pub struct Header {
    /// The name.
    pub name: Vec<u8>,
    /// Bit flags.
    pub flags: u16,
    /// Compression method.
    pub method: u16,
    /// Checksum of the content.
    pub crc: u32,
    /// Bytes of the compressed content.
    pub compressed: u32,
    /// Bytes of the content.
    pub size: u32,
    /// Extra fields.
    pub extra: Vec<u8>,
}

/// One entry; its two headers agree until a test sets them apart.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Bytes that belong to no entry, in front of this one.
    pub gap: Vec<u8>,
    /// The header in front of the content.
    pub local: Header,
    /// The record in the directory.
    pub central: Header,
    /// Unix mode, as the directory states it; 0 for none.
    pub mode: u32,
    /// Where the directory says the entry stands; `None` for the truth.
    pub stated_offset: Option<u32>,
    /// The compressed content.
    pub data: Vec<u8>,
    /// What stands behind the content.
    pub descriptor: Vec<u8>,
}

impl Entry {
    /// An entry whose content is kept as it is.
    pub fn stored(name: &str, content: &[u8]) -> Self {
        Self::new(name, content, STORE, content.to_vec())
    }

    /// An entry whose content is deflated.
    pub fn deflated(name: &str, content: &[u8]) -> Self {
        Self::new(name, content, DEFLATE, deflate(content))
    }

    fn new(name: &str, content: &[u8], method: u16, data: Vec<u8>) -> Self {
        let header = Header {
            name: name.as_bytes().to_vec(),
            flags: 0,
            method,
            crc: crc32(content),
            compressed: low(data.len()),
            size: low(content.len()),
            extra: Vec::new(),
        };
        let (local, central) = (header.clone(), header);
        Self { gap: Vec::new(), local, central, mode: 0, stated_offset: None, data, descriptor: Vec::new() }
    }

    /// Moves crc32 and sizes behind the content, with a signature, as Go's own writer does.
    #[must_use]
    pub fn with_descriptor(self) -> Self {
        let (header, signature) = (self.central.clone(), DESCRIPTOR_SIGNATURE.to_le_bytes());
        let sizes = [header.compressed.to_le_bytes(), header.size.to_le_bytes()].concat();
        self.with_descriptor_bytes([&signature[..], &header.crc.to_le_bytes(), &sizes].concat())
    }

    /// The same without the signature, which writers may leave out.
    #[must_use]
    pub fn with_unsigned_descriptor(self) -> Self {
        let signed = self.with_descriptor();
        let bytes = signed.descriptor[4..].to_vec();
        Self { descriptor: bytes, ..signed }
    }

    /// The same with any bytes behind the content.
    #[must_use]
    pub fn with_descriptor_bytes(mut self, bytes: Vec<u8>) -> Self {
        self.descriptor = bytes;
        self.central.flags |= FLAG_DESCRIPTOR;
        self.local.flags |= FLAG_DESCRIPTOR;
        (self.local.crc, self.local.compressed, self.local.size) = (0, 0, 0);
        self
    }

    /// States the sizes in extra fields of 64 bits, as writers do that do not know them beforehand.
    #[must_use]
    pub fn with_zip64_sizes(mut self) -> Self {
        for header in [&mut self.local, &mut self.central] {
            header.extra.extend(ZIP64_EXTRA.to_le_bytes());
            header.extra.extend(16_u16.to_le_bytes());
            header.extra.extend(u64::from(header.size).to_le_bytes());
            header.extra.extend(u64::from(header.compressed).to_le_bytes());
            (header.size, header.compressed) = (u32::MAX, u32::MAX);
        }
        self
    }

    /// Changes both headers alike.
    #[must_use]
    pub fn both(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.local);
        change(&mut self.central);
        self
    }
}

/// An archive.
#[derive(Debug, Clone, Default)]
pub struct RawZip {
    /// Bytes in front of everything; offsets count from the first of them.
    pub before: Vec<u8>,
    /// The entries in the order of their bytes.
    pub entries: Vec<Entry>,
    /// Entries that the directory lists and that have no bytes of their own; each must state its offset.
    pub borrowed: Vec<Entry>,
    /// Whether the directory lists them in the reverse order.
    pub directory_reversed: bool,
    /// Bytes between the last entry and the directory.
    pub after_entries: Vec<u8>,
    /// Bytes between the directory and the end record.
    pub before_end: Vec<u8>,
    /// Entries that the end record speaks of; `None` for the truth.
    pub stated_entries: Option<u16>,
    /// Bytes of the directory that the end record speaks of; `None` for the truth.
    pub stated_directory_len: Option<u32>,
    /// Where the end record says the directory begins; `None` for the truth.
    pub stated_directory_start: Option<u32>,
    /// Whether there is a zip64 end record, and the end record refers to it.
    pub zip64: bool,
    /// The archive's comment.
    pub comment: Vec<u8>,
    /// Bytes behind everything.
    pub after_end: Vec<u8>,
}

impl RawZip {
    /// The bytes of the archive.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.before.clone();
        let mut directory = Vec::new();
        for entry in &self.entries {
            out.extend(&entry.gap);
            let offset = entry.stated_offset.unwrap_or(low(out.len()));
            directory.push(directory_record(entry, offset));
            out.extend(local_header(&entry.local));
            out.extend(&entry.data);
            out.extend(&entry.descriptor);
        }
        let borrowed = self.borrowed.iter().map(|entry| directory_record(entry, entry.stated_offset.unwrap_or(0)));
        directory.extend(borrowed);
        out.extend(&self.after_entries);
        if self.directory_reversed {
            directory.reverse();
        }
        let stated_entries = self.stated_entries.unwrap_or(directory.len() as u16);
        let (start, directory) = (out.len(), directory.concat());
        out.extend(&directory);
        out.extend(&self.before_end);
        if self.zip64 {
            out.extend(zip64_end(stated_entries.into(), directory.len() as u64, start as u64, out.len() as u64));
        }
        let in_zip64 = |number: u32| if self.zip64 { u32::MAX } else { number };
        let entries = if self.zip64 { u16::MAX } else { stated_entries };
        out.extend(END_SIGNATURE.to_le_bytes());
        out.extend([0; 4]);
        out.extend([entries.to_le_bytes(), entries.to_le_bytes()].concat());
        let directory_len = self.stated_directory_len.unwrap_or(low(directory.len()));
        let directory_start = self.stated_directory_start.unwrap_or(low(start));
        out.extend([in_zip64(directory_len).to_le_bytes(), in_zip64(directory_start).to_le_bytes()].concat());
        out.extend((self.comment.len() as u16).to_le_bytes());
        out.extend(&self.comment);
        out.extend(&self.after_end);
        out
    }
}

/// The raw deflate stream of these bytes.
pub fn deflate(content: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
    // Writing to memory cannot fail.
    _ = encoder.write_all(content);
    encoder.finish().unwrap_or_default()
}

fn crc32(content: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(content);
    crc.sum()
}

/// Zips of tests are small; what does not fit is stated on purpose, in the fields themselves.
fn low(len: usize) -> u32 {
    len as u32
}

fn fixed_part(header: &Header) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(20_u16.to_le_bytes());
    bytes.extend(header.flags.to_le_bytes());
    bytes.extend(header.method.to_le_bytes());
    // Time and date: none, as in the zips that `go` makes.
    bytes.extend([0; 4]);
    bytes.extend([header.crc.to_le_bytes(), header.compressed.to_le_bytes(), header.size.to_le_bytes()].concat());
    bytes.extend((header.name.len() as u16).to_le_bytes());
    bytes.extend((header.extra.len() as u16).to_le_bytes());
    bytes
}

fn local_header(header: &Header) -> Vec<u8> {
    [&LOCAL_SIGNATURE.to_le_bytes()[..], &fixed_part(header), &header.name, &header.extra].concat()
}

fn directory_record(entry: &Entry, offset: u32) -> Vec<u8> {
    let header = &entry.central;
    let made_by = if entry.mode == 0 { 20 } else { MADE_BY_UNIX };
    let mut bytes = [&DIRECTORY_SIGNATURE.to_le_bytes()[..], &made_by.to_le_bytes(), &fixed_part(header)].concat();
    // Length of the comment, disk, internal attributes.
    bytes.extend([0; 6]);
    bytes.extend((entry.mode << 16).to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes.extend(&header.name);
    bytes.extend(&header.extra);
    bytes
}

fn zip64_end(entries: u64, directory_len: u64, start: u64, here: u64) -> Vec<u8> {
    let mut bytes = ZIP64_END_SIGNATURE.to_le_bytes().to_vec();
    bytes.extend(44_u64.to_le_bytes());
    bytes.extend([45_u16.to_le_bytes(), 45_u16.to_le_bytes()].concat());
    bytes.extend([0; 8]);
    bytes.extend([entries, entries, directory_len, start].map(u64::to_le_bytes).concat());
    bytes.extend(ZIP64_LOCATOR_SIGNATURE.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(here.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes
}
