//! How much memory writing, verifying and restoring take, and what they do when there is none.
//!
//! # Safety
//!
//! The allocator passes everything on to the one of the system, counts, and now and then says that
//! there is no memory, which an allocator may always do.
#![expect(unsafe_code, reason = "an allocator that counts; see the paragraph above")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]
#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use wksp_checkpt::publish::Draft;
use wksp_checkpt::{
    Append, Checkpoint, Control, ReadError, RestoreError, RestoreOptions, Style, WriteError,
    WriteOptions, write,
};
use wksp_core::{
    Align, Allocation, Block, Format, GaddrRange, Geometry, Memory, Name, Solo, Tag, Workspace,
};
use wksp_testkit::rng::Rng;

struct Counting;

static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// How many more large requests are granted; all of them if it is the largest number.
static GRANTED: AtomicUsize = AtomicUsize::new(usize::MAX);
/// Requests that can be refused: those of the standard library for threads are smaller.
const LARGE_BYTES: usize = 16 * 1024;

fn is_refused(bytes: usize) -> bool {
    bytes >= LARGE_BYTES && GRANTED.load(Ordering::Relaxed) != usize::MAX && {
        let step = |left: usize| left.checked_sub(1);
        GRANTED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).is_err()
    }
}

fn count(more: usize, less: usize) {
    let used = USED.fetch_add(more, Ordering::Relaxed) + more;
    PEAK.fetch_max(used, Ordering::Relaxed);
    USED.fetch_sub(less, Ordering::Relaxed);
}

// SAFETY: all requests are passed on, or refused.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_refused(layout.size()) {
            return std::ptr::null_mut();
        }
        count(layout.size(), 0);
        // SAFETY: as the caller vouches.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as the caller vouches.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        if is_refused(bytes) {
            return std::ptr::null_mut();
        }
        count(bytes, layout.size());
        // SAFETY: as the caller vouches.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;
/// The tests share the counters.
static ALONE: Mutex<()> = Mutex::new(());

const STYLES: [Style; 4] = [Style::V1, Style::Raw, Style::Lz4, Style::Zstd { level: 3 }];

fn blocks(geometry: &Geometry) -> Vec<Block> {
    (0..geometry.footprint().div_ceil(128)).map(|_| Block::new()).collect()
}

fn format(blocks: &mut [Block], geometry: Geometry) -> Workspace<'_, Solo> {
    let format = Format { name: Name::new("memory").unwrap(), seed: 0, geometry };
    Workspace::format(Memory::of_blocks(blocks), Solo, format).unwrap()
}

/// Half of each allocation random, half zeros.
fn fill(workspace: &Workspace<'_, Solo>, sizes: &[usize]) {
    let mut rng = Rng::new(1);
    for &bytes in sizes {
        let tag = Tag::new(1).unwrap();
        let gaddr = workspace.lock().unwrap().alloc(Align::BYTE, bytes as u64, tag).unwrap();
        let mut content = vec![0; bytes];
        rng.fill(&mut content[..bytes / 2]);
        workspace.copy_in(gaddr, &content).unwrap();
    }
}

fn scratch() -> File {
    let path = std::env::temp_dir().join("wksp-checkpt-memory");
    Draft::at(&path).unwrap().file().try_clone().unwrap()
}

/// The most bytes that were in use at once during `run`, beyond those before.
fn peak_of(run: impl FnOnce()) -> usize {
    let before = USED.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    run();
    PEAK.load(Ordering::Relaxed) - before
}

#[test]
fn memory_stays_below_8_mib_for_each_thread_and_the_list() {
    let _alone = ALONE.lock().unwrap();
    let mut sizes = vec![12_000_000, 1 << 20, 1 << 20];
    sizes.extend(std::iter::repeat_n(20, 50_000));
    sizes.extend(std::iter::repeat_n(100_000, 100));
    let list = 64 * sizes.len();
    let geometry = Geometry::new(2 * sizes.len() as u64, 80 << 20).unwrap();
    let (mut source, mut target) = (blocks(&geometry), blocks(&geometry));
    let workspace = format(&mut source, geometry);
    fill(&workspace, &sizes);
    let other = format(&mut target, geometry);
    for style in STYLES {
        for threads in [1_usize, 4] {
            let control = Control { threads: threads.try_into().unwrap(), ..Control::default() };
            let most = threads * (8 << 20) + 2 * list;
            let options = WriteOptions { style, control, ..WriteOptions::default() };
            let file = scratch();
            let peak = peak_of(|| {
                write(&workspace.lock().unwrap(), &file, &options).unwrap();
            });
            assert!(peak < most, "{style:?} {threads}: writing took {peak}");
            let mut appended = scratch();
            let peak = peak_of(|| {
                write(&workspace.lock().unwrap(), &mut appended, &options).unwrap();
            });
            assert!(peak < most, "{style:?} {threads}: appending took {peak}");
            let peak = peak_of(|| {
                let checkpoint = Checkpoint::open(&file).unwrap();
                let verified = checkpoint.verify(&control).unwrap();
                let options = RestoreOptions { control, ..RestoreOptions::default() };
                verified.restore(&mut other.lock().unwrap(), &options).unwrap();
            });
            assert!(peak < most, "{style:?} {threads}: restoring took {peak}");
        }
    }
}

