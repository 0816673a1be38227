//! How the bytes of a region are shared out between records and data.

use wksp_treap::GaddrRange;

/// The bytes of the header.
pub const HEADER_BYTES: u64 = 128;
/// The bytes of one partition record.
pub const RECORD_BYTES: u64 = 64;
/// The alignment in bytes of a workspace and its footprint.
pub const WORKSPACE_ALIGN: u64 = 128;
/// The byte behind the data.
const FOOTER_BYTES: u64 = 1;

/// The size in bytes of an allocation that the C tools expect when they size a workspace.
pub const TYPICAL_ALLOCATION_BYTES: u64 = 64 * 1024;
/// The fewest records that [`Geometry::for_footprint`] settles for where they fit easily.
const PART_MAX_FLOOR: u64 = 1024;

/// The number of records and of data bytes, checked against each other.
///
/// # Invariants
///
/// `part_max` is in 1 ..= 0xFFFFFFFF, `data_max` at least 1, and the footprint fits in 63 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    part_max: u32,
    data_max: u64,
    data: GaddrRange,
    footprint: u64,
}

/// Why numbers of records and bytes make no workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GeometryError {
    /// The number of records is not in 1 ..= 0xFFFFFFFF.
    #[error("a workspace has 1 to 4294967295 partition records, not {part_max}")]
    PartMax {
        /// The number asked for.
        part_max: u64,
    },
    /// The number of data bytes is 0, or so large that the whole would not fit in 63 bits.
    #[error("a workspace with {part_max} records cannot have {data_max} bytes of data")]
    DataMax {
        /// The number of records asked for.
        part_max: u64,
        /// The number of data bytes asked for.
        data_max: u64,
    },
    /// The region is too small for the records and one byte of data.
    #[error(
        "a workspace with {part_max} records needs at least {needed} bytes, but the region has \
         {footprint}: make it larger or the records fewer"
    )]
    TooSmall {
        /// The bytes of the region.
        footprint: u64,
        /// The number of records asked for.
        part_max: u64,
        /// The bytes needed.
        needed: u64,
    },
}

impl Geometry {
    /// Checks a number of records and of data bytes.
    ///
    /// # Errors
    ///
    /// [`GeometryError::PartMax`] or [`GeometryError::DataMax`] if one is out of range.
    pub fn new(part_max: u64, data_max: u64) -> Result<Self, GeometryError> {
        let records = match u32::try_from(part_max) {
            Ok(records @ 1..) => records,
            _ => return Err(GeometryError::PartMax { part_max }),
        };
        let layout = || {
            let lo = RECORD_BYTES.checked_mul(part_max)?.checked_add(HEADER_BYTES)?;
            let hi = lo.checked_add(data_max)?;
            let footprint =
                hi.checked_add(FOOTER_BYTES)?.checked_next_multiple_of(WORKSPACE_ALIGN)?;
            i64::try_from(footprint).ok()?;
            Some((GaddrRange::new(lo, hi)?, footprint))
        };
        let (data, footprint) = layout().ok_or(GeometryError::DataMax { part_max, data_max })?;
        Ok(Self { part_max: records, data_max, data, footprint })
    }

    /// Fills a region of `footprint` bytes (rounded down to 128) with `part_max` records and data.
    ///
    /// # Errors
    ///
    /// [`GeometryError`] if there can be no such number of records or no byte is left for data.
    #[doc(alias = "fd_wksp_data_max_est")]
    pub fn with_part_max(footprint: u64, part_max: u64) -> Result<Self, GeometryError> {
        if part_max == 0 || u32::try_from(part_max).is_err() {
            return Err(GeometryError::PartMax { part_max });
        }
        let footprint = round_down(footprint);
        let overhead = RECORD_BYTES
            .saturating_mul(part_max)
            .saturating_add(HEADER_BYTES)
            .saturating_add(FOOTER_BYTES);
        match footprint.checked_sub(overhead) {
            Some(data_max @ 1..) => Self::new(part_max, data_max),
            _ => Err(GeometryError::TooSmall {
                footprint,
                part_max,
                needed: overhead.saturating_add(1).next_multiple_of(WORKSPACE_ALIGN),
            }),
        }
    }

