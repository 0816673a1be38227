//! Putting the pages of a new region where a placement wants them, and checking where they are.
//!
//! The policy that decides where new pages come from is set for the region alone, never for the
//! calling thread, so there is nothing to be put back, whatever goes wrong.
//! On tmpfs it belongs to the file; there the file system itself allocates the pages. On hugetlbfs it
//! belongs to the mapping; there the pages are brought in through it. Neither raises a signal.
//!
//! Huge and gigantic pages that are lacking are an error of the kernel's. For want of normal ones it
//! would first kill processes to make room on the node. So before each step of normal pages the free
//! memory of the node is looked at.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::unistd::ftruncate;

use crate::draft::allocate;
use crate::mapping::Mapping;
use crate::numa_calls::{NumaCalls, Policy, populate_for_writing, set_policy};
use crate::page_pool::Pools;
use crate::page_size::PageSize;
use crate::placement::{Binding, Plan, PlanError, PlannedRange, Shortfall};
use crate::residence::Residence;
use crate::topology::NodeIndex;

/// The bytes of normal pages that are allocated at a time, between two looks at free memory.
const STEP_BYTES: u64 = 64 << 20;

/// What came of placing the pages of a region.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct PlacementReport {
    /// Where the pages of each sub-region are, in their order; none if that was not looked at.
    pub ranges: Vec<PlacedRange>,
    /// What was not done, and why; none for [`Binding::Strict`].
    pub omissions: Vec<Omission>,
}

/// Where the pages of a sub-region are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlacedRange {
    /// What was planned.
    pub planned: PlannedRange,
    /// Where they are, each of them asked for.
    pub residence: Residence,
}

/// Something that placing pages did without.
#[derive(Debug)]
#[non_exhaustive]
pub enum Omission {
    /// Nothing was bound nor looked at, as the caller had chosen.
    Off,
    /// Pages were not bound to their node.
    NotBound {
        /// The pages.
        pages: Range<u64>,
        /// The node.
        node: NodeIndex,
        /// What the system said.
        source: io::Error,
    },
    /// It was not found out where the pages are.
    NotChecked {
        /// What the system said.
        source: io::Error,
    },
}

/// Why the pages of a region were not placed. There is no region, and no page is taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// The placement cannot become a plan for this machine.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The topology is of another machine.
    #[error(
        "nothing can be bound by the topology of another machine, or a made-up one: use it to plan, \
         and that of this machine to create"
    )]
    NotThisMachine,
    /// Nodes have too few pages.
    #[error("{}; {}", Lacks(*page_size, shortfalls), remedy(*page_size))]
    TooFewPages {
        /// The size of the pages.
        page_size: PageSize,
        /// The nodes, at least one.
        shortfalls: Vec<Shortfall>,
    },
    /// The kernel gave too few pages of a node, although it has enough.
    #[error(
        "the kernel did not give {wanted} {page_size} pages of node {node}, although {available} are \
         free there now ({source}): somebody had them for a moment, or they are promised to others, \
         or a limit of the control group or cpuset is in the way"
    )]
    Refused {
        /// The node.
        node: NodeIndex,
        /// The size of the pages.
        page_size: PageSize,
        /// The pages that were to come from the node.
        wanted: u64,
        /// The pages that it has, counted after the failure.
        available: u64,
        /// What the system said.
        source: io::Error,
    },
    /// A call is not allowed, as in many containers, or the kernel does not have it.
    #[error(
        "pages cannot be placed, since {call} is refused ({source}): allow it, in containers often by \
         CAP_SYS_NICE or another seccomp profile, or choose to bind by best effort or not at all"
    )]
    Forbidden {
        /// The call.
        call: PlacementCall,
        /// What the system said.
        source: io::Error,
    },
    /// Pages are not where they were bound to be.
    #[error(
        "{} of the pages [{}, {}) are not on node {}, where they were bound to be: {}",
        residence.not_on(planned.node), planned.pages.start, planned.pages.end, planned.node,
        residence
    )]
    Misplaced {
        /// What was planned.
        planned: PlannedRange,
        /// Where the pages are.
        residence: Residence,
    },
}

