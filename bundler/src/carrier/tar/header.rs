//! The header of a file in a tar: a function of its path and its size and of nothing else, so a bundle has one tar
//! (SPEC M71).
//!
//! It is the ustar header that GNU tar writes for a regular file without owner, with mode 0444 and time 0. A path that
//! fits neither 100 bytes nor 155 + `/` + 100 has a pax header before it that holds `path` alone.
//!
//! What is read is compared with what would be written. Where the two differ the file can still be read as long as
//! every reader of tars finds the same name and the same bytes in it (SPEC M72); else it is refused.

/// Everything in a tar is a multiple of this many bytes.
pub(crate) const BLOCK_BYTES: usize = 512;
/// Largest file of a tar, in bytes: what eleven octal digits can say.
pub(crate) const MAX_FILE_BYTES: u64 = 0o77_777_777_777;
/// Zero blocks that end a tar; GNU tar and bsdtar read on without a word if nothing follows them.
pub(crate) const END_BLOCKS: usize = 2;

/// Name of a pax header; readers that know pax never show it.
const PAX_NAME: &[u8] = b"PaxHeaders/path";

const REGULAR: u8 = b'0';
/// A regular file as before ustar; every reader knows it.
const OLD_REGULAR: u8 = 0;
const PAX: u8 = b'x';

/// One block as it lies in the tar.
pub(crate) type Block = [u8; BLOCK_BYTES];

/// Name, start and end of each field of a header; one for each byte.
const FIELDS: [(&str, usize, usize); 17] = [
    ("name", 0, 100),
    ("mode", 100, 108),
    ("owner", 108, 116),
    ("group", 116, 124),
    ("size", 124, 136),
    ("time", 136, 148),
    ("checksum", 148, 156),
    ("type", 156, 157),
    ("link", 157, 257),
    ("magic", 257, 263),
    ("version", 263, 265),
    ("owner name", 265, 297),
    ("group name", 297, 329),
    ("device", 329, 337),
    ("device", 337, 345),
    ("prefix", 345, 500),
    ("end of the header", 500, 512),
];

const NAME: std::ops::Range<usize> = 0..100;
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const TYPE: usize = 156;
const MAGIC: std::ops::Range<usize> = 257..265;
const PREFIX: std::ops::Range<usize> = 345..500;

const USTAR: &[u8] = b"ustar\x0000";

/// The blocks in front of the bytes of a file: its header, and a pax header where its path needs one.
///
/// `size` is at most [`MAX_FILE_BYTES`].
pub(crate) fn encode(path: &[u8], size: u64) -> Vec<u8> {
    if let Some((prefix, name)) = split(path) {
        return header(prefix, name, size, REGULAR).to_vec();
    }
    let record = pax_record(path);
    let mut blocks = header(b"", PAX_NAME, record.len() as u64, PAX).to_vec();
    blocks.extend_from_slice(&record);
    blocks.resize(blocks.len().next_multiple_of(BLOCK_BYTES), 0);
    // Readers that do not know pax see the beginning of the path.
    blocks.extend_from_slice(&header(b"", &path[..NAME.len().min(path.len())], size, REGULAR));
    blocks
}

/// The path in the two fields of a header: as much as possible in the first, as GNU tar has it.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= NAME.len() {
        return Some((b"", path));
    }
    let slash = path[..path.len().min(PREFIX.len() + 1)].iter().rposition(|&byte| byte == b'/')?;
    let (prefix, name) = (&path[..slash], &path[slash + 1..]);
    (!prefix.is_empty() && !name.is_empty() && name.len() <= NAME.len()).then_some((prefix, name))
}

fn header(prefix: &[u8], name: &[u8], size: u64, kind: u8) -> Block {
    let mut block = [0; BLOCK_BYTES];
    let mut put = |start: usize, bytes: &[u8]| block[start..start + bytes.len()].copy_from_slice(bytes);
    put(NAME.start, name);
    put(100, b"0000444\x000000000\x000000000\0");
    put(SIZE.start, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(TYPE, &[kind]);
    put(MAGIC.start, USTAR);
    put(329, b"0000000\x000000000\0");
    put(PREFIX.start, prefix);
    let sum = format!("{:06o}\0 ", checksum(&block));
    block[CHECKSUM].copy_from_slice(sum.as_bytes());
    block
}

/// The sum of all bytes, those of the checksum itself taken as spaces.
fn checksum(block: &Block) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    sum(&block[..CHECKSUM.start]) + sum(&block[CHECKSUM.end..]) + CHECKSUM.len() as u32 * u32::from(b' ')
}

/// `LENGTH path=PATH` and a newline; the length counts itself.
fn pax_record(path: &[u8]) -> Vec<u8> {
    let rest = [b" path=", path, b"\n"].concat();
    let mut len = rest.len();
    while len.to_string().len() + rest.len() != len {
        len = len.to_string().len() + rest.len();
    }
    [len.to_string().as_bytes(), &rest].concat()
}

