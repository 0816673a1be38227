//! Every rule of the layout, broken by hand one at a time: the checker must name the right one.

mod records;
mod treaps;

use wksp_testkit::golden;
use wksp_testkit::image::{Header, Lock, NIL, Record, Violation, check, field, record_offset};

/// A copy of a golden image at rest, and ways to scribble on it.
struct Victim {
    image: Vec<u8>,
}

impl Victim {
    fn new(case: &str) -> Self {
        let golden = golden::require();
        let image = golden.image(golden.case(case));
        check(&image, Lock::MustBeFree).unwrap();
        Self { image }
    }

    fn header(&self) -> Header {
        Header::read(&self.image).unwrap()
    }

    fn record(&self, index: u32) -> Record {
        Record::read(&self.image, index).unwrap()
    }

    fn set32(&mut self, at: usize, word: u32) {
        self.image[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }

    fn set64(&mut self, at: usize, word: u64) {
        self.image[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }

    fn link(&mut self, index: u32, field: usize, word: u32) {
        self.set32(record_offset(index) + field, word);
    }

    fn word(&mut self, index: u32, field: usize, word: u64) {
        self.set64(record_offset(index) + field, word);
    }

    fn prio(&mut self, index: u32, prio: u32) {
        self.link(index, field::RECORD_HEAP_PRIO, prio);
    }

    /// The first record, in index order, that satisfies `wanted`.
    fn find(&self, wanted: impl Fn(&Record) -> bool) -> u32 {
        let count = u32::try_from(self.header().part_max).unwrap();
        let matching = |index: &u32| wanted(&self.record(*index));
        (0..count).find(matching).expect("the golden image has such a record")
    }

    /// The partitions in list order as (index, record).
    fn list(&self) -> Vec<(u32, Record)> {
        let listing = check(&self.image, Lock::MustBeFree).unwrap();
        let indices = listing.partitions.iter().map(|partition| partition.index);
        indices.map(|index| (index, self.record(index))).collect()
    }

    #[track_caller]
    fn violations(&self) -> Vec<Violation> {
        check(&self.image, Lock::MustBeFree).unwrap_err()
    }

    #[track_caller]
    fn breaks_only(&self, expected: Violation) {
        assert_eq!(self.violations(), [expected]);
    }

    #[track_caller]
    fn breaks(&self, expected: Violation) {
        let found = self.violations();
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(found.contains(&expected), "wanted {expected}, found {shown:#?}");
    }
}

/// Whether a record is a used partition with both children.
fn inner_used(record: &Record) -> bool {
    record.tag != 0 && record.left != NIL && record.right != NIL && record.parent != NIL
}

/// Whether a record is a node of the free treap with both children.
fn inner_free(record: &Record) -> bool {
    free_node(record) && record.left != NIL && record.right != NIL && record.parent != NIL
}

fn free_node(record: &Record) -> bool {
    record.tag == 0 && record.gaddr_hi != 0 && !record.in_same
}

fn same_member(record: &Record) -> bool {
    record.in_same && record.same != NIL
}
