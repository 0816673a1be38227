//! Workspaces in regions: created whole, attached by name, shared by handles.

use std::num::NonZeroUsize;
use std::sync::Arc;

use wksp_core::{
    Format, FormatError, Geometry, GeometryError, Guard, JoinError, LockError, Misaligned, Name,
    TYPICAL_ALLOCATION_BYTES, Workspace,
};

use crate::base::BaseDir;
use crate::create::{CreateError, NewRegion, NewRegionOptions, PlacedRegionOptions};
use crate::join_table::{JoinOptions, Joined, MapError};
use crate::mapping::MappedWorkspace;
use crate::page_size::PageSize;
use crate::place::PlacementReport;
use crate::process::{LockOptions, ProcessParty};
use crate::region::{Access, Region, RegionError, RegionInfo};
use crate::topology::Topology;

/// How many partition records a new workspace has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// So many.
    Count(u64),
    /// As many as allocations of so many bytes need, but no fewer than a small workspace deserves.
    ForAllocationsOf(u64),
}

impl Records {
    fn geometry(self, bytes: u64) -> Result<Geometry, GeometryError> {
        match self {
            Self::Count(part_max) => Geometry::with_part_max(bytes, part_max),
            Self::ForAllocationsOf(typical) => Geometry::for_footprint(bytes, typical),
        }
    }
}

/// What a new workspace is to be, whatever memory it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkspaceOptions {
    /// How many partition records it has.
    pub records: Records,
    /// The seed of the heap priorities: any number.
    pub seed: u32,
    /// How this handle waits for the lock.
    pub lock: LockOptions,
}

impl Default for WorkspaceOptions {
    /// Records for allocations of 64 KiB, as the C tools reckon, seed 0, and default waiting.
    fn default() -> Self {
        Self {
            records: Records::ForAllocationsOf(TYPICAL_ALLOCATION_BYTES),
            seed: 0,
            lock: LockOptions::default(),
        }
    }
}

impl WorkspaceOptions {
    /// The same with other [`records`](Self::records).
    #[must_use]
    pub const fn with_records(mut self, records: Records) -> Self {
        self.records = records;
        self
    }

    /// The same with another [`seed`](Self::seed).
    #[must_use]
    pub const fn with_seed(mut self, seed: u32) -> Self {
        self.seed = seed;
        self
    }

    /// The same with another way of waiting.
    #[must_use]
    pub const fn with_lock(mut self, lock: LockOptions) -> Self {
        self.lock = lock;
        self
    }
}

/// Why a workspace was not created. Nothing was left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateWorkspaceError {
    /// The region could not be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The region or memory is too small for the records asked for.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// The memory could not be mapped.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The memory could not be formatted.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The kernel mapped the memory in an impossible place.
    #[error(transparent)]
    Misaligned(#[from] Misaligned),
}

