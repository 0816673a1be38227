//! What goes through all records, and what an operation costs that does nothing: the lock.

use std::hint::black_box;

use wksp_core::Tag;

use crate::Effort;
use crate::report::{Report, Row, Sample, time};
use crate::subject::{Ours, Rounding, Subject};
use crate::trace::{Mix, Trace};

/// What the C implementation needs for each record, at 10^3 and at 10^6 allocations with three
/// records each: the targets are half of that.
const VERIFY_NS: [f64; 2] = [11.0, 180.0];
const REBUILD_NS: [f64; 2] = [50.0, 120.0];

/// Times the lock, usage, verification, a rebuild, and freeing by tag.
pub(crate) fn run(effort: Effort, report: &mut Report) {
    let workspace = Ours::new(Mix::Small, 1, Rounding::None).workspace;
    let group = "Upkeep";
    let rounds = (0..effort.rounds).map(|_| {
        time(effort.operations, || {
            for _ in 0..effort.operations {
                // Looked at where it is: moving it would cost as much as the lock.
                let guard = workspace.lock().unwrap();
                black_box(&guard);
            }
        })
    });
    report.add(Row {
        group: group.to_owned(),
        what: "lock and unlock, uncontended".to_owned(),
        n: 0,
        unit: "ns",
        ours: Sample::of(rounds.collect()),
        yardstick: None,
        target: Some(15.0),
    });
    let mut live = 1000;
    while live <= effort.live_max {
        let (mut usage, mut verify, mut rebuild, mut free_tagged) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let trace = Trace::new(Mix::Small, live, live, 0);
        for _ in 0..effort.rounds.min(3) {
            let ours = filled(&trace, live);
            let records = ours.workspace.workspace().geometry().part_max() as usize;
            let mut guard = ours.workspace.lock().unwrap();
            usage.push(time(records, || assert_eq!(guard.usage(None).used.count, live as u64)));
            verify.push(time(records, || assert!(guard.verify().is_clean())));
            rebuild.push(time(records, || guard.rebuild(None).unwrap()));
            let tag = Tag::new(1).unwrap();
            let freed =
                time(live, || assert_eq!(guard.free_tagged(tag).unwrap().count, live as u64));
            free_tagged.push(freed);
        }
        let halfway = |bounds: [f64; 2]| {
            let share = (live.ilog10() as f64 - 3.0) / 3.0;
            (bounds[0] * (bounds[1] / bounds[0]).powf(share) / 2.0).min(bounds[1] / 2.0)
        };
        for (what, unit, rounds, target) in [
            ("usage", "ns per record", usage, None),
            ("verify", "ns per record", verify, Some(halfway(VERIFY_NS))),
            ("rebuild", "ns per record", rebuild, Some(halfway(REBUILD_NS))),
            ("free by tag", "ns per allocation", free_tagged, None),
        ] {
            let (group, what, n) = (group.to_owned(), what.to_owned(), live);
            report.add(Row {
                group,
                what,
                n,
                unit,
                ours: Sample::of(rounds),
                yardstick: None,
                target,
            });
        }
        live *= 10;
    }
}

/// A workspace in which each allocation has been replaced once on average.
fn filled(trace: &Trace, live: usize) -> Ours {
    let mut ours = Ours::new(Mix::Small, live, Rounding::None);
    let mut at: Vec<u64> = trace.fill.iter().map(|&bytes| ours.alloc(bytes)).collect();
    for &(which, bytes) in &trace.churn {
        ours.free(at[which]);
        at[which] = ours.alloc(bytes);
    }
    ours
}