/// What one header says, as far as it decides what follows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// What the following bytes are.
    pub(crate) kind: Kind,
    /// The name, from the fields of the header alone.
    pub(crate) name: Vec<u8>,
    /// How many bytes follow.
    pub(crate) size: u64,
}

/// What follows a header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The bytes of a file.
    File,
    /// A pax header.
    Pax,
}

/// Reads a header; the error says why nothing that follows can be trusted to be what other readers see.
pub(crate) fn decode(block: &Block) -> Result<Header, String> {
    if octal(&block[CHECKSUM]) != Some(checksum(block).into()) {
        return Err("a header with a wrong checksum, or no header at all".to_owned());
    }
    let is_ustar = block[MAGIC] == *USTAR;
    let (prefix, name) = (text(&block[PREFIX]), text(&block[NAME]));
    let full = if is_ustar && !prefix.is_empty() { [prefix, b"/", name].concat() } else { name.to_vec() };
    let shown = full.escape_ascii();
    let kind = match block[TYPE] {
        REGULAR | OLD_REGULAR => Kind::File,
        PAX => Kind::Pax,
        other => return Err(format!("{shown} is {}; a bundle has only files", kind_text(other))),
    };
    if !is_ustar && block[PREFIX].iter().any(|&byte| byte != 0) {
        return Err(format!("{shown} has no ustar header, and its name is more than one thing to readers"));
    }
    // No sign, no binary form, no blanks: what one reader forgives is another size to the next.
    let (digits, end) = block[SIZE].split_at(SIZE.len() - 1);
    let size = octal(digits).filter(|_| end == b"\0" && digits.iter().all(u8::is_ascii_digit));
    let size = size
        .ok_or_else(|| format!("{shown} has a size that is not eleven octal digits: {}", block[SIZE].escape_ascii()))?;
    Ok(Header { kind, name: full, size })
}

/// The path in a pax header that holds nothing else.
pub(crate) fn pax_path(record: &[u8]) -> Result<&[u8], String> {
    let refused = || "a pax header that holds more than the path of one file".to_owned();
    let space = record.iter().position(|&byte| byte == b' ').ok_or_else(refused)?;
    let (len, rest) = record.split_at(space);
    if len != record.len().to_string().as_bytes() {
        return Err(refused());
    }
    rest.strip_prefix(b" path=").and_then(|rest| rest.strip_suffix(b"\n")).ok_or_else(refused)
}

/// In which fields these headers differ from the ones that we write.
pub(crate) fn deviations(blocks: &[u8], path: &[u8], size: u64) -> Vec<&'static str> {
    let expected = encode(path, size);
    if blocks.len() != expected.len() {
        return vec!["pax header"];
    }
    let mut fields = Vec::new();
    let last = expected.len() / BLOCK_BYTES - 1;
    for (number, (found, expected)) in blocks.chunks(BLOCK_BYTES).zip(expected.chunks(BLOCK_BYTES)).enumerate() {
        if found == expected {
            continue;
        }
        if number != 0 && number != last {
            fields.push("pax header");
            continue;
        }
        let differ = FIELDS.iter().filter(|(_, start, end)| found[*start..*end] != expected[*start..*end]);
        // The checksum differs wherever anything does.
        let names: Vec<&str> = differ.map(|(name, ..)| *name).collect();
        let alone = names.len() == 1;
        fields.extend(names.into_iter().filter(|name| alone || *name != "checksum"));
    }
    fields
}

/// A field up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Octal digits, with the blanks that writers put around them in checksums.
fn octal(field: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    // Not from_str_radix alone: it takes a sign.
    let plain = !digits.is_empty() && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    plain.then(|| u64::from_str_radix(digits, 8).ok())?
}

