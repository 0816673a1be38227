//! Failures to find out what a machine is made of, and what goes where on it.

use wksp_shmem::{CpuSequenceError, PlanError, TopologyError};

use super::{Failure, Kind};

const LIST: &str = "`wksp-ctl numa` lists the nodes and their CPUs";

/// What is said of a machine that there is no topology of.
pub(crate) fn topology(error: &TopologyError) -> Failure {
    match error {
        TopologyError::Synthetic { description } => Failure::usage(
            format_args!("{description:?} describes no machine"),
            "try `wksp-ctl numa --synthetic \"numa:2 core:4 pu:2\"`; the manual of hwloc has more \
             under \"Synthetic topologies\"",
        ),
        TopologyError::Load { reason } => Failure::new(
            Kind::Failed,
            format_args!("hwloc cannot find out what this machine is made of: {reason}"),
            "`unset HWLOC_XMLFILE HWLOC_SYNTHETIC HWLOC_COMPONENTS`, then see whether `hwloc-ls` can",
        ),
        error => Failure::new(Kind::Failed, error, "see what `hwloc-ls` says"),
    }
}

/// What is said of a list of CPUs or nodes that is none.
pub(crate) fn sequence(option: &str, text: &str, error: &CpuSequenceError) -> Failure {
    let shown: String = text.chars().take(80).collect();
    let example = format!("write a list like `{option} 0-4:2,10,9-11`");
    let (why, remedy) = match error {
        CpuSequenceError::NoNumber { position } => {
            (format!("at byte {position} is no number"), example)
        }
        CpuSequenceError::TooLarge { position } => (
            format!("the number at byte {position} is too large"),
            format!("use numbers below 4294967296; {LIST}"),
        ),
        CpuSequenceError::Unexpected { position } => {
            (format!("at byte {position} is neither a comma nor the end"), example)
        }
        CpuSequenceError::Backward { first, last } => (
            format!("the range {first}-{last} ends before it begins"),
            format!("write `{option} {last}-{first}`"),
        ),
        CpuSequenceError::NoStride { position } => (
            format!("the stride at byte {position} is 0"),
            format!("use 1 or more, as in `{option} 0-8:2`"),
        ),
        CpuSequenceError::TooMany => (
            "it has more than 512 entries".to_owned(),
            format!("name fewer, or every n-th, as in `{option} 0-1022:2`"),
        ),
        error => (error.to_string(), example),
    };
    Failure::usage(format_args!("{shown:?} is no list for {option}: {why}"), remedy)
}

/// What is said of pages that have no place on a machine.
///
/// `numa` is the command that shows the machine.
pub(crate) fn plan(error: &PlanError, numa: &str) -> Failure {
    let list = format!("`{numa}` lists the nodes and their CPUs");
    match error {
        PlanError::Empty { sub_region } => Failure::usage(
            format_args!("sub-region {sub_region} has no pages"),
            "ask for more, as in `--pages 4`, or name fewer CPUs or nodes",
        ),
        PlanError::TooManyPages => Failure::usage(
            "the sub-regions have more than 2^64 pages together",
            "ask for less, as in `--size 1G`",
        ),
        PlanError::NoSuchCpu { cpu } => Failure::new(
            Kind::NotFound,
            format_args!("there is no CPU {cpu}, or this process may not use it"),
            list,
        ),
        PlanError::NoSuchNode { node } => Failure::new(
            Kind::NotFound,
            format_args!("there is no node {node}, or this process may not use it"),
            list,
        ),
        PlanError::NoMemory { node, nearest } => Failure::new(
            Kind::NoRoom,
            format_args!("node {node} has no memory"),
            match nearest {
                Some(nearest) => format!(
                    "say `--near-node {nearest}`, which is the nearest node that has memory"
                ),
                None => format!("name another one by --near-node; {list}"),
            },
        ),
        error => Failure::new(Kind::Failed, error, list),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wksp_shmem::{CpuIndex, NodeIndex};

    #[test]
    fn each_error_has_a_command_as_its_remedy() {
        let (cpu, node) = (CpuIndex::new(7), NodeIndex::new(7));
        let plans = [
            (PlanError::Empty { sub_region: 7 }, Kind::Usage),
            (PlanError::TooManyPages, Kind::Usage),
            (PlanError::NoSuchCpu { cpu }, Kind::NotFound),
            (PlanError::NoSuchNode { node }, Kind::NotFound),
            (PlanError::NoMemory { node, nearest: None }, Kind::NoRoom),
        ];
        for (error, kind) in plans {
            let failure = plan(&error, "wksp-ctl numa");
            assert_eq!(failure.kind, kind, "{failure:?}");
            assert_eq!(failure.remedy.matches('`').count(), 2, "{failure:?}");
            assert!(failure.cause.contains('7') || kind == Kind::Usage, "{failure:?}");
        }
        let nearest = PlanError::NoMemory { node, nearest: Some(NodeIndex::new(3)) };
        assert!(plan(&nearest, "wksp-ctl numa").remedy.contains("`--near-node 3`"));
        let load = topology(&TopologyError::Load { reason: "x".to_owned() });
        assert!(load.cause.contains('x') && load.remedy.contains("`unset "), "{load:?}");
    }
}
