//! Every page is on the node that was asked for.

use wksp_core::{Align, Tag};
use wksp_shmem::{
    Binding, CpuIndex, HwlocTopology, Joined, LockOptions, Near, NodeIndex, PageSize, Region,
    SharedWorkspace, SubRegion, WorkspaceOptions,
};

use crate::machine::{self, FreePages, turn};
use crate::scene::{Scene, name, on};
use crate::whereabouts::{nodes_by_another, nodes_of};

/// How many pages a sub-region has: some, but no more gigabytes than necessary.
fn pages_each(page_size: PageSize) -> u64 {
    match page_size {
        PageSize::Normal => 40,
        PageSize::Huge => 3,
        PageSize::Gigantic => 1,
    }
}

/// The node that each page is on if all are where they were asked for.
fn expected(sub_regions: &[SubRegion]) -> Vec<u32> {
    let pages = sub_regions.iter().flat_map(|sub_region| {
        let Near::Node(node) = sub_region.near else { panic!("only nodes are asked for") };
        std::iter::repeat_n(node.get(), sub_region.page_count as usize)
    });
    pages.collect()
}

fn every_page_is_on_its_node(page_size: PageSize) {
    let _turn = turn();
    if !machine::can_place() {
        return;
    }
    let nodes = machine::nodes_with_memory();
    for count in [1, 2, 8] {
        if page_size == PageSize::Gigantic && count > 2 && !machine::is_required() {
            wksp_testkit::skip::skip("eight gigantic pages are more than a test may take here");
            continue;
        }
        let each = pages_each(page_size);
        let sub_regions: Vec<SubRegion> =
            // Backwards, so that the first pages are not where they would be anyway.
            nodes.iter().rev().cycle().take(count).map(|node| on(*node, each)).collect();
        let on_a_node = each * count.div_ceil(nodes.len()) as u64;
        let Some(_pages) = FreePages::on_each_node(page_size, on_a_node) else { continue };
        let Some(scene) = Scene::new(page_size) else { continue };
        let (region, report) = scene.create("placed", &sub_regions, Binding::Strict).unwrap();
        assert!(report.is_complete(), "{report:?}");
        assert_eq!(report.ranges.len(), count);

        let joined = Joined::join(region).unwrap();
        assert_eq!(nodes_of(&joined), expected(&sub_regions));
        assert_eq!(nodes_by_another(&scene, "placed"), expected(&sub_regions));
        drop(joined);
        // Nobody has joined it now, and the next one finds it as it was.
        assert_eq!(nodes_by_another(&scene, "placed"), expected(&sub_regions));
    }
}

#[test]
fn every_normal_page_is_on_its_node() {
    every_page_is_on_its_node(PageSize::Normal);
}

#[test]
fn every_huge_page_is_on_its_node() {
    every_page_is_on_its_node(PageSize::Huge);
}

#[test]
fn every_gigantic_page_is_on_its_node() {
    every_page_is_on_its_node(PageSize::Gigantic);
}

#[test]
fn pages_near_a_processor_are_on_its_node() {
    let _turn = turn();
    if !machine::can_place() {
        return;
    }
    let Some(_pages) = FreePages::on_each_node(PageSize::Huge, 2) else { return };
    for page_size in [PageSize::Normal, PageSize::Huge] {
        let Some(scene) = Scene::new(page_size) else { continue };
        let mut sub_regions = Vec::new();
        let mut expected = Vec::new();
        for node in machine::nodes_with_memory() {
            // The last processor, since the first one of a machine proves little.
            let Some(cpu) = machine::cpus(node).pop() else { continue };
            sub_regions.push(SubRegion { page_count: 2, near: Near::Cpu(CpuIndex::new(cpu)) });
            expected.extend([node, node]);
        }
        let (region, _) = scene.create("near", &sub_regions, Binding::Strict).unwrap();
        assert_eq!(nodes_of(&Joined::join(region).unwrap()), expected);
    }
}

