//! Comparing bytes, a piece at a time.
//!
//! A checkpoint hands its bytes out in an order of its own, so those of the other side must be there
//! in any order: a workspace is like that, and of two checkpoints one is kept in a temporary file.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use wksp_checkpt::{Append, Checkpoint, Control, Progress, ReadError};
use wksp_core::{Allocation, Workspace};
use wksp_shmem::ProcessParty;

use super::pairs::Pairs;
use crate::effort::Effort;
use crate::failure::{self, Failure};

/// Two sides whose bytes have been compared.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) pairs: Pairs,
    /// In how many of the bytes that both have each pair differs.
    pub(super) differing: Vec<u64>,
}

/// Bytes of allocations that can be had in any order.
trait Bytes {
    /// Fills `to` with the bytes of the allocation of pair `at`, from `offset` in it on.
    fn read(&self, at: usize, offset: u64, to: &mut [u8]) -> io::Result<()>;
}

/// How many bytes are compared at a time.
const PIECE_BYTES: usize = 64 * 1024;

impl Contents {
    /// Compares a workspace with a checkpoint.
    pub(super) fn of_checkpoint(
        pairs: Pairs,
        workspace: &Workspace<'_, ProcessParty>,
        name: &str,
        checkpoint: &Checkpoint<'_>,
        effort: &Effort,
    ) -> Result<Self, Failure> {
        let there = There { workspace, pairs: &pairs };
        let differing = compare(&pairs, &there, |wanted, sink| {
            effort.run("comparing", |control| checkpoint.extract(wanted, sink, &control).map(drop))
        });
        let differing = differing.map_err(|error| failure::read(name, &error))?;
        Ok(Self { pairs, differing })
    }

    /// Compares two workspaces.
    pub(super) fn of_workspaces(
        pairs: Pairs,
        a: &Workspace<'_, ProcessParty>,
        b: &Workspace<'_, ProcessParty>,
        effort: &Effort,
    ) -> Result<Self, Failure> {
        let there = There { workspace: a, pairs: &pairs };
        let differing = compare(&pairs, &there, |wanted, sink| {
            effort.run("comparing", |control| stream(&pairs, b, wanted, sink, &control))
        });
        let differing = differing.map_err(|error| failure::read("the workspaces", &error))?;
        Ok(Self { pairs, differing })
    }

    /// Compares two checkpoints, of which the first is kept in a temporary file as far as it counts.
    pub(super) fn of_checkpoints(
        pairs: Pairs,
        (name_a, a): (&str, &Checkpoint<'_>),
        (name_b, b): (&str, &Checkpoint<'_>),
        effort: &Effort,
    ) -> Result<Self, Failure> {
        let not_kept = |source| failure::read(name_a, &ReadError::Spool { offset: 0, source });
        let mut spool = Spool::new(&pairs).map_err(not_kept)?;
        let mut file = spool.file.try_clone().map_err(not_kept)?;
        let mut end = 0_u64;
        let wanted = |one: &Allocation| {
            let at = pairs.find(one.range.lo());
            if let Some(start) = at.and_then(|at| spool.starts.get_mut(at)) {
                *start = end;
                end = end.saturating_add(one.range.bytes());
            }
            at.is_some()
        };
        let kept = effort.run("reading", |control| a.extract(wanted, &mut file, &control));
        kept.map_err(|error| match error {
            ReadError::Sink(source) => not_kept(source),
            error => failure::read(name_a, &error),
        })?;
        let differing = compare(&pairs, &spool, |wanted, sink| {
            effort.run("comparing", |control| b.extract(wanted, sink, &control).map(drop))
        });
        let differing = differing.map_err(|error| failure::read(name_b, &error))?;
        Ok(Self { pairs, differing })
    }
}

/// A workspace, whose lock is held.
struct There<'w> {
    workspace: &'w Workspace<'w, ProcessParty>,
    pairs: &'w Pairs,
}

impl Bytes for There<'_> {
    fn read(&self, at: usize, offset: u64, to: &mut [u8]) -> io::Result<()> {
        let lo = self.pairs.get(at).and_then(|pair| pair.lo()?.checked_add(offset));
        let lo = lo.ok_or(io::ErrorKind::InvalidInput)?;
        self.workspace.copy_out(lo, to).map_err(io::Error::other)
    }
}

/// The bytes of a checkpoint, one allocation behind the other.
struct Spool {
    file: File,
    /// Where the bytes of each pair begin.
    starts: Vec<u64>,
}

impl Spool {
    fn new(pairs: &Pairs) -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile()?, starts: vec![0; pairs.len()] })
    }
}

