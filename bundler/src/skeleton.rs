//! Trees of which only the heads of Go files are there: enough for go to load packages, which is how it finds a closure.
//!
//! go itself unpacks whole modules for that, which is most of its work. Of a module zip that has been proven, [`unpack`] writes
//! the heads where go would write everything; of a user's module, [`copy`] writes them into a directory of ours, so that no
//! command of go runs in the user's tree. Names of files keep their meaning (tests, platforms), and so do build constraints
//! and the comments of cgo, which stand before the imports. Files of a module that are for every platform become one per package:
//! they are most of them, and making, reading and removing files is what takes the time. What follows the imports is left out, `//go:embed` with it:
//! the files that it names are not there.

mod zip_packages;

pub(crate) use zip_packages::ZipPackages;

use crate::error::{Error, Result};
use crate::go_source::{self, GoHead};
use flate2::{Decompress, FlushDecompress, Status};
use modferry_format::ModuleVersion;
use modferry_prove::DIRECTORY_BUFFER_BYTES;
use rawzip::{CompressionMethod, FileReader, ReaderAt, ZipArchive, ZipArchiveEntryWayfinder};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// Most bytes of a file that are read for its head; then what was read stands for it.
const MAX_HEAD_BYTES: usize = 16 << 20;
/// Bytes that are read of a file at first: few heads are longer.
const FIRST_BYTES: usize = 4096;
/// Compressed bytes that are read at a time.
const PIECE_BYTES: usize = 4096;

/// Whether go looks at a file when it loads packages.
fn is_source(name: &str) -> bool {
    let base = name.rsplit('/').next().unwrap_or(name);
    base.ends_with(".go") && !base.starts_with(['_', '.'])
}

/// A file in a zip: its name, where it is, and how it is packed.
type ZipFile = (String, ZipArchiveEntryWayfinder, CompressionMethod);

/// The buffers of one worker.
pub(crate) struct Unpacker {
    directory: Vec<u8>,
    piece: Vec<u8>,
    out: Vec<u8>,
    inflate: Decompress,
}

impl Default for Unpacker {
    fn default() -> Self {
        Self {
            directory: vec![0; DIRECTORY_BUFFER_BYTES],
            piece: vec![0; PIECE_BYTES],
            out: Vec::new(),
            inflate: Decompress::new(false),
        }
    }
}

impl Unpacker {
    /// Writes the heads of all Go files of a proven zip below `dir`, without the `PATH@VERSION/` of their names.
    pub(crate) fn unpack(&mut self, zip: &Path, version: &ModuleVersion, dir: &Path) -> Result<()> {
        let failed = |error: io::Error| Error::io(dir, "the module could not be unpacked there", &error);
        self.write(zip, version, dir).map_err(failed)
    }

    fn write(&mut self, zip: &Path, version: &ModuleVersion, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        let (archive, files) = self.files(zip, version)?;
        let sources = files.into_iter().filter(|(below, ..)| is_source(below));
        let mut made = HashSet::new();
        let mut merged = Merged::default();
        for (below, wayfinder, method) in sources {
            let (start, end) = archive.get_entry(wayfinder).map_err(io::Error::other)?.compressed_data_range();
            let len = match self.head(archive.get_ref(), (start, end), method)? {
                Ok(head) if merged.takes(&below, &head) => continue,
                Ok(head) => head.len,
                Err(len) => len,
            };
            let path = dir.join(&below);
            if let Some(parent) = path.parent().filter(|parent| made.insert(parent.to_path_buf())) {
                fs::create_dir_all(parent)?;
            }
            write_head(&path, &self.out[..len])?;
        }
        merged.write(dir, &mut made)
    }

    /// The Go files of a zip, without the `PATH@VERSION/` of their names.
    fn files(&mut self, zip: &Path, version: &ModuleVersion) -> io::Result<(ZipArchive<FileReader>, Vec<ZipFile>)> {
        let archive = ZipArchive::from_file(File::open(zip)?, &mut self.directory).map_err(io::Error::other)?;
        let prefix = format!("{}@{}/", version.path(), version.version());
        let mut files = Vec::new();
        let mut entries = archive.entries(&mut self.directory);
        while let Some(entry) = entries.next_entry().map_err(io::Error::other)? {
            let name = String::from_utf8_lossy(entry.file_path().as_ref()).into_owned();
            // The proof has seen that every name begins so and is clean.
            if let Some(below) = name.strip_prefix(&prefix).filter(|below| below.ends_with(".go")) {
                files.push((below.to_owned(), entry.wayfinder(), entry.compression_method()));
            }
        }
        Ok((archive, files))
    }

