//! Looking at a region that may only be read, whoever holds its lock.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use wksp_core::{Align, Doubt, Gaddr, Holder, JoinError, OwnerId, Tag, View};
use wksp_shmem::{AttachError, NewRegionOptions, PageSize, ReadOnlyMapping, look_for};

use crate::scene::{Scene, name, pages, skip};
use crate::victim::Victim;

/// A digest of everything that there is to be seen; a store to any of it would end the process.
pub(crate) fn everything(view: View<'_>) -> (u64, usize, usize, bool, bool) {
    let usage = view.usage(Tag::new(7));
    let allocation = Gaddr::new(usage.data_max).and_then(|gaddr| view.allocation(gaddr));
    let lowest = view.lowest_tagged(Tag::new(7).unwrap());
    (
        usage.tagged.bytes,
        view.partitions().inspect(|partition| assert!(partition.is_ok())).count(),
        view.allocations().count(),
        view.verify().is_clean(),
        allocation.is_none() && lowest.is_some(),
    )
}

/// A region that everybody may read, with an allocation of 1000 bytes and tag 7.
fn lived_in(scene: &Scene) {
    let options = NewRegionOptions { mode: 0o644, ..pages(64) };
    let workspace = scene.create_with("seen", &options);
    let tag = Tag::new(7).unwrap();
    let gaddr = workspace.lock().unwrap().alloc(Align::BYTE, 1000, tag).unwrap();
    workspace.workspace().copy_in(gaddr, b"hello").unwrap();
}

const SEEN: (u64, usize, usize, bool, bool) = (1000, 2, 1, true, true);

#[test]
fn whoever_may_read_a_region_can_look_at_all_of_it() {
    if !geteuid().is_root() {
        return skip("only root can become another user");
    }
    let scene = Scene::new();
    lived_in(&scene);
    for path in [scene.dir.path().to_owned(), scene.base.directory_path(PageSize::Normal)] {
        fs::set_permissions(path, Permissions::from_mode(0o711)).unwrap();
    }
    let before = fs::read(scene.path("seen")).unwrap();
    let said = Victim::start(&scene, "seen", "look after giving up root").hear();
    assert_eq!(
        said,
        format!("uid 65534, may write false: Observed {{ value: {SEEN:?}, doubt: None }}")
    );
    assert!(fs::read(scene.path("seen")).unwrap() == before);
}

#[test]
fn a_holder_that_never_ends_is_not_waited_for() {
    let scene = Scene::new();
    lived_in(&scene);
    let mut holder = Victim::start(&scene, "seen", "hold");
    holder.hear();
    holder.signal(Signal::SIGSTOP);
    let mapping = ReadOnlyMapping::open(&scene.base, &name("seen"), None).unwrap();
    let observer = mapping.observer().unwrap();
    let began = Instant::now();
    let seen = observer.observe(everything, look_for(Duration::from_millis(30)));
    assert!((30..5000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    let id = OwnerId::new(holder.pid().into()).unwrap();
    let doubt = Doubt { holder: Some(Holder::Owner(id)), is_changed: false };
    assert_eq!((seen.value, seen.doubt), (SEEN, Some(doubt)));
    // It is not robbed either.
    assert_eq!(scene.owner("seen"), u64::from(holder.pid()));
    scene.set_owner("seen", u64::MAX);
    let seen = observer.observe(everything, look_for(Duration::ZERO));
    assert_eq!((seen.value, seen.doubt), (SEEN, None));
}

#[test]
fn data_is_copied_out_and_what_is_gone_is_told() {
    let scene = Scene::new();
    lived_in(&scene);
    let mapping = ReadOnlyMapping::open(&scene.base, &name("seen"), None).unwrap();
    let observer = mapping.observer().unwrap();
    let seen = observer.observe(|view| view.lowest_tagged(Tag::new(7)?), |_| false);
    let mut hello = [0; 5];
    observer.copy_out(seen.value.unwrap().range.lo(), &mut hello).unwrap();
    assert_eq!(&hello, b"hello");
    let beyond = observer.geometry().data().hi().get() - 4;
    assert!(observer.copy_out(Gaddr::new(beyond).unwrap(), &mut hello).is_err());

    let workspace = scene.attach("seen", Default::default());
    workspace.lock().unwrap().unformat().unwrap();
    let error = mapping.observer().unwrap_err();
    let is_right =
        matches!(error, AttachError::Join { source: JoinError::NotAWorkspace { magic: 0 }, .. });
    assert!(is_right, "{error}");
}
