//! Zips that a bundle must refuse, and unusual ones that it must take, by name.
//!
//! Each holds the go.mod and one package of an otherwise good module, so that nothing but its own fault can be the
//! reason for a refusal. [`Kind::go_takes_it`] is what the real `go` says of it (a test asks it): where `go` takes a
//! zip that we refuse, readers of zips disagree about what is in it.

use crate::raw_zip::{Entry, RawZip, deflate};
use modferry_format::ModuleVersion;

/// One way to make a zip.
pub struct Kind {
    /// Its name in stories.
    pub name: &'static str,
    /// Whether a bundle may carry it.
    pub is_valid: bool,
    /// Whether `go mod download` accepts it.
    pub go_takes_it: bool,
    make: fn(&Parts) -> Made,
}

/// The name and the good content that each kind starts from.
struct Parts {
    prefix: String,
    go_mod: Vec<u8>,
}

use Made::{Bytes, Zip};

/// Most kinds are an archive, some are bytes that are none.
enum Made {
    Zip(RawZip),
    Bytes(Vec<u8>),
}

/// The kind of this name.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

impl Kind {
    /// The bytes for this version, holding this go.mod.
    pub fn zip(&self, version: &ModuleVersion, go_mod: &[u8]) -> Vec<u8> {
        match (self.make)(&Parts { prefix: format!("{version}/"), go_mod: go_mod.to_vec() }) {
            Made::Zip(zip) => zip.to_bytes(),
            Made::Bytes(bytes) => bytes,
        }
    }
}

const SOURCE: &[u8] = b"package p\n\n// Name is all there is.\nconst Name = \"p\"\n";

impl Parts {
    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn go_mod(&self) -> Entry {
        Entry::stored(&self.name("go.mod"), &self.go_mod)
    }

    fn source(&self) -> Entry {
        Entry::deflated(&self.name("p.go"), SOURCE)
    }

    /// The good archive: go.mod, then the package.
    fn good(&self) -> RawZip {
        self.with(self.source())
    }

    /// go.mod, then this entry.
    fn with(&self, entry: Entry) -> RawZip {
        RawZip { entries: vec![self.go_mod(), entry], ..RawZip::default() }
    }

    /// The good archive and one more file of this name; the name is taken as it is.
    fn plus(&self, name: &str) -> RawZip {
        let mut zip = self.good();
        zip.entries.push(Entry::stored(name, b"evil\n"));
        zip
    }
}

/// A valid kind.
const fn valid(name: &'static str, make: fn(&Parts) -> Made) -> Kind {
    Kind { name, is_valid: true, go_takes_it: true, make }
}

/// A kind that both `go` and we refuse.
const fn refused(name: &'static str, make: fn(&Parts) -> Made) -> Kind {
    Kind { name, is_valid: false, go_takes_it: false, make }
}

/// A kind that `go` takes and we refuse.
const fn stricter(name: &'static str, make: fn(&Parts) -> Made) -> Kind {
    Kind { name, is_valid: false, go_takes_it: true, make }
}

