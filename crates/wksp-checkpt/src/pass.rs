//! Going through a checkpoint once: every byte is read, decompressed and checked, and the data
//! copied to its addresses if there is a workspace.
//!
//! What is hashed for the digest are the very bytes that are decompressed or copied, so a source
//! that changes between two passes is found out by the second.

use crc32fast::Hasher;
use wksp_core::{Allocation, Gaddr, GaddrRange};

use crate::checkpoint::{Checkpoint, Piece};
use crate::control::{Control, Meter};
use crate::digest::{self, Found};
use crate::error::{Problem, ReadError};
use crate::head::Head;
use crate::input::At;
use crate::parallel;
use crate::scan;
use crate::shared::{Data, SharedSpace};
use crate::style::FrameStyle;

/// How many raw bytes a thread takes at a time.
const SHARE_BYTES: u64 = 4_194_304;
/// Raw bytes of an allocation that are worth a system call of their own.
const DIRECT_BYTES: u64 = 65_536;

/// A frame as [start, end).
type Extent = (u64, u64);

/// Where raw bytes of an allocation are in the checkpoint.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: u64,
    range: GaddrRange,
}

impl Place {
    const fn end(&self) -> u64 {
        self.at.saturating_add(self.range.bytes())
    }

    /// Where the byte at `offset` belongs, and how many there are from there on.
    fn from(&self, offset: u64) -> Option<(Gaddr, u64)> {
        let lo = self.range.lo().checked_add(offset.checked_sub(self.at)?)?;
        Some((lo, self.range.hi().get().checked_sub(lo.get())?))
    }
}

