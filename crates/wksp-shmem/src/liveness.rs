//! Whether the holder of a lock will never store to the workspace again.
//!
//! The answer is yes only on proof; all doubt, such as files of /proc that may not be read, means
//! that the waiter waits.
//!
//! The shortest proof is that nobody uses the region but by this process's open file
//! ([`is_sole_user`]).
//! Where others do, it takes a longer one.
//! The lock word holds a process id without the pid namespace that it belongs to. So there are two
//! questions: whether the process of that id in *our* namespace is dead or another one
//! ([`look_here`]), and whether a process of *another* namespace can be meant
//! ([`cannot_be_elsewhere`]). The longer proof needs both, and the answer to the first must be the
//! last that is found out.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, SysconfVar, sysconf};
use wksp_core::{Holder, Sighting};

use crate::lease::is_sole_user;
use crate::presence::{Joiner, Joiners, PID_LIMIT, PidNamespace, joiners};
use crate::process::{Seat, SharedSeat};
use crate::procfs::{self, Maps, MapsId, Stat, Status};

/// What a waiter has found out about a holder.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// How the lock was seen held; once that changes, the holder may be another one.
    pub(crate) sighting: Sighting,
    /// When that was first seen, since the machine started.
    since: Option<Duration>,
}

impl Evidence {
    pub(crate) fn new(sighting: Sighting) -> Self {
        Self { sighting, since: since_boot() }
    }
}

/// Whether the holder is proved to be dead.
///
/// If the holder has the id of the calling process, the proof is about all other processes; that no
/// thread of the calling process holds the lock is then left to be shown.
pub(crate) fn is_dead(evidence: &Evidence, seat: &Seat, is_single: bool) -> bool {
    let holder = evidence.sighting.holder;
    let pid = match holder {
        Holder::Formatter => return formatter_is_dead(seat, is_single),
        Holder::Owner(id) => match u32::try_from(id.get()) {
            Ok(pid) if pid < PID_LIMIT => pid,
            // No process has such an id. The kernel's mark of a dead owner is one of these.
            _ => return true,
        },
    };
    // Nobody else can ever have stored to memory that only this process has.
    let Some(shared) = &seat.shared else { return true };
    let look = || {
        if holder == Holder::Owner(seat.id()) {
            look_at_ourselves(shared)
        } else {
            look_here(pid, evidence, shared)
        }
    };
    let here = look();
    if here == Here::Inside {
        return false;
    }
    if is_sole_user(shared.region.as_fd()) == Some(true) {
        return true;
    }
    if here == Here::Unknown || !cannot_be_elsewhere(pid, shared, is_single) {
        return false;
    }
    // Once more and last, since a search takes long enough for a process to die and for its id to
    // be used again by one that has taken the lock by right.
    match look() {
        Here::Gone => true,
        Here::StartedLater => {
            let joiner = Joiner { namespace: shared.joiner.namespace, pid };
            joiners(&shared.region).is_ok_and(|all| all.is_complete && !all.list.contains(&joiner))
        }
        Here::Inside | Here::Unknown => false,
    }
}

/// Whether a process of the holder's id is there in our pid namespace, whatever it is.
///
/// Costs one system call at most, and proves nothing: it tells whether a proof can be expected.
pub(crate) fn is_there(holder: Holder) -> bool {
    match holder {
        Holder::Formatter => true,
        Holder::Owner(id) => i32::try_from(id.get())
            .is_ok_and(|pid| kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)),
    }
}

/// What is known of the process of an id in our pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Here {
    /// There is none that could be inside the workspace.
    Gone,
    /// It may not be looked at closely, but it started after its id had been seen in the lock.
    StartedLater,
    /// It maps the region.
    Inside,
    /// It cannot be told.
    Unknown,
}

/// Whether a program of another kind in this process may be the holder: it would use the same id,
/// and a mapping of its own.
fn look_at_ourselves(shared: &SharedSeat) -> Here {
    let is_only = shared.current_maps().is_some_and(|maps| !maps.has_more);
    if is_only { Here::Gone } else { Here::Unknown }
}

/// Looks for the process called `pid` in our pid namespace.
fn look_here(pid: u32, evidence: &Evidence, shared: &SharedSeat) -> Here {
    let Ok(raw) = i32::try_from(pid) else { return Here::Gone };
    if kill(Pid::from_raw(raw), None) == Err(Errno::ESRCH) {
        return Here::Gone;
    }
    if !procfs::is_of_our_namespace() {
        return Here::Unknown;
    }
    let text = pid.to_string();
    // What cannot be read now, because the process has just ended or may not be looked at, is
    // doubt; the next search will know more.
    let (Ok(status), Ok(stat)) = (Status::of(&text), Stat::of(&text)) else {
        return Here::Unknown;
    };
    if status.tgid != pid {
        // The id is that of a thread, so there is no process of that id.
        return Here::Gone;
    }
    if stat.is_dead() || stat.is_kernel_thread {
        return Here::Gone;
    }
    let Some(known) = shared.known_maps() else { return Here::Unknown };
    match Maps::of(&text, known.id) {
        Ok(Maps::File) => Here::Inside,
        Ok(Maps::Others) => Here::Gone,
        // The first thread has given its memory back. It is the only one if there is one still:
        // a first thread that has ended is counted until all others have.
        Ok(Maps::None) => match Stat::of(&text) {
            Ok(stat) if stat.thread_count <= 1 => Here::Gone,
            _ => Here::Unknown,
        },
        Err(_) if evidence.is_older_than(&stat) => Here::StartedLater,
        Err(_) => Here::Unknown,
    }
}