/// All of them.
pub const KINDS: &[Kind] = &[
    valid("plain", |parts| Zip(parts.good())),
    valid("stored", |parts| Zip(parts.with(Entry::stored(&parts.name("p.go"), SOURCE)))),
    valid("descriptor", |parts| Zip(parts.with(parts.source().with_descriptor()))),
    valid("unsigned-descriptor", |parts| Zip(parts.with(parts.source().with_unsigned_descriptor()))),
    valid("long-descriptor", |parts| Zip(parts.with(long_descriptor(parts.source())))),
    valid("descriptor-after-stored", |parts| {
        Zip(parts.with(Entry::stored(&parts.name("p.go"), SOURCE).with_descriptor()))
    }),
    valid("zip64-sizes", |parts| Zip(parts.with(parts.source().with_zip64_sizes()))),
    valid("zip64-end", |parts| Zip(RawZip { zip64: true, ..parts.good() })),
    valid("comment", |parts| Zip(RawZip { comment: b"made by hand".to_vec(), ..parts.good() })),
    valid("directory-reversed", |parts| Zip(RawZip { directory_reversed: true, ..parts.good() })),
    valid("regular-file-mode", |parts| Zip(parts.with(Entry { mode: 0o100_644, ..parts.source() }))),
    // Names.
    refused("wrong-prefix", |parts| Zip(parts.plus("example.com/other@v1.0.0/evil.go"))),
    refused("no-prefix", |parts| Zip(parts.plus("evil.go"))),
    refused("duplicate-entry", |parts| Zip(parts.plus(&parts.name("p.go")))),
    refused("case-clash", |parts| Zip(parts.plus(&parts.name("P.go")))),
    refused("file-and-directory", |parts| Zip(parts.plus(&parts.name("p.go/evil.go")))),
    refused("dot-dot", |parts| Zip(parts.plus(&parts.name("../evil.go")))),
    refused("absolute", |parts| Zip(parts.plus("/etc/evil.go"))),
    refused("backslash", |parts| Zip(parts.plus(&parts.name("..\\evil.go")))),
    refused("device-name", |parts| Zip(parts.plus(&parts.name("aux.go")))),
    refused("trailing-dot", |parts| Zip(parts.plus(&parts.name("evil.go.")))),
    refused("nul-in-name", |parts| Zip(parts.plus(&parts.name("evil.go\0.txt")))),
    refused("go-mod-in-subdirectory", |parts| Zip(parts.plus(&parts.name("sub/go.mod")))),
    refused("upper-case-go-mod", |parts| Zip(parts.plus(&parts.name("sub/GO.MOD")))),
    refused("root-go-mod-in-capitals", |parts| {
        let capitals = Entry::stored(&parts.name("GO.MOD"), &parts.go_mod);
        Zip(RawZip { entries: vec![capitals, parts.source()], ..RawZip::default() })
    }),
    refused("name-not-utf8", |parts| {
        let spoil = |entry: Entry| entry.both(|header| header.name.extend([0xff, 0xfe]));
        Zip(parts.with(spoil(parts.source())))
    }),
    // What an entry is.
    stricter("symlink", |parts| {
        let link = Entry::stored(&parts.name("evil.go"), b"/etc/passwd");
        Zip(parts.with(Entry { mode: 0o120_777, ..link }))
    }),
    refused("directory-with-content", |parts| Zip(parts.plus(&parts.name("evil/")))),
    stricter("encrypted", |parts| Zip(parts.with(parts.source().both(|header| header.flags |= 1)))),
    refused("unknown-method", |parts| Zip(parts.with(parts.source().both(|header| header.method = 12)))),
    // Bytes that no reader shows.
    stricter("bytes-before", |parts| Zip(RawZip { before: HIDDEN.to_vec(), ..parts.good() })),
    stricter("bytes-between", |parts| Zip(parts.with(Entry { gap: HIDDEN.to_vec(), ..parts.source() }))),
    stricter("bytes-after-entries", |parts| Zip(RawZip { after_entries: HIDDEN.to_vec(), ..parts.good() })),
    stricter("bytes-before-end", |parts| Zip(RawZip { before_end: HIDDEN.to_vec(), ..parts.good() })),
    stricter("trailing-garbage", |parts| Zip(RawZip { after_end: HIDDEN.to_vec(), ..parts.good() })),
    stricter("bytes-after-deflate", |parts| {
        let mut source = parts.source().both(|header| header.compressed += HIDDEN.len() as u32);
        source.data.extend(HIDDEN);
        Zip(parts.with(source))
    }),
    // Two readers, two contents.
    stricter("local-name-differs", |parts| {
        let mut source = parts.source();
        source.local.name = parts.name("q.go").into_bytes();
        Zip(parts.with(source))
    }),
    stricter("local-size-differs", |parts| {
        let mut source = parts.source();
        source.local.size += 1;
        Zip(parts.with(source))
    }),
    stricter("overlapping-entries", |parts| Zip(overlapping(parts))),
    refused("entry-count-lies", |parts| Zip(RawZip { stated_entries: Some(3), ..parts.good() })),
    stricter("directory-size-too-small", |parts| Zip(RawZip { stated_directory_len: Some(3), ..parts.good() })),
    refused("directory-size-too-large", |parts| Zip(RawZip { stated_directory_len: Some(70_000), ..parts.good() })),
    refused("directory-start-lies", |parts| Zip(RawZip { stated_directory_start: Some(3), ..parts.good() })),
    refused("directory-start-too-late", |parts| {
        // A reader that looks for the directory in front of the end record finds it all the same.
        let good = parts.good().to_bytes();
        let field = good.len() - 6;
        let (front, rest) = good.split_at(field);
        Bytes([front, &[rest[0].wrapping_add(5)], &rest[1..]].concat())
    }),
    stricter("two-archives", |parts| {
        let second = RawZip { before: parts.plus(&parts.name("evil.go")).to_bytes(), ..parts.good() };
        Zip(second)
    }),
    // Lies about sizes and damage.
    refused("bomb", |parts| {
        let mut source = parts.source();
        source.data = deflate(&vec![b'\n'; 8 << 20]);
        let compressed = source.data.len() as u32;
        Zip(parts.with(source.both(|header| header.compressed = compressed)))
    }),
    refused("stated-size-too-large", |parts| Zip(parts.with(parts.source().both(|header| header.size += 1)))),
    refused("stated-501-mib", |parts| Zip(parts.with(parts.source().both(|header| header.size = 501 << 20)))),
    refused("bad-crc", |parts| Zip(parts.with(parts.source().both(|header| header.crc ^= 1)))),
    refused("bad-descriptor", |parts| {
        let mut source = parts.source().with_descriptor();
        source.descriptor[4] ^= 1;
        Zip(parts.with(source))
    }),
    refused("cut-off", |parts| {
        let mut bytes = parts.good().to_bytes();
        bytes.truncate(bytes.len() - 10);
        Bytes(bytes)
    }),
    refused("empty-file", |_| Bytes(Vec::new())),
    refused("no-zip", |_| Bytes(b"<html>not found</html>\n".to_vec())),
];

const HIDDEN: &[u8] = b"nobody sees this";

/// A descriptor with sizes of 64 bits, as writers make it for zip64 entries.
fn long_descriptor(entry: Entry) -> Entry {
    let signed = entry.clone().with_descriptor().descriptor;
    let sizes = [u64::from(entry.central.compressed), u64::from(entry.central.size)].map(u64::to_le_bytes).concat();
    entry.with_descriptor_bytes([&signed[..8], &sizes].concat())
}

/// Two entries with one body: the second starts in front of the first and holds it whole, headers and all.
fn overlapping(parts: &Parts) -> RawZip {
    let inner = parts.source();
    let inner_bytes = RawZip { entries: vec![inner.clone()], ..RawZip::default() }.to_bytes();
    // What stands in front of the directory: the local header and the content.
    let body = 30 + inner.local.name.len() + inner.data.len();
    let outer = Entry::stored(&parts.name("outer.txt"), &inner_bytes[..body]);
    let go_mod = parts.go_mod();
    let outer_start = 30 + go_mod.local.name.len() + go_mod.data.len();
    let inner_start = outer_start + 30 + outer.local.name.len();
    let mut zip = RawZip { entries: vec![go_mod, outer], ..RawZip::default() };
    zip.borrowed.push(Entry { stated_offset: Some(inner_start as u32), ..inner });
    zip
}
