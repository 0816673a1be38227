//! Regions and workspaces as several processes see them.
//!
//! Other processes are this very program, started again to play a part: see `victim`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that fails may panic, in its helpers as well"
)]

mod foreign;
mod fork;
mod handler;
#[path = "../processes/huge_pages.rs"]
mod huge_pages;
mod janitor;
mod joins;
mod liveness;
mod matrix;
mod observe;
mod regions;
mod robust_mutex;
mod scene;
mod victim;
mod workspaces;
