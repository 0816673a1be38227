//! Work shared out among threads, of which the calling one is the first.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::control::Control;
use crate::error::ReadError;

/// Calls `work` for 0 .. `count` on several threads, and collects what it returns, in order.
///
/// Each thread has a state of its own, made by `state`.
/// Ends early with the first error, in the order of time, or when cancelled.
pub(crate) fn map<S, T: Send>(
    control: &Control<'_>,
    count: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> Result<T, ReadError> + Sync,
) -> Result<Vec<T>, ReadError> {
    let next = AtomicUsize::new(0);
    let ended = AtomicBool::new(false);
    let outcome = Mutex::new((Vec::new(), None));
    let run = || {
        let mut state = state();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count || ended.load(Ordering::Relaxed) {
                return;
            }
            let done = control.check().and_then(|()| work(&mut state, at));
            let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
            let (all, error) = &mut *outcome;
            match done {
                Ok(value) => all.push((at, value)),
                Err(cause) => {
                    error.get_or_insert(cause);
                    ended.store(true, Ordering::Relaxed);
                    return;
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..control.threads.get().min(count) {
            // A thread that cannot be had is done without.
            if thread::Builder::new().spawn_scoped(scope, run).is_err() {
                break;
            }
        }
        run();
    });
    let (mut all, error) = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = error {
        return Err(error);
    }
    all.sort_unstable_by_key(|(at, _)| *at);
    Ok(all.into_iter().map(|(_, value)| value).collect())
}
