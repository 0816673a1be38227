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
//! It never prints, logs, or starts a thread.
//! It takes huge and gigantic pages from file systems that are mounted and have them, but neither
//! reserves pages nor places them near a processor.
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
mod create;
mod incarnation;
mod inspect;
mod join_table;
mod lease;
mod list;
mod liveness;
mod mapping;
mod page_size;
mod presence;
mod process;
mod procfs;
mod region;
mod workspace;

pub use address::{AddressError, WorkspaceAddress};
pub use base::{BASE_VARIABLE, BaseDir, BaseError, BaseSource};
pub use create::{CreateError, NewRegion, NewRegionOptions};
pub use inspect::{ProcessInfo, describe};
pub use join_table::{Joined, MapError};
pub use list::{ListEntry, Listing, list};
pub use page_size::{PageSize, PageSizeError};
pub use presence::{Joiner, Joiners, PID_LIMIT, PidNamespace, joiners};
pub use process::{LockOptions, Patience, ProcessParty};
pub use procfs::{Mapper, mappers};
pub use region::{Access, NotARegion, Region, RegionError, RegionId, RegionInfo, info_of, unlink};
pub use workspace::{
    AttachError, CreateWorkspaceError, Records, SharedWorkspace, WorkspaceOptions,
};
