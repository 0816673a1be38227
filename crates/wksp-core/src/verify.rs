//! Checking every invariant of the layout, without changing a byte.

use core::fmt;

use wksp_treap::{Damage, HEAP_PRIO_LIMIT, PartitionIndex, PartitionRecord, TreapFault};

use crate::header::{CYCLE_TAG_MIN, MAGIC};
use crate::index::Index;
use crate::name::NameError;

/// A broken invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A static field of the header has changed since the workspace was joined.
    Header {
        /// The name of the field in docs/layout.md.
        field: &'static str,
        /// What it should say.
        expected: u64,
        /// What it says.
        found: u64,
    },
    /// The name in the header is none.
    Name(NameError),
    /// The cycle tag is below its minimum.
    CycleTag {
        /// What it says.
        found: u64,
    },
    /// A record on the idle stack has a tag or a range.
    IdleNotEmpty {
        /// The record.
        index: PartitionIndex,
    },
    /// A record without tag and range, which belongs on the idle stack, has a neighbour, a child, or
    /// another one of its size.
    IdleLinked {
        /// The record.
        index: PartitionIndex,
    },
    /// The idle stack cannot be followed to its end.
    IdleStack(Damage),
    /// A link of the partition list leads where it should not, or to what is no partition.
    List(Damage),
    /// A partition does not begin where the one before it ends.
    NotAdjacent {
        /// The record.
        index: PartitionIndex,
        /// Where it should begin.
        expected_lo: u64,
        /// Where it begins.
        lo: u64,
    },
    /// A partition has no next one, but does not end where the data ends.
    DoesNotReachEnd {
        /// The record.
        index: PartitionIndex,
        /// Where the data ends.
        expected_hi: u64,
        /// Where the partition ends.
        hi: u64,
    },
    /// Two neighbours are both free.
    FreeNeighbours {
        /// The lower one.
        lower: PartitionIndex,
        /// The upper one.
        upper: PartitionIndex,
    },
    /// The heap priority of a record is not below 2^30.
    HeapPrio {
        /// The record.
        index: PartitionIndex,
    },
    /// The used treap breaks an invariant.
    UsedTreap(TreapFault),
    /// The free treap breaks an invariant.
    FreeTreap(TreapFault),
    /// The idle stack or a treap does not hold as many records as there are of its kind.
    Count {
        /// What was counted.
        of: Counted,
        /// How many there should be.
        expected: u64,
        /// How many there are.
        found: u64,
    },
}

/// What a [`Finding::Count`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Idle records on the idle stack.
    Idle,
    /// Used partitions in the used treap.
    Used,
    /// Free partitions in the free treap.
    Free,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "records on the idle stack",
            Self::Used => "partitions in the used treap",
            Self::Free => "partitions in the free treap",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { field, expected, found } => {
                write!(f, "the header's {field} should be {expected} but is {found}")
            }
            Self::Name(error) => write!(f, "the header's name is damaged: {error}"),
            Self::CycleTag { found } => {
                write!(f, "the header's cycle_tag should be {CYCLE_TAG_MIN} or more but is {found}")
            }
            Self::IdleNotEmpty { index } => {
                write!(f, "record {index} is on the idle stack but not empty")
            }
            Self::IdleLinked { index } => {
                write!(f, "record {index} is empty but linked as if it were not")
            }
            Self::IdleStack(damage) => write!(f, "on the idle stack, {damage}"),
            Self::List(damage) => write!(f, "in the partition list, {damage}"),
            Self::NotAdjacent { index, expected_lo, lo } => {
                write!(f, "record {index} should begin at {expected_lo} but begins at {lo}")
            }
            Self::DoesNotReachEnd { index, expected_hi, hi } => {
                write!(
                    f,
                    "record {index} has no next one, so should end at {expected_hi}, but ends at {hi}"
                )
            }
            Self::FreeNeighbours { lower, upper } => {
                write!(f, "records {lower} and {upper} are neighbours and both free")
            }
            Self::HeapPrio { index } => {
                write!(f, "record {index} has a heap priority of 2^30 or more")
            }
            Self::UsedTreap(fault) => write!(f, "in the used treap, {fault}"),
            Self::FreeTreap(fault) => write!(f, "in the free treap, {fault}"),
            Self::Count { of, expected, found } => {
                write!(f, "there should be {expected} {of} but there are {found}")
            }
        }
    }
}

/// How many findings a report keeps.
const KEPT: usize = 32;

/// What a verification found.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    kept: [Option<Finding>; KEPT],
    count: u64,
    /// What the records say of themselves.
    census: Census,
}

/// How many records a verification met in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Without a tag, and both bounds 0.
    pub idle: u64,
    /// Without a tag, and other bounds.
    pub free: u64,
    /// With a tag.
    pub used: u64,
}

