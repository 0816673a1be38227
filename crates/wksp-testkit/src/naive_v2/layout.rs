//! The contents of each kind of frame, however its offset became known.

use crate::checkpoint::{Collector, Metadata, Problem, ReadError};
use crate::cursor::Cursor;
use crate::image::{Used, region_name};

use super::frame::{FrameReader, FrameStyle, words_in};
use super::{Frame, FrameKind, GROUPS_PER_VOLUME};

const MAGIC: u64 = 0xF17E_DA2C_3731_C591;
const STYLE: u32 = 2;

pub(super) const HEADER_BYTES: usize = 80;
pub(super) const FOOTER_BYTES: usize = 120;

/// The static fields, which header and footer both hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) frame_style: FrameStyle,
    pub(super) name: String,
    pub(super) seed: u32,
    pub(super) part_max: u64,
    pub(super) data_max: u64,
}

impl Header {
    pub(super) fn read(file: &[u8]) -> Result<Self, ReadError> {
        let mut cursor = Cursor::at(file, 0);
        let magic = cursor.u64()?;
        if magic != MAGIC {
            return Err(cursor.error(Problem::Magic(magic)));
        }
        let style = cursor.u32()?;
        if style != STYLE {
            return Err(cursor.error(Problem::Style(u64::from(style))));
        }
        let frame_style = FrameStyle::from_number(cursor.u32()?);
        let frame_style = frame_style.map_err(|problem| cursor.error(problem))?;
        let reserved = cursor.u32()?;
        if reserved != 0 {
            return Err(cursor.error(Problem::Reserved(reserved)));
        }
        let name = region_name(&cursor.array()?).ok_or_else(|| cursor.error(Problem::Name))?;
        let seed = cursor.u32()?;
        let part_max = cursor.u64()?;
        let data_max = cursor.u64()?;
        Ok(Self { frame_style, name, seed, part_max, data_max })
    }
}

/// What the footer says about the rest of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) allocation_count: u64,
    pub(super) group_count: u64,
    pub(super) volume_count: u64,
    pub(super) volumes_offset: u64,
    pub(super) checkpoint_bytes: u64,
}

impl Footer {
    /// Reads a footer and checks that its static fields equal the header's.
    pub(super) fn read(file: &[u8], offset: usize, header: &Header) -> Result<Self, ReadError> {
        let mut cursor = Cursor::at(file, offset);
        let footer = Self {
            allocation_count: cursor.u64()?,
            group_count: cursor.u64()?,
            volume_count: cursor.u64()?,
            volumes_offset: cursor.u64()?,
            checkpoint_bytes: cursor.u64()?,
        };
        let equal = |field, equal: bool, cursor: &Cursor<'_>| {
            if equal { Ok(()) } else { Err(cursor.error(Problem::Footer(field))) }
        };
        equal("data_max", cursor.u64()? == header.data_max, &cursor)?;
        equal("part_max", cursor.u64()? == header.part_max, &cursor)?;
        equal("seed", cursor.u32()? == header.seed, &cursor)?;
        let name = region_name(&cursor.array()?);
        equal("name", name.as_ref() == Some(&header.name), &cursor)?;
        equal("reserved", cursor.u32()? == 0, &cursor)?;
        let frame_style = FrameStyle::from_number(cursor.u32()?);
        equal("frame_style", frame_style == Ok(header.frame_style), &cursor)?;
        equal("style", cursor.u32()? == STYLE, &cursor)?;
        equal("magic", cursor.u64()? == !MAGIC, &cursor)?;
        Ok(footer)
    }
}