impl Evidence {
    /// Whether the process started only after its id had been seen in the lock.
    fn is_older_than(&self, process: &Stat) -> bool {
        // Rounded down, so on the side of doubt.
        start_of(process).zip(self.since).is_some_and(|(start, since)| start > since)
    }
}

/// Whether no process called `pid` in another pid namespace can be inside the workspace.
fn cannot_be_elsewhere(pid: u32, shared: &SharedSeat, is_single: bool) -> bool {
    let ours = shared.joiner.namespace;
    let Ok(joiners @ Joiners { is_complete: true, .. }) = joiners(&shared.region) else {
        return false;
    };
    if joiners.list.iter().any(|joiner| joiner.pid == pid && joiner.namespace != ours) {
        return false;
    }
    if is_single {
        return true;
    }
    // C programs do not show that they have joined. Only from the namespace that all others are
    // within can they all be seen.
    let Some(known) = shared.known_maps() else { return false };
    if !sees_everyone(ours) {
        return false;
    }
    procfs::pids().is_ok_and(|pids| {
        pids.iter().all(|other| {
            let status = match Status::of(other) {
                Ok(status) => status,
                Err(error) => return has_ended(&error),
            };
            if status.namespaced.len() < 2 || status.own_pid() != Some(pid) {
                return true;
            }
            match Maps::of(other, known.id) {
                Ok(Maps::File) => false,
                Ok(Maps::Others) => true,
                Ok(Maps::None) => Stat::of(other)
                    .map_or_else(|error| has_ended(&error), |stat| stat.thread_count <= 1),
                Err(error) => has_ended(&error),
            }
        })
    })
}

/// Whether whoever formats the workspace is dead.
///
/// Nobody who has joined formats, since a region of ours gets its name when it is formatted.
/// So it can only be a process that maps the region without having joined it.
fn formatter_is_dead(seat: &Seat, is_single: bool) -> bool {
    if seat.activity.snapshot().active_count() != 0 {
        return false;
    }
    let Some(shared) = &seat.shared else { return true };
    if is_sole_user(shared.region.as_fd()) == Some(true) {
        return true;
    }
    let Ok(joiners @ Joiners { is_complete: true, .. }) = joiners(&shared.region) else {
        return false;
    };
    let sees_all = if is_single {
        procfs::is_of_our_namespace() && procfs::shows_everyone()
    } else {
        sees_everyone(shared.joiner.namespace)
    };
    match shared.current_maps() {
        Some(maps) if sees_all && !maps.has_more => procfs::pids()
            .is_ok_and(|pids| pids.iter().all(|pid| !may_format(pid, maps.id, shared, &joiners))),
        _ => false,
    }
}

fn may_format(pid: &str, id: MapsId, shared: &SharedSeat, joiners: &Joiners) -> bool {
    match Maps::of(pid, id) {
        Ok(Maps::Others) => false,
        Ok(Maps::None) => !Stat::of(pid).map_or_else(
            |error| has_ended(&error),
            |stat| stat.is_kernel_thread || stat.thread_count <= 1,
        ),
        Ok(Maps::File) => procfs::mapper(pid).is_some_and(|mapper| {
            let joiner =
                mapper.namespace.map(|namespace| Joiner { namespace, pid: mapper.own_pid });
            !joiner.is_some_and(|joiner| joiners.list.contains(&joiner))
        }),
        Err(error) if has_ended(&error) => false,
        // It may not be looked at. Whoever formats a region has made it, so it belongs to them.
        Err(_) => {
            let is_kernel_thread = Stat::of(pid).is_ok_and(|stat| stat.is_kernel_thread);
            let uid = shared.region.info().uid;
            !is_kernel_thread && Status::of(pid).map_or(true, |status| status.uid == uid)
        }
    }
}

/// Whether /proc shows all processes of the machine.
fn sees_everyone(ours: PidNamespace) -> bool {
    ours == PidNamespace::INITIAL && procfs::is_of_our_namespace() && procfs::shows_everyone()
}

/// Whether a file of /proc is missing because its process has ended.
fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32)
}

/// The time since the machine started.
pub(crate) fn since_boot() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_BOOTTIME).ok().map(Duration::from)
}

/// When a process started, since the machine did, rounded down to a clock tick.
pub(crate) fn start_of(process: &Stat) -> Option<Duration> {
    let ticks_per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    let seconds = process.start_ticks.checked_div(ticks_per_second)?;
    let ticks = process.start_ticks.checked_rem(ticks_per_second)?;
    let nanoseconds = ticks.checked_mul(1_000_000_000)?.checked_div(ticks_per_second)?;
    Some(Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanoseconds)))
}
