//! The first stage: what was typed, as it was typed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::error::ErrorKind;
use clap::{Args, Parser};
use wksp_shmem::{LockOptions, PageSize};

use crate::command::Command;
use crate::failure::{Failure, Kind};
use crate::manual;
use crate::output::Loudness;

/// Creates, lists, fills, reads, inspects, repairs and checkpoints workspaces in shared memory.
#[derive(Debug, Parser)]
#[command(name = "wksp-ctl", version, after_help = manual::after_help(), max_term_width = 100)]
pub(crate) struct Typed {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options that hold for every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options of all commands")]
pub(crate) struct GlobalArgs {
    /// The directory that workspaces are in.
    #[arg(long, value_name = "DIR", global = true)]
    base: Option<PathBuf>,
    /// Write results, errors and notes as JSON, one document per line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show no progress, and no notes but of what was found wrong, such as a repair.
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Say which directory and region were found, and for how long locks were waited for and held.
    #[arg(long, short, global = true, conflicts_with = "quiet")]
    verbose: bool,
    /// normal, huge or gigantic; of a name that has several, the largest counts.
    #[arg(long, value_name = "SIZE", global = true)]
    page_size: Option<String>,
    /// How long to wait for a lock whose holder lives; fractions are allowed.
    #[arg(long, value_name = "SECONDS", global = true, default_value = "10")]
    #[arg(allow_negative_numbers = true)]
    wait: String,
    /// All that use these workspaces see each other's process ids; needed to recover in containers.
    #[arg(long, global = true, env = "WKSP_SINGLE_PID_NAMESPACE")]
    #[arg(value_parser = FalseyValueParser::new())]
    single_pid_namespace: bool,
}

/// The options that hold for every command, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GlobalPlan {
    pub(crate) base: Option<PathBuf>,
    pub(crate) page_size: Option<PageSize>,
    pub(crate) lock: LockOptions,
}

impl GlobalArgs {
    /// How much is to be said.
    pub(crate) const fn loudness(&self) -> Loudness {
        match (self.quiet, self.verbose) {
            (true, _) => Loudness::Quiet,
            (false, true) => Loudness::Verbose,
            (false, false) => Loudness::Normal,
        }
    }

    /// Checks them.
    pub(crate) fn plan(&self) -> Result<GlobalPlan, Failure> {
        let page_size = self.page_size.as_ref().map(|text| {
            text.parse::<PageSize>().map_err(|error| {
                Failure::usage(
                    format_args!("{text:?} is no --page-size: {error}"),
                    "choose normal, huge or gigantic",
                )
            })
        });
        let lock = LockOptions::default()
            .with_patience(seconds("--wait", &self.wait)?)
            .with_single_pid_namespace(self.single_pid_namespace);
        Ok(GlobalPlan { base: self.base.clone(), page_size: page_size.transpose()?, lock })
    }
}

/// The longest wait that can be asked for: some thirty years.
const SECONDS_MAX: f64 = 1e9;

/// Reads a number of seconds.
pub(crate) fn seconds(option: &str, text: &str) -> Result<Duration, Failure> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds));
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).ok_or_else(|| {
        Failure::usage(
            format_args!("{text:?} is no number of seconds for {option}"),
            "write a number such as 10 or 0.5, at most 1000000000",
        )
    })
}

/// What the arguments come to.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// A command.
    Run(Box<Typed>),
    /// A help text, or the version.
    Help(String),
    /// No command.
    Wrong {
        /// Whether to say so in JSON.
        json: bool,
        /// What is wrong.
        failure: Failure,
    },
}

/// Reads the arguments, of which the first is the name of the program.
pub(crate) fn parse(arguments: &[OsString]) -> Parsed {
    let error = match Typed::try_parse_from(arguments) {
        Ok(typed) => return Parsed::Run(Box::new(typed)),
        Err(error) => error,
    };
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Parsed::Help(error.to_string());
    }
    // What follows `--` are operands.
    let json = arguments.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    Parsed::Wrong { json, failure: wrong(&error) }
}

fn wrong(error: &clap::Error) -> Failure {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::usage("no command was given", "`wksp-ctl --help` lists the commands");
    }
    // The first paragraph says what is wrong; hints and the usage line follow.
    let text = error.to_string();
    let (first, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
    let cause = one_line(first.trim_start_matches("error: "));
    let is_hint = |line: &&str| line.trim_start().starts_with("tip:");
    let is_usage = |line: &&str| line.trim_start().starts_with("Usage:");
    let hint = rest.lines().find(is_hint).map(|line| format!("{}; ", line.trim()));
    let usage = rest.lines().find(is_usage).map(one_line);
    let remedy = match usage {
        Some(usage) => {
            let usage = usage.trim_start_matches("Usage:").trim();
            format!("{}usage is `{usage}`; --help says more", hint.unwrap_or_default())
        }
        None => format!("{}--help says more", hint.unwrap_or_default()),
    };
    Failure::new(Kind::Usage, cause, remedy)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
