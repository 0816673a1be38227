//! Several commands in one call, with a plain `+` between them.
//!
//! All of them are read and checked before the first one runs; the first that fails is the last.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::{Arg, Command as Grammar, CommandFactory};

use crate::command::Plan;
use crate::failure::Failure;
use crate::output::Output;
use crate::process::printable;
use crate::session::Session;
use crate::shell;
use crate::typed::{self, GlobalPlan, Parsed, Typed};

/// What stands between two commands.
const SEPARATOR: &str = "+";
/// Behind this all words are operands.
const OPERANDS: &str = "--";

/// A command of a chain, to be run.
struct Link {
    options: GlobalPlan,
    output: Output,
    plan: Box<dyn Plan>,
}

/// Where a command stands in its chain.
struct Place<'w> {
    number: usize,
    count: usize,
    words: &'w [OsString],
}

/// Runs what was typed, of which the first is the name of the program.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let Some((program, words)) = arguments.split_first() else {
        return Output::new(false, "")
            .fail(&Failure::usage("no command was given", "--help helps"));
    };
    let commands = split(words);
    let count = commands.len();
    let place = |number, words| Place { number, count, words };
    let grammar = Typed::command();
    let global = commands.first().map_or(0, |first| option_count(&grammar, first));
    let global = words.get(..global).unwrap_or_default();
    let mut links = Vec::new();
    for (number, &words) in (1..).zip(&commands) {
        if count > 1 && option_count(&grammar, words) == words.len() {
            let json = [global, words].concat().iter().any(|word| word == "--json");
            return Output::new(json, "").fail(&place(number, words).name(nothing()));
        }
        // The first one has them already.
        let before = if number == 1 { &[] } else { global };
        let arguments = [std::slice::from_ref(program), before, words].concat();
        match typed::parse(&arguments) {
            Parsed::Run(typed) => match Link::plan(*typed) {
                Ok(link) => links.push(link),
                Err((output, failure)) => return output.fail(&place(number, words).name(failure)),
            },
            Parsed::Help(text) => return Output::new(false, "help").help(&text),
            Parsed::Wrong { json, failure } => {
                return Output::new(json, "").fail(&place(number, words).name(failure));
            }
        }
    }
    for (number, (Link { options, output, plan }, words)) in
        (1..).zip(links.into_iter().zip(&commands))
    {
        let session = Session::new(options, &output);
        let done = plan.run(&session).and_then(|outcome| output.finish(outcome));
        match done {
            Ok(0) => {}
            // It has said what it had to say, as `diff` does.
            Ok(code) => return ExitCode::from(code),
            Err(failure) => return output.fail(&place(number, words).name(failure)),
        }
    }
    ExitCode::SUCCESS
}

impl Link {
    fn plan(typed: Typed) -> Result<Self, (Output, Failure)> {
        let output = Output::new(typed.global.json, typed.command.name())
            .with_loudness(typed.global.loudness());
        let planned = typed.global.plan().and_then(|options| Ok((options, typed.command.plan()?)));
        match planned {
            Ok((options, plan)) => Ok(Self { options, output, plan }),
            Err(failure) => Err((output, failure)),
        }
    }
}

impl Place<'_> {
    /// Names the command that failed, if there are several.
    fn name(&self, failure: Failure) -> Failure {
        let Self { number, count, words } = self;
        if *count == 1 {
            return failure;
        }
        let typed = words.iter().map(|word| shell::word(&printable(&word.to_string_lossy())));
        let typed = typed.collect::<Vec<_>>().join(" ");
        let cause = format!("command {number} of {count} (`{typed}`): {}", failure.cause);
        Failure { cause, ..failure }
    }
}

fn nothing() -> Failure {
    Failure::usage(
        "there is no command",
        "write one before and behind each `+`; an argument that is `+` is written `./+` for a file, \
         `--option=+` for an option, or behind `--`",
    )
}

/// Splits words at each separator, but at none behind `--`.
fn split(words: &[OsString]) -> Vec<&[OsString]> {
    let mut commands = Vec::new();
    let mut start = 0;
    for (at, word) in words.iter().enumerate() {
        if word == OPERANDS {
            break;
        }
        if word == SEPARATOR {
            commands.push(words.get(start..at).unwrap_or_default());
            start = at.saturating_add(1);
        }
    }
    commands.push(words.get(start..).unwrap_or_default());
    commands
}

/// How many words before the name of a command are options and their values.
fn option_count(grammar: &Grammar, words: &[OsString]) -> usize {
    let mut at = 0_usize;
    while let Some(option) = words.get(at).and_then(|word| option(grammar, word)) {
        at = at.saturating_add(if option.has_value_behind { 2 } else { 1 });
    }
    at.min(words.len())
}

/// An option that holds for every command.
struct GlobalOption {
    /// Whether the next word is its value.
    has_value_behind: bool,
}

fn option(grammar: &Grammar, word: &OsStr) -> Option<GlobalOption> {
    let word = word.to_str()?;
    let (name, value) =
        word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    let is_called = |option: &&Arg| match name.strip_prefix("--") {
        Some(long) => option.get_long() == Some(long),
        None => {
            let short = name.strip_prefix('-').and_then(|letters| letters.chars().next());
            short.is_some() && option.get_short() == short
        }
    };
    let found = grammar.get_arguments().find(is_called)?;
    Some(GlobalOption { has_value_behind: value.is_none() && found.get_action().takes_values() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect()
    }

    #[test]
    fn a_plain_plus_separates_until_there_are_only_operands() {
        let count = |text| split(&words(text)).len();
        assert_eq!(count(""), 1);
        assert_eq!(count("new a --size 1M + usage a"), 2);
        assert_eq!(count("+ a +"), 3);
        assert_eq!(count("checkpt a f --info=+ + ls"), 2);
        assert_eq!(count("tag a:1 +1 + ls"), 2);
        assert_eq!(count("ls + put a -- + ls + --"), 2);
        assert_eq!(split(&words("ls + put a -- + ls"))[1], words("put a -- + ls"));
    }

    #[test]
    fn options_before_the_first_command_are_counted_with_their_values() {
        let count = |text| option_count(&Typed::command(), &words(text));
        assert_eq!(count("new a"), 0);
        assert_eq!(count(""), 0);
        assert_eq!(count("--json -q new --size 1M"), 2);
        assert_eq!(count("--base new --wait=3 --page-size huge new a"), 5);
        assert_eq!(count("--base"), 1);
        assert_eq!(count("-q"), 1);
        assert_eq!(count("--no-such-option new"), 0);
        assert_eq!(count("--help --json"), 0);
    }
}
