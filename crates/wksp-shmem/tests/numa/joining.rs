//! Joining regions: aligned, read-only if wanted, out of core dumps, and never with too few pages.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;

use nix::sys::resource::{Resource, setrlimit};
use wksp_core::Name;
use wksp_shmem::{
    Access, Binding, JoinOptions, Joined, MapError, MountOptions, NewRegion, NewRegionOptions,
    PageSize, ReadOnlyMapping, Region, RegionError, mount, unmount,
};

use crate::machine::{self, FreePages, turn};
use crate::partner::{NOBODY, Told, hear};
use crate::scene::{Scene, name, on};

/// What the kernel says of the mapping at an address: the permissions, and the flags as of `smaps`.
fn mapping_at(address: usize) -> (String, Vec<String>) {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = smaps.lines().skip_while(|line| !line.starts_with(&format!("{address:x}-")));
    let permissions = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let flags = lines.find(|line| line.starts_with("VmFlags:")).unwrap();
    (permissions, flags.split_ascii_whitespace().skip(1).map(ToOwned::to_owned).collect())
}

fn has(flags: &[String], flag: &str) -> bool {
    flags.iter().any(|found| found == flag)
}

#[test]
fn every_page_size_is_joined_at_its_own_alignment_and_out_of_core_dumps() {
    let _turn = turn();
    if !machine::can_place() {
        return;
    }
    let node = machine::nodes_with_memory()[0];
    for page_size in PageSize::ALL {
        let Some(_pages) = FreePages::on_each_node(page_size, 1) else { continue };
        let Some(scene) = Scene::new(page_size) else { continue };
        let (region, _) = scene.create("joined", &[on(node, 1)], Binding::Strict).unwrap();
        let joined = Joined::join(region).unwrap();
        assert_eq!(joined.address() as u64 % page_size.bytes(), 0);
        let (permissions, flags) = mapping_at(joined.address());
        assert_eq!(
            (permissions.as_str(), has(&flags, "dd"), has(&flags, "lo")),
            ("rw-s", true, false)
        );

        let open = |access| Region::open(&scene.base, &name("joined"), None, access).unwrap();
        let seen = JoinOptions::default().with_in_core_dumps(true);
        let again = Joined::join_with(open(Access::ReadWrite), &seen).unwrap();
        assert_eq!(again.address(), joined.address());
        assert!(!has(&mapping_at(joined.address()).1, "dd"));

        for in_core_dumps in [false, true] {
            let options = JoinOptions::default().with_in_core_dumps(in_core_dumps);
            let mapping = ReadOnlyMapping::map(open(Access::ReadOnly), &options).unwrap();
            assert_eq!(mapping.as_ptr().addr() as u64 % page_size.bytes(), 0);
            let (permissions, flags) = mapping_at(mapping.as_ptr().addr());
            assert_eq!((permissions.as_str(), has(&flags, "dd")), ("r--s", !in_core_dumps));
        }
    }
}

#[test]
fn what_is_read_is_what_was_written_and_nothing_beyond() {
    let scene = Scene::new(PageSize::Normal).unwrap();
    let options = NewRegionOptions { page_size: PageSize::Normal, page_count: 2, mode: 0o600 };
    NewRegion::create(&scene.base, &name("read"), &options).unwrap().publish().unwrap();
    let region = Region::open(&scene.base, &name("read"), None, Access::ReadOnly).unwrap();
    let mapping = ReadOnlyMapping::map(region, &JoinOptions::default()).unwrap();
    let contents: Vec<u8> = (0..8192).map(|at| (at % 251) as u8).collect();
    // Through the file, which the mapping shares.
    fs::write(scene.directory().join("read"), &contents).unwrap();
    let mut found = vec![0; 8192];
    mapping.copy_out(0, &mut found).unwrap();
    assert_eq!(found, contents);
    mapping.copy_out(8191, &mut found[..1]).unwrap();
    assert_eq!(found[0], contents[8191]);
    let word = u64::from_le_bytes(contents[4096..4104].try_into().unwrap());
    assert_eq!(mapping.load(4096), Ok(u64::from_le(word)));
    mapping.load(8184).unwrap();
    for offset in [8185, 8192, usize::MAX - 7, 3] {
        let error = mapping.load(offset).unwrap_err();
        assert_eq!((error.offset, error.count, error.bytes), (offset, 8, 8192));
    }
    for (offset, count) in [(8192, 1), (8000, 193), (usize::MAX, 1)] {
        assert!(mapping.copy_out(offset, &mut vec![0; count]).is_err());
    }
    mapping.copy_out(8192, &mut []).unwrap();
}