#[test]
fn a_node_without_processors_can_be_named() {
    let _turn = turn();
    if !machine::can_place() {
        return;
    }
    let nodes = machine::nodes_with_memory();
    let Some(node) = nodes.iter().copied().find(|node| machine::cpus(*node).is_empty()) else {
        // Of two nodes both may well have processors, even where nothing may be lacking.
        let skip =
            if nodes.len() > 2 { machine::lack } else { |why: &str| wksp_testkit::skip::skip(why) };
        return skip("a node without processors");
    };
    for page_size in PageSize::ALL {
        let Some(_pages) = FreePages::on_each_node(page_size, 2) else { continue };
        let Some(scene) = Scene::new(page_size) else { continue };
        let (region, report) = scene.create("far", &[on(node, 2)], Binding::Strict).unwrap();
        assert!(report.is_complete());
        assert_eq!(nodes_of(&Joined::join(region).unwrap()), [node, node]);
        assert_eq!(nodes_by_another(&scene, "far"), [node, node]);
    }
}

#[test]
fn a_workspace_on_placed_pages_is_like_any_other() {
    let _turn = turn();
    if !machine::can_place() {
        return;
    }
    let Some(_pages) = FreePages::on_each_node(PageSize::Huge, 3) else { return };
    let Some(scene) = Scene::new(PageSize::Huge) else { return };
    let machine = HwlocTopology::this_machine().unwrap();
    let node = *machine::nodes_with_memory().last().unwrap();
    let options = scene.options(&[on(node, 2)], Binding::Strict);
    let (workspace, report) = SharedWorkspace::create_placed(
        &scene.base,
        &name("workspace"),
        &options,
        machine,
        &WorkspaceOptions::default(),
    )
    .unwrap();
    assert!(report.is_complete());
    let gaddr =
        workspace.lock().unwrap().alloc(Align::PAGE, 3 << 20, Tag::new(1).unwrap()).unwrap();
    workspace.workspace().copy_in(gaddr, &[7; 1000]).unwrap();
    let attached =
        SharedWorkspace::attach(&scene.base, &name("workspace"), None, LockOptions::default());
    assert!(attached.unwrap().lock().unwrap().verify().is_clean());
    assert_eq!(nodes_by_another(&scene, "workspace"), [node, node]);
}

#[test]
fn private_pages_are_placed_without_a_directory() {
    let _turn = turn();
    if !machine::can_place() {
        return;
    }
    let machine = HwlocTopology::this_machine().unwrap();
    let node = *machine::nodes_with_memory().last().unwrap();
    for page_size in PageSize::ALL {
        let Some(_pages) = FreePages::on_each_node(page_size, 1) else { continue };
        let before = machine::counts();
        let options = wksp_shmem::PlacedRegionOptions {
            page_size,
            mode: 0o600,
            placement: wksp_shmem::Placement::whole(1, Near::Node(NodeIndex::new(node))),
            binding: Binding::Strict,
        };
        let (region, report) = Region::create_private(&name("own"), &options, machine).unwrap();
        assert!(report.is_complete());
        let joined = Joined::join(region).unwrap();
        assert_eq!(nodes_of(&joined), [node]);
        assert_eq!((joined.bytes() as u64, joined.page_size()), (page_size.bytes(), page_size));
        assert_eq!(joined.address() as u64 % page_size.bytes(), 0);
        drop(joined);
        assert_eq!(machine::counts(), before);
    }
    let options = wksp_shmem::PlacedRegionOptions {
        page_size: PageSize::Normal,
        mode: 0o600,
        placement: wksp_shmem::Placement::whole(64, Near::Node(NodeIndex::new(node))),
        binding: Binding::Strict,
    };
    let workspace = WorkspaceOptions::default();
    let (workspace, _) =
        SharedWorkspace::private_placed(&name("own"), &options, machine, &workspace).unwrap();
    let tag = Tag::new(1).unwrap();
    let gaddr = workspace.lock().unwrap().alloc(Align::BYTE, 100, tag).unwrap();
    workspace.workspace().copy_in(gaddr, b"x").unwrap();
    assert!(workspace.lock().unwrap().verify().is_clean());
    assert_eq!(nodes_of(workspace.joined()), [node; 64]);
}
