//! Every operation stopped behind every single store, then recovered by a second holder.
//!
//! `WKSP_CRASH_DEPTH` sets how many operations the sequences have, instead of 4.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use wksp_core::{
    Align, Allocation, GaddrRange, Guard, Holder, Memory, Party, Solo, Tag, Workspace,
};
use wksp_testkit::image::{self, Lock, Used};
use wksp_testkit::rng::Rng;

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
    /// Which allocation, in order of address, gets which bytes.
    Fill(usize, u8),
    /// So many allocations take the place of all there are, as of a checkpoint.
    Replace(u64),
}

impl Step {
    /// Whether one store makes all of it.
    const fn is_single_commit(self) -> bool {
        !matches!(self, Self::FreeTagged(_) | Self::Reset | Self::Replace(_))
    }

    fn random(rng: &mut Rng) -> Self {
        match rng.below(20) {
            // Whole lines often fit exactly where something was freed.
            0..5 => Self::Alloc(1 + rng.below(4), 64, 64 + 64 * rng.below(3)),
            5..10 => Self::Alloc(1 + rng.below(4), 1 << rng.below(8), 1 + rng.below(200)),
            10..16 => Self::Free(rng.index(20)),
            16 if rng.one_in(4) => Self::FreeTagged(1 + rng.below(4)),
            16 => Self::SetTag(rng.index(20), 1 + rng.below(4)),
            17 => Self::Fill(rng.index(20), rng.byte()),
            18 => Self::Rebuild,
            _ if rng.one_in(8) => Self::Reset,
            _ if rng.one_in(4) => Self::Replace(rng.below(4)),
            _ => Self::Free(0),
        }
    }
}

/// What [`STEPS`] leave out, since a sequence of four with these would take too long.
const MORE_STEPS: [Step; 3] = [Step::Fill(0, 7), Step::Replace(0), Step::Replace(2)];

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
        Step::Fill(which, value) => {
            if let Some(gaddr) = nth(guard, which) {
                guard.fill(gaddr, value).unwrap();
            }
        }
        Step::Replace(count) => {
            let lo = guard.workspace().geometry().data().lo().get();
            let at =
                |number: u64| GaddrRange::new(lo + 80 * number, lo + 80 * number + 64).unwrap();
            let tag = |number: u64| Tag::new(3 + number).unwrap();
            let new = |number: u64| Allocation { range: at(number), tag: tag(number) };
            let new: Vec<_> = (0..count).map(new).collect();
            guard.replace(&new, None, |_| Ok::<(), ()>(())).unwrap();
        }
    }
}

