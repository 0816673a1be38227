//! Who is timed: our allocator, and the yardstick.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Mutex;

use wksp_core::{Align, Gaddr, GaddrRange, Geometry, Name, Tag};
use wksp_shmem::{Records, SharedWorkspace, WorkspaceOptions};

use crate::trace::Mix;

/// An allocator of addresses.
pub(crate) trait Subject {
    /// Allocates, and returns the address.
    fn alloc(&mut self, bytes: u64) -> u64;
    /// Frees what was allocated at an address.
    fn free(&mut self, at: u64);
    /// The tag of what was allocated at an address.
    fn tag(&mut self, at: u64) -> u64;
}

/// The tag of all allocations.
const TAG: Tag = Tag::new(1).expect("1 is a tag");

/// The bytes of data and the number of records for so many live allocations.
pub(crate) fn geometry(mix: Mix, live: usize) -> Geometry {
    let live = live as u64;
    Geometry::new(3 * live + 16, mix.data_bytes_each() * live).unwrap()
}

/// A workspace that takes and gives back its lock for every operation.
#[derive(Debug)]
pub(crate) struct Ours {
    pub(crate) workspace: SharedWorkspace,
    align: Align,
    rounding: Rounding,
}

/// Whether sizes may be rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// `alloc` is called.
    None,
    /// `alloc_at_least` is called.
    Up,
}

impl Ours {
    /// Makes an empty workspace for so many live allocations.
    pub(crate) fn new(mix: Mix, live: usize, rounding: Rounding) -> Self {
        let geometry = geometry(mix, live);
        let bytes = usize::try_from(geometry.footprint()).unwrap();
        let options =
            WorkspaceOptions::default().with_records(Records::Count(geometry.part_max().into()));
        let name = Name::new("bench").unwrap();
        let bytes = NonZeroUsize::new(bytes).unwrap();
        let workspace = SharedWorkspace::private(&name, bytes, &options).unwrap();
        Self { workspace, align: Align::new(mix.align()).unwrap(), rounding }
    }
}

impl Subject for Ours {
    fn alloc(&mut self, bytes: u64) -> u64 {
        let mut guard = self.workspace.lock().unwrap();
        if self.rounding == Rounding::Up {
            guard.alloc_at_least(self.align, bytes, TAG).unwrap().lo().get()
        } else {
            guard.alloc(self.align, bytes, TAG).unwrap().get()
        }
    }

    fn free(&mut self, at: u64) {
        self.workspace.lock().unwrap().free(Gaddr::new(at).unwrap()).unwrap();
    }

    fn tag(&mut self, at: u64) -> u64 {
        self.workspace.workspace().tag(Gaddr::new(at).unwrap()).unwrap().unwrap().get()
    }
}

/// Yardstick B: the ordered maps of the standard library behind its mutex, best fit.
#[derive(Debug)]
pub(crate) struct Maps {
    state: Mutex<State>,
    align: u64,
}

#[derive(Debug)]
struct State {
    /// All partitions by address: their bytes and tag, 0 if free.
    partitions: BTreeMap<u64, (u64, u64)>,
    /// The free ones by size and address.
    free: BTreeSet<(u64, u64)>,
}

impl Maps {
    /// Makes one with room for so many live allocations.
    pub(crate) fn new(mix: Mix, live: usize) -> Self {
        Self::over(geometry(mix, live).data(), mix.align())
    }

    /// Makes one of these addresses, all of whose allocations have one alignment.
    pub(crate) fn over(data: GaddrRange, align: u64) -> Self {
        let lo = data.lo().get().next_multiple_of(align);
        let bytes = data.hi().get() - lo;
        let state = State {
            partitions: BTreeMap::from([(lo, (bytes, 0))]),
            free: BTreeSet::from([(bytes, lo)]),
        };
        Self { state: Mutex::new(state), align }
    }
}

impl Subject for Maps {
    fn alloc(&mut self, bytes: u64) -> u64 {
        let state = &mut *self.state.lock().unwrap();
        // Rounded up, no partition begins where an allocation cannot.
        let bytes = bytes.next_multiple_of(self.align);
        let &(found, at) = state.free.range((bytes, 0)..).next().unwrap();
        state.free.remove(&(found, at));
        if found > bytes {
            state.partitions.insert(at + bytes, (found - bytes, 0));
            state.free.insert((found - bytes, at + bytes));
        }
        state.partitions.insert(at, (bytes, TAG.get()));
        at
    }

    fn free(&mut self, at: u64) {
        let state = &mut *self.state.lock().unwrap();
        let (mut lo, (mut bytes, _)) = (at, state.partitions[&at]);
        if let Some((&above, &(more, 0))) = state.partitions.range((Excluded(at), Unbounded)).next()
        {
            state.partitions.remove(&above);
            state.free.remove(&(more, above));
            bytes += more;
        }
        if let Some((&below, &(more, 0))) = state.partitions.range(..at).next_back() {
            state.partitions.remove(&at);
            state.free.remove(&(more, below));
            (lo, bytes) = (below, bytes + more);
        }
        state.partitions.insert(lo, (bytes, 0));
        state.free.insert((bytes, lo));
    }

    fn tag(&mut self, at: u64) -> u64 {
        let state = self.state.lock().unwrap();
        let (&lo, &(bytes, tag)) = state.partitions.range(..=at).next_back().unwrap();
        assert!(at < lo + bytes);
        tag
    }
}
