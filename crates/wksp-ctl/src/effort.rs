//! Work that takes a while: on several threads, with a bar on the terminal, until Ctrl-C.

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use wksp_checkpt::{Checkpoint, Control, Progress, Verified};

use crate::failure::{self, Failure};
use crate::interrupt::Interrupt;
use crate::session::Session;

/// What the bar looks like.
const TEMPLATE: &str = "{msg:10} [{bar:40}] {percent:>3}%  {bytes} of {total_bytes}, {eta} left";
/// How often it is drawn.
const DRAWN_EVERY: Duration = Duration::from_millis(100);

/// The threads for some work, and whether its progress is shown.
#[derive(Debug)]
pub(crate) struct Effort {
    threads: NonZeroUsize,
    is_shown: bool,
    interrupt: &'static Interrupt,
    /// The threads that draw bars, of work that may have ended.
    painters: RefCell<Vec<JoinHandle<()>>>,
}

/// How far some work has come, in bytes.
#[derive(Debug, Default)]
struct Amounts {
    done: AtomicU64,
    total: AtomicU64,
}

/// What Ctrl-C does.
pub(crate) fn interrupt() -> Result<&'static Interrupt, Failure> {
    Interrupt::get().map_err(|error| {
        Failure::io("cannot take care of Ctrl-C", &error, "see `ulimit -n` and try again")
    })
}

impl Effort {
    /// Work on so many threads.
    pub(crate) fn new(session: &Session<'_>, threads: NonZeroUsize) -> Result<Self, Failure> {
        let interrupt = interrupt()?;
        let is_shown = session.shows_progress() && io::stderr().is_terminal();
        Ok(Self { threads, is_shown, interrupt, painters: RefCell::default() })
    }

    /// Does it, and shows how far it has come.
    ///
    /// A thread of its own draws the bar: a terminal that is stopped must not keep the work, which
    /// may hold a lock, from going on.
    pub(crate) fn run<T>(&self, title: &'static str, work: impl FnOnce(Control<'_>) -> T) -> T {
        let amounts = Arc::new(Amounts::default());
        let show = |Progress { done_bytes, total_bytes }| {
            amounts.done.store(done_bytes, Ordering::Relaxed);
            amounts.total.store(total_bytes, Ordering::Relaxed);
        };
        let (working, until) = channel::<()>();
        if self.is_shown {
            let amounts = Arc::clone(&amounts);
            let painter = thread::Builder::new().spawn(move || paint(title, &amounts, &until));
            // Without a thread there is no bar.
            self.painters.borrow_mut().extend(painter);
        }
        let held = self.interrupt.hold();
        let done = work(Control {
            threads: self.threads,
            cancel: Some(self.interrupt.asked()),
            progress: if self.is_shown { Some(&show) } else { None },
        });
        drop((held, working));
        done
    }

    /// Reads every byte of the checkpoint called `name`.
    pub(crate) fn verify<'v, 's>(
        &self,
        name: &str,
        checkpoint: &'v Checkpoint<'s>,
    ) -> Result<Verified<'v, 's>, Failure> {
        self.run("verifying", |control| checkpoint.verify(&control))
            .map_err(|error| failure::read(name, &error))
    }

    /// The signals that end it.
    pub(crate) const fn interrupt(&self) -> &Interrupt {
        self.interrupt
    }
}

impl Drop for Effort {
    /// Waits until the bars are gone, so that what is printed next stands alone.
    fn drop(&mut self) {
        for painter in self.painters.take() {
            // A panic there has been reported by the thread.
            let _ = painter.join();
        }
        self.interrupt.unheed();
    }
}

/// Draws a bar until the other end of `until` is gone.
fn paint(title: &'static str, amounts: &Amounts, until: &Receiver<()>) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_message(title);
    let bar = match ProgressStyle::with_template(TEMPLATE) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    };
    while until.recv_timeout(DRAWN_EVERY) == Err(RecvTimeoutError::Timeout) {
        bar.set_length(amounts.total.load(Ordering::Relaxed));
        bar.set_position(amounts.done.load(Ordering::Relaxed));
    }
    bar.finish_and_clear();
}
