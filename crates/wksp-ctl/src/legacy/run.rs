//! Running a chain: one command after the other, up to the first that fails.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, BufWriter, Stdout, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use wksp_core::{Guard, Name};
use wksp_shmem::{ProcessParty, SharedWorkspace, describe};

use super::words::Words;
use super::{Tool, cfg, shmem, wksp};
use crate::base_path::BasePath;
use crate::failure::{Failure, Kind};
use crate::output::{Output, unless_closed};
use crate::process::{holder_pid, printable};
use crate::session::{Session, region_of};
use crate::typed::GlobalArgs;
use crate::value;

/// What all commands of a chain share.
pub(super) struct Run<'o> {
    tool: Tool,
    pub(super) session: Session<'o>,
    /// The tag of what is allocated, which need not be one.
    pub(super) tag: u64,
    /// The command that runs, as it was typed.
    command: String,
    results: BufWriter<Stdout>,
}

/// Our options as they are where none is given; the environment may say something of them.
#[derive(Debug, Parser)]
struct Unsaid {
    #[command(flatten)]
    global: GlobalArgs,
}

/// Runs a chain to its end, or to the first command that fails.
pub(super) fn run(tool: Tool, words: &[OsString]) -> ExitCode {
    let output = Output::new(false, tool.name());
    let mut run = match Run::new(tool, &output) {
        Ok(run) => run,
        Err(failure) => return output.fail(&failure),
    };
    match run.chain(Words::new(words)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            run.log(&failure);
            ExitCode::FAILURE
        }
    }
}

impl<'o> Run<'o> {
    fn new(tool: Tool, output: &'o Output) -> Result<Self, Failure> {
        let unsaid = Unsaid::try_parse_from([tool.name()]).map_err(|error| {
            Failure::usage(error, "the environment variables that begin with WKSP_ say so")
        })?;
        let mut options = unsaid.global.plan()?;
        // Never a directory of the user's own, which the other programs would not look into.
        options.base = Some(BasePath::of_host(None).path);
        Ok(Self {
            tool,
            session: Session::new(options, output),
            tag: 1,
            command: String::new(),
            results: BufWriter::new(io::stdout()),
        })
    }

    fn chain(&mut self, mut words: Words) -> Result<(), Failure> {
        if words.is_empty() && self.tool == Tool::Cfg {
            return Err(Failure::usage("no command was given", "`help` lists the commands"));
        }
        while let Some(command) = words.command() {
            self.command.clone_from(&command);
            let done = match self.tool {
                Tool::Wksp => wksp::command(self, &command, &mut words),
                Tool::Shmem => shmem::command(self, &command, &mut words),
                Tool::Cfg => cfg::command(self, &command, &mut words),
            };
            // What was found out before something failed counts as well.
            let written = self.results.flush().or_else(unless_closed);
            done.and(written)?;
        }
        Ok(())
    }

    /// Writes results.
    pub(super) fn print(&mut self, results: fmt::Arguments<'_>) -> Result<(), Failure> {
        self.results.write_fmt(results).or_else(unless_closed)
    }

    /// Writes results that are not text.
    pub(super) fn print_bytes(&mut self, results: &[u8]) -> Result<(), Failure> {
        self.results.write_all(results).or_else(unless_closed)
    }

    /// Says in one line what is wrong.
    pub(super) fn log(&self, failure: &Failure) {
        let Failure { cause, remedy, .. } = failure;
        let command = printable(&self.command);
        let before = if command.is_empty() { "" } else { ": " };
        // There is nobody to tell if that fails.
        let line = format!("{}{before}{command}: {cause}; {remedy}\n", self.tool.name());
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }

    /// What came of something that never fails a command: it is logged instead.
    pub(super) fn logged<T>(&self, outcome: Result<T, Failure>) -> Option<T> {
        outcome.inspect_err(|failure| self.log(failure)).ok()
    }

    /// What is said of a command that there is not.
    pub(super) fn unknown(&self) -> Failure {
        let tool = self.tool.name();
        Failure::usage(
            format_args!("{tool} has no command {:?}", self.command),
            "`help` lists the commands",
        )
    }

    /// Attaches the workspace of a name.
    pub(super) fn attach(&self, name: &Name) -> Result<SharedWorkspace, Failure> {
        self.session.attach(name)
    }

    /// Does something with the lock of a workspace held, as soon as that can be had.
    pub(super) fn locked<T>(
        &self,
        shared: &SharedWorkspace,
        mut work: impl FnMut(&mut Guard<'_, '_, ProcessParty>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.patiently(shared, || self.session.locked(shared, &mut work))
    }

    /// Tries something again for as long as the lock that it needs has a holder that is at work.
    ///
    /// These tools never knew a bound on waiting, and scripts rely on that; but nobody is waited for
    /// whom nothing shows to have the workspace.
    pub(super) fn patiently<T>(
        &self,
        shared: &SharedWorkspace,
        mut attempt: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        loop {
            match attempt() {
                Err(failure) if failure.kind == Kind::Busy && is_at_work(shared) => {
                    self.log(&Failure { remedy: "waiting for it".to_owned(), ..failure });
                }
                ended => return ended,
            }
        }
    }
}

/// Whether the lock is free by now, or its holder lives and has the workspace.
fn is_at_work(shared: &SharedWorkspace) -> bool {
    let Some(holder) = shared.workspace().holder() else { return true };
    let info = holder_pid(holder).and_then(|pid| describe(pid, region_of(shared).ok()));
    info.is_some_and(|info| info.maps_region == Some(true))
}

/// Reads a name.
pub(super) fn name(word: &OsStr) -> Result<Name, Failure> {
    value::name(&word.to_string_lossy())
}

/// The file of a word; that called `-` is no stream here.
pub(super) fn file(word: OsString) -> PathBuf {
    if word == "-" { PathBuf::from("./-") } else { PathBuf::from(word) }
}
