//! Where the pages of a region are, as reports have it.

use std::fmt;

use serde::Serialize;
use wksp_shmem::{Binding, Near, Omission, PlacedRange, PlacementReport, PlannedRange, Residence};

use crate::plural::Plural;

/// The kinds of what placing does without.
const OFF: &str = "off";
const NOT_BOUND: &str = "not_bound";
const NOT_CHECKED: &str = "not_checked";

/// Where pages are, in numbers of pages.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ResidenceReport {
    pub(crate) on_node: Vec<OnNode>,
    /// Without memory.
    pub(crate) absent: u64,
    /// In swap space.
    pub(crate) swapped: u64,
    /// In memory, but nobody says where.
    pub(crate) unknown: u64,
}

/// How many pages a node has.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct OnNode {
    pub(crate) node: u32,
    pub(crate) page_count: u64,
}

impl ResidenceReport {
    pub(crate) fn new(residence: &Residence) -> Self {
        let on_node = residence.on_node.iter();
        Self {
            on_node: on_node
                .map(|(node, count)| OnNode { node: node.get(), page_count: *count })
                .collect(),
            absent: residence.absent,
            swapped: residence.swapped,
            unknown: residence.unknown,
        }
    }
}

/// Pages in a row that are to be on a node.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RangeReport {
    pub(crate) page_lo: u64,
    pub(crate) page_hi: u64,
    pub(crate) page_count: u64,
    /// The CPU that they are to be near, `None` if a node was named.
    pub(crate) cpu: Option<u32>,
    /// The node that they are to be on.
    pub(crate) node: u32,
}

impl RangeReport {
    pub(crate) fn new(planned: &PlannedRange) -> Self {
        Self {
            page_lo: planned.pages.start,
            page_hi: planned.pages.end,
            page_count: planned.pages.end.saturating_sub(planned.pages.start),
            cpu: match planned.near {
                Near::Cpu(cpu) => Some(cpu.get()),
                Near::Node(_) => None,
            },
            node: planned.node.get(),
        }
    }
}

/// What came of placing the pages of a new region.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PlacedReport {
    /// `strict`, `best_effort` or `off`.
    binding: &'static str,
    /// Whether every page was asked for and is where it is to be.
    #[serde(rename = "complete")]
    is_complete: bool,
    /// How many are not, of those that were asked for.
    misplaced: u64,
    ranges: Vec<PlacedRangeReport>,
    omissions: Vec<OmissionReport>,
    /// The pages of all ranges.
    #[serde(skip)]
    together: Residence,
}

#[derive(Clone, Debug, Serialize)]
struct PlacedRangeReport {
    #[serde(flatten)]
    range: RangeReport,
    misplaced: u64,
    residence: ResidenceReport,
    #[serde(skip)]
    text: String,
}

#[derive(Clone, Debug, Serialize)]
struct OmissionReport {
    /// `off`, `not_bound` or `not_checked`.
    kind: &'static str,
    page_lo: Option<u64>,
    page_hi: Option<u64>,
    node: Option<u32>,
    /// What the system said.
    reason: Option<String>,
}

impl PlacedReport {
    pub(crate) fn new(binding: Binding, report: &PlacementReport) -> Self {
        Self {
            binding: match binding {
                Binding::Strict => "strict",
                Binding::BestEffort => "best_effort",
                Binding::Off => "off",
            },
            is_complete: report.is_complete(),
            misplaced: report.misplaced(),
            ranges: report.ranges.iter().map(PlacedRangeReport::new).collect(),
            omissions: report.omissions.iter().map(OmissionReport::new).collect(),
            together: together(report),
        }
    }

    /// What is not as it was asked for: a word for programs and a sentence for people each.
    pub(crate) fn warnings(&self) -> Vec<(&'static str, String)> {
        let mut warnings = Vec::new();
        let unbound: Vec<&OmissionReport> =
            self.omissions.iter().filter(|omission| omission.kind == NOT_BOUND).collect();
        if let Some(first) = unbound.first() {
            let count = unbound.iter().fold(0_u64, |sum, one| sum.saturating_add(one.pages()));
            let pages = Plural(count, "page");
            let text = format!("{pages} could not be bound to a node: {}", first.reason());
            warnings.push((NOT_BOUND, text));
        }
        // That nothing is bound because it was asked for is no news.
        for omission in self.omissions.iter().filter(|one| ![NOT_BOUND, OFF].contains(&one.kind)) {
            let text =
                format!("the kernel does not say where the pages are: {}", omission.reason());
            warnings.push((omission.kind, text));
        }
        if let Some(first) = self.ranges.iter().find(|range| range.misplaced > 0) {
            let RangeReport { page_lo, page_hi, node, .. } = first.range;
            let are = if self.misplaced == 1 { "is" } else { "are" };
            let text = format!(
                "{} {are} not on the node planned; of pages [{page_lo}, {page_hi}) for node {node}: \
                 {}",
                Plural(self.misplaced, "page"),
                first.text
            );
            warnings.push(("misplaced", text));
        }
        warnings
    }
}

