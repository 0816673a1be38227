//! Why a checkpoint was not written or not read.

use std::io;

use wksp_core::{Damage, GaddrRange, NameError};

/// Why no checkpoint was written. What the sink holds is no checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The partition list of the workspace is damaged.
    #[error("the workspace cannot be listed: {0}; rebuild its index and try again")]
    Workspace(#[from] Damage),
    /// The name in the header of the workspace is damaged.
    #[error("the workspace has no proper name: {0}")]
    Name(#[from] NameError),
    /// A text of the provenance is longer than the formats allow.
    #[error("{field} has {bytes} bytes, but a checkpoint holds {max} at most: shorten it")]
    TooLong {
        /// Which one.
        field: &'static str,
        /// How many bytes it has.
        bytes: usize,
        /// How many it may have.
        max: usize,
    },
    /// A text of the provenance has a byte 0 inside.
    #[error("{field} has a byte 0 inside, which a checkpoint cannot hold")]
    HasNul {
        /// Which one.
        field: &'static str,
    },
    /// The user info ends like the mark that a digest is stored in.
    #[error(
        "the user info ends like a digest of this library, which a reader would take it for: put \
         other words behind it"
    )]
    LooksLikeDigest,
    /// The compression level is not one that there is.
    #[error("there is no zstd level {level}: levels are 1 to 22")]
    Level {
        /// The level asked for.
        level: i32,
    },
    /// The sink failed.
    #[error("the checkpoint could not be written at offset {offset}: {source}")]
    Sink {
        /// Where in the checkpoint.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// There was not enough memory.
    #[error("{bytes} bytes of memory were not to be had: free some, or take fewer threads")]
    Memory {
        /// How many bytes were asked for.
        bytes: usize,
    },
    /// The compressor failed, which it does for want of memory only.
    #[error("the compressor failed: free some memory, or take fewer threads")]
    Compressor,
    /// It was cancelled.
    #[error("the checkpoint was cancelled")]
    Cancelled,
}

/// Why a checkpoint was not read. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The source failed.
    #[error("the checkpoint could not be read at offset {offset}: {source}")]
    Source {
        /// Where in the checkpoint.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The checkpoint ends inside something.
    #[error(
        "the checkpoint should go on at offset {offset}, but it ends before: it was cut off, take \
         another copy"
    )]
    Truncated {
        /// Where more was expected.
        offset: u64,
    },
    /// The checkpoint is not what it should be.
    #[error("the checkpoint is damaged at offset {offset}: {problem}; take another copy")]
    Malformed {
        /// Where that was found.
        offset: u64,
        /// What was found.
        problem: Problem,
    },
    /// The digest of the checkpoint is not the one written into it.
    #[error(
        "the checkpoint is damaged: its digest is {found:08x} but should be {expected:08x}; take \
         another copy"
    )]
    Digest {
        /// What the checkpoint says.
        expected: u32,
        /// What its bytes come to.
        found: u32,
    },
    /// There is more than the caller allows.
    #[error("the checkpoint has more than {max} allocations, the most that are accepted here")]
    TooMany {
        /// How many are accepted.
        max: u64,
    },
    /// Keeping the stream failed.
    #[error("the stream could not be kept at offset {offset}: {source}")]
    Spool {
        /// Where in the checkpoint.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// What was read could not be passed on.
    #[error("what was read could not be passed on: {0}")]
    Sink(io::Error),
    /// There was not enough memory.
    #[error("{bytes} bytes of memory were not to be had: free some, or take fewer threads")]
    Memory {
        /// How many bytes were asked for.
        bytes: usize,
    },
    /// It was cancelled.
    #[error("reading the checkpoint was cancelled")]
    Cancelled,
}

