//! `free`: frees allocations by their addresses.

use wksp_core::Allocation;
use wksp_shmem::{SharedWorkspace, WorkspaceAddress};

use super::address_list::AddressList;
use crate::failure::{self, Failure, Kind};
use crate::output::Outcome;
use crate::session::Session;
use crate::summary::AllocationSummary;
use crate::value;

/// Frees the allocations that cover the addresses: all of them, or none if one is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl free demo:69632
  wksp-ctl free demo:69632 demo:73728 other:135168")]
pub(crate) struct Args {
    /// Any byte of each allocation.
    #[arg(required = true, value_name = "ADDRESS")]
    addresses: Vec<String>,
}

/// What to free, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    addresses: Vec<WorkspaceAddress>,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let addresses = self.addresses.iter().map(|text| value::address(text));
        Ok(Plan { addresses: addresses.collect::<Result<_, _>>()? })
    }
}

/// An address and what was found there.
struct Target {
    address: WorkspaceAddress,
    shared: SharedWorkspace,
    allocation: Allocation,
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        // First all are looked up, so that a wrong one changes nothing.
        let mut targets: Vec<Target> = Vec::new();
        for address in &self.addresses {
            let target = Target::find(session, *address)?;
            if let Some(other) = targets.iter().find(|other| other.is_same(&target)) {
                return Err(Failure::usage(
                    format_args!("{} and {address} are in the same allocation", other.address),
                    "name each allocation once; nothing was freed",
                ));
            }
            targets.push(target);
        }
        let mut allocations = Vec::new();
        let freed = targets.iter().try_for_each(|target| {
            let freed = target.free(session)?;
            allocations.push(AllocationSummary::at(target.address, &freed));
            Ok(())
        });
        Ok(Outcome::with_failure(AddressList { done: "freed", allocations }, freed.err()))
    }
}

impl Target {
    fn find(session: &Session<'_>, address: WorkspaceAddress) -> Result<Self, Failure> {
        let shared = session.attach(&address.name)?;
        let found = session.locked(&shared, |guard| Ok(guard.allocation(address.gaddr)))?;
        let allocation = found.ok_or_else(|| {
            failure::no_allocation(&address.name, address.gaddr, shared.workspace().geometry())
        })?;
        Ok(Self { address, shared, allocation })
    }

    fn is_same(&self, other: &Self) -> bool {
        self.address.name == other.address.name && self.allocation.range == other.allocation.range
    }

    /// Frees it, if it is still what was found.
    fn free(&self, session: &Session<'_>) -> Result<Allocation, Failure> {
        let WorkspaceAddress { name, gaddr } = self.address;
        session.locked(&self.shared, |guard| {
            if guard.allocation(gaddr).is_some_and(|now| now != self.allocation) {
                return Err(Failure::new(
                    Kind::Failed,
                    format_args!("{} has become another allocation meanwhile", self.address),
                    format_args!("it was not freed; `wksp-ctl show {name}` lists what is there"),
                ));
            }
            guard.free(gaddr).map_err(|error| failure::free(&name, &error))
        })
    }
}
