//! On which nodes the pages of a region are.
//!
//! The kernel says so only of pages that the asking process has mapped. So the region is mapped part
//! by part, to be read only, and of each part those pages are brought in that have memory already.
//! What has none is not given any, and what was put out to swap space is left there, as far as the
//! caller may know which that is.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::stat::fstat;
use nix::unistd::{Whence, lseek};

use crate::mapping::Area;
use crate::numa_calls::{PageState, in_core, locate, populate_for_reading};
use crate::page_size::PageSize;
use crate::region::{FileMemory, Region};
use crate::topology::NodeIndex;

/// The pages that are mapped at a time.
const PART_PAGES: u64 = 4096;

/// Where pages are, in numbers of pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Residence {
    /// On each node that has some.
    pub on_node: BTreeMap<NodeIndex, u64>,
    /// Without memory, since nothing has been stored there yet.
    ///
    /// Of a region that has memory for some pages only, those that have it but that nothing has been
    /// stored in yet count here as well. No region is like that which this crate makes.
    pub absent: u64,
    /// In swap space.
    ///
    /// Somebody who neither owns nor may write to the region is not told: asking brings them in.
    pub swapped: u64,
    /// In memory, but the kernel does not say where.
    pub unknown: u64,
}

/// Where one page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PageResidence {
    /// On this node.
    On(NodeIndex),
    /// Without memory: see [`Residence::absent`].
    Absent,
    /// In swap space: see [`Residence::swapped`].
    Swapped,
    /// In memory, but the kernel does not say where.
    Unknown,
}

