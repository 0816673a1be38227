//! Making regions: whole, or not at all.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use wksp_core::Name;

use crate::base::{BaseDir, BaseError};
use crate::draft::{self, Draft, NamingPlace, Shape};
use crate::page_size::PageSize;
use crate::place::{PlacementError, PlacementReport};
use crate::placement::{Binding, Placement, Plan};
use crate::region::{Region, RegionInfo};
use crate::topology::Topology;

/// What a new region is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRegionOptions {
    /// The size of its pages.
    pub page_size: PageSize,
    /// The number of its pages.
    pub page_count: u64,
    /// Its permission bits, at most 0o777, which are applied whatever the umask.
    pub mode: u32,
}

/// What a new region is to be whose pages are placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedRegionOptions {
    /// The size of its pages.
    pub page_size: PageSize,
    /// Its permission bits, at most 0o777, which are applied whatever the umask.
    pub mode: u32,
    /// Its pages, and what each is to be near.
    pub placement: Placement,
    /// What happens where that cannot be.
    pub binding: Binding,
}

/// Why a region was not made. Nothing was left behind, and what was there is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// There is something of that name.
    #[error("{} is there already: unlink it first, or choose another name", path.display())]
    Exists {
        /// Where it is.
        path: PathBuf,
    },
    /// The number of pages is 0 or so large that the bytes do not fit in 63 bits.
    #[error("a region cannot have {page_count} {page_size} pages")]
    BadSize {
        /// The number of pages asked for.
        page_count: u64,
        /// The page size asked for.
        page_size: PageSize,
    },
    /// The mode has bits beyond the nine permission bits.
    #[error("a region cannot have mode {mode:o}: permission bits go from 0 to 777")]
    BadMode {
        /// The mode asked for.
        mode: u32,
    },
    /// There is not enough memory for it.
    #[error(
        "not enough memory for {} of {bytes} bytes: free some, reserve more pages, or enlarge the \
         file system ({source})",
        path.display()
    )]
    NoMemory {
        /// Where it should have been.
        path: PathBuf,
        /// The bytes asked for.
        bytes: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The directory for huge or gigantic pages is not on a file system that has them.
    #[error(
        "{} is not on a hugetlbfs with pages of {} bytes: mount one there first",
        path.display(),
        page_size.bytes()
    )]
    NoSuchPages {
        /// The directory.
        path: PathBuf,
        /// The page size asked for.
        page_size: PageSize,
    },
    /// Its pages could not be placed.
    #[error("cannot place the pages of {}: {source}", path.display())]
    Placement {
        /// Where it should have been.
        path: PathBuf,
        /// Why not.
        source: Box<PlacementError>,
    },
    /// The directory that it is to be in cannot be used.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The system refused.
    #[error("cannot make {}: {source}", path.display())]
    Io {
        /// Where it should have been.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A region that has its memory but no name yet.
///
/// It can be filled before anyone can see it. Dropped without [`publish`](Self::publish), it leaves
/// nothing behind.
#[derive(Debug)]
pub struct NewRegion {
    region: Region,
    place: NamingPlace,
}

impl NewRegion {
    /// Makes a region that is to be called `name`, with all its memory, zeroed.
    ///
    /// Costs the zeroing of its pages.
    ///
    /// # Crash behaviour
    ///
    /// A process killed before [`publish`](Self::publish) leaves nothing, but for file systems that
    /// have no nameless files (as of old versions of hugetlbfs): there a file whose name begins
    /// with `.new-` can stay, which nobody takes for a region.
    ///
    /// # Errors
    ///
    /// [`CreateError`]. Where something of that name is there already, that is found out at once;
    /// if it comes to be later, [`publish`](Self::publish) finds out.
    pub fn create(
        base: &BaseDir,
        name: &Name,
        options: &NewRegionOptions,
    ) -> Result<Self, CreateError> {
        let shape = Shape::new(options.page_size, options.page_count, options.mode)?;
        let draft = Draft::new(base, name, shape)?;
        draft.allocate()?;
        let (region, place) = draft.finish(*name)?;
        Ok(Self { region, place })
    }

    /// Makes a region that is to be called `name`, with all its memory, zeroed, each page where
    /// `options` want it on the machine `topology`, and says what came of that.
    ///
    /// Changes the memory policy of no thread, and reserves no page beyond those of the region.
    /// Costs the zeroing of its pages, and some microseconds for each to ask where it is.
    ///
    /// # Crash behaviour
    ///
    /// As of [`create`](Self::create).
    ///
    /// # Errors
    ///
    /// [`CreateError`], and of those [`CreateError::Placement`] if pages cannot be where they are
    /// wanted.
    #[doc(alias = "fd_shmem_create_multi")]
    pub fn create_placed(
        base: &BaseDir,
        name: &Name,
        options: &PlacedRegionOptions,
        topology: &dyn Topology,
    ) -> Result<(Self, PlacementReport), CreateError> {
        let shape = options.shape()?;
        let path = base.directory_path(options.page_size).join(name.as_str());
        let plan = options.plan(&path, topology)?;
        let draft = Draft::new(base, name, shape)?;
        let report = draft.place(&plan, options.binding)?;
        let (region, place) = draft.finish(*name)?;
        Ok((Self { region, place }, report))
    }

    /// What is known of the region.
    #[must_use]
    pub const fn info(&self) -> &RegionInfo {
        self.region.info()
    }

    /// The region, as an open one.
    #[must_use]
    pub const fn region(&self) -> &Region {
        &self.region
    }

    /// Another handle on the same open file.
    pub(crate) fn duplicate(&self) -> Result<Region, CreateError> {
        let path = self.region.path().to_owned();
        match self.region.as_fd().try_clone_to_owned() {
            Ok(file) => Ok(Region::from_parts(self.info().clone(), path, file)),
            Err(source) => Err(CreateError::Io { path, source }),
        }
    }

    /// Gives the region its name, by which everybody can find it from now on.
    ///
    /// # Errors
    ///
    /// [`CreateError::Exists`] if something of that name has come to be meanwhile.
    pub fn publish(self) -> Result<Region, CreateError> {
        self.place.publish(&self.region)?;
        Ok(self.region)
    }
}

impl Region {
    /// Makes a region that no directory has, with all its memory, zeroed, each page where `options`
    /// want it, and says what came of that.
    ///
    /// It is for this process and its forks: nobody else finds it by its name, and it is gone with
    /// the last who has it open or mapped. No file system need be mounted for its pages.
    ///
    /// # Errors
    ///
    /// As of [`NewRegion::create_placed`].
    #[doc(alias = "fd_shmem_acquire_multi")]
    pub fn create_private(
        name: &Name,
        options: &PlacedRegionOptions,
        topology: &dyn Topology,
    ) -> Result<(Self, PlacementReport), CreateError> {
        let shape = options.shape()?;
        let plan = options.plan(&draft::path_in_memory(name), topology)?;
        draft::in_memory(*name, shape, &plan, options.binding)
    }
}

impl PlacedRegionOptions {
    fn shape(&self) -> Result<Shape, CreateError> {
        let page_count = self.placement.page_count().unwrap_or(u64::MAX);
        Shape::new(self.page_size, page_count, self.mode)
    }

    fn plan(&self, path: &Path, topology: &dyn Topology) -> Result<Plan, CreateError> {
        let failed = |error: PlacementError| CreateError::Placement {
            path: path.to_owned(),
            source: Box::new(error),
        };
        if self.binding != Binding::Off && !topology.is_this_machine() {
            return Err(failed(PlacementError::NotThisMachine));
        }
        self.placement.plan(topology).map_err(|error| failed(error.into()))
    }
}
