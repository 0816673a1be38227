//! What the pages of a region are to be near, as it is typed.

use wksp_shmem::{CpuSequence, Near, NodeIndex, Placement};

use crate::failure::{self, Failure};

/// `--near` and `--near-node` as they were typed.
#[derive(Debug, clap::Args)]
#[group(id = "nearness", multiple = false)]
pub(crate) struct NearArgs {
    /// Deal its pages to the nodes of these CPUs, as evenly as possible: a list like 0,8 or 0-4:2,10.
    #[arg(long, value_name = "CPUS", allow_hyphen_values = true)]
    near: Option<String>,
    /// Deal its pages to these nodes, which need not have CPUs: a list like 0,2-3.
    #[arg(long, value_name = "NODES", allow_hyphen_values = true)]
    near_node: Option<String>,
}

/// What pages are dealt to, in this order, some perhaps more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Nearness {
    Cpus(CpuSequence),
    /// Nodes, which are written like CPUs.
    Nodes(CpuSequence),
}

impl NearArgs {
    /// Checks them; `None` if neither was given.
    pub(crate) fn plan(&self) -> Result<Option<Nearness>, Failure> {
        match (&self.near, &self.near_node) {
            (Some(cpus), _) => Ok(Some(Nearness::Cpus(sequence("--near", cpus)?))),
            (None, Some(nodes)) => Ok(Some(Nearness::Nodes(sequence("--near-node", nodes)?))),
            (None, None) => Ok(None),
        }
    }
}

impl Nearness {
    /// Which page goes to which of them.
    pub(crate) fn deal(&self, page_count: u64) -> Placement {
        match self {
            Self::Cpus(cpus) => Placement::dealt(page_count, cpus),
            Self::Nodes(nodes) => {
                let mut placement = Placement::dealt(page_count, nodes);
                for sub_region in &mut placement.sub_regions {
                    if let Near::Cpu(number) = sub_region.near {
                        sub_region.near = Near::Node(NodeIndex::new(number.get()));
                    }
                }
                placement
            }
        }
    }
}

/// Reads numbers of CPUs or nodes.
fn sequence(option: &str, text: &str) -> Result<CpuSequence, Failure> {
    text.parse().map_err(|error| failure::sequence(option, text, &error))
}

/// Reads numbers of nodes, of which each counts once.
pub(crate) fn nodes(option: &str, texts: &[String]) -> Result<Vec<NodeIndex>, Failure> {
    let mut nodes = Vec::new();
    for text in texts {
        let numbers = sequence(option, text)?;
        nodes.extend(numbers.cpus().iter().map(|number| NodeIndex::new(number.get())));
    }
    nodes.sort_unstable();
    nodes.dedup();
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_dealt_to_like_cpus() {
        let dealt = Nearness::Nodes("3,1-2".parse().unwrap()).deal(7);
        let counts: Vec<_> =
            dealt.sub_regions.iter().map(|s| (s.page_count, s.near.to_string())).collect();
        let expected = [(3, "node 3"), (2, "node 1"), (2, "node 2")];
        assert_eq!(counts, expected.map(|(count, near)| (count, near.to_owned())));
    }

    #[test]
    fn a_node_counts_once() {
        let texts = ["1,0".to_owned(), "0-2".to_owned()];
        let nodes: Vec<u32> =
            nodes("--node", &texts).unwrap().into_iter().map(NodeIndex::get).collect();
        assert_eq!(nodes, [0, 1, 2]);
    }
}
