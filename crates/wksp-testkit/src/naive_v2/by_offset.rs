//! Reads a seekable file: footer, volumes frame, appendix frames backwards, groups.

use crate::checkpoint::{Checkpoint, Collector, Problem, ReadError};

use super::frame::FrameReader;
use super::layout::{
    Command, FOOTER_BYTES, Footer, HEADER_BYTES, Header, read_appendix, read_group, read_info,
};
use super::{Frame, FrameKind, V2};

/// Reads a v2 checkpoint that is the whole of `file`, following its offsets.
///
/// Bytes between frames are not looked at.
///
/// # Errors
///
/// The first thing found wrong.
pub fn read_by_offset(file: &[u8]) -> Result<V2, ReadError> {
    let at = |offset, problem| ReadError { offset, problem };
    let header = Header::read(file)?;
    let mut collector = Collector::new(header.part_max, header.data_max)
        .map_err(|problem| at(HEADER_BYTES, problem))?;
    let footer_offset = file.len().saturating_sub(FOOTER_BYTES);
    let footer = Footer::read(file, footer_offset, &header)?;
    if footer.checkpoint_bytes != file.len() as u64 {
        return Err(at(footer_offset, Problem::Footer("checkpoint_bytes")));
    }
    let (metadata, info) = read_info(file, header.frame_style)?;
    let mut frames = vec![
        Frame { offset: 0, size_bytes: HEADER_BYTES, kind: FrameKind::Header },
        info,
        Frame { offset: footer_offset, size_bytes: FOOTER_BYTES, kind: FrameKind::Footer },
    ];
    let open = |offset: u64, before: u64| {
        let inside = usize::try_from(offset).ok().filter(|_| offset < before);
        let offset = inside.ok_or(at(footer_offset, Problem::Offset(offset)))?;
        Ok(FrameReader::at(file, offset, header.frame_style))
    };

    let mut reader = open(footer.volumes_offset, footer_offset as u64)?;
    let command = Command::read(&mut reader)?;
    let Command::Volumes { last_appendix } = command else {
        return Err(command.misplaced(&reader));
    };
    frames.push(reader.describe(FrameKind::Volumes));

    // Every appendix has to end before the frame that names it starts, so the walk ends, and the
    // groups it collects are bounded by the size of the file.
    let mut appendix_offset = last_appendix;
    let mut before = footer.volumes_offset;
    let (mut volume_count, mut groups) = (0_u64, Vec::new());
    while appendix_offset != 0 {
        let mut reader = open(appendix_offset, before)?;
        let command = Command::read(&mut reader)?;
        let Command::Appendix { group_count, previous } = command else {
            return Err(command.misplaced(&reader));
        };
        let listed = read_appendix(&mut reader, group_count)?;
        if reader.end() as u64 > before {
            return Err(reader.error(Problem::Offset(appendix_offset)));
        }
        groups.extend(listed.into_iter().map(|group| (appendix_offset, group)));
        frames.push(reader.describe(FrameKind::Appendix));
        volume_count = volume_count.saturating_add(1);
        before = appendix_offset;
        appendix_offset = previous;
    }
    if volume_count != footer.volume_count {
        return Err(at(footer_offset, Problem::Footer("volume_count")));
    }
    if groups.len() as u64 != footer.group_count {
        return Err(at(footer_offset, Problem::Footer("group_count")));
    }
    for (appendix_offset, (offset, count)) in groups {
        let mut reader = open(offset, appendix_offset)?;
        let first = Command::read(&mut reader)?;
        if read_group(&mut reader, first, &mut collector)? != count {
            return Err(reader.error(Problem::Appendix));
        }
        frames.push(reader.describe(FrameKind::CheckptGroup(count)));
    }
    if collector.count() != footer.allocation_count {
        return Err(at(footer_offset, Problem::Footer("allocation_count")));
    }
    frames.sort_unstable();
    let Header { frame_style, name, seed, part_max, data_max } = header;
    let allocations = collector.into_allocations();
    let end = file.len();
    let checkpoint = Checkpoint { name, seed, part_max, data_max, metadata, allocations, end };
    Ok(V2 { checkpoint, frame_style, frames })
}
