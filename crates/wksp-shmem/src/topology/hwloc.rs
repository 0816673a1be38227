//! Topologies that hwloc finds out, or makes up from a description.
//!
//! What is asked of it once is kept as plain data; nothing of hwloc's own stays.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use hwlocality::Topology as Loaded;
use hwlocality::object::TopologyObject;
use hwlocality::object::attributes::ObjectAttributes;
use hwlocality::object::types::ObjectType;
use hwlocality::topology::builder::{BuildFlags, TopologyBuilder};

use super::{CpuIndex, NodeIndex, NodeInfo, PageCount, Topology};
use crate::node_files::NodeFiles;

/// The name that hwloc gives to the distances that the kernel reports.
const LATENCY: &str = "NUMALatency";
/// The most characters of a description that an error repeats.
const DESCRIPTION_MAX: usize = 64;

/// This machine, once it has been looked at.
static THIS_MACHINE: OnceLock<Result<HwlocTopology, TopologyError>> = OnceLock::new();

/// A machine as hwloc sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HwlocTopology {
    nodes: Vec<NodeInfo>,
    distances: BTreeMap<(NodeIndex, NodeIndex), u64>,
    is_this_machine: bool,
}

/// Why there is no topology.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// The text is none that hwloc can make a machine of.
    #[error(
        "{description:?} describes no machine: write one like \"numa:2 core:4 pu:2\", as of \
         \"Synthetic topologies\" in the manual of hwloc"
    )]
    Synthetic {
        /// The text, cut off after 64 characters.
        description: String,
    },
    /// hwloc failed.
    #[error("hwloc cannot find out what this machine is made of: {reason}")]
    Load {
        /// What it said.
        reason: String,
    },
}

impl HwlocTopology {
    /// This machine, as far as the calling process may use it.
    ///
    /// The first call in a process takes some milliseconds, and changes no binding of any thread;
    /// later ones return the same, whatever has changed since.
    /// As of hwloc, the environment variables HWLOC_XMLFILE and HWLOC_SYNTHETIC put another machine
    /// in its place, which then is not [this one](Topology::is_this_machine).
    ///
    /// # Errors
    ///
    /// [`TopologyError::Load`], the same each time.
    pub fn this_machine() -> Result<&'static Self, TopologyError> {
        let loaded = THIS_MACHINE.get_or_init(|| Self::load(TopologyBuilder::new()));
        loaded.as_ref().map_err(Clone::clone)
    }

    /// Whether this process has looked at this machine, which no one needs who only attaches
    /// workspaces, allocates and frees.
    #[must_use]
    pub fn is_loaded() -> bool {
        THIS_MACHINE.get().is_some()
    }

    /// The machine that `description` describes, in the language of hwloc's synthetic topologies.
    ///
    /// # Errors
    ///
    /// [`TopologyError`].
    ///
    /// # Examples
    ///
    /// ```
    /// use wksp_shmem::{CpuIndex, HwlocTopology, NodeIndex, Topology};
    ///
    /// let machine = HwlocTopology::synthetic("numa:2 core:2 pu:2")?;
    /// assert_eq!(machine.node_of(CpuIndex::new(5)), Some(NodeIndex::new(1)));
    /// assert!(!machine.is_this_machine());
    /// # Ok::<(), wksp_shmem::TopologyError>(())
    /// ```
    pub fn synthetic(description: &str) -> Result<Self, TopologyError> {
        let builder = TopologyBuilder::new().from_synthetic(description);
        let unusable = || TopologyError::Synthetic {
            description: description.chars().take(DESCRIPTION_MAX).collect(),
        };
        Self::load(builder.map_err(|_| unusable())?).map_err(|_| unusable())
    }

    fn load(builder: TopologyBuilder) -> Result<Self, TopologyError> {
        let failed =
            |error: &dyn std::error::Error| TopologyError::Load { reason: error.to_string() };
        let builder =
            builder.with_flags(BuildFlags::DONT_CHANGE_BINDING).map_err(|error| failed(&error))?;
        let loaded = builder.build().map_err(|error| failed(&error))?;
        let is_this_machine = loaded.is_this_system();
        let homes = if is_this_machine { homes_by_kernel(&loaded) } else { None };
        let homes = homes.unwrap_or_else(|| homes_by_nearness(&loaded));
        Ok(Self { nodes: nodes(&loaded, &homes), distances: distances(&loaded), is_this_machine })
    }
}

