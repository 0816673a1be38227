//! Wrong input gets a clear error and changes nothing.

use std::cell::Cell;

use wksp_core::{
    Align, AllocError, BadAlign, EditError, Format, FormatError, FreeError, Gaddr, Geometry,
    GeometryError, Holder, JoinError, LockError, MAGIC, Name, NotAllocated, OutsideData, OwnerId,
    PartitionIndex, Party, RebuildError, Sighting, Solo, Stranger, Tag, Verdict, Workspace,
};

use crate::heap::{Heap, Heir, format, snapshot};

const BYTES: usize = 8192;

fn word(memory: wksp_core::Memory<'_>, offset: usize, value: u64) {
    memory.copy_in(offset, &value.to_le_bytes()).unwrap();
}

#[test]
fn sizes_alignments_and_tags_out_of_range() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let workspace = format(memory, 8, 4000);
    let tag = Tag::new(1).unwrap();
    let before = snapshot(memory);

    assert_eq!(Align::new(0), Err(BadAlign { bytes: 0 }));
    assert_eq!(Align::new(48), Err(BadAlign { bytes: 48 }));
    assert_eq!(Tag::new(0), None);
    assert_eq!(Gaddr::new(0), None);
    let mut guard = workspace.lock().unwrap();
    assert_eq!(guard.alloc(Align::BYTE, 0, tag), Err(AllocError::ZeroSize));
    let huge = Align::new(1 << 63).unwrap();
    for (align, bytes) in [
        (Align::BYTE, 4001),
        (Align::BYTE, u64::MAX),
        (Align::PAGE, u64::MAX - 1),
        (huge, 1),
        (huge, u64::MAX),
    ] {
        let expected = AllocError::NoSpace { bytes, align: align.get(), largest_free_bytes: 4000 };
        assert_eq!(guard.alloc(align, bytes, tag), Err(expected));
        assert!(guard.alloc_at_least(align, bytes, tag).is_err());
    }
    drop(guard);
    assert_unchanged(memory, &before);
}

/// The cycle tag may rise on an attempt; nothing else may change.
#[track_caller]
fn assert_unchanged(memory: wksp_core::Memory<'_>, before: &[u8]) {
    let mut after = snapshot(memory);
    after[104..112].copy_from_slice(&before[104..112]);
    assert!(after == before);
}

#[test]
fn a_whole_workspace_can_be_one_aligned_allocation() {
    let mut heap = Heap::zeroed(BYTES);
    let workspace = format(heap.memory(), 62, 4096 - 128);
    let mut guard = workspace.lock().unwrap();
    // The data begins at 4096, so a page fits without slack.
    let tag = Tag::new(1).unwrap();
    assert_eq!(guard.alloc(Align::PAGE, 4096 - 128, tag).unwrap().get(), 4096);
    assert!(matches!(
        guard.alloc(Align::BYTE, 1, tag),
        Err(AllocError::NoSpace { largest_free_bytes: 0, .. })
    ));
}

#[test]
fn running_out_of_records_is_told_from_running_out_of_bytes() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let workspace = format(memory, 3, 6000);
    let mut guard = workspace.lock().unwrap();
    let tag = Tag::new(1).unwrap();
    let first = guard.alloc(Align::PAGE, 100, tag).unwrap();
    let before = snapshot(memory);
    let expected = AllocError::NoRecords { bytes: 10, needed: 1, idle: 0 };
    assert_eq!(guard.alloc(Align::BYTE, 10, tag), Err(expected));
    assert_unchanged(memory, &before);
    // What fits exactly needs none.
    guard.alloc(Align::BYTE, first.get() - 320, tag).unwrap();
}

