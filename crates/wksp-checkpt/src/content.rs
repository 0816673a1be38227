//! What goes into a checkpoint: allocations, in groups, as parts in the order of the file.

use std::ops::Range;

use wksp_core::{Allocation, Gaddr, Guard, Party, Tag};

use crate::error::WriteError;
use crate::layout::{Command, GROUPS_MAX};
use crate::svw;

/// The step in which parts are cut: the size of an LZ4 chunk.
const STEP_BYTES: u64 = 64 * 1024;
/// What a part may take beyond its bytes when it is compressed: a prefix and the slack of a block.
const PART_BYTES: u64 = 32;
/// The fewest bytes for which a further group is made.
const GROUP_BYTES: u64 = 1024 * 1024;

/// In which order the parts of a group stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Each allocation's description, then its bytes.
    V1,
    /// All descriptions, the data command, then all bytes.
    V2,
}

/// The allocations to be written.
#[derive(Debug)]
pub(crate) struct Content {
    order: Order,
    allocations: Vec<Allocation>,
    groups: Vec<Range<usize>>,
    bytes: u64,
}

/// One contiguous run of bytes.
pub(crate) enum Run {
    /// A description or command.
    Inline(Inline),
    /// Bytes of an allocation.
    Data(Gaddr, usize),
}

/// A few bytes that are not in the workspace.
pub(crate) struct Inline {
    bytes: [u8; Self::BYTES_MAX],
    count: usize,
}

impl Inline {
    const BYTES_MAX: usize = 3 * svw::BYTES_MAX;

    fn new(from: &[u8]) -> Self {
        let mut bytes = [0; Self::BYTES_MAX];
        let count = from.len().min(bytes.len());
        for (to, from) in bytes.iter_mut().zip(from) {
            *to = *from;
        }
        Self { bytes, count }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.count).unwrap_or_default()
    }
}

/// A place in a group: a part and how much of it lies before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    part: usize,
    offset: u64,
}

/// A stretch of one group that is written in one go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit {
    pub(crate) group: usize,
    from: Place,
    to: Place,
    /// How many bytes it has before compression.
    pub(crate) bytes: usize,
    /// How many of them are bytes of allocations.
    pub(crate) data_bytes: u64,
}

impl Unit {
    /// Whether the frame of the group begins with it.
    pub(crate) fn is_first(&self) -> bool {
        self.from == Place { part: 0, offset: 0 }
    }
}

impl Content {
    /// Lists the allocations of a workspace, those with one of `tags` if there are any.
    pub(crate) fn list<P: Party>(
        guard: &Guard<'_, '_, P>,
        tags: Option<&[Tag]>,
        order: Order,
    ) -> Result<Self, WriteError> {
        let wanted = guard.partitions().filter_map(|partition| {
            let wanted = |tag: &Tag| tags.is_none_or(|tags| tags.contains(tag));
            partition
                .map(|one| Some(Allocation { range: one.range, tag: one.tag.filter(wanted)? }))
                .transpose()
        });
        // Counted first, since a list that grows takes up to three times its memory.
        let room = wanted.clone().count();
        let (mut allocations, mut bytes) = (Vec::new(), 0_u64);
        allocations.try_reserve_exact(room).map_err(|_| WriteError::Memory {
            bytes: room.saturating_mul(size_of::<Allocation>()),
        })?;
        for allocation in wanted {
            let allocation: Allocation = allocation?;
            bytes = bytes.saturating_add(allocation.range.bytes());
            allocations.push(allocation);
        }
        let groups = match order {
            Order::V1 => std::iter::once(0..allocations.len()).collect(),
            Order::V2 => balance(&allocations, bytes),
        };
        Ok(Self { order, allocations, groups, bytes })
    }

    pub(crate) fn allocation_count(&self) -> u64 {
        self.allocations.len() as u64
    }

    /// The bytes of all allocations.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many allocations each group has.
    pub(crate) fn group_counts(&self) -> impl ExactSizeIterator<Item = u64> {
        self.groups.iter().map(|group| group.len() as u64)
    }

    fn group(&self, group: usize) -> &[Allocation] {
        let range = self.groups.get(group).cloned().unwrap_or_default();
        self.allocations.get(range).unwrap_or_default()
    }

