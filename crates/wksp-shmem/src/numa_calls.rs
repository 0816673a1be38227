//! The system calls that place memory on nodes and say on which node it is.
//!
//! # Safety
//!
//! Every call here names memory by number: by address and length of an [`Area`], which is mapped as
//! long as it is borrowed. The calls change where that memory is, or bring it in, or say where it is;
//! none changes a byte that anyone can read, unmaps anything or protects it otherwise. Obligations:
//!
//! 1. The numbers describe a part of the area, so that no other memory is moved or brought in.
//! 2. Every pointer leads to an array that lives until the call returns, and that has as many
//!    elements as the call is told.
#![expect(unsafe_code, reason = "system calls that have no safe form; see above")]

use std::io;
use std::ops::Range;

use nix::errno::Errno;
use nix::libc::{self, c_int, c_long, c_ulong};

use crate::mapping::Area;
use crate::page_size::PageSize;
use crate::topology::NodeIndex;

/// The bits of one element of a set of nodes.
const WORD_BITS: u32 = c_ulong::BITS;
/// What `move_pages` says of a page that this process does not have mapped: -ENOENT.
const NOT_MAPPED: c_int = -libc::ENOENT;
/// As of numaif.h, which libc lacks: the answer is a node, and about an address.
const MPOL_F_NODE_AND_ADDR: c_long = 1 | 2;
/// What a call is told of arguments that it does not look at.
const NONE: c_long = 0;

/// Where new pages of an area come from, as of set_mempolicy(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// From that node only.
    Bind(NodeIndex),
    /// From that node as long as it has some.
    Prefer(NodeIndex),
}

/// Where a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageState {
    /// On that node.
    On(NodeIndex),
    /// Not in this process's page table.
    NotMapped,
    /// The kernel does not say.
    Unknown,
}

/// Whether the kernel, and whoever guards it, lets this process place memory.
///
/// Each is what the system said to a call that asks for nothing.
#[derive(Debug)]
#[non_exhaustive]
pub struct NumaCalls {
    /// Whether memory can be bound to nodes: mbind(2).
    pub bind: io::Result<()>,
    /// Whether it can be asked where pages are: move_pages(2), or get_mempolicy(2) for one page at a
    /// time.
    pub locate: io::Result<()>,
    /// Whether memory can be brought in without the danger of a signal: MADV_POPULATE_WRITE of
    /// madvise(2), since Linux 5.14.
    pub populate: io::Result<()>,
}

impl NumaCalls {
    /// Tries the calls, on no memory at all.
    #[must_use]
    pub fn probe() -> Self {
        // SAFETY: no memory is described, and there is no pointer.
        let bind = unsafe { libc::syscall(libc::SYS_mbind, NONE, NONE, NONE, NONE, NONE, NONE) };
        let bind = outcome(bind).map_err(io::Error::from);
        // SAFETY: as above.
        let locate =
            unsafe { libc::syscall(libc::SYS_move_pages, NONE, NONE, NONE, NONE, NONE, NONE) };
        let locate = outcome(locate).or_else(|errno| {
            // SAFETY: as above.
            let one =
                unsafe { libc::syscall(libc::SYS_get_mempolicy, NONE, NONE, NONE, NONE, NONE) };
            outcome(one).map_err(|_| errno)
        });
        let locate = locate.map_err(io::Error::from);
        // SAFETY: as above.
        let populate = unsafe {
            libc::syscall(libc::SYS_madvise, NONE, NONE, c_long::from(libc::MADV_POPULATE_WRITE))
        };
        Self { bind, locate, populate: outcome(populate).map_err(io::Error::from) }
    }
}

