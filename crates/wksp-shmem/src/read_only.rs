//! Looking at a region without being able to change it.

use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use wksp_core::{Doubt, Name, Observer};

use crate::base::BaseDir;
use crate::join_table::{JoinOptions, MapError, give_memory, map_failed};
use crate::mapping::Area;
use crate::numa_calls::populate_for_reading;
use crate::page_size::PageSize;
use crate::region::{Access, Region};
use crate::workspace::AttachError;

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

    /// Maps the region called `name`, of `page_size` or else of the largest pages.
    ///
    /// # Errors
    ///
    /// [`AttachError::Region`] and [`AttachError::Map`].
    pub fn open(
        base: &BaseDir,
        name: &Name,
        page_size: Option<PageSize>,
    ) -> Result<Self, AttachError> {
        let region = Region::open(base, name, page_size, Access::ReadOnly)?;
        Ok(Self::map(region, &JoinOptions::default())?)
    }

    /// Looks at the workspace in the region, without its lock.
    ///
    /// Costs a few loads, and no system call.
    ///
    /// # Errors
    ///
    /// [`AttachError::Join`] if there is no workspace in it, or a damaged one.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use wksp_core::Name;
    /// # use wksp_shmem::{BaseDir, NewRegionOptions, PageSize, SharedWorkspace};
    /// use wksp_shmem::{ReadOnlyMapping, look_for};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # std::fs::create_dir(dir.path().join(".normal"))?;
    /// # let base = BaseDir::resolve(Some(dir.path()))?;
    /// # let region = NewRegionOptions { page_size: PageSize::Normal, page_count: 9, mode: 0o600 };
    /// # let name = Name::new("seen")?;
    /// # SharedWorkspace::create(&base, &name, &region, &Default::default())?;
    /// let mapping = ReadOnlyMapping::open(&base, &Name::new("seen")?, None)?;
    /// let observer = mapping.observer()?;
    /// let seen = observer.observe(|view| view.usage(None), look_for(Duration::from_millis(10)));
    /// assert_eq!((seen.value.used.count, seen.doubt), (0, None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn observer(&self) -> Result<Observer<'_>, AttachError> {
        let name = self.region.info().name;
        Observer::join(self.area.memory_to_read()?)
            .map_err(|source| AttachError::Join { name, source })
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

/// The first pause between two looks.
const PAUSE_MIN: Duration = Duration::from_micros(20);
/// The longest one.
const PAUSE_MAX: Duration = Duration::from_millis(2);

/// For [`Observer::observe`]: looks again for so long, with pauses that become longer.
///
/// The first pause takes no longer than an operation on a workspace does, and a look that has begun
/// is not cut short.
#[must_use = "it is an argument of Observer::observe"]
pub fn look_for(bound: Duration) -> impl FnMut(Doubt) -> bool {
    let began = Instant::now();
    let mut pause = PAUSE_MIN;
    move |_| {
        let left = bound.saturating_sub(began.elapsed());
        if left.is_zero() {
            return false;
        }
        thread::sleep(pause.min(left));
        pause = pause.saturating_mul(2).min(PAUSE_MAX);
        true
    }
}
