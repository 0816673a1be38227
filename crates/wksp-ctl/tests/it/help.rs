//! The help texts are there, and say what matters.

use crate::bench::{Ran, tool};

pub(crate) const COMMANDS: [&str; 36] = [
    "new",
    "ls",
    "rm",
    "put",
    "get",
    "alloc",
    "free",
    "tag-free",
    "tag",
    "fill",
    "show",
    "usage",
    "map",
    "top",
    "owner",
    "check",
    "verify",
    "rebuild",
    "reset",
    "checkpt",
    "restore",
    "inspect",
    "checkpt-verify",
    "extract",
    "numa",
    "where",
    "plan",
    "host",
    "doctor",
    "janitor",
    "links",
    "legacy",
    "diff",
    "metrics",
    "completions",
    "man",
];

pub(crate) const HOST_COMMANDS: [&str; 6] =
    ["init", "fini", "reserve", "release", "status", "reset"];

fn help(arguments: &[&str]) -> String {
    let ran = Ran::of(tool().args(arguments).output().unwrap());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    ran.text()
}

#[test]
fn the_main_help_has_commands_sizes_and_exit_codes() {
    let text = help(&["--help"]);
    for command in COMMANDS {
        assert!(text.lines().any(|line| line.trim().starts_with(command)), "{command}: {text}");
    }
    for code in (0..=7).chain([130]) {
        assert!(
            text.lines().any(|line| line.starts_with(&format!("  {code}  "))),
            "{code}: {text}"
        );
    }
    assert!(text.contains("powers of 1024") && text.contains("FD_SHMEM_PATH"), "{text}");
}

#[test]
fn each_command_has_a_help_with_examples() {
    for command in COMMANDS {
        let text = help(&[command, "--help"]);
        assert!(
            text.contains("Example") && text.contains(&format!("wksp-ctl {command}")),
            "{text}"
        );
    }
    for command in HOST_COMMANDS {
        let text = help(&["host", command, "--help"]);
        assert!(
            text.contains("Example") && text.contains(&format!("wksp-ctl host {command}")),
            "{text}"
        );
    }
    assert!(help(&["--version"]).starts_with("wksp-ctl "));
}
