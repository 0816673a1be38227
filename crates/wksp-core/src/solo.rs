//! The party of those who are alone: the threads of one process.

use core::hint::spin_loop;
use core::num::NonZeroU64;

use crate::lock::{OwnerId, Party, Sighting, Stranger, Verdict};

/// All threads of a process that shares its workspace with no other, nor with a forked child.
///
/// They spin for the lock, and give up after some 10^9 looks: seconds, in which a thread that locks
/// twice finds out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Solo;

const LOOKS_MAX: u32 = 1 << 30;

impl Party for Solo {
    type Patience = u32;

    fn enter(&self) -> Result<OwnerId, Stranger> {
        OwnerId::new(NonZeroU64::MIN.get()).ok_or(Stranger)
    }

    fn is_inside(&self, _id: OwnerId) -> bool {
        true
    }

    fn leave(&self) {}

    fn judge(&self, _sighting: Sighting, looks: &mut u32) -> Verdict {
        spin_loop();
        *looks = looks.saturating_add(1);
        if *looks < LOOKS_MAX { Verdict::Wait } else { Verdict::GiveUp }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::Holder;

    #[test]
    fn so_many_looks_are_waited_for_and_no_more() {
        let sighting = Sighting { holder: Holder::Formatter, progress: 0 };
        for (mut looks, expected) in [
            (0, Verdict::Wait),
            ((1 << 30) - 2, Verdict::Wait),
            ((1 << 30) - 1, Verdict::GiveUp),
            (u32::MAX, Verdict::GiveUp),
        ] {
            let before = looks;
            assert_eq!(Solo.judge(sighting, &mut looks), expected);
            assert_eq!(looks, before.saturating_add(1));
        }
    }
}
