//! When a file was last changed, as HTTP speaks of it: in whole seconds.
//!
//! Entity tags say more, and go before it wherever a request has both (RFC 9110, section 13.2.2). Dates are for caches and
//! tools that know nothing else.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A time of last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Modified {
    seconds: u64,
}

impl Modified {
    /// Bytes of its text.
    pub(crate) const TEXT_BYTES: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();
    /// 9999-12-31, the last that the text has digits for.
    const MAX_SECONDS: u64 = 253_402_300_799;

    /// Room for its text.
    pub(crate) const NO_TEXT: [u8; Self::TEXT_BYTES] = [0; Self::TEXT_BYTES];

    /// What `Display` gives.
    pub(crate) fn text<'a>(&self, room: &'a mut [u8; Self::TEXT_BYTES]) -> &'a [u8] {
        use std::io::Write;
        // As long as the room, always.
        let _ = write!(&mut room[..], "{self}");
        room
    }

    /// Of a file; none for a time before 1970, after 9999 or after now, which no clock of another machine can be asked about.
    pub fn of(time: SystemTime, now: SystemTime) -> Option<Self> {
        let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
        (time <= now && seconds <= Self::MAX_SECONDS).then_some(Self { seconds })
    }

    /// Reads a date in any of the three forms that HTTP has had; none if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let seconds = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
        (seconds <= Self::MAX_SECONDS).then_some(Self { seconds })
    }
}

impl fmt::Display for Modified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(self.seconds)).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back_and_have_one_length() {
        let at = |seconds| UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 999);
        for seconds in [0, 784_111_777, 4_000_000_000, Modified::MAX_SECONDS] {
            let modified = Modified::of(at(seconds), at(u64::MAX / 2000)).unwrap();
            assert_eq!(modified.to_string().len(), Modified::TEXT_BYTES);
            assert_eq!(Modified::parse(&modified.to_string()), Some(modified));
            assert_eq!(modified.text(&mut Modified::NO_TEXT.clone()), modified.to_string().as_bytes());
        }
        assert_eq!(
            Modified::of(at(784_111_777), at(784_111_778)).unwrap().to_string(),
            "Sun, 06 Nov 1994 08:49:37 GMT"
        );
        assert_eq!(Modified::of(at(5), at(4)), None, "of the future");
        assert_eq!(Modified::of(UNIX_EPOCH - Duration::from_secs(1), at(4)), None);
        let same = ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"].map(Modified::parse);
        assert_eq!(same, [Modified::parse("Sun, 06 Nov 1994 08:49:37 GMT"); 2]);
        for bad in ["", "yesterday", "Sun, 06 Nov 1994 08:49:37", "\"tag\""] {
            assert_eq!(Modified::parse(bad), None, "{bad}");
        }
    }
}
