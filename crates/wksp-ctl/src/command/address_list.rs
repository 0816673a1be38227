//! Allocations as the report of what was done to them.

use std::fmt;

use serde::Serialize;

use crate::plural::Plural;
use crate::summary::AllocationSummary;

/// What was done, to which allocations.
#[derive(Debug, Serialize)]
pub(super) struct AddressList {
    /// The participle, for people.
    #[serde(skip)]
    pub(super) done: &'static str,
    pub(super) allocations: Vec<AllocationSummary>,
}

impl fmt::Display for AddressList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.allocations.iter().try_for_each(|allocation| {
            let AllocationSummary { address, bytes, tag, .. } = allocation;
            let bytes = Plural(*bytes, "byte");
            writeln!(f, "{} {address}: {bytes}, tag {tag}", self.done)
        })
    }
}
