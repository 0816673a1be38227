//! Work that takes a while: on several threads, with a bar on the terminal, until Ctrl-C.

use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use wksp_checkpt::{Control, Progress};

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::session::Session;

/// What the bar looks like.
const TEMPLATE: &str = "{msg:10} [{bar:40}] {percent:>3}%  {bytes} of {total_bytes}, {eta} left";
/// How often it is drawn in a second.
const DRAWN_PER_SECOND: u8 = 10;

/// The threads for some work, and whether its progress is shown.
#[derive(Debug)]
pub(crate) struct Effort {
    threads: NonZeroUsize,
    is_shown: bool,
    interrupt: Interrupt,
}

impl Effort {
    /// Work on so many threads.
    pub(crate) fn new(session: &Session<'_>, threads: NonZeroUsize) -> Result<Self, Failure> {
        let interrupt = Interrupt::new().map_err(|error| {
            Failure::io("cannot take care of Ctrl-C", &error, "see `ulimit -n` and try again")
        })?;
        let is_shown = session.shows_progress() && io::stderr().is_terminal();
        Ok(Self { threads, is_shown, interrupt })
    }

    /// Does it, and shows how far it has come.
    pub(crate) fn run<T>(&self, title: &'static str, work: impl FnOnce(Control<'_>) -> T) -> T {
        let bar = self.bar(title);
        let show = |progress: Progress| {
            bar.set_length(progress.total_bytes);
            bar.set_position(progress.done_bytes);
        };
        let done = self.interrupt.hold(|cancel| {
            work(Control {
                threads: self.threads,
                cancel: Some(cancel),
                progress: if self.is_shown { Some(&show) } else { None },
            })
        });
        bar.finish_and_clear();
        done
    }

    /// The signals that end it.
    pub(crate) const fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    fn bar(&self, title: &'static str) -> ProgressBar {
        if !self.is_shown {
            return ProgressBar::hidden();
        }
        let target = ProgressDrawTarget::stderr_with_hz(DRAWN_PER_SECOND);
        let bar = ProgressBar::with_draw_target(None, target).with_message(title);
        match ProgressStyle::with_template(TEMPLATE) {
            Ok(style) => bar.with_style(style.progress_chars("=> ")),
            Err(_) => bar,
        }
    }
}
