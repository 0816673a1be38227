//! Signals that ask to end, kept back while there is something to bring to an end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// What Ctrl-C and SIGTERM do: end the process at once, but as long as there is a [`Held`] ask only.
///
/// Whoever asks a second time does not want to wait, and ends the process.
#[derive(Debug)]
pub(crate) struct Interrupt {
    asked: Arc<AtomicBool>,
    ends: Arc<AtomicBool>,
    wake: UnixStream,
}

/// Signals are kept back as long as this lives.
#[derive(Debug)]
pub(crate) struct Held<'i> {
    /// `None` if somebody else keeps them back for longer.
    ends: Option<&'i AtomicBool>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(ends) = self.ends {
            ends.store(true, Ordering::SeqCst);
        }
    }
}

impl Interrupt {
    /// Takes over what the signals do, for as long as the process lives; several commands share it.
    ///
    /// Were there one for each, the first would end the process while the second keeps them back.
    pub(crate) fn get() -> io::Result<&'static Self> {
        static ONLY: OnceLock<Interrupt> = OnceLock::new();
        match ONLY.get() {
            Some(only) => Ok(only),
            None => {
                let new = Self::new()?;
                Ok(ONLY.get_or_init(|| new))
            }
        }
    }

    fn new() -> io::Result<Self> {
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

    /// Keeps the signals from ending the process until what is returned is dropped.
    ///
    /// For work that looks whether it is [asked](Self::asked) to end.
    #[must_use = "signals end the process again when it is dropped"]
    pub(crate) fn hold(&self) -> Held<'_> {
        let is_outermost = self.ends.swap(false, Ordering::SeqCst);
        Held { ends: is_outermost.then_some(&self.ends) }
    }

    /// Becomes true when somebody asks to end.
    pub(crate) fn asked(&self) -> &AtomicBool {
        &self.asked
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
