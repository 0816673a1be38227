//! `show`: what is in a workspace.

use std::fmt;

use serde::Serialize;
use wksp_core::{Name, Partition, Tag, View};

use super::usage::Totals;
use crate::failure::{Failure, Kind};
use crate::look::{DoubtReport, LookArgs, Sight};
use crate::output::Outcome;
use crate::session::Session;
use crate::size::{Bytes, Human};
use crate::summary::{RegionSummary, WorkspaceSummary};
use crate::table::{Side, Table};
use crate::value;

/// Shows the header, all partitions in ascending order of address, and totals.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl show demo
  wksp-ctl show demo --json | jq '.partitions[] | select(.tag == \"7\")'
  wksp-ctl show demo --salvage  # of a workspace that cannot be recovered")]
pub(crate) struct Args {
    /// The workspace.
    name: String,
    /// List the records that have a tag, whatever the index over them says.
    #[arg(long, conflicts_with = "lock")]
    salvage: bool,
    #[command(flatten)]
    look: LookArgs,
}

/// What to show, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    name: Name,
    salvage: bool,
    look: LookArgs,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        Ok(Plan { name: value::name(&self.name)?, salvage: self.salvage, look: self.look })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let sight = Sight::open(session, &self.name, self.look)?;
        let seen = sight.look(session, if self.salvage { salvage } else { look })?;
        let (found, doubt) = (seen.value, seen.doubt);
        let name = &self.name;
        let failure = found.damage.as_ref().map(|damage| match doubt {
            // Somebody at work bends the list for a moment.
            Some(doubt) if doubt.is_changed => Failure::new(
                Kind::Busy,
                format_args!(
                    "{name} is being changed, and its list of partitions was cut: {damage}"
                ),
                format_args!("`wksp-ctl show {name} --lock` waits until nobody changes it"),
            ),
            _ => Failure::new(
                Kind::Corrupt,
                format_args!("the list of partitions of {name} ends early: {damage}"),
                format_args!("`wksp-ctl rebuild {name}` builds it anew"),
            ),
        });
        let region = sight.region();
        let report = Report {
            region: RegionSummary::new(region.info()),
            path: region.path().display().to_string(),
            // Looked at last: the lock is ours no more.
            workspace: WorkspaceSummary::observed(&sight.observer()?),
            partitions: found.partitions,
            totals: found.totals,
            doubt: doubt.map(DoubtReport::new),
        };
        Ok(Outcome::with_failure(report, failure))
    }
}

struct Found {
    partitions: Vec<PartitionReport>,
    damage: Option<String>,
    totals: Option<Totals>,
}

/// All partitions, as the list has them.
fn look(view: View<'_>) -> Found {
    let totals = Some(Totals::new(&view.usage(None)));
    let mut found = Found { partitions: Vec::new(), damage: None, totals };
    for partition in view.partitions() {
        match partition {
            Ok(partition) => found.partitions.push(PartitionReport::of(&partition)),
            Err(damage) => found.damage = Some(damage.to_string()),
        }
    }
    found
}

/// The records that have a tag, by address.
fn salvage(view: View<'_>) -> Found {
    let reports = view.allocations().map(|allocation| {
        let (lo, hi) = (allocation.range.lo().get(), allocation.range.hi().get());
        PartitionReport::new(None, lo, hi, Some(allocation.tag))
    });
    let mut partitions: Vec<PartitionReport> = reports.collect();
    partitions.sort_by_key(|partition| (partition.gaddr_lo, partition.gaddr_hi));
    Found { partitions, damage: None, totals: None }
}

#[derive(Debug, Serialize)]
struct PartitionReport {
    /// The position of its record, `None` where that is not known.
    record: Option<u32>,
    gaddr_lo: u64,
    gaddr_hi: u64,
    bytes: u64,
    /// `None` if it is free.
    #[serde(serialize_with = "value::serialize_tag_option")]
    tag: Option<Tag>,
}

impl PartitionReport {
    const fn new(record: Option<u32>, gaddr_lo: u64, gaddr_hi: u64, tag: Option<Tag>) -> Self {
        Self { record, gaddr_lo, gaddr_hi, bytes: gaddr_hi.saturating_sub(gaddr_lo), tag }
    }

    const fn of(partition: &Partition) -> Self {
        let (lo, hi) = (partition.range.lo().get(), partition.range.hi().get());
        Self::new(Some(partition.index.get()), lo, hi, partition.tag)
    }
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    region: RegionSummary,
    path: String,
    workspace: WorkspaceSummary,
    partitions: Vec<PartitionReport>,
    /// `None` after a salvage.
    totals: Option<Totals>,
    doubt: Option<DoubtReport>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { region, path, workspace, partitions, totals, .. } = self;
        writeln!(f, "workspace {}", region.name)?;
        let mut line = |title: &str, text: &dyn fmt::Display| writeln!(f, "  {title:<9}{text}");
        match &workspace.header_name {
            Some(name) if *name == region.name => {}
            Some(name) => line("header", &format_args!("calls itself {name}"))?,
            None => line("header", &"has a damaged name")?,
        }
        line("file", path)?;
        line(
            "region",
            &format_args!(
                "{}, {} {} pages, mode {}, user {}",
                Bytes(region.bytes),
                region.page_count,
                region.page_size,
                region.mode,
                region.uid
            ),
        )?;
        line(
            "data",
            &format_args!(
                "{} at [{}, {})",
                Bytes(workspace.data_max),
                workspace.gaddr_lo,
                workspace.gaddr_hi
            ),
        )?;
        line("records", &workspace.part_max)?;
        line("seed", &workspace.seed)?;
        match workspace.lock.pid {
            Some(pid) => line("lock", &format_args!("held by process {pid}"))?,
            None => line("lock", &workspace.lock.state)?,
        }
        writeln!(f)?;
        let mut table = Table::new([
            ("GADDR", Side::Right),
            ("END", Side::Right),
            ("BYTES", Side::Right),
            ("SIZE", Side::Right),
            ("TAG", Side::Right),
            ("RECORD", Side::Right),
        ]);
        for partition in partitions {
            table.row([
                partition.gaddr_lo.to_string(),
                partition.gaddr_hi.to_string(),
                partition.bytes.to_string(),
                Human(partition.bytes).to_string(),
                partition.tag.map_or("free".to_owned(), |tag| tag.to_string()),
                partition.record.map_or("?".to_owned(), |record| record.to_string()),
            ]);
        }
        write!(f, "{table}")?;
        match totals {
            Some(totals) => write!(f, "\n{}", totals.table(None)),
            None => Ok(()),
        }
    }
}
