//! What is done with a checkpoint that was opened, and what must hold then.

use std::io::{self, Read};
use std::num::NonZeroUsize;

use wksp_checkpt::{
    Append, Checkpoint, Control, Format, FrameStyle, ReadError, RestoreError, RestoreOptions,
};
use wksp_core::{Allocation, Geometry, MAGIC};
use wksp_testkit::checkpoint::Problem;
use wksp_testkit::image::{self, Lock};
use wksp_testkit::lz4_block::Lz4Error;
use wksp_testkit::{naive_v1, naive_v2};

use crate::heap::{Heap, snapshot};

/// The most allocations that are accepted, which bounds what a run may cost.
pub(crate) const ALLOCATIONS_MAX: u64 = 4096;
/// The largest workspace that is made for a checkpoint that asks for it.
const FOOTPRINT_MAX: u64 = 512 * 1024;
/// About how many allocations of a workspace are compared with those of the checkpoint.
const SAMPLES: usize = 16;

/// Whether bytes begin like a checkpoint of v2 rather than v1.
pub(crate) fn is_v2(data: &[u8]) -> bool {
    data.first() == MAGIC.to_le_bytes().first()
}

/// A stream of bytes that come in pieces of all sizes.
pub(crate) struct Trickle<'d> {
    rest: &'d [u8],
    piece: usize,
}

impl<'d> Trickle<'d> {
    pub(crate) const fn new(data: &'d [u8]) -> Self {
        Self { rest: data, piece: 1 }
    }
}

impl Read for Trickle<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.piece = if self.piece > 100_000 { 1 } else { self.piece * 3 };
        let count = self.piece.min(to.len());
        self.rest.read(&mut to[..count])
    }
}

/// Counts the bytes it is given.
#[derive(Default)]
struct Counter(u64);

impl Append for Counter {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0 += bytes.len() as u64;
        Ok(())
    }
}

/// Reads a checkpoint of `data` in every way there is; whether it could be verified.
pub(crate) fn checkpoint(checkpoint: &Checkpoint<'_>, data: &[u8]) -> bool {
    let bytes = data.len() as u64;
    let allocations = checkpoint.allocations();
    let geometry = checkpoint.preview().geometry;
    assert!(checkpoint.bytes() <= bytes, "it ends behind its end");
    assert!(allocations.len() as u64 <= ALLOCATIONS_MAX.min(geometry.part_max().into()));
    assert!(allocations.iter().all(|one| geometry.data().encloses(one.range)));
    assert!(allocations.is_sorted_by(|lower, upper| lower.range.hi() <= upper.range.lo()));

    let threads = if bytes.is_multiple_of(16) { 2 } else { 1 };
    let threads = NonZeroUsize::new(threads).expect("1 or 2");
    let control = Control { threads, ..Control::default() };
    let verified = checkpoint.verify(&control);
    let inspected = checkpoint.inspect(&control);
    let mut extracted = Counter::default();
    let count = checkpoint.extract(|_| true, &mut extracted, &control);
    if let Ok(count) = count {
        assert_eq!((count, extracted.0), (checkpoint.data_bytes(), checkpoint.data_bytes()));
    }
    // What lies in the middle can be had alone.
    if let (Some(middle), Ok(_)) = (allocations.get(allocations.len() / 2), &count) {
        let mut alone = Counter::default();
        let count = checkpoint.extract(|one| one == middle, &mut alone, &control);
        assert_eq!(count.ok(), Some(middle.range.bytes()));
    }
    if let Ok(inspected) = &inspected {
        let mut listed: Vec<Allocation> = inspected.iter().map(|one| one.allocation).collect();
        listed.sort_unstable_by_key(|one| one.range.lo());
        assert_eq!(listed, allocations);
    }
    if let Ok(verified) = &verified {
        assert!(count.is_ok(), "it can be verified but not extracted: {count:?}");
        let inspected = inspected.expect("what can be verified can be inspected");
        let stored: u64 = inspected.iter().map(|one| one.stored_bytes).sum();
        assert!(stored <= bytes, "{stored} bytes are stored in {bytes}");
        let geometry = own_or_small(geometry);
        let mut heap = Heap::zeroed(geometry.footprint());
        let workspace = heap.format(geometry);
        let restored = verified.restore(
            &mut workspace.lock().expect("nobody is inside"),
            &RestoreOptions { control, ..RestoreOptions::default() },
        );
        match restored {
            Ok(_) => {
                assert_holds(&mut heap, checkpoint);
                compare(&mut heap, checkpoint, data);
            }
            Err(RestoreError::Misfit(_)) => assert_empty(&mut heap),
            Err(error) => panic!("verified, but not restored: {error}"),
        }
    }
    into_empty(checkpoint, verified.is_ok());
    verified.is_ok()
}

/// The geometry that a checkpoint names, or a small one.
fn own_or_small(geometry: Geometry) -> Geometry {
    if geometry.footprint() <= FOOTPRINT_MAX {
        return geometry;
    }
    Geometry::with_part_max(64 * 1024, 200).expect("there is room")
}

