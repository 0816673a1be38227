//! A process as one of those who share a workspace: what it is called, and how it waits.

use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use wksp_core::{Holder, OwnerId, Party, Sighting, Stranger, Verdict};

use crate::activity::{Activity, Snapshot};
use crate::death_mark;
use crate::incarnation::Incarnation;
use crate::liveness::{self, Evidence};
use crate::presence::Joiner;
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
/// For so long a waiter that has slept spins before it sleeps again: one that only looked for a
/// moment would hardly ever meet a lock that busy holders take in turns.
const AWAKE: Duration = Duration::from_micros(100);
/// The shortest time between two searches for evidence, doubled each time.
const SEARCH_MIN: Duration = Duration::from_micros(200);
/// The longest, unless searches take long.
const SEARCH_MAX: Duration = Duration::from_millis(4);
/// A waiter searches for at most one part in so many of its time.
const SEARCH_SHARE: u32 = 10;
/// So many times its patience a waiter waits at most, whatever progress others make.
const PATIENCE_MAX: u32 = 10;

/// How a lock is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockOptions {
    /// How long a holder is waited for that lives, or cannot be shown to be dead.
    ///
    /// As long as holders are seen to take turns or to change the index, the time begins anew, but
    /// nobody waits longer than ten times as long in all.
    pub patience: Duration,
    /// The caller's word that all processes that use the region are in the caller's pid namespace.
    ///
    /// A process in a nested pid namespace cannot see those around it. So without this it can show
    /// that an owner is dead only if nobody else uses the region or no process can have the
    /// owner's id, and waits until [`patience`](Self::patience) ends otherwise.
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
    /// How it is mapped, once that has been found out.
    maps: OnceLock<OwnMaps>,
}

impl SharedSeat {
    /// Shows in the region's file that this process has joined it, before it maps it.
    pub(crate) fn announce(mut region: Region) -> std::io::Result<Self> {
        let joiner = region.announce()?;
        Ok(Self { region, joiner, address: OnceLock::new(), maps: OnceLock::new() })
    }

    pub(crate) fn set_address(&self, address: usize, bytes: usize) {
        let _ = self.address.set((address, bytes));
    }

