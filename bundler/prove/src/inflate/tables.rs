//! Codes of deflate as tables, in the manner of libdeflate: one lookup gives a literal, or a length or distance with its
//! base and the number of its extra bits. Codewords longer than the index of the main table go through a further table.

use super::Bits;

/// Longest codeword of lengths and distances, and of the code that describes them.
const MAX_BITS: u32 = 15;
const MAX_PRECODE_BITS: u32 = 7;

/// Index bits of the main tables; longer codewords are rare enough.
pub(super) const LITLEN_BITS: u32 = 11;
pub(super) const DISTANCE_BITS: u32 = 8;
/// At least what `enough` of zlib computes for 286 symbols in 11 bits and 30 in 8 (2342 and 402), as a power of two: a
/// masked index needs no check.
pub(super) const LITLEN_ENTRIES: usize = 4096;
pub(super) const DISTANCE_ENTRIES: usize = 512;
const PRECODE_ENTRIES: usize = 1 << MAX_PRECODE_BITS;

/// Largest numbers of symbols that a dynamic block may declare.
const LITLEN_SYMBOLS: usize = 286;
const DISTANCE_SYMBOLS: usize = 30;
const PRECODE_SYMBOLS: usize = 19;
const END_OF_BLOCK: usize = 256;

// An entry of a table. Bits 0-7: bits to take, the extra ones included; bits 8-11: those of the codeword alone; from
// bit 16 on: the literal, the base of length or distance, or the place of the further table, whose index bits then
// stand in bits 8-11.
pub(super) const LITERAL: u32 = 1 << 31;
/// One of the three below.
pub(super) const EXCEPTIONAL: u32 = 1 << 15;
pub(super) const FURTHER_TABLE: u32 = 1 << 14;
pub(super) const END: u32 = 1 << 13;
/// No symbol has this bit pattern, or none that may be used.
const INVALID: u32 = EXCEPTIONAL;

/// Order in which a dynamic block states the lengths of its precode.
pub(super) const PRECODE_ORDER: [usize; PRECODE_SYMBOLS] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

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

/// The tables of the block at hand.
pub(super) struct Tables {
    pub(super) litlens: Box<[u32; LITLEN_ENTRIES]>,
    pub(super) distances: Box<[u32; DISTANCE_ENTRIES]>,
    loaded: Loaded,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            litlens: Box::new([INVALID; LITLEN_ENTRIES]),
            distances: Box::new([INVALID; DISTANCE_ENTRIES]),
            loaded: Loaded::Other,
        }
    }
}

impl Tables {
    /// The codes that RFC 1951 fixes.
    pub(super) fn load_fixed(&mut self) -> Option<()> {
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
    pub(super) fn load_dynamic(&mut self, bits: &mut Bits<'_>) -> Option<()> {
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

const fn entry_of(meaning: u32, codeword_bits: u32) -> u32 {
    // The number of extra bits is in the low byte already.
    meaning + (codeword_bits << 8 | codeword_bits)
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
            for place in table.get_mut(start..end)?.iter_mut().skip(codeword >> index_bits).step_by(1 << own_bits) {
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
