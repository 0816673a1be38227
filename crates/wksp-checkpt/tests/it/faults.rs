//! Sinks, sources and spools that fail, cancellation and progress.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use wksp_checkpt::{
    Append, Checkpoint, Control, MemoryFile, Progress, ReadAt, ReadError, RestoreError,
    RestoreOptions, Sink, WriteAt, WriteError, WriteOptions, write,
};

use crate::heap::{Heap, STYLES, file, filled, options, threads};

/// Lets some calls through, and fails all behind them.
struct Failing<T> {
    inner: T,
    left: AtomicU64,
}

impl<T> Failing<T> {
    const fn new(inner: T, calls: u64) -> Self {
        Self { inner, left: AtomicU64::new(calls) }
    }

    fn check(&self) -> io::Result<()> {
        let step = |left: u64| left.checked_sub(1);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

impl WriteAt for Failing<MemoryFile> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        self.inner.write_at(offset, bytes)
    }
}

impl Append for Failing<Vec<u8>> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        Append::append(&mut self.inner, bytes)
    }
}

impl ReadAt for Failing<Vec<u8>> {
    fn bytes(&self) -> io::Result<u64> {
        self.check()?;
        ReadAt::bytes(&self.inner)
    }

    fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        self.check()?;
        self.inner.read_at(offset, to)
    }
}

impl Read for Failing<&[u8]> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        // Short reads, as of a pipe.
        let most = to.len().min(1000);
        self.inner.read(&mut to[..most])
    }
}

fn heap() -> Heap {
    filled(&[3_000_000, 5, 1_200_000, 70_000, 9], 32, 31)
}

#[test]
fn a_sink_that_fails_at_any_write_ends_the_checkpoint() {
    let mut heap = heap();
    let workspace = heap.join();
    for style in STYLES {
        for digest in [false, true] {
            for count in [1, 3] {
                let options = WriteOptions { digest, control: threads(count), ..options(style) };
                let attempt = |calls: u64, at: bool| {
                    let guard = workspace.lock().unwrap();
                    if at {
                        let sink = Failing::new(MemoryFile::default(), calls);
                        write(&guard, Sink::WriteAt(&sink), &options)
                    } else {
                        let mut sink = Failing::new(Vec::new(), calls);
                        write(&guard, Sink::Append(&mut sink), &options)
                    }
                };
                for at in [false, true] {
                    let mut calls = 0;
                    loop {
                        match attempt(calls, at) {
                            Ok(_) => break,
                            Err(WriteError::Sink { source, .. }) => {
                                assert_eq!(source.kind(), io::ErrorKind::StorageFull);
                            }
                            Err(error) => panic!("{error}"),
                        }
                        calls += 1 + calls / 20;
                    }
                    assert!(calls > 4, "{style:?} wrote all in {calls} calls");
                }
            }
        }
    }
    assert!(workspace.lock().unwrap().verify().is_clean());
}

#[test]
fn a_source_that_fails_at_any_read_changes_nothing_before_the_restore() {
    let mut heap = heap();
    for style in STYLES {
        let bytes = file(&mut heap, &options(style));
        let geometry = *heap.join().geometry();
        let (mut calls, mut in_restore) = (0, 0);
        loop {
            let source = Failing::new(bytes.clone(), calls);
            calls += 1;
            let opened = Checkpoint::open(&source);
            let Ok(checkpoint) = opened else {
                assert!(matches!(opened, Err(ReadError::Source { .. })), "{opened:?}");
                continue;
            };
            let verified = checkpoint.verify(&threads(2));
            let Ok(verified) = verified else {
                assert!(matches!(verified, Err(ReadError::Source { .. })), "{verified:?}");
                continue;
            };
            let mut target = Heap::new(geometry.footprint());
            let workspace = target.format("target", geometry);
            let control = RestoreOptions { control: threads(2), ..RestoreOptions::default() };
            let done = verified.restore(&mut workspace.lock().unwrap(), &control);
            match done {
                Ok(_) => break,
                Err(RestoreError::Source(ReadError::Source { .. })) => in_restore += 1,
                Err(error) => panic!("{error}"),
            }
            assert!(target.described().is_empty());
        }
        assert!(in_restore > 0);
    }
}

/// A source of which a byte becomes another one between two passes.
struct Changing {
    bytes: Vec<u8>,
    at: usize,
    has_changed: AtomicBool,
}

impl ReadAt for Changing {
    fn bytes(&self) -> io::Result<u64> {
        ReadAt::bytes(&self.bytes)
    }

    fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        self.bytes.read_at(offset, to)?;
        let within = self.at.checked_sub(offset as usize).and_then(|at| to.get_mut(at));
        if let Some(byte) = within.filter(|_| self.has_changed.load(Ordering::Relaxed)) {
            *byte ^= 1;
        }
        Ok(())
    }
}

#[test]
fn a_source_that_changes_after_it_was_verified_is_not_restored() {
    let mut heap = filled(&[300, 40_000, 200_000, 1], 32, 31);
    let geometry = *heap.join().geometry();
    for style in STYLES {
        let bytes = file(&mut heap, &options(style));
        for at in [bytes.len() / 7, bytes.len() / 2, bytes.len() / 9 * 8] {
            let has_changed = AtomicBool::new(false);
            let source = Changing { bytes: bytes.clone(), at, has_changed };
            let checkpoint = Checkpoint::open(&source).unwrap();
            let verified = checkpoint.verify(&threads(2)).unwrap();
            assert!(verified.is_protected());
            source.has_changed.store(true, Ordering::Relaxed);
            let mut target = Heap::new(geometry.footprint());
            let workspace = target.format("target", geometry);
            let control = RestoreOptions { control: threads(2), ..RestoreOptions::default() };
            let done = verified.restore(&mut workspace.lock().unwrap(), &control);
            assert!(matches!(done, Err(RestoreError::Source(_))), "{style:?} {at}: {done:?}");
            assert!(target.described().is_empty());
        }
    }
}

