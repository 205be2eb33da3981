//! The fast inflater against zlib-rs: what it takes, zlib-rs takes too, with the same bytes and the same end.

use super::{IN_SLACK, Inflater, OUT_SLACK};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Streams tried in an ordinary run; MODFERRY_CASES asks for more.
const CASES: u64 = 12_000;

/// A small generator; each case begins with its own number.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap()
    }

    /// Text with repetitions near and far, of few or many letters.
    fn content(&mut self) -> Vec<u8> {
        let (len, letters) = (self.below(6000), 1 + self.below(256));
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            if bytes.len() > 4 && self.below(3) == 0 {
                let (back, count) = (1 + self.below(bytes.len()), 3 + self.below(300));
                for _ in 0..count {
                    bytes.push(bytes[bytes.len() - back]);
                }
            } else {
                let letter = u8::try_from(self.below(letters)).unwrap();
                bytes.push(letter);
            }
        }
        bytes
    }
}

fn deflate(content: &[u8], level: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 1024);
    let mut deflate = Compress::new(Compression::new(level), false);
    let status = deflate.compress_vec(content, &mut out, FlushCompress::Finish).unwrap();
    assert_eq!(status, Status::StreamEnd);
    out
}

/// Bytes taken and given by zlib-rs, if it finds the stream good.
fn reference(stream: &[u8], limit: usize) -> Option<(usize, Vec<u8>)> {
    let mut out = vec![0; limit + 1];
    let mut inflate = Decompress::new(false);
    match inflate.decompress(stream, &mut out, FlushDecompress::Finish) {
        Ok(Status::StreamEnd) if inflate.total_out() as usize <= limit => {
            out.truncate(inflate.total_out() as usize);
            Some((inflate.total_in() as usize, out))
        }
        _ => None,
    }
}

/// What the fast one says, with buffers as the prover gives them; `limit` bytes of output are wanted at most.
fn fast(inflater: &mut Inflater, stream: &[u8], limit: usize) -> Option<(usize, Vec<u8>)> {
    // What follows in the file is not zeros.
    let input = [stream, &[0xa5; IN_SLACK]].concat();
    let mut out = vec![0xee; limit + OUT_SLACK];
    let (taken, given) = inflater.inflate(&input, &mut out)?;
    if taken > stream.len() {
        // It ended in what follows: the prover compares with the stated size, and refuses.
        return None;
    }
    out.truncate(given);
    Some((taken, out))
}

fn agree(inflater: &mut Inflater, stream: &[u8], limit: usize, must: bool, what: &str) {
    let (fast, reference) = (fast(inflater, stream, limit), reference(stream, limit));
    if let Some(fast) = fast {
        assert_eq!(Some(fast), reference, "{what}");
    } else {
        assert!(!must, "{what}: a good stream took the slow way");
    }
}

#[test]
fn good_streams_of_all_levels_go_the_fast_way_and_spoiled_ones_are_never_taken_for_good() {
    let cases = std::env::var("MODFERRY_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let mut inflater = Inflater::default();
    for case in 0..cases {
        let mut random = Random(case);
        let content = random.content();
        let level = u32::try_from(random.below(10)).unwrap();
        let mut stream = deflate(&content, level);
        agree(&mut inflater, &stream, content.len(), true, &format!("case {case}, level {level}"));
        for spoil in 0..4 {
            let at = random.below(stream.len());
            match spoil {
                0 => stream[at] ^= 1 << random.below(8),
                // The first bytes of a block are its codes.
                1 => stream[at.min(random.below(60))] = u8::try_from(random.below(256)).unwrap(),
                2 => stream.truncate(at + 1),
                _ => stream.insert(at, u8::try_from(random.below(256)).unwrap()),
            }
            // More room than the content has: what a spoiled stream gives may be longer.
            agree(&mut inflater, &stream, content.len() + 300, false, &format!("case {case}, spoiled {spoil}"));
        }
    }
}

#[test]
fn short_streams_of_any_bits_are_judged_as_zlib_judges_them() {
    let mut inflater = Inflater::default();
    for case in 0..200_000 {
        let mut random = Random(case);
        let len = 1 + random.below(40);
        let mut stream: Vec<u8> = (0..len).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
        // The last block, of fixed or of dynamic codes.
        stream[0] = (stream[0] & !7) | 1 | u8::try_from(1 + random.below(2)).unwrap() << 1;
        agree(&mut inflater, &stream, 1000, false, &format!("case {case}"));
    }
}

#[test]
fn output_that_would_be_longer_than_stated_is_not_good() {
    let mut inflater = Inflater::default();
    let content = b"a".repeat(1000);
    let stream = deflate(&content, 6);
    assert_eq!(fast(&mut inflater, &stream, 1000), Some((stream.len(), content)));
    for limit in [0, 1, 500, 999] {
        assert_eq!(fast(&mut inflater, &stream, limit), None, "{limit}");
    }
}
