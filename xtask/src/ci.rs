//! `cargo xtask ci`: a table of steps, each run in turn however the ones before it ended.

mod steps;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::tally::Tally;
use steps::{STEPS, Step};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only say what the machine lacks, and fail, rather than install it
    #[arg(long)]
    no_install: bool,
    /// List the steps and stop
    #[arg(long)]
    list: bool,
    /// Run this step only; may be given more than once
    #[arg(long = "step", value_name = "NAME", value_parser = step_names())]
    steps: Vec<String>,
    /// Fail if there are no golden files, rather than skip their tests
    #[arg(long)]
    require_golden: bool,
}

fn step_names() -> Vec<&'static str> {
    STEPS.iter().map(|step| step.name).collect()
}

/// How a step ended, and how long it took.
struct Outcome {
    step: &'static Step,
    tally: Tally,
    took: Duration,
}

impl Outcome {
    fn of(step: &'static Step, options: &Options) -> Self {
        println!("\n== {}: {}", step.name, step.does);
        let start = Instant::now();
        let tally = (step.run)(options).unwrap_or_else(|error| {
            println!("error: {error:#}");
            Tally { fault: Some(format!("{error:#}")), ..Tally::default() }
        });
        Self { step, tally, took: start.elapsed() }
    }

    /// The row in the closing table.
    fn row(&self) -> String {
        let Tally { passed, failed, skipped, fault } = &self.tally;
        let result = match fault {
            Some(_) => "FAILED",
            None if *passed == 0 && !skipped.is_empty() => "SKIPPED",
            None => "ok",
        };
        let mut remarks = Vec::new();
        if !self.tally.is_empty() {
            remarks.push(format!("{passed} passed, {failed} failed, {} skipped", skipped.len()));
        }
        remarks.extend(fault.iter().filter_map(|fault| fault.lines().next()).map(str::to_owned));
        let (name, seconds) = (self.step.name, self.took.as_secs_f64());
        let row = format!("{name:8}  {result:7}  {seconds:7.1}  {}", remarks.join("; "));
        row.trim_end().to_owned()
    }
}

/// Runs the steps asked for, all of them if none is named, and sums them up.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.list {
        for step in STEPS {
            println!("{:8}  {}", step.name, step.does);
        }
        return Ok(());
    }
    let wanted = |step: &&Step| {
        options.steps.is_empty() || options.steps.iter().any(|name| name == step.name)
    };
    let steps: Vec<&'static Step> = STEPS.iter().filter(wanted).collect();
    let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
    println!("All checks of wksp, or those asked for: {}.", names.join(", "));
    let outcomes: Vec<Outcome> = steps.into_iter().map(|step| Outcome::of(step, options)).collect();
    sum_up(&outcomes)
}

/// Prints the closing table and fails if any step did.
fn sum_up(outcomes: &[Outcome]) -> Result<()> {
    println!("\nstep      result   seconds  remarks");
    for outcome in outcomes {
        println!("{}", outcome.row());
    }
    for (step, reason) in outcomes
        .iter()
        .flat_map(|outcome| outcome.tally.skipped.iter().map(|reason| (outcome.step, reason)))
    {
        println!("SKIPPED in {}: {reason}", step.name);
    }
    let sum = |count: fn(&Tally) -> u64| outcomes.iter().map(|o| count(&o.tally)).sum::<u64>();
    let skipped: usize = outcomes.iter().map(|outcome| outcome.tally.skipped.len()).sum();
    let (passed, failed) = (sum(|tally| tally.passed), sum(|tally| tally.failed));
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    let faulty: Vec<&str> = outcomes
        .iter()
        .filter(|outcome| outcome.tally.fault.is_some())
        .map(|outcome| outcome.step.name)
        .collect();
    if !faulty.is_empty() {
        bail!("these steps failed: {}", faulty.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(tally: Tally) -> Outcome {
        Outcome { step: &STEPS[0], tally, took: Duration::from_millis(1250) }
    }

    #[test]
    fn rows_say_what_happened() {
        let name = STEPS[0].name;
        let row = |tally| outcome(tally).row().replace(name, "NAME").replace("  ", " ");
        assert!(row(Tally::default()).contains("ok"));
        let skipped = Tally { skipped: vec!["x: why".into()], ..Tally::default() };
        assert!(row(skipped).ends_with("0 passed, 0 failed, 1 skipped"));
        let failed = Tally { failed: 1, fault: Some("it broke\nhere".into()), ..Tally::default() };
        assert!(row(failed).ends_with("0 passed, 1 failed, 0 skipped; it broke"));
    }

    #[test]
    fn a_faulty_step_fails_the_whole() {
        assert!(sum_up(&[outcome(Tally::default())]).is_ok());
        let fault = Tally { fault: Some("it broke".into()), ..Tally::default() };
        let error = sum_up(&[outcome(Tally::default()), outcome(fault)]).unwrap_err();
        assert!(error.to_string().contains(STEPS[0].name));
    }
}
