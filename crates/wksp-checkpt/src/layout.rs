//! The fixed parts of the v2 format: header, footer, info, commands.

use wksp_core::{Allocation, GaddrRange, Geometry, MAGIC, NAME_BYTES_MAX, Name, Tag};

use crate::error::Problem;
use crate::provenance::Provenance;
use crate::style::FrameStyle;

pub(crate) const HEADER_BYTES: usize = 80;
pub(crate) const FOOTER_BYTES: usize = 120;
/// The bytes of the first buffer of the info frame.
pub(crate) const INFO_BYTES: usize = 144;
pub(crate) const COMMAND_BYTES: usize = 24;
/// The most groups in a volume that existing readers accept.
pub(crate) const GROUPS_MAX: u64 = 1024;
/// The style number of v2.
pub(crate) const STYLE: u32 = 2;

/// What a checkpoint says about the workspace it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) name: Name,
    pub(crate) seed: u32,
    pub(crate) geometry: Geometry,
}

impl Origin {
    fn numbers(&self) -> (u64, u64) {
        (u64::from(self.geometry.part_max()), self.geometry.data_max())
    }
}

/// Takes little-endian integers and bytes from the front of a slice.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((array, rest)) => {
                self.0 = rest;
                *array
            }
            None => [0; N],
        }
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }
}

/// The header: what the checkpoint is of, and how its frames are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) frames: FrameStyle,
    pub(crate) origin: Origin,
}

impl Header {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let (part_max, data_max) = self.origin.numbers();
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC.to_le_bytes());
        bytes.extend([STYLE, self.frames.number(), 0].into_iter().flat_map(u32::to_le_bytes));
        bytes.extend(self.origin.name.to_padded());
        bytes.extend(self.origin.seed.to_le_bytes());
        bytes.extend([part_max, data_max].into_iter().flat_map(u64::to_le_bytes));
        bytes
    }

    pub(crate) fn of_bytes(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Problem> {
        let mut fields = Fields(bytes);
        let magic = fields.u64();
        if magic != MAGIC {
            return Err(Problem::Magic { found: magic });
        }
        let style = fields.u32();
        if style != STYLE {
            return Err(Problem::Style { found: u64::from(style) });
        }
        let number = fields.u32();
        let frames = FrameStyle::of_number(number).ok_or(Problem::FrameStyle { found: number })?;
        let reserved = fields.u32();
        if reserved != 0 {
            return Err(Problem::Reserved { found: reserved });
        }
        let name = Name::from_padded(fields.array::<{ NAME_BYTES_MAX + 1 }>())?;
        let seed = fields.u32();
        let (part_max, data_max) = (fields.u64(), fields.u64());
        let geometry = Geometry::new(part_max, data_max)
            .map_err(|_| Problem::Geometry { part_max, data_max })?;
        Ok(Self { frames, origin: Origin { name, seed, geometry } })
    }
}

/// The footer: how much there is, and what the header says once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) allocation_count: u64,
    pub(crate) group_count: u64,
    pub(crate) volume_count: u64,
    pub(crate) volumes_offset: u64,
    pub(crate) checkpoint_bytes: u64,
}

