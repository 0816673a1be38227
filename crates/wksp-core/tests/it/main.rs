//! What the crate promises, checked from outside against a model and an independent reading of the
//! layout.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]
#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]
#![allow(clippy::cast_possible_truncation, reason = "sizes in tests are small")]

mod crash;
mod damage;
mod golden;
mod heap;
mod misuse;
mod observe;
mod operations;
mod random;
mod scramble;
