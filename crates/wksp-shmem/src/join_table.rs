//! What this process has joined: each region mapped once, however often it is attached.
//!
//! The first to join a region maps it and shows it in the region's file; all others get the same
//! mapping; and when the last of them is gone, it is unmapped.
//!
//! # Concurrency
//!
//! A child by fork has a table of its own, which is empty: what it inherits it has not joined.
//! It does not even touch its parent's table, which another thread of the parent may have locked at
//! the time of the fork and which would then stay locked in the child.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use wksp_core::Name;

use crate::death_mark;
use crate::incarnation::Incarnation;
use crate::mapping::{Area, Mapping};
use crate::page_size::PageSize;
use crate::process::{Seat, SharedSeat};
use crate::region::{Region, RegionId, RegionInfo};

/// Memory that this process has joined: a region, or memory of its own.
///
/// A copy is the same join; the memory is unmapped when the last one and all that was made of them
/// are dropped.
#[derive(Clone, Debug)]
pub struct Joined(Arc<Join>);

/// How a region is mapped.
///
/// What one handle of a process asks for holds for all of them, since they share the mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinOptions {
    /// Whether all of it is kept in memory: locked as of mlock(2).
    pub lock_memory: bool,
    /// Whether core dumps of this process hold it.
    pub in_core_dumps: bool,
}

/// Why a region was not joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The file was made shorter while it was mapped.
    #[error(
        "{} no longer has the {bytes} bytes that it had: somebody makes it shorter",
        path.display()
    )]
    Shrunk {
        /// Where the region is.
        path: PathBuf,
        /// The bytes that it had.
        bytes: usize,
    },
    /// The lock that shows who has joined was refused.
    #[error("cannot show in {} that this process has joined it: {source}", path.display())]
    Presence {
        /// Where the region is.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is not enough memory for those bytes that have none yet.
    #[error(
        "not all of the {bytes} bytes of {} have memory, and there is too little for the rest: free \
         some, reserve more pages, or enlarge the file system ({source})",
        path.display()
    )]
    TooFewPages {
        /// Where the region is.
        path: PathBuf,
        /// The bytes that it has.
        bytes: usize,
        /// What the system said.
        source: io::Error,
    },
    /// The memory could not be locked.
    #[error(
        "cannot keep the {bytes} bytes of {} in memory: raise the limit RLIMIT_MEMLOCK (ulimit -l), \
         or do not ask for it ({source})",
        path.display()
    )]
    NotLocked {
        /// Where the region is.
        path: PathBuf,
        /// The bytes that were to be locked.
        bytes: usize,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused to map so many bytes.
    #[error("cannot map the {bytes} bytes of {}: {source}", path.display())]
    Map {
        /// Where the region is, empty for memory of the process's own.
        path: PathBuf,
        /// The bytes asked for.
        bytes: usize,
        /// What the system said.
        source: io::Error,
    },
}

/// A join, shared by all who have it.
#[derive(Debug)]
struct Join {
    key: Key,
    name: Name,
    // Unmapped before the seat is left, which shows others that this process is gone.
    mapping: Arc<Mapping>,
    seat: Arc<Seat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    File(RegionId),
    /// Memory of the process's own, counted.
    Private(u64),
}

/// The tables of this process and of those it descends from by fork.
#[derive(Debug)]
struct Table {
    /// Whose table it is, 0 for nobody's.
    incarnation: AtomicU64,
    joins: Mutex<BTreeMap<Key, Weak<Join>>>,
    next: OnceLock<Box<Table>>,
}

static TABLE: Table = Table::new();

impl Table {
    const fn new() -> Self {
        Self {
            incarnation: AtomicU64::new(0),
            joins: Mutex::new(BTreeMap::new()),
            next: OnceLock::new(),
        }
    }

    /// Locks the table of the calling process.
    ///
    /// No [`Join`] may be dropped meanwhile, since that locks it as well.
    fn lock() -> MutexGuard<'static, BTreeMap<Key, Weak<Join>>> {
        let word = Incarnation::current().word();
        let mut table = &TABLE;
        loop {
            let claim =
                table.incarnation.compare_exchange(0, word, Ordering::Relaxed, Ordering::Relaxed);
            match claim {
                Ok(_) => break,
                Err(owner) if owner == word => break,
                Err(_) => table = table.next.get_or_init(|| Box::new(Self::new())),
            }
        }
        table.joins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All joins of this process.
    fn all() -> Vec<Joined> {
        Self::lock().values().filter_map(Weak::upgrade).map(Joined).collect()
    }
}

