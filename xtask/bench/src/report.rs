//! The figures: taken by turns, printed as a table as they come, and written as JSON.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// One figure and what it is compared with.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// What it belongs to.
    pub(crate) group: String,
    /// What was timed.
    pub(crate) what: String,
    /// How many allocations were live, or the like; 0 if that means nothing.
    pub(crate) n: usize,
    /// What the figures count.
    pub(crate) unit: &'static str,
    /// Ours.
    pub(crate) ours: Sample,
    /// The yardstick, if there is one.
    pub(crate) yardstick: Option<Sample>,
    /// What ours, or its ratio to the yardstick, is meant to be at most.
    pub(crate) target: Option<f64>,
}

/// The median of some rounds, and how far they are apart.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    /// The median.
    pub(crate) median: f64,
    /// The highest less the lowest, as a share of the median.
    pub(crate) spread: f64,
}

impl Sample {
    /// Of the rounds, of which there must be one.
    pub(crate) fn of(mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        let median = rounds[rounds.len() / 2];
        Self { median, spread: (rounds[rounds.len() - 1] - rounds[0]) / median }
    }
}

impl Row {
    /// Ours as a share of the yardstick.
    fn ratio(&self) -> Option<f64> {
        Some(self.ours.median / self.yardstick?.median)
    }
}

/// All figures so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Prints and keeps a figure.
    pub(crate) fn add(&mut self, row: Row) {
        if self.rows.last().is_none_or(|last| last.group != row.group) {
            println!("\n{}", row.group);
            println!(
                "{:34} {:>9} {:>10} {:>7} {:>10} {:>7} {:>7} {:>7}",
                "", "n", "ours", "spread", "yardstick", "spread", "ratio", "target"
            );
        }
        let sample = |sample: Option<Sample>| {
            let Some(Sample { median, spread }) = sample else { return format!("{:18}", "") };
            format!("{median:10.1} {:6.0}%", spread * 100.0)
        };
        let number =
            |number: Option<f64>| number.map_or(String::new(), |number| format!("{number:.2}"));
        let n = if row.n == 0 { String::new() } else { row.n.to_string() };
        println!(
            "{:34} {n:>9} {} {} {:>7} {:>7}",
            format!("{}, {}", row.what, row.unit),
            sample(Some(row.ours)),
            sample(row.yardstick),
            number(row.ratio()),
            number(row.target)
        );
        self.rows.push(row);
    }

    /// Writes all figures, one object a line.
    pub(crate) fn write_json(&self, path: &Path) -> anyhow::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        for row in &self.rows {
            serde_json::to_writer(&mut file, row)?;
            writeln!(file)?;
        }
        Ok(file.flush()?)
    }
}

/// The nanoseconds that each of `count` pieces of work took the calling thread on the processor.
pub(crate) fn time(count: usize, work: impl FnOnce()) -> f64 {
    let began = on_processor();
    work();
    (on_processor() - began).as_nanos() as f64 / count as f64
}

fn on_processor() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}
