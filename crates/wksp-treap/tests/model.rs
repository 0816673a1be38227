//! Both treaps against ordered maps, and each way in which links can be wrong.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]
#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use wksp_treap::{
    Damage, Found, FreeTreap, Gaddr, GaddrRange, Link, LinkCell, PartitionIndex, PartitionRecord,
    Table, Tag, TreapFault, UsedTreap,
};

const RECORDS: usize = 40;

fn at(index: usize) -> PartitionIndex {
    link(index).unwrap()
}

fn link(index: usize) -> Link {
    PartitionIndex::new(u32::try_from(index).unwrap())
}

/// Records of which number i covers [1000 i + 1, 1000 i + 1 + bytes).
fn records(prios: &[u32]) -> Vec<PartitionRecord> {
    let records: Vec<_> = prios.iter().map(|_| PartitionRecord::default()).collect();
    for (record, prio) in records.iter().zip(prios) {
        record.make_idle(None);
        record.set_heap_prio(*prio);
    }
    records
}

fn range(index: usize, bytes: u64) -> GaddrRange {
    let lo = 1000 * index as u64 + 1;
    GaddrRange::new(lo, lo + bytes).unwrap()
}

fn faults_of_used(treap: UsedTreap<'_>) -> (Vec<usize>, Vec<TreapFault>) {
    let (mut visited, mut faults) = (Vec::new(), Vec::new());
    treap.inspect(|index, _| visited.push(index.get() as usize), |fault| faults.push(fault));
    (visited, faults)
}

fn faults_of_free(treap: FreeTreap<'_>) -> (Vec<usize>, Vec<TreapFault>) {
    let (mut visited, mut faults) = (Vec::new(), Vec::new());
    treap.inspect(|index, _| visited.push(index.get() as usize), |fault| faults.push(fault));
    (visited, faults)
}

/// The node of an index, whether in the tree or in a list of its size.
fn bytes_of(table: Table<'_>, index: PartitionIndex) -> u64 {
    table.get(index).unwrap().range().unwrap().bytes()
}

proptest! {
    #[test]
    fn the_free_treap_finds_what_a_map_finds(
        prios in prop::collection::vec(0_u32..8, RECORDS),
        steps in prop::collection::vec((0..RECORDS, 1_u64..12, 0_u64..14, 0..RECORDS), 1..300),
    ) {
        let records = records(&prios);
        let (table, root) = (Table::new(&records), LinkCell::default());
        let treap = FreeTreap::new(table, &root);
        let mut model: BTreeSet<(u64, usize)> = BTreeSet::new();
        let mut bytes_at = [None; RECORDS];
        for (index, bytes, wanted, near) in steps {
            match bytes_at[index].take() {
                // What is there gets another size, or goes.
                Some(old) if wanted % 2 == 0 => {
                    treap.resize(at(index), range(index, bytes), link(near)).unwrap();
                    model.remove(&(old, index));
                    model.insert((bytes, index));
                    bytes_at[index] = Some(bytes);
                }
                Some(old) => {
                    treap.remove(at(index)).unwrap();
                    model.remove(&(old, index));
                    let record = table.get(at(index)).unwrap();
                    let links = [record.left(), record.right(), record.parent(), record.same()];
                    prop_assert!(links.iter().all(Option::is_none) && !record.in_same());
                }
                None => {
                    table.get(at(index)).unwrap().set_range(range(index, bytes));
                    treap.insert(at(index), link(near)).unwrap();
                    model.insert((bytes, index));
                    bytes_at[index] = Some(bytes);
                }
            }
            let found = treap.smallest_at_least(wanted, link(near)).unwrap();
            let expected = model.range((wanted, 0)..).next();
            prop_assert_eq!(found.map(|i| bytes_of(table, i)), expected.map(|(bytes, _)| *bytes));
            let largest = treap.largest().unwrap().map(|i| bytes_of(table, i));
            prop_assert_eq!(largest, model.last().map(|(bytes, _)| *bytes));
            let (mut visited, faults) = faults_of_free(treap);
            prop_assert_eq!(faults, []);
            visited.sort_unstable();
            let mut expected: Vec<_> = model.iter().map(|(_, index)| *index).collect();
            expected.sort_unstable();
            prop_assert_eq!(visited, expected);
            // No record has lost the priority it was given.
            for (record, prio) in records.iter().zip(&prios) {
                prop_assert_eq!(record.heap_prio(), *prio);
            }
        }
    }

    #[test]
    fn the_used_treap_finds_what_a_map_finds(
        prios in prop::collection::vec(0_u32..8, RECORDS),
        steps in prop::collection::vec((0..RECORDS, 1_u64..1000, 0_u64..40_000), 1..300),
    ) {
        let records = records(&prios);
        let (table, root) = (Table::new(&records), LinkCell::default());
        let treap = UsedTreap::new(table, &root);
        let mut model: BTreeMap<usize, u64> = BTreeMap::new();
        for (index, bytes, probe) in steps {
            let record = table.get(at(index)).unwrap();
            if model.remove(&index).is_some() {
                treap.remove(at(index)).unwrap();
                record.commit_tag(None);
            } else {
                record.set_range(range(index, bytes));
                let below = model.range(..index).next_back().map(|(index, _)| at(*index));
                let above = model.range(index..).next().map(|(index, _)| at(*index));
                treap.insert_between(at(index), below, above).unwrap();
                record.commit_tag(Tag::new(9));
                model.insert(index, bytes);
            }
            let (of, offset) = ((probe / 1000) as usize, probe % 1000);
            let is_used = model.get(&of).is_some_and(|bytes| offset < *bytes);
            let expected = if is_used {
                Found::At(at(of))
            } else {
                let below = model.range(..=of).next_back().map(|(index, _)| at(*index));
                let above = model.range(of + 1..).next().map(|(index, _)| at(*index));
                Found::Between { below, above }
            };
            prop_assert_eq!(treap.find(Gaddr::new(probe + 1).unwrap()).unwrap(), expected);
            let (visited, faults) = faults_of_used(treap);
            prop_assert_eq!(faults, []);
            prop_assert_eq!(visited, model.keys().copied().collect::<Vec<_>>());
        }
    }
}

