//! Signals that ask to end, kept back while there is something to bring to an end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    /// The signal that asked last.
    signal: Arc<AtomicUsize>,
    /// Whether there was work that looks whether it is asked to end, and so has its own way to.
    is_heeded: AtomicBool,
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
        let last = Arc::new(AtomicUsize::new(0));
        let (wake, waker) = UnixStream::pair()?;
        for (signal, number) in [(SIGINT, SIGINT as usize), (SIGTERM, SIGTERM as usize)] {
            // They are called in this order: so the first signal is the one that only asks.
            flag::register_conditional_default(signal, Arc::clone(&ends))?;
            flag::register_usize(signal, Arc::clone(&last), number)?;
            flag::register(signal, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&ends))?;
            low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        Ok(Self { asked, ends, signal: last, is_heeded: AtomicBool::new(false), wake })
    }

    /// Keeps the signals from ending the process until what is returned is dropped.
    ///
    /// For work that looks whether it is [asked](Self::asked) to end.
    #[must_use = "signals end the process again when it is dropped"]
    pub(crate) fn hold(&self) -> Held<'_> {
        let is_outermost = self.ends.swap(false, Ordering::SeqCst);
        Held { ends: is_outermost.then_some(&self.ends) }
    }

    /// Becomes true when somebody asks to end, for work that looks at it.
    pub(crate) fn asked(&self) -> &AtomicBool {
        self.is_heeded.store(true, Ordering::SeqCst);
        &self.asked
    }

    /// No work looks at it any more.
    pub(crate) fn unheed(&self) {
        self.is_heeded.store(false, Ordering::SeqCst);
    }

    /// Does what the signal would have done that came while signals were kept back, if one did and
    /// no work has heeded it. Does nothing while somebody else keeps them back.
    pub(crate) fn make_up(&self) {
        let is_due = self.ends.load(Ordering::SeqCst) && !self.is_heeded.load(Ordering::SeqCst);
        if is_due && self.is_asked() {
            let signal = i32::try_from(self.signal.load(Ordering::SeqCst)).unwrap_or(SIGINT);
            // It fails for no signal of these.
            let _ = low_level::emulate_default_handler(signal);
        }
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
