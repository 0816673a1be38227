//! `host fini`: unmounts the directories for regions.

use std::fmt;

use serde::Serialize;
use wksp_shmem::{PageSize, unmount};

use super::changes::{DirectoryChange, DirectoryTable, files, named};
use crate::confirm::confirm;
use crate::failure::{self, Failure};
use crate::output::Outcome;
use crate::session::Session;

/// Unmounts the directories for regions, with all regions that are in there.
///
/// It asks before it removes any. Regions that somebody has joined prevent it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sudo wksp-ctl host fini
  sudo wksp-ctl host fini --page-size gigantic --yes")]
pub(crate) struct Args {
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl super::Plan for Args {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let base = session.host_path().path;
        let wanted = |size: PageSize| session.page_size().is_none_or(|wanted| wanted == size);
        let lost = files(&base, wanted);
        if !lost.is_empty() {
            confirm(&format!("remove {}", named(&lost)), self.yes)?;
        }
        // What has come to be since was not asked about.
        let discard = self.yes || !lost.is_empty();
        let mut directories = Vec::new();
        let mut failure = None;
        for page_size in PageSize::ALL.into_iter().filter(|size| wanted(*size)) {
            match unmount(&base, page_size, discard) {
                Ok(change) => directories.push(DirectoryChange::new(&base, page_size, change)),
                Err(error) => {
                    failure = Some(failure::mount(&error));
                    break;
                }
            }
        }
        if let Some(failure) = failure.take_if(|_| directories.is_empty()) {
            return Err(failure);
        }
        let report = Report { base: base.display().to_string(), directories };
        Ok(Outcome::with_failure(report, failure))
    }
}

#[derive(Debug, Serialize)]
struct Report {
    base: String,
    directories: Vec<DirectoryChange>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", DirectoryTable(&self.directories))
    }
}
