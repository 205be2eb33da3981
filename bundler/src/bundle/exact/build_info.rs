//! The build info that go links into every program: which go built it, from which module versions.
//!
//! It is found as `debug/buildinfo` of Go finds it: by a magic text at an address that is a multiple of 16. That address
//! is congruent to the place in the file for ELF, Mach-O and PE alike, so their headers need not be understood, and a
//! file that is damaged elsewhere does no harm.
//!
//! ```text
//! 0   \xff Go buildinf:
//! 14  size of a pointer
//! 15  flags: bit 1 says that two texts follow; without it there are two pointers to them (before go1.18)
//! 32  go version: length as a varint, bytes
//!     modules: the same; 16 bytes of a mark, lines with tabs, 16 bytes of another mark
//! ```

use std::io::{self, Read, Seek, SeekFrom};

const MAGIC: &[u8] = b"\xff Go buildinf:";
const ALIGN: usize = 16;
const FLAGS_AT: u64 = 15;
const INLINE: u8 = 2;
const TEXTS_AT: u64 = 32;
/// Length of the marks around the lines, in bytes.
const MARK: usize = 16;
/// Bytes read at once, a multiple of the alignment.
const BLOCK: usize = 1 << 20;
/// Bytes of a program that are searched; the largest known have some hundred MiB.
pub(super) const MAX_PROGRAM_BYTES: u64 = 4 << 30;
/// Largest text in it, in bytes: room for 100,000 modules.
const MAX_TEXT_BYTES: u64 = 16 << 20;
/// Longest name of a go version, in bytes; `devel` ones have a commit and a time.
const MAX_VERSION_BYTES: usize = 256;

/// What files of programs begin with: ELF, PE, Mach-O in both byte orders and sizes and with several in one, XCOFF, wasm.
const STARTS: [&[u8]; 10] = [
    b"\x7fELF",
    b"MZ",
    b"\xfe\xed\xfa\xce",
    b"\xfe\xed\xfa\xcf",
    b"\xce\xfa\xed\xfe",
    b"\xcf\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
    b"\x01\xdf",
    b"\x01\xf7",
    b"\0asm",
];

/// Whether a file that begins so is a program.
pub(super) fn is_program(start: &[u8]) -> bool {
    STARTS.iter().any(|magic| start.starts_with(magic))
}

/// What was found in a program.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The texts.
    Texts {
        /// Such as `go1.26.8`.
        go: String,
        /// The lines; empty where the program was built without modules.
        modules: String,
    },
    /// Build info in the form before go1.18.
    Old,
    /// No build info.
    Nothing,
}

/// Searches a program for its build info.
pub(super) fn find(program: &mut (impl Read + Seek)) -> io::Result<Found> {
    let (mut block, mut start, mut found) = (vec![0; BLOCK], 0, Found::Nothing);
    while start < MAX_PROGRAM_BYTES {
        program.seek(SeekFrom::Start(start))?;
        let length = fill(program, &mut block)?;
        // The magic is shorter than the alignment, so none lies across two blocks.
        for (number, _) in block[..length].chunks(ALIGN).enumerate().filter(|(_, chunk)| chunk.starts_with(MAGIC)) {
            // A program that looks for build info, such as go itself, has the magic among its texts as well.
            match at(program, start + (number * ALIGN) as u64)? {
                Found::Nothing => {}
                Found::Old => found = Found::Old,
                texts => return Ok(texts),
            }
        }
        if length < BLOCK {
            break;
        }
        start += BLOCK as u64;
    }
    Ok(found)
}