/// Makes new pages of a part of the area come from a node, as long as the kernel keeps that in mind:
/// on tmpfs as long as there is the file, on hugetlbfs as long as the area is mapped.
///
/// Pages that are there stay where they are.
pub(crate) fn set_policy(area: &Area, part: &Range<usize>, policy: Policy) -> nix::Result<()> {
    let (mode, node) = match policy {
        Policy::Bind(node) => (libc::MPOL_BIND, node.get()),
        Policy::Prefer(node) => (libc::MPOL_PREFERRED, node.get()),
    };
    let (address, bytes) = numbers(area, part)?;
    let set = set_of(node);
    // The kernel takes one bit less than it is told that there are.
    let bits = set.len().saturating_mul(WORD_BITS as usize).saturating_add(1);
    // SAFETY: obligation 1 as of `numbers`, obligation 2 as the set outlives the call.
    outcome(unsafe {
        libc::syscall(
            libc::SYS_mbind,
            address,
            bytes,
            c_long::from(mode | libc::MPOL_F_STATIC_NODES),
            set.as_ptr(),
            bits,
            NONE,
        )
    })
}

/// Brings in a part of the area as if every page was written to, but with an error for a signal.
pub(crate) fn populate_for_writing(area: &Area, part: &Range<usize>) -> nix::Result<()> {
    populate(area, part, libc::MADV_POPULATE_WRITE)
}

/// Brings in a part of the area as if every page was read, but with an error for a signal.
pub(crate) fn populate_for_reading(area: &Area, part: &Range<usize>) -> nix::Result<()> {
    populate(area, part, libc::MADV_POPULATE_READ)
}

fn populate(area: &Area, part: &Range<usize>, advice: c_int) -> nix::Result<()> {
    let (address, bytes) = numbers(area, part)?;
    // SAFETY: obligation 1 as of `numbers`; there is no pointer.
    outcome(unsafe { libc::syscall(libc::SYS_madvise, address, bytes, c_long::from(advice)) })
}

/// Whether each page of 4096 bytes of a part of the area is in memory, mapped or not.
///
/// The kernel says so of all pages to those who neither own nor may write to the file.
pub(crate) fn in_core(area: &Area, part: &Range<usize>) -> nix::Result<Vec<bool>> {
    let (address, bytes) = numbers(area, part)?;
    let page_bytes = usize::try_from(PageSize::Normal.bytes()).map_err(|_| Errno::EOVERFLOW)?;
    let mut answers = vec![0_u8; bytes.div_ceil(page_bytes)];
    // SAFETY: obligation 1 as of `numbers`, obligation 2 as there is a byte for each page.
    outcome(unsafe { libc::syscall(libc::SYS_mincore, address, bytes, answers.as_mut_ptr()) })?;
    Ok(answers.into_iter().map(|answer| answer & 1 == 1).collect())
}

/// Where the pages are that begin at so many bytes from the start of the area.
///
/// Moves none, and brings none in where move_pages(2) is allowed. Where it is not, as in containers
/// that have CAP_SYS_NICE and Docker's default seccomp profile, get_mempolicy(2) may be.
pub(crate) fn locate(area: &Area, offsets: &[usize]) -> nix::Result<Vec<PageState>> {
    let address = |offset: &usize| numbers(area, &(*offset..*offset)).map(|(address, _)| address);
    let addresses: Vec<usize> = offsets.iter().map(address).collect::<nix::Result<_>>()?;
    match locate_together(&addresses) {
        Err(refusal @ (Errno::EPERM | Errno::ENOSYS)) => {
            let one_by_one = addresses.iter().map(|address| locate_one(*address));
            one_by_one.collect::<nix::Result<_>>().map_err(|_| refusal)
        }
        outcome => outcome,
    }
}

fn locate_together(addresses: &[usize]) -> nix::Result<Vec<PageState>> {
    let mut statuses: Vec<c_int> = vec![NOT_MAPPED; addresses.len()];
    // SAFETY: obligation 1 as the addresses are those of `numbers`, obligation 2 as there is a status
    // for each address, and no array of nodes.
    outcome(unsafe {
        libc::syscall(
            libc::SYS_move_pages,
            NONE,
            addresses.len(),
            addresses.as_ptr(),
            NONE,
            statuses.as_mut_ptr(),
            NONE,
        )
    })?;
    Ok(statuses.into_iter().map(PageState::of_status).collect())
}

fn locate_one(address: usize) -> nix::Result<PageState> {
    let mut node = NOT_MAPPED;
    // SAFETY: obligation 1 as the address is one of `numbers`, obligation 2 as one number is written
    // and there is no set.
    outcome(unsafe {
        libc::syscall(
            libc::SYS_get_mempolicy,
            &raw mut node,
            NONE,
            NONE,
            address,
            MPOL_F_NODE_AND_ADDR,
        )
    })?;
    Ok(PageState::of_status(node))
}

