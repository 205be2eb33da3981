//! ETags: the sha256 of a file's bytes in quotes, so two servers of the same tree give the same one.
//!
//! What is cut from a file has other bytes, so its tag is that of the file and how much of it was taken: `"SHA256-5"`.

use modferry_format::FileSha256;
use std::fmt;

/// The strong ETag of what is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntityTag {
    /// The whole of the file with this hash.
    File(FileSha256),
    /// The beginning of a wider tile.
    First {
        /// How many hashes of it.
        width: u16,
        /// The hash of the wider tile's file.
        of: FileSha256,
    },
}

impl EntityTag {
    /// Room for a text.
    pub(crate) const NO_TEXT: [u8; Self::MAX_TEXT_BYTES] = [0; Self::MAX_TEXT_BYTES];
    /// Two quotes, a hash in hex, a dash and a width.
    const MAX_TEXT_BYTES: usize = 2 + 2 * 32 + 1 + 5;

    /// As it stands in a header.
    pub(crate) fn text(self, room: &mut [u8; Self::MAX_TEXT_BYTES]) -> &[u8] {
        room[0] = b'"';
        let (of, width) = match self {
            Self::File(of) => (of, None),
            Self::First { width, of } => (of, Some(width)),
        };
        room[1..][..64].copy_from_slice(&of.hex());
        let mut end = 1 + 64;
        if let Some(width) = width {
            let number = format!("-{width}");
            room[end..][..number.len()].copy_from_slice(number.as_bytes());
            end += number.len();
        }
        room[end] = b'"';
        &room[..=end]
    }

    /// The inverse of `Display`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('"')?.strip_suffix('"')?;
        match text.split_once('-') {
            None => text.parse().ok().map(Self::File),
            Some((of, width)) => Some(Self::First { width: width.parse().ok()?, of: of.parse().ok()? }),
        }
    }

    /// Whether an `If-None-Match` header names this tag, or any (RFC 9110, section 13.1.2). A weak form of it counts:
    /// a cache on the way that packs the bytes makes one.
    pub(crate) fn is_among(self, header: &str) -> bool {
        let tag = self.to_string();
        header.trim() == "*"
            || header.split(',').any(|other| {
                let other = other.trim();
                other.strip_prefix("W/").unwrap_or(other) == tag
            })
    }

    /// Whether an `If-Range` header is this tag; a date or a weak tag never is, since bytes are joined by it.
    pub(crate) fn is(self, header: &str) -> bool {
        header.trim() == self.to_string()
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // ASCII, always.
        f.write_str(str::from_utf8(self.text(&mut Self::NO_TEXT.clone())).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list_and_only_as_itself_in_if_range() {
        let tag = EntityTag::File(FileSha256::of(b"x"));
        let text = tag.to_string();
        for header in [text.clone(), "*".into(), format!("\"a\", {text}"), format!("W/{text}"), format!("{text},\"b\"")]
        {
            assert!(tag.is_among(&header), "{header}");
        }
        for header in ["", "\"*\"", "\"a\"", "a,b", text.trim_matches('"')] {
            assert!(!tag.is_among(header), "{header}");
        }
        assert!(tag.is(&text));
        for header in [&format!("W/{text}"), "*", "Wed, 21 Oct 2026 07:28:00 GMT", ""] {
            assert!(!tag.is(header), "{header}");
        }
    }

    #[test]
    fn a_part_has_not_the_tag_of_its_file_nor_of_another_part() {
        let of = FileSha256::of(b"x");
        let tags = [EntityTag::File(of), EntityTag::First { width: 5, of }, EntityTag::First { width: 55, of }];
        assert_eq!(tags[0].to_string(), format!("\"{of}\""));
        assert_eq!(tags[1].to_string(), format!("\"{of}-5\""));
        assert_eq!(EntityTag::First { width: u16::MAX, of }.to_string(), format!("\"{of}-65535\""));
        for tag in tags {
            assert_eq!(EntityTag::parse(&tag.to_string()), Some(tag));
            let others = tags.iter().filter(|other| other.is(&tag.to_string()) || other.is_among(&tag.to_string()));
            assert_eq!(Vec::from_iter(others), [&tag]);
        }
    }
}
