//! What the operations of the wksp crates cost, against yardsticks in the same run.
//!
//! Ours and the yardstick take turns; each figure is the median of the rounds, and beside it stands
//! the spread from the lowest to the highest, as a share of the median.
//! What one thread does is timed by the processor's time of that thread, so that others who use the
//! machine disturb as little as possible; what several do, by the clock on the wall.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that panics failed")]
#![allow(clippy::arithmetic_side_effects, clippy::cast_precision_loss, reason = "as above")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as above")]

mod allocation;
mod contention;
mod replay;
mod report;
mod subject;
mod trace;
mod upkeep;

use std::path::PathBuf;

use clap::Parser;

use crate::report::Report;

/// Times allocations, upkeep and contention, each against its yardstick.
#[derive(Debug, Parser)]
struct Options {
    /// Only see that everything runs: small workspaces, one round
    #[arg(long, conflicts_with = "large")]
    short: bool,
    /// Up to 10^7 allocations instead of 10^6
    #[arg(long)]
    large: bool,
    /// Only the parts whose names contain this: allocation, upkeep, contention, replay
    #[arg(long, default_value = "")]
    only: String,
    /// The rounds in which ours and the yardstick take turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Writes the figures to this file as JSON, one object a line
    #[arg(long)]
    json: Option<PathBuf>,
    /// Replays the allocations recorded in this file, of which the module `replay` tells the format
    #[arg(long)]
    trace: Option<PathBuf>,
    /// What a contender does, which is started by the benchmark itself
    #[arg(long, hide = true)]
    contend: Option<PathBuf>,
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// The greatest number of live allocations.
    live_max: usize,
    /// How often each thing is timed.
    rounds: usize,
    /// The number of operations for each figure, where it does not follow from the live allocations.
    operations: usize,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(directory) = &options.contend {
        return contention::contend(directory);
    }
    let effort = if options.short {
        Effort { live_max: 1000, rounds: 1, operations: 1000 }
    } else {
        let live_max = if options.large { 10_000_000 } else { 1_000_000 };
        Effort { live_max, rounds: options.rounds, operations: 1_000_000 }
    };
    let mut report = Report::default();
    let asked_for = |part: &str| part.contains(&options.only);
    if asked_for("allocation") {
        allocation::run(effort, &mut report);
    }
    if asked_for("upkeep") {
        upkeep::run(effort, &mut report);
    }
    if asked_for("contention") {
        contention::run(effort, &mut report)?;
    }
    if let Some(trace) = options.trace.as_ref().filter(|_| asked_for("replay")) {
        replay::run(trace, effort, &mut report)?;
    }
    options.json.map_or(Ok(()), |path| report.write_json(&path))
}
