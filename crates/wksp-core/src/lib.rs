//! Allocate, free, tag and find memory in a workspace that processes share, and survive their
//! death.
//!
//! A workspace is a run of memory with a header, a table of partition records and data.
//! [`Workspace::format`] makes one of [`Memory`], [`Workspace::join`] joins one, and the
//! [`Guard`] that [`Workspace::lock`] returns is the way to everything that reads or changes it.
//!
//! ```
//! use wksp_core::{Align, Block, Format, Geometry, Memory, Name, Solo, Tag, Workspace};
//!
//! let mut blocks = [const { Block::new() }; 64];
//! let memory = Memory::of_blocks(&mut blocks);
//! let format = Format {
//!     name: Name::new("scratch")?,
//!     seed: 0,
//!     geometry: Geometry::for_footprint(memory.bytes() as u64, 256)?,
//! };
//! // `Solo` is the party of a single process; wksp-shmem has the one for many.
//! let workspace = Workspace::format(memory, Solo, format)?;
//!
//! let tag = Tag::new(42).expect("not 0");
//! let gaddr = workspace.lock()?.alloc(Align::CACHE_LINE, 1000, tag)?;
//! workspace.copy_in(gaddr, b"seen by everyone")?;
//! assert_eq!(workspace.lock()?.tag(gaddr), Some(tag));
//! workspace.lock()?.free(gaddr)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it does not do
//!
//! It never allocates, logs, prints, panics or makes a system call.
//! It maps no memory and knows no processes: memory is handed in, and whether the holder of a lock
//! lives is for the [`Party`] to say.
//! It trusts nothing it reads: all that lies in the memory may be changed by others at any moment.
//! It does not protect the data of one user from another who has the same memory mapped.
//!
//! # Features
//!
//! `crash-points` is for tests, see wksp-treap.

#![no_std]

mod alloc;
mod fill;
mod format;
mod free;
mod geometry;
mod guard;
mod header;
mod hints;
mod index;
mod listed;
mod lock;
mod memory;
mod name;
mod observe;
mod partition;
mod query;
mod rebuild;
mod restore;
mod solo;
mod sorted;
mod tiling;
mod usage;
mod verify;
mod workspace;

pub use alloc::{Align, AllocError, BadAlign};
pub use format::{Format, FormatError};
pub use free::{FreeError, Freed};
pub use geometry::{
    Geometry, GeometryError, HEADER_BYTES, RECORD_BYTES, TYPICAL_ALLOCATION_BYTES, WORKSPACE_ALIGN,
};
pub use guard::{Guard, LockError, Repair, Salvage};
pub use header::MAGIC;
pub use listed::{Listed, ListedRecords};
pub use lock::{Holder, OwnerId, Party, Sighting, Stranger, Verdict};
pub use memory::{Block, Memory, Misaligned, OutsideData, ReadOnlyMemory};
pub use name::{NAME_BYTES_MAX, Name, NameError};
pub use observe::{Doubt, Observed, Observer, View};
pub use partition::{Allocation, Partition, Partitions};
pub use query::{EditError, NotAllocated};
pub use rebuild::RebuildError;
pub use restore::{Misfit, ReplaceError};
pub use solo::Solo;
pub use usage::{Amount, Usage};
pub use verify::{Census, Counted, Finding, Report};
pub use wksp_treap::{Damage, Gaddr, GaddrRange, PartitionIndex, Tag, TreapFault};
#[cfg(feature = "crash-points")]
pub use wksp_treap::{Hook, install};
pub use workspace::{JoinError, Workspace};
