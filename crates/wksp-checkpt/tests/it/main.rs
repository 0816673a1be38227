//! Checkpoints against the golden files, the test kit's readers, damage, faults and kills.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]
#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]
#![allow(clippy::cast_possible_truncation, reason = "sizes in tests are small")]

mod crash;
mod damage;
mod faults;
mod files;
mod golden;
mod greedy;
mod heap;
mod written;
