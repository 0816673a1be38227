//! What differs, for people and programs.

use std::fmt;

use serde::Serialize;
use wksp_core::{Allocation, Tag};

use super::contents::Contents;
use super::operand::OperandName;
use super::pairs::Pair;
use crate::plural::Plural;
use crate::size::Bytes;
use crate::value;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    a: SideReport,
    b: SideReport,
    /// Whether nothing differs.
    same: bool,
    same_count: u64,
    added_count: u64,
    gone_count: u64,
    changed_count: u64,
    /// In how many bytes the changed ones differ, of those that both sides have.
    differing_bytes: u64,
    differences: Vec<Difference>,
}

#[derive(Debug, Serialize)]
struct SideReport {
    /// `workspace` or `checkpoint`.
    kind: &'static str,
    name: String,
    allocation_count: u64,
    data_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Difference {
    gaddr_lo: u64,
    /// `added`, `gone` or `changed`.
    change: &'static str,
    /// `None` if it was added.
    a: Option<Allocated>,
    /// `None` if it is gone.
    b: Option<Allocated>,
    /// In how many bytes they differ, `None` if there is but one.
    differing_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Allocated {
    gaddr_hi: u64,
    bytes: u64,
    #[serde(serialize_with = "value::serialize_tag")]
    tag: Tag,
}

impl Allocated {
    const fn new(one: &Allocation) -> Self {
        Self { gaddr_hi: one.range.hi().get(), bytes: one.range.bytes(), tag: one.tag }
    }
}

impl Difference {
    /// `None` if nothing differs.
    fn new(pair: &Pair, differing_bytes: u64) -> Option<Self> {
        if pair.a == pair.b && differing_bytes == 0 {
            return None;
        }
        let change = match (&pair.a, &pair.b) {
            (None, _) => "added",
            (_, None) => "gone",
            _ => "changed",
        };
        Some(Self {
            gaddr_lo: pair.lo()?.get(),
            change,
            a: pair.a.as_ref().map(Allocated::new),
            b: pair.b.as_ref().map(Allocated::new),
            differing_bytes: pair.a.and(pair.b).map(|_| differing_bytes),
        })
    }
}

impl Report {
    pub(super) fn new(
        [a, b]: [(&'static str, &OperandName); 2],
        Contents { pairs, differing }: &Contents,
    ) -> Self {
        let side = |(kind, name): (&'static str, &OperandName),
                    of: fn(&Pair) -> Option<Allocation>| {
            let all = || pairs.iter().filter_map(of);
            SideReport {
                kind,
                name: name.to_string(),
                allocation_count: all().count() as u64,
                data_bytes: all().map(|one| one.range.bytes()).fold(0, u64::saturating_add),
            }
        };
        let differences: Vec<Difference> = pairs
            .iter()
            .zip(differing)
            .filter_map(|(pair, &differing)| Difference::new(pair, differing))
            .collect();
        let count = |change| differences.iter().filter(|one| one.change == change).count() as u64;
        Self {
            a: side(a, |pair| pair.a),
            b: side(b, |pair| pair.b),
            same: differences.is_empty(),
            same_count: pairs.len().saturating_sub(differences.len()) as u64,
            added_count: count("added"),
            gone_count: count("gone"),
            changed_count: count("changed"),
            differing_bytes: differing.iter().copied().fold(0, u64::saturating_add),
            differences,
        }
    }

    pub(super) const fn is_same(&self) -> bool {
        self.same
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As of diff(1), there is nothing to say then.
        if self.same {
            return Ok(());
        }
        writeln!(f, "--- {}\n+++ {}", self.a, self.b)?;
        self.differences.iter().try_for_each(|one| writeln!(f, "{one}"))?;
        let Self { added_count, gone_count, changed_count, same_count, .. } = self;
        let total = format!("{added_count} added, {gone_count} gone, {changed_count} changed");
        writeln!(f, "{total}, {same_count} the same")
    }
}

impl fmt::Display for SideReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, allocation_count, data_bytes } = self;
        let allocations = Plural(*allocation_count, "allocation");
        write!(f, "{kind} {name}: {allocations}, {}", Bytes(*data_bytes))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lo = self.gaddr_lo;
        match (&self.a, &self.b) {
            (Some(a), Some(b)) => {
                write!(f, "~ {lo}: {}", Bytes(a.bytes))?;
                if a.bytes != b.bytes {
                    write!(f, ", now {}", Bytes(b.bytes))?;
                }
                write!(f, ", tag {}", a.tag)?;
                if a.tag != b.tag {
                    write!(f, ", now {}", b.tag)?;
                }
                match self.differing_bytes {
                    Some(1) => f.write_str("; 1 byte differs"),
                    Some(count @ 2..) => write!(f, "; {} differ", Bytes(count)),
                    _ => Ok(()),
                }
            }
            (Some(a), None) => write!(f, "- {lo}: {}, tag {}", Bytes(a.bytes), a.tag),
            (None, Some(b)) => write!(f, "+ {lo}: {}, tag {}", Bytes(b.bytes), b.tag),
            (None, None) => Ok(()),
        }
    }
}
