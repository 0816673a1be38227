//! Setting a machine up for regions, and back.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use wksp_shmem::{
    Access, BaseDir, Binding, DirectoryState, HostStatus, Joined, MountChange, MountError,
    MountOptions, NewRegion, NewRegionOptions, NodeIndex, PagePool, PagePoolError, PageSize,
    Region, directories, mount, unmount,
};

use crate::machine::{self, FreePages, turn};
use crate::scene::{Scene, name, on};

/// The page sizes that the kernel has.
fn page_sizes() -> Vec<PageSize> {
    let has = |size: &PageSize| {
        let pool = format!("/sys/kernel/mm/hugepages/hugepages-{}kB", size.bytes() / 1024);
        *size == PageSize::Normal || Path::new(&pool).exists()
    };
    PageSize::ALL.into_iter().filter(has).collect()
}

fn is_mounted(base: &Path, page_size: PageSize) -> bool {
    let path = base.join(page_size.directory());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.lines().any(|line| line.split(' ').nth(1) == path.to_str())
}

#[test]
fn directories_are_mounted_with_owner_and_mode_and_unmounted_without_a_trace() {
    let _turn = turn();
    if !machine::is_root("mount") {
        return;
    }
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let base = dir.path().join("base");
    let options = MountOptions::default().with_mode(0o770).with_owner(12, 34);
    for page_size in page_sizes() {
        let path = base.join(page_size.directory());
        assert_eq!(mount(&base, page_size, &options).unwrap(), MountChange::Mounted);
        assert_eq!(mount(&base, page_size, &options).unwrap(), MountChange::Unchanged);
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o770, 12, 34));
        assert!(is_mounted(&base, page_size));

        let others = MountOptions::default().with_mode(0o1777);
        assert_eq!(mount(&base, page_size, &others).unwrap(), MountChange::Adjusted);
        assert_eq!(mount(&base, page_size, &others).unwrap(), MountChange::Unchanged);
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid()), (0o1777, 0));
        let status = directories(&base);
        let status = status.iter().find(|status| status.page_size == page_size).unwrap();
        assert_eq!(status.path, path);
        assert!(
            matches!(&status.state, DirectoryState::Mounted { owner } if owner.mode == 0o1777 && !owner.is_unsafe()),
            "{status:?}"
        );
    }
    for page_size in PageSize::ALL {
        let change = unmount(&base, page_size, false).unwrap();
        let was_there = page_sizes().contains(&page_size);
        assert_eq!(change == MountChange::Unmounted, was_there);
        assert_eq!(unmount(&base, page_size, false).unwrap(), MountChange::Unchanged);
        assert!(!is_mounted(&base, page_size));
    }
    assert!(!base.exists());
}

#[test]
fn regions_are_not_lost_by_unmounting_unless_that_is_wanted_and_nobody_has_them() {
    let _turn = turn();
    if !machine::is_root("mount") {
        return;
    }
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let root = dir.path().join("base");
    mount(&root, PageSize::Normal, &MountOptions::default()).unwrap();
    let base = BaseDir::resolve(Some(&root)).unwrap();
    let options = NewRegionOptions { page_size: PageSize::Normal, page_count: 1, mode: 0o600 };
    let region = NewRegion::create(&base, &name("kept"), &options).unwrap().publish().unwrap();
    let joined = Joined::join(region).unwrap();
    // Whoever has the base open is not in the way.
    let error = unmount(&root, PageSize::Normal, false).unwrap_err();
    assert!(matches!(error, MountError::NotEmpty { count: 1, .. }), "{error}");
    let error = unmount(&root, PageSize::Normal, true).unwrap_err();
    assert!(matches!(error, MountError::Busy { .. }), "{error}");
    assert!(Region::open(&base, &name("kept"), None, Access::ReadOnly).is_ok());
    drop(joined);
    assert_eq!(unmount(&root, PageSize::Normal, true).unwrap(), MountChange::Unmounted);
    assert!(!root.exists());
}

