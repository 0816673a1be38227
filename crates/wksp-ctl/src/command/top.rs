//! `top`: all workspaces, again and again.

mod columns;
mod display;
mod sample;

use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::{Duration, Instant};

use self::columns::{Column, lay_out};
use self::sample::{Listing, Sampler};
use crate::failure::{Failure, Kind};
use crate::interrupt::Interrupt;
use crate::output::{Outcome, Report, unless_closed};
use crate::screen::ColourWhen;
use crate::session::Session;
use crate::typed;
use crate::value;

/// Watches all workspaces: what is used, who holds which lock, how much changes.
///
/// On a terminal it stays on the screen, and q ends it; elsewhere it prints a table each time. It
/// takes no lock, and the permission to read a workspace is enough.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys:
  up, down, j, k  select a workspace
  Enter           show its map; Esc goes back
  n s u l c p o   sort by name, size, use, largest free, changes, processes, owner
  r               reverse the order
  q               quit

Examples:
  wksp-ctl top
  wksp-ctl top --once
  wksp-ctl top --json --count 3 --delay 0.5")]
pub(crate) struct Args {
    /// How long to wait between two looks.
    #[arg(long, value_name = "SECONDS", default_value = "1", allow_negative_numbers = true)]
    delay: String,
    /// Look so many times and end.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    count: Option<String>,
    /// Print once and end, also on a terminal.
    #[arg(long, conflicts_with = "count")]
    once: bool,
    /// Where to use colours; auto is on a terminal, unless NO_COLOR is set.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: ColourWhen,
}

/// How to watch, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    delay: Duration,
    /// `None` without end.
    count: Option<u64>,
    once: bool,
    color: ColourWhen,
}

/// The shortest delay: nobody can read faster than that.
const DELAY_MIN: Duration = Duration::from_millis(50);
/// How often it is looked whether somebody asks to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let count = self.count.as_ref().map(|text| value::count("--count", text)).transpose()?;
        Ok(Plan {
            delay: typed::seconds("--delay", &self.delay)?.max(DELAY_MIN),
            count: if self.once { Some(1) } else { count },
            once: self.once,
            color: self.color,
        })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let mut sampler = Sampler::new(session)?;
        let is_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
        if is_terminal && !self.once && !session.is_json() {
            let display = display::Display::new(self.delay, self.count, self.color.decide());
            let interrupt = Interrupt::get().map_err(|error| {
                Failure::io("cannot take care of Ctrl-C", &error, "see `ulimit -n` and try again")
            })?;
            display.run(session, &mut sampler, interrupt)?;
        } else {
            self.print(session, &mut sampler)?;
        }
        Ok(Outcome::written())
    }
}

impl Plan {
    /// Prints a table or a document each time, until nobody reads any more.
    fn print(&self, session: &Session<'_>, sampler: &mut Sampler<'_>) -> Result<(), Failure> {
        let mut left = self.count;
        while left != Some(0) {
            let listing = sampler.sample()?;
            let mut text = Vec::new();
            let written = if session.is_json() {
                listing.json("top", &mut text)
            } else {
                write!(text, "{listing}")
            };
            let is_last = left == Some(1);
            let written = written.and_then(|()| {
                if !is_last && !session.is_json() {
                    writeln!(text)?;
                }
                let mut stdout = io::stdout().lock();
                stdout.write_all(&text).and_then(|()| stdout.flush())
            });
            if let Err(error) = written {
                return unless_closed(error);
            }
            left = left.map(|left| left.saturating_sub(1));
            let began = Instant::now();
            if left != Some(0) {
                thread::sleep(self.delay.saturating_sub(began.elapsed()));
            }
        }
        Ok(())
    }
}

/// Somebody asked to end.
fn ended() -> Failure {
    Failure::new(Kind::Interrupted, "asked to end", "")
}

impl std::fmt::Display for Listing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        lay_out(&self.rows, &Column::ALL, usize::MAX)
            .lines
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}
