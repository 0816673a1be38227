//! This machine as hwloc sees it against what the kernel's files say.

use wksp_shmem::{CpuIndex, HwlocTopology, NodeIndex, PagePool, PageSize, Topology};

use crate::machine;

#[test]
fn nodes_processors_and_distances_are_those_of_the_kernel() {
    let found = HwlocTopology::this_machine().unwrap();
    let numbers: Vec<u32> = found.nodes().iter().map(|node| node.index.get()).collect();
    assert_eq!(numbers, machine::nodes());
    for node in found.nodes() {
        let cpus: Vec<u32> = node.cpus.iter().map(|cpu| cpu.get()).collect();
        assert_eq!(cpus, machine::cpus(node.index.get()), "node {}", node.index);
        for cpu in cpus {
            assert_eq!(found.node_of(CpuIndex::new(cpu)), Some(node.index));
        }
        let has_memory = machine::memory_bytes(node.index.get()) > 0;
        assert_eq!(node.memory_bytes > 0, has_memory);
        let distances = machine::distances(node.index.get());
        assert_eq!(distances.len(), numbers.len());
        for (to, distance) in numbers.iter().zip(distances) {
            let to = NodeIndex::new(*to);
            // With one node there is nothing that hwloc would compare.
            if numbers.len() > 1 {
                assert_eq!(found.distance(node.index, to), Some(distance));
            }
        }
        let normal = node.pages.iter().find(|pages| pages.page_bytes == 4096);
        assert_eq!(normal.is_some_and(|pages| pages.count > 0), has_memory);
    }
    if numbers.len() < 2 {
        machine::lack("a second node");
    }
}

#[test]
fn every_pool_is_that_of_the_kernel() {
    let _turn = machine::turn();
    for pool in PagePool::all().unwrap() {
        assert_ne!(pool.page_size, PageSize::Normal);
        assert_eq!(pool.free, machine::free(pool.node.get(), pool.page_size));
    }
}
