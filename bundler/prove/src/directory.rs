//! The central directory of a module zip and the records after it.

use super::{IN_ZIP64, Stop, refuse, word};
use modferry_format::ModuleVersion;
use modferry_format::zip_names::ZipNames;
use rawzip::{CompressionMethod, ReaderAt, ZipArchive, ZipLocator};

const DIRECTORY_RECORD_BYTES: u64 = 46;
/// Zip64 end record without extensible data, and its locator, as every writer makes them.
const ZIP64_END_BYTES: u64 = 56 + 20;

/// One entry as the central directory states it.
pub(super) struct Record {
    pub(super) name: String,
    pub(super) offset: u64,
    pub(super) compressed: u64,
    pub(super) size: u64,
    pub(super) crc: u32,
    pub(super) flags: u16,
    pub(super) method: CompressionMethod,
}

/// The entries of an archive, and where the central directory starts.
pub(super) struct Directory {
    pub(super) entries: Vec<Record>,
    pub(super) start: u64,
}

/// Reads the central directory: all entries by their place in the file, and where it starts itself.
pub(super) fn read<R: ReaderAt>(
    buffer: &mut [u8],
    version: &ModuleVersion,
    file: &R,
    size: u64,
) -> Result<Directory, Stop> {
    let archive: ZipArchive<&R> =
        ZipLocator::new().locate_in_reader(file, buffer, size).map_err(|(_, error)| Stop::from(error))?;
    if archive.end_offset() != size {
        return refuse("bytes after the end of the archive");
    }
    let mut names = ZipNames::new(version);
    let mut entries = Vec::new();
    let mut last_record = None;
    let mut walk = archive.entries(buffer);
    while let Some(record) = walk.next_entry()? {
        let raw_name = record.file_path();
        let name = str::from_utf8(raw_name.as_ref())
            .map_err(|_| Stop::Refused(format!("entry {}: name is not UTF-8", entries.len())))?;
        let refused = |reason: &str| Stop::Refused(format!("{name:?}: {reason}"));
        names.add(name, record.uncompressed_size_hint()).map_err(|reason| refused(&reason))?;
        if !matches!(record.mode().value() & 0o170_000, 0 | 0o100_000 | 0o040_000) {
            return Err(refused("neither a regular file nor a directory"));
        }
        entries.push(Record {
            name: name.to_owned(),
            offset: record.local_header_offset(),
            compressed: record.compressed_size_hint(),
            size: record.uncompressed_size_hint(),
            crc: record.crc32(),
            flags: record.flags().bits(),
            method: record.compression_method(),
        });
        last_record = Some(record.central_directory_offset());
    }
    if archive.entries_hint() != entries.len() as u64 {
        return refuse(format!("{} entries, the end record says {}", entries.len(), archive.entries_hint()));
    }
    let start = archive.directory_offset();
    let end = last_record.map_or(Ok(start), |offset| record_end(file, offset))?;
    check_end(file, start, end, archive.eocd_offset())?;
    // Most archives are in this order already.
    entries.sort_by_key(|record: &Record| record.offset);
    Ok(Directory { entries, start })
}

/// Where the central directory record at `offset` ends.
fn record_end<R: ReaderAt>(file: &R, offset: u64) -> Result<u64, Stop> {
    let mut fixed = [0; DIRECTORY_RECORD_BYTES as usize];
    file.read_exact_at(&mut fixed, offset)?;
    let half = |at: usize| u64::from(u16::from_le_bytes([fixed[at], fixed[at + 1]]));
    Ok(offset + DIRECTORY_RECORD_BYTES + half(28) + half(30) + half(32))
}

/// Checks what follows the central directory, which lies from `start` to `end`: the end records alone, and each of them
/// must state exactly this place and size. Readers start from these fields, so a wrong one makes them disagree.
fn check_end<R: ReaderAt>(file: &R, start: u64, end: u64, eocd: u64) -> Result<(), Stop> {
    let disagrees = || Stop::Refused("the end record states another place or size of the central directory".to_owned());
    let mut record = [0; 22];
    file.read_exact_at(&mut record, eocd)?;
    let fits = |stated: u32, true_value: u64| u64::from(stated) == true_value;
    let (size, offset) = (word(&record, 12), word(&record, 16));
    if eocd == end {
        return if fits(size, end - start) && fits(offset, start) { Ok(()) } else { Err(disagrees()) };
    }
    if eocd.checked_sub(end) != Some(ZIP64_END_BYTES) {
        return refuse("bytes between the central directory and the end record");
    }
    let mut long_records = [0; ZIP64_END_BYTES as usize];
    file.read_exact_at(&mut long_records, end)?;
    let long = |at: usize| long_records[at..at + 8].try_into().map_or(u64::MAX, u64::from_le_bytes);
    // Signatures, the size of the record after its first 12 bytes, and where the locator finds it.
    let is_zip64 = word(&long_records, 0) == 0x0606_4b50
        && long(4) == 56 - 12
        && word(&long_records, 56) == 0x0706_4b50
        && long(64) == end;
    if !is_zip64 {
        return refuse("bytes between the central directory and the end record");
    }
    let fits = |stated: u32, true_value| stated == IN_ZIP64 || fits(stated, true_value);
    let agrees = long(40) == end - start && long(48) == start && fits(size, end - start) && fits(offset, start);
    if agrees { Ok(()) } else { Err(disagrees()) }
}
