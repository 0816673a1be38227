//! Running other programs: shown before they start, their output passed on as it comes.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

use crate::repository;
use crate::tally::Tally;

/// Returns a command that runs the Cargo that runs this, in the root of the checkout.
pub(crate) fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(repository::root());
    command
}

/// `cargo test` of all that holds tests, but for documentation and benchmarks.
pub(crate) fn tests() -> Command {
    let mut tests = cargo(["test", "--workspace", "--all-features", "--no-fail-fast"]);
    tests.args(["--lib", "--bins", "--tests", "--examples"]);
    tests
}

/// Runs a command, and fails if it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    run_attended(command.stdin(Stdio::null()))
}

/// Runs a command that a person may type to, and fails if it does.
pub(crate) fn run_attended(command: &mut Command) -> Result<()> {
    show(command)?;
    let status = command.status().with_context(|| format!("cannot start {}", line(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", line(command));
    }
    Ok(())
}

/// Runs a command and has each line that it prints on standard output heard, without its end.
pub(crate) fn listen(command: &mut Command, mut hear: impl FnMut(&str)) -> Result<ExitStatus> {
    show(command)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", line(command)))?;
    if let Some(output) = child.stdout.take() {
        for said in BufReader::new(output).split(b'\n') {
            let said = said.with_context(|| format!("cannot read from {}", line(command)))?;
            hear(String::from_utf8_lossy(&said).trim_end_matches('\r'));
        }
    }
    Ok(child.wait()?)
}

/// Runs a command that runs tests, and counts what it says of them.
///
/// A command that fails, or runs no test, is at fault, by the tally's `fault`.
pub(crate) fn run_tests(command: &mut Command) -> Result<Tally> {
    let mut tally = Tally::default();
    let status = listen(command, |said| {
        println!("{said}");
        tally.observe(said);
    })?;
    tally.settle();
    if !status.success() {
        tally.blame(format!("{} ended with {status}", line(command)));
    } else if tally.is_empty() {
        tally.blame(format!("{} ran no test", line(command)));
    }
    Ok(tally)
}

/// Runs a command quietly and returns what it printed on standard output, `None` if it failed.
pub(crate) fn output_of(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn show(command: &Command) -> io::Result<()> {
    println!("$ {}", line(command));
    io::stdout().flush()
}

/// Returns the line that does in a shell what the command does.
fn line(command: &Command) -> String {
    let settings = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), quoted(value?))));
    let program = std::path::Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(quoted);
    settings.chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.is_empty() || word.contains([' ', '"', '$']) {
        format!("'{word}'")
    } else {
        word.into()
    }
}