impl Bytes for Spool {
    fn read(&self, at: usize, offset: u64, to: &mut [u8]) -> io::Result<()> {
        let start = self.starts.get(at).and_then(|start| start.checked_add(offset));
        self.file.read_exact_at(to, start.ok_or(io::ErrorKind::InvalidInput)?)
    }
}

/// Passes the bytes of allocations in a workspace on, as a checkpoint does.
fn stream(
    pairs: &Pairs,
    workspace: &Workspace<'_, ProcessParty>,
    wanted: &mut dyn FnMut(&Allocation) -> bool,
    sink: &mut dyn Append,
    control: &Control<'_>,
) -> Result<(), ReadError> {
    let total_bytes = pairs.iter().map(|pair| pair.common_bytes()).fold(0, u64::saturating_add);
    let (mut done_bytes, mut piece) = (0_u64, vec![0; PIECE_BYTES]);
    for one in pairs.iter().filter_map(|pair| pair.b) {
        if !wanted(&one) {
            continue;
        }
        let mut offset = 0;
        while offset < one.range.bytes() {
            if control.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
                return Err(ReadError::Cancelled);
            }
            let left = one.range.bytes().saturating_sub(offset);
            let count = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let piece = piece.get_mut(..count).unwrap_or_default();
            let lo = one.range.lo().checked_add(offset).ok_or(io::ErrorKind::InvalidInput.into());
            let copied = lo.and_then(|lo| workspace.copy_out(lo, piece).map_err(io::Error::other));
            copied.and_then(|()| sink.append(piece)).map_err(ReadError::Sink)?;
            offset = offset.saturating_add(count as u64);
            done_bytes = done_bytes.saturating_add(count as u64);
            if let Some(progress) = control.progress {
                progress(Progress { done_bytes: done_bytes.min(total_bytes), total_bytes });
            }
        }
    }
    Ok(())
}

/// Compares what `run` passes on with what is there, pair by pair.
fn compare(
    pairs: &Pairs,
    there: &dyn Bytes,
    run: impl FnOnce(&mut dyn FnMut(&Allocation) -> bool, &mut dyn Append) -> Result<(), ReadError>,
) -> Result<Vec<u64>, ReadError> {
    // The bytes come in the order in which the allocations are asked for.
    let next = RefCell::new(VecDeque::new());
    let mut comparison = Comparison {
        pairs,
        there,
        next: &next,
        current: None,
        piece: vec![0; PIECE_BYTES],
        differing: vec![0; pairs.len()],
    };
    let mut wanted = |one: &Allocation| {
        let at = pairs.find(one.range.lo());
        next.borrow_mut().extend(at.map(|at| (at, one.range.bytes())));
        at.is_some()
    };
    run(&mut wanted, &mut comparison)?;
    Ok(comparison.differing)
}

struct Comparison<'c> {
    pairs: &'c Pairs,
    there: &'c dyn Bytes,
    /// The pairs whose bytes are still to come, and how many these are.
    next: &'c RefCell<VecDeque<(usize, u64)>>,
    /// The pair whose bytes are coming, how many have come and how many are to come.
    current: Option<(usize, u64, u64)>,
    piece: Vec<u8>,
    differing: Vec<u64>,
}

impl Comparison<'_> {
    /// Compares bytes of pair `at`, from `offset` on, as far as the other side has any.
    fn piece(&mut self, at: usize, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let common = self.pairs.get(at).map_or(0, |pair| pair.common_bytes());
        let common = usize::try_from(common.saturating_sub(offset)).unwrap_or(usize::MAX);
        let bytes = bytes.get(..bytes.len().min(common)).unwrap_or_default();
        let mut offset = offset;
        for bytes in bytes.chunks(PIECE_BYTES) {
            let there = self.piece.get_mut(..bytes.len()).unwrap_or_default();
            self.there.read(at, offset, there)?;
            // Most pieces are the same, which shows faster as a whole.
            if *there != *bytes {
                let differing = there.iter().zip(bytes).filter(|(x, y)| x != y).count() as u64;
                if let Some(sum) = self.differing.get_mut(at) {
                    *sum = sum.saturating_add(differing);
                }
            }
            offset = offset.saturating_add(bytes.len() as u64);
        }
        Ok(())
    }
}

impl Append for Comparison<'_> {
    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (at, offset, left) = match self.current.take() {
                Some(current) => current,
                None => {
                    let next = self.next.borrow_mut().pop_front();
                    next.map(|(at, bytes)| (at, 0, bytes)).ok_or(io::ErrorKind::InvalidData)?
                }
            };
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            let (piece, rest) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
            self.piece(at, offset, piece)?;
            let done = piece.len() as u64;
            let left = left.saturating_sub(done);
            self.current = (left > 0).then_some((at, offset.saturating_add(done), left));
            bytes = rest;
        }
        Ok(())
    }
}
