//! `verify`: checks every invariant of a workspace and changes nothing.

use std::fmt;

use serde::Serialize;
use wksp_core::Name;

use crate::failure::{Failure, Kind};
use crate::output::Outcome;
use crate::plural::Plural;
use crate::session::Session;
use crate::summary::LockSummary;
use crate::value;

/// Checks every invariant of the layout and lists what it finds; it changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  wksp-ctl verify demo || wksp-ctl rebuild demo")]
pub(crate) struct Args {
    /// The workspace.
    name: String,
}

/// What to verify, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    name: Name,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        Ok(Plan { name: value::name(&self.name)? })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let name = &self.name;
        let shared = session.attach(name)?;
        let report = session.salvage(&shared)?.verify();
        // A dead holder has its lock back by now.
        let lock = LockSummary::new(shared.workspace().holder());
        if let Some(pid) = lock.pid {
            let text = format!(
                "{name} is locked by process {pid}: `wksp-ctl check {name}` recovers it if that is dead"
            );
            session.notice("locked", &text);
        }
        let census = report.census();
        let failure = (!report.is_clean()).then(|| {
            Failure::new(
                Kind::Corrupt,
                format_args!("{name} is damaged: {}", Plural(report.count(), "finding")),
                format_args!(
                    "`wksp-ctl rebuild {name}` builds the index anew; no allocation is lost by it"
                ),
            )
        });
        let findings = report.findings().map(ToString::to_string).collect();
        let report = Report {
            name: name.to_string(),
            is_clean: report.is_clean(),
            used_count: census.used,
            free_count: census.free,
            idle_count: census.idle,
            finding_count: report.count(),
            findings,
            lock,
        };
        Ok(Outcome::with_failure(report, failure))
    }
}

#[derive(Debug, Serialize)]
struct Report {
    name: String,
    #[serde(rename = "clean")]
    is_clean: bool,
    used_count: u64,
    free_count: u64,
    idle_count: u64,
    finding_count: u64,
    /// The first of them.
    findings: Vec<String>,
    lock: LockSummary,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        let more = self.finding_count.saturating_sub(self.findings.len() as u64);
        if more > 0 {
            writeln!(f, "and {more} more")?;
        }
        let Self { name, used_count, free_count, idle_count, .. } = self;
        let state = if self.is_clean { "clean" } else { "damaged" };
        writeln!(
            f,
            "{name}: {state}; {used_count} used, {free_count} free, {idle_count} idle records"
        )
    }
}
