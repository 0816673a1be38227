//! `cargo xtask torture`: the long form of the test that kills processes inside workspaces.

use anyhow::Result;
use clap::Args;

use crate::command::{cargo, run as run_command};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many processes are killed, at the least
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    kills: u64,
    /// How long it takes, at the least
    #[arg(long, value_name = "S", default_value_t = 0)]
    seconds: u64,
    /// Use a huge page instead of normal ones; it is reserved if none is free, which takes root
    #[arg(long)]
    huge: bool,
}

/// Runs it, and fails if a single operation is lost.
pub(crate) fn run(options: &Options) -> Result<()> {
    let Options { kills, seconds, huge } = options;
    println!("Eight processes share a workspace, and {kills} are killed, one in five of them");
    println!("inside the lock. After each round every journal is compared with what is there.");
    let mut torture = cargo(["test", "-p", "wksp-shmem", "--test", "processes"]);
    torture.env("WKSP_KILLS", kills.to_string());
    torture.env("WKSP_KILLS_SECONDS", seconds.to_string());
    if *huge {
        torture.env("WKSP_KILLS_HUGE", "1");
    }
    run_command(&mut torture)
}