/// A system call that placing pages needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PlacementCall {
    /// mbind(2), which binds memory to nodes.
    Bind,
    /// move_pages(2) or get_mempolicy(2), which say where pages are.
    Locate,
    /// madvise(2) with MADV_POPULATE_WRITE, which brings memory in, since Linux 5.14.
    Populate,
}

impl PlacementReport {
    /// Whether all was done, and every page is on its node.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.omissions.is_empty() && self.misplaced() == 0
    }

    /// The number of pages that were looked at and are not known to be on their node.
    #[must_use]
    pub fn misplaced(&self) -> u64 {
        self.ranges.iter().fold(0, |sum, range| sum.saturating_add(range.misplaced()))
    }
}

impl PlacedRange {
    /// The number of pages that are not known to be on their node.
    #[must_use]
    pub fn misplaced(&self) -> u64 {
        self.residence.not_on(self.planned.node)
    }
}

/// Why the pages of a file were not placed.
pub(crate) enum Failure {
    Placement(PlacementError),
    /// What the system said, for instance that the file system is full.
    System(Errno),
}

impl From<PlacementError> for Failure {
    fn from(error: PlacementError) -> Self {
        Self::Placement(error)
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

/// Gives a file of `bytes` bytes all its memory, each page on the node that `plan` says.
///
/// After a failure the file is of no use, and may have lost its bytes.
pub(crate) fn place(
    file: BorrowedFd<'_>,
    bytes: NonZeroUsize,
    page_size: PageSize,
    plan: &Plan,
    binding: Binding,
) -> Result<PlacementReport, Failure> {
    let report = PlacementReport::default();
    let pools = Pools::of_this_machine();
    let placing = Placing { file, bytes, page_size, plan, binding, pools, report };
    placing.run()
}

struct Placing<'a> {
    file: BorrowedFd<'a>,
    bytes: NonZeroUsize,
    page_size: PageSize,
    plan: &'a Plan,
    binding: Binding,
    pools: Pools,
    report: PlacementReport,
}

impl Placing<'_> {
    fn run(mut self) -> Result<PlacementReport, Failure> {
        if self.binding == Binding::Off {
            self.report.omissions.push(Omission::Off);
            self.allocate(&(0..self.plan.page_count()))?;
            return Ok(self.report);
        }
        if self.binding == Binding::Strict {
            self.check_beforehand()?;
        }
        let plan = self.plan;
        let mapping = match Mapping::of_file(self.file, self.bytes) {
            Ok(mapping) => mapping,
            Err(error) => return Err(self.not_mapped(&error)),
        };
        for range in plan.ranges() {
            self.bind(&mapping, range)?;
        }
        for range in plan.ranges() {
            if let Err(errno) = self.fill(&mapping, range) {
                drop(mapping);
                return Err(self.explain(range.node, errno));
            }
        }
        drop(mapping);
        self.check()?;
        Ok(self.report)
    }

    /// Finds out at once what can only fail, before any page is zeroed.
    fn check_beforehand(&self) -> Result<(), PlacementError> {
        let NumaCalls { bind, locate, populate } = NumaCalls::probe();
        let forbidden = |call| move |source| PlacementError::Forbidden { call, source };
        bind.map_err(forbidden(PlacementCall::Bind))?;
        locate.map_err(forbidden(PlacementCall::Locate))?;
        if self.page_size != PageSize::Normal {
            populate.map_err(forbidden(PlacementCall::Populate))?;
        }
        self.check_counts()
    }

    fn check_counts(&self) -> Result<(), PlacementError> {
        let shortfalls = self.plan.shortfalls(|node| self.pools.available(node, self.page_size));
        if shortfalls.is_empty() {
            return Ok(());
        }
        Err(PlacementError::TooFewPages { page_size: self.page_size, shortfalls })
    }

