//! `new`: creates a workspace.

use std::fmt;

use serde::Serialize;
use wksp_core::{Name, TYPICAL_ALLOCATION_BYTES};
use wksp_shmem::{
    BaseSource, Binding, NewRegionOptions, PageSize, PlacedRegionOptions, Records, SharedWorkspace,
    WorkspaceOptions,
};

use crate::extent::{Extent, ExtentArgs};
use crate::failure::{self, Failure};
use crate::machine;
use crate::near::{NearArgs, Nearness};
use crate::output::Outcome;
use crate::placed::PlacedReport;
use crate::plural::Pages;
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
  wksp-ctl new many-small --pages 1024 --typical 256
  wksp-ctl new near --pages 4 --page-size gigantic --near 0,8  # `numa` lists the CPUs
  wksp-ctl new far --size 1G --page-size huge --near-node 2 --binding best-effort")]
pub(crate) struct Args {
    /// What it is to be called: 1 to 39 letters, digits, '_', '.' and '-'.
    name: String,
    #[command(flatten)]
    extent: ExtentArgs,
    #[command(flatten)]
    near: NearArgs,
    /// What happens where a page cannot be where it is to be: no workspace; a warning; or nothing is
    /// tried [default: strict].
    #[arg(long, value_name = "HOW", requires = "nearness", value_enum)]
    binding: Option<BindingArg>,
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

/// A [`Binding`], as it is typed.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum BindingArg {
    Strict,
    BestEffort,
    Off,
}

/// What to create.
#[derive(Debug)]
pub(crate) struct Plan {
    name: Name,
    extent: Extent,
    /// What its pages are to be near, and how strictly; `None` if that is left to the kernel.
    placing: Option<(Nearness, Binding)>,
    mode: u32,
    records: Records,
    seed: u32,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let name = value::name(&self.name)?;
        let extent = self.extent.plan()?;
        let binding = match self.binding {
            None | Some(BindingArg::Strict) => Binding::Strict,
            Some(BindingArg::BestEffort) => Binding::BestEffort,
            Some(BindingArg::Off) => Binding::Off,
        };
        let placing = self.near.plan()?.map(|nearness| (nearness, binding));
        let mode = value::mode(&self.mode)?;
        let records = match (&self.part_max, &self.typical) {
            (Some(text), _) => Records::Count(value::count("--part-max", text)?),
            (None, Some(text)) => Records::ForAllocationsOf(value::size(text)?),
            (None, None) => Records::ForAllocationsOf(TYPICAL_ALLOCATION_BYTES),
        };
        Ok(Plan { name, extent, placing, mode, records, seed: value::seed(&self.seed)? })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let page_size = session.page_size().unwrap_or(PageSize::Normal);
        make_directory(session, page_size)?;
        let options = WorkspaceOptions::default()
            .with_records(self.records)
            .with_seed(self.seed)
            .with_lock(session.lock_options());
        let (shared, placement) = self.create(session, page_size, &options)?;
        for (kind, message) in placement.iter().flat_map(PlacedReport::warnings) {
            session.warn(kind, &message);
        }
        let region = region_of(&shared)?;
        Ok(Outcome::done(Created {
            region: RegionSummary::new(region.info()),
            path: region.path().display().to_string(),
            workspace: WorkspaceSummary::new(shared.workspace()),
            placement,
        }))
    }
}

impl Plan {
    fn create(
        &self,
        session: &Session<'_>,
        page_size: PageSize,
        options: &WorkspaceOptions,
    ) -> Result<(SharedWorkspace, Option<PlacedReport>), Failure> {
        let (base, name) = (session.base()?, &self.name);
        let page_count = self.extent.page_count(page_size);
        let Some((nearness, binding)) = &self.placing else {
            let region = NewRegionOptions { page_size, page_count, mode: self.mode };
            let shared = SharedWorkspace::create(base, name, &region, options);
            return Ok((shared.map_err(|error| failure::create(name, &error))?, None));
        };
        let placement = nearness.deal(page_count);
        let region =
            PlacedRegionOptions { page_size, mode: self.mode, placement, binding: *binding };
        let created =
            SharedWorkspace::create_placed(base, name, &region, machine::this()?, options);
        let (shared, report) = created.map_err(|error| failure::create(name, &error))?;
        Ok((shared, Some(PlacedReport::new(*binding, &report))))
    }
}

/// Makes the directory for normal pages where the user has chosen the base directory.
///
/// Elsewhere that it is missing means that something is not mounted.
pub(crate) fn make_directory(session: &Session<'_>, page_size: PageSize) -> Result<(), Failure> {
    let base = session.base()?;
    let chosen = matches!(base.source(), BaseSource::Flag | BaseSource::Environment);
    let path = base.directory_path(page_size);
    if page_size != PageSize::Normal || !chosen || path.symlink_metadata().is_ok() {
        return Ok(());
    }
    base.make_directory(page_size).map_err(|error| failure::base(&error))?;
    session.inform("made_directory", &format!("made the directory {}", path.display()));
    Ok(())
}

#[derive(Debug, Serialize)]
struct Created {
    #[serde(flatten)]
    region: RegionSummary,
    path: String,
    workspace: WorkspaceSummary,
    /// `None` if it was left to the kernel.
    placement: Option<PlacedReport>,
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { region, path, workspace, placement } = self;
        writeln!(f, "created {} in {path}", region.name)?;
        writeln!(
            f,
            "  region     {}, {}, mode {}",
            Bytes(region.bytes),
            Pages(region.page_count, &region.page_size),
            region.mode
        )?;
        writeln!(f, "  data       {}", Bytes(workspace.data_max))?;
        writeln!(f, "  records    {}", workspace.part_max)?;
        match placement {
            Some(placement) => writeln!(f, "  placement  {placement}"),
            None => Ok(()),
        }
    }
}