#[test]
fn addresses_outside_freed_and_never_allocated() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let workspace = format(memory, 8, 4000);
    let data = workspace.geometry().data();
    let tag = Tag::new(7).unwrap();
    let mut guard = workspace.lock().unwrap();
    let gaddr = guard.alloc(Align::BYTE, 100, tag).unwrap();
    guard.free(gaddr).unwrap();
    let before = snapshot(memory);
    for gaddr in [gaddr, data.lo(), Gaddr::new(data.hi().get() - 1).unwrap()] {
        let free = NotAllocated::Free { gaddr };
        assert_eq!(guard.free(gaddr), Err(FreeError::NotAllocated(free)));
        assert_eq!(guard.set_tag(gaddr, tag), Err(EditError::NotAllocated(free)));
        assert_eq!(guard.fill(gaddr, 1), Err(EditError::NotAllocated(free)));
        assert_eq!(guard.allocation(gaddr), None);
    }
    for gaddr in [1, data.lo().get() - 1, data.hi().get(), u64::MAX] {
        let gaddr = Gaddr::new(gaddr).unwrap();
        let outside = NotAllocated::Outside { gaddr, data };
        assert_eq!(guard.free(gaddr), Err(FreeError::NotAllocated(outside)));
        assert_eq!(guard.set_tag(gaddr, tag), Err(EditError::NotAllocated(outside)));
        assert_eq!(guard.fill(gaddr, 1), Err(EditError::NotAllocated(outside)));
        assert_eq!(guard.allocation(gaddr), None);
        assert_eq!(workspace.pointer(gaddr), None);
        let expected = OutsideData { gaddr, bytes: 1, data };
        assert_eq!(workspace.copy_in(gaddr, &[1]), Err(expected));
        assert_eq!(workspace.copy_out(gaddr, &mut [0]), Err(expected));
    }
    assert!(workspace.copy_in(data.lo(), &[1; 4001]).is_err());
    assert_unchanged(memory, &before);
    let pointer = workspace.pointer(gaddr).unwrap();
    assert_eq!(workspace.gaddr(pointer.as_ptr()), Some(gaddr));
    assert_eq!(workspace.gaddr(std::ptr::null()), None);
}

#[test]
fn what_is_no_workspace_is_not_joined() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let join = || Workspace::join(memory, Solo).map(|_| ());
    assert_eq!(join(), Err(JoinError::NotAWorkspace { magic: 0 }));
    let _ = format(memory, 8, 4000);
    join().unwrap();
    // A header that claims more than there is, in every field that could.
    for (offset, value, good) in [
        (8, 0, 8),
        (8, 1 << 32, 8),
        (8, u64::MAX, 8),
        (8, 9, 8),
        (16, 0, 4000),
        (16, u64::MAX, 4000),
        (16, 1 << 62, 4000),
        (24, 0, 640),
        (24, u64::MAX, 640),
        (32, 0, 4640),
        (32, u64::MAX, 4640),
        (0, MAGIC ^ 1, MAGIC),
    ] {
        word(memory, offset, value);
        let before = snapshot(memory);
        assert!(join().is_err(), "offset {offset} value {value}");
        assert_eq!(snapshot(memory), before);
        word(memory, offset, good);
        join().unwrap();
    }
    // A consistent one, but larger than the memory.
    let larger = Geometry::new(8, 1 << 40).unwrap();
    word(memory, 16, 1 << 40);
    word(memory, 32, larger.data().hi().get());
    let footprint = larger.footprint();
    assert_eq!(join(), Err(JoinError::Truncated { footprint, bytes: BYTES }));
}

#[test]
fn memory_that_is_too_small_or_taken_is_not_formatted() {
    let mut heap = Heap::zeroed(256);
    let memory = heap.memory();
    let format = |geometry| {
        let format = Format { name: Name::new("x").unwrap(), seed: 0, geometry };
        Workspace::format(memory, Heir, format).map(|_| ())
    };
    let geometry = Geometry::new(4, 10).unwrap();
    let expected = FormatError::DoesNotFit { footprint: geometry.footprint(), bytes: 256 };
    assert_eq!(format(geometry), Err(expected));
    assert_eq!(snapshot(memory), [0; 256]);
    let fits = Geometry::with_part_max(256, 1).unwrap();
    format(fits).unwrap();
    let before = snapshot(memory);
    assert_eq!(format(fits), Err(FormatError::AlreadyFormatted));
    assert_eq!(snapshot(memory), before);
    assert!(matches!(Geometry::with_part_max(255, 1), Err(GeometryError::TooSmall { .. })));
    let workspace = Workspace::join(memory, Heir).unwrap();
    workspace.lock().unwrap().unformat().unwrap();
    assert!(Workspace::join(memory, Heir).is_err());
    format(fits).unwrap();
}

#[test]
fn at_least_takes_what_there_is_and_no_less_than_was_asked_for() {
    let mut heap = Heap::zeroed(BYTES);
    let workspace = format(heap.memory(), 3, 100);
    let mut guard = workspace.lock().unwrap();
    let tag = Tag::new(1).unwrap();
    // The data begins at 320 and has no room for the rounding.
    let range = guard.alloc_at_least(Align::CACHE_LINE, 100, tag).unwrap();
    assert_eq!((range.lo().get(), range.hi().get()), (320, 420));
    guard.free(range.lo()).unwrap();
    let range = guard.alloc_at_least(Align::CACHE_LINE, 33, tag).unwrap();
    assert_eq!((range.lo().get(), range.hi().get()), (320, 384));
    let expected = AllocError::NoSpace { bytes: 40, align: 64, largest_free_bytes: 36 };
    assert_eq!(guard.alloc_at_least(Align::CACHE_LINE, 40, tag), Err(expected));
}

