//! Which pages of a region are to be near which processor or on which node.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use crate::cpu_sequence::CpuSequence;
use crate::page_size::PageSize;
use crate::topology::{CpuIndex, NodeIndex, Topology};

/// What pages are to be near.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Near {
    /// A processor: the pages go to its node.
    Cpu(CpuIndex),
    /// A node, which need not have processors.
    Node(NodeIndex),
}

/// Pages in a row that are to be near the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubRegion {
    /// The number of pages.
    pub page_count: u64,
    /// What they are to be near.
    pub near: Near,
}

/// The sub-regions that a region consists of, in the order of their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Placement {
    /// The sub-regions, each of which has pages.
    pub sub_regions: Vec<SubRegion>,
}

/// What happens where pages cannot be bound to the node that they are to be on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Binding {
    /// It is an error, and there is no region: every page is where it is to be, or none is.
    #[default]
    Strict,
    /// They go elsewhere, and the report says how many, where, and why.
    BestEffort,
    /// Nothing is bound nor looked at: the kernel decides, and the report says so.
    Off,
}

/// Which pages go to which node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    ranges: Vec<PlannedRange>,
}

/// Pages in a row that go to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedRange {
    /// The pages, counted from the start of the region.
    pub pages: Range<u64>,
    /// What they are to be near.
    pub near: Near,
    /// The node that they go to.
    pub node: NodeIndex,
}

/// A node that has too few pages for a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shortfall {
    /// The node.
    pub node: NodeIndex,
    /// The pages that the plan has on it.
    pub wanted: u64,
    /// The pages that it has for the plan.
    pub available: u64,
}

/// Why a placement cannot become a plan for a machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// There is no sub-region, or one without pages.
    #[error("sub-region {sub_region} has no pages: give it some, or leave it out")]
    Empty {
        /// Its number, the first one being 0.
        sub_region: usize,
    },
    /// There are more pages than can be counted.
    #[error("the sub-regions have more than 2^64 pages together")]
    TooManyPages,
    /// The machine has no such processor, or the caller may not use it.
    #[error("there is no CPU {cpu}, or this process may not use it: list the nodes and their CPUs")]
    NoSuchCpu {
        /// The processor.
        cpu: CpuIndex,
    },
    /// The machine has no such node, or the caller may not use it.
    #[error("there is no node {node}, or this process may not use it: list the nodes")]
    NoSuchNode {
        /// The node.
        node: NodeIndex,
    },
    /// The node has processors only.
    #[error(
        "node {node} has no memory: {}",
        nearest.map_or_else(
            || "name another one".to_owned(),
            |nearest| format!("name another one, the nearest that has memory being node {nearest}")
        )
    )]
    NoMemory {
        /// The node.
        node: NodeIndex,
        /// The nearest node that has memory, `None` if the distances are not known.
        nearest: Option<NodeIndex>,
    },
}

impl Placement {
    /// Pages that are all near the same thing.
    #[must_use]
    pub fn whole(page_count: u64, near: Near) -> Self {
        Self { sub_regions: vec![SubRegion { page_count, near }] }
    }

    /// Pages that are dealt to the processors of a sequence as evenly as possible, in its order: the
    /// first ones take one more, and those that get none are left out.
    #[must_use]
    #[doc(alias = "fd_shmem_create_multi")]
    pub fn dealt(page_count: u64, cpus: &CpuSequence) -> Self {
        // There is at least one entry.
        let entries = cpus.cpus().len() as u64;
        let each = page_count.checked_div(entries).unwrap_or(0);
        let with_one_more = page_count.checked_rem(entries).unwrap_or(0);
        let sub_regions = (0..).zip(cpus.cpus()).map(|(entry, cpu)| SubRegion {
            page_count: each.saturating_add(u64::from(entry < with_one_more)),
            near: Near::Cpu(*cpu),
        });
        Self { sub_regions: sub_regions.filter(|sub_region| sub_region.page_count > 0).collect() }
    }

    /// The number of pages of all sub-regions together, `None` if it is too large to count.
    #[must_use]
    pub fn page_count(&self) -> Option<u64> {
        let mut counts = self.sub_regions.iter().map(|sub_region| sub_region.page_count);
        counts.try_fold(0_u64, u64::checked_add)
    }

    /// Finds out which node each page goes to on a machine.
    ///
    /// Asks only the topology, and reserves nothing.
    ///
    /// # Errors
    ///
    /// [`PlanError`] about the first sub-region that cannot be placed.
    pub fn plan(&self, machine: &dyn Topology) -> Result<Plan, PlanError> {
        if self.sub_regions.is_empty() {
            return Err(PlanError::Empty { sub_region: 0 });
        }
        let mut start = 0_u64;
        let mut ranges = Vec::new();
        for (number, &SubRegion { page_count, near }) in self.sub_regions.iter().enumerate() {
            if page_count == 0 {
                return Err(PlanError::Empty { sub_region: number });
            }
            let end = start.checked_add(page_count).ok_or(PlanError::TooManyPages)?;
            ranges.push(PlannedRange { pages: start..end, near, node: near.node(machine)? });
            start = end;
        }
        Ok(Plan { ranges })
    }
}

