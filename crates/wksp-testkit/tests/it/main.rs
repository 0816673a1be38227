//! Shows that the test kit is right about files that the C implementation wrote.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that fails this way points at the line that is wrong"
)]

mod golden;
mod model;
