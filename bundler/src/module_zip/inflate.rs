//! Inflates a whole deflate stream (RFC 1951) from memory to memory: the fast path for what fits in a buffer.
//!
//! It says yes or nothing. `Some` is given for a stream that is good beyond doubt; whatever is odd, damaged, cut off or
//! too long gives `None`, and the streaming inflater (zlib-rs) decides and words the reason. So the one duty here is
//! never to accept what zlib refuses, nor to give other bytes:
//! - codes must be complete; of the two exceptions that zlib allows (one length code, one or no distance code) only
//!   those of distances are known here, and the bit patterns they leave unused are refused
//! - the symbols that RFC 1951 reserves (lengths 286 and 287, distances 30 and 31) are refused, also as mere
//!   declarations; so are a code without end of block and a repetition past the last code length
//! - a distance may not reach before the first byte
//!
//! The tables are those of libdeflate: one lookup gives a literal, or a length or distance with its base and the number
//! of its extra bits; codewords longer than the main table go through one further table. libdeflate itself (C, as fast)
//! is not used because it is lenient in all of the points above.

/// Bytes that the buffer for the output must have past the longest output: a match is copied in whole chunks.
pub(super) const OUT_SLACK: usize = 320;
/// Bytes that the input must have past the end of the stream: bits are fetched ahead, eight bytes at a time.
pub(super) const IN_SLACK: usize = 16;

/// Longest codeword of lengths and distances, and of the code that describes them.
const MAX_BITS: u32 = 15;
const MAX_PRECODE_BITS: u32 = 7;

/// Index bits of the main tables; longer codewords are rare enough.
const LITLEN_BITS: u32 = 11;
const DISTANCE_BITS: u32 = 8;
/// At least what `enough` of zlib computes for 286 symbols in 11 bits and 30 in 8 (2342 and 402), as a power of two: a
/// masked index needs no check.
const LITLEN_ENTRIES: usize = 4096;
const DISTANCE_ENTRIES: usize = 512;
const PRECODE_ENTRIES: usize = 1 << MAX_PRECODE_BITS;

/// Largest numbers of symbols that a dynamic block may declare.
const LITLEN_SYMBOLS: usize = 286;
const DISTANCE_SYMBOLS: usize = 30;
const PRECODE_SYMBOLS: usize = 19;
const END_OF_BLOCK: usize = 256;

// An entry of a table. Bits 0-7: bits to take, the extra ones included; bits 8-11: those of the codeword alone; from
// bit 16 on: the literal, the base of length or distance, or the place of the further table, whose index bits then
// stand in bits 8-11.
const LITERAL: u32 = 1 << 31;
/// One of the three below.
const EXCEPTIONAL: u32 = 1 << 15;
const FURTHER_TABLE: u32 = 1 << 14;
const END: u32 = 1 << 13;
/// No symbol has this bit pattern, or none that may be used.
const INVALID: u32 = EXCEPTIONAL;

/// Order in which a dynamic block states the lengths of its precode.
const PRECODE_ORDER: [usize; PRECODE_SYMBOLS] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// What a symbol of lengths and literals means; the two last ones are in the fixed code and may not be used.
const LITLEN_MEANINGS: [u32; 288] = {
    let mut meanings = [INVALID; 288];
    let mut symbol = 0;
    while symbol < END_OF_BLOCK {
        meanings[symbol] = LITERAL | (symbol as u32) << 16;
        symbol += 1;
    }
    meanings[END_OF_BLOCK] = EXCEPTIONAL | END;
    let mut base = 3;
    let mut index = 0;
    while index < 28 {
        let extra = if index < 8 { 0 } else { index / 4 - 1 };
        meanings[257 + index as usize] = base << 16 | extra;
        base += 1 << extra;
        index += 1;
    }
    // 258 has a symbol of its own, so that the one before never reaches it.
    meanings[285] = 258 << 16;
    meanings
};

/// The same for distances.
const DISTANCE_MEANINGS: [u32; 32] = {
    let mut meanings = [INVALID; 32];
    let mut base = 1;
    let mut index = 0;
    while index < 30 {
        let extra = if index < 4 { 0 } else { index / 2 - 1 };
        meanings[index as usize] = base << 16 | extra;
        base += 1 << extra;
        index += 1;
    }
    meanings
};

