//! Regions as files: what is made, found, refused and removed.

use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};
use wksp_shmem::{
    Access, CreateError, NewRegion, NewRegionOptions, NotARegion, PageSize, Region, RegionError,
    info_of, list, unlink,
};

use crate::scene::{NOBODY, Scene, name, pages, skip};
use crate::victim::{self, Victim};

fn open(scene: &Scene, text: &str) -> Result<Region, RegionError> {
    Region::open(&scene.base, &name(text), None, Access::ReadWrite)
}

fn why_not(scene: &Scene, text: &str) -> NotARegion {
    let by_info = info_of(&scene.base, &name(text), None).unwrap_err();
    match (open(scene, text).unwrap_err(), by_info) {
        (RegionError::NotARegion { why, .. }, RegionError::NotARegion { why: same, .. }) => {
            assert_eq!(why, same);
            why
        }
        errors => panic!("{errors:?}"),
    }
}

#[test]
fn modes_are_exact_whatever_the_umask() {
    let scene = Scene::new();
    let mut victim = Victim::start(&scene, "unused", "create under umask");
    for _ in 0..3 {
        let said = victim.hear();
        let (wanted, found) = said.split_once(' ').unwrap();
        assert_eq!(wanted, found);
    }
}

#[test]
fn a_region_is_seen_only_when_it_is_published() {
    let scene = Scene::new();
    let new = NewRegion::create(&scene.base, &name("new"), &pages(3)).unwrap();
    assert_eq!(scene.files(), [""; 0]);
    let id = new.info().id;
    drop(NewRegion::create(&scene.base, &name("dropped"), &pages(3)).unwrap());
    let region = new.publish().unwrap();
    assert_eq!(scene.files(), ["new"]);
    let info = info_of(&scene.base, &name("new"), None).unwrap();
    assert_eq!((info.id, info.bytes.get(), info.page_count()), (id, 3 * 4096, 3));
    assert_eq!((info.mode, info.uid), (0o600, geteuid().as_raw()));
    assert_eq!(region.info().id, open(&scene, "new").unwrap().info().id);
}

#[test]
fn of_two_that_are_made_at_once_the_second_fails() {
    let scene = Scene::new();
    let first = NewRegion::create(&scene.base, &name("race"), &pages(1)).unwrap();
    let second = NewRegion::create(&scene.base, &name("race"), &pages(2)).unwrap();
    let first = first.publish().unwrap();
    assert!(matches!(second.publish(), Err(CreateError::Exists { .. })));
    assert_eq!(info_of(&scene.base, &name("race"), None).unwrap().id, first.info().id);
}

#[test]
fn too_little_memory_is_an_error_that_leaves_nothing() {
    let scene = Scene::new();
    let error = NewRegion::create(&scene.base, &name("vast"), &pages(1 << 36)).unwrap_err();
    assert!(matches!(error, CreateError::NoMemory { .. }), "{error:?}");
    assert_eq!(scene.files(), [""; 0]);
    for page_count in [0, 1 << 51, u64::MAX] {
        let error = NewRegion::create(&scene.base, &name("odd"), &pages(page_count)).unwrap_err();
        assert!(matches!(error, CreateError::BadSize { .. }), "{error:?}");
    }
    let options = NewRegionOptions { mode: 0o1777, ..pages(1) };
    let error = NewRegion::create(&scene.base, &name("odd"), &options).unwrap_err();
    assert!(matches!(error, CreateError::BadMode { mode: 0o1777 }), "{error:?}");
}

#[test]
fn a_small_file_system_that_is_full_is_an_error_that_leaves_nothing() {
    if !geteuid().is_root() {
        return skip("only root can mount a small tmpfs");
    }
    let scene = Scene::new();
    let normal = scene.base.directory_path(PageSize::Normal);
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "wksp-test"])
        .arg(&normal)
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        return skip("this machine does not let root mount a tmpfs");
    }
    let fits = NewRegion::create(&scene.base, &name("fits"), &pages(8)).unwrap().publish();
    let error = NewRegion::create(&scene.base, &name("large"), &pages(9)).unwrap_err();
    let files = scene.files();
    assert!(Command::new("umount").args(["-l"]).arg(&normal).status().unwrap().success());
    assert!(matches!(error, CreateError::NoMemory { bytes: 36_864, .. }), "{error:?}");
    assert_eq!(files, ["fits"]);
    drop(fits.unwrap());
}

