//! The fast way beside zlib-rs: it may leave a stream undecided, but where it decides, both say the same.

use super::{IN_SLACK, Inflater, OUT_SLACK};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Cases of each test; `MODFERRY_INFLATE_CASES` asks for more.
fn cases() -> u64 {
    std::env::var("MODFERRY_INFLATE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(16_000)
}

/// The longest output that is allowed; longer ones are in the tests too.
const LIMIT: usize = 3000;

/// xorshift64*, so that each case can be had again by its number.
struct Random(u64);

impl Random {
    fn new(case: u64) -> Self {
        let mut random = Self(case.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.below(1);
        random
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// Bytes that a stream took, and what it made.
type Inflated = (usize, Vec<u8>);

fn by_zlib(stream: &[u8], limit: usize) -> Option<Inflated> {
    let mut inflate = Decompress::new(false);
    let mut out = vec![0; limit + 1];
    let status = inflate.decompress(stream, &mut out, FlushDecompress::Finish).ok()?;
    out.truncate(inflate.total_out() as usize);
    (status == Status::StreamEnd && out.len() <= limit).then_some((inflate.total_in() as usize, out))
}

fn by_us(inflater: &mut Inflater, stream: &[u8], limit: usize, random: &mut Random) -> Option<Inflated> {
    // What follows must not matter; it is often what would go on in the same way.
    let mut input = stream.to_vec();
    let filler = [0, 0xff, random.below(256) as u8][random.below(3)];
    input.extend([filler; IN_SLACK]);
    let mut out = vec![0xa5; limit + OUT_SLACK];
    let (taken, made) = inflater.inflate(&input, &mut out)?;
    out.truncate(made);
    (taken <= stream.len()).then_some((taken, out))
}

#[derive(Default, Debug)]
struct Verdicts {
    good: u64,
    left_to_zlib: u64,
    refused: u64,
}

/// Runs all cases, on tables that the case before left behind.
fn compare(make: impl Fn(&mut Random) -> Vec<u8>) -> Verdicts {
    let mut inflater = Inflater::default();
    let mut verdicts = Verdicts::default();
    for case in 0..cases() {
        let mut random = Random::new(case);
        let stream = make(&mut random);
        let ours = by_us(&mut inflater, &stream, LIMIT, &mut random);
        let theirs = by_zlib(&stream, LIMIT);
        match (&ours, &theirs) {
            (Some(_), _) => {
                assert!(ours == theirs, "case {case}: accepted {ours:?}, zlib says {theirs:?}: {stream:02x?}");
                verdicts.good += 1;
            }
            (None, Some(_)) => verdicts.left_to_zlib += 1,
            (None, None) => verdicts.refused += 1,
        }
    }
    verdicts
}

/// Words, bytes at random and runs, in the way of text.
fn content(random: &mut Random) -> Vec<u8> {
    let mut content = Vec::new();
    let len = 1 + random.below(LIMIT);
    while content.len() < len {
        match random.below(4) {
            0 => content.push(random.below(256) as u8),
            1 => content.extend([b'\t'; 40].iter().take(1 + random.below(40))),
            2 => content.extend_from_slice([&b"return"[..], b"func (", b"err != nil"][random.below(3)]),
            _ => {
                let start = random.below(content.len().max(1));
                let again = content[start..].iter().copied().take(3 + random.below(300)).collect::<Vec<_>>();
                content.extend(again);
            }
        }
    }
    content.truncate(len);
    content
}

fn deflated(content: &[u8], random: &mut Random) -> Vec<u8> {
    let mut compress = Compress::new(Compression::new(random.below(10) as u32), false);
    let mut stream = vec![0; 2 * LIMIT + 1000];
    let split = random.below(content.len() + 1);
    // Several blocks, now and then.
    let flush = if random.one_in(3) { FlushCompress::Full } else { FlushCompress::None };
    compress.compress(&content[..split], &mut stream, flush).unwrap();
    let (read, written) = (compress.total_in() as usize, compress.total_out() as usize);
    compress.compress(&content[read..], &mut stream[written..], FlushCompress::Finish).unwrap();
    stream.truncate(compress.total_out() as usize);
    stream
}

#[test]
fn inflates_all_that_a_compressor_made() {
    let verdicts = compare(|random| {
        let content = content(random);
        deflated(&content, random)
    });
    assert_eq!(verdicts.good, cases(), "{verdicts:?}");
}

#[test]
fn says_of_damaged_streams_what_zlib_says() {
    let verdicts = compare(|random| {
        let content = content(random);
        let mut stream = deflated(&content, random);
        for _ in 0..1 + random.below(3) {
            // The heads of blocks are the most delicate.
            let len = stream.len().max(1);
            let at = if random.one_in(2) { random.below(len) } else { random.below(len.min(80)) };
            match random.below(5) {
                0 | 1 if !stream.is_empty() => stream[at] ^= 1 << random.below(8),
                2 => stream.truncate(at),
                3 => stream.insert(at.min(stream.len()), random.below(256) as u8),
                _ => stream.extend((0..random.below(9)).map(|byte| byte as u8 * 31)),
            }
        }
        stream
    });
    assert!(verdicts.good > 0 && verdicts.refused > verdicts.good, "{verdicts:?}");
    assert!(verdicts.left_to_zlib * 100 <= verdicts.good, "{verdicts:?}");
}

/// A stream that is written bit by bit.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    used: usize,
}

impl Writer {
    fn bits(&mut self, value: usize, count: usize) {
        for bit in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> bit & 1) as u8) << (self.used % 8);
            self.used += 1;
        }
    }

    /// Highest bit first.
    fn codeword(&mut self, code: &Code, symbol: usize) {
        for bit in (0..code.lengths[symbol]).rev() {
            self.bits(code.codewords[symbol] >> bit & 1, 1);
        }
    }
}

