//! Checkpoints whose writer is asked to end, or loses its reader.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bench::{Bench, Ran, noise};
use crate::checkpt::path;

/// A workspace that takes long to compress at the highest level.
fn large() -> Bench {
    let bench = Bench::with_demo("64MiB");
    for _ in 0..3 {
        assert_eq!(bench.pipe(["put", "demo"], &noise(16 << 20)).code, Some(0));
    }
    bench
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

/// The names in the base directory.
fn names(bench: &Bench) -> Vec<String> {
    let entries = fs::read_dir(bench.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Reads from a terminal until a bar is on it that has begun to fill.
fn wait_for_progress(screen: &mut File) -> String {
    let mut seen = String::new();
    let mut some = [0; 4096];
    while !seen.contains("[=") && !seen.contains("[>") {
        let count = screen.read(&mut some).unwrap();
        assert!(count > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&some[..count]));
    }
    seen
}

#[test]
fn ctrl_c_leaves_no_file_and_a_sound_workspace() {
    let bench = large();
    let before = bench.bytes("demo");
    let file = path(&bench, "file");
    fs::write(path(&bench, "old"), "old").unwrap();
    let there = names(&bench);
    for (asks, file, force) in [
        (Signal::SIGINT, &file, false),
        (Signal::SIGTERM, &file, false),
        (Signal::SIGINT, &path(&bench, "old"), true),
    ] {
        let terminal = openpty(None, None).unwrap();
        let mut screen = File::from(terminal.master);
        let mut command = bench.command(["checkpt", "demo", file, "--style", "zstd"]);
        command.args(["--level", "22", "--threads", "2"]);
        command.args(force.then_some("--force"));
        let mut child = command.stdout(Stdio::null()).stderr(terminal.slave).spawn().unwrap();
        drop(command);
        let mut seen = wait_for_progress(&mut screen);
        signal(&child, asks);
        // The terminal ends with an error when nobody has it open any more.
        let _ = screen.read_to_string(&mut seen);
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(130), "{seen}");
        assert!(seen.contains("writing") && seen.contains("interrupted"), "{seen}");
        assert_eq!(names(&bench), there);
        assert_eq!(fs::read_to_string(path(&bench, "old")).unwrap(), "old");
        assert!(bench.bytes("demo") == before);
        assert_eq!(bench.json(["owner", "demo"])["lock"]["state"], "free");
    }
}

#[test]
fn ctrl_c_is_for_the_command_of_a_chain_that_runs() {
    let bench = large();
    let [first, second] = ["first", "second"].map(|name| path(&bench, name));
    let terminal = openpty(None, None).unwrap();
    let mut screen = File::from(terminal.master);
    // The first one has nothing to write, and so no time to draw a bar.
    let mut command = bench.command(["checkpt", "demo", &first, "--tag", "99", "+", "checkpt"]);
    command.args(["demo", &second, "--style", "zstd", "--level", "22", "+", "ls"]);
    let mut child = command.stdout(Stdio::piped()).stderr(terminal.slave).spawn().unwrap();
    drop(command);
    let mut seen = wait_for_progress(&mut screen);
    signal(&child, Signal::SIGINT);
    let _ = screen.read_to_string(&mut seen);
    let mut results = String::new();
    child.stdout.take().unwrap().read_to_string(&mut results).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{seen}");
    assert!(seen.contains("command 2 of 3") && seen.contains("interrupted"), "{seen}");
    assert!(results.contains("first") && !results.contains("NAME"), "{results}");
    assert!(fs::exists(&first).unwrap() && !fs::exists(&second).unwrap());
}

#[test]
fn there_is_no_bar_where_nobody_wants_one() {
    let bench = large();
    for option in ["--quiet", "-q", "--json"] {
        let terminal = openpty(None, None).unwrap();
        let mut screen = File::from(terminal.master);
        let mut command = bench.command(["checkpt", "demo", &path(&bench, "file"), "--force"]);
        command.arg(option).stdout(Stdio::null()).stderr(terminal.slave);
        assert!(command.status().unwrap().success());
        drop(command);
        let mut seen = Vec::new();
        let _ = screen.read_to_end(&mut seen);
        assert!(seen.is_empty(), "{option}: {seen:?}");
    }
}

#[test]
fn a_kill_leaves_no_file_and_a_workspace_that_recovers() {
    let bench = large();
    let there = names(&bench);
    let terminal = openpty(None, None).unwrap();
    let mut screen = File::from(terminal.master);
    let mut command = bench.command(["checkpt", "demo", &path(&bench, "file")]);
    command.args(["--style", "zstd", "--level", "22"]);
    let mut child = command.stdout(Stdio::null()).stderr(terminal.slave).spawn().unwrap();
    drop(command);
    wait_for_progress(&mut screen);
    signal(&child, Signal::SIGKILL);
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert_eq!(names(&bench), there);
    let check = bench.json(["check", "demo", "--single-pid-namespace"]);
    assert_eq!(check["workspaces"][0]["state"], "recovered");
    assert_eq!(bench.json(["verify", "demo"])["clean"], true);
}

#[test]
fn a_slow_reader_does_not_keep_ctrl_c_away() {
    let bench = large();
    let mut command = bench.command(["checkpt", "demo", "-", "--style", "v2"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Something has come through, much more waits for the pipe to be read, with the lock held.
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 1000]).unwrap();
    signal(&child, Signal::SIGINT);
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(ran.stderr.contains("interrupted"), "{ran:?}");
    assert_eq!(bench.json(["owner", "demo"])["lock"]["state"], "free");
    drop(stdout);
}

#[test]
fn a_reader_that_goes_away_gets_no_checkpoint_and_that_is_said() {
    let bench = large();
    let mut command = bench.command(["checkpt", "demo", "-", "--style", "v2"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.cause_and_remedy().0.contains("standard output"), "{ran:?}");
    assert_eq!(bench.json(["owner", "demo"])["lock"]["state"], "free");
}

#[test]
fn ctrl_c_before_all_of_a_stream_has_come_changes_nothing() {
    let bench = large();
    let piped = bench.run(["checkpt", "demo", "-"]).stdout;
    let before = bench.bytes("demo");
    for arguments in [&["restore", "demo", "-", "--yes"][..], &["restore", "new", "-", "--create"]]
    {
        let mut command = bench.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // More than a pipe holds: so the tool is reading by now, and waits for the rest.
        stdin.write_all(&piped[..piped.len() / 2]).unwrap();
        signal(&child, Signal::SIGINT);
        let ran = child.wait_with_output().unwrap();
        assert_eq!(ran.status.signal().or(ran.status.code()), Some(2), "{ran:?}");
        assert!(bench.bytes("demo") == before);
        assert!(!bench.region("new").exists());
        drop(stdin);
    }
}
