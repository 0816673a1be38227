//! Looking without the lock: right where it says so, harmless in any case.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use wksp_core::{
    Align, Doubt, Format, Gaddr, Geometry, Holder, JoinError, LockError, Memory, Name, Observed,
    Observer, OwnerId, Partition, Party, Sighting, Stranger, Tag, Verdict, View, Workspace,
};
use wksp_testkit::rng::Rng;

use crate::heap::{Heap, Heir, assert_holds, empty_model, format, hint_words, snapshot};
use crate::operations::{Operation, apply};

const RECORDS: u64 = 24;
const BYTES: usize = 128 + 64 * 24 + 128 * 40;
/// Where the lock word is.
const OWNER: usize = 112;
/// Where the root of the used treap is.
const USED_ROOT: usize = 96;

/// Becomes true at the end of a scope, also if that is a failure: so its other threads end as well.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn observer(memory: Memory<'_>) -> Observer<'_> {
    Observer::join(memory.into()).unwrap()
}

/// Looks once.
fn once<T>(observer: &Observer<'_>, look: impl FnMut(View<'_>) -> T) -> Observed<T> {
    observer.observe(look, |_| false)
}

fn certain<T>(observer: &Observer<'_>, look: impl FnMut(View<'_>) -> T) -> T {
    let seen = once(observer, look);
    assert_eq!(seen.doubt, None);
    seen.value
}

/// Whether partitions cover the data without gap or overlap.
fn tile(observer: &Observer<'_>, partitions: &[Partition]) -> bool {
    let data = observer.geometry().data();
    let mut expected_lo = data.lo();
    for partition in partitions {
        if partition.range.lo() != expected_lo {
            return false;
        }
        expected_lo = partition.range.hi();
    }
    expected_lo == data.hi()
}

#[test]
fn an_observer_sees_what_the_holder_of_the_lock_sees_and_changes_nothing() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let workspace = format(memory, RECORDS, 5000);
    let observer = observer(memory);
    assert_eq!(observer.geometry(), workspace.geometry());
    assert_eq!((observer.name(), observer.seed()), (workspace.name(), workspace.seed()));
    let mut model = empty_model(&workspace);
    let mut rng = Rng::new(41);
    for _ in 0..3000 {
        apply(&mut workspace.lock().unwrap(), &mut model, Operation::random(&mut rng, 600));
        assert_holds(memory, &model);
        let image = snapshot(memory);
        let gaddr = Gaddr::new(1 + rng.below(8000)).unwrap();
        let tag = Tag::new(1 + rng.below(5)).unwrap();
        let seen = certain(&observer, |view| {
            let partitions: Vec<_> = view.partitions().collect();
            let allocations: Vec<_> = view.allocations().collect();
            let (found, lowest) = (view.allocation(gaddr), view.lowest_tagged(tag));
            (view.usage(Some(tag)), partitions, allocations, found, lowest, view.verify())
        });
        assert!(snapshot(memory) == image, "looking has changed something");
        let (usage, partitions, allocations, found, lowest, report) = seen;
        let salvage = workspace.salvage().unwrap();
        assert_eq!(allocations, salvage.allocations().collect::<Vec<_>>());
        drop(salvage);
        let guard = workspace.lock().unwrap();
        assert_eq!(usage, guard.usage(Some(tag)));
        assert_eq!(partitions, guard.partitions().collect::<Vec<_>>());
        assert_eq!((found, lowest), (guard.allocation(gaddr), guard.lowest_tagged(tag)));
        assert_eq!(guard.view().allocation(gaddr), found);
        assert!(report.is_clean(), "{report:?}");
    }
}