/// A canonical code, complete or not.
struct Code {
    lengths: Vec<u8>,
    codewords: Vec<usize>,
}

impl Code {
    fn new(lengths: Vec<u8>) -> Self {
        let mut codewords = vec![0; lengths.len()];
        let mut next = 0;
        for length in 1..=15 {
            next <<= 1;
            for (symbol, _) in lengths.iter().enumerate().filter(|(_, own)| **own == length) {
                codewords[symbol] = next;
                next += 1;
            }
        }
        Self { lengths, codewords }
    }
}

/// Lengths of a complete code over some of the symbols, made by splitting codewords; `must` are among them.
fn code(symbols: usize, longest: u8, must: &[usize], random: &mut Random) -> Vec<u8> {
    let mut leaves = vec![1_u8, 1];
    let wanted = must.len().max(2) + random.below(symbols - must.len().max(2) + 1);
    for _ in 0..4 * wanted {
        if leaves.len() == wanted {
            break;
        }
        // The youngest one now and then, for long codewords.
        let at = if random.one_in(3) { leaves.len() - 1 } else { random.below(leaves.len()) };
        if leaves[at] < longest {
            leaves[at] += 1;
            leaves.push(leaves[at]);
        }
    }
    let mut lengths = vec![0; symbols];
    for (leaf, length) in leaves.into_iter().enumerate() {
        let mut symbol = must.get(leaf).copied().unwrap_or_else(|| random.below(symbols));
        while lengths[symbol] > 0 {
            symbol = (symbol + 1) % symbols;
        }
        lengths[symbol] = length;
    }
    lengths
}

/// Makes a code bad, or strange, now and then.
fn bend(lengths: &mut [u8], longest: u8, random: &mut Random) {
    let symbol = random.below(lengths.len());
    match random.below(12) {
        0 => lengths[symbol] = random.below(usize::from(longest) + 1) as u8,
        1 => {
            lengths.fill(0);
            lengths[symbol] = 1 + random.below(2) as u8;
        }
        2 => lengths.fill(0),
        _ => {}
    }
}

fn dynamic_block(writer: &mut Writer, random: &mut Random) {
    // Up to 288 and 32, of which the last two each are reserved.
    let litlens = if random.one_in(8) { 257 + random.below(32) } else { 257 + random.below(30) };
    let distances = if random.one_in(8) { 1 + random.below(32) } else { 2 + random.below(29) };
    let mut litlen = code(litlens, 15, &[256], random);
    let mut distance = if distances < 2 { vec![1] } else { code(distances, 15, &[], random) };
    bend(&mut distance, 15, random);
    if random.one_in(4) {
        bend(&mut litlen, 15, random);
    }
    let all = [&litlen[..], &distance].concat();
    let must: Vec<_> = (0..19).collect();
    let mut precode = code(19, 7, &must, random);
    if random.one_in(8) {
        bend(&mut precode, 7, random);
    }
    let (litlen, distance, precode) = (Code::new(litlen), Code::new(distance), Code::new(precode));
    writer.bits(2, 2);
    writer.bits(litlens - 257, 5);
    writer.bits(distances - 1, 5);
    writer.bits(15, 4);
    for symbol in super::tables::PRECODE_ORDER {
        writer.bits(precode.lengths[symbol].into(), 3);
    }
    let mut at = 0;
    while at < all.len() {
        let same = all[at..].iter().take_while(|length| **length == all[at]).count();
        let (symbol, extra, least, most) = match all[at] {
            0 if same >= 11 => (18, 7, 11, 138),
            0 if same >= 3 => (17, 3, 3, 10),
            _ if at > 0 && all[at - 1] == all[at] && same >= 3 => (16, 2, 3, 6),
            length => (usize::from(length), 0, 1, 1),
        };
        writer.codeword(&precode, symbol);
        // Past the end, now and then: one more than there are.
        let times = same.min(most) + usize::from(extra > 0 && same < most && random.one_in(40));
        writer.bits(times - least, extra);
        at += times;
    }
    body(writer, &litlen, &distance, random);
}