/// Why a workspace was not attached. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The region could not be opened.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// The region could not be mapped.
    #[error(transparent)]
    Map(#[from] MapError),
    /// What lies in the region is no workspace, or a damaged one.
    #[error("cannot attach {name}: {source}")]
    Join {
        /// The name of the region.
        name: Name,
        /// What is wrong with it.
        source: JoinError,
    },
    /// The kernel mapped the memory in an impossible place.
    #[error(transparent)]
    Misaligned(#[from] Misaligned),
}

/// A workspace that this process shares with others, or has to itself.
///
/// A copy is another handle on the same; the memory stays mapped until the last one of the process
/// is dropped. It is `Send` and `Sync`: threads exclude each other by the same lock as processes.
#[derive(Clone, Debug)]
pub struct SharedWorkspace(Arc<Attached>);

#[derive(Debug)]
struct Attached {
    // Dropped in this order: the workspace leaves before the join can end.
    mapped: MappedWorkspace,
    joined: Joined,
}

/// A workspace that has its memory but no name yet, so that nobody else finds it.
///
/// It can be filled before it is [published](Self::publish). Dropped without that, it leaves nothing
/// behind.
#[derive(Debug)]
pub struct NewWorkspace {
    // Dropped in this order: the region is given up when nobody uses it any more.
    workspace: SharedWorkspace,
    region: NewRegion,
}

impl NewWorkspace {
    /// Makes a region that is to be called `name`, and a workspace that fills it.
    ///
    /// Costs the zeroing of its pages.
    ///
    /// # Errors
    ///
    /// [`CreateWorkspaceError`], above all [`CreateError::Exists`] and [`CreateError::NoMemory`].
    pub fn create(
        base: &BaseDir,
        name: &Name,
        region: &NewRegionOptions,
        options: &WorkspaceOptions,
    ) -> Result<Self, CreateWorkspaceError> {
        Self::format(NewRegion::create(base, name, region)?, options)
    }

    /// Makes a region and a workspace that fills it, each page where `region` wants it on the
    /// machine `topology`, and says what came of that.
    ///
    /// # Errors
    ///
    /// [`CreateWorkspaceError`], and of those [`CreateError::Placement`] if pages cannot be where
    /// they are wanted.
    pub fn create_placed(
        base: &BaseDir,
        name: &Name,
        region: &PlacedRegionOptions,
        topology: &dyn Topology,
        options: &WorkspaceOptions,
    ) -> Result<(Self, PlacementReport), CreateWorkspaceError> {
        let (region, report) = NewRegion::create_placed(base, name, region, topology)?;
        Ok((Self::format(region, options)?, report))
    }

    fn format(region: NewRegion, options: &WorkspaceOptions) -> Result<Self, CreateWorkspaceError> {
        let geometry = options.records.geometry(region.info().bytes.get() as u64)?;
        let joined = Joined::join(region.duplicate()?)?;
        let workspace = SharedWorkspace::format(joined, geometry, options)?;
        Ok(Self { workspace, region })
    }

    /// The workspace, to be filled.
    #[must_use]
    pub const fn workspace(&self) -> &SharedWorkspace {
        &self.workspace
    }

    /// Gives the workspace its name, by which everybody can find it from now on.
    ///
    /// # Errors
    ///
    /// [`CreateError::Exists`] if something of that name has come to be meanwhile.
    pub fn publish(self) -> Result<SharedWorkspace, CreateError> {
        self.region.publish()?;
        Ok(self.workspace)
    }
}

impl SharedWorkspace {
    /// Creates a region and a workspace that fills it.
    ///
    /// Costs the zeroing of its pages.
    ///
    /// # Crash behaviour
    ///
    /// The region gets its name when the workspace is ready, so others see all of it or nothing.
    ///
    /// # Errors
    ///
    /// [`CreateWorkspaceError`], above all [`CreateError::Exists`] and [`CreateError::NoMemory`].
    #[doc(alias = "fd_wksp_new_named")]
    pub fn create(
        base: &BaseDir,
        name: &Name,
        region: &NewRegionOptions,
        options: &WorkspaceOptions,
    ) -> Result<Self, CreateWorkspaceError> {
        Ok(NewWorkspace::create(base, name, region, options)?.publish()?)
    }

    /// Creates a region and a workspace that fills it, each page where `region` wants it on the
    /// machine `topology`, and says what came of that.
    ///
    /// # Crash behaviour
    ///
    /// As of [`create`](Self::create).
    ///
    /// # Errors
    ///
    /// [`CreateWorkspaceError`], and of those [`CreateError::Placement`] if pages cannot be where
    /// they are wanted.
    #[doc(alias = "fd_wksp_new_named")]
    pub fn create_placed(
        base: &BaseDir,
        name: &Name,
        region: &PlacedRegionOptions,
        topology: &dyn Topology,
        options: &WorkspaceOptions,
    ) -> Result<(Self, PlacementReport), CreateWorkspaceError> {
        let (new, report) = NewWorkspace::create_placed(base, name, region, topology, options)?;
        Ok((new.publish()?, report))
    }

    /// Makes a workspace in a region that no directory has: see [`Region::create_private`].
    ///
    /// A child by fork can look at it through what it inherits, but not lock it.
    ///
    /// # Errors
    ///
    /// As of [`create_placed`](Self::create_placed).
    #[doc(alias = "fd_wksp_new_anon")]
    pub fn private_placed(
        name: &Name,
        region: &PlacedRegionOptions,
        topology: &dyn Topology,
        options: &WorkspaceOptions,
    ) -> Result<(Self, PlacementReport), CreateWorkspaceError> {
        let (region, report) = Region::create_private(name, region, topology)?;
        let geometry = options.records.geometry(region.info().bytes.get() as u64)?;
        let attached = Self::format(Joined::join(region)?, geometry, options)?;
        Ok((attached, report))
    }

    /// Makes a workspace of about `bytes` bytes that only this process has.
    ///
    /// Its size is rounded up to whole pages, which the kernel provides as they are used.
    ///
    /// # Errors
    ///
    /// [`CreateWorkspaceError`] if the bytes are too few for the records or too many to map.
    #[doc(alias = "fd_wksp_new_anon")]
    pub fn private(
        name: &Name,
        bytes: NonZeroUsize,
        options: &WorkspaceOptions,
    ) -> Result<Self, CreateWorkspaceError> {
        let page = PageSize::Normal.bytes();
        let rounded = (bytes.get() as u64).checked_next_multiple_of(page);
        let rounded = rounded.and_then(|rounded| usize::try_from(rounded).ok());
        let bytes = rounded.and_then(NonZeroUsize::new).unwrap_or(bytes);
        let geometry = options.records.geometry(bytes.get() as u64)?;
        Self::format(Joined::private(*name, bytes)?, geometry, options)
    }

    fn format(
        joined: Joined,
        geometry: Geometry,
        options: &WorkspaceOptions,
    ) -> Result<Self, CreateWorkspaceError> {
        let format = Format { name: *joined.name(), seed: options.seed, geometry };
        let party = ProcessParty::new(Arc::clone(joined.seat()), options.lock);
        let mapped =
            MappedWorkspace::new::<CreateWorkspaceError>(Arc::clone(joined.mapping()), |memory| {
                Ok(Workspace::format(memory, party, format)?)
            })?;
        Ok(Self(Arc::new(Attached { mapped, joined })))
    }

    /// Attaches the workspace called `name`, of `page_size` or else of the largest pages.
    ///
    /// The first time in a process maps it, at the cost of eleven system calls; after that it is seven.
    /// Without a page size each directory of larger pages costs three more, or one if it is missing.
    /// The first time in a thread there are one or two more, for what is to happen should it die.
    ///
    /// # Errors
    ///
    /// [`AttachError`]: no such region, no permission, no workspace, a damaged one.
    #[doc(alias = "fd_wksp_attach")]
    pub fn attach(
        base: &BaseDir,
        name: &Name,
        page_size: Option<PageSize>,
        lock: LockOptions,
    ) -> Result<Self, AttachError> {
        Self::attach_with(base, name, page_size, lock, &JoinOptions::default())
    }

    /// Attaches the workspace called `name` as [`attach`](Self::attach) does, mapped as `join` says.
    ///
    /// # Errors
    ///
    /// As of [`attach`](Self::attach).
    #[doc(alias = "fd_wksp_attach")]
    pub fn attach_with(
        base: &BaseDir,
        name: &Name,
        page_size: Option<PageSize>,
        lock: LockOptions,
        join: &JoinOptions,
    ) -> Result<Self, AttachError> {
        let region = Region::open(base, name, page_size, Access::ReadWrite)?;
        Self::attach_joined(Joined::join_with(region, join)?, lock)
    }

    /// Attaches the workspace in what this process has joined already.
    ///
    /// Costs a few loads, and no system call.
    ///
    /// # Errors
    ///
    /// [`AttachError::Join`] if there is no workspace in it, or a damaged one.
    pub fn attach_joined(joined: Joined, lock: LockOptions) -> Result<Self, AttachError> {
        let party = ProcessParty::new(Arc::clone(joined.seat()), lock);
        let name = *joined.name();
        let mapped = MappedWorkspace::new::<AttachError>(Arc::clone(joined.mapping()), |memory| {
            Workspace::join(memory, party).map_err(|source| AttachError::Join { name, source })
        })?;
        Ok(Self(Arc::new(Attached { mapped, joined })))
    }

    /// The workspace, for as long as the handle is borrowed.
    #[must_use]
    #[inline]
    pub fn workspace(&self) -> &Workspace<'_, ProcessParty> {
        self.0.mapped.workspace()
    }

    /// Takes the lock: see [`Workspace::lock`].
    ///
    /// # Errors
    ///
    /// As of [`Workspace::lock`].
    #[inline]
    pub fn lock(&self) -> Result<Guard<'_, '_, ProcessParty>, LockError> {
        self.workspace().lock()
    }

    /// The join that the workspace lies in.
    #[must_use]
    pub fn joined(&self) -> &Joined {
        &self.0.joined
    }

    /// What is known of the region, `None` for memory of the process's own.
    #[must_use]
    pub fn region(&self) -> Option<&RegionInfo> {
        self.0.joined.info()
    }
}
