//! The one part of an image that nothing else can restore: records whose tag is set.

use super::Used;
use super::check::geometry;
use super::layout::Record;
use super::violation::Violation;

/// Lists the ranges of all records with a non-zero tag in address order, ignoring the index.
///
/// Neither the lock nor any list or treap is looked at, so this works on an image whose owner was
/// killed at any store.
///
/// # Errors
///
/// A header with impossible geometry; used ranges that are empty, leave the data region or overlap.
pub fn truth(image: &[u8]) -> Result<Vec<Used>, Vec<Violation>> {
    let header = geometry(image)?;
    let part_max = u32::try_from(header.part_max).unwrap_or(u32::MAX);
    let mut violations = Vec::new();
    let mut found: Vec<(Used, u32)> = Vec::new();
    for index in 0..part_max {
        let Some(record) = Record::read(image, index) else { break };
        let (lo, hi, tag) = (record.gaddr_lo, record.gaddr_hi, record.tag);
        if tag == 0 {
            continue;
        }
        if lo >= hi || lo < header.gaddr_lo || hi > header.gaddr_hi {
            violations.push(Violation::UsedRange { index, lo, hi });
        }
        found.push((Used { lo, hi, tag }, index));
    }
    found.sort_unstable();
    let pairs = found.iter().zip(found.iter().skip(1));
    let overlaps = pairs.filter(|(left, right)| left.0.hi > right.0.lo);
    violations
        .extend(overlaps.map(|(left, right)| Violation::Overlap { left: left.1, right: right.1 }));
    if violations.is_empty() {
        Ok(found.into_iter().map(|(used, _)| used).collect())
    } else {
        Err(violations)
    }
}
