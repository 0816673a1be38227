//! The huge and gigantic pages that the kernel keeps on each node, and changing how many those are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::node_files::{NodeFiles, pool_name};
use crate::page_size::PageSize;
use crate::topology::NodeIndex;

/// Where the counts for all nodes together are.
const TOGETHER: &str = "/sys/kernel/mm/hugepages";

/// The pages of one size on one node, as of when they were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PagePool {
    /// The node.
    pub node: NodeIndex,
    /// The size of the pages, which is not normal.
    pub page_size: PageSize,
    /// All pages: nr_hugepages.
    pub total: u64,
    /// Those that nobody has: free_hugepages. Some may be promised to somebody.
    pub free: u64,
    /// Those that the kernel gives back to its other memory when they are no longer used:
    /// surplus_hugepages.
    pub surplus: u64,
}

/// What a number of pages was asked to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// So many or more.
    AtLeast(u64),
    /// So many or fewer.
    AtMost(u64),
}

/// What came of changing the number of pages that are reserved on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolChange {
    /// The node.
    pub node: NodeIndex,
    /// The size of the pages.
    pub page_size: PageSize,
    /// What was asked for.
    pub wanted: Wanted,
    /// The number that was reserved before.
    pub before: u64,
    /// The number that is reserved now: what was granted.
    pub after: u64,
}

/// Why the pages of a node cannot be counted or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PagePoolError {
    /// There is no such node, or it has no pages of that size.
    #[error(
        "node {node} has no {page_size} pages: there is no such node, or this kernel or processor \
         does not have them (no directory {})",
        path.display()
    )]
    NoSuchPool {
        /// The node.
        node: NodeIndex,
        /// The size.
        page_size: PageSize,
        /// The directory that is not there.
        path: PathBuf,
    },
    /// Normal pages are not reserved.
    #[error("normal pages need not be reserved: any free memory has them")]
    Normal,
    /// The caller may not change the number.
    #[error("only root may change the number of pages in {}", path.display())]
    Permission {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl PagePool {
    /// The pages that somebody has.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.total.saturating_sub(self.free)
    }

    /// The pages that stay when they are no longer used: what is reserved.
    #[must_use]
    pub const fn reserved(&self) -> u64 {
        self.total.saturating_sub(self.surplus)
    }

    /// Counts the pages of a size on a node.
    ///
    /// # Errors
    ///
    /// [`PagePoolError`].
    pub fn count(node: NodeIndex, page_size: PageSize) -> Result<Self, PagePoolError> {
        Pools::of_this_machine().count(node, page_size)
    }

    /// Counts the pages of all sizes on all nodes that have them, in ascending order of node and size.
    ///
    /// # Errors
    ///
    /// [`PagePoolError`], but no pool at all is none.
    pub fn all() -> Result<Vec<Self>, PagePoolError> {
        Pools::of_this_machine().all()
    }

    /// Sees to it that at least `wanted` pages of a size are reserved on a node.
    ///
    /// Where the kernel does not grant them at once, makes it move memory together and asks again.
    /// Takes none away if there are more. What was granted is in the result, and may be less.
    ///
    /// # Errors
    ///
    /// [`PagePoolError`].
    pub fn reserve(
        node: NodeIndex,
        page_size: PageSize,
        wanted: u64,
    ) -> Result<PoolChange, PagePoolError> {
        Pools::of_this_machine().reserve(node, page_size, wanted)
    }

    /// Sees to it that at most `wanted` pages of a size are reserved on a node, but for those in use.
    ///
    /// What is promised to somebody and not in use yet stays for them, but not beyond that.
    ///
    /// # Errors
    ///
    /// [`PagePoolError`].
    pub fn release(
        node: NodeIndex,
        page_size: PageSize,
        wanted: u64,
    ) -> Result<PoolChange, PagePoolError> {
        Pools::of_this_machine().release(node, page_size, wanted)
    }

    /// Releases all pages of all sizes on all nodes, but for those in use, and says what changed.
    ///
    /// # Errors
    ///
    /// [`PagePoolError`]; some pages may have been released then.
    pub fn release_all() -> Result<Vec<PoolChange>, PagePoolError> {
        Pools::of_this_machine().release_all()
    }
}

impl PoolChange {
    /// Whether the number is what was asked for.
    #[must_use]
    pub const fn is_granted(&self) -> bool {
        match self.wanted {
            Wanted::AtLeast(wanted) => self.after >= wanted,
            Wanted::AtMost(wanted) => self.after <= wanted,
        }
    }
}