impl Near {
    fn node(self, machine: &dyn Topology) -> Result<NodeIndex, PlanError> {
        let index = match self {
            Self::Cpu(cpu) => machine.node_of(cpu).ok_or(PlanError::NoSuchCpu { cpu })?,
            Self::Node(node) => node,
        };
        let node = machine.node(index).ok_or(PlanError::NoSuchNode { node: index })?;
        if node.memory_bytes == 0 {
            let with_memory = machine.nodes().iter().filter(|node| node.memory_bytes > 0);
            let distances = with_memory
                .filter_map(|node| Some((machine.distance(index, node.index)?, node.index)));
            let nearest = distances.min().map(|(_, node)| node);
            return Err(PlanError::NoMemory { node: index, nearest });
        }
        Ok(index)
    }
}

impl Plan {
    /// The pages, in the order of the sub-regions.
    #[must_use]
    pub fn ranges(&self) -> &[PlannedRange] {
        &self.ranges
    }

    /// The number of pages.
    #[must_use]
    pub fn page_count(&self) -> u64 {
        self.ranges.last().map_or(0, |last| last.pages.end)
    }

    /// How many pages each node has to have for the plan.
    #[must_use]
    pub fn demand(&self) -> BTreeMap<NodeIndex, u64> {
        let mut demand = BTreeMap::new();
        for PlannedRange { pages, node, .. } in &self.ranges {
            let count: &mut u64 = demand.entry(*node).or_default();
            *count = count.saturating_add(pages.end.saturating_sub(pages.start));
        }
        demand
    }

    /// The nodes that could not hold the plan even if all their pages were free.
    ///
    /// Where a topology does not count the pages of a size, as those that are made up do not, a node
    /// is taken to have as many as its memory has room for.
    #[must_use]
    pub fn shortfalls_of(&self, machine: &dyn Topology, page_size: PageSize) -> Vec<Shortfall> {
        self.shortfalls(|index| {
            let Some(node) = machine.node(index) else { return 0 };
            let counted = node.pages.iter().find(|pages| pages.page_bytes == page_size.bytes());
            let room = node.memory_bytes.checked_div(page_size.bytes()).unwrap_or(0);
            counted.map_or(room, |pages| pages.count)
        })
    }

    /// The nodes that have fewer pages than the plan has on them.
    pub(crate) fn shortfalls(&self, available: impl Fn(NodeIndex) -> u64) -> Vec<Shortfall> {
        let demand = self.demand().into_iter();
        let all =
            demand.map(|(node, wanted)| Shortfall { node, wanted, available: available(node) });
        all.filter(|node| node.available < node.wanted).collect()
    }
}