#[test]
fn a_held_lock_is_told_and_never_waited_for() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let workspace = format(memory, RECORDS, 5000);
    let observer = observer(memory);
    let guard = workspace.lock().unwrap();
    let me = Some(Holder::Owner(OwnerId::new(2).unwrap()));
    assert_eq!(observer.holder(), me);
    let held = Doubt { holder: me, is_changed: false };
    let (looks, asked) = (Cell::new(0), Cell::new(0));
    let seen = observer.observe(
        |view| {
            looks.set(looks.get() + 1);
            view.verify().is_clean()
        },
        |doubt| {
            assert_eq!(doubt, held);
            asked.set(asked.get() + 1);
            asked.get() < 5
        },
    );
    assert_eq!((seen.value, seen.doubt), (true, Some(held)));
    assert_eq!((looks.get(), asked.get()), (1, 5), "nothing is read in vain");

    // It is given back while somebody looks: that is in doubt, and the next look is not.
    let mut guard = Some(guard);
    let seen = observer.observe(|view| view.usage(None), |_| guard.take().is_some());
    assert_eq!((seen.doubt, observer.holder()), (None, None));
}

#[test]
fn an_observer_tells_the_seed_and_copies_data_out() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let geometry = Geometry::new(RECORDS, 5000).unwrap();
    let format = Format { name: Name::new("seed").unwrap(), seed: 77, geometry };
    let workspace = Workspace::format(memory, Heir, format).unwrap();
    let observer = observer(memory);
    assert_eq!(observer.seed(), 77);
    let lo = geometry.data().lo();
    workspace.copy_in(lo, b"some bytes").unwrap();
    let mut bytes = [0; 10];
    observer.copy_out(lo, &mut bytes).unwrap();
    assert_eq!(&bytes, b"some bytes");
}

#[test]
fn the_cycle_tag_rises_with_every_change_and_never_with_a_look() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let workspace = format(memory, RECORDS, 5000);
    let (observer, tag) = (observer(memory), Tag::new(7).unwrap());
    let mut guard = workspace.lock().unwrap();
    let mut seen = [workspace.cycle_tag(); 2];
    let gaddr = guard.alloc(Align::BYTE, 100, tag).unwrap();
    seen[1] = workspace.cycle_tag();
    assert!(seen.is_sorted_by(|before, after| before < after), "{seen:?}");
    assert_eq!(guard.tag(gaddr), Some(tag));
    assert_eq!([workspace.cycle_tag(), observer.cycle_tag()], [seen[1]; 2]);
    guard.free(gaddr).unwrap();
    assert!(workspace.cycle_tag() > seen[1]);
    assert_eq!(observer.cycle_tag(), workspace.cycle_tag());
}

#[test]
fn a_change_between_the_looks_is_told() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let workspace = format(memory, RECORDS, 5000);
    let observer = observer(memory);
    let tag = Tag::new(1).unwrap();
    let alloc = || workspace.lock().unwrap().alloc(Align::BYTE, 10, tag).unwrap();
    let seen = once(&observer, |view| (view.usage(None).used.count, alloc()));
    assert_eq!(seen.doubt, Some(Doubt { holder: None, is_changed: true }));
    // Somebody who takes the lock and only reads has changed nothing by the time it is free again.
    let seen = once(&observer, |_| drop(workspace.lock().unwrap()));
    assert_eq!(seen.doubt, None);
    // Each attempt is spoilt but the fourth.
    let left = Cell::new(3);
    let seen = observer.observe(
        |view| {
            left.set(left.get() - 1);
            (left.get() >= 0).then(alloc);
            view.usage(None).used.count
        },
        |doubt| doubt.is_changed,
    );
    assert_eq!((seen.value, seen.doubt), (4, None));
}

#[test]
fn what_is_no_workspace_or_reaches_beyond_the_memory_is_refused_as_when_joining() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    format(memory, RECORDS, 5000);
    let image = snapshot(memory);
    let mut rng = Rng::new(43);
    let mut refused = 0;
    for _ in 0..20_000 {
        memory.copy_in(0, &image).unwrap();
        let value = rng.next_u64() >> rng.below(64);
        memory.copy_in(8 * rng.index(5), &value.to_le_bytes()).unwrap();
        let joined = Workspace::join(memory, Heir).map(|workspace| *workspace.geometry());
        let observed = Observer::join(memory.into()).map(|observer| *observer.geometry());
        refused += usize::from(observed.is_err());
        assert_eq!(observed, joined);
    }
    assert!(refused > 15_000, "{refused}");
    for bytes in [0, 64, 128, 128 + 64 * 24, 6784 - 128] {
        let mut short = Heap::of_image(&image[..bytes]);
        let error = Observer::join(short.memory().into()).unwrap_err();
        let is_right = matches!(error, JoinError::NoHeader { .. } | JoinError::Truncated { .. });
        assert!(is_right, "{bytes}: {error}");
    }
}

