//! Every operation stopped behind every single store, then recovered by a second holder.

use std::cell::RefCell;
use std::rc::Rc;

use wksp_core::{Align, Guard, Memory, Party, Solo, Tag, Workspace};
use wksp_testkit::image::{self, Lock, Used};

use crate::heap::{Heap, Heir, format, snapshot};

const PART_MAX: u64 = 8;
const DATA_MAX: u64 = 320;

/// The operations that sequences are made of: every shape of splitting and merging arises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Tag, alignment and size in bytes.
    Alloc(u64, u64, u64),
    /// The how-manieth allocation in order of address.
    Free(usize),
    FreeTagged(u64),
    SetTag(usize, u64),
    Rebuild,
    Reset,
}

const STEPS: [Step; 10] = [
    Step::Alloc(1, 64, 64),
    Step::Alloc(2, 1, 30),
    Step::Alloc(1, 128, 40),
    Step::Free(0),
    Step::Free(1),
    Step::Free(2),
    Step::FreeTagged(1),
    Step::SetTag(0, 2),
    Step::Rebuild,
    Step::Reset,
];

fn apply<P: Party>(guard: &mut Guard<'_, '_, P>, step: Step) {
    let nth = |guard: &Guard<'_, '_, P>, nth: usize| {
        let mut used = guard.partitions().map(Result::unwrap).filter(|part| part.tag.is_some());
        used.nth(nth).map(|partition| partition.range.lo())
    };
    match step {
        Step::Alloc(tag, align, bytes) => {
            // No room is an answer like any other, which must change nothing.
            let _ = guard.alloc(Align::new(align).unwrap(), bytes, Tag::new(tag).unwrap());
        }
        Step::Free(which) => {
            if let Some(gaddr) = nth(guard, which) {
                guard.free(gaddr).unwrap();
            }
        }
        Step::FreeTagged(tag) => {
            guard.free_tagged(Tag::new(tag).unwrap()).unwrap();
        }
        Step::SetTag(which, tag) => {
            if let Some(gaddr) = nth(guard, which) {
                guard.set_tag(gaddr, Tag::new(tag).unwrap()).unwrap();
            }
        }
        Step::Rebuild => guard.rebuild(Some(99)).unwrap(),
        Step::Reset => guard.reset(None).unwrap(),
    }
}

/// Runs `action` and returns the image behind each of its stores to metadata.
fn images_behind_stores(memory: Memory<'static>, action: impl FnOnce()) -> Vec<Vec<u8>> {
    let images = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&images);
    wksp_core::install(Some(Box::new(move || sink.borrow_mut().push(snapshot(memory)))));
    action();
    wksp_core::install(None);
    Rc::try_unwrap(images).unwrap().into_inner()
}

/// Memory for a workspace that hooks can look at, for as long as the test process lives.
fn leaked(image: &[u8]) -> Memory<'static> {
    Box::leak(Box::new(Heap::of_image(image))).memory()
}

fn used_in(image: &[u8]) -> Vec<Used> {
    image::check(image, Lock::AnyOwner).unwrap_or_else(|found| panic!("{found:?}")).used()
}

/// Recovers an image as the heir of whoever was inside, and returns the image at rest.
fn recover(image: &[u8]) -> Vec<u8> {
    let mut heap = Heap::of_image(image);
    let memory = heap.memory();
    let workspace = Workspace::join(memory, Heir).unwrap();
    let guard = workspace.lock().unwrap();
    assert!(guard.verify().is_clean(), "{:?}", guard.verify());
    drop(guard);
    assert_eq!(workspace.holder(), None);
    snapshot(memory)
}

