//! Writes tars in which every byte is the caller's choice, also the wrong ones.
//!
//! ```text
//! member: header, data, padding | ... | end
//! ```

use std::ops::Range;

/// Everything in a tar is a multiple of this.
pub const BLOCK: usize = 512;
/// The name, first part of a path that fits.
pub const NAME: Range<usize> = 0..100;
/// Permissions.
pub const MODE: Range<usize> = 100..108;
/// Number of the owner.
pub const OWNER: Range<usize> = 108..116;
/// Bytes that follow, in octal digits.
pub const SIZE: Range<usize> = 124..136;
/// Time of the last change.
pub const TIME: Range<usize> = 136..148;
/// Sum of all bytes of the header.
pub const CHECKSUM: Range<usize> = 148..156;
/// What kind of thing it is.
pub const KIND: Range<usize> = 156..157;
/// Where a link leads.
pub const LINK: Range<usize> = 157..257;
/// `ustar`, NUL and two digits.
pub const MAGIC: Range<usize> = 257..265;
/// Name of the owner.
pub const OWNER_NAME: Range<usize> = 265..297;
/// Number of the device.
pub const DEVICE: Range<usize> = 329..337;
/// What stands in front of a name that is too long.
pub const PREFIX: Range<usize> = 345..500;

/// One member: its header as it is, its data, and what stands between the data and the next header.
#[derive(Debug, Clone)]
pub struct Member {
    /// The header.
    pub header: [u8; BLOCK],
    /// The data.
    pub data: Vec<u8>,
    /// What fills the last block of the data.
    pub padding: Vec<u8>,
}

/// A tar.
#[derive(Debug, Clone)]
pub struct RawTar {
    /// Its members.
    pub members: Vec<Member>,
    /// What stands behind them; two blocks of zeros in a good one.
    pub end: Vec<u8>,
}

impl Member {
    /// A regular file with a true header.
    pub fn file(name: &[u8], data: &[u8]) -> Self {
        Self::of_kind(b'0', name, data)
    }

    /// Any other kind of thing.
    pub fn of_kind(kind: u8, name: &[u8], data: &[u8]) -> Self {
        let padding = vec![0; data.len().next_multiple_of(BLOCK) - data.len()];
        let member = Self { header: [0; BLOCK], data: data.to_vec(), padding };
        member
            .with(NAME, name)
            .with(MODE, b"0000444\x000000000\x000000000\0")
            .with(SIZE, format!("{:011o}\0", data.len()).as_bytes())
            .with(TIME, b"00000000000\0")
            .with(KIND, &[kind])
            .with(MAGIC, b"ustar\x0000")
            .with(DEVICE, b"0000000\x000000000\0")
    }

    /// Writes bytes at the start of a field, and makes the checksum true again.
    #[must_use]
    pub fn with(mut self, field: Range<usize>, bytes: &[u8]) -> Self {
        self.header[field.start..field.start + bytes.len()].copy_from_slice(bytes);
        self.header[CHECKSUM].fill(b' ');
        let sum: u32 = self.header.iter().map(|&byte| u32::from(byte)).sum();
        self.header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self
    }

    /// Writes bytes at the start of a field and leaves the checksum as it is.
    #[must_use]
    pub fn with_untrue(mut self, field: Range<usize>, bytes: &[u8]) -> Self {
        self.header[field.start..field.start + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// The path in the header.
    pub fn name(&self) -> String {
        let text = |field: Range<usize>| {
            let bytes = self.header[field].split(|&byte| byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned()
        };
        let (prefix, name) = (text(PREFIX), text(NAME));
        if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
    }
}

impl RawTar {
    /// Takes a good tar apart; none where it is not one of regular files with sizes in octal digits.
    pub fn parse(mut bytes: &[u8]) -> Option<Self> {
        let mut members = Vec::new();
        loop {
            let header: [u8; BLOCK] = bytes.get(..BLOCK)?.try_into().ok()?;
            if header == [0; BLOCK] {
                return Some(Self { members, end: bytes.to_vec() });
            }
            let digits = str::from_utf8(&header[SIZE]).ok()?.trim_end_matches('\0').to_owned();
            let size = usize::from_str_radix(&digits, 8).ok()?;
            let end = BLOCK + size.next_multiple_of(BLOCK);
            let (data, padding) = bytes.get(BLOCK..end)?.split_at(size);
            members.push(Member { header, data: data.to_vec(), padding: padding.to_vec() });
            bytes = &bytes[end..];
        }
    }

    /// All bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let members = self.members.iter().flat_map(|member| [&member.header[..], &member.data, &member.padding]);
        members.chain([&self.end[..]]).collect::<Vec<_>>().concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_together_comes_apart_again() {
        let members = vec![Member::file(b"a", b"x"), Member::file(b"b", &[b'y'; BLOCK]), Member::file(b"c", b"")];
        let bytes = RawTar { members, end: vec![0; 2 * BLOCK] }.to_bytes();
        assert_eq!(bytes.len(), 7 * BLOCK);
        let again = RawTar::parse(&bytes).unwrap();
        assert_eq!(again.members.iter().map(Member::name).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(again.to_bytes(), bytes);
        assert!(RawTar::parse(&bytes[..bytes.len() - 2 * BLOCK]).is_none());
    }
}