    /// Makes the pages of a range come from its node, now and whenever they come anew.
    fn bind(&mut self, mapping: &Mapping, range: &PlannedRange) -> Result<(), Failure> {
        let PlannedRange { pages, node, .. } = range;
        let policy = match self.binding {
            Binding::Strict => Policy::Bind(*node),
            // A node that has too few does not make the kernel kill to have more.
            Binding::BestEffort | Binding::Off => Policy::Prefer(*node),
        };
        let Err(errno) = set_policy(mapping, &self.bytes_of(pages), policy) else { return Ok(()) };
        if errno == Errno::ENOMEM {
            return Err(errno.into());
        }
        let source = errno.into();
        if self.binding == Binding::Strict {
            return Err(PlacementError::Forbidden { call: PlacementCall::Bind, source }.into());
        }
        let (pages, node) = (pages.clone(), *node);
        self.report.omissions.push(Omission::NotBound { pages, node, source });
        Ok(())
    }

    /// Says why the file was not mapped, for which the kernel sets aside larger pages of any node.
    fn not_mapped(&self, error: &io::Error) -> Failure {
        let errno = errno_of(error);
        match self.check_counts() {
            Err(error) if errno == Errno::ENOMEM && self.binding == Binding::Strict => error.into(),
            _ => Failure::System(errno),
        }
    }

    /// Gives the pages of a range their memory.
    fn fill(&mut self, mapping: &Mapping, range: &PlannedRange) -> nix::Result<()> {
        if self.page_size == PageSize::Normal {
            return self.fill_in_steps(range);
        }
        match populate_for_writing(mapping, &self.bytes_of(&range.pages)) {
            // The kernel is older than Linux 5.14, or somebody takes it for that.
            Err(errno @ (Errno::EINVAL | Errno::EPERM | Errno::ENOSYS))
                if self.binding == Binding::BestEffort =>
            {
                let (pages, node) = (range.pages.clone(), range.node);
                let source = errno.into();
                self.report.omissions.push(Omission::NotBound { pages, node, source });
                self.allocate(&range.pages)
            }
            // What would have been a SIGBUS.
            Err(Errno::EFAULT) => Err(Errno::ENOSPC),
            outcome => outcome,
        }
    }

    fn fill_in_steps(&self, range: &PlannedRange) -> nix::Result<()> {
        let step = STEP_BYTES.checked_div(self.page_size.bytes()).unwrap_or(1);
        let mut start = range.pages.start;
        while start < range.pages.end {
            let end = range.pages.end.min(start.saturating_add(step));
            let available = self.pools.available(range.node, self.page_size);
            if self.binding == Binding::Strict && available < end.saturating_sub(start) {
                return Err(Errno::ENOMEM);
            }
            self.allocate(&(start..end))?;
            start = end;
        }
        Ok(())
    }

    fn allocate(&self, pages: &Range<u64>) -> nix::Result<()> {
        let range = self.bytes_of(pages);
        let offset = i64::try_from(range.start).map_err(|_| Errno::EFBIG)?;
        let bytes = i64::try_from(range.len()).map_err(|_| Errno::EFBIG)?;
        allocate(self.file, offset, bytes)
    }

    /// Says why a node did not give its pages; those that were taken are free again by then.
    fn explain(&self, node: NodeIndex, errno: Errno) -> Failure {
        let is_for_want = matches!(errno, Errno::ENOMEM | Errno::ENOSPC);
        // A file system of normal pages that is full knows no nodes, and neither does best effort.
        let is_full = self.page_size == PageSize::Normal && errno == Errno::ENOSPC;
        if !is_for_want || is_full || self.binding != Binding::Strict {
            return Failure::System(errno);
        }
        if let Err(errno) = ftruncate(self.file, 0) {
            return Failure::System(errno);
        }
        if let Err(error) = self.check_counts() {
            return Failure::Placement(error);
        }
        Failure::Placement(PlacementError::Refused {
            node,
            page_size: self.page_size,
            wanted: self.plan.demand().get(&node).copied().unwrap_or(0),
            available: self.pools.available(node, self.page_size),
            source: errno.into(),
        })
    }

