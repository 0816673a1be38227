//! What this machine has, read from the kernel's files.

use std::env;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use nix::unistd::geteuid;
use wksp_shmem::{NodeIndex, NumaCalls, PagePool, PageSize};
pub(crate) use wksp_testkit::turn::turn;

/// The environment variable with which nothing may be lacking.
const REQUIRE: &str = "WKSP_REQUIRE_NUMA";
const NODES: &str = "/sys/devices/system/node";

pub(crate) fn is_required() -> bool {
    env::var(REQUIRE).is_ok_and(|value| value == "1")
}

/// Says that the current test lacks something, which must not be where nothing may be lacking.
pub(crate) fn lack(what: &str) {
    assert!(!is_required(), "{REQUIRE} is set, but there is lacking: {what}");
    wksp_testkit::skip::skip(what);
}

/// Whether pages can be placed; says so if not.
pub(crate) fn can_place() -> bool {
    let calls = NumaCalls::probe();
    let can = calls.bind.is_ok() && calls.locate.is_ok() && calls.populate.is_ok();
    if !can {
        lack(&format!("the permission to place pages: {calls:?}"));
    }
    can
}

/// Whether the caller is root; says so if not.
pub(crate) fn is_root(why: &str) -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        lack(&format!("root, to {why}"));
    }
    is_root
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_else(|error| panic!("{:?}: {error}", path.as_ref()))
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

/// The numbers of all nodes.
pub(crate) fn nodes() -> Vec<u32> {
    let mut nodes = Vec::new();
    for entry in fs::read_dir(NODES).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let digits = name.strip_prefix("node").filter(|rest| !rest.is_empty());
        nodes.extend(digits.and_then(|digits| digits.parse::<u32>().ok()));
    }
    nodes.sort_unstable();
    nodes
}

/// The bytes of memory of a node.
pub(crate) fn memory_bytes(node: u32) -> u64 {
    memory(node, "MemTotal:")
}

/// The bytes of memory of a node that nobody has.
pub(crate) fn free_bytes(node: u32) -> u64 {
    memory(node, "MemFree:")
}

fn memory(node: u32, what: &str) -> u64 {
    let text = read(format!("{NODES}/node{node}/meminfo"));
    let line = text.lines().find(|line| line.contains(what)).unwrap();
    number(line.split_ascii_whitespace().nth(3).unwrap()) * 1024
}

/// How many processes the kernel has killed for want of memory.
pub(crate) fn killed() -> u64 {
    let text = read("/proc/vmstat");
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    number(line.unwrap())
}

/// The nodes that have memory.
pub(crate) fn nodes_with_memory() -> Vec<u32> {
    nodes().into_iter().filter(|node| memory_bytes(*node) > 0).collect()
}

/// Whether pages can be put out.
pub(crate) fn has_swap_space() -> bool {
    // The first line says what the others mean.
    read("/proc/swaps").lines().count() > 1
}

/// Lets the kernel take some memory of a node that has been put out; whether it can be asked to.
pub(crate) fn reclaim(node: u32) -> bool {
    fs::write(format!("{NODES}/node{node}/reclaim"), "8M swappiness=max").is_ok()
}

/// The processors whose directory says that they are of a node.
pub(crate) fn cpus(node: u32) -> Vec<u32> {
    let mut cpus = Vec::new();
    for entry in fs::read_dir("/sys/devices/system/cpu").unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let number = name.strip_prefix("cpu").and_then(|digits| digits.parse::<u32>().ok());
        cpus.extend(number.filter(|_| entry.path().join(format!("node{node}")).exists()));
    }
    cpus.sort_unstable();
    cpus
}

/// How far the kernel says that nodes are from each other.
pub(crate) fn distances(from: u32) -> Vec<u64> {
    read(format!("{NODES}/node{from}/distance")).split_ascii_whitespace().map(number).collect()
}

fn pool(page_size: PageSize) -> String {
    format!("hugepages-{}kB", page_size.bytes() / 1024)
}

/// The pages of a size on a node that nobody has.
pub(crate) fn free(node: u32, page_size: PageSize) -> u64 {
    let pool = pool(page_size);
    number(&read(format!("{NODES}/node{node}/hugepages/{pool}/free_hugepages")))
}

/// All that the kernel counts of huge and gigantic pages, so as to compare.
pub(crate) fn counts() -> Vec<(String, u64)> {
    let mut counts = Vec::new();
    let mut add = |path: String| counts.push((path.clone(), number(&read(&path))));
    for page_size in [PageSize::Huge, PageSize::Gigantic] {
        let pool = pool(page_size);
        if !Path::new(&format!("/sys/kernel/mm/hugepages/{pool}")).exists() {
            continue;
        }
        for count in ["nr", "free", "surplus", "resv"] {
            add(format!("/sys/kernel/mm/hugepages/{pool}/{count}_hugepages"));
        }
        for node in nodes() {
            for count in ["nr", "free", "surplus"] {
                add(format!("{NODES}/node{node}/hugepages/{pool}/{count}_hugepages"));
            }
        }
    }
    counts
}

/// Pages that are free for a test, and given back when this is dropped.
pub(crate) struct FreePages {
    before: Vec<(u32, PageSize, u64)>,
}

impl FreePages {
    /// Sees to it that so many pages of a size are free on each node that has memory; normal ones
    /// always are. Says so if they are not to be had.
    pub(crate) fn on_each_node(page_size: PageSize, count: u64) -> Option<Self> {
        let mut pages = Self { before: Vec::new() };
        if page_size == PageSize::Normal {
            return Some(pages);
        }
        for node in nodes_with_memory() {
            pages.before.append(&mut Self::on(node, page_size, count)?.before);
        }
        Some(pages)
    }

    /// Sees to it that so many pages of a size are free on a node.
    pub(crate) fn on(node: u32, page_size: PageSize, count: u64) -> Option<Self> {
        let mut pages = Self { before: Vec::new() };
        let pool = match PagePool::count(NodeIndex::new(node), page_size) {
            Ok(pool) if pool.free >= count => return Some(pages),
            Ok(pool) => pool,
            Err(error) => {
                lack(&error.to_string());
                return None;
            }
        };
        let wanted = pool.reserved() + count - pool.free;
        match PagePool::reserve(pool.node, page_size, wanted) {
            Ok(change) => {
                pages.before.push((node, page_size, change.before));
                if change.is_granted() {
                    return Some(pages);
                }
                lack(&format!("{count} {page_size} pages on node {node}: {change:?}"));
            }
            Err(error) => lack(&error.to_string()),
        }
        None
    }
}

impl Drop for FreePages {
    fn drop(&mut self) {
        for (node, page_size, before) in &self.before {
            let change = PagePool::release(NodeIndex::new(*node), *page_size, *before).unwrap();
            assert!(change.is_granted() || std::thread::panicking(), "pages are left: {change:?}");
        }
    }
}

/// So many bytes of pages.
pub(crate) fn bytes(page_size: PageSize, count: u64) -> NonZeroUsize {
    NonZeroUsize::new((page_size.bytes() * count) as usize).unwrap()
}
