//! Stray writes to the metadata: found, survived, and never handed on to the data.

use wksp_core::{Align, Damage, Finding, Gaddr, Memory, PartitionIndex, Tag, Workspace};
use wksp_testkit::image::{self, Lock};
use wksp_testkit::rng::Rng;

use crate::heap::{Heap, Heir, empty_model, format, snapshot};
use crate::operations::{Operation, apply};

const RECORDS: u64 = 24;
const BYTES: usize = 128 + 64 * 24 + 128 * 40;

/// A workspace with some allocations and gaps.
fn lived_in(memory: Memory<'_>, rng: &mut Rng) -> Vec<u8> {
    let workspace = format(memory, RECORDS, 5000);
    let mut model = empty_model(&workspace);
    for _ in 0..60 {
        let mut guard = workspace.lock().unwrap();
        apply(&mut guard, &mut model, Operation::random(rng, 600));
    }
    let image = snapshot(memory);
    workspace_to_zero(memory);
    image
}

/// So that the memory can be formatted again.
fn workspace_to_zero(memory: Memory<'_>) {
    memory.copy_in(0, &[0; 8]).unwrap();
}

/// Overwrites a field of the index, in the header or a record, with something nasty.
fn damage(image: &mut [u8], rng: &mut Rng) {
    let (at, bytes) = match rng.below(8) {
        0 => (80 + 4 * rng.index(6), 4),
        1 => (104, 8),
        2..5 => (128 + 64 * rng.index(RECORDS as usize) + 24 + 4 * rng.index(7), 4),
        5 | 6 => (128 + 64 * rng.index(RECORDS as usize) + 8 * rng.index(3), 8),
        _ => (128 + rng.index(64 * RECORDS as usize), 1),
    };
    let value = match rng.below(5) {
        0 => rng.next_u64(),
        1 => rng.below(RECORDS),
        2 => u64::MAX,
        3 => rng.below(8000),
        _ => 0,
    };
    image[at..at + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
}

#[test]
fn an_idle_record_has_no_range_not_even_an_empty_one() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let workspace = format(memory, RECORDS, 5000);
    // The last record is idle in a workspace that is one free partition.
    let bounds_at = 128 + 64 * (RECORDS as usize - 1);
    for (lo, hi) in [(2000_u64, 2000_u64), (0, 1), (1, 0), (1, 1), (u64::MAX, u64::MAX)] {
        let bounds = [lo.to_le_bytes(), hi.to_le_bytes()].concat();
        memory.copy_in(bounds_at, &bounds).unwrap();
        let report = workspace.lock().unwrap().verify();
        assert!(!report.is_clean(), "{lo} to {hi}");
        let census = report.census();
        assert_eq!((census.idle, census.free, census.used), (RECORDS - 2, 2, 0));
    }
    memory.copy_in(bounds_at, &[0; 16]).unwrap();
    assert!(workspace.lock().unwrap().verify().is_clean());
}

/// Stores the bytes of fields of a workspace, by their offsets in docs/layout.md.
fn store<const N: usize>(memory: Memory<'_>, fields: &[(usize, [u8; N])]) {
    for (at, bytes) in fields {
        memory.copy_in(*at, bytes).unwrap();
    }
}

#[test]
fn free_neighbours_are_found_though_all_else_is_in_order() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let workspace = format(memory, RECORDS, 5000);
    let (data, record) = (workspace.geometry().data(), |at: usize| 128 + 64 * at);
    // Record 0 has the lower 2000 bytes, record 1 the others, and hangs off it on the right.
    let middle = (data.lo().get() + 2000).to_le_bytes();
    let hi = data.hi().get().to_le_bytes();
    store(memory, &[(record(0) + 8, middle), (record(1), middle), (record(1) + 8, hi)]);
    let [none, zero, one, two] = [u32::MAX, 0, 1, 2].map(u32::to_le_bytes);
    store(memory, &[(84, two), (92, one)]);
    store(memory, &[(record(0) + 24, zero), (record(0) + 32, one), (record(0) + 40, one)]);
    store(memory, &[(record(1) + 24, zero), (record(1) + 28, zero), (record(1) + 44, zero)]);
    let [lower, upper] = [0, 1].map(|at| PartitionIndex::new(at).unwrap());
    let findings =
        || -> Vec<_> { workspace.lock().unwrap().verify().findings().copied().collect() };
    assert_eq!(findings(), [Finding::FreeNeighbours { lower, upper }]);

    // Only one may be the last.
    store(memory, &[(record(0) + 8, hi)]);
    store(memory, &[(record(0) + 32, none)]);
    assert!(findings().contains(&Finding::List(Damage::WrongRoot { expected: lower })));
}