impl Footer {
    fn counts(&self) -> [(&'static str, u64); 5] {
        [
            ("the number of allocations in the footer", self.allocation_count),
            ("the number of groups in the footer", self.group_count),
            ("the number of volumes in the footer", self.volume_count),
            ("the offset of the volumes frame in the footer", self.volumes_offset),
            ("the size of the checkpoint in the footer", self.checkpoint_bytes),
        ]
    }

    pub(crate) fn to_bytes(self, header: Header) -> Vec<u8> {
        let (part_max, data_max) = header.origin.numbers();
        let mut bytes = Vec::with_capacity(FOOTER_BYTES);
        bytes.extend(self.counts().into_iter().flat_map(|(_, count)| count.to_le_bytes()));
        bytes.extend([data_max, part_max].into_iter().flat_map(u64::to_le_bytes));
        bytes.extend(header.origin.seed.to_le_bytes());
        bytes.extend(header.origin.name.to_padded());
        bytes.extend([0, header.frames.number(), STYLE].into_iter().flat_map(u32::to_le_bytes));
        bytes.extend((!MAGIC).to_le_bytes());
        bytes
    }

    /// Reads a footer and checks that it says the same as the header.
    pub(crate) fn of_bytes(bytes: &[u8; FOOTER_BYTES], header: &Header) -> Result<Self, Problem> {
        let mut fields = Fields(bytes);
        let footer = Self {
            allocation_count: fields.u64(),
            group_count: fields.u64(),
            volume_count: fields.u64(),
            volumes_offset: fields.u64(),
            checkpoint_bytes: fields.u64(),
        };
        let (part_max, data_max) = header.origin.numbers();
        same("data_max in the footer", data_max, fields.u64())?;
        same("part_max in the footer", part_max, fields.u64())?;
        same("the seed in the footer", u64::from(header.origin.seed), u64::from(fields.u32()))?;
        if fields.array::<{ NAME_BYTES_MAX + 1 }>() != header.origin.name.to_padded() {
            return Err(Problem::FooterName);
        }
        same("a reserved field of the footer", 0, u64::from(fields.u32()))?;
        let frames = u64::from(header.frames.number());
        same("the frame style in the footer", frames, u64::from(fields.u32()))?;
        same("the style in the footer", u64::from(STYLE), u64::from(fields.u32()))?;
        same("the magic in the footer", !MAGIC, fields.u64())?;
        Ok(footer)
    }

    /// Checks the counts against what was met.
    pub(crate) fn check(&self, expected: &Self) -> Result<(), Problem> {
        for ((what, expected), (_, found)) in expected.counts().into_iter().zip(self.counts()) {
            same(what, expected, found)?;
        }
        Ok(())
    }
}

pub(crate) const fn same(what: &'static str, expected: u64, found: u64) -> Result<(), Problem> {
    if expected == found { Ok(()) } else { Err(Problem::Contradiction { what, expected, found }) }
}

/// The two buffers of the info frame.
pub(crate) fn info_to_bytes(provenance: &Provenance) -> (Vec<u8>, Vec<u8>) {
    let texts = provenance.texts().map(|(_, text, _)| text.as_bytes());
    let sizes = texts.map(|text| (text.len() as u64).saturating_add(1));
    let mut numbers = Vec::with_capacity(INFO_BYTES);
    numbers.extend(provenance.mode.to_le_bytes());
    numbers.extend(provenance.numbers().into_iter().chain(sizes).flat_map(u64::to_le_bytes));
    let mut all = Vec::new();
    for text in texts {
        all.extend_from_slice(text);
        all.push(0);
    }
    (numbers, all)
}

/// The numbers of the info frame, and the sizes of its texts, each with its 0.
pub(crate) fn info_numbers(bytes: &[u8; INFO_BYTES]) -> Result<(Provenance, [usize; 9]), Problem> {
    let mut fields = Fields(bytes);
    let mut provenance = Provenance { mode: fields.u64(), ..Provenance::default() };
    let mut numbers = [0; 8];
    for number in &mut numbers {
        *number = fields.u64();
    }
    provenance.set_numbers(numbers);
    let mut sizes = [0; 9];
    for (size, (_, max)) in sizes.iter_mut().zip(provenance.texts_mut()) {
        let (found, max) = (fields.u64(), (max as u64).saturating_add(1));
        *size = match usize::try_from(found) {
            Ok(size @ 1..) if found <= max => size,
            _ => return Err(Problem::TextLength { found, min: 1, max }),
        };
    }
    Ok((provenance, sizes))
}

/// Puts the texts of the info frame into the provenance.
pub(crate) fn info_texts(
    provenance: &mut Provenance,
    sizes: [usize; 9],
    mut all: &[u8],
) -> Result<(), Problem> {
    for ((text, _), size) in provenance.texts_mut().into_iter().zip(sizes) {
        let (terminated, rest) = all.split_at_checked(size).ok_or(Problem::TextEnd)?;
        match terminated.split_last() {
            Some((0, bytes)) if !bytes.contains(&0) => *text = bytes.to_vec().into(),
            _ => return Err(Problem::TextEnd),
        }
        all = rest;
    }
    Ok(())
}

/// What stands at the start of each frame behind the info frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// An allocation of a group.
    Meta(Allocation),
    /// The bytes of the allocations of the group follow.
    Data,
    /// The groups of a volume.
    Appendix { group_count: u64, previous: u64 },
    /// The end of the last volume.
    Volumes { last_appendix: u64 },
}

impl Command {
    const fn words(&self) -> [u64; 3] {
        match *self {
            Self::Meta(Allocation { range, tag }) => {
                [tag.get(), range.lo().get(), range.hi().get()]
            }
            Self::Data => [0, u64::MAX, u64::MAX],
            Self::Appendix { group_count, previous } => [0, group_count, previous],
            Self::Volumes { last_appendix } => [0, u64::MAX, last_appendix],
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; COMMAND_BYTES] {
        let mut bytes = [0; COMMAND_BYTES];
        for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(self.words()) {
            *to = word.to_le_bytes();
        }
        bytes
    }

    pub(crate) fn of_bytes(bytes: [u8; COMMAND_BYTES]) -> Result<Self, Problem> {
        let mut fields = Fields(&bytes);
        let words = [fields.u64(), fields.u64(), fields.u64()];
        Ok(match words {
            [0, u64::MAX, u64::MAX] => Self::Data,
            [0, u64::MAX, last_appendix] => Self::Volumes { last_appendix },
            [0, group_count, previous] => Self::Appendix { group_count, previous },
            [tag, lo, hi] => {
                let range = GaddrRange::new(lo, hi).ok_or(Problem::Range { lo, hi })?;
                let tag = Tag::new(tag).ok_or(Problem::Command { words })?;
                Self::Meta(Allocation { range, tag })
            }
        })
    }

    /// That the command stands where it must not.
    pub(crate) const fn misplaced(&self) -> Problem {
        Problem::Command { words: self.words() }
    }
}
