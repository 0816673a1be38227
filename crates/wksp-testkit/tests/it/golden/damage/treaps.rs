//! The used treap, the free treap and its lists of equal sizes.

use wksp_testkit::image::{Lock, NIL, Record, Tree, Violation, check, field};

use super::{Victim, free_node, inner_free, inner_used, same_member};

#[test]
fn treap_roots_have_no_parent() {
    for (tree, root) in [
        (Tree::Used, Victim::new("small").header().used_root),
        (Tree::Free, Victim::new("small").header().free_root),
    ] {
        let mut victim = Victim::new("small");
        victim.link(root, field::RECORD_PARENT, 0);
        victim.breaks_only(Violation::Parent { tree, index: root, expected: NIL, found: 0 });
    }
}

#[test]
fn treap_children_name_their_parent() {
    for (tree, kind) in [(Tree::Used, inner_used as fn(&Record) -> bool), (Tree::Free, inner_free)]
    {
        let mut victim = Victim::new("mixed");
        let node = victim.find(kind);
        let child = victim.record(node).left;
        victim.link(child, field::RECORD_PARENT, NIL);
        victim.breaks_only(Violation::Parent { tree, index: child, expected: node, found: NIL });
    }
}

#[test]
fn treaps_keep_their_order() {
    for (tree, kind) in [(Tree::Used, inner_used as fn(&Record) -> bool), (Tree::Free, inner_free)]
    {
        let mut victim = Victim::new("mixed");
        let node = victim.find(kind);
        let Record { left, right, .. } = victim.record(node);
        victim.link(node, field::RECORD_LEFT, right);
        victim.link(node, field::RECORD_RIGHT, left);
        let wrong = |violation: &Violation| matches!(violation, Violation::Order { tree: found, .. } if *found == tree);
        let violations = victim.violations();
        assert!(!violations.is_empty() && violations.iter().all(wrong), "{violations:?}");
    }
}

#[test]
fn equal_sizes_are_no_two_treap_nodes() {
    // Take a member off its list and hang it below the node as a child of the same size.
    let mut victim = Victim::new("mixed");
    let node = victim.find(|record| free_node(record) && record.same != NIL && record.left == NIL);
    let member = victim.record(node).same;
    let rest = victim.record(member).same;
    victim.link(node, field::RECORD_SAME, rest);
    if rest != NIL {
        victim.link(rest, field::RECORD_PARENT, node);
    }
    victim.link(node, field::RECORD_LEFT, member);
    victim.link(member, field::RECORD_SAME, NIL);
    victim.prio(member, 0);
    victim.breaks_only(Violation::Order { tree: Tree::Free, before: member, after: node });
}

#[test]
fn treaps_keep_the_heap_property() {
    for (tree, kind) in [(Tree::Used, inner_used as fn(&Record) -> bool), (Tree::Free, inner_free)]
    {
        let mut victim = Victim::new("mixed");
        let parent = victim.find(kind);
        let child = victim.record(parent).right;
        let prio = victim.record(parent).heap_prio;
        victim.prio(child, prio + 1);
        victim.breaks_only(Violation::Heap { tree, parent, child });
        victim.prio(child, prio);
        check(&victim.image, Lock::MustBeFree).unwrap();
    }
}

#[test]
fn every_partition_is_in_its_treap() {
    for (tree, kind) in [
        (Tree::Used, (|record| record.tag != 0) as fn(&Record) -> bool),
        (Tree::Free, |record| free_node(record) && record.same == NIL),
    ] {
        let mut victim = Victim::new("mixed");
        let leaf = victim.find(|record| {
            kind(record) && record.left == NIL && record.right == NIL && record.parent != NIL
        });
        let parent = victim.record(leaf).parent;
        let is_left = victim.record(parent).left == leaf;
        victim.link(parent, if is_left { field::RECORD_LEFT } else { field::RECORD_RIGHT }, NIL);
        victim.breaks_only(Violation::Missing { tree, index: leaf });
    }
    let mut victim = Victim::new("mixed");
    let last = victim.find(|record| record.in_same && record.same == NIL);
    let before = victim.record(last).parent;
    victim.link(before, field::RECORD_SAME, NIL);
    victim.breaks_only(Violation::Missing { tree: Tree::Free, index: last });
}

#[test]
fn treaps_hold_their_own_partitions_only() {
    // An idle record as a leaf of either treap, and a used partition in the free treap.
    for (tree, kind) in [
        (Tree::Used, (|record| record.tag != 0 && record.left == NIL) as fn(&Record) -> bool),
        (Tree::Free, |record| free_node(record) && record.left == NIL),
    ] {
        let mut victim = Victim::new("small");
        let idle = victim.header().idle_top;
        let node = victim.find(kind);
        victim.link(node, field::RECORD_LEFT, idle);
        victim.breaks(Violation::Foreign { tree, index: idle });
    }
    let mut victim = Victim::new("small");
    let used = victim.header().used_root;
    let node = victim.find(|record| free_node(record) && record.left == NIL);
    victim.link(node, field::RECORD_LEFT, used);
    victim.breaks(Violation::Foreign { tree: Tree::Free, index: used });
    let mut victim = Victim::new("small");
    let node = victim.find(|record| free_node(record) && record.same == NIL);
    victim.link(node, field::RECORD_SAME, used);
    victim.breaks(Violation::Foreign { tree: Tree::Free, index: used });
}

#[test]
fn used_partitions_have_no_list_of_equal_sizes() {
    let mut victim = Victim::new("small");
    let index = victim.header().used_root;
    victim.link(index, field::RECORD_SAME, 3);
    victim.breaks_only(Violation::UsedSame { index, same: 3 });
    let mut victim = Victim::new("small");
    let prio = victim.record(index).heap_prio;
    victim.prio(index, prio | 1 << 31);
    victim.breaks_only(Violation::InSame { tree: Tree::Used, index, found: true });
}

#[test]
fn lists_of_equal_sizes_are_marked_linked_and_equal() {
    let victim = Victim::new("mixed");
    let member = victim.find(same_member);
    let record = victim.record(member);
    let tree = Tree::Free;

    let mut victim = Victim::new("mixed");
    victim.prio(member, record.heap_prio);
    victim.breaks_only(Violation::InSame { tree, index: member, found: false });

    let mut victim = Victim::new("mixed");
    let root = victim.header().free_root;
    let prio = victim.record(root).heap_prio;
    victim.prio(root, prio | 1 << 31);
    victim.breaks_only(Violation::InSame { tree, index: root, found: true });

    for at in [field::RECORD_LEFT, field::RECORD_RIGHT] {
        let mut victim = Victim::new("mixed");
        victim.link(member, at, root);
        victim.breaks_only(Violation::SameChild { index: member });
    }

    let mut victim = Victim::new("mixed");
    victim.link(record.same, field::RECORD_PARENT, NIL);
    let (expected, found) = (member, NIL);
    victim.breaks_only(Violation::Parent { tree, index: record.same, expected, found });

    let mut victim = Victim::new("mixed");
    victim.word(member, field::RECORD_GADDR_HI, record.gaddr_hi + 1);
    let expected = record.size_bytes();
    victim.breaks(Violation::SameSize { index: member, expected, found: expected + 1 });
}