    /// The part at `part` of a group, `None` behind the last one.
    fn part(&self, group: usize, part: usize) -> Option<Part<'_>> {
        let allocations = self.group(group);
        match self.order {
            Order::V1 => {
                let allocation = allocations.get(part / 2)?;
                Some(if part.is_multiple_of(2) {
                    Part::Description(allocation)
                } else {
                    Part::Data(allocation)
                })
            }
            Order::V2 => Some(match part.checked_sub(allocations.len()) {
                None => Part::Description(allocations.get(part)?),
                Some(0) => Part::DataCommand,
                Some(behind) => Part::Data(allocations.get(behind.checked_sub(1)?)?),
            }),
        }
    }

    fn inline(&self, part: &Part<'_>) -> Option<Inline> {
        let command = match part {
            Part::Data(_) => return None,
            Part::DataCommand => Command::Data,
            Part::Description(allocation) => match self.order {
                Order::V1 => return Some(describe_v1(allocation)),
                Order::V2 => Command::Meta(**allocation),
            },
        };
        Some(Inline::new(&command.to_bytes()))
    }

    /// The runs of a unit in order; those of data end where the part or the unit does.
    pub(crate) fn runs(&self, unit: Unit) -> impl Iterator<Item = Run> {
        (unit.from.part..=unit.to.part).filter_map(move |at| {
            let part = self.part(unit.group, at)?;
            let from = if at == unit.from.part { unit.from.offset } else { 0 };
            let to = if at == unit.to.part { unit.to.offset } else { u64::MAX };
            if let Some(inline) = self.inline(&part) {
                return (to > 0).then_some(Run::Inline(inline));
            }
            let Part::Data(Allocation { range, .. }) = part else { return None };
            let bytes = to.min(range.bytes()).checked_sub(from).filter(|&bytes| bytes > 0)?;
            Some(Run::Data(range.lo().checked_add(from)?, usize::try_from(bytes).ok()?))
        })
    }

    /// Cuts the groups into units of a bit more than `unit_bytes`.
    pub(crate) const fn units(&self, unit_bytes: usize) -> Units<'_> {
        Units { content: self, unit_bytes, group: 0, at: Place { part: 0, offset: 0 } }
    }
}

/// A buffer of a frame, or what takes its place in v1.
enum Part<'a> {
    Description(&'a Allocation),
    DataCommand,
    Data(&'a Allocation),
}

fn describe_v1(allocation: &Allocation) -> Inline {
    let mut bytes = Vec::with_capacity(Inline::BYTES_MAX);
    let Allocation { range, tag } = allocation;
    for number in [tag.get(), range.lo().get(), range.bytes()] {
        svw::encode(number, &mut bytes);
    }
    Inline::new(&bytes)
}

/// Goes through the units in the order of the file.
pub(crate) struct Units<'a> {
    content: &'a Content,
    unit_bytes: usize,
    group: usize,
    at: Place,
}

impl Iterator for Units<'_> {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        loop {
            self.content.groups.get(self.group)?;
            let (from, unit_max) = (self.at, self.unit_bytes as u64);
            let (mut bytes, mut data_bytes) = (0_u64, 0_u64);
            let mut is_last = false;
            // Many parts of few bytes each grow when they are compressed.
            let mut weight = 0_u64;
            while weight < unit_max {
                let Some(part) = self.content.part(self.group, self.at.part) else {
                    is_last = true;
                    break;
                };
                let part_bytes = match (&part, self.content.inline(&part)) {
                    (_, Some(inline)) => inline.as_bytes().len() as u64,
                    (Part::Data(allocation), None) => allocation.range.bytes(),
                    (_, None) => 0,
                };
                let left = part_bytes.saturating_sub(self.at.offset);
                // Whole steps, so that the next unit begins with a chunk.
                let room = unit_max.saturating_sub(weight).next_multiple_of(STEP_BYTES);
                let taken = left.min(room);
                bytes = bytes.saturating_add(taken);
                weight = weight.saturating_add(taken).saturating_add(PART_BYTES);
                if matches!(part, Part::Data(_)) {
                    data_bytes = data_bytes.saturating_add(taken);
                }
                self.at = if taken == left {
                    Place { part: self.at.part.saturating_add(1), offset: 0 }
                } else {
                    Place { part: self.at.part, offset: self.at.offset.saturating_add(taken) }
                };
            }
            let unit = Unit {
                group: self.group,
                from,
                to: self.at,
                bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
                data_bytes,
            };
            if is_last {
                self.group = self.group.saturating_add(1);
                self.at = Place { part: 0, offset: 0 };
            }
            if bytes > 0 {
                return Some(unit);
            }
        }
    }
}

