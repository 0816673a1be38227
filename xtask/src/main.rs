//! The commands of a checkout, run as `cargo xtask COMMAND`.

mod bench;
mod ci;
mod command;
mod demo;
mod dist;
mod fuzz;
mod house;
mod mutants;
mod no_std;
mod pictures;
mod repository;
mod tally;
mod tools;
mod torture;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The commands of a wksp checkout")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Times what the crates do, against yardsticks in the same run
    Bench(bench::Options),
    /// Runs every check and test there is, and says how each of them went
    Ci(ci::Options),
    /// Shows processes sharing a workspace, and one of them killed inside an allocation
    Demo(demo::Options),
    /// Packs wksp-ctl with its manual and completions, and installs it if asked to
    Dist(dist::Options),
    /// Gives the readers of checkpoints and workspaces bytes that libFuzzer makes up
    Fuzz(fuzz::Options),
    /// Checks the house rules that no compiler knows
    House,
    /// Breaks the code in many places, and lists those where no test notices
    Mutants(mutants::Options),
    /// Draws the pictures of the documentation anew
    Pictures(pictures::Options),
    /// Kills thousands of processes inside workspaces, and sees that nothing is lost
    Torture(torture::Options),
    /// Runs the tests that need several memory nodes in virtual machines that have them
    Vm(vm::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Bench(options) => bench::run_all(&options),
        Command::Ci(options) => ci::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Dist(options) => dist::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::House => house::run(),
        Command::Mutants(options) => mutants::run(&options),
        Command::Pictures(options) => pictures::run(&options),
        Command::Torture(options) => torture::run(&options),
        Command::Vm(options) => vm::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
