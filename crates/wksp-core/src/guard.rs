//! Holding the lock: the guard through which all changes go, and the guard of what is broken.

use core::marker::PhantomData;
use core::mem;

use wksp_treap::Damage;

use crate::index::Index;
use crate::lock::{Holder, OwnerId, Party, Stranger, TakeError, Taken};
use crate::observe::View;
use crate::rebuild::{RebuildError, rebuild};
use crate::verify::{Report, verify};
use crate::workspace::Workspace;

/// Why a workspace was not locked.
///
/// It holds what it held; only scratch links and the cycle tag may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// The holder has been waited for as long as the party is willing to.
    #[error(
        "the workspace was not free within the bound on waiting, and is held by {holder}, which \
         could not be shown to be dead; find out what it does, and break its lock only if it is \
         gone for good"
    )]
    Busy {
        /// Who held the lock at the last look.
        holder: Holder,
    },
    /// The calling process has no part in the workspace.
    #[error(transparent)]
    Stranger(#[from] Stranger),
    /// The holder is dead and what it left cannot be rebuilt; the lock is still its.
    #[error(
        "{holder} died inside the workspace and its index cannot be rebuilt: {cause}; save what \
         you can, then reset it or restore a checkpoint"
    )]
    Unrecoverable {
        /// Who died.
        holder: Holder,
        /// Why the index cannot be rebuilt.
        cause: RebuildError,
    },
}

impl From<TakeError> for LockError {
    fn from(error: TakeError) -> Self {
        match error {
            TakeError::Busy { holder } => Self::Busy { holder },
            TakeError::Stranger(stranger) => Self::Stranger(stranger),
        }
    }
}

/// What was done to the index of a workspace before its holder could go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repair {
    /// The lock was taken over from a dead process.
    TakenOver {
        /// Who died.
        from: Holder,
        /// Whether it left the index in need of a rebuild.
        rebuilt: bool,
    },
    /// An operation came across damage, the index was rebuilt, and the operation went on.
    Rebuilt {
        /// What it came across.
        damage: Damage,
    },
}

/// The lock of a workspace whose index is sound, given back on drop.
///
/// All that changes a workspace, and all that must not change while it is read, goes through this.
/// The operations stand in one file each: allocation, freeing, tags, filling, usage, partitions,
/// verification, rebuilding, reset.
///
/// It stays in the thread that took the lock, which others may ask through a reference.
///
/// # Crash behaviour
///
/// A process that is killed while it has a guard leaves the lock to the next one that wants it.
/// A panic inside an operation rebuilds the index before the lock is given back.
#[derive(Debug)]
pub struct Guard<'g, 'm, P: Party> {
    held: Held<'g, 'm, P>,
    repair: Option<Repair>,
    /// Whether an operation has begun to change the index and not ended.
    changing: bool,
}

/// The lock of a workspace whose index may be damaged.
///
/// What can be had without an index is here: the records that have a tag, verification, a rebuild,
/// a reset. Dropping it gives the lock back to the dead holder it was taken from, if any.
#[derive(Debug)]
pub struct Salvage<'g, 'm, P: Party> {
    held: Held<'g, 'm, P>,
}

/// The lock itself.
#[derive(Debug)]
pub(crate) struct Held<'g, 'm, P: Party> {
    workspace: &'g Workspace<'m, P>,
    id: OwnerId,
    /// The dead holder of a damaged index, to whom the lock is given back rather than to nobody.
    dead: Option<Holder>,
    /// What is not sent to another thread: the party was told which one has the lock.
    _thread: PhantomData<dyn Sync>,
}

impl<'g, 'm, P: Party> Held<'g, 'm, P> {
    #[inline]
    const fn new(workspace: &'g Workspace<'m, P>, id: OwnerId, dead: Option<Holder>) -> Self {
        Self { workspace, id, dead, _thread: PhantomData }
    }

    /// Whether it is this process that holds the lock, rather than its parent by fork.
    #[inline]
    pub(crate) fn check_inside(&self) -> Result<(), Stranger> {
        if self.workspace.party.is_inside(self.id) { Ok(()) } else { Err(Stranger) }
    }

    /// Verifies the index and rebuilds it if that finds anything; returns whether it did.
    fn recover(&self) -> Result<bool, RebuildError> {
        let is_clean = verify(self.workspace.index()).is_clean();
        if !is_clean {
            self.rebuild(None)?;
        }
        Ok(!is_clean)
    }

