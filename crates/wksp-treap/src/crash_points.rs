//! A hook behind every store to a record or header, for tests that ask "what if it ended here?".
//!
//! Without the feature `crash-points` nothing of this is compiled.

#[cfg(feature = "crash-points")]
mod hook {
    extern crate std;

    use core::cell::{Cell, RefCell};
    use std::boxed::Box;
    use std::thread_local;

    /// What the hook of a thread is: it may look at memory, count, stop the thread or the process.
    pub type Hook = Box<dyn FnMut()>;

    thread_local! {
        static ARMED: Cell<bool> = const { Cell::new(false) };
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    /// Sets what runs behind every store of this thread, or nothing.
    pub fn install(hook: Option<Hook>) {
        ARMED.set(hook.is_some());
        HOOK.set(hook);
    }

    /// Tells the hook of this thread that a store has been made.
    pub(crate) fn passed() {
        // Stores made by the hook itself are not reported.
        if ARMED.replace(false) {
            HOOK.with_borrow_mut(|slot| {
                if let Some(hook) = slot {
                    hook();
                }
            });
            ARMED.set(true);
        }
    }
}

#[cfg(feature = "crash-points")]
pub(crate) use hook::passed;
#[cfg(feature = "crash-points")]
pub use hook::{Hook, install};

#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub(crate) fn passed() {}