#[test]
fn a_million_allocations_of_a_byte_take_no_more_memory_than_large_ones() {
    let _alone = ALONE.lock().unwrap();
    let count = 1_000_000;
    let geometry = Geometry::new(count + 2, count).unwrap();
    let mut source = blocks(&geometry);
    let workspace = format(&mut source, geometry);
    let lo = geometry.data().lo().get();
    let all: Vec<_> = (lo..lo + count)
        .map(|at| {
            let range = GaddrRange::new(at, at + 1).unwrap();
            Allocation { range, tag: Tag::new(1).unwrap() }
        })
        .collect();
    workspace.lock().unwrap().replace(&all, None, |_| Ok::<(), ()>(())).unwrap();
    for style in STYLES {
        for threads in [1_usize, 2] {
            let control = Control { threads: threads.try_into().unwrap(), ..Control::default() };
            let options = WriteOptions { style, control, ..WriteOptions::default() };
            let mut sink = Slow { least_used: usize::MAX };
            let peak = USED.load(Ordering::Relaxed)
                + peak_of(|| {
                    write(&workspace.lock().unwrap(), &mut sink, &options).unwrap();
                });
            // The list is there when the first byte is written.
            let beyond = peak - sink.least_used;
            assert!(beyond < threads * (8 << 20), "{style:?} {threads}: writing took {beyond}");
        }
    }
}

/// A sink that has everybody wait for it, and keeps how much memory was in use at the least.
struct Slow {
    least_used: usize,
}

impl Append for Slow {
    fn append(&mut self, _bytes: &[u8]) -> io::Result<()> {
        self.least_used = self.least_used.min(USED.load(Ordering::Relaxed));
        std::thread::yield_now();
        Ok(())
    }
}

/// A sink that needs no memory itself.
struct Nowhere;

impl Append for Nowhere {
    fn append(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// Runs with no memory left after ever more large requests, until all are granted.
fn until_granted<T, E>(run: impl Fn() -> Result<T, E>, check: impl Fn(E)) -> usize {
    for granted in 0.. {
        GRANTED.store(granted, Ordering::Relaxed);
        let done = run();
        GRANTED.store(usize::MAX, Ordering::Relaxed);
        match done {
            Ok(_) => return granted,
            Err(error) => check(error),
        }
    }
    0
}

#[test]
fn for_want_of_memory_the_right_error_is_returned() {
    let _alone = ALONE.lock().unwrap();
    let sizes = [3_000_000, 5, 70_000, 9];
    let geometry = Geometry::new(64, 4 << 20).unwrap();
    let (mut source, mut target) = (blocks(&geometry), blocks(&geometry));
    let workspace = format(&mut source, geometry);
    fill(&workspace, &sizes);
    let other = format(&mut target, geometry);
    for style in STYLES {
        for digest in [false, true] {
            let options = WriteOptions { style, digest, ..WriteOptions::default() };
            let guard = workspace.lock().unwrap();
            until_granted(
                || write(&guard, &mut Nowhere, &options),
                |error| {
                    let of_memory = matches!(error, WriteError::Memory { .. });
                    // A sink that copies reports it as its own.
                    let of_sink = matches!(&error, WriteError::Sink { source, .. }
                        if source.kind() == io::ErrorKind::OutOfMemory);
                    assert!(of_memory || of_sink, "{style:?}: {error}");
                },
            );
            let file = scratch();
            write(&guard, &file, &options).unwrap();
            drop(guard);
            until_granted(
                || Checkpoint::open(&file)?.verify(&Control::default()).map(drop),
                |error| assert!(matches!(error, ReadError::Memory { .. }), "{style:?}: {error}"),
            );
            let checkpoint = Checkpoint::open(&file).unwrap();
            let verified = checkpoint.verify(&Control::default()).unwrap();
            until_granted(
                || verified.restore(&mut other.lock().unwrap(), &RestoreOptions::default()),
                |error| {
                    let right = matches!(error, RestoreError::Source(ReadError::Memory { .. }));
                    assert!(right, "{style:?}: {error}");
                    assert!(other.lock().unwrap().verify().is_clean());
                },
            );
        }
    }
}