/// Everything there is to be looked at, checked against what holds for any bytes.
fn look_at_everything(observer: &Observer<'_>, rng: &mut Rng) {
    let data = observer.geometry().data();
    let gaddr = Gaddr::new(1 + rng.below(8000)).unwrap();
    let tag = Tag::new(1 + rng.below(5)).unwrap();
    let (mut listed, mut tagged) = (Vec::new(), 0);
    let seen = once(observer, |view| {
        listed = view.partitions().collect();
        tagged = view.allocations().inspect(|one| assert!(data.encloses(one.range))).count();
        (view.usage(Some(tag)), view.verify(), view.allocation(gaddr), view.lowest_tagged(tag))
    });
    let (usage, report, found, lowest) = seen.value;
    assert!(listed.len() <= RECORDS as usize + 1 && tagged <= RECORDS as usize);
    for partition in listed.iter().flatten() {
        assert!(data.encloses(partition.range));
    }
    assert!(usage.used.count + usage.free.count <= RECORDS);
    let census = report.census();
    assert_eq!(census.used + census.free + census.idle, RECORDS);
    assert!(found.is_none_or(|found| data.encloses(found.range) && found.range.contains(gaddr)));
    assert!(lowest.is_none_or(|lowest| data.encloses(lowest.range) && lowest.tag == tag));
    let _ = (observer.name(), observer.holder(), observer.cycle_tag(), observer.seed());
    let mut bytes = [0; 100];
    let copied = observer.copy_out(gaddr, &mut bytes);
    let end = gaddr.get() + 100;
    assert_eq!(copied.is_ok(), data.lo() <= gaddr && end <= data.hi().get());
}

#[test]
fn any_bytes_are_looked_at_without_harm() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    format(memory, RECORDS, 5000);
    let formatted = snapshot(memory);
    let mut rng = Rng::new(47);
    for _ in 0..20_000 {
        let mut image = formatted.clone();
        // All but what says how large it is; links are mostly such as can be followed.
        for field in image[80..128 + 64 * 24].chunks_exact_mut(4) {
            if rng.one_in(3) {
                let value = rng.next_u64() as u32;
                let value = if rng.one_in(4) { value } else { value % RECORDS as u32 };
                field.copy_from_slice(&value.to_le_bytes());
            }
        }
        memory.copy_in(0, &image).unwrap();
        look_at_everything(&observer(memory), &mut rng);
        assert!(snapshot(memory) == image, "looking has changed something");
    }
}

#[test]
fn a_thread_that_scrambles_header_and_records_leads_nobody_outside() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    format(memory, RECORDS, 5000);
    let formatted = snapshot(memory);
    let early = observer(memory);
    let done = AtomicBool::new(false);
    let rejoined = thread::scope(|scope| {
        let _done = AtEnd(&done);
        scope.spawn(|| {
            let mut rng = Rng::new(53);
            while !done.load(Ordering::Relaxed) {
                match rng.below(200) {
                    0 => memory.copy_in(0, &formatted).unwrap(),
                    1 => memory.copy_in(4 * rng.index(32), &rng.next_u64().to_le_bytes()).unwrap(),
                    _ => {
                        let value = rng.next_u64() >> (32 + 4 * rng.below(8));
                        let bytes = (value as u32).to_le_bytes();
                        memory.copy_in(80 + 4 * rng.index(12 + 16 * 24), &bytes).unwrap();
                    }
                }
            }
        });
        let mut rng = Rng::new(59);
        let mut rejoined = 0;
        while rejoined < 5000 {
            look_at_everything(&early, &mut rng);
            if let Ok(observer) = Observer::join(memory.into()) {
                assert!(observer.geometry().footprint() <= BYTES as u64);
                rejoined += 1;
            }
        }
        rejoined
    });
    assert_eq!(rejoined, 5000);
}

