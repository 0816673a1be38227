//! What a checkpoint of either format contains, and why one cannot be read.

use std::collections::BTreeMap;
use std::fmt;

use crate::golden;
use crate::image::Used;
use crate::lz4_block::Lz4Error;

/// Everything that both formats store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the workspace.
    pub name: String,
    /// Seed of the heap priorities.
    pub seed: u32,
    /// Number of partition records of the original workspace.
    pub part_max: u64,
    /// Bytes in the data region of the original workspace.
    pub data_max: u64,
    /// Who wrote the checkpoint, when and where.
    pub metadata: Metadata,
    /// All allocations in address order, whatever order the file has them in.
    pub allocations: Vec<Allocation>,
    /// Offset behind the last byte that belongs to the checkpoint.
    pub end: usize,
}

impl Checkpoint {
    /// Describes the allocations the way the golden manifest does.
    pub fn described(&self) -> impl Iterator<Item = golden::Allocation> {
        self.allocations.iter().map(|Allocation { lo, hi, tag, bytes }| {
            golden::Allocation::of(Used { lo: *lo, hi: *hi, tag: *tag }, bytes)
        })
    }
}

/// One allocation with its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Allocation {
    /// First byte, as an offset from the workspace header.
    pub lo: u64,
    /// One past the last byte.
    pub hi: u64,
    /// Never 0.
    pub tag: u64,
    /// Exactly `hi` - `lo` bytes.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lo, hi, tag, bytes } = self;
        write!(f, "[{lo}, {hi}) tag {tag} crc {:08x}", crc32fast::hash(bytes))
    }
}

/// Who wrote a checkpoint, when and where; strings without their NUL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is named after its field in the formats")]
pub struct Metadata {
    /// Unix permission bits; v2 only.
    pub mode: Option<u64>,
    /// Nanoseconds since the Unix epoch.
    pub wall_clock_ns: i64,
    pub app_id: u64,
    pub thread_id: u64,
    pub host_id: u64,
    pub cpu_id: u64,
    /// Process id.
    pub group_id: u64,
    pub tid: u64,
    pub user_id: u64,
    pub app: Vec<u8>,
    pub thread: Vec<u8>,
    pub host: Vec<u8>,
    pub cpu: Vec<u8>,
    pub group: Vec<u8>,
    pub user: Vec<u8>,
    /// Path the checkpoint was written to; v2 only.
    pub path: Option<Vec<u8>>,
    pub build_info: Vec<u8>,
    pub user_info: Vec<u8>,
}

/// Why a checkpoint cannot be read, and at which byte that showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// Offset from the first byte of the file.
    pub offset: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The file ends in the middle of something.
    UnexpectedEnd,
    /// The magic is another one.
    Magic(u64),
    /// The style is not that of the format.
    Style(u64),
    /// The frame style is unknown.
    FrameStyle(u32),
    /// A reserved field is not 0.
    Reserved(u32),
    /// The name is not a region name.
    Name,
    /// `part_max` or `data_max` is impossible.
    Geometry,
    /// The seed does not fit 32 bits.
    Seed(u64),
    /// The low and the high bits of an SVW integer contradict each other.
    Svw,
    /// A string is longer or shorter than its field allows.
    StringLength(u64),
    /// A string holds a NUL, or lacks the one at its end.
    StringNul,
    /// An allocation's range is empty or leaves the original data region.
    Range(Used),
    /// An allocation shares bytes with another one.
    Overlap(Used),
    /// There are more allocations than records.
    TooMany,
    /// A chunk's compressed size is impossible for its uncompressed size.
    ChunkSize(usize),
    /// A chunk is no valid LZ4 block.
    Lz4(Lz4Error),
    /// A command is not one that may stand here.
    Command([u64; 3]),
    /// A volume has more groups than readers accept.
    TooManyGroups(u64),
    /// An offset leads outside the file or the wrong way.
    Offset(u64),
    /// An appendix contradicts the frames it lists.
    Appendix,
    /// A field of the footer contradicts the rest of the file.
    Footer(&'static str),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {:?}", self.offset, self.problem)
    }
}

impl std::error::Error for ReadError {}

/// Original geometry of a checkpointed workspace, and the allocations read so far.
pub(crate) struct Collector {
    lo: u64,
    hi: u64,
    part_max: u64,
    by_lo: BTreeMap<u64, (u64, u64, Vec<u8>)>,
}

impl Collector {
    /// Checks the geometry and starts without allocations.
    pub(crate) fn new(part_max: u64, data_max: u64) -> Result<Self, Problem> {
        let records = (1..=u64::from(u32::MAX)).contains(&part_max);
        let lo = part_max.saturating_mul(64).saturating_add(128);
        match lo.checked_add(data_max) {
            Some(hi) if records && data_max > 0 => {
                Ok(Self { lo, hi, part_max, by_lo: BTreeMap::new() })
            }
            _ => Err(Problem::Geometry),
        }
    }

    /// Checks an allocation and returns its size, before its bytes are read.
    pub(crate) fn admit(&mut self, used: Used) -> Result<u64, Problem> {
        let Used { lo, hi, tag } = used;
        if lo >= hi || lo < self.lo || hi > self.hi {
            return Err(Problem::Range(used));
        }
        let before = self.by_lo.range(..hi).next_back();
        if before.is_some_and(|(_, (other_hi, ..))| *other_hi > lo) {
            return Err(Problem::Overlap(used));
        }
        if self.count() >= self.part_max {
            return Err(Problem::TooMany);
        }
        self.by_lo.insert(lo, (hi, tag, Vec::new()));
        Ok(hi.saturating_sub(lo))
    }

    /// Stores the bytes of the admitted allocation that starts at `lo`.
    pub(crate) fn fill(&mut self, lo: u64, content: Vec<u8>) {
        if let Some((_, _, bytes)) = self.by_lo.get_mut(&lo) {
            *bytes = content;
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.by_lo.len() as u64
    }

    pub(crate) fn into_allocations(self) -> Vec<Allocation> {
        let entries = self.by_lo.into_iter();
        entries.map(|(lo, (hi, tag, bytes))| Allocation { lo, hi, tag, bytes }).collect()
    }
}
