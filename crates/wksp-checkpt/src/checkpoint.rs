//! A checkpoint that has been opened: everything but its data is known and checked.

use std::fmt;
use std::io::Read;

use crc32fast::Hasher;
use wksp_core::Allocation;

use crate::control::{Control, Meter};
use crate::digest::Protection;
use crate::error::{Problem, ReadError};
use crate::frame::{Codec, Frame};
use crate::head::{Format, Head, Preview};
use crate::index::{Entry, Group, Index, by_address};
use crate::input::{At, Stream};
use crate::layout::Command;
use crate::parallel;
use crate::scan;
use crate::sink::Append;
use crate::source::ReadAt;
use crate::style::FrameStyle;

/// A checkpoint of which everything but the data has been read.
///
/// # Invariants
///
/// All allocations lie within the data of the workspace that the checkpoint is of, none overlap,
/// and there are no more of them than that workspace had records.
pub struct Checkpoint<'s> {
    pub(crate) source: &'s dyn ReadAt,
    pub(crate) preview: Preview,
    pub(crate) index: Index,
    pub(crate) allocations: Vec<Allocation>,
}

impl fmt::Debug for Checkpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("preview", &self.preview)
            .field("allocations", &self.allocations.len())
            .field("protection", &self.protection())
            .finish_non_exhaustive()
    }
}

/// A frame that has been read.
pub(crate) struct Piece {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The hash of its bytes, if that was asked for.
    pub(crate) hasher: Option<Hasher>,
}

/// An allocation in a checkpoint, and how many bytes it takes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its range and tag.
    pub allocation: Allocation,
    /// The bytes that its data takes in the checkpoint; a share where others lie in the same chunk.
    pub stored_bytes: u64,
}

impl<'s> Checkpoint<'s> {
    /// Opens a checkpoint by offset.
    ///
    /// Costs O(n) in the number n of allocations, of which a list is kept.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if it is damaged, as far as that shows without its data.
    pub fn open(source: &'s dyn ReadAt) -> Result<Self, ReadError> {
        Self::open_at_most(source, u64::MAX)
    }

    /// Opens a checkpoint that has at most `allocations_max` allocations.
    ///
    /// This bounds the memory that someone else's checkpoint can ask for.
    ///
    /// # Errors
    ///
    /// As of [`open`](Self::open).
    pub fn open_at_most(source: &'s dyn ReadAt, allocations_max: u64) -> Result<Self, ReadError> {
        let bytes = source.bytes().map_err(|source| ReadError::Source { offset: 0, source })?;
        let mut input = At::new(source, 0, bytes);
        let head = Head::read(&mut input)?;
        let index = match &head.header {
            None => scan::v1(&mut input, &head, allocations_max)?,
            Some(header) => scan::v2_by_offset(source, bytes, &head, header, allocations_max)?,
        };
        Self::new(source, head, index)
    }

    /// Takes a checkpoint from a stream, keeps a copy in `spool`, and opens that.
    ///
    /// `spool` must be empty; a temporary file or a vector will do.
    /// Nothing behind the checkpoint is kept, but some may have been taken from the stream.
    /// What is kept is bounded by the stream, and by what its header says about the workspace.
    ///
    /// # Errors
    ///
    /// As of [`open`](Self::open), and [`ReadError::Spool`].
    pub fn spool<S: Append + ReadAt>(
        stream: &mut dyn Read,
        spool: &'s mut S,
        allocations_max: u64,
    ) -> Result<Self, ReadError> {
        let mut input = Stream::new(stream, Some(spool));
        let head = Head::read(&mut input)?;
        let index = match &head.header {
            None => scan::v1(&mut input, &head, allocations_max)?,
            Some(header) => scan::v2_stream(&mut input, &head, header, allocations_max)?,
        };
        input.keep()?;
        Self::new(spool, head, index)
    }

    fn new(source: &'s dyn ReadAt, head: Head, index: Index) -> Result<Self, ReadError> {
        let allocations = by_address(&index.entries)?;
        Ok(Self { source, preview: head.preview, index, allocations })
    }

    /// What it says at its front.
    #[must_use]
    pub const fn preview(&self) -> &Preview {
        &self.preview
    }

    /// Its allocations in ascending order of address.
    #[must_use]
    pub fn allocations(&self) -> &[Allocation] {
        &self.allocations
    }

