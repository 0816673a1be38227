//! Many processes on one workspace, some of them killed; and what a lock costs.
//!
//! This is its own harness, since its workers are processes that run this program again.
//! `WKSP_KILLS`, `WKSP_KILLS_SECONDS` and `WKSP_KILLS_HUGE` make it the long form of `cargo xtask
//! torture` instead of the tests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]
#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]
#![allow(clippy::cast_possible_truncation, reason = "sizes in tests are small")]

mod huge_pages;
mod journal;
mod killer;
mod long;
mod quiet;
mod torture;
mod worker;

use std::env;
use std::panic;
use std::process::ExitCode;

/// The environment variable that makes this program one of its own workers.
const ROLE: &str = "WKSP_TEST_ROLE";

fn main() -> ExitCode {
    match env::var(ROLE).as_deref() {
        Ok(worker::ROLE) => return worker::run(),
        Ok(quiet::ROLE) => return quiet::run(),
        _ => {}
    }
    if let Some(long) = long::wanted() {
        return long.run();
    }
    let tests: [(&str, fn()); 6] = [
        ("eight_processes_lose_nothing", torture::eight_processes_lose_nothing),
        ("kills_lose_nothing_and_stop_nobody", torture::kills_lose_nothing_and_stop_nobody),
        (
            "eight_processes_on_huge_pages_lose_nothing",
            torture::eight_processes_on_huge_pages_lose_nothing,
        ),
        ("kills_on_huge_pages_lose_nothing", torture::kills_on_huge_pages_lose_nothing),
        (
            "an_uncontended_lock_on_huge_pages_makes_no_system_call",
            quiet::an_uncontended_lock_on_huge_pages_is_quiet,
        ),
        ("an_uncontended_lock_makes_no_system_call", quiet::an_uncontended_lock_is_quiet),
    ];
    // As of the usual harness, an argument that is no option selects by name.
    let wanted: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in tests {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| name.contains(wanted.as_str())) {
            continue;
        }
        let ok = panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        *(if ok { &mut passed } else { &mut failed }) += 1;
    }
    println!("\n{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