    fn rebuild(&self, seed: Option<u32>) -> Result<(), RebuildError> {
        self.check_inside()?;
        let index = self.workspace.index();
        index.header.raise_cycle_tag();
        rebuild(index, seed.unwrap_or_else(|| index.header.seed.get()))
    }
}

impl<P: Party> Drop for Held<'_, '_, P> {
    #[inline]
    fn drop(&mut self) {
        let owner = &self.workspace.parts.header.owner;
        owner.give_back(&self.workspace.party, self.id, self.dead);
    }
}

impl<'g, 'm, P: Party> Guard<'g, 'm, P> {
    // Always, since a guard that is returned through memory costs more than the lock itself.
    #[inline(always)]
    pub(crate) fn take(workspace: &'g Workspace<'m, P>) -> Result<Self, LockError> {
        let Taken { id, from } = workspace.take_word()?;
        let repair = match from {
            None => None,
            Some(holder) => Some(Self::take_over(workspace, id, holder)?),
        };
        Ok(Self { held: Held::new(workspace, id, None), repair, changing: false })
    }

    /// Recovers what `holder` left, of which `id` has the lock now, or gives the lock back to it.
    #[cold]
    fn take_over(
        workspace: &'g Workspace<'m, P>,
        id: OwnerId,
        holder: Holder,
    ) -> Result<Repair, LockError> {
        let held = Held::new(workspace, id, Some(holder));
        let rebuilt = held.recover().map_err(|cause| LockError::Unrecoverable { holder, cause })?;
        // The guard that is being made has the lock from here on.
        mem::forget(held);
        Ok(Repair::TakenOver { from: holder, rebuilt })
    }

    /// The workspace that is locked.
    #[must_use]
    pub const fn workspace(&self) -> &'g Workspace<'m, P> {
        self.held.workspace
    }

    /// What had to be repaired, most recently, since the lock was taken.
    #[must_use]
    pub const fn repair(&self) -> Option<Repair> {
        self.repair
    }

