//! A machine as it is set up for regions, and setting it back.

use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};

use crate::mounts::{DirectoryStatus, MountChange, MountError, directories, unmount};
use crate::numa_calls::NumaCalls;
use crate::page_pool::{PagePool, PagePoolError, PoolChange, Pools};
use crate::page_size::PageSize;

/// What this machine has for regions under a base directory.
#[derive(Debug)]
#[non_exhaustive]
pub struct HostStatus {
    /// The base directory.
    pub base: PathBuf,
    /// What is in the place of its directories, in ascending order of page size.
    pub directories: Vec<DirectoryStatus>,
    /// The huge and gigantic pages of all nodes, in ascending order of node and page size.
    pub pools: Result<Vec<PagePool>, PagePoolError>,
    /// Whether memory can be placed.
    pub numa_calls: NumaCalls,
    /// The most bytes that the calling process may lock in memory, `None` for any number or not
    /// known.
    ///
    /// It does not hold for a process with CAP_IPC_LOCK.
    pub memory_lock_limit: Option<u64>,
}

/// What setting a machine back has done.
#[derive(Debug)]
#[non_exhaustive]
pub struct HostReset {
    /// What was done to the directories, in ascending order of page size.
    pub directories: Vec<(PageSize, MountChange)>,
    /// What was done to the pages of all nodes, in ascending order of node and page size.
    pub pools: Vec<PoolChange>,
}

/// Why a machine was not set back, or not all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostResetError {
    /// A directory could not be unmounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// Pages could not be released.
    #[error(transparent)]
    Pool(#[from] PagePoolError),
}

impl HostStatus {
    /// Looks at this machine. Needs no privilege, and changes nothing.
    #[must_use]
    pub fn of(base: &Path) -> Self {
        let limit = getrlimit(Resource::RLIMIT_MEMLOCK).map(|(soft, _)| soft);
        Self {
            base: base.to_owned(),
            directories: directories(base),
            pools: PagePool::all(),
            numa_calls: NumaCalls::probe(),
            memory_lock_limit: limit.ok().filter(|soft| *soft != nix::sys::resource::RLIM_INFINITY),
        }
    }
}

impl HostReset {
    /// Unmounts the directories of a base, and releases all huge and gigantic pages of the machine
    /// that are not in use, whoever reserved them.
    ///
    /// Doing it again changes nothing. With `discard`, regions that are there are gone then.
    ///
    /// # Errors
    ///
    /// [`HostResetError`]; what comes before the failure in order has been done.
    pub fn run(base: &Path, discard: bool) -> Result<Self, HostResetError> {
        Self::run_on(base, discard, &Pools::of_this_machine())
    }

    fn run_on(base: &Path, discard: bool, pools: &Pools) -> Result<Self, HostResetError> {
        let mut directories = Vec::new();
        for page_size in PageSize::ALL {
            directories.push((page_size, unmount(base, page_size, discard)?));
        }
        Ok(Self { directories, pools: pools.release_all()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs;

    use crate::page_pool::fake::Fake;

    #[test]
    fn what_is_set_back_is_said_and_again_nothing_is() {
        let (fake, dir) = (Fake::new(), tempfile::tempdir().unwrap());
        let base = dir.path().join("base");
        fs::create_dir_all(base.join(".huge")).unwrap();
        let reset = HostReset::run_on(&base, false, &fake.pools()).unwrap();
        let unchanged = PageSize::ALL.map(|page_size| (page_size, MountChange::Unchanged));
        assert_eq!(reset.directories, unchanged);
        let changes: Vec<(u64, u64)> = reset.pools.iter().map(|c| (c.before, c.after)).collect();
        assert_eq!(changes, [(9, 3)]);
        assert!(!base.exists());
        // As the kernel would count from now on.
        fake.write("node/node1/hugepages/hugepages-2048kB/free_hugepages", "0\n");
        let again = HostReset::run_on(&base, true, &fake.pools()).unwrap();
        assert_eq!(again.directories, unchanged);
        assert!(again.pools.iter().all(|change| change.before == change.after));
    }

    #[test]
    fn pages_stay_where_a_directory_cannot_be_unmounted() {
        let (fake, dir) = (Fake::new(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink("/", dir.path().join(".normal")).unwrap();
        let error = HostReset::run_on(dir.path(), true, &fake.pools()).unwrap_err();
        assert!(matches!(error, HostResetError::Mount(_)), "{error}");
        let pools = fake.pools().all().unwrap();
        assert_eq!(pools.iter().map(PagePool::reserved).collect::<Vec<_>>(), [9]);
    }
}
