//! A process as one of those who share a workspace: what it is called, and how it waits.

use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use wksp_core::{Holder, OwnerId, Party, Stranger, Verdict};

use crate::activity::{Activity, Snapshot};
use crate::incarnation::Incarnation;
use crate::liveness::{self, Evidence};
use crate::presence::{self, Joiner};
use crate::procfs::OwnMaps;
use crate::region::Region;

/// For so long a waiter spins.
const SPIN: Duration = Duration::from_micros(5);
/// For so long a waiter only lets other threads go first; then it sleeps and looks for evidence.
const YIELD: Duration = Duration::from_micros(100);
/// For so long a search is not worth while if a process of the holder's id is there.
const EARLY: Duration = Duration::from_millis(1);
/// The shortest sleep, doubled each time.
const SLEEP_MIN: Duration = Duration::from_micros(20);
/// The longest sleep.
const SLEEP_MAX: Duration = Duration::from_millis(1);
/// The shortest time between two searches for evidence, doubled each time.
const SEARCH_MIN: Duration = Duration::from_micros(200);
/// The longest, unless searches take long.
const SEARCH_MAX: Duration = Duration::from_millis(4);
/// A waiter searches for at most one part in so many of its time.
const SEARCH_SHARE: u32 = 10;

/// How a lock is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockOptions {
    /// How long a holder is waited for that lives, or cannot be shown to be dead.
    pub patience: Duration,
    /// The caller's word that all processes that use the region are in the caller's pid namespace.
    ///
    /// A process in a nested pid namespace cannot see those around it, so without this it can
    /// hardly ever show that an owner is dead, and waits until [`patience`](Self::patience) ends.
    pub single_pid_namespace: bool,
}

impl Default for LockOptions {
    /// Ten seconds, and nothing is taken for granted.
    fn default() -> Self {
        Self { patience: Duration::from_secs(10), single_pid_namespace: false }
    }
}

impl LockOptions {
    /// The same with another [`patience`](Self::patience).
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The same with another [`single_pid_namespace`](Self::single_pid_namespace).
    #[must_use]
    pub const fn with_single_pid_namespace(mut self, is_single: bool) -> Self {
        self.single_pid_namespace = is_single;
        self
    }
}

/// What all joins of one region in this process have in common.
#[derive(Debug)]
pub(crate) struct Seat {
    incarnation: Incarnation,
    id: OwnerId,
    pub(crate) activity: Activity,
    /// `None` for memory that only this process has.
    pub(crate) shared: Option<SharedSeat>,
}

/// What concerns other processes.
#[derive(Debug)]
pub(crate) struct SharedSeat {
    pub(crate) region: Region,
    pub(crate) joiner: Joiner,
    /// Where the region is mapped.
    address: OnceLock<(usize, usize)>,
    /// What it is called in memory maps, `None` inside if that cannot be found out.
    maps: OnceLock<Option<OwnMaps>>,
}

impl SharedSeat {
    /// Shows in the region's file that this process has joined it, before it maps it.
    pub(crate) fn announce(region: Region) -> std::io::Result<Self> {
        let joiner = Joiner::current()?;
        presence::announce(region.as_fd(), joiner)?;
        Ok(Self { region, joiner, address: OnceLock::new(), maps: OnceLock::new() })
    }

    pub(crate) fn set_address(&self, address: usize, bytes: usize) {
        let _ = self.address.set((address, bytes));
    }

    /// How this process maps the region, as first found.
    pub(crate) fn known_maps(&self) -> Option<OwnMaps> {
        *self.maps.get_or_init(|| self.current_maps())
    }

    /// How this process maps the region now.
    pub(crate) fn current_maps(&self) -> Option<OwnMaps> {
        let (address, bytes) = *self.address.get()?;
        OwnMaps::find(address, bytes)
    }
}

impl Seat {
    pub(crate) fn new(shared: Option<SharedSeat>) -> Self {
        let incarnation = Incarnation::current();
        let id = OwnerId::new(u64::from(incarnation.pid()));
        let id = id.expect("the kernel calls no process 0");
        Self { incarnation, id, activity: Activity::default(), shared }
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.incarnation == Incarnation::current()
    }

    pub(crate) const fn id(&self) -> OwnerId {
        self.id
    }
}

