//! Header, idle stack, partition list, counts, and the truth alone.

use wksp_testkit::image::{Header, Link, Lock, NIL, Tree, Violation, check, field, truth};

use super::{Victim, inner_free, inner_used, same_member};

#[test]
fn header_geometry() {
    type Expect = fn(&Header) -> Violation;
    let cases: [(usize, u64, Expect); 7] = [
        (field::HEADER_MAGIC, 0, |_| Violation::Magic { found: 0 }),
        (field::HEADER_PART_MAX, 0, |_| Violation::PartMax { found: 0 }),
        (field::HEADER_PART_MAX, 1 << 32, |_| Violation::PartMax { found: 1 << 32 }),
        (field::HEADER_DATA_MAX, 0, |_| Violation::DataMax),
        (field::HEADER_DATA_MAX, u64::MAX, |header| Violation::GaddrHi {
            expected: u64::MAX,
            found: header.gaddr_hi,
        }),
        (field::HEADER_GADDR_LO, 128, |header| Violation::GaddrLo {
            expected: 128 + 64 * header.part_max,
            found: 128,
        }),
        (field::HEADER_GADDR_HI, 5, |header| Violation::GaddrHi {
            expected: header.gaddr_lo + header.data_max,
            found: 5,
        }),
    ];
    for (at, word, expect) in cases {
        let mut victim = Victim::new("small");
        let expected = expect(&victim.header());
        victim.set64(at, word);
        victim.breaks(expected);
        assert!(truth(&victim.image).unwrap_err().contains(&expected));
    }
}

#[test]
fn image_shorter_than_its_footprint() {
    let mut victim = Victim::new("small");
    let needed = victim.image.len() as u64;
    victim.image.pop();
    victim.breaks_only(Violation::TooShort { needed, found: needed - 1 });
    victim.image.truncate(127);
    victim.breaks_only(Violation::TooShort { needed: 128, found: 127 });
}

#[test]
fn name_is_terminated_padded_and_legal() {
    for (offset, byte) in [(39, b'a'), (20, b'x'), (0, 0), (1, b'/'), (0, b'.')] {
        let mut victim = Victim::new("small");
        victim.image[field::HEADER_NAME + offset] = byte;
        victim.breaks_only(Violation::Name);
    }
    let mut victim = Victim::new("many");
    victim.image[field::HEADER_NAME + 39] = b'a';
    victim.breaks_only(Violation::Name);
}

#[test]
fn header_padding_cycle_tag_and_owner() {
    let mut victim = Victim::new("small");
    victim.set64(field::HEADER_ZERO, 1);
    victim.breaks_only(Violation::HeaderPadding { found: 1 });

    let mut victim = Victim::new("small");
    victim.set64(field::HEADER_CYCLE_TAG, 3);
    victim.breaks_only(Violation::CycleTag { found: 3 });

    for owner in [0, 1] {
        let mut victim = Victim::new("small");
        victim.set64(field::HEADER_OWNER, owner);
        victim.breaks_only(Violation::Owner { found: owner });
    }
}

#[test]
fn links_of_the_header_stay_in_the_table() {
    for (at, name) in [
        (field::HEADER_IDLE_TOP, "idle_top"),
        (field::HEADER_PART_HEAD, "part_head"),
        (field::HEADER_USED_ROOT, "used_root"),
        (field::HEADER_FREE_ROOT, "free_root"),
    ] {
        let mut victim = Victim::new("small");
        victim.set32(at, 40);
        victim.breaks(Violation::IndexOutOfRange { link: Link::Header(name), index: 40 });
    }
    let mut victim = Victim::new("small");
    let expected = victim.header().part_tail;
    victim.set32(field::HEADER_PART_TAIL, 40);
    victim.breaks_only(Violation::PartTail { expected, found: 40 });
    victim.set32(field::HEADER_PART_TAIL, NIL);
    victim.breaks_only(Violation::PartTail { expected, found: NIL });
}

