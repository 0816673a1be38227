//! Finding out what a checkpoint holds: by offset where that is possible, or front to back.

use wksp_core::{Allocation, GaddrRange, Tag};

use crate::digest::{self, DIGITS_BEFORE_END, Found};
use crate::error::{Problem, ReadError};
use crate::frame::{Codec, Frame};
use crate::head::{Head, number};
use crate::index::{Entries, Entry, Group, Index, Volume, digest_volumes};
use crate::input::{At, Input, array};
use crate::layout::{Command, FOOTER_BYTES, Footer, GROUPS_MAX, Header, same};
use crate::source::ReadAt;
use crate::style::FrameStyle;

/// The most volumes that are accepted; writers to date write one, or 65 with a digest.
const VOLUMES_MAX: u64 = 1024;

/// The groups of a volume as an appendix lists them: offset and number of allocations.
type Listed = Vec<(u64, u64)>;

/// Reads v1 from the first allocation on.
pub(crate) fn v1(input: &mut dyn Input, head: &Head, max: u64) -> Result<Index, ReadError> {
    let mut entries = Entries::new(&head.origin(), max);
    loop {
        let offset = input.position();
        let Some(tag) = Tag::new(number(input)?) else { break };
        let (lo, bytes) = (number(input)?, number(input)?);
        let hi = lo.saturating_add(bytes);
        let range = GaddrRange::new(lo, hi).ok_or_else(|| Problem::Range { lo, hi }.at(offset))?;
        let at = Some(input.position());
        entries.add(Entry { allocation: Allocation { range, tag }, at }, offset)?;
        input.skip(bytes)?;
    }
    let covered_bytes = input.position();
    let trailer = input.rest(digest::TRAILER_BYTES.saturating_add(1))?;
    let digest = digest::of_trailer(trailer).map_err(|problem| problem.at(covered_bytes))?;
    let digest = digest.map(|digest| Found { digest, covered_bytes, digits_at: None });
    Ok(Index { entries: entries.all, digest, end: input.position(), ..Index::default() })
}

/// Reads v2 front to back, from behind the info frame on, and takes nothing behind the footer.
pub(crate) fn v2_stream(
    input: &mut dyn Input,
    head: &Head,
    header: &Header,
    max: u64,
) -> Result<Index, ReadError> {
    let mut scan = Scan::new(head, header, max);
    let mut codec = Codec::new(header.frames)?;
    // The groups since the last appendix, as offset and count.
    let mut groups = Listed::new();
    let mut last_appendix = 0;
    let volumes_offset = loop {
        let offset = input.position();
        let mut frame = Frame::new(input, &mut codec);
        let command = frame.command()?;
        match command {
            Command::Meta(_) | Command::Data => {
                let found = groups.len() as u64;
                if found >= GROUPS_MAX {
                    let found = found.saturating_add(1);
                    return Err(Problem::TooManyGroups { found, max: GROUPS_MAX }.at(offset));
                }
                let count = scan.group(&mut frame, offset, command)?;
                for bytes in scan.last_sizes() {
                    frame.skip(bytes)?;
                }
                let next = frame.end()?;
                if let Some(group) = scan.index.groups.last_mut() {
                    group.next = next;
                }
                groups.push((offset, count));
            }
            Command::Appendix { group_count, previous } => {
                let check = || {
                    same("the number of groups", groups.len() as u64, group_count)?;
                    same("the offset of the appendix before", last_appendix, previous)
                };
                check().map_err(|problem| problem.at(offset))?;
                let listed = appendix(&mut frame, group_count)?;
                frame.end()?;
                for ((at, count), (listed_at, listed_count)) in groups.drain(..).zip(listed) {
                    same("the offset of a group", at, listed_at)
                        .and_then(|()| same("the count of a group", count, listed_count))
                        .map_err(|problem| problem.at(offset))?;
                }
                let end = input.position();
                scan.volume(offset, end, group_count)?;
                last_appendix = offset;
            }
            Command::Volumes { last_appendix: named } => {
                if named != last_appendix || !groups.is_empty() {
                    return Err(command.misplaced().at(offset));
                }
                let end = frame.end()?;
                scan.index.frames.push((offset, end));
                break offset;
            }
        }
    };
    let footer_at = input.position();
    let footer =
        Footer::of_bytes(&array(input)?, header).map_err(|problem| problem.at(footer_at))?;
    scan.finish(head, &footer, volumes_offset, footer_at)
}

