//! Inflates a whole deflate stream (RFC 1951) from memory to memory: the fast way for what fits in a buffer.
//!
//! It says yes or nothing. `Some` is given for a stream that is good beyond doubt; whatever is odd, damaged, cut off or
//! too long gives `None`, and the streaming inflater (zlib-rs) decides and words the reason. So the one duty here is
//! never to accept what zlib refuses, and never to give other bytes:
//! - codes must be complete; of the exceptions that zlib allows (one length code; one or no distance code) only those of
//!   distances are known here, and the bit patterns that they leave unused are refused
//! - the symbols that RFC 1951 reserves (lengths 286 and 287, distances 30 and 31) are refused, in dynamic blocks also
//!   as mere declarations; so are a code without end of block and a repetition past the last code length
//! - a distance may not reach before the first byte
//!
//! `inflate/tests.rs` holds it against zlib-rs with streams that are damaged, and with streams that are made to be odd.
//!
//! Measured on the 92000 entries up to 1 MiB of the modules of prometheus (1.17 GB): 0.97 s, zlib-rs 1.11 s, libdeflate
//! 0.91 s; with the bit instructions of the processor a fifth less a byte (from the samples of two imports). libdeflate is not used because it accepts what zlib refuses (reserved symbols, the unused half of a code of
//! one word, lengths past the last one), which only a changed copy of its C could mend.

mod tables;
#[cfg(test)]
mod tests;

use crate::native::{self, BitWork};
use tables::Tables;
use tables::{DISTANCE_BITS, DISTANCE_ENTRIES, END, EXCEPTIONAL, FURTHER_TABLE, LITERAL, LITLEN_BITS, LITLEN_ENTRIES};

/// Bytes that the buffer for the output must have past the longest output: a match is copied in whole chunks.
pub(super) const OUT_SLACK: usize = 320;
/// Bytes that the input must have past the end of the stream: bits are fetched ahead, eight bytes at a time.
pub(super) const IN_SLACK: usize = 16;

/// The tables of one worker, kept from stream to stream.
#[derive(Default)]
pub(super) struct Inflater {
    tables: Tables,
}

impl Inflater {
    /// Inflates the stream at the beginning of `input` into `out`, and gives how many bytes it took and made.
    ///
    /// What it makes is at most `out.len() - OUT_SLACK`; bytes of `out` past that are written without meaning. The
    /// input must have [`IN_SLACK`] bytes after the stream, whatever they are; if it took more than it may have, the
    /// stream is cut off.
    pub(super) fn inflate(&mut self, input: &[u8], out: &mut [u8]) -> Option<(usize, usize)> {
        native::with_bits(Stream { inflater: self, input, out })
    }

    #[inline(always)]
    fn stream(&mut self, input: &[u8], out: &mut [u8]) -> Option<(usize, usize)> {
        let limit = out.len().checked_sub(OUT_SLACK)?;
        let mut bits = Bits::from(input, 0);
        let mut made = 0;
        loop {
            bits.refill()?;
            let last = bits.take(1) == 1;
            match bits.take(2) {
                0 => made = stored(&mut bits, out, made, limit)?,
                kind @ (1 | 2) => {
                    if kind == 1 {
                        self.tables.load_fixed()?
                    } else {
                        self.tables.load_dynamic(&mut bits)?
                    }
                    made = self.block(&mut bits, out, made, limit)?;
                }
                _ => return None,
            }
            if last {
                return Some((bits.byte_position(), made));
            }
        }
    }

    /// Literals and matches up to the end of the block; gives the place after the last byte.
    #[inline(always)]
    fn block(&self, source: &mut Bits<'_>, out: &mut [u8], mut made: usize, limit: usize) -> Option<usize> {
        let (litlens, distances) = (&*self.tables.litlens, &*self.tables.distances);
        let lookup = |bits: &Bits<'_>| litlens[bits.buffer as usize & ((1 << LITLEN_BITS) - 1)];
        let further = |bits: &Bits<'_>, entry: u32| {
            (entry >> 16) as usize + (bits.buffer as usize & ((1 << (entry >> 8 & 0xf)) - 1))
        };
        // A copy stays in registers; what is behind a reference would be written each time.
        let mut bits = *source;
        bits.refill()?;
        let mut entry = lookup(&bits);
        loop {
            // One round makes two literals and a match at most, which the slack has room for.
            if made > limit {
                return None;
            }
            let mut before = bits.buffer;
            bits.drop(entry);
            if entry & LITERAL != 0 {
                // Three codewords of the main table take 33 of 56 bits.
                out[made] = (entry >> 16) as u8;
                made += 1;
                entry = lookup(&bits);
                before = bits.buffer;
                bits.drop(entry);
                if entry & LITERAL != 0 {
                    out[made] = (entry >> 16) as u8;
                    made += 1;
                    entry = lookup(&bits);
                    before = bits.buffer;
                    bits.drop(entry);
                    if entry & LITERAL != 0 {
                        out[made] = (entry >> 16) as u8;
                        made += 1;
                        entry = lookup(&bits);
                        bits.refill()?;
                        continue;
                    }
                }
            }
            if entry & EXCEPTIONAL != 0 {
                if entry & FURTHER_TABLE != 0 {
                    entry = litlens[further(&bits, entry) & (LITLEN_ENTRIES - 1)];
                    before = bits.buffer;
                    bits.drop(entry);
                    if entry & LITERAL != 0 {
                        out[made] = (entry >> 16) as u8;
                        made += 1;
                        entry = lookup(&bits);
                        bits.refill()?;
                        continue;
                    }
                }
                if entry & END != 0 {
                    break;
                }
                if entry & EXCEPTIONAL != 0 {
                    return None;
                }
            }
            let length = (entry >> 16) as usize + extra(before, entry);

            // Two literals and a length take up to 22 + 20 of 56 bits, a distance up to 28, and the next lookup 11.
            entry = distances[bits.buffer as usize & ((1 << DISTANCE_BITS) - 1)];
            if bits.available() < 28 + LITLEN_BITS {
                bits.refill()?;
            }
            if entry & EXCEPTIONAL != 0 {
                if entry & FURTHER_TABLE == 0 {
                    return None;
                }
                bits.drop(DISTANCE_BITS);
                entry = distances[further(&bits, entry) & (DISTANCE_ENTRIES - 1)];
                if entry & EXCEPTIONAL != 0 {
                    return None;
                }
            }
            let distance = (entry >> 16) as usize + extra(bits.buffer, entry);
            bits.drop(entry);
            entry = lookup(&bits);
            bits.refill()?;
            copy(out, made, distance, length)?;
            made += length;
        }
        *source = bits;
        (made <= limit).then_some(made)
    }
}