/// In which way bytes are not a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The magic is another one.
    #[error("this is no checkpoint, it begins with {found:#018x}")]
    Magic {
        /// What it begins with.
        found: u64,
    },
    /// The style of the checkpoint is unknown.
    #[error("style {found} is unknown")]
    Style {
        /// The style.
        found: u64,
    },
    /// The style of the frames is unknown.
    #[error("frame style {found} is unknown")]
    FrameStyle {
        /// The style.
        found: u32,
    },
    /// A reserved field is not 0.
    #[error("a reserved field holds {found}")]
    Reserved {
        /// What it holds.
        found: u32,
    },
    /// The name of the workspace is none.
    #[error("the name is none: {0}")]
    Name(#[from] NameError),
    /// The numbers of records and bytes make no workspace.
    #[error("{part_max} records and {data_max} bytes of data make no workspace")]
    Geometry {
        /// The number of records.
        part_max: u64,
        /// The number of bytes.
        data_max: u64,
    },
    /// The seed does not fit its 32 bits.
    #[error("the seed {found} is larger than 32 bits")]
    Seed {
        /// The seed.
        found: u64,
    },
    /// The two ends of an integer contradict each other.
    #[error("an integer begins as one of another width than it ends")]
    Integer,
    /// A text is longer or shorter than it may be.
    #[error("a text has {found} bytes, which is not in {min} ..= {max}")]
    TextLength {
        /// How many bytes.
        found: u64,
        /// How many at least.
        min: u64,
        /// How many at most.
        max: u64,
    },
    /// A text has a byte 0 inside, or none where it ends.
    #[error("a text does not end where it should")]
    TextEnd,
    /// An allocation is empty or not within the data of the workspace.
    #[error("an allocation has the impossible range [{lo}, {hi})")]
    Range {
        /// Its lower bound.
        lo: u64,
        /// Its upper bound.
        hi: u64,
    },
    /// Two allocations share bytes.
    #[error("the allocations {lower} and {upper} overlap")]
    Overlap {
        /// The one that begins at the lower address.
        lower: GaddrRange,
        /// The one that begins within it.
        upper: GaddrRange,
    },
    /// There are more allocations than the workspace had records.
    #[error("there are more than {part_max} allocations, the number of records")]
    TooManyAllocations {
        /// The number of records.
        part_max: u64,
    },
    /// A volume has more groups than readers accept.
    #[error("a volume has {found} groups, more than {max}")]
    TooManyGroups {
        /// How many it has.
        found: u64,
        /// How many are accepted.
        max: u64,
    },
    /// There are more volumes than this reader accepts.
    #[error("there are more than {max} volumes")]
    TooManyVolumes {
        /// How many are accepted.
        max: u64,
    },
    /// A command does not belong where it stands.
    #[error("the command {words:x?} does not belong here")]
    Command {
        /// The command.
        words: [u64; 3],
    },
    /// An offset leads outside, or in the wrong direction.
    #[error("the offset {found} leads nowhere")]
    Offset {
        /// The offset.
        found: u64,
    },
    /// A count or offset contradicts what is there.
    #[error("{what} should be {expected} but is {found}")]
    Contradiction {
        /// What it is about.
        what: &'static str,
        /// What it should be.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// The names in header and footer differ.
    #[error("the footer has another name than the header")]
    FooterName,
    /// The size of a compressed chunk is impossible.
    #[error("a chunk of {bytes} bytes cannot have {compressed} when compressed")]
    ChunkSize {
        /// How many bytes it holds.
        bytes: u64,
        /// How many bytes it takes.
        compressed: u64,
    },
    /// A compressed chunk cannot be decompressed.
    #[error("a chunk cannot be decompressed")]
    Chunk,
    /// A compressed frame holds more than it should.
    #[error("a frame holds more than its buffers")]
    FrameEnd,
    /// Two frames share bytes.
    #[error("two frames overlap")]
    FrameOverlap,
    /// There is a gap between frames where there can be none.
    #[error("there is a gap between frames")]
    FrameGap,
    /// The checkpoint has a digest that cannot be read.
    #[error("the digest itself is damaged")]
    DigestMark,
    /// Something follows the end of the checkpoint that is no digest.
    #[error("something follows the end that is no digest")]
    TrailingBytes,
    /// The source does not hold any more what it held before.
    #[error("it has changed since it was opened")]
    Changed,
}

impl Problem {
    pub(crate) const fn at(self, offset: u64) -> ReadError {
        ReadError::Malformed { offset, problem: self }
    }
}