    /// The bytes of its allocations.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        self.allocations.iter().map(|one| one.range.bytes()).fold(0, u64::saturating_add)
    }

    /// The bytes of the checkpoint itself.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.index.end
    }

    /// What protects it against damage; whether it is damaged is found by
    /// [`verify`](Self::verify).
    #[must_use]
    pub fn protection(&self) -> Protection {
        match (self.preview.format, self.index.digest) {
            (_, Some(found)) => Protection::Digest(found.digest),
            (Format::V2(FrameStyle::Zstd), None) => Protection::Chunks,
            (_, None) => Protection::None,
        }
    }

    /// How its frames are stored; v1 is like one raw frame.
    pub(crate) const fn frames(&self) -> FrameStyle {
        match self.preview.format {
            Format::V1 => FrameStyle::Raw,
            Format::V2(frames) => frames,
        }
    }

    /// Lists the allocations with the bytes that they take in the checkpoint, in its order.
    ///
    /// LZ4 is passed over from chunk to chunk; only zstd is decompressed for this.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if a frame turns out to be damaged.
    pub fn inspect(&self, control: &Control<'_>) -> Result<Vec<Stored>, ReadError> {
        let entries = &self.index.entries;
        let bytes = entries.len().saturating_mul(size_of::<Stored>());
        let mut listed = Vec::new();
        listed.try_reserve_exact(entries.len()).map_err(|_| ReadError::Memory { bytes })?;
        if self.frames() == FrameStyle::Raw {
            listed.extend(entries.iter().map(|&Entry { allocation, .. }| Stored {
                allocation,
                stored_bytes: allocation.range.bytes(),
            }));
            return Ok(listed);
        }
        let meter = Meter::new(*control, self.data_bytes());
        let groups = self.for_each_group(control, |group, codec| {
            let mut stored = Vec::new();
            let bytes = group.count.saturating_mul(size_of::<u64>());
            stored.try_reserve_exact(group.count).map_err(|_| ReadError::Memory { bytes })?;
            self.group(group, codec, false, |frame, allocation| {
                control.check()?;
                stored.push(frame.skip(allocation.range.bytes())?);
                meter.add(allocation.range.bytes());
                Ok(())
            })?;
            Ok(stored)
        })?;
        for (group, stored) in self.index.groups.iter().zip(groups) {
            let entries = entries.iter().skip(group.first);
            listed.extend(entries.zip(stored).map(|(&Entry { allocation, .. }, stored_bytes)| {
                Stored { allocation, stored_bytes }
            }));
        }
        Ok(listed)
    }

    /// Calls `each` for every group, shared out among the threads, with a codec of the thread.
    pub(crate) fn for_each_group<T: Send>(
        &self,
        control: &Control<'_>,
        each: impl Fn(Group, &mut Codec) -> Result<T, ReadError> + Sync,
    ) -> Result<Vec<T>, ReadError> {
        let groups = &self.index.groups;
        let state = || None;
        parallel::map(control, groups.len(), state, |codec, at| {
            let codec = Codec::get_or_new(codec, self.frames())?;
            let group = groups.get(at).ok_or_else(|| Problem::Changed.at(0))?;
            each(*group, codec)
        })
    }

    /// Reads the commands of a group again, has `each` read the data of its allocations one after
    /// the other, and returns what was read, hashed if asked for.
    pub(crate) fn group(
        &self,
        group: Group,
        codec: &mut Codec,
        hash: bool,
        mut each: impl FnMut(&mut Frame<'_>, Allocation) -> Result<(), ReadError>,
    ) -> Result<Piece, ReadError> {
        let footer_at = self.index.frames.last().map_or(0, |(start, _)| *start);
        let mut input = At::new(self.source, group.offset, footer_at);
        if hash {
            input.hash();
        }
        input.seek_frame(group.offset, group.next);
        let mut frame = Frame::new(&mut input, codec);
        let entries = self.index.entries.iter().skip(group.first).take(group.count);
        for entry in entries.clone() {
            if frame.command()? != Command::Meta(entry.allocation) {
                return Err(Problem::Changed.at(group.offset));
            }
        }
        if frame.command()? != Command::Data {
            return Err(Problem::Changed.at(group.offset));
        }
        for entry in entries {
            each(&mut frame, entry.allocation)?;
        }
        let end = frame.end()?;
        Ok(Piece { start: group.offset, end, hasher: input.into_hasher() })
    }

    /// Passes the bytes of the allocations for which `wanted` holds to `sink`, in the order of the
    /// checkpoint, and returns how many they are.
    ///
    /// They are checked as far as decompressing them does; [`verify`](Self::verify) first if the
    /// digest matters. The threads of `control` are not used, since the bytes come in order.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if what has to be read for it is damaged; some bytes may be in the sink then.
    pub fn extract(
        &self,
        mut wanted: impl FnMut(&Allocation) -> bool,
        sink: &mut dyn Append,
        control: &Control<'_>,
    ) -> Result<u64, ReadError> {
        let meter = Meter::new(*control, self.data_bytes());
        let mut extracted = 0_u64;
        let mut take = |piece: &[u8], is_wanted: bool| {
            control.check()?;
            meter.add(piece.len() as u64);
            if is_wanted {
                extracted = extracted.saturating_add(piece.len() as u64);
                sink.append(piece).map_err(ReadError::Sink)?;
            }
            Ok(())
        };
        let mut codec = Codec::new(self.frames())?;
        if self.frames() == FrameStyle::Raw {
            let mut input = At::new(self.source, 0, self.index.end);
            for entry in &self.index.entries {
                let bytes = entry.allocation.range.bytes();
                match entry.at.filter(|_| wanted(&entry.allocation)) {
                    None => meter.add(bytes),
                    Some(at) => {
                        input.seek(at);
                        let mut frame = Frame::new(&mut input, &mut codec);
                        frame.each(bytes, |piece| take(piece, true))?;
                    }
                }
            }
            return Ok(extracted);
        }
        for &group in &self.index.groups {
            let entries = self.index.entries.iter().skip(group.first).take(group.count);
            let wanted: Vec<bool> = entries.map(|entry| wanted(&entry.allocation)).collect();
            let Some(last) = wanted.iter().rposition(|&wanted| wanted) else { continue };
            let mut at = 0_usize;
            let done = self.group(group, &mut codec, false, |frame, allocation| {
                // What lies behind the last one need not be read.
                if at > last {
                    return Err(ReadError::Cancelled);
                }
                let is_wanted = wanted.get(at) == Some(&true);
                at = at.saturating_add(1);
                frame.each(allocation.range.bytes(), |piece| take(piece, is_wanted))
            });
            match done {
                Err(ReadError::Cancelled) if at > last && !control.is_cancelled() => {}
                done => {
                    done?;
                }
            }
        }
        Ok(extracted)
    }
}
