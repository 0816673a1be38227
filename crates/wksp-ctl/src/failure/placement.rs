//! Failures to put the pages of a new region where they are to be, and to find out where they are.

use wksp_core::Name;
use wksp_shmem::{
    NodeIndex, PagePool, PageSize, PlacementCall, PlacementError, ResidenceError, Shortfall,
};

use super::{Failure, Kind, machine};
use crate::plural::{Pages, Plural};

/// What is said of a region whose pages were not placed; it was not made.
pub(crate) fn placement(name: &Name, error: &PlacementError) -> Failure {
    let failure = match error {
        PlacementError::Plan(error) => machine::plan(error, "wksp-ctl numa"),
        PlacementError::NotThisMachine => Failure::new(
            Kind::Failed,
            "the environment has hwloc believe in another machine than this one",
            "`unset HWLOC_SYNTHETIC HWLOC_XMLFILE HWLOC_THISSYSTEM`, then try again",
        ),
        PlacementError::TooFewPages { page_size, shortfalls } => {
            too_few_pages(*page_size, shortfalls)
        }
        PlacementError::Refused { node, page_size, wanted, available, source } => Failure::new(
            Kind::NoRoom,
            format_args!(
                "the kernel gave fewer than {wanted} {page_size} pages of node {node}, although \
                 {available} are free: {source}"
            ),
            format_args!(
                "somebody took them for a moment, or they are promised to others: try again; if a \
                 limit is in the way, `cat /proc/self/cgroup /proc/self/status` shows whose",
            ),
        ),
        PlacementError::Forbidden { call, source } => forbidden(*call, source),
        PlacementError::Misplaced { planned, residence } => Failure::new(
            Kind::NoRoom,
            format_args!(
                "of the pages [{}, {}) for node {}, which they were bound to, {} are not there: \
                 {residence}",
                planned.pages.start,
                planned.pages.end,
                planned.node,
                residence.not_on(planned.node)
            ),
            "free memory on that node, see `wksp-ctl numa`, or accept it by `--binding best-effort`",
        ),
        error => Failure::new(Kind::Failed, error, "`wksp-ctl doctor` shows what is possible here"),
    };
    Failure { cause: format!("cannot create {name}: {}", failure.cause), ..failure }
}

/// A node that has too few free pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lack {
    pub(crate) node: NodeIndex,
    pub(crate) wanted: u64,
    pub(crate) available: u64,
}

impl Lack {
    const fn pages(&self) -> u64 {
        self.wanted.saturating_sub(self.available)
    }
}

/// The most nodes that a message names.
const NAMED_MAX: usize = 4;

/// Says which nodes lack how many pages.
pub(crate) fn lacks(page_size: PageSize, nodes: &[Lack]) -> String {
    let named = nodes.iter().take(NAMED_MAX).map(|lack| {
        let Lack { node, wanted, available } = lack;
        let lacking = Pages(lack.pages(), page_size);
        format!("node {node} lacks {lacking}: {wanted} are wanted, {available} free")
    });
    let named: Vec<String> = named.collect();
    let others = match nodes.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        others => format!("; and {}", Plural(others as u64, "more node")),
    };
    named.join("; ") + &others
}

/// What is said of nodes of this machine that have too few pages.
fn too_few_pages(page_size: PageSize, shortfalls: &[Shortfall]) -> Failure {
    let lack =
        |&Shortfall { node, wanted, available, .. }: &Shortfall| Lack { node, wanted, available };
    let nodes: Vec<Lack> = shortfalls.iter().map(lack).collect();
    Failure::new(Kind::NoRoom, lacks(page_size, &nodes), more_pages(page_size, &nodes))
}

/// How nodes of this machine come to have enough.
pub(crate) fn more_pages(page_size: PageSize, nodes: &[Lack]) -> String {
    let Some(first) = nodes.first().filter(|_| page_size != PageSize::Normal) else {
        return "free memory there, as `wksp-ctl rm` does, or say another node by --near-node"
            .to_owned();
    };
    // What is reserved and not free is needed besides.
    let reserved = PagePool::count(first.node, page_size).map_or(0, |pool| pool.reserved());
    let pages = reserved.saturating_add(first.pages());
    let others = if nodes.len() > 1 { ", likewise on the other nodes" } else { "" };
    format!(
        "as root `wksp-ctl host reserve --page-size {page_size} --pages {pages} --node {}`{others}; \
         or ask for less",
        first.node
    )
}

