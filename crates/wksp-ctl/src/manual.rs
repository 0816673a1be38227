//! What is to be known beside the options: exit codes, environment and files, in the help and in
//! the manual.

mod page;

use std::fmt::Write;

use crate::failure::Kind;

pub(crate) use self::page::{Page, pages};

/// What the numbers, sizes and addresses are that commands take.
const VALUES: &str = "\
Sizes: bytes, or a number and K, M, G, T, P, E; KiB ... are the same (powers of 1024), KB ... are
powers of 1000. Numbers are decimal, or hexadecimal after 0x. An ADDRESS is NAME:GADDR.";

/// How several commands are typed.
const CHAINS: &str = "\
Several commands go into one call with a plain + between them. All are checked before the first one
runs, and the first that fails is the last. Options before the first one hold for all.";

/// Which directory is the base.
const BASE: &str = "\
Where workspaces are: --base DIR, else $FD_SHMEM_PATH, else /mnt/.fd if it is there, else
/dev/shm/wksp-UID, which is made on first use.";

/// A first session.
const EXAMPLES: &str = "\
Examples:
  wksp-ctl new demo --size 64MiB     # a workspace
  wksp-ctl put demo /etc/os-release  # prints where: demo:GADDR
  wksp-ctl show demo                 # what is in it
  wksp-ctl checkpt demo demo.wksp    # to keep it; `restore` brings it back
  wksp-ctl rm demo";

/// The variables that have a say.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("FD_SHMEM_PATH", "The directory that workspaces are in, unless --base names one."),
    (
        "WKSP_SINGLE_PID_NAMESPACE",
        "Anything but empty, 0, n, no, f, false and off stands for --single-pid-namespace.",
    ),
    ("TMPDIR", "The directory for what is kept of a checkpoint that comes through a pipe."),
    ("WKSP_CTL_COMPLETE", "Set by the completion scripts alone, when they ask for candidates."),
];

/// The files that matter.
const FILES: [(&str, &str); 4] = [
    ("/mnt/.fd", "The base directory of a machine that was set up by `wksp-ctl host init`."),
    ("/dev/shm/wksp-UID", "The base directory of a user where nobody has chosen another one."),
    (
        "BASE/.normal/NAME, BASE/.huge/NAME, BASE/.gigantic/NAME",
        "The memory of a workspace, by the size of its pages. Never to be written to as a file.",
    ),
    (
        "/proc/sys/vm, /sys/devices/system/node",
        "What `host` and `doctor` ask the kernel, and where `host reserve` asks it for pages.",
    ),
];

/// The exit codes and what they stand for.
fn exit_codes() -> impl Iterator<Item = (u8, &'static str)> {
    let failures = Kind::ALL.into_iter().map(|kind| (kind.exit_code(), kind.meaning()));
    std::iter::once((0, "done")).chain(failures)
}

/// The same for one command: `diff` ends as diff(1) does.
fn exit_codes_of(command: &str) -> impl Iterator<Item = (u8, &'static str)> {
    let is_diff = command == "diff";
    exit_codes().map(move |(code, meaning)| match code {
        0 if is_diff => (code, "nothing differs"),
        1 if is_diff => (code, "something differs"),
        2 if is_diff => (code, "usage: what was typed makes no sense; or failed otherwise"),
        _ => (code, meaning),
    })
}

/// What `wksp-ctl --help` says behind the options.
pub(crate) fn after_help() -> String {
    let mut codes = String::new();
    for (code, meaning) in exit_codes() {
        // Writing to a string does not fail.
        let _ = writeln!(codes, "  {code}  {meaning}");
    }
    format!("{VALUES}\n\n{BASE}\n\n{CHAINS}\n\nExit codes:\n{codes}\n{EXAMPLES}\n")
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::command::Command;
    use crate::typed::Typed;

    #[test]
    fn exit_codes_are_in_order_and_each_stands_for_one_thing() {
        let codes: Vec<u8> = exit_codes().map(|(code, _)| code).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 130]);
    }

    /// The commands of ours in an example, which may be in a pipe and behind other words.
    fn commands(line: &str) -> Vec<Vec<String>> {
        // What stands in the place of its output is a command as well.
        let line = match line.split_once("$(") {
            Some((before, rest)) => format!("{before} | {}", rest.replace(')', " ")),
            None => line.to_owned(),
        };
        let words = shlex::split(&line).unwrap_or_else(|| panic!("no shell takes {line:?}"));
        let parts = words.split(|word| ["|", "||", "&&", "+"].contains(&word.as_str()));
        let parts = parts.filter_map(|words| {
            let start = words.iter().position(|word| word == "wksp-ctl")?;
            let words = words.iter().skip(start);
            Some(words.take_while(|word| !word.starts_with('>')).cloned().collect())
        });
        parts.collect()
    }

    fn check_examples(command: &clap::Command) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let name = command.get_bin_name().unwrap_or_default();
        let Some((_, examples)) = help.split_once("Examples:\n") else {
            panic!("{name} has no examples");
        };
        let count = examples.lines().filter(|line| line.contains(name)).count();
        assert!((2..=6).contains(&count), "{name} has {count} examples");
        for line in examples.lines() {
            let commands = commands(line);
            assert!(!commands.is_empty(), "{line}");
            for words in commands {
                let parsed = Typed::try_parse_from(&words);
                let typed = parsed.unwrap_or_else(|error| panic!("{line}: {error}"));
                assert_eq!(typed.global.plan().err(), None, "{line}");
                // What is for one of the tools that were there before, that tool reads.
                if !matches!(typed.command, Command::Legacy(_)) {
                    assert_eq!(typed.command.plan().err(), None, "{line}");
                }
            }
        }
        command.get_subcommands().for_each(check_examples);
    }

    #[test]
    fn each_command_has_examples_that_make_sense() {
        let mut program = Typed::command().disable_help_subcommand(true);
        program.build();
        check_examples(&program);
    }

    #[test]
    fn the_document_has_the_exit_codes() {
        let document = include_str!("../../../docs/cli.md");
        for (code, meaning) in exit_codes() {
            let word = meaning.split([' ', ':', ',']).next().unwrap_or_default();
            let row = document.lines().find(|line| line.starts_with(&format!("| {code} | ")));
            assert!(row.is_some_and(|row| row.contains(word)), "{code}: {word}, but {row:?}");
        }
    }
}