    /// Asks where every page is.
    fn check(&mut self) -> Result<(), Failure> {
        for planned in self.plan.ranges() {
            let found = Residence::of_file(self.file, self.page_size, planned.pages.clone());
            let residence = match found {
                Ok(residence) => residence,
                Err(source) if self.binding == Binding::BestEffort => {
                    self.report.omissions.push(Omission::NotChecked { source });
                    return Ok(());
                }
                Err(source) => {
                    return Err(match errno_of(&source) {
                        Errno::EPERM | Errno::ENOSYS => {
                            let call = PlacementCall::Locate;
                            PlacementError::Forbidden { call, source }.into()
                        }
                        errno => errno.into(),
                    });
                }
            };
            let placed = PlacedRange { planned: planned.clone(), residence };
            if self.binding == Binding::Strict && placed.misplaced() > 0 {
                let PlacedRange { planned, residence } = placed;
                return Err(PlacementError::Misplaced { planned, residence }.into());
            }
            self.report.ranges.push(placed);
        }
        Ok(())
    }

    /// Where pages lie in the file.
    fn bytes_of(&self, pages: &Range<u64>) -> Range<usize> {
        // The size of the file fits, and the plan has no more pages than the file.
        let at = |page: u64| {
            usize::try_from(page.saturating_mul(self.page_size.bytes())).unwrap_or(usize::MAX)
        };
        at(pages.start)..at(pages.end)
    }
}

fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Which nodes lack how many pages.
struct Lacks<'a>(PageSize, &'a [Shortfall]);

impl fmt::Display for Lacks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, Shortfall { node, wanted, available }) in self.1.iter().enumerate() {
            let (comma, lacking) =
                (if count == 0 { "" } else { "; and " }, wanted.saturating_sub(*available));
            write!(
                f,
                "{comma}node {node} lacks {lacking} {} pages: {wanted} are wanted, {available} free",
                self.0
            )?;
        }
        Ok(())
    }
}

const fn remedy(page_size: PageSize) -> &'static str {
    match page_size {
        PageSize::Normal => "free memory there, or use another node",
        PageSize::Huge | PageSize::Gigantic => "reserve more there, free some, or use another node",
    }
}