#[test]
fn what_is_certain_beside_a_busy_thread_was_so() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let workspace = format(memory, RECORDS, 5000);
    let observer = observer(memory);
    let (done, looks) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let _done = AtEnd(&done);
        scope.spawn(|| {
            let _done = AtEnd(&done);
            let mut model = empty_model(&workspace);
            let mut rng = Rng::new(61);
            while !done.load(Ordering::Relaxed) {
                let operation = Operation::random(&mut rng, 600);
                apply(&mut workspace.lock().unwrap(), &mut model, operation);
                // Lets one look begin and end now and then, and gets into the way of the others.
                let enough = looks.load(Ordering::Relaxed) + 2;
                let waits = rng.one_in(2);
                while waits
                    && looks.load(Ordering::Relaxed) < enough
                    && !done.load(Ordering::Relaxed)
                {
                    std::hint::spin_loop();
                }
            }
        });
        let (mut certain, mut changed, mut last_tag) = (0, 0, 0);
        // Until a good number of answers was certain, of different states, and of others it was told
        // that they were not.
        while certain < 500 || changed < 50 {
            assert!(!done.load(Ordering::Relaxed), "the busy thread has failed");
            let seen = once(&observer, |view| {
                let partitions: Vec<_> = view.partitions().collect();
                (partitions, view.usage(None), view.verify())
            });
            looks.fetch_add(1, Ordering::Relaxed);
            let (partitions, usage, report) = seen.value;
            let tag = observer.cycle_tag();
            match seen.doubt {
                Some(doubt) => changed += usize::from(doubt.is_changed),
                None => {
                    assert!(report.is_clean(), "{report:?}");
                    let partitions: Vec<_> =
                        partitions.into_iter().collect::<Result<_, _>>().unwrap();
                    assert!(tile(&observer, &partitions));
                    let used = partitions.iter().filter(|partition| partition.tag.is_some());
                    assert_eq!(usage.used.count, used.count() as u64);
                    assert_eq!(usage.used.bytes + usage.free.bytes, 5000);
                    certain += usize::from(tag != last_tag);
                    last_tag = tag;
                }
            }
        }
    });
}

#[test]
fn any_lock_word_is_told_as_it_is() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    format(memory, RECORDS, 5000);
    let observer = observer(memory);
    for word in [0, 1, 12345, 0x3FFF_FF00, u64::MAX - 1] {
        memory.copy_in(OWNER, &word.to_le_bytes()).unwrap();
        let seen = once(&observer, |view| view.verify().is_clean());
        assert!(seen.value);
        let holder = OwnerId::new(word).map_or(Holder::Formatter, Holder::Owner);
        assert_eq!(seen.doubt, Some(Doubt { holder: Some(holder), is_changed: false }));
    }
}

/// Somebody who cannot take the lock.
#[derive(Debug)]
struct Outsider;

impl Party for Outsider {
    type Patience = ();

    fn enter(&self) -> Result<OwnerId, Stranger> {
        Err(Stranger)
    }

    fn is_inside(&self, _: OwnerId) -> bool {
        false
    }

    fn leave(&self) {}

    fn judge(&self, _: Sighting, (): &mut ()) -> Verdict {
        Verdict::GiveUp
    }
}

#[test]
fn an_address_is_looked_up_without_the_lock_as_long_as_it_is_free() {
    for with_hints in [false, true] {
        let mut heap = Heap::zeroed(BYTES);
        let memory = heap.memory();
        let workspace = format(memory, RECORDS, 5000);
        let mut model = empty_model(&workspace);
        let mut outsider = Workspace::join(memory, Outsider).unwrap();
        let words = hint_words(&outsider, || 0);
        if with_hints {
            outsider = outsider.with_hints(&words);
        }
        let mut rng = Rng::new(67);
        let mut found = 0;
        for _ in 0..3000 {
            apply(&mut workspace.lock().unwrap(), &mut model, Operation::random(&mut rng, 600));
            let image = snapshot(memory);
            for _ in 0..8 {
                // The same ones again and again, so that something is remembered, and wrong by now.
                let gaddr = Gaddr::new(1 + rng.below(600) * 11).unwrap();
                let tag = outsider.tag(gaddr).unwrap();
                assert_eq!(tag.map(Tag::get), model.tag_at(gaddr.get()));
                let expected = workspace.lock().unwrap().allocation(gaddr);
                assert_eq!(outsider.allocation(gaddr), Ok(expected));
                found += usize::from(tag.is_some());
            }
            assert!(snapshot(memory) == image, "looking has changed something");
        }
        assert!(found > 500, "{found}");
        // While somebody is inside, it takes its turn, which this one cannot.
        let gaddr = workspace.geometry().data().lo();
        let guard = workspace.lock().unwrap();
        assert_eq!(outsider.tag(gaddr), Err(LockError::Stranger(Stranger)));
        drop(guard);
        assert!(outsider.tag(gaddr).is_ok());
    }
}

