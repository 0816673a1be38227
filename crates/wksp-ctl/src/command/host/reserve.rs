//! `host reserve`: has the kernel keep pages for regions.

use wksp_shmem::{NodeIndex, NodeMemory, PagePool, PageSize, PoolChange};

use super::changes::change_pools;
use crate::failure::{self, Failure, Kind};
use crate::near;
use crate::node_memory::has_memory;
use crate::output::Outcome;
use crate::plural::Pages;
use crate::session::Session;
use crate::size::Human;
use crate::value;

/// Has the kernel keep at least so many pages of a size on nodes, until they are released.
///
/// Nothing else can use that memory then. Fewer than that may be granted, which is a failure, since
/// memory comes in pieces that are too small; soon after the machine has started there are most.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sudo wksp-ctl host reserve --page-size huge --pages 512             # on every node
  sudo wksp-ctl host reserve --page-size gigantic --pages 4 --node 1")]
pub(crate) struct Args {
    /// How many there are to be on each node, at least.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pages: String,
    /// A node, or a list like 0,2-3; it can be given more than once [default: all that have memory].
    #[arg(long = "node", value_name = "NODE", allow_hyphen_values = true)]
    nodes: Vec<String>,
}

/// What to reserve, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    pages: u64,
    nodes: Vec<NodeIndex>,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let pages = value::count("--pages", &self.pages)?;
        Ok(Plan { pages, nodes: near::nodes("--node", &self.nodes)? })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let page_size = page_size(session)?;
        let pools = pools(&self.nodes, page_size)?;
        for pool in &pools {
            check_room(pool, self.pages)?;
        }
        let reserve = |pool: &PagePool| PagePool::reserve(pool.node, page_size, self.pages);
        change_pools(&pools, reserve, not_granted)
    }
}

/// Refuses what would take all memory of a node: the kernel gives as much as it can, and the
/// machine would be left with nothing to run on.
pub(crate) fn check_room(pool: &PagePool, pages: u64) -> Result<(), Failure> {
    let PagePool { node, page_size, .. } = *pool;
    let Ok(memory) = NodeMemory::of(node) else { return Ok(()) };
    let more = pages.saturating_sub(pool.reserved());
    let most = memory.available_bytes.checked_div(page_size.bytes()).unwrap_or(0);
    if more <= most {
        return Ok(());
    }
    let at_most = pool.reserved().saturating_add(most);
    let bytes = Human(memory.available_bytes);
    Err(Failure::new(
        Kind::NoRoom,
        format_args!(
            "node {node} has {bytes} to spare, too little for {} more: nothing was reserved",
            Pages(more, page_size)
        ),
        match at_most {
            0 => "free some memory; `wksp-ctl numa` shows what nodes have".to_owned(),
            _ => format!(
                "it has room for `wksp-ctl host reserve --page-size {page_size} --pages \
                 {at_most} --node {node}`"
            ),
        },
    ))
}

/// The page size that was asked for, which has to be one that is reserved.
pub(super) fn page_size(session: &Session<'_>) -> Result<PageSize, Failure> {
    session.page_size().filter(|size| *size != PageSize::Normal).ok_or_else(|| {
        let cause = match session.page_size() {
            Some(_) => "normal pages need not be reserved: any free memory has them",
            None => "it was not said which pages",
        };
        Failure::usage(cause, "say `--page-size huge` or `--page-size gigantic`")
    })
}

/// The pages of these nodes, or else of all that have memory.
pub(super) fn pools(nodes: &[NodeIndex], page_size: PageSize) -> Result<Vec<PagePool>, Failure> {
    if !nodes.is_empty() {
        let pools = nodes.iter().map(|node| PagePool::count(*node, page_size));
        return pools.collect::<Result<_, _>>().map_err(|error| failure::pool(&error));
    }
    let pools = PagePool::all().map_err(|error| failure::pool(&error))?.into_iter();
    let pools: Vec<PagePool> =
        pools.filter(|pool| pool.page_size == page_size && has_memory(pool.node)).collect();
    if pools.is_empty() {
        return Err(Failure::new(
            Kind::NotFound,
            format_args!("this kernel or processor has no {page_size} pages"),
            "`ls /sys/kernel/mm/hugepages` shows which it has",
        ));
    }
    Ok(pools)
}

/// What is said if the kernel did not grant all.
fn not_granted(changes: &[PoolChange]) -> Option<Failure> {
    let first = changes.iter().find(|change| !change.is_granted())?;
    let PoolChange { node, page_size, before, after, .. } = first;
    let wanted = match first.wanted {
        wksp_shmem::Wanted::AtLeast(wanted) | wksp_shmem::Wanted::AtMost(wanted) => wanted,
    };
    let remedy = match page_size {
        PageSize::Gigantic => format!(
            "memory in pieces that large is rare: reserve it when the machine starts, by the kernel \
             parameters `hugepagesz=1G hugepages={wanted}`"
        ),
        _ => {
            "`sync; echo 3 > /proc/sys/vm/drop_caches` makes room where files are kept in memory; \
              then try again"
                .to_owned()
        }
    };
    Some(Failure::new(
        Kind::NoRoom,
        format_args!(
            "the kernel reserved {after} of {wanted} {page_size} pages on node {node} ({before} \
             before); these are kept"
        ),
        remedy,
    ))
}
