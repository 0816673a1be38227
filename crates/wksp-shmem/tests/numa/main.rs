//! Placing pages on nodes, and huge and gigantic pages, on a real machine.
//!
//! Each test runs as far as this machine has what it needs, and reserves and releases pages of its
//! own where it may. With WKSP_REQUIRE_NUMA=1 in the environment, as in machines that were made for
//! it, a test that lacks nodes, pages or privilege fails instead of being skipped.
//!
//! No test believes the code under test about where a page is: that is asked page by page, by another
//! system call than the library uses.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test that fails may panic, in its helpers as well"
)]

mod forbidden;
mod full_node;
mod host;
mod joining;
mod machine;
mod partner;
mod placing;
mod refusal;
mod scene;
mod system_calls;
mod thread_policy;
mod topology;
mod whereabouts;
