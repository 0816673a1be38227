//! Where the fields of header and records lie, and how to read them without believing them.

/// The index that means "none".
pub const NIL: u32 = u32::MAX;

pub(super) const MAGIC: u64 = 0xF17E_DA2C_3731_C591;
const HEADER_BYTES: usize = 128;
const RECORD_BYTES: usize = 64;

/// Byte offsets of the fields, for tests that damage an image on purpose.
///
/// Header fields count from the first byte of the image, record fields from
/// [`record_offset`](super::record_offset).
#[allow(missing_docs, reason = "each constant is named after its field in the layout")]
pub mod field {
    pub const HEADER_MAGIC: usize = 0;
    pub const HEADER_PART_MAX: usize = 8;
    pub const HEADER_DATA_MAX: usize = 16;
    pub const HEADER_GADDR_LO: usize = 24;
    pub const HEADER_GADDR_HI: usize = 32;
    pub const HEADER_NAME: usize = 40;
    pub const HEADER_SEED: usize = 80;
    pub const HEADER_IDLE_TOP: usize = 84;
    pub const HEADER_PART_HEAD: usize = 88;
    pub const HEADER_PART_TAIL: usize = 92;
    pub const HEADER_USED_ROOT: usize = 96;
    pub const HEADER_FREE_ROOT: usize = 100;
    pub const HEADER_CYCLE_TAG: usize = 104;
    pub const HEADER_OWNER: usize = 112;
    pub const HEADER_ZERO: usize = 120;

    pub const RECORD_GADDR_LO: usize = 0;
    pub const RECORD_GADDR_HI: usize = 8;
    pub const RECORD_TAG: usize = 16;
    pub const RECORD_HEAP_PRIO: usize = 24;
    pub const RECORD_PREV: usize = 28;
    pub const RECORD_NEXT: usize = 32;
    pub const RECORD_LEFT: usize = 36;
    pub const RECORD_RIGHT: usize = 40;
    pub const RECORD_PARENT: usize = 44;
    pub const RECORD_SAME: usize = 48;
    pub const RECORD_STACK: usize = 52;
    pub const RECORD_CYCLE_TAG: usize = 56;
}

/// Returns the offset of record `index` from the first byte of the image.
#[must_use]
pub fn record_offset(index: u32) -> usize {
    (index as usize).saturating_mul(RECORD_BYTES).saturating_add(HEADER_BYTES)
}

/// The header fields as they stand, believed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is named after its field in the layout")]
pub struct Header {
    pub magic: u64,
    pub part_max: u64,
    pub data_max: u64,
    pub gaddr_lo: u64,
    pub gaddr_hi: u64,
    pub name: [u8; 40],
    pub seed: u32,
    pub idle_top: u32,
    pub part_head: u32,
    pub part_tail: u32,
    pub used_root: u32,
    pub free_root: u32,
    pub cycle_tag: u64,
    pub owner: u64,
    pub zero: u64,
}

impl Header {
    /// Reads the header, or returns `None` when the image is shorter than one.
    #[must_use]
    pub fn read(image: &[u8]) -> Option<Self> {
        let header = image.get(..HEADER_BYTES)?;
        let u32_at = |offset| read_u32(header, offset);
        let u64_at = |offset| read_u64(header, offset);
        Some(Self {
            magic: u64_at(field::HEADER_MAGIC)?,
            part_max: u64_at(field::HEADER_PART_MAX)?,
            data_max: u64_at(field::HEADER_DATA_MAX)?,
            gaddr_lo: u64_at(field::HEADER_GADDR_LO)?,
            gaddr_hi: u64_at(field::HEADER_GADDR_HI)?,
            name: *header.get(field::HEADER_NAME..)?.first_chunk()?,
            seed: u32_at(field::HEADER_SEED)?,
            idle_top: u32_at(field::HEADER_IDLE_TOP)?,
            part_head: u32_at(field::HEADER_PART_HEAD)?,
            part_tail: u32_at(field::HEADER_PART_TAIL)?,
            used_root: u32_at(field::HEADER_USED_ROOT)?,
            free_root: u32_at(field::HEADER_FREE_ROOT)?,
            cycle_tag: u64_at(field::HEADER_CYCLE_TAG)?,
            owner: u64_at(field::HEADER_OWNER)?,
            zero: u64_at(field::HEADER_ZERO)?,
        })
    }
}

/// The fields of one partition record as they stand; scratch fields are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is named after its field in the layout")]
pub struct Record {
    pub gaddr_lo: u64,
    pub gaddr_hi: u64,
    pub tag: u64,
    /// Bits 0 to 30 of the word; bit 30 is meant to be 0.
    pub heap_prio: u32,
    /// Bit 31 of the word.
    pub in_same: bool,
    pub prev: u32,
    pub next: u32,
    pub left: u32,
    pub right: u32,
    pub parent: u32,
    pub same: u32,
}

impl Record {
    /// Reads record `index`, or returns `None` when it leaves the image.
    #[must_use]
    pub fn read(image: &[u8], index: u32) -> Option<Self> {
        let record = image.get(record_offset(index)..)?.get(..RECORD_BYTES)?;
        let u32_at = |offset| read_u32(record, offset);
        let u64_at = |offset| read_u64(record, offset);
        let prio = u32_at(field::RECORD_HEAP_PRIO)?;
        Some(Self {
            gaddr_lo: u64_at(field::RECORD_GADDR_LO)?,
            gaddr_hi: u64_at(field::RECORD_GADDR_HI)?,
            tag: u64_at(field::RECORD_TAG)?,
            heap_prio: prio & 0x7FFF_FFFF,
            in_same: prio >> 31 == 1,
            prev: u32_at(field::RECORD_PREV)?,
            next: u32_at(field::RECORD_NEXT)?,
            left: u32_at(field::RECORD_LEFT)?,
            right: u32_at(field::RECORD_RIGHT)?,
            parent: u32_at(field::RECORD_PARENT)?,
            same: u32_at(field::RECORD_SAME)?,
        })
    }

    /// Returns the size of the range in bytes; 0 for a range that is upside down.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.gaddr_hi.saturating_sub(self.gaddr_lo)
    }
}

fn read_u32(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

fn read_u64(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes.get(offset..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}