#[test]
fn what_is_no_region_is_refused_for_its_reason() {
    let scene = Scene::new();
    File::create(scene.path("target")).unwrap().set_len(4096).unwrap();
    symlink(scene.path("target"), scene.path("link")).unwrap();
    symlink(scene.path("nowhere"), scene.path("dangling")).unwrap();
    fs::create_dir(scene.path("directory")).unwrap();
    mkfifo(&scene.path("pipe"), Mode::S_IRWXU).unwrap();
    File::create(scene.path("empty")).unwrap();
    fs::write(scene.path("ragged"), [0; 4097]).unwrap();

    assert_eq!(why_not(&scene, "link"), NotARegion::SymbolicLink);
    assert_eq!(why_not(&scene, "dangling"), NotARegion::SymbolicLink);
    assert_eq!(why_not(&scene, "directory"), NotARegion::Directory);
    assert_eq!(why_not(&scene, "pipe"), NotARegion::Special);
    assert_eq!(why_not(&scene, "empty"), NotARegion::Empty);
    let ragged = NotARegion::Ragged { bytes: 4097, page_size: PageSize::Normal };
    assert_eq!(why_not(&scene, "ragged"), ragged);
    let reader = Region::open(&scene.base, &name("pipe"), None, Access::ReadOnly);
    assert!(matches!(reader, Err(RegionError::NotARegion { why: NotARegion::Special, .. })));
    let reader = Region::open(&scene.base, &name("directory"), None, Access::ReadOnly);
    assert!(matches!(reader, Err(RegionError::NotARegion { why: NotARegion::Directory, .. })));
    // Creating does not follow the link either.
    let error = NewRegion::create(&scene.base, &name("dangling"), &pages(1)).unwrap_err();
    assert!(matches!(error, CreateError::Exists { .. }));
    assert!(open(&scene, "target").is_ok());
}

#[test]
fn a_region_of_another_user_is_refused_with_owner_and_mode() {
    if !geteuid().is_root() {
        return skip("only root can become another user");
    }
    let scene = Scene::new();
    drop(scene.create("foreign"));
    let Some(said) = attach_as_nobody(&scene, "foreign") else { return };
    assert!(said.starts_with("uid 65534:"), "{said}");
    assert!(said.contains("Permission") && said.contains("mode: 384"), "{said}");
    assert!(said.contains("uid: 0"), "{said}");
}

/// What another user hears who attaches a region, having the right to search, but not to read, the
/// base directory and that of normal pages.
fn attach_as_nobody(scene: &Scene, text: &str) -> Option<String> {
    for path in [scene.dir.path().to_owned(), scene.base.directory_path(PageSize::Normal)] {
        fs::set_permissions(path, Permissions::from_mode(0o711)).unwrap();
    }
    let mut command = victim::command(scene, text, "attach");
    command.uid(NOBODY).gid(NOBODY);
    // The program itself must be reachable for the other user, and need not be.
    let Ok(mut other) = Victim::try_of(&mut command) else {
        skip("another user may not run the test program");
        return None;
    };
    Some(other.hear())
}

#[test]
fn directories_need_not_be_readable_nor_those_of_larger_pages_searchable() {
    if !geteuid().is_root() {
        return skip("only root can become another user");
    }
    let scene = Scene::new();
    let options = NewRegionOptions { mode: 0o666, ..pages(64) };
    drop(scene.create_with("public", &options));
    let Some(said) = attach_as_nobody(&scene, "public") else { return };
    assert_eq!(said, "attached");

    let gigantic = scene.base.directory_path(PageSize::Gigantic);
    fs::set_permissions(&gigantic, Permissions::from_mode(0o700)).unwrap();
    assert_eq!(attach_as_nobody(&scene, "public").unwrap(), "attached");
    // What is nowhere else may be there.
    let said = attach_as_nobody(&scene, "missing").unwrap();
    assert!(said.contains("PermissionDenied") && said.contains("/.gigantic\""), "{said}");
}

