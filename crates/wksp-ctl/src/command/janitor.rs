//! `janitor`: recovers what the dead leave, so that programs that only spin go on as well.

use std::fmt;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;
use wksp_shmem::{Janitor, JanitorError, JanitorFinding};

use crate::failure::{self, Failure};
use crate::interrupt::Interrupt;
use crate::moment;
use crate::output::Outcome;
use crate::process::printable;
use crate::repair::RepairReport;
use crate::session::Session;
use crate::typed;

/// Watches all workspaces, and recovers those whose holder is dead, until it is asked to end.
///
/// It takes no lock from the living, whatever they do, nor from those of whom that cannot be told.
/// What is in the way, such as a region that may not be opened, is said once. --wait means nothing
/// here: each round looks at each lock for 50 ms at most.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl janitor                        # one line for each recovery; Ctrl-C or SIGTERM ends it
  wksp-ctl janitor --interval 0.1 --json
  wksp-ctl janitor --once                 # one round, such as by cron")]
pub(crate) struct Args {
    /// The time between two rounds.
    #[arg(long, value_name = "SECONDS", default_value = "1", allow_negative_numbers = true)]
    interval: String,
    /// Make one round; fail if a workspace cannot be recovered.
    #[arg(long, conflicts_with = "interval")]
    once: bool,
}

/// How to watch, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    interval: Duration,
    once: bool,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let interval = typed::seconds("--interval", &self.interval)?;
        Ok(Plan { interval, once: self.once })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let base = session.base()?;
        let interrupt = Interrupt::get().map_err(|error| {
            Failure::io("cannot wait for signals", &error, "make one round with --once")
        })?;
        // So that nothing is left half done, least of all by us.
        let _held = interrupt.hold();
        let mut janitor = Janitor::new(session.lock_options().single_pid_namespace);
        loop {
            let mut failure = None;
            for finding in janitor.round(base, session.page_size()) {
                if let Some(wrong) = say(session, finding)? {
                    failure.get_or_insert(wrong);
                }
            }
            if self.once {
                return Ok(Outcome { failure, ..Outcome::written() });
            }
            if interrupt.is_asked() || self.is_asked_meanwhile(interrupt)? {
                return Ok(Outcome::written());
            }
        }
    }
}

impl Plan {
    /// Waits for the next round, or until somebody asks to end.
    fn is_asked_meanwhile(&self, interrupt: &Interrupt) -> Result<bool, Failure> {
        // Longer than poll can wait means as long as it can.
        let timeout = PollTimeout::try_from(self.interval).unwrap_or(PollTimeout::MAX);
        let mut wake = [PollFd::new(interrupt.wake(), PollFlags::POLLIN)];
        match poll(&mut wake, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(interrupt.is_asked()),
            Err(errno) => Err(Failure::io(
                "cannot wait for the next round",
                &errno.into(),
                "make one round with --once",
            )),
        }
    }
}

/// Writes what was recovered, and says what is in the way; returns what was to be recovered and
/// cannot be.
fn say(session: &Session<'_>, finding: JanitorFinding) -> Result<Option<Failure>, Failure> {
    let failure = match finding.outcome {
        Ok(repair) => {
            let name = finding.file_name.unwrap_or_default();
            session.write(&Recovered {
                time: moment::utc(SystemTime::now()),
                name: name.to_string_lossy().into_owned(),
                page_size: finding.page_size.to_string(),
                repair: RepairReport::new(repair),
            })?;
            return Ok(None);
        }
        Err(JanitorError::Lock { name, source }) => {
            let failure = failure::lock(session.context(&name), &source);
            session.warn("not_recovered", &failure.cause);
            return Ok(Some(failure));
        }
        Err(JanitorError::Directory(error)) => failure::base(&error).cause,
        Err(JanitorError::Region(error)) => failure::region(&error).cause,
        Err(error) => error.to_string(),
    };
    session.notice("unreadable", &printable(&failure));
    Ok(None)
}

/// One line of the log.
#[derive(Debug, Serialize)]
struct Recovered {
    time: String,
    name: String,
    page_size: String,
    repair: RepairReport,
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, name, page_size, repair } = self;
        writeln!(f, "{time} {} ({page_size} pages): {repair}", printable(name))
    }
}
