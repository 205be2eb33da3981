//! Tars of bundles that a check must refuse, by family and name; each is a good tar with one fault.

use crate::raw_tar::{
    BLOCK, CHECKSUM, DEVICE, KIND, LINK, MAGIC, MODE, Member, NAME, OWNER, OWNER_NAME, PREFIX, RawTar, SIZE, TIME,
};

/// One way to spoil a tar.
pub struct Kind {
    /// Its name in stories.
    pub name: &'static str,
    spoil: fn(&mut Parts),
}

/// A good tar, and where its content begins.
struct Parts {
    tar: RawTar,
    content: usize,
    /// Cut off to so many bytes, where a kind wants that.
    len: Option<usize>,
}

impl Kind {
    /// The good tar of a bundle, spoiled; none where it is no tar of a bundle.
    pub fn tar(&self, good: &[u8]) -> Option<Vec<u8>> {
        let tar = RawTar::parse(good)?;
        let content = tar.members.iter().position(|member| member.name().contains('/'))?;
        let mut parts = Parts { tar, content, len: None };
        (self.spoil)(&mut parts);
        let mut bytes = parts.tar.to_bytes();
        bytes.truncate(parts.len.unwrap_or(bytes.len()));
        Some(bytes)
    }
}

impl Parts {
    /// Changes the first file of the content.
    fn change(&mut self, change: impl FnOnce(Member) -> Member) {
        let member = &mut self.tar.members[self.content];
        *member = change(member.clone());
    }

    /// Puts something in front of the first file of the content.
    fn insert(&mut self, members: impl IntoIterator<Item = Member>) {
        self.tar.members.splice(self.content..self.content, members);
    }

    fn insert_file(&mut self, name: &[u8]) {
        self.insert([Member::file(name, b"evil\n")]);
    }

    fn change_size(&mut self, size: &[u8; 12]) {
        self.change(|member| member.with(SIZE, size));
    }

    fn first_name(&self) -> String {
        self.tar.members[self.content].name()
    }

    fn len(&self) -> usize {
        self.tar.to_bytes().len()
    }
}

const fn kind(name: &'static str, spoil: fn(&mut Parts)) -> Kind {
    Kind { name, spoil }
}

/// The kinds of this family.
pub fn family(name: &str) -> Option<&'static [Kind]> {
    FAMILIES.iter().find(|(family, _)| *family == name).map(|(_, kinds)| *kinds)
}

/// All families and their kinds.
pub const FAMILIES: &[(&str, &[Kind])] = &[
    ("types", TYPES),
    ("names", NAMES),
    ("sizes", SIZES),
    ("order", ORDER),
    ("ends", ENDS),
    ("pax", PAX),
    ("forms", FORMS),
];

/// The first file of the content is something else, or something else stands in front of it.
const TYPES: &[Kind] = &[
    kind("hard-link", |parts| parts.change(|member| member.with(KIND, b"1").with(LINK, b"BUNDLE"))),
    kind("symbolic-link", |parts| parts.change(|member| member.with(KIND, b"2").with(LINK, b"/etc/passwd"))),
    kind("character-device", |parts| parts.change(|member| member.with(KIND, b"3"))),
    kind("block-device", |parts| parts.change(|member| member.with(KIND, b"4"))),
    kind("directory", |parts| parts.insert([Member::of_kind(b'5', b"download/", b"")])),
    kind("pipe", |parts| parts.change(|member| member.with(KIND, b"6"))),
    kind("contiguous", |parts| parts.change(|member| member.with(KIND, b"7"))),
    kind("gnu-long-name", |parts| parts.insert([Member::of_kind(b'L', b"././@LongLink", b"download/evil\0")])),
    kind("gnu-long-link", |parts| parts.insert([Member::of_kind(b'K', b"././@LongLink", b"download/evil\0")])),
    kind("sparse", |parts| parts.change(|member| member.with(KIND, b"S").with(MAGIC, b"ustar  \0"))),
    kind("gnu-directory", |parts| parts.insert([Member::of_kind(b'D', b"download/", b"Yevil\0\0")])),
    kind("gnu-continued", |parts| parts.change(|member| member.with(KIND, b"M"))),
    kind("gnu-volume", |parts| parts.insert([Member::of_kind(b'V', b"evil", b"")])),
    kind("unknown-type", |parts| parts.change(|member| member.with(KIND, b"Z"))),
    kind("high-type", |parts| parts.change(|member| member.with(KIND, b"\xff"))),
];

