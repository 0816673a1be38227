//! Workspaces as a whole: created all or nothing, attached or refused for a reason.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use wksp_core::{Align, JoinError, Tag};
use wksp_shmem::{
    AttachError, CreateError, CreateWorkspaceError, LockOptions, PageSize, Records, RegionError,
    SharedWorkspace, WorkspaceOptions,
};

use crate::scene::{Scene, name, on_each_page_size, pages};
use crate::victim::Victim;

on_each_page_size! {
    two_processes_share_allocations,
}

fn two_processes_share_allocations(scene: &Scene) {
    let ours = scene.create("shared");
    assert_eq!(ours.joined().address() as u64 % scene.page_size.bytes(), 0);
    let gaddr = ours.lock().unwrap().alloc(Align::BYTE, 100, Tag::new(1).unwrap()).unwrap();
    let mut other = Victim::start(scene, "shared", "lock");
    assert_eq!(other.hear(), "Ok(None)");
    assert!(ours.lock().unwrap().verify().is_clean());
    ours.workspace().copy_in(gaddr, &[1; 100]).unwrap();
}

#[test]
fn an_existing_name_is_left_alone() {
    let scene = Scene::new();
    drop(scene.create("taken"));
    let before = fs::read(scene.path("taken")).unwrap();
    let options = WorkspaceOptions::default();
    let error = SharedWorkspace::create(&scene.base, &name("taken"), &pages(1), &options);
    assert!(
        matches!(error, Err(CreateWorkspaceError::Create(CreateError::Exists { .. }))),
        "{error:?}"
    );
    assert_eq!(fs::read(scene.path("taken")).unwrap(), before);
    assert_eq!(scene.files(), ["taken"]);
}

#[test]
fn a_region_too_small_for_its_records_is_not_made() {
    let scene = Scene::new();
    let options = WorkspaceOptions::default().with_records(Records::Count(1000));
    let error = SharedWorkspace::create(&scene.base, &name("small"), &pages(1), &options);
    assert!(matches!(error, Err(CreateWorkspaceError::Geometry(_))), "{error:?}");
    assert_eq!(scene.files(), [""; 0]);
}

#[test]
fn what_is_no_workspace_is_refused_for_its_reason() {
    let scene = Scene::new();
    let attach =
        |text| SharedWorkspace::attach(&scene.base, &name(text), None, LockOptions::default());
    fs::write(scene.path("zeros"), [0; 8192]).unwrap();
    assert!(matches!(
        attach("zeros"),
        Err(AttachError::Join { source: JoinError::NotAWorkspace { magic: 0 }, .. })
    ));

    drop(scene.create("cut"));
    OpenOptions::new().write(true).open(scene.path("cut")).unwrap().set_len(8192).unwrap();
    assert!(matches!(
        attach("cut"),
        Err(AttachError::Join { source: JoinError::Truncated { bytes: 8192, .. }, .. })
    ));

    drop(scene.create("boastful"));
    let file = OpenOptions::new().write(true).open(scene.path("boastful")).unwrap();
    file.write_all_at(&(1_u64 << 40).to_le_bytes(), 16).unwrap();
    assert!(matches!(attach("boastful"), Err(AttachError::Join { .. })));

    assert!(matches!(
        attach("missing"),
        Err(AttachError::Region(RegionError::NotFound { page_size: None, .. }))
    ));
    // Nothing of all that stays joined.
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains(scene.dir.path().to_str().unwrap()));
}

#[test]
fn handles_go_between_threads() {
    fn can<T: Send + Sync + 'static>() {}
    can::<SharedWorkspace>();
    can::<wksp_shmem::Joined>();
}

#[test]
fn huge_pages_are_not_made_of_normal_ones() {
    let scene = Scene::new();
    let options = wksp_shmem::NewRegionOptions { page_size: PageSize::Huge, ..pages(1) };
    let error =
        SharedWorkspace::create(&scene.base, &name("h"), &options, &WorkspaceOptions::default());
    assert!(
        matches!(error, Err(CreateWorkspaceError::Create(CreateError::NoSuchPages { .. }))),
        "{error:?}"
    );
}
