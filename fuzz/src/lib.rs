//! What must hold whatever the bytes are: one module for each target, with a function `run` that
//! panics where it does not.
//!
//! libFuzzer calls them through the programs in `fuzz_targets`, and `tests/short.rs` calls them
//! with the seeds and mutations of these.

mod examine;
mod heap;
pub mod preview;
pub mod seeds;
pub mod v1;
pub mod v2_by_offset;
pub mod v2_stream;
pub mod workspace;

/// A target: its name, and what it does with the bytes it is given.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 5] = [
    ("v1", v1::run),
    ("v2_by_offset", v2_by_offset::run),
    ("v2_stream", v2_stream::run),
    ("preview", preview::run),
    ("workspace", workspace::run),
];
