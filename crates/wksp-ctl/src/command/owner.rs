//! `owner`: who holds the lock of a workspace and who has joined it; breaking the lock.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use wksp_core::{Holder, Name, Observer};
use wksp_shmem::{Region, SharedWorkspace};

use crate::confirm::confirm;
use crate::failure::{self, Failure, Kind};
use crate::look::Sight;
use crate::output::Outcome;
use crate::process::{Others, Process, holder_pid};
use crate::repair::RepairReport;
use crate::session::Session;
use crate::summary::LockSummary;
use crate::{typed, value};

/// Shows who holds the lock, what it does, and who has joined; --break takes the lock from it.
///
/// A holder that is dead needs no breaking: any other command takes over from it. Breaking is for
/// one that cannot be shown to be dead, but is gone for good as you know.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl owner demo
  wksp-ctl owner demo --watch 5  # does it move?
  wksp-ctl owner demo --break    # asks; only if the holder never comes back")]
pub(crate) struct Args {
    /// The workspace.
    name: String,
    /// For how long to watch whether the holder does anything.
    #[arg(long, value_name = "SECONDS", default_value = "0.2", allow_negative_numbers = true)]
    watch: String,
    /// Take the lock from the holder, repair what it left, and give the lock back.
    #[arg(long = "break")]
    break_lock: bool,
    /// Do not ask before breaking.
    #[arg(long, requires = "break_lock")]
    yes: bool,
}

/// What to show or break, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    name: Name,
    watch: Duration,
    break_lock: bool,
    yes: bool,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        Ok(Plan {
            name: value::name(&self.name)?,
            watch: typed::seconds("--watch", &self.watch)?,
            break_lock: self.break_lock,
            yes: self.yes,
        })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let name = &self.name;
        let sight = Sight::open_pages(session, name, session.page_size())?;
        let region = sight.region();
        let others = Others::of(region).map_err(|error| {
            let remedy = "look with `fuser` or `lsof` instead";
            Failure::io(format_args!("cannot find out who has joined {name}"), &error, remedy)
        })?;
        let watched = self.watch(&sight.observer()?);
        let mut report = Report {
            name: name.to_string(),
            lock: LockSummary::new(watched.as_ref().map(|watched| watched.holder)),
            holder: watched.as_ref().and_then(|watched| describe(watched.holder, region)),
            held_ms: watched.as_ref().map(|watched| watched.held_ms),
            is_idle: watched.as_ref().map(|watched| watched.is_idle),
            broken: None,
            others,
        };
        if self.break_lock {
            match watched {
                Some(watched) => {
                    let shared = session.attach(name)?;
                    report.broken = Some(self.break_lock(&shared, watched.holder, &report)?);
                }
                None => session.inform("not_locked", &format!("nobody holds the lock of {name}")),
            }
        }
        Ok(Outcome::done(report))
    }
}

/// What was seen of a holder.
struct Watched {
    holder: Holder,
    /// For how long it held the lock while it was watched.
    held_ms: u64,
    /// Whether it changed nothing meanwhile.
    is_idle: bool,
}

const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Plan {
    /// Looks at the lock for a while, or until it changes hands.
    fn watch(&self, workspace: &Observer<'_>) -> Option<Watched> {
        let (holder, cycle_tag) = (workspace.holder()?, workspace.cycle_tag());
        let began = Instant::now();
        let mut held = Duration::ZERO;
        while held < self.watch {
            thread::sleep(LOOK_EVERY.min(self.watch.saturating_sub(held)));
            match workspace.holder() {
                None => return None,
                Some(now) if now != holder => break,
                Some(_) => held = began.elapsed(),
            }
        }
        Some(Watched {
            holder,
            held_ms: u64::try_from(held.as_millis()).unwrap_or(u64::MAX),
            is_idle: workspace.cycle_tag() == cycle_tag,
        })
    }

    /// Takes the lock from exactly this holder, and repairs what it left.
    fn break_lock(
        &self,
        shared: &SharedWorkspace,
        holder: Holder,
        report: &Report,
    ) -> Result<Broken, Failure> {
        let name = &self.name;
        let who = report.holder.as_ref().map_or_else(|| holder.to_string(), ToString::to_string);
        confirm(
            &format!(
                "break the lock of {name}, held by {who}; if that ever goes on, allocations can be lost"
            ),
            self.yes,
        )?;
        let changed = || {
            Failure::new(
                Kind::Busy,
                format_args!("the lock of {name} is no longer held by {holder}: it was not broken"),
                "look again; whoever has it now is another one",
            )
        };
        let salvage = shared
            .workspace()
            .break_lock(holder)
            .map_err(|error| failure::stranger(name, error))?
            .ok_or_else(changed)?;
        let guard =
            salvage.recover().map_err(|(_, error)| failure::not_rebuildable(name, &error))?;
        let repair = guard.repair().map(RepairReport::new);
        Ok(Broken { pid: holder_pid(holder), rebuilt: repair.is_some_and(|r| r.rebuilt) })
    }
}

fn describe(holder: Holder, region: &Region) -> Option<Process> {
    holder_pid(holder).map(|pid| Process::here(pid, Some(region)))
}

#[derive(Debug, Serialize)]
struct Report {
    name: String,
    /// As it was before anything was broken.
    lock: LockSummary,
    holder: Option<Process>,
    /// For how long the holder was watched holding it; it may have held it longer.
    held_ms: Option<u64>,
    /// Whether it changed nothing while it was watched.
    #[serde(rename = "holder_idle")]
    is_idle: Option<bool>,
    broken: Option<Broken>,
    #[serde(flatten)]
    others: Others,
}

#[derive(Debug, Serialize)]
struct Broken {
    pid: Option<u32>,
    rebuilt: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, lock, .. } = self;
        match (&self.holder, lock.state) {
            (_, "free") => writeln!(f, "{name}: nobody holds the lock")?,
            (None, _) => writeln!(f, "{name}: the lock is held by whoever formats it")?,
            (Some(holder), _) => writeln!(f, "{name}: the lock is held by {holder}")?,
        }
        if let (Some(held_ms), Some(is_idle)) = (self.held_ms, self.is_idle) {
            let what = if is_idle { "changed nothing" } else { "changed the index" };
            writeln!(f, "  it was watched for {held_ms} ms and {what} meanwhile")?;
        }
        if let (Some(holder), true) = (&self.holder, self.broken.is_none()) {
            if !holder.is_seen() {
                writeln!(f, "  if it is dead, `wksp-ctl check {name}` recovers the workspace")?;
            } else if matches!(holder.state, Some('T' | 't')) {
                writeln!(f, "  it is stopped: `kill -CONT {}` lets it go on", holder.own_pid)?;
            }
        }
        if let Some(Broken { rebuilt, .. }) = &self.broken {
            let index = if *rebuilt { "was damaged and has been rebuilt" } else { "is sound" };
            writeln!(f, "  broken: the lock is free again; the index {index}")?;
        }
        match self.others.list.len() {
            0 => writeln!(f, "joined: nobody else"),
            _ => write!(f, "joined:\n{}", self.others),
        }
    }
}
