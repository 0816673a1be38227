//! The partition list as it stands, with what is wrong in it.

use wksp_core::{Geometry, Listed, PartitionIndex, Salvage};
use wksp_shmem::ProcessParty;

/// The rows of a partition list, and how many errors there are.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) rows: Vec<Row>,
    pub(super) used: Sum,
    pub(super) free: Sum,
    pub(super) error_count: u64,
}

/// A record of the list.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) listed: Listed,
    /// A link from it or to it leads elsewhere than the list does.
    pub(super) has_link_error: bool,
    /// It does not begin where the one before it ends, or is the last and does not end with the data.
    pub(super) has_adjacency_error: bool,
    /// It is empty, or reaches out of the data.
    pub(super) has_size_error: bool,
}

/// A number of partitions and their bytes.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) largest_bytes: u64,
}

impl Row {
    /// Its bytes; wrapping, as C has it.
    pub(super) const fn bytes(&self) -> u64 {
        self.listed.hi.wrapping_sub(self.listed.lo)
    }

    fn error_count(&self) -> u64 {
        let Self { has_link_error, has_adjacency_error, has_size_error, .. } = *self;
        [has_link_error, has_adjacency_error, has_size_error].into_iter().map(u64::from).sum()
    }
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.largest_bytes = self.largest_bytes.max(bytes);
    }
}

impl Listing {
    /// Goes through the list, and lists no record twice.
    pub(super) fn new(salvage: &Salvage<'_, '_, ProcessParty>) -> Self {
        let geometry = *salvage.workspace().geometry();
        let mut listing = Self::default();
        let mut is_listed = vec![false; usize::try_from(geometry.part_max()).unwrap_or(0)];
        let mut before: Option<PartitionIndex> = None;
        let mut begins = geometry.data().lo().get();
        // A list without an end is as wrong as one that ends too early.
        let mut is_whole = true;
        for listed in salvage.listed() {
            let seen = listed.ok().and_then(|listed| {
                let at = usize::try_from(listed.index.get()).ok()?;
                Some((listed, is_listed.get_mut(at).filter(|is_listed| !**is_listed)?))
            });
            let Some((listed, is_listed)) = seen else {
                is_whole = false;
                break;
            };
            *is_listed = true;
            let row = Row::new(listed, before, begins, &geometry);
            listing.add_up(&row);
            (before, begins) = (Some(listed.index), listed.hi);
            listing.rows.push(row);
        }
        listing.end(is_whole && salvage.listed_tail() == before, geometry.data().hi().get());
        listing
    }

    fn add_up(&mut self, row: &Row) {
        if row.has_size_error {
            return;
        }
        if row.listed.tag.is_some() {
            self.used.add(row.bytes());
        } else {
            self.free.add(row.bytes());
        }
    }

    /// Looks at the last row, and counts.
    fn end(&mut self, is_linked: bool, data_hi: u64) {
        match self.rows.last_mut() {
            Some(last) => {
                last.has_link_error |= !is_linked;
                last.has_adjacency_error |= last.listed.hi != data_hi;
                self.error_count = self.rows.iter().map(Row::error_count).sum();
            }
            // All of the data is covered by something, so there is a row.
            None => self.error_count = 1,
        }
    }
}

impl Row {
    fn new(
        listed: Listed,
        before: Option<PartitionIndex>,
        begins: u64,
        geometry: &Geometry,
    ) -> Self {
        let data = geometry.data();
        Self {
            listed,
            has_link_error: listed.prev != before,
            has_adjacency_error: listed.lo != begins,
            has_size_error: listed.lo >= listed.hi
                || listed.lo < data.lo().get()
                || listed.hi > data.hi().get(),
        }
    }
}
