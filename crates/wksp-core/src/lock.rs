//! The lock word: who is inside a workspace, and how the next one gets in.
//!
//! This is the one place where the order of accesses of different processes is decided.
//! Whoever takes the word does so with Acquire and whoever gives it back with Release, so that
//! everything a holder stored is seen by the next one; all other metadata is accessed Relaxed.
//! A process that died gave nothing back, but its stores became visible in its program's order at
//! the latest when the kernel ended it, which is before anybody can have proof of its death.

use core::fmt;
use core::num::NonZeroU64;

use core::sync::atomic::{AtomicU64, Ordering};

/// The word of a lock that nobody holds.
const FREE: u64 = u64::MAX;
/// The word of a workspace that is being formatted.
const FORMATTING: u64 = 0;

/// What a process calls itself in the lock word: on Linux its process id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnerId(NonZeroU64);

impl OwnerId {
    /// Makes an owner of a number, `None` for the two that mean something else: 0 and 2^64-1.
    #[must_use]
    pub const fn new(id: u64) -> Option<Self> {
        match NonZeroU64::new(id) {
            Some(id) if id.get() != FREE => Some(Self(id)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnerId({})", self.0)
    }
}

/// Whom a lock that is not free is held by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A process that is formatting the workspace and has not said which one it is.
    Formatter,
    /// A process inside an operation.
    Owner(OwnerId),
}

impl Holder {
    const fn to_word(self) -> u64 {
        match self {
            Self::Formatter => FORMATTING,
            Self::Owner(id) => id.get(),
        }
    }

    pub(crate) const fn of_word(word: u64) -> Option<Self> {
        match (word, OwnerId::new(word)) {
            (_, Some(id)) => Some(Self::Owner(id)),
            (FORMATTING, None) => Some(Self::Formatter),
            (_, None) => None,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Formatter => f.write_str("a process that is formatting it"),
            Self::Owner(id) => write!(f, "process {id}"),
        }
    }
}

/// One of those who share a workspace: what it is called, and what it can find out about others.
///
/// `wksp-shmem` has the one for Linux processes.
/// An implementation for threads of one process, or for a test, is a few lines.
pub trait Party {
    /// What a wait keeps between two looks at the lock: when it began, whom it has seen.
    type Patience: Default;

    /// Announces that the calling thread is about to take the lock, and says under which id.
    ///
    /// Called before every attempt, so it must be cheap: no system call where one can be avoided.
    /// From here to [`leave`](Self::leave) nobody may find evidence that the id is dead or unused.
    ///
    /// # Errors
    ///
    /// [`Stranger`] if this process has no part in the workspace: after a fork the child must join
    /// anew, since it would otherwise take its parent's locks for its own.
    fn enter(&self) -> Result<OwnerId, Stranger>;

    /// Whether the calling process is the one that entered under `id`.
    ///
    /// It is not if the caller is a fork's copy of a guard: the lock is then left alone.
    fn is_inside(&self, id: OwnerId) -> bool;

    /// Takes the announcement back, after the lock was given back or not got.
    fn leave(&self);

    /// Takes note that the calling thread has got the lock, whose word is at `word`.
    ///
    /// The word holds the party's id from before this is called until after
    /// [`gives_back`](Self::gives_back) has returned, and only the same thread calls that. So the
    /// kernel, say, can be told meanwhile what to do about the word should the thread die.
    fn has_got(&self, _word: *const u64) {}

    /// Takes note that the calling thread is about to give the lock back.
    ///
    /// Also called where it had not got the lock: by a fork's copy of a guard, and by who has
    /// formatted the workspace.
    fn gives_back(&self, _word: *const u64) {}

    /// Decides what to do about a lock that is held, pausing as long as is sensible.
    ///
    /// # Safety of others
    ///
    /// [`Verdict::TakeOver`] needs proof that the holder will never store to the workspace again.
    fn judge(&self, sighting: Sighting, patience: &mut Self::Patience) -> Verdict;
}

/// What a waiter sees when it looks at a lock that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Who holds it.
    pub holder: Holder,
    /// A number that has changed if, since the last look, the index was changed, or the lock was
    /// found free but lost to somebody else: the holders are at work, not stuck.
    pub progress: u64,
}

/// The calling process has no part in the workspace, for instance because it is a forked child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this process has not joined the workspace: a forked child must join anew")]
pub struct Stranger;

/// What a waiter is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Look again: the holder lives, or may live.
    Wait,
    /// Take the lock: the holder is dead.
    TakeOver,
    /// Give up: the waiter's bound is reached.
    GiveUp,
}