    /// How this process maps the region, as first found.
    pub(crate) fn known_maps(&self) -> Option<OwnMaps> {
        // What cannot be found out now, for want of a descriptor perhaps, may be another time.
        if self.maps.get().is_none() {
            let _ = self.maps.set(self.current_maps()?);
        }
        self.maps.get().copied()
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
/// anew, and what it copied of guards refuses to do anything.
///
/// # Concurrency
///
/// Taking a lock that is free and giving it back makes no system call.
/// While the first thread of a process holds a lock, the kernel is to mark it should that thread die:
/// see the page on recovery.
/// A waiter spins, then lets others go first, then sleeps and spins by turns, and looks for proof
/// that the holder is dead. One of these will do:
///
/// - The id is none that a process can have, for instance the mark that the kernel leaves.
/// - Nobody uses the region but by the open file of this process: no other process has it open or
///   mapped, save children that it has forked and that have not attached anew.
/// - No process has the id, or one that has ended, or one that does not map the region, or one that
///   started after its id had been seen in the lock and may not be looked at more closely.
///   Besides, no process of another pid namespace can be meant: nobody of that id shows itself as
///   joined from there, and either all processes can be seen and none of that id maps the region, or
///   the caller vouches that there are none ([`LockOptions::single_pid_namespace`]).
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
    /// The last pause in sleep, and until when to spin after it. All times are since the wait began.
    sleep: Duration,
    awake_until: Duration,
    /// The last pause between two searches for evidence, and when to search next. Both outlast a
    /// change of holders, or else waiters would do nothing but search where holders change often.
    search: Duration,
    next_search: Duration,
    /// Whether the last search was the one before giving up.
    has_searched_last: bool,
    /// When holders were last seen to make progress.
    progressed: Duration,
    evidence: Option<Evidence>,
    /// What the activity was at the end of the last look, if the holder is known to be nobody but,
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

    #[inline]
    fn has_got(&self, word: *const u64) {
        death_mark::set(word);
    }

    #[inline]
    fn gives_back(&self, word: *const u64) {
        death_mark::clear(word);
    }

    fn judge(&self, sighting: Sighting, patience: &mut Patience) -> Verdict {
        let activity = &self.seat.activity;
        if let Some(alone) = patience.alone.take()
            && patience.evidence.as_ref().is_some_and(|evidence| evidence.sighting == sighting)
            && activity.snapshot() == alone
        {
            return Verdict::TakeOver;
        }
        activity.leave();
        let step = patience.step(sighting, self);
        activity.enter();
        match step {
            Step::Wait => Verdict::Wait,
            Step::TakeOver => Verdict::TakeOver,
            Step::GiveUp => Verdict::GiveUp,
            // The next look at the lock decides.
            Step::TakeOverIfAlone => {
                let looked = activity.snapshot();
                patience.alone = (looked.active_count() == 1).then_some(looked);
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
    fn step(&mut self, sighting: Sighting, party: &ProcessParty) -> Step {
        let began = *self.began.get_or_insert_with(Instant::now);
        let elapsed = began.elapsed();
        if elapsed < SPIN || (YIELD..self.awake_until).contains(&elapsed) {
            // But once, so as to miss no lock that is free for some ten nanoseconds only.
            std::hint::spin_loop();
            return Step::Wait;
        }
        if elapsed < YIELD {
            thread::yield_now();
            return Step::Wait;
        }
        if self.evidence.as_ref().is_none_or(|evidence| evidence.sighting != sighting) {
            self.evidence = Some(Evidence::new(sighting));
            self.progressed = elapsed;
        }
        let patience = party.options.patience;
        let is_stuck = elapsed.saturating_sub(self.progressed) >= patience;
        let is_over = is_stuck || elapsed >= patience.saturating_mul(PATIENCE_MAX);
        // Where a search takes long there are few, and what stood against the last one, such as a
        // child that another thread was just forking, may be gone: so nobody gives up without one.
        let is_last = is_over && !self.has_searched_last;
        let is_due = is_last || elapsed >= self.next_search;
        if is_due && (elapsed >= EARLY || !liveness::is_there(sighting.holder)) {
            self.has_searched_last |= is_last;
            let step = self.search(party);
            let cost = began.elapsed().saturating_sub(elapsed);
            self.search = self.search.saturating_mul(2).clamp(SEARCH_MIN, SEARCH_MAX);
            let interval = self.search.max(cost.saturating_mul(SEARCH_SHARE));
            self.next_search = began.elapsed().saturating_add(interval);
            if !matches!(step, Step::Wait) {
                return step;
            }
        }
        if is_over {
            return Step::GiveUp;
        }
        self.sleep = self.sleep.saturating_mul(2).clamp(SLEEP_MIN, SLEEP_MAX);
        thread::sleep(self.sleep.min(patience));
        self.awake_until = began.elapsed().saturating_add(AWAKE);
        Step::Wait
    }

    fn search(&mut self, party: &ProcessParty) -> Step {
        let Some(evidence) = &self.evidence else { return Step::Wait };
        let is_single = party.options.single_pid_namespace;
        if !liveness::is_dead(evidence, &party.seat, is_single) {
            return Step::Wait;
        }
        if evidence.sighting.holder == Holder::Owner(party.seat.id) {
            return Step::TakeOverIfAlone;
        }
        Step::TakeOver
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    use crate::base::BaseDir;
    use crate::create::{NewRegion, NewRegionOptions};
    use crate::page_size::PageSize;

    /// A party whose own id is the holder's, and who can find out nothing about it.
    fn party_in_doubt(dir: &tempfile::TempDir, patience: Duration) -> (ProcessParty, Region) {
        let base = BaseDir::resolve(Some(dir.path())).unwrap();
        base.make_directory(PageSize::Normal).unwrap();
        let options = NewRegionOptions { page_size: PageSize::Normal, page_count: 1, mode: 0o600 };
        let name = wksp_core::Name::new("doubt").unwrap();
        let region = NewRegion::create(&base, &name, &options).unwrap().publish().unwrap();
        let other = Region::open(&base, &name, None, crate::region::Access::ReadWrite).unwrap();
        let seat = Seat::new(Some(SharedSeat::announce(region).unwrap()));
        let options = LockOptions::default().with_patience(patience);
        (ProcessParty::new(Arc::new(seat), options), other)
    }

    /// How long the party waits for itself while `progress` goes on.
    fn wait(party: &ProcessParty, mut progress: impl FnMut() -> u64) -> Duration {
        let holder = Holder::Owner(party.enter().unwrap());
        let (began, mut patience) = (Instant::now(), Patience::default());
        loop {
            assert!(began.elapsed() < Duration::from_secs(20), "no bound is kept");
            let sighting = Sighting { holder, progress: progress() };
            match party.judge(sighting, &mut patience) {
                Verdict::Wait => {}
                Verdict::GiveUp => break,
                Verdict::TakeOver => panic!("there is no proof"),
            }
        }
        party.leave();
        began.elapsed()
    }

    #[test]
    fn patience_begins_anew_with_progress_and_ends_all_the_same() {
        const PATIENCE: Duration = Duration::from_millis(100);
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let (party, _other) = party_in_doubt(&dir, PATIENCE);
        let stuck = wait(&party, || 7);
        assert!((PATIENCE..PATIENCE * 9).contains(&stuck), "{stuck:?}");

        let began = Instant::now();
        let once = wait(&party, || u64::from(began.elapsed() > PATIENCE / 2));
        assert!(once >= PATIENCE * 3 / 2, "{once:?}");

        let mut count = 0;
        let for_ever = wait(&party, || {
            count += 1;
            count
        });
        assert!(for_ever >= PATIENCE * 10, "{for_ever:?}");
    }

    #[test]
    fn a_change_of_holders_brings_no_search_forward() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let (party, _other) = party_in_doubt(&dir, Duration::from_secs(10));
        let (began, mut patience) = (Instant::now(), Patience::default());
        let (mut search_count, mut progress) = (0_u32, 0);
        let mut next = Duration::ZERO;
        let holder = Holder::Owner(party.enter().unwrap());
        while began.elapsed() < Duration::from_millis(200) {
            progress += 1;
            assert_eq!(party.judge(Sighting { holder, progress }, &mut patience), Verdict::Wait);
            search_count += u32::from(patience.next_search != next);
            next = patience.next_search;
        }
        party.leave();
        // 1 ms, then 0.2, 0.4 ... 3.2 ms later, then every 4 ms at most.
        assert!((1..60).contains(&search_count), "{search_count}");
    }

    #[test]
    fn that_a_mapping_was_not_found_is_not_remembered() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let (party, other) = party_in_doubt(&dir, Duration::ZERO);
        let shared = party.seat.shared.as_ref().unwrap();
        assert_eq!(shared.known_maps(), None);
        let bytes = other.info().bytes;
        let mapping = crate::mapping::Mapping::of_file(other.as_fd(), bytes).unwrap();
        shared.set_address(mapping.address(), mapping.bytes());
        assert!(shared.known_maps().is_some());
    }
}
