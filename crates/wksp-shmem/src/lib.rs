//! Named shared-memory workspaces of Linux processes: where they live, how they are attached, and
//! how a process that died inside one is found out.
//!
//! ```
//! use wksp_core::{Align, Name, Tag};
//! use wksp_shmem::{BaseDir, LockOptions, NewRegionOptions, PageSize, SharedWorkspace};
//!
//! # let dir = tempfile::tempdir()?;
//! # std::fs::create_dir(dir.path().join(".normal"))?;
//! # let base_flag = Some(dir.path());
//! let base = BaseDir::resolve(base_flag)?;
//! let name = Name::new("example")?;
//! let region = NewRegionOptions { page_size: PageSize::Normal, page_count: 256, mode: 0o600 };
//! let ours = SharedWorkspace::create(&base, &name, &region, &Default::default())?;
//!
//! let tag = Tag::new(7).ok_or("0 is no tag")?;
//! let gaddr = ours.lock()?.alloc(Align::BYTE, 100, tag)?;
//! ours.workspace().copy_in(gaddr, b"hello")?;
//!
//! // Any other process would do the same as this.
//! let theirs = SharedWorkspace::attach(&base, &name, None, LockOptions::default())?;
//! let mut hello = [0; 5];
//! theirs.workspace().copy_out(gaddr, &mut hello)?;
//! assert_eq!(&hello, b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it does not do
//!
//! It never prints, logs, or starts a thread; hwloc, which it asks for the topology of a machine, can
//! be made to print by environment variables of its own.
//! It changes nothing of the machine that it is not asked to: regions take huge and gigantic pages
//! that are reserved and from file systems that are mounted, and [`PagePool::reserve`] and [`mount()`]
//! are there for whoever sets a machine up.
//! It moves no page that is there already, and changes the memory policy of no thread.
//! Who only attaches, allocates and frees never makes it look at the topology.
//! It does not format a region that has a name already: regions come to be as workspaces, whole.
//! It cannot help it if somebody makes the file of a region shorter: the process that then uses what
//! is gone is ended by SIGBUS.
//!
//! # Forks
//!
//! A forked child inherits the memory but has joined nothing: its copies of handles are refused the
//! lock, its copies of guards refuse to do anything, and it attaches anew like any other process.
//! Until it ends, executes another program or drops its copies, its parent still shows in
//! [`joiners`] even if that has ended.

mod activity;
mod address;
mod base;
mod cpu_sequence;
mod create;
mod death_mark;
mod draft;
mod host;
mod incarnation;
mod inspect;
mod janitor;
mod join_table;
mod lease;
mod list;
mod liveness;
mod mapping;
mod mounts;
mod node_files;
mod numa_calls;
mod page_pool;
mod page_size;
mod place;
mod placement;
mod presence;
mod process;
mod procfs;
mod read_only;
mod region;
mod residence;
mod topology;
mod workspace;

pub use address::{AddressError, WorkspaceAddress};
pub use base::{BASE_VARIABLE, BaseDir, BaseError, BaseSource};
pub use cpu_sequence::{CpuSequence, CpuSequenceError};
pub use create::{CreateError, NewRegion, NewRegionOptions, PlacedRegionOptions};
pub use death_mark::DEATH_MARK;
pub use host::{HostReset, HostResetError, HostStatus};
pub use inspect::{ProcessInfo, describe};
pub use janitor::{Janitor, JanitorError, JanitorFinding};
pub use join_table::{JoinOptions, Joined, MapError};
pub use list::{ListEntry, Listing, list};
pub use mounts::{
    DirectoryState, DirectoryStatus, MountChange, MountError, MountOptions, Owner, directories,
    mount, unmount,
};
pub use node_files::NodeMemory;
pub use numa_calls::NumaCalls;
pub use page_pool::{PagePool, PagePoolError, PoolChange, Wanted};
pub use page_size::{PageSize, PageSizeError};
pub use place::{Omission, PlacedRange, PlacementCall, PlacementError, PlacementReport};
pub use placement::{
    Binding, Near, Placement, Plan, PlanError, PlannedRange, Shortfall, SubRegion,
};
pub use presence::{Joiner, Joiners, PID_LIMIT, PidNamespace, joiners};
pub use process::{LockOptions, Patience, ProcessParty};
pub use procfs::{Mapper, mappers};
pub use read_only::{NoSuchBytes, ReadOnlyMapping, look_for};
pub use region::{Access, NotARegion, Region, RegionError, RegionId, RegionInfo, info_of, unlink};
pub use residence::{PageResidence, Residence, ResidenceError};
pub use topology::{
    CpuIndex, HwlocTopology, NodeIndex, NodeInfo, PageCount, Topology, TopologyError,
};
pub use workspace::{
    AttachError, CreateWorkspaceError, NewWorkspace, Records, SharedWorkspace, WorkspaceOptions,
};