#[test]
fn an_address_of_a_damaged_index_is_looked_up_under_the_lock() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let workspace = format(memory, RECORDS, 5000);
    let tag = Tag::new(7).unwrap();
    let gaddr = workspace.lock().unwrap().alloc(Align::BYTE, 10, tag).unwrap();
    let outsider = Workspace::join(memory, Outsider).unwrap();
    assert_eq!(outsider.tag(gaddr), Ok(Some(tag)));
    // The root of the used treap leads out of the table.
    memory.copy_in(USED_ROOT, &(u32::MAX - 1).to_le_bytes()).unwrap();
    assert_eq!(outsider.tag(gaddr), Err(LockError::Stranger(Stranger)));
    assert_eq!(workspace.tag(gaddr), Ok(Some(tag)));
}

#[test]
fn an_allocation_that_nobody_frees_is_always_found_beside_a_busy_thread() {
    let mut heap = Heap::zeroed(BYTES);
    let memory = heap.memory();
    let busy = format(memory, RECORDS, 5000);
    let stays = Tag::new(99).unwrap();
    let mut kept = Vec::new();
    for _ in 0..4 {
        let mut guard = busy.lock().unwrap();
        kept.push(guard.alloc_at_least(Align::BYTE, 40, stays).unwrap());
        guard.alloc(Align::BYTE, 300, Tag::new(1).unwrap()).unwrap();
    }
    let outsider = Workspace::join(memory, Outsider).unwrap();
    let words = hint_words(&outsider, || 0);
    let outsider = outsider.with_hints(&words);
    let (done, turns) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let _done = AtEnd(&done);
        scope.spawn(|| {
            let _done = AtEnd(&done);
            let mut rng = Rng::new(71);
            let mut live = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let mut guard = busy.lock().unwrap();
                let tag = Tag::new(1 + rng.below(5)).unwrap();
                if live.len() < 6
                    && let Ok(gaddr) = guard.alloc(Align::BYTE, 1 + rng.below(400), tag)
                {
                    live.push(gaddr);
                } else if !live.is_empty() {
                    let gone = live.swap_remove(rng.index(live.len()));
                    guard.free(gone).unwrap();
                }
                drop(guard);
                turns.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut rng = Rng::new(73);
        let (mut seen, mut spoilt) = (0_u64, 0_u64);
        while seen < 20_000 || spoilt < 20 || turns.load(Ordering::Relaxed) < 20_000 {
            assert!(!done.load(Ordering::Relaxed), "the busy thread has failed");
            let range = kept[rng.index(kept.len())];
            let gaddr = Gaddr::new(range.lo().get() + rng.below(range.bytes())).unwrap();
            match outsider.allocation(gaddr) {
                Ok(found) => {
                    let found = found.expect("it is there all the time");
                    assert_eq!((found.range, found.tag), (range, stays));
                    seen += 1;
                }
                Err(error) => {
                    assert_eq!(error, LockError::Stranger(Stranger));
                    spoilt += 1;
                }
            }
            // What comes and goes has one of its tags, or none.
            let gaddr = Gaddr::new(1 + rng.below(7000)).unwrap();
            if let Ok(Some(found)) = outsider.allocation(gaddr) {
                assert!(
                    found.range.contains(gaddr) && [1, 2, 3, 4, 5, 99].contains(&found.tag.get())
                );
            }
        }
    });
}