/// Five free partitions: one of 10 bytes, three of 20, one of 30, with number 1 at the root.
fn five(root: &LinkCell) -> Vec<PartitionRecord> {
    let records = records(&[1, 5, 2, 3, 4]);
    let treap = FreeTreap::new(Table::new(&records), root);
    for (index, bytes) in [(0, 10), (1, 20), (2, 20), (3, 20), (4, 30)] {
        records[index].set_range(range(index, bytes));
        treap.insert(at(index), None).unwrap();
    }
    assert_eq!(root.get(), link(1));
    assert_eq!(faults_of_free(treap), (vec![0, 1, 3, 2, 4], vec![]));
    records
}

#[test]
fn each_fault_of_the_free_treap_is_told() {
    let expect = |damage: &dyn Fn(&[PartitionRecord], &LinkCell), expected: &[TreapFault]| {
        let root = LinkCell::default();
        let records = five(&root);
        damage(&records, &root);
        let (_, faults) = faults_of_free(FreeTreap::new(Table::new(&records), &root));
        assert_eq!(faults, expected);
    };
    let out_of_range = Damage::IndexOutOfRange { index: 5, part_max: 5 };
    expect(&|_, root| root.set(link(5)), &[TreapFault::Damage(out_of_range)]);
    expect(
        &|_, root| root.set(link(0)),
        &[TreapFault::Damage(Damage::WrongRoot { expected: at(0) })],
    );
    expect(&|r, _| r[4].set_heap_prio(6), &[TreapFault::HeapOrder { parent: at(1), child: at(4) }]);
    for bytes in [20, 21] {
        expect(&|r, _| r[0].set_range(range(0, bytes)), &[TreapFault::OutOfOrder { index: at(1) }]);
    }
    expect(&|r, _| r[2].set_range(range(2, 21)), &[TreapFault::BadSame { index: at(2) }]);
    expect(&|r, _| r[3].set_heap_prio(1), &[TreapFault::BadSame { index: at(3) }]);
    expect(
        &|r, _| r[4].commit_tag(Tag::new(1)),
        &[TreapFault::Damage(Damage::WrongState { index: at(4) })],
    );
    expect(&|r, _| r[3].clear_tree_links(), &[TreapFault::BadSame { index: at(3) }]);
    expect(
        &|r, _| r[0].clear_tree_links(),
        &[TreapFault::Damage(Damage::BrokenLink { from: at(1), to: at(0) })],
    );
}

