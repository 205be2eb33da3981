//! A file whose end is read once and kept: the directory of an archive is looked at before its bytes pass by, and both must be
//! the same whatever the medium says the second time.

use rawzip::ReaderAt;
use std::cell::{Cell, RefCell};
use std::io;

/// The longest end that is kept, in bytes. The largest directory seen, of github.com/oracle/oci-go-sdk/v65@v65.127.0, has 26,966
/// entries in 3.7 MB; of an archive with a larger one than this it is read twice.
const MAX_END_BYTES: u64 = 8 * 1024 * 1024;

/// The first `size` bytes of a file.
pub(crate) struct Pinned<'a, R> {
    file: &'a R,
    size: u64,
    /// The last bytes, from the lowest place on that was looked at.
    end: RefCell<Vec<u8>>,
    /// Whether its bytes pass by now, from front to back.
    passes: Cell<bool>,
    is_read_twice: Cell<bool>,
}

impl<'a, R: ReaderAt> Pinned<'a, R> {
    /// Keeps the end in this buffer, which an earlier one left behind.
    pub(crate) fn new(file: &'a R, size: u64, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { file, size, end: RefCell::new(buffer), passes: Cell::new(false), is_read_twice: Cell::new(false) }
    }

    /// From now on each byte is asked for once, from front to back.
    pub(crate) fn pass(&self) {
        self.passes.set(true);
    }

    /// Whether something was looked at that is too far from the end to be kept.
    pub(crate) fn is_read_twice(&self) -> bool {
        self.is_read_twice.get()
    }

    /// The buffer, for the next one.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.end.into_inner()
    }

    /// Keeps the bytes from `offset` on.
    fn pin(&self, offset: u64) -> io::Result<()> {
        let mut end = self.end.borrow_mut();
        // Both fit: they are at most the limit.
        let more = (self.size - offset) as usize - end.len();
        let kept = end.len();
        end.resize(kept + more, 0);
        end.copy_within(..kept, more);
        let read = self.file.read_exact_at(&mut end[..more], offset);
        if read.is_err() {
            end.copy_within(more.., 0);
            end.truncate(kept);
        }
        read
    }
}

impl<R: ReaderAt> ReaderAt for Pinned<'_, R> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let kept_from = || self.size - self.end.borrow().len() as u64;
        if offset >= self.size {
            return Ok(0);
        }
        if offset < kept_from() && !self.passes.get() {
            if self.size - offset <= MAX_END_BYTES {
                self.pin(offset)?;
            } else {
                self.is_read_twice.set(true);
            }
        }
        let start = kept_from();
        if offset < start {
            let len = usize::try_from(start - offset).unwrap_or(usize::MAX).min(buffer.len());
            return self.file.read_at(&mut buffer[..len], offset);
        }
        let end = self.end.borrow();
        // Within what is kept, which is in memory.
        let kept = &end[(offset - start) as usize..];
        let len = kept.len().min(buffer.len());
        buffer[..len].copy_from_slice(&kept[..len]);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says something else each time it is asked for a byte.
    struct Fickle {
        asked: RefCell<Vec<u8>>,
    }

    impl ReaderAt for Fickle {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let mut asked = self.asked.borrow_mut();
            let at = usize::try_from(offset).unwrap();
            let len = buffer.len().min(asked.len().saturating_sub(at));
            for (byte, asked) in buffer[..len].iter_mut().zip(&mut asked[at..]) {
                *byte = *asked;
                *asked += 1;
            }
            Ok(len)
        }
    }

    fn pass(pinned: &Pinned<'_, Fickle>, size: usize) -> Vec<u8> {
        pinned.pass();
        let mut all = vec![0; size];
        pinned.read_exact_at(&mut all, 0).unwrap();
        all
    }

    #[test]
    fn what_was_looked_at_is_what_passes() {
        let size = 1000;
        let file = Fickle { asked: RefCell::new(vec![0; size]) };
        let pinned = Pinned::new(&file, size as u64, vec![7; 3]);
        for (offset, len) in [(990, 10), (700, 20), (980, 40), (710, 290), (700, 1), (1000, 5), (2000, 5)] {
            let mut part = vec![9; len];
            let got = pinned.read_at(&mut part, offset).unwrap();
            assert_eq!(got, len.min(size.saturating_sub(usize::try_from(offset).unwrap())));
            assert_eq!(part[..got], vec![0; got]);
        }
        assert_eq!(pass(&pinned, size), vec![0; size]);
        assert!(!pinned.is_read_twice());
        assert_eq!(*file.asked.borrow(), vec![1; size]);
    }

    #[test]
    fn what_is_too_far_from_the_end_is_known_to_be_read_twice() {
        let size = MAX_END_BYTES + 1;
        let file = Fickle { asked: RefCell::new(vec![0; usize::try_from(size).unwrap()]) };
        let pinned = Pinned::new(&file, size, Vec::new());
        let mut byte = [0];
        pinned.read_exact_at(&mut byte, 1).unwrap();
        assert!(!pinned.is_read_twice());
        pinned.read_exact_at(&mut byte, 0).unwrap();
        assert!(pinned.is_read_twice());
        let all = pass(&pinned, usize::try_from(size).unwrap());
        assert_eq!((all[0], all[1]), (1, 0));
    }

    #[test]
    fn an_end_that_cannot_be_read_is_not_kept() {
        let file = Fickle { asked: RefCell::new(vec![0; 10]) };
        let pinned = Pinned::new(&file, 20, Vec::new());
        assert!(pinned.read_at(&mut [0; 4], 4).is_err());
        assert_eq!(pinned.into_buffer(), [0; 0]);
    }
}