#[test]
fn links_of_records_stay_in_the_table() {
    let victim = Victim::new("mixed");
    let idle = victim.header().idle_top;
    let head = victim.header().part_head;
    let node = victim.find(inner_used);
    let free = victim.find(inner_free);
    let same = victim.find(same_member);
    for (index, at, name) in [
        (idle, field::RECORD_PARENT, "parent"),
        (head, field::RECORD_NEXT, "next"),
        (node, field::RECORD_LEFT, "left"),
        (node, field::RECORD_RIGHT, "right"),
        (free, field::RECORD_LEFT, "left"),
        (free, field::RECORD_RIGHT, "right"),
        (same, field::RECORD_SAME, "same"),
    ] {
        let mut victim = Victim::new("mixed");
        victim.link(index, at, 2000);
        victim.breaks(Violation::IndexOutOfRange { link: Link::Record(index, name), index: 2000 });
    }
}

#[test]
fn cycles_are_cut() {
    let victim = Victim::new("mixed");
    let idle = victim.header().idle_top;
    let head = victim.header().part_head;
    let node = victim.find(inner_used);
    let same = victim.find(same_member);
    for (index, at, name) in [
        (idle, field::RECORD_PARENT, "parent"),
        (head, field::RECORD_NEXT, "next"),
        (node, field::RECORD_LEFT, "left"),
        (node, field::RECORD_RIGHT, "right"),
        (same, field::RECORD_SAME, "same"),
    ] {
        let mut victim = Victim::new("mixed");
        victim.link(index, at, index);
        victim.breaks(Violation::Revisited { link: Link::Record(index, name), index });
    }
}

#[test]
fn heap_priority_keeps_bit_30_clear() {
    let mut victim = Victim::new("small");
    let root = victim.header().used_root;
    let prio = victim.record(root).heap_prio;
    victim.prio(root, prio | 1 << 30);
    victim.breaks_only(Violation::HeapPrio { index: root });
    let mut victim = Victim::new("small");
    let idle = victim.header().idle_top;
    victim.prio(idle, 1 << 30);
    victim.breaks_only(Violation::HeapPrio { index: idle });
}

#[test]
fn idle_records_are_at_rest() {
    let index = Victim::new("small").header().idle_top;
    for (at, name) in [
        (field::RECORD_PREV, "prev"),
        (field::RECORD_NEXT, "next"),
        (field::RECORD_LEFT, "left"),
        (field::RECORD_RIGHT, "right"),
        (field::RECORD_SAME, "same"),
    ] {
        let mut victim = Victim::new("small");
        victim.link(index, at, 0);
        victim.breaks_only(Violation::IdleField { index, field: name });
    }
    for (at, name) in [
        (field::RECORD_GADDR_LO, "gaddr_lo"),
        (field::RECORD_GADDR_HI, "gaddr_hi"),
        (field::RECORD_TAG, "tag"),
    ] {
        let mut victim = Victim::new("small");
        victim.word(index, at, 9);
        victim.breaks_only(Violation::IdleField { index, field: name });
    }
    let mut victim = Victim::new("small");
    victim.prio(index, 1 << 31);
    victim.breaks_only(Violation::IdleField { index, field: "in_same" });
}

#[test]
fn scratch_fields_hold_anything() {
    let mut victim = Victim::new("small");
    for index in 0..40 {
        victim.link(index, field::RECORD_STACK, 0xDEAD_BEEF);
        victim.word(index, field::RECORD_CYCLE_TAG, u64::MAX);
    }
    check(&victim.image, Lock::MustBeFree).unwrap();
}

#[test]
fn every_record_is_in_exactly_one_state() {
    let mut victim = Victim::new("small");
    let top = victim.header().idle_top;
    let below = victim.record(top).parent;
    victim.set32(field::HEADER_IDLE_TOP, below);
    victim.breaks(Violation::NoState { index: top, tag: 0 });
    let listing = Victim::new("small");
    let used = listing.list().iter().filter(|(_, record)| record.tag != 0).count() as u64;
    let free = listing.list().len() as u64 - used;
    let idle = 40 - used - free - 1;
    victim.breaks(Violation::Count { idle, free, used, part_max: 40 });

    let mut victim = Victim::new("small");
    let head = victim.header().part_head;
    let top = victim.header().idle_top;
    victim.link(top, field::RECORD_PARENT, head);
    victim.breaks(Violation::TwoStates { index: head });
}

