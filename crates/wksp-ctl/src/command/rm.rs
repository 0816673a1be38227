//! `rm`: removes a workspace.

use std::fmt;

use serde::Serialize;
use wksp_core::Name;
use wksp_shmem::{Access, Region, RegionError, unlink};

use crate::confirm::confirm_on_terminal;
use crate::failure::{self, Failure, Kind};
use crate::output::Outcome;
use crate::process::Others;
use crate::session::Session;
use crate::value;

/// Removes a workspace and all that is in it, unless somebody has joined it.
///
/// On a terminal it asks first. Those who have joined keep the memory until they leave.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl rm demo
  wksp-ctl rm demo --yes            # do not ask
  wksp-ctl rm demo --force          # even if it is joined, or no region at all")]
pub(crate) struct Args {
    /// The workspace.
    name: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Remove it although it is joined, cannot be opened, or is no region; do not ask either.
    #[arg(long)]
    force: bool,
}

/// What to remove, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    name: Name,
    yes: bool,
    force: bool,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        Ok(Plan { name: value::name(&self.name)?, yes: self.yes, force: self.force })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let name = &self.name;
        let mut page_size = session.page_size();
        match Region::open(session.base()?, name, page_size, Access::ReadOnly) {
            Ok(region) => {
                // The one that was looked at is the one to remove.
                page_size = Some(region.info().page_size);
                self.check_joined(&region)?;
                let what = format!("remove {} and all that is in it", region.path().display());
                confirm_on_terminal(&what, self.yes || self.force)?;
            }
            Err(RegionError::NotARegion { .. } | RegionError::Permission { .. }) if self.force => {}
            Err(error) => return Err(self.not_opened(&error)),
        }
        let page_size =
            unlink(session.base()?, name, page_size).map_err(|error| failure::region(&error))?;
        let path = session.base()?.directory_path(page_size).join(name.as_str());
        Ok(Outcome::done(Removed {
            name: name.to_string(),
            page_size: page_size.to_string(),
            path: path.display().to_string(),
        }))
    }
}

impl Plan {
    fn check_joined(&self, region: &Region) -> Result<(), Failure> {
        if self.force {
            return Ok(());
        }
        let name = &self.name;
        let remedy =
            format!("end them first, or `wksp-ctl rm {name} --force`: they keep the memory");
        let others = Others::of(region).map_err(|error| {
            Failure::io(format_args!("cannot find out who has joined {name}"), &error, &remedy)
        })?;
        if others.list.is_empty() && others.is_complete {
            return Ok(());
        }
        let who = if others.list.is_empty() { "somebody".to_owned() } else { others.names() };
        Err(Failure::new(Kind::Busy, format_args!("{name} is still joined by {who}"), remedy))
    }

    fn not_opened(&self, error: &RegionError) -> Failure {
        let failure = failure::region(error);
        match error {
            RegionError::NotARegion { .. } | RegionError::Permission { .. } => Failure {
                remedy: format!(
                    "see what it is with `ls -l`; `wksp-ctl rm {} --force` removes it",
                    self.name
                ),
                ..failure
            },
            _ => failure,
        }
    }
}

#[derive(Debug, Serialize)]
struct Removed {
    name: String,
    page_size: String,
    path: String,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "removed {} ({} pages)", self.name, self.page_size)
    }
}