/// Why it cannot be found out where the pages of a region are.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResidenceError {
    /// The region does not have those pages.
    #[error(
        "there are no pages [{}, {}) in {}, which has {page_count}",
        pages.start, pages.end, path.display()
    )]
    NoSuchPages {
        /// Where the region is.
        path: PathBuf,
        /// The pages asked for.
        pages: Range<u64>,
        /// The pages that it has.
        page_count: u64,
    },
    /// A call is not allowed, as in many containers, or the kernel does not have it.
    #[error(
        "the kernel does not tell this process where pages are: a container often allows that only \
         with CAP_SYS_NICE ({source})"
    )]
    Forbidden {
        /// What the system said.
        source: io::Error,
    },
    /// The system refused.
    #[error("cannot find out where the pages of {} are: {source}", path.display())]
    Io {
        /// Where the region is.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Residence {
    /// Where all pages of a region are, now.
    ///
    /// Any open region will do, whatever it may be used for, and none of its memory changes.
    /// Costs some microseconds for each page of 4096 bytes, and memory for 4096 pages at a time.
    ///
    /// # Errors
    ///
    /// [`ResidenceError`].
    pub fn of(region: &Region) -> Result<Self, ResidenceError> {
        Self::of_pages(region, 0..region.info().page_count())
    }

    /// Where some of the pages of a region are, now.
    ///
    /// # Errors
    ///
    /// [`ResidenceError`].
    pub fn of_pages(region: &Region, pages: Range<u64>) -> Result<Self, ResidenceError> {
        let page_count = region.info().page_count();
        let path = || region.path().to_owned();
        if pages.start > pages.end || pages.end > page_count {
            return Err(ResidenceError::NoSuchPages { path: path(), pages, page_count });
        }
        Self::of_file(region.as_fd(), region.info().page_size, pages)
            .map_err(|source| refused(region, source))
    }

    /// Where each of a few pages of a region is, now, in the order in which they are given.
    ///
    /// For samples of large regions: costs a few system calls in all and for each page.
    ///
    /// # Errors
    ///
    /// [`ResidenceError`].
    pub fn of_each(region: &Region, pages: &[u64]) -> Result<Vec<PageResidence>, ResidenceError> {
        let page_count = region.info().page_count();
        if let Some(&page) = pages.iter().find(|&&page| page >= page_count) {
            let (path, pages) = (region.path().to_owned(), page..page.saturating_add(1));
            return Err(ResidenceError::NoSuchPages { path, pages, page_count });
        }
        Self::of_each_in_file(region, pages).map_err(|source| refused(region, source))
    }

    fn of_each_in_file(region: &Region, pages: &[u64]) -> io::Result<Vec<PageResidence>> {
        let (file, page_size) = (region.as_fd(), region.info().page_size);
        let is_whole = is_whole(file)?;
        if page_size != PageSize::Normal && !is_whole {
            return Ok(vec![PageResidence::Unknown; pages.len()]);
        }
        let part = Part::map(file, page_size, 0..region.info().page_count())?;
        // Where it is, of those that need not be asked for; the others are brought in.
        let mut asked = Vec::new();
        let mut found = Vec::with_capacity(pages.len());
        for page in pages {
            let page = usize::try_from(page.saturating_mul(page_size.bytes()));
            let page = page.map_err(io::Error::other)?;
            let known = match page_size {
                PageSize::Normal => part.not_in_memory(file, page, is_whole)?,
                PageSize::Huge | PageSize::Gigantic => None,
            };
            if known.is_none() {
                part.touch(&(page..page.saturating_add(part.page_bytes)));
                asked.push(page);
            }
            found.push(known);
        }
        let mut states = locate(&part.area, &asked)?.into_iter();
        let answers = found.into_iter().map(|known| match (known, page_size) {
            (Some(known), _) => known,
            (None, page_size) => match states.next() {
                Some(PageState::On(node)) => PageResidence::On(node),
                Some(PageState::NotMapped) if page_size == PageSize::Normal => {
                    PageResidence::Swapped
                }
                Some(PageState::NotMapped | PageState::Unknown) | None => PageResidence::Unknown,
            },
        });
        Ok(answers.collect())
    }

    pub(crate) fn of_file(
        file: BorrowedFd<'_>,
        page_size: PageSize,
        pages: Range<u64>,
    ) -> io::Result<Self> {
        let mut residence = Self::default();
        let is_whole = is_whole(file)?;
        if page_size != PageSize::Normal && !is_whole {
            // Bringing in what is not there would take a page from those who reserved it, and only
            // how many are there is known, not which.
            residence.unknown = pages.end.saturating_sub(pages.start);
            return Ok(residence);
        }
        let mut start = pages.start;
        while start < pages.end {
            let end = pages.end.min(start.saturating_add(PART_PAGES));
            residence.add(file, page_size, start..end, is_whole)?;
            start = end;
        }
        Ok(residence)
    }

    /// Adds the pages of one part.
    fn add(
        &mut self,
        file: BorrowedFd<'_>,
        page_size: PageSize,
        pages: Range<u64>,
        is_whole: bool,
    ) -> io::Result<()> {
        let part = Part::map(file, page_size, pages)?;
        let mut in_memory = Vec::new();
        match page_size {
            PageSize::Normal => in_memory = part.in_memory(file, is_whole, self)?,
            PageSize::Huge | PageSize::Gigantic => in_memory.push(0..part.area.bytes()),
        }
        for range in in_memory {
            part.bring_in(&range)?;
            let offsets: Vec<usize> = part.pages(&range).collect();
            for state in locate(&part.area, &offsets)? {
                let count = match state {
                    PageState::On(node) => self.on_node.entry(node).or_default(),
                    // It has just been put out, which does not happen to larger pages.
                    PageState::NotMapped if page_size == PageSize::Normal => &mut self.swapped,
                    PageState::NotMapped | PageState::Unknown => &mut self.unknown,
                };
                *count = count.saturating_add(1);
            }
        }
        Ok(())
    }

    /// The number of pages.
    #[must_use]
    pub fn page_count(&self) -> u64 {
        let others = self.absent.saturating_add(self.swapped).saturating_add(self.unknown);
        self.on_node.values().fold(others, |sum, count| sum.saturating_add(*count))
    }

    /// The number of pages that are not known to be on `node`.
    #[must_use]
    pub fn not_on(&self, node: NodeIndex) -> u64 {
        self.page_count().saturating_sub(self.on_node.get(&node).copied().unwrap_or(0))
    }
}

impl fmt::Display for Residence {
    /// Writes all counts but those that are 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = self.on_node.iter().map(|(node, count)| format!("{count} on node {node}"));
        let others = [
            (self.absent, "without memory"),
            (self.swapped, "in swap space"),
            (self.unknown, "in an unknown place"),
        ];
        let others = others.into_iter().filter(|(count, _)| *count > 0);
        let others = others.map(|(count, what)| format!("{count} {what}"));
        let all: Vec<String> = nodes.chain(others).collect();
        f.write_str(if all.is_empty() { "none" } else { "" })?;
        f.write_str(&all.join(", "))
    }
}

/// Why the kernel did not say where pages are.
fn refused(region: &Region, source: io::Error) -> ResidenceError {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::ENOSYS) => ResidenceError::Forbidden { source },
        _ => ResidenceError::Io { path: region.path().to_owned(), source },
    }
}

/// A part of a region, mapped to be read.
struct Part {
    area: Area,
    offset: u64,
    page_bytes: usize,
}

