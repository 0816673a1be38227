//! Rounds of a janitor over workspaces that the dead, the living and the careless have left.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};

use nix::sys::signal::Signal;
use wksp_core::{Holder, OwnerId, Repair};
use wksp_shmem::{
    Janitor, JanitorError, JanitorFinding, NotARegion, PageSize, RegionError, describe, joiners,
};

use crate::scene::{Scene, eventually, on_each_page_size, sees_everyone};
use crate::victim::Victim;

on_each_page_size! {
    what_the_dead_left_is_recovered_and_who_spins_goes_on,
    the_living_keep_their_locks,
}

fn janitor() -> Janitor {
    Janitor::new(!sees_everyone())
}

fn what_the_dead_left_is_recovered_and_who_spins_goes_on(scene: &Scene) {
    let ours = scene.create("left");
    let mut victim = Victim::start(scene, "left", "hold");
    assert_eq!(victim.hear(), "locked");
    let mut spinner = Victim::start(scene, "left", "spin as a C program does");
    assert_eq!(spinner.hear(), "spinning");
    victim.kill();
    let dead = OwnerId::new(victim.pid().into()).unwrap();
    assert_eq!(ours.workspace().holder(), Some(Holder::Owner(dead)));
    let before = joiners(ours.joined().region().unwrap()).unwrap();

    let mut janitor = janitor();
    let found = janitor.round(&scene.base, None);
    let [JanitorFinding { page_size, file_name, outcome: Ok(repair) }] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!((*page_size, file_name.as_deref()), (scene.page_size, Some("left".as_ref())));
    assert_eq!(*repair, Repair::TakenOver { from: Holder::Owner(dead), rebuilt: false });
    assert_eq!(spinner.hear(), "got it");
    assert!(ours.lock().unwrap().verify().is_clean());
    assert!(janitor.round(&scene.base, None).is_empty());
    assert_eq!(joiners(ours.joined().region().unwrap()).unwrap(), before, "it has left");
}

fn the_living_keep_their_locks(scene: &Scene) {
    drop(scene.create("held"));
    let mut victim = Victim::start(scene, "held", "hold");
    assert_eq!(victim.hear(), "locked");
    let mut janitor = janitor();
    assert!(janitor.round(&scene.base, None).is_empty());
    victim.signal(Signal::SIGSTOP);
    eventually("it is stopped", || describe(victim.pid(), None).unwrap().state == 'T');
    assert!(janitor.round(&scene.base, None).is_empty());
    assert_eq!(scene.owner("held"), u64::from(victim.pid()));
    victim.kill();
    // Only of these pages, and of others nothing.
    let other = PageSize::ALL.into_iter().find(|size| *size != scene.page_size);
    assert!(janitor.round(&scene.base, other).is_empty());
    assert_eq!(janitor.round(&scene.base, Some(scene.page_size)).len(), 1);
}

#[test]
fn what_is_in_the_way_is_said_once_and_stops_nothing() {
    let scene = Scene::new();
    drop(scene.create("z-last"));
    scene.set_owner("z-last", 0x4000_0000);
    File::create(scene.path("empty")).unwrap();
    symlink(scene.path("z-last"), scene.path("link")).unwrap();
    fs::write(scene.path("noise"), [0xA5; 8192]).unwrap();
    // The header of a workspace that is held, and of which there is no more.
    let mut cut = fs::read(scene.path("z-last")).unwrap();
    cut.truncate(4096);
    fs::write(scene.path("cut"), cut).unwrap();
    let gigantic = scene.base.directory_path(PageSize::Gigantic);
    fs::remove_dir(&gigantic).unwrap();
    symlink("/", &gigantic).unwrap();

    let mut janitor = janitor();
    let found = janitor.round(&scene.base, None);
    let names: Vec<_> = found
        .iter()
        .map(|finding| finding.file_name.as_ref().map(|name| name.to_str().unwrap()))
        .collect();
    assert_eq!(names, [None, Some("cut"), Some("empty"), Some("link"), Some("z-last")]);
    let outcomes: Vec<_> = found.iter().map(|finding| finding.outcome.as_ref()).collect();
    assert!(matches!(outcomes[0], Err(JanitorError::Directory(_))));
    assert!(matches!(outcomes[1], Err(JanitorError::Attach(_))));
    for outcome in &outcomes[2..4] {
        assert!(matches!(outcome, Err(JanitorError::Region(RegionError::NotARegion { .. }))));
    }
    assert!(matches!(outcomes[4], Ok(Repair::TakenOver { .. })));
    assert_eq!(scene.owner("z-last"), u64::MAX);

    assert!(janitor.round(&scene.base, None).is_empty(), "that has been said");
    fs::write(scene.path("empty"), [0; 100]).unwrap();
    let found = janitor.round(&scene.base, None);
    assert!(
        matches!(
            &found[..],
            [JanitorFinding {
                outcome: Err(JanitorError::Region(RegionError::NotARegion {
                    why: NotARegion::Ragged { bytes: 100, .. },
                    ..
                })),
                ..
            }]
        ),
        "{found:?}"
    );
    // What was gone for a round is said again.
    fs::remove_file(scene.path("link")).unwrap();
    assert!(janitor.round(&scene.base, None).is_empty());
    symlink("/", scene.path("link")).unwrap();
    assert_eq!(janitor.round(&scene.base, None).len(), 1);
}

#[test]
fn what_has_no_memory_gets_none() {
    let scene = Scene::new();
    File::create(scene.path("sparse")).unwrap().set_len(1 << 30).unwrap();
    assert!(janitor().round(&scene.base, None).is_empty());
    assert_eq!(fs::metadata(scene.path("sparse")).unwrap().blocks(), 0);
}
