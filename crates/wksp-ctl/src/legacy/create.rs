//! Creating regions, with a workspace in them or without.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use wksp_core::{HEADER_BYTES, Name, RECORD_BYTES, TYPICAL_ALLOCATION_BYTES};
use wksp_shmem::{
    BaseSource, Binding, CreateError, CreateWorkspaceError, HwlocTopology, NewRegion, PageSize,
    PlacedRegionOptions, Placement, PlacementError, PlacementReport, Records, SharedWorkspace,
    Topology, WorkspaceOptions,
};

use super::number::{octal, unsigned};
use super::run::{Run, name};
use crate::base_path::BasePath;
use crate::command::make_directory;
use crate::failure::{self, Failure};
use crate::machine;
use crate::placed::PlacedReport;

/// The permission bits; regions and checkpoints have no others.
const PERMISSIONS: u32 = 0o777;

/// NAME PAGE_CNT PAGE_SZ CPU_SEQ MODE.
struct Wanted {
    name: Name,
    region: PlacedRegionOptions,
}

/// Creates a workspace.
pub(super) fn workspace(run: &Run<'_>, words: [OsString; 5]) -> Result<(), Failure> {
    create(run, words, |name, region, machine| {
        let options = WorkspaceOptions::default()
            .with_records(records(region))
            .with_lock(run.session.lock_options());
        let base = run.session.base()?;
        Ok(SharedWorkspace::create_placed(base, name, region, machine, &options)
            .map(|(_, report)| report))
    })
}

/// As many records as these tools have always made, so that addresses and checkpoints of one
/// workspace fit into another of its size; for a region that they refused, as many as we make.
fn records(region: &PlacedRegionOptions) -> Records {
    let page_count = region.placement.page_count().unwrap_or(0);
    let bytes = page_count.saturating_mul(region.page_size.bytes());
    // One byte is the footer.
    let shared_out = bytes.saturating_sub(HEADER_BYTES).saturating_sub(1);
    let each = RECORD_BYTES.saturating_add(TYPICAL_ALLOCATION_BYTES);
    match shared_out.checked_div(each).unwrap_or(0) {
        0 => Records::ForAllocationsOf(TYPICAL_ALLOCATION_BYTES),
        count => Records::Count(count.min(u64::from(u32::MAX))),
    }
}

/// Creates a region of zeros.
pub(super) fn region(run: &Run<'_>, words: [OsString; 5]) -> Result<(), Failure> {
    create(run, words, |name, region, machine| {
        let made = NewRegion::create_placed(run.session.base()?, name, region, machine);
        let published = made.and_then(|(new, report)| new.publish().map(|_| report));
        Ok(published.map_err(Into::into))
    })
}

/// What comes of a region, or why none was tried.
type Made = Result<Result<PlacementReport, CreateWorkspaceError>, Failure>;

fn create(
    run: &Run<'_>,
    words: [OsString; 5],
    make: impl Fn(&Name, &PlacedRegionOptions, &HwlocTopology) -> Made,
) -> Result<(), Failure> {
    let machine = machine::this()?;
    let mut wanted = Wanted::read(words, machine)?;
    let name = wanted.name;
    if BasePath::of_host(None).source == BaseSource::Environment {
        make_directory(&run.session, wanted.region.page_size)?;
    }
    let mut made = make(&name, &wanted.region, machine)?;
    if let Err(error) = made.as_ref()
        && is_only_misplaced(error)
    {
        // That pages are elsewhere was never more than a warning of these tools.
        wanted.region.binding = Binding::BestEffort;
        made = make(&name, &wanted.region, machine)?;
    }
    let report = made.map_err(|error| failure::create(&name, &error))?;
    for (kind, message) in PlacedReport::new(wanted.region.binding, &report).warnings() {
        run.session.warn(kind, &message);
    }
    Ok(())
}

impl Wanted {
    fn read(words: [OsString; 5], machine: &HwlocTopology) -> Result<Self, Failure> {
        let [name_word, count, size, cpus, mode_word] = words;
        let name = name(&name_word)?;
        let count = unsigned(count.as_bytes());
        let page_size = page_size(&size)?;
        let text = cpus.to_string_lossy();
        let cpus: wksp_shmem::CpuSequence =
            text.parse().map_err(|error| failure::sequence("CPU_SEQ", &text, &error))?;
        // A CPU may be in vain, if there are fewer pages than entries, but it has to exist.
        if let Some(cpu) = cpus.cpus().iter().find(|cpu| machine.node_of(**cpu).is_none()) {
            return Err(Failure::usage(
                format_args!("there is no CPU {cpu} here"),
                "`wksp-ctl numa` lists the CPUs",
            ));
        }
        if count == 0 {
            let error = CreateError::BadSize { page_count: 0, page_size };
            return Err(failure::create(&name, &error.into()));
        }
        let region = PlacedRegionOptions {
            page_size,
            mode: mode(&mode_word)?,
            placement: Placement::dealt(count, &cpus),
            binding: Binding::Strict,
        };
        Ok(Self { name, region })
    }
}

/// Reads a page size: a word in any letter case, or a number of bytes.
pub(super) fn page_size(word: &OsString) -> Result<PageSize, Failure> {
    let text = word.to_string_lossy();
    let named = text.parse().ok();
    named.or_else(|| PageSize::from_bytes(unsigned(word.as_bytes()))).ok_or_else(|| {
        Failure::usage(
            format_args!("{text:?} is no page size"),
            "choose normal, huge or gigantic, or the number of bytes of such a page",
        )
    })
}

/// Reads a mode, of which only the permission bits count.
pub(super) fn mode(word: &OsString) -> Result<u32, Failure> {
    let mode = u32::try_from(octal(word.as_bytes())).map_err(|_| {
        Failure::usage(
            format_args!("{word:?} is no mode: it has more than 32 bits"),
            "give permission bits in octal, such as 0600",
        )
    })?;
    Ok(mode & PERMISSIONS)
}

/// Whether all that is wrong is that pages cannot be bound to their nodes.
fn is_only_misplaced(error: &CreateWorkspaceError) -> bool {
    let CreateWorkspaceError::Create(CreateError::Placement { source, .. }) = error else {
        return false;
    };
    matches!(**source, PlacementError::Forbidden { .. } | PlacementError::Misplaced { .. })
}
