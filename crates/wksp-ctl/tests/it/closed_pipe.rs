//! Readers that go away: `wksp-ctl ... | head -1`.

use std::io::pipe;
use std::process::{Command, Stdio};

use crate::bench::{Bench, tool};

/// Runs a command whose output nobody reads, and which must not mind.
fn unread(mut command: Command) {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let ran = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!((ran.status.code(), &*said), (Some(0), ""), "{command:?}");
}

#[test]
fn nothing_minds_a_reader_that_is_gone() {
    let bench = Bench::with_demo("1MiB");
    let address = bench.ok(["alloc", "demo", "512K", "--tag", "7"]);
    let address = address.trim();
    let checkpoint = bench.path().join("stored");
    let checkpoint = checkpoint.to_str().unwrap();
    bench.ok(["checkpt", "demo", checkpoint]);
    let machine = "numa:2(memory=64GiB) core:8 pu:2";
    for arguments in [
        &["--help"][..],
        &["show", "--help"],
        &["help", "show"],
        &["--version"],
        &["ls"],
        &["show", "demo"],
        &["show", "demo", "--salvage"],
        &["usage", "demo", "--tag", "7"],
        &["owner", "demo"],
        &["check"],
        &["verify", "demo"],
        &["get", address],
        &["tag", address],
        &["fill", address, "1"],
        &["alloc", "demo", "100"],
        &["put", "demo", checkpoint],
        &["rebuild", "demo"],
        &["inspect", checkpoint],
        &["inspect", checkpoint, "--brief"],
        &["checkpt-verify", checkpoint],
        &["checkpt", "demo", checkpoint, "--force"],
        &["restore", "other", checkpoint, "--create"],
        &["numa", "--synthetic", machine],
        &["plan", "--pages", "4", "--near-node", "1", "--synthetic", machine],
        &["host", "status"],
        &["completions", "bash"],
        &["man"],
        &["free", address],
        &["tag-free", "demo", "7"],
        &["reset", "demo", "--yes"],
        &["rm", "demo", "--yes"],
    ] {
        unread(bench.command(arguments));
    }
    for json in [&["ls"][..], &["show", "other"], &["man"], &["inspect", checkpoint]] {
        let mut command = bench.command(json);
        command.arg("--json");
        unread(command);
    }
    // What a shell asks for when somebody presses Tab.
    let mut command = tool();
    command.env("WKSP_CTL_COMPLETE", "fish").args(["--", "wksp-ctl", "che"]);
    unread_by_shell(command);
}

/// A shell is not told that it went away, but it must not be shown anything either.
fn unread_by_shell(mut command: Command) {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let ran = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert!(ran.stderr.is_empty(), "{ran:?}");
}

#[test]
fn what_is_wrong_is_said_even_so() {
    let bench = Bench::with_demo("64K");
    std::fs::write(bench.region("cut"), [0; 100]).unwrap();
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let mut command = bench.command(["check"]);
    let ran = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(ran.status.code(), Some(5), "{ran:?}");
    assert!(String::from_utf8(ran.stderr).unwrap().contains("cut"));
}
