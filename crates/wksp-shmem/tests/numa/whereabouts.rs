//! Where pages are: what the library says against what the kernel says by another call.

use std::fs;
use std::fs::File;

use wksp_shmem::{Access, Binding, Joined, NodeIndex, PageSize, Region, Residence};

use crate::machine::{self, FreePages, turn};
use crate::scene::{Scene, name, on};
use crate::system_calls::{node_of, page_out};

/// The node of each page of a region that this process has joined, page by page.
pub(crate) fn nodes_of(joined: &Joined) -> Vec<u32> {
    let page_bytes = joined.page_size().bytes() as usize;
    let addresses = (joined.address()..joined.address() + joined.bytes()).step_by(page_bytes);
    addresses.map(|address| node_of(address).unwrap()).collect()
}

/// The same as another process finds it.
pub(crate) fn nodes_by_another(scene: &Scene, text: &str) -> Vec<u32> {
    let said = crate::partner::hear(scene, text, "locate", None).unwrap();
    said.split(',').map(|node| node.parse().unwrap()).collect()
}

#[test]
fn all_pages_of_any_region_are_found_even_by_who_may_only_read_it() {
    let _turn = turn();
    if !machine::can_place() {
        return;
    }
    let node = machine::nodes_with_memory()[0];
    for page_size in [PageSize::Normal, PageSize::Huge] {
        let Some(_pages) = FreePages::on_each_node(page_size, 3) else { continue };
        let Some(scene) = Scene::new(page_size) else { continue };
        scene.create("whole", &[on(node, 3)], Binding::Strict).unwrap();
        let open = |access| Region::open(&scene.base, &name("whole"), None, access).unwrap();
        for access in [Access::ReadOnly, Access::ReadWrite] {
            let residence = Residence::of(&open(access)).unwrap();
            assert_eq!(residence.on_node.get(&NodeIndex::new(node)), Some(&3), "{residence}");
            assert_eq!(residence.page_count(), 3);
        }
        let one = Residence::of_pages(&open(Access::ReadOnly), 1..2).unwrap();
        assert_eq!((one.page_count(), one.not_on(NodeIndex::new(node))), (1, 0));
    }
}

#[test]
fn pages_without_memory_get_none_by_being_asked_for() {
    let _turn = turn();
    if !machine::can_place() {
        return;
    }
    for page_size in [PageSize::Normal, PageSize::Huge] {
        let Some(_pages) = FreePages::on_each_node(page_size, 2) else { continue };
        let Some(scene) = Scene::new(page_size) else { continue };
        let file = File::create(scene.directory().join("sparse")).unwrap();
        file.set_len(page_size.bytes() * 2).unwrap();
        let before = machine::counts();
        let region = Region::open(&scene.base, &name("sparse"), None, Access::ReadOnly).unwrap();
        let residence = Residence::of(&region).unwrap();
        let expected = if page_size == PageSize::Normal { (2, 0) } else { (0, 2) };
        assert_eq!((residence.absent, residence.unknown), expected, "{residence}");
        assert_eq!(machine::counts(), before);
        assert_eq!(fs::metadata(scene.directory().join("sparse")).unwrap().len() % 4096, 0);
    }
}

#[test]
fn pages_in_swap_space_are_counted_and_left_there() {
    let _turn = turn();
    if !machine::can_place() {
        return;
    }
    if !machine::has_swap_space() {
        return wksp_testkit::skip::skip("this machine has no swap space");
    }
    let scene = Scene::new(PageSize::Normal).unwrap();
    let node = machine::nodes_with_memory()[0];
    let (region, _) = scene.create("out", &[on(node, 64)], Binding::Strict).unwrap();
    fs::write(scene.directory().join("out"), [7; 64 * 4096]).unwrap();
    let joined = Joined::join(region).unwrap();
    assert_eq!(nodes_of(&joined), [node; 64]);
    page_out(joined.address(), joined.bytes()).unwrap();
    if !machine::reclaim(node) {
        return wksp_testkit::skip::skip("this kernel keeps in memory what it has put out");
    }
    let open = || Region::open(&scene.base, &name("out"), None, Access::ReadOnly).unwrap();
    let residence = Residence::of(&open()).unwrap();
    assert!(residence.swapped > 0, "{residence}");
    assert_eq!((residence.page_count(), residence.absent, residence.unknown), (64, 0, 0));
    let again = Residence::of(&open()).unwrap();
    assert!(again.swapped >= residence.swapped, "{residence}; then {again}");
    assert_eq!(nodes_of(&joined), [node; 64]);
    assert_eq!(Residence::of(&open()).unwrap().swapped, 0);
}