/// One more file, under a name that no bundle has.
const NAMES: &[Kind] = &[
    kind("absolute", |parts| parts.insert_file(b"/etc/evil")),
    kind("dot-dot", |parts| parts.insert_file(b"download/../../evil")),
    kind("only-dot-dot", |parts| parts.insert_file(b"..")),
    kind("dot", |parts| parts.insert_file(b"./BUNDLE")),
    kind("double-slash", |parts| parts.insert_file(b"download//evil")),
    kind("trailing-slash", |parts| parts.insert_file(b"download/evil/")),
    kind("backslash", |parts| parts.insert_file(b"download\\..\\evil")),
    kind("drive", |parts| parts.insert_file(b"C:/evil")),
    kind("upper-case", |parts| parts.insert_file(b"download/Example.com/a/@v/list")),
    kind("not-utf8", |parts| parts.insert_file(b"download/\xff\xfe")),
    kind("control-characters", |parts| parts.insert_file(b"download/\x1b[2J\nevil")),
    kind("empty-name", |parts| parts.insert_file(b"")),
    kind("elsewhere", |parts| parts.insert_file(b"evil.txt")),
    kind("nul-in-name", |parts| {
        let name = [parts.first_name().as_bytes(), b"\0evil"].concat();
        parts.change(|member| member.with(NAME, &name));
    }),
    kind("prefix-without-name", |parts| {
        parts.insert([Member::file(b"", b"evil\n").with(PREFIX, b"download/evil")]);
    }),
    kind("prefix-dot-dot", |parts| parts.insert([Member::file(b"evil", b"evil\n").with(PREFIX, b"../..")])),
];

