//! A node whose memory is nearly all taken: normal pages, for which the kernel would rather kill than
//! say no.

use wksp_shmem::{Binding, Joined, NodeIndex, PageSize, PlacementError};

use crate::machine::{self, FreePages, turn};
use crate::refusal::reason;
use crate::scene::{Scene, on};
use crate::whereabouts::nodes_of;

const MIB: u64 = 1 << 20;

#[test]
fn nearly_all_memory_of_a_node_can_be_had_and_more_is_an_error_that_kills_nobody() {
    let _turn = turn();
    if !machine::can_place() {
        return;
    }
    if !machine::is_required() {
        return wksp_testkit::skip::skip("to take all memory of a node may disturb others here");
    }
    let killed = machine::killed();
    let scene = Scene::new(PageSize::Normal).unwrap();
    let node = *machine::nodes_with_memory().last().unwrap();
    // What is kept for the kernel is one part in 64.
    let kept = machine::memory_bytes(node) / 64 + 64 * MIB;
    // The rest serves as well while it is reserved, and need not be cleared.
    let rest = (machine::free_bytes(node) - kept).saturating_sub(256 * MIB);
    let pages = machine::free(node, PageSize::Huge) + rest / PageSize::Huge.bytes();
    let _rest = FreePages::on(node, PageSize::Huge, pages).unwrap();
    let pages = (machine::free_bytes(node) - kept) / 4096;
    let (region, report) = scene.create("most", &[on(node, pages)], Binding::Strict).unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert!(nodes_of(&Joined::join(region).unwrap()).iter().all(|found| *found == node));

    let more = 256 * MIB / 4096;
    let error = reason(scene.create("strict", &[on(node, more)], Binding::Strict));
    let PlacementError::TooFewPages { shortfalls, .. } = &error else { panic!("{error:?}") };
    assert_eq!((shortfalls[0].node.get(), shortfalls[0].wanted), (node, more));

    let (region, report) = scene.create("loose", &[on(node, more)], Binding::BestEffort).unwrap();
    assert!(report.misplaced() > 0 && report.omissions.is_empty(), "{report:?}");
    let found = nodes_of(&Joined::join(region).unwrap());
    let elsewhere = found.iter().filter(|found| **found != node).count() as u64;
    assert_eq!(report.misplaced(), elsewhere);
    let residence = &report.ranges[0].residence;
    assert_eq!(residence.on_node.get(&NodeIndex::new(node)), Some(&(more - elsewhere)));
    assert_eq!(machine::killed(), killed);
}