/// Reads the info frame right behind the header.
pub(super) fn read_info(file: &[u8], style: FrameStyle) -> Result<(Metadata, Frame), ReadError> {
    let mut reader = FrameReader::at(file, HEADER_BYTES, style);
    let words = reader.words::<18>()?;
    let [mode, wall_clock, app_id, thread_id, host_id, cpu_id, group_id, tid, user_id, sizes @ ..] =
        words;
    let limits: [u64; 9] = [40, 40, 40, 40, 40, 40, 4096, 16384, 16384];
    for (size, limit) in sizes.into_iter().zip(limits) {
        if !(1..=limit).contains(&size) {
            return Err(reader.error(Problem::StringLength(size)));
        }
    }
    let total = sizes.iter().copied().fold(0, u64::saturating_add);
    let all = reader.buffer(total)?;
    let mut rest = Cursor::at(&all, 0);
    let mut strings: [Vec<u8>; 9] = Default::default();
    for (string, size) in strings.iter_mut().zip(sizes) {
        let terminated = rest.take(size)?;
        match terminated.split_last() {
            Some((0, text)) if !text.contains(&0) => *string = text.to_vec(),
            _ => return Err(reader.error(Problem::StringNul)),
        }
    }
    let [app, thread, host, cpu, group, user, path, build_info, user_info] = strings;
    let metadata = Metadata {
        mode: Some(mode),
        wall_clock_ns: wall_clock.cast_signed(),
        app_id,
        thread_id,
        host_id,
        cpu_id,
        group_id,
        tid,
        user_id,
        app,
        thread,
        host,
        cpu,
        group,
        user,
        path: Some(path),
        build_info,
        user_info,
    };
    Ok((metadata, reader.describe(FrameKind::Info)))
}

/// The first command of a frame, or a later one of a cgroup frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Meta(Used),
    Data,
    Appendix { group_count: u64, previous: u64 },
    Volumes { last_appendix: u64 },
}

impl Command {
    pub(super) fn read(reader: &mut FrameReader<'_>) -> Result<Self, ReadError> {
        Ok(match reader.words()? {
            [0, u64::MAX, u64::MAX] => Self::Data,
            [0, u64::MAX, last_appendix] => Self::Volumes { last_appendix },
            [0, group_count, previous] => Self::Appendix { group_count, previous },
            [tag, lo, hi] => Self::Meta(Used { lo, hi, tag }),
        })
    }

    /// Returns the error that this command stands where it must not.
    pub(super) fn misplaced(self, reader: &FrameReader<'_>) -> ReadError {
        reader.error(Problem::Command(match self {
            Self::Meta(Used { lo, hi, tag }) => [tag, lo, hi],
            Self::Data => [0, u64::MAX, u64::MAX],
            Self::Appendix { group_count, previous } => [0, group_count, previous],
            Self::Volumes { last_appendix } => [0, u64::MAX, last_appendix],
        }))
    }
}

/// Reads the rest of a cgroup frame whose first command is `first`, and returns the number of
/// allocations in it.
pub(super) fn read_group(
    reader: &mut FrameReader<'_>,
    first: Command,
    collector: &mut Collector,
) -> Result<u64, ReadError> {
    let mut command = first;
    let mut sizes = Vec::new();
    while let Command::Meta(used) = command {
        let bytes = collector.admit(used).map_err(|problem| reader.error(problem))?;
        sizes.push((used.lo, bytes));
        command = Command::read(reader)?;
    }
    if command != Command::Data {
        return Err(command.misplaced(reader));
    }
    for &(lo, bytes) in &sizes {
        collector.fill(lo, reader.buffer(bytes)?);
    }
    Ok(sizes.len() as u64)
}

/// Reads the rest of an appendix frame: offset and allocation count of every group.
pub(super) fn read_appendix(
    reader: &mut FrameReader<'_>,
    group_count: u64,
) -> Result<Vec<(u64, u64)>, ReadError> {
    if group_count > GROUPS_PER_VOLUME {
        return Err(reader.error(Problem::TooManyGroups(group_count)));
    }
    let bytes = group_count.saturating_mul(8);
    let offsets = reader.buffer(bytes)?;
    let counts = reader.buffer(bytes)?;
    Ok(words_in(&offsets).zip(words_in(&counts)).collect())
}