impl Checkpoint<'_> {
    /// Reads everything, checks it, and copies the data to its addresses in `to`.
    ///
    /// What was copied counts for nothing unless this returns `Ok`.
    pub(crate) fn pass(
        &self,
        to: Option<&dyn Data>,
        control: &Control<'_>,
    ) -> Result<(), ReadError> {
        let meter = Meter::new(*control, self.data_bytes());
        if let Some(found) = self.index.digest {
            found.check_digits(self.source)?;
            self.check_again()?;
        }
        let digest = if self.frames() == FrameStyle::Raw {
            let digest = self.pass_shares(to, control, &meter)?;
            self.check_frames(self.frames_of_groups(control)?)?;
            digest
        } else {
            let pieces = self.pass_groups(to, control, &meter)?;
            self.check_frames(pieces.iter().map(|piece| (piece.start, piece.end)).collect())?;
            self.index.digest.map(|found| self.digest_of(found, pieces, control)).transpose()?
        };
        match (self.index.digest, digest) {
            (Some(Found { digest: expected, .. }), Some(found)) if found != expected => {
                Err(ReadError::Digest { expected, found })
            }
            _ => Ok(()),
        }
    }

    /// Checks that what was found out on opening would be found out again.
    ///
    /// It is not hashed, so a read that went wrong once, then, would not be noticed. The groups of v2
    /// are read again in any case.
    fn check_again(&self) -> Result<(), ReadError> {
        let mut input = At::new(self.source, 0, self.index.end);
        let head = Head::read(&mut input)?;
        let is_same = head.preview == self.preview && {
            let count = self.index.entries.len() as u64;
            head.header.is_some()
                || scan::v1(&mut input, &head, count)?.entries == self.index.entries
        };
        if is_same { Ok(()) } else { Err(Problem::Changed.at(0)) }
    }

    /// Decompresses everything, the groups shared out among the threads.
    fn pass_groups(
        &self,
        to: Option<&dyn Data>,
        control: &Control<'_>,
        meter: &Meter<'_>,
    ) -> Result<Vec<Piece>, ReadError> {
        let hash = self.index.digest.is_some();
        self.for_each_group(control, |group, codec| {
            self.group(group, codec, hash, |frame, Allocation { range, .. }| {
                let mut done = 0_u64;
                frame.each(range.bytes(), |piece| {
                    control.check()?;
                    if let Some(to) = to {
                        let lo = range.lo().checked_add(done);
                        let copied = lo.and_then(|lo| to.copy_in(lo, piece));
                        copied.ok_or_else(|| Problem::Changed.at(0))?;
                    }
                    done = done.saturating_add(piece.len() as u64);
                    Ok(())
                })?;
                meter.add(range.bytes());
                Ok(())
            })
        })
    }

    /// The digest of what the groups were and of what lies between them, which is read for it.
    fn digest_of(
        &self,
        found: Found,
        mut pieces: Vec<Piece>,
        control: &Control<'_>,
    ) -> Result<u32, ReadError> {
        pieces.sort_unstable_by_key(|piece| piece.start);
        let (mut all, mut at) = (Hasher::new(), 0_u64);
        let between = |all: &mut Hasher, from: u64, to: u64| {
            digest::blocks(self.source, from..to, control, |offset, bytes| {
                found.hash(offset, bytes, all);
                Ok(())
            })
        };
        for piece in pieces.iter().take_while(|piece| piece.start < found.covered_bytes) {
            between(&mut all, at, piece.start)?;
            if let Some(hasher) = &piece.hasher {
                all.combine(hasher);
            }
            at = piece.end;
        }
        between(&mut all, at, found.covered_bytes)?;
        Ok(all.finalize())
    }

    /// The frames of the groups, found without a look at the data.
    fn frames_of_groups(&self, control: &Control<'_>) -> Result<Vec<Extent>, ReadError> {
        self.for_each_group(control, |group, codec| {
            let piece = self.group(group, codec, false, |frame, allocation| {
                frame.skip(allocation.range.bytes()).map(drop)
            })?;
            Ok((piece.start, piece.end))
        })
    }

    /// Checks that the frames of the groups and the others lie apart.
    fn check_frames(&self, mut frames: Vec<Extent>) -> Result<(), ReadError> {
        frames.extend_from_slice(&self.index.frames);
        frames.sort_unstable();
        // Other writers may leave gaps, but a stream of ours has none, and where its digest does not
        // reach that is what holds the rest together.
        let covered_bytes = self.index.digest.map_or(self.index.end, |found| found.covered_bytes);
        for (lower, upper) in frames.iter().zip(frames.iter().skip(1)) {
            if upper.0 < lower.1 {
                return Err(Problem::FrameOverlap.at(upper.0));
            }
            if upper.0 > lower.1 && upper.0 > covered_bytes {
                return Err(Problem::FrameGap.at(lower.1));
            }
        }
        Ok(())
    }

    /// Reads a checkpoint of raw bytes in shares, whatever they are of, and returns the digest of
    /// what was read if there should be one.
    fn pass_shares(
        &self,
        to: Option<&dyn Data>,
        control: &Control<'_>,
        meter: &Meter<'_>,
    ) -> Result<Option<u32>, ReadError> {
        let places = self.places(1)?;
        // Looked up for each block, of which there can be as many as places: no walk may find them.
        let large = self.places(DIRECT_BYTES)?;
        // No share reaches over the end of what the digest is of.
        let covered_bytes = self.index.digest.map_or(0, |found| found.covered_bytes);
        let covered = covered_bytes.div_ceil(SHARE_BYTES);
        let beyond = self.index.end.saturating_sub(covered_bytes).div_ceil(SHARE_BYTES);
        let count = usize::try_from(covered.saturating_add(beyond)).unwrap_or(usize::MAX);
        let hashers = parallel::map(
            control,
            count,
            || (),
            |(), share| {
                let share = share as u64;
                let (share, start, end) = match share.checked_sub(covered) {
                    None => (share, 0, covered_bytes),
                    Some(share) => (share, covered_bytes, self.index.end),
                };
                let lo = start.saturating_add(share.saturating_mul(SHARE_BYTES));
                let hi = lo.saturating_add(SHARE_BYTES).min(end);
                let mut hasher = Hasher::new();
                match (self.index.digest, to) {
                    (None, Some(to)) => {
                        self.share_directly((&places, &large), to, lo, hi, control, meter)?;
                    }
                    (found, to) => digest::blocks(self.source, lo..hi, control, |at, block| {
                        if let Some(found) = found.filter(|found| at < found.covered_bytes) {
                            found.hash(at, block, &mut hasher);
                        }
                        scatter(&places, to, at, block, meter)
                    })?,
                }
                Ok(hasher)
            },
        )?;
        Ok(self.index.digest.map(|_| {
            let mut all = Hasher::new();
            let covered = usize::try_from(covered).unwrap_or(usize::MAX);
            hashers.iter().take(covered).for_each(|hasher| all.combine(hasher));
            all.finalize()
        }))
    }

    /// The places of raw bytes in the order of the checkpoint, those of `least` bytes or more.
    fn places(&self, least: u64) -> Result<Vec<Place>, ReadError> {
        let all = self.index.entries.iter();
        let all = all.filter(|entry| entry.allocation.range.bytes() >= least);
        let all =
            all.filter_map(|entry| Some(Place { at: entry.at?, range: entry.allocation.range }));
        let count = all.clone().count();
        let bytes = count.saturating_mul(size_of::<Place>());
        let mut places = Vec::new();
        places.try_reserve_exact(count).map_err(|_| ReadError::Memory { bytes })?;
        places.extend(all);
        places.sort_unstable_by_key(|place: &Place| place.at);
        Ok(places)
    }

    /// Reads the bytes `lo .. hi` of the checkpoint, those of large allocations straight to where
    /// they belong.
    fn share_directly(
        &self,
        (places, large): (&[Place], &[Place]),
        to: &dyn Data,
        lo: u64,
        hi: u64,
        control: &Control<'_>,
        meter: &Meter<'_>,
    ) -> Result<(), ReadError> {
        let mut offset = lo;
        while offset < hi {
            let left = hi.saturating_sub(offset);
            let next = large.iter().skip(first_behind(large, offset));
            let here = next.clone().next().and_then(|place| place.from(offset));
            if let Some((gaddr, bytes)) = here.filter(|(_, bytes)| left.min(*bytes) >= DIRECT_BYTES)
            {
                let bytes = left.min(bytes);
                let space = usize::try_from(bytes).ok();
                let space = space.and_then(|bytes| SharedSpace::new(to, gaddr, bytes));
                let space = space.ok_or_else(|| Problem::Changed.at(offset))?;
                let read = self.source.read_shared_at(offset, space);
                read.map_err(|source| ReadError::Source { offset, source })?;
                meter.add(bytes);
                offset = offset.saturating_add(bytes);
                continue;
            }
            // Of the places, which lie apart, the first one may contain the offset, not the second.
            let direct = next.take(2).find(|place| place.at > offset);
            let end = direct.map_or(hi, |place| place.at.min(hi));
            digest::blocks(self.source, offset..end, control, |at, block| {
                scatter(places, Some(to), at, block, meter)
            })?;
            offset = end;
        }
        Ok(())
    }
}

/// The first place that does not end before `offset`.
fn first_behind(places: &[Place], offset: u64) -> usize {
    places.partition_point(|place| place.end() <= offset)
}

/// Copies the bytes from `offset` of the checkpoint on to where they belong.
fn scatter(
    places: &[Place],
    to: Option<&dyn Data>,
    offset: u64,
    block: &[u8],
    meter: &Meter<'_>,
) -> Result<(), ReadError> {
    let end = offset.saturating_add(block.len() as u64);
    let mut copied = 0_u64;
    for place in places.iter().skip(first_behind(places, offset)) {
        let from = place.at.max(offset);
        let to_end = place.end().min(end);
        if from >= end {
            break;
        }
        let within = |at: u64| usize::try_from(at.saturating_sub(offset)).unwrap_or(usize::MAX);
        let bytes = block.get(within(from)..within(to_end)).unwrap_or_default();
        if let Some(to) = to {
            let done = place.from(from).and_then(|(gaddr, _)| to.copy_in(gaddr, bytes));
            done.ok_or_else(|| Problem::Changed.at(from))?;
        }
        copied = copied.saturating_add(bytes.len() as u64);
    }
    meter.add(copied);
    Ok(())
}