impl Drop for Join {
    fn drop(&mut self) {
        if !self.seat.is_ours() {
            return;
        }
        let mut joins = Table::lock();
        // By now another thread may have joined the same region anew.
        if joins.get(&self.key).is_some_and(|join| join.strong_count() == 0) {
            joins.remove(&self.key);
        }
    }
}

impl Joined {
    /// Joins an open region: maps it if this process has not joined it yet.
    ///
    /// # Errors
    ///
    /// [`MapError`]; the region is as it was.
    #[doc(alias = "fd_shmem_join")]
    pub fn join(region: Region) -> Result<Self, MapError> {
        Self::join_with(region, &JoinOptions::default())
    }

    /// Joins an open region as `options` say.
    ///
    /// # Errors
    ///
    /// [`MapError`]; the region is as it was, but for memory that it may have got.
    #[doc(alias = "fd_shmem_join")]
    pub fn join_with(region: Region, options: &JoinOptions) -> Result<Self, MapError> {
        death_mark::prepare();
        let key = Key::File(region.info().id);
        let mut joins = Table::lock();
        if let Some(join) = joins.get(&key).and_then(Weak::upgrade) {
            // Given back last: to drop a join takes the lock of the table.
            let outcome = options.apply(&join.mapping, &region);
            drop(joins);
            return outcome.map(|()| Self(join));
        }
        let name = region.info().name;
        let (seat, mapping) = seat_and_map(region, options)?;
        Ok(Self::insert(&mut joins, Join { key, name, mapping, seat }))
    }

    /// Makes memory of `bytes` bytes, zeroed, that only this process has.
    ///
    /// The kernel provides its pages as they are used. A forked child gets a copy, as of all other
    /// memory, and is a stranger to it.
    ///
    /// # Errors
    ///
    /// [`MapError::Map`] if there is no room for so many bytes.
    #[doc(alias = "fd_shmem_join_anonymous")]
    pub fn private(name: Name, bytes: NonZeroUsize) -> Result<Self, MapError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mapping = Mapping::private(bytes).map_err(|source| MapError::Map {
            path: PathBuf::new(),
            bytes: bytes.get(),
            source,
        })?;
        let key = Key::Private(COUNT.fetch_add(1, Ordering::Relaxed));
        let join = Join { key, name, mapping: Arc::new(mapping), seat: Arc::new(Seat::new(None)) };
        Ok(Self::insert(&mut Table::lock(), join))
    }

    fn insert(joins: &mut BTreeMap<Key, Weak<Join>>, join: Join) -> Self {
        let key = join.key;
        let join = Arc::new(join);
        joins.insert(key, Arc::downgrade(&join));
        Self(join)
    }

    /// All that this process has joined, in no particular order.
    ///
    /// Makes no system call, like all look-ups here.
    #[must_use]
    #[doc(alias = "fd_shmem_iter_begin")]
    pub fn all() -> Vec<Self> {
        Table::all()
    }

    /// What this process has joined under `name`, of `page_size` or else of the largest pages.
    ///
    /// Memory of the process's own counts as of normal pages.
    #[must_use]
    #[doc(alias = "fd_shmem_join_query_by_name")]
    pub fn find_by_name(name: &Name, page_size: Option<PageSize>) -> Option<Self> {
        let mut found = Table::all();
        found.retain(|join| {
            join.name() == name && page_size.is_none_or(|wanted| join.page_size() == wanted)
        });
        found.into_iter().max_by_key(Self::page_size)
    }

    /// What this process has joined and mapped where `address` lies.
    #[must_use]
    #[doc(alias = "fd_shmem_join_query_by_addr")]
    pub fn find_by_address(address: *const u8) -> Option<Self> {
        let address = address.addr();
        Table::all().into_iter().find(|join| {
            address.checked_sub(join.address()).is_some_and(|offset| offset < join.bytes())
        })
    }

    /// The name of the region or memory.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// What is known of the region since it was opened, `None` for memory of the process's own.
    #[must_use]
    pub fn info(&self) -> Option<&RegionInfo> {
        self.region().map(Region::info)
    }

    /// The region, `None` for memory of the process's own.
    #[must_use]
    pub fn region(&self) -> Option<&Region> {
        self.0.seat.shared.as_ref().map(|shared| &shared.region)
    }

    /// The size of its pages.
    #[must_use]
    pub fn page_size(&self) -> PageSize {
        self.info().map_or(PageSize::Normal, |info| info.page_size)
    }

    /// The address of its first byte in this process.
    #[must_use]
    pub fn address(&self) -> usize {
        self.0.mapping.address()
    }

    /// The number of its bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.mapping.bytes()
    }

    /// How often it is shared in this process at the moment.
    #[must_use]
    pub fn share_count(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    pub(crate) fn mapping(&self) -> &Arc<Mapping> {
        &self.0.mapping
    }

    pub(crate) fn seat(&self) -> &Arc<Seat> {
        &self.0.seat
    }
}