#[test]
fn in_a_directory_for_everybody_others_can_neither_remove_nor_redirect() {
    if !geteuid().is_root() {
        return skip("only root can become another user");
    }
    let scene = Scene::new();
    drop(scene.create("roots"));
    let secret = scene.dir.path().join("secret");
    fs::write(&secret, [7; 8192]).unwrap();
    fs::set_permissions(scene.dir.path(), Permissions::from_mode(0o711)).unwrap();
    let normal = scene.base.directory_path(PageSize::Normal);
    fs::set_permissions(&normal, Permissions::from_mode(0o1777)).unwrap();
    let mut command = victim::command(&scene, "roots", "trespass");
    command.uid(NOBODY).gid(NOBODY);
    let Ok(mut other) = Victim::try_of(&mut command) else {
        return skip("another user may not run the test program");
    };
    let said = other.hear();
    assert!(said.contains("unlink: Err(Permission") && said.contains("made: Ok"), "{said}");
    let mut names = scene.files();
    names.sort_unstable();
    assert_eq!(names, ["another", "mine", "planted", "roots"]);

    // Whose a region is, and what is a link, counts for root as for others.
    let info = info_of(&scene.base, &name("mine"), None).unwrap();
    assert_eq!((info.uid, info.mode), (NOBODY, 0o600));
    for planted in ["planted", "another"] {
        assert_eq!(why_not(&scene, planted), NotARegion::SymbolicLink);
        let error = NewRegion::create(&scene.base, &name(planted), &pages(1)).unwrap_err();
        assert!(matches!(error, CreateError::Exists { .. }), "{error:?}");
        unlink(&scene.base, &name(planted), None).unwrap();
    }
    assert_eq!(fs::read(&secret).unwrap(), [7; 8192]);
    assert!(open(&scene, "roots").is_ok());
}

#[test]
fn a_name_alone_means_the_largest_pages() {
    let scene = Scene::new();
    let write = |size: PageSize| {
        let path = scene.base.directory_path(size).join("same");
        File::create(path).unwrap().set_len(size.bytes()).unwrap();
    };
    let found = || info_of(&scene.base, &name("same"), None).map(|info| info.page_size);
    PageSize::ALL.into_iter().for_each(write);
    assert_eq!(found().unwrap(), PageSize::Gigantic);
    assert_eq!(unlink(&scene.base, &name("same"), Some(PageSize::Huge)).unwrap(), PageSize::Huge);
    assert_eq!(unlink(&scene.base, &name("same"), None).unwrap(), PageSize::Gigantic);
    assert_eq!(found().unwrap(), PageSize::Normal);
    assert_eq!(open(&scene, "same").unwrap().info().page_size, PageSize::Normal);
    assert_eq!(unlink(&scene.base, &name("same"), None).unwrap(), PageSize::Normal);
    assert!(matches!(
        unlink(&scene.base, &name("same"), None),
        Err(RegionError::NotFound { page_size: None, .. })
    ));
}

#[test]
fn a_list_shows_the_good_and_the_bad_in_order() {
    let scene = Scene::new();
    for (size, text) in [(PageSize::Huge, "b"), (PageSize::Normal, "b"), (PageSize::Normal, "a")] {
        let path = scene.base.directory_path(size).join(text);
        File::create(path).unwrap().set_len(size.bytes()).unwrap();
    }
    File::create(scene.path("c")).unwrap();
    File::create(scene.path("no name!")).unwrap();
    File::create(scene.path(".hidden")).unwrap();
    let strange = std::ffi::OsString::from_vec(vec![0xFF]);
    File::create(scene.base.directory_path(PageSize::Normal).join(strange)).unwrap();

    let gigantic = scene.base.directory_path(PageSize::Gigantic);
    fs::remove_dir(&gigantic).unwrap();
    symlink("/", &gigantic).unwrap();

    let listing = list(&scene.base);
    let entries: Vec<_> = listing.entries.iter().collect();
    let names: Vec<_> = entries.iter().map(|entry| entry.file_name.to_string_lossy()).collect();
    assert_eq!(names, ["a", "b", "b", "c", "no name!", "\u{FFFD}"]);
    let sizes: Vec<_> = entries.iter().map(|entry| entry.page_size).collect();
    assert_eq!(sizes[1..3], [PageSize::Normal, PageSize::Huge]);
    assert!(entries[..3].iter().all(|entry| entry.info.is_ok()));
    assert!(matches!(entries[3].info, Err(RegionError::NotARegion { why: NotARegion::Empty, .. })));
    for entry in &entries[4..] {
        assert!(matches!(
            entry.info,
            Err(RegionError::NotARegion { why: NotARegion::Misnamed, .. })
        ));
    }
    assert_eq!(listing.unreadable.len(), 1);
    assert_eq!(listing.unreadable[0].0, PageSize::Gigantic);
}