impl Topology for HwlocTopology {
    fn nodes(&self) -> &[NodeInfo] {
        &self.nodes
    }

    fn distance(&self, from: NodeIndex, to: NodeIndex) -> Option<u64> {
        self.distances.get(&(from, to)).copied()
    }

    fn is_this_machine(&self) -> bool {
        self.is_this_machine
    }
}

/// Which node each processor belongs to, as the kernel has it, `None` if it does not say.
///
/// hwloc may give a node without processors those of its neighbours, so it cannot be asked.
fn homes_by_kernel(loaded: &Loaded) -> Option<BTreeMap<CpuIndex, NodeIndex>> {
    let files = NodeFiles::of_this_machine();
    let mut homes = BTreeMap::new();
    for node in numa_nodes(loaded).filter_map(node_index) {
        let cpus = files.cpus(node).ok()?;
        homes.extend(cpus.into_iter().filter(|cpu| may_use(loaded, *cpu)).map(|cpu| (cpu, node)));
    }
    Some(homes)
}

fn may_use(loaded: &Loaded, cpu: CpuIndex) -> bool {
    usize::try_from(cpu.get()).is_ok_and(|cpu| loaded.cpuset().is_set(cpu))
}

/// Which node each processor belongs to: of those it is near to, the one with the fewest.
fn homes_by_nearness(loaded: &Loaded) -> BTreeMap<CpuIndex, NodeIndex> {
    let mut nodes: Vec<(usize, NodeIndex, Vec<CpuIndex>)> = numa_nodes(loaded)
        .filter_map(|object| {
            let cpus =
                object.cpuset().into_iter().flat_map(|set| set.iter_set().collect::<Vec<_>>());
            let cpus: Vec<_> =
                cpus.filter_map(|cpu| index(usize::from(cpu)).map(CpuIndex::new)).collect();
            Some((cpus.len(), node_index(object)?, cpus))
        })
        .collect();
    nodes.sort_unstable();
    let mut homes = BTreeMap::new();
    for (_, node, cpus) in nodes {
        for cpu in cpus {
            homes.entry(cpu).or_insert(node);
        }
    }
    homes
}

fn nodes(loaded: &Loaded, homes: &BTreeMap<CpuIndex, NodeIndex>) -> Vec<NodeInfo> {
    let mut nodes: Vec<NodeInfo> = numa_nodes(loaded)
        .filter_map(|object| {
            let index = node_index(object)?;
            let at_home = homes.iter().filter(|(_, home)| **home == index);
            let Some(ObjectAttributes::NUMANode(attributes)) = object.attributes() else {
                return None;
            };
            let pages = attributes.page_types().iter();
            Some(NodeInfo {
                index,
                cpus: at_home.map(|(cpu, _)| *cpu).collect(),
                memory_bytes: attributes.local_memory().map_or(0, u64::from),
                pages: pages
                    .map(|pages| PageCount { page_bytes: pages.size().get(), count: pages.count() })
                    .collect(),
            })
        })
        .collect();
    nodes.sort_unstable_by_key(|node| node.index);
    nodes
}

fn distances(loaded: &Loaded) -> BTreeMap<(NodeIndex, NodeIndex), u64> {
    let matrices = loaded.distances_with_name(LATENCY).unwrap_or_default();
    let mut distances = BTreeMap::new();
    for matrix in &matrices {
        for ((from, to), distance) in matrix.object_distances() {
            let pair = from.and_then(node_index).zip(to.and_then(node_index));
            distances.extend(pair.map(|pair| (pair, distance)));
        }
    }
    distances
}

