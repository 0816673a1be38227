//! What this machine has, by the kernel's own files, and mounts that nobody else sees.

use std::env;
use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;
use wksp_testkit::skip::skip;
pub(crate) use wksp_testkit::turn::turn;

const NODES: &str = "/sys/devices/system/node";
/// The environment variable with which nothing may be lacking, as in machines made for such tests.
const REQUIRE: &str = "WKSP_REQUIRE_NUMA";

/// Whether the machine is one made for such tests, where nobody else has anything.
pub(crate) fn is_made_for_tests() -> bool {
    env::var(REQUIRE).is_ok_and(|value| value == "1")
}

/// Says that the current test lacks something, which must not be where nothing may be lacking.
pub(crate) fn lack(what: &str) {
    assert!(!is_made_for_tests(), "{REQUIRE} is set, but there is lacking: {what}");
    skip(what);
}

/// Does something in a thread whose mounts nobody else sees; they are gone when it is done.
///
/// Says so if that cannot be.
pub(crate) fn in_private_mounts(work: impl FnOnce() + Send) {
    if !geteuid().is_root() {
        return lack("root, to mount");
    }
    let name = thread::current().name().unwrap_or_default().to_owned();
    let done = thread::scope(|scope| {
        let thread = thread::Builder::new().name(name).spawn_scoped(scope, || {
            let none: Option<&str> = None;
            unshare(CloneFlags::CLONE_NEWNS)?;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
            work();
            Ok::<(), nix::Error>(())
        });
        thread.unwrap().join().unwrap_or_else(|panic| resume_unwind(panic))
    });
    if let Err(errno) = done {
        lack(&format!("mounts of its own: {errno}"));
    }
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_else(|error| panic!("{:?}: {error}", path.as_ref()))
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

/// The numbers of all nodes, in ascending order.
pub(crate) fn nodes() -> Vec<u64> {
    let names = fs::read_dir(NODES).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    let digits = names.iter().filter_map(|name| name.strip_prefix("node"));
    let mut nodes: Vec<u64> = digits.filter_map(|digits| digits.parse().ok()).collect();
    nodes.sort_unstable();
    nodes
}

/// The processors whose directory says that they are of a node, in ascending order.
pub(crate) fn cpus(node: u64) -> Vec<u64> {
    let mut cpus = Vec::new();
    for entry in fs::read_dir("/sys/devices/system/cpu").unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let number = name.strip_prefix("cpu").and_then(|digits| digits.parse::<u64>().ok());
        cpus.extend(number.filter(|_| entry.path().join(format!("node{node}")).exists()));
    }
    cpus.sort_unstable();
    cpus
}

/// A number of bytes that the kernel says of a node's memory.
pub(crate) fn memory(node: u64, what: &str) -> u64 {
    let text = read(format!("{NODES}/node{node}/meminfo"));
    let line = text.lines().find(|line| line.contains(&format!(" {what}:"))).unwrap();
    number(line.split_ascii_whitespace().nth(3).unwrap()) * 1024
}

/// How far the kernel says that other nodes are from one.
pub(crate) fn distances(from: u64) -> Vec<u64> {
    read(format!("{NODES}/node{from}/distance")).split_ascii_whitespace().map(number).collect()
}

/// The first node that has memory, and one of its processors.
pub(crate) fn near() -> (u64, u64) {
    let of = |node| Some((node, *cpus(node).first()?));
    nodes().into_iter().find_map(of).unwrap()
}

/// The huge or gigantic pages of a node, given back as they were when this is dropped.
pub(crate) struct Pool {
    files: PathBuf,
    before: u64,
}

impl Pool {
    /// Says so if there are none, or if they are not to be changed.
    pub(crate) fn of(node: u64, page_size: &str) -> Option<Self> {
        let kilobytes = if page_size == "huge" { 2048 } else { 1 << 20 };
        let files = PathBuf::from(format!("{NODES}/node{node}/hugepages/hugepages-{kilobytes}kB"));
        if !files.exists() {
            lack(&format!("{page_size} pages"));
            return None;
        }
        if !geteuid().is_root() {
            lack("root, to reserve pages");
            return None;
        }
        let before = number(&read(files.join("nr_hugepages")));
        Some(Self { files, before })
    }

    /// What the kernel counts: nr, free or surplus.
    pub(crate) fn count(&self, what: &str) -> u64 {
        number(&read(self.files.join(format!("{what}_hugepages"))))
    }

    /// How many there were.
    pub(crate) const fn before(&self) -> u64 {
        self.before
    }

    /// Whether so many can be free; says so if not.
    pub(crate) fn reserve_free(&self, count: u64) -> bool {
        let wanted = self.count("nr") + count.saturating_sub(self.count("free"));
        fs::write(self.files.join("nr_hugepages"), wanted.to_string()).unwrap();
        let enough = self.count("free") >= count;
        if !enough {
            lack(&format!("{count} free pages in {}", self.files.display()));
        }
        enough
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        fs::write(self.files.join("nr_hugepages"), self.before.to_string()).unwrap();
    }
}
