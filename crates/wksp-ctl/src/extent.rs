//! How large a region is to be, in bytes or in pages.

use wksp_shmem::PageSize;

use crate::failure::Failure;
use crate::value;

/// The size of a region as it was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct ExtentArgs {
    /// Its size, rounded up to whole pages.
    #[arg(long, allow_negative_numbers = true, required_unless_present = "pages")]
    size: Option<String>,
    /// Its size as a number of pages.
    #[arg(long, value_name = "N", allow_negative_numbers = true, conflicts_with = "size")]
    pages: Option<String>,
}

/// The size of a region; the number of pages follows from the page size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Bytes(u64),
    Pages(u64),
}

impl ExtentArgs {
    pub(crate) fn plan(&self) -> Result<Extent, Failure> {
        match (&self.size, &self.pages) {
            (Some(size), _) => Ok(Extent::Bytes(value::size(size)?)),
            (None, Some(pages)) => Ok(Extent::Pages(value::count("--pages", pages)?)),
            (None, None) => Err(Failure::usage("no size was given", "say --size or --pages")),
        }
    }
}

impl Extent {
    /// The number of pages, of which a region may have too many.
    pub(crate) const fn page_count(self, page_size: PageSize) -> u64 {
        match self {
            Self::Pages(count) => count,
            Self::Bytes(bytes) => bytes.div_ceil(page_size.bytes()),
        }
    }
}