const PRECODE_MEANINGS: [u32; PRECODE_SYMBOLS] = {
    let mut meanings = [0; PRECODE_SYMBOLS];
    let mut symbol = 0;
    while symbol < PRECODE_SYMBOLS {
        meanings[symbol] = (symbol as u32) << 16;
        symbol += 1;
    }
    meanings
};

/// What the tables hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loaded {
    Fixed,
    Other,
}

/// The tables of one worker, kept from stream to stream.
pub(super) struct Inflater {
    litlens: Box<[u32; LITLEN_ENTRIES]>,
    distances: Box<[u32; DISTANCE_ENTRIES]>,
    loaded: Loaded,
}

impl Default for Inflater {
    fn default() -> Self {
        Self {
            litlens: Box::new([INVALID; LITLEN_ENTRIES]),
            distances: Box::new([INVALID; DISTANCE_ENTRIES]),
            loaded: Loaded::Other,
        }
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

impl Inflater {
    /// Inflates the stream at the beginning of `input` into `out`, and gives how many bytes it took and made.
    ///
    /// What it makes is at most `out.len() - OUT_SLACK`; bytes of `out` past that are written without meaning. The
    /// input must have [`IN_SLACK`] bytes after the stream, whatever they are; if it took more than it may have, the
    /// stream is cut off.
    #[inline(always)]
    pub(super) fn inflate(&mut self, input: &[u8], out: &mut [u8]) -> Option<(usize, usize)> {
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
                        self.load_fixed()?
                    } else {
                        self.load_dynamic(&mut bits)?
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
        let (litlens, distances) = (&*self.litlens, &*self.distances);
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

    fn load_fixed(&mut self) -> Option<()> {
        if self.loaded != Loaded::Fixed {
            self.loaded = Loaded::Other;
            let mut lengths = [8; 288];
            lengths[144..256].fill(9);
            lengths[256..280].fill(7);
            build(&mut self.litlens[..], &lengths, &LITLEN_MEANINGS, LITLEN_BITS)?;
            build(&mut self.distances[..], &[5; 32], &DISTANCE_MEANINGS, DISTANCE_BITS)?;
            self.loaded = Loaded::Fixed;
        }
        Some(())
    }

    /// Reads the codes at the head of a dynamic block.
    fn load_dynamic(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.loaded = Loaded::Other;
        let (litlens, distances, stated) = (257 + bits.take(5), 1 + bits.take(5), 4 + bits.take(4));
        if litlens > LITLEN_SYMBOLS || distances > DISTANCE_SYMBOLS {
            return None;
        }
        let mut precode_lengths = [0_u8; PRECODE_SYMBOLS];
        for &symbol in &PRECODE_ORDER[..stated] {
            bits.refill()?;
            precode_lengths[symbol] = bits.take(3) as u8;
        }
        let mut precode = [0; PRECODE_ENTRIES];
        build(&mut precode, &precode_lengths, &PRECODE_MEANINGS, MAX_PRECODE_BITS)?;

        // Both lists are one run of lengths; a repetition may go from one into the other.
        let mut lengths = [0_u8; LITLEN_SYMBOLS + DISTANCE_SYMBOLS];
        let lengths = &mut lengths[..litlens + distances];
        let mut at = 0;
        while at < lengths.len() {
            if bits.available() < MAX_PRECODE_BITS + 7 {
                bits.refill()?;
            }
            let entry = precode[bits.buffer as usize & (PRECODE_ENTRIES - 1)];
            bits.drop(entry);
            let symbol = (entry >> 16) as u8;
            let (length, times) = match symbol {
                0..16 => {
                    lengths[at] = symbol;
                    at += 1;
                    continue;
                }
                16 => (*lengths.get(at.checked_sub(1)?)?, 3 + bits.take(2)),
                17 => (0, 3 + bits.take(3)),
                _ => (0, 11 + bits.take(7)),
            };
            lengths.get_mut(at..at + times)?.fill(length);
            at += times;
        }
        if lengths[END_OF_BLOCK] == 0 {
            return None;
        }
        let (litlen_lengths, distance_lengths) = lengths.split_at(litlens);
        build(&mut self.litlens[..], litlen_lengths, &LITLEN_MEANINGS, LITLEN_BITS)?;
        let mut used = distance_lengths.iter().enumerate().filter(|(_, length)| **length > 0);
        match (used.next(), used.next()) {
            (None, _) => self.distances.fill(INVALID),
            // What Go writes for a block without matches: one codeword of one bit, which is 0.
            (Some((symbol, 1)), None) => {
                for pair in self.distances.chunks_exact_mut(2) {
                    pair.copy_from_slice(&[entry_of(DISTANCE_MEANINGS[symbol], 1), INVALID]);
                }
            }
            _ => build(&mut self.distances[..], distance_lengths, &DISTANCE_MEANINGS, DISTANCE_BITS)?,
        }
        Some(())
    }
}

/// The extra bits of an entry, which stand after its codeword.
#[inline(always)]
fn extra(buffer: u64, entry: u32) -> usize {
    ((buffer & ((1 << (entry & 63)) - 1)) >> (entry >> 8 & 63)) as usize
}

const fn entry_of(meaning: u32, codeword_bits: u32) -> u32 {
    // The number of extra bits is in the low byte already.
    meaning + (codeword_bits << 8 | codeword_bits)
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

/// Makes the table of the complete canonical code with these codeword lengths, its main part with `index_bits`. None if
/// the code is not complete.
fn build(table: &mut [u32], lengths: &[u8], meanings: &[u32], index_bits: u32) -> Option<()> {
    let mut counts = [0_usize; MAX_BITS as usize + 1];
    for &length in lengths {
        counts[usize::from(length)] += 1;
    }
    // Symbols by length, then by value, are the codewords in their order.
    let mut places = [0; MAX_BITS as usize + 2];
    let mut space = 0;
    for length in 1..=MAX_BITS as usize {
        places[length + 1] = places[length] + counts[length];
        space = space * 2 + counts[length];
    }
    if space != 1 << MAX_BITS {
        return None;
    }
    let mut sorted = [0_u16; 288];
    for (symbol, &length) in lengths.iter().enumerate() {
        if length > 0 {
            let place = &mut places[usize::from(length)];
            sorted[*place] = symbol as u16;
            *place += 1;
        }
    }
    let mut symbols = sorted.iter();
    let mut codeword = 0;
    // The main table grows with the length of the codewords, each time by a copy of itself; what is not filled yet comes
    // later, for the code is complete.
    let mut filled = 1;
    for length in 1..=index_bits {
        table.copy_within(..filled, filled);
        filled *= 2;
        for _ in 0..counts[length as usize] {
            let symbol = usize::from(*symbols.next()?);
            table[codeword] = entry_of(meanings[symbol], length);
            codeword = next_codeword(codeword, length);
        }
    }
    let mut prefix = None;
    let (mut start, mut end) = (0, filled);
    for length in index_bits + 1..=MAX_BITS {
        for done in 0..counts[length as usize] {
            let own_prefix = codeword & (filled - 1);
            if prefix != Some(own_prefix) {
                // A further table with as many bits as the codewords of this prefix need.
                prefix = Some(own_prefix);
                start = end;
                let mut bits = length - index_bits;
                let mut used = counts[length as usize] - done;
                while used < 1 << bits {
                    bits += 1;
                    used = used * 2 + counts[(index_bits + bits) as usize];
                }
                end = start + (1 << bits);
                table[own_prefix] = (start as u32) << 16 | FURTHER_TABLE | EXCEPTIONAL | bits << 8 | index_bits;
            }
            let own_bits = length - index_bits;
            let entry = entry_of(meanings[usize::from(*symbols.next()?)], own_bits);
            for place in table[start..end][codeword >> index_bits..].iter_mut().step_by(1 << own_bits) {
                *place = entry;
            }
            codeword = next_codeword(codeword, length);
        }
    }
    Some(())
}

/// The codeword after this one, both with their first bit lowest; 0 after the last.
fn next_codeword(codeword: usize, length: u32) -> usize {
    let zeros = !codeword & ((1 << length) - 1);
    let Some(highest) = zeros.checked_ilog2() else { return 0 };
    codeword & ((1 << highest) - 1) | 1 << highest
}

#[cfg(test)]
mod tests;
