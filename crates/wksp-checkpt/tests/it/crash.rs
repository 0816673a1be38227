//! A restore that is killed at any of its stores leaves a workspace that recovers by itself.

use std::cell::RefCell;
use std::rc::Rc;

use wksp_checkpt::{Checkpoint, RestoreOptions};
use wksp_core::{
    Geometry, Memory, OwnerId, Party, Sighting, Stranger, Tag, Verdict, Workspace, install,
};
use wksp_testkit::golden::Allocation;
use wksp_testkit::image::{self, Lock};

use crate::heap::{Heap, STYLES, describe, file, filled, options};

/// The second holder: it knows that the first one is dead.
struct Heir;

impl Party for Heir {
    type Patience = ();

    fn enter(&self) -> Result<OwnerId, Stranger> {
        OwnerId::new(2).ok_or(Stranger)
    }

    fn is_inside(&self, _id: OwnerId) -> bool {
        true
    }

    fn leave(&self) {}

    fn judge(&self, _sighting: Sighting, _patience: &mut ()) -> Verdict {
        Verdict::TakeOver
    }
}

/// Every image that a kill during `restore` could have left.
fn images(
    memory: Memory<'static>,
    restore: impl FnOnce(&Workspace<'_, wksp_core::Solo>),
) -> Vec<Vec<u8>> {
    let images = Rc::new(RefCell::new(Vec::new()));
    let workspace = Workspace::join(memory, wksp_core::Solo).unwrap();
    let into = Rc::clone(&images);
    install(Some(Box::new(move || into.borrow_mut().push(bytes_of(memory)))));
    restore(&workspace);
    install(None);
    Rc::try_unwrap(images).unwrap().into_inner()
}

fn bytes_of(memory: Memory<'_>) -> Vec<u8> {
    let mut image = vec![0; memory.bytes()];
    memory.copy_out(0, &mut image).unwrap();
    image
}

#[test]
fn a_kill_at_any_store_leaves_a_workspace_that_recovers() {
    let mut origin = filled(&[30, 400, 7, 64, 9, 120], 12, 21);
    let new = origin.described();
    for style in STYLES {
        let bytes = file(&mut origin, &options(style));
        let checkpoint = Checkpoint::open(&bytes).unwrap();
        let geometry = Geometry::new(12, checkpoint.preview().geometry.data_max()).unwrap();
        let mut heap = Heap::new(geometry.footprint());
        let workspace = heap.format("target", geometry);
        for size in [100, 200, 50] {
            let tag = Tag::new(size).unwrap();
            let gaddr = workspace.lock().unwrap().alloc(wksp_core::Align::BYTE, size, tag).unwrap();
            workspace.copy_in(gaddr, &vec![0xAA; size as usize]).unwrap();
        }
        let old = heap.described();
        let memory = heap.leak();
        let images = images(memory, |workspace| {
            let verified = checkpoint.verify(&wksp_checkpt::Control::default()).unwrap();
            let mut guard = workspace.lock().unwrap();
            verified.restore(&mut guard, &RestoreOptions::default()).unwrap();
        });
        assert!(images.len() > 100, "{} stores", images.len());
        let (mut with_old, mut with_none, mut with_new) = (0, 0, 0);
        for image in images {
            let found = recovered(&image);
            if found.is_empty() {
                with_none += 1;
            } else if found.iter().all(|one| old.contains(one)) {
                with_old += 1;
            } else {
                assert!(found.iter().all(|one| new.contains(one)), "{found:?}");
                // In order of address, so that the first ones are there.
                assert_eq!(found, new[..found.len()]);
                with_new += 1;
            }
        }
        assert!(
            with_old >= 3 && with_none > 2 && with_new > new.len(),
            "{style:?}: {with_old} {with_none} {with_new}"
        );
        assert_eq!(Heap::of_image(&bytes_of(memory)).described(), new);
    }
}

/// What the next holder finds after the kill.
fn recovered(killed: &[u8]) -> Vec<Allocation> {
    let mut heap = Heap::of_image(killed);
    let truth = image::truth(killed).unwrap();
    let workspace = Workspace::join(heap.memory(), Heir).unwrap();
    let guard = workspace.lock().unwrap();
    assert!(guard.verify().is_clean());
    drop(guard);
    let after = heap.image();
    let listing = image::check(&after, Lock::MustBeFree).unwrap();
    assert_eq!(listing.used(), truth);
    truth.iter().map(|&used| describe(&after, used)).collect()
}
