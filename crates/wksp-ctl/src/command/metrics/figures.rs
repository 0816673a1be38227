//! What there is to know of one workspace without keeping anybody waiting.

use std::time::Duration;

use wksp_core::{Name, Usage};
use wksp_shmem::{PageSize, Residence, joiners};

use crate::failure::Failure;
use crate::look::Sight;
use crate::session::Session;

/// For so long figures that are not certain are asked for again.
const PATIENCE: Duration = Duration::from_millis(20);

/// The figures of a workspace.
pub(super) struct Figures {
    pub(super) page_size: PageSize,
    region_bytes: u64,
    /// `None` if somebody was changing the workspace all the time.
    usage: Option<Usage>,
    part_max: u64,
    data_bytes: u64,
    is_held: bool,
    change_count: u64,
    /// `None` if the system does not say.
    joined_count: Option<u64>,
    /// How many pages are where, if that was asked for and the kernel says so.
    pub(super) node_pages: Vec<(String, u64)>,
}

impl Figures {
    /// Looks at a workspace.
    pub(super) fn of(
        session: &Session<'_>,
        name: &Name,
        page_size: Option<PageSize>,
        nodes: bool,
    ) -> Result<Self, Failure> {
        let sight = Sight::open_pages(session, name, page_size)?;
        let seen = sight.glance(PATIENCE, |view| view.usage(None))?;
        let (region, observer) = (sight.region(), sight.observer()?);
        let info = region.info();
        let geometry = observer.geometry();
        let joined = joiners(region).ok().map(|joiners| joiners.list.len());
        Ok(Self {
            page_size: info.page_size,
            region_bytes: info.bytes.get() as u64,
            usage: seen.doubt.is_none().then_some(seen.value),
            part_max: u64::from(geometry.part_max()),
            data_bytes: geometry.data_max(),
            is_held: observer.holder().is_some(),
            change_count: observer.cycle_tag(),
            joined_count: joined.map(|count| count as u64),
            node_pages: if nodes { node_pages(region) } else { Vec::new() },
        })
    }

    /// The metrics that have no other labels than those of the workspace.
    pub(super) fn gauges(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let usage = self.usage.map(|Usage { used, free, .. }| {
            let in_use = used.count.saturating_add(free.count);
            [
                ("wksp_used_bytes", used.bytes),
                ("wksp_free_bytes", free.bytes),
                ("wksp_largest_free_bytes", free.largest_bytes),
                ("wksp_allocations", used.count),
                ("wksp_free_partitions", free.count),
                ("wksp_free_records", self.part_max.saturating_sub(in_use)),
            ]
        });
        [
            ("wksp_region_bytes", self.region_bytes),
            ("wksp_page_bytes", self.page_size.bytes()),
            ("wksp_data_bytes", self.data_bytes),
            ("wksp_records", self.part_max),
            ("wksp_lock_held", u64::from(self.is_held)),
            ("wksp_certain", u64::from(self.usage.is_some())),
            ("wksp_index_changes_total", self.change_count),
        ]
        .into_iter()
        .chain(usage.into_iter().flatten())
        .chain(self.joined_count.map(|count| ("wksp_joined_processes", count)))
    }
}

/// How many pages are on each node, and how many nowhere.
fn node_pages(region: &wksp_shmem::Region) -> Vec<(String, u64)> {
    // The kernel does not tell everybody, and then there is nothing to be said.
    let Ok(residence) = Residence::of(region) else { return Vec::new() };
    let on_node = residence.on_node.iter().map(|(node, count)| (node.to_string(), *count));
    let nowhere = [
        ("absent", residence.absent),
        ("swapped", residence.swapped),
        ("unknown", residence.unknown),
    ];
    let nowhere = nowhere.into_iter().filter(|(_, count)| *count > 0);
    on_node.chain(nowhere.map(|(what, count)| (what.to_owned(), count))).collect()
}
