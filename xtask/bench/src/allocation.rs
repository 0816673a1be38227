//! Allocating, replacing, asking and freeing, with so many allocations alive.

use std::hint::black_box;

use crate::Effort;
use crate::report::{Report, Row, Sample, time};
use crate::subject::{Maps, Ours, Rounding, Subject};
use crate::trace::{Mix, Trace};

/// What is timed, in this order, and the ratios to the yardstick that are aimed at, for 10^3, 10^4,
/// 10^5 and 10^6 live allocations.
const OPERATIONS: [(&str, [f64; 4]); 4] = [
    ("fill", [0.12; 4]),
    ("churn", [0.20; 4]),
    ("tag", [0.12, 0.12, 0.35, 1.0]),
    ("drain", [0.20, 0.20, 0.35, 0.35]),
];

/// Times every mix at every number of live allocations.
pub(crate) fn run(effort: Effort, report: &mut Report) {
    for (mix, rounding, name) in [
        (Mix::Small, Rounding::Up, "64 B to 32 KiB at multiples of 16, alloc_at_least"),
        (Mix::Small, Rounding::None, "64 B to 32 KiB at multiples of 16, alloc"),
        (Mix::Pages, Rounding::None, "1 to 31 pages at multiples of 4096, alloc"),
    ] {
        let mut live = 1000;
        while live <= effort.live_max {
            let trace = Trace::new(mix, live, effort.operations, effort.operations);
            let rounds = if live >= 1_000_000 { effort.rounds.min(3) } else { effort.rounds };
            let (mut ours, mut maps) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                maps.push(go_through(&mut Maps::new(mix, live), &trace));
                ours.push(go_through(&mut Ours::new(mix, live, rounding), &trace));
            }
            let sample = |rounds: &[[f64; 4]], at: usize| {
                Sample::of(rounds.iter().map(|round| round[at]).collect())
            };
            for (at, (what, targets)) in OPERATIONS.iter().enumerate() {
                report.add(Row {
                    group: format!("Allocation: {name}"),
                    what: (*what).to_owned(),
                    n: live,
                    unit: "ns each",
                    ours: sample(&ours, at),
                    yardstick: Some(sample(&maps, at)),
                    target: targets.get(live.ilog10() as usize - 3).copied(),
                });
            }
            live *= 10;
        }
    }
}

/// Goes through a trace, and returns the nanoseconds of each kind of operation.
fn go_through(subject: &mut impl Subject, trace: &Trace) -> [f64; 4] {
    let mut live = Vec::with_capacity(trace.fill.len());
    let fill = time(trace.fill.len(), || {
        live.extend(trace.fill.iter().map(|&bytes| subject.alloc(bytes)));
    });
    let churn = time(trace.churn.len(), || {
        for &(at, bytes) in &trace.churn {
            subject.free(live[at]);
            live[at] = subject.alloc(bytes);
        }
    });
    let tag = time(trace.asked.len(), || {
        for &at in &trace.asked {
            black_box(subject.tag(live[at]));
        }
    });
    // In the order in which they were made, as far as they were not replaced.
    let drain = time(live.len(), || {
        for &at in &live {
            subject.free(at);
        }
    });
    [fill, churn, tag, drain]
}