/// One stream to inflate.
struct Stream<'a> {
    inflater: &'a mut Inflater,
    input: &'a [u8],
    out: &'a mut [u8],
}

impl BitWork for Stream<'_> {
    type Out = Option<(usize, usize)>;

    #[inline(always)]
    fn run(self) -> Self::Out {
        self.inflater.stream(self.input, self.out)
    }
}

/// The compressed bytes as bits, lowest first.
#[derive(Clone, Copy)]
struct Bits<'a> {
    input: &'a [u8],
    /// The next byte of the input.
    next: usize,
    /// Bits above the available ones may be set already; they are the ones that come next.
    buffer: u64,
    /// How many bits are available, in the lowest byte; the others count for nothing, so that a whole entry can be
    /// subtracted.
    count: u32,
}

impl<'a> Bits<'a> {
    fn from(input: &'a [u8], next: usize) -> Self {
        Self { input, next, buffer: 0, count: 0 }
    }

    /// Makes at least 56 bits available; nothing if the input ends within the next 8 bytes.
    #[inline(always)]
    fn refill(&mut self) -> Option<()> {
        let word = *self.input.get(self.next..)?.first_chunk()?;
        self.buffer |= u64::from_le_bytes(word) << (self.count & 63);
        self.next += 7 - (self.count >> 3 & 7) as usize;
        self.count |= 56;
        Some(())
    }

    /// Takes as many bits as the lowest byte of `entry` says; they are available.
    #[inline(always)]
    fn drop(&mut self, entry: u32) {
        self.buffer >>= entry & 63;
        self.count = self.count.wrapping_sub(entry);
    }

    /// The next `count` bits, which are available.
    #[inline(always)]
    fn take(&mut self, count: u32) -> usize {
        let bits = self.buffer & ((1 << (count & 63)) - 1);
        self.drop(count);
        bits as usize
    }

    #[inline(always)]
    fn available(&self) -> u32 {
        self.count & 0xff
    }

    /// Place of the next whole byte.
    fn byte_position(&self) -> usize {
        self.next - (self.available() >> 3) as usize
    }
}

/// The extra bits of an entry, which stand after its codeword.
#[inline(always)]
fn extra(buffer: u64, entry: u32) -> usize {
    ((buffer & ((1 << (entry & 63)) - 1)) >> (entry >> 8 & 63)) as usize
}

/// A stored block: its length twice, then its bytes.
fn stored(bits: &mut Bits<'_>, out: &mut [u8], made: usize, limit: usize) -> Option<usize> {
    let start = bits.byte_position();
    let header: [u8; 4] = *bits.input.get(start..)?.first_chunk()?;
    let (len, inverted) = (u16::from_le_bytes([header[0], header[1]]), u16::from_le_bytes([header[2], header[3]]));
    if len != !inverted {
        return None;
    }
    let (start, len) = (start + header.len(), usize::from(len));
    let content = bits.input.get(start..start + len).filter(|_| made + len <= limit)?;
    out[made..made + len].copy_from_slice(content);
    *bits = Bits::from(bits.input, start + len);
    Some(made + len)
}

/// Copies `length` bytes (3 to 258) from `distance` before `made` to it, and further ones without meaning.
#[inline(always)]
fn copy(out: &mut [u8], made: usize, distance: usize, length: usize) -> Option<()> {
    /// As most matches are shorter, one copy of a fixed size is all there is to do.
    const CHUNK: usize = 32;
    const WORD: usize = 8;
    let from = made.checked_sub(distance)?;
    if distance >= CHUNK {
        out.copy_within(from..from + CHUNK, made);
        let mut at = CHUNK;
        while at < length {
            out.copy_within(from + at..from + at + CHUNK, made + at);
            at += CHUNK;
        }
    } else if distance == 1 {
        let byte = out[from];
        out[made..made + length].fill(byte);
    } else {
        // A word that reads what it writes is good for its first `distance` bytes.
        let step = distance.min(WORD);
        let mut at = 0;
        while at < length {
            out.copy_within(from + at..from + at + WORD, made + at);
            at += step;
        }
    }
    Some(())
}
