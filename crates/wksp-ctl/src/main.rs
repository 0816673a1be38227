//! The command line for workspaces in shared memory.
//!
//! ```text
//! $ wksp-ctl new demo --size 64MiB
//! $ wksp-ctl put demo Cargo.toml
//! demo:69632
//! $ wksp-ctl get demo:69632
//! ```
//!
//! It runs in two stages: what was typed ([`typed`]) becomes a plan that is valid in itself, and
//! only then anything is looked up or changed ([`command`], one file per command); so also where
//! several commands are typed ([`chain`]).
//! Called by the name of one of the tools that were there before, it is that tool ([`legacy`]).
//! A command prints nothing itself: it returns a report, which becomes text or JSON, and perhaps a
//! [`failure`], which becomes a line of cause, a line of remedy and an exit code.

mod base_path;
mod chain;
mod command;
mod complete;
mod confirm;
mod cpu_list;
mod destination;
mod effort;
mod extent;
mod failure;
mod interrupt;
mod legacy;
mod look;
mod machine;
mod manual;
mod moment;
mod near;
mod node_memory;
mod number;
mod output;
mod picture;
mod placed;
mod plural;
mod process;
mod repair;
mod screen;
mod session;
mod shell;
mod size;
mod source;
mod stored;
mod summary;
mod table;
mod typed;
mod value;
mod wrap;

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match complete::answer(&arguments) {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        // A shell has no use for a reason, and would show it in the middle of a line.
        Err(_) => return ExitCode::FAILURE,
    }
    legacy::called(&arguments).unwrap_or_else(|| chain::run(&arguments))
}
