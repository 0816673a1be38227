//! What the kernel's files say of each node: /sys/devices/system/node/nodeN.
//!
//! They are text for all to read, as of sysfs-devices-node in the kernel's ABI documentation.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::page_size::PageSize;
use crate::topology::{CpuIndex, NodeIndex};

/// Where the files are.
const ROOT: &str = "/sys/devices/system/node";
/// The most nodes or processors that a list of the kernel's may name, far beyond what it supports.
const LIST_MAX: u32 = 1 << 16;

/// The files of all nodes.
#[derive(Clone, Debug)]
pub(crate) struct NodeFiles {
    root: PathBuf,
}

/// How much memory a node of this machine has, as its meminfo says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeMemory {
    /// All of it, in bytes, also what is reserved for larger pages.
    pub total_bytes: u64,
    /// What nobody has, in bytes.
    pub free_bytes: u64,
    /// What can be taken without driving the kernel into need, in bytes: what is free, and half of
    /// what holds copies of files, less what the kernel wants to keep.
    /// Regions of normal pages that are placed strictly take no more.
    pub available_bytes: u64,
}

impl NodeFiles {
    pub(crate) fn of_this_machine() -> Self {
        Self::at(Path::new(ROOT))
    }

    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn directory(&self, node: NodeIndex) -> PathBuf {
        self.root.join(format!("node{node}"))
    }

    /// The numbers of all nodes that are there, in ascending order.
    pub(crate) fn nodes(&self) -> io::Result<Vec<NodeIndex>> {
        let text = fs::read_to_string(self.root.join("online"))?;
        Ok(list(&text)?.into_iter().map(NodeIndex::new).collect())
    }

    /// The processors that belong to a node, in ascending order.
    pub(crate) fn cpus(&self, node: NodeIndex) -> io::Result<Vec<CpuIndex>> {
        let text = fs::read_to_string(self.directory(node).join("cpulist"))?;
        Ok(list(&text)?.into_iter().map(CpuIndex::new).collect())
    }

    /// The memory of a node.
    pub(crate) fn memory(&self, node: NodeIndex) -> io::Result<NodeMemory> {
        let text = fs::read_to_string(self.directory(node).join("meminfo"))?;
        NodeMemory::parse(&text).ok_or_else(invalid)
    }

    /// Where the counts of a node's pages are, `None` for normal ones, which nobody counts.
    pub(crate) fn pool(&self, node: NodeIndex, page_size: PageSize) -> Option<PathBuf> {
        Some(self.directory(node).join("hugepages").join(pool_name(page_size)?))
    }

    /// The file that makes the kernel move a node's pages together when written to.
    pub(crate) fn compact(&self, node: NodeIndex) -> PathBuf {
        self.directory(node).join("compact")
    }
}

/// What the kernel calls its pages of that size, `None` for normal ones.
pub(crate) fn pool_name(page_size: PageSize) -> Option<String> {
    (page_size != PageSize::Normal).then(|| format!("hugepages-{}kB", page_size.bytes() >> 10))
}

impl NodeMemory {
    /// Asks the kernel, which takes no privilege.
    ///
    /// # Errors
    ///
    /// That of reading the file, which is not there if there is no such node;
    /// [`io::ErrorKind::InvalidData`] if it does not say all this.
    pub fn of(node: NodeIndex) -> io::Result<Self> {
        NodeFiles::of_this_machine().memory(node)
    }

    fn parse(text: &str) -> Option<Self> {
        // Each line is like "Node 0 MemTotal:  1024 kB".
        let field = |wanted: &str| {
            let mut fields = text.lines().filter_map(|line| line.split_once(':'));
            let (_, value) = fields.find(|(key, _)| key.ends_with(wanted))?;
            let kilobytes: u64 = value.split_ascii_whitespace().next()?.parse().ok()?;
            kilobytes.checked_mul(1024)
        };
        let (total_bytes, free_bytes) = (field(" MemTotal")?, field(" MemFree")?);
        let files = field(" Active(file)")?.saturating_add(field(" Inactive(file)")?);
        // The kernel's own reserve grows with the square root of memory, and is less than this.
        let kept = total_bytes / 64;
        let available_bytes = free_bytes.saturating_add(files / 2).saturating_sub(kept);
        Some(Self { total_bytes, free_bytes, available_bytes })
    }
}

/// Reads a list of numbers as the kernel writes it: `0-3,8`, or nothing.
fn list(text: &str) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for item in text.trim().split(',').filter(|item| !item.is_empty()) {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let number = |text: &str| text.parse().ok().filter(|n: &u32| *n < LIST_MAX);
        let (first, last) = number(first).zip(number(last)).ok_or_else(invalid)?;
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel_are_understood() {
        assert_eq!(list("\n").unwrap(), [0; 0]);
        assert_eq!(list("0\n").unwrap(), [0]);
        assert_eq!(list("0-2,7,9-10\n").unwrap(), [0, 1, 2, 7, 9, 10]);
        for text in ["x", "1-", "-1", "0-4294967295", "1;2"] {
            assert!(list(text).is_err(), "{text}");
        }
    }

    #[test]
    fn memory_of_a_node_is_read() {
        let text = "Node 3 MemTotal:       6400 kB\nNode 3 MemFree:  1000 kB\n\
                    Node 3 MemUsed: 5400 kB\nNode 3 Active(file): 30 kB\n\
                    Node 3 Inactive(file): 70 kB\n";
        let memory = NodeMemory::parse(text).unwrap();
        assert_eq!((memory.total_bytes, memory.free_bytes), (6400 << 10, 1000 << 10));
        assert_eq!(memory.available_bytes, (1000 + 50 - 100) << 10);
        assert_eq!(NodeMemory::parse("Node 3 MemTotal: x kB\n"), None);
        assert_eq!(NodeMemory::parse(""), None);
        let none = text.replace("6400", "0").replace("1000", "0");
        let none = none.replace("30", "0").replace("70", "0");
        let nothing = NodeMemory { total_bytes: 0, free_bytes: 0, available_bytes: 0 };
        assert_eq!(NodeMemory::parse(&none), Some(nothing));
    }

    #[test]
    fn every_node_of_this_machine_has_its_files() {
        let files = NodeFiles::of_this_machine();
        let nodes = files.nodes().unwrap();
        assert!(!nodes.is_empty());
        for node in nodes {
            assert!(files.cpus(node).is_ok());
            let memory = files.memory(node).unwrap();
            assert!(memory.available_bytes <= memory.total_bytes);
        }
    }
}