#[test]
fn a_limit_on_normal_pages_holds() {
    let _turn = turn();
    if !machine::is_root("mount") {
        return;
    }
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let root = dir.path().join("base");
    let limited = MountOptions::default().with_normal_bytes_max(64 << 10);
    mount(&root, PageSize::Normal, &limited).unwrap();
    let base = BaseDir::resolve(Some(&root)).unwrap();
    let options = NewRegionOptions { page_size: PageSize::Normal, page_count: 17, mode: 0o600 };
    let outcome = NewRegion::create(&base, &name("large"), &options);
    assert!(matches!(outcome, Err(wksp_shmem::CreateError::NoMemory { .. })), "{outcome:?}");
    drop(outcome);
    unmount(&root, PageSize::Normal, false).unwrap();
}

#[test]
fn what_everybody_could_tamper_with_is_refused() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let base = dir.path().join("base");
    let mount_with =
        |mode| mount(&base, PageSize::Normal, &MountOptions::default().with_mode(mode));
    for mode in [0o777, 0o002, 0o703] {
        let error = mount_with(mode).unwrap_err();
        assert!(matches!(error, MountError::WorldWritable { path: None, .. }), "{error}");
    }
    assert!(matches!(mount_with(0o4755), Err(MountError::BadMode { mode: 0o4755 })));
    assert!(!base.exists());

    fs::create_dir(&base).unwrap();
    fs::set_permissions(&base, fs::Permissions::from_mode(0o777)).unwrap();
    let error = mount_with(0o700).unwrap_err();
    assert!(matches!(error, MountError::WorldWritable { path: Some(_), .. }), "{error}");
    fs::create_dir(base.join(".normal")).unwrap();
    fs::set_permissions(base.join(".normal"), fs::Permissions::from_mode(0o777)).unwrap();
    let status = directories(&base);
    assert!(matches!(&status[0].state, DirectoryState::NotMounted { owner } if owner.is_unsafe()));
    assert!(matches!(status[1].state, DirectoryState::Missing));
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let _turn = turn();
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let base = dir.path().join("base");
    for page_size in PageSize::ALL {
        assert_eq!(unmount(&base, page_size, true).unwrap(), MountChange::Unchanged);
    }
    fs::create_dir(&base).unwrap();
    std::os::unix::fs::symlink("/", base.join(".normal")).unwrap();
    assert!(mount(&base, PageSize::Normal, &MountOptions::default()).is_err());
    assert!(unmount(&base, PageSize::Normal, true).is_err());
    fs::remove_file(base.join(".normal")).unwrap();

    fs::create_dir(base.join(".normal")).unwrap();
    fs::write(base.join(".normal/file"), "x").unwrap();
    assert_eq!(unmount(&base, PageSize::Normal, true).unwrap(), MountChange::Unchanged);
    assert!(base.join(".normal/file").exists());

    if !machine::is_root("mount") {
        return;
    }
    // A tmpfs in the place of a hugetlbfs.
    fs::create_dir(base.join(".huge")).unwrap();
    let huge = base.join(".huge");
    let none: Option<&str> = None;
    nix::mount::mount(none, &huge, Some("tmpfs"), nix::mount::MsFlags::empty(), none).unwrap();
    let foreign = [
        mount(&base, PageSize::Huge, &MountOptions::default()),
        unmount(&base, PageSize::Huge, true),
    ];
    let status = directories(&base);
    nix::mount::umount(&huge).unwrap();
    for outcome in foreign {
        assert!(matches!(outcome, Err(MountError::Foreign { .. })), "{outcome:?}");
    }
    assert!(matches!(status[1].state, DirectoryState::Foreign { .. }), "{status:?}");
}

