//! How much memory a node of this machine has, as /sys/devices/system/node/nodeN/meminfo says.

use std::fs;

use wksp_shmem::{HwlocTopology, NodeIndex, PagePool, PageSize, Topology};

/// The memory of a node of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeMemory {
    /// All of it, also what is reserved for larger pages.
    pub(crate) total_bytes: u64,
    /// What nobody has.
    pub(crate) free_bytes: u64,
    /// What new regions of normal pages may take: what is free, and half of what holds copies of
    /// files, less what the kernel wants to keep.
    pub(crate) available_bytes: u64,
}

impl NodeMemory {
    /// Asks the kernel, which does not say so everywhere.
    pub(crate) fn of(node: NodeIndex) -> Option<Self> {
        let path = format!("/sys/devices/system/node/node{node}/meminfo");
        Self::parse(&fs::read_to_string(path).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // Each line is like "Node 0 MemTotal:  1024 kB".
        let field = |wanted: &str| {
            let mut fields = text.lines().filter_map(|line| line.split_once(':'));
            let (_, value) = fields.find(|(key, _)| key.ends_with(wanted))?;
            let kilobytes: u64 = value.split_ascii_whitespace().next()?.parse().ok()?;
            kilobytes.checked_mul(1024)
        };
        let (total_bytes, free_bytes) = (field(" MemTotal")?, field(" MemFree")?);
        let files = field(" Active(file)")?.saturating_add(field(" Inactive(file)")?);
        // As the library reckons when it places pages.
        let available_bytes = free_bytes.saturating_add(files / 2).saturating_sub(total_bytes / 64);
        Some(Self { total_bytes, free_bytes, available_bytes })
    }
}

/// The pages that a node has for a new region: on this machine those that are free now, on another
/// one as many as there can be.
pub(crate) fn available_pages(
    machine: &HwlocTopology,
    node: NodeIndex,
    page_size: PageSize,
) -> u64 {
    if machine.is_this_machine() {
        return match page_size {
            PageSize::Normal => {
                let memory = NodeMemory::of(node).map_or(0, |memory| memory.available_bytes);
                memory.checked_div(page_size.bytes()).unwrap_or(0)
            }
            PageSize::Huge | PageSize::Gigantic => {
                PagePool::count(node, page_size).map_or(0, |pool| pool.free)
            }
        };
    }
    // As of `Plan::shortfalls_of`, which speaks only of nodes that have too few.
    let Some(info) = machine.node(node) else { return 0 };
    let counted = info.pages.iter().find(|pages| pages.page_bytes == page_size.bytes());
    let room = info.memory_bytes.checked_div(page_size.bytes()).unwrap_or(0);
    counted.map_or(room, |pages| pages.count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wksp_shmem::{Near, Placement};

    #[test]
    fn memory_is_read_from_the_kernels_text() {
        let text = "Node 3 MemTotal:       6400 kB\nNode 3 MemFree:  1000 kB\n\
                    Node 3 MemUsed: 5400 kB\nNode 3 Active(file): 30 kB\n\
                    Node 3 Inactive(file): 70 kB\n";
        let memory = NodeMemory::parse(text).unwrap();
        assert_eq!((memory.total_bytes, memory.free_bytes), (6400 << 10, 1000 << 10));
        assert_eq!(memory.available_bytes, (1000 + 50 - 100) << 10);
        assert_eq!(NodeMemory::parse("Node 3 MemTotal: x kB\n"), None);
        assert_eq!(NodeMemory::parse(""), None);
    }

    #[test]
    fn a_made_up_node_has_what_the_library_says() {
        let machine = HwlocTopology::synthetic("numa:2(memory=8GiB) pu:2").unwrap();
        let node = NodeIndex::new(1);
        for page_size in PageSize::ALL {
            let available = available_pages(&machine, node, page_size);
            for (page_count, is_short) in [(available, false), (available + 1, true)] {
                let plan = Placement::whole(page_count, Near::Node(node)).plan(&machine).unwrap();
                let shortfalls = plan.shortfalls_of(&machine, page_size);
                assert_eq!(!shortfalls.is_empty(), is_short, "{page_size} {shortfalls:?}");
            }
        }
        assert_eq!(available_pages(&machine, NodeIndex::new(2), PageSize::Normal), 0);
    }
}
