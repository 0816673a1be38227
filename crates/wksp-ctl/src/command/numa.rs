//! `numa`: what a machine is made of, as far as memory cares.

use std::fmt;

use serde::Serialize;
use wksp_shmem::{HwlocTopology, NodeInfo, NodeMemory, PagePool, PageSize, Topology};

use crate::cpu_list;
use crate::failure::Failure;
use crate::machine::{Machine, MachineArgs};
use crate::output::Outcome;
use crate::plural::Plural;
use crate::session::Session;
use crate::size::Human;
use crate::table::{Side, Table};
use crate::wrap::COLUMNS;

/// Shows the nodes of memory of this machine: their CPUs, memory and pages, and how far they are.
///
/// CPUs and nodes have the numbers that the kernel gives them, and lists of CPUs are written as
/// `new --near` reads them. Only what this process may use is shown.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl numa
  wksp-ctl numa --synthetic \"pack:2 numa:2(memory=64GiB) core:8 pu:2\"
  wksp-ctl numa --json | jq -c '.nodes[] | [.node, .cpu_list]'")]
pub(crate) struct Args {
    #[command(flatten)]
    machine: MachineArgs,
}

/// Which machine to show.
#[derive(Debug)]
pub(crate) struct Plan {
    machine: Machine,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        Ok(Plan { machine: self.machine.plan()? })
    }
}

impl super::Plan for Plan {
    fn run(&self, _session: &Session<'_>) -> Result<Outcome, Failure> {
        let topology = self.machine.topology()?;
        Ok(Outcome::done(Report::new(topology, self.machine.title()?)))
    }
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(skip)]
    title: &'static str,
    /// Whether it is the machine that this runs on.
    #[serde(rename = "this_machine")]
    is_this_machine: bool,
    cpu_count: u64,
    nodes: Vec<NodeReport>,
    /// From the CPUs of each node, to the memory of each; `None` if that is not known.
    distances: Vec<Vec<Option<u64>>>,
}

#[derive(Debug, Serialize)]
struct NodeReport {
    node: u32,
    cpus: Vec<u32>,
    /// The same as a text that `--near` reads.
    cpu_list: String,
    memory_bytes: u64,
    /// `None` if that is not known, as of all machines but this one.
    free_bytes: Option<u64>,
    pages: Vec<PagesReport>,
    #[serde(skip)]
    cpu_items: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PagesReport {
    page_size: String,
    /// `None` if there are no such pages, or none are counted.
    total: Option<u64>,
    free: Option<u64>,
}

impl Report {
    fn new(machine: &HwlocTopology, title: &'static str) -> Self {
        let nodes = machine.nodes();
        let distances = nodes.iter().map(|from| {
            nodes.iter().map(|to| machine.distance(from.index, to.index)).collect::<Vec<_>>()
        });
        let is_this_machine = machine.is_this_machine();
        Self {
            title,
            is_this_machine,
            cpu_count: machine.cpu_count() as u64,
            nodes: nodes.iter().map(|node| NodeReport::new(node, is_this_machine)).collect(),
            distances: distances.collect(),
        }
    }

