//! What `show --json` says of the allocations.

use serde_json::Value;

use crate::bench::Bench;

/// An allocation as `show` lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) lo: u64,
    pub(crate) hi: u64,
    pub(crate) tag: u64,
}

/// The allocations of a document of `show`, having checked that all partitions tile the data.
pub(crate) fn allocations(shown: &Value) -> Vec<Shown> {
    let workspace = &shown["workspace"];
    let mut expected_lo = workspace["gaddr_lo"].as_u64().unwrap();
    let mut found = Vec::new();
    for partition in shown["partitions"].as_array().unwrap() {
        let field = |name: &str| partition[name].as_u64().unwrap();
        let (lo, hi) = (field("gaddr_lo"), field("gaddr_hi"));
        assert_eq!((lo, field("bytes")), (expected_lo, hi - lo), "{partition}");
        assert!(field("record") < workspace["part_max"].as_u64().unwrap());
        expected_lo = hi;
        if let Some(tag) = partition["tag"].as_str() {
            found.push(Shown { lo, hi, tag: tag.parse().unwrap() });
        }
    }
    assert_eq!(Some(expected_lo), workspace["gaddr_hi"].as_u64());
    assert_eq!(shown["totals"]["used"]["count"], found.len());
    found
}

/// The allocations of a workspace.
pub(crate) fn show(bench: &Bench, name: &str) -> Vec<Shown> {
    allocations(&bench.json(["show", name]))
}
