//! Somebody without the lock who writes to header and records while others operate.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use wksp_core::{
    Align, Allocation, Gaddr, GaddrRange, Guard, LockError, Memory, Salvage, Tag, Workspace,
};
use wksp_testkit::rng::Rng;

use crate::heap::{Heap, Heir, format, hint_words, snapshot};

const RECORDS: u64 = 24;
const DATA_BYTES: u64 = 5000;
const BYTES: usize = 128 + 64 * 24 + 128 * 40;
/// Behind the workspace, where nothing may ever be written.
const BEHIND: usize = 1024;
const CANARY: u8 = 0xC5;
const ROUNDS: u64 = 20_000;

/// Stores to a field of the index that is not the lock word: anything, or what could stand there.
fn scramble(memory: Memory<'_>, rng: &mut Rng) {
    let record = 128 + 64 * rng.index(RECORDS as usize);
    let (at, bytes) = match rng.below(16) {
        // Seed, heads and roots.
        0 => (80 + 4 * rng.index(6), 4),
        // The number of changes.
        1 => (104, 8),
        // Bounds and tags.
        2..6 => (record + 8 * rng.index(3), 8),
        // Links of list and treaps, priorities.
        _ => (record + 24 + 4 * rng.index(8), 4),
    };
    let value = match rng.below(8) {
        0 => rng.next_u64(),
        1 => u64::MAX,
        2 => 0,
        3 | 4 => 128 + 64 * RECORDS + rng.below(DATA_BYTES + 2),
        _ => rng.below(RECORDS + 1),
    };
    memory.copy_in(at, &value.to_le_bytes()[..bytes]).unwrap();
}

/// Does one operation, of which any answer will do that leads nowhere else.
fn operate(guard: &mut Guard<'_, '_, Heir>, rng: &mut Rng) {
    let data = guard.workspace().geometry().data();
    let within = |range: GaddrRange| assert!(data.encloses(range), "{range} is outside {data}");
    let tag = Tag::new(1 + rng.below(5)).unwrap();
    let gaddr = Gaddr::new(1 + rng.below(8000)).unwrap();
    let align = Align::new(1 << rng.below(8)).unwrap();
    match rng.below(14) {
        0 | 1 => {
            let bytes = 1 + rng.below(500);
            if let Ok(lo) = guard.alloc(align, bytes, tag) {
                within(GaddrRange::new(lo.get(), lo.get() + bytes).unwrap());
            }
        }
        2 => drop(guard.alloc_at_least(align, 1 + rng.below(500), tag).map(within)),
        3 | 4 => drop(guard.free(gaddr).map(|freed| within(freed.range))),
        5 => drop(guard.free_tagged(tag)),
        6 => drop(guard.set_tag(gaddr, tag)),
        7 => drop(guard.fill(gaddr, 7).map(|filled| within(filled.range))),
        8 => {
            let _ = guard.tag(gaddr);
            let found = guard.lowest_tagged(tag).map(|found| within(found.range));
            assert!(found.is_none_or(|()| true));
        }
        9 => {
            let _ = guard.usage(Some(tag));
        }
        10 => {
            assert!(guard.partitions().count() as u64 <= RECORDS);
            guard.partitions().filter_map(Result::ok).for_each(|one| within(one.range));
        }
        11 => drop(guard.verify()),
        12 => drop(guard.rebuild(Some(rng.byte().into()))),
        _ if rng.one_in(8) => drop(guard.reset(None)),
        _ => {
            let range = GaddrRange::new(data.lo().get(), data.lo().get() + 64).unwrap();
            let _ = guard.replace(&[Allocation { range, tag }], None, |_| Ok::<(), ()>(()));
        }
    }
}

/// What can be had without an index.
fn salvage(salvage: Salvage<'_, '_, Heir>, rng: &mut Rng) {
    let _ = salvage.verify();
    assert!(salvage.listed().count() as u64 <= RECORDS);
    if rng.one_in(4) {
        drop(salvage.reset(None));
    } else {
        drop(salvage.recover());
    }
}

fn harms_nobody(with_hints: bool, seed: u64) {
    let mut heap = Heap::zeroed(BYTES + BEHIND);
    let memory = heap.memory();
    memory.copy_in(BYTES, &[CANARY; BEHIND]).unwrap();
    let mut workspace = format(memory, RECORDS, DATA_BYTES);
    assert!(workspace.geometry().footprint() <= BYTES as u64);
    let words = hint_words(&workspace, || 0);
    if with_hints {
        workspace = Workspace::join(memory, Heir).unwrap().with_hints(&words);
    }
    let (done, stores) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut refused, mut rng) = (0_u64, Rng::new(seed));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut rng = Rng::new(!seed);
            while !done.load(Ordering::Relaxed) {
                scramble(memory, &mut rng);
                stores.fetch_add(1, Ordering::Relaxed);
            }
        });
        for _ in 0..ROUNDS {
            match workspace.lock() {
                Ok(mut guard) => operate(&mut guard, &mut rng),
                Err(LockError::Unrecoverable { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
            // With one processor the two take turns of milliseconds otherwise.
            scramble(memory, &mut rng);
            let gaddr = Gaddr::new(1 + rng.below(8000)).unwrap();
            if let Some(found) = workspace.allocation(gaddr).unwrap() {
                assert!(found.range.contains(gaddr));
                assert!(workspace.geometry().data().encloses(found.range));
            }
            if rng.one_in(50) {
                salvage(workspace.salvage().unwrap(), &mut rng);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(stores.into_inner() > 0, "the other one never wrote");
    assert_eq!(refused, 0, "the lock was free, so nothing had to be recovered");
    drop(workspace.salvage().unwrap().reset(None).unwrap());
    assert!(workspace.lock().unwrap().verify().is_clean());
    assert!(snapshot(memory)[BYTES..].iter().all(|&byte| byte == CANARY), "written behind the end");
}

#[test]
fn a_thread_that_scrambles_the_records_harms_nobody() {
    harms_nobody(false, 31);
}

#[test]
fn a_thread_that_scrambles_the_records_harms_nobody_who_has_hints() {
    harms_nobody(true, 32);
}
