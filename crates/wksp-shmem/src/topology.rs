//! What a machine is made of, as far as memory cares: nodes, the processors of each, and how far
//! they are from each other.

mod hwloc;

use std::fmt;

pub use hwloc::{HwlocTopology, TopologyError};

/// A node of memory, by the number that the kernel gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(u32);

/// A logical processor, by the number that the kernel gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuIndex(u32);

impl NodeIndex {
    /// The node of that number, whether there is one or not.
    #[must_use]
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl CpuIndex {
    /// The processor of that number, whether there is one or not.
    #[must_use]
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for NodeIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for CpuIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A node of memory, with all that is near it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Its number.
    pub index: NodeIndex,
    /// The processors that belong to it, in ascending order; a node may have none.
    ///
    /// Each processor belongs to one node.
    pub cpus: Vec<CpuIndex>,
    /// Its memory in bytes; a node may have none.
    pub memory_bytes: u64,
    /// Its pages of each size, in ascending order of size, as of when the topology was loaded.
    pub pages: Vec<PageCount>,
}

/// How many pages of a size there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageCount {
    /// The size in bytes: not only those that regions can have.
    pub page_bytes: u64,
    /// The number of pages.
    pub count: u64,
}

/// A machine, this one or another.
///
/// All numbers are the kernel's.
pub trait Topology: fmt::Debug {
    /// All nodes that the calling process may use, in ascending order of their numbers.
    #[doc(alias = "fd_shmem_numa_cnt")]
    fn nodes(&self) -> &[NodeInfo];

    /// How far the memory of the node `to` is from the processors of the node `from`, 10 being near.
    ///
    /// `None` if that is not known.
    fn distance(&self, from: NodeIndex, to: NodeIndex) -> Option<u64>;

    /// Whether this is the machine that the calling process runs on, so that memory can be bound.
    fn is_this_machine(&self) -> bool;

    /// The node of that number.
    fn node(&self, index: NodeIndex) -> Option<&NodeInfo> {
        self.nodes().iter().find(|node| node.index == index)
    }

    /// The node that the processor belongs to.
    #[doc(alias = "fd_shmem_numa_idx")]
    fn node_of(&self, cpu: CpuIndex) -> Option<NodeIndex> {
        let mut nodes = self.nodes().iter();
        nodes.find(|node| node.cpus.contains(&cpu)).map(|node| node.index)
    }

    /// The number of processors that the calling process may use.
    #[doc(alias = "fd_shmem_cpu_cnt")]
    fn cpu_count(&self) -> usize {
        self.nodes().iter().map(|node| node.cpus.len()).sum()
    }
}