/// The calling process as one of those who share a workspace.
///
/// It is called by its process id. In a forked child it is a [`Stranger`]: the child has to attach
/// anew, and what it copied of guards does nothing.
///
/// # Concurrency
///
/// Taking a lock that is free and giving it back makes no system call.
/// A waiter spins, then lets others go first, then sleeps, and looks for proof that the holder is
/// dead. One of these will do:
///
/// - The id is none that a process can have, for instance the mark that the kernel leaves.
/// - Nobody but this process has the region open or mapped.
/// - No process has the id, or one that has ended, or one that does not map the region, or one that
///   started after its id had been seen in the lock and may not be looked at more closely.
///   Besides, no process of another pid namespace can be meant: nobody of that id shows itself as
///   joined from there, and either all processes can be seen and none of that id maps the region, or
///   the caller vouches that there are none ([`LockOptions::single_pid_namespace`]), or a process of
///   that id was shown as joined during the wait and now is not.
/// - The id is this process's own, none of its threads is inside, and as before no other process can
///   be meant.
/// - The workspace is being formatted, and no process that has not joined can be seen to map it.
///
/// Without such proof a waiter gives up after [`LockOptions::patience`].
#[derive(Clone, Debug)]
pub struct ProcessParty {
    seat: Arc<Seat>,
    options: LockOptions,
}

impl ProcessParty {
    pub(crate) const fn new(seat: Arc<Seat>, options: LockOptions) -> Self {
        Self { seat, options }
    }

    /// How this party waits.
    #[must_use]
    pub const fn options(&self) -> &LockOptions {
        &self.options
    }
}

/// What a waiter remembers between two looks at the lock.
#[derive(Debug, Default)]
pub struct Patience {
    began: Option<Instant>,
    sleep: Duration,
    search: Duration,
    /// When to search for evidence next, since the wait began.
    next_search: Duration,
    evidence: Option<Evidence>,
    /// What the activity was when the last look ended, if the holder is known to be nobody but,
    /// perhaps, a thread of this process.
    alone: Option<Snapshot>,
}

impl Party for ProcessParty {
    type Patience = Patience;

    #[inline]
    fn enter(&self) -> Result<OwnerId, Stranger> {
        if !self.seat.is_ours() {
            return Err(Stranger);
        }
        self.seat.activity.enter();
        Ok(self.seat.id)
    }

    #[inline]
    fn is_inside(&self, id: OwnerId) -> bool {
        id == self.seat.id && self.seat.is_ours()
    }

    #[inline]
    fn leave(&self) {
        self.seat.activity.leave();
    }

    fn judge(&self, holder: Holder, patience: &mut Patience) -> Verdict {
        let activity = &self.seat.activity;
        let paused = activity.pause();
        if patience.alone.take() == Some(paused)
            && patience.evidence.as_ref().is_some_and(|evidence| evidence.holder == holder)
            && activity.resume_undisturbed(paused)
        {
            return Verdict::TakeOver;
        }
        let step = patience.step(holder, self);
        let resumed = activity.resume();
        match step {
            Step::Wait => Verdict::Wait,
            Step::TakeOver => Verdict::TakeOver,
            Step::GiveUp => Verdict::GiveUp,
            // The next look at the lock decides.
            Step::TakeOverIfAlone => {
                patience.alone = (resumed.active_count() == 1).then_some(resumed);
                Verdict::Wait
            }
        }
    }
}

/// What a look has led to.
enum Step {
    Wait,
    TakeOver,
    TakeOverIfAlone,
    GiveUp,
}

impl Patience {
    /// Pauses for a while, or searches for evidence.
    fn step(&mut self, holder: Holder, party: &ProcessParty) -> Step {
        let began = *self.began.get_or_insert_with(Instant::now);
        let elapsed = began.elapsed();
        if elapsed < SPIN {
            for _ in 0..32 {
                std::hint::spin_loop();
            }
            return Step::Wait;
        }
        if elapsed < YIELD {
            thread::yield_now();
            return Step::Wait;
        }
        if self.evidence.as_ref().is_none_or(|evidence| evidence.holder != holder) {
            self.evidence = Some(Evidence::new(holder));
            (self.search, self.next_search) = (Duration::ZERO, Duration::ZERO);
        }
        if elapsed >= self.next_search && (elapsed >= EARLY || !liveness::is_there(holder)) {
            let step = self.search(party);
            let cost = began.elapsed().saturating_sub(elapsed);
            self.search = self.search.saturating_mul(2).clamp(SEARCH_MIN, SEARCH_MAX);
            let interval = self.search.max(cost.saturating_mul(SEARCH_SHARE));
            self.next_search = began.elapsed().saturating_add(interval);
            if !matches!(step, Step::Wait) {
                return step;
            }
        }
        if elapsed >= party.options.patience {
            return Step::GiveUp;
        }
        self.sleep = self.sleep.saturating_mul(2).clamp(SLEEP_MIN, SLEEP_MAX);
        thread::sleep(self.sleep.min(party.options.patience));
        Step::Wait
    }

    fn search(&mut self, party: &ProcessParty) -> Step {
        let Some(evidence) = &mut self.evidence else { return Step::Wait };
        let is_single = party.options.single_pid_namespace;
        if !liveness::is_dead(evidence, &party.seat, is_single) {
            return Step::Wait;
        }
        if evidence.holder == Holder::Owner(party.seat.id) {
            return Step::TakeOverIfAlone;
        }
        Step::TakeOver
    }
}
