//! Failures to get the lock of a workspace.

use std::time::Duration;

use wksp_core::{Holder, LockError, Name, RebuildError, Stranger};

use super::{Failure, Kind};
use crate::process::{self, Process};

/// What is known of the wait for a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockContext<'a> {
    /// The workspace.
    pub(crate) name: &'a Name,
    /// For how long its lock was waited for.
    pub(crate) patience: Duration,
}

/// What is said of a lock that was not got.
pub(crate) fn lock(context: LockContext<'_>, error: &LockError) -> Failure {
    let LockContext { name, patience } = context;
    match error {
        LockError::Busy { holder } => Failure::new(
            Kind::Busy,
            format_args!(
                "{name} is locked by {}, which was waited for {} s and not shown to be dead",
                describe(*holder),
                patience.as_secs_f64()
            ),
            format_args!(
                "`wksp-ctl owner {name}` shows what it does; wait longer with --wait, or, only if \
                 it is gone for good, `wksp-ctl owner {name} --break`"
            ),
        ),
        LockError::Unrecoverable { holder, cause } => Failure::new(
            Kind::Corrupt,
            format_args!("{holder} died inside {name}, and its index cannot be rebuilt: {cause}"),
            salvage_remedy(name),
        ),
        LockError::Stranger(error) => stranger(name, *error),
        error => Failure::new(
            Kind::Failed,
            format_args!("cannot lock {name}: {error}"),
            format_args!("`wksp-ctl owner {name}` shows who has it"),
        ),
    }
}

/// What is said of a workspace whose index cannot be rebuilt.
pub(crate) fn not_rebuildable(name: &Name, error: &RebuildError) -> Failure {
    Failure::new(
        Kind::Corrupt,
        format_args!("the index of {name} cannot be rebuilt: {error}"),
        salvage_remedy(name),
    )
}

/// What is said of a process that has no part in a workspace.
pub(crate) fn stranger(name: &Name, error: Stranger) -> Failure {
    Failure::new(Kind::Failed, format_args!("cannot lock {name}: {error}"), "try again")
}

fn salvage_remedy(name: &Name) -> String {
    format!(
        "save what you can with `wksp-ctl show {name} --salvage` and `wksp-ctl get --salvage`, \
         then `wksp-ctl reset {name}`"
    )
}

/// Names a holder, and says what can be seen of it: its command, its state, since when it runs.
fn describe(holder: Holder) -> String {
    process::holder_pid(holder)
        .map_or_else(|| holder.to_string(), |pid| Process::here(pid, None).to_string())
}