/// A process that takes the lock, and then a fork of it.
#[derive(Debug, Default)]
struct Forks {
    is_child: Cell<bool>,
}

impl Party for &Forks {
    type Patience = ();

    fn enter(&self) -> Result<OwnerId, Stranger> {
        OwnerId::new(7).ok_or(Stranger)
    }

    fn is_inside(&self, _: OwnerId) -> bool {
        !self.is_child.get()
    }

    fn leave(&self) {}

    fn judge(&self, _: Sighting, (): &mut ()) -> Verdict {
        Verdict::GiveUp
    }
}

#[test]
fn a_forks_copy_of_a_guard_does_nothing() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let _ = format(memory, 8, 4000);
    let forks = Forks::default();
    let workspace = Workspace::join(memory, &forks).unwrap();
    let tag = Tag::new(7).unwrap();
    let mut guard = workspace.lock().unwrap();
    let gaddr = guard.alloc(Align::BYTE, 100, tag).unwrap();
    let before = snapshot(memory);
    forks.is_child.set(true);
    let stranger = RebuildError::Stranger(Stranger);
    assert_eq!(guard.alloc(Align::BYTE, 1, tag), Err(AllocError::Corrupt(stranger)));
    assert_eq!(guard.free(gaddr), Err(FreeError::Corrupt(stranger)));
    assert_eq!(guard.free_tagged(tag), Err(stranger));
    assert_eq!(guard.set_tag(gaddr, tag), Err(EditError::Stranger(Stranger)));
    assert_eq!(guard.fill(gaddr, 1), Err(EditError::Stranger(Stranger)));
    assert_eq!(guard.rebuild(None), Err(stranger));
    assert_eq!(guard.reset(None), Err(stranger));
    assert!(guard.replace(&[], None, |_| Ok::<(), ()>(())).is_err());
    assert_eq!(guard.unformat(), Err(Stranger));
    assert!(snapshot(memory) == before, "the child has changed something");
    forks.is_child.set(false);
    let salvage = workspace.break_lock(Holder::Owner(OwnerId::new(7).unwrap())).unwrap().unwrap();
    forks.is_child.set(true);
    let (salvage, error) = salvage.rebuild(None).unwrap_err();
    assert_eq!(error, stranger);
    assert_eq!(salvage.reset(None).map(|_| ()), Err(stranger));
    assert_unchanged(memory, &before);
}

#[test]
fn a_lost_root_is_noticed_where_it_would_make_the_answer_wrong() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let workspace = format(memory, 8, 4000);
    let tag = Tag::new(7).unwrap();
    let gaddr = workspace.lock().unwrap().alloc(Align::BYTE, 100, tag).unwrap();
    for root in [96, 100] {
        memory.copy_in(root, &[0xFF; 4]).unwrap();
        let mut guard = workspace.lock().unwrap();
        assert_eq!(guard.tag(gaddr), Some(tag));
        let other = guard.alloc(Align::BYTE, 8, tag).unwrap();
        assert!(guard.repair().is_some());
        guard.free(other).unwrap();
        assert!(guard.verify().is_clean());
    }
    memory.copy_in(96, &[0xFF; 4]).unwrap();
    let mut guard = workspace.lock().unwrap();
    guard.free(gaddr).unwrap();
    assert_eq!(guard.allocation(gaddr), None);
    assert!(guard.verify().is_clean());
}

#[test]
fn header_fields_that_a_stray_write_has_changed_are_found_and_mended() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let workspace = format(memory, 8, 4000);
    for offset in [8, 16, 24, 32, 104, 120] {
        memory.copy_in(offset, &1_u64.to_le_bytes()).unwrap();
        let mut guard = workspace.lock().unwrap();
        assert!(!guard.verify().is_clean(), "offset {offset}");
        guard.rebuild(None).unwrap();
        assert!(guard.verify().is_clean(), "offset {offset}");
    }
    // Without the magic nobody can join; whether that is meant, only people know.
    memory.copy_in(0, &[0; 8]).unwrap();
    assert!(!workspace.lock().unwrap().verify().is_clean());
}