/// Reads v2 by offset, from the footer on.
pub(crate) fn v2_by_offset(
    source: &dyn ReadAt,
    bytes: u64,
    head: &Head,
    header: &Header,
    max: u64,
) -> Result<Index, ReadError> {
    let mut scan = Scan::new(head, header, max);
    let mut codec = Codec::new(header.frames)?;
    let footer_at = bytes
        .checked_sub(FOOTER_BYTES as u64)
        .filter(|&at| at >= head.end)
        .ok_or(ReadError::Truncated { offset: bytes })?;
    let mut input = At::new(source, footer_at, bytes);
    let footer =
        Footer::of_bytes(&array(&mut input)?, header).map_err(|problem| problem.at(footer_at))?;
    let mut input = At::new(source, head.end, footer_at);
    let go = |input: &mut At<'_>, offset: u64, before: u64| {
        if offset < head.end || offset >= before {
            return Err(Problem::Offset { found: offset }.at(before));
        }
        input.seek(offset);
        Ok(())
    };

    let volumes_offset = footer.volumes_offset;
    go(&mut input, volumes_offset, footer_at)?;
    let mut frame = Frame::new(&mut input, &mut codec);
    let command = frame.command()?;
    let Command::Volumes { last_appendix } = command else {
        return Err(command.misplaced().at(volumes_offset));
    };
    let end = frame.end()?;
    scan.index.frames.push((volumes_offset, end));

    // Each appendix lies before the frame that names it, so the walk ends.
    let mut volumes: Vec<(u64, u64, Listed)> = Vec::new();
    let (mut at, mut before) = (last_appendix, volumes_offset);
    while at != 0 {
        if volumes.len() as u64 >= VOLUMES_MAX {
            return Err(Problem::TooManyVolumes { max: VOLUMES_MAX }.at(at));
        }
        go(&mut input, at, before)?;
        let mut frame = Frame::new(&mut input, &mut codec);
        let command = frame.command()?;
        let Command::Appendix { group_count, previous } = command else {
            return Err(command.misplaced().at(at));
        };
        let groups = appendix(&mut frame, group_count)?;
        let end = frame.end()?;
        volumes.push((at, end, groups));
        (before, at) = (at, previous);
    }
    let starts = starts(&volumes, volumes_offset)?;
    for (at, end, groups) in volumes.into_iter().rev() {
        let group_count = groups.len() as u64;
        for (offset, listed) in groups {
            go(&mut input, offset, footer_at)?;
            let behind = starts.partition_point(|&start| start <= offset);
            let next = starts.get(behind).copied().unwrap_or(footer_at);
            input.seek_frame(offset, next);
            let mut frame = Frame::new(&mut input, &mut codec);
            let first = frame.command()?;
            let count = scan.group(&mut frame, offset, first)?;
            same("the count of a group", count, listed).map_err(|problem| problem.at(offset))?;
            scan.end_group(next, footer_at)?;
        }
        scan.volume(at, end, group_count)?;
    }
    scan.finish(head, &footer, volumes_offset, footer_at)
}

/// Where the frames behind the info frame begin, but for the footer, in ascending order.
fn starts(volumes: &[(u64, u64, Listed)], volumes_offset: u64) -> Result<Vec<u64>, ReadError> {
    let count = volumes.iter().fold(1, |count: usize, (_, _, groups)| {
        count.saturating_add(1).saturating_add(groups.len())
    });
    let mut starts = Vec::new();
    let bytes = count.saturating_mul(size_of::<u64>());
    starts.try_reserve_exact(count).map_err(|_| ReadError::Memory { bytes })?;
    starts.push(volumes_offset);
    for (at, _, groups) in volumes {
        starts.push(*at);
        starts.extend(groups.iter().map(|(offset, _)| *offset));
    }
    starts.sort_unstable();
    let twice = starts.iter().zip(starts.iter().skip(1)).find(|(one, other)| one == other);
    twice.map_or(Ok(()), |(one, _)| Err(Problem::FrameOverlap.at(*one)))?;
    Ok(starts)
}

/// Reads the rest of an appendix frame: offset and count of each group.
fn appendix(frame: &mut Frame<'_>, group_count: u64) -> Result<Listed, ReadError> {
    let count = match usize::try_from(group_count) {
        Ok(count) if group_count <= GROUPS_MAX => count,
        _ => {
            let problem = Problem::TooManyGroups { found: group_count, max: GROUPS_MAX };
            return Err(problem.at(frame.position()));
        }
    };
    let mut offsets = vec![0; count.saturating_mul(8)];
    let mut counts = offsets.clone();
    frame.buffer(&mut offsets)?;
    frame.buffer(&mut counts)?;
    let words = |bytes: &[u8]| {
        bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect::<Vec<_>>()
    };
    Ok(words(&offsets).into_iter().zip(words(&counts)).collect())
}

/// What has been met of a v2 checkpoint.
struct Scan {
    frames: FrameStyle,
    entries: Entries,
    volumes: Vec<Volume>,
    /// The groups that are in volumes.
    in_volumes: usize,
    index: Index,
}