/// Cuts allocations into groups of about the same bytes, so that threads can share them.
fn balance(allocations: &[Allocation], bytes: u64) -> Vec<Range<usize>> {
    let most = (allocations.len() as u64).min(GROUPS_MAX);
    let groups = u128::from((bytes / GROUP_BYTES).clamp(1, most.max(1)));
    let mut ranges = Vec::new();
    let (mut start, mut before, mut next) = (0, 0_u64, 1_u128);
    for (at, allocation) in allocations.iter().enumerate() {
        before = before.saturating_add(allocation.range.bytes());
        let behind = at.saturating_add(1);
        let scaled = u128::from(before).saturating_mul(groups);
        let reached = scaled.checked_div(u128::from(bytes)).unwrap_or(0);
        if reached >= next || behind == allocations.len() {
            ranges.push(start..behind);
            start = behind;
            next = reached.saturating_add(1);
        }
    }
    ranges
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]
mod tests {
    use super::*;
    use wksp_core::GaddrRange;

    fn content(order: Order, sizes: &[u64]) -> Content {
        let mut lo = 1000;
        let allocations: Vec<_> = sizes
            .iter()
            .map(|&bytes| {
                let range = GaddrRange::new(lo, lo + bytes).unwrap();
                lo += bytes + 10;
                Allocation { range, tag: Tag::new(bytes).unwrap() }
            })
            .collect();
        let bytes = sizes.iter().sum();
        let groups = balance(&allocations, bytes);
        Content { order, allocations, groups, bytes }
    }

    #[test]
    fn groups_are_balanced_and_cover_everything() {
        for sizes in [
            vec![],
            vec![1],
            vec![600 << 20, 600 << 20],
            vec![1 << 30, 1, 1, 1, 1 << 20, 1 << 20],
            vec![16; 100_000],
            vec![1 << 20; 5000],
        ] {
            let content = content(Order::V2, &sizes);
            assert_eq!(content.groups.is_empty(), sizes.is_empty());
            assert!(content.groups.len() as u64 <= GROUPS_MAX);
            let mut next = 0;
            for group in &content.groups {
                assert_eq!(group.start, next);
                assert!(!group.is_empty());
                next = group.end;
            }
            assert_eq!(next, sizes.len());
        }
        assert_eq!(content(Order::V2, &[600 << 20, 600 << 20]).groups, [0..1, 1..2]);
    }

    #[test]
    fn units_cover_every_byte_once_and_cut_at_chunks() {
        for order in [Order::V1, Order::V2] {
            let content = content(order, &[1, 65535, 65536, 65537, 3_000_000, 7, 7, 200_000]);
            let mut found = Vec::new();
            for unit in content.units(192 * 1024) {
                assert!(unit.bytes <= 256 * 1024);
                let mut bytes = 0;
                for run in content.runs(unit) {
                    match run {
                        Run::Inline(inline) => bytes += inline.as_bytes().len(),
                        Run::Data(lo, count) => {
                            bytes += count;
                            found.push((lo.get(), lo.get() + count as u64));
                        }
                    }
                }
                assert_eq!(bytes, unit.bytes);
            }
            let mut joined: Vec<(u64, u64)> = Vec::new();
            for (lo, hi) in found {
                match joined.last_mut() {
                    Some(last) if last.1 == lo => {
                        assert_eq!((lo - last.0) % STEP_BYTES, 0);
                        last.1 = hi;
                    }
                    _ => joined.push((lo, hi)),
                }
            }
            let expected: Vec<_> = content
                .allocations
                .iter()
                .map(|allocation| (allocation.range.lo().get(), allocation.range.hi().get()))
                .collect();
            assert_eq!(joined, expected);
        }
    }
}
