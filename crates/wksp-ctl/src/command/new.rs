//! `new`: creates a workspace.

use std::fmt;

use serde::Serialize;
use wksp_core::{Name, TYPICAL_ALLOCATION_BYTES};
use wksp_shmem::{
    BaseSource, NewRegionOptions, PageSize, Records, SharedWorkspace, WorkspaceOptions,
};

use crate::failure::{self, Failure};
use crate::output::Outcome;
use crate::session::{Session, region_of};
use crate::size::Bytes;
use crate::summary::{RegionSummary, WorkspaceSummary};
use crate::value;

/// Creates a workspace that fills a new region.
///
/// All its memory is taken now, so too little is an error now and not later.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl new demo --size 64MiB
  wksp-ctl new big --size 8G --page-size huge --mode 0660
  wksp-ctl new many-small --pages 1024 --typical 256")]
pub(crate) struct Args {
    /// What it is to be called: 1 to 39 letters, digits, '_', '.' and '-'.
    name: String,
    /// Its size, rounded up to whole pages.
    #[arg(long, allow_negative_numbers = true, required_unless_present = "pages")]
    size: Option<String>,
    /// Its size as a number of pages.
    #[arg(long, value_name = "N", allow_negative_numbers = true, conflicts_with = "size")]
    pages: Option<String>,
    /// Who may use it: permission bits in octal, whatever the umask.
    #[arg(long, default_value = "0600", allow_negative_numbers = true)]
    mode: String,
    /// The most partitions there can be, used and free.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    part_max: Option<String>,
    /// The size of a typical allocation, from which --part-max follows [default: 64K].
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, conflicts_with = "part_max")]
    typical: Option<String>,
    /// The seed of the heap priorities.
    #[arg(long, value_name = "N", default_value = "0", allow_negative_numbers = true)]
    seed: String,
}

/// What to create; the number of pages follows from the page size.
#[derive(Debug)]
pub(crate) struct Plan {
    name: Name,
    extent: Extent,
    mode: u32,
    records: Records,
    seed: u32,
}

#[derive(Debug)]
enum Extent {
    Bytes(u64),
    Pages(u64),
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let name = value::name(&self.name)?;
        let extent = match (&self.size, &self.pages) {
            (Some(size), _) => Extent::Bytes(value::size(size)?),
            (None, Some(pages)) => Extent::Pages(value::count("--pages", pages)?),
            (None, None) => {
                return Err(Failure::usage("no size was given", "say --size or --pages"));
            }
        };
        let mode = value::mode(&self.mode)?;
        let records = match (&self.part_max, &self.typical) {
            (Some(text), _) => Records::Count(value::count("--part-max", text)?),
            (None, Some(text)) => Records::ForAllocationsOf(value::size(text)?),
            (None, None) => Records::ForAllocationsOf(TYPICAL_ALLOCATION_BYTES),
        };
        Ok(Plan { name, extent, mode, records, seed: value::seed(&self.seed)? })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let page_size = session.page_size().unwrap_or(PageSize::Normal);
        let page_count = match self.extent {
            Extent::Pages(count) => count,
            Extent::Bytes(bytes) => bytes.div_ceil(page_size.bytes()),
        };
        make_directory(session, page_size)?;
        let region = NewRegionOptions { page_size, page_count, mode: self.mode };
        let options = WorkspaceOptions::default()
            .with_records(self.records)
            .with_seed(self.seed)
            .with_lock(session.lock_options());
        let shared = SharedWorkspace::create(session.base()?, &self.name, &region, &options)
            .map_err(|error| failure::create(&self.name, &error))?;
        let region = region_of(&shared)?;
        Ok(Outcome::done(Created {
            region: RegionSummary::new(region.info()),
            path: region.path().display().to_string(),
            workspace: WorkspaceSummary::new(shared.workspace()),
        }))
    }
}

/// Makes the directory for normal pages where the user has chosen the base directory.
///
/// Elsewhere that it is missing means that something is not mounted.
pub(super) fn make_directory(session: &Session<'_>, page_size: PageSize) -> Result<(), Failure> {
    let base = session.base()?;
    let chosen = matches!(base.source(), BaseSource::Flag | BaseSource::Environment);
    let path = base.directory_path(page_size);
    if page_size != PageSize::Normal || !chosen || path.symlink_metadata().is_ok() {
        return Ok(());
    }
    base.make_directory(page_size).map_err(|error| failure::base(&error))?;
    session.notice("made_directory", &format!("made the directory {}", path.display()));
    Ok(())
}

#[derive(Debug, Serialize)]
struct Created {
    #[serde(flatten)]
    region: RegionSummary,
    path: String,
    workspace: WorkspaceSummary,
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { region, path, workspace } = self;
        writeln!(f, "created {} in {path}", region.name)?;
        writeln!(
            f,
            "  region     {}, {} {} pages, mode {}",
            Bytes(region.bytes),
            region.page_count,
            region.page_size,
            region.mode
        )?;
        writeln!(f, "  data       {}", Bytes(workspace.data_max))?;
        writeln!(f, "  records    {}", workspace.part_max)
    }
}