impl Scan {
    fn new(head: &Head, header: &Header, max: u64) -> Self {
        let index = Index { frames: vec![(0, head.end)], ..Index::default() };
        let entries = Entries::new(&header.origin, max);
        Self { frames: header.frames, entries, volumes: Vec::new(), in_volumes: 0, index }
    }

    /// Reads the commands of a group frame, of which `first` has been read.
    fn group(
        &mut self,
        frame: &mut Frame<'_>,
        offset: u64,
        first: Command,
    ) -> Result<u64, ReadError> {
        let start = self.entries.all.len();
        let mut command = first;
        while let Command::Meta(allocation) = command {
            self.entries.add(Entry { allocation, at: None }, frame.position())?;
            command = frame.command()?;
        }
        if command != Command::Data {
            return Err(command.misplaced().at(frame.position()));
        }
        let entries = self.entries.all.get_mut(start..).unwrap_or_default();
        if self.frames == FrameStyle::Raw {
            let mut at = frame.position();
            for entry in &mut *entries {
                entry.at = Some(at);
                at = at.saturating_add(entry.allocation.range.bytes());
            }
        }
        let count = entries.len();
        let bytes = size_of::<Group>();
        self.index.groups.try_reserve(1).map_err(|_| ReadError::Memory { bytes })?;
        // Where the next frame begins is known only when this one has been read.
        self.index.groups.push(Group { offset, next: offset, first: start, count });
        Ok(count as u64)
    }

    /// The sizes of the allocations of the last group.
    fn last_sizes(&self) -> impl Iterator<Item = u64> {
        let first = self.index.groups.last().map_or(0, |group| group.first);
        let entries = self.entries.all.iter().skip(first);
        entries.map(|entry| entry.allocation.range.bytes())
    }

    /// Ends a group read by offset, behind which a frame begins at `next`, the footer if no other:
    /// checks that the bytes of its last entry lie before that, if they are not compressed.
    fn end_group(&mut self, next: u64, footer_at: u64) -> Result<(), ReadError> {
        let Some(group) = self.index.groups.last_mut() else { return Ok(()) };
        group.next = next;
        let last = self.entries.all.get(group.first..).and_then(|entries| entries.last());
        let Some(Entry { allocation, at: Some(at) }) = last else { return Ok(()) };
        match at.checked_add(allocation.range.bytes()) {
            Some(behind) if behind <= next => Ok(()),
            Some(behind) if behind <= footer_at => Err(Problem::FrameOverlap.at(next)),
            _ => Err(ReadError::Truncated { offset: footer_at }),
        }
    }

    /// Ends a volume with its appendix in [`at`, `end`).
    fn volume(&mut self, at: u64, end: u64, group_count: u64) -> Result<(), ReadError> {
        if self.volumes.len() as u64 >= VOLUMES_MAX {
            return Err(Problem::TooManyVolumes { max: VOLUMES_MAX }.at(at));
        }
        let groups = self.index.groups.get(self.in_volumes..).unwrap_or_default();
        let offset = groups.first().map_or(at, |group| group.offset.min(at));
        let counts = groups.iter().map(|group| group.count as u64);
        let allocation_count = counts.fold(0, u64::saturating_add);
        self.volumes.push(Volume { offset, group_count, allocation_count });
        self.in_volumes = self.index.groups.len();
        self.index.frames.push((at, end));
        Ok(())
    }

    fn finish(
        mut self,
        head: &Head,
        footer: &Footer,
        volumes_offset: u64,
        footer_at: u64,
    ) -> Result<Index, ReadError> {
        let end = footer_at.saturating_add(FOOTER_BYTES as u64);
        let expected = Footer {
            allocation_count: self.entries.all.len() as u64,
            group_count: self.index.groups.len() as u64,
            volume_count: self.volumes.len() as u64,
            volumes_offset,
            checkpoint_bytes: end,
        };
        footer.check(&expected).map_err(|problem| problem.at(footer_at))?;
        let marked = head.mark.map(|digest| Found {
            digest,
            covered_bytes: end,
            digits_at: Some(head.end.saturating_sub(DIGITS_BEFORE_END)),
        });
        self.index.digest = marked.or_else(|| digest_volumes(&self.volumes));
        let says_mark = self.volumes.len() == 2
            && self.volumes.last().is_some_and(|last| last.group_count == 0);
        if says_mark && self.frames != FrameStyle::Zstd && self.index.digest.is_none() {
            return Err(Problem::DigestMark.at(head.end));
        }
        self.index.frames.push((footer_at, end));
        self.index.end = end;
        self.index.entries = self.entries.all;
        Ok(self.index)
    }
}