fn numa_nodes(loaded: &Loaded) -> impl Iterator<Item = &TopologyObject> {
    loaded.objects_with_type(ObjectType::NUMANode)
}

fn node_index(object: &TopologyObject) -> Option<NodeIndex> {
    index(object.os_index()?).map(NodeIndex::new)
}

fn index(index: usize) -> Option<u32> {
    u32::try_from(index).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(numbers: impl IntoIterator<Item = u32>) -> Vec<CpuIndex> {
        numbers.into_iter().map(CpuIndex::new).collect()
    }

    #[test]
    fn a_description_becomes_a_machine() {
        let machine = HwlocTopology::synthetic("numa:4(memory=8GiB) core:2 pu:2").unwrap();
        let numbers: Vec<u32> = machine.nodes().iter().map(|node| node.index.get()).collect();
        assert_eq!(numbers, [0, 1, 2, 3]);
        assert_eq!(machine.nodes()[2].cpus, cpus(8..12));
        assert_eq!(machine.nodes()[2].memory_bytes, 8 << 30);
        assert_eq!((machine.cpu_count(), machine.is_this_machine()), (16, false));
        for cpu in 0..16 {
            let node = NodeIndex::new(cpu / 4);
            assert_eq!(machine.node_of(CpuIndex::new(cpu)), Some(node));
            assert!(machine.node(node).is_some());
        }
        assert_eq!(machine.node_of(CpuIndex::new(16)), None);
        assert_eq!(machine.node(NodeIndex::new(4)), None);
        assert_eq!(machine.distance(NodeIndex::new(0), NodeIndex::new(1)), None);
    }

    #[test]
    fn numbers_are_those_of_the_kernel() {
        let machine =
            HwlocTopology::synthetic("numa:2(indexes=1,0) pu:2(indexes=0,2,1,3)").unwrap();
        assert_eq!(machine.node_of(CpuIndex::new(0)), Some(NodeIndex::new(1)));
        assert_eq!(machine.nodes()[0].cpus, cpus([1, 3]));
        assert_eq!(machine.nodes()[1].cpus, cpus([0, 2]));
    }

    #[test]
    fn a_processor_near_two_nodes_belongs_to_the_smaller_one() {
        // One node of memory for all, and one for each half besides.
        let machine = HwlocTopology::synthetic("[numa] pack:2 [numa] pu:2").unwrap();
        let counts: Vec<usize> = machine.nodes().iter().map(|node| node.cpus.len()).collect();
        assert_eq!(machine.cpu_count(), 4);
        assert_eq!(counts.iter().filter(|count| **count == 2).count(), 2, "{counts:?}");
        assert_eq!(counts.iter().filter(|count| **count == 0).count(), 1, "{counts:?}");
    }

    #[test]
    fn what_describes_no_machine_is_refused() {
        for text in ["", "no machine", "numa:0 pu:1", "pu:1\0", &"x".repeat(1000)] {
            let error = HwlocTopology::synthetic(text).unwrap_err();
            assert!(matches!(error, TopologyError::Synthetic { .. }), "{text:?}: {error}");
            assert!(error.to_string().len() < 300);
        }
    }

    #[test]
    fn this_machine_is_as_the_kernel_says() {
        let machine = HwlocTopology::this_machine().unwrap();
        assert!(HwlocTopology::is_loaded() && machine.is_this_machine());
        assert!(machine.cpu_count() > 0);
        let files = NodeFiles::of_this_machine();
        for node in machine.nodes() {
            let theirs = files.cpus(node.index).unwrap();
            assert!(node.cpus.iter().all(|cpu| theirs.contains(cpu)));
            assert!(node.cpus.iter().all(|cpu| machine.node_of(*cpu) == Some(node.index)));
            let total = files.memory(node.index).unwrap().total_bytes;
            // hwloc leaves out what is reserved for pages of other sizes.
            assert!(node.memory_bytes <= total && (node.memory_bytes > 0) == (total > 0));
        }
        assert!(std::ptr::eq(machine, HwlocTopology::this_machine().unwrap()));
    }
}