/// The pools of a machine.
pub(crate) struct Pools {
    nodes: NodeFiles,
    together: PathBuf,
}

impl Pools {
    pub(crate) fn of_this_machine() -> Self {
        Self::at(NodeFiles::of_this_machine(), Path::new(TOGETHER))
    }

    pub(crate) fn at(nodes: NodeFiles, together: &Path) -> Self {
        Self { nodes, together: together.to_owned() }
    }

    fn directory(&self, node: NodeIndex, page_size: PageSize) -> Result<PathBuf, PagePoolError> {
        let path = self.nodes.pool(node, page_size).ok_or(PagePoolError::Normal)?;
        if path.is_dir() {
            Ok(path)
        } else {
            Err(PagePoolError::NoSuchPool { node, page_size, path })
        }
    }

    fn count(&self, node: NodeIndex, page_size: PageSize) -> Result<PagePool, PagePoolError> {
        let directory = self.directory(node, page_size)?;
        let read = |name: &str| read(&directory.join(name));
        Ok(PagePool {
            node,
            page_size,
            total: read("nr_hugepages")?,
            free: read("free_hugepages")?,
            surplus: read("surplus_hugepages")?,
        })
    }

    pub(crate) fn all(&self) -> Result<Vec<PagePool>, PagePoolError> {
        let mut pools = Vec::new();
        for node in self.nodes.nodes().unwrap_or_default() {
            for page_size in [PageSize::Huge, PageSize::Gigantic] {
                match self.count(node, page_size) {
                    Ok(pool) => pools.push(pool),
                    Err(PagePoolError::NoSuchPool { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(pools)
    }

    fn reserve(
        &self,
        node: NodeIndex,
        page_size: PageSize,
        wanted: u64,
    ) -> Result<PoolChange, PagePoolError> {
        let before = self.count(node, page_size)?.reserved();
        let mut after = before;
        if after < wanted {
            after = self.ask(node, page_size, wanted)?;
        }
        if after < wanted {
            // A kernel without compaction has no such file, and then there is nothing to be done.
            let _ = fs::write(self.nodes.compact(node), "1");
            after = self.ask(node, page_size, wanted)?;
        }
        Ok(PoolChange { node, page_size, wanted: Wanted::AtLeast(wanted), before, after })
    }

    fn release(
        &self,
        node: NodeIndex,
        page_size: PageSize,
        wanted: u64,
    ) -> Result<PoolChange, PagePoolError> {
        let pool = self.count(node, page_size)?;
        let (before, mut after) = (pool.reserved(), pool.reserved());
        // Of fewer than are in use the kernel would make surplus, which it takes back later.
        let target = wanted.max(pool.used());
        if before > target {
            after = self.ask(node, page_size, target)?;
        }
        Ok(PoolChange { node, page_size, wanted: Wanted::AtMost(wanted), before, after })
    }

    pub(crate) fn release_all(&self) -> Result<Vec<PoolChange>, PagePoolError> {
        let pools = self.all()?.into_iter();
        pools.map(|pool| self.release(pool.node, pool.page_size, 0)).collect()
    }

    /// Asks the kernel for so many pages, and returns how many it has then.
    fn ask(&self, node: NodeIndex, page_size: PageSize, wanted: u64) -> Result<u64, PagePoolError> {
        let path = self.directory(node, page_size)?.join("nr_hugepages");
        match fs::write(&path, wanted.to_string()) {
            Ok(()) => Ok(self.count(node, page_size)?.reserved()),
            Err(error) => Err(refused(&path, error)),
        }
    }

    /// The pages of a size on a node that a new region can have, as far as can be told.
    ///
    /// The kernel makes more of them where it is allowed to overcommit.
    pub(crate) fn available(&self, node: NodeIndex, page_size: PageSize) -> u64 {
        let Some(name) = pool_name(page_size) else {
            let memory = self.nodes.memory(node).map_or(0, |memory| memory.available_bytes);
            return memory.checked_div(page_size.bytes()).unwrap_or(0);
        };
        let together = |file: &str| read(&self.together.join(&name).join(file)).unwrap_or(0);
        let overcommit =
            together("nr_overcommit_hugepages").saturating_sub(together("surplus_hugepages"));
        let free = self.count(node, page_size).map_or(0, |pool| pool.free);
        free.saturating_add(overcommit)
    }
}

fn read(path: &Path) -> Result<u64, PagePoolError> {
    let text = fs::read_to_string(path).map_err(|error| refused(path, error))?;
    let invalid = || refused(path, io::ErrorKind::InvalidData.into());
    text.trim().parse().map_err(|_| invalid())
}

fn refused(path: &Path, source: io::Error) -> PagePoolError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            PagePoolError::Permission { path }
        }
        _ => PagePoolError::Io { path, source },
    }
}

#[cfg(test)]
pub(crate) mod fake {
    use super::*;

    /// Pools of plain files, whose kernel grants whatever is asked for.
    pub(crate) struct Fake {
        dir: tempfile::TempDir,
    }

    impl Fake {
        pub(crate) fn new() -> Self {
            let fake = Self { dir: tempfile::tempdir().unwrap() };
            fake.write("node/online", "1\n");
            for (file, count) in [("nr", "10\n"), ("free", "6\n"), ("surplus", "1\n")] {
                fake.write(
                    &format!("node/node1/hugepages/hugepages-2048kB/{file}_hugepages"),
                    count,
                );
            }
            fake
        }

        pub(crate) fn write(&self, path: &str, text: &str) {
            let path = self.dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        pub(crate) fn read(&self, path: &str) -> String {
            fs::read_to_string(self.dir.path().join(path)).unwrap_or_default()
        }

        pub(crate) fn pools(&self) -> Pools {
            let nodes = NodeFiles::at(&self.dir.path().join("node"));
            Pools::at(nodes, &self.dir.path().join("together"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fake::Fake;
    use super::*;

    const NODE: NodeIndex = NodeIndex::new(1);

    #[test]
    fn pages_are_counted() {
        let fake = Fake::new();
        let pool = fake.pools().count(NODE, PageSize::Huge).unwrap();
        assert_eq!((pool.total, pool.free, pool.surplus), (10, 6, 1));
        assert_eq!((pool.used(), pool.reserved()), (4, 9));
        assert_eq!(fake.pools().all().unwrap(), [pool]);
        assert_eq!(fake.pools().available(NODE, PageSize::Huge), 6);
        fake.write("together/hugepages-2048kB/nr_overcommit_hugepages", "5\n");
        fake.write("together/hugepages-2048kB/surplus_hugepages", "3\n");
        assert_eq!(fake.pools().available(NODE, PageSize::Huge), 8);
    }

    #[test]
    fn what_is_granted_is_what_the_kernel_says_afterwards() {
        let fake = Fake::new();
        let pools = fake.pools();
        let change = pools.reserve(NODE, PageSize::Huge, 9).unwrap();
        assert_eq!((change.before, change.after, change.is_granted()), (9, 9, true));
        assert_eq!(fake.read("node/node1/compact"), "");
        // One of those counted is not reserved, so that 11 files' worth is 10 reserved.
        let change = pools.reserve(NODE, PageSize::Huge, 11).unwrap();
        assert_eq!((change.before, change.after, change.is_granted()), (9, 10, false));
        assert_eq!(fake.read("node/node1/compact"), "1");
        assert_eq!(change.wanted, Wanted::AtLeast(11));
    }

    #[test]
    fn pages_in_use_are_not_released() {
        let fake = Fake::new();
        let change = fake.pools().release(NODE, PageSize::Huge, 0).unwrap();
        assert_eq!(fake.read("node/node1/hugepages/hugepages-2048kB/nr_hugepages"), "4");
        assert_eq!((change.before, change.after, change.is_granted()), (9, 3, false));
        let change = fake.pools().release(NODE, PageSize::Huge, 20).unwrap();
        assert_eq!((change.before, change.after, change.is_granted()), (3, 3, true));
        assert_eq!(fake.pools().release_all().unwrap().len(), 1);
    }

    #[test]
    fn what_is_not_there_is_said_to_be_missing() {
        let pools = Fake::new().pools();
        let error = pools.count(NODE, PageSize::Gigantic).unwrap_err();
        assert!(matches!(error, PagePoolError::NoSuchPool { .. }), "{error}");
        let error = pools.reserve(NodeIndex::new(7), PageSize::Huge, 1).unwrap_err();
        assert!(matches!(error, PagePoolError::NoSuchPool { .. }), "{error}");
        let error = pools.reserve(NODE, PageSize::Normal, 1).unwrap_err();
        assert!(matches!(error, PagePoolError::Normal), "{error}");
    }

    #[test]
    fn the_pools_of_this_machine_can_be_counted() {
        // The counts may change at any moment, even between those of one pool.
        let pools = PagePool::all().unwrap();
        assert!(pools.is_sorted_by_key(|pool| (pool.node, pool.page_size)));
    }
}
