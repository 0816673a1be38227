//! `doctor`: what stands in the way of workspaces on a machine, and the commands that mend it.

mod directories;
mod finding;
mod kernel;
mod pages;
mod permits;
mod regions;

use std::fmt;

use serde::Serialize;
use wksp_shmem::HostStatus;

use self::finding::{Finding, State};
use crate::base_path::BasePath;
use crate::failure::Failure;
use crate::output::Outcome;
use crate::plural::Plural;
use crate::session::Session;

/// Checks whether this machine is fit for workspaces: each check, why it matters, what mends it.
///
/// It needs no privilege, changes nothing, takes no lock and never waits for one. Only what is called
/// bad is a failure; a warning is something that one may do without.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl doctor
  wksp-ctl doctor --base /mnt/wksp
  wksp-ctl doctor --json | jq -r '.checks[] | select(.state != \"ok\") | .command'")]
pub(crate) struct Args {}

impl super::Plan for Args {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let base = session.base_path();
        let status = HostStatus::of(&base.path);
        let findings = examine(&base, &status);
        let failure = summed_up(&findings);
        let count = |state| findings.iter().filter(|f| f.state == state).count() as u64;
        let report = Report {
            base: base.path.display().to_string(),
            ok_count: count(State::Ok),
            warning_count: count(State::Warning),
            bad_count: count(State::Bad),
            unknown_count: count(State::Unknown),
            checks: findings,
        };
        Ok(Outcome::with_failure(report, failure))
    }
}

/// Makes all checks.
fn examine(base: &BasePath, status: &HostStatus) -> Vec<Finding> {
    let mut findings = directories::check(base, &status.directories);
    findings.extend(pages::check(&status.pools));
    findings.extend(permits::check(base, status));
    findings.extend(kernel::check());
    findings.extend(regions::check(base));
    findings
}

/// One failure for all that is bad: the first, if it is the only one; else their number, with the
/// code of the first, as `check` has it.
fn summed_up(findings: &[Finding]) -> Option<Failure> {
    let mut bad = findings.iter().filter_map(|finding| Some((finding, finding.kind()?)));
    let (first, kind) = bad.next()?;
    let cause = match bad.count() {
        0 => format!("{}: {}", first.check, first.found),
        more => {
            let count = more.saturating_add(1);
            format!(
                "{count} of {} checks are bad; the first: {}: {}",
                findings.len(),
                first.check,
                first.found
            )
        }
    };
    let remedy = match &first.command {
        Some(command) => format!("`{command}`"),
        None => "no command mends it; see why it matters above".to_owned(),
    };
    Some(Failure::new(kind, cause, remedy))
}

#[derive(Debug, Serialize)]
struct Report {
    base: String,
    checks: Vec<Finding>,
    ok_count: u64,
    warning_count: u64,
    bad_count: u64,
    unknown_count: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.checks.iter().try_for_each(|finding| write!(f, "{finding}"))?;
        let checks = Plural(self.checks.len() as u64, "check");
        let warnings = Plural(self.warning_count, "warning");
        let Self { ok_count, bad_count, unknown_count, .. } = self;
        writeln!(f, "{checks}: {ok_count} ok, {warnings}, {bad_count} bad, {unknown_count} unknown")
    }
}
