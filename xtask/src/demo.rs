//! `cargo xtask demo`: builds and runs the demonstration, a program of its own beside this one.

use std::path::{Path, PathBuf, absolute};

use anyhow::{Context, Result};
use clap::Args;

use crate::command::{cargo, run as run_command};
use crate::{repository, tools};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The directory whose files are loaded [default: this checkout]
    directory: Option<PathBuf>,
    /// The number of processes that load files at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=64))]
    workers: u32,
    /// Leave the workspace where it is, for a look at it with wksp-ctl
    #[arg(long)]
    keep: bool,
    /// Only say what the machine lacks, and fail, rather than install it
    #[arg(long)]
    no_install: bool,
}

/// Installs what is missing, builds the demonstration and runs it.
pub(crate) fn run(options: &Options) -> Result<()> {
    println!("A demonstration of wksp. First what it needs, then its build, then itself.");
    tools::ensure(options.no_install)?;
    let directory = options.directory.clone().unwrap_or_else(repository::root);
    show(&directory, options.workers, options.keep)
}

/// Builds and runs the demonstration on the files of the checkout.
pub(crate) fn run_on_checkout() -> Result<()> {
    show(&repository::root(), 4, false)
}

fn show(directory: &Path, workers: u32, keep: bool) -> Result<()> {
    let directory = absolute(directory)
        .with_context(|| format!("cannot tell where {} is", directory.display()))?;
    let workers = workers.to_string();
    let mut command = cargo(["run", "--package", "wksp-demo", "--"]);
    command.args(["--workers", &workers]).args(keep.then_some("--keep")).arg(directory);
    run_command(&mut command).context("the demonstration failed")
}
