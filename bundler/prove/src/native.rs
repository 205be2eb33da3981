//! What newer processors can do beside what all of their kind can; the one place of this program with `unsafe`.
//!
//! - the SHA instructions of x86-64 on two messages at once
//! - its bit instructions (BMI1 and BMI2): a shift by a variable, or a mask of variable length, is one step with them
//!
//! The kernels themselves are safe code: instructions are compiler intrinsics on values, or chosen by the compiler; bytes are
//! read through slices. What the compiler cannot know is whether the processor at hand has the instructions; that is all
//! that the unsafe calls are about.
#![allow(unsafe_code)]

use crate::lanes::{Block, State};

/// Work that gains from the bit instructions. Its `run` is to be inlined always, or it is compiled without them.
pub(crate) trait BitWork {
    /// What it gives.
    type Out;

    /// Does it.
    fn run(self) -> Self::Out;
}

/// Does it by the bit instructions of the processor, where it has them.
#[inline]
pub(crate) fn with_bits<W: BitWork>(work: W) -> W::Out {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2") {
        #[target_feature(enable = "bmi1,bmi2")]
        fn run<W: BitWork>(work: W) -> W::Out {
            work.run()
        }
        // SAFETY: `run` needs the two processor features that were just found, and has no other requirement.
        return unsafe { run(work) };
    }
    work.run()
}

/// Proof that the processor can do it.
#[derive(Clone, Copy)]
pub(crate) struct TwoLanes(());

/// Whether this processor has the instructions.
#[cfg(target_arch = "x86_64")]
pub(crate) fn two_lanes() -> Option<TwoLanes> {
    let has =
        is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1");
    has.then_some(TwoLanes(()))
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn two_lanes() -> Option<TwoLanes> {
    None
}

impl TwoLanes {
    /// Adds to each state the blocks of its message, both as many.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn add(self, states: [&mut State; 2], blocks: [&[Block]; 2]) {
        // SAFETY: `sha::add` needs the processor features that `two_lanes` found, and a `TwoLanes` comes from nowhere
        // else. It has no other requirement: its arguments are references and slices, which it treats as such.
        unsafe { sha::add(states, blocks) }
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn add(self, states: [&mut State; 2], blocks: [&[Block]; 2]) {
        for (state, blocks) in states.into_iter().zip(blocks) {
            sha2::block_api::compress256(state, blocks);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod sha {
    use super::{Block, State};
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x,
        _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
    };

    const LANES: usize = 2;

    /// FIPS 180-4, section 4.2.2, in groups of four rounds.
    #[rustfmt::skip]
    const K: [[u32; 4]; 16] = [
        [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5], [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
        [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3], [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
        [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc], [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
        [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7], [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
        [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13], [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
        [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3], [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
        [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5], [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
        [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208], [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
    ];

    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    pub(super) fn add(states: [&mut State; LANES], blocks: [&[Block]; LANES]) {
        // The instructions want the words of the state as ABEF and CDGH.
        let pack = |words: [u32; 4]| quad(words);
        let mut abef: [__m128i; LANES] = [0, 1].map(|lane| {
            let state = &states[lane];
            pack([state[5], state[4], state[1], state[0]])
        });
        let mut cdgh: [__m128i; LANES] = [0, 1].map(|lane| {
            let state = &states[lane];
            pack([state[7], state[6], state[3], state[2]])
        });
        for pair in blocks[0].iter().zip(blocks[1]) {
            let (abef_before, cdgh_before) = (abef, cdgh);
            let mut words = [schedule(pair.0), schedule(pair.1)];
            // Unrolled, so that what is an index here becomes a register.
            macro_rules! rounds {
                ($($group:literal)*) => {$(
                    for lane in 0..LANES {
                        let words = &mut words[lane];
                        let (now, next) = (words[$group % 4], words[($group + 1) % 4]);
                        let (third, fourth) = (words[($group + 2) % 4], words[($group + 3) % 4]);
                        let sum = _mm_add_epi32(now, quad(K[$group]));
                        cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], sum);
                        abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], _mm_shuffle_epi32(sum, 0b1110));
                        if $group < 12 {
                            let partial = _mm_sha256msg1_epu32(now, next);
                            let partial = _mm_add_epi32(partial, _mm_alignr_epi8(fourth, third, 4));
                            words[$group % 4] = _mm_sha256msg2_epu32(partial, fourth);
                        }
                    }
                )*};
            }
            rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
            for lane in 0..LANES {
                abef[lane] = _mm_add_epi32(abef[lane], abef_before[lane]);
                cdgh[lane] = _mm_add_epi32(cdgh[lane], cdgh_before[lane]);
            }
        }
        for (lane, state) in states.into_iter().enumerate() {
            let ([f, e, b, a], [h, g, d, c]) = (words(abef[lane]), words(cdgh[lane]));
            *state = [a, b, c, d, e, f, g, h];
        }
    }

    /// The first 16 words of the message schedule.
    #[target_feature(enable = "sse2,ssse3")]
    #[inline]
    fn schedule(block: &Block) -> [__m128i; 4] {
        let big_endian = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        let (halves, _) = block.as_chunks::<8>();
        let load = |at: usize| _mm_set_epi64x(i64::from_le_bytes(halves[at + 1]), i64::from_le_bytes(halves[at]));
        [load(0), load(2), load(4), load(6)].map(|bytes| _mm_shuffle_epi8(bytes, big_endian))
    }

    /// Four words, the first one lowest.
    #[target_feature(enable = "sse2")]
    #[inline]
    fn quad(words: [u32; 4]) -> __m128i {
        let [a, b, c, d] = words.map(u32::cast_signed);
        _mm_set_epi32(d, c, b, a)
    }

    #[target_feature(enable = "sse4.1")]
    #[inline]
    fn words(quad: __m128i) -> [u32; 4] {
        [
            _mm_extract_epi32::<0>(quad),
            _mm_extract_epi32::<1>(quad),
            _mm_extract_epi32::<2>(quad),
            _mm_extract_epi32::<3>(quad),
        ]
        .map(i32::cast_unsigned)
    }
}
