//! Looking at a workspace: without its lock, or with it where that was asked for.

use std::cell::Cell;
use std::time::Duration;

use serde::Serialize;
use wksp_core::{Doubt, Geometry, Name, Observed, Observer, View};
use wksp_shmem::{PageSize, ReadOnlyMapping, Region, SharedWorkspace, look_for};

use crate::failure::{self, Failure};
use crate::process::holder_pid;
use crate::session::Session;

/// How a workspace is looked at.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct LookArgs {
    /// Wait for the lock and look while holding it, recovering what a dead process left.
    ///
    /// Without it nothing is taken, waited for or written, and the permission to read is enough.
    #[arg(long)]
    lock: bool,
}

/// For so long answers that are not certain are asked for again.
///
/// An operation takes microseconds, so who still holds the lock then does something that takes long,
/// or nothing any more.
const PATIENCE: Duration = Duration::from_millis(100);

/// A workspace that is looked at.
#[derive(Debug)]
pub(crate) struct Sight {
    mapping: ReadOnlyMapping,
    /// The same workspace attached, if its lock is to be taken.
    locked: Option<SharedWorkspace>,
    /// Whether it was said that something is in doubt.
    is_told: Cell<bool>,
}

impl Sight {
    /// Opens the workspace called `name`, to be looked at as was asked for.
    pub(crate) fn open(session: &Session<'_>, name: &Name, how: LookArgs) -> Result<Self, Failure> {
        let mut sight = Self::open_pages(session, name, session.page_size())?;
        if how.lock {
            sight.locked = Some(session.attach(name)?);
        }
        Ok(sight)
    }

    /// Opens the workspace called `name` that has pages of this size, without ever locking it.
    pub(crate) fn open_pages(
        session: &Session<'_>,
        name: &Name,
        page_size: Option<PageSize>,
    ) -> Result<Self, Failure> {
        let failed = |error| failure::attach(name, &error);
        let mapping = ReadOnlyMapping::open(session.base()?, name, page_size).map_err(failed)?;
        // What holds no workspace is refused at once.
        mapping.observer().map_err(failed)?;
        Ok(Self { mapping, locked: None, is_told: Cell::new(false) })
    }

    /// The region.
    pub(crate) const fn region(&self) -> &Region {
        self.mapping.region()
    }

    /// The observer, as long as there is a workspace.
    pub(crate) fn observer(&self) -> Result<Observer<'_>, Failure> {
        let name = self.region().info().name;
        self.mapping.observer().map_err(|error| failure::attach(&name, &error))
    }

    /// The numbers of records and bytes.
    pub(crate) fn geometry(&self) -> Result<Geometry, Failure> {
        self.observer().map(|observer| *observer.geometry())
    }

    /// Looks without the lock and without a word, for so long at most if it is not certain.
    pub(crate) fn glance<T>(
        &self,
        patience: Duration,
        look: impl FnMut(View<'_>) -> T,
    ) -> Result<Observed<T>, Failure> {
        Ok(self.observer()?.observe(look, look_for(patience)))
    }

    /// Looks, and says so once if what was seen is in doubt.
    pub(crate) fn look<T>(
        &self,
        session: &Session<'_>,
        mut look: impl FnMut(View<'_>) -> T,
    ) -> Result<Observed<T>, Failure> {
        if let Some(shared) = &self.locked {
            let value = session.locked(shared, |guard| Ok(look(guard.view())))?;
            return Ok(Observed { value, doubt: None });
        }
        let seen = self.glance(PATIENCE, look)?;
        if let Some(doubt) = seen.doubt
            && !self.is_told.replace(true)
        {
            let name = &self.region().info().name;
            session.notice("in_doubt", &format!("{name}: {}", explain(name, doubt)));
        }
        Ok(seen)
    }
}

/// Why an answer is in doubt, and what to do about it.
fn explain(name: &Name, doubt: Doubt) -> String {
    let during = if doubt.is_changed { "it was being changed" } else { "it may be being changed" };
    match doubt.holder {
        Some(holder) => format!(
            "{during} by {holder}, which holds the lock, so what was seen is not certain; `wksp-ctl \
             owner {name}` shows what that does, `wksp-ctl check {name}` recovers if it is dead"
        ),
        None => format!("{during} all the time, so what was seen is not certain; --lock waits"),
    }
}

/// Why an answer is not certain, as JSON has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct DoubtReport {
    /// Who held the lock, `None` if nobody did or whoever did is not known.
    holder_pid: Option<u32>,
    /// Whether the index was certainly changed meanwhile.
    #[serde(rename = "changed")]
    is_changed: bool,
}

impl DoubtReport {
    pub(crate) fn new(doubt: Doubt) -> Self {
        let Doubt { holder, is_changed } = doubt;
        Self { holder_pid: holder.and_then(holder_pid), is_changed }
    }
}