/// The first file of the content states a size that is not its own.
const SIZES: &[Kind] = &[
    kind("octal-garbage", |parts| parts.change_size(b"0000000001x\0")),
    kind("digit-eight", |parts| parts.change_size(b"00000000008\0")),
    kind("minus", |parts| parts.change_size(b"-0000000001\0")),
    kind("binary", |parts| parts.change_size(b"\x80\0\0\0\0\0\0\0\0\0\0\x07")),
    kind("binary-minus", |parts| parts.change_size(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")),
    kind("blanks", |parts| parts.change_size(b"          7\0")),
    kind("empty", |parts| parts.change_size(b"\0\0\0\0\0\0\0\0\0\0\0\0")),
    kind("no-terminator", |parts| parts.change_size(b"000000000007")),
    kind("larger-than-the-tar", |parts| parts.change_size(b"77777777777\0")),
    kind("zero", |parts| parts.change_size(b"00000000000\0")),
    kind("one-less", |parts| {
        let size = format!("{:011o}\0", parts.tar.members[parts.content].data.len() - 1);
        parts.change(|member| member.with(SIZE, size.as_bytes()));
    }),
    kind("one-more", |parts| {
        let size = format!("{:011o}\0", parts.tar.members[parts.content].data.len() + 1);
        parts.change(|member| member.with(SIZE, size.as_bytes()));
    }),
    kind("a-block-more", |parts| {
        let size = format!("{:011o}\0", parts.tar.members[parts.content].data.len() + BLOCK);
        parts.change(|member| member.with(SIZE, size.as_bytes()));
    }),
    kind("larger-than-the-manifest", |parts| {
        let name = parts.first_name();
        parts.change(|member| Member::file(name.as_bytes(), &[&member.data[..], &[b'\n'; 3 << 20]].concat()));
    }),
];

/// Files stand where they cannot be.
const ORDER: &[Kind] = &[
    kind("content-swapped", |parts| parts.tar.members.swap(parts.content, parts.content + 1)),
    kind("content-reversed", |parts| parts.tar.members[parts.content..].reverse()),
    kind("content-first", |parts| {
        let first = parts.tar.members.remove(parts.content);
        parts.tar.members.insert(0, first);
    }),
    kind("head-last", |parts| parts.tar.members.rotate_left(parts.content)),
    kind("bundle-second", |parts| parts.tar.members.swap(0, 1)),
    kind("bundle-missing", |parts| _ = parts.tar.members.remove(0)),
    kind("sums-missing", |parts| _ = parts.tar.members.remove(2)),
    kind("head-swapped", |parts| parts.tar.members.swap(2, 3)),
    kind("twice", |parts| parts.insert([parts.tar.members[parts.content].clone()])),
    kind("twice-with-other-bytes", |parts| {
        let name = parts.first_name();
        parts.tar.members.push(Member::file(name.as_bytes(), b"evil\n"));
    }),
    kind("bundle-twice", |parts| {
        let bundle = parts.tar.members[0].clone();
        parts.tar.members.insert(1, bundle);
    }),
    kind("bundle-again-at-the-end", |parts| parts.tar.members.push(Member::file(b"BUNDLE", b"evil\n"))),
    kind("signature-late", |parts| parts.insert_file(b"BUNDLE.sig")),
    kind("signatures-unsorted", |parts| {
        let names = [&b"BUNDLE.sig"[..], b"BUNDLE.0123456789abcdef.sig"];
        parts.tar.members.splice(1..1, names.map(|name| Member::file(name, b"-\n")));
    }),
    kind("many-signatures", |parts| {
        let name = |number: usize| format!("BUNDLE.{number:016x}.sig");
        parts.tar.members.splice(1..1, (0..1000).map(|number| Member::file(name(number).as_bytes(), b"-\n")));
    }),
    kind("one-missing", |parts| _ = parts.tar.members.remove(parts.content)),
];

/// The tar ends too early, too late, or in between.
const ENDS: &[Kind] = &[
    kind("nothing", |parts| parts.len = Some(0)),
    kind("no-end", |parts| parts.tar.end.clear()),
    kind("one-block", |parts| parts.tar.end.truncate(BLOCK)),
    kind("one-block-and-more", |parts| parts.tar.end[BLOCK..].fill(b'x')),
    kind("one-byte-after", |parts| parts.tar.end.push(b'x')),
    kind("bytes-after-zeros", |parts| parts.tar.end.extend([&[0; 20 * BLOCK][..], b"x"].concat())),
    kind("second-tar", |parts| {
        let evil = Member::file(parts.first_name().as_bytes(), b"evil\n");
        let second = RawTar { members: vec![evil], end: vec![0; 2 * BLOCK] }.to_bytes();
        parts.tar.end.extend(second);
    }),
    kind("zeros-in-between", |parts| {
        parts.change(|mut member| {
            member.padding.extend([0; 2 * BLOCK]);
            member
        })
    }),
    kind("one-zero-block-in-between", |parts| {
        parts.change(|mut member| {
            member.padding.extend([0; BLOCK]);
            member
        })
    }),
    kind("hidden-in-padding", |parts| {
        parts.change(|mut member| {
            member.padding.fill(b'x');
            member
        })
    }),
    kind("cut-in-header", |parts| parts.len = Some(BLOCK + BLOCK + 100)),
    kind("cut-in-file", |parts| parts.len = Some(parts.len() - 2 * BLOCK - BLOCK - 1)),
    kind("cut-in-padding", |parts| parts.len = Some(parts.len() - 2 * BLOCK - 1)),
    kind("cut-in-end", |parts| parts.len = Some(parts.len() - 1)),
    kind("bad-checksum", |parts| parts.change(|member| member.with_untrue(TIME, b"7"))),
    kind("empty-checksum", |parts| parts.change(|member| member.with_untrue(CHECKSUM, &[0; 8]))),
    kind("garbage-for-a-header", |parts| parts.change(|member| Member { header: [b'x'; BLOCK], ..member })),
];

fn pax(record: &[u8]) -> Member {
    Member::of_kind(b'x', b"PaxHeaders/path", record)
}

/// `LENGTH KEY=VALUE` and a newline.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [format!(" {key}=").as_bytes(), value, b"\n"].concat();
    let mut len = rest.len();
    while len.to_string().len() + rest.len() != len {
        len = len.to_string().len() + rest.len();
    }
    [len.to_string().as_bytes(), &rest].concat()
}

/// Headers of pax that are not the one that a long path needs.
const PAX: &[Kind] = &[
    kind("needless", |parts| {
        let name = parts.first_name();
        parts.insert([pax(&record("path", name.as_bytes()))]);
    }),
    kind("other-path", |parts| parts.insert([pax(&record("path", b"download/../../evil"))])),
    kind("size", |parts| parts.insert([pax(&record("size", b"1"))])),
    kind("path-and-size", |parts| {
        let name = parts.first_name();
        parts.insert([pax(&[record("path", name.as_bytes()), record("size", b"1")].concat())]);
    }),
    kind("path-twice", |parts| {
        let name = parts.first_name();
        parts.insert([pax(&[record("path", b"evil"), record("path", name.as_bytes())].concat())]);
    }),
    kind("gnu-sparse", |parts| parts.insert([pax(&record("GNU.sparse.major", b"1"))])),
    kind("link-path", |parts| parts.insert([pax(&record("linkpath", b"/etc/passwd"))])),
    kind("time", |parts| parts.insert([pax(&record("mtime", b"1.5"))])),
    kind("empty-record", |parts| parts.insert([pax(b"")])),
    kind("wrong-length", |parts| parts.insert([pax(b"99 path=evil\n")])),
    kind("no-newline", |parts| parts.insert([pax(b"12 path=evil")])),
    kind("huge", |parts| parts.insert([pax(&record("path", &[b'a'; 1 << 20]))])),
    kind("stated-huge", |parts| parts.insert([pax(b"").with(SIZE, b"77777777777\0")])),
    kind("two-in-a-row", |parts| parts.insert([pax(&record("path", b"a")), pax(&record("path", b"b"))])),
    kind("thousands", |parts| parts.insert((0..5000).map(|_| pax(&record("path", b"a"))))),
    kind("thousands-of-files", |parts| {
        parts.insert((0..5000).flat_map(|_| [pax(&record("path", b"evil")), Member::file(b"x", b"")]));
    }),
    kind("in-front-of-the-end", |parts| parts.tar.members.push(pax(&record("path", b"a")))),
    kind("in-front-of-nothing", |parts| {
        parts.tar.members.push(pax(&record("path", b"a")));
        parts.tar.end.clear();
    }),
    kind("for-all-files", |parts| parts.insert([Member::of_kind(b'g', b"pax_global_header", &record("path", b"a"))])),
    kind("solaris", |parts| parts.insert([Member::of_kind(b'X', b"PaxHeaders/path", &record("path", b"a"))])),
];

/// Headers that say the same in another form: found, though every file is whole.
const FORMS: &[Kind] = &[
    kind("mode", |parts| parts.change(|member| member.with(MODE, b"0000755\0"))),
    kind("set-user-id", |parts| parts.change(|member| member.with(MODE, b"0004755\0"))),
    kind("owner", |parts| parts.change(|member| member.with(OWNER, b"0001750\0"))),
    kind("owner-name", |parts| parts.change(|member| member.with(OWNER_NAME, b"root"))),
    kind("time", |parts| parts.change(|member| member.with(TIME, b"14000000000\0"))),
    kind("old-type", |parts| parts.change(|member| member.with(KIND, b"\0"))),
    kind("gnu-magic", |parts| parts.change(|member| member.with(MAGIC, b"ustar  \0"))),
    kind("no-magic", |parts| parts.change(|member| member.with(MAGIC, &[0; 8]))),
    kind("device", |parts| parts.change(|member| member.with(DEVICE, &[0; 8]))),
    kind("link-text", |parts| parts.change(|member| member.with(LINK, b"/etc/passwd"))),
    kind("last-bytes", |parts| parts.change(|member| member.with(508..512, b"tar\0"))),
    kind("checksum-digits", |parts| {
        parts.change(|member| {
            let digits = [&[b'0'; 1], &member.header[CHECKSUM][..6], &b"\0"[..]].concat();
            member.with_untrue(CHECKSUM, &digits)
        });
    }),
    kind("prefix", |parts| {
        let name = parts.first_name();
        let (prefix, rest) = name.split_once('/').unwrap_or_default();
        let rest = [rest.as_bytes(), &[0; 20]].concat();
        parts.change(|member| member.with(NAME, &rest).with(PREFIX, prefix.as_bytes()));
    }),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_another_tar_than_the_good_one() {
        let head = ["BUNDLE", "bundle.json", "SHA256SUMS", "SIZES", "REQUIRES", "README.txt"];
        let content = ["@latest", "@v/list", "@v/v1.0.0.mod"].map(|name| format!("download/example.com/a/{name}"));
        let names = head.iter().map(ToString::to_string).chain(content);
        let members = names.map(|name| Member::file(name.as_bytes(), b"text\n")).collect();
        let good = RawTar { members, end: vec![0; 2 * BLOCK] }.to_bytes();
        let mut seen = Vec::new();
        for kind in FAMILIES.iter().flat_map(|(_, kinds)| *kinds) {
            let bad = kind.tar(&good).unwrap();
            assert_ne!(bad, good, "{}", kind.name);
            assert!(!seen.contains(&bad), "{} is the same as another", kind.name);
            seen.push(bad);
        }
    }
}
