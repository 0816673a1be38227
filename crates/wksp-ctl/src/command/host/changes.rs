//! What was done to a machine, as reports have it.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::Serialize;
use wksp_shmem::{
    DirectoryState, MountChange, PagePool, PagePoolError, PageSize, PoolChange, Wanted, directories,
};

use crate::failure::{self, Failure, Kind};
use crate::output::Outcome;
use crate::plural::{Pages, Plural};
use crate::table::{Side, Table};

/// What was done to the directory for regions of a page size.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DirectoryChange {
    page_size: String,
    path: String,
    /// `mounted`, `adjusted`, `unmounted` or `unchanged`.
    change: &'static str,
}

impl DirectoryChange {
    pub(super) fn new(base: &Path, page_size: PageSize, change: MountChange) -> Self {
        Self {
            page_size: page_size.to_string(),
            path: base.join(page_size.directory()).display().to_string(),
            change: match change {
                MountChange::Mounted => "mounted",
                MountChange::Adjusted => "adjusted",
                MountChange::Unmounted => "unmounted",
                _ => "unchanged",
            },
        }
    }
}

/// Changes one pool after the other, up to the first that cannot be, and reports what was done.
///
/// `lacking` says what is lacking of what was asked for. Nothing done is a failure and no report.
pub(super) fn change_pools(
    pools: &[PagePool],
    change: impl Fn(&PagePool) -> Result<PoolChange, PagePoolError>,
    lacking: impl FnOnce(&[PoolChange]) -> Option<Failure>,
) -> Result<Outcome, Failure> {
    let mut changes = Vec::new();
    let mut failure = None;
    for pool in pools {
        match change(pool) {
            Ok(change) => changes.push(change),
            Err(error) => {
                failure = Some(failure::pool(&error));
                break;
            }
        }
    }
    if let Some(failure) = failure.take_if(|_| changes.is_empty()) {
        return Err(failure);
    }
    let failure = failure.or_else(|| lacking(&changes));
    let pools = changes.iter().map(PoolChangeReport::new).collect();
    Ok(Outcome::with_failure(PoolReport { pools }, failure))
}

#[derive(Debug, Serialize)]
struct PoolReport {
    pools: Vec<PoolChangeReport>,
}

impl fmt::Display for PoolReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", PoolTable(&self.pools))
    }
}

/// What was done to directories.
pub(super) struct DirectoryTable<'r>(pub(super) &'r [DirectoryChange]);

impl fmt::Display for DirectoryTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table =
            Table::new([("PAGES", Side::Left), ("CHANGE", Side::Left), ("DIRECTORY", Side::Left)]);
        for DirectoryChange { page_size, path, change } in self.0 {
            table.row([page_size.clone(), (*change).to_owned(), path.clone()]);
        }
        write!(f, "{table}")
    }
}

/// What was done to the pages of a node.
#[derive(Clone, Debug, Serialize)]
pub(super) struct PoolChangeReport {
    node: u32,
    page_size: String,
    /// How many were to be reserved, at least or at most.
    wanted: u64,
    before: u64,
    after: u64,
    #[serde(rename = "granted")]
    is_granted: bool,
    /// Whether `wanted` is the least or the most.
    #[serde(skip)]
    bound: &'static str,
}

impl PoolChangeReport {
    pub(super) fn new(change: &PoolChange) -> Self {
        let (bound, wanted) = match change.wanted {
            Wanted::AtLeast(wanted) => ("at least", wanted),
            Wanted::AtMost(wanted) => ("at most", wanted),
        };
        Self {
            node: change.node.get(),
            page_size: change.page_size.to_string(),
            wanted,
            before: change.before,
            after: change.after,
            is_granted: change.is_granted(),
            bound,
        }
    }
}

/// What was done to pages.
pub(super) struct PoolTable<'r>(pub(super) &'r [PoolChangeReport]);

impl fmt::Display for PoolTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([
            ("NODE", Side::Right),
            ("PAGES", Side::Left),
            ("WANTED", Side::Left),
            ("BEFORE", Side::Right),
            ("NOW", Side::Right),
            ("", Side::Left),
        ]);
        for change in self.0 {
            table.row([
                change.node.to_string(),
                change.page_size.clone(),
                format!("{} {}", change.bound, change.wanted),
                change.before.to_string(),
                change.after.to_string(),
                if change.is_granted { String::new() } else { "not granted".to_owned() },
            ]);
        }
        write!(f, "{table}")
    }
}

/// What is said if pages stay reserved because somebody uses them.
pub(super) fn still_used(changes: &[PoolChange]) -> Option<Failure> {
    let mut kept = changes.iter().filter(|change| !change.is_granted());
    let first = kept.next()?;
    let PoolChange { node, page_size, after, .. } = first;
    let more = match kept.count() {
        0 => String::new(),
        count => format!(", and {} has some left", Plural(count as u64, "other pool")),
    };
    let pages = Pages(*after, page_size);
    Some(Failure::new(
        Kind::Busy,
        format_args!("node {node} keeps {pages} that are in use{more}"),
        format_args!(
            "`wksp-ctl ls --page-size {page_size}` lists regions that have some; `grep -l hugepage \
             /proc/[0-9]*/maps` other users"
        ),
    ))
}

/// The files in the directories of a base that are mounted, by directory; none where they cannot be
/// counted.
pub(super) fn files(base: &Path, wanted: impl Fn(PageSize) -> bool) -> Vec<(String, u64)> {
    let mounted = directories(base).into_iter().filter(|directory| {
        wanted(directory.page_size) && matches!(directory.state, DirectoryState::Mounted { .. })
    });
    let counts = mounted.filter_map(|directory| {
        let count = fs::read_dir(&directory.path).ok()?.count() as u64;
        (count > 0).then(|| (directory.path.display().to_string(), count))
    });
    counts.collect()
}

/// What there is to lose, as a question names it.
pub(super) fn named(files: &[(String, u64)]) -> String {
    let named = files.iter().map(|(path, count)| format!("{path} ({})", Plural(*count, "file")));
    format!("all regions in {}", named.collect::<Vec<_>>().join(" and "))
}
