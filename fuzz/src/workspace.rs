//! Operations on a workspace whose header and records are any bytes.
//!
//! The first byte says how the workspace begins, the next two how large it is, and the rest are
//! header and records, unless it begins sound, and operations of a few bytes each.

use wksp_core::{
    Align, Allocation, Finding, Gaddr, Geometry, Guard, JoinError, LockError, MAGIC, Memory,
    RebuildError, Report, Salvage, Tag, Workspace,
};
use wksp_testkit::image::{self, Lock, Used};

use crate::heap::{Heap, Heir, snapshot};

/// The most operations of one run.
const OPERATIONS_MAX: usize = 100;
/// Where the fields of the header begin that change.
const CHANGING_AT: usize = 80;

/// Takes `data` for a workspace and what is done with it.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let start = input.byte();
    let part_max = 1 + u64::from(input.byte() % 24);
    let data_max = 1 + u64::from(input.byte()) * 12;
    let geometry = Geometry::new(part_max, data_max).expect("it is small");
    let mut heap = Heap::zeroed(geometry.footprint());
    let memory = heap.memory();
    match start % 4 {
        // Sound at first; operations may damage it.
        0 => {
            heap.format(geometry);
        }
        // Any bytes behind a header that lets it be joined.
        1 | 2 => {
            write(memory, 0, input.take(128 + 64 * part_max as usize));
            let (lo, hi) = (geometry.data().lo().get(), geometry.data().hi().get());
            let header = [MAGIC, part_max, data_max, lo, hi].map(u64::to_le_bytes);
            write(memory, 0, header.as_flattened());
            if start % 4 == 2 {
                write(memory, 40, b"fuzz\0");
            }
        }
        // Any bytes.
        _ => write(memory, 0, input.take(128 + 64 * part_max as usize)),
    }
    let memory = heap.memory();
    let before = snapshot(memory);
    let workspace = match Workspace::join(memory, Heir) {
        Ok(workspace) => workspace,
        Err(error) => {
            assert_eq!(start % 4, 3, "{error}");
            assert!(image::check(&before, Lock::AnyOwner).is_err(), "sound, but {error}");
            return;
        }
    };
    assert!(workspace.geometry().footprint() <= before.len() as u64);
    let mut session = Session { memory, workspace, is_truth_known: start.is_multiple_of(4) };
    for _ in 0..OPERATIONS_MAX {
        if input.0.is_empty() {
            break;
        }
        session.step(&mut input);
    }
    session.end();
}

/// What is left of the input; behind its end there are zeros.
struct Input<'d>(&'d [u8]);

