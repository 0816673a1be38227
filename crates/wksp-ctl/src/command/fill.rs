//! `fill`: sets all bytes of an allocation.

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;

use wksp_checkpt::{Control, Progress};
use wksp_core::{Allocation, Workspace};
use wksp_shmem::{ProcessParty, WorkspaceAddress};

use super::address_list::AddressList;
use crate::effort::Effort;
use crate::failure::{self, Failure, Kind};
use crate::output::Outcome;
use crate::session::Session;
use crate::size::Bytes;
use crate::summary::AllocationSummary;
use crate::{number, value};

/// Sets all bytes of the allocation that covers an address.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl fill demo:69632 0xff
  wksp-ctl fill demo:69632 0 # before it is handed on")]
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
        let effort = Effort::new(session, NonZeroUsize::MIN)?;
        let workspace = shared.workspace();
        let filled = session.locked(&shared, |guard| {
            let found = guard.allocation(gaddr);
            let found =
                found.ok_or_else(|| failure::no_allocation(&name, gaddr, workspace.geometry()))?;
            effort.run("filling", |control| self.fill(workspace, &found, &control))?;
            Ok(found)
        })?;
        let allocations = vec![AllocationSummary::at(self.address, &filled)];
        Ok(Outcome::done(AddressList { done: "filled", allocations }))
    }
}

/// How many bytes are filled between two looks at whether to end.
const PIECE_BYTES: usize = 256 * 1024;

impl Plan {
    fn fill(
        &self,
        workspace: &Workspace<'_, ProcessParty>,
        allocation: &Allocation,
        control: &Control<'_>,
    ) -> Result<(), Failure> {
        let name = &self.address.name;
        let (piece, total_bytes) = (vec![self.byte; PIECE_BYTES], allocation.range.bytes());
        let mut done_bytes = 0_u64;
        while done_bytes < total_bytes {
            if control.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
                return Err(Failure::new(
                    Kind::Interrupted,
                    format_args!("filling {} was interrupted", self.address),
                    format_args!("its first {} are filled", Bytes(done_bytes)),
                ));
            }
            let left = total_bytes.saturating_sub(done_bytes);
            let count = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let lo = allocation.range.lo().checked_add(done_bytes);
            let lo = lo.ok_or_else(|| failure::vanished(name, self.address.gaddr))?;
            let piece = piece.get(..count).unwrap_or_default();
            workspace.copy_in(lo, piece).map_err(|error| failure::copy(name, &error))?;
            done_bytes = done_bytes.saturating_add(count as u64);
            if let Some(progress) = control.progress {
                progress(Progress { done_bytes, total_bytes });
            }
        }
        Ok(())
    }
}