#[test]
fn what_was_misread_on_opening_is_found_by_verifying() {
    let mut heap = filled(&[300, 40, 200, 1], 32, 31);
    let mut verified_count = 0;
    for style in STYLES {
        let bytes = file(&mut heap, &options(style));
        let right = Checkpoint::open(&bytes).unwrap();
        for at in 0..bytes.len() {
            let source = Changing { bytes: bytes.clone(), at, has_changed: AtomicBool::new(true) };
            let Ok(checkpoint) = Checkpoint::open(&source) else { continue };
            source.has_changed.store(false, Ordering::Relaxed);
            let Ok(verified) = checkpoint.verify(&threads(1)) else { continue };
            verified_count += 1;
            let is_same = checkpoint.allocations() == right.allocations()
                && checkpoint.preview() == right.preview();
            assert!(is_same || !verified.is_protected(), "{style:?} {at}");
        }
    }
    assert!(verified_count > 0);
}

#[test]
fn a_stream_or_spool_that_fails_is_told_apart() {
    let mut heap = filled(&[3000, 5, 1200], 32, 31);
    for style in STYLES {
        let bytes = file(&mut heap, &options(style));
        for calls in 0..3 {
            let mut stream = Failing::new(&bytes[..], calls);
            let mut spool = Vec::new();
            let opened = Checkpoint::spool(&mut stream, &mut spool, 100);
            assert!(matches!(opened, Err(ReadError::Source { .. })), "{opened:?}");
        }
        let mut spool = Failing::new(Vec::new(), 0);
        let opened = Checkpoint::spool(&mut &bytes[..], &mut spool, 100);
        assert!(matches!(opened, Err(ReadError::Spool { .. })), "{opened:?}");
        for cut in 0..bytes.len() {
            let mut spool = Vec::new();
            let opened = Checkpoint::spool(&mut &bytes[..cut], &mut spool, 100);
            match opened {
                Err(ReadError::Truncated { .. } | ReadError::Malformed { .. }) => {}
                // Only the digest of a v1 stream is gone.
                Ok(checkpoint) => {
                    assert_eq!(checkpoint.protection(), wksp_checkpt::Protection::None);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn cancellation_ends_what_has_not_begun_to_change_anything() {
    let mut heap = heap();
    for style in STYLES {
        let bytes = file(&mut heap, &options(style));
        let cancel = AtomicBool::new(true);
        let control = Control { cancel: Some(&cancel), ..threads(2) };
        let workspace = heap.join();
        let mut sink = Vec::new();
        let options = WriteOptions { control, ..options(style) };
        let done = write(&workspace.lock().unwrap(), &mut sink, &options);
        assert!(matches!(done, Err(WriteError::Cancelled)));
        let checkpoint = Checkpoint::open(&bytes).unwrap();
        assert!(matches!(checkpoint.verify(&control), Err(ReadError::Cancelled)));
        let verified = checkpoint.verify(&Control::default()).unwrap();
        let before = workspace.lock().unwrap().usage(None);
        let options = RestoreOptions { control, ..RestoreOptions::default() };
        let done = verified.restore(&mut workspace.lock().unwrap(), &options);
        assert!(matches!(done, Err(RestoreError::Cancelled)));
        assert_eq!(workspace.lock().unwrap().usage(None), before);
    }
}

#[test]
fn progress_adds_up() {
    let mut heap = heap();
    let total: u64 = heap.described().iter().map(|one| one.hi - one.lo).sum();
    for style in STYLES {
        let last = AtomicU64::new(0);
        let progress = |progress: Progress| {
            assert_eq!(progress.total_bytes, total);
            last.fetch_max(progress.done_bytes, Ordering::Relaxed);
        };
        let control = Control { progress: Some(&progress), ..threads(2) };
        let bytes = file(&mut heap, &WriteOptions { control, ..options(style) });
        assert_eq!(last.swap(0, Ordering::Relaxed), total);
        let checkpoint = Checkpoint::open(&bytes).unwrap();
        let verified = checkpoint.verify(&Control::default()).unwrap();
        let workspace = heap.join();
        let options = RestoreOptions { control, ..RestoreOptions::default() };
        verified.restore(&mut workspace.lock().unwrap(), &options).unwrap();
        assert_eq!(last.swap(0, Ordering::Relaxed), total);
    }
}

/// A source of which a part cannot be read.
struct Scratched {
    bytes: Vec<u8>,
    scratch: std::ops::Range<u64>,
}

impl ReadAt for Scratched {
    fn bytes(&self) -> io::Result<u64> {
        ReadAt::bytes(&self.bytes)
    }

    fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        if offset < self.scratch.end && self.scratch.start < offset + to.len() as u64 {
            return Err(io::Error::other("a scratch"));
        }
        self.bytes.read_at(offset, to)
    }
}

#[test]
fn verification_reads_every_byte_of_every_style() {
    let mut heap = filled(&[300_000, 300_000], 8, 5);
    for style in STYLES {
        for digest in [true, false] {
            let bytes = file(&mut heap, &WriteOptions { digest, ..options(style) });
            let middle = bytes.len() as u64 / 2;
            let source = Scratched { bytes, scratch: middle..middle + 1 };
            let refused = Checkpoint::open(&source)
                .and_then(|checkpoint| checkpoint.verify(&threads(1)).map(drop));
            assert!(matches!(refused, Err(ReadError::Source { .. })), "{style:?}: {refused:?}");
        }
    }
}
