//! The machines: what nodes they have, and how QEMU and the kernel are told of them.

/// A node of a machine.
struct Node {
    /// The numbers of its CPUs, none for a node that is nothing but memory.
    cpus: &'static [u32],
    /// Enough for one gigantic page more than are reserved, which a test may want while the machine
    /// runs, besides two GiB of node 0 and one of every other that the kernel breaks into.
    memory_gib: u32,
    /// The gigantic pages that are reserved when the kernel starts, as long as memory is whole.
    gigantic_pages: u32,
    /// How far it is to each node.
    distances: &'static [u32],
}

/// A machine that tests run in.
pub(super) struct Machine {
    pub(super) name: &'static str,
    pub(super) does: &'static str,
    nodes: &'static [Node],
}

/// All machines.
///
/// The CPUs of a node follow one another in one of them and do not in the other, as in real ones.
pub(super) const MACHINES: &[Machine] = &[
    Machine {
        name: "two",
        does: "two nodes, each with every other CPU",
        nodes: &[
            Node { cpus: &[0, 2], memory_gib: 9, gigantic_pages: 5, distances: &[10, 21] },
            Node { cpus: &[1, 3], memory_gib: 7, gigantic_pages: 5, distances: &[21, 10] },
        ],
    },
    Machine {
        name: "four",
        does: "four nodes at unequal distances, the last of which has no CPU",
        nodes: &[
            Node { cpus: &[0, 1], memory_gib: 7, gigantic_pages: 3, distances: &[10, 16, 24, 28] },
            Node { cpus: &[2], memory_gib: 5, gigantic_pages: 3, distances: &[16, 10, 24, 28] },
            Node { cpus: &[3], memory_gib: 5, gigantic_pages: 3, distances: &[24, 24, 10, 17] },
            Node { cpus: &[], memory_gib: 5, gigantic_pages: 3, distances: &[28, 28, 17, 10] },
        ],
    },
];

/// The huge pages that are reserved on each node.
const HUGE_PAGES: u32 = 64;

/// Nothing but processors, memory, and a serial line for what the machine says; and turned off
/// rather than started again, so that a kernel that panics ends the machine.
const FLAGS: [&str; 3] = ["-nodefaults", "-no-user-config", "-no-reboot"];

/// What else all machines have in common.
const COMMON: &[(&str, &str)] = &[
    ("-display", "none"),
    ("-machine", "q35"),
    // The processor of the host is not made use of even where it could be: that a host lets its
    // guests have guests of their own can be seen, but not whether these run.
    ("-accel", "tcg,thread=multi"),
    // All that QEMU knows, which has gigantic pages, but for the instructions by which the kernel
    // would clear memory byte after byte, which takes QEMU six times as long as its other ways.
    ("-cpu", "max,erms=off,fsrm=off"),
];

/// Whatever the machine; the kernel says nothing unless something is wrong.
const KERNEL: &[&str] = &[
    "console=ttyS0",
    "quiet",
    // Ends the machine at once.
    "panic=-1",
    // The same place on each start, since a gigantic page cannot be where the kernel is.
    "nokaslr",
    // Nobody attacks it, and it is slow enough without.
    "mitigations=off",
    "init_on_alloc=0",
    // A host that has something better to do is no fault of the kernel.
    "nowatchdog",
    "rcupdate.rcu_cpu_stall_suppress=1",
];