impl JoinOptions {
    /// The same with another [`lock_memory`](Self::lock_memory).
    #[must_use]
    pub const fn with_lock_memory(mut self, lock_memory: bool) -> Self {
        self.lock_memory = lock_memory;
        self
    }

    /// The same with another [`in_core_dumps`](Self::in_core_dumps).
    #[must_use]
    pub const fn with_in_core_dumps(mut self, in_core_dumps: bool) -> Self {
        self.in_core_dumps = in_core_dumps;
        self
    }

    /// Does to mapped memory what is asked for beyond the usual.
    pub(crate) fn apply(&self, area: &Area, region: &Region) -> Result<(), MapError> {
        if self.in_core_dumps {
            area.put_into_core_dumps().map_err(|source| map_failed(region, source))?;
        }
        if self.lock_memory {
            let (path, bytes) = (region.path().to_owned(), area.bytes());
            area.lock().map_err(|source| MapError::NotLocked { path, bytes, source })?;
        }
        Ok(())
    }
}

/// Shows that this process joins the region, then maps it: nobody who knows of presence maps a
/// region without showing it.
fn seat_and_map(
    region: Region,
    options: &JoinOptions,
) -> Result<(Arc<Seat>, Arc<Mapping>), MapError> {
    let (path, bytes) = (region.path().to_owned(), region.info().bytes);
    let shared = match SharedSeat::announce(region) {
        Ok(shared) => shared,
        Err(source) => return Err(MapError::Presence { path, source }),
    };
    let region = &shared.region;
    let mapping =
        Mapping::of_file(region.as_fd(), bytes).map_err(|source| map_failed(region, source))?;
    give_memory(region, || {
        let bytes = i64::try_from(bytes.get()).map_err(|_| Errno::EFBIG)?;
        // Not by posix_fallocate, which stores zeros where the file system cannot allocate, and
        // others may be storing something else there.
        match fallocate(region, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, bytes) {
            // It promises no memory for any file.
            Err(Errno::EOPNOTSUPP) => Ok(()),
            outcome => outcome,
        }
    })?;
    options.apply(&mapping, region)?;
    shared.set_address(mapping.address(), mapping.bytes());
    Ok((Arc::new(Seat::new(Some(shared))), Arc::new(mapping)))
}

/// Checks that a region that has just been mapped is as long as it was, and lets `give` bring in
/// what has no memory yet: or else it would have to be found when it is used, or a SIGBUS.
pub(crate) fn give_memory(
    region: &Region,
    give: impl FnOnce() -> nix::Result<()>,
) -> Result<(), MapError> {
    let (path, bytes) = (region.path(), region.info().bytes.get());
    let memory = region.memory().map_err(|source| map_failed(region, source))?;
    if memory.bytes < bytes as u64 {
        return Err(MapError::Shrunk { path: path.to_owned(), bytes });
    }
    if memory.bytes_with_memory >= bytes as u64 {
        return Ok(());
    }
    give().map_err(|errno| match errno {
        Errno::EFAULT | Errno::ENOSPC | Errno::ENOMEM | Errno::EDQUOT => {
            MapError::TooFewPages { path: path.to_owned(), bytes, source: errno.into() }
        }
        errno => map_failed(region, errno.into()),
    })
}

/// Why a region was not mapped.
pub(crate) fn map_failed(region: &Region, source: io::Error) -> MapError {
    let (path, bytes) = (region.path().to_owned(), region.info().bytes.get());
    let is_for_want = source.raw_os_error() == Some(Errno::ENOMEM as i32);
    // The kernel sets aside larger pages for what has none when it is mapped.
    if is_for_want && region.info().page_size != PageSize::Normal {
        return MapError::TooFewPages { path, bytes, source };
    }
    MapError::Map { path, bytes, source }
}