/// Where the pages of all ranges are.
fn together(report: &PlacementReport) -> Residence {
    let mut all = Residence::default();
    for PlacedRange { residence, .. } in &report.ranges {
        for (node, count) in &residence.on_node {
            let sum = all.on_node.entry(*node).or_default();
            *sum = sum.saturating_add(*count);
        }
        all.absent = all.absent.saturating_add(residence.absent);
        all.swapped = all.swapped.saturating_add(residence.swapped);
        all.unknown = all.unknown.saturating_add(residence.unknown);
    }
    all
}

impl PlacedRangeReport {
    fn new(placed: &PlacedRange) -> Self {
        Self {
            range: RangeReport::new(&placed.planned),
            misplaced: placed.misplaced(),
            residence: ResidenceReport::new(&placed.residence),
            text: placed.residence.to_string(),
        }
    }
}

impl OmissionReport {
    fn new(omission: &Omission) -> Self {
        let bare = |kind| Self { kind, page_lo: None, page_hi: None, node: None, reason: None };
        match omission {
            Omission::Off => bare(OFF),
            Omission::NotBound { pages, node, source } => Self {
                kind: NOT_BOUND,
                page_lo: Some(pages.start),
                page_hi: Some(pages.end),
                node: Some(node.get()),
                reason: Some(source.to_string()),
            },
            Omission::NotChecked { source } => {
                Self { reason: Some(source.to_string()), ..bare(NOT_CHECKED) }
            }
            _ => bare(NOT_CHECKED),
        }
    }

    fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or("it does not say why")
    }

    fn pages(&self) -> u64 {
        self.page_hi.unwrap_or(0).saturating_sub(self.page_lo.unwrap_or(0))
    }
}

impl fmt::Display for PlacedReport {
    /// Writes where the pages are, all sub-regions together.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.binding == "off" {
            return f.write_str("not bound, as was asked for");
        }
        if self.ranges.is_empty() {
            return f.write_str("not known");
        }
        write!(f, "{}", self.together)?;
        if self.is_complete { f.write_str(", as planned") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;
    use wksp_shmem::NodeIndex;

    fn report(binding: Binding, omissions: Vec<Omission>) -> PlacedReport {
        let mut report = PlacementReport::default();
        report.omissions = omissions;
        PlacedReport::new(binding, &report)
    }

    #[test]
    fn what_was_not_done_is_warned_of() {
        let not_bound = |pages| Omission::NotBound {
            pages,
            node: NodeIndex::new(1),
            source: Errno::EPERM.into(),
        };
        let not_checked = Omission::NotChecked { source: Errno::ENOSYS.into() };
        let omissions = vec![not_bound(0..3), not_bound(3..4), not_checked];
        let report = report(Binding::BestEffort, omissions);
        let warnings = report.warnings();
        let kinds: Vec<_> = warnings.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [NOT_BOUND, NOT_CHECKED]);
        assert!(warnings[0].1.starts_with("4 pages") && warnings[0].1.contains("not permitted"));
        assert!(warnings[1].1.contains("not implemented"), "{warnings:?}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json["binding"], &json["complete"]), (&"best_effort".into(), &false.into()));
        let first = &json["omissions"][0];
        assert_eq!((&first["page_hi"], &first["node"]), (&3.into(), &1.into()));
        assert!(json["omissions"][2]["node"].is_null(), "{json}");
    }

    #[test]
    fn what_was_left_out_on_purpose_is_no_news() {
        let report = report(Binding::Off, vec![Omission::Off]);
        assert!(report.warnings().is_empty());
        assert_eq!(report.to_string(), "not bound, as was asked for");
    }
}