impl Report {
    /// Whether nothing was found.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.count == 0
    }

    /// How many findings there were.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The findings, of which the first 32 are kept.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.kept.iter().flatten()
    }

    /// How many records were met in each state.
    #[must_use]
    pub const fn census(&self) -> Census {
        self.census
    }

    fn add(&mut self, finding: Finding) {
        if let Some(slot) = usize::try_from(self.count).ok().and_then(|at| self.kept.get_mut(at)) {
            *slot = Some(finding);
        }
        self.count = self.count.saturating_add(1);
    }

    fn check_count(&mut self, of: Counted, expected: u64, found: u64) {
        if found != expected {
            self.add(Finding::Count { of, expected, found });
        }
    }
}

/// Checks every invariant.
///
/// Each walk is bounded by the number of records. That the idle stack and the treaps hold all
/// records of their kind follows from the counts: none of them visits a record twice or one of another
/// kind without saying so.
pub(crate) fn verify(index: Index<'_>) -> Report {
    let mut report = Report { kept: [None; KEPT], count: 0, census: Census::default() };
    check_header(index, &mut report);
    check_table(index, &mut report);
    check_idle(index, &mut report);
    check_treaps(index, &mut report);
    report
}

fn check_header(index: Index<'_>, report: &mut Report) {
    let header = index.header;
    let (lo, hi) = (index.data.lo().get(), index.data.hi().get());
    for (field, expected, found) in [
        ("magic", MAGIC, header.magic.get()),
        ("part_max", u64::from(index.table.len()), header.part_max.get()),
        ("data_max", index.data.bytes(), header.data_max.get()),
        ("gaddr_lo", lo, header.gaddr_lo.get()),
        ("gaddr_hi", hi, header.gaddr_hi.get()),
        ("zero", 0, header.zero.get()),
    ] {
        if found != expected {
            report.add(Finding::Header { field, expected, found });
        }
    }
    if let Err(error) = header.name() {
        report.add(Finding::Name(error));
    }
    let found = header.cycle_tag.get();
    if found < CYCLE_TAG_MIN {
        report.add(Finding::CycleTag { found });
    }
}

/// Checks each record by itself, and each partition against the next one of the list.
///
/// This goes by the table, so that the processor need not know one record to load the next.
/// It shows as much as going by the list: a partition's next one says so of it and begins where it
/// ends, and so is a partition too; no two lead to the same one, and each way leads upwards. Only the
/// tail may have none, so all ways end there. Of all partitions one is nobody's next, and that is the
/// head, since it has no previous one.
fn check_table(index: Index<'_>, report: &mut Report) {
    let mut census = Census::default();
    for (at, record) in index.table.iter() {
        if record.heap_prio() >= HEAP_PRIO_LIMIT {
            report.add(Finding::HeapPrio { index: at });
        }
        let is_free = record.tag().is_none();
        let count = if is_idle(record) {
            if record.in_same() || !record.is_unlinked() {
                report.add(Finding::IdleLinked { index: at });
            }
            &mut census.idle
        } else {
            check_partition(index, at, record, report);
            if is_free { &mut census.free } else { &mut census.used }
        };
        *count = count.saturating_add(1);
    }
    report.census = census;

    let expected_lo = index.data.lo().get();
    match index.header.part_head.get().map(|head| (head, index.table.get(head))) {
        None => report.add(Finding::List(Damage::ListEnds { at: index.data.lo() })),
        Some((_, Err(damage))) => report.add(Finding::List(damage)),
        Some((head, Ok(record))) => {
            let (lo, _) = record.bounds();
            if record.prev().is_some() {
                report.add(Finding::List(Damage::WrongRoot { expected: head }));
            }
            if lo != expected_lo {
                report.add(Finding::NotAdjacent { index: head, expected_lo, lo });
            }
        }
    }
}

/// Whether a record says of itself that it is on the idle stack.
fn is_idle(record: &PartitionRecord) -> bool {
    let (lo, hi) = record.bounds();
    record.tag().is_none() && lo | hi == 0
}

/// Checks the range of a partition, and what comes behind it.
fn check_partition(
    index: Index<'_>,
    at: PartitionIndex,
    record: &PartitionRecord,
    report: &mut Report,
) {
    let hi = match index.range(at, record) {
        Ok(range) => range.hi().get(),
        Err(damage) => return report.add(Finding::List(damage)),
    };
    let Some(next) = record.next() else {
        if !index.header.part_tail.leads_to(at) {
            report.add(Finding::List(Damage::WrongRoot { expected: at }));
        }
        let expected_hi = index.data.hi().get();
        if hi != expected_hi {
            report.add(Finding::DoesNotReachEnd { index: at, expected_hi, hi });
        }
        return;
    };
    let above = match index.table.get(next) {
        Ok(above) => above,
        Err(damage) => return report.add(Finding::List(damage)),
    };
    if above.prev() != Some(at) {
        report.add(Finding::List(Damage::BrokenLink { from: at, to: next }));
    }
    let (lo, _) = above.bounds();
    if lo != hi {
        report.add(Finding::NotAdjacent { index: next, expected_lo: hi, lo });
    }
    if record.tag().is_none() && above.tag().is_none() {
        report.add(Finding::FreeNeighbours { lower: at, upper: next });
    }
}

