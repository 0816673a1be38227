//! The partition list as it stands in memory, believed in nothing: for showing damage.

use wksp_treap::{Damage, PartitionIndex, Tag};

use crate::guard::Salvage;
use crate::index::Index;
use crate::lock::Party;

/// A record of the partition list as it was when it was looked at; nothing in it need be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// The position of the record.
    pub index: PartitionIndex,
    /// Its lower bound as stored, in bytes.
    pub lo: u64,
    /// Its upper bound as stored, in bytes.
    pub hi: u64,
    /// Its tag, `None` if it is free.
    pub tag: Option<Tag>,
    /// The record that it says comes before it.
    pub prev: Option<PartitionIndex>,
    /// The record that it says comes behind it.
    pub next: Option<PartitionIndex>,
}

/// Goes through the records of the partition list, wherever its links lead.
///
/// Ends behind a link that leads out of the table, and after as many records as there are: a list
/// that goes round in a ring yields some of them more than once.
#[derive(Clone, Debug)]
pub struct ListedRecords<'m> {
    index: Index<'m>,
    next: Option<PartitionIndex>,
    left: u32,
}

impl Iterator for ListedRecords<'_> {
    type Item = Result<Listed, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.next.take()?;
        self.left = self.left.checked_sub(1)?;
        let record = match self.index.table.get(at) {
            Ok(record) => record,
            Err(damage) => return Some(Err(damage)),
        };
        self.next = record.next();
        let (lo, hi) = record.bounds();
        let (tag, prev) = (record.tag(), record.prev());
        Some(Ok(Listed { index: at, lo, hi, tag, prev, next: self.next }))
    }
}

impl<P: Party> Salvage<'_, '_, P> {
    /// The records of the partition list in its order, believed in nothing.
    #[must_use]
    pub fn listed(&self) -> ListedRecords<'_> {
        let index = self.workspace().index();
        ListedRecords { index, next: index.header.part_head.get(), left: index.table.len() }
    }

    /// The record that the header says ends the partition list.
    #[must_use]
    pub fn listed_tail(&self) -> Option<PartitionIndex> {
        self.workspace().index().header.part_tail.get()
    }
}