#[test]
fn the_list_can_be_shown_whatever_is_in_it() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let mut rng = Rng::new(31);
    let image = lived_in(memory, &mut rng);
    memory.copy_in(0, &image).unwrap();
    let workspace = Workspace::join(memory, Heir).unwrap();
    let partitions: Vec<_> = workspace.lock().unwrap().partitions().map(Result::unwrap).collect();
    let salvage = workspace.salvage().unwrap();
    let listed: Vec<_> = salvage.listed().map(Result::unwrap).collect();
    assert_eq!(listed.len(), partitions.len());
    let mut before = None;
    for (listed, partition) in listed.iter().zip(&partitions) {
        let range = (partition.range.lo().get(), partition.range.hi().get());
        assert_eq!((listed.index, listed.tag), (partition.index, partition.tag));
        assert_eq!(((listed.lo, listed.hi), listed.prev), (range, before));
        before = Some(listed.index);
    }
    assert_eq!(salvage.listed_tail(), before);
    drop(salvage);
    // A list that goes round in a ring ends after as many records as there are.
    let (head, tail) = (listed[0].index.get(), listed[listed.len() - 1].index.get());
    let tail_next = 128 + 64 * tail as usize + 32;
    memory.copy_in(tail_next, &head.to_le_bytes()).unwrap();
    assert_eq!(workspace.salvage().unwrap().listed().count() as u64, RECORDS);
    let mut ends = 0;
    for _ in 0..2000 {
        let mut damaged = image.clone();
        damage(&mut damaged, &mut rng);
        memory.copy_in(0, &damaged).unwrap();
        let salvage = workspace.salvage().unwrap();
        let listed: Vec<_> = salvage.listed().collect();
        assert!(listed.len() as u64 <= RECORDS);
        assert!(listed.iter().rev().skip(1).all(Result::is_ok), "it goes on behind damage");
        ends += usize::from(listed.last().is_some_and(Result::is_err));
    }
    assert!(ends > 0, "no link led out of the table");
}

/// The bytes of `part_head` in the header.
const LIST_HEAD: std::ops::Range<usize> = 88..92;

#[test]
fn a_list_that_ends_early_is_no_short_list() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let image = lived_in(memory, &mut Rng::new(29));
    let word = |at: usize| u32::from_le_bytes(*image[at..].first_chunk().unwrap());
    let mut links = vec![LIST_HEAD.start];
    while word(links[links.len() - 1]) != u32::MAX {
        links.push(128 + 64 * word(links[links.len() - 1]) as usize + 32);
    }
    // The last one ends the list in any case.
    links.pop();
    assert!(links.len() > 5);
    for link in links {
        let mut damaged = image.clone();
        damaged[link..link + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut heap = Heap::of_image(&damaged);
        let workspace = Workspace::join(heap.memory(), Heir).unwrap();
        let guard = workspace.lock().unwrap();
        let last = guard.partitions().last().unwrap();
        assert!(matches!(last, Err(Damage::ListEnds { .. })), "{last:?}");
    }
}

/// Where in a record its tag, and its links to the neighbours in the list, are.
const TAG: usize = 16;
const PREV: usize = 28;
const NEXT: usize = 32;

#[test]
fn a_gap_is_handed_out_only_if_its_neighbours_know_it() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let workspace = format(memory, RECORDS, 5000);
    let [tag, other] = [1, 2].map(|tag| Tag::new(tag).unwrap());
    let alloc = |tag| workspace.lock().unwrap().alloc(Align::BYTE, 500, tag).unwrap();
    let [below, gap, above] = [tag, other, tag].map(alloc);
    workspace.lock().unwrap().free(gap).unwrap();
    let image = snapshot(memory);
    let record = |gaddr: Gaddr| {
        let guard = workspace.lock().unwrap();
        let at = guard.partitions().map(Result::unwrap).find(|part| part.range.lo() == gaddr);
        128 + 64 * at.unwrap().index.get() as usize
    };
    let [below, above] = [below, above].map(record);
    for (at, bytes) in [(below + NEXT, 4), (below + TAG, 8), (above + PREV, 4), (above + TAG, 8)] {
        for value in [0_u64, 5, u64::MAX] {
            let is_tag = bytes == 8;
            if is_tag && value != 0 {
                continue;
            }
            memory.copy_in(0, &image).unwrap();
            memory.copy_in(at, &value.to_le_bytes()[..bytes]).unwrap();
            let mut guard = workspace.lock().unwrap();
            guard.alloc(Align::BYTE, 400, other).unwrap();
            assert!(guard.repair().is_some(), "{value} at {at} went unnoticed");
            assert!(guard.verify().is_clean());
            assert_eq!(guard.partitions().map(Result::unwrap).filter_map(|one| one.tag).count(), {
                if is_tag { 2 } else { 3 }
            });
        }
    }
}