fn kind_text(kind: u8) -> String {
    let known = match kind {
        b'1' => "a hard link",
        b'2' => "a symbolic link",
        b'3' | b'4' => "a device",
        b'5' => "a directory",
        b'6' => "a pipe",
        b'7' => "a contiguous file",
        b'g' => "a pax header for all files",
        b'K' | b'L' => "a long name as GNU tar writes it",
        b'S' => "a sparse file",
        _ => return format!("of type {}", kind.escape_ascii()),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(bytes: &[u8]) -> Block {
        bytes.try_into().unwrap()
    }

    fn long(dirs: usize, last: usize) -> String {
        let mut path = String::from("download");
        while path.len() < dirs {
            path.push_str(&format!("/{}", "d".repeat((dirs - path.len() - 1).clamp(1, 50))));
        }
        format!("{path}/{}", "f".repeat(last))
    }

    #[test]
    fn headers_say_what_was_written_into_them() {
        for path in ["BUNDLE".to_owned(), long(91, 8), long(100, 100), long(155, 100)] {
            let header = encode(path.as_bytes(), 4711);
            assert_eq!(header.len(), BLOCK_BYTES, "{path}");
            let expected = Header { kind: Kind::File, name: path.clone().into_bytes(), size: 4711 };
            assert_eq!(decode(&block(&header)).unwrap(), expected);
            assert!(deviations(&header, path.as_bytes(), 4711).is_empty());
        }
        for path in [long(156, 100), long(100, 101), long(800, 200), "f".repeat(101)] {
            let blocks = encode(path.as_bytes(), 0);
            assert_eq!(blocks.len() % BLOCK_BYTES, 0);
            let pax = decode(&block(&blocks[..BLOCK_BYTES])).unwrap();
            assert_eq!(pax.kind, Kind::Pax);
            let record = &blocks[BLOCK_BYTES..BLOCK_BYTES + pax.size as usize];
            assert_eq!(pax_path(record).unwrap(), path.as_bytes());
            assert_eq!(decode(&block(&blocks[blocks.len() - BLOCK_BYTES..])).unwrap().kind, Kind::File);
        }
    }

    /// Somebody else's reader finds the same.
    #[test]
    fn the_tar_crate_reads_every_header() {
        let paths = ["BUNDLE".to_owned(), long(91, 8), long(155, 100), long(156, 100), long(800, 200)];
        let mut bytes: Vec<u8> = paths.iter().flat_map(|path| encode(path.as_bytes(), 0)).collect();
        bytes.resize(bytes.len() + END_BLOCKS * BLOCK_BYTES, 0);
        let mut archive = ::tar::Archive::new(&bytes[..]);
        for (entry, path) in archive.entries().unwrap().zip(&paths) {
            let entry = entry.unwrap();
            assert_eq!(entry.path_bytes(), path.as_bytes());
            let header = entry.header();
            let numbers =
                (header.mode().unwrap(), header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap());
            assert_eq!(numbers, (0o444, 0, 0, 0));
        }
    }

    /// Somebody else's writer makes the same bytes.
    #[test]
    fn the_tar_crate_writes_the_same_header() {
        let mut header = ::tar::Header::new_ustar();
        header.set_path("download/example.com/a/@v/list").unwrap();
        header.set_entry_type(::tar::EntryType::Regular);
        header.set_size(7);
        header.set_mode(0o444);
        for set in [::tar::Header::set_device_major, ::tar::Header::set_device_minor] {
            set(&mut header, 0).unwrap();
        }
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        let ours = encode(b"download/example.com/a/@v/list", 7);
        let theirs = block(header.as_bytes());
        // It writes the same number as checksum, with a digit more.
        assert_eq!(deviations(&theirs, b"download/example.com/a/@v/list", 7), ["checksum"]);
        assert_eq!(octal(&theirs[CHECKSUM]), octal(&ours[CHECKSUM]));
    }

    #[test]
    fn what_readers_could_see_differently_is_refused() {
        let spoil = |change: &dyn Fn(&mut Block)| {
            let mut block = block(&encode(b"BUNDLE", 5));
            change(&mut block);
            let sum = format!("{:06o}\0 ", checksum(&block));
            block[CHECKSUM].copy_from_slice(sum.as_bytes());
            decode(&block)
        };
        assert!(spoil(&|_| {}).is_ok());
        for kind in (1..=u8::MAX).filter(|kind| ![REGULAR, PAX].contains(kind)) {
            assert!(spoil(&|block| block[TYPE] = kind).is_err(), "type {kind}");
        }
        let sizes: [&[u8; 12]; 8] = [
            b"0000000000x\0",
            b"-0000000005\0",
            b"\x80\0\0\0\0\0\0\0\0\0\0\x05",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfb",
            b"          5\0",
            b"000000000005",
            b"00000000008\0",
            b"\0\0\0\0\0\0\0\0\0\0\0\0",
        ];
        for size in sizes {
            assert!(spoil(&|block| block[SIZE].copy_from_slice(size)).is_err(), "{}", size.escape_ascii());
        }
        let gnu = |block: &mut Block| block[MAGIC].copy_from_slice(b"ustar  \0");
        assert!(spoil(&gnu).is_ok());
        assert!(
            spoil(&|block| {
                gnu(block);
                block[PREFIX.start] = b'p';
            })
            .is_err()
        );
        let mut wrong_sum = block(&encode(b"BUNDLE", 5));
        wrong_sum[0] ^= 1;
        assert!(decode(&wrong_sum).is_err());
    }

    #[test]
    fn a_pax_header_holds_one_path() {
        let refused =
            ["", "8 path=a", "11 path=a\n", "09 path=a\n", "9 path=a\n1", "9 size=1\n", "9 path=a\n9 path=b\n"];
        for record in refused {
            assert!(pax_path(record.as_bytes()).is_err(), "{record}");
        }
        assert_eq!(pax_path(b"9 path=a\n"), Ok(&b"a"[..]));
    }

    #[test]
    fn deviations_have_the_names_of_their_fields() {
        let path = b"BUNDLE";
        let mut header = encode(path, 1);
        header[106] = b'0';
        header[266] = b'r';
        assert_eq!(deviations(&header, path, 1), ["mode", "owner name"]);
        assert_eq!(deviations(&[header.clone(), header].concat(), path, 1), ["pax header"]);
    }
}
