//! `tag`: shows or sets the tag of an allocation.

use std::fmt;

use serde::Serialize;
use wksp_core::{Allocation, Tag};
use wksp_shmem::WorkspaceAddress;

use crate::failure::{self, Failure};
use crate::look::{DoubtReport, LookArgs, Sight};
use crate::output::Outcome;
use crate::session::Session;
use crate::summary::AllocationSummary;
use crate::value;

/// Prints the tag of the allocation that covers an address, or gives it another one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl tag demo:69632       # prints the tag
  wksp-ctl tag demo:69632 7     # sets it")]
pub(crate) struct Args {
    /// Any byte of the allocation.
    address: String,
    /// The new tag.
    #[arg(allow_negative_numbers = true)]
    new_tag: Option<String>,
    #[command(flatten)]
    look: LookArgs,
}

/// What to show or set, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    address: WorkspaceAddress,
    new_tag: Option<Tag>,
    look: LookArgs,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let new_tag = self.new_tag.as_ref().map(|text| value::tag(text)).transpose()?;
        Ok(Plan { address: value::address(&self.address)?, new_tag, look: self.look })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let WorkspaceAddress { name, gaddr } = self.address;
        let (before, doubt) = match self.new_tag {
            Some(tag) => {
                let shared = session.attach(&name)?;
                let before = session.locked(&shared, |guard| {
                    guard.set_tag(gaddr, tag).map_err(|error| failure::edit(&name, &error))
                });
                (before?, None)
            }
            None => {
                let sight = Sight::open(session, &name, self.look)?;
                let seen = sight.look(session, |view| view.allocation(gaddr))?;
                let geometry = sight.geometry()?;
                let none = || failure::no_allocation(&name, gaddr, &geometry);
                (seen.value.ok_or_else(none)?, seen.doubt)
            }
        };
        let now = Allocation { tag: self.new_tag.unwrap_or(before.tag), ..before };
        Ok(Outcome::done(Report {
            allocation: AllocationSummary::at(self.address, &now),
            old_tag: self.new_tag.is_some().then_some(before.tag),
            doubt: doubt.map(DoubtReport::new),
        }))
    }
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    allocation: AllocationSummary,
    #[serde(serialize_with = "value::serialize_tag_option")]
    old_tag: Option<Tag>,
    doubt: Option<DoubtReport>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { allocation, old_tag, .. } = self;
        match old_tag {
            None => writeln!(f, "{}", allocation.tag),
            Some(old) => writeln!(f, "{}: tag {old} is now {}", allocation.address, allocation.tag),
        }
    }
}