#[test]
fn a_handle_prints_in_a_line() {
    let mut heap = Heap::zeroed(BYTES);
    let workspace = format(heap.memory(), 64, 2000);
    assert!(format!("{workspace:?}").len() < 1500);
}

#[test]
fn a_held_lock_can_be_broken_only_from_the_holder_it_has() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let workspace = format(memory, 8, 4000);
    word(memory, 112, 1234);
    let holder = Holder::Owner(OwnerId::new(1234).unwrap());
    let other = Holder::Owner(OwnerId::new(1235).unwrap());
    assert_eq!(workspace.holder(), Some(holder));
    assert!(workspace.break_lock(other).unwrap().is_none());
    // Dropped as it is, the salvage gives the lock back to whom it was taken from.
    drop(workspace.break_lock(holder).unwrap().unwrap());
    assert_eq!(workspace.holder(), Some(holder));
    drop(workspace.break_lock(holder).unwrap().unwrap().recover().unwrap());
    assert_eq!(workspace.holder(), None);
}

#[test]
fn what_cannot_be_rebuilt_is_left_alone_and_can_be_reset() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let workspace = format(memory, 8, 4000);
    let tag = Tag::new(7).unwrap();
    for _ in 0..2 {
        workspace.lock().unwrap().alloc(Align::BYTE, 100, tag).unwrap();
    }
    // Two used records that overlap, and a dead owner. The free partition has record 0.
    let image = snapshot(memory);
    let lo = image[192..256].first_chunk().map(|lo| u64::from_le_bytes(*lo)).unwrap();
    word(memory, 192 + 8, lo + 150);
    word(memory, 112, 1234);
    let before = snapshot(memory);
    let cause_of = || match workspace.lock().map(drop) {
        Err(LockError::Unrecoverable { cause, .. }) => cause,
        locked => panic!("{locked:?}"),
    };
    let [lower, upper] = [1, 2].map(|at| PartitionIndex::new(at).unwrap());
    assert_eq!(cause_of(), RebuildError::Overlap { lower, upper });
    assert_unrecovered(&before, &snapshot(memory));
    for hi in [0, lo, u64::MAX] {
        word(memory, 192 + 8, hi);
        assert_eq!(cause_of(), RebuildError::BadRange { index: lower, lo, hi });
    }
    word(memory, 192 + 8, lo + 150);
    assert_unrecovered(&before, &snapshot(memory));
    let salvage = workspace.salvage().unwrap();
    assert!(!salvage.verify().is_clean());
    assert_eq!(salvage.allocations().count(), 2);
    drop(salvage);
    assert!(matches!(workspace.lock(), Err(LockError::Unrecoverable { .. })));
    drop(workspace.salvage().unwrap().reset(None).unwrap());
    let guard = workspace.lock().unwrap();
    assert!(guard.verify().is_clean());
    assert_eq!(guard.usage(None).used.count, 0);
}

#[test]
fn gaps_that_have_no_record_are_told_and_filled_if_there_are_enough() {
    for part_max in [3, 4] {
        let mut heap = Heap::zeroed(BYTES);
        let memory = heap.memory();
        let workspace = format(memory, part_max, 4000);
        let tag = Tag::new(7).unwrap();
        for _ in 0..2 {
            workspace.lock().unwrap().alloc(Align::BYTE, 100, tag).unwrap();
        }
        // The upper allocation, record 2, now begins and ends 50 bytes further up.
        let lo = 128 + 64 * part_max + 100;
        word(memory, 128 + 2 * 64, lo + 50);
        word(memory, 128 + 2 * 64 + 8, lo + 150);
        word(memory, 112, 1234);
        match workspace.lock() {
            Err(LockError::Unrecoverable { cause, .. }) => {
                assert_eq!(cause, RebuildError::TooFewRecords { needed: 4, part_max: 3 });
                assert_eq!(part_max, 3);
            }
            locked => {
                assert_eq!(locked.unwrap().usage(None).free.count, 2);
                assert_eq!(part_max, 4);
            }
        }
    }
}

/// Scratch links and the cycle tag may differ, and nothing else: the dead owner holds the lock.
#[track_caller]
fn assert_unrecovered(before: &[u8], after: &[u8]) {
    let clean = |image: &[u8]| {
        let mut image = image.to_vec();
        image[104..112].fill(0);
        for record in 0..8 {
            image[128 + 64 * record + 52..128 + 64 * record + 56].fill(0);
        }
        image
    };
    assert!(clean(before) == clean(after));
}
