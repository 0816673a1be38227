//! `host reset`: sets everything back.

use std::fmt;

use serde::Serialize;
use wksp_shmem::{DirectoryState, HostReset, PagePool, directories};

use super::changes::{
    DirectoryChange, DirectoryTable, PoolChangeReport, PoolTable, files, named, still_used,
};
use crate::confirm::confirm;
use crate::failure::{self, Failure};
use crate::output::Outcome;
use crate::session::Session;

/// Unmounts the directories for regions, and releases all huge and gigantic pages.
///
/// It asks first, and says what there is to lose. Pages are released whoever reserved them, but those
/// in use stay.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sudo wksp-ctl host reset
  sudo wksp-ctl host reset --yes    # do not ask, as scripts need it")]
pub(crate) struct Args {
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl super::Plan for Args {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let base = session.host_path().path;
        let lost = files(&base, |_| true);
        let is_mounted = directories(&base)
            .iter()
            .any(|directory| matches!(directory.state, DirectoryState::Mounted { .. }));
        let pools = PagePool::all().map_err(|error| failure::pool(&error))?;
        let reserved = pools.iter().fold(0_u64, |sum, pool| sum.saturating_add(pool.reserved()));
        if is_mounted || reserved > 0 {
            let directories = match (is_mounted, lost.as_slice()) {
                (false, _) => String::new(),
                (true, []) => format!("unmount what is under {}", base.display()),
                (true, lost) => {
                    format!(
                        "unmount what is under {}, and so remove {}",
                        base.display(),
                        named(lost)
                    )
                }
            };
            let pages = match reserved {
                0 => String::new(),
                count => format!("release all {count} huge and gigantic pages of the machine"),
            };
            let both = if directories.is_empty() || pages.is_empty() { "" } else { ", and " };
            confirm(&format!("{directories}{both}{pages}"), self.yes)?;
        }
        let discard = self.yes || !lost.is_empty();
        let done = HostReset::run(&base, discard).map_err(|error| failure::reset(&error))?;
        let report = Report {
            base: base.display().to_string(),
            directories: done
                .directories
                .iter()
                .map(|(page_size, change)| DirectoryChange::new(&base, *page_size, *change))
                .collect(),
            pools: done.pools.iter().map(PoolChangeReport::new).collect(),
        };
        Ok(Outcome::with_failure(report, still_used(&done.pools)))
    }
}

#[derive(Debug, Serialize)]
struct Report {
    base: String,
    directories: Vec<DirectoryChange>,
    pools: Vec<PoolChangeReport>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", DirectoryTable(&self.directories))?;
        if self.pools.is_empty() {
            return Ok(());
        }
        write!(f, "\n{}", PoolTable(&self.pools))
    }
}
