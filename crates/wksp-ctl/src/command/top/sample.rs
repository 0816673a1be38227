//! What is seen of all workspaces at one time, and what has changed since the last time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use wksp_core::Holder;
use wksp_shmem::{ListEntry, PageSize, RegionId, describe, joiners, list};

use crate::failure::{self, Failure};
use crate::look::{DoubtReport, Sight};
use crate::process::{holder_pid, printable};
use crate::session::Session;
use crate::summary::LockSummary;
use crate::value;

/// For so long an answer that is not certain is asked for again: the next look is not far.
const PATIENCE: Duration = Duration::from_millis(5);

/// All workspaces at one time.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Listing {
    pub(super) base: String,
    #[serde(rename = "workspaces")]
    pub(super) rows: Vec<Row>,
}

/// One workspace at one time.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) page_size: String,
    /// The bytes of the region, `None` if it is none.
    pub(super) bytes: Option<u64>,
    /// What there is to be seen of the workspace, `None` if it cannot be looked at.
    pub(super) activity: Option<Activity>,
    /// Why it cannot be looked at.
    #[serde(rename = "why")]
    pub(super) error: Option<String>,
    #[serde(skip)]
    pub(super) key: Key,
}

/// What a workspace is called for certain.
pub(super) type Key = (String, PageSize);

#[derive(Clone, Debug, Serialize)]
pub(super) struct Activity {
    pub(super) data_max: u64,
    pub(super) used_bytes: u64,
    pub(super) largest_free_bytes: u64,
    pub(super) lock: LockSummary,
    /// The command of the holder.
    pub(super) holder_command: Option<String>,
    /// For how long the same process was seen to hold the lock without a change.
    pub(super) held_ms: Option<u64>,
    /// How many processes show themselves as joined.
    pub(super) joined_count: Option<u64>,
    /// Changes of the index in a second, since the last look.
    pub(super) changes_per_s: Option<f64>,
    pub(super) doubt: Option<DoubtReport>,
}

/// Looks at all workspaces.
///
/// None is kept open in between: somebody may want to remove it, or to prove that nobody uses it.
pub(super) struct Sampler<'s> {
    session: &'s Session<'s>,
    watched: BTreeMap<Key, Watched>,
}

/// What a workspace was like at the last look.
struct Watched {
    /// Which one it was: another one may have come to be under that name.
    id: RegionId,
    looked: Option<(Instant, u64)>,
    /// Who holds the lock, and since when nothing else was seen.
    held: Option<(Holder, u64, Instant)>,
}

impl<'s> Sampler<'s> {
    pub(super) fn new(session: &'s Session<'s>) -> Result<Self, Failure> {
        session.base()?;
        Ok(Self { session, watched: BTreeMap::new() })
    }

    /// Looks at everything there is now.
    pub(super) fn sample(&mut self) -> Result<Listing, Failure> {
        let base = self.session.base()?;
        let listing = list(base);
        let wanted = |size: PageSize| self.session.page_size().is_none_or(|wanted| wanted == size);
        let entries: Vec<ListEntry> =
            listing.entries.into_iter().filter(|entry| wanted(entry.page_size)).collect();
        let rows: Vec<Row> = entries.iter().map(|entry| self.row(entry)).collect();
        self.watched.retain(|key, _| rows.iter().any(|row| row.key == *key));
        Ok(Listing { base: base.path().display().to_string(), rows })
    }

    /// The workspace of a row, to be looked at and closed again.
    pub(super) fn sight(&self, key: &Key) -> Result<Sight, Failure> {
        Sight::open_pages(self.session, &value::name(&key.0)?, Some(key.1))
    }

    fn row(&mut self, entry: &ListEntry) -> Row {
        let name = printable(&entry.file_name.to_string_lossy());
        let key = (entry.file_name.to_string_lossy().into_owned(), entry.page_size);
        let (bytes, activity) = match &entry.info {
            Ok(info) => {
                let activity = self.activity(&key);
                (Some(info.bytes.get() as u64), activity)
            }
            Err(error) => (None, Err(failure::region(error))),
        };
        let error = activity.as_ref().err().map(|failure| printable(&failure.cause));
        if error.is_some() {
            self.watched.remove(&key);
        }
        let page_size = entry.page_size.to_string();
        Row { name, page_size, bytes, activity: activity.ok(), error, key }
    }

    fn activity(&mut self, key: &Key) -> Result<Activity, Failure> {
        let sight = self.sight(key)?;
        let new = Watched { id: sight.region().info().id, looked: None, held: None };
        let watched = self.watched.remove(key).filter(|watched| watched.id == new.id);
        let watched = self.watched.entry(key.clone()).or_insert(watched.unwrap_or(new));
        watched.look(&sight)
    }
}

impl Watched {
    fn look(&mut self, sight: &Sight) -> Result<Activity, Failure> {
        let seen = sight.glance(PATIENCE, |view| view.usage(None))?;
        let observer = sight.observer()?;
        let (holder, cycle_tag, now) = (observer.holder(), observer.cycle_tag(), Instant::now());
        let changes_per_s = self.looked.and_then(|(before, tag)| {
            let seconds = now.duration_since(before).as_secs_f64();
            let count = u32::try_from(cycle_tag.checked_sub(tag)?).ok()?;
            (seconds > 0.0).then(|| f64::from(count) / seconds)
        });
        self.looked = Some((now, cycle_tag));
        self.held = holder.map(|holder| match self.held {
            Some(held) if (held.0, held.1) == (holder, cycle_tag) => held,
            _ => (holder, cycle_tag, now),
        });
        let held_ms = self.held.map(|(.., since)| {
            u64::try_from(now.duration_since(since).as_millis()).unwrap_or(u64::MAX)
        });
        let info = holder.and_then(holder_pid).and_then(|pid| describe(pid, None));
        Ok(Activity {
            data_max: seen.value.data_max,
            used_bytes: seen.value.used.bytes,
            largest_free_bytes: seen.value.free.largest_bytes,
            lock: LockSummary::new(holder),
            holder_command: info.map(|info| printable(&info.command)),
            held_ms,
            joined_count: joiners(sight.region()).ok().map(|joiners| joiners.list.len() as u64),
            changes_per_s,
            doubt: seen.doubt.map(DoubtReport::new),
        })
    }
}
