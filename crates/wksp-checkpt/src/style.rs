//! The formats there are, and how their frames are compressed.

use crate::error::WriteError;

/// How a checkpoint is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Style {
    /// The v1 stream: not compressed, read from front to back.
    V1,
    /// v2 with raw frames.
    Raw,
    /// v2 with LZ4 frames, which users call v3.
    #[default]
    Lz4,
    /// v2 with zstd frames, which only this library reads.
    Zstd {
        /// The level, 1 ..= 22; 3 is a good one.
        level: i32,
    },
}

impl Style {
    /// How v2 frames are stored, `None` for v1.
    pub(crate) const fn frames(self) -> Option<FrameStyle> {
        match self {
            Self::V1 => None,
            Self::Raw => Some(FrameStyle::Raw),
            Self::Lz4 => Some(FrameStyle::Lz4),
            Self::Zstd { .. } => Some(FrameStyle::Zstd),
        }
    }

    pub(crate) const fn check(self) -> Result<(), WriteError> {
        match self {
            Self::Zstd { level } if level < 1 || level > 22 => Err(WriteError::Level { level }),
            _ => Ok(()),
        }
    }
}

/// How the frames of a v2 checkpoint are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameStyle {
    /// As they are.
    Raw,
    /// In linked LZ4 blocks.
    Lz4,
    /// In zstd frames with checksums.
    Zstd,
}

impl FrameStyle {
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Raw => 1,
            Self::Lz4 => 2,
            Self::Zstd => 3,
        }
    }

    pub(crate) const fn of_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Raw),
            2 => Some(Self::Lz4),
            3 => Some(Self::Zstd),
            _ => None,
        }
    }
}
