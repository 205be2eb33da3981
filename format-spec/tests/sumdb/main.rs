//! The checksum database: what a slice has, what a client reads, and what a proof refuses.
// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

mod client;
mod forgeries;
mod histories;
mod lookups;
mod misuse;
#[path = "../naive_tree/mod.rs"]
mod naive_tree;
mod notes;
mod parts;
mod proofs;
mod real;
mod slices;

use naive_tree::NaiveTree;
use std::sync::LazyLock;

/// Sizes at which something happens (checksum-database research, A10), as far as the naive tree reaches.
const SIZES: [u64; 14] = [1, 2, 255, 256, 257, 511, 512, 65535, 65536, 65537, 65792, 65793, 131_072, 131_073];

/// Records of the naive tree.
const RECORDS: u64 = 200_000;

/// One log for all tests: any smaller one is its beginning.
static LOG: LazyLock<NaiveTree> = LazyLock::new(|| NaiveTree::new(RECORDS));

/// Cases of each property; the whole binary takes some ten seconds in a debug build.
fn cases(cases: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config::with_cases(cases)
}