#[test]
fn pages_are_reserved_and_released_and_the_change_is_said() {
    let _turn = turn();
    if !machine::is_root("reserve pages") {
        return;
    }
    for page_size in [PageSize::Huge, PageSize::Gigantic] {
        for node in machine::nodes_with_memory().into_iter().map(NodeIndex::new) {
            let before = match PagePool::count(node, page_size) {
                Ok(pool) => pool,
                Err(error) => {
                    machine::lack(&error.to_string());
                    continue;
                }
            };
            // Where all memory is reserved already, a page has to be given back to be had again.
            let reserved = before.reserved() - u64::from(before.free > 0);
            let change = PagePool::release(node, page_size, reserved).unwrap();
            assert_eq!((change.before, change.after), (before.reserved(), reserved));
            let wanted = reserved + 1;
            let change = PagePool::reserve(node, page_size, wanted).unwrap();
            assert_eq!(change.before, reserved);
            if !change.is_granted() {
                assert_eq!(change.after, reserved);
                machine::lack(&format!("memory in a row for one page more: {change:?}"));
                continue;
            }
            assert_eq!(change.after, wanted);
            let again = PagePool::reserve(node, page_size, wanted).unwrap();
            assert_eq!((again.before, again.after), (wanted, wanted));
            let free = machine::free(node.get(), page_size);
            assert_eq!(free, before.free + wanted - before.reserved());
            let change = PagePool::release(node, page_size, before.reserved()).unwrap();
            let again = PagePool::release(node, page_size, before.reserved()).unwrap();
            assert_eq!((change.after, again.before), (before.reserved(), before.reserved()));
            assert_eq!(PagePool::count(node, page_size).unwrap(), before);
        }
    }
}

#[test]
fn more_pages_than_there_is_memory_are_granted_in_part_and_that_is_said() {
    let _turn = turn();
    if !machine::is_root("reserve pages") {
        return;
    }
    // Gigantic ones, of which the kernel makes no more than lie in a row: huge ones would take all
    // memory for a moment.
    for node in machine::nodes_with_memory() {
        let index = NodeIndex::new(node);
        let before = match PagePool::count(index, PageSize::Gigantic) {
            Ok(before) => before,
            Err(error) => {
                machine::lack(&error.to_string());
                continue;
            }
        };
        if !machine::is_required() {
            wksp_testkit::skip::skip(
                "to ask for more memory than there is may disturb others here",
            );
            return;
        }
        let wanted = machine::memory_bytes(node) / PageSize::Gigantic.bytes() + 1;
        let change = PagePool::reserve(index, PageSize::Gigantic, wanted).unwrap();
        assert!(!change.is_granted() && change.after < wanted, "{change:?}");
        assert!(change.after >= change.before, "{change:?}");
        PagePool::release(index, PageSize::Gigantic, before.reserved()).unwrap();
        assert_eq!(PagePool::count(index, PageSize::Gigantic).unwrap(), before);
    }
}

#[test]
fn pages_in_use_outlive_a_release() {
    let _turn = turn();
    let Some(pages) = FreePages::on_each_node(PageSize::Huge, 2) else { return };
    let Some(scene) = Scene::new(PageSize::Huge) else { return };
    if !machine::can_place() {
        return;
    }
    let node = machine::nodes_with_memory()[0];
    let index = NodeIndex::new(node);
    let (region, _) = scene.create("used", &[on(node, 1)], Binding::Strict).unwrap();
    let before = PagePool::count(index, PageSize::Huge).unwrap();
    let change = PagePool::release(index, PageSize::Huge, 0).unwrap();
    assert_eq!((change.after, change.is_granted()), (before.used(), false));
    let after = PagePool::count(index, PageSize::Huge).unwrap();
    assert_eq!((after.free, after.used(), after.surplus), (0, before.used(), 0));
    assert_eq!(region.info().page_count(), 1);
    let back = PagePool::reserve(index, PageSize::Huge, before.reserved()).unwrap();
    assert!(back.is_granted(), "{back:?}");
    drop((region, scene, pages));
}

#[test]
fn the_state_of_a_machine_is_seen_by_anybody() {
    let _turn = turn();
    let base = Path::new("/nonexistent");
    let status = HostStatus::of(base);
    assert_eq!(status.directories.len(), 3);
    assert!(status.directories.iter().all(|found| matches!(found.state, DirectoryState::Missing)));
    for pool in status.pools.unwrap() {
        assert!(pool.free <= pool.total);
    }
    let normal = PagePool::count(NodeIndex::new(0), PageSize::Normal);
    assert!(matches!(normal, Err(PagePoolError::Normal)));
}
