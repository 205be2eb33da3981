//! What holds for all values and all inputs: text and value are inverses, orders are orders, nothing panics.
// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

mod inverses;
mod no_panic;
mod orders;
mod strategies;

/// Cases of each property: all together take some five seconds in a debug build.
fn config() -> proptest::test_runner::Config {
    proptest::test_runner::Config::with_cases(1_500)
}
