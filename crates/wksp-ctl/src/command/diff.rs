//! `diff`: in what two workspaces or checkpoints differ.

mod contents;
mod operand;
mod pairs;
mod report;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use wksp_shmem::SharedWorkspace;

use self::contents::Contents;
use self::operand::{OperandName, Side, allocations};
use self::pairs::Pairs;
use self::report::Report;
use crate::effort::Effort;
use crate::failure::{Failure, Kind};
use crate::output::Outcome;
use crate::session::Session;
use crate::value;

/// Shows which allocations of two workspaces or checkpoints differ: in range, tag or bytes.
///
/// A word without a slash is a workspace if there is one of that name, and else a file; ./NAME is
/// always a file, and - is standard input. Ends with code 0 if nothing differs, with 1 if something
/// does, and with another one if that cannot be told.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl diff demo.wksp demo # what has changed since then
  wksp-ctl diff monday.wksp tuesday.wksp
  ssh elsewhere wksp-ctl checkpt demo - | wksp-ctl diff demo -
  wksp-ctl diff demo.wksp demo --json | jq '.differences[].gaddr_lo'")]
pub(crate) struct Args {
    /// A workspace or checkpoint.
    a: PathBuf,
    /// Another one.
    b: PathBuf,
    /// Do not check the checkpoints as a whole first; damage can look like a difference then.
    #[arg(long)]
    no_verify: bool,
    /// How many threads check them [default: one per processor].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    threads: Option<String>,
}

/// What to compare, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    a: OperandName,
    b: OperandName,
    verify: bool,
    threads: NonZeroUsize,
}

/// The exit code that says that something differs.
const DIFFERENT: u8 = 1;

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let (a, b) = (OperandName::new(self.a), OperandName::new(self.b));
        if a.is_stdin() && b.is_stdin() {
            return Err(Failure::usage(
                "both are standard input, which can be read once",
                "name a file or a workspace for one of them",
            ));
        }
        let threads = value::threads(self.threads.as_deref())?;
        Ok(Plan { a, b, verify: !self.no_verify, threads })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let report = self.compare(session).map_err(|failure| match failure.kind {
            // Its code says here that something differs.
            Kind::Failed => Failure { kind: Kind::Undecided, ..failure },
            _ => failure,
        })?;
        let code = if report.is_same() { 0 } else { DIFFERENT };
        Ok(Outcome { code, ..Outcome::done(report) })
    }
}

impl Plan {
    fn compare(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let effort = Effort::new(session, self.threads)?;
        let (mut a, mut b) = (self.a.open(session)?, self.b.open(session)?);
        let a = a.side(session, &effort, self.verify)?;
        let b = b.side(session, &effort, self.verify)?;
        let compared = match (&a, &b) {
            (Side::Workspace(one), Side::Workspace(other)) if is_same(one, other) => {
                let all = session.locked(one, |guard| allocations(one, guard))?;
                let pairs = Pairs::new(&all, &all)?;
                let differing = vec![0; pairs.len()];
                Contents { pairs, differing }
            }
            (Side::Workspace(one), Side::Workspace(other)) => {
                // In the same order whoever compares what with what, so that no two of them wait for
                // each other.
                let is_in_order = order(one) <= order(other);
                let (first, second) = if is_in_order { (one, other) } else { (other, one) };
                session.locked_both(first, second, |first_guard, second_guard| {
                    let firsts = allocations(first, first_guard)?;
                    let seconds = allocations(second, second_guard)?;
                    let (a, b) = if is_in_order { (firsts, seconds) } else { (seconds, firsts) };
                    let pairs = Pairs::new(&a, &b)?;
                    Contents::of_workspaces(pairs, one.workspace(), other.workspace(), &effort)
                })?
            }
            (Side::Workspace(one), Side::Checkpoint(name, stored)) => {
                session.locked(one, |guard| {
                    let pairs = Pairs::new(&allocations(one, guard)?, stored.allocations())?;
                    Contents::of_checkpoint(pairs, guard.workspace(), name, stored, &effort)
                })?
            }
            (Side::Checkpoint(name, stored), Side::Workspace(other)) => {
                session.locked(other, |guard| {
                    let pairs = Pairs::new(stored.allocations(), &allocations(other, guard)?)?;
                    Contents::of_checkpoint(pairs, guard.workspace(), name, stored, &effort)
                })?
            }
            (Side::Checkpoint(name_a, a), Side::Checkpoint(name_b, b)) => {
                let pairs = Pairs::new(a.allocations(), b.allocations())?;
                Contents::of_checkpoints(pairs, (name_a, a), (name_b, b), &effort)?
            }
        };
        // The bar is gone before anything is printed.
        drop(effort);
        Ok(Report::new([(a.kind(), &self.a), (b.kind(), &self.b)], &compared))
    }
}

/// Whether two handles are on the same workspace, whose lock cannot be taken twice.
fn is_same(a: &SharedWorkspace, b: &SharedWorkspace) -> bool {
    a.region().map(|info| info.id) == b.region().map(|info| info.id)
}

fn order(shared: &SharedWorkspace) -> Option<(wksp_core::Name, u64)> {
    shared.region().map(|info| (info.name, info.page_size.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_failure_is_taken_for_a_difference() {
        assert_eq!(Kind::Undecided.exit_code(), 2);
        assert!(Kind::ALL.iter().all(|kind| *kind != Kind::Undecided));
        let others = Kind::ALL.iter().filter(|kind| **kind != Kind::Failed);
        assert!(others.into_iter().all(|kind| kind.exit_code() != DIFFERENT));
    }
}
