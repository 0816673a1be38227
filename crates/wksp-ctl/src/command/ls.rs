//! `ls`: lists the workspaces under the base directory.

use std::fmt;

use serde::Serialize;
use wksp_core::Name;
use wksp_shmem::{ListEntry, PageSize, RegionInfo, list};

use crate::failure::{self, Failure};
use crate::look::Sight;
use crate::output::{ErrorReport, Outcome};
use crate::process::printable;
use crate::session::Session;
use crate::size::Human;
use crate::summary::{RegionSummary, WorkspaceSummary};
use crate::table::{Side, Table};

/// Lists what there is, without taking any lock; the permission to read it is enough.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl ls
  wksp-ctl ls --page-size huge
  wksp-ctl ls --json | jq -r '.workspaces[].name'")]
pub(crate) struct Args {}

impl super::Plan for Args {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let listing = list(session.base()?);
        for (_, error) in &listing.unreadable {
            session.notice("unreadable", &failure::base(error).cause);
        }
        let wanted = |size: PageSize| session.page_size().is_none_or(|wanted| wanted == size);
        let entries = listing.entries.iter().filter(|entry| wanted(entry.page_size));
        let workspaces = entries.map(|entry| Entry::new(session, entry)).collect();
        Ok(Outcome::done(Listing {
            base: session.base()?.path().display().to_string(),
            workspaces,
        }))
    }
}

#[derive(Debug, Serialize)]
struct Listing {
    base: String,
    workspaces: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    page_size: String,
    /// `None` if it is no region.
    region: Option<RegionSummary>,
    /// `None` if it cannot be looked at.
    workspace: Option<WorkspaceSummary>,
    /// Why one of these is missing.
    error: Option<ErrorReport>,
}

impl Entry {
    fn new(session: &Session<'_>, entry: &ListEntry) -> Self {
        let (region, workspace) = match &entry.info {
            Ok(info) => (Some(RegionSummary::new(info)), look(session, info)),
            Err(error) => (None, Err(failure::region(error))),
        };
        Self {
            name: entry.file_name.to_string_lossy().into_owned(),
            page_size: entry.page_size.to_string(),
            region,
            error: workspace.as_ref().err().map(ErrorReport::new),
            workspace: workspace.ok(),
        }
    }

    fn state(&self) -> String {
        if let Some(error) = &self.error {
            return error.message().to_owned();
        }
        match self.workspace.as_ref().map(|workspace| workspace.lock) {
            Some(lock) => match lock.pid {
                Some(pid) => format!("locked by process {pid}"),
                None if lock.state == "free" => "ok".to_owned(),
                None => lock.state.to_owned(),
            },
            None => "?".to_owned(),
        }
    }
}

fn look(session: &Session<'_>, info: &RegionInfo) -> Result<WorkspaceSummary, Failure> {
    let name: &Name = &info.name;
    let sight = Sight::open_pages(session, name, Some(info.page_size))?;
    Ok(WorkspaceSummary::observed(&sight.observer()?))
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.workspaces.is_empty() {
            return writeln!(f, "no workspaces under {}", self.base);
        }
        let mut table = Table::new([
            ("NAME", Side::Left),
            ("PAGES", Side::Left),
            ("BYTES", Side::Right),
            ("SIZE", Side::Right),
            ("MODE", Side::Left),
            ("USER", Side::Right),
            ("RECORDS", Side::Right),
            ("STATE", Side::Left),
        ]);
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        for entry in &self.workspaces {
            let region = entry.region.as_ref();
            table.row([
                printable(&entry.name),
                entry.page_size.clone(),
                or_dash(region.map(|region| region.bytes.to_string())),
                or_dash(region.map(|region| Human(region.bytes).to_string())),
                or_dash(region.map(|region| region.mode.clone())),
                or_dash(region.map(|region| region.uid.to_string())),
                or_dash(entry.workspace.as_ref().map(|workspace| workspace.part_max.to_string())),
                printable(&entry.state()),
            ]);
        }
        write!(f, "{table}")
    }
}
