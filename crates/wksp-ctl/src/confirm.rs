//! Asking before what cannot be undone.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::failure::{Failure, Kind};

/// Asks on the terminal whether to do `what`, unless `yes` says so already.
///
/// Without a terminal there is nobody to ask, and that is a failure.
pub(crate) fn confirm(what: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            format_args!("cannot ask whether to {what}: standard input is no terminal"),
            "say --yes if that is what you want",
        ));
    }
    ask(what)
}

/// As [`confirm`], but where there is no terminal the command itself is word enough.
pub(crate) fn confirm_on_terminal(what: &str, yes: bool) -> Result<(), Failure> {
    if yes || !io::stdin().is_terminal() {
        return Ok(());
    }
    ask(what)
}

fn ask(what: &str) -> Result<(), Failure> {
    let mut answer = String::new();
    let mut stderr = io::stderr().lock();
    let asked = write!(stderr, "{what}? [y/N] ").and_then(|()| stderr.flush());
    asked.and_then(|()| io::stdin().lock().read_line(&mut answer)).map_err(|error| {
        Failure::io(format_args!("cannot ask whether to {what}"), &error, "say --yes")
    })?;
    if ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::new(
        Kind::Failed,
        format_args!("did not {what}: the answer was no"),
        "nothing was changed",
    ))
}