    /// Everything that can be looked at, as one who does not hold the lock sees it.
    #[must_use]
    pub const fn view(&self) -> View<'_> {
        View::new(self.held.workspace.index())
    }

    #[inline]
    pub(crate) const fn index(&self) -> Index<'g> {
        self.held.workspace.index()
    }

    pub(crate) const fn held(&self) -> &Held<'g, 'm, P> {
        &self.held
    }

    /// Must come before every change: refuses a forked child's copy of the guard, and tells
    /// lock-free readers.
    pub(crate) fn begin_change(&mut self) -> Result<(), Stranger> {
        self.held.check_inside()?;
        self.changing = true;
        self.index().header.raise_cycle_tag();
        Ok(())
    }

    /// Runs an operation that changes the index, and if it comes across damage, once more after
    /// a rebuild.
    ///
    /// The operation must be one that can be begun again after any of its stores.
    pub(crate) fn change<T>(
        &mut self,
        operation: impl Fn(Index<'g>) -> Result<T, Damage>,
    ) -> Result<T, RebuildError> {
        self.begin_change()?;
        let outcome = operation(self.index()).or_else(|damage| {
            self.rebuild_after(damage)?;
            operation(self.index()).map_err(RebuildError::Interference)
        })?;
        self.changing = false;
        Ok(outcome)
    }

    /// Ends a change that has begun with an operation whose outcome a rebuild completes, if it comes
    /// across damage.
    pub(crate) fn settle(
        &mut self,
        operation: impl FnOnce(Index<'g>) -> Result<(), Damage>,
    ) -> Result<(), RebuildError> {
        operation(self.index()).or_else(|damage| self.rebuild_after(damage))?;
        self.changing = false;
        Ok(())
    }

    /// Mends what a change has left that did not come to its end: for a panic, or damage that could
    /// not be rebuilt. If it cannot be now, the next operation of the next holder will say so.
    #[cold]
    fn end_early(&self) {
        if self.held.check_inside().is_ok() {
            let _ = rebuild(self.index(), self.workspace().seed());
        }
    }

    fn rebuild_after(&mut self, damage: Damage) -> Result<(), RebuildError> {
        rebuild(self.index(), self.workspace().seed())?;
        self.repair = Some(Repair::Rebuilt { damage });
        Ok(())
    }

    /// Checks every invariant of the layout.
    ///
    /// Writes nothing and costs O(n) in the number of records, whatever they hold.
    #[must_use]
    #[doc(alias = "fd_wksp_verify")]
    pub fn verify(&self) -> Report {
        verify(self.index())
    }

    /// Builds the whole index anew from the records that have a tag, with `seed` for the heap
    /// priorities or the present one.
    ///
    /// # Crash behaviour
    ///
    /// May be stopped at any store and run again.
    ///
    /// Costs O(n log n) in the number n of allocations, and O(m) in the number m of records.
    ///
    /// # Errors
    ///
    /// [`RebuildError`] if the tagged records contradict each other; they are left as they are.
    #[doc(alias = "fd_wksp_rebuild")]
    pub fn rebuild(&mut self, seed: Option<u32>) -> Result<(), RebuildError> {
        self.begin_change()?;
        rebuild(self.index(), seed.unwrap_or_else(|| self.workspace().seed()))?;
        self.changing = false;
        Ok(())
    }

    /// Frees everything, with `seed` for the heap priorities or the present one.
    ///
    /// # Crash behaviour
    ///
    /// A process killed inside has freed the allocations of the first records and no others.
    ///
    /// # Errors
    ///
    /// [`RebuildError::Interference`] if someone without the lock writes to the records meanwhile,
    /// [`RebuildError::Stranger`] in a forked child.
    #[doc(alias = "fd_wksp_reset")]
    pub fn reset(&mut self, seed: Option<u32>) -> Result<(), RebuildError> {
        self.begin_change()?;
        for (_, record) in self.index().table.iter() {
            if record.tag().is_some() {
                record.commit_tag(None);
            }
        }
        self.rebuild(seed)
    }

    /// Takes the magic away, so that nobody can join any more, and gives the lock back.
    ///
    /// Those who have joined already can go on until they leave; the memory may be used for
    /// something else when all have.
    ///
    /// # Errors
    ///
    /// [`Stranger`] in a forked child.
    #[doc(alias = "fd_wksp_delete")]
    pub fn unformat(self) -> Result<(), Stranger> {
        self.held.check_inside()?;
        self.index().header.magic.commit(0);
        Ok(())
    }
}

impl<P: Party> Drop for Guard<'_, '_, P> {
    #[inline]
    fn drop(&mut self) {
        if self.changing {
            self.end_early();
        }
    }
}

impl<'g, 'm, P: Party> Salvage<'g, 'm, P> {
    pub(crate) fn take(workspace: &'g Workspace<'m, P>) -> Result<Self, LockError> {
        let Taken { id, from } = workspace.take_word()?;
        Ok(Self { held: Held::new(workspace, id, from) })
    }

    pub(crate) fn seize(
        workspace: &'g Workspace<'m, P>,
        holder: Holder,
    ) -> Result<Option<Self>, Stranger> {
        let taken = workspace.parts.header.owner.seize(&workspace.party, holder)?;
        Ok(taken.map(|taken| Self { held: Held::new(workspace, taken.id, Some(holder)) }))
    }

    /// The workspace that is locked.
    #[must_use]
    pub const fn workspace(&self) -> &'g Workspace<'m, P> {
        self.held.workspace
    }

    /// Checks every invariant of the layout, as [`Guard::verify`] does.
    #[must_use]
    pub fn verify(&self) -> Report {
        verify(self.held.workspace.index())
    }

    /// Verifies the index and rebuilds it if that finds anything.
    ///
    /// # Errors
    ///
    /// Why it cannot be rebuilt, and the salvage again.
    pub fn recover(self) -> Result<Guard<'g, 'm, P>, (Self, RebuildError)> {
        match self.held.recover() {
            Ok(rebuilt) => {
                let dead = self.held.dead;
                let mut guard = self.into_guard();
                guard.repair = dead.map(|from| Repair::TakenOver { from, rebuilt });
                Ok(guard)
            }
            Err(cause) => Err((self, cause)),
        }
    }

    /// Builds the index anew as [`Guard::rebuild`] does.
    ///
    /// # Errors
    ///
    /// Why it cannot be rebuilt, and the salvage again.
    pub fn rebuild(self, seed: Option<u32>) -> Result<Guard<'g, 'm, P>, (Self, RebuildError)> {
        match self.held.rebuild(seed) {
            Ok(()) => Ok(self.into_guard()),
            Err(cause) => Err((self, cause)),
        }
    }

    /// Frees everything as [`Guard::reset`] does: this works on every workspace.
    ///
    /// # Errors
    ///
    /// As of [`Guard::reset`].
    pub fn reset(self, seed: Option<u32>) -> Result<Guard<'g, 'm, P>, RebuildError> {
        let mut guard = self.into_guard();
        guard.reset(seed)?;
        Ok(guard)
    }

    fn into_guard(self) -> Guard<'g, 'm, P> {
        let Self { mut held } = self;
        held.dead = None;
        Guard { held, repair: None, changing: false }
    }
}
