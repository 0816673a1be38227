//! All benchmarks in one run, and the picture that docs/performance.md shows.

mod picture;
mod recording;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;

use crate::command::{cargo, run};
use crate::repository;
use crate::tally::Tally;

/// Where the figures go, below the root of the checkout.
const FIGURES: &str = "target/bench/figures.jsonl";
/// Where the picture goes.
const PICTURE: &str = "docs/images/cost.svg";

/// What is to be timed.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only see that everything runs: small workspaces, one round
    #[arg(long)]
    short: bool,
    /// Up to 10^7 allocations instead of 10^6
    #[arg(long, conflicts_with = "short")]
    large: bool,
    /// Only allocations and locks, not regions and checkpoints
    #[arg(long)]
    core: bool,
    /// Draws the cost of allocations against their number anew, for the documentation
    #[arg(long, conflicts_with = "short")]
    picture: bool,
    /// Times nothing, and draws the picture from the figures of the last run
    #[arg(long, conflicts_with_all = ["short", "large", "core", "picture"])]
    redraw: bool,
}

/// Runs all benchmarks, prints their tables, and leaves the figures as JSON.
pub(crate) fn run_all(options: &Options) -> Result<()> {
    let figures = repository::root().join(FIGURES);
    if options.redraw {
        return draw(&figures);
    }
    if let Some(directory) = figures.parent() {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {directory:?}"))?;
    }
    let recorded = (!options.short).then(recording::of_a_compiler).transpose()?;
    let mut bench = cargo(["run", "--release", "-p", "wksp-bench", "--", "--json"]);
    bench.arg(&figures);
    if options.short {
        bench.arg("--short");
    }
    if options.large {
        bench.arg("--large");
    }
    if let Some(recorded) = recorded {
        bench.arg("--trace").arg(recorded);
    }
    run(&mut bench)?;
    println!("The figures are in {}.", figures.display());
    if options.picture {
        draw(&figures)?;
    }
    if !options.core {
        let which = if options.short { "test" } else { "bench" };
        for package in ["wksp-shmem", "wksp-checkpt"] {
            let mut benches = cargo([which, "-p", package]);
            if options.short {
                benches.args(["--profile", "release", "--benches"]);
            }
            run(&mut benches)?;
        }
    }
    Ok(())
}

/// Draws the picture of the documentation.
fn draw(figures: &Path) -> Result<()> {
    let text = fs::read_to_string(figures)
        .with_context(|| format!("cannot read {}: run the benchmarks first", figures.display()))?;
    let path = repository::root().join(PICTURE);
    fs::write(&path, picture::draw(&text)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("The picture is in {}.", path.display());
    Ok(())
}

/// Sees that the benchmark of allocations runs, in the profile of the tests.
pub(crate) fn short() -> Result<Tally> {
    run(&mut cargo(["run", "-p", "wksp-bench", "--", "--short"]))?;
    Ok(Tally::default())
}
