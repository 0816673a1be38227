//! What standard output is led to: how wide it is, and whether it has colours.

use std::env;
use std::io::{self, IsTerminal};

use clap::ValueEnum;

/// The columns of what is no terminal.
const PIPE_WIDTH: usize = 80;
/// The widest screen that anything is drawn for.
const WIDTH_MAX: usize = 1000;

/// Whether to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColourWhen {
    /// On a terminal, unless the variable NO_COLOR is set.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

impl ColourWhen {
    /// Whether standard output gets colours.
    pub(crate) fn decide(self) -> bool {
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let is_dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
                io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
            }
        }
    }
}

/// The columns of standard output.
pub(crate) fn width() -> usize {
    let terminal = io::stdout().is_terminal().then(crossterm::terminal::size);
    let columns = terminal.and_then(Result::ok).map(|(columns, _)| usize::from(columns));
    columns.filter(|&columns| columns > 0).unwrap_or(PIPE_WIDTH).min(WIDTH_MAX)
}