    /// Fills a region of `footprint` bytes with as many records as allocations of `typical_bytes`
    /// need, and data.
    ///
    /// A record for each such allocation, as the C tools reckon; but where 1024 records, or half
    /// the bytes as records if that is fewer, make more, then those: a small region would otherwise
    /// run out of records long before it runs out of bytes.
    ///
    /// # Errors
    ///
    /// [`GeometryError::TooSmall`] if the region cannot hold a record and a byte.
    #[doc(alias = "fd_wksp_part_max_est")]
    pub fn for_footprint(footprint: u64, typical_bytes: u64) -> Result<Self, GeometryError> {
        let room = round_down(footprint).saturating_sub(HEADER_BYTES + FOOTER_BYTES);
        let reckoned = room.checked_div(RECORD_BYTES.saturating_add(typical_bytes)).unwrap_or(0);
        let floor = PART_MAX_FLOOR.min(room / (2 * RECORD_BYTES));
        let part_max = reckoned.max(floor).clamp(1, u64::from(u32::MAX));
        Self::with_part_max(footprint, part_max)
    }

    /// The number of records.
    #[must_use]
    pub const fn part_max(&self) -> u32 {
        self.part_max
    }

    /// The number of data bytes.
    #[must_use]
    pub const fn data_max(&self) -> u64 {
        self.data_max
    }

    /// The addresses of the data.
    #[must_use]
    pub const fn data(&self) -> GaddrRange {
        self.data
    }

    /// The bytes of the whole workspace, a multiple of 128.
    #[must_use]
    #[doc(alias = "fd_wksp_footprint")]
    pub const fn footprint(&self) -> u64 {
        self.footprint
    }
}

const fn round_down(footprint: u64) -> u64 {
    footprint & !(WORKSPACE_ALIGN - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_sizes_come_out() {
        let empty = Geometry::with_part_max(262_144, 3).unwrap();
        assert_eq!((empty.data_max(), empty.footprint()), (261_823, 262_144));
        assert_eq!((empty.data().lo().get(), empty.data().hi().get()), (320, 262_143));
    }

    #[test]
    fn records_follow_the_typical_size_with_a_floor() {
        let gib = Geometry::for_footprint(1 << 30, TYPICAL_ALLOCATION_BYTES).unwrap();
        assert_eq!(u64::from(gib.part_max()), ((1 << 30) - 129) / (64 + 65_536));
        assert_eq!(Geometry::for_footprint(1 << 20, 65_536).unwrap().part_max(), 1024);
        assert_eq!(Geometry::for_footprint(4096, 65_536).unwrap().part_max(), 30);
        assert_eq!(Geometry::for_footprint(256, u64::MAX).unwrap().part_max(), 1);
    }

    #[test]
    fn impossible_numbers_are_refused() {
        assert_eq!(Geometry::new(0, 1), Err(GeometryError::PartMax { part_max: 0 }));
        assert_eq!(Geometry::new(1 << 32, 1), Err(GeometryError::PartMax { part_max: 1 << 32 }));
        for data_max in [0, u64::MAX, u64::MAX - 192, (1 << 63) - 192] {
            assert_eq!(
                Geometry::new(1, data_max),
                Err(GeometryError::DataMax { part_max: 1, data_max })
            );
        }
        for footprint in [0, 1, 127, 128, 255] {
            assert!(Geometry::for_footprint(footprint, 1).is_err());
        }
        for part_max in [0, 1 << 32] {
            let refused = Geometry::with_part_max(128, part_max);
            assert_eq!(refused, Err(GeometryError::PartMax { part_max }));
        }
        assert_eq!(
            Geometry::with_part_max(300, 2),
            Err(GeometryError::TooSmall { footprint: 256, part_max: 2, needed: 384 })
        );
    }
}