fn fixed_block(writer: &mut Writer, random: &mut Random) {
    let mut litlen = vec![8; 288];
    litlen[144..256].fill(9);
    litlen[256..280].fill(7);
    writer.bits(1, 2);
    body(writer, &Code::new(litlen), &Code::new(vec![5; 32]), random);
}

/// Symbols at random, ended in most cases.
fn body(writer: &mut Writer, litlen: &Code, distance: &Code, random: &mut Random) {
    let used = |code: &Code| (0..code.lengths.len()).filter(|symbol| code.lengths[*symbol] > 0).collect::<Vec<_>>();
    let (litlens, distances) = (used(litlen), used(distance));
    let literals: Vec<_> = litlens.iter().copied().filter(|symbol| *symbol < 256).collect();
    for _ in 0..random.below(60) {
        let symbols = if random.one_in(3) || literals.is_empty() { &litlens } else { &literals };
        let Some(&symbol) = symbols.get(random.below(symbols.len().max(1))) else { break };
        if symbol == 256 {
            continue;
        }
        writer.codeword(litlen, symbol);
        if symbol > 256 {
            let extra = if (265..285).contains(&symbol) { (symbol - 261) / 4 } else { 0 };
            writer.bits(random.below(1 << extra), extra);
            // Short distances most of the time, for long ones reach before the beginning.
            let end = if random.one_in(30) { distances.len() } else { distances.len().min(8) };
            match distances.get(random.below(end.max(1))) {
                Some(&symbol) => {
                    writer.codeword(distance, symbol);
                    let extra = (symbol / 2).saturating_sub(1);
                    writer.bits(if random.one_in(4) { random.below(1 << extra) } else { 0 }, extra);
                }
                None => writer.bits(random.below(2), 1),
            }
        }
        if random.one_in(400) {
            writer.bits(random.below(1 << 16), 16);
        }
    }
    if litlen.lengths.get(256).is_some_and(|length| *length > 0) && !random.one_in(40) {
        writer.codeword(litlen, 256);
    }
}

fn stored_block(writer: &mut Writer, random: &mut Random) {
    writer.bits(0, 2);
    // The bits up to the byte count for nothing.
    let padding = writer.used.next_multiple_of(8) - writer.used;
    writer.bits(random.below(1 << padding), padding);
    let len = if random.one_in(4) { 0 } else { random.below(200) };
    writer.bits(len, 16);
    writer.bits(!len ^ usize::from(random.one_in(20)), 16);
    for _ in 0..len {
        writer.bits(random.below(256), 8);
    }
}

#[test]
fn says_of_odd_streams_what_zlib_says() {
    let verdicts = compare(|random| {
        let mut writer = Writer::default();
        let blocks = 1 + random.below(4);
        for block in 1..=blocks {
            writer.bits(usize::from(block == blocks && !random.one_in(50)), 1);
            match random.below(9) {
                0..4 => dynamic_block(&mut writer, random),
                4 | 5 => fixed_block(&mut writer, random),
                6 | 7 => stored_block(&mut writer, random),
                _ if random.one_in(9) => writer.bits(3, 2),
                _ => fixed_block(&mut writer, random),
            }
        }
        // Too much or too little at the end.
        match random.below(12) {
            0 => writer.bytes.extend([random.below(256) as u8; 3]),
            1 => drop(writer.bytes.pop()),
            _ => {}
        }
        writer.bytes
    });
    assert!(verdicts.good * 10 > cases(), "{verdicts:?}");
    assert!(verdicts.refused * 10 > cases(), "{verdicts:?}");
    // The code of a single length, which is left to zlib.
    assert!(verdicts.left_to_zlib * 20 <= verdicts.good, "{verdicts:?}");
}

/// The cases at random are too short for them.
#[test]
fn refuses_reserved_distances_that_point_at_something() {
    const FIRST_BYTES: usize = 36_000;
    let stream = |distance: usize| {
        let mut writer = Writer::default();
        writer.bits(0, 3);
        writer.bits(0, 5);
        writer.bits(FIRST_BYTES, 16);
        writer.bits(!FIRST_BYTES, 16);
        (0..FIRST_BYTES).for_each(|byte| writer.bits(byte, 8));
        // A match of three bytes (257) in the fixed code, as far away as its 13 extra bits say; then the end (256).
        writer.bits(0b011, 3);
        writer.bits(0b100_0000, 7);
        (0..5).rev().for_each(|bit| writer.bits(distance >> bit, 1));
        writer.bits(0x1fff, 13);
        writer.bits(0, 7);
        writer.bytes
    };
    for (distance, good) in [(29, true), (30, false), (31, false)] {
        let stream = stream(distance);
        let ours = by_us(&mut Inflater::default(), &stream, 40_000, &mut Random::new(1));
        assert_eq!(ours.is_some(), good, "distance symbol {distance}");
        assert_eq!(ours, by_zlib(&stream, 40_000), "distance symbol {distance}");
    }
}
