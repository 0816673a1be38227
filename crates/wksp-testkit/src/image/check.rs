//! Header, idle stack, partition list and counts.

use super::layout::{Header, MAGIC, NIL, Record};
use super::violation::{Link, Tree, Violation};
use super::{Listing, OWNER_FREE, Partition, treap};

/// What the checker demands of the lock word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// The lock must be free.
    MustBeFree,
    /// Any owner will do; the index must be at rest all the same.
    AnyOwner,
}

/// Checks every rule of the memory layout and lists the partitions.
///
/// The image may be longer than the workspace in it.
/// Costs O(`part_max`), whatever the bytes are.
///
/// # Errors
///
/// All violations found, at least one.
/// A header with impossible geometry is reported alone, since nothing else can be located then.
pub fn check(image: &[u8], lock: Lock) -> Result<Listing<'_>, Vec<Violation>> {
    let mut walker = Walker::new(image)?;
    let header = walker.header;
    let name = walker.check_header(lock);
    walker.check_priorities();
    walker.walk_idle();
    walker.walk_list();
    walker.check_states();
    treap::check_used(&mut walker);
    treap::check_free(&mut walker);
    if !walker.violations.is_empty() {
        return Err(walker.violations);
    }
    Ok(Listing {
        name,
        seed: header.seed,
        part_max: header.part_max,
        data_max: header.data_max,
        gaddr_lo: header.gaddr_lo,
        gaddr_hi: header.gaddr_hi,
        owner: header.owner,
        cycle_tag: header.cycle_tag,
        partitions: walker.list,
        image,
    })
}

/// Checks that the header describes a workspace which fits the image, and returns the header.
pub(super) fn geometry(image: &[u8]) -> Result<Header, Vec<Violation>> {
    let found = image.len() as u64;
    let header =
        Header::read(image).ok_or_else(|| vec![Violation::TooShort { needed: 128, found }])?;
    let mut violations = Vec::new();
    if header.magic != MAGIC {
        violations.push(Violation::Magic { found: header.magic });
    }
    if !(1..=u64::from(u32::MAX)).contains(&header.part_max) {
        violations.push(Violation::PartMax { found: header.part_max });
    }
    if header.data_max == 0 {
        violations.push(Violation::DataMax);
    }
    let expected = header.part_max.saturating_mul(64).saturating_add(128);
    if header.gaddr_lo != expected {
        violations.push(Violation::GaddrLo { expected, found: header.gaddr_lo });
    }
    let expected = expected.saturating_add(header.data_max);
    if header.gaddr_hi != expected {
        violations.push(Violation::GaddrHi { expected, found: header.gaddr_hi });
    }
    let needed = expected.checked_add(1).and_then(|end| end.checked_next_multiple_of(128));
    if needed.is_none_or(|needed| needed > found) {
        violations.push(Violation::TooShort { needed: needed.unwrap_or(u64::MAX), found });
    }
    if violations.is_empty() { Ok(header) } else { Err(violations) }
}

/// The records of one image, and what the walks have found so far.
pub(super) struct Walker {
    header: Header,
    records: Vec<Record>,
    idle: Vec<bool>,
    listed: Vec<bool>,
    list: Vec<Partition>,
    violations: Vec<Violation>,
}

