//! The demonstration: several processes load real files into one workspace, one of them is killed
//! inside an allocation, another recovers, and a fresh process reads every file back: from there, and
//! from another workspace into which a checkpoint of the first one was restored.

mod directory;
mod files;
mod loader;
mod performance;
mod protocol;
mod reader;
mod relocation;
mod staff;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "wksp-demo", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// The directory whose files are loaded
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// The number of processes that load files at once
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// Leave the workspace where it is
    #[arg(long)]
    keep: bool,
}

/// What the processes are that the demonstration starts.
#[derive(Debug, Subcommand)]
enum Role {
    /// Loads the files that it is told to
    #[command(hide = true)]
    Load(loader::Options),
    /// Compares what is in the workspace with the files on disk
    #[command(hide = true)]
    Read(reader::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.role {
        None => performance::run(&arguments.directory, arguments.workers, arguments.keep),
        Some(Role::Load(options)) => loader::run(options),
        Some(Role::Read(options)) => reader::run(options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