impl Machine {
    /// Returns what QEMU is told, but for the serial line and what the kernel is.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = FLAGS.map(str::to_owned).to_vec();
        let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
        for (option, value) in COMMON {
            add(option, (*value).to_owned());
        }
        let cpu_count: usize = self.nodes.iter().map(|node| node.cpus.len()).sum();
        let memory_gib: u32 = self.nodes.iter().map(|node| node.memory_gib).sum();
        add("-smp", format!("{cpu_count},sockets={cpu_count}"));
        add("-m", format!("{memory_gib}G"));
        for (id, node) in self.nodes.iter().enumerate() {
            let cpus: String = node.cpus.iter().map(|cpu| format!(",cpus={cpu}")).collect();
            let size = node.memory_gib;
            add("-object", format!("memory-backend-ram,id=memory{id},size={size}G"));
            add("-numa", format!("node,nodeid={id},memdev=memory{id}{cpus}"));
        }
        for (from, node) in self.nodes.iter().enumerate() {
            for (to, distance) in node.distances.iter().enumerate() {
                add("-numa", format!("dist,src={from},dst={to},val={distance}"));
            }
        }
        arguments
    }

    /// Returns the command line of the kernel, what it does not know of which is the environment of
    /// the first process.
    pub(super) fn kernel_line(&self, environment: &[(&str, &str)]) -> String {
        let per_node = |pages: fn(&Node) -> u32| {
            let nodes = self.nodes.iter().enumerate();
            let pages = nodes.map(|(id, node)| format!("{id}:{}", pages(node)));
            pages.collect::<Vec<_>>().join(",")
        };
        let mut words: Vec<String> = KERNEL.iter().copied().map(str::to_owned).collect();
        words.push(format!("hugepagesz=1G hugepages={}", per_node(|node| node.gigantic_pages)));
        words.push(format!("hugepagesz=2M hugepages={}", per_node(|_| HUGE_PAGES)));
        words.push(format!("WKSP_VM_MACHINE={}", self.name));
        words.push(format!("WKSP_VM_NODES={}", self.nodes.len()));
        words.extend(environment.iter().map(|(name, value)| format!("{name}={value}")));
        words.join(" ")
    }

    /// Returns what the machine has to say of each node, up to what may differ.
    pub(super) fn self_description(&self) -> Vec<String> {
        let list = |numbers: &[u32]| {
            let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
            numbers.join(" ")
        };
        let nodes = self.nodes.iter().enumerate().map(|(id, node)| {
            let cpus = if node.cpus.is_empty() { "none".to_owned() } else { list(node.cpus) };
            let (distances, gigantic) = (list(node.distances), node.gigantic_pages);
            format!(
                "node {id}: cpus {cpus}; distances {distances}; \
                 pages {HUGE_PAGES} huge, {gigantic} gigantic;"
            )
        });
        nodes.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> &'static Machine {
        MACHINES.iter().find(|machine| machine.name == name).unwrap()
    }

    #[test]
    fn machines_are_what_the_tests_need() {
        for Machine { name, nodes, .. } in MACHINES {
            let mut cpus: Vec<u32> = nodes.iter().flat_map(|node| node.cpus).copied().collect();
            cpus.sort_unstable();
            assert!(cpus.iter().zip(0..).all(|(cpu, at)| *cpu == at), "{name}: {cpus:?}");
            for (from, node) in nodes.iter().enumerate() {
                assert_eq!(node.distances.len(), nodes.len(), "{name}");
                let taken_gib = if from == 0 { 3 } else { 1 };
                assert!(node.memory_gib > taken_gib + node.gigantic_pages, "{name}");
                for (to, distance) in node.distances.iter().enumerate() {
                    assert_eq!(*distance == 10, from == to, "{name}");
                    assert_eq!(*distance, nodes[to].distances[from], "{name}");
                }
            }
            // Regions of eight parts are spread over all nodes, and something is to remain.
            let enough = 8 / u32::try_from(nodes.len()).unwrap() + 1;
            assert!(nodes.iter().all(|node| node.gigantic_pages >= enough), "{name}");
        }
        let node_counts = MACHINES.iter().map(|machine| machine.nodes.len());
        assert_eq!(node_counts.collect::<Vec<_>>(), [2, 4]);
        let without_cpu = MACHINES.iter().flat_map(|machine| machine.nodes);
        assert_eq!(without_cpu.filter(|node| node.cpus.is_empty()).count(), 1);
    }

    #[test]
    fn qemu_is_told_of_each_node() {
        let arguments = named("four").arguments().join(" ");
        for expected in [
            "-smp 4,sockets=4 -m 22G",
            "-object memory-backend-ram,id=memory0,size=7G -numa node,nodeid=0,memdev=memory0,cpus=0,cpus=1",
            "-numa node,nodeid=2,memdev=memory2,cpus=3 ",
            "-numa node,nodeid=3,memdev=memory3 ",
            "-numa dist,src=3,dst=2,val=17",
        ] {
            assert!(arguments.contains(expected), "{expected} is not in {arguments}");
        }
    }

    #[test]
    fn the_kernel_is_told_of_its_pages_and_the_first_process_of_the_machine() {
        let line = named("two").kernel_line(&[("WKSP_X", "1")]);
        let expected = "hugepagesz=1G hugepages=0:5,1:5 hugepagesz=2M hugepages=0:64,1:64 \
                        WKSP_VM_MACHINE=two WKSP_VM_NODES=2 WKSP_X=1";
        assert!(line.ends_with(expected), "{line}");
        // The kernel takes no more than 2048 bytes and 32 variables, and panics beyond the latter.
        assert!(line.len() < 1024);
    }

    #[test]
    fn a_node_without_cpus_is_described_as_such() {
        let lines = named("four").self_description();
        let expected = "node 3: cpus none; distances 28 28 17 10; pages 64 huge, 3 gigantic;";
        assert_eq!(lines.last().map(String::as_str), Some(expected));
        assert!(lines[0].starts_with("node 0: cpus 0 1; distances 10 16 24 28;"));
    }
}
