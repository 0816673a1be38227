//! The records of a shared-memory workspace and the two treaps that index its partitions.
//!
//! A workspace is cut into partitions, each described by a 64-byte [`PartitionRecord`].
//! The [`UsedTreap`] orders the allocated ones by address, the [`FreeTreap`] the others by size.
//!
//! ```
//! use wksp_treap::{FreeTreap, GaddrRange, LinkCell, PartitionIndex, PartitionRecord, Table};
//!
//! let records: [PartitionRecord; 3] = Default::default();
//! let (table, root) = (Table::new(&records), LinkCell::default());
//! let by_size = FreeTreap::new(table, &root);
//! for (index, bounds) in table.indices().zip([(1000, 1064), (2000, 2500), (3000, 3064)]) {
//!     let record = table.get(index)?;
//!     record.set_range(GaddrRange::new(bounds.0, bounds.1).expect("a range of some bytes"));
//!     by_size.insert(index, None)?;
//! }
//! assert_eq!(by_size.smallest_at_least(65, None)?, PartitionIndex::new(1));
//! assert_eq!(by_size.smallest_at_least(501, None)?, None);
//! # Ok::<(), wksp_treap::Damage>(())
//! ```
//!
//! # What it does not do
//!
//! It never allocates, locks, logs, makes a system call or panics, and has no `unsafe`.
//! All that it reads may be overwritten by other processes at any moment, so every index is checked
//! and every walk is bounded by the size of the table.
//! It does not know the partition list, the idle stack or the lock: those are `wksp-core`'s.
//!
//! # Features
//!
//! `crash-points` reports every store to a hook of the thread (`install`), for tests of what a
//! killed process leaves behind. It needs std and is off unless a test asks for it.

#![no_std]

mod addr;
mod cell;
mod crash_points;
mod fault;
mod free;
mod index;
mod record;
mod seek;
mod table;
mod tree;
mod used;

pub use addr::{Gaddr, GaddrRange, Tag};
pub use cell::{Cell32, Cell64, LinkCell};
#[cfg(feature = "crash-points")]
pub use crash_points::{Hook, install};
pub use fault::TreapFault;
pub use free::FreeTreap;
pub use index::{Link, NIL, PartitionIndex};
pub use record::{HEAP_PRIO_LIMIT, PartitionRecord};
pub use table::{Damage, Table};
pub use used::{Found, UsedTreap};
