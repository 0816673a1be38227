//! `check`: whether workspaces can be attached and locked, recovering what the dead left.

use std::fmt;

use serde::Serialize;
use wksp_core::{JoinError, Name};
use wksp_shmem::{AttachError, BaseDir, NotARegion, PageSize, RegionError, SharedWorkspace, list};

use crate::failure::{self, Failure};
use crate::output::{ErrorReport, Outcome};
use crate::process::printable;
use crate::repair::RepairReport;
use crate::session::Session;
use crate::table::{Side, Table};
use crate::value;

/// Attaches and locks workspaces, and so recovers those whose holder is dead.
///
/// Without a name all of the base directory; there a region that holds no workspace is no failure.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl check              # all
  wksp-ctl check demo other --wait 1")]
pub(crate) struct Args {
    /// The workspaces.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// What to check, checked itself.
#[derive(Debug)]
pub(crate) struct Plan {
    names: Vec<Name>,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let names = self.names.iter().map(|text| value::name(text));
        Ok(Plan { names: names.collect::<Result<_, _>>()? })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let base = session.base()?;
        let mut failures = Vec::new();
        let mut workspaces = Vec::new();
        let mut add = |entry: Entry, failure: Option<Failure>| {
            workspaces.push(entry);
            failures.extend(failure);
        };
        for name in &self.names {
            let (entry, failure) = check(session, base, name, session.page_size(), false);
            add(entry, failure);
        }
        if self.names.is_empty() {
            let listing = list(base);
            for (_, error) in &listing.unreadable {
                session.notice("unreadable", &failure::base(error).cause);
            }
            let wanted = |size: PageSize| session.page_size().is_none_or(|wanted| wanted == size);
            for entry in listing.entries.iter().filter(|entry| wanted(entry.page_size)) {
                let (entry, failure) = match &entry.info {
                    Ok(info) => check(session, base, &info.name, Some(info.page_size), true),
                    // What cannot be called by name is nothing of ours.
                    Err(RegionError::NotARegion { why: NotARegion::Misnamed, .. }) => {
                        let name = entry.file_name.to_string_lossy().into_owned();
                        (Entry::new(name, Some(entry.page_size), "no_workspace"), None)
                    }
                    Err(error) => {
                        let name = entry.file_name.to_string_lossy().into_owned();
                        Entry::failed(name, Some(entry.page_size), failure::region(error))
                    }
                };
                add(entry, failure);
            }
        }
        let failure = summed_up(&workspaces, failures);
        Ok(Outcome::with_failure(Report { workspaces }, failure))
    }
}

/// One failure for all: the first, if it is the only one; else their number, with the code of the
/// first.
fn summed_up(workspaces: &[Entry], failures: Vec<Failure>) -> Option<Failure> {
    let count = failures.len();
    let first = failures.into_iter().next()?;
    if count == 1 {
        return Some(first);
    }
    Some(Failure {
        cause: format!("{count} of {} checks failed; the first: {}", workspaces.len(), first.cause),
        ..first
    })
}

/// Checks one workspace; if `any`, it may be no workspace at all.
fn check(
    session: &Session<'_>,
    base: &BaseDir,
    name: &Name,
    page_size: Option<PageSize>,
    any: bool,
) -> (Entry, Option<Failure>) {
    let options = session.lock_options();
    let shared = match SharedWorkspace::attach(base, name, page_size, options) {
        Ok(shared) => shared,
        Err(AttachError::Join { source: JoinError::NotAWorkspace { .. }, .. }) if any => {
            return (Entry::new(name.to_string(), page_size, "no_workspace"), None);
        }
        Err(error) => {
            return Entry::failed(name.to_string(), page_size, failure::attach(name, &error));
        }
    };
    let page_size = Some(shared.joined().page_size());
    let guard = shared.lock().map(|guard| guard.repair());
    match guard {
        Ok(None) => (Entry::new(name.to_string(), page_size, "ok"), None),
        Ok(Some(repair)) => {
            let entry = Entry::new(name.to_string(), page_size, "recovered");
            (Entry { repair: Some(RepairReport::new(repair)), ..entry }, None)
        }
        Err(error) => {
            let failure = failure::lock(session.context(name), &error);
            Entry::failed(name.to_string(), page_size, failure)
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    workspaces: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    /// `None` if it was not found.
    page_size: Option<String>,
    /// `ok`, `recovered`, `no_workspace` or `failed`.
    state: &'static str,
    /// What was recovered.
    repair: Option<RepairReport>,
    error: Option<ErrorReport>,
}

impl Entry {
    fn new(name: String, page_size: Option<PageSize>, state: &'static str) -> Self {
        let page_size = page_size.map(|size| size.to_string());
        Self { name, page_size, state, repair: None, error: None }
    }

    fn failed(
        name: String,
        page_size: Option<PageSize>,
        failure: Failure,
    ) -> (Self, Option<Failure>) {
        let entry = Self::new(name, page_size, "failed");
        (Self { error: Some(ErrorReport::new(&failure)), ..entry }, Some(failure))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.workspaces.is_empty() {
            return writeln!(f, "no workspaces to check");
        }
        let mut table = Table::new([
            ("NAME", Side::Left),
            ("PAGES", Side::Left),
            ("STATE", Side::Left),
            ("", Side::Left),
        ]);
        for entry in &self.workspaces {
            let why = match (&entry.repair, &entry.error) {
                (Some(repair), _) => repair.to_string(),
                (None, Some(error)) => printable(error.message()),
                (None, None) => String::new(),
            };
            table.row([
                printable(&entry.name),
                entry.page_size.clone().unwrap_or_else(|| "-".to_owned()),
                entry.state.replace('_', " "),
                why,
            ]);
        }
        write!(f, "{table}")
    }
}
