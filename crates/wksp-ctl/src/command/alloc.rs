//! `alloc`: allocates without writing anything.

use std::fmt;

use serde::Serialize;
use wksp_core::{Align, GaddrRange, Name, Tag};

use crate::failure::{self, Failure};
use crate::output::Outcome;
use crate::session::Session;
use crate::summary::AllocationSummary;
use crate::value;

/// Allocates and prints the address; the bytes are as whoever had them last left them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl alloc demo 64K
  wksp-ctl alloc demo 1000 --align 64 --tag 7
  wksp-ctl alloc demo 1000 --at-least   # prints the address and how many bytes it got")]
pub(crate) struct Args {
    /// The workspace.
    name: String,
    /// How many bytes.
    #[arg(allow_negative_numbers = true)]
    size: String,
    /// The tag of the allocation.
    #[arg(long, default_value = value::DEFAULT_TAG, allow_negative_numbers = true)]
    tag: String,
    /// The alignment of its address within the workspace: a power of two.
    #[arg(long, value_name = "SIZE", default_value = value::DEFAULT_ALIGN)]
    #[arg(allow_negative_numbers = true)]
    align: String,
    /// Take more where that wastes nothing, and print how many bytes it became.
    #[arg(long)]
    at_least: bool,
}

/// What to allocate, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    name: Name,
    bytes: u64,
    tag: Tag,
    align: Align,
    at_least: bool,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        Ok(Plan {
            name: value::name(&self.name)?,
            bytes: value::size(&self.size)?,
            tag: value::tag(&self.tag)?,
            align: value::align(&self.align)?,
            at_least: self.at_least,
        })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let shared = session.attach(&self.name)?;
        let allocation = session.locked(&shared, |guard| {
            let gaddr = if self.at_least {
                guard.alloc_at_least(self.align, self.bytes, self.tag).map(GaddrRange::lo)
            } else {
                guard.alloc(self.align, self.bytes, self.tag)
            };
            let gaddr = gaddr.map_err(|error| failure::alloc(&self.name, &error))?;
            guard.allocation(gaddr).ok_or_else(|| failure::vanished(&self.name, gaddr))
        })?;
        Ok(Outcome::done(Allocated {
            allocation: AllocationSummary::new(&self.name, &allocation),
            at_least: self.at_least,
        }))
    }
}

#[derive(Debug, Serialize)]
struct Allocated {
    #[serde(flatten)]
    allocation: AllocationSummary,
    #[serde(skip)]
    at_least: bool,
}

impl fmt::Display for Allocated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { allocation, at_least } = self;
        if *at_least {
            return writeln!(f, "{} {}", allocation.address, allocation.bytes);
        }
        writeln!(f, "{}", allocation.address)
    }
}