impl Part {
    fn map(file: BorrowedFd<'_>, page_size: PageSize, pages: Range<u64>) -> io::Result<Self> {
        let count = pages.end.saturating_sub(pages.start);
        let offset = pages.start.saturating_mul(page_size.bytes());
        let bytes = usize::try_from(count.saturating_mul(page_size.bytes()));
        let bytes = bytes.ok().and_then(NonZeroUsize::new).ok_or(io::ErrorKind::InvalidInput)?;
        let page_bytes = usize::try_from(page_size.bytes()).map_err(io::Error::other)?;
        Ok(Self { area: Area::to_read(file, offset, bytes)?, offset, page_bytes })
    }

    fn pages(&self, range: &Range<usize>) -> impl Iterator<Item = usize> {
        range.clone().step_by(self.page_bytes)
    }

    /// Puts a range that has memory into the page table.
    fn bring_in(&self, range: &Range<usize>) -> nix::Result<()> {
        match populate_for_reading(&self.area, range) {
            // The kernel is older than Linux 5.14, or somebody takes it for that.
            Err(Errno::EINVAL | Errno::EPERM | Errno::ENOSYS) => {
                self.touch(range);
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Reads a byte of every page.
    fn touch(&self, range: &Range<usize>) {
        for offset in self.pages(range) {
            let _ = self.area.copy_out(offset, &mut [0]);
        }
    }

    /// The ranges of normal pages that are in memory; the others are added to `residence`.
    ///
    /// What is stored nowhere has memory if every page of the file has: that which it got when it was
    /// allocated. Otherwise it is taken to have none, since there is no asking without giving it some.
    fn in_memory(
        &self,
        file: BorrowedFd<'_>,
        is_whole: bool,
        residence: &mut Residence,
    ) -> io::Result<Vec<Range<usize>>> {
        let mut in_memory = Vec::new();
        let mut position = 0;
        for data in self.stored(file)? {
            self.sort_hole(position..data.start, is_whole, &mut in_memory, residence);
            for (page, is_in_core) in self.pages(&data).zip(in_core(&self.area, &data)?) {
                if is_in_core {
                    push(&mut in_memory, page..page.saturating_add(self.page_bytes));
                } else {
                    residence.swapped = residence.swapped.saturating_add(1);
                }
            }
            position = data.end;
        }
        self.sort_hole(position..self.area.bytes(), is_whole, &mut in_memory, residence);
        Ok(in_memory)
    }

    /// Where a normal page is if it is not in memory.
    fn not_in_memory(
        &self,
        file: BorrowedFd<'_>,
        page: usize,
        is_whole: bool,
    ) -> io::Result<Option<PageResidence>> {
        let end = page.saturating_add(self.page_bytes);
        let is_stored = self.seek(file, page, Whence::SeekData)?.is_some_and(|start| start < end);
        if !is_stored {
            return Ok((!is_whole).then_some(PageResidence::Absent));
        }
        let is_in_core = in_core(&self.area, &(page..end))?.first().copied().unwrap_or(false);
        Ok((!is_in_core).then_some(PageResidence::Swapped))
    }

    fn sort_hole(
        &self,
        hole: Range<usize>,
        is_whole: bool,
        in_memory: &mut Vec<Range<usize>>,
        residence: &mut Residence,
    ) {
        if is_whole {
            push(in_memory, hole);
        } else {
            let absent = self.pages(&hole).count() as u64;
            residence.absent = residence.absent.saturating_add(absent);
        }
    }

    /// The ranges of whole pages in which something is stored.
    fn stored(&self, file: BorrowedFd<'_>) -> io::Result<Vec<Range<usize>>> {
        let mut stored: Vec<Range<usize>> = Vec::new();
        let mut position = 0;
        while position < self.area.bytes() {
            let Some(start) = self.seek(file, position, Whence::SeekData)? else { break };
            let end = self.seek(file, start, Whence::SeekHole)?.unwrap_or(self.area.bytes());
            // Other file systems than tmpfs may have smaller blocks.
            let page = start.checked_rem(self.page_bytes).unwrap_or(0);
            let start = start.saturating_sub(page).max(position);
            let end = end.checked_next_multiple_of(self.page_bytes).unwrap_or(end);
            let end = end.min(self.area.bytes());
            if start >= end {
                break;
            }
            stored.push(start..end);
            position = end;
        }
        Ok(stored)
    }

    /// The first data or hole from `position` on, `None` if there is none in this part.
    fn seek(
        &self,
        file: BorrowedFd<'_>,
        position: usize,
        what: Whence,
    ) -> io::Result<Option<usize>> {
        let from = self.offset.saturating_add(position as u64);
        let from = i64::try_from(from).map_err(io::Error::other)?;
        match lseek(file, from, what) {
            Ok(found) => {
                let found = u64::try_from(found).map_err(io::Error::other)?;
                let found = usize::try_from(found.saturating_sub(self.offset));
                Ok(found.ok().filter(|found| *found < self.area.bytes()))
            }
            // There is nothing as far as the end of the file.
            Err(Errno::ENXIO) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Adds a range to those before it, joining it to the last one where they touch.
fn push(ranges: &mut Vec<Range<usize>>, range: Range<usize>) {
    match ranges.last_mut() {
        _ if range.is_empty() => {}
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}

/// Whether every page of the file has memory.
fn is_whole(file: BorrowedFd<'_>) -> nix::Result<bool> {
    let memory = FileMemory::of(&fstat(file)?);
    Ok(memory.bytes_with_memory >= memory.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use crate::base::BaseDir;
    use crate::create::{NewRegion, NewRegionOptions};
    use crate::numa_calls::NumaCalls;

    /// The number of pages of a file, beyond what is mapped at a time.
    const PAGES: u64 = 2 * PART_PAGES + 5;

    fn is_allowed() -> bool {
        let locate = NumaCalls::probe().locate;
        if let Err(error) = &locate {
            wksp_testkit::skip::skip(format!("it cannot be asked where pages are: {error}"));
        }
        locate.is_ok()
    }

    /// A file on tmpfs in which something is stored in the pages that are named.
    fn sparse(stored: &[u64]) -> File {
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        file.set_len(PAGES * 4096).unwrap();
        for page in stored {
            file.write_all_at(b"x", page << 12).unwrap();
        }
        file
    }

    fn of(file: &File, pages: Range<u64>) -> Residence {
        Residence::of_file(file.as_fd(), PageSize::Normal, pages).unwrap()
    }

    #[test]
    fn pages_without_memory_are_counted_and_get_none() {
        if !is_allowed() {
            return;
        }
        let stored = [0, 1, 7, PART_PAGES - 1, PART_PAGES, 2 * PART_PAGES, PAGES - 1];
        let file = sparse(&stored);
        for _ in 0..2 {
            let found = of(&file, 0..PAGES);
            assert_eq!((found.absent, found.swapped, found.unknown), (PAGES - 7, 0, 0));
            assert_eq!(found.on_node.values().sum::<u64>(), 7);
            assert_eq!(found.page_count(), PAGES);
        }
        for page in 0..PAGES {
            let found = of(&file, page..page + 1);
            assert_eq!(found.absent == 0, stored.contains(&page), "{page}: {found}");
        }
        assert_eq!(of(&file, 3..3), Residence::default());
        assert_eq!(of(&sparse(&[]), 0..PAGES).absent, PAGES);
    }

    #[test]
    fn where_the_kernel_cannot_bring_pages_in_they_are_read() {
        if !is_allowed() {
            return;
        }
        let file = sparse(&[0, 1, 2]);
        let part = Part::map(file.as_fd(), PageSize::Normal, 0..4).unwrap();
        part.touch(&(0..3 * 4096));
        let found = locate(&part.area, &[0, 4096, 8192, 12288]).unwrap();
        assert!(found[..3].iter().all(|page| matches!(page, PageState::On(_))), "{found:?}");
        assert_eq!(found[3], PageState::NotMapped);
    }

    #[test]
    fn a_region_is_asked_for_pages_that_it_has() {
        if !is_allowed() {
            return;
        }
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let base = BaseDir::resolve(Some(dir.path())).unwrap();
        base.make_directory(PageSize::Normal).unwrap();
        let name = wksp_core::Name::new("where").unwrap();
        let options = NewRegionOptions { page_size: PageSize::Normal, page_count: 9, mode: 0o600 };
        let new = NewRegion::create(&base, &name, &options).unwrap();
        let all = Residence::of(new.region()).unwrap();
        assert_eq!((all.page_count(), all.absent), (9, 0));
        let error = Residence::of_pages(new.region(), 4..10).unwrap_err();
        assert!(matches!(error, ResidenceError::NoSuchPages { page_count: 9, .. }), "{error}");
        let backward = Range { start: 2, end: 1 };
        assert!(Residence::of_pages(new.region(), backward).is_err());
    }

    #[test]
    fn counts_are_written_but_for_those_that_are_0() {
        let mut residence = Residence::default();
        assert_eq!(residence.to_string(), "none");
        residence.on_node.insert(NodeIndex::new(1), 5);
        residence.on_node.insert(NodeIndex::new(0), 2);
        residence.swapped = 3;
        assert_eq!(residence.to_string(), "2 on node 0, 5 on node 1, 3 in swap space");
        assert_eq!(residence.not_on(NodeIndex::new(1)), 5);
        assert_eq!(residence.not_on(NodeIndex::new(9)), 10);
    }
}
