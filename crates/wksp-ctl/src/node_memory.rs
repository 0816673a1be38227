//! How many pages a node has for new regions.

use wksp_shmem::{HwlocTopology, NodeIndex, NodeMemory, PagePool, PageSize, Topology};

/// Whether a node of this machine has memory, as far as the kernel says.
pub(crate) fn has_memory(node: NodeIndex) -> bool {
    NodeMemory::of(node).map_or(true, |memory| memory.total_bytes > 0)
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