fn fill(program: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < block.len() {
        match program.read(&mut block[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// The build info at this place, if it is one.
fn at(program: &mut (impl Read + Seek), place: u64) -> io::Result<Found> {
    program.seek(SeekFrom::Start(place + FLAGS_AT))?;
    let mut flags = [0];
    if fill(program, &mut flags)? == 0 {
        return Ok(Found::Nothing);
    }
    if flags[0] & INLINE == 0 {
        return Ok(Found::Old);
    }
    program.seek(SeekFrom::Start(place + TEXTS_AT))?;
    let Some(go) = text(program)?.and_then(|bytes| String::from_utf8(bytes).ok()) else { return Ok(Found::Nothing) };
    let is_version = go.starts_with("go") || go.starts_with("devel");
    if !is_version || go.len() > MAX_VERSION_BYTES || go.chars().any(char::is_control) {
        return Ok(Found::Nothing);
    }
    let Some(marked) = text(program)? else { return Ok(Found::Nothing) };
    // As Go has it: without its marks it says nothing.
    let is_marked = marked.len() > 2 * MARK && marked[marked.len() - MARK - 1] == b'\n';
    let lines = if is_marked { &marked[MARK..marked.len() - MARK] } else { &[] };
    Ok(match std::str::from_utf8(lines) {
        Ok(lines) => Found::Texts { go, modules: lines.to_owned() },
        Err(_) => Found::Nothing,
    })
}

/// A text after its length; none if it is not whole or too long.
fn text(program: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = 0_u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        if fill(program, &mut byte)? == 0 {
            return Ok(None);
        }
        length |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            if length > MAX_TEXT_BYTES {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            program.take(length).read_to_end(&mut bytes)?;
            return Ok((bytes.len() as u64 == length).then_some(bytes));
        }
    }
    Ok(None)
}

/// One module of the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    /// Its path; of a replacement that of a directory perhaps.
    pub(super) path: String,
    /// Its version, or `(devel)`.
    pub(super) version: String,
    /// Its h1, or empty.
    pub(super) h1: String,
    /// What was built in its place.
    pub(super) replaced_by: Option<Box<Module>>,
}

/// The lines, understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Modules {
    /// The package of the program.
    pub(super) package: String,
    pub(super) main: Option<Module>,
    pub(super) dependencies: Vec<Module>,
}

/// Understands the lines; what is none of `path`, `mod`, `dep` and `=>` is about how it was built.
pub(super) fn parse(lines: &str) -> Result<Modules, String> {
    let mut modules = Modules::default();
    let mut last_is_main = false;
    for (number, line) in lines.lines().enumerate() {
        let invalid = |reason: &str| format!("line {} of its build info, {line:?}: {reason}", number + 1);
        let module = |fields: &[&str]| match fields {
            [path, version, rest @ ..] if !path.is_empty() && rest.len() < 2 => Ok(Module {
                path: (*path).to_owned(),
                version: (*version).to_owned(),
                h1: rest.first().copied().unwrap_or_default().to_owned(),
                replaced_by: None,
            }),
            _ => Err(invalid("not a module with a version")),
        };
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["path", path] => modules.package = path.to_owned(),
            ["mod", ref fields @ ..] => {
                modules.main = Some(module(fields)?);
                last_is_main = true;
            }
            ["dep", ref fields @ ..] => {
                modules.dependencies.push(module(fields)?);
                last_is_main = false;
            }
            ["=>", ref fields @ ..] => {
                let last = if last_is_main { modules.main.as_mut() } else { modules.dependencies.last_mut() };
                let last = last.ok_or_else(|| invalid("replaces nothing"))?;
                last.replaced_by = Some(Box::new(module(fields)?));
            }
            _ => {}
        }
    }
    Ok(modules)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Cursor;

    /// A program with these lines, with this much before its build info.
    pub(crate) fn program(before: usize, go: &str, lines: &str) -> Vec<u8> {
        let mut bytes = b"\x7fELF".to_vec();
        bytes.resize(before.next_multiple_of(ALIGN).max(ALIGN), 1);
        bytes.extend(MAGIC);
        bytes.extend([8, INLINE]);
        bytes.resize(bytes.len() + 16, 0);
        let marked = if lines.is_empty() { String::new() } else { format!("{0}{lines}{0}", "m".repeat(MARK)) };
        for text in [go, &marked] {
            let mut length = text.len();
            while length >= 0x80 {
                bytes.push(length as u8 | 0x80);
                length >>= 7;
            }
            bytes.push(length as u8);
            bytes.extend(text.as_bytes());
        }
        bytes.extend([0; 40]);
        bytes
    }

    pub(crate) const LINES: &str = "path\tcommand-line\nmod\ta.test/app\t(devel)\t\ndep\ta.test/dep\tv1.0.0\th1:x=\n\
        dep\ta.test/old\tv1.1.0\n=>\ta.test/new\tv1.2.0\th1:y=\nbuild\t-compiler=gc\nbuild\tCGO_ENABLED=0\n";

    fn found(bytes: &[u8]) -> Found {
        find(&mut Cursor::new(bytes)).unwrap()
    }

    #[test]
    fn it_is_found_wherever_it_lies() {
        for before in [0, 16, 4096, BLOCK - 16, BLOCK, BLOCK + 32, 3 * BLOCK - 48] {
            let expected = Found::Texts { go: "go1.26.8".to_owned(), modules: LINES.to_owned() };
            assert_eq!(found(&program(before, "go1.26.8", LINES)), expected, "{before}");
        }
        let mut false_start = program(0, "Go, as a text", "x");
        false_start.resize(false_start.len().next_multiple_of(ALIGN), 0);
        false_start.extend(program(0, "go1.18", LINES));
        assert_eq!(found(&false_start), Found::Texts { go: "go1.18".to_owned(), modules: LINES.to_owned() });
    }

    #[test]
    fn what_has_none_is_told_from_what_is_too_old() {
        assert_eq!(found(b"\x7fELF"), Found::Nothing);
        assert_eq!(found(b""), Found::Nothing);
        let mut old = program(0, "go1.26.8", LINES);
        old[16 + FLAGS_AT as usize] = 0;
        assert_eq!(found(&old), Found::Old);
        assert_eq!(found(&program(0, "go1.26.8", "")), Found::Texts { go: "go1.26.8".into(), modules: String::new() });
        let mut moved = program(0, "go1.26.8", LINES);
        moved.insert(4, 0);
        assert_eq!(found(&moved), Found::Nothing);
    }

    #[test]
    fn no_cut_and_no_flip_does_harm() {
        let good = program(64, "go1.26.8", LINES);
        for length in 0..good.len() {
            // What is cut has no whole texts, but for the end that nobody reads.
            let is_whole = length >= good.len() - 40;
            assert_eq!(found(&good[..length]) != Found::Nothing, is_whole, "{length}");
        }
        for place in 0..good.len() {
            for flip in [1, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[place] ^= flip;
                if let Found::Texts { modules, .. } = found(&bad) {
                    let _ = parse(&modules);
                }
            }
        }
    }

    #[test]
    fn lengths_without_end_are_refused() {
        let mut endless = program(0, "go1.26.8", LINES)[..48].to_vec();
        endless.extend([0xff; 100]);
        assert_eq!(found(&endless), Found::Nothing);
        let mut huge = endless[..48].to_vec();
        huge.extend([0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0]);
        assert_eq!(found(&huge), Found::Nothing);
    }

    #[test]
    fn lines_are_modules() {
        let modules = parse(LINES).unwrap();
        assert_eq!((modules.package.as_str(), modules.main.unwrap().version.as_str()), ("command-line", "(devel)"));
        let [dep, old] = &modules.dependencies[..] else { panic!() };
        assert_eq!((dep.path.as_str(), dep.h1.as_str()), ("a.test/dep", "h1:x="));
        assert_eq!(old.replaced_by.as_ref().unwrap().path, "a.test/new");
        for wrong in ["dep", "dep\t", "dep\ta", "dep\t\tv1", "dep\ta\tb\tc\td", "=>\ta\tv1", "mod"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
