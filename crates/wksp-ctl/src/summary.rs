//! What a region and the workspace in it look like from outside.

use serde::Serialize;
use wksp_core::{Allocation, Holder, Name, Observer, Workspace};
use wksp_shmem::{ProcessParty, RegionInfo, WorkspaceAddress};

use crate::moment;
use crate::process::holder_pid;

/// A region.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RegionSummary {
    pub(crate) name: String,
    pub(crate) page_size: String,
    pub(crate) page_count: u64,
    /// Its size.
    pub(crate) bytes: u64,
    /// Its permission bits in octal.
    pub(crate) mode: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// When its bytes were last changed other than through memory, in UTC.
    pub(crate) modified: String,
}

impl RegionSummary {
    pub(crate) fn new(info: &RegionInfo) -> Self {
        Self {
            name: info.name.to_string(),
            page_size: info.page_size.to_string(),
            page_count: info.page_count(),
            bytes: info.bytes.get() as u64,
            mode: format!("{:04o}", info.mode),
            uid: info.uid,
            gid: info.gid,
            modified: moment::utc(info.modified),
        }
    }
}

/// A workspace, as far as that can be seen without its lock.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct WorkspaceSummary {
    /// The name in its header, `None` if that is damaged.
    pub(crate) header_name: Option<String>,
    pub(crate) seed: u32,
    pub(crate) part_max: u32,
    pub(crate) data_max: u64,
    pub(crate) gaddr_lo: u64,
    pub(crate) gaddr_hi: u64,
    pub(crate) lock: LockSummary,
}

impl WorkspaceSummary {
    pub(crate) fn new(workspace: &Workspace<'_, ProcessParty>) -> Self {
        let geometry = workspace.geometry();
        Self {
            header_name: workspace.name().ok().map(|name| name.to_string()),
            seed: workspace.seed(),
            part_max: geometry.part_max(),
            data_max: geometry.data_max(),
            gaddr_lo: geometry.data().lo().get(),
            gaddr_hi: geometry.data().hi().get(),
            lock: LockSummary::new(workspace.holder()),
        }
    }

    /// The same of one that is only looked at.
    pub(crate) fn observed(observer: &Observer<'_>) -> Self {
        let geometry = observer.geometry();
        Self {
            header_name: observer.name().ok().map(|name| name.to_string()),
            seed: observer.seed(),
            part_max: geometry.part_max(),
            data_max: geometry.data_max(),
            gaddr_lo: geometry.data().lo().get(),
            gaddr_hi: geometry.data().hi().get(),
            lock: LockSummary::new(observer.holder()),
        }
    }
}

/// The lock of a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LockSummary {
    /// `free`, `held`, or `formatting` while the workspace comes to be.
    pub(crate) state: &'static str,
    /// The process id in the lock word.
    pub(crate) pid: Option<u32>,
}

impl LockSummary {
    pub(crate) fn new(holder: Option<Holder>) -> Self {
        let state = match holder {
            None => "free",
            Some(Holder::Owner(_)) => "held",
            Some(Holder::Formatter) => "formatting",
        };
        Self { state, pid: holder.and_then(holder_pid) }
    }
}

/// An allocation.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AllocationSummary {
    /// The address that was given or allocated, to be typed again.
    pub(crate) address: String,
    pub(crate) name: String,
    pub(crate) gaddr: u64,
    pub(crate) gaddr_lo: u64,
    pub(crate) gaddr_hi: u64,
    /// All bytes of the allocation.
    pub(crate) bytes: u64,
    /// In JSON a string.
    pub(crate) tag: String,
}

impl AllocationSummary {
    /// The allocation at its own first byte.
    pub(crate) fn new(name: &Name, allocation: &Allocation) -> Self {
        Self::at(WorkspaceAddress { name: *name, gaddr: allocation.range.lo() }, allocation)
    }

    /// The allocation that covers an address.
    pub(crate) fn at(address: WorkspaceAddress, allocation: &Allocation) -> Self {
        Self {
            address: address.to_string(),
            name: address.name.to_string(),
            gaddr: address.gaddr.get(),
            gaddr_lo: allocation.range.lo().get(),
            gaddr_hi: allocation.range.hi().get(),
            bytes: allocation.range.bytes(),
            tag: allocation.tag.to_string(),
        }
    }
}