impl<'d> Input<'d> {
    fn take(&mut self, bytes: usize) -> &'d [u8] {
        let (taken, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn number<const BYTES: usize>(&mut self) -> u64 {
        let mut word = [0; 8];
        let taken = self.take(BYTES);
        word[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(word)
    }

    fn byte(&mut self) -> u8 {
        self.number::<1>() as u8
    }

    /// An address that is often within the data, and sometimes far outside.
    fn gaddr(&mut self) -> Gaddr {
        let near = Gaddr::new(self.number::<2>() % 6000);
        near.unwrap_or_else(|| Gaddr::new(u64::MAX).expect("not 0"))
    }

    /// A number of bytes that there often is room for, and sometimes never.
    fn bytes(&mut self) -> u64 {
        match self.number::<2>() % 1500 {
            1 => u64::MAX,
            bytes => bytes,
        }
    }

    fn tag(&mut self) -> Tag {
        let number = self.number::<1>();
        Tag::new(number).unwrap_or_else(|| Tag::new(u64::MAX).expect("not 0"))
    }
}

fn write(memory: Memory<'_>, offset: usize, bytes: &[u8]) {
    memory.copy_in(offset, bytes).expect("within the memory");
}

/// The records with a tag, as an independent reader finds them, `None` if they make no sense.
fn truth(memory: Memory<'_>) -> Option<Vec<Used>> {
    image::truth(&snapshot(memory)).ok()
}

/// A workspace and what is known of it.
struct Session<'m> {
    memory: Memory<'m>,
    workspace: Workspace<'m, Heir>,
    /// Whether all records with a tag are what an operation made of them, or a rebuild found sound.
    is_truth_known: bool,
}

impl<'m> Session<'m> {
    fn step(&mut self, input: &mut Input<'_>) {
        let operation = input.byte() % 24;
        match operation {
            0..=2 => return self.damage(input),
            3 => return self.salvage(input),
            4 => return self.break_lock(),
            _ => {}
        }
        let (memory, is_truth_known) = (self.memory, self.is_truth_known);
        let before = truth(memory);
        let workspace = &self.workspace;
        let (geometry, data) = (*workspace.geometry(), workspace.geometry().data());
        let mut guard = match workspace.lock() {
            Ok(guard) => guard,
            Err(LockError::Unrecoverable { .. }) => {
                assert_eq!(truth(memory), before, "a refused lock has changed the records");
                return;
            }
            Err(error) => panic!("the heir was kept out: {error}"),
        };
        match operation {
            5..=7 => {
                let align = Align::new(1 << (input.byte() % 64)).expect("a power of two");
                let (bytes, tag) = (input.bytes(), input.tag());
                if let Ok(lo) = guard.alloc(align, bytes, tag) {
                    assert!(lo.get().is_multiple_of(align.get()));
                    let others = before.filter(|_| is_truth_known);
                    let used =
                        Used { lo: lo.get(), hi: lo.get().saturating_add(bytes), tag: tag.get() };
                    assert_new(&guard, used, others, memory);
                }
            }
            8 | 9 => {
                let align = Align::new(1 << (input.byte() % 13)).expect("a power of two");
                let (bytes, tag) = (input.bytes(), input.tag());
                if let Ok(range) = guard.alloc_at_least(align, bytes, tag) {
                    assert!(range.lo().get().is_multiple_of(align.get()) && range.bytes() >= bytes);
                    let (lo, hi) = (range.lo().get(), range.hi().get());
                    let others = before.filter(|_| is_truth_known);
                    assert_new(&guard, Used { lo, hi, tag: tag.get() }, others, memory);
                }
            }
            10 | 11 => {
                let gaddr = input.gaddr();
                if let Ok(Allocation { range, .. }) = guard.free(gaddr) {
                    assert!(range.contains(gaddr) && data.encloses(range));
                }
            }
            12 => {
                let tag = input.tag();
                if let Ok(freed) = guard.free_tagged(tag) {
                    assert!(freed.count <= u64::from(geometry.part_max()));
                    let left = truth(memory);
                    assert!(left.is_none_or(|left| left.iter().all(|one| one.tag != tag.get())));
                }
            }
            13 => {
                let (gaddr, tag) = (input.gaddr(), input.tag());
                if let Ok(Allocation { range, .. }) = guard.set_tag(gaddr, tag) {
                    assert!(range.contains(gaddr) && data.encloses(range));
                }
            }
            14 => {
                let (gaddr, value) = (input.gaddr(), input.byte());
                let records = snapshot(memory);
                if let Ok(Allocation { range, .. }) = guard.fill(gaddr, value) {
                    assert!(range.contains(gaddr) && data.encloses(range));
                }
                let behind = snapshot(memory);
                let end = data.lo().get() as usize;
                assert!(records[..end] == behind[..end], "filling has changed a record");
            }
            15 => {
                let usage = guard.usage(Some(input.tag()));
                assert!(usage.used.count + usage.free.count <= u64::from(geometry.part_max()));
                if guard.verify().is_clean() {
                    assert_eq!(usage.used.bytes + usage.free.bytes, geometry.data_max());
                }
            }
            16 => {
                assert!(guard.partitions().count() <= geometry.part_max() as usize + 1);
                let _ = guard.lowest_tagged(input.tag());
            }
            17 => {
                let gaddr = input.gaddr();
                if let Some(Allocation { range, tag }) = guard.allocation(gaddr) {
                    assert!(range.contains(gaddr) && data.encloses(range));
                    assert_eq!(guard.tag(gaddr), Some(tag));
                }
            }
            18 => {
                let _ = judge(memory, guard.verify());
            }
            19 => match guard.rebuild(Some(input.byte().into())) {
                Ok(()) => {
                    assert_rebuilt(&guard);
                    assert!(before.is_none() || truth(memory) == before);
                    self.is_truth_known = true;
                }
                Err(error) => {
                    assert!(!matches!(error, RebuildError::Interference(_)), "{error}");
                    assert_eq!(truth(memory), before, "a refused rebuild has changed the records");
                }
            },
            20 => {
                guard.reset(Some(input.byte().into())).expect("nobody interferes");
                assert_rebuilt(&guard);
                drop(guard);
                assert_eq!(truth(memory).map_or(0, |used| used.len()), 0);
                self.is_truth_known = true;
            }
            21 => {
                let mut bytes = vec![input.byte(); input.byte().into()];
                let gaddr = input.gaddr();
                let end = gaddr.get().saturating_add(bytes.len() as u64);
                let fits = data.lo() <= gaddr && end <= data.hi().get();
                assert_eq!(workspace.copy_out(gaddr, &mut bytes).is_ok(), fits);
                assert_eq!(workspace.copy_in(gaddr, &bytes).is_ok(), fits);
                assert_eq!(workspace.pointer(gaddr).is_some(), data.contains(gaddr));
            }
            22 => {
                let (lo, bytes, tag) = (input.gaddr(), input.bytes(), input.tag());
                let hi = lo.get().saturating_add(bytes);
                let Some(range) = wksp_core::GaddrRange::new(lo.get(), hi) else { return };
                let new = [Allocation { range, tag }];
                let fits = guard.check_fit(&new).is_ok();
                let replaced = guard.replace(&new, None, |_| Ok::<(), ()>(()));
                assert_eq!(replaced.is_ok(), fits, "{replaced:?}");
                if fits {
                    assert_rebuilt(&guard);
                    let used = Used { lo: lo.get(), hi, tag: tag.get() };
                    drop(guard);
                    // The magic may be damaged, which no rebuild mends.
                    assert!(truth(memory).is_none_or(|found| found == [used]));
                    self.is_truth_known = true;
                }
            }
            _ => {
                guard.unformat().expect("the heir is inside");
                let joined = Workspace::join(memory, Heir);
                assert!(matches!(joined, Err(JoinError::NotAWorkspace { magic: 0 })));
                write(memory, 0, &MAGIC.to_le_bytes());
            }
        }
    }

