//! The process-wide table: one mapping for each region, however often it is attached.

use std::fs;
use std::num::NonZeroUsize;

use wksp_core::{Align, Tag};
use wksp_shmem::{Joined, LockOptions, SharedWorkspace, WorkspaceOptions, unlink};

use crate::scene::{Scene, name, on_each_page_size};

on_each_page_size! {
    a_region_is_mapped_once_and_unmapped_with_the_last_handle,
    joins_are_found_by_name_and_by_address,
    a_name_given_to_another_region_is_another_join,
}

/// How often this process maps a file.
fn map_count(scene: &Scene, name: &str) -> usize {
    let path = scene.path(name);
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.ends_with(path.to_str().unwrap())).count()
}

fn a_region_is_mapped_once_and_unmapped_with_the_last_handle(scene: &Scene) {
    drop(scene.create("joined"));
    assert_eq!(map_count(scene, "joined"), 0);

    let first = scene.attach("joined", LockOptions::default());
    assert_eq!(map_count(scene, "joined"), 1);
    let more: Vec<_> = (0..10).map(|_| scene.attach("joined", LockOptions::default())).collect();
    assert_eq!(map_count(scene, "joined"), 1);
    assert!(more.iter().all(|other| other.joined().address() == first.joined().address()));
    drop(first);
    assert_eq!(map_count(scene, "joined"), 1);
    drop(more);
    assert_eq!(map_count(scene, "joined"), 0);
    assert!(Joined::find_by_name(&name("joined"), None).is_none());
}

fn joins_are_found_by_name_and_by_address(scene: &Scene) {
    let workspace = scene.create("found");
    let tag = Tag::new(1).unwrap();
    let gaddr = workspace.lock().unwrap().alloc(Align::BYTE, 64, tag).unwrap();
    let pointer = workspace.workspace().pointer(gaddr).unwrap();

    let by_address = Joined::find_by_address(pointer.as_ptr()).unwrap();
    assert_eq!(by_address.name(), &name("found"));
    let attached = SharedWorkspace::attach_joined(by_address, LockOptions::default()).unwrap();
    assert_eq!(attached.workspace().gaddr(pointer.as_ptr()), Some(gaddr));
    assert!(Joined::find_by_address(&raw const tag as *const u8).is_none());

    let by_name = Joined::find_by_name(&name("found"), None).unwrap();
    assert_eq!(by_name.address(), workspace.joined().address());
    assert!(Joined::find_by_name(&name("lost"), None).is_none());
}

fn a_name_given_to_another_region_is_another_join(scene: &Scene) {
    let old = scene.create("renewed");
    unlink(&scene.base, &name("renewed"), None).unwrap();
    let new = scene.create("renewed");
    assert_ne!(old.joined().address(), new.joined().address());
    let attached = scene.attach("renewed", LockOptions::default());
    assert_eq!(attached.joined().address(), new.joined().address());
    // What has lost its name works on.
    drop(old.lock().unwrap());
}

#[test]
fn a_private_workspace_is_joined_like_any_other() {
    let bytes = NonZeroUsize::new(100_000).unwrap();
    let private = name("private-one");
    let workspace =
        SharedWorkspace::private(&private, bytes, &WorkspaceOptions::default()).unwrap();
    assert!(workspace.region().is_none());
    assert_eq!(workspace.joined().bytes(), 102_400);
    let gaddr = workspace.lock().unwrap().alloc(Align::PAGE, 5000, Tag::new(3).unwrap()).unwrap();
    let joined = Joined::find_by_name(&private, None).unwrap();
    let again = SharedWorkspace::attach_joined(joined, LockOptions::default()).unwrap();
    again.workspace().copy_in(gaddr, b"x").unwrap();
    assert!(again.lock().unwrap().verify().is_clean());
    drop((workspace, again));
    assert!(Joined::find_by_name(&private, None).is_none());
}