    /// Inflates an entry until its head is whole; gives the head, or how much is there of a file that has none.
    fn head<R: ReaderAt>(
        &mut self,
        file: &R,
        (mut at, end): (u64, u64),
        method: CompressionMethod,
    ) -> io::Result<std::result::Result<GoHead, usize>> {
        self.out.clear();
        self.inflate.reset(false);
        let mut wanted = FIRST_BYTES;
        loop {
            let is_end = self.more(file, &mut at, end, method, wanted)?;
            if let Some(head) = go_source::head(&self.out) {
                return Ok(Ok(head));
            }
            if is_end || self.out.len() >= MAX_HEAD_BYTES {
                let len = self.out.len();
                return Ok(go_source::whole_head(&mut self.out).ok_or(len));
            }
            wanted *= 4;
        }
    }

    /// Inflates until there are `wanted` bytes; says whether these are all.
    fn more<R: ReaderAt>(
        &mut self,
        file: &R,
        at: &mut u64,
        end: u64,
        method: CompressionMethod,
        wanted: usize,
    ) -> io::Result<bool> {
        self.out.reserve(wanted.saturating_sub(self.out.len()));
        while self.out.len() < wanted {
            let left = usize::try_from(end - *at).unwrap_or(usize::MAX);
            let len = left.min(PIECE_BYTES);
            let got = if len == 0 { 0 } else { file.read_at(&mut self.piece[..len], *at)? };
            if method != CompressionMethod::DEFLATE {
                self.out.extend_from_slice(&self.piece[..got]);
                *at += got as u64;
                if got == 0 {
                    return Ok(true);
                }
                continue;
            }
            let before = (self.inflate.total_in(), self.out.len());
            let status = self.inflate.decompress_vec(&self.piece[..got], &mut self.out, FlushDecompress::None)?;
            let taken = self.inflate.total_in() - before.0;
            *at += taken;
            if status == Status::StreamEnd || (taken == 0 && self.out.len() == before.1) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A directory, a package in it, and whether it is of tests.
type Group = (String, String, bool);

/// Files of which only the imports count, by package.
#[derive(Default)]
struct Merged(BTreeMap<Group, BTreeSet<String>>);

impl Merged {
    /// Takes a file that is for every platform.
    fn takes(&mut self, below: &str, head: &GoHead) -> bool {
        let (folder, name) = below.rsplit_once('/').unwrap_or(("", below));
        let is_bound = head.is_constrained || go_source::has_platform(name);
        // The comment before an import of C has options for the compiler.
        if is_bound || head.imports.iter().any(|import| import == "C" || import.contains(['"', '\\', '\n'])) {
            return false;
        }
        let group = (folder.to_owned(), head.package.clone(), name.ends_with("_test.go"));
        self.0.entry(group).or_default().extend(head.imports.iter().cloned());
        true
    }

    fn write(self, dir: &Path, made: &mut HashSet<PathBuf>) -> io::Result<()> {
        for (number, ((folder, package, is_test), imports)) in self.0.into_iter().enumerate() {
            let folder = dir.join(folder);
            if made.insert(folder.clone()) {
                fs::create_dir_all(&folder)?;
            }
            let imports: String = imports.iter().map(|import| format!("import _ \"{import}\"\n")).collect();
            let mut name = format!("merged{number}{}.go", if is_test { "_test" } else { "" });
            while folder.join(&name).symlink_metadata().is_ok() {
                // A file of the module, or a directory of it, has that name.
                name.insert(0, 'x');
            }
            fs::write(folder.join(name), format!("package {package}\n\n{imports}"))?;
        }
        Ok(())
    }
}

/// Copies the heads of the Go files of a module, without nested modules, vendor and hidden directories.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let belongs = |entry: &DirEntry| {
        if entry.depth() == 0 || !entry.file_type().is_dir() {
            return true;
        }
        let name = entry.file_name().to_string_lossy();
        let is_vendor = entry.depth() == 1 && name == "vendor";
        !(name.starts_with('.') || is_vendor || entry.path().join("go.mod").is_file())
    };
    let mut bytes = Vec::new();
    let mut made: HashSet<PathBuf> = HashSet::new();
    for entry in WalkDir::new(from).into_iter().filter_entry(belongs) {
        let entry = match entry.map_err(io::Error::from) {
            // go passes over it, or says itself that it needs it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
            entry => entry.map_err(|error| Error::io(from, "could not be read", &error))?,
        };
        // go matches no pattern through a link to a directory, and imports through it.
        if entry.depth() > 0 && entry.path_is_symlink() && entry.path().is_dir() {
            let path = to.join(entry.path().strip_prefix(from).unwrap_or(entry.path()));
            link(entry.path(), &path).map_err(|error| Error::io(&path, "could not be made", &error))?;
            continue;
        }
        // One to a file counts as the file, as it does for go.
        if entry.file_type().is_dir() || !is_source(&entry.file_name().to_string_lossy()) || !entry.path().is_file() {
            continue;
        }
        let head = read_head(entry.path(), &mut bytes)
            .map_err(|error| Error::io(entry.path(), "could not be read", &error))?;
        let path = to.join(entry.path().strip_prefix(from).unwrap_or(entry.path()));
        let mut write = || {
            if let Some(parent) = path.parent().filter(|parent| made.insert(parent.to_path_buf())) {
                fs::create_dir_all(parent)?;
            }
            write_head(&path, &bytes[..head])
        };
        write().map_err(|error| Error::io(&path, "could not be written", &error))?;
    }
    Ok(())
}

/// Makes a link to the directory that another link leads to.
fn link(from: &Path, at: &Path) -> io::Result<()> {
    if let Some(parent) = at.parent() {
        fs::create_dir_all(parent)?;
    }
    let target = fs::canonicalize(from)?;
    #[cfg(unix)]
    return std::os::unix::fs::symlink(target, at);
    #[cfg(not(unix))]
    return copy(&target, at).map_err(io::Error::other);
}

/// Reads a file until its head is whole; gives the length of that.
fn read_head(path: &Path, bytes: &mut Vec<u8>) -> io::Result<usize> {
    bytes.clear();
    let mut file = File::open(path)?;
    let mut wanted = FIRST_BYTES;
    loop {
        let missing = wanted - bytes.len();
        let got = file.by_ref().take(missing as u64).read_to_end(bytes)?;
        if let Some(head) = go_source::head(bytes) {
            return Ok(head.len);
        }
        if got < missing || bytes.len() >= MAX_HEAD_BYTES {
            return Ok(bytes.len());
        }
        wanted *= 4;
    }
}

fn write_head(path: &Path, head: &[u8]) -> io::Result<()> {
    let mut line = Vec::with_capacity(head.len() + 1);
    line.extend_from_slice(head);
    line.push(b'\n');
    fs::write(path, line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use modferry_harness::module::Module;

    #[test]
    fn unpacks_the_heads_of_go_files_alone() {
        let long = format!("/*\n{}\n*/\npackage p\n\nimport \"a.b/c\"\n\nvar x = 1\n", "long ".repeat(20_000));
        let module = Module::new("example.com/A@v1.0.0").unwrap();
        let module = module.file("a.go", "package a // here\n\nimport x \"embed\"\n\n//go:embed x\nvar x string\n");
        let module =
            module.file("b.go", "package a\n\nimport \"b.c/d\"\n").file("c.go", "//go:build cgo\n\npackage a\n\n");
        let module = module.file("b_test.go", "package a_test\n\nimport \"b.c/e\"\n\nvar y int\n");
        let module = module.file("sub/b_windows.go", long.as_str()).file("x", "text").file("_no.go", "package no\n");
        let dir = tempfile::tempdir().unwrap();
        let zip = dir.path().join("m.zip");
        fs::write(&zip, module.zip()).unwrap();
        let out = dir.path().join("out");
        Unpacker::default().unpack(&zip, &"example.com/A@v1.0.0".parse().unwrap(), &out).unwrap();
        let merged = fs::read_to_string(out.join("merged0.go")).unwrap();
        assert_eq!(merged, "package a\n\nimport _ \"b.c/d\"\nimport _ \"embed\"\n");
        let merged = fs::read_to_string(out.join("merged1_test.go")).unwrap();
        assert_eq!(merged, "package a_test\n\nimport _ \"b.c/e\"\n");
        assert_eq!(fs::read_to_string(out.join("c.go")).unwrap(), "//go:build cgo\n\npackage a\n");
        let head = fs::read_to_string(out.join("sub/b_windows.go")).unwrap();
        assert!(head.starts_with("/*") && head.ends_with("import \"a.b/c\"\n"));
        assert!(
            !out.join("x").exists()
                && !out.join("a.go").exists()
                && !out.join("_no.go").exists()
                && !out.join("go.mod").exists()
        );
        let copied = dir.path().join("copied");
        copy(&out, &copied).unwrap();
        assert_eq!(fs::read_to_string(copied.join("sub/b_windows.go")).unwrap().trim_end(), head.trim_end());
    }

    #[test]
    fn a_copy_ends_at_other_modules() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        for file in
            ["a.go", "nested/go.mod", "nested/b.go", "vendor/c.go", "d/vendor/e.go", ".git/f.go", "testdata/g.go"]
        {
            fs::create_dir_all(from.join(file).parent().unwrap()).unwrap();
            fs::write(from.join(file), "package p\n").unwrap();
        }
        copy(&from, &to).unwrap();
        let mut found: Vec<String> = WalkDir::new(&to)
            .into_iter()
            .flatten()
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| entry.path().strip_prefix(&to).unwrap().display().to_string())
            .collect();
        found.sort();
        assert_eq!(found, ["a.go", "d/vendor/e.go", "testdata/g.go"]);
    }
}