fn forbidden(call: PlacementCall, source: &std::io::Error) -> Failure {
    let remedy = match call {
        PlacementCall::Populate => {
            "it takes Linux 5.14; on an older kernel say `--binding best-effort`"
        }
        _ => {
            "in a container allow it, as `docker run --cap-add SYS_NICE` does, or say \
             `--binding best-effort`"
        }
    };
    Failure::new(
        Kind::Permission,
        format_args!("pages cannot be placed, since {call} is refused: {source}"),
        remedy,
    )
}

/// What is said when it cannot be found out where pages are.
pub(crate) fn residence(name: &Name, error: &ResidenceError) -> Failure {
    match error {
        ResidenceError::NoSuchPages { pages, page_count, .. } => Failure::usage(
            format_args!(
                "{name} has {page_count} pages, and so none that are [{}, {})",
                pages.start, pages.end
            ),
            format_args!("`wksp-ctl where {name}` asks for all of them"),
        ),
        ResidenceError::Forbidden { source } => Failure::new(
            Kind::Permission,
            format_args!("the kernel does not say where the pages of {name} are: {source}"),
            "in a container allow it, as `docker run --cap-add SYS_NICE` does; `wksp-ctl doctor` \
             shows what is allowed",
        ),
        ResidenceError::Io { path, source } => Failure::io(
            format_args!("cannot find out where the pages of {} are", path.display()),
            source,
            format_args!("look whether it is sound: `wksp-ctl verify {name}`"),
        ),
        error => Failure::new(Kind::Failed, error, "`wksp-ctl doctor` shows what is possible here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    fn lack(node: u32, wanted: u64, available: u64) -> Lack {
        Lack { node: NodeIndex::new(node), wanted, available }
    }

    #[test]
    fn nodes_that_lack_pages_are_named_up_to_a_few() {
        let two = lacks(PageSize::Huge, &[lack(0, 3, 1), lack(5, 1, 0)]);
        assert_eq!(
            two,
            "node 0 lacks 2 huge pages: 3 are wanted, 1 free; \
             node 5 lacks 1 huge page: 1 are wanted, 0 free"
        );
        let many: Vec<Lack> = (0..6).map(|node| lack(node, 1, 0)).collect();
        assert!(lacks(PageSize::Huge, &many).ends_with("; and 2 more nodes"));
    }

    #[test]
    fn more_pages_come_from_reserving_them() {
        // A node that there is not has none reserved.
        let remedy = more_pages(PageSize::Gigantic, &[lack(99_999, 5, 2), lack(1, 1, 0)]);
        let command = "`wksp-ctl host reserve --page-size gigantic --pages 3 --node 99999`";
        assert!(remedy.contains(command) && remedy.contains("other nodes"), "{remedy}");
        assert!(more_pages(PageSize::Normal, &[lack(0, 1, 0)]).contains("--near-node"));
    }

    #[test]
    fn what_is_refused_names_the_call_and_a_way_out() {
        let name = Name::new("demo").unwrap();
        for call in [PlacementCall::Bind, PlacementCall::Locate, PlacementCall::Populate] {
            let source = Errno::EPERM.into();
            let failure = placement(&name, &PlacementError::Forbidden { call, source });
            assert_eq!(failure.kind, Kind::Permission);
            assert!(failure.cause.starts_with("cannot create demo: "), "{failure:?}");
            assert!(failure.cause.contains(&call.to_string()), "{failure:?}");
            assert!(failure.remedy.contains("`--binding best-effort`"), "{failure:?}");
        }
        let refused = PlacementError::Refused {
            node: NodeIndex::new(3),
            page_size: PageSize::Huge,
            wanted: 8,
            available: 9,
            source: Errno::ENOMEM.into(),
        };
        let failure = placement(&name, &refused);
        assert!(failure.cause.contains("8 huge pages of node 3"), "{failure:?}");
        assert!(failure.remedy.contains('`') && failure.kind == Kind::NoRoom, "{failure:?}");
        let forbidden = ResidenceError::Forbidden { source: Errno::EPERM.into() };
        let failure = residence(&name, &forbidden);
        assert!(failure.remedy.contains("`docker run --cap-add SYS_NICE`"), "{failure:?}");
    }
}
