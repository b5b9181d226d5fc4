//! Mutations of saved bytes, for every reader of what strangers send. Development only; it imports nothing of the house.
//!
//! A [`Target`] is a name, a saved corpus and, as the argument of [`Target::survives`], the reader. Each run changes one input of the corpus
//! and gives it to the reader, which must not panic and asserts what else it promises. Runs follow from the seed alone: a failure names its
//! seed, its run and its bytes, and is written down.
//!
//! `cargo xtask test` does [`RUNS`] of each target, `cargo xtask fuzz` a million of an optimised build; both find a target by its test, whose
//! name has `fuzz_` and the target's name in it.
//!
//! ```
//! use test_fuzz::{Reading, Target};
//!
//! Target::new("even", "# by hand\nhex 02\n").survives(|bytes| Reading::of(bytes.first().is_some_and(|byte| byte % 2 == 0)));
//! ```

mod clock;
mod corpus;
mod json;
mod mutation;
mod target;

pub use target::{RUNS, Reading, Target};
