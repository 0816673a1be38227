//! `fill`: sets all bytes of an allocation.

use wksp_shmem::WorkspaceAddress;

use super::address_list::AddressList;
use crate::failure::{self, Failure};
use crate::output::Outcome;
use crate::session::Session;
use crate::summary::AllocationSummary;
use crate::{number, value};

/// Sets all bytes of the allocation that covers an address.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  wksp-ctl fill demo:69632 0xff")]
pub(crate) struct Args {
    /// Any byte of the allocation.
    address: String,
    /// The value of each byte, from 0 to 255.
    #[arg(allow_negative_numbers = true)]
    byte: String,
}

/// What to fill with what, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    address: WorkspaceAddress,
    byte: u8,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let address = value::address(&self.address)?;
        let byte = number::parse(&self.byte).ok().and_then(|byte| u8::try_from(byte).ok());
        let byte = byte.ok_or_else(|| {
            Failure::usage(
                format_args!("{:?} is no value of a byte", self.byte),
                "give a number from 0 to 255, or 0x00 to 0xff",
            )
        })?;
        Ok(Plan { address, byte })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let WorkspaceAddress { name, gaddr } = self.address;
        let shared = session.attach(&name)?;
        let filled = session.locked(&shared, |guard| {
            guard.fill(gaddr, self.byte).map_err(|error| failure::edit(&name, &error))
        })?;
        let allocations = vec![AllocationSummary::at(self.address, &filled)];
        Ok(Outcome::done(AddressList { done: "filled", allocations }))
    }
}