impl Walker {
    fn new(image: &[u8]) -> Result<Self, Vec<Violation>> {
        let header = geometry(image)?;
        let part_max = u32::try_from(header.part_max).unwrap_or(u32::MAX);
        let records: Vec<Record> =
            (0..part_max).map_while(|index| Record::read(image, index)).collect();
        let unseen = vec![false; records.len()];
        Ok(Self {
            header,
            records,
            idle: unseen.clone(),
            listed: unseen,
            list: Vec::new(),
            violations: Vec::new(),
        })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn report(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    /// Returns the partitions that the list walk reached.
    pub(super) fn list(&self) -> Vec<Partition> {
        self.list.clone()
    }

    pub(super) fn record_count(&self) -> usize {
        self.records.len()
    }

    pub(super) fn is_listed(&self, index: u32) -> bool {
        self.listed.get(index as usize).copied().unwrap_or(false)
    }

    /// Follows a link: `None` for NIL, for an index beyond the table and for a record that `seen`
    /// holds already, the latter two reported. Marks the record as seen.
    pub(super) fn follow(
        &mut self,
        link: Link,
        index: u32,
        seen: &mut [bool],
    ) -> Option<(u32, Record)> {
        if index == NIL {
            return None;
        }
        let (Some(&record), Some(seen)) =
            (self.records.get(index as usize), seen.get_mut(index as usize))
        else {
            self.report(Violation::IndexOutOfRange { link, index });
            return None;
        };
        if *seen {
            self.report(Violation::Revisited { link, index });
            return None;
        }
        *seen = true;
        Some((index, record))
    }

    fn check_header(&mut self, lock: Lock) -> String {
        let header = self.header;
        let name = region_name(&header.name);
        if name.is_none() {
            self.report(Violation::Name);
        }
        if header.zero != 0 {
            self.report(Violation::HeaderPadding { found: header.zero });
        }
        if header.cycle_tag < 4 {
            self.report(Violation::CycleTag { found: header.cycle_tag });
        }
        if lock == Lock::MustBeFree && header.owner != OWNER_FREE {
            self.report(Violation::Owner { found: header.owner });
        }
        name.unwrap_or_default()
    }

    fn check_priorities(&mut self) {
        let indexed = (0..NIL).zip(&self.records);
        let bad = indexed.filter(|(_, record)| record.heap_prio >> 30 != 0);
        self.violations.extend(bad.map(|(index, _)| Violation::HeapPrio { index }));
    }

    fn walk_idle(&mut self) {
        let mut seen = vec![false; self.records.len()];
        let mut link = (Link::Header("idle_top"), self.header.idle_top);
        while let Some((index, record)) = self.follow(link.0, link.1, &mut seen) {
            let at_rest = [
                ("gaddr_lo", record.gaddr_lo == 0),
                ("gaddr_hi", record.gaddr_hi == 0),
                ("tag", record.tag == 0),
                ("in_same", !record.in_same),
                ("prev", record.prev == NIL),
                ("next", record.next == NIL),
                ("left", record.left == NIL),
                ("right", record.right == NIL),
                ("same", record.same == NIL),
            ];
            for (field, _) in at_rest.into_iter().filter(|(_, holds)| !holds) {
                self.report(Violation::IdleField { index, field });
            }
            link = (Link::Record(index, "parent"), record.parent);
        }
        self.idle = seen;
    }

    /// Walks forwards and compares every `prev` and the tail on the way, so that a walk backwards
    /// would visit the same records in reverse.
    fn walk_list(&mut self) {
        let mut seen = vec![false; self.records.len()];
        let mut link = (Link::Header("part_head"), self.header.part_head);
        let mut end = self.header.gaddr_lo;
        let mut last: Option<(u32, Record)> = None;
        while let Some((index, record)) = self.follow(link.0, link.1, &mut seen) {
            let (lo, hi, tag) = (record.gaddr_lo, record.gaddr_hi, record.tag);
            let expected = last.map_or(NIL, |(index, _)| index);
            if record.prev != expected {
                self.report(Violation::Prev { index, expected, found: record.prev });
            }
            if lo != end {
                self.report(Violation::Tiling { index, expected: end, found: lo });
            }
            if lo >= hi {
                self.report(Violation::EmptyPartition { index, lo, hi });
            }
            if let Some((left, before)) = last
                && before.tag == 0
                && tag == 0
            {
                self.report(Violation::FreeNeighbours { left, right: index });
            }
            self.list.push(Partition { index, lo, hi, tag });
            end = hi;
            last = Some((index, record));
            link = (Link::Record(index, "next"), record.next);
        }
        let expected = last.map_or(NIL, |(index, _)| index);
        if self.header.part_tail != expected {
            self.report(Violation::PartTail { expected, found: self.header.part_tail });
        }
        if end != self.header.gaddr_hi {
            self.report(Violation::TilingEnd { expected: self.header.gaddr_hi, found: end });
        }
        self.listed = seen;
    }

    fn check_states(&mut self) {
        for (index, record) in (0..NIL).zip(&self.records) {
            let idle = self.idle.get(index as usize) == Some(&true);
            let listed = self.listed.get(index as usize) == Some(&true);
            match (idle, listed) {
                (true, true) => self.violations.push(Violation::TwoStates { index }),
                (false, false) => {
                    self.violations.push(Violation::NoState { index, tag: record.tag });
                }
                _ => {}
            }
        }
        let idle = self.idle.iter().filter(|idle| **idle).count() as u64;
        let free = self.list.iter().filter(|partition| partition.tag == 0).count() as u64;
        let used = self.list.iter().filter(|partition| partition.tag != 0).count() as u64;
        let part_max = self.header.part_max;
        if idle.saturating_add(free).saturating_add(used) != part_max {
            self.report(Violation::Count { idle, free, used, part_max });
        }
    }

    /// Reports every partition of the list that belongs to `tree` and is not marked as seen.
    pub(super) fn report_missing(&mut self, tree: Tree, seen: &[bool]) {
        for partition in self.list() {
            let belongs = (partition.tag == 0) == (tree == Tree::Free);
            if belongs && seen.get(partition.index as usize) != Some(&true) {
                self.report(Violation::Missing { tree, index: partition.index });
            }
        }
    }
}

/// Returns the name in a NUL-padded field if it is a valid region name.
pub(crate) fn region_name(field: &[u8; 40]) -> Option<String> {
    let length = field.iter().position(|&byte| byte == 0)?;
    let (name, padding) = field.split_at_checked(length)?;
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
    let valid = name.first().is_some_and(u8::is_ascii_alphanumeric)
        && name.iter().all(legal)
        && padding.iter().all(|&byte| byte == 0);
    valid.then(|| name.iter().copied().map(char::from).collect())
}
