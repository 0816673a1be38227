//! The huge and gigantic pages that the kernel keeps.

use wksp_shmem::{PagePool, PagePoolError, PageSize};

use super::finding::{Check, Finding};
use crate::failure;
use crate::node_memory::has_memory;
use crate::shell;

const HUGE: Check = Check {
    name: "huge-pages",
    why: "Regions take huge pages only from those that are reserved, on the node that they are near.",
};
const GIGANTIC: Check = Check {
    name: "gigantic-pages",
    why: "Regions take gigantic pages only from those that are reserved, on the node that they are \
          near.",
};

pub(super) fn check(pools: &Result<Vec<PagePool>, PagePoolError>) -> Vec<Finding> {
    let checks = [(HUGE, PageSize::Huge), (GIGANTIC, PageSize::Gigantic)];
    let findings = checks.map(|(check, page_size)| match pools {
        Ok(pools) => check_size(check, pools, page_size),
        Err(error) => check.unknown(failure::pool(error).cause, None),
    });
    findings.into()
}

fn check_size(check: Check, pools: &[PagePool], page_size: PageSize) -> Finding {
    let pools: Vec<&PagePool> =
        pools.iter().filter(|pool| pool.page_size == page_size && has_memory(pool.node)).collect();
    if pools.is_empty() {
        let found = format!("this kernel or processor has no {page_size} pages");
        return check.warning(found, None);
    }
    let counts = pools.iter().map(|PagePool { node, total, free, .. }| match total {
        0 => format!("node {node} has none"),
        _ => format!("node {node} has {total}, {free} of them free"),
    });
    let found = counts.collect::<Vec<_>>().join("; ");
    let empty: Vec<String> =
        pools.iter().filter(|pool| pool.total == 0).map(|pool| pool.node.to_string()).collect();
    if empty.is_empty() {
        return check.ok(found);
    }
    let nodes = match empty.len() == pools.len() {
        true => String::new(),
        false => format!(" --node {}", empty.join(",")),
    };
    let pages = if page_size == PageSize::Gigantic { 1 } else { 64 };
    let command = format!("wksp-ctl host reserve --page-size {page_size} --pages {pages}{nodes}");
    check.warning(found, Some(shell::as_root(&command)))
}
