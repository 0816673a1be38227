//! The tool as its users have it: a program with arguments, two streams and an exit code.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]
#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

mod bench;
mod campaign;
mod chain;
mod checkpt;
mod checkpt_damage;
mod checkpt_golden;
mod checkpt_stop;
mod closed_pipe;
mod commands;
mod damage;
mod diff;
mod doctor;
mod documentation;
mod golden;
mod help;
mod holders;
mod host;
mod interrupt;
mod janitor;
mod legacy;
mod legacy_cfg;
mod legacy_checkpt;
mod legacy_damage;
mod legacy_shmem;
mod legacy_wksp;
mod links;
mod listing;
mod loudness;
mod machine;
mod manual;
mod metrics;
mod numa;
mod observing;
mod pictures;
mod pty;
mod round_trip;
mod schema;
mod shells;
mod shots;
mod terminal;
mod top;
mod wrong_input;
mod wrong_region;
