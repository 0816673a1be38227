//! `host status`: how a machine is set up for regions.

use std::fmt;
use std::io;

use serde::Serialize;
use wksp_shmem::{DirectoryState, DirectoryStatus, HostStatus, PagePool};

use crate::failure::{self, Failure};
use crate::output::{ErrorReport, Outcome};
use crate::session::Session;
use crate::size::Bytes;
use crate::table::{Side, Table};

/// Shows the directories for regions, the pages of each node, and what the kernel allows.
///
/// It needs no privilege and changes nothing. What is missing is no failure; `doctor` judges.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl host status
  wksp-ctl host status --json | jq '.pools[] | select(.node == 0)'")]
pub(crate) struct Args {}

impl super::Plan for Args {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let status = HostStatus::of(&session.host_path().path);
        let wanted = |size| session.page_size().is_none_or(|wanted| wanted == size);
        let directories = status.directories.iter().filter(|one| wanted(one.page_size));
        let (pools, error) = match &status.pools {
            Ok(pools) => (pools.as_slice(), None),
            Err(error) => (&[][..], Some(failure::pool(error))),
        };
        let calls = &status.numa_calls;
        Ok(Outcome::done(Report {
            base: status.base.display().to_string(),
            directories: directories.map(DirectoryReport::new).collect(),
            pools: pools.iter().filter(|one| wanted(one.page_size)).map(PoolReport::new).collect(),
            error: error.as_ref().map(ErrorReport::new),
            numa_calls: [
                CallReport::new("mbind", &calls.bind),
                CallReport::new("move_pages", &calls.locate),
                CallReport::new("madvise", &calls.populate),
            ],
            memory_lock_limit: status.memory_lock_limit,
        }))
    }
}

#[derive(Debug, Serialize)]
struct Report {
    base: String,
    directories: Vec<DirectoryReport>,
    pools: Vec<PoolReport>,
    /// Why pages cannot be counted.
    error: Option<ErrorReport>,
    numa_calls: [CallReport; 3],
    memory_lock_limit: Option<u64>,
}

#[derive(Debug, Serialize)]
struct DirectoryReport {
    page_size: String,
    path: String,
    /// `missing`, `not_mounted`, `mounted`, `foreign` or `unknown`.
    state: &'static str,
    mode: Option<String>,
    uid: Option<u32>,
    gid: Option<u32>,
    /// Why it cannot be looked at.
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct PoolReport {
    node: u32,
    page_size: String,
    total: u64,
    used: u64,
    free: u64,
    surplus: u64,
}

#[derive(Debug, Serialize)]
struct CallReport {
    call: &'static str,
    #[serde(rename = "permitted")]
    is_permitted: bool,
    /// What the system said, if not.
    reason: Option<String>,
}

impl DirectoryReport {
    fn new(status: &DirectoryStatus) -> Self {
        let (state, owner, reason) = match &status.state {
            DirectoryState::Missing => ("missing", None, None),
            DirectoryState::NotMounted { owner } => ("not_mounted", Some(owner), None),
            DirectoryState::Mounted { owner } => ("mounted", Some(owner), None),
            DirectoryState::Foreign { kind, block_bytes } => {
                let what = format!("a file system of kind {kind:#x}, in blocks of {block_bytes}");
                ("foreign", None, Some(what))
            }
            DirectoryState::Unknown { source } => ("unknown", None, Some(source.to_string())),
            _ => ("unknown", None, None),
        };
        Self {
            page_size: status.page_size.to_string(),
            path: status.path.display().to_string(),
            state,
            mode: owner.map(|owner| format!("{:04o}", owner.mode)),
            uid: owner.map(|owner| owner.uid),
            gid: owner.map(|owner| owner.gid),
            reason,
        }
    }
}

impl PoolReport {
    fn new(pool: &PagePool) -> Self {
        Self {
            node: pool.node.get(),
            page_size: pool.page_size.to_string(),
            total: pool.total,
            used: pool.used(),
            free: pool.free,
            surplus: pool.surplus,
        }
    }
}

impl CallReport {
    fn new(call: &'static str, outcome: &io::Result<()>) -> Self {
        let reason = outcome.as_ref().err().map(ToString::to_string);
        Self { call, is_permitted: reason.is_none(), reason }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([
            ("PAGES", Side::Left),
            ("STATE", Side::Left),
            ("MODE", Side::Left),
            ("USER", Side::Right),
            ("GROUP", Side::Right),
            ("DIRECTORY", Side::Left),
        ]);
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        for one in &self.directories {
            table.row([
                one.page_size.clone(),
                one.state.replace('_', " "),
                or_dash(one.mode.clone()),
                or_dash(one.uid.map(|uid| uid.to_string())),
                or_dash(one.gid.map(|gid| gid.to_string())),
                one.path.clone(),
            ]);
        }
        writeln!(f, "{table}")?;
        for (one, reason) in self.directories.iter().filter_map(|d| Some((d, d.reason.as_ref()?))) {
            writeln!(f, "{}: {reason}\n", one.path)?;
        }
        let mut table = Table::new([
            ("NODE", Side::Right),
            ("PAGES", Side::Left),
            ("TOTAL", Side::Right),
            ("USED", Side::Right),
            ("FREE", Side::Right),
            ("SURPLUS", Side::Right),
        ]);
        for PoolReport { node, page_size, total, used, free, surplus } in &self.pools {
            let [total, used, free, surplus] = [total, used, free, surplus].map(u64::to_string);
            table.row([node.to_string(), page_size.clone(), total, used, free, surplus]);
        }
        match (&self.error, self.pools.is_empty()) {
            (Some(error), _) => writeln!(f, "pages cannot be counted: {}", error.message())?,
            (None, true) => writeln!(f, "this kernel has no huge or gigantic pages")?,
            (None, false) => write!(f, "{table}")?,
        }
        writeln!(f)?;
        for CallReport { call, reason, .. } in &self.numa_calls {
            let said = reason.as_ref().map_or("permitted".to_owned(), |r| format!("refused: {r}"));
            writeln!(f, "{call:<16}{said}")?;
        }
        match self.memory_lock_limit {
            Some(bytes) => writeln!(f, "{:<16}{} can be locked", "memory lock", Bytes(bytes)),
            None => writeln!(f, "{:<16}no limit", "memory lock"),
        }
    }
}