/// Checks what a crash behind each store of the last step leaves, and returns how many there were.
fn check_crashes(
    memory: Memory<'static>,
    start: &[u8],
    step: Step,
    in_recovery_too: bool,
) -> usize {
    memory.copy_in(0, start).unwrap();
    let before = used_in(start);
    let workspace = Workspace::join(memory, Solo).unwrap();
    let images = images_behind_stores(memory, || {
        let mut guard = workspace.lock().unwrap();
        apply(&mut guard, step);
        // Given back outside the hook's sight: the lock word is no store to metadata.
    });
    let after = used_in(&snapshot(memory));
    let is_single_commit = !matches!(step, Step::FreeTagged(_) | Step::Reset);
    let mut last = before.clone();
    for torn in &images {
        let recovered = recover(torn);
        let used = used_in(&recovered);
        // Once gone is gone for ever, once there is there for ever.
        if is_single_commit {
            assert!(used == last || used == after, "{step:?}: {before:?} to {used:?}");
        } else {
            assert!(used.iter().all(|used| last.contains(used)), "{step:?}: back from the dead");
            assert!(after.iter().all(|kept| used.contains(kept)), "{step:?}: lost");
        }
        last = used;
        if in_recovery_too {
            for torn_again in crashes_of_recovery(torn) {
                assert_eq!(used_in(&recover(&torn_again)), last, "{step:?}: crashed twice");
            }
        }
    }
    if !images.is_empty() {
        assert_eq!(last, after, "{step:?}: complete but not committed");
    }
    images.len()
}

/// The images behind every store of the recovery of an image.
fn crashes_of_recovery(torn: &[u8]) -> Vec<Vec<u8>> {
    thread_local! {
        static SECOND: Memory<'static> =
            leaked(&vec![0; (128 + 64 * PART_MAX + DATA_MAX + 128) as usize / 128 * 128]);
    }
    let memory = SECOND.with(|memory| *memory);
    memory.copy_in(0, torn).unwrap();
    let workspace = Workspace::join(memory, Heir).unwrap();
    images_behind_stores(memory, || drop(workspace.lock().unwrap()))
}

fn fresh() -> (Memory<'static>, Vec<u8>) {
    let memory = leaked(&vec![0; (128 + 64 * PART_MAX + DATA_MAX + 128) as usize / 128 * 128]);
    let image = {
        let _ = format(memory, PART_MAX, DATA_MAX);
        snapshot(memory)
    };
    (memory, image)
}

/// Goes through all sequences of `length` steps from `start` on; returns the crash points seen.
fn sequences(memory: Memory<'static>, start: &[u8], length: usize, in_recovery_too: bool) -> usize {
    if length == 0 {
        return 0;
    }
    let mut points = 0;
    for step in STEPS {
        points += check_crashes(memory, start, step, in_recovery_too);
        let next = snapshot(memory);
        points += sequences(memory, &next, length - 1, in_recovery_too);
    }
    points
}

#[test]
fn every_store_of_all_sequences_of_four_operations() {
    let (memory, image) = fresh();
    let points = sequences(memory, &image, 4, false);
    println!("{points} crash points");
    assert!(points > 100_000, "only {points} crash points: the hook is not at work");
}

#[test]
fn every_store_of_the_recovery_from_every_store() {
    let (memory, image) = fresh();
    let points = sequences(memory, &image, 2, true);
    assert!(points > 1000, "only {points} crash points: the hook is not at work");
}

#[test]
fn every_store_of_formatting() {
    let bytes = vec![0xA5; (128 + 64 * PART_MAX + DATA_MAX + 128) as usize / 128 * 128];
    let memory = leaked(&bytes);
    let images = images_behind_stores(memory, || {
        let _ = format(memory, PART_MAX, DATA_MAX);
    });
    let mut joined = 0;
    for torn in &images {
        let mut heap = Heap::of_image(torn);
        if Workspace::join(heap.memory(), Heir).is_ok() {
            joined += 1;
            assert_eq!(used_in(&recover(torn)), []);
        } else {
            assert_eq!(joined, 0, "joined before, but not any more");
        }
    }
    assert!(joined > 20 && joined < images.len());
}
