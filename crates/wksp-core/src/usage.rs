//! How much of a workspace is used.

use wksp_treap::Tag;

use crate::guard::Guard;
use crate::index::Index;
use crate::lock::Party;

/// A number of partitions and of their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// The number of partitions.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The bytes of the largest one, 0 if there is none.
    pub largest_bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.largest_bytes = self.largest_bytes.max(bytes);
    }
}

/// What the partitions of a workspace add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "fd_wksp_usage_t")]
pub struct Usage {
    /// The number of records: the most partitions there can be.
    pub part_max: u32,
    /// The bytes of the data: used and free.
    pub data_max: u64,
    /// What is allocated.
    pub used: Amount,
    /// What is free.
    pub free: Amount,
    /// What is allocated with the tag that was asked for.
    pub tagged: Amount,
}

impl<P: Party> Guard<'_, '_, P> {
    /// Adds up the partitions, and those with `tag` apart.
    ///
    /// Costs O(m) in the number m of records; the index is not used.
    #[must_use]
    #[doc(alias = "fd_wksp_usage")]
    pub fn usage(&self, tag: Option<Tag>) -> Usage {
        usage(self.index(), tag)
    }
}

/// Adds up the partitions, and those with `tag` apart.
pub(crate) fn usage(index: Index<'_>, tag: Option<Tag>) -> Usage {
    let (mut used, mut free, mut tagged) = <(Amount, Amount, Amount)>::default();
    for (at, record) in index.table.iter() {
        let Ok(range) = index.range(at, record) else { continue };
        match record.tag() {
            None => free.add(range.bytes()),
            Some(found) => {
                used.add(range.bytes());
                if Some(found) == tag {
                    tagged.add(range.bytes());
                }
            }
        }
    }
    Usage { part_max: index.table.len(), data_max: index.data.bytes(), used, free, tagged }
}
