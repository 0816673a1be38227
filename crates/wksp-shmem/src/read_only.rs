//! Looking at a region without being able to change it.

use std::os::fd::AsFd;

use crate::join_table::{JoinOptions, MapError, give_memory, map_failed};
use crate::mapping::Area;
use crate::numa_calls::populate_for_reading;
use crate::region::Region;

/// A region mapped to be read, by somebody who needs no more than the permission for that.
///
/// It is no join: nobody sees it but in memory maps, it takes no lock, and there is one mapping for
/// each. What is read may change meanwhile, and a workspace in it may be in the middle of a change.
///
/// # Examples
///
/// ```
/// use wksp_core::Name;
/// use wksp_shmem::{Access, BaseDir, JoinOptions, NewRegion, NewRegionOptions};
/// use wksp_shmem::{PageSize, ReadOnlyMapping, Region};
///
/// # let dir = tempfile::tempdir()?;
/// # std::fs::create_dir(dir.path().join(".normal"))?;
/// # let base = BaseDir::resolve(Some(dir.path()))?;
/// # let name = Name::new("seen")?;
/// # let options = NewRegionOptions { page_size: PageSize::Normal, page_count: 1, mode: 0o600 };
/// # NewRegion::create(&base, &name, &options)?.publish()?;
/// let region = Region::open(&base, &name, None, Access::ReadOnly)?;
/// let mapping = ReadOnlyMapping::map(region, &JoinOptions::default())?;
/// assert_eq!(mapping.load(8)?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[doc(alias = "fd_shmem_join")]
pub struct ReadOnlyMapping {
    area: Area,
    region: Region,
}

/// There are no such bytes to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot read {count} bytes at offset {offset} of a region of {bytes} bytes: stay within it, and \
     load words at multiples of 8"
)]
pub struct NoSuchBytes {
    /// The offset asked for.
    pub offset: usize,
    /// The number of bytes asked for.
    pub count: usize,
    /// The number of bytes that there are.
    pub bytes: usize,
}

impl ReadOnlyMapping {
    /// Maps an open region, whatever it was opened for.
    ///
    /// # Errors
    ///
    /// [`MapError`].
    pub fn map(region: Region, options: &JoinOptions) -> Result<Self, MapError> {
        let bytes = region.info().bytes;
        let failed = |source| map_failed(&region, source);
        let area = Area::to_read(region.as_fd(), 0, bytes).map_err(failed)?;
        give_memory(&region, || populate_for_reading(&area, &(0..area.bytes())))?;
        options.apply(&area, &region)?;
        Ok(Self { area, region })
    }

    /// The region.
    #[must_use]
    pub const fn region(&self) -> &Region {
        &self.region
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.area.bytes()
    }

    /// The address of the first byte, a multiple of the page size, for as long as this lives.
    ///
    /// Whoever reads through it has to reckon with others who write at the same time: so with
    /// relaxed atomic or volatile loads, never through a reference to plain data.
    /// A write through it ends the process.
    #[must_use]
    pub const fn as_ptr(&self) -> *const u8 {
        self.area.pointer()
    }

    /// Copies the bytes from `offset` on, each of them as it is at some moment.
    ///
    /// # Errors
    ///
    /// [`NoSuchBytes`], and `to` is as it was.
    pub fn copy_out(&self, offset: usize, to: &mut [u8]) -> Result<(), NoSuchBytes> {
        let count = to.len();
        self.area.copy_out(offset, to).ok_or(self.no_such(offset, count))
    }

    /// Loads the eight bytes from `offset` on, a multiple of 8, as they are at one moment.
    ///
    /// What is read after that is not older.
    ///
    /// # Errors
    ///
    /// [`NoSuchBytes`].
    pub fn load(&self, offset: usize) -> Result<u64, NoSuchBytes> {
        self.area.load(offset).ok_or(self.no_such(offset, size_of::<u64>()))
    }

    const fn no_such(&self, offset: usize, count: usize) -> NoSuchBytes {
        NoSuchBytes { offset, count, bytes: self.area.bytes() }
    }
}