/// How an allocation or a free goes with what is around: what it splits off, or what it joins.
fn shape(before: &[u8], step: Step, after: &[u8]) -> Option<(bool, bool, bool)> {
    let free = |image: &[u8]| image::check(image, Lock::AnyOwner).unwrap().free();
    let (used_before, used_after) = (used_in(before), used_in(after));
    let (fewer, more, gaps, is_alloc) = match step {
        Step::Alloc(..) => (used_before, used_after, free(before), true),
        Step::Free(_) => (used_after, used_before, free(after), false),
        _ => return None,
    };
    let own = more.iter().find(|used| !fewer.contains(used))?;
    let gap = gaps.iter().find(|gap| gap.contains(&own.lo)).unwrap();
    Some((is_alloc, gap.start < own.lo, own.hi < gap.end))
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
    if let Some(shape) = shape(start, step, &snapshot(memory)) {
        SHAPES.with_borrow_mut(|shapes| shapes.insert(shape));
    }
    let mut last = before.clone();
    let mut is_growing = false;
    for torn in &images {
        let recovered = recover(torn);
        let used = used_in(&recovered);
        // Once gone is gone for ever, once there is there for ever.
        if step.is_single_commit() {
            assert!(used == last || used == after, "{step:?}: {before:?} to {used:?}");
        } else if is_growing || !used.iter().all(|used| last.contains(used)) {
            assert!(matches!(step, Step::Replace(_)), "{step:?}: back from the dead");
            assert!(is_growing || last.is_empty(), "{step:?}: {last:?} in the way of {used:?}");
            assert!(used.len() >= last.len() && after.starts_with(&used), "{step:?}: lost");
            is_growing = true;
        } else if matches!(step, Step::Replace(_)) {
            // All of the old ones go before any new one comes.
        } else {
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
        static SECOND: RefCell<Option<Memory<'static>>> = const { RefCell::new(None) };
    }
    // One for each size, so that not every image costs one.
    let second = SECOND.with_borrow(|second| second.filter(|memory| memory.bytes() == torn.len()));
    let memory = second.unwrap_or_else(|| leaked(torn));
    SECOND.set(Some(memory));
    memory.copy_in(0, torn).unwrap();
    let workspace = Workspace::join(memory, Heir).unwrap();
    images_behind_stores(memory, || drop(workspace.lock().unwrap()))
}

thread_local! {
    /// The shapes of allocations and frees that a test has come across.
    static SHAPES: RefCell<BTreeSet<(bool, bool, bool)>> = const { RefCell::new(BTreeSet::new()) };
}

/// Asserts that there was each of the four ways to split and each of the four ways to merge.
fn assert_all_shapes() {
    SHAPES.with_borrow(|shapes| assert_eq!(shapes.len(), 8, "{shapes:?}"));
}

fn fresh() -> (Memory<'static>, Vec<u8>) {
    fresh_of(PART_MAX, DATA_MAX)
}

fn fresh_of(part_max: u64, data_max: u64) -> (Memory<'static>, Vec<u8>) {
    let memory = leaked(&vec![0; (128 + 64 * part_max + data_max + 128) as usize / 128 * 128]);
    let image = {
        let _ = format(memory, part_max, data_max);
        snapshot(memory)
    };
    (memory, image)
}

/// Goes through all sequences of `length` steps from `start` on; returns the crash points seen.
fn sequences(
    memory: Memory<'static>,
    start: &[u8],
    steps: &[Step],
    length: usize,
    in_recovery_too: bool,
) -> usize {
    if length == 0 {
        return 0;
    }
    let mut points = 0;
    for &step in steps {
        points += check_crashes(memory, start, step, in_recovery_too);
        let next = snapshot(memory);
        points += sequences(memory, &next, steps, length - 1, in_recovery_too);
    }
    points
}

/// How many operations the sequences have.
fn depth() -> usize {
    std::env::var("WKSP_CRASH_DEPTH").ok().and_then(|depth| depth.parse().ok()).unwrap_or(4)
}

#[test]
fn every_store_of_all_sequences_of_four_operations() {
    let (memory, image) = fresh();
    let points = sequences(memory, &image, &STEPS, depth(), false);
    println!("{points} crash points in all sequences of {} operations", depth());
    assert!(points > 100_000, "only {points} crash points: the hook is not at work");
    assert_all_shapes();
}

#[test]
fn every_store_of_the_recovery_from_every_store() {
    let (memory, image) = fresh();
    let steps = [&STEPS[..], &MORE_STEPS].concat();
    let points = sequences(memory, &image, &steps, depth() - 2, true);
    println!("{points} crash points, each with all of its recovery");
    assert!(points > 1000, "only {points} crash points: the hook is not at work");
}

#[test]
fn every_store_of_filling_and_replacing() {
    let (memory, image) = fresh();
    let steps = [&STEPS[..], &MORE_STEPS].concat();
    let points = sequences(memory, &image, &steps, depth() - 1, false);
    println!("{points} crash points in sequences with filling and replacing");
    assert!(points > 10_000, "only {points} crash points: the hook is not at work");
}

#[test]
fn every_store_of_random_operations_among_many_records() {
    let (memory, mut image) = fresh_of(48, 3000);
    let mut rng = Rng::new(43);
    let mut points = 0;
    for number in 0..400 * depth() {
        // A rebuild has many stores here, and each of them its own recovery.
        let in_recovery_too = number % 250 == 0;
        points += check_crashes(memory, &image, Step::random(&mut rng), in_recovery_too);
        image = snapshot(memory);
    }
    println!("{points} crash points in random operations");
    assert_all_shapes();
}

/// Does `step` with a panic behind store number `store` of it, counted from 0, from a state that is
/// `start`; false if there are fewer stores.
fn panics_behind(memory: Memory<'static>, start: &[u8], step: Step, store: usize) -> bool {
    memory.copy_in(0, start).unwrap();
    let workspace = Workspace::join(memory, Solo).unwrap();
    let mut left = store;
    wksp_core::install(Some(Box::new(move || match left.checked_sub(1) {
        Some(fewer) => left = fewer,
        // Without the message of a panic, of which there are thousands.
        None => resume_unwind(Box::new("injected")),
    })));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut guard = workspace.lock().unwrap();
        apply(&mut guard, step);
    }));
    wksp_core::install(None);
    assert_eq!(workspace.holder(), None, "the lock was given back");
    outcome.is_err()
}

#[test]
fn a_panic_behind_any_store_leaves_a_sound_index_before_the_lock_is_given_back() {
    let (memory, image) = fresh();
    let mut rng = Rng::new(47);
    let (mut start, mut points) = (image, 0);
    for _ in 0..300 {
        let step = Step::random(&mut rng);
        memory.copy_in(0, &start).unwrap();
        apply(&mut Workspace::join(memory, Solo).unwrap().lock().unwrap(), step);
        let (before, after, next) = (used_in(&start), used_in(&snapshot(memory)), snapshot(memory));
        let mut store = 0;
        while panics_behind(memory, &start, step, store) {
            // The independent checker finds fault with an index that was left as it was.
            let used = image::check(&snapshot(memory), Lock::MustBeFree).unwrap().used();
            let is_right = match step {
                Step::Replace(_) => {
                    used.iter().all(|one| before.contains(one) || after.contains(one))
                }
                _ if step.is_single_commit() => used == before || used == after,
                _ => used.iter().all(|one| before.contains(one)),
            };
            assert!(is_right, "{step:?}: {before:?} to {used:?}");
            store += 1;
        }
        points += store;
        start = next;
    }
    assert!(points > 2000, "only {points} panics: the hook is not at work");
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
            assert_eq!(Holder::in_header(torn), Some(Holder::Formatter));
            assert_eq!(used_in(&recover(torn)), []);
        } else {
            assert_eq!(joined, 0, "joined before, but not any more");
        }
    }
    assert!(joined > 20 && joined < images.len());
}
