//! The used treap and the free treap with its lists of equal sizes.

use super::check::Walker;
use super::layout::{NIL, Record};
use super::violation::{Link, Tree, Violation};

/// Checks that the used treap holds every used partition once, ordered by address.
pub(super) fn check_used(walker: &mut Walker) {
    let mut seen = vec![false; walker.record_count()];
    let order = walk(walker, Tree::Used, &mut seen);
    for &(index, record) in &order {
        if record.same != NIL {
            walker.report(Violation::UsedSame { index, same: record.same });
        }
    }
    check_order(walker, Tree::Used, &order, |before, after| before.gaddr_hi <= after.gaddr_lo);
    walker.report_missing(Tree::Used, &seen);
}

/// Checks that the free treap and its lists hold every free partition once, ordered by size.
pub(super) fn check_free(walker: &mut Walker) {
    let mut seen = vec![false; walker.record_count()];
    let order = walk(walker, Tree::Free, &mut seen);
    check_order(walker, Tree::Free, &order, |before, after| {
        before.size_bytes() < after.size_bytes()
    });
    for (index, record) in order {
        walk_same(walker, index, record, &mut seen);
    }
    walker.report_missing(Tree::Free, &seen);
}

/// Walks a treap in key order, checking links, heap property and membership on the way.
///
/// A link that leads nowhere or back is reported and treated as NIL, so each record is visited at
/// most once and the walk ends.
fn walk(walker: &mut Walker, tree: Tree, seen: &mut [bool]) -> Vec<(u32, Record)> {
    let root = match tree {
        Tree::Used => (Link::Header("used_root"), walker.header().used_root),
        Tree::Free => (Link::Header("free_root"), walker.header().free_root),
    };
    let mut order = Vec::new();
    let mut path: Vec<(u32, Record)> = Vec::new();
    let mut current = enter(walker, tree, root, None, seen);
    loop {
        while let Some(node) = current {
            path.push(node);
            let left = (Link::Record(node.0, "left"), node.1.left);
            current = enter(walker, tree, left, Some(node), seen);
        }
        let Some(node) = path.pop() else { return order };
        order.push(node);
        let right = (Link::Record(node.0, "right"), node.1.right);
        current = enter(walker, tree, right, Some(node), seen);
    }
}

fn enter(
    walker: &mut Walker,
    tree: Tree,
    link: (Link, u32),
    parent: Option<(u32, Record)>,
    seen: &mut [bool],
) -> Option<(u32, Record)> {
    let (index, record) = walker.follow(link.0, link.1, seen)?;
    let expected = parent.map_or(NIL, |(parent, _)| parent);
    if record.parent != expected {
        walker.report(Violation::Parent { tree, index, expected, found: record.parent });
    }
    if let Some((parent, above)) = parent
        && above.heap_prio < record.heap_prio
    {
        walker.report(Violation::Heap { tree, parent, child: index });
    }
    if record.in_same {
        walker.report(Violation::InSame { tree, index, found: true });
    }
    check_member(walker, tree, index, &record);
    Some((index, record))
}

fn check_member(walker: &mut Walker, tree: Tree, index: u32, record: &Record) {
    let right_tag = (record.tag == 0) == (tree == Tree::Free);
    if !right_tag || !walker.is_listed(index) {
        walker.report(Violation::Foreign { tree, index });
    }
}

fn check_order(
    walker: &mut Walker,
    tree: Tree,
    order: &[(u32, Record)],
    sorted: impl Fn(&Record, &Record) -> bool,
) {
    for ((before, left), (after, right)) in order.iter().zip(order.iter().skip(1)) {
        if !sorted(left, right) {
            walker.report(Violation::Order { tree, before: *before, after: *after });
        }
    }
}

fn walk_same(walker: &mut Walker, node: u32, node_record: Record, seen: &mut [bool]) {
    let tree = Tree::Free;
    let expected_size = node_record.size_bytes();
    let mut before = node;
    let mut link = (Link::Record(node, "same"), node_record.same);
    while let Some((index, record)) = walker.follow(link.0, link.1, seen) {
        check_member(walker, tree, index, &record);
        if !record.in_same {
            walker.report(Violation::InSame { tree, index, found: false });
        }
        if record.left != NIL || record.right != NIL {
            walker.report(Violation::SameChild { index });
        }
        if record.parent != before {
            walker.report(Violation::Parent {
                tree,
                index,
                expected: before,
                found: record.parent,
            });
        }
        if record.size_bytes() != expected_size {
            walker.report(Violation::SameSize {
                index,
                expected: expected_size,
                found: record.size_bytes(),
            });
        }
        before = index;
        link = (Link::Record(index, "same"), record.same);
    }
}