#[test]
fn a_node_is_not_removed_in_favour_of_one_that_does_not_hang_off_it() {
    let root = LinkCell::default();
    let records = five(&root);
    // This also says that it hangs off nothing; its parent still is what it was.
    records[3].set_heap_prio(1);
    let removed = FreeTreap::new(Table::new(&records), &root).remove(at(1));
    assert_eq!(removed, Err(Damage::BrokenLink { from: at(1), to: at(3) }));
}

#[test]
fn each_fault_of_the_used_treap_is_told() {
    let expect = |damage: &dyn Fn(&[PartitionRecord]), expected: &[TreapFault]| {
        let root = LinkCell::default();
        let records = records(&[2, 3, 1]);
        let treap = UsedTreap::new(Table::new(&records), &root);
        for (index, record) in records.iter().enumerate() {
            record.set_range(range(index, 10));
            treap.insert_between(at(index), index.checked_sub(1).map(at), None).unwrap();
            record.commit_tag(Tag::new(1));
        }
        damage(&records);
        assert_eq!(faults_of_used(treap), (vec![0, 1, 2], expected.to_vec()));
    };
    // Neighbours may touch, but not overlap, whichever is larger.
    expect(&|r| r[0].set_range(range(0, 1000)), &[]);
    let out_of_order = TreapFault::OutOfOrder { index: at(1) };
    expect(&|r| r[0].set_range(range(0, 1001)), &[out_of_order]);
    expect(&|r| r[0].set_range(range(0, 1500)), &[out_of_order]);
    let untagged = TreapFault::Damage(Damage::WrongState { index: at(2) });
    expect(&|r| r[2].commit_tag(None), &[untagged]);
    expect(&|r| r[0].set_heap_prio(4), &[TreapFault::HeapOrder { parent: at(1), child: at(0) }]);

    // The first of several free ones of a size has a list, without being in one.
    let root = LinkCell::default();
    let records = records(&[1, 1]);
    let free = FreeTreap::new(Table::new(&records), &root);
    for (index, record) in records.iter().enumerate() {
        record.set_range(range(index, 10));
        free.insert(at(index), None).unwrap();
    }
    records.iter().for_each(|record| record.commit_tag(Tag::new(1)));
    let (_, faults) = faults_of_used(UsedTreap::new(Table::new(&records), &root));
    assert_eq!(faults, [TreapFault::StraySame { index: at(0) }]);
}

#[test]
fn what_is_used_is_no_part_of_the_free_treap_and_neighbours_must_be_neighbours() {
    let root = LinkCell::default();
    let records = records(&[1; 4]);
    let table = Table::new(&records);
    let (used, free) = (UsedTreap::new(table, &root), FreeTreap::new(table, &root));
    for (index, record) in records.iter().enumerate().take(3) {
        record.set_range(range(index, 10));
        record.commit_tag(Tag::new(1));
        used.insert_between(at(index), index.checked_sub(1).map(at), None).unwrap();
    }
    assert_eq!(free.largest(), Err(Damage::WrongState { index: at(0) }));
    assert_eq!(free.smallest_at_least(1, None), Err(Damage::WrongState { index: at(0) }));
    let (_, faults) = faults_of_free(free);
    assert_eq!(faults[0], TreapFault::Damage(Damage::WrongState { index: at(0) }));

    // Behind the first of three comes the second, not the end.
    let wrong = Err(Damage::WrongRoot { expected: at(0) });
    assert_eq!(used.insert_between(at(3), link(0), None), wrong);
    assert_eq!(used.insert_between(at(3), None, None), Err(Damage::WrongRoot { expected: at(3) }));
    records[1].commit_tag(None);
    let gaddr = Gaddr::new(1001).unwrap();
    assert_eq!(used.find(gaddr), Err(Damage::WrongState { index: at(1) }));
    let none = Damage::IndexOutOfRange { index: 4, part_max: 4 };
    assert_eq!(table.get(at(4)).unwrap_err(), none);
}
