//! Reads v2 checkpoints with raw or LZ4 frames, by offset and as a stream.

mod by_offset;
mod frame;
mod layout;
mod stream;

use crate::checkpoint::Checkpoint;

pub use self::by_offset::read_by_offset;
pub use self::frame::FrameStyle;
pub use self::stream::read_stream;

/// Most groups that existing readers accept in one volume.
pub const GROUPS_PER_VOLUME: u64 = 1024;

/// A v2 checkpoint and how its file is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct V2 {
    /// What the checkpoint contains.
    pub checkpoint: Checkpoint,
    /// Style of all frames between header and footer.
    pub frame_style: FrameStyle,
    /// All frames, header and footer included, by offset.
    pub frames: Vec<Frame>,
}

impl V2 {
    /// Counts the frames of one kind.
    #[must_use]
    pub fn count(&self, kind: FrameKind) -> usize {
        self.frames.iter().filter(|frame| frame.kind == kind).count()
    }
}

/// Where one frame lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame {
    /// Offset of its first byte.
    pub offset: usize,
    /// Its bytes in the file.
    pub size_bytes: usize,
    /// What it holds.
    pub kind: FrameKind,
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrameKind {
    /// Static fields; always raw.
    Header,
    /// Who wrote the checkpoint.
    Info,
    /// Some allocations, this many.
    CheckptGroup(u64),
    /// Where the groups of a volume are.
    Appendix,
    /// Where the last appendix is.
    Volumes,
    /// Counts and static fields; always raw.
    Footer,
}