    /// Someone overwrites up to eight bytes of header or records, without the lock.
    fn damage(&mut self, input: &mut Input<'_>) {
        let end = self.workspace.geometry().data().lo().get() as usize;
        let (at, bytes) = (input.number::<2>() as usize, 1 << (input.byte() % 4));
        // Mostly the fields that change, one time in eight any.
        let from = if at.is_multiple_of(8) { 0 } else { CHANGING_AT };
        let at = from + at % (end - from - bytes + 1);
        let mut value = [0; 8];
        let taken = input.take(bytes);
        value[..taken.len()].copy_from_slice(taken);
        let before = truth(self.memory);
        write(self.memory, at, &value[..bytes]);
        if before.is_none() || truth(self.memory) != before {
            self.is_truth_known = false;
        }
    }

    fn salvage(&mut self, input: &mut Input<'_>) {
        let before = truth(self.memory);
        let salvage = self.workspace.salvage().expect("the heir is let in");
        self.is_truth_known |= salvaged(self.memory, salvage, before, input.byte());
    }

    fn break_lock(&mut self) {
        let before = truth(self.memory);
        if let Some(holder) = self.workspace.holder() {
            let salvage = self.workspace.break_lock(holder).expect("the heir is no stranger");
            let salvage = salvage.expect("the holder has not moved");
            self.is_truth_known |= salvaged(self.memory, salvage, before, 0);
        }
    }

    /// Whatever has happened, a reset makes a workspace of it that can be used.
    fn end(&mut self) {
        let salvage = self.workspace.salvage().expect("the heir is let in");
        let _ = judge(self.memory, salvage.verify());
        let mut guard = salvage.reset(None).expect("nobody interferes");
        assert_rebuilt(&guard);
        let data = *self.workspace.geometry();
        let tag = Tag::new(3).expect("not 0");
        let lo = guard.alloc(Align::BYTE, data.data_max(), tag).expect("all of it is free");
        assert_eq!(lo, data.data().lo());
        assert_rebuilt(&guard);
        assert_eq!(guard.repair(), None);
    }
}

/// Does something with a salvage, and says whether the records with a tag are known to be sound.
fn salvaged(
    memory: Memory<'_>,
    salvage: Salvage<'_, '_, Heir>,
    before: Option<Vec<Used>>,
    what: u8,
) -> bool {
    let is_clean = judge(memory, salvage.verify()).is_clean();
    let geometry = *salvage.workspace().geometry();
    let count = salvage.allocations().count();
    assert!(count <= geometry.part_max() as usize);
    assert!(salvage.allocations().all(|one| geometry.data().encloses(one.range)));
    assert!(before.as_ref().is_none_or(|before| before.len() == count));
    let guard = match what % 4 {
        0 => return is_clean,
        1 => salvage.recover(),
        2 => salvage.rebuild(Some(what.into())),
        _ => {
            let guard = salvage.reset(None).expect("nobody interferes");
            assert_rebuilt(&guard);
            return true;
        }
    };
    match guard {
        Ok(guard) => {
            assert_rebuilt(&guard);
            assert!(before.is_none() || truth(memory) == before);
            true
        }
        Err((_, error)) => {
            assert!(!is_clean && !matches!(error, RebuildError::Interference(_)), "{error}");
            assert_eq!(truth(memory), before, "a refused rebuild has changed the records");
            false
        }
    }
}

/// Asserts that what was allocated lies within the data and apart from all `others`.
fn assert_new(
    guard: &Guard<'_, '_, Heir>,
    new: Used,
    others: Option<Vec<Used>>,
    memory: Memory<'_>,
) {
    let data = guard.workspace().geometry().data();
    assert!(data.lo().get() <= new.lo && new.hi <= data.hi().get() && new.lo < new.hi);
    let Some(mut others) = others else { return };
    let overlap = others.iter().find(|used| used.lo < new.hi && new.lo < used.hi);
    assert_eq!(overlap, None, "{new:?} was in use");
    others.push(new);
    others.sort_unstable();
    assert_eq!(truth(memory), Some(others), "the records say something else");
}

/// Asserts that an index is as a rebuild leaves it, which cannot mend magic and name.
fn assert_rebuilt(guard: &Guard<'_, '_, Heir>) {
    let report = guard.verify();
    let mendable = |finding: &&Finding| {
        !matches!(finding, Finding::Name(_) | Finding::Header { field: "magic", .. })
    };
    assert_eq!(report.findings().find(mendable), None);
}

/// Asserts that a report agrees with the independent checker, and writes nothing.
fn judge(memory: Memory<'_>, report: Report) -> Report {
    let image = snapshot(memory);
    let checked = image::check(&image, Lock::AnyOwner);
    assert_eq!(report.is_clean(), checked.is_ok(), "{report:?}\n{checked:?}");
    report
}