impl fmt::Display for PlacementCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bind => "mbind(2)",
            Self::Locate => "move_pages(2) or else get_mempolicy(2)",
            Self::Populate => "madvise(2) with MADV_POPULATE_WRITE",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::{self, File};
    use std::os::fd::AsFd;

    use crate::node_files::NodeFiles;
    use crate::placement::{Near, Placement, SubRegion};
    use crate::topology::{HwlocTopology, Topology};

    const PAGES: u64 = 8;

    /// A file on tmpfs, and a plan that puts all its pages on the first node of this machine.
    struct Stage {
        file: File,
        plan: Plan,
        files: tempfile::TempDir,
    }

    impl Stage {
        fn new() -> Self {
            let machine = HwlocTopology::this_machine().unwrap();
            let near = Near::Node(machine.nodes()[0].index);
            let sub_regions = [3, 5].map(|page_count| SubRegion { page_count, near }).to_vec();
            let plan = Placement { sub_regions }.plan(machine).unwrap();
            let file = tempfile::tempfile_in("/dev/shm").unwrap();
            file.set_len(PAGES * 4096).unwrap();
            Self { file, plan, files: tempfile::tempdir().unwrap() }
        }

        fn node(&self) -> NodeIndex {
            self.plan.ranges()[0].node
        }

        /// Placing by a kernel that says it has so many free pages, whatever it has.
        fn placing(&self, page_size: PageSize, binding: Binding, free: u64) -> Placing<'_> {
            let node = self.files.path().join(format!("node{}", self.node()));
            let pool = node.join("hugepages/hugepages-2048kB");
            fs::create_dir_all(&pool).unwrap();
            for (name, count) in [("nr", free), ("free", free), ("surplus", 0)] {
                fs::write(pool.join(format!("{name}_hugepages")), count.to_string()).unwrap();
            }
            let lines = [("MemTotal", 0), ("MemFree", free << 2), ("Active(file)", 0)];
            let lines = lines.map(|(name, count)| format!("Node 0 {name}: {count} kB\n"));
            let meminfo = lines.concat() + "Node 0 Inactive(file): 0 kB\n";
            fs::write(node.join("meminfo"), meminfo).unwrap();
            Placing {
                file: self.file.as_fd(),
                bytes: NonZeroUsize::new(8 * 4096).unwrap(),
                page_size,
                plan: &self.plan,
                binding,
                pools: Pools::at(NodeFiles::at(self.files.path()), self.files.path()),
                report: PlacementReport::default(),
            }
        }
    }

    fn is_allowed() -> bool {
        let calls = NumaCalls::probe();
        let is_allowed = calls.bind.is_ok() && calls.locate.is_ok();
        if !is_allowed {
            wksp_testkit::skip::skip(format!("pages cannot be placed here: {calls:?}"));
        }
        is_allowed
    }

    #[test]
    fn every_page_is_asked_for() {
        if !is_allowed() {
            return;
        }
        for binding in [Binding::Strict, Binding::BestEffort] {
            let stage = Stage::new();
            let report = stage.placing(PageSize::Normal, binding, PAGES).run().ok().unwrap();
            assert!(report.is_complete(), "{report:?}");
            let found = report.ranges.iter().map(|range| &range.residence.on_node);
            let counts: Vec<Option<&u64>> = found.map(|on| on.get(&stage.node())).collect();
            assert_eq!(counts, [Some(&3), Some(&5)]);
        }
    }

    #[test]
    fn off_is_said_and_neither_binds_nor_looks() {
        let stage = Stage::new();
        let report = stage.placing(PageSize::Normal, Binding::Off, 0).run().ok().unwrap();
        assert!(matches!(report.omissions[..], [Omission::Off]) && report.ranges.is_empty());
        assert!(!report.is_complete());
    }

    #[test]
    fn too_few_pages_are_found_before_any_is_taken() {
        if !is_allowed() {
            return;
        }
        let stage = Stage::new();
        let failure = stage.placing(PageSize::Normal, Binding::Strict, PAGES - 1).run();
        let Err(Failure::Placement(PlacementError::TooFewPages { page_size, shortfalls })) =
            failure
        else {
            panic!("it was placed, or failed otherwise");
        };
        let expected = Shortfall { node: stage.node(), wanted: PAGES, available: PAGES - 1 };
        assert_eq!((page_size, &shortfalls[..]), (PageSize::Normal, &[expected][..]));
        let residence = Residence::of_file(stage.file.as_fd(), page_size, 0..PAGES).unwrap();
        assert_eq!(residence.absent, PAGES);
        let error = PlacementError::TooFewPages { page_size, shortfalls };
        let text = error.to_string();
        assert!(text.contains("lacks 1 normal pages: 8 are wanted, 7 free"), "{text}");
    }

    #[test]
    fn a_failure_of_the_kernels_is_explained_when_the_pages_are_free_again() {
        let explain = |page_size, binding, free, errno| {
            let stage = Stage::new();
            allocate(stage.file.as_fd(), 0, 8 * 4096).unwrap();
            let failure = stage.placing(page_size, binding, free).explain(stage.node(), errno);
            (failure, stage.file.metadata().unwrap().len())
        };
        let (huge, strict) = (PageSize::Huge, Binding::Strict);
        let (failure, len) = explain(huge, strict, PAGES - 1, Errno::ENOSPC);
        let is_short = |failure: &Failure| {
            matches!(failure, Failure::Placement(PlacementError::TooFewPages { .. }))
        };
        assert!(is_short(&failure) && len == 0);
        let (failure, len) = explain(huge, strict, PAGES, Errno::ENOSPC);
        let Failure::Placement(error @ PlacementError::Refused { .. }) = failure else {
            panic!("there are enough");
        };
        assert!(error.to_string().contains("although 8 are free") && len == 0, "{error}");
        let (failure, _) = explain(PageSize::Normal, strict, 0, Errno::ENOMEM);
        assert!(is_short(&failure));
        for (page_size, binding, errno) in [
            (PageSize::Normal, strict, Errno::ENOSPC),
            (huge, Binding::BestEffort, Errno::ENOSPC),
            (huge, strict, Errno::EHWPOISON),
        ] {
            let (failure, _) = explain(page_size, binding, 0, errno);
            assert!(matches!(failure, Failure::System(found) if found == errno));
        }
    }
}