/// Another process, another user's: reads what it may not change.
pub(crate) fn read(told: &Told) -> String {
    let forbidden =
        Region::open(&told.base, &told.name, Some(told.page_size), Access::ReadWrite).unwrap_err();
    assert!(matches!(forbidden, RegionError::Permission { .. }), "{forbidden}");
    let mapping =
        ReadOnlyMapping::map(told.open(Access::ReadOnly), &JoinOptions::default()).unwrap();
    let (permissions, flags) = mapping_at(mapping.as_ptr().addr());
    let may_write = has(&flags, "mw");
    format!("{permissions} {may_write} {:#x}", mapping.load(0).unwrap())
}

#[test]
fn who_may_only_read_maps_it_so_that_it_can_never_be_written() {
    let _turn = turn();
    if !machine::is_root("become another user") || !machine::can_place() {
        return;
    }
    let node = machine::nodes_with_memory()[0];
    for page_size in [PageSize::Normal, PageSize::Huge] {
        let Some(_pages) = FreePages::on_each_node(page_size, 1) else { continue };
        let Some(scene) = Scene::new(page_size) else { continue };
        for path in [scene.root().parent().unwrap().to_owned(), scene.root(), scene.directory()] {
            fs::set_permissions(path, Permissions::from_mode(0o711)).unwrap();
        }
        let mut options = scene.options(&[on(node, 1)], Binding::Strict);
        options.mode = 0o644;
        let machine = wksp_shmem::HwlocTopology::this_machine().unwrap();
        let (workspace, _) = wksp_shmem::SharedWorkspace::create_placed(
            &scene.base,
            &name("public"),
            &options,
            machine,
            // One page has room for few records.
            &wksp_shmem::WorkspaceOptions::default().with_records(wksp_shmem::Records::Count(4)),
        )
        .unwrap();
        let Some(heard) = hear(&scene, "public", "read", Some(NOBODY)) else { return };
        // What it has opened to be read, the kernel never makes writable.
        assert_eq!(heard, format!("r--s false {:#x}", wksp_core::MAGIC));
        drop(workspace);
    }
}

/// Another process, which may lock no memory.
pub(crate) fn lock(told: &Told) -> String {
    setrlimit(Resource::RLIMIT_MEMLOCK, 0, 0).unwrap();
    let options = JoinOptions::default().with_lock_memory(true);
    let error = Joined::join_with(told.open(Access::ReadWrite), &options).unwrap_err();
    assert!(matches!(error, MapError::NotLocked { bytes: 8192, .. }), "{error:?}");
    let found = Joined::find_by_name(&told.name, None);
    assert!(found.is_none(), "it is joined all the same");
    let seen = ReadOnlyMapping::map(told.open(Access::ReadOnly), &options).unwrap_err();
    format!("{}, {}", matches!(seen, MapError::NotLocked { .. }), error)
}

#[test]
fn memory_is_locked_if_wanted_and_it_is_an_error_if_it_cannot_be() {
    let _turn = turn();
    let scene = Scene::new(PageSize::Normal).unwrap();
    let options = NewRegionOptions { page_size: PageSize::Normal, page_count: 2, mode: 0o666 };
    let region = NewRegion::create(&scene.base, &name("locked"), &options);
    let region = region.unwrap().publish().unwrap();
    let locked = JoinOptions::default().with_lock_memory(true);
    let joined = Joined::join(region).unwrap();
    assert!(!has(&mapping_at(joined.address()).1, "lo"));
    let open = || Region::open(&scene.base, &name("locked"), None, Access::ReadWrite).unwrap();
    drop(Joined::join_with(open(), &locked).unwrap());
    assert!(has(&mapping_at(joined.address()).1, "lo"));

    if !machine::is_root("become another user") {
        return;
    }
    for path in [scene.root().parent().unwrap().to_owned(), scene.root(), scene.directory()] {
        fs::set_permissions(path, Permissions::from_mode(0o711)).unwrap();
    }
    let Some(heard) = hear(&scene, "locked", "lock", Some(NOBODY)) else { return };
    assert!(heard.starts_with("true, ") && heard.contains("RLIMIT_MEMLOCK"), "{heard}");
}