    fn nodes_table(&self) -> Table {
        let mut table = Table::new([
            ("NODE", Side::Right),
            ("MEMORY", Side::Right),
            ("FREE", Side::Right),
            ("2M PAGES", Side::Right),
            ("FREE", Side::Right),
            ("1G PAGES", Side::Right),
            ("FREE", Side::Right),
            ("CPUS", Side::Left),
        ]);
        let rows: Vec<[String; 7]> = self.nodes.iter().map(NodeReport::cells).collect();
        let used = rows.iter().map(|row| row.iter().map(|cell| cell.len().max(8)).sum::<usize>());
        // Two spaces between columns; the titles have up to eight characters.
        let left = COLUMNS.saturating_sub(used.max().unwrap_or(0)).saturating_sub(7 * 2);
        for (node, row) in self.nodes.iter().zip(rows) {
            let mut lines = cpu_list::lines(&node.cpu_items, left.max(16)).into_iter();
            let [a, b, c, d, e, g, h] = row;
            table.row([a, b, c, d, e, g, h, lines.next().unwrap_or_else(|| "none".to_owned())]);
            for line in lines {
                let [a, b, c, d, e, g, h] = [const { String::new() }; 7];
                table.row([a, b, c, d, e, g, h, line]);
            }
        }
        table
    }
}

fn or_dash(number: Option<impl fmt::Display>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

impl NodeReport {
    fn new(node: &NodeInfo, is_this_machine: bool) -> Self {
        let memory = is_this_machine.then(|| NodeMemory::of(node.index).ok()).flatten();
        let cpu_items = cpu_list::items(&node.cpus);
        let pages = [PageSize::Huge, PageSize::Gigantic].map(|page_size| {
            let pool = is_this_machine.then(|| PagePool::count(node.index, page_size).ok());
            let pool = pool.flatten();
            let counted = node.pages.iter().find(|pages| pages.page_bytes == page_size.bytes());
            let counted = counted.filter(|_| !is_this_machine).map(|pages| pages.count);
            PagesReport {
                page_size: page_size.to_string(),
                total: pool.map(|pool| pool.total).or(counted),
                free: pool.map(|pool| pool.free),
            }
        });
        Self {
            node: node.index.get(),
            cpus: node.cpus.iter().map(|cpu| cpu.get()).collect(),
            cpu_list: cpu_items.join(","),
            memory_bytes: memory.map_or(node.memory_bytes, |memory| memory.total_bytes),
            free_bytes: memory.map(|memory| memory.free_bytes),
            pages: pages.into(),
            cpu_items,
        }
    }

    /// All cells of its row but the CPUs.
    fn cells(&self) -> [String; 7] {
        let pages = |at: usize| self.pages.get(at);
        let total = |at| or_dash(pages(at).and_then(|pages| pages.total));
        let free = |at| or_dash(pages(at).and_then(|pages| pages.free));
        [
            self.node.to_string(),
            Human(self.memory_bytes).to_string(),
            or_dash(self.free_bytes.map(Human)),
            total(0),
            free(0),
            total(1),
            free(1),
        ]
    }
}

/// The distances in blocks of columns that fit on a line.
struct Distances<'r>(&'r Report);

impl fmt::Display for Distances<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { nodes, distances, .. } = self.0;
        let all = distances.iter().flatten();
        if all.clone().all(Option::is_none) {
            return writeln!(f, "Distances are not known.");
        }
        let numbers = nodes.iter().map(|node| u64::from(node.node));
        let widest = all.flatten().copied().chain(numbers).max().unwrap_or(0);
        let cell = widest.to_string().len().saturating_add(2);
        let per_block = COLUMNS.saturating_sub(6).checked_div(cell).unwrap_or(1).max(1);
        writeln!(f, "Distance from the CPUs of a node (row) to the memory of a node (column):")?;
        for (block, columns) in nodes.chunks(per_block).enumerate() {
            write!(f, "{:>6}", "NODE")?;
            for column in columns {
                write!(f, "{:>cell$}", column.node)?;
            }
            writeln!(f)?;
            let skipped = block.saturating_mul(per_block);
            for (row, node) in distances.iter().zip(nodes) {
                write!(f, "{:>6}", node.node)?;
                for distance in row.iter().skip(skipped).take(columns.len()) {
                    match distance {
                        Some(distance) => write!(f, "{distance:>cell$}")?,
                        None => write!(f, "{:>cell$}", "?")?,
                    }
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.nodes.iter().fold(0_u64, |sum, n| sum.saturating_add(n.memory_bytes));
        let (nodes, cpus) = (self.nodes.len() as u64, self.cpu_count);
        let (nodes, cpus) = (Plural(nodes, "node"), Plural(cpus, "CPU"));
        writeln!(f, "{}: {nodes}, {cpus}, {} of memory\n", self.title, Human(memory))?;
        write!(f, "{}", self.nodes_table())?;
        // From a node to itself it is always near.
        if self.nodes.len() > 1 { write!(f, "\n{}", Distances(self)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(from: u32, to: u32) -> u64 {
        if from == to { 10 } else { u64::from(to).saturating_add(100) }
    }

    /// A machine of so many nodes, of whose distances the last one is not known.
    fn machine(count: u32) -> Report {
        let node = |node| NodeReport {
            node,
            cpus: vec![node],
            cpu_list: node.to_string(),
            memory_bytes: 1 << 40,
            free_bytes: None,
            pages: Vec::new(),
            cpu_items: vec![node.to_string()],
        };
        let last = count.saturating_sub(1);
        let distance = |from, to| match (from, to) {
            _ if (from, to) == (last, last) => None,
            _ => Some(distance(from, to)),
        };
        let row = |from| (0..count).map(|to| distance(from, to)).collect();
        Report {
            title: "a machine",
            is_this_machine: false,
            cpu_count: u64::from(count),
            nodes: (0..count).map(node).collect(),
            distances: (0..count).map(row).collect(),
        }
    }

    #[test]
    fn distances_of_many_nodes_fit_on_a_terminal() {
        for count in [2, 14, 15, 30, 64] {
            let text = Distances(&machine(count)).to_string();
            assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
            // Every column has its title once, and every node a row in each block.
            let lines: Vec<Vec<&str>> =
                text.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
            let titles = lines.iter().filter(|line| line.first() == Some(&"NODE"));
            let columns: Vec<String> =
                titles.flat_map(|line| line[1..].iter().map(|node| (*node).to_owned())).collect();
            assert_eq!(columns, (0..count).map(|node| node.to_string()).collect::<Vec<_>>());
            let of_first = lines.iter().filter(|line| line.first() == Some(&"0"));
            let of_first: Vec<&str> = of_first.flat_map(|line| line[1..].to_vec()).collect();
            let expected: Vec<String> = (0..count).map(|to| distance(0, to).to_string()).collect();
            assert_eq!(of_first, expected);
            assert!(text.ends_with("?\n"), "{text}");
        }
    }

    #[test]
    fn one_node_has_no_distances_to_show() {
        assert!(!machine(1).to_string().contains("istance"));
        assert!(machine(2).to_string().contains("Distance"));
    }
}
