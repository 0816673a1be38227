//! `plan`: where the pages of a region would go, and whether there are enough.

use std::fmt;

use serde::Serialize;
use wksp_shmem::{HwlocTopology, NodeIndex, PageSize, Topology};

use crate::extent::{Extent, ExtentArgs};
use crate::failure::{self, Failure, Kind, Lack};
use crate::machine::{Machine, MachineArgs};
use crate::near::{NearArgs, Nearness};
use crate::node_memory::available_pages;
use crate::output::Outcome;
use crate::placed::RangeReport;
use crate::plural::Pages;
use crate::session::Session;
use crate::shell;
use crate::size::{Bytes, Human};
use crate::table::{Side, Table};

/// Shows how `new` would deal pages to nodes, and whether these have enough; nothing is made.
///
/// On this machine what counts is what is free now, on a made-up one what it is described to have.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl plan --pages 4 --page-size gigantic --near 0,8
  wksp-ctl plan --size 1G --near-node 0,1 && wksp-ctl new demo --size 1G --near-node 0,1
  wksp-ctl plan --pages 7 --page-size huge --near 0-12:4 --synthetic \"numa:4 core:2 pu:2\"")]
pub(crate) struct Args {
    #[command(flatten)]
    extent: ExtentArgs,
    #[command(flatten)]
    near: NearArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

/// What to deal to what, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    extent: Extent,
    nearness: Nearness,
    machine: Machine,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let nearness = self.near.plan()?.ok_or_else(|| {
            Failure::usage(
                "it was not said what the pages are to be near",
                "say `--near 0` for the node of CPU 0, or `--near-node 0`; `wksp-ctl numa` lists \
                 both",
            )
        })?;
        Ok(Plan { extent: self.extent.plan()?, nearness, machine: self.machine.plan()? })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let page_size = session.page_size().unwrap_or(PageSize::Normal);
        let page_count = self.extent.page_count(page_size);
        let bytes = page_count.checked_mul(page_size.bytes());
        let bytes = bytes.filter(|bytes| i64::try_from(*bytes).is_ok()).ok_or_else(|| {
            Failure::usage(
                format_args!("{} are no possible size of a region", Pages(page_count, page_size)),
                "ask for less than 2^63 bytes, as in `--size 1G`",
            )
        })?;
        let machine = self.machine.topology()?;
        let plan = self.nearness.deal(page_count).plan(machine);
        let plan = plan.map_err(|error| failure::plan(&error, &self.numa()))?;
        let sub_regions = plan.ranges().iter().map(|range| {
            let range = RangeReport::new(range);
            let bytes = range.page_count.saturating_mul(page_size.bytes());
            SubRegionReport { range, bytes }
        });
        let nodes: Vec<NodeReport> = plan
            .demand()
            .into_iter()
            .map(|(node, wanted)| NodeReport::new(machine, node, page_size, wanted))
            .collect();
        let failure = self.failure(machine, page_size, &nodes);
        let report = Report {
            title: self.machine.title()?,
            is_this_machine: machine.is_this_machine(),
            page_size: page_size.to_string(),
            page_count,
            bytes,
            sub_regions: sub_regions.collect(),
            nodes,
            fits: failure.is_none(),
        };
        Ok(Outcome::with_failure(report, failure))
    }
}

impl Plan {
    /// The command that shows the machine.
    fn numa(&self) -> String {
        match self.machine.description() {
            Some(description) => {
                format!("wksp-ctl numa --synthetic {}", shell::word(description))
            }
            None => "wksp-ctl numa".to_owned(),
        }
    }

    /// What is said if there is too little.
    fn failure(
        &self,
        machine: &HwlocTopology,
        page_size: PageSize,
        nodes: &[NodeReport],
    ) -> Option<Failure> {
        let short = nodes.iter().filter(|node| node.lacking > 0).map(|node| Lack {
            node: NodeIndex::new(node.node),
            wanted: node.wanted,
            available: node.available,
        });
        let short: Vec<Lack> = short.collect();
        if short.is_empty() {
            return None;
        }
        let remedy = if machine.is_this_machine() {
            failure::more_pages(page_size, &short)
        } else {
            format!("ask for less, or for other nodes; `{}` lists what they have", self.numa())
        };
        let cause = failure::lacks(page_size, &short);
        Some(Failure::new(Kind::NoRoom, format_args!("it does not fit: {cause}"), remedy))
    }
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(skip)]
    title: &'static str,
    #[serde(rename = "this_machine")]
    is_this_machine: bool,
    page_size: String,
    page_count: u64,
    bytes: u64,
    sub_regions: Vec<SubRegionReport>,
    nodes: Vec<NodeReport>,
    fits: bool,
}

#[derive(Debug, Serialize)]
struct SubRegionReport {
    #[serde(flatten)]
    range: RangeReport,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct NodeReport {
    node: u32,
    wanted: u64,
    available: u64,
    /// How many there are too few.
    lacking: u64,
}

impl NodeReport {
    fn new(machine: &HwlocTopology, node: NodeIndex, page_size: PageSize, wanted: u64) -> Self {
        let available = available_pages(machine, node, page_size);
        let lacking = wanted.saturating_sub(available);
        Self { node: node.get(), wanted, available, lacking }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, page_size, .. } = self;
        let pages = Pages(self.page_count, page_size);
        writeln!(f, "{pages}, {}, on {title}\n", Bytes(self.bytes))?;
        let mut table = Table::new([
            ("SUB-REGION", Side::Right),
            ("CPU", Side::Right),
            ("NODE", Side::Right),
            ("PAGES", Side::Right),
            ("BYTES", Side::Right),
            ("SIZE", Side::Right),
        ]);
        for (number, sub_region) in self.sub_regions.iter().enumerate() {
            let RangeReport { page_count, cpu, node, .. } = sub_region.range;
            table.row([
                number.to_string(),
                cpu.map_or_else(|| "-".to_owned(), |cpu| cpu.to_string()),
                node.to_string(),
                page_count.to_string(),
                sub_region.bytes.to_string(),
                Human(sub_region.bytes).to_string(),
            ]);
        }
        let available = if self.is_this_machine { "FREE NOW" } else { "ROOM FOR" };
        let mut nodes = Table::new([
            ("NODE", Side::Right),
            ("WANTED", Side::Right),
            (available, Side::Right),
            ("LACKING", Side::Right),
        ]);
        for NodeReport { node, wanted, available, lacking } in &self.nodes {
            let cells = [u64::from(*node), *wanted, *available, *lacking];
            nodes.row(cells.map(|number| number.to_string()));
        }
        let fits = if self.fits { "it fits" } else { "it does not fit" };
        write!(f, "{table}\n{nodes}\n{fits}\n")
    }
}
