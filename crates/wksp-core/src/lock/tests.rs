//! The lock word under every interleaving of a few threads, with death as an event.

extern crate std;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64};
use loom::thread;
use std::vec::Vec;

use super::{
    FREE, Holder, LockWord, Ordering, OwnerId, Party, Sighting, Stranger, TakeError, Verdict, Word,
};

impl_word!(AtomicU64);

/// The lock, what it protects, and who has died.
struct World {
    lock: LockWord<AtomicU64>,
    protected: UnsafeCell<()>,
    is_dead: [AtomicBool; 4],
}

impl World {
    fn new(word: u64) -> Arc<Self> {
        Arc::new(Self {
            lock: LockWord(AtomicU64::new(word)),
            protected: UnsafeCell::new(()),
            is_dead: [(); 4].map(|()| AtomicBool::new(false)),
        })
    }

    /// Uses what the lock protects; loom fails if anyone else does so at the same time.
    fn touch(&self) {
        self.protected.with_mut(|_| ());
    }

    fn flag(&self, id: u64) -> &AtomicBool {
        &self.is_dead[usize::try_from(id).unwrap()]
    }

    fn die(&self, id: u64) {
        self.flag(id).store(true, Ordering::Release);
    }
}

/// A thread that takes a holder for dead when it is.
struct Member<'w> {
    world: &'w World,
    id: u64,
    patience: u32,
}

impl Party for Member<'_> {
    type Patience = u32;

    fn enter(&self) -> Result<OwnerId, Stranger> {
        OwnerId::new(self.id).ok_or(Stranger)
    }

    fn is_inside(&self, id: OwnerId) -> bool {
        id.get() == self.id
    }

    fn leave(&self) {}

    // Whoever takes note does so while the word names them, and no sooner or later.
    fn has_got(&self, _word: *const u64) {
        assert_eq!(self.world.lock.holder(), OwnerId::new(self.id).map(Holder::Owner));
    }

    fn gives_back(&self, word: *const u64) {
        self.has_got(word);
    }

    fn judge(&self, Sighting { holder, .. }: Sighting, looks: &mut u32) -> Verdict {
        if let Holder::Owner(id) = holder
            && self.world.flag(id.get()).load(Ordering::Acquire)
        {
            return Verdict::TakeOver;
        }
        *looks = looks.saturating_add(1);
        thread::yield_now();
        if *looks < self.patience { Verdict::Wait } else { Verdict::GiveUp }
    }
}

/// Takes the lock, touches what it protects, gives it back; says whom it was taken from.
fn visit(world: &World, id: u64) -> Result<Option<Holder>, TakeError> {
    let member = Member { world, id, patience: 100 };
    let taken = world.lock.take(&member, || 0)?;
    world.touch();
    world.lock.give_back(&member, taken.id, None);
    Ok(taken.from)
}

#[test]
fn two_threads_exclude_each_other() {
    loom::model(|| {
        let world = World::new(FREE);
        let other = Arc::clone(&world);
        let thread = thread::spawn(move || visit(&other, 1).unwrap());
        assert_eq!(visit(&world, 2).unwrap(), None);
        assert_eq!(thread.join().unwrap(), None);
        assert_eq!(world.lock.holder(), None);
    });
}

#[test]
fn of_two_thieves_one_takes_over() {
    loom::model(|| {
        let world = World::new(3);
        world.die(3);
        let other = Arc::clone(&world);
        let thread = thread::spawn(move || visit(&other, 1).unwrap());
        let thefts: Vec<_> =
            [visit(&world, 2).unwrap(), thread.join().unwrap()].into_iter().flatten().collect();
        assert_eq!(thefts, [Holder::Owner(OwnerId::new(3).unwrap())]);
        assert_eq!(world.lock.holder(), None);
    });
}

#[test]
fn a_holder_that_dies_is_robbed_only_then_and_its_stores_are_seen() {
    loom::model(|| {
        let world = World::new(FREE);
        let other = Arc::clone(&world);
        let thread = thread::spawn(move || {
            let member = Member { world: &other, id: 1, patience: 100 };
            other.lock.take(&member, || 0).unwrap();
            other.touch();
            // Its last deed: what it held stays held.
            other.die(1);
        });
        visit(&world, 2).unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn a_thief_that_dies_before_it_is_done_is_robbed_in_turn() {
    loom::model(|| {
        let world = World::new(3);
        world.die(3);
        let other = Arc::clone(&world);
        let thread = thread::spawn(move || {
            let member = Member { world: &other, id: 1, patience: 100 };
            let taken = other.lock.take(&member, || 0).unwrap();
            other.touch();
            other.die(1);
            taken.from
        });
        let mine = visit(&world, 2).unwrap();
        let theirs = thread.join().unwrap();
        assert!(mine.is_some() || theirs.is_some());
    });
}

#[test]
fn a_living_holder_is_waited_for_up_to_the_bound() {
    loom::model(|| {
        let world = World::new(1);
        let member = Member { world: &world, id: 2, patience: 3 };
        let holder = Holder::Owner(OwnerId::new(1).unwrap());
        assert_eq!(world.lock.take(&member, || 0), Err(TakeError::Busy { holder }));
        assert_eq!(world.lock.holder(), Some(holder));
    });
}

#[test]
fn holders_are_called_by_their_numbers() {
    extern crate std;
    use std::string::ToString;
    let id = OwnerId::new(4711).unwrap();
    assert_eq!(
        (id.to_string(), Holder::Owner(id).to_string()),
        ("4711".into(), "process 4711".into())
    );
    assert_eq!(Holder::Formatter.to_string(), "a process that is formatting it");
}