/// An empty workspace takes what can be verified, and stays empty otherwise.
fn into_empty(checkpoint: &Checkpoint<'_>, is_good: bool) {
    let geometry = own_or_small(checkpoint.preview().geometry);
    let mut heap = Heap::zeroed(geometry.footprint());
    let workspace = heap.format(geometry);
    let options = RestoreOptions { seed: Some(7), ..RestoreOptions::default() };
    let mut guard = workspace.lock().expect("nobody is inside");
    let done = checkpoint.restore_into_empty(&mut guard, &options);
    drop(guard);
    match done {
        Ok(_) => {
            assert!(is_good, "restored, but not verified");
            assert_holds(&mut heap, checkpoint);
        }
        Err(RestoreError::Misfit(_)) => assert_empty(&mut heap),
        Err(error) => {
            assert!(!is_good, "verified, but not restored: {error}");
            assert_empty(&mut heap);
        }
    }
}

fn assert_empty(heap: &mut Heap) {
    let image = snapshot(heap.memory());
    let listing = image::check(&image, Lock::MustBeFree).expect("the workspace is sound");
    assert!(listing.used().is_empty(), "something is allocated");
}

/// A workspace holds what a checkpoint does.
fn assert_holds(heap: &mut Heap, checkpoint: &Checkpoint<'_>) {
    let image = snapshot(heap.memory());
    let listing = image::check(&image, Lock::MustBeFree).expect("the workspace is sound");
    let used = listing.used();
    let expected = checkpoint.allocations().iter();
    let expected = expected.map(|one| (one.range.lo().get(), one.range.hi().get(), one.tag.get()));
    assert!(expected.eq(used.iter().map(|used| (used.lo, used.hi, used.tag))));
    let all = checkpoint.allocations();
    for one in all.iter().step_by(1 + all.len() / SAMPLES) {
        let mut content = Vec::new();
        let extracted = checkpoint.extract(|other| other == one, &mut content, &Control::default());
        assert_eq!(extracted.ok(), Some(one.range.bytes()));
        let (lo, hi) = (one.range.lo().get(), one.range.hi().get());
        assert!(image::bytes(&image, lo, hi) == Some(&content), "{} differs", one.range);
    }
}

/// Whether an independent reader is stricter than the LZ4 library: about blocks with a match to
/// itself, or with a match near the end.
fn may_refuse(problem: &Problem) -> bool {
    let lz4 = |error: &Lz4Error| {
        matches!(error, Lz4Error::Distance { found: 0, .. } | Lz4Error::EndOfBlock)
    };
    matches!(problem, Problem::Lz4(error) if lz4(error))
}

/// A workspace holds what an independent reader finds in the checkpoint.
fn compare(heap: &mut Heap, checkpoint: &Checkpoint<'_>, data: &[u8]) {
    let whole = &data[..checkpoint.bytes() as usize];
    let found = match checkpoint.preview().format {
        Format::V1 => naive_v1::read(whole),
        Format::V2(FrameStyle::Raw | FrameStyle::Lz4) => {
            naive_v2::read_by_offset(whole).map(|found| found.checkpoint)
        }
        _ => return,
    };
    let found = match found {
        Ok(found) => found,
        // The library takes these; what a match to itself yields is zeros.
        Err(error) if may_refuse(&error.problem) => return,
        Err(error) => panic!("an independent reader refuses it: {error}"),
    };
    assert_eq!(found.allocations.len(), checkpoint.allocations().len());
    let image = snapshot(heap.memory());
    for (one, ours) in found.allocations.iter().zip(checkpoint.allocations()) {
        let (lo, hi) = (ours.range.lo().get(), ours.range.hi().get());
        assert_eq!((one.lo, one.hi, one.tag), (lo, hi, ours.tag.get()));
        assert!(image::bytes(&image, lo, hi) == Some(&one.bytes), "{} differs", ours.range);
    }
}

/// Opens bytes from front to back, and compares that with what opening by offset finds.
pub(crate) fn stream(data: &[u8]) -> Option<Vec<u8>> {
    let mut spool = Vec::new();
    let opened = Checkpoint::spool(&mut Trickle::new(data), &mut spool, ALLOCATIONS_MAX);
    let (allocations, verified) = match opened {
        Ok(opened) => {
            let verified = checkpoint(&opened, data);
            (opened.allocations().to_vec(), verified)
        }
        Err(_) => {
            assert!(data.starts_with(&spool), "what is kept is something else");
            return None;
        }
    };
    assert!(data.starts_with(&spool), "what is kept is something else");
    let again = Checkpoint::open_at_most(&spool, ALLOCATIONS_MAX);
    let again = again.unwrap_or_else(|error| panic!("only a stream can be read: {error}"));
    assert_eq!(again.allocations(), allocations);
    assert_eq!(again.bytes(), spool.len() as u64);
    assert_eq!(again.verify(&Control::default()).is_ok(), verified);
    Some(spool)
}

/// Opens bytes by offset; whether they could be opened.
pub(crate) fn by_offset(data: &[u8]) -> bool {
    match Checkpoint::open_at_most(&data, ALLOCATIONS_MAX) {
        Ok(opened) => {
            checkpoint(&opened, data);
            // A bound of one less is one too few.
            let count = opened.allocations().len() as u64;
            if let Some(fewer) = count.checked_sub(1) {
                let refused = Checkpoint::open_at_most(&data, fewer);
                assert!(matches!(refused, Err(ReadError::TooMany { .. })));
            }
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}
