//! `where`: on which nodes the pages of a region are.

use std::fmt;

use serde::Serialize;
use wksp_core::Name;
use wksp_shmem::{Access, Region, Residence};

use crate::failure::{self, Failure};
use crate::output::Outcome;
use crate::placed::ResidenceReport;
use crate::plural::Pages;
use crate::session::Session;
use crate::size::{Bytes, Human};
use crate::table::{Side, Table};
use crate::value;

/// Shows on which nodes the pages of a workspace are; the permission to read it is enough.
///
/// No page is moved, brought in or given memory, and no lock is taken.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl where demo
  wksp-ctl where demo --page-size huge
  wksp-ctl where demo --json | jq -c '.residence.on_node'")]
pub(crate) struct Args {
    /// The workspace.
    name: String,
}

/// What to look for, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    name: Name,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        Ok(Plan { name: value::name(&self.name)? })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let name = &self.name;
        let region = Region::open(session.base()?, name, session.page_size(), Access::ReadOnly)
            .map_err(|error| failure::region(&error))?;
        let residence = Residence::of(&region).map_err(|error| failure::residence(name, &error))?;
        let info = region.info();
        Ok(Outcome::done(Report {
            name: name.to_string(),
            path: region.path().display().to_string(),
            page_size: info.page_size.to_string(),
            page_count: info.page_count(),
            bytes: info.bytes.get() as u64,
            page_bytes: info.page_size.bytes(),
            residence: ResidenceReport::new(&residence),
        }))
    }
}

#[derive(Debug, Serialize)]
struct Report {
    name: String,
    path: String,
    page_size: String,
    page_count: u64,
    bytes: u64,
    #[serde(skip)]
    page_bytes: u64,
    residence: ResidenceReport,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, path, page_size, residence, .. } = self;
        let pages = Pages(self.page_count, page_size);
        writeln!(f, "{name} in {path}: {pages}, {}\n", Bytes(self.bytes))?;
        let mut table =
            Table::new([("NODE", Side::Right), ("PAGES", Side::Right), ("SIZE", Side::Right)]);
        let mut row = |title: String, count: u64| {
            let bytes = count.saturating_mul(self.page_bytes);
            table.row([title, count.to_string(), Human(bytes).to_string()]);
        };
        for on in &residence.on_node {
            row(on.node.to_string(), on.page_count);
        }
        row("absent".to_owned(), residence.absent);
        row("swapped".to_owned(), residence.swapped);
        row("unknown".to_owned(), residence.unknown);
        write!(f, "{table}")
    }
}
