//! The head files of a bundle and `BUNDLE`, the root over them (SPEC M20 to M23).

use crate::hash::FileSha256;
use crate::invalid::Invalid;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

/// Name of the file that covers all other head files; its hash is the bundle id.
pub const BUNDLE: &str = "BUNDLE";
/// Largest `BUNDLE` that is read, in bytes; a valid one has less than 400.
pub const MAX_BUNDLE_BYTES: u64 = 4 * 1024;
/// Largest signature file, in bytes.
pub const MAX_SIGNATURE_BYTES: u64 = 16 * 1024;

/// The files that stand beside `BUNDLE` and describe the content, in the order of every carrier (SPEC M20).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeadFile {
    /// What the bundle is and where it comes from.
    BundleJson,
    /// The hash of every file of the content.
    Sha256Sums,
    /// The size of every file of the content.
    Sizes,
    /// What the far side must already have.
    Requires,
    /// How to check and use the bundle with other people's tools.
    Readme,
}

impl HeadFile {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::BundleJson, Self::Sha256Sums, Self::Sizes, Self::Requires, Self::Readme];

    /// The file name.
    pub fn name(self) -> &'static str {
        match self {
            Self::BundleJson => "bundle.json",
            Self::Sha256Sums => "SHA256SUMS",
            Self::Sizes => "SIZES",
            Self::Requires => "REQUIRES",
            Self::Readme => "README.txt",
        }
    }

    /// Largest size that is read, in bytes (SPEC M21).
    pub fn max_bytes(self) -> u64 {
        match self {
            Self::BundleJson => 16 * 1024 * 1024,
            Self::Sha256Sums | Self::Sizes | Self::Requires => 256 * 1024 * 1024,
            Self::Readme => 64 * 1024,
        }
    }
}

impl fmt::Display for HeadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The content of `BUNDLE`: the hash of each head file, as `sha256sum` prints it (SPEC M22).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    sums: [FileSha256; HeadFile::ALL.len()],
}

impl Root {
    /// The root over head files with these hashes, in the order of [`HeadFile::ALL`].
    pub fn new(sums: [FileSha256; HeadFile::ALL.len()]) -> Self {
        Self { sums }
    }

    /// The hash that this head file must have.
    pub fn sum(&self, file: HeadFile) -> FileSha256 {
        self.sums[file as usize]
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HeadFile::ALL.iter().try_for_each(|&file| writeln!(f, "{}  {file}", self.sum(file)))
    }
}

impl FromStr for Root {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |reason: String| Invalid::new("BUNDLE", text, reason);
        let mut lines = text.split_inclusive('\n');
        let mut sums = [FileSha256::from_digest([0; 32]); HeadFile::ALL.len()];
        for file in HeadFile::ALL {
            let line = lines.next().unwrap_or_default();
            let (sum, name) = line.split_once("  ").unwrap_or_default();
            if name.strip_suffix('\n') != Some(file.name()) {
                return Err(invalid(format!("the line of {file} is missing or not in its place")));
            }
            sums[file as usize] = sum.parse()?;
        }
        match lines.next() {
            None => Ok(Self { sums }),
            Some(_) => Err(invalid(String::from("more lines than head files"))),
        }
    }
}

/// Whether a file beside `BUNDLE` is a signature by its name: `BUNDLE.sig`, or `BUNDLE.`, 16 hex digits and
/// `.sig` for each further signer (SPEC M23).
pub fn is_signature_name(name: &str) -> bool {
    let Some(signer) = name.strip_prefix("BUNDLE.").and_then(|rest| rest.strip_suffix("sig")) else {
        return false;
    };
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    match signer.strip_suffix('.') {
        None => signer.is_empty(),
        Some(key) => key.len() == 16 && key.bytes().all(hex),
    }
}
