//! The front of a checkpoint: what it is of, how it is stored, where it comes from.

use std::io::Read;

use wksp_core::{Geometry, MAGIC, Name};

use crate::digest;
use crate::error::{Problem, ReadError};
use crate::frame::{Codec, Frame};
use crate::input::{Input, Stream, array};
use crate::layout::{self, HEADER_BYTES, Header, INFO_BYTES, Origin};
use crate::provenance::{Provenance, TEXT_MAX, Text};
use crate::style::FrameStyle;
use crate::svw;

/// How a checkpoint is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// The v1 stream.
    V1,
    /// v2 with frames of a style.
    V2(FrameStyle),
}

/// What a checkpoint says at its front.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Preview {
    /// How it is stored.
    pub format: Format,
    /// The name of the workspace it is of.
    pub name: Name,
    /// The seed of that workspace.
    pub seed: u32,
    /// The numbers of records and bytes of that workspace: one like it has room for everything.
    pub geometry: Geometry,
    /// Who wrote it, when and where; a digest in the user info is taken out.
    pub provenance: Provenance,
}

/// Reads the front of a checkpoint, about as much as its texts are long.
///
/// A source can be read as a stream with [`FromStart`](crate::FromStart); bytes behind the front
/// may be taken from the stream.
///
/// # Errors
///
/// [`ReadError`] if this is no checkpoint.
#[doc(alias = "fd_wksp_preview")]
pub fn preview(stream: &mut dyn Read) -> Result<Preview, ReadError> {
    Ok(Head::read(&mut Stream::new(stream, None))?.preview)
}

/// The front, and the digest that was found in it.
pub(crate) struct Head {
    pub(crate) preview: Preview,
    /// Of v2.
    pub(crate) header: Option<Header>,
    pub(crate) mark: Option<u32>,
    /// Behind the last byte.
    pub(crate) end: u64,
}

impl Head {
    pub(crate) const fn origin(&self) -> Origin {
        let Preview { name, seed, geometry, .. } = self.preview;
        Origin { name, seed, geometry }
    }

    pub(crate) fn read(input: &mut dyn Input) -> Result<Self, ReadError> {
        // The magic in v1 is an integer of 9 bytes, and no v2 magic begins like one.
        const V2_START: u8 = MAGIC.to_le_bytes()[0];
        let [first] = array(input)?;
        if first == V2_START { Self::v2(input, first) } else { Self::v1(input, first) }
    }

    fn v1(input: &mut dyn Input, first: u8) -> Result<Self, ReadError> {
        const STYLE: u64 = 1;
        let magic = number_behind(input, first)?;
        if magic != MAGIC {
            return Err(Problem::Magic { found: magic }.at(0));
        }
        let style = number(input)?;
        if style != STYLE {
            return Err(Problem::Style { found: style }.at(input.position()));
        }
        let seed = number(input)?;
        let seed =
            u32::try_from(seed).map_err(|_| Problem::Seed { found: seed }.at(input.position()))?;
        let (part_max, data_max) = (number(input)?, number(input)?);
        let geometry = Geometry::new(part_max, data_max)
            .map_err(|_| Problem::Geometry { part_max, data_max }.at(input.position()))?;
        let mut numbers = [0; 8];
        for into in &mut numbers {
            *into = number(input)?;
        }
        let mut provenance = Provenance::default();
        provenance.set_numbers(numbers);
        let offset = input.position();
        let name = text(input, TEXT_MAX)?;
        let name = str::from_utf8(name.as_bytes()).unwrap_or("?");
        let name = Name::new(name).map_err(|error| Problem::Name(error).at(offset))?;
        const PATH: usize = 6;
        for (at, (into, max)) in provenance.texts_mut().into_iter().enumerate() {
            if at != PATH {
                *into = text(input, max)?;
            }
        }
        let preview = Preview { format: Format::V1, name, seed, geometry, provenance };
        Ok(Self { preview, header: None, mark: None, end: input.position() })
    }

    fn v2(input: &mut dyn Input, first: u8) -> Result<Self, ReadError> {
        let mut bytes = [0; HEADER_BYTES];
        if let Some((start, rest)) = bytes.split_first_mut() {
            *start = first;
            rest.copy_from_slice(input.take(rest.len())?);
        }
        let header = Header::of_bytes(&bytes).map_err(|problem| problem.at(0))?;
        let mut codec = Codec::new(header.frames)?;
        let mut frame = Frame::new(input, &mut codec);
        let offset = frame.position();
        let mut info = [0; INFO_BYTES];
        frame.buffer(&mut info)?;
        let (mut provenance, sizes) =
            layout::info_numbers(&info).map_err(|problem| problem.at(offset))?;
        // Each size was checked against its bound: together they are less than 40 KiB.
        let mut texts = vec![0; sizes.iter().copied().fold(0, usize::saturating_add)];
        frame.buffer(&mut texts)?;
        let end = frame.end()?;
        layout::info_texts(&mut provenance, sizes, &texts).map_err(|problem| problem.at(offset))?;
        let mut mark = None;
        if header.frames != FrameStyle::Zstd {
            let marked = std::mem::take(&mut provenance.user_info);
            let (user_info, digest) =
                digest::unmark(marked.as_bytes()).map_err(|problem| problem.at(offset))?;
            provenance.user_info = user_info.to_vec().into();
            mark = digest;
        }
        let Origin { name, seed, geometry } = header.origin;
        let format = Format::V2(header.frames);
        let preview = Preview { format, name, seed, geometry, provenance };
        Ok(Self { preview, header: Some(header), mark, end })
    }
}

/// Reads an integer of v1.
pub(crate) fn number(input: &mut dyn Input) -> Result<u64, ReadError> {
    let [first] = array(input)?;
    number_behind(input, first)
}

fn number_behind(input: &mut dyn Input, first: u8) -> Result<u64, ReadError> {
    let offset = input.position();
    let mut bytes = [0; svw::BYTES_MAX];
    let width = svw::width_of(first);
    if let Some((start, rest)) = bytes.get_mut(..width).and_then(|all| all.split_first_mut()) {
        *start = first;
        rest.copy_from_slice(input.take(rest.len())?);
    }
    svw::decode(bytes.get(..width).unwrap_or_default()).ok_or_else(|| Problem::Integer.at(offset))
}

/// Reads a text of v1.
fn text(input: &mut dyn Input, max: usize) -> Result<Text, ReadError> {
    let offset = input.position();
    let found = number(input)?;
    let bytes = match usize::try_from(found) {
        Ok(bytes) if bytes <= max => input.take(bytes)?,
        _ => return Err(Problem::TextLength { found, min: 0, max: max as u64 }.at(offset)),
    };
    if bytes.contains(&0) {
        return Err(Problem::TextEnd.at(offset));
    }
    Ok(bytes.to_vec().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Stream;

    #[test]
    fn a_text_is_no_longer_than_it_may_be_although_there_are_as_many_bytes() {
        let stored = |count: u8| {
            let mut bytes = Vec::new();
            svw::encode(u64::from(count), &mut bytes);
            bytes.extend([b'x'; 40]);
            bytes
        };
        let read = |bytes: Vec<u8>| text(&mut Stream::new(&mut &bytes[..], None), 9);
        assert_eq!(read(stored(9)).unwrap().as_bytes(), b"xxxxxxxxx");
        assert!(matches!(
            read(stored(10)),
            Err(ReadError::Malformed { problem: Problem::TextLength { found: 10, .. }, .. })
        ));
    }
}