/// Why a lock was not got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakeError {
    /// The holder was waited for as long as the party is willing to.
    Busy { holder: Holder },
    /// The calling process has no part in the workspace.
    Stranger(Stranger),
}

impl From<Stranger> for TakeError {
    fn from(stranger: Stranger) -> Self {
        Self::Stranger(stranger)
    }
}

/// How a lock was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Who holds it now.
    pub(crate) id: OwnerId,
    /// Whose it was: a dead process, which may have left the index half changed.
    pub(crate) from: Option<Holder>,
}

/// What a lock word is made of: an atomic, or the model of one.
pub(crate) trait Word {
    fn load(&self) -> u64;
    fn swap(&self, from: u64, to: u64) -> bool;
    fn give(&self, to: u64);
}

macro_rules! impl_word {
    ($atomic:ty) => {
        impl Word for $atomic {
            #[inline]
            fn load(&self) -> u64 {
                self.load(Ordering::Relaxed)
            }

            #[inline]
            fn swap(&self, from: u64, to: u64) -> bool {
                self.compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed).is_ok()
            }

            #[inline]
            fn give(&self, to: u64) {
                self.store(to, Ordering::Release);
            }
        }
    };
}

impl_word!(AtomicU64);

/// The lock word of a workspace.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct LockWord<W = AtomicU64>(W);

impl<W: Word> LockWord<W> {
    /// Takes the lock, from a dead holder if need be, or waits as long as `party` will.
    ///
    /// `version` changes when the index does.
    // Always, as everything that is returned through memory costs as much as the swap.
    #[inline(always)]
    pub(crate) fn take<P: Party>(
        &self,
        party: &P,
        version: impl Fn() -> u64,
    ) -> Result<Taken, TakeError> {
        let id = party.enter()?;
        if self.swap(party, FREE, id) {
            return Ok(Taken { id, from: None });
        }
        self.take_slowly(party, id, version).inspect_err(|_| party.leave())
    }

    #[cold]
    fn take_slowly<P: Party>(
        &self,
        party: &P,
        id: OwnerId,
        version: impl Fn() -> u64,
    ) -> Result<Taken, TakeError> {
        let mut patience = P::Patience::default();
        let mut lost_count = 0_u64;
        loop {
            let Some(holder) = self.holder() else {
                if self.swap(party, FREE, id) {
                    return Ok(Taken { id, from: None });
                }
                lost_count = lost_count.wrapping_add(1);
                continue;
            };
            let sighting = Sighting { holder, progress: version().wrapping_add(lost_count) };
            match party.judge(sighting, &mut patience) {
                Verdict::Wait => {}
                // Another waiter with the same proof may be faster; then its swap ends ours.
                Verdict::TakeOver if self.swap(party, holder.to_word(), id) => {
                    return Ok(Taken { id, from: Some(holder) });
                }
                Verdict::TakeOver => {}
                Verdict::GiveUp => return Err(TakeError::Busy { holder }),
            }
        }
    }

    /// Takes the lock from `holder` without any proof, `None` if it is not the holder any more.
    pub(crate) fn seize<P: Party>(
        &self,
        party: &P,
        holder: Holder,
    ) -> Result<Option<Taken>, Stranger> {
        let id = party.enter()?;
        if self.swap(party, holder.to_word(), id) {
            return Ok(Some(Taken { id, from: Some(holder) }));
        }
        party.leave();
        Ok(None)
    }

    /// Puts the party's id in the place of `from`, unless something else is there.
    #[inline]
    fn swap<P: Party>(&self, party: &P, from: u64, id: OwnerId) -> bool {
        let has_got = self.0.swap(from, id.get());
        if has_got {
            party.has_got(self.address());
        }
        has_got
    }

    /// Where the word is.
    const fn address(&self) -> *const u64 {
        core::ptr::from_ref(self).cast()
    }

    /// Gives the lock back: to nobody, or to the dead `holder` it was taken from.
    #[inline]
    pub(crate) fn give_back<P: Party>(&self, party: &P, id: OwnerId, to: Option<Holder>) {
        party.gives_back(self.address());
        // A fork's copy of a guard must not store: the lock is its parent's.
        // The store comes before `leave`, or a waiter could find `id` unused while it is there.
        if party.is_inside(id) {
            self.0.give(to.map_or(FREE, Holder::to_word));
            party.leave();
        }
    }

    /// Marks the workspace as being formatted.
    pub(crate) fn set_formatting(&self) {
        self.0.give(FORMATTING);
    }

    /// Who holds the lock now, `None` if nobody does.
    #[inline]
    pub(crate) fn holder(&self) -> Option<Holder> {
        Holder::of_word(self.0.load())
    }
}

#[cfg(test)]
mod tests;
