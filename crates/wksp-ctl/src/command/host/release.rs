//! `host release`: gives pages that were kept for regions back to the kernel.

use wksp_shmem::{NodeIndex, PagePool};

use super::changes::{change_pools, still_used};
use super::reserve::{page_size, pools};
use crate::failure::Failure;
use crate::near;
use crate::number;
use crate::output::Outcome;
use crate::session::Session;

/// Gives pages of a size that are kept on nodes back, until there are at most so many.
///
/// Those in use stay, which is a failure if they are more.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sudo wksp-ctl host release --page-size huge                         # all, on every node
  sudo wksp-ctl host release --page-size gigantic --pages 1 --node 0  # all but one")]
pub(crate) struct Args {
    /// How many may stay on each node, at most.
    #[arg(long, value_name = "N", visible_alias = "keep", default_value = "0")]
    #[arg(allow_negative_numbers = true)]
    pages: String,
    /// A node, or a list like 0,2-3; it can be given more than once [default: all that have memory].
    #[arg(long = "node", value_name = "NODE", allow_hyphen_values = true)]
    nodes: Vec<String>,
}

/// What to release, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    pages: u64,
    nodes: Vec<NodeIndex>,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let pages = number::parse(&self.pages).map_err(|error| {
            Failure::usage(
                format_args!("{:?} is no --pages: {error}", self.pages),
                "give a whole number: how many may stay",
            )
        });
        Ok(Plan { pages: pages?, nodes: near::nodes("--node", &self.nodes)? })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let page_size = page_size(session)?;
        let release = |pool: &PagePool| PagePool::release(pool.node, page_size, self.pages);
        change_pools(&pools(&self.nodes, page_size)?, release, still_used)
    }
}