impl PageState {
    fn of_status(status: c_int) -> Self {
        match u32::try_from(status) {
            Ok(node) => Self::On(NodeIndex::new(node)),
            Err(_) if status == NOT_MAPPED => Self::NotMapped,
            Err(_) => Self::Unknown,
        }
    }
}

/// The address and length of a part of the area, if it is one.
fn numbers(area: &Area, part: &Range<usize>) -> nix::Result<(usize, usize)> {
    let bytes = part.end.checked_sub(part.start).ok_or(Errno::EINVAL)?;
    if part.end > area.bytes() {
        return Err(Errno::EINVAL);
    }
    let address = area.address().checked_add(part.start).ok_or(Errno::EINVAL)?;
    Ok((address, bytes))
}

/// The set of nodes that has one element.
fn set_of(node: u32) -> Vec<c_ulong> {
    let word = usize::try_from(node.checked_div(WORD_BITS).unwrap_or(0)).unwrap_or(usize::MAX);
    let mut set = vec![0; word.saturating_add(1)];
    if let Some(word) = set.last_mut() {
        *word = 1 << node.checked_rem(WORD_BITS).unwrap_or(0);
    }
    set
}

fn outcome(said: c_long) -> nix::Result<()> {
    Errno::result(said).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::num::NonZeroUsize;

    use crate::mapping::Mapping;

    fn area() -> Mapping {
        Mapping::private(NonZeroUsize::new(4 * 4096).unwrap()).unwrap()
    }

    #[test]
    fn a_set_has_the_bit_of_its_node() {
        assert_eq!(set_of(0), [1]);
        assert_eq!(set_of(63), [1 << 63]);
        assert_eq!(set_of(64), [0, 1]);
        assert_eq!(set_of(130), [0, 0, 4]);
    }

    #[test]
    fn what_is_not_in_the_area_is_refused() {
        let area = area();
        let (beyond, backward) = (4096..5 * 4096, Range { start: 4096, end: 0 });
        for part in [beyond, backward] {
            let policy = Policy::Prefer(NodeIndex::new(0));
            assert_eq!(set_policy(&area, &part, policy), Err(Errno::EINVAL));
            assert_eq!(populate_for_writing(&area, &part), Err(Errno::EINVAL));
            assert_eq!(in_core(&area, &part), Err(Errno::EINVAL));
        }
        assert_eq!(locate(&area, &[0, 5 * 4096]), Err(Errno::EINVAL));
    }

    #[test]
    fn pages_are_found_when_they_have_been_brought_in() {
        if let NumaCalls { locate: Err(error), .. } = NumaCalls::probe() {
            return wksp_testkit::skip::skip(format!(
                "it cannot be asked where pages are: {error}"
            ));
        }
        let area = area();
        assert_eq!(locate(&area, &[0, 8192]).unwrap(), [PageState::NotMapped; 2]);
        populate_for_writing(&area, &(4096..12288)).unwrap();
        let found = locate(&area, &[0, 4096, 8192, 12288]).unwrap();
        assert!(matches!(found[1..3], [PageState::On(_), PageState::On(_)]), "{found:?}");
        assert_eq!((found[0], found[3]), (PageState::NotMapped, PageState::NotMapped));
        assert_eq!(in_core(&area, &(0..16384)).unwrap(), [false, true, true, false]);
        let address = area.address().checked_add(4096).unwrap();
        if let Ok(alone) = locate_one(address) {
            assert_eq!(alone, found[1]);
        }
    }

    #[test]
    fn a_node_that_there_is_not_cannot_be_bound_to() {
        if let NumaCalls { bind: Err(error), .. } = NumaCalls::probe() {
            return wksp_testkit::skip::skip(format!("memory cannot be bound: {error}"));
        }
        let (area, part) = (area(), 0..4096);
        for node in [1000, 1 << 20] {
            let policy = Policy::Bind(NodeIndex::new(node));
            assert_eq!(set_policy(&area, &part, policy), Err(Errno::EINVAL));
        }
    }
}
