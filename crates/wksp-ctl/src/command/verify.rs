//! `verify`: checks every invariant of a workspace and changes nothing.

use std::fmt;

use serde::Serialize;
use wksp_core::Name;

use crate::failure::{Failure, Kind};
use crate::look::{DoubtReport, LookArgs, Sight};
use crate::output::Outcome;
use crate::plural::Plural;
use crate::session::Session;
use crate::summary::LockSummary;
use crate::value;

/// Checks every invariant of the layout and lists what it finds; it changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl verify demo || wksp-ctl rebuild demo
  wksp-ctl verify demo --json | jq -r '.findings[]'")]
pub(crate) struct Args {
    /// The workspace.
    name: String,
    #[command(flatten)]
    look: LookArgs,
}

/// What to verify, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    name: Name,
    look: LookArgs,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        Ok(Plan { name: value::name(&self.name)?, look: self.look })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let name = &self.name;
        let sight = Sight::open(session, name, self.look)?;
        let seen = sight.look(session, |view| view.verify())?;
        let (report, doubt) = (seen.value, seen.doubt);
        let lock = LockSummary::new(sight.observer()?.holder());
        let census = report.census();
        let findings = Plural(report.count(), "finding");
        let failure = match doubt {
            _ if report.is_clean() => None,
            // Somebody at work leaves the index as unfinished as that for a moment.
            Some(doubt) if doubt.is_changed => Some(Failure::new(
                Kind::Busy,
                format_args!("{name} is being changed or damaged: {findings}"),
                format_args!("`wksp-ctl verify {name} --lock` waits until nobody changes it"),
            )),
            _ => Some(Failure::new(
                Kind::Corrupt,
                format_args!("{name} is damaged: {findings}"),
                format_args!(
                    "`wksp-ctl rebuild {name}` builds the index anew; no allocation is lost by it"
                ),
            )),
        };
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
            doubt: doubt.map(DoubtReport::new),
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
    doubt: Option<DoubtReport>,
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
