//! Reads a pipe: front to back, each frame told by its first command.

use crate::checkpoint::{Checkpoint, Collector, Problem, ReadError};

use super::frame::FrameReader;
use super::layout::{
    Command, FOOTER_BYTES, Footer, HEADER_BYTES, Header, read_appendix, read_group, read_info,
};
use super::{Frame, FrameKind, GROUPS_PER_VOLUME, V2};

/// Reads a v2 checkpoint from the first byte of `file`, never looking ahead or back.
///
/// All offsets and counts in the file are compared with what was seen on the way.
/// Bytes behind the footer are not looked at; [`Checkpoint::end`] tells where they start.
///
/// # Errors
///
/// The first thing found wrong; a gap between frames is one.
pub fn read_stream(file: &[u8]) -> Result<V2, ReadError> {
    let header = Header::read(file)?;
    let mut collector = Collector::new(header.part_max, header.data_max)
        .map_err(|problem| ReadError { offset: HEADER_BYTES, problem })?;
    let (metadata, info) = read_info(file, header.frame_style)?;
    let header_frame = Frame { offset: 0, size_bytes: HEADER_BYTES, kind: FrameKind::Header };
    let mut seen = Seen { frames: vec![header_frame, info], ..Seen::default() };
    let mut offset = HEADER_BYTES.saturating_add(info.size_bytes);
    let volumes_offset = loop {
        let mut reader = FrameReader::at(file, offset, header.frame_style);
        let command = Command::read(&mut reader)?;
        let kind = match command {
            Command::Meta(_) | Command::Data => {
                let count = read_group(&mut reader, command, &mut collector)?;
                seen.group(offset as u64, count).map_err(|problem| reader.error(problem))?;
                FrameKind::CheckptGroup(count)
            }
            Command::Appendix { group_count, previous } => {
                let listed = read_appendix(&mut reader, group_count)?;
                seen.appendix(offset as u64, previous, &listed)
                    .map_err(|problem| reader.error(problem))?;
                FrameKind::Appendix
            }
            Command::Volumes { last_appendix } => {
                if last_appendix != seen.last_appendix || !seen.volume.is_empty() {
                    return Err(command.misplaced(&reader));
                }
                FrameKind::Volumes
            }
        };
        seen.frames.push(reader.describe(kind));
        let start = std::mem::replace(&mut offset, reader.end());
        if kind == FrameKind::Volumes {
            break start;
        }
    };
    let end = offset.saturating_add(FOOTER_BYTES);
    let expected = Footer {
        allocation_count: collector.count(),
        group_count: seen.group_count,
        volume_count: seen.volume_count,
        volumes_offset: volumes_offset as u64,
        checkpoint_bytes: end as u64,
    };
    if Footer::read(file, offset, &header)? != expected {
        return Err(ReadError { offset, problem: Problem::Footer("counts") });
    }
    seen.frames.push(Frame { offset, size_bytes: FOOTER_BYTES, kind: FrameKind::Footer });
    let frames = seen.frames;
    let Header { frame_style, name, seed, part_max, data_max } = header;
    let allocations = collector.into_allocations();
    let checkpoint = Checkpoint { name, seed, part_max, data_max, metadata, allocations, end };
    Ok(V2 { checkpoint, frame_style, frames })
}

/// The frames passed so far.
#[derive(Default)]
struct Seen {
    frames: Vec<Frame>,
    /// Offset and allocation count of the groups since the last appendix.
    volume: Vec<(u64, u64)>,
    group_count: u64,
    volume_count: u64,
    /// 0 before the first one.
    last_appendix: u64,
}

impl Seen {
    fn group(&mut self, offset: u64, count: u64) -> Result<(), Problem> {
        self.volume.push((offset, count));
        self.group_count = self.group_count.saturating_add(1);
        let in_volume = self.volume.len() as u64;
        if in_volume > GROUPS_PER_VOLUME {
            return Err(Problem::TooManyGroups(in_volume));
        }
        Ok(())
    }

    fn appendix(
        &mut self,
        offset: u64,
        previous: u64,
        listed: &[(u64, u64)],
    ) -> Result<(), Problem> {
        if previous != self.last_appendix || listed != self.volume {
            return Err(Problem::Appendix);
        }
        self.volume.clear();
        self.volume_count = self.volume_count.saturating_add(1);
        self.last_appendix = offset;
        Ok(())
    }
}
