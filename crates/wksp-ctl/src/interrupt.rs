//! Signals that ask to end, kept back while there is something to bring to an end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// What Ctrl-C and SIGTERM do: end the process at once, but during [`hold`](Self::hold) ask only.
///
/// Whoever asks a second time does not want to wait, and ends the process.
#[derive(Debug)]
pub(crate) struct Interrupt {
    asked: Arc<AtomicBool>,
    ends: Arc<AtomicBool>,
    wake: UnixStream,
}

impl Interrupt {
    /// Takes over what the signals do, for as long as the process lives.
    pub(crate) fn new() -> io::Result<Self> {
        let (asked, ends) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        let (wake, waker) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM] {
            // They are called in this order: so the first signal is the one that only asks.
            flag::register_conditional_default(signal, Arc::clone(&ends))?;
            flag::register(signal, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&ends))?;
            low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        Ok(Self { asked, ends, wake })
    }

    /// Does some work that looks whether it is asked to end.
    pub(crate) fn hold<T>(&self, work: impl FnOnce(&AtomicBool) -> T) -> T {
        let is_outermost = self.ends.swap(false, Ordering::SeqCst);
        let done = work(&self.asked);
        if is_outermost {
            self.ends.store(true, Ordering::SeqCst);
        }
        done
    }

    /// Whether somebody has asked to end.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Becomes readable when somebody asks to end, and stays so.
    pub(crate) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