/// Checks that the idle stack holds all idle records: as many, and no others.
fn check_idle(index: Index<'_>, report: &mut Report) {
    let (mut link, mut found) = (index.header.idle_top.get(), 0_u64);
    while let Some(at) = link {
        if found >= u64::from(index.table.len()) {
            return report.add(Finding::IdleStack(Damage::EndlessWalk { index: at }));
        }
        let record = match index.table.get(at) {
            Ok(record) => record,
            Err(damage) => return report.add(Finding::IdleStack(damage)),
        };
        if !is_idle(record) {
            report.add(Finding::IdleNotEmpty { index: at });
        }
        found = found.saturating_add(1);
        link = record.parent();
    }
    report.check_count(Counted::Idle, report.census.idle, found);
}

fn check_treaps(index: Index<'_>, report: &mut Report) {
    let (mut used, mut free) = (0_u64, 0_u64);
    index.used().inspect(
        |_, _| used = used.saturating_add(1),
        |fault| report.add(Finding::UsedTreap(fault)),
    );
    index.free().inspect(
        |_, _| free = free.saturating_add(1),
        |fault| report.add(Finding::FreeTreap(fault)),
    );
    report.check_count(Counted::Used, report.census.used, used);
    report.check_count(Counted::Free, report.census.free, free);
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn all_findings_are_counted_and_the_first_ones_kept() {
        let mut report = Report { kept: [None; KEPT], count: 0, census: Census::default() };
        assert!(report.is_clean());
        let findings: Vec<_> = (0..40).map(|found| Finding::CycleTag { found }).collect();
        for (count, finding) in (1..).zip(&findings) {
            report.add(*finding);
            assert_eq!((report.count(), report.is_clean()), (count, false));
        }
        assert!(report.findings().eq(&findings[..KEPT]));
    }

    #[test]
    fn a_finding_says_where_what_is_wrong() {
        let [one, two] = [1, 2].map(|at| PartitionIndex::new(at).unwrap());
        let damage = Damage::EndlessWalk { index: one };
        let count = |of| Finding::Count { of, expected: 5, found: 4 };
        for (finding, said) in [
            (
                Finding::Header { field: "zero", expected: 0, found: 9 },
                "the header's zero should be 0 but is 9",
            ),
            (Finding::CycleTag { found: 3 }, "the header's cycle_tag should be 4 or more but is 3"),
            (Finding::IdleNotEmpty { index: one }, "record 1 is on the idle stack but not empty"),
            (Finding::IdleLinked { index: one }, "record 1 is empty but linked as if it were not"),
            (
                Finding::IdleStack(damage),
                "on the idle stack, the links around record 1 form a ring",
            ),
            (Finding::List(damage), "in the partition list, the links around record 1 form a ring"),
            (
                Finding::NotAdjacent { index: two, expected_lo: 70, lo: 80 },
                "record 2 should begin at 70 but begins at 80",
            ),
            (
                Finding::DoesNotReachEnd { index: one, expected_hi: 90, hi: 80 },
                "record 1 has no next one, so should end at 90, but ends at 80",
            ),
            (
                Finding::FreeNeighbours { lower: one, upper: two },
                "records 1 and 2 are neighbours and both free",
            ),
            (Finding::HeapPrio { index: two }, "record 2 has a heap priority of 2^30 or more"),
            (
                Finding::UsedTreap(TreapFault::Damage(damage)),
                "in the used treap, the links around record 1 form a ring",
            ),
            (
                Finding::FreeTreap(TreapFault::Damage(damage)),
                "in the free treap, the links around record 1 form a ring",
            ),
            (count(Counted::Idle), "there should be 5 records on the idle stack but there are 4"),
            (
                count(Counted::Used),
                "there should be 5 partitions in the used treap but there are 4",
            ),
            (
                count(Counted::Free),
                "there should be 5 partitions in the free treap but there are 4",
            ),
        ] {
            assert_eq!(finding.to_string(), said);
        }
        let name = Finding::Name(NameError::Empty).to_string();
        assert_eq!(
            name.strip_prefix("the header's name is damaged: "),
            Some(&*NameError::Empty.to_string())
        );
    }
}