/// Where in the header the top of the idle stack is.
const IDLE_TOP: usize = 84;

#[test]
fn a_partition_on_the_idle_stack_is_not_made_another_one() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let workspace = format(memory, RECORDS, 5000);
    let tag = Tag::new(1).unwrap();
    let alloc = || workspace.lock().unwrap().alloc(Align::BYTE, 500, tag).unwrap();
    let [_, gap, _] = [alloc(), alloc(), alloc()];
    workspace.lock().unwrap().free(gap).unwrap();
    let image = snapshot(memory);
    let count = workspace.lock().unwrap().partitions().count();
    for which in 0..count {
        memory.copy_in(0, &image).unwrap();
        let mut guard = workspace.lock().unwrap();
        let partition = guard.partitions().nth(which).unwrap().unwrap();
        memory.copy_in(IDLE_TOP, &partition.index.get().to_le_bytes()).unwrap();
        guard.alloc(Align::BYTE, 100, tag).unwrap();
        assert!(guard.repair().is_some(), "{partition:?} was taken for an idle record");
        assert!(guard.verify().is_clean());
        assert_eq!(guard.usage(None).used.count, 3);
    }
}

#[test]
fn verify_agrees_with_the_independent_checker() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let mut rng = Rng::new(23);
    let (mut clean, mut damaged) = (0, 0);
    for _ in 0..100 {
        let image = lived_in(memory, &mut rng);
        for _ in 0..100 {
            let mut image = image.clone();
            damage(&mut image, &mut rng);
            memory.copy_in(0, &image).unwrap();
            let workspace = Workspace::join(memory, Heir).unwrap();
            let report = workspace.salvage().unwrap().verify();
            let checked = image::check(&image, Lock::MustBeFree);
            assert_eq!(report.is_clean(), checked.is_ok(), "{report:?}\n{checked:?}");
            if report.is_clean() {
                clean += 1
            } else {
                damaged += 1
            }
            assert!(snapshot(memory) == image, "verification has changed something");
        }
        workspace_to_zero(memory);
    }
    assert!(clean > 500 && damaged > 4000, "{clean} clean, {damaged} damaged");
}

#[test]
fn operations_on_damaged_metadata_end_and_hand_out_no_overlap() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let mut rng = Rng::new(29);
    for _ in 0..300 {
        let image = lived_in(memory, &mut rng);
        for _ in 0..20 {
            let mut image = image.clone();
            let truth = image::truth(&image);
            for _ in 0..=rng.below(4) {
                damage(&mut image, &mut rng);
            }
            memory.copy_in(0, &image).unwrap();
            // What the records with a tag say can be relied on only while they say it.
            operate(memory, &mut rng, image::truth(&image) == truth);
        }
        workspace_to_zero(memory);
    }
}

/// Allocates and frees whatever can be, checking each answer against the records themselves.
fn operate(memory: Memory<'_>, rng: &mut Rng, is_truth_sound: bool) {
    let workspace = Workspace::join(memory, Heir).unwrap();
    let data = workspace.geometry().data();
    for _ in 0..12 {
        // Damage that cannot be rebuilt is an answer too.
        let Ok(mut guard) = workspace.lock() else { return };
        if rng.one_in(2) {
            let bytes = 1 + rng.below(500);
            let others: Vec<_> = image::truth(&snapshot(memory)).unwrap_or_default();
            let tag = Tag::new(1).unwrap();
            if let Ok(range) = guard.alloc_at_least(Align::CACHE_LINE, bytes, tag) {
                assert!(data.encloses(range) && range.bytes() >= bytes);
                let (lo, hi) = (range.lo().get(), range.hi().get());
                let overlap = others.iter().find(|used| used.lo < hi && lo < used.hi);
                assert!(overlap.is_none() || !is_truth_sound, "{range} was in use: {overlap:?}");
            }
        } else {
            let gaddr = Gaddr::new(1 + rng.below(8000)).unwrap();
            let _ = guard.free(gaddr);
            let _ = guard.free_tagged(Tag::new(1 + rng.below(5)).unwrap());
        }
        let _ = guard.usage(None);
        assert!(guard.partitions().count() <= RECORDS as usize);
    }
}
