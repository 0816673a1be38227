//! The long form: as many kills as are asked for, in rounds, each with the whole check at its end.

use std::env;
use std::panic;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::killer::{Killer, Kills};
use crate::torture::Scene;

/// Few enough that a worker that begins again has soon read its journal.
const OPERATIONS_PER_ROUND: u64 = 400_000;

/// How long it is to be.
pub(crate) struct Long {
    kills: u64,
    at_least: Duration,
    on_huge_pages: bool,
}

/// What the rounds add up to.
#[derive(Default)]
struct Sums {
    rounds: u64,
    operations: u64,
    kills: Kills,
    taken_over: u64,
    rebuilt: u64,
}

/// The long form that the environment asks for, if it does.
pub(crate) fn wanted() -> Option<Long> {
    let number = |name| env::var(name).ok().map(|value| value.parse().unwrap());
    let kills = number("WKSP_KILLS")?;
    let at_least = Duration::from_secs(number("WKSP_KILLS_SECONDS").unwrap_or(0));
    Some(Long { kills, at_least, on_huge_pages: env::var_os("WKSP_KILLS_HUGE").is_some() })
}

impl Long {
    pub(crate) fn run(&self) -> ExitCode {
        match panic::catch_unwind(|| self.rounds()) {
            Ok(Ok(())) => ExitCode::SUCCESS,
            Ok(Err(lacking)) => {
                wksp_testkit::skip::skip(lacking);
                ExitCode::SUCCESS
            }
            Err(_) => ExitCode::FAILURE,
        }
    }

    /// Returns why it cannot be, if it cannot.
    fn rounds(&self) -> Result<(), String> {
        let began = Instant::now();
        let mut sums = Sums::default();
        while sums.kills.all < self.kills || began.elapsed() < self.at_least {
            let mut scene = if self.on_huge_pages {
                Scene::on_a_huge_page(OPERATIONS_PER_ROUND)?
            } else {
                Scene::new(OPERATIONS_PER_ROUND)
            };
            let kills = Killer::new(sums.rounds).haunt(&mut scene);
            let (taken_over, rebuilt) = scene.check();
            sums.rounds += 1;
            sums.operations += OPERATIONS_PER_ROUND;
            sums.kills.all += kills.all;
            sums.kills.inside += kills.inside;
            sums.taken_over += taken_over;
            sums.rebuilt += rebuilt;
        }
        self.print(&sums, began.elapsed());
        let Kills { all, inside } = sums.kills;
        assert!(inside * 5 >= all, "only {inside} of {all} kills have hit the lock");
        Ok(())
    }

    fn print(&self, sums: &Sums, took: Duration) {
        let Sums { rounds, operations, kills: Kills { all, inside }, taken_over, rebuilt } = sums;
        let pages = if self.on_huge_pages { "huge" } else { "normal" };
        let seconds = took.as_secs_f64();
        println!();
        println!("pages   rounds  operations   kills  inside  recoveries  rebuilt  seconds");
        println!(
            "{pages:6}  {rounds:6}  {operations:10}  {all:6}  {inside:6}  {taken_over:10}  \
             {rebuilt:7}  {seconds:7.1}"
        );
    }
}