impl fmt::Display for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(cpu) => write!(f, "CPU {cpu}"),
            Self::Node(node) => write!(f, "node {node}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{HwlocTopology, NodeInfo, PageCount};

    fn counts(placement: &Placement) -> Vec<u64> {
        placement.sub_regions.iter().map(|sub_region| sub_region.page_count).collect()
    }

    fn dealt(page_count: u64, cpus: &str) -> Placement {
        Placement::dealt(page_count, &cpus.parse().unwrap())
    }

    fn on(node: u32, page_count: u64) -> SubRegion {
        SubRegion { page_count, near: Near::Node(NodeIndex::new(node)) }
    }

    #[test]
    fn pages_are_dealt_evenly_and_the_first_take_one_more() {
        assert_eq!(counts(&dealt(10, "0-2")), [4, 3, 3]);
        assert_eq!(counts(&dealt(9, "0-2")), [3, 3, 3]);
        assert_eq!(counts(&dealt(2, "5,5,5")), [1, 1]);
        assert_eq!(counts(&dealt(0, "0")), [0; 0]);
        assert_eq!(counts(&dealt(u64::MAX, "0,1")), [1 << 63, (1 << 63) - 1]);
        let placement = dealt(3, "4,2");
        assert_eq!(placement.sub_regions[0].near, Near::Cpu(CpuIndex::new(4)));
        for page_count in 1..100 {
            for entries in 1..40_u32 {
                let cpus = (0..entries).map(|cpu| cpu.to_string()).collect::<Vec<_>>().join(",");
                let placement = dealt(page_count, &cpus);
                let all = counts(&placement);
                assert_eq!(placement.page_count(), Some(page_count));
                assert!(all.is_sorted_by(|a, b| a >= b) && all[0] - all[all.len() - 1] <= 1);
            }
        }
    }

    #[test]
    fn a_plan_says_which_node_each_page_goes_to() {
        let machine = HwlocTopology::synthetic("numa:4 core:2 pu:2").unwrap();
        let mut placement = dealt(7, "0,4,15");
        placement.sub_regions.push(on(2, 5));
        let plan = placement.plan(&machine).unwrap();
        let ranges = plan.ranges().iter().map(|range| (range.pages.clone(), range.node.get()));
        assert_eq!(ranges.collect::<Vec<_>>(), [(0..3, 0), (3..5, 1), (5..7, 3), (7..12, 2)]);
        assert_eq!(plan.page_count(), 12);
        let demand = [(0, 3), (1, 2), (2, 5), (3, 2)].map(|(node, n)| (NodeIndex::new(node), n));
        assert_eq!(plan.demand(), BTreeMap::from(demand));
        let again = Placement { sub_regions: vec![on(1, 2), on(0, 1), on(1, 4)] };
        let plan = again.plan(&machine).unwrap();
        let demand = [(0, 1), (1, 6)].map(|(node, n)| (NodeIndex::new(node), n));
        assert_eq!(plan.demand(), BTreeMap::from(demand));
    }

    #[test]
    fn what_the_machine_does_not_have_is_no_plan() {
        let machine = HwlocTopology::synthetic("numa:2 pu:2").unwrap();
        let plan = |sub_regions: &[SubRegion]| {
            Placement { sub_regions: sub_regions.to_vec() }.plan(&machine).unwrap_err()
        };
        assert_eq!(plan(&[]), PlanError::Empty { sub_region: 0 });
        assert_eq!(plan(&[on(0, 1), on(0, 0)]), PlanError::Empty { sub_region: 1 });
        assert_eq!(plan(&[on(0, u64::MAX), on(0, 1)]), PlanError::TooManyPages);
        let node = NodeIndex::new(2);
        assert_eq!(plan(&[on(2, 1)]), PlanError::NoSuchNode { node });
        let cpu = CpuIndex::new(4);
        let sub_region = SubRegion { page_count: 1, near: Near::Cpu(cpu) };
        assert_eq!(plan(&[sub_region]), PlanError::NoSuchCpu { cpu });
    }

    /// Three nodes in a row, of which the first has no memory and the last no processors.
    #[derive(Debug)]
    struct Odd(Vec<NodeInfo>);

    impl Odd {
        fn new() -> Self {
            let node = |index, cpus: &[u32], memory_bytes| NodeInfo {
                index: NodeIndex::new(index),
                cpus: cpus.iter().map(|cpu| CpuIndex::new(*cpu)).collect(),
                memory_bytes,
                pages: vec![PageCount { page_bytes: 2 << 20, count: 3 }],
            };
            Self(vec![node(0, &[0], 0), node(4, &[1, 2], 16 << 20), node(5, &[], 16 << 20)])
        }
    }

    impl Topology for Odd {
        fn nodes(&self) -> &[NodeInfo] {
            &self.0
        }

        fn distance(&self, from: NodeIndex, to: NodeIndex) -> Option<u64> {
            Some(u64::from(from.get().abs_diff(to.get())))
        }

        fn is_this_machine(&self) -> bool {
            false
        }
    }

    #[test]
    fn nodes_without_memory_or_without_processors_are_nodes() {
        let machine = Odd::new();
        let only = |sub_region| Placement { sub_regions: vec![sub_region] };
        let plan = only(on(5, 2)).plan(&machine).unwrap();
        assert_eq!(plan.ranges()[0].node, NodeIndex::new(5));
        let (node, nearest) = (NodeIndex::new(0), Some(NodeIndex::new(4)));
        let expected = PlanError::NoMemory { node, nearest };
        assert_eq!(only(on(0, 1)).plan(&machine), Err(expected.clone()));
        let near = SubRegion { page_count: 1, near: Near::Cpu(CpuIndex::new(0)) };
        assert_eq!(only(near).plan(&machine), Err(expected.clone()));
        assert!(expected.to_string().contains("being node 4"), "{expected}");
    }

    #[test]
    fn a_plan_that_can_never_fit_is_known_beforehand() {
        let machine = Odd::new();
        let plan = Placement { sub_regions: vec![on(4, 4), on(5, 3)] }.plan(&machine).unwrap();
        let short = Shortfall { node: NodeIndex::new(4), wanted: 4, available: 3 };
        assert_eq!(plan.shortfalls_of(&machine, PageSize::Huge), [short]);
        // Nobody counts these, so what the memory has room for is what there is.
        assert_eq!(plan.shortfalls_of(&machine, PageSize::Normal), []);
        assert_eq!(plan.shortfalls_of(&machine, PageSize::Gigantic).len(), 2);
    }
}