#[test]
fn list_links_agree_in_both_directions() {
    let mut victim = Victim::new("small");
    let list = victim.list();
    let (first, second, third) = (list[0].0, list[1].0, list[2].0);
    victim.link(third, field::RECORD_PREV, first);
    victim.breaks_only(Violation::Prev { index: third, expected: second, found: first });

    let mut victim = Victim::new("small");
    victim.link(first, field::RECORD_PREV, second);
    victim.breaks_only(Violation::Prev { index: first, expected: NIL, found: second });

    // A record that is skipped is still linked from both sides backwards.
    let mut victim = Victim::new("small");
    victim.link(first, field::RECORD_NEXT, third);
    victim.breaks(Violation::Prev { index: third, expected: first, found: second });
    victim.breaks(Violation::NoState { index: second, tag: list[1].1.tag });
}

#[test]
fn partitions_tile_the_data_region() {
    let mut victim = Victim::new("small");
    let list = victim.list();
    let ((head, first), (next, second)) = (list[0], list[1]);
    victim.word(head, field::RECORD_GADDR_HI, first.gaddr_hi - 1);
    victim.breaks_only(Violation::Tiling {
        index: next,
        expected: first.gaddr_hi - 1,
        found: second.gaddr_lo,
    });

    let mut victim = Victim::new("small");
    victim.word(head, field::RECORD_GADDR_LO, first.gaddr_lo + 1);
    victim.breaks_only(Violation::Tiling {
        index: head,
        expected: first.gaddr_lo,
        found: first.gaddr_lo + 1,
    });

    let mut victim = Victim::new("small");
    let (tail, last) = *list.last().unwrap();
    let end = last.gaddr_hi;
    victim.word(tail, field::RECORD_GADDR_HI, end - 1);
    victim.breaks_only(Violation::TilingEnd { expected: end, found: end - 1 });

    let mut victim = Victim::new("small");
    victim.word(tail, field::RECORD_GADDR_HI, last.gaddr_lo);
    let (lo, hi) = (last.gaddr_lo, last.gaddr_lo);
    victim.breaks(Violation::EmptyPartition { index: tail, lo, hi });
}

#[test]
fn an_empty_list_tiles_nothing() {
    let mut victim = Victim::new("empty");
    let expected = victim.header().gaddr_hi;
    let found = victim.header().gaddr_lo;
    victim.set32(field::HEADER_PART_HEAD, NIL);
    victim.breaks(Violation::TilingEnd { expected, found });
}

#[test]
fn free_neighbours_are_merged() {
    let mut victim = Victim::new("small");
    let list = victim.list();
    let at = list.windows(2).position(|pair| pair[0].1.tag != 0 && pair[1].1.tag == 0).unwrap();
    let (used, free) = (list[at].0, list[at + 1].0);
    victim.word(used, field::RECORD_TAG, 0);
    victim.breaks(Violation::FreeNeighbours { left: used, right: free });
    victim.breaks(Violation::Foreign { tree: Tree::Used, index: used });
    victim.breaks(Violation::Missing { tree: Tree::Free, index: used });
}

#[test]
fn truth_reports_bad_ranges_and_overlaps() {
    let mut victim = Victim::new("small");
    let list = victim.list();
    let ((left, first), (right, _)) = (list[0], list[1]);
    assert!(first.tag != 0 && list[1].1.tag != 0);
    victim.word(left, field::RECORD_GADDR_HI, first.gaddr_hi + 1);
    assert_eq!(truth(&victim.image).unwrap_err(), [Violation::Overlap { left, right }]);

    let end = victim.header().gaddr_hi;
    let bad = [
        (first.gaddr_lo - 1, first.gaddr_hi),
        (first.gaddr_lo, first.gaddr_lo),
        (end - 1, end + 1),
    ];
    for (lo, hi) in bad {
        let mut victim = Victim::new("small");
        victim.word(left, field::RECORD_GADDR_LO, lo);
        victim.word(left, field::RECORD_GADDR_HI, hi);
        let violations = truth(&victim.image).unwrap_err();
        assert!(violations.contains(&Violation::UsedRange { index: left, lo, hi }));
    }

    // A range under a tag on an idle record exists too: the index is not consulted.
    let mut victim = Victim::new("small");
    let idle = victim.header().idle_top;
    victim.word(idle, field::RECORD_GADDR_LO, end - 10);
    victim.word(idle, field::RECORD_GADDR_HI, end);
    victim.word(idle, field::RECORD_TAG, 5);
    let used = truth(&victim.image).unwrap();
    assert_eq!(used.last().map(|used| (used.lo, used.hi, used.tag)), Some((end - 10, end, 5)));
}
