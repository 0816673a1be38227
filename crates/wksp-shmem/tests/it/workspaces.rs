//! Workspaces as a whole: created all or nothing, attached or refused for a reason.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::process::Command;

use wksp_core::{Align, JoinError, Tag};
use wksp_shmem::{
    AttachError, CreateError, CreateWorkspaceError, LockOptions, PageSize, Records, RegionError,
    SharedWorkspace, WorkspaceOptions, joiners,
};

use crate::scene::{Scene, name, pages, skip};
use crate::victim::Victim;

#[test]
fn two_processes_share_allocations() {
    let scene = Scene::new();
    let ours = scene.create("shared");
    let gaddr = ours.lock().unwrap().alloc(Align::BYTE, 100, Tag::new(1).unwrap()).unwrap();
    let mut other = Victim::start(&scene, "shared", "lock");
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
fn huge_pages_serve_as_normal_ones_do() {
    let free = fs::read_to_string("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
    if !free.is_ok_and(|count| count.trim() != "0") {
        return skip("this machine has no free huge pages");
    }
    let scene = Scene::new();
    let huge = scene.base.directory_path(PageSize::Huge);
    let mounted = Command::new("mount")
        .args(["-t", "hugetlbfs", "-o", "pagesize=2M", "wksp-test"])
        .arg(&huge)
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        return skip("this machine does not let this user mount a hugetlbfs");
    }
    let made = {
        let options = wksp_shmem::NewRegionOptions { page_size: PageSize::Huge, ..pages(1) };
        let text = name("huge");
        let workspace =
            SharedWorkspace::create(&scene.base, &text, &options, &WorkspaceOptions::default());
        workspace.map(|workspace| {
            let tag = Tag::new(1).unwrap();
            let gaddr = workspace.lock().unwrap().alloc(Align::PAGE, 1 << 20, tag).unwrap();
            workspace.workspace().copy_in(gaddr, b"huge").unwrap();
            let mut other = Victim::start(&scene, "huge", "hold");
            assert_eq!(other.hear(), "locked");
            other.kill();
            let repair = workspace.lock().unwrap().repair();
            let found = joiners(workspace.joined().region().unwrap()).unwrap().list.len();
            (workspace.joined().address() % (2 << 20), repair.is_some(), found)
        })
    };
    assert!(Command::new("umount").arg("-l").arg(&huge).status().unwrap().success());
    assert_eq!(made.unwrap(), (0, true, 1));
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
