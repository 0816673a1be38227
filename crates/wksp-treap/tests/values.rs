//! Numbers, records and messages by themselves, without a treap.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use wksp_treap::{
    Damage, Gaddr, GaddrRange, Link, PartitionIndex, PartitionRecord, Table, Tag, TreapFault,
};

fn gaddr(number: u64) -> Gaddr {
    Gaddr::new(number).unwrap()
}

fn range(lo: u64, hi: u64) -> GaddrRange {
    GaddrRange::new(lo, hi).unwrap()
}

fn index(number: u32) -> PartitionIndex {
    PartitionIndex::new(number).unwrap()
}

#[test]
fn a_range_holds_its_first_byte_and_not_the_one_behind_its_last() {
    let whole = range(10, 20);
    let held: Vec<u64> = (1..30).filter(|&number| whole.contains(gaddr(number))).collect();
    assert_eq!(held, (10..20).collect::<Vec<_>>());
    for (lo, hi, is_within) in
        [(10, 20, true), (11, 19, true), (9, 20, false), (10, 21, false), (1, 9, false)]
    {
        assert_eq!(whole.encloses(range(lo, hi)), is_within, "[{lo}, {hi})");
    }
    assert!(!whole.encloses(range(21, 30)));
}

#[test]
fn addresses_are_added_to_and_shown() {
    assert_eq!(gaddr(5).checked_add(7), Some(gaddr(12)));
    assert_eq!(gaddr(5).checked_add(u64::MAX), None);
    assert_eq!(gaddr(5).to_string(), "5");
    assert_eq!(range(5, 9).to_string(), "[5, 9)");
    assert_eq!(index(3).to_string(), "3");
    let tag = Tag::new(8).unwrap();
    assert_eq!((tag.get(), tag.to_string()), (8, "8".to_owned()));
}

#[test]
fn a_record_keeps_its_links_until_it_is_idle() {
    let record = PartitionRecord::default();
    let links = |record: &PartitionRecord| -> [Link; 3] {
        [record.prev(), record.next(), record.scratch()]
    };
    record.set_range(range(64, 128));
    record.set_neighbours(Some(index(1)), Some(index(2)));
    record.set_scratch(Some(index(3)));
    assert_eq!(links(&record), [Some(index(1)), Some(index(2)), Some(index(3))]);
    record.set_prev(Some(index(4)));
    record.set_next(Some(index(5)));
    assert_eq!(links(&record), [Some(index(4)), Some(index(5)), Some(index(3))]);
    assert!(!record.is_unlinked());
    record.make_idle(Some(index(6)));
    assert_eq!((record.bounds(), record.parent()), ((0, 0), Some(index(6))));
    assert!(record.is_unlinked(), "the next idle one and scratch do not count");
    for [prev, next] in [[Some(index(0)), None], [None, Some(index(u32::MAX - 1))]] {
        record.set_neighbours(prev, next);
        assert!(!record.is_unlinked());
    }
    record.set_neighbours(None, None);
    assert_eq!(links(&record), [None, None, Some(index(3))]);

    record.set_range(range(64, 128));
    record.commit_tag(Tag::new(9));
    record.set_heap_prio(7);
    record.clear();
    assert_eq!((record.bounds(), record.tag(), record.heap_prio()), ((0, 0), None, 0));
    assert_eq!((links(&record), record.parent()), ([None; 3], None));
}

#[test]
fn a_table_without_records_is_empty() {
    assert!(Table::new(&[]).is_empty());
    assert!(!Table::new(&[PartitionRecord::default()]).is_empty());
}

#[test]
fn damage_says_what_is_wrong() {
    let out_of_range = Damage::IndexOutOfRange { index: 77, part_max: 40 }.to_string();
    assert!(out_of_range.contains("77") && out_of_range.contains("40"), "{out_of_range}");
    let fault = TreapFault::Damage(Damage::WrongRoot { expected: index(55) }).to_string();
    assert!(fault.contains("55"), "{fault}");
}