/// Makes a file that has a size but no memory, as other programs might.
fn sparse(scene: &Scene, text: &str, bytes: u64) -> Name {
    File::create(scene.directory().join(text)).unwrap().set_len(bytes).unwrap();
    name(text)
}

#[test]
fn memory_that_is_missing_is_given_when_a_region_is_joined() {
    let _turn = turn();
    for page_size in [PageSize::Normal, PageSize::Huge] {
        let Some(_pages) = FreePages::on_each_node(page_size, 2) else { continue };
        let Some(scene) = Scene::new(page_size) else { continue };
        for (text, access) in [("mapped", Access::ReadOnly), ("joined", Access::ReadWrite)] {
            let name = sparse(&scene, text, page_size.bytes());
            let region = Region::open(&scene.base, &name, None, access).unwrap();
            let blocks = || {
                let path = scene.directory().join(text);
                std::os::unix::fs::MetadataExt::blocks(&fs::metadata(path).unwrap())
            };
            assert_eq!(blocks(), 0);
            match access {
                Access::ReadOnly => {
                    drop(ReadOnlyMapping::map(region, &JoinOptions::default()).unwrap());
                }
                Access::ReadWrite => drop(Joined::join(region).unwrap()),
            }
            assert_eq!(blocks() * 512, page_size.bytes(), "{text}");
        }
    }
}

#[test]
fn too_few_huge_pages_for_a_region_are_found_when_it_is_joined() {
    let _turn = turn();
    let Some(_pages) = FreePages::on_each_node(PageSize::Huge, 1) else { return };
    let Some(scene) = Scene::new(PageSize::Huge) else { return };
    let before = machine::counts();
    let all: u64 =
        machine::nodes_with_memory().iter().map(|node| machine::free(*node, PageSize::Huge)).sum();
    let name = sparse(&scene, "sparse", (all + 1) * PageSize::Huge.bytes());
    let open = |access| Region::open(&scene.base, &name, None, access).unwrap();
    let error = Joined::join(open(Access::ReadWrite)).unwrap_err();
    assert!(matches!(error, MapError::TooFewPages { .. }), "{error:?}");
    let error = ReadOnlyMapping::map(open(Access::ReadOnly), &JoinOptions::default()).unwrap_err();
    assert!(matches!(error, MapError::TooFewPages { .. }), "{error:?}");
    assert_eq!(machine::counts(), before);
}

#[test]
fn too_little_memory_for_a_region_is_found_when_it_is_joined() {
    let _turn = turn();
    if !machine::is_root("mount a small tmpfs") {
        return;
    }
    let scene = Scene::new(PageSize::Normal).unwrap();
    fs::remove_dir(scene.directory()).unwrap();
    let small = MountOptions::default().with_normal_bytes_max(64 << 10);
    mount(&scene.root(), PageSize::Normal, &small).unwrap();
    let name = sparse(&scene, "sparse", 128 << 10);
    let open = |access| Region::open(&scene.base, &name, None, access).unwrap();
    let joined = Joined::join(open(Access::ReadWrite));
    let mapped = ReadOnlyMapping::map(open(Access::ReadOnly), &JoinOptions::default());
    unmount(&scene.root(), PageSize::Normal, true).unwrap();
    let (joined, mapped) = (joined.unwrap_err(), mapped.unwrap_err());
    assert!(matches!(joined, MapError::TooFewPages { .. }), "{joined:?}");
    assert!(matches!(mapped, MapError::TooFewPages { .. }), "{mapped:?}");
    fs::create_dir_all(scene.directory()).unwrap();
}
